//! What a cluster lives through: a killed leader in a loop of calls, a killed recorder, a stop and a
//! start, a garbled view, garbage at its doors.

use std::{
    collections::BTreeSet,
    fs,
    net::UdpSocket,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use guitai_cluster::{
    Deployment, NODES,
    deployment::wait_for,
    http::{ask, raw},
    packages,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);

/// Those that may lead, and the address of their doors.
const CORES: [(&str, &str); 5] = [
    ("a1-1", "127.1.2.1"),
    ("a1-2", "127.1.2.2"),
    ("a2-1", "127.2.2.1"),
    ("a2-2", "127.2.2.2"),
    ("b-1", "127.3.2.1"),
];

#[test]
fn a_killed_leader_loses_no_acknowledged_write_and_calls_go_on() {
    let mut deployment = Deployment::prepare();
    // Nobody serves the queue of the tickets below, so that they stay where they are.
    let profile = fs::read_to_string(&deployment.profile).expect("profile");
    let profile = profile.replace("skills = [\"wealth\", \"loan\"]", "skills = [\"wealth\"]");
    fs::write(&deployment.profile, profile).expect("profile");
    deployment.up();
    let calls = deployment
        .command(&["demo", "--calls", "4", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("guitai demo starts");

    wait_for("a call that is recorded", PATIENCE, || {
        deployment.session_recording("running")
    });

    // Tickets are writes with serials: what is acknowledged here must be there afterwards.
    let mut acknowledged = BTreeSet::new();
    let first = deployment.leader();
    let mut killed = false;
    for number in 0..120 {
        if number == 20 {
            deployment.kill(&first);
            killed = true;
        }
        let edge = if number % 2 == 0 {
            "127.1.1.1"
        } else {
            "127.2.1.1"
        };
        let (status, body) = ask(
            deployment.door(edge),
            "POST",
            "/api/v1/tickets",
            "",
            &ticket(),
        );
        if status == 201 {
            let answer: Value = serde_json::from_str(&body).expect("a ticket");
            let text = |name: &str| answer[name].as_str().expect("text").to_owned();
            acknowledged.insert((text("ticket"), text("token")));
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    assert!(
        killed && acknowledged.len() >= 60,
        "{} tickets acknowledged",
        acknowledged.len()
    );

    let second = deployment.leader();
    assert_ne!(first, second, "another node leads");
    for (ticket, token) in &acknowledged {
        let path = format!("/api/v1/tickets/{ticket}");
        let (status, body) = ask(deployment.door("127.1.1.1"), "GET", &path, token, "");
        assert_eq!(status, 200, "acknowledged ticket {ticket} is lost: {body}");
    }

    // Calls that went through the killed node's own door may have ended with it; every other goes on.
    let output = calls.wait_with_output().expect("guitai demo ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the demo's report");
    let calls = report["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 4, "{report}");
    let (_, host) = CORES
        .iter()
        .find(|(node, _)| *node == first)
        .expect("a core");
    let door = format!("{host}:{}", deployment.door_port);
    for call in calls.iter().filter(|call| call["verified"] != true) {
        let detail = call["failure"]["detail"].as_str().expect("a reason");
        assert!(detail.contains(&door), "not through {first}: {report:#}");
    }
    let verified = calls.iter().filter(|call| call["verified"] == true);
    assert!(verified.count() >= 2, "calls go on: {report:#}");

    // The killed process is back and has caught up.
    wait_for("the killed node to rejoin", PATIENCE, || {
        let status = deployment.json(&["status"]);
        let nodes = status["nodes"].as_array()?.clone();
        let back = nodes
            .iter()
            .find(|node| node["member"]["name"] == first.as_str())?;
        (back["up"] == true && deployment.pid(&first).is_some()).then_some(())
    });
}

#[test]
fn a_second_up_resumes_and_a_garbled_view_is_rebuilt() {
    let mut deployment = Deployment::start();
    let output = deployment.run(&["demo", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Both recorders have sealed what they have: afterwards nothing of it changes.
    let before = wait_for("sealed recordings", PATIENCE, || {
        let recordings = deployment.json(&["recordings"]);
        let list = recordings
            .as_array()
            .or_else(|| recordings["recordings"].as_array())?;
        let turns = list
            .iter()
            .flat_map(|it| it["assignments"].as_array().into_iter().flatten());
        let states: Vec<bool> = turns
            .map(|it| it["recording"]["state"] == "sealed")
            .collect();
        (states.len() >= 2 && states.iter().all(|sealed| *sealed)).then_some(recordings)
    });
    assert_eq!(deployment.down(), Some(0), "Ctrl-C ends with 0");

    let view = deployment.data().join("a1-1/data/view");
    assert!(view.is_dir(), "{} is where the view is", view.display());
    garble(&view);
    let ready = deployment.up();
    assert_eq!(ready["resumed"], true);
    let after = wait_for("the recordings", PATIENCE, || {
        let recordings = deployment.json(&["recordings"]);
        (recordings == before).then_some(recordings)
    });
    assert_eq!(after, before, "what was recorded is still listed");
    let data = fs::read_dir(deployment.data().join("a1-1/data"))
        .expect("data")
        .flatten();
    let mut names = data.map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert!(
        names.any(|name| name.contains("quarantine")),
        "the garbled view is set aside, not deleted"
    );
}

#[test]
fn garbage_at_every_door_ends_nothing() {
    let deployment = Deployment::start();
    let nodes = ["a1-1", "a1-2", "edge-a1", "edge-a2"];
    let before: Vec<_> = nodes.iter().map(|node| deployment.pid(node)).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let noise: Vec<u8> = (0..1200u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for host in ["127.1.1.1", "127.1.2.1", "127.1.2.2", "127.2.1.1"] {
        let door = deployment.door(host);
        for length in [1, 20, 300, 1200] {
            for port in [door.port(), door.port() + 1] {
                socket
                    .send_to(&noise[..length], (door.ip(), port))
                    .expect("sent");
                // A long-header QUIC packet of a version nobody speaks, then of version 1.
                let mut quic = noise[..length].to_vec();
                quic[0] |= 0xc0;
                socket.send_to(&quic, (door.ip(), port)).expect("sent");
            }
        }
        raw(door, &noise);
        raw(door, b"GET / HTTP/9.9\r\n\r\n");
        let (status, _) = ask(door, "POST", "/api/v1/tickets", "", &"x".repeat(200_000));
        assert!(
            matches!(status, 0 | 400 | 404 | 405 | 413 | 401),
            "{host}: {status}"
        );
        let (status, _) = ask(door, "GET", "/demo-bank/abc?jwt=none", "none", "");
        assert!(status >= 400, "{host}: {status}");
    }
    let after: Vec<_> = nodes.iter().map(|node| deployment.pid(node)).collect();
    assert_eq!(before, after, "no process ended");
    let output = deployment.run(&["demo", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_wrong_token_gets_401_and_a_reason() {
    let deployment = Deployment::start();
    for (host, path) in [
        (
            "127.1.1.1",
            "/api/v1/tickets/0123456789abcdef0123456789abcdef",
        ),
        ("127.1.2.1", "/api/v1/status"),
    ] {
        for token in ["", "none", "eyJ2IjoxfQ.AAAA"] {
            let (status, body) = ask(deployment.door(host), "GET", path, token, "");
            let problem: Value = serde_json::from_str(&body).unwrap_or_default();
            assert_eq!(
                (status, problem["code"].as_str()),
                (401, Some("GT-0401")),
                "{host} {body}"
            );
            assert!(
                problem["next"]["zh"].is_string() && problem["next"]["en"].is_string(),
                "{body}"
            );
        }
    }
}

#[test]
fn an_edge_writes_no_file_and_knows_no_inner_address() {
    let deployment = Deployment::start();
    let output = deployment.run(&["demo", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for edge in ["edge-a1", "edge-a2", "edge-b"] {
        let config =
            fs::read_to_string(deployment.data().join(edge).join("node.toml")).expect("config");
        for inner in ["127.1.2.", "127.2.2.", "127.3.2."] {
            assert!(!config.contains(inner), "{edge} knows {inner}");
        }
        let pid = deployment.pid(edge).expect("the edge runs");
        let open = writable_files(pid);
        let log = deployment.data().join(edge).join("node.log");
        assert!(
            open.iter().all(|file| Path::new(file) == log),
            "{edge} has open for writing: {open:?}"
        );
    }
}

#[test]
fn no_secret_is_logged_or_counted() {
    let deployment = Deployment::start();
    let output = deployment.run(&["demo", "--json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let logins = fs::read_to_string(deployment.data().join("demo-login.json")).expect("logins");
    let logins: Value = serde_json::from_str(&logins).expect("logins");
    let mut secrets: Vec<String> = logins["accounts"]
        .as_array()
        .expect("accounts")
        .iter()
        .map(|account| account["password"].as_str().expect("password").to_owned())
        .collect();
    // Every token begins with the base64url of `{"`; every key file has this line.
    secrets.extend(["eyJ".to_owned(), "PRIVATE KEY".to_owned()]);

    let mut texts = Vec::new();
    for node in NODES {
        let log = fs::read_to_string(deployment.data().join(node).join("node.log")).expect("log");
        assert!(
            log.lines().all(|line| line.starts_with('{')),
            "{node}: structured lines"
        );
        texts.push((format!("log of {node}"), log));
    }
    for host in ["127.1.1.1", "127.1.2.1", "127.1.2.2"] {
        let (status, body) = ask(deployment.door(host), "GET", "/metrics", "", "");
        assert!(
            status == 200 && body.contains("guitai_info"),
            "{host}: {body}"
        );
        texts.push((format!("metrics of {host}"), body));
    }
    for (place, text) in &texts {
        let found = secrets
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
            .count();
        assert_eq!(found, 0, "{place} holds {found} secrets");
    }
}

#[test]
fn a_recorder_killed_in_a_call_leaves_no_gap_because_another_records_too() {
    let deployment = Deployment::start();
    let (mut call, running) = recorded_call(&deployment);
    let recorders = running["recorders"].as_array().expect("recorders").clone();
    assert_eq!(recorders, ["a1-2", "a2-2"], "two, in different centres");
    deployment.kill("a1-2");
    // Its disk gives a segment less when it is back.
    let session = running["id"].as_str().expect("a session");
    let recording = deployment.data().join("a1-2/data/recordings").join(session);
    fs::remove_file(recording.join("t1-000001.seg")).expect("a closed segment");
    assert!(call.wait().expect("guitai demo ends").success());
    let sealed = wait_for("both recordings to be sealed", PATIENCE, || {
        all_sealed(&deployment)
    });
    assert_eq!(sealed["recording"]["summary"]["node"], "a2-2", "{sealed:#}");
    assert_eq!(sealed["recording"]["summary"]["gaps"], 0, "{sealed:#}");
    let packages = packages::verified(&deployment, &sealed);
    assert!(packages["a2-2"]["gaps"] == serde_json::json!([]));
    // The killed one's is there too, and says what it lacks.
    let gaps = packages["a1-2"]["gaps"].as_array().expect("gaps");
    let causes: BTreeSet<_> = gaps
        .iter()
        .filter_map(|gap| gap["cause"].as_str())
        .collect();
    let known = BTreeSet::from(["recorder-restart", "recorder-replaced", "segment-lost"]);
    assert!(causes.contains("segment-lost"), "{causes:?}");
    assert!(causes.is_subset(&known), "{causes:?}");
}

#[test]
fn no_node_outlives_a_killed_supervisor_and_the_data_is_resumed() {
    let mut deployment = Deployment::start();
    deployment.kill_supervisor();
    wait_for("every node to end", PATIENCE, || {
        NODES
            .iter()
            .all(|node| deployment.pid(node).is_none())
            .then_some(())
    });
    assert_eq!(deployment.up()["resumed"], true);
}

/// Milliseconds since 1970, by the clock that all nodes of the machine have.
fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    u64::try_from(since.as_millis()).expect("before the year 500 million")
}

#[test]
fn a_frozen_recorder_is_replaced_and_what_it_has_is_kept() {
    let deployment = Deployment::start();
    let (mut call, running) = recorded_call(&deployment);
    let (frozen, heir) = ("a1-2", "b-2");
    let frozen_at = now_ms();
    deployment.freeze(frozen);
    let replaced = wait_for("another recorder to record", PATIENCE, || {
        let session = deployment.session_recording("running")?;
        (session["assignments"][2]["recording"]["state"] == "running").then_some(session)
    });
    deployment.thaw(frozen);
    let turns = &replaced["assignments"];
    let after = |time: &Value| time.as_u64().map(|at| at.saturating_sub(frozen_at));
    let (assigned, recording) = (&turns[2]["since"], &turns[2]["recording"]["since"]);
    eprintln!(
        "a frozen recorder was replaced after {:?} ms, and its heir had a durable segment after {:?} ms",
        after(assigned),
        after(recording)
    );
    assert_eq!(replaced["id"], running["id"]);
    assert_eq!(
        [&turns[0]["node"], &turns[1]["node"], &turns[2]["node"]],
        [frozen, "a2-2", heir],
    );
    assert_eq!(turns[0]["cause"], "recorder-gone", "{replaced:#}");
    assert_eq!(
        replaced["recorders"],
        serde_json::json!(["a2-2", heir]),
        "it is back, and its turn is over"
    );
    // Who holds the next media key: both parties and those who record, and not the one that was gone.
    let holders = replaced["key"]["holders"].as_array().expect("holders");
    let nodes: BTreeSet<_> = holders
        .iter()
        .filter_map(|it| it["participant"]["node"].as_str())
        .collect();
    assert_eq!((holders.len(), nodes), (4, BTreeSet::from(["a2-2", heir])));
    assert!(call.wait().expect("guitai demo ends").success());

    let sealed = wait_for("every recording to be sealed", PATIENCE, || {
        all_sealed(&deployment)
    });
    assert_eq!(sealed["recording"]["summary"]["node"], "a2-2");
    let packages = packages::verified(&deployment, &sealed);
    let causes = |node: &str| -> BTreeSet<String> {
        let gaps = packages[node]["gaps"].as_array().expect("gaps").iter();
        gaps.map(|gap| gap["cause"].as_str().expect("a cause").to_owned())
            .collect()
    };
    assert_eq!(causes("a2-2"), BTreeSet::new(), "the call has no gap");
    assert_eq!(causes(heir), BTreeSet::from(["recorder-joined".to_owned()]));
    // One that was away for long misses frames before it hears that it was replaced, and says so.
    let known = BTreeSet::from(["recorder-replaced".to_owned(), "frames-missing".to_owned()]);
    assert!(causes(frozen).contains("recorder-replaced"));
    assert!(causes(frozen).is_subset(&known), "{:?}", causes(frozen));
    let spans = |node: &str| packages[node]["tracks"].as_array().expect("tracks").len();
    assert_eq!((spans(heir), spans(frozen)), (4, 4));
}

#[test]
fn a_call_with_one_recorder_left_stops_business_until_another_records() {
    let mut deployment = Deployment::prepare();
    let profile = fs::read_to_string(&deployment.profile).expect("profile");
    // Only b-2 records.
    let alone = profile.replacen("roles = [\"core\", \"recorder\"]", "roles = [\"core\"]", 2);
    assert_ne!(alone, profile);
    fs::write(&deployment.profile, alone).expect("profile");
    deployment.up();
    let (mut call, running) = recorded_call(&deployment);
    let recorder = running["recorders"][0]
        .as_str()
        .expect("a recorder")
        .to_owned();
    deployment.freeze(&recorder);
    let lost = wait_for("the loss to be shown", Duration::from_secs(6), || {
        deployment.session_recording("lost")
    });
    assert_eq!(lost["recording"]["cause"], "recorder-gone");
    deployment.thaw(&recorder);
    // It has not been replaced: it shows anew that it records, with the turn it had.
    let again = wait_for("the recording to go on", PATIENCE, || {
        deployment.session_recording("running")
    });
    assert_eq!(again["assignments"].as_array().map(Vec::len), Some(1));
    call.wait().expect("guitai demo ends");
    let sealed = wait_for("the recording to be sealed", PATIENCE, || {
        deployment.session_recording("sealed")
    });
    assert_eq!(sealed["id"], running["id"]);
}

#[test]
fn an_edge_that_nobody_leads_takes_no_new_call_and_keeps_the_media_it_has() {
    let deployment = Deployment::start();
    let (mut call, _running) = recorded_call(&deployment);
    let edge = deployment.door("127.1.1.1");
    let open = || ask(edge, "POST", "/api/v1/tickets", "", &ticket());
    assert_eq!(open().0, 201);
    let accepts = |status: &Value| {
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        let of = |node: &Value| node["permit"]["accepts"].as_bool();
        nodes.filter_map(of).collect::<Vec<_>>()
    };
    let before = deployment.json(&["status"]);
    assert_eq!(
        accepts(&before),
        [true; 6],
        "three relays and three edges: {before:#}"
    );

    // The relays go on; with everybody else the majority is gone, and whoever leads cannot prove it.
    let majority = ["a1-2", "a2-2", "b-1", "b-2"];
    majority.iter().for_each(|node| deployment.freeze(node));
    let code = wait_for("the edge to refuse new calls", PATIENCE, || {
        let (status, body) = open();
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let code = problem["code"].as_str()?.to_owned();
        (status == 503 && code == "GT-0505").then_some(code)
    });
    assert_eq!(code, "GT-0505");
    let (status, _) = ask(edge, "GET", "/healthz", "", "");
    assert_eq!(status, 503, "it is taken out of the pages' list");
    let carried = || {
        let (_, text) = ask(edge, "GET", "/metrics", "", "");
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with("guitai_relay_bytes"));
        lines
            .by_ref()
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum::<f64>()
    };
    let media = carried();
    assert!(media > 0.0, "the call's media went through this edge");
    wait_for("media of the call to go on", PATIENCE, || {
        (open().0 == 503 && carried() > media + 50_000.0).then_some(())
    });

    majority.iter().for_each(|node| deployment.thaw(node));
    wait_for("the edge to take calls again", PATIENCE, || {
        (open().0 == 201).then_some(())
    });
    wait_for("every door to be permitted again", PATIENCE, || {
        (accepts(&deployment.json(&["status"])) == [true; 6]).then_some(())
    });
    call.wait().expect("guitai demo ends");
}

/// The session, when each of its recordings is sealed.
fn all_sealed(deployment: &Deployment) -> Option<Value> {
    let session = deployment.session_recording("sealed")?;
    let turns = session["assignments"].as_array()?;
    let sealed = |turn: &Value| turn["recording"]["state"] == "sealed";
    turns.iter().all(sealed).then_some(session)
}

/// A demo call in the background, and its session as soon as it is recorded.
fn recorded_call(deployment: &Deployment) -> (Child, Value) {
    let call = deployment
        .command(&["demo", "--talk", "20", "--json"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("guitai demo starts");
    // Steps are refused while nobody records, and would end the demonstration. Its second media key comes after them.
    let talks = || {
        let session = deployment.session_recording("running")?;
        (session["key"]["epoch"].as_u64()? >= 2).then_some(session)
    };
    (call, wait_for("a call that only talks", PATIENCE, talks))
}

/// Regular files a process has open for writing.
fn writable_files(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("fds")
        .flatten();
    let mut found = Vec::new();
    for entry in fds {
        let Ok(target) = fs::read_link(entry.path()) else {
            continue;
        };
        let number = entry.file_name().to_string_lossy().into_owned();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap_or("0")
            .trim();
        let writable = u32::from_str_radix(flags, 8).unwrap_or(0) & 3 != 0;
        if writable && target.is_file() {
            found.push(target.display().to_string());
        }
    }
    found
}

fn garble(dir: &Path) {
    let mut garbled = 0;
    for entry in fs::read_dir(dir).expect("the view").flatten() {
        let path = entry.path();
        if path.is_file() {
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len() as usize);
            let noise: Vec<u8> = (0..length.max(64)).map(|i| (i * 31 % 251) as u8).collect();
            fs::write(&path, noise).expect("garbled");
            garbled += 1;
        }
    }
    assert!(garbled > 0, "there was something to garble");
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
