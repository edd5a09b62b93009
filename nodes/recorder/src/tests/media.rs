//! Frames to publish: made up, or encoded by ffmpeg.

use std::{process::Command, str};

/// Timestamped frames of one party.
pub(super) struct Clip {
    /// Microseconds, key, Annex B.
    pub(super) video: Vec<(u64, bool, Vec<u8>)>,
    /// Microseconds, Opus packet.
    pub(super) audio: Vec<(u64, Vec<u8>)>,
}

/// A constrained baseline parameter set of 640×360.
const SPS: [u8; 25] = [
    0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01,
    0x00, 0x00, 0x03, 0x00, 0x1e, 0x0f, 0x16, 0x2e, 0x48,
];

impl Clip {
    /// 15 pictures and 50 packets a second; a key frame each second. They cannot be decoded.
    pub(super) fn synthetic(seconds: u64) -> Self {
        let picture = |n: u64| {
            let key = n.is_multiple_of(15);
            let (head, slice) = match key {
                true => (
                    [
                        &[0, 0, 0, 1][..],
                        &SPS,
                        &[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80],
                    ]
                    .concat(),
                    0x65,
                ),
                false => (Vec::new(), 0x41),
            };
            let body = [&[0, 0, 0, 1, slice][..], &vec![n as u8 | 1; 900]].concat();
            (n * 1_000_000 / 15, key, [head, body].concat())
        };
        let packet = |n: u64| (n * 20_000, vec![n as u8; 80]);
        Self {
            video: (0..seconds * 15).map(picture).collect(),
            audio: (0..seconds * 50).map(packet).collect(),
        }
    }

    /// A test picture and a tone; `None` if the tools are not installed.
    pub(super) fn encoded(seconds: u64) -> Option<Self> {
        let dir = tempfile::tempdir().ok()?;
        let run = |args: &str| {
            let output = Command::new("ffmpeg")
                .args(args.split(' '))
                .current_dir(dir.path())
                .output()
                .ok()?;
            output.status.success().then_some(())
        };
        Command::new("ffprobe").arg("-version").output().ok()?;
        run(&format!(
            "-v error -f lavfi -i testsrc2=size=640x360:rate=15 -t {seconds} -pix_fmt yuv420p -c:v libx264 \
             -profile:v baseline -preset veryfast -b:v 600k -g 15 -bf 0 -x264-params aud=1:repeat-headers=1 -f h264 v.h264"
        ))?;
        run(&format!(
            "-v error -f lavfi -i sine=frequency=440 -t {seconds} -ar 48000 -ac 1 -c:a libopus -b:a 32k -frame_duration 20 -f ogg a.ogg"
        ))?;
        let video = access_units(&std::fs::read(dir.path().join("v.h264")).ok()?);
        let audio = ogg_packets(&std::fs::read(dir.path().join("a.ogg")).ok()?);
        let picture = |(n, unit): (u64, Vec<u8>)| (n * 1_000_000 / 15, n.is_multiple_of(15), unit);
        let packet = |(n, packet): (u64, Vec<u8>)| (n * 20_000, packet);
        Some(Self {
            video: (0..).zip(video).map(picture).collect(),
            // The first two packets are headers.
            audio: (0..).zip(audio.into_iter().skip(2)).map(packet).collect(),
        })
    }
}

/// Cuts an Annex B stream before each access unit delimiter.
fn access_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let starts = stream
        .windows(5)
        .enumerate()
        .filter(|(_, w)| *w == [0, 0, 0, 1, 9]);
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| stream[*start..end].to_vec())
        .collect()
}

/// The packets of an Ogg stream (RFC 3533).
fn ogg_packets(mut stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut open) = (Vec::new(), Vec::new());
    while stream.starts_with(b"OggS") {
        let count = usize::from(stream[26]);
        let lengths = &stream[27..27 + count];
        let mut at = 27 + count;
        for length in lengths {
            open.extend_from_slice(&stream[at..at + usize::from(*length)]);
            at += usize::from(*length);
            if *length < 255 {
                packets.push(std::mem::take(&mut open));
            }
        }
        stream = &stream[at..];
    }
    packets
}
