//! A whole laboratory: up, measured, hurt, healed, down. Needs root, `ip` and a C compiler, so that it is
//! run by `tests/run`, which says loudly when it cannot.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are waited for by the real clock"
)]

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use guitai_cluster::{deployment::binary, http::ask};
use guitai_lab::{Host, Lab, Options, State, Topology, of_process, soak};

/// How long a deployment may need to be itself again after a fault.
const PATIENCE: Duration = Duration::from_secs(30);

fn lab(dir: PathBuf, door_port: u16) -> Lab {
    let topology = Topology::named("2l3c", Some(door_port)).expect("the demo's profile");
    let options = Options {
        dir,
        binary: binary(),
        seed: 4,
        keep: false,
    };
    Lab::up(topology, options).expect("the laboratory is up")
}

fn edge(lab: &Lab, centre: &str) -> Host {
    let edge = lab.edges().find(|edge| edge.centre == centre);
    edge.expect("an edge in that centre").clone()
}

/// Opens a ticket as a customer does; asks again until there is one or patience ends.
fn ticket(edge: &Host) -> Option<Duration> {
    // A valid point of curveSM2: the generator (GB/T 32918.5).
    let key = "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7\
               bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
    let body = format!(
        r#"{{"institution":"demo-bank","queue":"loan","customer":"测试","consent":{{"recording":true,"wording":"2026-11","at":1}},"media_key":"{key}"}}"#
    );
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if ask(edge.door, "POST", "/api/v1/tickets", "", &body).0 == 201 {
            return Some(began.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    None
}

fn trip(lab: &Lab, from: &str, to: &str) -> Duration {
    let trip = lab.round_trip(from, to).expect("both are there");
    trip.unwrap_or_else(|| panic!("nothing comes back from {to} to {from}"))
}

/// Namespaces and processes that are still there.
fn left_behind(pids: &[u32]) -> Vec<String> {
    let mut left = of_process(std::process::id());
    let alive = pids
        .iter()
        .filter(|pid| PathBuf::from(format!("/proc/{pid}")).exists());
    left.extend(alive.map(|pid| format!("process {pid}")));
    left
}

#[test]
#[ignore = "needs root, ip and the binary: tests/run runs it"]
fn two_cities_come_up_are_hurt_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let lab = lab(dir.path().join("lab"), 24_443);

    // The classes of distance differ, whatever the machine adds to each.
    let near = trip(&lab, "a1-1", "a1-2");
    let city = trip(&lab, "a1-1", "a2-1");
    let far = trip(&lab, "a1-1", "b-1");
    assert!(near < city && city < far, "{near:?} {city:?} {far:?}");
    assert!(
        far >= Duration::from_millis(30),
        "{far:?} is faster than the WAN allows"
    );
    eprintln!("round trips: {near:?} {city:?} {far:?}");

    let (one, two) = (edge(&lab, "a1"), edge(&lab, "a2"));
    assert!(ticket(&one).is_some(), "healthy");

    lab.cut("A1-A2", false).expect("cut");
    assert_eq!(lab.round_trip("a1-1", "a2-1").expect("asked"), None, "cut");
    assert!(
        trip(&lab, "a1-1", "b-1") >= far / 2,
        "only that link is cut"
    );
    let during = ticket(&one).expect("a ticket while A1-A2 is cut");
    lab.heal(None).expect("healed");
    assert!(lab.status().expect("up").links.is_empty(), "as at first");

    lab.cut("a1-1-a2-1", true).expect("cut");
    assert_eq!(
        lab.round_trip("a1-1", "a2-1").expect("asked"),
        None,
        "one way"
    );
    assert!(lab.round_trip("a1-2", "a2-1").expect("asked").is_some());
    lab.heal(Some("a1-1-a2-1")).expect("healed");

    lab.kill("a1").expect("killed");
    let after = ticket(&two).expect("a ticket through A2 without A1");
    eprintln!("a ticket after {during:?} in the cut, {after:?} after the loss of A1");
    lab.start("A1").expect("started");
    assert!(ticket(&one).is_some(), "A1 is back");

    // A voter whose disk fails takes no service with it, and is itself again on a sound disk.
    lab.hurt("a2-1", |faults| faults.fail_sync_after = Some(0))
        .expect("hurt");
    assert!(ticket(&two).is_some(), "without the disk of a2-1");
    // It ends rather than go on without a disk, and is started again as systemd would.
    let restarts = || {
        let status = lab.status().expect("up");
        let node = status.nodes.into_iter().find(|node| node.node == "a2-1");
        node.map_or(0, |node| node.restarts)
    };
    let began = Instant::now();
    while restarts() == 0 {
        assert!(began.elapsed() < PATIENCE, "a2-1 goes on without its disk");
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.hurt("a2-1", |faults| faults.fail_sync_after = None)
        .expect("healed");
    lab.kill("a2-1").expect("off");
    lab.start("a2-1").expect("on");
    assert!(ticket(&two).is_some(), "with all voters again");

    lab.pause("b-1").expect("frozen");
    let status = lab.status().expect("up");
    assert!(
        status
            .nodes
            .iter()
            .any(|node| node.node == "b-1" && node.state == State::Paused)
    );
    let pids: Vec<u32> = status.nodes.iter().filter_map(|node| node.pid).collect();
    assert!(pids.len() + 1 >= lab.hosts().len(), "{pids:?}");
    drop(lab);
    assert_eq!(left_behind(&pids), Vec::<String>::new());
    assert!(!dir.path().join("lab").exists());
}

#[test]
#[ignore = "needs root, ip and the binary: tests/run runs it"]
fn a_killed_laboratory_is_swept_by_the_next() {
    let name = "guitai-lab-4194305-a1-1"; // no process has this id: the kernel's limit is 4194304
    let made = Command::new("ip").args(["netns", "add", name]).status();
    assert!(made.expect("ip runs").success());
    assert!(guitai_lab::sweep().contains(&name.to_owned()));
    assert_eq!(of_process(4_194_305), Vec::<String>::new());
}

/// Lines of the block of commands in `docs/operating/lab.md`, without their remarks.
fn documented() -> Vec<Vec<String>> {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/lab.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let block = page
        .split("commands:begin")
        .nth(1)
        .expect("the block begins");
    let block = block.split("commands:end").next().expect("and ends");
    let lines = block.lines().filter_map(|line| line.strip_prefix("lab "));
    let words = |line: &str| -> Vec<String> {
        let line = line.split('#').next().unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    lines.map(words).collect()
}

#[test]
#[ignore = "needs root, ip and the binary: tests/run runs it"]
fn every_documented_command_does_something() {
    let dir = tempfile::tempdir().expect("a directory");
    let lab = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
        command
            .arg("--dir")
            .arg(dir.path().join("lab"))
            .arg("--json");
        command
    };
    let mut up = lab()
        .args([
            "up",
            "--topology",
            "2l3c",
            "--door-port",
            "24444",
            "--binary",
        ])
        .arg(binary())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let out = up.stdout.take().expect("piped");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
    assert!(line.contains("\"ready\":true"), "{line:?}");

    let again = lab().arg("up").output().expect("it runs");
    assert!(
        !again.status.success(),
        "a second laboratory in the same directory"
    );
    let unknown = lab().args(["cut", "A1-nowhere"]).output().expect("it runs");
    assert!(!unknown.status.success());
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("A1-nowhere"));

    let commands = documented();
    let mut before = String::new();
    for words in &commands {
        let output = lab().args(words).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "lab {words:?}: {said}");
        let status: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        // What changes something shows in the status; pids and counters aside.
        let nodes = status["nodes"].as_array().into_iter().flatten();
        let shown = nodes.map(|node| format!("{}{}", node["state"], node["faults"]));
        let links = status["links"].as_array().into_iter().flatten();
        let shown: String = shown
            .chain(links.map(|link| {
                format!(
                    "{}{}{}",
                    link["from"],
                    link["to"],
                    serde_json::json!([
                        link["cut"],
                        link["delay_us"],
                        link["loss_ppm"],
                        link["bandwidth_bps"],
                        link["reorder_ppm"]
                    ])
                )
            }))
            .collect();
        let looks_only = ["status", "rtt", "down"].contains(&words[0].as_str());
        assert!(
            looks_only || shown != before,
            "lab {words:?} changed nothing"
        );
        if words[0] != "rtt" {
            before = shown;
        }
    }
    assert_eq!(commands.last().map(|words| words[0].as_str()), Some("down"));
    assert!(up.wait().expect("it ends").success());
    assert_eq!(of_process(up.id()), Vec::<String>::new());
    assert!(!dir.path().join("lab").exists());
}

/// Everything that was acknowledged is there after a minute's worth of faults, and what is lost on purpose
/// is found, and nothing else. `GUITAI_SEED` and `GUITAI_SOAK_SECONDS` choose another and a longer one.
#[test]
#[ignore = "needs root, ip and the binary: tests/run runs it"]
fn a_short_soak_finds_what_is_lost_on_purpose_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds: f64 = asked("GUITAI_SOAK_SECONDS").unwrap_or(15.0);
    let plan = soak::Plan {
        minutes: seconds / 60.0,
        seed: asked("GUITAI_SEED").unwrap_or(1.0) as u64,
        inject_loss: true,
        binary: None,
    };
    let verdict = soak::run(&plan, binary(), dir.path().join("lab")).expect("it comes to its end");
    eprintln!("{}", verdict.text());
    assert!(
        verdict.operations > 20 && verdict.serials > 50,
        "{verdict:?}"
    );
    assert!(
        verdict.faults.len() > 1 && verdict.events > 0,
        "{verdict:?}"
    );
    let (mark, register) = (&verdict.violations[0], &verdict.violations[1]);
    assert!(
        mark.starts_with("m-") && register.starts_with("register-"),
        "{verdict:?}"
    );
    assert_eq!(verdict.violations.len(), 2, "{verdict:?}");
    assert!(!verdict.green);
}
