//! Certificates under way: a renewal drops no connection and no call, a revocation ends all
//! connections of its holder within seconds, and a new certificate lets it back in.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use guitai_cluster::{
    Deployment,
    deployment::{binary, wait_for},
    http::ask,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);

/// Core nodes, each of which opens a tunnel to every edge.
const CORES: u64 = 6;

/// Every node's door, by the demo's addressing.
const NODES: [(&str, &str); 9] = [
    ("a1-1", "127.1.2.1"),
    ("a1-2", "127.1.2.2"),
    ("a2-1", "127.2.2.1"),
    ("a2-2", "127.2.2.2"),
    ("b-1", "127.3.2.1"),
    ("b-2", "127.3.2.2"),
    ("edge-a1", "127.1.1.1"),
    ("edge-a2", "127.2.1.1"),
    ("edge-b", "127.3.1.1"),
];

/// `guitai pki …` on the deployment's directory.
fn pki(deployment: &Deployment, words: &[&str]) -> Value {
    let output = Command::new(binary())
        .arg("pki")
        .args(words)
        .arg("--json")
        .arg("--dir")
        .arg(deployment.data().join("pki"))
        .output()
        .expect("guitai runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A number of a node's door, with its labels as they stand there; 0 if it is not there.
fn number(deployment: &Deployment, node: &str, metric: &str) -> u64 {
    let (_, host) = NODES.iter().find(|(name, _)| *name == node).expect("node");
    let (status, text) = ask(deployment.door(host), "GET", "/metrics", "", "");
    assert_eq!(status, 200, "{node} shows its numbers");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

/// Tunnels made so far, at both ends: they last as long as nobody drops them. Raft dials anew by itself
/// when a peer is late, so its connections say nothing about certificates.
fn tunnels_made(deployment: &Deployment) -> Vec<(&'static str, u64)> {
    let metric = "guitai_mesh_connections_total{alpn=\"guitai-tunnel/1\"}";
    let of_node = |(node, _): &(&'static str, &str)| (*node, number(deployment, node, metric));
    NODES.iter().map(of_node).collect()
}

fn tunnels(deployment: &Deployment, edge: &str) -> u64 {
    number(deployment, edge, "guitai_guard_tunnels")
}

/// Whether a customer gets a ticket there.
fn ticket(deployment: &Deployment, host: &str) -> u16 {
    // A valid point of curveSM2: the generator (GB/T 32918.5).
    let key = "0432c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7\
               bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
    let body = format!(
        r#"{{"institution":"demo-bank","queue":"loan","customer":"测试","consent":{{"recording":true,"wording":"2026-11","at":1}},"media_key":"{key}"}}"#
    );
    ask(deployment.door(host), "POST", "/api/v1/tickets", "", &body).0
}

#[test]
fn certificates_are_renewed_under_a_call_and_revoked_under_way() {
    let deployment = Deployment::start();
    let listed = pki(&deployment, &["list"]);
    let all = listed["certificates"].as_array().expect("certificates");
    assert!(all.len() >= NODES.len(), "{listed:#}");
    assert!(
        all.iter().all(|one| one["status"] == "current"),
        "{listed:#}"
    );
    wait_for("all tunnels", PATIENCE, || {
        (tunnels(&deployment, "edge-a1") == CORES && tunnels(&deployment, "edge-a2") == CORES)
            .then_some(())
    });

    // Renewal under a call: both recorders and both edges.
    let before = tunnels_made(&deployment);
    let call = deployment
        .command(&["demo", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("guitai demo starts");
    wait_for("a running recording", PATIENCE, || {
        deployment.session_recording("running")
    });
    let renewed = ["a1-2", "a2-2", "edge-a1", "edge-a2"];
    for node in renewed {
        pki(&deployment, &["rotate", node]);
    }
    for node in renewed {
        wait_for("the node to use it", PATIENCE, || {
            (number(&deployment, node, "guitai_certificate_renewals_total") == 1).then_some(())
        });
    }
    let output = call.wait_with_output().expect("guitai demo ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the demo's report");
    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(tunnels_made(&deployment), before, "none was dropped");

    // Revocation under way.
    pki(
        &deployment,
        &["revoke", "edge-a2", "--reason", "keyCompromise"],
    );
    wait_for("its tunnels to end", PATIENCE, || {
        (tunnels(&deployment, "edge-a2") == 0).then_some(())
    });
    assert_eq!(tunnels(&deployment, "edge-a1"), CORES, "nobody else's end");
    let sum = |metric: &str| -> u64 {
        let inner = NODES.iter().filter(|(node, _)| !node.starts_with("edge"));
        inner
            .map(|(node, _)| number(&deployment, node, metric))
            .sum()
    };
    assert!(sum("guitai_mesh_revoked_closed_total") >= CORES);
    wait_for("every inner node to refuse it", PATIENCE, || {
        (sum("guitai_mesh_revoked_refused_total") >= CORES).then_some(())
    });
    assert_eq!(tunnels(&deployment, "edge-a2"), 0, "it does not come back");
    // The cluster goes on: a whole call by the other edge, whose media key the renewed recorders open.
    let output = deployment.run(&["demo", "--json"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert_ne!(ticket(&deployment, "127.2.1.1"), 201, "and not through it");

    // A new certificate.
    pki(&deployment, &["rotate", "edge-a2"]);
    wait_for("it to be back", PATIENCE, || {
        (tunnels(&deployment, "edge-a2") == CORES).then_some(())
    });
    assert_eq!(ticket(&deployment, "127.2.1.1"), 201);
    let journal = pki(&deployment, &["list", "--journal"]);
    let acts: Vec<&str> = journal["journal"]
        .as_array()
        .expect("journal")
        .iter()
        .filter(|record| record["name"] == "edge-a2")
        .map(|record| record["act"].as_str().expect("act"))
        .collect();
    // Both certificates that it had: its connections rested on the first.
    assert_eq!(acts, ["issued", "rotated", "revoked", "revoked", "rotated"]);
}
