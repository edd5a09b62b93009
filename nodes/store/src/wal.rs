//! The raft log and vote: segments on a disk, one writer thread, one sync per batch.
//!
//! - [`record`]: how one record looks in a file.
//! - [`log`]: the decisions and the disk work of one thread, without threads.
//! - [`index`]: where each entry is, and the newest entries themselves.
//! - this file: the handle that many threads share and the thread that writes.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use guitai_host::Disk;

/// Called once, when the request is durable or has failed.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// How a log uses its disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory of the segments on the disk.
    pub dir: PathBuf,
    /// A segment past this many bytes is closed. Small ones cost directory syncs, large ones space.
    pub segment_bytes: u64,
    /// The file grows by this many zeros at a time, so that most syncs need not write its length.
    pub grow_bytes: u64,
    /// Entries kept in memory besides their place on the disk, in bytes.
    pub cache_bytes: usize,
    /// Bytes that may wait for the writer; past it [`Wal::append`] blocks.
    pub queue_bytes: usize,
}

impl Config {
    /// The usual log in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 32 << 20,
            grow_bytes: 1 << 20,
            cache_bytes: 32 << 20,
            queue_bytes: 64 << 20,
        }
    }
}

/// What the log held when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The vote saved last.
    pub vote: Option<Vec<u8>>,
    /// The committed mark saved last; may be older than the last one saved.
    pub committed: Option<Vec<u8>>,
    /// The last purge.
    pub purged: Option<Purged>,
    /// Indexes of the entries that are there; `start` is where the first one is or would be.
    pub entries: Range<u64>,
}

/// The last purge of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// The last index purged.
    pub index: u64,
    /// What the caller said about it (its log id).
    pub marker: Vec<u8>,
}

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenWalError {
    /// Something that was acknowledged is no longer what was written. This node must not vote:
    /// remove it from the cluster and let it join again under a new id.
    #[error("the log is damaged: {what} in {file} at byte {offset}", file = file.display())]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// The segment.
        file: PathBuf,
        /// Where in the segment.
        offset: u64,
    },
    /// The disk refused.
    #[error("we could not {doing} the log in {path}", path = path.display())]
    Io {
        /// The act.
        doing: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The disk's words.
        #[source]
        source: io::Error,
    },
}

/// Why entries were not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadWalError {
    /// The log has no such entries (any more).
    #[error("entries {wanted:?} were asked for, the log has {have:?}")]
    Absent {
        /// What was asked for.
        wanted: Range<u64>,
        /// What there is.
        have: Range<u64>,
    },
    /// What is on the disk is not what was written.
    #[error("entry {index} is damaged in {file} at byte {offset}", file = file.display())]
    Damaged {
        /// The entry.
        index: u64,
        /// The segment.
        file: PathBuf,
        /// Where in the segment.
        offset: u64,
    },
    /// The disk refused.
    #[error("we could not read entry {index}")]
    Io {
        /// The entry.
        index: u64,
        /// The disk's words.
        #[source]
        source: io::Error,
    },
}

/// The log; clones are the same log. Writes happen in the order of the calls.
///
/// After a failed write or sync nothing is known about the disk, so the log stops: every later
/// request fails and says why, entries already there stay readable, and the node restarts.
#[derive(Debug, Clone)]
pub struct Wal {}

impl Wal {
    /// Opens the log, cutting off what a power cut left unfinished, and starts its writer.
    pub fn open(disk: Arc<dyn Disk>, config: Config) -> Result<(Self, Recovered), OpenWalError> {
        unimplemented!()
    }

    /// Adds entries from `first_index` on. They can be read when this returns; `done` is called
    /// when they survive a power cut. `first_index` may be at most one past the last entry;
    /// when it is lower, the entries from there on are replaced.
    pub fn append(
        &self,
        first_index: u64,
        entries: Vec<Vec<u8>>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// Entries of `range`, which must all be there.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, ReadWalError> {
        unimplemented!()
    }

    /// Indexes of the entries that are there.
    pub fn range(&self) -> Range<u64> {
        unimplemented!()
    }

    /// The last purge.
    pub fn purged(&self) -> Option<Purged> {
        unimplemented!()
    }

    /// The vote saved last.
    pub fn vote(&self) -> Option<Vec<u8>> {
        unimplemented!()
    }

    /// The committed mark saved last.
    pub fn committed(&self) -> Option<Vec<u8>> {
        unimplemented!()
    }

    /// Keeps the entries up to `last` (`None`: no entry at all) and drops those after it. Durable
    /// when it returns; blocks for one sync.
    pub fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        unimplemented!()
    }

    /// As [`Wal::truncate_after`], without blocking.
    pub fn truncate_after_then(
        &self,
        last: Option<u64>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// Drops the entries up to `index`, which may be past the last one (after a snapshot came from
    /// elsewhere); `marker` is kept. Only ever up to a durable snapshot. Durable when it returns.
    pub fn purge_through(&self, index: u64, marker: Vec<u8>) -> io::Result<()> {
        unimplemented!()
    }

    /// As [`Wal::purge_through`], without blocking.
    pub fn purge_through_then(
        &self,
        index: u64,
        marker: Vec<u8>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// Saves the vote. Durable when it returns; blocks for one sync.
    pub fn save_vote(&self, vote: Vec<u8>) -> io::Result<()> {
        unimplemented!()
    }

    /// As [`Wal::save_vote`], without blocking.
    pub fn save_vote_then(
        &self,
        vote: Vec<u8>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        unimplemented!()
    }

    /// Notes what is committed. Written with the next batch; a crash may lose it.
    pub fn save_committed(&self, committed: Vec<u8>) -> io::Result<()> {
        unimplemented!()
    }
}
