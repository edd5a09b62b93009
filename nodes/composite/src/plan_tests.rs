//! Plans of calls that chance makes: whatever a package states, every instant has a picture or words.

use guitai_evidence::manifest::{FORMAT, Named, Segment, SessionFacts};
use guitai_types::{Epoch, Hex, record::Policy};

use super::*;

const START: u64 = 1_794_971_200_000;

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// A track whose frames come at these milliseconds of its own, each until the next, the last for 40 ms.
fn track(
    number: u32,
    party: &str,
    media: Media,
    at_ms: i64,
    frames_ms: &[u64],
) -> (Track, Vec<u64>) {
    let origin = 5_000_000;
    let times: Vec<u64> = frames_ms.iter().map(|ms| origin + ms * 1_000).collect();
    let end_us = times.last().unwrap() + 40_000;
    let segment = Segment {
        number: 1,
        frames: times.len() as u32,
        first_us: times[0],
        end_us,
        key: true,
        assignment: 0,
        epoch: Epoch(0),
    };
    let track = Track {
        number,
        party: party.to_owned(),
        media,
        broadcast: String::new(),
        codec: String::new(),
        width: 640,
        height: 360,
        sample_rate: 0,
        channels: 0,
        started_at: UnixMillis(START.saturating_add_signed(at_ms)),
        first_us: times[0],
        end_us,
        duration_ms: (end_us - times[0]) / 1_000,
        frames: times.len() as u64,
        bytes: 0,
        refused: 0,
        segments: vec![segment],
        root: Hex::default(),
    };
    (track, times)
}

/// A track of which only the number matters.
pub(crate) fn plain_track(number: u32) -> Track {
    track(number, "agent", Media::Video, 0, &[0]).0
}

fn steady(from_ms: u64, to_ms: u64) -> Vec<u64> {
    (from_ms..to_ms).step_by(40).collect()
}

fn video_gap(party: &str, from_ms: u64, length_ms: u64, cause: &str) -> Gap {
    Gap {
        party: party.to_owned(),
        media: Media::Video,
        from_ms,
        length_ms,
        cause: cause.to_owned(),
        track: None,
        segment: None,
        resumed: None,
        assignment: None,
    }
}

pub(crate) fn manifest(tracks: Vec<Track>, gaps: Vec<Gap>, length_ms: u64) -> Manifest {
    Manifest {
        format: FORMAT.to_owned(),
        cluster: "c".parse().unwrap(),
        institution: Named {
            id: "bank".parse().unwrap(),
            name: Text {
                zh: "银行".to_owned(),
                en: "bank".to_owned(),
            },
        },
        session: SessionFacts {
            id: "5e55".parse().unwrap(),
            ticket: "71c4".parse().unwrap(),
            queue: "loans".parse().unwrap(),
            edge: "edge-a1".parse().unwrap(),
            epoch: Epoch(1),
            started_at: UnixMillis(START),
            ended_at: Some(UnixMillis(START + length_ms)),
            end_reason: None,
        },
        participants: Vec::new(),
        consent: None,
        policy: Policy::default(),
        steps: Vec::new(),
        events: 0,
        tracks,
        playable: Vec::new(),
        gaps,
        assignments: Vec::new(),
        disowned: Vec::new(),
        recorder: "a1-2".parse().unwrap(),
        started_at: UnixMillis(START),
        sealed_at: UnixMillis(START),
        files: Vec::new(),
        root: Hex::default(),
    }
}

fn planned(tracks: Vec<(Track, Vec<u64>)>, gaps: Vec<Gap>, length_ms: u64) -> Plan {
    let logs = tracks
        .iter()
        .map(|(track, log)| (track.number, log.clone()))
        .collect();
    let tracks = tracks.into_iter().map(|(track, _)| track).collect();
    plan(&manifest(tracks, gaps, length_ms), &logs).unwrap()
}

/// The pane of a party as words: what, from millisecond, to millisecond.
fn told(plan: &Plan, party: &str) -> Vec<(String, u64, u64)> {
    let pane = plan.panes.iter().find(|pane| pane.party == party).unwrap();
    let word = |shown: &Shown| match shown {
        Shown::Track(number) => format!("track {number}"),
        Shown::Blank(why) => why.words().en,
    };
    let spans = pane.picture.iter();
    spans
        .map(|it| (word(&it.value), it.from / 1_000, it.to / 1_000))
        .collect()
}

fn at(word: &str, from: u64, to: u64) -> (String, u64, u64) {
    (word.to_owned(), from, to)
}

#[test]
fn a_pane_says_what_is_and_why_nothing_is() {
    let camera = track(1, "customer", Media::Video, 1_000, &steady(0, 4_000));
    let voice = track(2, "customer", Media::Audio, 2_000, &steady(0, 6_000));
    let gap = video_gap("customer", 3_000, 500, "frames-missing");
    let plan = planned(vec![camera, voice], vec![gap], 10_000);
    assert_eq!(
        told(&plan, "customer"),
        [
            at("not yet joined", 0, 1_000),
            at("track 1", 1_000, 3_000),
            at("gap: frames-missing", 3_000, 3_500),
            at("track 1", 3_500, 5_000),
            at("no picture: camera off", 5_000, 8_000),
            at("left", 8_000, 10_000),
        ]
    );
    assert_eq!(told(&plan, "agent"), [at("not yet joined", 0, 10_000)]);
    let notes = &plan.panes[1].notes;
    assert_eq!((notes[0].from, notes[0].to), (3_000_000, 5_000_000));
}

#[test]
fn a_frame_is_held_as_long_as_a_hole_may_last_and_no_longer() {
    let mut frames = steady(0, 2_000);
    frames.extend(steady(5_000, 6_000));
    let plan = planned(
        vec![track(1, "agent", Media::Video, 0, &frames)],
        Vec::new(),
        6_000,
    );
    assert_eq!(
        told(&plan, "agent"),
        [
            at("track 1", 0, 2_960),
            at("no picture, no sound", 2_960, 5_000),
            at("track 1", 5_000, 6_000),
        ]
    );
}

#[test]
fn a_new_size_is_a_new_track_and_what_was_before_the_start_is_not_shown() {
    let wide = track(1, "agent", Media::Video, -500, &steady(0, 3_000));
    let tall = track(2, "agent", Media::Video, 2_400, &steady(0, 2_600));
    let plan = planned(vec![wide, tall], Vec::new(), 5_000);
    assert_eq!(
        told(&plan, "agent"),
        [at("track 1", 0, 2_400), at("track 2", 2_400, 5_000)]
    );
    assert_eq!(plan.placed[&1].start_us, -500_000);
    assert_eq!(plan.placed[&1].at(5_000_000), 0);
    assert_eq!(plan.placed[&1].at(6_000_000), 500_000);
}

#[test]
fn limits_are_kept() {
    let none = BTreeMap::new();
    let empty = manifest(Vec::new(), Vec::new(), 0);
    assert_eq!(plan(&empty, &none), Err(PlanError::Empty));
    let long = manifest(Vec::new(), Vec::new(), LENGTH_MS_MAX + 1);
    assert_eq!(
        plan(&long, &none),
        Err(PlanError::TooLong(LENGTH_MS_MAX + 1))
    );
    let tracks = ["x", "y"].map(|it| track(1, it, Media::Video, 0, &[0]).0);
    let many = manifest(tracks.to_vec(), Vec::new(), 1_000);
    assert_eq!(plan(&many, &none), Err(PlanError::Parties(4)));
    assert_eq!(
        frame_times(b"timestamp_us,bytes,key\n7,1,1\n9,2,0\n"),
        Some(vec![7, 9])
    );
    for bad in ["", "7,1,1\n", "timestamp_us,bytes,key\nx,1,1\n"] {
        assert_eq!(frame_times(bad.as_bytes()), None, "{bad:?}");
    }
}

#[test]
fn whatever_a_package_states_nothing_is_left_unsaid() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let length_ms = 1 + dice.below(20_000);
        let mut tracks = Vec::new();
        for number in 1..=dice.below(7) as u32 {
            let party = ["agent", "customer", "expert"][dice.below(3) as usize];
            let media = [Media::Video, Media::Audio][dice.below(2) as usize];
            let mut frames = vec![0];
            for _ in 0..dice.below(60) {
                let hole = if dice.below(8) == 0 { 3_000 } else { 100 };
                let next = frames.last().unwrap() + 1 + dice.below(hole);
                frames.push(next);
            }
            let at_ms = dice.below(20_000) as i64 - 2_000;
            tracks.push(track(number, party, media, at_ms, &frames));
        }
        let mut gaps = Vec::new();
        for _ in 0..dice.below(4) {
            let party = ["agent", "customer"][dice.below(2) as usize];
            let mut gap = video_gap(party, dice.below(25_000), dice.below(4_000), "io-error");
            gap.media = [Media::Video, Media::Audio][dice.below(2) as usize];
            gaps.push(gap);
        }
        let plan = planned(tracks.clone(), gaps.clone(), length_ms);
        let shown_us = GAP_SHOWN_MS_MIN * 1_000;
        for pane in &plan.panes {
            // The whole call, without a hole, and a word or a picture at each instant.
            let mut end = 0;
            for span in &pane.picture {
                assert_eq!(span.from, end, "seed {seed}");
                assert!(span.to > span.from, "seed {seed}");
                end = span.to;
                match &span.value {
                    Shown::Blank(why) => assert!(!why.words().zh.is_empty()),
                    // Only its own party's picture, and only in its life.
                    Shown::Track(number) => {
                        let (track, _) = &tracks[*number as usize - 1];
                        assert_eq!((&track.party, track.media), (&pane.party, Media::Video));
                        let placed = plan.placed[number];
                        let life = placed.at(track.first_us)..=placed.at(track.end_us);
                        assert!(
                            life.contains(&span.from) && life.contains(&span.to),
                            "seed {seed}"
                        );
                    }
                }
            }
            assert_eq!(end, plan.length_us, "seed {seed}");
            assert_eq!(pane.sound.last().unwrap().to, plan.length_us);
        }
        for gap in &gaps {
            let pane = plan
                .panes
                .iter()
                .find(|pane| pane.party == gap.party)
                .unwrap();
            let long = (gap.length_ms * 1_000).max(shown_us).min(plan.length_us);
            let from = (gap.from_ms * 1_000).min(plan.length_us.saturating_sub(shown_us));
            let note = pane.notes.iter().find(|note| {
                note.from == from && note.to - note.from >= long.min(plan.length_us - from)
            });
            let note = note.unwrap_or_else(|| panic!("seed {seed}: {gap:?} is not said"));
            assert!(note.value.en.contains("io-error"));
            // In a gap of picture no picture is shown.
            let (start, stop) = stretch(gap);
            let hidden = pane
                .picture
                .iter()
                .filter(|span| gap.media == Media::Video && span.from < stop && span.to > start);
            for span in hidden {
                assert!(
                    matches!(span.value, Shown::Blank(Why::Gap(_))),
                    "seed {seed}"
                );
            }
        }
    }
}
