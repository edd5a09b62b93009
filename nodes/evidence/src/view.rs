//! `view.html`: a page that plays what is in a package, side by side and on one time line, from the
//! directory itself and without a network. What it shows is not evidence; it only shows.

use guitai_types::{UnixMillis, record::SessionEvent};
use serde_json::{Value, json};

use crate::{
    manifest::{Manifest, Playable, Track},
    quality::{self, Mark},
};

const PAGE: &str = include_str!("view/page.html");
/// What stands in the page for what it shows.
const PLACE: &str = "@DATA@";

/// The page of a package whose manifest will state this; `logs` has each track's number with its frame log. Times are
/// milliseconds from the session's start.
#[must_use]
pub fn page(manifest: &Manifest, events: &[SessionEvent], logs: &[(u32, &str)]) -> String {
    // In a script only this would end it; JSON may write it another way.
    let marks = quality::marks(manifest, logs);
    let data = data(manifest, events, &marks)
        .to_string()
        .replace('<', "\\u003c");
    PAGE.replacen(PLACE, &data, 1)
}

fn data(manifest: &Manifest, events: &[SessionEvent], marks: &[Mark]) -> Value {
    let started = manifest.session.started_at;
    let bars: Vec<(&Track, u64, u64)> = manifest
        .tracks
        .iter()
        .map(|track| {
            let from = track.started_at.since(started);
            (track, from, from.saturating_add(track.duration_ms))
        })
        .collect();
    let ends = bars.iter().map(|(_, _, to)| *to);
    let ended = manifest.session.ended_at.map(|at| at.since(started));
    let length = ends.chain(ended).max().unwrap_or(0).max(1);
    let bar = |(track, from, to): &(&Track, u64, u64)| json!({ "party": track.party, "media": track.media, "from_ms": from, "to_ms": to });
    let event = |event: &SessionEvent| {
        let details: Vec<String> = event
            .details
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        json!({
            "at_ms": event.at.since(started),
            "kind": event.kind,
            "actor": event.actor,
            "details": details.join(", "),
        })
    };
    let files = manifest.playable.iter();
    json!({
        "session": manifest.session.id,
        "institution": manifest.institution.name,
        "recorder": manifest.recorder,
        "started_at": started,
        "sealed_at": manifest.sealed_at,
        "length_ms": length,
        "files": files.filter_map(|it| file(it, manifest, started)).collect::<Vec<_>>(),
        "bars": bars.iter().map(bar).collect::<Vec<_>>(),
        "gaps": manifest.gaps,
        "marks": marks,
        "events": events.iter().map(event).collect::<Vec<_>>(),
    })
}

/// Where a playable file is on the time line: it begins with the first frame of its tracks.
fn file(playable: &Playable, manifest: &Manifest, started: UnixMillis) -> Option<Value> {
    let tracks = || {
        let all = manifest.tracks.iter();
        all.filter(|track| playable.tracks.contains(&track.number))
    };
    let first = tracks().min_by_key(|track| track.first_us)?;
    let end_us = tracks().map(|track| track.end_us).max()?;
    let from = first.started_at.since(started);
    let length = end_us.saturating_sub(first.first_us) / 1000;
    Some(json!({
        "party": first.party,
        "file": playable.file,
        "from_ms": from,
        "to_ms": from.saturating_add(length),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_place_for_what_it_shows_and_reaches_for_nothing_outside() {
        assert_eq!(PAGE.matches(PLACE).count(), 1);
        for outside in [
            "http:", "https:", "//cdn", "@import", "url(", "fetch(", "XMLHttp",
        ] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert!(PAGE.contains("default-src 'none'"));
    }
}
