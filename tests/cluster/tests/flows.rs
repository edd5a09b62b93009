//! The flow matrix at work: nothing is founded that it does not cover, no node listens or speaks where no row lets it.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use guitai_cluster::{
    Deployment,
    deployment::{binary, wait_for},
    http::ask,
};

const PATIENCE: Duration = Duration::from_secs(30);
/// Exit code of what the matrix does not declare.
const UNDECLARED: i32 = 15;

/// The matrix that ships, without some of its rows.
fn without(rows: &[&str]) -> String {
    let matrix = include_str!("../../../profiles/demo.flows.toml");
    let is_gone = |part: &&str| {
        rows.iter()
            .any(|id| part.contains(&format!("id = \"{id}\"")))
    };
    let parts: Vec<&str> = matrix.split("[[rows]]").collect();
    let left: Vec<&str> = parts.iter().copied().filter(|it| !is_gone(it)).collect();
    assert_eq!(parts.len() - left.len(), rows.len(), "{rows:?} are rows");
    left.join("[[rows]]")
}

#[test]
fn nothing_is_founded_that_the_matrix_does_not_cover() {
    let deployment =
        Deployment::prepare_with(|profile| format!("flow_matrix = \"bank.flows.toml\"\n{profile}"));
    let matrix = deployment.dir.path().join("bank.flows.toml");
    let up = || {
        let profile = deployment.profile.display().to_string();
        let output = deployment.run(&["up", "--prepare", "--profile", &profile]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = up();
    assert_eq!(code, Some(10), "there is no such file: {said}");
    assert!(said.contains("bank.flows.toml"), "{said}");

    fs::write(&matrix, without(&["edge-control"])).expect("written");
    let (code, said) = up();
    assert_eq!(code, Some(UNDECLARED), "{said}");
    assert!(
        said.contains("GT-0605") && said.contains("tunnel"),
        "{said}"
    );
    assert!(!deployment.data().exists(), "nothing was founded");

    fs::write(&matrix, without(&[])).expect("written");
    let (code, said) = up();
    assert_eq!(code, Some(0), "{said}");
    let kept = fs::read_to_string(deployment.data().join("edge-a1").join("flows.toml"));
    assert_eq!(kept.expect("every node has its copy"), without(&[]));
}

#[test]
fn a_node_neither_listens_nor_speaks_where_no_row_lets_it() {
    let deployment = Deployment::start();
    let data = deployment.data();
    let copy = |node: &str| data.join(node).join("flows.toml");

    // An edge whose matrix has no control from inside takes none, and so has nothing to give.
    fs::write(copy("edge-b"), without(&["edge-control"])).expect("written");
    deployment.kill("edge-b");
    let door = SocketAddr::from(([127, 3, 1, 1], deployment.door_port));
    wait_for("edge-b up, without the inner zone", PATIENCE, || {
        TcpStream::connect(door).ok()?;
        let (status, _) = ask(door, "GET", "/healthz", "", "");
        (status == 503).then_some(())
    });
    let log = || fs::read_to_string(data.join("edge-b").join("node.log")).unwrap_or_default();
    wait_for("edge-b to say what it refuses", PATIENCE, || {
        let log = log();
        let refusals = log.lines().filter(|line| {
            line.contains("the flow matrix does not declare this connection")
                && line.contains("guitai-tunnel/1")
        });
        (refusals.count() > 0).then_some(())
    });
    // Said once for each kind, not for each try.
    let said = |log: &str| log.matches("the flow matrix does not declare").count();
    assert!(said(&log()) <= 8, "{}", log());
    // The others serve.
    let call = deployment.run(&["demo"]);
    assert!(
        call.status.success(),
        "{}",
        String::from_utf8_lossy(&call.stdout)
    );

    // A node that may not listen does not start, and says which row comes closest.
    fs::write(
        copy("edge-b"),
        without(&["customer-pages", "customer-websocket", "edge-watch"]),
    )
    .expect("written");
    let config = data.join("edge-b").join("node.toml");
    let config = config.display().to_string();
    let output = Command::new(binary())
        .args(["run", "--config", &config])
        .output();
    let output = output.expect("guitai runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(UNDECLARED), "{said}");
    assert!(
        said.contains("GT-0605") && said.contains("door, TCP"),
        "{said}"
    );
}
