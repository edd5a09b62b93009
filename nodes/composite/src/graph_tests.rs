//! Graphs, without ffmpeg: what people wrote is in none of them, and pieces fit together.

use std::collections::BTreeMap;

use guitai_types::UnixMillis;

use super::*;
use crate::{Layout, Size, plan::Why};

fn plan(length_us: u64, name: &str) -> Plan {
    let pane = |party: &str| Pane {
        party: party.to_owned(),
        name: name.to_owned(),
        picture: vec![Span {
            from: 0,
            to: length_us,
            value: Shown::Blank(Why::Gap(name.to_owned())),
        }],
        sound: vec![Span {
            from: 0,
            to: length_us,
            value: None,
        }],
        notes: vec![Span {
            from: 0,
            to: length_us,
            value: words::sound_gap(name),
        }],
    };
    Plan {
        started_at: UnixMillis(1_794_971_200_250),
        length_us,
        panes: vec![pane("agent"), pane("customer")],
        placed: BTreeMap::new(),
    }
}

fn settings(fps: u32, text: &str) -> Settings {
    let size = Size::new(640, 360).unwrap();
    Settings::new(Layout::SideBySide, size, fps, Some(text.to_owned())).unwrap()
}

fn manifest(institution: &str) -> Manifest {
    let mut manifest = crate::plan::tests::manifest(Vec::new(), Vec::new(), 1_000);
    manifest.institution.name.zh = institution.to_owned();
    manifest
}

#[test]
fn what_people_wrote_is_in_files_and_in_no_graph() {
    let wild = "Zq':\\%{pts}[x];,=@|\"$(id)`id`";
    let plan = plan(2_000_000, wild);
    let chunk = chunks(&plan, 15)[0];
    let drawn = picture(&manifest(wild), &plan, &settings(15, wild), chunk).unwrap();
    let sound = sound(&manifest(wild), &plan, 15).unwrap();
    for arguments in [picture_arguments(&drawn, 15), sound_arguments(&sound)] {
        assert!(
            !arguments.iter().any(|it| it.contains("Zq")),
            "{arguments:?}"
        );
    }
    // Each file with such text is shown as it is; only our two clocks are templates.
    let (mut plain, mut templates) = (0, 0);
    for (file, text) in &drawn.texts {
        let from = drawn.graph.find(&format!("textfile={file}:")).unwrap();
        let is_plain = drawn.graph[from..].starts_with(&format!("textfile={file}:expansion=none"));
        if is_plain {
            plain += u32::from(text.contains("Zq"));
        } else {
            templates += 1;
            assert!(
                text.starts_with("%{pts:gmtime:") && !text.contains("Zq"),
                "{text}"
            );
        }
    }
    assert!(plain >= 7, "{plain}");
    assert_eq!(templates, 2);
}

#[test]
fn the_clock_is_the_recorder_s_in_beijing_and_not_this_machine_s() {
    let plan = plan(130_000_000, "x");
    let chunk = chunks(&plan, 15)[1];
    let drawn = picture(&manifest("x"), &plan, &settings(15, "x"), chunk).unwrap();
    let has = |text: &str| drawn.texts.iter().any(|(_, it)| it == text);
    // 250 ms past the second, one piece and eight hours later.
    assert!(has("%{pts:gmtime:1795000060.250:%F %T} 北京时间 UTC+8"));
    assert!(has("%{pts:gmtime:60.000:%T} 会话时间 session"));
}

#[test]
fn pieces_cover_the_film_in_picture_and_sound() {
    for fps in [1, 7, 15, 24, 25, 30] {
        for length_us in [1, 66_667, 59_999_999, 60_000_000, 60_000_001, 3_600_000_000] {
            let plan = plan(length_us, "x");
            let chunks = chunks(&plan, fps);
            let mut at = 0;
            for (number, chunk) in (1..).zip(&chunks) {
                assert_eq!((chunk.number, chunk.from), (number, at));
                assert!(chunk.to > chunk.from);
                at = chunk.to;
            }
            assert_eq!(at, frames(&plan, fps));
            let heard = sound_frames(at, fps) * AAC_SAMPLES * u64::from(fps);
            assert!(heard >= at * SAMPLE_RATE && heard < at * SAMPLE_RATE + 1_025 * u64::from(fps));
        }
    }
}

#[test]
fn a_clip_begins_at_a_key_frame_and_holds_what_is_shown() {
    let segment = |number: u32, first_us: u64, key: bool| Segment {
        number,
        frames: 1,
        first_us,
        end_us: first_us + 1_000,
        key,
        assignment: 0,
        epoch: guitai_types::Epoch(0),
    };
    let keys = [true, false, true, false, true];
    let segments = (1..)
        .zip(keys)
        .map(|(n, key)| segment(n, 1_000 * u64::from(n), key));
    let mut track = crate::plan::tests::plain_track(3);
    track.segments = segments.collect();
    let placed = Placed {
        start_us: 10_000,
        first_us: 1_000,
    };
    let clip = |from_us, to_us| {
        let clip = clip(&track, placed, from_us, to_us);
        clip.map(|it| (it.from, it.to))
    };
    // The segments are at 10, 11, 12, 13 and 14 ms.
    assert_eq!(clip(10_000, 10_500), Some((1, 1)));
    assert_eq!(clip(11_500, 12_500), Some((1, 3)));
    assert_eq!(clip(13_500, 99_000), Some((3, 5)));
    assert_eq!(clip(0, 10_000), Some((1, 1)));
    assert_eq!(clip(0, 9_000), None);
}

#[test]
fn gaps_at_the_same_time_are_on_lines_of_their_own() {
    let mut plan = plan(20_000_000, "x");
    let note = |cause: &str, from_s: u64, to_s: u64| Span {
        from: from_s * 1_000_000,
        to: to_s * 1_000_000,
        value: words::sound_gap(cause),
    };
    plan.panes[0].notes = vec![
        note("a", 0, 5),
        note("b", 2, 6),
        note("c", 3, 4),
        note("d", 8, 9),
    ];
    let chunk = chunks(&plan, 15)[0];
    let drawn = picture(&manifest("x"), &plan, &settings(15, "x"), chunk).unwrap();
    let line = |cause: &str| {
        let text = words::sound_gap(cause).en;
        let (file, _) = drawn
            .texts
            .iter()
            .find(|(_, it)| it.ends_with(&text))
            .unwrap();
        let filter = drawn
            .graph
            .split(';')
            .find(|it| it.contains(&format!("textfile={file}:")));
        let y = filter.unwrap().split(":y=").nth(1).unwrap();
        y.split(':').next().unwrap().to_owned()
    };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(line);
    assert!(a != b && b != c && a != c, "{a} {b} {c}");
    assert_eq!(a, d);
}

#[test]
fn a_graph_that_is_no_argument_is_refused() {
    let mut plan = plan(60_000_000, "x");
    let note = |n: u64| Span {
        from: n * 50_000,
        to: n * 50_000 + 2_000_000,
        value: words::sound_gap(&n.to_string()),
    };
    plan.panes[0].notes = (0..1_000).map(note).collect();
    let chunk = chunks(&plan, 30)[0];
    let drawn = picture(&manifest("x"), &plan, &settings(30, "x"), chunk);
    assert!(matches!(drawn, Err(GraphError::TooLong(_))), "{drawn:?}");
}
