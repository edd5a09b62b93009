//! What `guitai up` refuses: one clear error, an exit code of its own, nothing half-started.

use std::{fs, net::TcpListener, process::Output};

use guitai_cluster::Deployment;

fn up(deployment: &Deployment) -> Output {
    let mut command = deployment.command(&["up", "--json"]);
    command
        .arg("--profile")
        .arg(&deployment.profile)
        .output()
        .expect("guitai up runs")
}

fn refused(output: &Output, exit: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit), "{said}");
    for word in words {
        assert!(said.contains(word), "lacks {word:?}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_bad_profile_is_refused_before_anything_is_written() {
    let deployment = Deployment::prepare();
    let good = fs::read_to_string(&deployment.profile).expect("profile");
    let cases = [
        (good.replace("schema = 1", "schema = 9"), "schema 9"),
        (
            good.replace("heartbeat_ms", "heart_beat_ms"),
            "heart_beat_ms",
        ),
        (good.replace("centre = \"b\"", "centre = \"c9\""), "c9"),
        (good.replacen("id = 2\n", "id = 1\n", 1), "used twice"),
        (
            good.replacen("voice = \"voter\"", "voice = \"learner\"", 1),
            "odd",
        ),
        ("not toml at all [".to_owned(), "profile.toml"),
    ];
    for (text, word) in cases {
        fs::write(&deployment.profile, text).expect("profile");
        refused(&up(&deployment), 10, &["GT-0601", word]);
        assert!(!deployment.data().exists(), "nothing is written");
    }
    fs::remove_file(&deployment.profile).expect("profile");
    refused(&up(&deployment), 10, &["GT-0601", "profile.toml"]);
}

#[test]
fn a_taken_port_is_named_and_nothing_is_started() {
    let deployment = Deployment::prepare();
    let taken = deployment.door("127.2.2.2");
    let _listener = TcpListener::bind(taken).expect("the port is ours");
    refused(
        &up(&deployment),
        11,
        &["GT-0602", &taken.to_string(), "a2-2"],
    );
    assert!(!deployment.data().exists(), "nothing is written");
}

#[test]
fn data_of_another_deployment_is_refused() {
    let deployment = Deployment::prepare();
    fs::create_dir(deployment.data()).expect("directory");
    fs::write(deployment.data().join("notes.txt"), "mine").expect("a file of somebody else");
    refused(&up(&deployment), 12, &["GT-0603"]);
    assert!(
        deployment.data().join("notes.txt").is_file(),
        "it is still there"
    );
}

#[test]
fn a_second_up_beside_a_running_one_and_another_profile_are_refused() {
    let mut deployment = Deployment::start();
    refused(&up(&deployment), 12, &["GT-0603", "running"]);
    assert_eq!(deployment.down(), Some(0));
    let text = fs::read_to_string(&deployment.profile).expect("profile");
    fs::write(
        &deployment.profile,
        text.replace("name = \"demo\"", "name = \"other\""),
    )
    .expect("profile");
    refused(&up(&deployment), 12, &["GT-0603", "another profile"]);
}
