//! What recorders have of a call, taken out through the product and shown to both verifiers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::{Deployment, deployment::binary};

/// Every recording of a session, exported and believed by both verifiers: its manifest by node.
///
/// # Panics
/// When one cannot be had, a verifier refuses it, or the two do not say the same.
pub fn verified(deployment: &Deployment, session: &Value) -> BTreeMap<String, Value> {
    let id = session["id"].as_str().expect("an id");
    let turns = session["assignments"].as_array().expect("turns");
    let nodes: BTreeSet<&str> = turns
        .iter()
        .map(|turn| turn["node"].as_str().expect("a node"))
        .collect();
    let root = deployment.data().join("pki/root.pem");
    let fetch = |node: &str| {
        let out = deployment.dir.path().join(format!("package-{id}-{node}"));
        let to = out.display().to_string();
        let export = ["evidence", "export", id, "--recorder", node];
        let exported = deployment.run(&[&export[..], &["--reason", "test", "--out", &to]].concat());
        let said = String::from_utf8_lossy(&exported.stderr);
        assert!(exported.status.success(), "{node}: {said}");
        both_believe(&out, &root);
        let manifest = fs::read(out.join("manifest.json")).expect("a manifest");
        (
            node.to_owned(),
            serde_json::from_slice(&manifest).expect("JSON"),
        )
    };
    nodes.into_iter().map(fetch).collect()
}

/// Shows a package to both verifiers.
///
/// # Panics
/// When one refuses it, or they do not say the same.
pub fn both_believe(package: &Path, root: &Path) {
    let product = verdict(
        Command::new(binary())
            .args(["evidence", "verify"])
            .arg(package)
            .arg("--root")
            .arg(root),
    );
    let second = verdict(
        Command::new("python3")
            .current_dir(second_verifier())
            .args(["-m", "verifier"])
            .arg(package)
            .arg("--root")
            .arg(root),
    );
    assert_eq!(product, second, "{}", package.display());
}

/// What a verifier says of the twelve points of a package that it believes.
fn verdict(command: &mut Command) -> Vec<(String, String)> {
    let output = command.arg("--json").output().expect("a verifier runs");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{command:?}: {out} {err}"));
    assert_eq!(report["ok"], true, "{command:?}: {report:#}");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let points = report["checks"].as_array().expect("checks").iter();
    points
        .map(|point| (text(&point["name"]), text(&point["status"])))
        .collect()
}

fn second_verifier() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../verifier")
}
