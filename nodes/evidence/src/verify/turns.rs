//! Turns at recording: every segment says in its own bytes which node wrote it under which turn and
//! epoch. One that was written by a node which no longer had a say is refused, unless it is declared.

use std::io::Read as _;

use super::Package;
use crate::{
    header::{HEADER_BYTES_MAX, Header},
    layout,
    manifest::{FORMAT_1, Manifest, Segment, Track},
    report::{Check, Findings},
};

pub(super) fn check(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    let (mut segments, mut disowned) = (0_u64, 0_u64);
    for track in &manifest.tracks {
        for segment in &track.segments {
            segments += 1;
            let path = layout::segment(track.number, segment.number);
            match holds(package, manifest, track, segment) {
                Ok(is_owned) => disowned += u64::from(!is_owned),
                Err(fault) => findings.fault(Check::Turns, &path, fault),
            }
        }
    }
    if !numbered(manifest) {
        findings.fault(
            Check::Turns,
            layout::MANIFEST,
            "turns are not numbered from 1 in the order of their epochs",
        );
    }
    let detail = format!(
        "{} turns, {segments} segments, {disowned} of them declared to be of none",
        manifest.assignments.len()
    );
    findings.holds_unless_faulty(Check::Turns, detail);
}

fn numbered(manifest: &Manifest) -> bool {
    let turns = &manifest.assignments;
    turns
        .iter()
        .zip(1..)
        .all(|(turn, number)| turn.number == number)
        && turns.is_sorted_by_key(|turn| turn.epoch)
        && (manifest.format != FORMAT_1 || turns.is_empty() && manifest.disowned.is_empty())
}

/// Whether a segment is of the recorder's turn; a fault if it is not and that is not declared.
fn holds(
    package: &Package,
    manifest: &Manifest,
    track: &Track,
    segment: &Segment,
) -> Result<bool, String> {
    let path = layout::segment(track.number, segment.number);
    let mut start = Vec::new();
    let (file, _) = package.open(&path).map_err(|error| error.to_string())?;
    let read = file.take(HEADER_BYTES_MAX as u64).read_to_end(&mut start);
    read.map_err(|error| error.to_string())?;
    let found = Header::parse(&start).map_err(|error| error.to_string())?;
    let found = found.map(|(header, _)| header);
    if segment.assignment == 0 {
        // Written by a release whose segments had no header.
        return match found {
            None => Ok(true),
            Some(_) => Err("has a header, and the manifest names no turn for it".to_owned()),
        };
    }
    let stated = Header {
        session: manifest.session.id.clone(),
        node: manifest.recorder.clone(),
        epoch: segment.epoch,
        assignment: segment.assignment,
        track: track.number,
        segment: segment.number,
    };
    if found.as_ref() != Some(&stated) {
        return Err("its header is not what the manifest states".to_owned());
    }
    let declared = manifest
        .disowned
        .iter()
        .any(|it| it.track == track.number && (it.from..=it.to).contains(&segment.number));
    let owned = manifest.owns(segment);
    if owned == declared {
        let (number, epoch) = (segment.assignment, segment.epoch.0);
        let node = &manifest.recorder;
        return Err(if owned {
            format!("is declared to be of no turn, and is of turn {number}")
        } else {
            format!(
                "was written by {node} under turn {number} in epoch {epoch}, which it did not have"
            )
        });
    }
    Ok(owned)
}
