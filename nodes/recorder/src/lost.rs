//! Segments that were durable once and cannot be read when the recording is to be sealed: the disk lost or spoilt them.
//! The recording is sealed without them, and says so; otherwise nobody would ever get the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use guitai_evidence::manifest::{Gap, SEGMENT_LOST, TRACK_LOST};
use guitai_types::UnixMillis;

use crate::{
    take::{SegmentRecord, TrackRecord},
    vault::Vault,
};

/// Track and number of each.
pub(crate) type Lost = BTreeSet<(u32, u32)>;

/// Reads every segment through. One that is not there, or does not open, is lost; a disk that fails otherwise may be
/// better the next time, unless `is_final`.
///
/// # Errors
/// The first such failure, with its place.
pub(crate) fn find(
    vault: &Vault,
    journal: &[SegmentRecord],
    is_final: bool,
) -> Result<Lost, (u32, u32, io::Error)> {
    let mut lost = Lost::new();
    for segment in journal {
        let (track, number) = (segment.track, segment.number);
        let Err(error) = vault.segment(track, number) else {
            continue;
        };
        let gone = [io::ErrorKind::NotFound, io::ErrorKind::InvalidData];
        if !is_final && !gone.contains(&error.kind()) {
            return Err((track, number, error));
        }
        tracing::error!(track, number, %error, "a segment is lost; the recording is sealed without it");
        lost.insert((track, number));
    }
    Ok(lost)
}

/// What is said of the lost segments, and the other gaps as far as they speak of them.
pub(crate) fn declare(
    gaps: Vec<Gap>,
    journal: &[SegmentRecord],
    lost: &Lost,
    session_started: UnixMillis,
) -> Vec<Gap> {
    if lost.is_empty() {
        return gaps;
    }
    let kept = Kept::of(journal, lost);
    let mut all: Vec<Gap> = gaps.into_iter().map(|gap| kept.speak(gap)).collect();
    let opened = |number: u32| {
        let mut records = journal.iter().filter_map(|it| it.opens.as_ref());
        records.find(|record| record.number == number)
    };
    for run in runs(journal, lost) {
        let Some(record) = run.first().and_then(|first| opened(first.track)) else {
            continue;
        };
        all.push(kept.gap(record, &run, session_started));
    }
    all
}

/// Neighbouring lost segments of one track.
fn runs<'a>(journal: &'a [SegmentRecord], lost: &Lost) -> Vec<Vec<&'a SegmentRecord>> {
    let mut tracks: BTreeMap<u32, Vec<&SegmentRecord>> = BTreeMap::new();
    for segment in journal {
        tracks.entry(segment.track).or_default().push(segment);
    }
    let mut runs: Vec<Vec<&SegmentRecord>> = Vec::new();
    for segments in tracks.values() {
        let mut is_open = false;
        for segment in segments {
            let is_lost = lost.contains(&(segment.track, segment.number));
            match runs.last_mut().filter(|_| is_lost && is_open) {
                Some(run) => run.push(segment),
                None if is_lost => runs.push(vec![segment]),
                None => {}
            }
            is_open = is_lost;
        }
    }
    runs
}

/// Numbers of the segments that are left, by track.
struct Kept(BTreeMap<u32, BTreeSet<u32>>);

impl Kept {
    fn of(journal: &[SegmentRecord], lost: &Lost) -> Self {
        let mut kept: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for segment in journal {
            if !lost.contains(&(segment.track, segment.number)) {
                kept.entry(segment.track)
                    .or_default()
                    .insert(segment.number);
            }
        }
        Self(kept)
    }

    /// The last one that is left up to that number.
    fn up_to(&self, track: u32, number: u32) -> Option<u32> {
        self.0.get(&track)?.range(..=number).next_back().copied()
    }

    /// A gap that was written when all was there names only what is left.
    fn speak(&self, gap: Gap) -> Gap {
        let is_left = |track: &u32| self.0.contains_key(track);
        let track = gap.track.filter(is_left);
        Gap {
            segment: track
                .zip(gap.segment)
                .and_then(|(track, segment)| self.up_to(track, segment)),
            resumed: gap.resumed.filter(is_left),
            track,
            ..gap
        }
    }

    fn gap(
        &self,
        record: &TrackRecord,
        run: &[&SegmentRecord],
        session_started: UnixMillis,
    ) -> Gap {
        // A run has one segment at least, see `runs`.
        let number = |at: Option<&&SegmentRecord>| at.map_or(0, |segment| segment.number);
        let (first, last) = (number(run.first()), number(run.last()));
        let from_us = run.first().map_or(0, |it| it.first_us);
        let end_us = run.last().map_or(0, |it| it.end_us);
        let left = self.0.get(&record.number);
        let before = self.up_to(record.number, first);
        let goes_on = left.is_some_and(|left| left.range(last..).next().is_some());
        let from_ms = record.started_at.since(session_started);
        let offset_ms = from_us.saturating_sub(record.first_us) / 1000;
        Gap {
            party: record.party.clone(),
            media: record.media,
            from_ms: from_ms.saturating_add(offset_ms),
            length_ms: end_us.saturating_sub(from_us) / 1000,
            cause: left.map_or(TRACK_LOST, |_| SEGMENT_LOST).to_owned(),
            track: before.map(|_| record.number),
            segment: before,
            resumed: goes_on.then_some(record.number),
            assignment: None,
        }
    }
}
