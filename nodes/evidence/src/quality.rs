//! How good what was received is to look at and to hear, told from the frame logs: where the picture stood still, came
//! slowly or small, where the sound broke off. Marks for the one who plays a recording; they prove nothing that the frame
//! logs do not.

use serde::Serialize;

use crate::manifest::{Gap, Manifest, Media, Track};

/// No picture for this long, in milliseconds, and it stands still to the eye.
const FROZEN_MS: u64 = 400;
/// No sound for this long, in milliseconds, and a syllable is lost: Opus conceals shorter ones.
const DROPOUT_MS: u64 = 120;
/// Pictures are counted over so long a time, in milliseconds.
const WINDOW_MS: u64 = 2_000;
/// Fewer pictures a second than this are seen to jerk.
const SLOW_FPS: u64 = 8;
/// A picture with less than this part of the pixels that the party's largest has is a small one.
const SMALL_PART: u64 = 2;
/// Marks of one recording; the first tell most.
pub const MARKS_MAX: usize = 2_000;
/// Microseconds of a millisecond.
const MS_US: u64 = 1_000;

/// What is worth a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// The picture stood still.
    Frozen,
    /// The picture came slowly.
    Slow,
    /// The picture was small, as a sender makes it on a bad line.
    Small,
    /// The sound broke off.
    Dropout,
}

/// A time in which it was so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Whose media.
    pub party: String,
    /// Sound or picture.
    pub media: Media,
    /// Where it begins, milliseconds from the session's start.
    pub from_ms: u64,
    /// How long, milliseconds.
    pub length_ms: u64,
    /// What.
    pub flaw: Flaw,
}

/// The marks of a recording, in order; at most [`MARKS_MAX`]. `logs` has each track's number with its frame log
/// (`frames.csv`). What a declared gap covers is not marked again.
#[must_use]
pub fn marks(manifest: &Manifest, logs: &[(u32, &str)]) -> Vec<Mark> {
    let mut marks = Vec::new();
    for track in &manifest.tracks {
        let log = logs.iter().find(|(number, _)| *number == track.number);
        let times: Vec<u64> = log.map_or_else(Vec::new, |(_, log)| times(log));
        let from = track.started_at.since(manifest.session.started_at);
        let found = match track.media {
            Media::Audio => pauses(&times, track.end_us, DROPOUT_MS, Flaw::Dropout),
            Media::Video => picture(&times, track.end_us),
        };
        let small =
            is_small(track, &manifest.tracks).then_some((0, track.duration_ms, Flaw::Small));
        let placed = found
            .into_iter()
            .map(|(at, end, flaw)| {
                let ms = |us: u64| us.saturating_sub(track.first_us) / MS_US;
                (ms(at), ms(end).saturating_sub(ms(at)), flaw)
            })
            .chain(small);
        marks.extend(placed.map(|(at, length_ms, flaw)| Mark {
            party: track.party.clone(),
            media: track.media,
            from_ms: from.saturating_add(at),
            length_ms,
            flaw,
        }));
    }
    marks.retain(|mark| !manifest.gaps.iter().any(|gap| covers(gap, mark)));
    marks.sort_by_key(|mark| (mark.from_ms, mark.flaw));
    marks.truncate(MARKS_MAX);
    marks
}

/// Times of the frames in microseconds; lines that are none are passed over, as the header is.
fn times(log: &str) -> Vec<u64> {
    let first = |line: &str| line.split(',').next()?.parse().ok();
    log.lines().filter_map(first).collect()
}

fn picture(times: &[u64], end_us: u64) -> Vec<(u64, u64, Flaw)> {
    let mut found = pauses(times, end_us, FROZEN_MS, Flaw::Frozen);
    found.extend(slow(times, end_us));
    found
}

/// Where nothing came for at least so long.
fn pauses(times: &[u64], end_us: u64, least_ms: u64, flaw: Flaw) -> Vec<(u64, u64, Flaw)> {
    let next = times.iter().skip(1).copied().chain([end_us]);
    let pairs = times.iter().copied().zip(next);
    let long = |(at, next): &(u64, u64)| next.saturating_sub(*at) >= least_ms * MS_US;
    pairs
        .filter(long)
        .map(|(at, next)| (at, next, flaw))
        .collect()
}

/// Runs of windows in which few pictures came, none of them standing still.
fn slow(times: &[u64], end_us: u64) -> Vec<(u64, u64, Flaw)> {
    let Some(first) = times.first() else {
        return Vec::new();
    };
    let window_us = WINDOW_MS * MS_US;
    let least = SLOW_FPS * WINDOW_MS / 1_000;
    let mut found: Vec<(u64, u64, Flaw)> = Vec::new();
    // The last window is not whole, so it says nothing.
    let windows = end_us.saturating_sub(*first) / window_us;
    for number in 0..windows {
        let from = first + number * window_us;
        let to = from + window_us;
        let inside = times.partition_point(|at| *at < to) - times.partition_point(|at| *at < from);
        if inside as u64 >= least {
            continue;
        }
        match found.last_mut().filter(|(_, end, _)| *end == from) {
            Some((_, end, _)) => *end = to,
            None => found.push((from, to, Flaw::Slow)),
        }
    }
    found
}

fn is_small(track: &Track, all: &[Track]) -> bool {
    let pixels = |track: &Track| u64::from(track.width) * u64::from(track.height);
    let of_party = all.iter().filter(|it| it.party == track.party);
    let largest = of_party.map(pixels).max().unwrap_or(0);
    pixels(track) > 0 && pixels(track).saturating_mul(SMALL_PART) < largest
}

fn covers(gap: &Gap, mark: &Mark) -> bool {
    let is_same = gap.party == mark.party && gap.media == mark.media;
    let end = |from: u64, length: u64| from.saturating_add(length);
    // The last frame before a gap stands until the gap begins: half a second on either side is the gap's.
    let from = gap.from_ms.saturating_sub(FROZEN_MS);
    let to = end(gap.from_ms, gap.length_ms).saturating_add(FROZEN_MS);
    is_same
        && mark.flaw != Flaw::Small
        && mark.from_ms >= from
        && end(mark.from_ms, mark.length_ms) <= to
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(found: &[(u64, u64, Flaw)]) -> Vec<(u64, u64, Flaw)> {
        let ms = found
            .iter()
            .map(|(at, end, flaw)| (at / MS_US, end / MS_US, *flaw));
        ms.collect()
    }

    /// Every `step` milliseconds from `from` up to `to`.
    fn every(step: u64, from: u64, to: u64) -> Vec<u64> {
        (from..to)
            .step_by(step as usize)
            .map(|ms| ms * MS_US)
            .collect()
    }

    #[test]
    fn a_picture_that_stands_still_is_marked_from_its_last_frame_to_the_next() {
        let times = [every(66, 0, 3_000), every(66, 5_000, 8_000)].concat();
        let last = times.iter().rev().find(|at| **at < 3_000 * MS_US).unwrap() / MS_US;
        let found = spans(&pauses(&times, 8_000 * MS_US, FROZEN_MS, Flaw::Frozen));
        assert_eq!(found, [(last, 5_000, Flaw::Frozen)]);
        // One lost frame of fifteen is none.
        let times = [every(66, 0, 660), every(66, 726, 2_000)].concat();
        assert_eq!(pauses(&times, 2_000 * MS_US, FROZEN_MS, Flaw::Frozen), []);
    }

    #[test]
    fn few_pictures_are_marked_as_one_time_and_a_window_that_is_not_whole_says_nothing() {
        let times = [
            every(66, 0, 4_000),
            every(200, 4_000, 10_000),
            every(66, 10_000, 14_500),
        ];
        let found = spans(&slow(&times.concat(), 14_500 * MS_US));
        assert_eq!(found, [(4_000, 10_000, Flaw::Slow)]);
        assert_eq!(slow(&every(66, 0, 1_000), 1_000 * MS_US), []);
        assert_eq!(slow(&[], 5_000 * MS_US), []);
    }

    #[test]
    fn a_frame_log_is_read_and_what_is_no_line_of_one_is_passed_over() {
        let log = format!(
            "{}1000,20,1\n21000,20,0\nnonsense\n",
            crate::layout::FRAMES_HEADER
        );
        assert_eq!(times(&log), [1_000, 21_000]);
    }
}
