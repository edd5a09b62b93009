//! What a record says of holes and of the business, against what is there.

use guitai_evidence::{canonical, layout};
use serde_json::{Value, json};

use super::Forgery;
use crate::{
    dice::Dice,
    package::Package,
    world::{World, lines},
};

pub(crate) const FORGERIES: &[Forgery] = &[
    ("continuity: a declaration removed", "continuity", removed),
    (
        "continuity: a declaration about something else",
        "continuity",
        elsewhere,
    ),
    ("continuity: a hole made", "continuity", hole_made),
    ("continuity: a gap of nothing", "continuity", of_nothing),
    ("gaps: declared in one place only", "gaps", one_place),
    ("gaps: said otherwise in one place", "gaps", otherwise),
    ("gaps: in another form", "gaps", form),
    ("events: one less", "events", one_less),
    ("events: one twice", "events", one_twice),
    ("events: in another order", "events", another_order),
    ("events: back in time", "events", back_in_time),
    ("events: without ground for a step", "events", no_ground),
    ("events: another count", "events", another_count),
    ("events: a line in another form", "events", line_form),
    ("events: cut", "events", cut),
];

fn removed(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let gaps = package.array("/gaps");
    let gone = gaps.remove(dice.below(gaps.len()));
    package.seal();
    gone["cause"].to_string()
}

fn elsewhere(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // 0: no picture of the agent; 1: the hole in track 1; 2: track 4 goes on for track 1.
    let changes: [(usize, &str, Value); 10] = [
        (0, "party", json!("customer")),
        (0, "media", json!("audio")),
        (0, "party", json!("bank")),
        (1, "track", json!(2)),
        (1, "segment", json!(3)),
        (1, "resumed", json!(4)),
        (1, "segment", json!(1)),
        (2, "resumed", json!(3)),
        (2, "party", json!("agent")),
        (2, "media", json!("audio")),
    ];
    let (gap, name, value) = dice.one_of(&changes).clone();
    package.manifest["gaps"][gap][name] = value.clone();
    package.seal();
    format!("{name} of gap {gap} is {value}")
}

fn hole_made(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // Longer than either medium may pause: 1 s of picture, 0.2 s of sound. Or as long an overlap.
    let track = dice.below(4);
    let segments = package.array(&format!("/tracks/{track}/segments"));
    let mut at = 1 + dice.below(segments.len() - 1);
    if (track, at) == (0, 2) {
        at = 1; // the hole that is declared
    }
    let least = if track == 0 || track == 3 {
        1_000_001
    } else {
        200_001
    };
    let hole = least + dice.below(3) as u64 * 1_500_000;
    for segment in &mut segments[at..] {
        for name in ["first_us", "end_us"] {
            segment[name] = json!(segment[name].as_u64().unwrap_or_default() + hole);
        }
    }
    let track = package.at(&format!("/tracks/{track}"));
    let end = track["end_us"].as_u64().unwrap_or_default() + hole;
    let first = track["first_us"].as_u64().unwrap_or_default();
    (track["end_us"], track["duration_ms"]) = (json!(end), json!((end - first) / 1000));
    package.refit();
    package.seal();
    format!("{hole} µs after segment {at}")
}

fn of_nothing(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    // A declaration more, about what is not there.
    let mut gap = json!({ "party": "customer", "media": "video", "from_ms": 1, "length_ms": 2, "cause": "io-error" });
    let names: [&[(&str, u32)]; 10] = [
        &[("track", 1), ("segment", 6)],
        &[("track", 1), ("segment", 0)],
        &[("track", 4), ("segment", 4)],
        &[("track", 9), ("segment", 1)],
        &[("track", 0)],
        &[("segment", 1)],
        &[("resumed", 7)],
        &[("resumed", 2)],
        &[("track", 3), ("segment", 1)],
        &[("track", 1), ("segment", 1), ("resumed", 0)],
    ];
    let names = *dice.one_of(&names);
    for (name, value) in names {
        gap[name] = json!(value);
    }
    package.array("/gaps").push(gap);
    package.seal();
    format!("{names:?}")
}

fn one_place(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut gaps = package.manifest["gaps"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let what = match dice.below(3) {
        0 => {
            gaps.remove(dice.below(gaps.len()));
            "one less in gaps.json"
        }
        1 => {
            let more = json!({ "party": "agent", "media": "audio", "from_ms": 1, "length_ms": 2, "cause": "io-error" });
            gaps.push(more);
            "one more in gaps.json"
        }
        _ => {
            gaps.reverse();
            "another order in gaps.json"
        }
    };
    put_gaps(
        package,
        canonical::to_bytes(&gaps).expect("gaps have a form"),
    );
    what.to_owned()
}

fn otherwise(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut gaps = package.manifest["gaps"].clone();
    let gap = dice.below(3);
    let changes = [
        ("cause", json!("recorder-restart")),
        ("length_ms", json!(17)),
        ("from_ms", json!(18)),
        ("assignment", json!(2)),
        ("party", json!("bank")),
    ];
    let (name, value) = dice.one_of(&changes).clone();
    gaps[gap][name] = value;
    put_gaps(
        package,
        canonical::to_bytes(&gaps).expect("gaps have a form"),
    );
    format!("{name} of gap {gap}")
}

fn form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before = String::from_utf8(package.bytes(layout::GAPS).to_vec()).expect("gaps are text");
    let after = match dice.below(6) {
        0 => format!("{before}\n"),
        1 => before.replacen("\":", "\": ", 1),
        2 => String::new(),
        3 => "null".to_owned(),
        4 => format!("{{\"gaps\":{before}}}"),
        _ => before.replacen("\"party\":", "\"note\":\"x\",\"party\":", 1),
    };
    put_gaps(package, after.into_bytes());
    "gaps.json".to_owned()
}

fn put_gaps(package: &mut Package, content: Vec<u8>) {
    package.put(layout::GAPS, content);
    package.write_list();
    package.sign();
}

fn events(package: &Package) -> Vec<Value> {
    let text = String::from_utf8(package.bytes(layout::EVENTS).to_vec()).expect("events are text");
    let read = |line| serde_json::from_str(line).expect("an event is JSON");
    text.lines().map(read).collect()
}

fn put_events(package: &mut Package, content: impl Into<Vec<u8>>) {
    package.put(layout::EVENTS, content);
    package.write_list();
    package.sign();
}

fn one_less(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut events = events(package);
    let gone = dice.below(events.len());
    events.remove(gone);
    // Numbered again or not, counted or not; one of the three shows it in any case.
    if dice.below(2) == 0 {
        for (number, event) in (1..).zip(&mut events) {
            event["number"] = json!(number);
        }
    } else if gone < events.len() {
        package.manifest["events"] = json!(events.len());
    }
    put_events(package, lines(&events));
    format!("number {}", gone + 1)
}

fn one_twice(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut events = events(package);
    let at = dice.below(events.len());
    events.insert(at, events[at].clone());
    package.manifest["events"] = json!(events.len());
    put_events(package, lines(&events));
    format!("number {}", at + 1)
}

fn another_order(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut events = events(package);
    let at = dice.below(events.len() - 1);
    events.swap(at, at + 1);
    put_events(package, lines(&events));
    format!("{} and {}", at + 1, at + 2)
}

fn back_in_time(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut events = events(package);
    // The last one is no step's ground.
    let last = events.len() - 1;
    let (at, time) = match dice.below(2) {
        0 => (
            last,
            events[last - 1]["at"].as_u64().unwrap_or_default() - 1,
        ),
        _ => (0, events[1]["at"].as_u64().unwrap_or_default() + 1),
    };
    events[at]["at"] = json!(time);
    put_events(package, lines(&events));
    format!("number {}", at + 1)
}

fn no_ground(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let step = dice.below(2);
    match dice.below(3) {
        0 => *package.at(&format!("/steps/{step}/id")) = json!("another"),
        1 => *package.at(&format!("/steps/{step}/done_at")) = json!(1_795_000_005_500_u64),
        _ => {
            *package.at("/steps/2") = json!({ "id": "confirm", "name": { "zh": "", "en": "" }, "required": true, "done_at": 1_795_000_005_000_u64 });
        }
    }
    package.sign();
    format!("step {step}")
}

fn another_count(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let count = *dice.one_of(&[0, 5, 7, 9_007_199_254_740_991_u64]);
    package.manifest["events"] = json!(count);
    package.sign();
    format!("{count}")
}

fn line_form(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let before =
        String::from_utf8(package.bytes(layout::EVENTS).to_vec()).expect("events are text");
    let changes = [
        ("\":", "\": "),
        ("\n", "\r\n"),
        ("\n", "\n\n"),
        ("\"kind\":", "\"kind\":\"x\",\"kind\":"),
        ("\"details\":{", "\"details\":{\"n\":1,"),
        ("\"actor\":", "\"aaa\":\"x\",\"actor\":"),
        ("\"number\":1}", "\"number\":1.0}"),
        ("张", "\\u5f20"),
        ("{\"wording\":\"2026-11\"}", "null"),
        ("{\"actor\":\"customer\",", "{"),
        ("\"at\":1", "\"at\":-1"),
    ];
    let (what, with) = *dice.one_of(&changes);
    put_events(package, before.replacen(what, with, 1));
    format!("{what:?} as {with:?}")
}

fn cut(package: &mut Package, _: &World, dice: &mut Dice) -> String {
    let mut bytes = package.bytes(layout::EVENTS).to_vec();
    let left = dice.below(bytes.len());
    bytes.truncate(left);
    put_events(package, bytes);
    format!("to {left} bytes")
}
