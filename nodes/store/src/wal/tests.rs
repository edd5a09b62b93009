//! The log under faults it can be told about: a full disk, a damaged one, many callers.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, mpsc},
};

use guitai_host::{Disk, SeededEntropy, SimDisk, SystemDisk};

use super::{
    record::{MAGIC, decode},
    *,
};

mod crash;

fn small() -> Config {
    Config {
        dir: "wal".into(),
        segment_bytes: 2_048,
        grow_bytes: 512,
        cache_bytes: 256,
        queue_bytes: 8_192,
    }
}

fn open(disk: &SimDisk) -> Result<(Wal, Recovered), OpenWalError> {
    Wal::open(Arc::new(disk.clone()), small())
}

fn append(wal: &Wal, first: u64, entries: Vec<Vec<u8>>) -> io::Result<()> {
    wait(|done| wal.append(first, entries, done))
}

#[test]
fn a_stepped_log_is_written_by_its_caller() {
    let disk = SimDisk::new();
    let calls = Arc::new(Mutex::new(0));
    let woken = Arc::clone(&calls);
    let wake = move || *woken.lock().unwrap() += 1;
    let opened = Wal::open_stepped(Arc::new(disk.clone()), small(), wake);
    let (wal, _, mut stepper) = opened.unwrap();
    let (tell, told) = mpsc::channel();
    for index in 0..3 {
        let tell = tell.clone();
        wal.append(index, vec![vec![7]], move |done| tell.send(done).unwrap());
    }
    assert_eq!(*calls.lock().unwrap(), 3);
    assert!(
        told.try_recv().is_err(),
        "acknowledged before it was written"
    );
    assert!(stepper.step());
    assert_eq!(told.try_iter().filter(Result::is_ok).count(), 3);
    disk.fail_sync();
    wal.append(3, vec![vec![7]], move |done| tell.send(done).unwrap());
    assert!(!stepper.step(), "the log has failed");
    assert!(told.recv().unwrap().is_err());
    drop(stepper);
    assert!(wal.stopped().is_some());
}

#[test]
fn a_log_on_the_machines_disk_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Wal::open(Arc::new(SystemDisk::new(dir.path()).unwrap()), small()).unwrap();
    let (wal, recovered) = open();
    assert_eq!(recovered, Recovered::default());
    for index in 0..200 {
        append(&wal, index, vec![index.to_string().into_bytes()]).unwrap();
    }
    wal.save_vote(b"vote".to_vec()).unwrap();
    wal.save_committed(b"committed".to_vec()).unwrap();
    wal.purge_through(99, b"log id 99".to_vec()).unwrap();
    wal.truncate_after(Some(149)).unwrap();
    drop(wal);
    let (wal, recovered) = open();
    assert_eq!(recovered.entries, 100..150);
    assert_eq!(recovered.vote.as_deref(), Some(b"vote".as_slice()));
    assert_eq!(
        recovered.committed.as_deref(),
        Some(b"committed".as_slice())
    );
    assert_eq!(
        recovered.purged,
        Some(Purged {
            index: 99,
            marker: b"log id 99".to_vec()
        })
    );
    let entries = wal.read(100..150).unwrap();
    assert!(
        entries
            .iter()
            .all(|(index, data)| *data == index.to_string().into_bytes())
    );
    let error = wal.read(99..101).unwrap_err();
    assert!(matches!(error, ReadWalError::Absent { .. }), "{error}");
    let first = SystemDisk::new(dir.path())
        .unwrap()
        .list(Path::new("wal"))
        .unwrap()
        .remove(0);
    assert_ne!(first, "0000000000000001.log", "purged segments are removed");
}

#[test]
fn a_reader_takes_no_more_than_it_wants() {
    let (wal, _) = open(&SimDisk::new()).unwrap();
    // Old ones are on the disk, new ones in memory.
    append(&wal, 0, vec![vec![7; 50]; 20]).unwrap();
    for start in [0, 17] {
        let entries = wal.read_within(start..20, 120).unwrap();
        assert!(
            (1..=2).contains(&entries.len()),
            "{} from {start}",
            entries.len()
        );
        assert_eq!(wal.read_within(start..20, 0).unwrap().len(), 1);
    }
    assert_eq!(wal.read_within(0..20, usize::MAX).unwrap().len(), 20);
}

#[test]
fn an_entry_is_readable_before_it_is_durable() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk).unwrap();
    disk.fail_sync();
    wal.append(1, vec![b"x".to_vec()], |_| ());
    assert_eq!(wal.read(1..2).unwrap(), [(1, b"x".to_vec())]);
}

#[test]
fn requests_that_wait_share_one_write_and_one_sync() {
    let disk = SimDisk::new();
    let config = Config {
        segment_bytes: 1 << 20,
        grow_bytes: 1 << 20,
        ..small()
    };
    let (wal, _) = Wal::open(Arc::new(disk.clone()), config).unwrap();
    let (busy, is_busy) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    wal.append(0, vec![b"first".to_vec()], move |_| {
        busy.send(()).unwrap();
        released.recv().unwrap();
    });
    is_busy.recv().unwrap();
    let before = disk.ops();
    let order = Arc::new(Mutex::new(Vec::new()));
    for index in 1..100 {
        let order = Arc::clone(&order);
        wal.append(index, vec![b"entry".to_vec()], move |done| {
            done.unwrap();
            order.lock().unwrap().push(index);
        });
    }
    release.send(()).unwrap();
    wal.save_vote(b"vote".to_vec()).unwrap();
    assert!(
        disk.ops() - before <= 4,
        "{} writes and syncs",
        disk.ops() - before
    );
    assert_eq!(*order.lock().unwrap(), (1..100).collect::<Vec<_>>());
}

#[test]
fn a_full_disk_stops_the_log_and_says_so() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk).unwrap();
    append(&wal, 1, vec![b"kept".to_vec()]).unwrap();
    disk.fail_after(100, io::ErrorKind::StorageFull);
    let error = append(&wal, 2, vec![vec![b'x'; 3_000]]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let error = wal.save_vote(b"vote".to_vec()).unwrap_err();
    assert!(
        error.to_string().starts_with("the log has stopped: "),
        "{error}"
    );
    assert!(wal.save_committed(vec![]).is_err());
    assert!(wal.stopped().is_some());
    assert_eq!(wal.read(1..2).unwrap(), [(1, b"kept".to_vec())]);
    drop(wal);
    disk.restart();
    let (wal, recovered) = open(&disk).unwrap();
    assert_eq!(recovered.entries, 1..2);
    append(&wal, 2, vec![b"there is space again".to_vec()]).unwrap();
}

#[test]
fn what_is_too_long_is_refused_and_the_log_goes_on() {
    let (wal, _) = open(&SimDisk::new()).unwrap();
    let error = append(&wal, 0, vec![vec![0; ENTRY_BYTES_MAX + 1]]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = wal.save_vote(vec![0; MARK_BYTES_MAX + 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    append(&wal, 0, vec![vec![0; 100_000]]).unwrap();
    let error = append(&wal, 2, vec![vec![]]).unwrap_err();
    assert!(error.to_string().contains("hole"), "{error}");
    append(&wal, 1, vec![vec![]]).unwrap();
}

/// Byte ranges of the records in a segment.
fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(record) = decode(&bytes[at..]) {
        found.push(at..at + record.len);
        at += record.len;
    }
    found
}

#[test]
fn a_flipped_bit_in_what_was_acknowledged_is_named() {
    let mut files = BTreeMap::new();
    for seed in 0..300 {
        let seeded = SeededEntropy::new(seed);
        let disk = SimDisk::new();
        let (wal, _) = open(&disk).unwrap();
        for index in 0..60 {
            append(&wal, index, vec![vec![7; seeded.below(120) as usize]]).unwrap();
        }
        drop(wal);
        let names = disk.list(Path::new("wal")).unwrap();
        let at = seeded.below(names.len() as u64) as usize;
        let path = Path::new("wal").join(&names[at]);
        let bytes = disk.read(&path, 1 << 20).unwrap();
        let mut records = records(&bytes);
        if at == names.len() - 1 {
            // The last batch is the known limit: an entry, or the head and an entry.
            records.pop();
            if records.len() == 1 {
                continue;
            }
        }
        let end = records.last().unwrap().end;
        let bit = seeded.below(end as u64 * 8);
        let hit = records
            .iter()
            .find(|record| record.contains(&(bit as usize / 8)))
            .unwrap();
        disk.dangerous_flip_bit(&path, bit).unwrap();
        match open(&disk) {
            Err(OpenWalError::Damaged { file, offset, .. }) => {
                assert_eq!((file, offset), (path, hit.start as u64), "seed {seed}");
            }
            other => panic!("seed {seed}: bit {bit} of {}: {other:?}", path.display()),
        }
        *files.entry(at).or_insert(0) += 1;
    }
    assert!(files.len() > 2, "several segments were hit: {files:?}");
}

#[test]
fn a_write_that_landed_on_an_earlier_record_is_named() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk).unwrap();
    for index in 0..8 {
        append(&wal, index, vec![vec![7; 100]]).unwrap();
    }
    drop(wal);
    let path = Path::new("wal").join(file_name(1));
    let bytes = disk.read(&path, 1 << 20).unwrap();
    let records = records(&bytes);
    // Sound by its checksum, but out of its place.
    disk.open(&path)
        .unwrap()
        .write_at(records[5].start as u64, &bytes[records[2].clone()])
        .unwrap();
    match open(&disk) {
        Err(OpenWalError::Damaged { offset, .. }) => assert_eq!(offset, records[5].start as u64),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flipped_bit_is_not_served() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk).unwrap();
    for index in 0..8 {
        append(&wal, index, vec![vec![7; 100]]).unwrap();
    }
    let path = Path::new("wal").join(file_name(1));
    let bytes = disk.read(&path, 1 << 20).unwrap();
    let entry = records(&bytes)[1].clone();
    assert!(bytes[entry.clone()].starts_with(MAGIC));
    disk.dangerous_flip_bit(&path, entry.end as u64 * 8 - 1)
        .unwrap();
    let error = wal.read(0..1).unwrap_err();
    assert!(
        matches!(error, ReadWalError::Damaged { index: 0, .. }),
        "{error}"
    );
    assert_eq!(wal.read(1..2).unwrap().len(), 1);
}

#[test]
fn a_missing_segment_is_named() {
    let disk = SimDisk::new();
    let (wal, _) = open(&disk).unwrap();
    for index in 0..60 {
        append(&wal, index, vec![vec![7; 100]]).unwrap();
    }
    drop(wal);
    for missing in [2, 1] {
        disk.remove(&Path::new("wal").join(file_name(missing)))
            .unwrap();
        let error = open(&disk).unwrap_err();
        assert!(
            matches!(error, OpenWalError::Damaged { .. }),
            "{missing}: {error}"
        );
    }
}

#[test]
fn the_last_handle_may_go_on_the_writers_own_thread() {
    let (wal, _) = open(&SimDisk::new()).unwrap();
    let (gone, is_gone) = mpsc::channel();
    let last = wal.clone();
    let (go, may_go) = mpsc::channel::<()>();
    wal.append(0, vec![vec![]], move |_| {
        may_go.recv().unwrap();
        drop(last);
        gone.send(()).unwrap();
    });
    drop(wal);
    go.send(()).unwrap();
    is_gone.recv().unwrap();
}

#[test]
fn sealed_entries_open_again_in_their_own_place_and_under_their_own_key_only() {
    let disk = SimDisk::new();
    let (key, other) = ([1; 32], [2; 32]);
    let sealed_by = |key: &[u8; 32]| {
        let (wal, _) = open(&disk).unwrap();
        wal.sealed_by(Arc::new(Sealing::new(key)))
    };
    let wal = sealed_by(&key);
    let words = b"customer Zhang".to_vec();
    append(&wal, 1, vec![words.clone(); 40]).unwrap();
    assert_eq!(wal.read(3..4).unwrap(), [(3, words.clone())]);
    drop(wal);
    // A later process with the key reads them; the bytes on the disk say nothing.
    let wal = sealed_by(&key);
    let all = wal.read(1..41).unwrap();
    assert!(all.iter().all(|(_, data)| *data == words));
    append(&wal, 41, vec![words]).unwrap();
    drop(wal);
    for name in disk.list(Path::new("wal")).unwrap() {
        let bytes = disk.read(&Path::new("wal").join(name), 1 << 30).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"customer"));
    }
    let error = sealed_by(&other).read(1..2).unwrap_err();
    assert!(
        matches!(error, ReadWalError::Sealed { index: 1, .. }),
        "{error}"
    );
}
