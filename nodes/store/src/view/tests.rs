//! One suite over every engine: what differs between them is a fault.

use std::{fs, path::Path};

use guitai_host::{Batch, Kv, MemoryKv};

use super::*;

fn pair(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.into())
}

fn over_every_engine(check: impl Fn(&str, &dyn Kv)) {
    let dir = tempfile::tempdir().unwrap();
    check("memory", &MemoryKv::new());
    check(
        "sled",
        &SledView::open(&dir.path().join("sled")).unwrap().view,
    );
    check(
        "redb",
        &RedbView::open(&dir.path().join("redb")).unwrap().view,
    );
}

#[test]
fn reads_what_was_applied_in_key_order() {
    over_every_engine(|engine, view| {
        let puts = vec![
            pair("b/2", "two"),
            pair("a", ""),
            pair("b/1", "one"),
            pair("c", "x"),
        ];
        view.apply(Batch {
            puts,
            deletes: vec![],
        })
        .unwrap();
        assert_eq!(view.get(b"b/1").unwrap().unwrap(), b"one", "{engine}");
        assert_eq!(view.get(b"a").unwrap().unwrap(), b"", "{engine}");
        assert_eq!(view.get(b"b").unwrap(), None, "{engine}");
        assert_eq!(
            view.scan(b"b/").unwrap(),
            [pair("b/1", "one"), pair("b/2", "two")],
            "{engine}"
        );
        assert_eq!(view.scan(b"").unwrap().len(), 4, "{engine}");
        view.flush().unwrap();
        assert_eq!(view.scan(b"").unwrap().len(), 4, "{engine}");
    });
}

#[test]
fn deletes_come_before_puts() {
    over_every_engine(|engine, view| {
        view.apply(Batch {
            puts: vec![pair("k", "1"), pair("l", "1")],
            deletes: vec![],
        })
        .unwrap();
        let deletes = vec![b"k".to_vec(), b"l".to_vec(), b"absent".to_vec()];
        view.apply(Batch {
            puts: vec![pair("k", "2")],
            deletes,
        })
        .unwrap();
        assert_eq!(view.scan(b"").unwrap(), [pair("k", "2")], "{engine}");
    });
}

#[test]
fn keys_at_the_edge_of_a_prefix() {
    over_every_engine(|engine, view| {
        let keys: [&[u8]; 4] = [b"\xfe\xff", b"\xff", b"\xff\x00", b"\xff\xff"];
        let puts = keys.iter().map(|key| (key.to_vec(), vec![])).collect();
        view.apply(Batch {
            puts,
            deletes: vec![],
        })
        .unwrap();
        assert_eq!(view.scan(b"\xff").unwrap().len(), 3, "{engine}");
    });
}

fn flushed_pairs_are_there_after_opening_again<V: Kv>(
    open: impl Fn(&Path) -> Result<OpenOutcome<V>, OpenViewError>,
) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("view");
    let first = open(&dir).unwrap();
    assert!(!first.rebuilt);
    first
        .view
        .apply(Batch {
            puts: vec![pair("k", "v")],
            deletes: vec![],
        })
        .unwrap();
    first.view.flush().unwrap();
    drop(first);
    let again = open(&dir).unwrap();
    assert!(!again.rebuilt);
    assert_eq!(again.view.get(b"k").unwrap().unwrap(), b"v");
}

#[test]
fn a_view_is_there_after_opening_again() {
    flushed_pairs_are_there_after_opening_again(SledView::open);
    flushed_pairs_are_there_after_opening_again(RedbView::open);
}

/// Overwrites the middle of every file of a view.
fn garble(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let mut data = fs::read(&path).unwrap();
            let from = data.len() / 50;
            data[from..].fill(0xa5);
            fs::write(&path, data).unwrap();
        }
    }
}

fn a_damaged_view_is_set_aside<V: Kv>(
    open: impl Fn(&Path) -> Result<OpenOutcome<V>, OpenViewError>,
) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("view");
    for n in 1..=5 {
        let outcome = open(&dir).unwrap();
        let puts = (0..2_000)
            .map(|k| pair(&format!("{k:05}"), &"v".repeat(200)))
            .collect();
        outcome
            .view
            .apply(Batch {
                puts,
                deletes: vec![],
            })
            .unwrap();
        outcome.view.flush().unwrap();
        drop(outcome);
        garble(&dir);
        let outcome = open(&dir).unwrap();
        assert!(outcome.rebuilt);
        assert_eq!(outcome.view.scan(b"").unwrap(), [], "the new view is empty");
        let aside = outcome.quarantined.unwrap();
        assert!(
            aside.ends_with(format!("view.quarantine-{n}")),
            "{}",
            aside.display()
        );
        assert!(aside.is_dir());
    }
    let kept = fs::read_dir(root.path()).unwrap().count();
    assert_eq!(kept, 1 + QUARANTINED_KEPT);
}

#[test]
fn a_damaged_sled_view_is_set_aside() {
    a_damaged_view_is_set_aside(SledView::open);
}

#[test]
fn a_damaged_redb_view_is_set_aside() {
    a_damaged_view_is_set_aside(RedbView::open);
}

#[test]
fn a_view_in_use_is_not_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("view");
    let _first = SledView::open(&dir).unwrap();
    let error = SledView::open(&dir).unwrap_err();
    assert!(matches!(error, OpenViewError::Engine { .. }), "{error}");
    assert!(dir.is_dir());
}
