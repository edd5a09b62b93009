//! What auditors ask, each answer compared with a fact made on purpose: a call, logins, wrong passwords, a killed
//! node, an old checkpoint.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use guitai_cluster::{
    Deployment, NODES,
    deployment::{binary, wait_for},
    http,
    officers::answer,
};
use serde_json::{Value, json};

/// A minute of the flow log is kept some seconds after it is over.
const MINUTES: Duration = Duration::from_secs(200);
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit code of a command that found something.
const FINDINGS: i32 = 5;
/// Exit code of evidence that is not verified.
const NOT_VERIFIED: i32 = 3;

/// Of the officers' keys that the test draws.
const PASSPHRASE: &str = "correct horse battery staple";

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn quiet(deployment: &Deployment, line: &str) -> Value {
    wait_for(&format!("{line} without findings"), PATIENCE, || {
        let output = deployment.ask(line);
        if !output.status.success() {
            eprintln!("{line}: {}", String::from_utf8_lossy(&output.stdout));
        }
        output.status.success().then(|| answer(&output))
    })
}

fn row<'a>(rows: &'a Value, id: &str) -> &'a Value {
    let found = list(rows)
        .iter()
        .find(|it| it["row"] == id || it["kind"] == id);
    found.unwrap_or_else(|| panic!("{id} in {rows:#}"))
}

#[test]
fn what_the_buffer_area_does_is_told_as_it_happened() {
    let deployment = Deployment::start();
    let policy = deployment.data().join("audit-policy");
    let checkpoint = deployment.data().join("audit-checkpoint");
    wait_for("a checkpoint", PATIENCE, || {
        let text = deployment.run(&["log", "checkpoint"]);
        fs::write(&checkpoint, &text.stdout).expect("written");
        text.status.success().then_some(())
    });
    let text = deployment.run(&["log", "policy"]);
    fs::write(&policy, &text.stdout).expect("written");

    // One call, and what the answers know of it.
    let called = deployment.run(&["demo", "--json"]);
    assert!(called.status.success(), "{called:?}");
    let sealed = wait_for("a sealed recording", PATIENCE, || {
        deployment.session_recording("sealed")
    });
    let session = sealed["id"].as_str().expect("an id");
    let edge = sealed["edge"].as_str().expect("an edge");

    // 9: by the edge that it came through, sealed all the way, with what each recorder keeps.
    let trace = quiet(&deployment, &format!("trace session {session}"));
    let legs = list(&trace["legs"]);
    assert_eq!(legs[0]["to"], format!("dmz/{edge}"));
    assert!(legs.iter().all(|leg| leg["sealed"] == true), "{trace:#}");
    let kept: Vec<u64> = legs
        .iter()
        .filter_map(|leg| leg["bytes"].as_u64())
        .collect();
    let own: Vec<u64> = list(&sealed["assignments"])
        .iter()
        .filter_map(|turn| turn["recording"]["summary"]["bytes"].as_u64())
        .collect();
    assert!(!own.is_empty() && kept == own, "{trace:#}");
    assert!(list(&trace["events"]).len() > 3);
    // And with what the edge itself carried of it: both ways, no less than is kept of the customer.
    let carried = list(&trace["passed"]).iter().find(|it| it["node"] == edge);
    let carried = list(&carried.expect("the edge")["connections"]);
    let sum = |of: &str| -> u64 { carried.iter().filter_map(|it| it[of].as_u64()).sum() };
    assert!(
        sum("received") > 0 && sum("sent") > 0 && carried.iter().all(|it| it["until"].is_u64()),
        "{trace:#}"
    );

    // 7: what customers speak ends at the edge, and one of them came in by it.
    let breaks = quiet(&deployment, "relay breaks");
    let pages = row(&breaks["rows"], "customer-pages");
    assert!(pages["connections"].as_u64() > Some(0), "{pages:#}");
    assert!(pages["remade"]["en"].to_string().contains("tunnel"));
    // 8: the ticket crossed once at least, at both ends, and nothing unknown did.
    let schema = quiet(&deployment, "relay schema");
    let open = row(&schema["kinds"], "ask.open-ticket");
    assert!(open["passed"].as_u64() >= Some(2), "{open:#}");
    assert_eq!(
        (&open["refused"], &schema["unknown_refused"]),
        (&json!(0), &json!(0))
    );
    let customer = list(&open["fields"])
        .iter()
        .find(|it| it["field"] == "customer");
    assert!(
        customer.expect("a field")["may_be"]
            .to_string()
            .contains("40")
    );
    // 10, 11, 14: nothing of a customer stays, and whoever has an edge opens nothing.
    let residue = quiet(&deployment, "relay residue");
    assert_eq!(list(&residue["edges"]).len(), 3);
    assert!(
        list(&residue["edges"])
            .iter()
            .all(|it| it["files_held"] == true && it["written"] == json!([]))
    );
    let store = quiet(&deployment, "relay store");
    assert!(!list(&store["stores"]).is_empty());
    assert!(
        list(&store["stores"])
            .iter()
            .all(|it| it["node"].to_string().contains("edge-"))
    );
    let radius = quiet(&deployment, "relay blast-radius");
    assert_eq!(
        (&radius["reach"]["opens"], &radius["recordings_open"]),
        (&json!([]), &json!(false))
    );
    assert!(list(&radius["keys"]).len() >= 3, "{radius:#}");
    // 19: nothing leaves.
    let plugins = quiet(&deployment, "flow plugins");
    assert_eq!(
        (&plugins["rows"], &plugins["connections"]),
        (&json!([]), &json!([]))
    );

    // 15: who logged in, and who could not.
    let acts = quiet(&deployment, "audit admin --since 1h");
    let logins = |acts: &Value, outcome: &str| -> Vec<String> {
        let acts = list(&acts["acts"]).iter().map(|act| &act["record"]);
        let logins = acts.filter(|it| it["kind"] == "login" && it["outcome"] == outcome);
        logins
            .map(|it| it["who"]["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert!(!logins(&acts, "granted").is_empty(), "{acts:#}");
    let account = list(&acts["acts"]).iter().map(|act| &act["record"]);
    let account = account
        .filter(|it| it["kind"] == "login")
        .find(|it| it["duties"] == json!(["agent"]));
    let account = account
        .expect("the demonstration's agent logged in")
        .clone();
    let wrong = json!({
        "institution": account["who"]["institution"], "name": account["who"]["name"], "password": "not it",
    });
    let door = deployment.door("127.1.2.1");
    for _ in 0..7 {
        http::ask(door, "POST", "/api/v1/login", "", &wrong.to_string());
    }
    let locked = wait_for("the lock-out in the log", PATIENCE, || {
        let output = deployment.ask("audit admin --since 1h");
        (output.status.code() == Some(FINDINGS)).then(|| answer(&output))
    });
    assert_eq!(
        logins(&locked, "locked-out"),
        [account["who"]["name"].as_str().expect("a name")]
    );

    // All of them in one report, signed by a node; a file that is changed afterwards is found.
    let out = deployment.data().join("report");
    let report = deployment.ask(&format!("audit report --since 1h --out {}", out.display()));
    assert_eq!(
        report.status.code(),
        Some(FINDINGS),
        "the lock-out is in it: {report:?}"
    );
    let told: Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!(told["verified"], true, "{told:#}");
    // Where no minute is kept yet, what flowed is not known: that is found, too.
    assert!(
        list(&told["with_findings"]).contains(&json!(15)),
        "{told:#}"
    );
    let page = fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.contains(session) && page.contains("customer-pages"));
    let root = deployment
        .data()
        .join("a1-1")
        .join("root.pem")
        .display()
        .to_string();
    let verify = || {
        let dir = out.display().to_string();
        let mut command = Command::new(binary());
        command
            .args(["audit", "verify", &dir, "--root", &root, "--json"])
            .output()
            .expect("guitai runs")
    };
    assert!(verify().status.success(), "{:?}", verify());
    let page = page.replace("customer-pages", "customer-papers");
    fs::write(out.join("report.html"), page).expect("written");
    assert_eq!(verify().status.code(), Some(NOT_VERIFIED));

    // 17: the log continues what was there before the call, and not what somebody makes of it.
    let (from, policy) = (
        checkpoint.display().to_string(),
        policy.display().to_string(),
    );
    let consistent = |from: &str| -> Output {
        deployment.run(&[
            "log",
            "consistency",
            "--from",
            from,
            "--policy",
            &policy,
            "--json",
        ])
    };
    let continued = answer(&consistent(&from));
    assert!(continued["to"]["size"].as_u64() > continued["from"]["size"].as_u64());
    let kept = deployment.data().join("answer.json");
    fs::write(&kept, trace.to_string()).expect("written");
    assert!(consistent(&kept.display().to_string()).status.success());
    let mut lines: Vec<String> = fs::read_to_string(&checkpoint)
        .expect("a note")
        .lines()
        .map(str::to_owned)
        .collect();
    lines[1] = (lines[1].parse::<u64>().expect("a size") - 1).to_string();
    let forged = deployment.data().join("forged");
    fs::write(&forged, lines.join("\n") + "\n").expect("written");
    let refused = consistent(&forged.display().to_string());
    assert_eq!(refused.status.code(), Some(NOT_VERIFIED), "{refused:?}");
}

/// `guitai …` without a cluster.
fn offline(words: &[&str]) -> Output {
    let mut command = Command::new(binary());
    let command = command.args(words).arg("--json");
    command.output().expect("guitai runs")
}

#[test]
fn what_runs_is_held_against_what_officers_approved() {
    let deployment = Deployment::start();
    let dir = deployment.dir.path();
    let path = |name: &str| dir.join(name).display().to_string();
    // 18, without an approval: all run the same program, and it is the one that lies here.
    let release = path("release.json");
    let program = binary().display().to_string();
    let made = [
        "attest", "release", &program, "--title", "here", "--out", &release,
    ];
    assert!(offline(&made).status.success());
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(file).expect("a file")).expect("JSON")
    };
    let checked = quiet(&deployment, "attest check");
    let nodes = list(&checked["measures"]["nodes"]);
    assert_eq!(nodes.len(), NODES.len());

    // Two officers sign what the site runs.
    let site = path("site.json");
    let taken = deployment.ask(&format!("attest take --title site --out {site}"));
    assert!(taken.status.success(), "{taken:?}");
    let sign = |who: &str, file: &str| -> String {
        let key = path(&format!("{who}.key"));
        if !dir.join(format!("{who}.key")).exists() {
            let officer = format!("bank/{who}");
            let new = [
                "dr",
                "key",
                "new",
                &officer,
                "--out",
                &key,
                "--passphrase",
                PASSPHRASE,
            ];
            let new = offline(&new);
            assert!(new.status.success(), "{new:?}");
        }
        let signed = offline(&[
            "attest",
            "sign",
            file,
            "--key",
            &key,
            "--passphrase",
            PASSPHRASE,
        ]);
        answer(&signed)["key"].as_str().expect("a key").to_owned()
    };
    let check = |file: &str, trust: &[&String]| {
        let trust: String = trust.iter().map(|key| format!(" --trust {key}")).collect();
        deployment.ask(&format!("attest check --approved {file}{trust}"))
    };
    let li = sign("li", &site);
    let zhao = sign("zhao", &release);
    let one = check(&site, &[&li, &zhao]);
    assert_eq!(one.status.code(), Some(NOT_VERIFIED), "zhao has not signed");
    assert_eq!(sign("zhao", &site), zhao);
    let both = check(&site, &[&li, &zhao]);
    assert!(both.status.success(), "{}", answer(&both));
    let of_release = check(&release, &[&zhao]);
    assert!(of_release.status.success(), "{}", answer(&of_release));
    assert_eq!(
        list(&answer(&of_release)["approved"]["signed_by"]),
        [json!("bank/zhao")]
    );

    // An approval that was changed is not believed, whoever signed it.
    let mut forged = read(&site);
    let text = forged["approved"].as_str().expect("hex").to_owned();
    let name = "\"site\""
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    let other = "\"sitf\""
        .bytes()
        .map(|b| format!("{b:02x}"))
        .collect::<String>();
    assert!(text.contains(&name));
    forged["approved"] = json!(text.replace(&name, &other));
    let changed = path("forged.json");
    fs::write(&changed, forged.to_string()).expect("written");
    let refused = check(&changed, &[&li, &zhao]);
    assert_eq!(refused.status.code(), Some(NOT_VERIFIED), "{refused:?}");

    // A configuration that somebody edited is found once the node was started from it, and a program that nobody
    // approved at every node.
    let config = deployment.data().join("edge-b").join("node.toml");
    let edited = fs::read_to_string(&config).expect("a file") + "# edited\n";
    fs::write(&config, edited).expect("written");
    assert!(
        check(&site, &[&li, &zhao]).status.success(),
        "what runs is what was approved"
    );
    deployment.kill("edge-b");
    let found = wait_for("the edited configuration", PATIENCE, || {
        let found = answer(&check(&site, &[&li, &zhao]));
        let faults = list(&found["faults"]).to_vec();
        (faults.iter().all(|it| it["what"] != "silent") && !faults.is_empty()).then_some(faults)
    });
    let config = config.canonicalize().expect("a path");
    let expected = json!({"node": "edge-b", "path": config, "what": "differs"});
    assert_eq!(found, [expected]);
    let stranger = path("stranger.json");
    let node = path("site.json");
    let made = [
        "attest", "release", &node, "--title", "another", "--out", &stranger,
    ];
    assert!(offline(&made).status.success());
    let key = sign("zhao", &stranger);
    let found = check(&stranger, &[&key]);
    assert_eq!(found.status.code(), Some(FINDINGS), "{found:?}");
    let faults = answer(&found);
    let unapproved = list(&faults["faults"]).iter();
    let unapproved = unapproved.filter(|it| it["what"] == "unapproved").count();
    assert_eq!(unapproved, NODES.len(), "{faults:#}");
}

#[test]
fn what_flowed_is_kept_by_the_minute_and_a_killed_node_leaves_a_hole_that_is_told() {
    let deployment = Deployment::start();
    let called = deployment.run(&["demo", "--json"]);
    assert!(called.status.success(), "{called:?}");
    let kept = wait_for("two minutes of the flow log", MINUTES, || {
        let output = deployment.ask("flow seen --since 15m");
        let kept: Value = serde_json::from_slice(&output.stdout).ok()?;
        (kept["minutes"].as_u64() >= Some(2)).then_some(kept)
    });
    assert_eq!(list(&kept["nodes"]).len(), NODES.len());
    assert!(!kept["checkpoint"].is_null());
    let edges = list(&kept["nodes"])
        .iter()
        .filter(|node| node["zone"] == "dmz");
    let came = edges
        .flat_map(|node| list(&node["flows"]))
        .filter(|flow| flow["peer"] == "customer");
    let bytes: u64 = came.filter_map(|flow| flow["received"].as_u64()).sum();
    assert!(bytes > 0, "the demonstration's customer is in it: {kept:#}");
    let gaps = list(&kept["gaps"])
        .iter()
        .filter(|gap| gap["from"] != kept["from"]);
    assert_eq!(gaps.count(), 0, "{:#}", kept["gaps"]);

    // The last minute, its root computed by the command, is the one in the transparency log.
    let to = kept["to"].as_u64().expect("a time");
    let minute = to / 60_000 - 1;
    let at = |minute: u64| {
        let (day, of_day) = (minute / 1_440, minute % 1_440);
        // The day by the calendar of the command itself.
        let date = Command::new("date")
            .args(["-u", "-d", &format!("@{}", day * 86_400), "+%Y-%m-%d"])
            .output()
            .expect("date runs");
        let date = String::from_utf8_lossy(&date.stdout).trim().to_owned();
        format!("{date}T{:02}:{:02}Z", of_day / 60, of_day % 60)
    };
    let one = wait_for("the minute under a checkpoint", PATIENCE, || {
        let one = answer(&deployment.ask(&format!("flow minute {}", at(minute))));
        (one["verdict"] == "agreed").then_some(one)
    });
    assert_eq!(one["root"], one["agreed"]["root"]);
    assert_eq!(
        list(&one["lines"]).len() as u64,
        one["agreed"]["lines"].as_u64().expect("a number")
    );
    // Every core node has it, the guard city's too.
    let elsewhere = answer(&deployment.ask_at("127.3.2.1", &format!("flow minute {}", at(minute))));
    assert_eq!(elsewhere["lines"], one["lines"]);

    // A node that is killed loses what it saw since its last minute: the hole is told, and is a finding.
    deployment.kill("edge-a2");
    let holed = wait_for("the hole", MINUTES, || {
        let output = deployment.ask("flow diff --since 15m");
        let told: Value = serde_json::from_slice(&output.stdout).ok()?;
        let of = |it: &&Value| it["node"] == "edge-a2" && it["from"] != told["from"];
        let has = list(&told["gaps"]).iter().any(|it| of(&it));
        has.then(|| {
            assert_eq!(output.status.code(), Some(FINDINGS));
            told.clone()
        })
    });
    let of_edge = list(&holed["findings"])
        .iter()
        .find(|it| it["node"] == "edge-a2");
    assert_eq!(of_edge.expect("a finding")["fault"], "unknown", "{holed:#}");
    let hole = list(&holed["gaps"])
        .iter()
        .find(|it| it["node"] == "edge-a2")
        .expect("it");
    let length = hole["to"].as_u64().expect("a time") - hole["from"].as_u64().expect("a time");
    assert!(length < 120_000, "{hole:#}");
    let unused = answer(&deployment.ask("flow unused --days 1"));
    let unused: Vec<&str> = list(&unused["unused"])
        .iter()
        .filter_map(|it| it["row"].as_str())
        .collect();
    assert!(
        !unused.contains(&"raft") && unused.contains(&"agent-moq"),
        "{unused:?}"
    );
}
