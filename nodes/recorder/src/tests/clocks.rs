//! Sound and picture of one broadcast on the recorder's time line: together, whatever came how late, however long ago
//! the broadcast began, and whoever's crystal is bad.

use std::time::Duration;

use guitai_evidence::manifest::Media;
use guitai_types::{Epoch, Hex, UnixMillis};

use super::media::Clip;
use crate::{
    fmp4::Setup,
    take::{Arrived, PARTIES, Pending, Stamp, Take, TrackRecord},
};

/// The recorder's clock when the publisher's was 0.
const ZERO: UnixMillis = UnixMillis(1_790_000_000_000);
const BROADCAST: &str = "customer/0123456789abcdef.hang";
/// What a publisher's clock may be off by.
const PPM: u64 = 200;
const TWO_HOURS_US: u64 = 2 * 3_600_000_000;
/// Below what is noticed: ITU-R BT.1359 finds sound 45 ms early or 125 ms late.
const APART_MS_MAX: i64 = 40;

/// Frames as they arrive: the publisher's time in µs, medium, payload, µs under way.
type Sent = (u64, Media, Vec<u8>, u64);

/// Three seconds of both media from `from_us` on. A picture takes longer than a packet, a key frame longer still, and
/// every twentieth of either is sent again a round trip later.
fn three_seconds(from_us: u64, wide: bool) -> Vec<Sent> {
    let clip = Clip::synthetic(3);
    let again = |n: usize| if n % 20 == 7 { 60_000 } else { 0 };
    let pictures = clip.video.into_iter().enumerate();
    let pictures = pictures.map(|(n, (at, key, mut unit))| {
        if wide && key {
            // Another level: what is decoded by another parameter set is another track.
            unit[7] = 0x1f;
        }
        let under_way = 70_000 + u64::from(key) * 90_000 + again(n);
        (from_us + at, Media::Video, unit, under_way)
    });
    let packets = clip.audio.into_iter().enumerate();
    let packets =
        packets.map(|(n, (at, data))| (from_us + at, Media::Audio, data, 15_000 + again(n)));
    // One of a track does not overtake another.
    let mut last = [0, 0];
    let in_order = |(at, media, payload, under_way): Sent| {
        let last = &mut last[usize::from(media == Media::Video)];
        *last = (at + under_way).max(*last);
        (at, media, payload, *last - at)
    };
    let mut sent: Vec<Sent> = pictures.chain(packets).map(in_order).collect();
    sent.sort_by_key(|(at, _, _, under_way)| at + under_way);
    sent
}

fn record(take: &mut Take, sent: Vec<Sent>) -> Vec<TrackRecord> {
    let stamp = Stamp {
        session: "5e55".parse().unwrap(),
        node: "a1-2".parse().unwrap(),
        epoch: Epoch(1),
        assignment: 1,
    };
    let mut opened = Vec::new();
    let mut keep = |take: &mut Take, pending: Vec<Pending>| {
        for pending in pending {
            let write = take.prepare(pending, &stamp).unwrap();
            opened.extend(write.record.opens.clone());
            take.durable(&write);
        }
    };
    for (timestamp_us, media, payload, under_way) in sent {
        // The publisher's second is a little longer than the recorder's.
        let true_us = timestamp_us + timestamp_us * PPM / 1_000_000;
        let wall = ZERO.plus((true_us + under_way) / 1_000);
        let closed = take.frame(&Arrived {
            party: PARTIES[0],
            media,
            broadcast: BROADCAST,
            timestamp_us,
            payload: &payload,
            sound: Setup::Opus {
                sample_rate: 48_000,
                channels: 1,
            },
            wall,
            now: Duration::from_micros(true_us + under_way),
        });
        keep(take, closed);
    }
    let closed = take.finish();
    keep(take, closed);
    opened
}

/// The recorder's clock at the publisher's 0, by a track.
fn zero_by(track: &TrackRecord) -> i64 {
    let started = i64::try_from(track.started_at.0).unwrap();
    started - i64::try_from(track.first_us / 1_000).unwrap()
}

#[test]
fn sound_and_picture_are_together_however_late_the_first_key_frame_came() {
    let mut take = Take::new(ZERO, Duration::ZERO, &[]);
    let tracks = record(&mut take, three_seconds(1_000_000, false));
    assert_eq!(tracks.len(), 2);
    let zeros: Vec<i64> = tracks.iter().map(zero_by).collect();
    assert!((zeros[0] - zeros[1]).abs() <= 1, "{zeros:?}");
    // By the quickest of all frames, which was a packet of sound.
    let late = zeros[0] - i64::try_from(ZERO.0).unwrap();
    assert!((15..=17).contains(&late), "{late} ms");
}

#[test]
fn a_track_that_begins_after_two_hours_is_where_the_others_are() {
    let mut take = Take::new(ZERO, Duration::ZERO, &[]);
    let mut tracks = record(&mut take, three_seconds(1_000_000, false));
    // The phone is turned: another set of parameters, and another track. The crystals are 1.4 s apart by now.
    tracks.extend(record(&mut take, three_seconds(TWO_HOURS_US, true)));
    assert_eq!(tracks.len(), 3, "one more picture");
    let Setup::Avc { sps: Hex(sps), .. } = &tracks[2].setup else {
        panic!("no picture");
    };
    assert_eq!(sps[3], 0x1f);
    let zeros: Vec<i64> = tracks.iter().map(zero_by).collect();
    let (least, most) = (zeros.iter().min().unwrap(), zeros.iter().max().unwrap());
    assert!(most - least <= APART_MS_MAX, "{zeros:?}");
}
