//! Two sides with their folders on a disk, stopped at every step.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;

use super::*;
use crate::files::Files;

#[derive(Parser)]
struct Typed {
    #[command(subcommand)]
    ferry: Ferry,
}

const NOW: UnixMillis = UnixMillis(4_000_000_000_000);

fn typed(words: &str) -> Ferry {
    let words = ["ferry"].into_iter().chain(words.split_whitespace());
    Typed::try_parse_from(words).unwrap().ferry
}

fn run(words: &str) -> Done {
    at(&typed(words), Language::En, NOW).unwrap()
}

fn json(words: &str) -> (Value, u8) {
    let Done { text, exit } = run(&format!("{words} --json"));
    (serde_json::from_str(&text).unwrap(), exit)
}

/// Two sides that pin each other, over two drop folders.
fn sides(dir: &Path) {
    let dir = dir.display();
    let init = |me: &str, peer: &str| {
        let (value, _) = json(&format!(
            "init --state {dir}/{me} --ferry gap --me {me} --peer {peer} --drop-out {dir}/from-{me} \
             --drop-in {dir}/from-{peer} --into {dir}/into-{me} --settle-seconds 0 --content-mib 1"
        ));
        value["key"].as_str().unwrap().to_owned()
    };
    let (inner, outer) = (init("inner", "outer"), init("outer", "inner"));
    run(&format!("init --state {dir}/inner --peer-key {outer}"));
    run(&format!("init --state {dir}/outer --peer-key {inner}"));
    let again = at(
        &typed(&format!("init --state {dir}/outer --peer-key {outer}")),
        Language::En,
        NOW,
    );
    assert!(again.is_err(), "no other key is pinned");
}

/// Three reports: one of two bundles and a half, one small, one that is none.
fn spool(dir: &Path) {
    let spool = dir.join("spool");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join("a.txt"), "0123456789\n".repeat(230_000)).unwrap();
    fs::write(spool.join("b.json"), "{\"ok\":true}").unwrap();
    fs::write(spool.join("c.json"), "{\"ok\":").unwrap();
    fs::write(spool.join("d.exe"), "MZ").unwrap();
}

fn names(dir: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn what_is_spooled_arrives_and_what_is_refused_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    sides(dir);
    spool(dir);
    let at = dir.display();
    let (sent, exit) = json(&format!("send --state {at}/inner --spool {at}/spool"));
    assert_eq!(
        (sent["made"].as_array().unwrap().len(), exit),
        (3, FINDINGS)
    );
    assert_eq!(sent["skipped"].as_array().unwrap().len(), 1);
    assert_eq!(names(dir.join("spool")), ["d.exe"]);

    // The second is lost, the third garbled in its content.
    let drop = dir.join("from-inner");
    let files = names(drop.clone());
    fs::remove_file(drop.join(&files[1])).unwrap();
    let third = drop.join(&files[2]);
    let mut bytes = fs::read(&third).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&third, bytes).unwrap();
    fs::write(drop.join("note.txt"), "hello").unwrap();
    let (received, exit) = json(&format!("receive --state {at}/outer"));
    assert_eq!(exit, FINDINGS);
    assert_eq!(received["taken"], json!([1]));
    let whys: Vec<&str> = received["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["why"].as_str().unwrap())
        .collect();
    assert_eq!(whys, ["garbled", "stray"]);
    assert!(names(drop.clone()).is_empty());

    run(&format!("send --state {at}/inner --again"));
    let (received, _) = json(&format!("receive --state {at}/outer"));
    assert_eq!(received["taken"], json!([2, 3]));
    assert_eq!(received["duplicates"], json!([1]));
    assert_eq!(
        names(dir.join("into-outer/reports")),
        ["000001-a.txt", "000002-b.json"]
    );
    let a = fs::read_to_string(dir.join("into-outer/reports/000001-a.txt")).unwrap();
    assert_eq!(a, "0123456789\n".repeat(230_000));

    run(&format!("send --state {at}/outer"));
    json(&format!("receive --state {at}/inner"));
    for (side, direction) in [("inner", "sent"), ("outer", "received")] {
        let (report, exit) = json(&format!("report --state {at}/{side} --since 1d"));
        assert_eq!(exit, FINDINGS);
        let of = &report[direction];
        assert_eq!(
            (
                of["bundles"].as_u64(),
                of["kept"].as_u64(),
                of["refused"].as_u64()
            ),
            (Some(3), Some(2), Some(1))
        );
        assert_eq!(of["files_refused"], 2, "{side}");
        assert_eq!(of["items"][2]["why"], "inspection", "{side}");
        assert_eq!(of["outstanding"], 0, "{side}");
    }
    assert!(
        names(dir.join("inner/outbox")).is_empty() && names(dir.join("inner/spool")).is_empty()
    );
    let text = run(&format!("report --state {at}/inner")).text;
    assert!(
        text.contains("the other side refused c.json (inspection)"),
        "{text}"
    );
}

/// One run of a command on a disk that stops after so many steps; whether it came to its end.
fn stopped(words: &str, steps: u32) -> bool {
    let disk = Files::default();
    disk.steps_left.set(Some(steps));
    match typed(words) {
        Ferry::Send(it) => {
            let state = State::open_on(&it.place, disk);
            state.is_ok_and(|mut state| send::send(&mut state, &it, NOW).is_ok())
        }
        Ferry::Receive(it) => {
            let state = State::open_on(&it.place, disk);
            state.is_ok_and(|mut state| receive::receive(&mut state, None, NOW).is_ok())
        }
        other => panic!("{other:?} changes nothing"),
    }
}

#[test]
fn stopped_anywhere_it_goes_on_and_everything_arrives_once() {
    let origin = tempfile::tempdir().unwrap();
    sides(origin.path());
    let mut steps = 0;
    let mut is_over = false;
    while !is_over {
        // The same sides, the same reports; the machine stops one step later each time.
        let dir = origin.path();
        let at = dir.display();
        for side in ["inner", "outer"] {
            for folder in ["spool", "outbox", "partial", "refused"] {
                let _gone = fs::remove_dir_all(dir.join(side).join(folder));
            }
            let _gone = fs::remove_file(dir.join(side).join("journal"));
            for folder in [format!("from-{side}"), format!("into-{side}")] {
                let _gone = fs::remove_dir_all(dir.join(&folder));
                fs::create_dir_all(dir.join(&folder)).unwrap();
            }
        }
        spool(dir);
        fs::remove_file(dir.join("spool/d.exe")).unwrap();
        let send = format!("send --state {at}/inner --spool {at}/spool");
        let receive = format!("receive --state {at}/outer");
        let send_ended = stopped(&send, steps);
        run(&send);
        let receive_ended = stopped(&receive, steps);
        run(&receive);
        // What the stop left half-written in the drop folder does not count, and nothing is there twice.
        let kept = names(dir.join("into-outer/reports"));
        assert_eq!(kept, ["000001-a.txt", "000002-b.json"], "{steps} steps");
        let a = fs::read_to_string(dir.join("into-outer/reports/000001-a.txt")).unwrap();
        assert_eq!(a, "0123456789\n".repeat(230_000), "{steps} steps");
        let (status, _) = json(&format!("status --state {at}/outer"));
        assert_eq!(
            (
                status["received"]["bundles"].as_u64(),
                status["received"]["items"].as_u64()
            ),
            (Some(3), Some(3)),
            "{steps} steps"
        );
        assert!(names(dir.join("outer/partial")).is_empty(), "{steps} steps");
        is_over = send_ended && receive_ended;
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
}

#[test]
fn times_are_typed_in_three_ways() {
    let since = |text: &str| text.parse::<Since>().unwrap().before(NOW).0;
    assert_eq!(since("24h"), NOW.0 - 86_400_000);
    assert_eq!(since("30d"), NOW.0 - 30 * 86_400_000);
    assert_eq!(since("2026-11-23"), 1_795_363_200_000);
    for bad in ["", "h", "1w", "-1d", "2026-13-01"] {
        assert!(bad.parse::<Since>().is_err(), "{bad}");
    }
}
