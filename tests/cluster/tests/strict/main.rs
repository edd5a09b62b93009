//! A deployment with `[crypto] policy = "strict"`: it works, offers nothing but national algorithms,
//! and the audit notices the one node that offers something else.

mod hello;

use std::{fs, time::Duration};

use guitai_cluster::{Deployment, deployment::wait_for};
use hello::{Answer, of_a_browser, of_a_national_client};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);
const EDGE: &str = "127.1.1.1";
const NODES: usize = 9;

/// The inventory once every node answers, and the command's exit code.
fn audit(deployment: &Deployment) -> (Value, Option<i32>) {
    wait_for("every node's answer", PATIENCE, || {
        let output = deployment.run(&["crypto", "inventory", "--json"]);
        let view: Value = serde_json::from_slice(&output.stdout).ok()?;
        let all = view["nodes"].as_array()?.len() == NODES;
        all.then(|| (view, output.status.code()))
    })
}

#[test]
fn a_strict_deployment_offers_national_algorithms_only_and_notices_a_node_that_does_not() {
    let strict = |profile: String| {
        let changed = profile.replace("policy = \"mixed\"", "policy = \"strict\"");
        assert_ne!(changed, profile, "the demo's profile says mixed");
        changed
    };
    let mut deployment = Deployment::prepare_with(strict);
    deployment.up();
    let door = deployment.door(EDGE);

    let (view, exit) = audit(&deployment);
    assert_eq!(view["policy"], "strict");
    assert_eq!(view["findings"], serde_json::json!([]), "{view:#}");
    assert_eq!(exit, Some(0));
    assert_eq!(of_a_browser(door), Answer::Refused);
    assert_eq!(of_a_national_client(door), Answer::Taken);
    let report = deployment.json(&["demo"]);
    assert_eq!(report["ok"], true, "a whole call: {report:#}");

    // Every node says which keys it holds, and an edge holds none but its own.
    let keys = deployment.json(&["keys", "where", "--online"]);
    assert_eq!(keys["silent"], serde_json::json!([]));
    let nodes = keys["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), NODES);
    for node in nodes {
        assert_eq!(node["verified"], true, "{node:#}");
        let rows = node["keys"].as_array().expect("keys");
        let recordings = rows.iter().any(|row| row["key"] == "kek recording");
        assert_eq!(recordings, node["zone"] == "inner", "{node:#}");
    }

    // One edge is set up otherwise than the deployment: its door offers AES, and the audit says so.
    deployment.down();
    let config = deployment.data().join("edge-a1/node.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let mixed = text.replace("policy = \"strict\"", "policy = \"mixed\"");
    assert_ne!(mixed, text);
    fs::write(&config, mixed).expect("written");
    deployment.up();
    assert_eq!(of_a_browser(door), Answer::Taken);
    let (view, exit) = audit(&deployment);
    let findings = view["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(findings[0]["node"], "edge-a1");
    let said = findings[0]["what"]["en"].as_str().expect("words");
    assert!(
        said.contains("media of browsers") && said.contains("not national"),
        "{said}"
    );
    assert_eq!(exit, Some(5));
}
