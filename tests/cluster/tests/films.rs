//! A film that people ask for, with the real program: the node that makes it is killed, it is made all the same,
//! handed out with a reason, and checked with the package that it names.

use std::{process::Output, time::Duration};

use guitai_cluster::{Deployment, deployment::wait_for, officers};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn a_film_is_made_though_its_node_is_killed_and_is_checked_with_the_package_it_names() {
    let deployment = Deployment::start();
    let listed = || deployment.json(&["recordings", "film", "list"]);
    let said = wait_for(
        "a word of two recorders about their tools",
        PATIENCE,
        || {
            let makers = listed()["makers"].as_array()?.clone();
            (makers.len() >= 2).then_some(makers)
        },
    );
    if said.iter().all(|maker| maker["ffmpeg"].is_null()) {
        return println!("skipped: {said:?}");
    }
    let called = deployment.run(&["demo", "--json"]);
    assert!(called.status.success(), "{called:?}");
    let session = wait_for("a recording with two whole copies", PATIENCE, || {
        let kept = deployment.json(&["recordings", "list"]);
        let kept = kept.as_array()?.first()?.clone();
        let copies = kept["copies"].as_array()?;
        let whole = copies.iter().filter(|it| it["health"]["is"] == "whole");
        (whole.count() >= 2).then(|| kept["session"].as_str().map(str::to_owned))?
    });
    let ask = |line: &str| deployment.ask(&format!("recordings film {line}"));

    let ordered = officers::answer(&ask(&format!("make {session} --watermark 2026-1")));
    let film = ordered["film"]["number"].as_u64().expect("a number");
    let again = officers::answer(&ask(&format!("make {session} --watermark 2026-1")));
    assert_eq!(again["film"]["number"], film, "the same is not made twice");
    let shown = || {
        let films = listed()["films"].as_array()?.clone();
        films.into_iter().find(|it| it["film"]["number"] == film)
    };
    let maker = wait_for("somebody who makes it", PATIENCE, || {
        let node = shown()?["film"]["stage"]["node"].as_str()?.to_owned();
        Some(node)
    });
    deployment.kill(&maker);
    let done = wait_for("the film", PATIENCE, || {
        shown().filter(|it| it["film"]["stage"]["is"] == "done")
    });
    let made = &done["film"]["stage"]["made"];

    // Whoever is handed it says why, and checks it.
    let path = |name: &str| deployment.dir.path().join(name).display().to_string();
    let (out, package) = (path("film.mp4"), path("call.vcep"));
    let get = |reason: &str| {
        let number = film.to_string();
        let words = [
            "recordings",
            "film",
            "get",
            &number,
            "--out",
            &out,
            "--reason",
        ];
        deployment.run(&[&words[..], &[reason, "--json"]].concat())
    };
    let refused = officers::refused(&get(""));
    assert!(refused.contains("the reason is empty"), "{refused}");
    let got = wait_for("the node that has it", PATIENCE, || {
        let got = get("complaint 42");
        got.status.success().then_some(got)
    });
    assert_eq!(officers::answer(&got)["bytes"], made["bytes"]);
    let recorder = made["recorder"].as_str().expect("a recorder");
    let exported = deployment.run(&[
        "evidence",
        "export",
        &session,
        "--recorder",
        recorder,
        "--reason",
        "test",
        "--out",
        &package,
    ]);
    assert!(exported.status.success(), "{exported:?}");
    let verified = local(&["evidence", "composite", "verify", &package, &out]);
    assert!(verified.status.success(), "{verified:?}");
    let accesses = deployment.json(&["log", "accesses", "--session", &session]);
    assert!(
        accesses.to_string().contains("complaint 42"),
        "{accesses:#}"
    );

    // Forgotten, it is gone, and may be asked for again.
    assert!(ask(&format!("cancel {film}")).status.success());
    assert!(shown().is_none());
    let next = officers::answer(&ask(&format!("make {session} --watermark 2026-1")));
    assert_eq!(next["film"]["number"], film + 1, "{next:#}");
    let none: Value = officers::answer(&ask(&format!("cancel {}", film + 1)));
    assert_eq!(none["cancelled"], true);
}

/// A command that needs no cluster.
fn local(words: &[&str]) -> Output {
    let mut command = std::process::Command::new(guitai_cluster::deployment::binary());
    command.args(words).output().expect("guitai runs")
}
