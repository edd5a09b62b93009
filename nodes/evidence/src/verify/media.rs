//! Segments by what they say themselves: the frame log repeats it frame by frame, and the playable files are
//! made of them and of nothing else.

use std::{
    collections::BTreeMap,
    io::{self, Read as _},
};

use guitai_crypto::sm3;

use super::{
    Package,
    files::{CHUNK_BYTES, hash_rest},
};
use crate::{
    boxes::{self, Moof, Sample},
    header::Header,
    layout,
    manifest::{Manifest, Media, Playable, Segment, Track},
    report::{Check, Findings},
};

/// Bytes of a segment that hold its header and its `moof`, with room to spare.
const HEAD_BYTES: u64 = boxes::MOOF_BYTES_MAX as u64 + 1024;

/// What segments say, by track and number.
type Said = BTreeMap<(u32, u32), (usize, Moof)>;

pub(super) fn check(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    let mut said = Said::new();
    for track in &manifest.tracks {
        if let Err((path, fault)) = frames(package, track, &mut said) {
            findings.fault(Check::Tracks, &path, fault);
        }
    }
    for playable in &manifest.playable {
        if let Err(fault) = played(package, manifest, playable, &said) {
            findings.fault(Check::Tracks, &playable.file, fault);
        }
    }
}

/// The frame log and the manifest say of each frame what its segment does.
fn frames(package: &Package, track: &Track, said: &mut Said) -> Result<(), (String, String)> {
    let mut log = layout::FRAMES_HEADER.to_owned();
    for segment in &track.segments {
        let path = layout::segment(track.number, segment.number);
        let at = |fault: String| (path.clone(), fault);
        let (begin, moof) = read(package, &path).map_err(at)?;
        let end_us = lines(&mut log, segment.first_us, &moof.samples);
        if !agrees(&moof, track, segment) || end_us != Some(segment.end_us) {
            return Err(at(
                "says another place, time or key frame than the manifest".to_owned(),
            ));
        }
        said.insert((track.number, segment.number), (begin, moof));
    }
    let path = layout::frames(track.number);
    match package.read(&path) {
        Ok(content) if content == log.as_bytes() => Ok(()),
        Ok(_) => Err((
            path,
            "is not what the segments say of their frames".to_owned(),
        )),
        Err(error) => Err((path, error.to_string())),
    }
}

fn agrees(moof: &Moof, track: &Track, segment: &Segment) -> bool {
    moof.sequence == segment.number
        && Some(moof.base_us) == segment.first_us.checked_sub(track.first_us)
        && moof.samples.len() as u64 == u64::from(segment.frames)
        && moof.samples.first().is_some_and(|it| it.key == segment.key)
}

/// Adds a line for each frame; gives the end of the last.
fn lines(log: &mut String, first_us: u64, samples: &[Sample]) -> Option<u64> {
    let mut time = first_us;
    for Sample { us, bytes, key } in samples {
        log.push_str(&layout::frame(time, u64::from(*bytes), *key));
        time = time.checked_add(u64::from(*us))?;
    }
    Some(time)
}

/// Where the `moof` of a segment begins, and what it says.
fn read(package: &Package, path: &str) -> Result<(usize, Moof), String> {
    let (mut content, size) = package.open(path).map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    let read = content.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    read.map_err(|error| error.to_string())?;
    let begin = Header::length(&head);
    let moof = head
        .get(begin..)
        .and_then(|head| Moof::parse(head, size - begin as u64));
    Ok((begin, moof.ok_or("is not in the one form of a segment")?))
}

/// A playable file is what its tracks make.
fn played(
    package: &Package,
    manifest: &Manifest,
    playable: &Playable,
    said: &Said,
) -> Result<(), String> {
    let same = manifest
        .playable
        .iter()
        .filter(|it| it.file == playable.file);
    let listed = manifest.files.iter().find(|it| it.path == playable.file);
    let listed = listed.filter(|_| same.count() == 1 && !playable.file.contains('/'));
    let listed = listed.ok_or("is no playable file that is listed once")?;
    let number = |number: &u32| manifest.tracks.iter().find(|track| track.number == *number);
    let tracks: Option<Vec<&Track>> = playable.tracks.iter().map(number).collect();
    let is_ordered = playable.tracks.is_sorted_by(|a, b| a < b);
    let tracks = tracks.filter(|tracks| is_ordered && !tracks.is_empty());
    let mut tracks = tracks.ok_or("is not of tracks in their order")?;
    tracks.sort_by_key(|track| track.media != Media::Video);
    match digest(package, &tracks, said) {
        Ok(found) if layout::digest(&listed.sm3) == Some(found) => Ok(()),
        Ok(_) => Err("is not made of the segments of its tracks".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// SM3 of the file that these tracks make, in the order of their ids.
fn digest(package: &Package, tracks: &[&Track], said: &Said) -> io::Result<[u8; 32]> {
    let init = |track: &&Track| package.read(&layout::init(track.number));
    let inits = tracks.iter().map(init).collect::<io::Result<Vec<_>>>()?;
    let missing = || io::Error::other("its tracks are no tracks");
    let mut hasher = sm3::Hasher::new();
    hasher.update(&boxes::together(&inits).ok_or_else(missing)?);
    let starts = tracks.iter().map(|track| track.first_us);
    let origin_us = starts.min().unwrap_or_default();
    let mut parts = Vec::new();
    for (id, track) in (1_u32..).zip(tracks) {
        for segment in &track.segments {
            let base_us = segment
                .first_us
                .checked_sub(origin_us)
                .ok_or_else(missing)?;
            parts.push((base_us, id, track.number, segment.number));
        }
    }
    parts.sort_by_key(|(base_us, id, ..)| (*base_us, *id));
    let mut chunk = vec![0; CHUNK_BYTES];
    for (sequence, (base_us, id, track, number)) in (1_u32..).zip(parts) {
        let (begin, moof) = said.get(&(track, number)).ok_or_else(missing)?;
        let moof = moof.placed(sequence, id, base_us);
        let (mut content, _) = package.open(&layout::segment(track, number))?;
        let mut head = vec![0; begin + moof.len()];
        content.read_exact(&mut head)?;
        hasher.update(head.get(..*begin).unwrap_or_default());
        hasher.update(&moof);
        hash_rest(&mut hasher, &mut content, &mut chunk)?;
    }
    Ok(hasher.finish())
}
