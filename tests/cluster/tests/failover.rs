//! Failovers with real processes, as a person carries them out: proposed through the CLI, approved by
//! two officers, reported, and the report checked offline.

use std::fs;

use guitai_cluster::{
    Deployment,
    deployment::wait_for,
    http::ask,
    officers::{PATIENCE, answer, refused, verify},
};
use guitai_crypto::keys::{OfficerKey, Passphrase};
use serde_json::Value;

const EDGE_A1: &str = "127.1.1.1";
const EDGE_A2: &str = "127.2.1.1";

/// A run that went as it should: green, nothing lost, the centre named leads.
fn must_be_green(run: &Value) {
    assert_eq!(run["state"]["state"], "done", "{run:#}");
    assert_eq!(run["verdict"]["green"], true, "{:#}", run["verdict"]);
    assert_eq!(run["verdict"]["lost"], 0);
    let acked = run["verdict"]["acked"].as_u64().expect("a count");
    assert!(
        acked > 100,
        "{acked} acknowledged serials are no measurement"
    );
}

fn must_lead(deployment: &Deployment, centre: &str) {
    wait_for(&format!("{centre} to lead"), PATIENCE, || {
        (deployment.leading_centre()? == centre).then_some(())
    });
}

fn voters(deployment: &Deployment) -> Vec<String> {
    let status = answer(&deployment.ask("status"));
    let nodes = status["nodes"].as_array().expect("nodes").iter();
    let voters = nodes.filter(|node| node["member"]["voice"] == "voter");
    voters
        .filter_map(|node| node["member"]["name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn leadership_moves_within_the_city_to_the_other_and_back_and_each_report_holds() {
    let deployment = Deployment::start();
    must_lead(&deployment, "a1");
    let first = voters(&deployment);
    assert_eq!(first, ["a1-1", "a1-2", "a2-1", "a2-2", "b-1"]);

    // The negative control first: the checker must be able to see red.
    deployment.ready_for("--scenario switch --to a2");
    let control = deployment.ask("dr rehearse --scenario switch --to a2 --inject-loss");
    let control = answer(&control);
    assert_eq!(
        control["verdict"]["green"], false,
        "{:#}",
        control["verdict"]
    );
    assert!(control["verdict"]["lost"].as_u64() >= Some(1));
    assert_eq!(
        deployment.leading_centre().as_deref(),
        Some("a1"),
        "rehearsed"
    );

    let within = deployment.carry_out("dr run --scenario switch --to a2");
    must_be_green(&within);
    must_lead(&deployment, "a2");
    assert_eq!(voters(&deployment), first, "no voice was changed");
    let report = deployment.dir.path().join("within");
    let (exit, found) = deployment.report(&within, &report);
    assert_eq!(
        (exit, &found["ok"]),
        (Some(0), &Value::Bool(true)),
        "{found:#}"
    );
    a_changed_byte_is_found(&report);

    let across = deployment.carry_out("dr run --scenario switch --to b");
    must_be_green(&across);
    must_lead(&deployment, "b");
    let there = voters(&deployment);
    let ours = there.iter().filter(|name| name.starts_with('b')).count();
    assert!(ours * 2 > there.len(), "{there:?}: city B has no quorum");
    let status = ask(
        deployment.door("127.3.1.1"),
        "GET",
        "/api/v1/catalogue",
        "",
        "",
    )
    .0;
    assert_eq!(status, 200, "the edge of city B serves");

    let back = deployment.carry_out("dr failback");
    must_be_green(&back);
    must_lead(&deployment, "a1");
    let back_home = voters(&deployment);
    assert_eq!(back_home.len(), 5);
    assert!(
        back_home
            .iter()
            .filter(|name| name.starts_with('a'))
            .count()
            == 4
    );
    let (exit, found) = deployment.report(&back, &deployment.dir.path().join("back"));
    assert_eq!(exit, Some(0), "{found:#}");
    // The report of a run that is not the last holds as well.
    let (exit, found) = deployment.report(&across, &deployment.dir.path().join("across"));
    assert_eq!(exit, Some(0), "{found:#}");

    let history = answer(&deployment.ask("dr history"));
    let history = history.as_array().expect("a list");
    let seen: Vec<_> = history.iter().map(|run| run["id"].clone()).collect();
    let made = [&back, &across, &within, &control].map(|run| run["id"].clone());
    assert_eq!(seen, made, "the newest first");
    assert_eq!(history[3]["inject_loss"], true);
}

#[test]
fn a_centre_held_apart_comes_back_and_leadership_with_it() {
    let deployment = Deployment::start();
    must_lead(&deployment, "a1");
    deployment.ready_for("--scenario centre --centre a1");
    let all = ["edge-a1", "edge-a2", "edge-b"];
    wait_for("every edge in the list", PATIENCE, || {
        (deployment.alive_at(EDGE_A2) == all).then_some(())
    });
    let id = deployment.begin("dr run --scenario centre --centre a1 --hold-ms 10000");
    // Those outside do not hear the edge of the centre; it knows itself that it leads nowhere.
    wait_for("edge-a1 to leave the others' list", PATIENCE, || {
        (deployment.alive_at(EDGE_A2) == ["edge-a2", "edge-b"]).then_some(())
    });
    wait_for("edge-a1 to tell its own pages", PATIENCE, || {
        let told = deployment.alive_at(EDGE_A1);
        (!told.contains(&"edge-a1".to_owned())).then_some(())
    });
    let run = answer(&deployment.ask(&format!("dr show {id} --wait")));
    must_be_green(&run);
    for edge in [EDGE_A1, EDGE_A2] {
        wait_for("every edge in the list again", PATIENCE, || {
            (deployment.alive_at(edge) == all).then_some(())
        });
    }
    let lanes = run["lanes"].as_array().expect("lanes");
    let centres: Vec<_> = lanes
        .iter()
        .filter_map(|it| it["centre"].as_str())
        .collect();
    assert!(centres.contains(&"a1") && centres.contains(&"a2") && centres.contains(&"b"));
    let back = deployment.carry_out("dr failback --to a1");
    must_be_green(&back);
    must_lead(&deployment, "a1");

    let proposed = answer(&deployment.ask("dr run --scenario node --node a2-1 --no-wait"));
    let id = proposed["id"].as_str().expect("a run");
    let second = refused(&deployment.ask("dr run --scenario node --node a2-2 --no-wait"));
    assert!(
        second.contains("GT-0409") && second.contains(id),
        "{second}"
    );
    one_officer_is_not_two_and_an_old_word_is_none(&deployment, &proposed);
    let aborted = answer(&deployment.ask(&format!("dr abort {id} --why 天气")));
    assert_eq!(aborted["state"]["state"], "aborted");
    assert!(aborted["state"]["why"].to_string().contains("天气"));
}

/// Approvals that begin nothing: the same officer's second, and one that was signed too long ago.
fn one_officer_is_not_two_and_an_old_word_is_none(deployment: &Deployment, run: &Value) {
    let id = run["id"].as_str().expect("a run");
    let chenjing = format!("dr approve {id} --officer chenjing");
    let first = answer(&deployment.ask(&chenjing));
    assert_eq!(first["approvals"].as_array().map(Vec::len), Some(1));
    let twice = refused(&deployment.ask(&chenjing));
    assert!(
        twice.contains("GT-0409") && twice.contains("another officer"),
        "{twice}"
    );

    // Another officer's, good but for its age: 16 minutes, and the limit is 15.
    let liuyang = login(deployment, "liuyang");
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("after 1970");
    let at = now.as_millis() as u64 - 16 * 60 * 1000;
    let plan_hash = run["plan_hash"].as_str().expect("a hash");
    let text = format!("guitai-dr-approval/1\n{id}\n{plan_hash}\nreal\n{at}\n-\n");
    let file = deployment.data().join("officers/liuyang.key");
    let key = OfficerKey::parse(&fs::read(file).expect("a key file")).expect("a key");
    let phrase = Passphrase::new(&liuyang.password).expect("a passphrase");
    let secret = key.open(&phrase).expect("the officer's own");
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let approval = serde_json::json!({
        "officer": {"institution": "demo-bank", "name": "liuyang"},
        "at": at,
        "key": hex(&key.public),
        "signature": hex(&secret.sign(text.as_bytes())),
    });
    let path = format!("/api/v1/dr/runs/{id}/approvals");
    let body = approval.to_string();
    let (status, said) = ask(liuyang.door, "POST", &path, &liuyang.token, &body);
    assert_eq!(status, 409, "{said}");
    assert!(said.contains("APPROVAL_LIFE_MS is 900000"), "{said}");
    let shown = answer(&deployment.ask(&format!("dr show {id}")));
    assert_eq!(shown["approvals"].as_array().map(Vec::len), Some(1));
    assert_eq!(shown["state"]["state"], "proposed");
}

/// A person of the demonstration who is logged in.
struct Staff {
    door: std::net::SocketAddr,
    password: String,
    token: String,
}

fn login(deployment: &Deployment, name: &str) -> Staff {
    let file = fs::read(deployment.data().join("demo-login.json")).expect("the login file");
    let logins: Value = serde_json::from_slice(&file).expect("JSON");
    let mut accounts = logins["accounts"].as_array().expect("accounts").iter();
    let found = accounts.find(|it| it["name"] == name).expect("an account");
    let password = found["password"].as_str().expect("a password").to_owned();
    let door = deployment.door("127.2.2.1");
    let body = serde_json::json!({
        "institution": "demo-bank", "name": name, "password": password,
    });
    let (status, said) = ask(door, "POST", "/api/v1/login", "", &body.to_string());
    assert_eq!(status, 200, "{said}");
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let token = said["token"].as_str().expect("a token").to_owned();
    Staff {
        door,
        password,
        token,
    }
}

/// A byte of the statement is another, wherever it is: the report does not verify.
fn a_changed_byte_is_found(report: &std::path::Path) {
    let file = report.join("report.json");
    let whole = fs::read(&file).expect("the statement");
    let at = String::from_utf8_lossy(&whole)
        .find("\"acked\":")
        .expect("a count")
        + 8;
    for at in [at, whole.len() / 2, whole.len() - 2] {
        let mut changed = whole.clone();
        changed[at] = if changed[at] == b'7' { b'8' } else { b'7' };
        fs::write(&file, &changed).expect("written");
        let (exit, found) = verify(report);
        assert_eq!(
            (exit, &found["ok"]),
            (Some(3), &Value::Bool(false)),
            "{found:#}"
        );
    }
    fs::write(&file, &whole).expect("written");
    assert_eq!(verify(report).0, Some(0), "as it was");
}
