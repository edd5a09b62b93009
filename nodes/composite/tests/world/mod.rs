//! Packages of calls that never were: pictures of one colour and tones, encoded by ffmpeg, cut and sealed as a
//! recorder does. For the tests of this crate and for its examples.

#[path = "../../../evidence/tests/media/mod.rs"]
#[expect(dead_code, reason = "what spoils packages is not needed here")]
mod media;

use std::{collections::BTreeMap, path::Path, process::Command};

use guitai_crypto::{sm2, x509};
use guitai_evidence::{
    Builder, DirSink, Header, Signer,
    attach::{self, Missing, What},
    documents, layout,
    log::Digest,
    manifest::{FORMAT, Gap, Manifest, Media, Named, Party, Segment, SessionFacts, Track, Turn},
    roots::{self, RootLine},
    tree, view,
};
use guitai_types::{
    Epoch, Hex, NodeName, UnixMillis,
    place::Text,
    record::{EndReason, Policy},
    tlog::RecorderRoot,
};

/// When the call began: 2026-11-18 11:06:40 in Beijing.
pub(crate) const STARTED_AT: u64 = 1_794_971_200_000;
/// Frames a second of the tracks.
pub(crate) const FPS: u64 = 30;

/// What comes of a party in one stretch of the call.
#[derive(Debug, Clone)]
pub(crate) struct Sends {
    pub(crate) party: &'static str,
    /// Milliseconds of the call.
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
    /// A colour of ffmpeg, or `testsrc2`; and size.
    pub(crate) picture: Option<(&'static str, u32, u32)>,
    /// Hertz.
    pub(crate) tone: Option<u32>,
    /// Segments of the picture that did not arrive, by number from 0.
    pub(crate) lost: Vec<u64>,
}

/// A call.
pub(crate) struct Call {
    pub(crate) session: &'static str,
    pub(crate) institution: String,
    pub(crate) customer: String,
    pub(crate) agent: String,
    pub(crate) length_ms: u64,
    pub(crate) sends: Vec<Sends>,
    /// Declared beside the gaps that `lost` gives.
    pub(crate) gaps: Vec<Gap>,
}

/// A gap of which only the place is known.
pub(crate) fn gap(party: &str, media: Media, from_ms: u64, length_ms: u64, cause: &str) -> Gap {
    Gap {
        party: party.to_owned(),
        media,
        from_ms,
        length_ms,
        cause: cause.to_owned(),
        track: None,
        segment: None,
        resumed: None,
        assignment: None,
    }
}

/// Why no call can be made here, if so: what a test that skips prints.
pub(crate) fn lacking() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = guitai_composite::Tools::find(&path, None);
    found.err().map(|error| error.to_string())
}

/// Writes the package of a call into `dir`, which must be empty or not there.
pub(crate) fn package(call: &Call, dir: &Path) {
    let scratch = tempfile::tempdir().unwrap();
    let signer = Who::new();
    let mut builder = Builder::new(DirSink::create(dir).unwrap());
    let (mut tracks, mut gaps) = (Vec::new(), call.gaps.clone());
    let mut digests = BTreeMap::new();
    let mut last: BTreeMap<(&str, Media), u32> = BTreeMap::new();
    for sends in &call.sends {
        let picture = sends
            .picture
            .map(|it| (Media::Video, picture(scratch.path(), sends, it)));
        let sound = sends
            .tone
            .map(|it| (Media::Audio, sound(scratch.path(), sends, it)));
        for (media, (init, segments)) in picture.into_iter().chain(sound) {
            let number = tracks.len() as u32 + 1;
            // A publisher's clock begins anywhere.
            let origin = 7_000_000 + u64::from(number) * 1_000;
            builder.add(&layout::init(number), &init).unwrap();
            let (mut listed, mut log, mut bytes) =
                (Vec::new(), layout::FRAMES_HEADER.to_owned(), 0);
            let mut lost_before = false;
            for (index, (at_us, frames)) in (0..).zip(segments) {
                if media == Media::Video && sends.lost.contains(&index) {
                    lost_before = true;
                    continue;
                }
                let segment = listed.len() as u32 + 1;
                let header = Header {
                    session: call.session.parse().unwrap(),
                    node: "a1-2".parse().unwrap(),
                    epoch: Epoch(1),
                    assignment: 1,
                    track: number,
                    segment,
                };
                let content = media::segment(segment, at_us, &frames);
                let content = [header.encode(), content].concat();
                let first_us = origin + at_us;
                log += &media::lines(&content, first_us);
                let end_us = first_us + frames.iter().map(|it| u64::from(it.0)).sum::<u64>();
                let before: Option<&Segment> = listed.last();
                if let Some(before) = before.filter(|_| std::mem::take(&mut lost_before)) {
                    let from_ms = sends.from_ms + (before.end_us - origin) / 1_000;
                    gaps.push(Gap {
                        track: Some(number),
                        segment: Some(segment - 1),
                        resumed: Some(number),
                        ..gap(
                            sends.party,
                            media,
                            from_ms,
                            (first_us - before.end_us) / 1_000,
                            "frames-missing",
                        )
                    });
                }
                bytes += content.len() as u64;
                digests.insert((number, segment), guitai_crypto::sm3::hash(&content));
                builder
                    .add(&layout::segment(number, segment), &content)
                    .unwrap();
                listed.push(Segment {
                    number: segment,
                    frames: frames.len() as u32,
                    first_us,
                    end_us,
                    key: frames[0].2,
                    assignment: 1,
                    epoch: Epoch(1),
                });
            }
            builder
                .add(&layout::frames(number), log.as_bytes())
                .unwrap();
            let sums = builder.track_sums(number);
            let root = Hex(tree::root_of_lines(sums.lines()).to_vec());
            builder.add(&layout::tree(number), sums.as_bytes()).unwrap();
            if let Some(before) = last.insert((sends.party, media), number) {
                let cause = "republished";
                gaps.push(Gap {
                    track: Some(before),
                    resumed: Some(number),
                    ..gap(sends.party, media, sends.from_ms, 0, cause)
                });
            }
            let (width, height) = sends
                .picture
                .map_or((0, 0), |(_, width, height)| (width, height));
            let is_picture = media == Media::Video;
            let end_us = listed.last().unwrap().end_us;
            tracks.push(Track {
                number,
                party: sends.party.to_owned(),
                media,
                broadcast: format!("{}/5e1f.hang", sends.party),
                codec: if is_picture { "avc1.42c01e" } else { "opus" }.to_owned(),
                width: if is_picture { width } else { 0 },
                height: if is_picture { height } else { 0 },
                sample_rate: if is_picture { 0 } else { 48_000 },
                channels: u32::from(!is_picture),
                started_at: UnixMillis(STARTED_AT + sends.from_ms),
                first_us: origin,
                end_us,
                duration_ms: (end_us - origin) / 1_000,
                frames: listed.iter().map(|it| u64::from(it.frames)).sum(),
                bytes,
                refused: 0,
                segments: listed,
                root,
            });
        }
    }
    for (path, content) in documents(&[], &gaps, signer.signer()).unwrap() {
        builder.add(&path, &content).unwrap();
    }
    let draft = draft(call, tracks, gaps);
    let lines = lines(&signer, &draft, &digests);
    let mut text = guitai_evidence::canonical::to_bytes(&lines).unwrap();
    text.push(b'\n');
    builder.add(layout::ROOTS, &text).unwrap();
    let chain = x509::certificates_to_pem(&signer.identity.chain);
    builder
        .add(&layout::recorder_chain(1), chain.as_bytes())
        .unwrap();
    builder
        .add(layout::VIEW, view::page(&draft, &[], &[]).as_bytes())
        .unwrap();
    let (_, seal) = builder.seal(draft, signer.signer()).unwrap();
    let missing = [
        What::Consistency,
        What::RootProofs,
        What::SealProof,
        What::Timestamp,
    ];
    let missing = missing.map(|what| Missing {
        what,
        cause: "no-log".to_owned(),
    });
    let at = UnixMillis(STARTED_AT + call.length_ms + 2_000);
    let attached = attach::attach(&seal, Vec::new(), missing.to_vec(), at, signer.signer());
    builder.close(&seal, Some(&attached.unwrap())).unwrap();
}

fn draft(call: &Call, tracks: Vec<Track>, gaps: Vec<Gap>) -> Manifest {
    let text = |text: &str| Text {
        zh: text.to_owned(),
        en: text.to_owned(),
    };
    let party = |role: &str, display: &str| Party {
        role: role.to_owned(),
        id: None,
        display: display.to_owned(),
    };
    Manifest {
        format: FORMAT.to_owned(),
        cluster: "guitai-test".parse().unwrap(),
        institution: Named {
            id: "bank".parse().unwrap(),
            name: text(&call.institution),
        },
        session: SessionFacts {
            id: call.session.parse().unwrap(),
            ticket: "71c4".parse().unwrap(),
            queue: "loans".parse().unwrap(),
            edge: "edge-a1".parse().unwrap(),
            epoch: Epoch(1),
            started_at: UnixMillis(STARTED_AT),
            ended_at: Some(UnixMillis(STARTED_AT + call.length_ms)),
            end_reason: Some(EndReason::AgentHungUp),
        },
        participants: vec![
            party("customer", &call.customer),
            party("agent", &call.agent),
        ],
        consent: None,
        policy: Policy::default(),
        steps: Vec::new(),
        events: 0,
        tracks,
        playable: Vec::new(),
        gaps,
        assignments: vec![Turn {
            number: 1,
            node: "a1-2".parse().unwrap(),
            epoch: Epoch(1),
            since: UnixMillis(STARTED_AT),
            until: None,
            cause: None,
        }],
        disowned: Vec::new(),
        recorder: "a1-2".parse().unwrap(),
        started_at: UnixMillis(STARTED_AT),
        sealed_at: UnixMillis(STARTED_AT + call.length_ms + 1_000),
        files: Vec::new(),
        root: Hex::default(),
    }
}

/// All segments under the root of one second.
fn lines(who: &Who, draft: &Manifest, digests: &BTreeMap<(u32, u32), tree::Hash>) -> RootLine {
    let second = draft.sealed_at.0 / 1_000;
    let (mut leaves, mut places) = (Vec::new(), Vec::new());
    for ((track, segment), sm3) in digests {
        let mut salt = [7; 32];
        salt[..4].copy_from_slice(&track.to_be_bytes());
        salt[4..8].copy_from_slice(&segment.to_be_bytes());
        places.push((leaves.len() as u32, *track, *segment, salt));
        leaves.push(roots::leaf(&salt, sm3));
    }
    let (node, count): (NodeName, u32) = ("a1-2".parse().unwrap(), leaves.len() as u32);
    let root = Hex(Digest::Sm3.root(&leaves).to_vec());
    let text = RecorderRoot::text(&node, second, count, &root);
    RootLine {
        node,
        second,
        count,
        root,
        signature: Hex(who.identity.key.sign(text.as_bytes())),
        signer: 1,
        segments: roots::places(&leaves, &places),
    }
}

/// Who recorded.
struct Who {
    root: Vec<u8>,
    identity: x509::Identity,
}

impl Who {
    fn new() -> Self {
        let made = STARTED_AT / 1_000 - 86_400;
        let authority = x509::Authority::create("root", "guitai-test", 3650, made).unwrap();
        let key = sm2::SecretKey::generate();
        let subject = x509::Subject {
            common_name: "a1-2".to_owned(),
            organization: "guitai-test".to_owned(),
            dns_names: vec!["a1-2.inner.guitai.internal".to_owned()],
        };
        let leaf = authority.issue(&subject, &key.public(), x509::Usage::Tls, 365, made);
        Self {
            root: authority.certificate_der().to_vec(),
            identity: x509::Identity {
                chain: vec![leaf.unwrap()],
                key,
            },
        }
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            identity: &self.identity,
            root: &self.root,
        }
    }
}

/// An initialisation part, and segments with the microsecond they begin at.
type Encoded = (Vec<u8>, Vec<(u64, Vec<media::Frame>)>);

fn picture(scratch: &Path, sends: &Sends, (what, width, height): (&str, u32, u32)) -> Encoded {
    let seconds = (sends.to_ms - sends.from_ms) as f64 / 1_000.0;
    let source = match what {
        "testsrc2" => format!("testsrc2=s={width}x{height}:r={FPS}"),
        color => format!("color=c={color}:s={width}x{height}:r={FPS}"),
    };
    let stream = ffmpeg(
        scratch,
        &format!(
            "-f lavfi -i {source} -t {seconds} -pix_fmt yuv420p -c:v libx264 -profile:v baseline \
             -preset veryfast -b:v 700k -g {FPS} -bf 0 -x264-params aud=1:repeat-headers=1:scenecut=0 -f h264"
        ),
    );
    let units = nal_units(&stream);
    let of = |kind: u8| {
        units
            .iter()
            .find(|it| it[0] & 0x1f == kind)
            .unwrap()
            .clone()
    };
    let init = init(&avc1(&of(7), &of(8), width, height), true);
    let mut frames: Vec<media::Frame> = Vec::new();
    for unit in &units {
        match unit[0] & 0x1f {
            9 => {
                let n = frames.len() as u64;
                let us = (n + 1) * 1_000_000 / FPS - n * 1_000_000 / FPS;
                frames.push((us as u32, Vec::new(), false));
            }
            7 | 8 => {}
            kind => {
                let frame = frames.last_mut().unwrap();
                frame.1.extend((unit.len() as u32).to_be_bytes());
                frame.1.extend(unit);
                frame.2 |= kind == 5;
            }
        }
    }
    (init, cut(frames, FPS as usize))
}

fn sound(scratch: &Path, sends: &Sends, hertz: u32) -> Encoded {
    let seconds = (sends.to_ms - sends.from_ms) as f64 / 1_000.0;
    let stream = ffmpeg(
        scratch,
        &format!(
            "-f lavfi -i sine=frequency={hertz} -t {seconds} -ar 48000 -ac 1 -c:a libopus -vbr off \
             -b:a 32k -frame_duration 20 -map 0:a -f data"
        ),
    );
    // 32 kbit/s, constant: 80 bytes in 20 ms.
    let frame = |it: &[u8]| (20_000, it.to_vec(), true);
    // What the encoder gives after the end is its delay.
    let most = (sends.to_ms - sends.from_ms) as usize / 20;
    let frames = stream.chunks_exact(80).map(frame).take(most).collect();
    (init(&opus(), false), cut(frames, 50))
}

/// Segments of a second.
fn cut(frames: Vec<media::Frame>, each: usize) -> Vec<(u64, Vec<media::Frame>)> {
    let (mut at, mut segments) = (0, Vec::new());
    for frames in frames.chunks(each) {
        segments.push((at, frames.to_vec()));
        at += frames.iter().map(|it| u64::from(it.0)).sum::<u64>();
    }
    segments
}

fn ffmpeg(scratch: &Path, words: &str) -> Vec<u8> {
    let out = scratch.join("out");
    let ran = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(words.split_whitespace())
        .arg(&out)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    std::fs::read(out).unwrap()
}

fn nal_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = Vec::new();
    starts
        .extend((0..stream.len().saturating_sub(3)).filter(|at| stream[*at..at + 3] == [0, 0, 1]));
    let ends = starts.iter().skip(1).copied().chain([stream.len()]);
    let unit = |(start, end): (&usize, usize)| {
        let mut unit = stream[start + 3..end].to_vec();
        while unit.last() == Some(&0) {
            unit.pop();
        }
        unit
    };
    starts.iter().zip(ends).map(unit).collect()
}

fn boxed(kind: &str, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    [
        &(inside.len() as u32 + 8).to_be_bytes(),
        kind.as_bytes(),
        &inside,
    ]
    .concat()
}

fn numbers(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|it| it.to_be_bytes()).collect()
}

/// An initialisation part in the form of `fmp4` in the recorder.
fn init(entry: &[u8], is_picture: bool) -> Vec<u8> {
    const UNITY: [u32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];
    let mvhd = [
        numbers(&[0, 0, 0, 1_000, 0, 0x10000, 0x0100_0000, 0, 0]),
        numbers(&UNITY),
        numbers(&[0, 0, 0, 0, 0, 0, 2]),
    ]
    .concat();
    let tkhd = [
        numbers(&[3, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        numbers(&UNITY),
        numbers(&[0, 0]),
    ]
    .concat();
    let mdhd = numbers(&[0, 0, 0, 1_000_000, 0, 0x55c4_0000]);
    let kind: &[u8] = if is_picture { b"vide" } else { b"soun" };
    let hdlr = [&numbers(&[0, 0]), kind, &[0; 12], b"guitai\0"].concat();
    let about = if is_picture {
        boxed("vmhd", &[&numbers(&[1, 0, 0])])
    } else {
        boxed("smhd", &[&numbers(&[0, 0])])
    };
    let dref = boxed(
        "dref",
        &[&numbers(&[0, 1]), &boxed("url ", &[&numbers(&[1])])],
    );
    let stbl = [
        boxed("stsd", &[&numbers(&[0, 1]), entry]),
        boxed("stts", &[&numbers(&[0, 0])]),
        boxed("stsc", &[&numbers(&[0, 0])]),
        boxed("stsz", &[&numbers(&[0, 0, 0])]),
        boxed("stco", &[&numbers(&[0, 0])]),
    ]
    .concat();
    let minf = boxed(
        "minf",
        &[&about, &boxed("dinf", &[&dref]), &boxed("stbl", &[&stbl])],
    );
    let mdia = boxed(
        "mdia",
        &[&boxed("mdhd", &[&mdhd]), &boxed("hdlr", &[&hdlr]), &minf],
    );
    let trex = boxed("trex", &[&numbers(&[0, 1, 1, 0, 0, 0])]);
    let moov = [
        boxed("mvhd", &[&mvhd]),
        boxed("mvex", &[&trex]),
        boxed("trak", &[&boxed("tkhd", &[&tkhd]), &mdia]),
    ]
    .concat();
    [
        boxed("ftyp", &[b"iso6\0\0\0\0iso6cmfc"]),
        boxed("moov", &[&moov]),
    ]
    .concat()
}

fn avc1(sps: &[u8], pps: &[u8], width: u32, height: u32) -> Vec<u8> {
    let size = |it: &[u8]| (it.len() as u16).to_be_bytes();
    let avcc = [
        &[1],
        &sps[1..4],
        &[0xff, 0xe1],
        &size(sps),
        sps,
        &[1],
        &size(pps),
        pps,
    ]
    .concat();
    let mut entry = numbers(&[0, 1, 0, 0, 0, 0]);
    entry.extend(numbers(&[
        width << 16 | height,
        0x0048_0000,
        0x0048_0000,
        0,
    ]));
    entry.extend([0, 1]);
    entry.extend([0; 32]);
    entry.extend([0, 24, 0xff, 0xff]);
    boxed("avc1", &[&entry, &boxed("avcC", &[&avcc])])
}

fn opus() -> Vec<u8> {
    let entry = [
        &numbers(&[0, 1, 0, 0])[..],
        &[0, 1, 0, 16, 0, 0, 0, 0],
        &(48_000_u32 << 16).to_be_bytes(),
    ]
    .concat();
    let dops = boxed("dOps", &[&[0, 1, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0]]);
    boxed("Opus", &[&entry, &dops])
}
