//! The view on sled, the only place that names sled.
//!
//! sled's `flush` asks for `sync_file_range`, which does not reach the platter: "flushed" here
//! survives a killed process, not a power cut. That is enough for a copy.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use guitai_host::{Batch, Kv, KvError, Pair};

use super::{OpenOutcome, OpenViewError, open_or_set_aside};

/// How often sled's own thread makes the file durable: the most a power cut takes from the view.
const FLUSH_EVERY_MS: u64 = 500;
/// Memory for sled's pages, per node.
const CACHE_BYTES: u64 = 64 << 20;

/// How often the lock of a view that was just closed is tried for, and the pause between.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// A view kept by sled.
#[derive(Debug)]
pub struct SledView(sled::Db);

impl SledView {
    /// Opens the view in `dir` and reads it through once, since sled finds damage only on reading.
    pub fn open(dir: &Path) -> Result<OpenOutcome<Self>, OpenViewError> {
        open_or_set_aside(dir, Self::open_sound)
    }

    fn open_sound(dir: &Path) -> Result<Self, KvError> {
        // sled answers some damage with a panic; here that is one more word for "damaged".
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let config = sled::Config::new()
                .path(dir)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(Some(FLUSH_EVERY_MS));
            let db = open_when_free(&config).map_err(|error| told("open", error))?;
            for pair in &*db {
                pair.map_err(|error| told("read it through", error))?;
            }
            Ok(Self(db))
        }));
        opened.unwrap_or_else(|_| {
            let source = "sled panicked".into();
            Err(KvError::Damaged {
                doing: "open",
                source,
            })
        })
    }
}

/// Opens, waiting a little for the lock: sled lets go of it behind the back of whoever dropped it.
fn open_when_free(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
    config.open()
}

impl Kv for SledView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let value = self.0.get(key).map_err(|error| told("read a key", error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, KvError> {
        let pairs = self.0.scan_prefix(prefix);
        let pairs = pairs.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
        pairs
            .collect::<Result<_, _>>()
            .map_err(|error| told("scan", error))
    }

    fn apply(&self, batch: Batch) -> Result<(), KvError> {
        let mut changes = sled::Batch::default();
        for key in batch.deletes {
            changes.remove(key);
        }
        for (key, value) in batch.puts {
            changes.insert(key, value);
        }
        self.0
            .apply_batch(changes)
            .map_err(|error| told("apply a batch", error))
    }

    fn flush(&self) -> Result<(), KvError> {
        self.0
            .flush()
            .map(drop)
            .map_err(|error| told("flush", error))
    }
}

/// sled's error as ours.
fn told(doing: &'static str, error: sled::Error) -> KvError {
    let damaged = match &error {
        sled::Error::Corruption { .. }
        | sled::Error::ReportableBug(_)
        | sled::Error::Unsupported(_)
        | sled::Error::CollectionNotFound(_) => true,
        // A lock held by another process also comes as `Other`; that view is sound.
        sled::Error::Io(error) if error.kind() == io::ErrorKind::Other => {
            !error.to_string().contains("acquire lock")
        }
        sled::Error::Io(error) => {
            matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            )
        }
    };
    let source = error.into();
    if damaged {
        KvError::Damaged { doing, source }
    } else {
        KvError::Failed { doing, source }
    }
}
