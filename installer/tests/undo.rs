//! A plan is shown before it is done, does nothing twice, and leaves nothing behind when undone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use guitai_installer::{ApplyError, Facts, Wanted, apply, plan, undo};

struct Host {
    dir: tempfile::TempDir,
    wanted: Wanted,
}

fn host() -> Host {
    let dir = tempfile::tempdir().expect("a directory for the trial");
    let node_dir = dir.path().join("node");
    let root = dir.path().join("root");
    fs::create_dir_all(&node_dir).expect("node dir");
    fs::create_dir_all(root.join("etc/guitai")).expect("root dir");
    fs::write(dir.path().join("guitai"), b"program").expect("binary");
    fs::write(node_dir.join("node.toml"), b"schema = 1").expect("config");
    fs::write(node_dir.join("identity.key.pem"), b"secret").expect("key");
    fs::write(root.join("etc/guitai/node.toml"), b"older").expect("older config");
    let wanted = Wanted {
        binary: dir.path().join("guitai"),
        node_dir,
        root,
    };
    Host { dir, wanted }
}

fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                found.insert(path.clone(), Vec::new());
                open.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).expect("file"));
            }
        }
    }
    found
}

#[test]
fn undo_restores_what_was_there() {
    let host = host();
    let facts = Facts { systemd: Some(252) };
    let before = tree(&host.wanted.root);
    let steps = plan(&host.wanted, &facts).expect("plan");
    assert_eq!(tree(&host.wanted.root), before, "a plan changes nothing");

    apply(&host.wanted.root, &steps, |_, _| ()).expect("apply");
    let config = fs::read(host.wanted.root.join("etc/guitai/node.toml")).expect("config");
    assert_eq!(config, b"schema = 1");
    assert_eq!(
        plan(&host.wanted, &facts).expect("plan again"),
        [],
        "nothing is left to do"
    );

    undo(&host.wanted.root, |_| ()).expect("undo");
    let mut after = tree(&host.wanted.root);
    after.retain(|path, _| !path.ends_with("var") && !path.ends_with("var/lib"));
    assert_eq!(after, before);
}

#[test]
fn a_file_changed_after_the_plan_stops_the_installation_and_can_be_undone() {
    let host = host();
    let steps = plan(&host.wanted, &Facts::default()).expect("plan");
    fs::write(host.dir.path().join("guitai"), b"another program").expect("swap");
    let error = apply(&host.wanted.root, &steps, |_, _| ()).expect_err("must refuse");
    assert!(matches!(error, ApplyError::Changed { .. }), "{error}");
    undo(&host.wanted.root, |_| ()).expect("undo");
    assert!(!host.wanted.root.join("opt").exists());
}
