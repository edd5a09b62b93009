//! Who may import whom: the manifests against the table in `docs/architecture.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use guitai_tidy::{read, root};

struct Row {
    may_import: BTreeSet<String>,
    alone_names: BTreeSet<String>,
}

#[test]
fn every_import_is_an_arrow_of_the_table() {
    let table = table();
    let packages = packages();
    let in_table: BTreeSet<_> = table.keys().collect();
    assert_eq!(
        in_table,
        packages.keys().collect(),
        "crates of the table and of the workspace"
    );

    let mut wrong = Vec::new();
    for (crate_name, imports) in &packages {
        for import in imports {
            if let Some(ours) = import.strip_prefix("guitai-")
                && !table[crate_name].may_import.contains(ours)
            {
                wrong.push(format!("{crate_name} imports {import}: no such arrow"));
            }
            let owner = table
                .iter()
                .find(|(_, row)| row.alone_names.contains(import));
            if let Some((owner, _)) = owner.filter(|(owner, _)| *owner != crate_name) {
                wrong.push(format!(
                    "{crate_name} imports {import}, which only {owner} names"
                ));
            }
        }
    }
    for (crate_name, row) in &table {
        let unused = row
            .may_import
            .iter()
            .filter(|ours| !packages[crate_name].contains(&format!("guitai-{ours}")));
        wrong.extend(
            unused.map(|ours| format!("{crate_name} does not import {ours}: a dead arrow")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn arrows_run_down_only() {
    let table = table();
    let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..=table.len() {
        for (name, row) in &table {
            let below = row
                .may_import
                .iter()
                .filter_map(|i| depth.get(format!("guitai-{i}").as_str()));
            let own = below.max().map_or(0, |deepest| deepest + 1);
            depth.insert(name, own);
        }
    }
    let deepest = depth.values().max().copied().unwrap_or_default();
    assert!(deepest < table.len(), "the table has a circle");
}

#[test]
fn every_crate_inherits_the_lints() {
    for manifest in manifests() {
        let text = read(&manifest);
        let inherits = text.contains("[lints]\nworkspace = true");
        // Vector code; and the hostile program of the sandbox's tests, whose library forbids it in its first lines.
        let exceptions = ["nodes/crypto/Cargo.toml", "nodes/sandbox/Cargo.toml"];
        let excepted =
            exceptions.contains(&manifest.as_str()) && text.contains("unsafe_code = \"deny\"");
        assert!(
            inherits || excepted,
            "{manifest} lacks [lints] workspace = true"
        );
    }
    assert!(read("nodes/sandbox/src/lib.rs").contains("#![forbid(unsafe_code)]"));
}

/// With it, consensus runs on the simulator's clockwork: a node's binary must not have it.
#[test]
fn only_the_simulator_asks_for_the_simulators_consensus() {
    let asks = |manifest: &String| {
        let text = read(manifest);
        let mut lines = text.lines();
        lines.any(|line| line.starts_with("guitai-meta") && line.contains("\"sim\""))
    };
    let asking: Vec<String> = manifests().into_iter().filter(asks).collect();
    assert_eq!(asking, ["tests/sim/Cargo.toml"]);
    assert!(!read("nodes/meta/Cargo.toml").contains("default = ["));
}

fn manifests() -> Vec<String> {
    let text = read("Cargo.toml");
    let members = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"'));
    members
        .filter_map(|rest| rest.split_once('"'))
        .map(|(dir, _)| format!("{dir}/Cargo.toml"))
        .collect()
}

fn table() -> BTreeMap<String, Row> {
    let page = read("docs/architecture.md");
    let body = page
        .split("arrows:begin")
        .nth(1)
        .and_then(|rest| rest.split("arrows:end").next());
    let body = body.expect("docs/architecture.md has the arrows table");
    let rows = body.lines().filter(|line| line.starts_with("| guitai"));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let list = |cell: &str| -> BTreeSet<String> {
            cell.split(',')
                .map(|word| word.trim().to_owned())
                .filter(|word| !word.is_empty())
                .collect()
        };
        (
            cells[1].to_owned(),
            Row {
                may_import: list(cells[2]),
                alone_names: list(cells[3]),
            },
        )
    })
    .collect()
}

/// Normal (not dev, not build) dependencies by workspace package.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let normal = dependencies.iter().filter(|one| one["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}
