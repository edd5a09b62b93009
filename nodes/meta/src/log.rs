//! openraft's log storage on our write-ahead log. Entries, votes and log ids are JSON in it.

use std::{
    collections::VecDeque,
    fmt::Debug,
    io,
    ops::{Bound, Range, RangeBounds},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use guitai_store::Wal;
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    entry::RaftEntry,
    storage::{IOFlushed, RaftLogStorage},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use crate::raft::{Entry, LogId, Types, Vote};

/// Bytes of entries sent to a follower at once; with the frame around it below `RPC_BYTES_MAX`.
const REPLICATION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Newest entries kept in memory besides the disk.
const TAIL_MAX: usize = 4_096;
/// And their bytes, as they are in the log.
const TAIL_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(
    REPLICATION_BYTES_MAX + guitai_types::limits::COMMAND_BYTES_MAX * 4
        < guitai_types::limits::RPC_BYTES_MAX
);

/// The log; clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    wal: Wal,
    tail: Arc<Mutex<Tail>>,
}

impl LogStore {
    pub(crate) fn new(wal: Wal) -> Self {
        Self {
            wal,
            tail: Arc::default(),
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        // Nothing that can panic runs under it.
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new log the continuation of one that ended with `last`, whose entries a durable
    /// snapshot holds. Durable when it returns; blocks.
    pub(crate) fn begin_after(&self, vote: &Vote, last: &LogId) -> io::Result<()> {
        self.wal.save_vote(json(vote)?)?;
        self.wal.purge_through(last.index, json(last)?)
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.wal.range()
    }

    pub(crate) fn vote(&self) -> io::Result<Option<Vote>> {
        self.wal.vote().map(|bytes| parse(&bytes)).transpose()
    }

    pub(crate) fn committed(&self) -> io::Result<Option<LogId>> {
        self.wal.committed().map(|bytes| parse(&bytes)).transpose()
    }

    /// Id of the last entry, or of the last purged one when there is none after it.
    pub(crate) fn last(&self) -> io::Result<Option<LogId>> {
        match self.wal.range().last() {
            Some(index) => {
                let entry = self.read(index, index + 1)?.pop();
                Ok(entry.map(|entry| entry.log_id()))
            }
            None => self.purged(),
        }
    }

    pub(crate) fn purged(&self) -> io::Result<Option<LogId>> {
        self.wal
            .purged()
            .map(|purged| parse(&purged.marker))
            .transpose()
    }

    pub(crate) fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        self.read_within(from, to, usize::MAX)
    }

    /// The first entries of a range that together have at most `bytes_max` bytes in the log; one at least.
    fn read_within(&self, from: u64, to: u64, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let have = self.wal.range();
        let range = from.max(have.start)..to.min(have.end);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.tail().read(&range, bytes_max) {
            return Ok(entries);
        }
        let entries = self.wal.read_within(range, bytes_max);
        let entries = entries.map_err(io::Error::other)?;
        entries.iter().map(|(_, bytes)| parse(bytes)).collect()
    }
}

/// The newest entries as they were appended: what is sent to followers and applied a moment later is
/// neither read back nor parsed for it.
#[derive(Default)]
struct Tail {
    /// In order, without a hole, with the bytes each takes in the log.
    entries: VecDeque<(Entry, usize)>,
    bytes: usize,
}

impl Tail {
    fn push(&mut self, entry: Entry, bytes: usize) {
        let next = self.entries.back().map(|(last, _)| last.log_id().index + 1);
        if next.is_some_and(|next| next != entry.log_id().index) {
            self.clear();
        }
        self.bytes += bytes;
        self.entries.push_back((entry, bytes));
        while self.entries.len() > TAIL_MAX || self.bytes > TAIL_BYTES_MAX {
            let Some((_, bytes)) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= bytes;
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// The entries of a range, at most `bytes_max` bytes of them and one at least; `None` if the first is
    /// not here.
    fn read(&self, range: &Range<u64>, bytes_max: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.0.log_id().index;
        let skip = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        // Without a hole: so many from here on are the range, if there are so many.
        (skip + length <= self.entries.len()).then_some(())?;
        let mut bytes = 0;
        let wanted = self.entries.iter().skip(skip).take(length).enumerate();
        let fits = wanted.take_while(|(at, (_, size))| {
            bytes += size;
            *at == 0 || bytes <= bytes_max
        });
        Some(fits.map(|(_, (entry, _))| entry.clone()).collect())
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<Entry>, io::Error>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let from = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.read(from, to)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        self.vote()
    }

    /// The first entries of the range that together are not too large for one message; at least one.
    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read_within(start, end, REPLICATION_BYTES_MAX)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        Ok(LogState {
            last_purged_log_id: self.purged()?,
            last_log_id: self.last()?,
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let vote = json(vote)?;
        durable(|done| self.wal.save_vote_then(vote, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // A hint for a faster restart; there is nothing to un-commit.
        match committed {
            Some(committed) => self.wal.save_committed(json(&committed)?),
            None => Ok(()),
        }
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        self.committed()
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut first = None;
        let (mut encoded, mut tail) = (Vec::new(), Vec::new());
        for entry in entries {
            first.get_or_insert_with(|| entry.log_id().index);
            let bytes = json(&entry)?;
            tail.push((entry, bytes.len()));
            encoded.push(bytes);
        }
        match first {
            Some(first) => {
                self.wal
                    .append(first, encoded, move |result| callback.io_completed(result));
                let mut newest = self.tail();
                for (entry, bytes) in tail {
                    newest.push(entry, bytes);
                }
            }
            None => callback.io_completed(Ok(())),
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let last = last_log_id.map(|log_id| log_id.index);
        self.tail().clear();
        durable(|done| self.wal.truncate_after_then(last, done)).await
    }

    /// openraft asks for this only after a snapshot that covers it was built or installed, and
    /// both return only when it is durable.
    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let marker = json(&log_id)?;
        durable(|done| self.wal.purge_through_then(log_id.index, marker, done)).await
    }
}

type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Waits for the log's writer without holding a thread of the runtime.
async fn durable(ask: impl FnOnce(Done)) -> io::Result<()> {
    let (tell, told) = oneshot::channel();
    // The waiter may be gone at shutdown; then nobody needs the answer.
    ask(Box::new(move |result| drop(tell.send(result))));
    told.await
        .unwrap_or_else(|_gone| Err(io::Error::other("the log's writer has stopped")))
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;

    fn entry(index: u64) -> Entry {
        let leader = Vote::new_committed(1, 1).leader_id;
        Entry {
            log_id: LogId::new(leader, index),
            payload: EntryPayload::Blank,
        }
    }

    fn read(tail: &Tail, range: Range<u64>, bytes_max: usize) -> Option<Vec<u64>> {
        let entries = tail.read(&range, bytes_max)?;
        Some(entries.iter().map(|it| it.log_id().index).collect())
    }

    #[test]
    fn the_tail_gives_a_whole_range_or_nothing() {
        let mut tail = Tail::default();
        assert_eq!(read(&tail, 0..1, 100), None);
        for index in 5..9 {
            tail.push(entry(index), 10);
        }
        assert_eq!(read(&tail, 5..9, 100), Some(vec![5, 6, 7, 8]));
        assert_eq!(read(&tail, 6..8, 100), Some(vec![6, 7]));
        assert_eq!(read(&tail, 4..8, 100), None, "the first is not there");
        assert_eq!(read(&tail, 6..10, 100), None, "the last is not there");
        assert_eq!(read(&tail, 5..9, 20), Some(vec![5, 6]));
        assert_eq!(read(&tail, 5..9, 1), Some(vec![5]), "one at least");
    }

    #[test]
    fn what_does_not_follow_begins_a_new_tail_and_the_oldest_go() {
        let mut tail = Tail::default();
        tail.push(entry(5), 10);
        tail.push(entry(9), 10);
        assert_eq!(read(&tail, 5..6, 100), None);
        assert_eq!(read(&tail, 9..10, 100), Some(vec![9]));
        for index in 10..10 + TAIL_MAX as u64 {
            tail.push(entry(index), 10);
        }
        assert_eq!((tail.entries.len(), tail.bytes), (TAIL_MAX, 10 * TAIL_MAX));
        tail.push(entry(10 + TAIL_MAX as u64), TAIL_BYTES_MAX - 5);
        assert_eq!(tail.entries.len(), 1, "as many bytes as may be");
    }
}
