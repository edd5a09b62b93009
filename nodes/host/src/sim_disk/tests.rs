//! The simulated disk keeps what it promises and loses what it may.

use super::{image::SECTOR_BYTES, *};

const FILE: &str = "d/f";

fn disk_with_file() -> (SimDisk, Box<dyn DiskFile>) {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("d")).unwrap();
    let file = disk.create(Path::new(FILE)).unwrap();
    (disk, file)
}

#[test]
fn what_is_synced_survives_every_crash() {
    for seed in 0..200 {
        let (disk, file) = disk_with_file();
        file.write_at(0, &[1; 3_000]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        file.write_at(3_000, &[2; 3_000]).unwrap();
        disk.crash(seed);
        let data = disk.read(Path::new(FILE), 10_000).unwrap();
        assert_eq!(&data[..3_000], &[1; 3_000], "seed {seed}");
        assert!(
            file.sync_data().is_err(),
            "a handle must not outlive a crash"
        );
    }
}

#[test]
fn crashes_lose_names_data_order_and_halves_of_sectors() {
    let (mut nameless, mut holed, mut torn, mut whole) = (0, 0, 0, 0);
    for seed in 0..500 {
        let (disk, file) = disk_with_file();
        file.write_at(0, &[1; 4 * SECTOR_BYTES]).unwrap();
        disk.crash(seed);
        let Ok(data) = disk.read(Path::new(FILE), 10_000) else {
            nameless += 1;
            continue;
        };
        let kept = data.iter().filter(|byte| **byte == 1).count();
        let last = data
            .iter()
            .rposition(|byte| *byte == 1)
            .map_or(0, |at| at + 1);
        holed += usize::from(kept < last);
        torn += usize::from(kept % SECTOR_BYTES != 0);
        whole += usize::from(kept == 4 * SECTOR_BYTES);
    }
    assert!(nameless > 0 && holed > 0 && torn > 0 && whole > 0);
}

#[test]
fn an_unsynced_rename_shows_the_old_content_or_the_new() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..200 {
        let (disk, _) = disk_with_file();
        disk.write_whole(Path::new(FILE), b"old").unwrap();
        disk.cut_after(4); // create, write, sync, rename, sync_dir: the cut is at the rename
        let cut = disk.write_whole(Path::new(FILE), b"new");
        assert!(cut.is_err());
        disk.crash(seed);
        assert_eq!(disk.read(Path::new(FILE), 9).unwrap(), b"old");
        disk.cut_after(5);
        disk.write_whole(Path::new(FILE), b"new").unwrap_err();
        disk.crash(seed);
        match disk.read(Path::new(FILE), 9).unwrap().as_slice() {
            b"old" => old += 1,
            b"new" => new += 1,
            other => panic!("seed {seed}: a mixture, {other:?}"),
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let (disk, file) = disk_with_file();
    disk.fail_after(5, io::ErrorKind::StorageFull);
    let error = file.write_at(0, b"12345678").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 5);
}
