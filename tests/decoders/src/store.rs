//! What a node finds on its own disk after a crash, or after somebody had the disk in his hands: the log's segments,
//! snapshots, sealed records.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use guitai_host::{Disk, SimDisk};
use guitai_store::{
    STORAGE_KEY_BYTES, Sealing, Snapshots, Wal,
    wal::{Config, Recovered},
};

use crate::Seed;

const DIR: &str = "wal";

/// Files by their paths.
type Files = Vec<(PathBuf, Vec<u8>)>;
/// Entries by their indexes.
type Entries = Vec<(u64, Vec<u8>)>;

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 4 {
        0 => segment(bytes),
        1 => edited(bytes),
        2 => snapshot(bytes),
        _ => sealed(bytes),
    }
}

fn config() -> Config {
    Config {
        dir: DIR.into(),
        segment_bytes: 2_048,
        grow_bytes: 512,
        cache_bytes: 256,
        queue_bytes: 8_192,
    }
}

/// Opens the log on a disk and reads all of it; what is damaged must be said and not read.
fn open(disk: &SimDisk) -> Option<(Recovered, Entries)> {
    let opened = Wal::open_stepped(Arc::new(disk.clone()), config(), || {});
    let (wal, recovered, _stepper) = opened.ok()?;
    assert_eq!(
        wal.range(),
        recovered.entries,
        "other entries than were recovered"
    );
    let entries = wal.read(recovered.entries.clone()).ok()?;
    let indexes = entries.iter().map(|(index, _)| *index);
    assert!(
        indexes.eq(recovered.entries.clone()),
        "other entries than were asked for"
    );
    Some((recovered, entries))
}

/// An honest log in several segments, and what is in it.
fn honest() -> &'static (Files, Entries) {
    static HONEST: OnceLock<(Files, Entries)> = OnceLock::new();
    HONEST.get_or_init(|| {
        let disk = SimDisk::new();
        let opened = Wal::open_stepped(Arc::new(disk.clone()), config(), || {});
        let (wal, _, mut stepper) = opened.expect("an empty disk");
        for index in 0..60 {
            wal.append(
                index,
                vec![format!("entry {index}").into_bytes(); 1],
                |_| {},
            );
            assert!(stepper.step(), "the log is written");
        }
        let entries = wal.read(0..60).expect("they are there");
        let dir = Path::new(DIR);
        let names = disk.list(dir).expect("it is there");
        let file = |name: &String| {
            let path = dir.join(name);
            let bytes = disk.read(&path, 1 << 20).expect("it is there");
            (path, bytes)
        };
        (names.iter().map(file).collect(), entries)
    })
}

fn disk_with(files: &[(PathBuf, Vec<u8>)]) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new(DIR)).expect("memory");
    for (path, bytes) in files {
        disk.write_whole(path, bytes).expect("memory");
    }
    disk
}

/// Any bytes as the only segment.
fn segment(bytes: &[u8]) -> bool {
    let path = honest().0[0].0.clone();
    open(&disk_with(&[(path, bytes.to_vec())])).is_some()
}

/// The honest log with some bytes changed: two of the place, one of the file, the new byte, and so on. Entries that
/// are read are those that were written.
fn edited(bytes: &[u8]) -> bool {
    let (files, written) = honest();
    let mut files = files.clone();
    for [file, high, low, byte] in bytes.as_chunks::<4>().0 {
        let count = files.len();
        let (_, content) = &mut files[usize::from(*file) % count];
        let at = usize::from(u16::from_be_bytes([*high, *low])) % content.len();
        content[at] = *byte;
    }
    let Some((_, entries)) = open(&disk_with(&files)) else {
        return false;
    };
    for entry in &entries {
        assert!(
            written.contains(entry),
            "entry {} is another than was written",
            entry.0
        );
    }
    true
}

fn snapshot(bytes: &[u8]) -> bool {
    let disk = SimDisk::new();
    let dir = Path::new("snapshots");
    disk.create_dir(dir).expect("memory");
    disk.write_whole(&dir.join("00000000000000000001.snapshot"), bytes)
        .expect("memory");
    let snapshots = Snapshots::open(Arc::new(disk.clone()), dir).expect("memory");
    let Ok(Some(found)) = snapshots.latest() else {
        return false;
    };
    snapshots.save(&found.meta, &found.data).expect("memory");
    let again = snapshots.latest().expect("memory").expect("it was saved");
    assert!(
        again.meta == found.meta && again.data == found.data,
        "another snapshot after it was saved"
    );
    true
}

/// A record that nobody sealed is none.
fn sealed(bytes: &[u8]) -> bool {
    let sealing = Sealing::new(&[7; STORAGE_KEY_BYTES]);
    let opened = sealing.open(&[b"place"], bytes);
    assert!(
        opened.is_err() || sealing.open(&[b"elsewhere"], bytes).is_err(),
        "good anywhere"
    );
    let again = sealing.seal(&[b"place"], bytes);
    assert_eq!(
        sealing.open(&[b"place"], &again).ok().as_deref(),
        Some(bytes),
        "lost"
    );
    opened.is_ok()
}

pub(crate) fn seeds() -> Vec<Seed> {
    let (files, _) = honest();
    let disk = SimDisk::new();
    let snapshots = Snapshots::open(Arc::new(disk.clone()), "snapshots").expect("memory");
    snapshots.save(b"meta", b"the state").expect("memory");
    let name = disk.list(Path::new("snapshots")).expect("memory");
    let saved = disk
        .read(&Path::new("snapshots").join(&name[0]), 1 << 20)
        .expect("memory");
    let sealing = Sealing::new(&[7; STORAGE_KEY_BYTES]);
    vec![
        Seed::new("segment", 0, &files[0].1),
        Seed::new("unedited", 1, &[]),
        Seed::new("snapshot", 2, &saved),
        Seed::new("sealed", 3, &sealing.seal(&[b"place"], b"a record")),
    ]
}
