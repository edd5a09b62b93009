//! Full parts of the log on disk: written before a view or a snapshot that has forgotten them.
//!
//! `tlog/entries/<number / 1000>/<number>` holds a bundle of 256 entries with what is behind them, JSON;
//! `tlog/tile-<level>/<number / 1000>/<number>` a tile above the leaves, the SM3 tree's 8192 bytes and then
//! its twin's. The leaves' hashes follow from the entries. Where log and snapshots are sealed, so is this.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use guitai_host::Disk;
use guitai_meta_core::{Full, Kept};
use guitai_store::Sealing;
use guitai_tlog::tiles::TILE_WIDTH;
use serde::{Deserialize, Serialize};

/// Largest file read back: an opening holds at most one command.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Files of one directory.
const FILES_A_DIR: u64 = 1_000;
/// Bytes of a full tile of one tree.
pub(crate) const TILE_BYTES: usize = TILE_WIDTH * 32;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Bundle { index: u64 },
    Tile { level: u8, index: u64 },
}

/// A bundle as it is on disk.
#[derive(Serialize, Deserialize)]
struct BundleFile {
    /// Format version, 1.
    v: u16,
    entries: Vec<Kept>,
}

/// The full parts of the log; clones are the same.
#[derive(Clone)]
pub(crate) struct Files(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    sealing: Option<Arc<Sealing>>,
    /// Not written yet, oldest first.
    pending: Mutex<VecDeque<(Part, Vec<u8>)>>,
    /// Held while something is written, so that nobody believes it is there before it is.
    writing: Mutex<BTreeSet<PathBuf>>,
    /// What is here may not be what the state says, or not be all.
    suspect: AtomicBool,
    missing: AtomicU64,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>, sealing: Option<Arc<Sealing>>) -> Self {
        Self(Arc::new(Inner {
            disk,
            sealing,
            pending: Mutex::default(),
            writing: Mutex::default(),
            suspect: AtomicBool::new(true),
            missing: AtomicU64::new(0),
        }))
    }

    /// Takes what became full. Called where the entry is applied and nobody looks at the state.
    pub(crate) fn note(&self, full: Vec<Full>) {
        let mut pending = lock(&self.0.pending);
        for part in full {
            match part {
                Full::Bundle { index, entries } => {
                    pending.push_back((Part::Bundle { index }, encode(entries)));
                }
                // It follows from the bundle.
                Full::Tile { level: 0, .. } => {}
                Full::Tile {
                    level,
                    index,
                    sm3,
                    sha256,
                } => pending.push_back((Part::Tile { level, index }, [sm3, sha256].concat())),
            }
        }
    }

    /// Makes everything durable that was noted before the call. What could not be written is tried again
    /// by the next call; until one succeeds nothing may be forgotten on the strength of it.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut dirs = lock(&self.0.writing);
        loop {
            // It stays in the queue until it is there, so that whoever reads finds it in one of the two.
            let Some((part, bytes)) = lock(&self.0.pending).front().cloned() else {
                return Ok(());
            };
            self.write(&mut dirs, part, &bytes)?;
            lock(&self.0.pending).pop_front();
        }
    }

    /// Keeps a part that came from elsewhere, durably.
    pub(crate) fn keep(&self, part: Part, bytes: &[u8]) -> io::Result<()> {
        self.write(&mut lock(&self.0.writing), part, bytes)
    }

    fn write(&self, dirs: &mut BTreeSet<PathBuf>, part: Part, bytes: &[u8]) -> io::Result<()> {
        let path = part.path();
        let dir = path.parent().map(PathBuf::from).unwrap_or_default();
        if !dirs.contains(&dir) {
            self.0.disk.create_dir(&dir)?;
            dirs.insert(dir);
        }
        match &self.0.sealing {
            Some(sealing) => {
                let sealed = sealing.seal(&[part.path().as_os_str().as_encoded_bytes()], bytes);
                self.0.disk.write_whole(&path, &sealed)
            }
            None => self.0.disk.write_whole(&path, bytes),
        }
    }

    /// A part in plain; nothing when it is not here.
    pub(crate) fn read(&self, part: Part) -> io::Result<Option<Vec<u8>>> {
        let pending = lock(&self.0.pending);
        // The newest, should there be two.
        let found = pending.iter().rev().find(|(it, _)| *it == part);
        if let Some((_, bytes)) = found {
            return Ok(Some(bytes.clone()));
        }
        drop(pending);
        let path = part.path();
        if !self.0.disk.exists(&path)? {
            return Ok(None);
        }
        let bytes = self.0.disk.read(&path, FILE_BYTES_MAX)?;
        match &self.0.sealing {
            Some(sealing) => {
                let opened = sealing.open(&[path.as_os_str().as_encoded_bytes()], &bytes);
                opened.map(Some).map_err(io::Error::other)
            }
            None => Ok(Some(bytes)),
        }
    }

    /// The entries of a full bundle; nothing when it is not here or is none.
    pub(crate) fn bundle(&self, index: u64) -> io::Result<Option<Vec<Kept>>> {
        let bytes = self.read(Part::Bundle { index })?;
        Ok(bytes.and_then(|bytes| decode(&bytes)))
    }

    /// A full tile above the leaves, the SM3 tree's and its twin's.
    pub(crate) fn tile(&self, level: u8, index: u64) -> io::Result<Option<[Vec<u8>; 2]>> {
        let bytes = self.read(Part::Tile { level, index })?;
        let halves = bytes.filter(|bytes| bytes.len() == 2 * TILE_BYTES);
        Ok(halves.map(|mut sm3| {
            let sha256 = sm3.split_off(TILE_BYTES);
            [sm3, sha256]
        }))
    }

    /// From now on the files must be compared with the state: it came from elsewhere.
    pub(crate) fn suspect(&self) {
        self.0.suspect.store(true, Ordering::Release);
    }

    /// Whether the files must be compared with the state; asked once, they need not any more.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.0.suspect.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn set_missing(&self, missing: u64) {
        self.0.missing.store(missing, Ordering::Relaxed);
    }

    /// Parts that are known to be missing here.
    pub(crate) fn missing(&self) -> u64 {
        self.0.missing.load(Ordering::Relaxed)
    }
}

/// The entries of a bundle file in plain.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Kept>> {
    let file: BundleFile = serde_json::from_slice(bytes).ok()?;
    (file.v == 1 && file.entries.len() == TILE_WIDTH).then_some(file.entries)
}

fn encode(entries: Vec<Kept>) -> Vec<u8> {
    // Plain data always has a JSON form.
    serde_json::to_vec(&BundleFile { v: 1, entries }).unwrap_or_default()
}

impl Part {
    fn path(self) -> PathBuf {
        let (kind, index) = match self {
            Self::Bundle { index } => ("entries".to_owned(), index),
            Self::Tile { level, index } => (format!("tile-{level}"), index),
        };
        let dir = index / FILES_A_DIR;
        PathBuf::from(format!("tlog/{kind}/{dir}/{index}"))
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
