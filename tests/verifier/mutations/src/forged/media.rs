//! Tracks and segments that are not what is stated of them, listed and signed all the same.

use guitai_evidence::{Header, layout};
use guitai_types::Epoch;
use serde_json::json;

use super::Forgery;
use crate::{
    dice::Dice,
    media,
    package::{Entry, Package, about},
    world::World,
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("tracks: another root", "tracks", another_root),
    ("tracks: another list", "tracks", another_list),
    ("tracks: another sum or time", "tracks", another_sum),
    ("tracks: numbered otherwise", "tracks", numbered),
    (
        "tracks: segments numbered otherwise",
        "tracks",
        segments_numbered,
    ),
    (
        "tracks: a segment ends before it begins",
        "tracks",
        ends_before,
    ),
    ("tracks: a segment less in the list", "tracks", segment_less),
    ("tracks: a part not listed", "tracks", part_not_listed),
    ("tracks: a stray file", "tracks", stray),
    ("tracks: without segments", "tracks", without_segments),
    ("tracks: a segment of another form", "tracks", no_media),
    ("tracks: a segment says otherwise", "tracks", other_segment),
    ("tracks: another frame log", "tracks", other_frames),
    ("tracks: another playable file", "tracks", other_playable),
    (
        "turns: segments swapped between tracks",
        "turns",
        between_tracks,
    ),
    ("turns: segments in another order", "turns", reordered),
    ("turns: a segment twice", "turns", segment_twice),
    (
        "turns: a segment of another package",
        "turns",
        of_another_package,
    ),
    (
        "turns: a header that says otherwise",
        "turns",
        says_otherwise,
    ),
    ("turns: a header taken off", "turns", taken_off),
    ("turns: a damaged header", "turns", damaged),
    ("turns: a turn of another node", "turns", of_another_node),
    ("turns: an epoch not yet its own", "turns", epoch_before),
    ("turns: disowned and not said", "turns", not_said),
    ("turns: said and not disowned", "turns", said),
    ("turns: numbered otherwise", "turns", turns_numbered),
    ("turns: the epoch falls", "turns", epoch_falls),
];

fn any_segment(package: &Package, dice: &mut Dice) -> (usize, usize) {
    *dice.one_of(&package.segments())
}

/// One with as many frames as the others.
fn usual_segment(package: &Package, dice: &mut Dice) -> (usize, usize) {
    loop {
        let (track, segment) = any_segment(package, dice);
        let pointer = format!("/tracks/{}/segments/{}/frames", track - 1, segment - 1);
        if package
            .manifest
            .pointer(&pointer)
            .is_some_and(|it| *it != 1)
        {
            return (track, segment);
        }
    }
}

fn path((track, segment): (usize, usize)) -> String {
    layout::segment(track as u32, segment as u32)
}

/// A segment that nobody disowns, and its place in the manifest.
fn owned_segment(package: &Package, dice: &mut Dice) -> ((usize, usize), String) {
    loop {
        let (track, segment) = any_segment(package, dice);
        if track != 2 || !(3..=4).contains(&segment) {
            let at = format!("/tracks/{}/segments/{}", track - 1, segment - 1);
            return ((track, segment), at);
        }
    }
}

/// Lists and signs, and leaves lists and roots of the tracks as they are.
fn list(package: &mut Package) {
    package.write_list();
    package.sign();
}

fn another_root(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (a, b) = (dice.below(4), dice.below(3));
    let b = if b >= a { b + 1 } else { b };
    let theirs = package.manifest["tracks"][b]["root"].clone();
    package.manifest["tracks"][a]["root"] = theirs;
    package.sign();
    format!("track {} has that of {}", a + 1, b + 1)
}

fn another_list(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = layout::tree(1 + dice.below(4) as u32);
    let before = String::from_utf8(package.bytes(&path).to_vec()).expect("a list is text");
    let mut lines: Vec<String> = before.lines().map(|line| format!("{line}\n")).collect();
    let what = match dice.below(5) {
        0 => {
            lines.rotate_left(1);
            "rotated"
        }
        1 => {
            lines.pop();
            "one less"
        }
        2 => {
            lines.push(lines[0].clone());
            "one more"
        }
        3 => {
            lines[0] = lines[0].to_ascii_uppercase();
            "upper case"
        }
        _ => {
            lines.clear();
            "empty"
        }
    };
    package.put(&path, lines.concat());
    list(package);
    format!("{path}: {what}")
}

fn another_sum(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let name = *dice.one_of(&["frames", "bytes", "first_us", "end_us", "duration_ms"]);
    let track = dice.below(4);
    let value = &mut package.manifest["tracks"][track][name];
    let before = value.as_u64().unwrap_or_default();
    let after = match dice.below(3) {
        0 => before + 1,
        1 => before.saturating_sub(1),
        _ => before * 2 + 3,
    };
    *value = json!(after);
    package.sign();
    format!("{name} of track {} is {after}", track + 1)
}

fn numbered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    if dice.below(2) == 0 {
        let tracks = package.array("/tracks");
        let at = dice.below(tracks.len() - 1);
        tracks.swap(at, at + 1);
        package.sign();
        return format!("{} and {} swapped", at + 1, at + 2);
    }
    let number = *dice.one_of(&[0, 5, 7]);
    package.manifest["tracks"][dice.below(4)]["number"] = json!(number);
    package.sign();
    format!("{number}")
}

fn segments_numbered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (track, segment) = any_segment(package, dice);
    let number = *dice.one_of(&[0, segment + 1, 99, 1_000_000]);
    *package.at(&format!(
        "/tracks/{}/segments/{}/number",
        track - 1,
        segment - 1
    )) = json!(number);
    package.sign();
    format!("{segment} of track {track} as {number}")
}

fn ends_before(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (track, segment) = any_segment(package, dice);
    let segment = package.at(&format!("/tracks/{}/segments/{}", track - 1, segment - 1));
    let (first, end) = (segment["first_us"].clone(), segment["end_us"].clone());
    (segment["first_us"], segment["end_us"]) = (end, first);
    package.sign();
    format!("in track {track}")
}

fn segment_less(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // The file stays, the statement goes: what was recorded there is hidden in plain sight.
    let (track, segment) = any_segment(package, dice);
    let segments = package.array(&format!("/tracks/{}/segments", track - 1));
    segments.remove(segment - 1);
    package.sign();
    format!("{segment} of track {track}")
}

fn part_not_listed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (track, segment) = any_segment(package, dice);
    let of_track = [
        layout::init(track as u32),
        layout::tree(track as u32),
        layout::frames(track as u32),
        path((track, segment)),
    ];
    let gone = dice.one_of(&of_track).clone();
    package.entries.remove(&gone);
    list(package);
    gone
}

fn stray(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let names = [
        "tracks/1/000099.m4s",
        "tracks/1/1.m4s",
        "tracks/1/0000001.m4s",
        "tracks/2/+00001.m4s",
        "tracks/9/init.mp4",
        "tracks/notes.txt",
        "tracks/1/notes.txt",
        "tracks/01/init.mp4",
        "tracks/1/000000.m4s",
        "tracks/1/000001.m4S",
        "tracks/3/frames.csv.old",
    ];
    let name = *dice.one_of(&names);
    // No path of a package has a plus sign; that one is found in the manifest already.
    let name = if name.contains('+') {
        "tracks/2/00001.m4s"
    } else {
        name
    };
    let content = dice.bytes(50);
    package.put(name, content);
    list(package);
    name.to_owned()
}

fn without_segments(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let track = dice.below(4);
    let count = package
        .segments()
        .iter()
        .filter(|(of, _)| *of == track + 1)
        .count();
    for segment in 1..=count {
        package.entries.remove(&path((track + 1, segment)));
    }
    package.manifest["tracks"][track]["segments"] = json!([]);
    package.manifest["tracks"][track]["frames"] = json!(0);
    package.seal();
    format!("track {}", track + 1)
}

fn swap(package: &mut Package, a: (usize, usize), b: (usize, usize)) {
    let (first, second) = (
        package.bytes(&path(a)).clone(),
        package.bytes(&path(b)).clone(),
    );
    package.entries.insert(path(a), Entry::File(second));
    package.entries.insert(path(b), Entry::File(first));
    package.refit();
    package.seal();
}

fn between_tracks(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let a = usual_segment(package, dice);
    let b = loop {
        let b = usual_segment(package, dice);
        if b.0 != a.0 {
            break b;
        }
    };
    swap(package, a, b);
    format!("{a:?} and {b:?}")
}

fn reordered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let a = usual_segment(package, dice);
    let b = loop {
        let b = usual_segment(package, dice);
        if b.0 == a.0 && b != a {
            break b;
        }
    };
    swap(package, a, b);
    format!("{a:?} and {b:?}")
}

fn segment_twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (a, mut b) = (usual_segment(package, dice), usual_segment(package, dice));
    while b == a {
        b = usual_segment(package, dice);
    }
    let content = package.bytes(&path(a)).clone();
    package.entries.insert(path(b), Entry::File(content));
    package.refit();
    package.seal();
    format!("{a:?} in place of {b:?}")
}

fn of_another_package(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let at = loop {
        let at = any_segment(package, dice);
        if world.other.entries.contains_key(&path(at)) {
            break at;
        }
    };
    let content = world.other.bytes(&path(at)).clone();
    package.entries.insert(path(at), Entry::File(content));
    package.refit();
    package.seal();
    format!("{at:?}")
}

/// Writes another header before a segment's media.
fn headed(package: &mut Package, at: (usize, usize), change: impl FnOnce(&mut Header)) {
    let content = package.bytes(&path(at)).clone();
    let (mut header, length) = Header::parse(&content)
        .expect("a header")
        .expect("one is there");
    change(&mut header);
    let content = [&header.encode(), &content[length..]].concat();
    package.put(&path(at), content);
}

fn says_otherwise(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = any_segment(package, dice);
    let what = dice.below(6);
    headed(package, at, |header| match what {
        0 => header.epoch = Epoch(header.epoch.0 + 1),
        1 => header.assignment += 1,
        2 => header.track += 1,
        3 => header.segment += 1,
        4 => header.node = "a1-1".parse().expect("an id"),
        _ => header.session = "5e56".parse().expect("an id"),
    });
    package.seal();
    format!("{at:?}, field {what}")
}

fn taken_off(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = any_segment(package, dice);
    let content = package.bytes(&path(at)).clone();
    let length = usize::from(content[3]);
    package.put(&path(at), &content[length..]);
    package.seal();
    format!("{at:?}")
}

fn damaged(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = any_segment(package, dice);
    let mut content = package.bytes(&path(at)).to_vec();
    let length = usize::from(content[3]);
    match dice.below(2) {
        0 => content[24] = 2,
        _ => {
            // After size and type: those say where the media begins.
            let at = 24 + dice.below(length - 24);
            content[at] ^= 1 << dice.below(8);
        }
    }
    package.put(&path(at), content);
    package.seal();
    format!("{at:?}")
}

fn no_media(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let at = any_segment(package, dice);
    let mut content = package.bytes(&path(at)).to_vec();
    let length = usize::from(content[3]);
    let what = dice.below(9);
    match what {
        0 => content.truncate(length - 1 - dice.below(20)),
        1 => content[0] = 1,
        2 => content[3] -= 1,
        3 => content.truncate(content.len() - 1 - dice.below(30)),
        4 => content.extend([0, 0, 0, 8, b'f', b'r', b'e', b'e']),
        5 => drop(content.splice(length..length, *b"\0\0\0\x08free")),
        6 => {
            // The kind of one of its frames.
            let count = usize::from(content[length + 83]);
            let at = if count == 1 {
                0
            } else {
                12 * dice.below(count) + 8
            };
            content[length + 88 + at] = 3;
        }
        7 => content[length + 79] = 0,
        _ => {
            // Another field of the moof.
            let bytes = [8, 9, 16, 19, 30, 36, 41, 44, 50, 56, 70, 76, 83, 87];
            content[length + *dice.one_of(&bytes)] ^= 1 << dice.below(8);
        }
    }
    package.put(&path(at), content);
    package.seal();
    format!("{at:?}, way {what}")
}

/// What a recorder that lies writes beside the segments, or states of them.
fn other_frames(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let path = layout::frames(1 + dice.below(4) as u32);
    let before = String::from_utf8(package.bytes(&path).to_vec()).expect("a log is text");
    let mut lines: Vec<String> = before.lines().map(|line| format!("{line}\n")).collect();
    let at = 1 + dice.below(lines.len() - 2);
    let what = match dice.below(9) {
        0 => {
            lines.remove(at);
            "one less"
        }
        1 => {
            lines.insert(at, lines[at].clone());
            "one more"
        }
        2 => {
            lines.swap(at, at + 1);
            "another order"
        }
        3 => {
            lines[at] = lines[at].replacen(',', "1,", 1);
            "another time"
        }
        4 => {
            lines[at] = lines[at].replacen(",", ",1", 1);
            "another size"
        }
        5 => {
            lines[at] = lines[at]
                .replace(",1\n", ",2\n")
                .replace(",0\n", ",1\n")
                .replace(",2\n", ",0\n");
            "another kind"
        }
        6 => {
            lines.remove(0);
            "no header"
        }
        7 => {
            lines[at] = lines[at].replace('\n', "\r\n");
            "CRLF"
        }
        _ => {
            lines.truncate(1);
            "no frames"
        }
    };
    package.put(&path, lines.concat());
    package.write_tracks();
    list(package);
    format!("{path}: {what}")
}

fn other_segment(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // Consistent in everything but what the segment itself says.
    let (track, segment) = any_segment(package, dice);
    let at = format!("/tracks/{}/segments/{}", track - 1, segment - 1);
    let what = match dice.below(4) {
        0 => {
            let frames = package.at(&at)["frames"].as_u64().unwrap_or_default();
            package.at(&at)["frames"] = json!(frames + 1);
            let sum = package.at(&format!("/tracks/{}/frames", track - 1));
            *sum = json!(sum.as_u64().unwrap_or_default() + 1);
            "frames"
        }
        1 => {
            package.at(&at)["key"] = json!(false);
            "key"
        }
        2 => {
            let end = package.at(&at)["end_us"].as_u64().unwrap_or_default() - 700;
            package.at(&at)["end_us"] = json!(end);
            let track = package.at(&format!("/tracks/{}", track - 1));
            let first = track["first_us"].as_u64().unwrap_or_default();
            let last = &track["segments"]
                .as_array()
                .expect("segments")
                .last()
                .expect("one")["end_us"];
            let end = last.as_u64().unwrap_or_default();
            (track["end_us"], track["duration_ms"]) = (json!(end), json!((end - first) / 1000));
            "end"
        }
        _ => {
            let path = path((track, segment));
            let content = package.bytes(&path).clone();
            let moved = media::placed(&content, segment as u32, 1, 77);
            package.put(&path, moved.expect("a segment"));
            "its own time"
        }
    };
    package.seal();
    format!("{what} of {segment} of track {track}")
}

fn other_playable(package: &mut Package, world: &World, dice: &mut Dice) -> String {
    let path = *dice.one_of(&["customer-1.mp4", "agent-1.mp4"]);
    let mut bytes = package.bytes(path).to_vec();
    let at = dice.below(bytes.len());
    let what = match dice.below(8) {
        0 => {
            bytes[at] ^= 1 << dice.below(8);
            "a bit"
        }
        1 => {
            bytes.truncate(at);
            "cut"
        }
        2 => {
            bytes.extend([0, 0, 0, 8, b'f', b'r', b'e', b'e']);
            "more"
        }
        3 => {
            bytes = world.other.bytes(path).to_vec();
            "another package's"
        }
        4 => {
            package.manifest["playable"][1]["tracks"] = json!([2]);
            "other tracks"
        }
        5 => {
            let tracks = dice
                .one_of(&[json!([]), json!([9]), json!([1, 1]), json!([2, 1])])
                .clone();
            package.manifest["playable"][0]["tracks"] = tracks;
            "impossible tracks"
        }
        6 => {
            let file = *dice.one_of(&[
                "nothing.mp4",
                "agent-1.mp4",
                "README.txt",
                "../x",
                "tracks/1/init.mp4",
            ]);
            package.manifest["playable"][0]["file"] = json!(file);
            "another file"
        }
        _ => {
            let init = media::init(&[&about(1)]);
            bytes.splice(..init.len(), init.iter().rev().copied());
            "another initialisation part"
        }
    };
    package.put(path, bytes);
    list(package);
    format!("{path}: {what}")
}

fn of_another_node(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (at, place) = owned_segment(package, dice);
    let turn = *dice.one_of(&[1, 3, 77]);
    headed(package, at, |header| header.assignment = turn);
    package.at(&place)["assignment"] = json!(turn);
    package.seal();
    format!("{at:?} under turn {turn}")
}

fn epoch_before(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let (at, place) = owned_segment(package, dice);
    let epoch = 1 + dice.below(2) as u64;
    headed(package, at, |header| header.epoch = Epoch(epoch));
    package.at(&place)["epoch"] = json!(epoch);
    package.seal();
    format!("{at:?} in epoch {epoch}")
}

fn not_said(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => drop(
            package
                .manifest
                .as_object_mut()
                .expect("an object")
                .remove("disowned"),
        ),
        1 => package.manifest["disowned"][0]["from"] = json!(4),
        _ => package.manifest["disowned"][0]["track"] = json!(3),
    }
    package.sign();
    "a declaration less".to_owned()
}

fn said(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let ((track, segment), _) = owned_segment(package, dice);
    let more = json!({ "track": track, "from": segment, "to": segment });
    package.array("/disowned").push(more);
    package.sign();
    format!("{segment} of track {track}")
}

fn turns_numbered(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let turns = package.array("/assignments");
    let what = match dice.below(3) {
        0 => {
            turns[0]["number"] = json!(2);
            "2, 2"
        }
        1 => {
            turns.swap(0, 1);
            "2, 1"
        }
        _ => {
            let turn = turns[1].clone();
            turns.push(turn);
            "1, 2, 2"
        }
    };
    package.sign();
    what.to_owned()
}

fn epoch_falls(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let epoch = 4 + dice.below(100);
    package.manifest["assignments"][0]["epoch"] = json!(epoch);
    package.sign();
    format!("{epoch}, then 3")
}
