//! The raft log and vote: segments on a disk, one writer thread, one sync per batch.
//!
//! - `record`: how one record looks in a file, and how damage is told from an unfinished write.
//! - `index`: what the log holds, in memory.
//! - `segments`: the files, written by one thread.
//! - `recover`: reading them back.
//! - `queue`: the thread that turns many requests into one sync.
//!
//! One limit is known: when the medium damages the very last batch, and nothing was written after
//! it, that is taken for an unfinished write and cut off. The other voters still have it.

use std::{
    io,
    ops::Range,
    path::PathBuf,
    sync::{Arc, mpsc},
};

use guitai_host::{Disk, DiskFile};
use guitai_types::limits::RPC_BYTES_MAX;

use crate::sealing::Sealing;
pub use error::{OpenWalError, ReadWalError};
use index::{Entry, Index, Place, Source};
use queue::{Queue, Writer};
use record::{Record, decode};
use segments::{Change, file_name};

mod error;
mod index;
mod queue;
mod record;
mod recover;
mod segments;
#[cfg(test)]
mod tests;

/// Longest entry: what fits a raft message, or it could never reach another node.
pub const ENTRY_BYTES_MAX: usize = RPC_BYTES_MAX;
/// Longest vote, committed mark or purge marker.
pub const MARK_BYTES_MAX: usize = 64 * 1024;
/// Most bytes in one append: one batch must not outgrow what a segment may hold.
pub const APPEND_BYTES_MAX: usize = 128 << 20;

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

impl Recovered {
    fn of(index: &Index) -> Self {
        Self {
            vote: index.vote.clone(),
            committed: index.committed.clone(),
            purged: index.purged.clone(),
            entries: index.range(),
        }
    }
}

/// The writer of a log without a thread. When it is dropped, the log stops.
pub struct Stepper(Writer);

impl Stepper {
    /// Makes what waits durable with one sync and tells the callers. False when the log has failed.
    pub fn step(&mut self) -> bool {
        self.0.write_waiting().is_continue()
    }
}

impl std::fmt::Debug for Stepper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepper").finish_non_exhaustive()
    }
}

/// The last purge of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// The last index purged.
    pub index: u64,
    /// What the caller said about it (its log id).
    pub marker: Vec<u8>,
}

/// The log; clones are the same log. Writes happen in the order of the calls.
///
/// After a failed write or sync nothing is known about the disk, so the log stops: every later
/// request fails and says why, entries already there stay readable, and the node restarts.
#[derive(Clone)]
pub struct Wal {
    queue: Arc<Queue>,
    dir: PathBuf,
    sealing: Option<Arc<Sealing>>,
}

/// Separates log entries from anything else sealed under the same key.
const ENTRY: &[u8] = b"log entry\0";

impl Wal {
    /// Opens the log, cutting off what a power cut left unfinished, and starts its writer.
    pub fn open(disk: Arc<dyn Disk>, config: Config) -> Result<(Self, Recovered), OpenWalError> {
        let dir = config.dir.clone();
        let queue_bytes = config.queue_bytes;
        let (segments, index) = recover::recover(disk, config)?;
        let recovered = Recovered::of(&index);
        let path = dir.clone();
        let queue =
            Queue::start(segments, index, queue_bytes).map_err(|source| OpenWalError::Io {
                doing: "start the writer of",
                path,
                source,
            })?;
        let wal = Self {
            queue,
            dir,
            sealing: None,
        };
        Ok((wal, recovered))
    }

    /// As [`Wal::open`], but without a thread: the caller writes, through [`Stepper::step`], whenever
    /// `wake` was called. For the simulator, where a thread's pace would be chance without a seed. The
    /// blocking calls ([`Wal::save_vote`] and such) would wait for ever.
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        config: Config,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Recovered, Stepper), OpenWalError> {
        let dir = config.dir.clone();
        let queue_bytes = config.queue_bytes;
        let (segments, index) = recover::recover(disk, config)?;
        let recovered = Recovered::of(&index);
        let (queue, writer) = Queue::start_stepped(segments, index, queue_bytes, Box::new(wake));
        let wal = Self {
            queue,
            dir,
            sealing: None,
        };
        Ok((wal, recovered, Stepper(writer)))
    }

    /// Seals every entry from now on, and expects the entries that are there to be sealed. Votes and
    /// marks, which hold terms and node ids, stay as they are.
    #[must_use]
    pub fn sealed_by(mut self, sealing: Arc<Sealing>) -> Self {
        self.sealing = Some(sealing);
        self
    }

    /// Adds entries from `first_index` on. They can be read when this returns; `done` is called
    /// when they survive a power cut. `first_index` may be at most one past the last entry (any
    /// index in a log that is new); when it is lower, the entries from there on are replaced.
    ///
    /// `done` runs on the writer's thread (or here, when the request is refused): keep it short,
    /// and never wait for the log in it.
    pub fn append(
        &self,
        first_index: u64,
        entries: Vec<Vec<u8>>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let entries: Vec<Vec<u8>> = match &self.sealing {
            None => entries,
            Some(sealing) => (first_index..)
                .zip(entries)
                .map(|(index, entry)| sealing.seal(&[ENTRY, &index.to_be_bytes()], &entry))
                .collect(),
        };
        let total: usize = entries.iter().map(Vec::len).sum();
        if total > APPEND_BYTES_MAX || entries.iter().any(|entry| entry.len() > ENTRY_BYTES_MAX) {
            let text = format!(
                "an entry has at most {ENTRY_BYTES_MAX} bytes, one append {APPEND_BYTES_MAX}"
            );
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let entries: Vec<Entry> = entries.into_iter().map(Arc::new).collect();
        self.queue.submit(total, Box::new(done), move |index| {
            if entries.is_empty() {
                return Ok(vec![]);
            }
            let begins = index.append(first_index, &entries)?;
            let begins = begins.map(|next| Change::Truncate { next });
            let append = Change::Append {
                first: first_index,
                entries,
            };
            Ok(begins.into_iter().chain([append]).collect())
        });
    }

    /// Entries of `range`, which must all be there.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, ReadWalError> {
        self.read_within(range, usize::MAX)
    }

    /// The first entries of `range` that together have at most `bytes_max` bytes; one at least.
    pub fn read_within(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, ReadWalError> {
        if range.is_empty() {
            return Ok(vec![]);
        }
        let sources = self
            .queue
            .look(|index| index.find(range.clone(), bytes_max))?;
        let entries = range.zip(sources).map(|(index, source)| {
            let data = match source {
                Source::Memory(entry) => entry.to_vec(),
                Source::Disk(file, place) => self.read_back(index, &*file, place)?,
            };
            let data = match &self.sealing {
                None => data,
                Some(sealing) => sealing
                    .open(&[ENTRY, &index.to_be_bytes()], &data)
                    .map_err(|source| ReadWalError::Sealed { index, source })?,
            };
            Ok((index, data))
        });
        entries.collect()
    }

    fn read_back(
        &self,
        index: u64,
        file: &dyn DiskFile,
        place: Place,
    ) -> Result<Vec<u8>, ReadWalError> {
        let mut bytes = vec![0; place.len];
        let got = file.read_at(place.offset, &mut bytes);
        let got = got.map_err(|source| ReadWalError::Io { index, source })?;
        let found = bytes.get(..got).and_then(decode);
        match found.map(|found| found.record) {
            Some(Record::Entry { index: at, data }) if at == index => Ok(data.to_vec()),
            _ => {
                let file = self.dir.join(file_name(place.segment));
                Err(ReadWalError::Damaged {
                    index,
                    file,
                    offset: place.offset,
                })
            }
        }
    }

    /// Indexes of the entries that are there; `start` is where the first one is or would be.
    pub fn range(&self) -> Range<u64> {
        self.queue.look(|index| index.range())
    }

    /// The last purge.
    pub fn purged(&self) -> Option<Purged> {
        self.queue.look(|index| index.purged.clone())
    }

    /// The vote saved last.
    pub fn vote(&self) -> Option<Vec<u8>> {
        self.queue.look(|index| index.vote.clone())
    }

    /// The committed mark saved last.
    pub fn committed(&self) -> Option<Vec<u8>> {
        self.queue.look(|index| index.committed.clone())
    }

    /// Why the log has stopped, when it has.
    pub fn stopped(&self) -> Option<String> {
        self.queue.stopped()
    }

    /// Keeps the entries up to `last` (`None`: no entry at all) and drops those after it. Durable
    /// when it returns; blocks for one sync.
    pub fn truncate_after(&self, last: Option<u64>) -> io::Result<()> {
        wait(|done| self.truncate_after_then(last, done))
    }

    /// As [`Wal::truncate_after`], without blocking.
    pub fn truncate_after_then(
        &self,
        last: Option<u64>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let next = last.map_or(0, |last| last.saturating_add(1));
        self.queue.submit(0, Box::new(done), move |index| {
            let next = index.truncate(next);
            Ok(next
                .map(|next| Change::Truncate { next })
                .into_iter()
                .collect())
        });
    }

    /// Drops the entries up to `index`, which may be past the last one (after a snapshot came from
    /// elsewhere); `marker` is kept. Only ever up to a durable snapshot. Durable when it returns;
    /// does nothing when that much was purged before.
    pub fn purge_through(&self, index: u64, marker: Vec<u8>) -> io::Result<()> {
        wait(|done| self.purge_through_then(index, marker, done))
    }

    /// As [`Wal::purge_through`], without blocking.
    pub fn purge_through_then(
        &self,
        index: u64,
        marker: Vec<u8>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        self.queue.submit(marker.len(), Box::new(done), move |log| {
            short(&marker)?;
            let news = log.purge(index, &marker);
            Ok(news
                .then_some(Change::Purge { index, marker })
                .into_iter()
                .collect())
        });
    }

    /// Saves the vote. Durable when it returns; blocks for one sync.
    pub fn save_vote(&self, vote: Vec<u8>) -> io::Result<()> {
        wait(|done| self.save_vote_then(vote, done))
    }

    /// As [`Wal::save_vote`], without blocking.
    pub fn save_vote_then(
        &self,
        vote: Vec<u8>,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        self.queue.submit(vote.len(), Box::new(done), move |index| {
            short(&vote)?;
            index.vote = Some(vote.clone());
            Ok(vec![Change::Vote(vote)])
        });
    }

    /// Notes what is committed. Written with the next batch or at the end; a crash may lose it.
    pub fn save_committed(&self, committed: Vec<u8>) -> io::Result<()> {
        short(&committed)?;
        self.queue.note_committed(committed)
    }
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wal")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// Starts a request and waits until it is done.
fn wait(start: impl FnOnce(Box<dyn FnOnce(io::Result<()>) + Send>)) -> io::Result<()> {
    let (tell, told) = mpsc::sync_channel(1);
    start(Box::new(move |result| {
        // Nobody listens only when the caller is gone.
        tell.send(result).ok();
    }));
    told.recv().map_err(io::Error::other)?
}

fn short(mark: &[u8]) -> io::Result<()> {
    if mark.len() <= MARK_BYTES_MAX {
        return Ok(());
    }
    let text = format!(
        "a vote or mark has at most {MARK_BYTES_MAX} bytes, not {}",
        mark.len()
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
