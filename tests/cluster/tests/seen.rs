//! What did flow: every node's own account and its kernel's, held against the matrix and against each other.

use std::{fs, net::TcpListener, thread, time::Duration};

use guitai_cluster::{Deployment, NODES, deployment::wait_for, officers::answer};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);
/// Exit code of a command that found something.
const FINDINGS: i32 = 5;

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn of<'a>(seen: &'a Value, node: &str) -> &'a Value {
    let nodes = list(&seen["nodes"]);
    let found = nodes.iter().find(|it| it["node"] == node);
    found.unwrap_or_else(|| panic!("{node} answered: {seen:#}"))
}

fn flow<'a>(seen: &'a Value, node: &str, way: &str, peer: &str, protocol: &str) -> &'a Value {
    let flows = list(&of(seen, node)["flows"]);
    let found = flows
        .iter()
        .find(|it| it["way"] == way && it["peer"] == peer && it["protocol"] == protocol);
    found.unwrap_or_else(|| panic!("{node} {way} {protocol} {peer}: {seen:#}"))
}

#[test]
fn what_flows_is_seen_at_both_ends_and_all_of_it_is_declared() {
    let deployment = Deployment::start();
    let call = deployment.run(&["demo"]);
    assert!(
        call.status.success(),
        "{}",
        String::from_utf8_lossy(&call.stdout)
    );
    let seen = wait_for("nothing to be found", PATIENCE, || {
        let output = deployment.ask("flow seen");
        let seen: Value = serde_json::from_slice(&output.stdout).ok()?;
        let quiet = list(&seen["findings"]).is_empty() && !seen["matrix"].is_null();
        assert_eq!(output.status.success(), list(&seen["findings"]).is_empty());
        if !quiet {
            eprintln!("{}", seen["findings"]);
        }
        quiet.then_some(seen)
    });
    assert_eq!(list(&seen["nodes"]).len(), NODES.len());
    assert!(
        seen["checkpoint"]
            .as_str()
            .is_some_and(|it| it.contains("sm3")),
        "{}",
        seen["checkpoint"]
    );

    // The tunnel is opened from inside, both ends have it, and what one sent the other received, but for what is under way.
    let (inside, outside) = (
        flow(&seen, "a1-1", "opened", "edge-a1", "tunnel"),
        flow(&seen, "edge-a1", "accepted", "a1-1", "tunnel"),
    );
    for end in [inside, outside] {
        assert_eq!(end["standing"], "declared");
        assert_eq!(end["rows"], serde_json::json!(["edge-control"]));
        assert!(end["open"].as_u64() >= Some(1), "{end:#}");
    }
    let bytes = |end: &Value, name: &str| end[name].as_u64().expect("a number");
    assert!(bytes(inside, "sent") > 0 && bytes(outside, "received") > 0);
    // Nobody's address is in it, and no inner node has anything from a customer.
    let edges = ["edge-a1", "edge-a2", "edge-b"];
    let customers = edges.iter().filter_map(|edge| {
        let flows = list(&of(&seen, edge)["flows"]);
        flows
            .iter()
            .find(|it| it["peer"] == "customer" && it["protocol"] == "http")
    });
    let came: u64 = customers.map(|flow| bytes(flow, "received")).sum();
    assert!(came > 0, "the demonstration's customer came in: {seen:#}");

    // Every inner node took connections from inner nodes and its staff only.
    let listeners = deployment.ask("flow listeners --zone inner");
    assert!(listeners.status.success());
    let listeners = answer(&listeners);
    assert_eq!(list(&listeners["nodes"]).len(), NODES.len() - edges.len());
    for node in list(&listeners["nodes"]) {
        assert_eq!(list(&node["sockets"]).len(), 3, "mesh and door: {node:#}");
        assert!(!list(&node["accepted"]).is_empty());
        for flow in list(&node["accepted"]) {
            assert_eq!(flow["zone"], "inner", "{flow:#}");
        }
    }
    assert!(deployment.ask("flow denied").status.success());
    let unused = answer(&deployment.ask("flow unused"));
    let unused: Vec<&str> = list(&unused["unused"])
        .iter()
        .filter_map(|it| it["row"].as_str())
        .collect();
    assert!(
        !unused.contains(&"raft") && !unused.contains(&"edge-media"),
        "{unused:?}"
    );
    assert!(unused.contains(&"agent-moq"), "{unused:?}");

    // A node that is gone is one whose flows are not known.
    deployment.freeze("edge-b");
    let output = deployment.ask("flow seen");
    deployment.thaw("edge-b");
    assert_eq!(output.status.code(), Some(FINDINGS));
    let seen: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen["silent"], serde_json::json!(["edge-b"]), "{seen:#}");
}

#[test]
fn a_socket_that_the_nodes_code_does_not_know_of_is_found() {
    // A hole made on purpose: every process started from here inherits a listener that nothing of ours has opened.
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::io::fcntl_setfd(&hole, rustix::io::FdFlags::empty()).expect("inherited");
    let at = hole.local_addr().expect("bound").to_string();
    let deployment = Deployment::start();
    let output = deployment.ask("flow listeners");
    assert_eq!(output.status.code(), Some(FINDINGS));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found: Vec<&str> = list(&found["findings"])
        .iter()
        .filter(|it| it["fault"] == "socket" && it["what"]["en"].to_string().contains(&at))
        .filter_map(|it| it["node"].as_str())
        .collect();
    assert_eq!(found, NODES);
    let log = fs::read_to_string(deployment.data().join("edge-b").join("node.log"));
    let log = log.unwrap_or_default();
    assert!(
        log.contains("a socket that the flow matrix does not declare"),
        "{log}"
    );
}

#[test]
fn what_an_edge_refuses_is_told_with_the_reason() {
    let deployment = Deployment::start();
    // Until the leader brings it the matrix in force, an edge obeys its own file. Who is quicker, the leader with the
    // matrix or a relay that the file does not know of, is chance: it starts again until a relay was.
    let file = deployment.data().join("edge-b").join("flows.toml");
    let matrix = fs::read_to_string(&file).expect("its copy");
    let parts: Vec<&str> = matrix.split("[[rows]]").collect();
    let left: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.contains("id = \"edge-media\""))
        .collect();
    assert_eq!(parts.len(), left.len() + 1);
    let refused = || {
        let output = deployment.ask("flow denied");
        let denied: Value = serde_json::from_slice(&output.stdout).ok()?;
        let edge = list(&denied["nodes"])
            .iter()
            .find(|it| it["node"] == "edge-b")?;
        let refused = list(&edge["refused"]).first()?.clone();
        assert_eq!(output.status.code(), Some(FINDINGS));
        Some(refused)
    };
    let denied = (0..5).find_map(|_| {
        fs::write(&file, left.join("[[rows]]")).expect("written");
        deployment.kill("edge-b");
        (0..75).find_map(|_| {
            refused().or_else(|| {
                thread::sleep(Duration::from_millis(200));
                None
            })
        })
    });
    let denied = denied.expect("the refusals are told");
    assert_eq!(denied["protocol"], "moq-mesh", "{denied:#}");
    assert_eq!(denied["way"], "accepted");
    assert_eq!(denied["zone"], "inner");
    assert!(denied["why"].as_str().is_some_and(|why| !why.is_empty()));
}
