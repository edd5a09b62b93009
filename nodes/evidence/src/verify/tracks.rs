//! Tracks: their lists and trees, their sums, and that every hole is declared.

use std::collections::{BTreeMap, BTreeSet};

use guitai_types::Hex;

use super::{Package, media};
use crate::{
    canonical, layout,
    manifest::{File, Gap, Manifest, Media, SEGMENT_LOST, TRACK_LOST, Track},
    report::{Check, Findings},
    tree,
};

pub(super) fn check(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    let files: BTreeMap<&str, &File> = manifest
        .files
        .iter()
        .map(|f| (f.path.as_str(), f))
        .collect();
    if let Some(fault) = misnumbered(manifest) {
        findings.fault(Check::Tracks, layout::MANIFEST, fault);
    }
    for track in &manifest.tracks {
        if let Err((file, fault)) = track_holds(package, manifest, track, &files) {
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

/// Tracks are numbered from 1; in a package that may lack some, each that is missing between them is declared.
fn misnumbered(manifest: &Manifest) -> Option<&'static str> {
    let mut missing = 0_u64;
    let mut last = 0;
    for track in &manifest.tracks {
        if track.number <= last {
            return Some("tracks are not numbered from 1");
        }
        missing += u64::from(track.number - last - 1);
        last = track.number;
    }
    let declared = manifest.gaps.iter().filter(|it| it.cause == TRACK_LOST);
    let is_declared = manifest.may_lack() && missing <= declared.count() as u64;
    (missing > 0 && !is_declared).then_some("tracks are not numbered from 1")
}

/// Segments are numbered from 1 without a gap; in a package that may lack some, each hole is declared in its place.
fn is_numbered(manifest: &Manifest, track: &Track) -> bool {
    let mut last = 0;
    track.segments.iter().all(|segment| {
        let before = std::mem::replace(&mut last, segment.number);
        let is_next = Some(segment.number) == before.checked_add(1);
        is_next || (segment.number > before && declares_loss(manifest, track.number, before))
    })
}

/// Whether a gap says that segments after `before` of the track are lost; 0 is before the first.
fn declares_loss(manifest: &Manifest, track: u32, before: u32) -> bool {
    let after = (before > 0).then_some(before);
    manifest.may_lack()
        && manifest.gaps.iter().any(|gap| {
            let place = (gap.track, gap.segment, gap.resumed);
            gap.cause == SEGMENT_LOST && place == (after.map(|_| track), after, Some(track))
        })
}

/// One track: its files are listed, its list and root are those of the files, its sums are right.
fn track_holds(
    package: &Package,
    manifest: &Manifest,
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
    let frames = track
        .segments
        .iter()
        .map(|segment| u64::from(segment.frames))
        .sum::<u64>();
    let ends = track.segments.first().zip(track.segments.last());
    let spans = ends.is_some_and(|(first, last)| {
        // Times of a track are counted from its first frame, lost or not.
        let begins = if first.number > 1 {
            track.first_us < first.first_us
        } else {
            track.first_us == first.first_us
        };
        begins && last.end_us == track.end_us
    });
    let ordered = track
        .segments
        .iter()
        .all(|segment| segment.first_us <= segment.end_us);
    if !is_numbered(manifest, track) {
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
    let track = gap.track.and_then(find);
    let is_there = |number: &u32| {
        let mut segments = track.into_iter().flat_map(|track| &track.segments);
        segments.any(|segment| segment.number == *number)
    };
    let segment = gap.segment.filter(|number| !is_there(number));
    segment.map(|segment| format!("a gap names a segment {segment} that is not there"))
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        UnixMillis,
        record::{EndReason, Policy},
    };

    use super::*;
    use crate::manifest::{FORMAT, FORMAT_4, Named, Segment, SessionFacts};

    fn manifest(format: &str, tracks: &[(u32, &[u32])], gaps: Vec<Gap>) -> Manifest {
        let segment = |number: &u32| Segment {
            number: *number,
            frames: 1,
            first_us: 0,
            end_us: 0,
            key: true,
            assignment: 1,
            epoch: Default::default(),
        };
        let track = |(number, segments): &(u32, &[u32])| Track {
            number: *number,
            party: "customer".to_owned(),
            media: Media::Video,
            broadcast: String::new(),
            codec: String::new(),
            width: 0,
            height: 0,
            sample_rate: 0,
            channels: 0,
            started_at: UnixMillis(0),
            first_us: 0,
            end_us: 0,
            duration_ms: 0,
            frames: 0,
            bytes: 0,
            refused: 0,
            segments: segments.iter().map(segment).collect(),
            root: Hex::default(),
        };
        Manifest {
            format: format.to_owned(),
            cluster: "c1".parse().unwrap(),
            institution: Named {
                id: "bank".parse().unwrap(),
                name: Default::default(),
            },
            session: SessionFacts {
                id: "5e55".parse().unwrap(),
                ticket: "71c4".parse().unwrap(),
                queue: "wealth".parse().unwrap(),
                edge: "edge-a1".parse().unwrap(),
                epoch: Default::default(),
                started_at: UnixMillis(0),
                ended_at: None,
                end_reason: Some(EndReason::CustomerHungUp),
            },
            participants: Vec::new(),
            consent: None,
            policy: Policy::default(),
            steps: Vec::new(),
            events: 0,
            tracks: tracks.iter().map(track).collect(),
            playable: Vec::new(),
            gaps,
            assignments: Vec::new(),
            disowned: Vec::new(),
            recorder: "a1-2".parse().unwrap(),
            started_at: UnixMillis(0),
            sealed_at: UnixMillis(0),
            files: Vec::new(),
            root: Hex::default(),
        }
    }

    fn gap(cause: &str, track: Option<u32>, segment: Option<u32>, resumed: Option<u32>) -> Gap {
        Gap {
            party: "customer".to_owned(),
            media: Media::Video,
            from_ms: 0,
            length_ms: 1,
            cause: cause.to_owned(),
            track,
            segment,
            resumed,
            assignment: None,
        }
    }

    /// Whether tracks and segments are numbered as they may be.
    fn holds(format: &str, tracks: &[(u32, &[u32])], gaps: Vec<Gap>) -> bool {
        let manifest = manifest(format, tracks, gaps);
        let mut tracks = manifest.tracks.iter();
        misnumbered(&manifest).is_none() && tracks.all(|track| is_numbered(&manifest, track))
    }

    #[test]
    fn a_missing_number_must_be_declared_in_its_place_and_only_format_4_may_lack_one() {
        let inside = || vec![gap(SEGMENT_LOST, Some(1), Some(1), Some(1))];
        assert!(holds(FORMAT, &[(1, &[1, 2, 3])], vec![]));
        assert!(holds(FORMAT_4, &[(1, &[1, 3])], inside()));
        assert!(!holds(FORMAT, &[(1, &[1, 3])], inside()), "format 3");
        assert!(!holds(FORMAT_4, &[(1, &[1, 3])], vec![]), "undeclared");
        assert!(!holds(FORMAT_4, &[(1, &[1, 2, 4])], inside()), "elsewhere");
        let other = vec![gap("frames-missing", Some(1), Some(1), Some(1))];
        assert!(!holds(FORMAT_4, &[(1, &[1, 3])], other), "another cause");
        let first = || vec![gap(SEGMENT_LOST, None, None, Some(1))];
        assert!(holds(FORMAT_4, &[(1, &[2, 3])], first()));
        assert!(!holds(FORMAT_4, &[(1, &[2, 3])], inside()));
        for numbers in [&[1, 1][..], &[2, 1], &[1, 3, 2]] {
            let gaps = [first(), inside()].concat();
            assert!(!holds(FORMAT_4, &[(1, numbers)], gaps), "{numbers:?}");
        }
    }

    #[test]
    fn a_missing_track_needs_a_gap_of_its_own() {
        let lost = || gap(TRACK_LOST, None, None, None);
        let tracks = |numbers: [u32; 2]| numbers.map(|number| (number, &[1][..]));
        assert!(holds(FORMAT_4, &tracks([1, 3]), vec![lost()]));
        assert!(!holds(FORMAT, &tracks([1, 3]), vec![lost()]));
        assert!(!holds(FORMAT_4, &tracks([1, 3]), vec![]));
        assert!(!holds(FORMAT_4, &tracks([1, 4]), vec![lost()]));
        assert!(holds(FORMAT_4, &tracks([2, 4]), vec![lost(), lost()]));
        assert!(!holds(FORMAT_4, &tracks([2, 2]), vec![lost(), lost()]));
    }
}
