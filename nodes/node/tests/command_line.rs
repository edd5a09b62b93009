//! What an operator sees first: every command is listed in both languages, and a wrong word ends with 2.

use std::process::{Command, Output};

fn guitai(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guitai"));
    command.args(arguments).output().expect("guitai runs")
}

#[test]
fn help_lists_every_command_in_both_languages() {
    let output = guitai(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout);
    let commands = [
        "up",
        "run",
        "status",
        "nodes",
        "sessions",
        "recordings",
        "evidence",
        "crypto",
        "keys",
        "demo",
        "openapi",
    ];
    for command in commands {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{command} ")));
        let line = line.unwrap_or_else(|| panic!("{command} is not listed:\n{help}"));
        assert!(
            !line.is_ascii() && line.contains(" / "),
            "one language only: {line}"
        );
    }
}

#[test]
fn a_wrong_word_ends_with_2_and_a_bad_node_configuration_with_10() {
    assert_eq!(guitai(&["upp"]).status.code(), Some(2));
    assert_eq!(
        guitai(&["up", "--keep-package", "x"]).status.code(),
        Some(2)
    );
    let output = guitai(&["run", "--config", "no/such/node.toml"]);
    assert_eq!(output.status.code(), Some(10));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("GT-0601") && said.contains("no/such/node.toml"),
        "{said}"
    );
}

#[test]
fn the_self_test_passes_and_a_broken_one_is_found_and_stops_a_node() {
    let output = guitai(&["crypto", "selftest", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("checks");
    assert!(report["ok"] == true && checks.len() >= 11, "{report}");
    let output = guitai(&["crypto", "selftest", "--break", "sm2-verify"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("GT-0801"), "{said}");

    let mut node = Command::new(env!("CARGO_BIN_EXE_guitai"));
    node.args(["run", "--config", "never/read.toml"]);
    let output = node.env("GUITAI_BREAK_SELFTEST", "sm4-gcm").output();
    let output = output.expect("guitai runs");
    assert_eq!(output.status.code(), Some(13));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("GT-0801") && said.contains("sm4-gcm"),
        "{said}"
    );
}

#[test]
fn what_this_kernel_can_hold_is_said_and_nothing_is_entered() {
    let output = guitai(&["sandbox", "check", "--role", "edge", "--json"]);
    let code = output.status.code();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let edge = &said["roles"][0];
    assert_eq!(edge["role"], "edge");
    // A kernel without some of it is a finding.
    assert_eq!(code, Some(if edge["state"] == "whole" { 0 } else { 5 }));
    let rows = edge["rows"].as_array().expect("rows");
    let kinds: Vec<_> = rows.iter().map(|row| row["protection"].clone()).collect();
    let all = ["privileges", "files", "tcp", "processes", "calls", "door"];
    assert_eq!(kinds, all);
    let all = guitai(&["sandbox", "check"]);
    let words = String::from_utf8_lossy(&all.stdout).into_owned();
    assert!(
        ["edge", "core", "recorder"]
            .iter()
            .all(|role| words.contains(role)),
        "{words}"
    );
    let wrong = guitai(&["sandbox", "check", "--role", "agent"]);
    assert_eq!(wrong.status.code(), Some(2));
}
