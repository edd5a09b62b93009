//! Reading the log back: what a power cut left unfinished is cut off, what was acknowledged and is
//! damaged is refused.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_host::{Disk, DiskFile};

use super::{
    Config, OpenWalError,
    index::{Index, Place},
    record::{HEAD_BYTES, Head, MAGIC, Record, decode, encode},
    segments::{Active, Segments, file_name, file_number},
};

/// Longest segment that is read: its bound, one batch over, and room for another setting before.
const SEGMENT_BYTES_MAX: u64 = 512 << 20;
/// The serial of the very first record.
const SERIAL_FIRST: u64 = 1;
const LOST: &str = "a record that was acknowledged cannot be read";

/// Opens the segments in the configured directory, making the first one when there is none.
pub(super) fn recover(
    disk: Arc<dyn Disk>,
    config: Config,
) -> Result<(Segments, Index), OpenWalError> {
    let at = |doing, path: &Path| {
        let path = path.to_path_buf();
        move |source| OpenWalError::Io {
            doing,
            path,
            source,
        }
    };
    disk.create_dir(&config.dir)
        .map_err(at("create", &config.dir))?;
    let names = disk.list(&config.dir).map_err(at("list", &config.dir))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| file_number(name)).collect();
    numbers.sort_unstable();

    let mut reader = Reader::new(&config, numbers.first().copied().unwrap_or(1));
    let last = numbers.last().copied();
    for number in numbers {
        let path = config.dir.join(file_name(number));
        let bytes = disk
            .read(&path, SEGMENT_BYTES_MAX)
            .map_err(at("read", &path))?;
        let file: Arc<dyn DiskFile> = Arc::from(disk.open(&path).map_err(at("open", &path))?);
        let end = reader.segment(number, &bytes, &path)?;
        if Some(number) != last {
            if tail(&bytes, end).iter().any(|byte| *byte != 0) {
                return Err(damaged(LOST, &path, end));
            }
            reader.keep(number, file);
            continue;
        }
        if reader.has_lost(&bytes, end) {
            return Err(damaged(LOST, &path, end));
        }
        if end == 0 {
            // Its first batch was cut off: the log ends with the segment before.
            tracing::warn!(file = %path.display(), "an unfinished segment is removed");
            disk.remove(&path).map_err(at("remove", &path))?;
            break;
        }
        let len = settle(&*file, &bytes, end).map_err(at("settle", &path))?;
        reader.active = Some(Active {
            file: Arc::clone(&file),
            end: end as u64,
            len,
        });
        reader.keep(number, file);
    }
    // A name left by a killed process may not be durable yet.
    disk.sync_dir(&config.dir)
        .map_err(at("sync", &config.dir))?;
    if !reader.index.is_complete(reader.first_segment) {
        let path = config.dir.join(file_name(reader.first_segment));
        return Err(damaged(
            "entries before the first one are missing",
            &path,
            0,
        ));
    }
    reader.finish(disk, config)
}

/// Cuts off everything after `end` and writes the rest once more before syncing it: after a failed
/// sync the kernel may show bytes that never reached the disk and call them clean.
fn settle(file: &dyn DiskFile, bytes: &[u8], end: usize) -> io::Result<u64> {
    let (kept, rest) = bytes.split_at(end.min(bytes.len()));
    let mut len = bytes.len();
    if rest.iter().any(|byte| *byte != 0) {
        tracing::warn!(
            bytes = rest.len(),
            "an unfinished write at the end of the log is cut off"
        );
        file.set_len(kept.len() as u64)?;
        len = kept.len();
    }
    file.write_at(0, kept)?;
    file.sync_data()?;
    Ok(len as u64)
}

/// What follows the records.
fn tail(bytes: &[u8], end: usize) -> &[u8] {
    bytes.get(end..).unwrap_or_default()
}

fn damaged(what: &'static str, file: &Path, offset: usize) -> OpenWalError {
    OpenWalError::Damaged {
        what,
        file: file.to_path_buf(),
        offset: offset as u64,
    }
}

/// The state after the records read so far.
struct Reader {
    index: Index,
    first_segment: u64,
    next_serial: Option<u64>,
    /// Segment read last, its path and where its records end.
    before: Option<(u64, PathBuf, usize)>,
    last_index: BTreeMap<u64, Option<u64>>,
    active: Option<Active>,
}

impl Reader {
    const fn new(config: &Config, first_segment: u64) -> Self {
        Self {
            index: Index::new(config.cache_bytes),
            first_segment,
            next_serial: None,
            before: None,
            last_index: BTreeMap::new(),
            active: None,
        }
    }

    /// Reads a segment's records as far as they go and says where that is.
    fn segment(&mut self, number: u64, bytes: &[u8], path: &Path) -> Result<usize, OpenWalError> {
        self.follows(number, bytes)?;
        let mut end = 0;
        while let Some(found) = bytes.get(end..).and_then(decode) {
            let expected = self.next_serial.unwrap_or(found.serial);
            let head_first = (end == 0) == matches!(found.record, Record::Head(_));
            if found.serial != expected || !head_first {
                break;
            }
            let place = Place {
                segment: number,
                offset: end as u64,
                len: found.len,
            };
            self.apply(found.record, place)
                .map_err(|what| damaged(what, path, end))?;
            self.next_serial = Some(found.serial + 1);
            end += found.len;
        }
        self.before = Some((number, path.to_path_buf(), end));
        Ok(end)
    }

    /// A segment that is not the last was synced whole before the next began; so when this one
    /// starts with another serial than expected, the one before has lost its end.
    fn follows(&self, number: u64, bytes: &[u8]) -> Result<(), OpenWalError> {
        let Some((before, path, end)) = &self.before else {
            return Ok(());
        };
        if number != before + 1 {
            return Err(damaged("the segment after this one is missing", path, *end));
        }
        let serial = decode(bytes).map(|found| found.serial);
        if *end == 0 || serial.is_some_and(|serial| Some(serial) != self.next_serial) {
            return Err(damaged(LOST, path, *end));
        }
        Ok(())
    }

    fn apply(&mut self, record: Record<'_>, place: Place) -> Result<(), &'static str> {
        let index = &mut self.index;
        match record {
            Record::Head(head) => {
                if head.segment != place.segment {
                    return Err("a segment under the name of another");
                }
                index.replay_next(head.next, place.segment == self.first_segment)?;
                (index.purged, index.vote) = (head.purged, head.vote);
                index.committed = head.committed;
                self.last_index.insert(place.segment, None);
            }
            Record::Entry { index: at, .. } => {
                index.replay_entry(at, place)?;
                let last = self.last_index.entry(place.segment).or_default();
                *last = (*last).max(Some(at));
            }
            Record::Truncate { next } => index.replay_truncate(next),
            Record::Purge { index: at, marker } => {
                index.purge(at, marker);
            }
            Record::Vote(vote) => index.vote = Some(vote.to_vec()),
            Record::Committed(committed) => index.committed = Some(committed.to_vec()),
        }
        Ok(())
    }

    /// True when acknowledged records were at `end`: a later one says that the one expected there
    /// was durable. False when what follows is an unfinished write.
    fn has_lost(&self, bytes: &[u8], end: usize) -> bool {
        if end == 0 && self.index.files.is_empty() {
            // The first segment is synced with its head alone before anything else is written.
            return self.first_segment != 1 || bytes.len() > first_head().len();
        }
        let expected = self.next_serial.unwrap_or(SERIAL_FIRST);
        let rest = tail(bytes, end);
        rest.windows(HEAD_BYTES).enumerate().any(|(at, window)| {
            let found = if window.starts_with(MAGIC) {
                decode(tail(rest, at))
            } else {
                None
            };
            found.is_some_and(|found| found.durable > expected)
        })
    }

    fn keep(&mut self, number: u64, file: Arc<dyn DiskFile>) {
        self.index.files.insert(number, file);
    }

    /// Hands over to the writer.
    fn finish(
        mut self,
        disk: Arc<dyn Disk>,
        config: Config,
    ) -> Result<(Segments, Index), OpenWalError> {
        let path = config.dir.clone();
        let fail = |source| OpenWalError::Io {
            doing: "begin",
            path,
            source,
        };
        // Without a segment a new log begins, and its head takes the first serial.
        let next_serial = self.next_serial.unwrap_or(SERIAL_FIRST + 1);
        let newest = self.index.files.last_key_value();
        let (segment, active) = match (self.active.take(), newest) {
            (Some(active), Some((number, _))) => (*number, active),
            // The newest was closed; the next batch finds it full and begins another.
            (None, Some((number, file))) => {
                let end = config.segment_bytes;
                (
                    *number,
                    Active {
                        file: Arc::clone(file),
                        end,
                        len: end,
                    },
                )
            }
            (_, None) => (1, begin(&*disk, &config).map_err(fail)?),
        };
        self.index.files.insert(segment, Arc::clone(&active.file));
        self.last_index.entry(segment).or_default();
        let state = Head {
            segment,
            next: self.index.range().end,
            purged: self.index.purged.clone(),
            vote: self.index.vote.clone(),
            committed: self.index.committed.clone(),
        };
        let last_index = self.last_index;
        Ok((
            Segments {
                disk,
                config,
                active,
                next_serial,
                state,
                last_index,
            },
            self.index,
        ))
    }
}

/// The head of a new log's first segment.
fn first_head() -> Vec<u8> {
    let head = Head {
        segment: 1,
        ..Head::default()
    };
    let mut bytes = Vec::new();
    encode(&Record::Head(head), SERIAL_FIRST, SERIAL_FIRST, &mut bytes);
    bytes
}

/// Creates the first segment of a new log.
fn begin(disk: &dyn Disk, config: &Config) -> io::Result<Active> {
    let file: Arc<dyn DiskFile> = Arc::from(disk.create(&config.dir.join(file_name(1)))?);
    let head = first_head();
    file.write_at(0, &head)?;
    file.sync_data()?;
    disk.sync_dir(&config.dir)?;
    let len = head.len() as u64;
    Ok(Active {
        file,
        end: len,
        len,
    })
}
