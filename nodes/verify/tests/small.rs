//! What an auditor need not read: nothing that opens a connection or runs an executor is in the program.

use std::process::Command;

/// Network, async, and what drags them in.
const NOT_IN_IT: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "smol",
    "futures",
    "futures-util",
    "socket2",
    "quinn",
    "quinn-proto",
    "hyper",
    "h2",
    "axum",
    "reqwest",
    "openraft",
    "tokio-rustls",
    "web-transport-quinn",
    "moq-net",
    "clap",
    "rustix",
];

#[test]
fn there_is_no_network_in_the_program() {
    let listed = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            "guitai-verify",
            "-e",
            "normal",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(
        listed.status.success(),
        "{}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let listed = String::from_utf8(listed.stdout).expect("names are text");
    let names: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    // So that an empty list is no proof.
    assert!(
        names.contains(&"guitai-evidence") && names.contains(&"sm2"),
        "{names:?}"
    );
    let found: Vec<_> = names
        .iter()
        .filter(|name| NOT_IN_IT.contains(name))
        .collect();
    assert!(found.is_empty(), "{found:?} are in the offline verifier");
}

#[test]
fn it_says_what_it_can_do_and_refuses_the_rest() {
    let run = |arguments: &[&str]| {
        let done = Command::new(env!("CARGO_BIN_EXE_guitai-verify"))
            .args(arguments)
            .output();
        let done = done.expect("it runs");
        (
            done.status.code(),
            String::from_utf8_lossy(&done.stdout).into_owned(),
        )
    };
    let (code, help) = run(&["--help"]);
    assert!(
        code == Some(0) && help.contains("离线") && help.contains("offline"),
        "{help}"
    );
    assert_eq!(run(&[]).0, Some(2));
    assert_eq!(run(&["/nowhere"]).0, Some(2));
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("a name");
    assert_eq!(run(&[folder, "--root", "/nowhere"]).0, Some(1));
    assert_eq!(run(&[folder, "--policy", "/nowhere"]).0, Some(1));
    assert!(
        help.contains("--policy") && help.contains("--complete"),
        "{help}"
    );
    let (code, report) = run(&[folder, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&report).expect("a report");
    assert_eq!((code, &report["ok"]), (Some(3), &serde_json::json!(false)));
    assert_eq!(report["items"][0]["what"], "manifest");
    let (code, report) = run(&[folder, "--lang", "zh"]);
    assert!(code == Some(3) && report.contains("校验不通过"), "{report}");
}
