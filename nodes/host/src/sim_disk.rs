//! A disk in memory that can lose power, fill up, fail, and lie about syncing.
//!
//! Every file has what was written and what is durable. [`SimDisk::crash`] keeps, by seed, any
//! subset of the sectors written since the last sync, some of them torn in the middle, in any
//! order; and any subset of the creations, renames and removals not covered by a directory sync.
//! That is harsher than a journalling file system: what holds here holds there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    disk::{Disk, DiskFile, inside},
    entropy::SeededEntropy,
};

/// Unit in which unsynced writes survive a power cut.
const SECTOR_BYTES: usize = 512;

/// A simulated disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Image>>);

#[derive(Debug, Default)]
struct Image {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names not covered by a directory sync, oldest first.
    unsynced_names: Vec<Naming>,
    files: Vec<Content>,
    /// Grows at each crash: a handle of an earlier life is dead.
    life: u64,
    ops: u64,
    cut_at: Option<u64>,
    off: bool,
    bytes_left: Option<(u64, io::ErrorKind)>,
    sync_fails: bool,
    sync_lies: bool,
}

#[derive(Debug, Default)]
struct Content {
    written: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize(usize),
}

#[derive(Debug)]
enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Naming {
    fn dir(&self) -> &Path {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _)) = self;
        path.parent().unwrap_or_else(|| Path::new(""))
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl SimDisk {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power and restores it: every handle is dead, faults are cleared, and of what was
    /// not synced a subset chosen by `seed` remains.
    pub fn crash(&self, seed: u64) {
        let mut image = self.lock();
        let seeded = SeededEntropy::new(seed);
        // Some crashes keep almost everything and some almost nothing; middling ones hide faults.
        let kept_percent = [0, 10, 50, 90, 100][usize::try_from(seeded.below(5)).unwrap_or(0)];
        let mut names = image.durable_names.clone();
        for naming in std::mem::take(&mut image.unsynced_names) {
            if seeded.chance(kept_percent) {
                naming.apply(&mut names);
            }
        }
        for file in &mut image.files {
            file.crash(&seeded, kept_percent);
        }
        image.names.clone_from(&names);
        image.durable_names = names;
        image.begin_life();
    }

    /// Kills the process and starts it again on a machine that stays up: every handle is dead and
    /// faults are cleared, but what was written is still there, and still not durable.
    pub fn restart(&self) {
        self.lock().begin_life();
    }

    /// The power fails at the `ops`-th change or sync from now: it and all after it fail until
    /// [`SimDisk::crash`]. A write that meets the cut may be partly on the disk.
    pub fn cut_after(&self, ops: u64) {
        let mut image = self.lock();
        image.cut_at = Some(image.ops + ops);
    }

    /// Changes and syncs so far: the places where [`SimDisk::cut_after`] can cut.
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    /// After `bytes` more written bytes every write fails with `kind` (`StorageFull` is ENOSPC;
    /// anything else reads as EIO). The failing write is partly written.
    pub fn fail_after(&self, bytes: u64, kind: io::ErrorKind) {
        self.lock().bytes_left = Some((bytes, kind));
    }

    /// Every sync fails with EIO, making nothing durable.
    pub fn fail_sync(&self) {
        self.lock().sync_fails = true;
    }

    /// Every sync says yes and does nothing: the fault a checker must be seen to catch.
    pub fn dangerous_ignore_sync(&self) {
        self.lock().sync_lies = true;
    }

    /// Flips one bit of a file, durably: a fault of the medium.
    pub fn dangerous_flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut image = self.lock();
        let file = image.find(path)?;
        let content = image.file(file)?;
        let at = usize::try_from(bit / 8).unwrap_or(usize::MAX);
        for bytes in [&mut content.written, &mut content.durable] {
            let byte = bytes.get_mut(at).ok_or(io::ErrorKind::InvalidInput)?;
            *byte ^= 1 << (bit % 8);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, image: &Image, file: usize) -> Box<dyn DiskFile> {
        Box::new(SimFile {
            disk: self.clone(),
            file,
            life: image.life,
        })
    }
}

impl Image {
    const fn begin_life(&mut self) {
        self.life += 1;
        self.cut_at = None;
        self.off = false;
        self.bytes_left = None;
        self.sync_fails = false;
        self.sync_lies = false;
    }

    /// Counts one change or sync; an error when the power is off.
    fn op(&mut self) -> io::Result<()> {
        self.ops += 1;
        if self.cut_at.is_some_and(|at| self.ops >= at) {
            self.off = true;
        }
        self.powered()
    }

    fn powered(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(())
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.powered()?;
        self.names
            .get(&inside(path)?)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, file: usize) -> io::Result<&mut Content> {
        self.files
            .get_mut(file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    fn parent_exists(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let there = parent.as_os_str().is_empty() || self.dirs.contains(parent);
        if there {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

impl Content {
    fn write(&mut self, offset: usize, data: &[u8]) {
        put(&mut self.written, offset, data);
        self.unsynced.push(Change::Write {
            offset,
            data: data.to_vec(),
        });
    }

    fn crash(&mut self, seeded: &SeededEntropy, kept_percent: u64) {
        let mut image = std::mem::take(&mut self.durable);
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Resize(len) if seeded.chance(kept_percent) => image.resize(len, 0),
                Change::Resize(_) => {}
                Change::Write { offset, data } => {
                    crash_write(&mut image, offset, &data, seeded, kept_percent);
                }
            }
        }
        self.written.clone_from(&image);
        self.durable = image;
    }
}

/// Keeps some sectors of a write. The length may survive where the data did not (it reads zero).
fn crash_write(
    image: &mut Vec<u8>,
    offset: usize,
    data: &[u8],
    seeded: &SeededEntropy,
    kept_percent: u64,
) {
    let mut at = 0;
    while at < data.len() {
        let to_boundary = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
        let end = data.len().min(at + to_boundary);
        if seeded.chance(kept_percent) {
            let torn = seeded.chance(10);
            let whole = end - at;
            let keep = if torn {
                seeded.below(whole as u64) as usize
            } else {
                whole
            };
            put(image, offset + at, &data[at..at + keep]);
        } else if seeded.chance(25) && image.len() < offset + end {
            image.resize(offset + end, 0);
        }
        at = end;
    }
}

fn put(image: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    image[offset..end].copy_from_slice(data);
}

impl Disk for SimDisk {
    /// Directories are durable when made, as [`Disk::create_dir`] promises.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = inside(dir)?;
        let mut image = self.lock();
        image.op()?;
        let ancestors = dir.ancestors().filter(|dir| !dir.as_os_str().is_empty());
        image.dirs.extend(ancestors.map(Path::to_path_buf));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let path = inside(path)?;
        let mut image = self.lock();
        image.op()?;
        image.parent_exists(&path)?;
        let file = image.files.len();
        image.files.push(Content::default());
        image.name(Naming::Link(path, file));
        Ok(self.handle(&image, file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let image = self.lock();
        let file = image.find(path)?;
        Ok(self.handle(&image, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut image = self.lock();
        image.op()?;
        let file = image.find(from)?;
        let to = inside(to)?;
        image.parent_exists(&to)?;
        image.name(Naming::Rename(inside(from)?, to, file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut image = self.lock();
        image.op()?;
        image.find(path)?;
        image.name(Naming::Unlink(inside(path)?));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = inside(dir)?;
        let mut image = self.lock();
        image.op()?;
        let inhabited = image.names.keys().chain(&image.dirs);
        if inhabited.clone().any(|path| path.parent() == Some(&dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if image.dirs.remove(&dir) {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir = inside(dir)?;
        let image = self.lock();
        image.powered()?;
        image.parent_exists(&dir.join("x"))?;
        let paths = image.names.keys().chain(&image.dirs);
        let inside = paths.filter(|path| path.parent() == Some(&dir));
        let names = inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let path = inside(path)?;
        let image = self.lock();
        image.powered()?;
        let root = path.as_os_str().is_empty();
        Ok(root || image.names.contains_key(&path) || image.dirs.contains(&path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = inside(dir)?;
        let mut image = self.lock();
        image.op()?;
        if image.sync_fails {
            return Err(io::Error::other("the disk failed to sync"));
        }
        if image.sync_lies {
            return Ok(());
        }
        let all = std::mem::take(&mut image.unsynced_names);
        let (synced, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|n| n.dir() == dir);
        for naming in &synced {
            naming.apply(&mut image.durable_names);
        }
        image.unsynced_names = rest;
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let image = self.lock();
        image.powered()?;
        Ok(image.bytes_left.map_or(1 << 40, |(left, _)| left))
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
    life: u64,
}

impl SimFile {
    /// The image, when this handle belongs to its present life and the power is on.
    fn image(&self) -> io::Result<MutexGuard<'_, Image>> {
        let image = self.disk.lock();
        image.powered()?;
        if image.life == self.life {
            Ok(image)
        } else {
            Err(io::Error::other("the file was opened before the power cut"))
        }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut image = self.image()?;
        let bytes = &image.file(self.file)?.written;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let count = out.len().min(bytes.len() - from);
        out[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut image = self.image()?;
        let cut = image.op();
        if cut.is_err() {
            // The cut falls into this write: it is unsynced like any other.
            image.file(self.file)?.write(offset, data);
            return cut;
        }
        let Some((left, kind)) = image.bytes_left else {
            image.file(self.file)?.write(offset, data);
            return Ok(());
        };
        let fits = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        image.bytes_left = Some((left - fits as u64, kind));
        image.file(self.file)?.write(offset, &data[..fits]);
        if fits == data.len() {
            Ok(())
        } else {
            Err(kind.into())
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.image()?.file(self.file)?.written.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut image = self.image()?;
        image.op()?;
        let content = image.file(self.file)?;
        content.written.resize(len, 0);
        content.unsynced.push(Change::Resize(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.image()?;
        image.op()?;
        if image.sync_fails {
            return Err(io::Error::other("the disk failed to sync"));
        }
        if image.sync_lies {
            return Ok(());
        }
        let content = image.file(self.file)?;
        content.durable.clone_from(&content.written);
        content.unsynced.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
