//! What is written and what is durable, and what a power cut makes of the difference.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use crate::{disk::inside, entropy::SeededEntropy};

/// Unit in which unsynced writes survive a power cut.
pub(super) const SECTOR_BYTES: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, usize>,
    pub(super) durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names not covered by a directory sync, oldest first.
    pub(super) unsynced_names: Vec<Naming>,
    pub(super) files: Vec<Content>,
    /// Grows at each crash: a handle of an earlier life is dead.
    pub(super) life: u64,
    pub(super) ops: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) off: bool,
    pub(super) bytes_left: Option<(u64, io::ErrorKind)>,
    pub(super) sync_fails: bool,
    pub(super) sync_lies: bool,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) written: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<Change>,
}

#[derive(Debug)]
pub(super) enum Change {
    Write { offset: usize, data: Vec<u8> },
    Resize(usize),
}

#[derive(Debug)]
pub(super) enum Naming {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

impl Naming {
    pub(super) fn dir(&self) -> &Path {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Rename(_, path, _)) = self;
        path.parent().unwrap_or_else(|| Path::new(""))
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
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

impl Image {
    pub(super) fn crash(&mut self, seeded: &SeededEntropy) {
        // Some crashes keep almost everything and some almost nothing; middling ones hide faults.
        let kept_percent = [0, 10, 50, 90, 100][seeded.below(5) as usize];
        let mut names = self.durable_names.clone();
        for naming in std::mem::take(&mut self.unsynced_names) {
            if seeded.chance(kept_percent) {
                naming.apply(&mut names);
            }
        }
        for file in &mut self.files {
            file.crash(seeded, kept_percent);
        }
        self.names.clone_from(&names);
        self.durable_names = names;
        self.begin_life();
    }

    pub(super) const fn begin_life(&mut self) {
        self.life += 1;
        self.cut_at = None;
        self.off = false;
        self.bytes_left = None;
        self.sync_fails = false;
        self.sync_lies = false;
    }

    /// Counts one change or sync; an error when the power is off.
    pub(super) fn op(&mut self) -> io::Result<()> {
        self.ops += 1;
        if self.cut_at.is_some_and(|at| self.ops >= at) {
            self.off = true;
        }
        self.powered()
    }

    pub(super) fn powered(&self) -> io::Result<()> {
        if self.off {
            Err(io::Error::other("the power is cut"))
        } else {
            Ok(())
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<usize> {
        self.powered()?;
        self.names
            .get(&inside(path)?)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn file(&mut self, file: usize) -> io::Result<&mut Content> {
        self.files
            .get_mut(file)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.unsynced_names.push(naming);
    }

    pub(super) fn parent_exists(&self, path: &Path) -> io::Result<()> {
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
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
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
