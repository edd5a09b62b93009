//! Tracks: their lists and trees, their sums, and that every hole is declared.

use std::collections::{BTreeMap, BTreeSet};

use guitai_types::Hex;

use super::{Package, media};
use crate::{
    canonical, layout,
    manifest::{File, Gap, Manifest, Media, Track},
    report::{Check, Findings},
    tree,
};

pub(super) fn check(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    let files: BTreeMap<&str, &File> = manifest
        .files
        .iter()
        .map(|f| (f.path.as_str(), f))
        .collect();
    for (index, track) in manifest.tracks.iter().enumerate() {
        if track.number as usize != index + 1 {
            findings.fault(
                Check::Tracks,
                layout::MANIFEST,
                "tracks are not numbered from 1",
            );
        }
        if let Err((file, fault)) = track_holds(package, track, &files) {
            findings.fault(Check::Tracks, &file, fault);
        }
    }
    media::check(package, manifest, findings);
    strays(manifest, &files, findings);
    let segments: usize = manifest
        .tracks
        .iter()
        .map(|track| track.segments.len())
        .sum();
    let detail = format!("{} tracks, {segments} segments", manifest.tracks.len());
    findings.holds_unless_faulty(Check::Tracks, detail);

    continuity(manifest, findings);
    let detail = format!("{} gaps declared, no other hole", manifest.gaps.len());
    findings.holds_unless_faulty(Check::Continuity, detail);

    let declared = package
        .read(layout::GAPS)
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            canonical::from_bytes::<Vec<Gap>>(&bytes).map_err(|error| error.to_string())
        });
    match declared {
        Ok(gaps) if gaps == manifest.gaps => {}
        Ok(_) => findings.fault(
            Check::Gaps,
            layout::GAPS,
            "differs from the gaps of the manifest",
        ),
        Err(fault) => findings.fault(Check::Gaps, layout::GAPS, fault),
    }
    findings.holds_unless_faulty(Check::Gaps, format!("{} gaps", manifest.gaps.len()));
}

/// One track: its files are listed, its list and root are those of the files, its sums are right.
fn track_holds(
    package: &Package,
    track: &Track,
    files: &BTreeMap<&str, &File>,
) -> Result<(), (String, String)> {
    let in_manifest = |fault: &str| {
        (
            layout::MANIFEST.to_owned(),
            format!("track {}: {fault}", track.number),
        )
    };
    let mut lines = String::new();
    let mut bytes = 0u64;
    let segments = track
        .segments
        .iter()
        .map(|s| layout::segment(track.number, s.number));
    for path in [layout::init(track.number)].into_iter().chain(segments) {
        let Some(file) = files.get(path.as_str()) else {
            return Err((path, "is a part of a track and is not listed".to_owned()));
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        lines.push_str(&format!("{}  {name}\n", file.sm3));
        if name != "init.mp4" {
            bytes = bytes.saturating_add(file.size);
        }
    }
    let list = layout::tree(track.number);
    let frames = layout::frames(track.number);
    if !files.contains_key(frames.as_str()) {
        return Err((frames, "is a part of a track and is not listed".to_owned()));
    }
    match package.read(&list) {
        Ok(content) if content == lines.as_bytes() => {}
        Ok(_) => return Err((list, "is not the list of the track's files".to_owned())),
        Err(error) => return Err((list, error.to_string())),
    }
    if Hex(tree::root_of_lines(lines.lines()).to_vec()) != track.root {
        return Err(in_manifest("its root is not that of its files"));
    }
    let numbered = track
        .segments
        .iter()
        .zip(1u32..)
        .all(|(segment, number)| segment.number == number);
    let frames = track
        .segments
        .iter()
        .map(|segment| u64::from(segment.frames))
        .sum::<u64>();
    let ends = track.segments.first().zip(track.segments.last());
    let spans = ends.is_some_and(|(first, last)| {
        (first.first_us, last.end_us) == (track.first_us, track.end_us)
    });
    let ordered = track
        .segments
        .iter()
        .all(|segment| segment.first_us <= segment.end_us);
    if !numbered {
        Err(in_manifest(
            "segments are not numbered from 1 without a gap",
        ))
    } else if frames != track.frames || bytes != track.bytes {
        Err(in_manifest(
            "frames or bytes are not the sum of its segments",
        ))
    } else if !spans
        || !ordered
        || track.duration_ms != track.end_us.saturating_sub(track.first_us) / 1000
    {
        Err(in_manifest("times are not those of its segments"))
    } else {
        Ok(())
    }
}

/// Paths of every file of a track.
fn parts(track: &Track) -> impl Iterator<Item = String> {
    let number = track.number;
    let segments = track.segments.iter();
    let segments = segments.map(move |segment| layout::segment(number, segment.number));
    [
        layout::init(number),
        layout::tree(number),
        layout::frames(number),
    ]
    .into_iter()
    .chain(segments)
}

/// Files under `tracks/` that belong to no track.
fn strays(manifest: &Manifest, files: &BTreeMap<&str, &File>, findings: &mut Findings) {
    let owned: BTreeSet<String> = manifest.tracks.iter().flat_map(parts).collect();
    for path in files
        .keys()
        .filter(|path| path.starts_with("tracks/") && !owned.contains(**path))
    {
        findings.fault(Check::Tracks, path, "belongs to no track");
    }
}

/// Every hole inside a track, between tracks, and every missing track must be declared.
fn continuity(manifest: &Manifest, findings: &mut Findings) {
    let mut undeclared = |text: String| findings.fault(Check::Continuity, layout::MANIFEST, text);
    for track in &manifest.tracks {
        let number = track.number;
        for pair in track.segments.windows(2) {
            let [before, after] = pair else { continue };
            let hole = before.end_us.abs_diff(after.first_us);
            let declared = manifest.gaps.iter().any(|gap| {
                gap.track == Some(number)
                    && gap.segment == Some(before.number)
                    && gap.resumed == Some(number)
            });
            if hole > track.media.hole_us_max() && !declared {
                let segment = before.number;
                undeclared(format!(
                    "track {number}: {hole} µs missing after segment {segment}"
                ));
            }
        }
    }
    for gap in &manifest.gaps {
        if let Some(fault) = names_nothing(manifest, gap) {
            undeclared(fault);
        }
    }
    for party in ["customer", "agent"] {
        for media in [Media::Video, Media::Audio] {
            let is = |p: &str, m: Media| p == party && m == media;
            let tracks = || {
                manifest
                    .tracks
                    .iter()
                    .filter(|track| is(&track.party, track.media))
            };
            let gaps = || manifest.gaps.iter().filter(|gap| is(&gap.party, gap.media));
            for track in tracks().skip(1) {
                if !gaps().any(|gap| gap.resumed == Some(track.number)) {
                    undeclared(format!("track {} begins again undeclared", track.number));
                }
            }
            if tracks().next().is_none() && gaps().next().is_none() {
                undeclared(format!("no {} of the {party}, undeclared", media.as_str()));
            }
        }
    }
}

/// What a gap names is there, and of its party and medium.
fn names_nothing(manifest: &Manifest, gap: &Gap) -> Option<String> {
    let find = |number: u32| {
        let mut tracks = manifest.tracks.iter();
        tracks.find(|it| it.number == number && it.party == gap.party && it.media == gap.media)
    };
    let named = gap.track.into_iter().chain(gap.resumed);
    if let Some(number) = named.into_iter().find(|number| find(*number).is_none()) {
        let (party, media) = (&gap.party, gap.media.as_str());
        return Some(format!(
            "a gap of {media} of the {party} names a track {number}"
        ));
    }
    let segments = gap
        .track
        .and_then(find)
        .map_or(0, |it| it.segments.len() as u64);
    let segment = gap
        .segment
        .filter(|it| *it == 0 || u64::from(*it) > segments);
    segment.map(|segment| format!("a gap names a segment {segment} that is not there"))
}
