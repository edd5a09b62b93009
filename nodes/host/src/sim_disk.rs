//! A disk in memory that can lose power, fill up, fail, and lie about syncing.
//!
//! Every file has what was written and what is durable. [`SimDisk::crash`] keeps, by seed, any
//! subset of the sectors written since the last sync, some of them torn in the middle, in any
//! order; and any subset of the creations, renames and removals not covered by a directory sync.
//! That is harsher than a journalling file system: what holds here holds there.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    disk::{Disk, DiskFile, inside},
    entropy::SeededEntropy,
};

use image::{Change, Content, Image, Naming};

mod image;

/// A simulated disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Image>>);

impl SimDisk {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power and restores it: every handle is dead, faults are cleared, and of what was
    /// not synced a subset chosen by `seed` remains.
    pub fn crash(&self, seed: u64) {
        self.lock().crash(&SeededEntropy::new(seed));
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
mod tests;
