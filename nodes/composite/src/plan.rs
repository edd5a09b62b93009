//! Decides what the film shows and plays when, from the manifest, the frame logs and the declared gaps. No I/O
//! and no clock: the time line is the session's, in microseconds from its start, and frames are on it where the
//! recorder's clock puts their track (`started_at`, by the least delay seen) and the publisher's clock the
//! frame within it. So the time that is burnt in is the recorder's, and never that of whoever makes the film.

use std::collections::BTreeMap;

use guitai_evidence::{
    composite::{LENGTH_MS_MAX, Placed, length_us},
    manifest::{Gap, Manifest, Media, Track},
};
use guitai_types::{UnixMillis, place::Text};

pub use crate::line::Span;
use crate::{line::Line, words};

/// A frame is shown for this long at most, in microseconds: the longest hole of a picture that no package has
/// to declare.
pub const HELD_US_MAX: u64 = Media::Video.hole_us_max();
/// A gap is named in the picture for at least this long, in milliseconds, however short it is.
pub const GAP_SHOWN_MS_MIN: u64 = 2_000;
/// Most parties in a picture.
pub const PARTIES_MAX: usize = 3;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Past [`LENGTH_MS_MAX`].
    #[error("the call has {0} ms, LENGTH_MS_MAX is {LENGTH_MS_MAX}")]
    TooLong(u64),
    /// Past [`PARTIES_MAX`].
    #[error("{0} parties have media, PARTIES_MAX is {PARTIES_MAX}")]
    Parties(usize),
    /// Not a log of frames.
    #[error("the frame log of track {0} cannot be read")]
    Log(u32),
    /// There is no instant to show.
    #[error("the call has no length")]
    Empty,
}

/// What the film shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// When time 0 was.
    pub started_at: UnixMillis,
    /// The film's length in microseconds.
    pub length_us: u64,
    /// Agent, customer, and a third party if there is one.
    pub panes: Vec<Pane>,
    /// Where each track that is used is on the time line, by its number.
    pub placed: BTreeMap<u32, Placed>,
}

/// What is shown and played of one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pane {
    /// Role, as tracks name it.
    pub party: String,
    /// Name, as the others saw it; empty if the package has none.
    pub name: String,
    /// The picture from begin to end, without a hole.
    pub picture: Vec<Span<Shown>>,
    /// Which track is heard, from begin to end, without a hole.
    pub sound: Vec<Span<Option<u32>>>,
    /// Words over the picture: declared gaps.
    pub notes: Vec<Span<Text>>,
}

/// What a pane shows at an instant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// The newest frame of this track.
    Track(u32),
    /// Words.
    Blank(Why),
}

/// Why there is no picture.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Nothing came of the party yet.
    NotJoined,
    /// Nothing comes of the party any more.
    Left,
    /// Sound comes, and no picture.
    CameraOff,
    /// Neither comes.
    NothingSent,
    /// A declared gap, with its cause.
    Gap(String),
}

/// The frames' timestamps in `frames.csv`.
#[must_use]
pub fn frame_times(log: &[u8]) -> Option<Vec<u64>> {
    let text = std::str::from_utf8(log).ok()?;
    let lines = text.strip_prefix(guitai_evidence::layout::FRAMES_HEADER)?;
    let time = |line: &str| line.split(',').next()?.parse().ok();
    lines.lines().map(time).collect()
}

/// Plans the film of a package. `logs` gives the frames' timestamps by track; a track without a log has no
/// frame to show.
pub fn plan(manifest: &Manifest, logs: &BTreeMap<u32, Vec<u64>>) -> Result<Plan, PlanError> {
    let started_at = manifest.session.started_at;
    let parties = parties(manifest);
    if parties.len() > PARTIES_MAX {
        return Err(PlanError::Parties(parties.len()));
    }
    let placed: BTreeMap<u32, Placed> = manifest
        .tracks
        .iter()
        .map(|track| (track.number, Placed::of(track, started_at)))
        .collect();
    let length_us = length_us(manifest);
    if length_us == 0 {
        return Err(PlanError::Empty);
    }
    if length_us > LENGTH_MS_MAX * 1_000 {
        return Err(PlanError::TooLong(length_us / 1_000));
    }
    let pane = |party: &String| {
        let named = manifest.participants.iter().find(|it| it.role == *party);
        let lane = |media| lane(manifest, party, media, &placed, logs);
        let (pictures, sounds) = (lane(Media::Video), lane(Media::Audio));
        let gaps: Vec<&Gap> = manifest
            .gaps
            .iter()
            .filter(|it| it.party == *party)
            .collect();
        Pane {
            party: party.clone(),
            name: named.map_or_else(String::new, |it| it.display.clone()),
            picture: picture(length_us, &pictures, &sounds, &gaps),
            sound: sound(length_us, &sounds),
            notes: notes(length_us, &gaps),
        }
    };
    Ok(Plan {
        started_at,
        length_us,
        panes: parties.iter().map(pane).collect(),
        placed,
    })
}

/// Agent and customer, and whoever else has media, by name.
fn parties(manifest: &Manifest) -> Vec<String> {
    let mut parties = vec!["agent".to_owned(), "customer".to_owned()];
    let mut others: Vec<&String> = manifest.tracks.iter().map(|track| &track.party).collect();
    others.sort();
    for other in others {
        if !parties.contains(other) {
            parties.push(other.clone());
        }
    }
    parties
}

/// A stretch of a track in which frames follow each other.
struct Run {
    track: u32,
    from: u64,
    to: u64,
}

/// The runs of a party's medium, those of a later track after those of an earlier one.
fn lane(
    manifest: &Manifest,
    party: &str,
    media: Media,
    placed: &BTreeMap<u32, Placed>,
    logs: &BTreeMap<u32, Vec<u64>>,
) -> Vec<Run> {
    let mut tracks: Vec<(&Track, Placed, &Vec<u64>)> = manifest
        .tracks
        .iter()
        .filter(|track| track.party == party && track.media == media)
        .filter_map(|it| Some((it, *placed.get(&it.number)?, logs.get(&it.number)?)))
        .collect();
    tracks.sort_by_key(|(track, placed, _)| (placed.start_us, track.number));
    let mut runs = Vec::new();
    for (track, placed, times) in tracks {
        runs.extend(of_track(track, placed, times));
    }
    runs
}

/// A frame is there until the next one, but no longer than a medium may stand still; the last one to the
/// track's end, within the same bound.
fn of_track(track: &Track, placed: Placed, times: &[u64]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let nexts = times.iter().skip(1).copied().chain([track.end_us]);
    for (time, next) in times.iter().zip(nexts) {
        if !(track.first_us..=track.end_us).contains(time) {
            continue;
        }
        let held = time.saturating_add(track.media.hole_us_max());
        let (from, to) = (
            placed.at(*time),
            placed.at(next.min(held).min(track.end_us)),
        );
        match runs.last_mut() {
            Some(run) if run.to >= from => run.to = run.to.max(to),
            _ => runs.push(Run {
                track: track.number,
                from,
                to,
            }),
        }
    }
    runs
}

fn picture(length_us: u64, pictures: &[Run], sounds: &[Run], gaps: &[&Gap]) -> Vec<Span<Shown>> {
    let all = || pictures.iter().chain(sounds);
    let mut line = Line::new(length_us, Shown::Blank(Why::NotJoined));
    if let Some(first) = all().map(|run| run.from).min() {
        let last = all().map(|run| run.to).max().unwrap_or(first);
        line.paint(first, last, Shown::Blank(Why::NothingSent));
        line.paint(last, length_us, Shown::Blank(Why::Left));
    }
    for run in sounds {
        line.paint(run.from, run.to, Shown::Blank(Why::CameraOff));
    }
    for run in pictures {
        line.paint(run.from, run.to, Shown::Track(run.track));
    }
    for gap in gaps.iter().filter(|gap| gap.media == Media::Video) {
        let (from, to) = stretch(gap);
        line.paint(from, to, Shown::Blank(Why::Gap(gap.cause.clone())));
    }
    line.spans()
}

fn sound(length_us: u64, sounds: &[Run]) -> Vec<Span<Option<u32>>> {
    let mut line = Line::new(length_us, None);
    for run in sounds {
        line.paint(run.from, run.to, Some(run.track));
    }
    line.spans()
}

/// Every declared gap, long enough to be read, in the order in which they begin. One at the very end is moved
/// forward, so that it is still seen.
fn notes(length_us: u64, gaps: &[&Gap]) -> Vec<Span<Text>> {
    let shown_us = GAP_SHOWN_MS_MIN * 1_000;
    let note = |gap: &&Gap| {
        let (from, to) = stretch(gap);
        let from = from.min(length_us.saturating_sub(shown_us));
        let value = match gap.media {
            Media::Video => Why::Gap(gap.cause.clone()).words(),
            Media::Audio => words::sound_gap(&gap.cause),
        };
        Span {
            from,
            to: to.max(from.saturating_add(shown_us)).min(length_us),
            value,
        }
    };
    let mut notes: Vec<Span<Text>> = gaps.iter().map(note).collect();
    notes.sort_by_key(|note| (note.from, note.to));
    notes
}

fn stretch(gap: &Gap) -> (u64, u64) {
    let from = gap.from_ms.saturating_mul(1_000);
    (
        from,
        from.saturating_add(gap.length_ms.saturating_mul(1_000)),
    )
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(crate) mod tests;
