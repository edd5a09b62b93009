//! `kill -9` at moments drawn by chance, of recorders, relays, edges and the leader, while calls are under way:
//! what was closed is kept, no track lacks more than two seconds, what is missing is declared, and each
//! package is believed by both verifiers.
//!
//! `GUITAI_CALL_KILLS` sets how many (a few by default), `GUITAI_CALL_KILLS_SEED` which.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are killed, by the real clock"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use guitai_cluster::{
    Deployment,
    deployment::{binary, wait_for},
    packages,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(90);
/// Kills without anything else being said; two of each kind.
const KILLS: u64 = 8;
/// Calls under way at once.
const CALLS: usize = 2;
/// How long they talk, seconds; kills fall into the first half of it.
const TALK_S: u64 = 8;
/// A file that was there for so long had its record in the journal.
const CLOSED_FOR: Duration = Duration::from_millis(500);
/// Longest that a track may lack in all packages of a call together.
const HOLE_US_MAX: u64 = 2_000_000;
/// Rounds of calls that may fail one after the other.
const ATTEMPTS: usize = 5;
const VICTIMS: [&str; 4] = ["recorder", "relay", "edge", "leader"];
const RELAYS: [&str; 3] = ["a1-1", "a2-1", "b-1"];

/// splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }

    fn one_of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len() as u64) as usize]
    }
}

/// What came of all of them.
#[derive(Default)]
struct Sums {
    sessions: usize,
    packages: usize,
    segments: usize,
    kept: usize,
    gaps: BTreeMap<String, usize>,
    longest_hole_us: u64,
}

#[test]
fn whoever_is_killed_in_a_call_what_was_closed_is_kept_and_what_is_missing_is_declared() {
    let number = |name: &str| std::env::var(name).ok().and_then(|it| it.parse().ok());
    let kills = number("GUITAI_CALL_KILLS").unwrap_or(KILLS);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH);
    let seed = number("GUITAI_CALL_KILLS_SEED");
    let seed = seed.unwrap_or_else(|| now().expect("after 1970").as_secs());
    eprintln!("GUITAI_CALL_KILLS={kills} GUITAI_CALL_KILLS_SEED={seed}");
    let mut chance = Chance(seed);
    let deployment = Deployment::start();
    let desks = desks(&deployment);
    let mut seen = BTreeSet::new();
    let mut sums = Sums::default();
    for kill in 0..kills {
        let (calls, talking) = calls_that_talk(&deployment, &desks);
        std::thread::sleep(Duration::from_millis(chance.below(TALK_S * 500)));
        let kind = VICTIMS[kill as usize % VICTIMS.len()];
        let session = chance.one_of(&talking);
        let victim = match kind {
            "recorder" => text(chance.one_of(session["recorders"].as_array().expect("recorders"))),
            "edge" => text(&session["edge"]),
            "relay" => (*chance.one_of(&RELAYS)).to_owned(),
            _ => deployment.leader(),
        };
        eprintln!("kill {kill}: {kind} {victim}, {} calls", talking.len());
        deployment.kill(&victim);
        let closed = closed(&deployment, &victim);
        calls.into_iter().for_each(say_why);
        let over = wait_for("every recording to be sealed", PATIENCE, || {
            let fresh = |it: &Value| !seen.contains(it["id"].as_str().unwrap_or_default());
            let fresh: Vec<Value> = sessions(&deployment).into_iter().filter(fresh).collect();
            (fresh.len() >= talking.len() && fresh.iter().all(is_sealed)).then_some(fresh)
        });
        for session in over {
            let id = text(&session["id"]);
            let packages = packages::verified(&deployment, &session);
            let held = sums.add(&packages);
            let what = format!("kill {kill} of {kind} {victim}, call {id}");
            assert!(held <= HOLE_US_MAX, "{what}: {held} us are missing");
            for (track, segment) in closed.get(&id).into_iter().flatten() {
                let of = &packages[&victim]["tracks"];
                assert!(
                    has(of, *track, *segment),
                    "{what}: {track}/{segment} is lost"
                );
                sums.kept += 1;
            }
            seen.insert(id);
        }
        sums.say(kill + 1);
    }
    assert!(
        sums.kept > 0 || kills < 4,
        "no recorder had closed anything"
    );
}

/// Calls at every desk that are past their business steps, which are refused while nobody records. A call may
/// fail before: what the last kill broke is still being mended.
fn calls_that_talk(deployment: &Deployment, desks: &[PathBuf]) -> (Vec<Child>, Vec<Value>) {
    for _ in 0..ATTEMPTS {
        let mut calls: Vec<Child> = desks.iter().map(|desk| call(desk)).collect();
        let talking = wait_for("calls that only talk", PATIENCE, || {
            let talking: Vec<Value> = sessions(deployment)
                .into_iter()
                .filter(|it| it["recording"]["state"] == "running" && it["ended_at"].is_null())
                .filter(|it| it["key"]["epoch"].as_u64() >= Some(2))
                .collect();
            let alive = calls
                .iter_mut()
                .filter_map(|call| (!ended(call)).then_some(()))
                .count();
            (talking.len() >= alive).then_some(talking)
        });
        if !talking.is_empty() {
            return (calls, talking);
        }
        calls.into_iter().for_each(say_why);
    }
    panic!("no call came about in {ATTEMPTS} attempts");
}

impl Sums {
    /// Counts a call's packages; gives the longest time that a track lacks in all of them together.
    fn add(&mut self, packages: &BTreeMap<String, Value>) -> u64 {
        self.sessions += 1;
        self.packages += packages.len();
        let mut spans: BTreeMap<(String, String), Vec<(u64, u64)>> = BTreeMap::new();
        for manifest in packages.values() {
            for gap in list(&manifest["gaps"]) {
                *self.gaps.entry(text(&gap["cause"])).or_default() += 1;
            }
            for track in list(&manifest["tracks"]) {
                let of = (text(&track["broadcast"]), text(&track["media"]));
                let spans = spans.entry(of).or_default();
                for segment in list(&track["segments"]) {
                    self.segments += 1;
                    let time = |name: &str| segment[name].as_u64().expect("a time");
                    spans.push((time("first_us"), time("end_us")));
                }
            }
        }
        let longest = spans.into_values().map(longest_hole).max().unwrap_or(0);
        self.longest_hole_us = self.longest_hole_us.max(longest);
        longest
    }
}

impl Sums {
    fn say(&self, kills: u64) {
        eprintln!(
            "{kills} kills in {} calls: {} packages with {} segments were believed by both verifiers; {} segments \
             were closed before their recorder was killed and none was lost; the longest hole in a call's track \
             {} ms; declared gaps of single recorders {:?}",
            self.sessions,
            self.packages,
            self.segments,
            self.kept,
            self.longest_hole_us / 1000,
            self.gaps,
        );
    }
}

/// Longest time between spans that none covers.
fn longest_hole(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable();
    let mut longest = 0;
    let mut covered = spans.first().map_or(0, |first| first.1);
    for (from, to) in spans {
        longest = longest.max(from.saturating_sub(covered));
        covered = covered.max(to);
    }
    longest
}

/// A data directory for each call with an agent of its own, so that calls do not wait for each other.
fn desks(deployment: &Deployment) -> Vec<PathBuf> {
    let data = deployment.data();
    let cluster: Value = read(&data.join("cluster.json"));
    let file = cluster["login_file"].as_str().expect("demo accounts");
    let logins: Value = read(&data.join(file));
    let accounts = list(&logins["accounts"]);
    let is_agent = |account: &Value| list(&account["duties"]).contains(&json!("agent"));
    let (agents, others): (Vec<Value>, Vec<Value>) = accounts.into_iter().partition(is_agent);
    let desk = |(number, agent): (usize, Value)| {
        let dir = deployment.dir.path().join(format!("desk-{number}"));
        fs::create_dir_all(dir.join("pki")).expect("a directory");
        let root = data.join("pki/root.pem");
        fs::copy(root, dir.join("pki/root.pem")).expect("the root");
        let mut cluster = cluster.clone();
        for doors in ["edges", "cores"] {
            let doors = cluster[doors].as_array_mut().expect("doors");
            let count = doors.len();
            doors.rotate_left(number % count);
        }
        let accounts: Vec<Value> = [agent].into_iter().chain(others.clone()).collect();
        write(&dir.join("cluster.json"), &cluster);
        write(&dir.join(file), &json!({ "accounts": accounts }));
        dir
    };
    let desks: Vec<PathBuf> = agents
        .into_iter()
        .take(CALLS)
        .enumerate()
        .map(desk)
        .collect();
    assert_eq!(desks.len(), CALLS, "too few agents");
    desks
}

fn call(desk: &Path) -> Child {
    let talk = TALK_S.to_string();
    Command::new(binary())
        .args(["demo", "--talk", &talk, "--json", "--data"])
        .arg(desk)
        .env_remove("GUITAI_TOKEN")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("guitai demo starts")
}

/// Waits for a call's end; says why it failed, if it did.
fn say_why(call: Child) {
    let output = call.wait_with_output().expect("guitai demo ends");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for call in list(&report["calls"]) {
        if !call["failure"].is_null() {
            eprintln!("a call ended: {}", call["failure"]);
        }
    }
}

fn ended(call: &mut Child) -> bool {
    matches!(call.try_wait(), Ok(Some(_)))
}

fn sessions(deployment: &Deployment) -> Vec<Value> {
    // A door may be the one that was killed: no answer is not an answer.
    let output = deployment.run(&["sessions", "--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    said.as_array()
        .cloned()
        .unwrap_or_else(|| list(&said["sessions"]))
}

fn is_sealed(session: &Value) -> bool {
    let turns = list(&session["assignments"]);
    !turns.is_empty()
        && turns
            .iter()
            .all(|turn| turn["recording"]["state"] == "sealed")
}

/// Segments that a recorder had closed when it was killed, by call: track and number.
fn closed(deployment: &Deployment, node: &str) -> BTreeMap<String, Vec<(u64, u64)>> {
    let killed = SystemTime::now();
    let recordings = deployment.data().join(node).join("data/recordings");
    let mut closed: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for session in fs::read_dir(recordings).into_iter().flatten().flatten() {
        let id = session.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(session.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let age = file.metadata().and_then(|it| it.modified());
            let age = age.ok().and_then(|it| killed.duration_since(it).ok());
            let segment = name.strip_prefix('t').and_then(|name| {
                let (track, number) = name.strip_suffix(".seg")?.split_once('-')?;
                Some((track.parse().ok()?, number.parse().ok()?))
            });
            if let Some(segment) = segment.filter(|_| age >= Some(CLOSED_FOR)) {
                closed.entry(id.clone()).or_default().push(segment);
            }
        }
    }
    closed
}

fn has(tracks: &Value, track: u64, segment: u64) -> bool {
    let track = list(tracks).into_iter().find(|it| it["number"] == track);
    let segments = track
        .map(|track| list(&track["segments"]))
        .unwrap_or_default();
    segments.iter().any(|it| it["number"] == segment)
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn read(path: &Path) -> Value {
    let text = fs::read(path).expect("a file");
    serde_json::from_slice(&text).expect("JSON")
}

fn write(path: &Path, value: &Value) {
    fs::write(path, value.to_string()).expect("a file can be written");
}
