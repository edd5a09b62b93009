//! What the log holds, in memory: where each entry is, and the newest entries themselves.
//!
//! The index changes the moment a request is accepted, before it is written, so that an entry can
//! be read at once. Reading the segments back at start goes through the same methods.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Range,
    sync::Arc,
};

use guitai_host::DiskFile;

use super::{Purged, ReadWalError};

/// An entry shared by the queue, the cache and the writer.
pub(super) type Entry = Arc<Vec<u8>>;

/// Where an entry's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Length of the record, head and body.
    pub(super) len: usize,
}

/// Where an entry can be read.
pub(super) enum Source {
    Memory(Entry),
    Disk(Arc<dyn DiskFile>, Place),
}

/// An entry is in memory until it has a place; after that it may be in both.
struct Slot {
    entry: Option<Entry>,
    place: Option<Place>,
}

pub(super) struct Index {
    pub(super) purged: Option<Purged>,
    pub(super) vote: Option<Vec<u8>>,
    pub(super) committed: Option<Vec<u8>>,
    /// Open segments by number.
    pub(super) files: BTreeMap<u64, Arc<dyn DiskFile>>,
    start: u64,
    slots: VecDeque<Slot>,
    cache_bytes_max: usize,
    cache_bytes: usize,
    /// Entries before this index are not in memory.
    cache_start: u64,
}

impl Index {
    pub(super) const fn new(cache_bytes_max: usize) -> Self {
        Self {
            purged: None,
            vote: None,
            committed: None,
            files: BTreeMap::new(),
            start: 0,
            slots: VecDeque::new(),
            cache_bytes_max,
            cache_bytes: 0,
            cache_start: 0,
        }
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.next()
    }

    fn next(&self) -> u64 {
        self.start + self.slots.len() as u64
    }

    /// Adds entries; says where the log begins when that is news and must be written too.
    pub(super) fn append(&mut self, first: u64, entries: &[Entry]) -> io::Result<Option<u64>> {
        let range = self.range();
        let virgin = range.is_empty() && self.purged.is_none();
        if first.checked_add(entries.len() as u64).is_none() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the index overflows",
            ));
        }
        if !virgin && (first < range.start || first > range.end) {
            let text = format!("entry {first} would leave a hole: the log has {range:?}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.rewind(first);
        for entry in entries {
            self.cache_bytes += entry.len();
            self.slots.push_back(Slot {
                entry: Some(Arc::clone(entry)),
                place: None,
            });
        }
        Ok((virgin && first != range.end).then_some(first))
    }

    /// Drops the entries from `next` on; says the new end when that changed anything.
    pub(super) fn truncate(&mut self, next: u64) -> Option<u64> {
        let next = next.max(self.start);
        if next >= self.next() {
            return None;
        }
        self.rewind(next);
        Some(next)
    }

    /// Drops the entries up to `index`; false when they were purged before.
    pub(super) fn purge(&mut self, index: u64, marker: &[u8]) -> bool {
        if self
            .purged
            .as_ref()
            .is_some_and(|purged| purged.index >= index)
        {
            return false;
        }
        self.purged = Some(Purged {
            index,
            marker: marker.to_vec(),
        });
        while self.start <= index {
            let Some(slot) = self.slots.pop_front() else {
                self.start = index.saturating_add(1);
                break;
            };
            self.start += 1;
            self.forget(slot);
        }
        self.cache_start = self.cache_start.max(self.start);
        true
    }

    /// Notes that an entry is on the disk, unless another has replaced it meanwhile.
    pub(super) fn place(&mut self, index: u64, entry: &Entry, place: Place) {
        let Some(slot) = self.slot_mut(index) else {
            return;
        };
        if slot
            .entry
            .as_ref()
            .is_some_and(|there| Arc::ptr_eq(there, entry))
        {
            slot.place = Some(place);
        }
    }

    /// Forgets the oldest entries that have a place, until the cache is within its bound.
    pub(super) fn shrink_cache(&mut self) {
        while self.cache_bytes > self.cache_bytes_max {
            let index = self.cache_start;
            let Some(slot) = self.slot_mut(index) else {
                return;
            };
            if slot.place.is_none() {
                return;
            }
            let freed = slot.entry.take().map_or(0, |entry| entry.len());
            self.cache_bytes -= freed;
            self.cache_start += 1;
        }
    }

    /// Where the first entries of `range` can be read: as many as together have at most
    /// `bytes_max` bytes, and one at least. All of `range` must be there.
    pub(super) fn find(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<Source>, ReadWalError> {
        let have = self.range();
        if range.start < have.start || range.end > have.end {
            return Err(ReadWalError::Absent {
                wanted: range,
                have,
            });
        }
        let mut sources = Vec::new();
        let mut bytes = 0_usize;
        for index in range.clone() {
            let Some((source, len)) = self.source(index) else {
                return Err(ReadWalError::Absent {
                    wanted: range,
                    have,
                });
            };
            bytes = bytes.saturating_add(len);
            if bytes > bytes_max && !sources.is_empty() {
                break;
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn source(&self, index: u64) -> Option<(Source, usize)> {
        let at = index.checked_sub(self.start)?;
        let slot = self.slots.get(usize::try_from(at).ok()?)?;
        if let Some(entry) = &slot.entry {
            return Some((Source::Memory(Arc::clone(entry)), entry.len()));
        }
        let place = slot.place?;
        Some((
            Source::Disk(Arc::clone(self.files.get(&place.segment)?), place),
            place.len,
        ))
    }

    /// Reading back: where the log stands at the head of a segment.
    pub(super) fn replay_next(
        &mut self,
        next: u64,
        first_segment: bool,
    ) -> Result<(), &'static str> {
        if first_segment {
            self.start = next;
        }
        if self.next() == next {
            Ok(())
        } else {
            Err("a segment that does not follow the one before")
        }
    }

    /// Reading back: an entry.
    pub(super) fn replay_entry(&mut self, index: u64, place: Place) -> Result<(), &'static str> {
        if index > self.next() {
            return Err("a hole in the entries");
        }
        self.rewind(index);
        self.slots.push_back(Slot {
            entry: None,
            place: Some(place),
        });
        self.cache_start = self.next();
        Ok(())
    }

    /// Reading back: a truncation, or where an empty log begins.
    pub(super) fn replay_truncate(&mut self, next: u64) {
        if self.slots.is_empty() || next < self.next() {
            self.rewind(next);
        }
    }

    /// Reading back: true when nothing between the purge and the first entry is missing.
    pub(super) fn is_complete(&self, first_segment: u64) -> bool {
        match &self.purged {
            Some(purged) => self.start == purged.index.saturating_add(1),
            None => first_segment == 1,
        }
    }

    /// Makes `next` the end; an empty log begins there.
    fn rewind(&mut self, next: u64) {
        while self.next() > next {
            let Some(slot) = self.slots.pop_back() else {
                break;
            };
            self.forget(slot);
        }
        if self.slots.is_empty() {
            self.start = next;
            self.cache_start = next;
        }
        self.cache_start = self.cache_start.min(next);
    }

    fn forget(&mut self, slot: Slot) {
        self.cache_bytes -= slot.entry.map_or(0, |entry| entry.len());
    }

    fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        let at = index.checked_sub(self.start)?;
        self.slots.get_mut(usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(len: usize) -> Entry {
        Arc::new(vec![0; len])
    }

    const fn at(offset: u64) -> Place {
        Place {
            segment: 1,
            offset,
            len: 1,
        }
    }

    #[test]
    fn an_entry_leaves_memory_only_when_it_is_on_the_disk() {
        let mut index = Index::new(10);
        let entries = [entry(6), entry(6), entry(6)];
        index.append(1, &entries).unwrap();
        index.shrink_cache();
        assert_eq!(index.cache_bytes, 18, "nothing has a place yet");
        index.place(1, &entries[0], at(0));
        index.place(2, &entries[1], at(9));
        index.shrink_cache();
        assert_eq!(index.cache_bytes, 6);
        index.truncate(1);
        assert_eq!((index.cache_bytes, index.range()), (0, 1..1));
    }

    #[test]
    fn a_place_of_a_replaced_entry_is_not_taken() {
        let mut index = Index::new(0);
        let (old, new) = (entry(1), entry(2));
        index.append(5, &[Arc::clone(&old)]).unwrap();
        index.append(5, &[new]).unwrap();
        index.place(5, &old, at(0));
        index.shrink_cache();
        assert!(
            matches!(&index.find(5..6, 9).unwrap()[0], Source::Memory(entry) if entry.len() == 2)
        );
    }

    #[test]
    fn holes_are_refused() {
        let mut index = Index::new(0);
        assert_eq!(index.append(7, &[entry(1)]).unwrap(), Some(7));
        assert!(index.append(9, &[entry(1)]).is_err());
        assert!(index.append(6, &[entry(1)]).is_err());
        assert!(index.purge(20, b"snapshot"));
        assert!(!index.purge(19, b"older"));
        assert_eq!(index.range(), 21..21);
        assert!(index.append(22, &[entry(1)]).is_err());
        assert_eq!(index.append(21, &[entry(1)]).unwrap(), None);
        assert!(index.append(u64::MAX, &[entry(1)]).is_err());
    }
}
