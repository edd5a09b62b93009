//! The guard city lost from sight and back, with the real program.

use std::time::Duration;

use guitai_cluster::{Deployment, deployment::wait_for, http::ask};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn without_city_b_tickets_open_degraded_and_with_it_sync_is_back() {
    let deployment = Deployment::start();
    wait_for_mode(&deployment, "sync");
    let status = wait_for("city B to prove", PATIENCE, || {
        let status = deployment.json(&["status"]);
        let proves = status["sync"]["guards"][0]["proves_ms"].as_u64()? > 0;
        proves.then_some(status)
    });
    assert_eq!(status["sync"]["guards"][0]["node"], 5, "{status:#}");

    // Frozen, not killed: a killed one is started again before anybody has missed it.
    deployment.freeze("b-1");
    let first = open(&deployment);
    let status = deployment.json(&["status"]);
    assert_eq!(
        status["sync"]["state"]["mode"]["is"], "degraded",
        "a ticket was acknowledged without city B, so the log says so: {status:#}"
    );
    let second = open(&deployment);

    deployment.thaw("b-1");
    wait_for_mode(&deployment, "sync");
    deployment.kill("b-1");
    let third = open(&deployment);
    wait_for("city B to prove again", PATIENCE, || {
        let status = deployment.json(&["status"]);
        let proves = status["sync"]["guards"][0]["proves_ms"].as_u64()? > 0;
        (proves && status["sync"]["state"]["mode"]["is"] == "sync").then_some(())
    });
    for (ticket, token) in [first, second, third] {
        let path = format!("/api/v1/tickets/{ticket}");
        let (status, body) = ask(deployment.door("127.1.1.1"), "GET", &path, &token, "");
        assert_eq!(status, 200, "ticket {ticket}: {body}");
    }
}

fn wait_for_mode(deployment: &Deployment, wanted: &str) {
    wait_for(wanted, PATIENCE, || {
        let status = deployment.json(&["status"]);
        (status["sync"]["state"]["mode"]["is"] == wanted).then_some(())
    });
}

/// Opens a ticket; gives it with its token.
fn open(deployment: &Deployment) -> (String, String) {
    // A valid point of curveSM2: the generator (GB/T 32918.5).
    let key = "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7\
               bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
    let body = format!(
        r#"{{"institution":"demo-bank","queue":"loan","customer":"测试","consent":{{"recording":true,"wording":"2026-11","at":1}},"media_key":"{key}"}}"#
    );
    let answer = wait_for("a ticket", PATIENCE, || {
        let door = deployment.door("127.1.1.1");
        let (status, answer) = ask(door, "POST", "/api/v1/tickets", "", &body);
        (status == 201).then_some(answer)
    });
    let answer: Value = serde_json::from_str(&answer).expect("a ticket");
    let text = |name: &str| answer[name].as_str().expect("text").to_owned();
    (text("ticket"), text("token"))
}
