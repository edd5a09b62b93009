//! The flow matrix at work: nothing is founded that it does not cover, no node listens or speaks where no row lets it.

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use guitai_cluster::{
    Deployment, NODES,
    deployment::{binary, wait_for},
    http::ask,
    officers::{answer, refused},
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

    // An edge whose matrix has no control from inside takes none, and so has nothing to give; nor is it brought another,
    // where it lets nobody ask it anything.
    let closed = without(&["edge-control", "edge-questions"]);
    fs::write(copy("edge-b"), closed).expect("written");
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
    // Said once for each kind and peer of a run of the node, not for each try. Its first run ends before it has read
    // this matrix, so that what is compared begins with the last one.
    let log = log();
    let (_, run) = log
        .rsplit_once("\"message\":\"starting\"")
        .expect("it has started");
    let said: Vec<&str> = run
        .lines()
        .filter(|line| line.contains("the flow matrix does not declare"))
        .filter_map(|line| line.split("\"what\":").nth(1))
        .collect();
    let kinds: BTreeSet<&str> = said.iter().copied().collect();
    assert_eq!(kinds.len(), said.len(), "{log}");
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

#[test]
fn two_officers_change_the_matrix_while_nodes_run_and_one_step_takes_it_back() {
    let deployment = Deployment::start();
    let history = || answer(&deployment.ask("flow history"));
    let begun = wait_for("the cluster to agree on its matrix", PATIENCE, || {
        let known = deployment.ask("flow history");
        known.status.success().then(|| answer(&known))
    });
    assert_eq!(begun["present"]["number"], 1, "{begun:#}");
    let file = deployment.dir.path().join("next.flows.toml");
    let file = file.display().to_string();

    // What the nodes need cannot be taken away, whoever asks.
    fs::write(&file, without(&["edge-control"])).expect("written");
    let submit = format!("flow plan {file} --submit --reason smaller");
    let said = refused(&deployment.ask(&submit));
    assert!(
        said.contains("GT-0400") && said.contains("tunnel"),
        "{said}"
    );

    let next = without(&[])
        .replacen("version = 1", "version = 2", 1)
        .replacen("2028-12-31", "2029-06-30", 1);
    fs::write(&file, &next).expect("written");
    let looked = answer(&deployment.ask(&format!("flow plan {file}")));
    assert_eq!(looked["widens"], true, "{looked:#}");
    assert!(
        looked["changes"].to_string().contains("2029-06-30"),
        "{looked:#}"
    );
    let planned = answer(&deployment.ask(&submit));
    assert_eq!(planned["proposed"], 2, "{planned:#}");
    let approve = |officer: &str, number: u32| {
        deployment.ask(&format!("flow approve {number} --officer {officer}"))
    };
    answer(&approve("chenjing", 2));
    let said = refused(&approve("chenjing", 2));
    assert!(said.contains("another officer must"), "{said}");
    assert_eq!(
        history()["present"]["number"],
        1,
        "one officer is not enough"
    );
    answer(&approve("liuyang", 2));
    assert_eq!(history()["present"]["number"], 2);

    // Every node obeys it, edges too, and inner ones start with it.
    let version = |number: u32| format!("\"version\":{number},");
    let obeys = |node: &str, number: u32| {
        let log = fs::read_to_string(deployment.data().join(node).join("node.log"));
        let log = log.unwrap_or_default();
        let mut said = log.lines().filter(|line| line.contains("\"flow matrix\""));
        said.next_back()
            .is_some_and(|line| line.contains(&version(number)))
    };
    wait_for("every node to obey the new matrix", PATIENCE, || {
        NODES.iter().all(|node| obeys(node, 2)).then_some(())
    });
    let kept = |node: &str| fs::read_to_string(deployment.data().join(node).join("flows.toml"));
    assert_eq!(kept("a1-1").expect("its copy"), next);
    assert_eq!(
        kept("edge-a1").expect("its copy"),
        without(&[]),
        "an edge writes no file"
    );
    // One that starts again obeys it, too: the edge is brought it.
    deployment.kill("edge-b");
    wait_for("edge-b to be brought it again", PATIENCE, || {
        let log = fs::read_to_string(deployment.data().join("edge-b").join("node.log"));
        let log = log.unwrap_or_default();
        let starts = log.rfind("\"starting\"")?;
        let since = log.get(starts..)?;
        since.contains(&version(2)).then_some(())
    });
    let call = deployment.run(&["demo"]);
    assert!(
        call.status.success(),
        "{}",
        String::from_utf8_lossy(&call.stdout)
    );

    let undone = answer(&deployment.ask("flow undo --reason back"));
    assert_eq!(undone["proposed"], 3, "{undone:#}");
    answer(&approve("liuyang", 3));
    answer(&approve("chenjing", 3));
    wait_for("every node to obey the one before", PATIENCE, || {
        NODES.iter().all(|node| obeys(node, 1)).then_some(())
    });

    // What the row of the guard lacks crosses no more: neither does the edge ask, nor does it get an answer.
    let catalogue = || {
        let door = SocketAddr::from(([127, 1, 1, 1], deployment.door_port));
        ask(door, "GET", "/api/v1/catalogue", "", "")
    };
    assert_eq!(catalogue().0, 200);
    let narrower = without(&[])
        .replacen("version = 1", "version = 4", 1)
        .replacen("\"ask.catalogue\", ", "", 1);
    fs::write(&file, narrower).expect("written");
    let planned = answer(&deployment.ask(&submit));
    assert_eq!(planned["proposed"], 4, "{planned:#}");
    answer(&approve("chenjing", 4));
    answer(&approve("liuyang", 4));
    let said = wait_for("the edge to pass no such question", PATIENCE, || {
        let (status, said) = catalogue();
        (status == 422).then_some(said)
    });
    assert!(said.contains("GT-0422"), "{said}");
    let denied = wait_for("the refusal to be told", PATIENCE, || {
        let denied = answer(&deployment.ask("flow denied"));
        denied.to_string().contains("undeclared").then_some(denied)
    });
    assert!(denied.to_string().contains("ask.catalogue"), "{denied:#}");
    let records = answer(&deployment.ask("log records --kind flow-matrix"));
    let steps: Vec<&str> = records
        .as_array()
        .expect("entries")
        .iter()
        .rev()
        .filter_map(|entry| entry["record"]["step"].as_str())
        .collect();
    let change = ["proposed", "approved", "approved", "in-force"];
    assert_eq!(
        steps,
        [&["begun"][..], &change, &change, &change].concat(),
        "{records:#}"
    );
    // And who holds what, edges included.
    let certificates = answer(&deployment.ask("log records --kind certificate"));
    let told: BTreeSet<&str> = certificates
        .as_array()
        .expect("entries")
        .iter()
        .filter_map(|entry| entry["record"]["node"].as_str())
        .collect();
    assert_eq!(told.len(), NODES.len(), "{told:?}");
}
