//! The files of the log, written by one thread: batch, one write, one sync.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use guitai_host::{Disk, DiskFile};

use super::{
    Config, Purged,
    index::{Entry, Place},
    record::{Head, Record, encode},
};

/// A change the index has accepted, on its way to the disk.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Append { first: u64, entries: Vec<Entry> },
    Truncate { next: u64 },
    Purge { index: u64, marker: Vec<u8> },
    Vote(Vec<u8>),
    Committed(Vec<u8>),
}

/// What a durable batch tells the index.
#[derive(Default)]
pub(super) struct Written {
    pub(super) placed: Vec<(u64, Entry, Place)>,
    pub(super) opened: Option<(u64, Arc<dyn DiskFile>)>,
    pub(super) removed: Vec<u64>,
}

/// The segment being written.
pub(super) struct Active {
    pub(super) file: Arc<dyn DiskFile>,
    /// Where the next record goes.
    pub(super) end: u64,
    /// Length of the file; from `end` on it holds zeros.
    pub(super) len: u64,
}

pub(super) struct Segments {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) config: Config,
    pub(super) active: Active,
    pub(super) next_serial: u64,
    /// The state after the last record, for the head of the next segment. Its `segment` is the
    /// active one.
    pub(super) state: Head,
    /// The highest entry index ever written to each segment; none when it has no entry.
    pub(super) last_index: BTreeMap<u64, Option<u64>>,
}

impl Segments {
    /// Makes the changes durable, in order. After an error nothing is known of them and the log
    /// must not be written again.
    pub(super) fn commit(&mut self, changes: &[Change]) -> io::Result<Written> {
        let mut written = Written::default();
        let mut batch = Batch {
            bytes: Vec::new(),
            durable: self.next_serial,
        };
        if self.active.end >= self.config.segment_bytes {
            self.begin_segment(&mut batch)?;
            written.opened = Some((self.state.segment, Arc::clone(&self.active.file)));
        }
        for change in changes {
            self.encode(change, &mut batch, &mut written);
        }
        if batch.bytes.is_empty() {
            return Ok(written);
        }
        self.write(batch.bytes)?;
        if written.opened.is_some() {
            self.disk.sync_dir(&self.config.dir)?;
        }
        if changes
            .iter()
            .any(|change| matches!(change, Change::Purge { .. }))
        {
            written.removed = self.remove_purged()?;
        }
        Ok(written)
    }

    /// Creates the next file and puts its head into the batch.
    fn begin_segment(&mut self, batch: &mut Batch) -> io::Result<()> {
        let segment = self.state.segment + 1;
        let path = self.config.dir.join(file_name(segment));
        self.active = Active {
            file: Arc::from(self.disk.create(&path)?),
            end: 0,
            len: 0,
        };
        self.state.segment = segment;
        self.last_index.insert(segment, None);
        let head = self.state.clone();
        batch.push(&Record::Head(head), &mut self.next_serial);
        Ok(())
    }

    fn encode(&mut self, change: &Change, batch: &mut Batch, written: &mut Written) {
        let serial = &mut self.next_serial;
        let state = &mut self.state;
        match change {
            Change::Append { first, entries } => {
                for (index, entry) in (*first..).zip(entries) {
                    let offset = self.active.end + batch.bytes.len() as u64;
                    let len = batch.push(&Record::Entry { index, data: entry }, serial);
                    let place = Place {
                        segment: state.segment,
                        offset,
                        len,
                    };
                    written.placed.push((index, Arc::clone(entry), place));
                    state.next = index + 1;
                    let last = self.last_index.entry(state.segment).or_default();
                    *last = (*last).max(Some(index));
                }
            }
            Change::Truncate { next } => {
                batch.push(&Record::Truncate { next: *next }, serial);
                state.next = *next;
            }
            Change::Purge { index, marker } => {
                batch.push(
                    &Record::Purge {
                        index: *index,
                        marker,
                    },
                    serial,
                );
                state.next = state.next.max(index.saturating_add(1));
                state.purged = Some(Purged {
                    index: *index,
                    marker: marker.clone(),
                });
            }
            Change::Vote(vote) => {
                batch.push(&Record::Vote(vote), serial);
                state.vote = Some(vote.clone());
            }
            Change::Committed(committed) => {
                batch.push(&Record::Committed(committed), serial);
                state.committed = Some(committed.clone());
            }
        }
    }

    /// One write, one sync. When the file must grow, it grows by zeros ahead of need: a sync that
    /// finds the length unchanged has less to write.
    fn write(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        let active = &mut self.active;
        let end = active.end + bytes.len() as u64;
        let mut len = active.len;
        if end > len {
            len = end.next_multiple_of(self.config.grow_bytes.max(1));
            let padded = usize::try_from(len - active.end).map_err(io::Error::other)?;
            bytes.resize(padded, 0);
        }
        active.file.write_at(active.end, &bytes)?;
        active.file.sync_data()?;
        (active.end, active.len) = (end, len);
        Ok(())
    }

    /// Removes the oldest segments as far as all their entries are purged. The directory is synced
    /// after each: a power cut must never bring one back without the next.
    fn remove_purged(&mut self) -> io::Result<Vec<u64>> {
        let purged = self.state.purged.as_ref().map(|purged| purged.index);
        let mut removed = Vec::new();
        while let Some((&segment, &last)) = self.last_index.first_key_value() {
            if segment == self.state.segment || last > purged {
                break;
            }
            self.disk
                .remove(&self.config.dir.join(file_name(segment)))?;
            self.disk.sync_dir(&self.config.dir)?;
            self.last_index.remove(&segment);
            removed.push(segment);
        }
        Ok(removed)
    }
}

/// Records on their way to the disk together.
struct Batch {
    bytes: Vec<u8>,
    /// The serial of the first of them: all before it are durable.
    durable: u64,
}

impl Batch {
    /// Adds a record and says its length.
    fn push(&mut self, record: &Record<'_>, serial: &mut u64) -> usize {
        let from = self.bytes.len();
        encode(record, *serial, self.durable, &mut self.bytes);
        *serial += 1;
        self.bytes.len() - from
    }
}

/// `0000000000000001.log`
pub(super) fn file_name(segment: u64) -> PathBuf {
    PathBuf::from(format!("{segment:016}.log"))
}

/// The number in a segment's file name.
pub(super) fn file_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}
