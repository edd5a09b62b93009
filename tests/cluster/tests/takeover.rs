//! City A is lost, city B goes on by an operator's order, and what comes back of A is fenced until it
//! rejoins.

use std::{collections::BTreeSet, fs, process::Output, time::Duration};

use guitai_cluster::{Deployment, deployment::wait_for, http::ask};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// City A, edges and all.
const CITY_A: [&str; 6] = ["a1-1", "a1-2", "a2-1", "a2-2", "edge-a1", "edge-a2"];
const EDGE_B: &str = "127.3.1.1";
const B_1: &str = "127.3.2.1";
const A1_1: &str = "127.1.2.1";

/// `guitai …` about one node, by the operator of the login file.
fn at(deployment: &Deployment, host: &str, words: &[&str]) -> Output {
    deployment
        .command(words)
        .args(["--json", "--url"])
        .arg(format!("http://{}", deployment.door(host)))
        .output()
        .expect("guitai runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "{} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// The error code a command was refused with.
fn refused(output: &Output) -> String {
    assert!(!output.status.success());
    let said: Value = serde_json::from_slice(&output.stderr).expect("an error as JSON");
    format!("{} {}", said["error"]["code"], said["error"]["detail"])
}

/// Two officers have b-1 take over; gives the run when it has ended.
fn take_over(deployment: &Deployment) -> Value {
    let words = "dr run --scenario city --lost a --on b-1 --no-wait";
    let words: Vec<&str> = words.split(' ').collect();
    let proposed = wait_for("the proposal", PATIENCE, || {
        let output = at(deployment, B_1, &words);
        output.status.success().then(|| json(&output))
    });
    let run = proposed["id"].as_str().expect("a run").to_owned();
    let off = now_ms().to_string();
    let approve = |officer: &str, off: Option<&str>| {
        let mut words = vec!["dr", "approve", &run, "--officer", officer];
        words.extend(off.iter().flat_map(|off| ["--off-since", *off]));
        at(deployment, B_1, &words)
    };
    let unattested = refused(&approve("chenjing", None));
    assert!(unattested.contains("--off-since"), "{unattested}");
    let first = approve("chenjing", Some(&off));
    assert_eq!(json(&first)["state"]["state"], "proposed");
    let twice = refused(&approve("chenjing", Some(&off)));
    assert!(twice.contains("another officer"), "{twice}");
    let second = json(&approve("liuyang", Some(&off)));
    assert_eq!(second["state"]["state"], "abort-point");
    let ended = at(deployment, B_1, &["dr", "show", &run, "--wait"]);
    json(&ended)
}

fn now_ms() -> u128 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.expect("a clock after 1970").as_millis()
}

/// Opens tickets at an edge until so many are acknowledged.
fn tickets(deployment: &Deployment, edge: &str, count: usize) -> BTreeSet<(String, String)> {
    let mut acknowledged = BTreeSet::new();
    let open = || {
        let door = deployment.door(edge);
        let (status, body) = ask(door, "POST", "/api/v1/tickets", "", &ticket());
        let answer: Value = serde_json::from_str(&body).ok()?;
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        (status == 201).then_some((text("ticket")?, text("token")?))
    };
    while acknowledged.len() < count {
        acknowledged.insert(wait_for("a ticket", PATIENCE, open));
    }
    acknowledged
}

fn node(status: &Value, name: &str) -> Option<Value> {
    let nodes = status["nodes"].as_array()?.iter();
    nodes
        .clone()
        .find(|it| it["member"]["name"] == name)
        .cloned()
}

#[test]
fn city_b_takes_over_and_city_a_is_fenced_until_it_rejoins() {
    let mut deployment = Deployment::prepare();
    // Nobody serves the queue of the tickets below, so that they stay where they are...
    let profile = fs::read_to_string(&deployment.profile).expect("profile");
    let profile = profile.replace("skills = [\"wealth\", \"loan\"]", "skills = [\"wealth\"]");
    // ...and none is called away for being silent.
    let profile = profile.replace("away_ms = 30000", "away_ms = 3600000");
    fs::write(&deployment.profile, profile).expect("profile");
    deployment.up();
    let early = "dr run --scenario city --lost a --on b-1 --no-wait";
    let early: Vec<&str> = early.split(' ').collect();
    let leader = wait_for("a leader", PATIENCE, || {
        let refused = refused(&at(&deployment, B_1, &early));
        refused.contains("no-quorum").then_some(refused)
    });
    assert!(leader.contains("GT-0409"), "{leader}");
    let before = tickets(&deployment, "127.1.1.1", 20);
    let applied = |host: &str| {
        let status = at(&deployment, host, &["status"]);
        json(&status)["event_number"].as_u64().unwrap_or(0)
    };
    let newest = applied(A1_1);
    wait_for("city B to hold them", PATIENCE, || {
        (applied(B_1) >= newest).then_some(())
    });

    // Frozen, so that the supervisor does not bring them back meanwhile: lost, as far as B can see.
    for node in CITY_A {
        deployment.freeze(node);
    }
    let run = take_over(&deployment);
    assert_eq!(run["verdict"]["green"], true, "{run:#}");
    assert_eq!(run["verdict"]["lost"], 0);
    let lanes = run["lanes"].as_array().expect("lanes").iter();
    let recorded = lanes
        .filter(|lane| lane["lane"]["service"] == "recording")
        .filter_map(|lane| lane["acked"].as_u64());
    assert!(
        recorded.sum::<u64>() > 0,
        "nothing was recorded afterwards: {run:#}"
    );
    let proof = run["proof"].as_str().expect("what b-1 could prove");
    assert!(proof.contains("proven"), "{proof}");
    let after = tickets(&deployment, EDGE_B, 5);
    let status = json(&at(&deployment, B_1, &["status"]));
    assert_eq!(status["epoch"], 2);
    let waiting: u64 = status["queues"]
        .as_array()
        .expect("queues")
        .iter()
        .filter_map(|queue| queue["waiting"].as_u64())
        .sum();
    assert_eq!(waiting as usize, before.len() + after.len(), "{status:#}");
    wait_for("b-2 to follow", PATIENCE, || {
        let status = json(&at(&deployment, B_1, &["status"]));
        let matched = node(&status, "b-2")?["matched"].as_u64()?;
        (matched >= status["applied"].as_u64()?).then_some(())
    });
    let tombstone = json(&at(&deployment, B_1, &["node", "lineage"]))["tombstone"].clone();
    assert_eq!(
        (&tombstone["epoch_old"], &tombstone["reason"]),
        (
            &Value::from(1),
            &Value::from(format!(
                "disaster recovery run {}",
                run["id"].as_str().unwrap_or_default()
            ))
        )
    );
    assert!(
        tombstone["signature"]
            .as_str()
            .is_some_and(|it| it.len() > 100)
    );

    // City A comes back whole, with a majority of the old voters, and is obeyed by nobody.
    for node in CITY_A {
        deployment.thaw(node);
    }
    let quarantine = wait_for("a1-1 to quarantine itself", PATIENCE, || {
        let output = at(&deployment, A1_1, &["status"]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        (!status["quarantine"].is_null()).then_some(status)
    });
    assert_eq!(quarantine["quarantine"]["heard"], 2);
    assert!(quarantine["leader"].is_null(), "{quarantine:#}");
    tickets(&deployment, EDGE_B, 2);
    let status = json(&at(&deployment, B_1, &["status"]));
    assert_eq!(node(&status, "b-1").expect("b-1")["leader"], true);

    let backwards = ["node", "rejoin", "--epoch", "1"];
    let backwards = refused(&at(&deployment, A1_1, &backwards));
    assert!(backwards.contains("GT-0522"), "{backwards}");
    let healthy = refused(&at(&deployment, B_1, &["node", "rejoin"]));
    assert!(healthy.contains("GT-0522"), "{healthy}");
    let rejoined = json(&at(&deployment, A1_1, &["node", "rejoin"]));
    assert_eq!(
        (&rejoined["epoch_old"], &rejoined["epoch"]),
        (&Value::from(1), &Value::from(2))
    );
    wait_for("a1-1 to be a learner that caught up", PATIENCE, || {
        let status = json(&at(&deployment, B_1, &["status"]));
        let back = node(&status, "a1-1")?;
        let matched = back["matched"].as_u64()?;
        (back["member"]["voice"] == "learner" && matched + 5 >= status["applied"].as_u64()?)
            .then_some(())
    });
    let even = refused(&at(&deployment, B_1, &["node", "promote", "a1-1"]));
    assert!(
        even.contains("GT-0523") && even.contains("--even"),
        "{even}"
    );
    let promoted = at(&deployment, B_1, &["node", "promote", "a1-1", "b-2"]);
    assert!(
        promoted.status.success(),
        "{}",
        String::from_utf8_lossy(&promoted.stderr)
    );
    wait_for("three voters", PATIENCE, || {
        let status = json(&at(&deployment, B_1, &["status"]));
        (status["quorum"]["voters"] == 3 && node(&status, "a1-1")?["member"]["voice"] == "voter")
            .then_some(())
    });
    let again = refused(&at(&deployment, B_1, &early));
    assert!(again.contains("no-quorum"), "{again}");
}

fn ticket() -> String {
    // A valid point of curveSM2: the generator (GB/T 32918.5).
    let key = "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7\
               bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
    let key = key.replace(char::is_whitespace, "");
    format!(
        r#"{{"institution":"demo-bank","queue":"loan","customer":"测试","consent":{{"recording":true,"wording":"2026-11","at":1}},"media_key":"{key}"}}"#
    )
}
