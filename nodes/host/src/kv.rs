//! The key-value view: a copy of the cluster's state that can be thrown away and made again.
//!
//! Whoever writes here keeps the truth elsewhere (the raft log and its snapshots): a view may lose
//! what was not flushed, and a damaged one is set aside and rebuilt.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Changes that happen together or not at all. Deletes are applied first, then puts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Keys to set.
    pub puts: Vec<Pair>,
    /// Keys to remove; one that is absent is no error.
    pub deletes: Vec<Vec<u8>>,
}

/// A key-value view.
pub trait Kv: Send + Sync {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError>;
    /// All pairs whose key starts with `prefix`, in key order. Meant for start-up and rebuild.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, KvError>;
    /// Applies the whole batch or nothing of it. Not durable until flushed.
    fn apply(&self, batch: Batch) -> Result<(), KvError>;
    /// Hands everything applied so far to the machine's disk.
    fn flush(&self) -> Result<(), KvError>;
}

/// Pairs that [`fill`] puts at once.
const FILLED_AT_ONCE: usize = 512;

/// Puts many pairs, a few thousand neighbours at a time: an engine that takes a batch in an order of its own
/// would else go through all of a large view for each key. Not all or nothing: who needs that puts a mark afterwards.
pub fn fill(kv: &(impl Kv + ?Sized), pairs: impl IntoIterator<Item = Pair>) -> Result<(), KvError> {
    let mut pairs = pairs.into_iter();
    loop {
        let batch = Batch {
            puts: pairs.by_ref().take(FILLED_AT_ONCE).collect(),
            deletes: Vec::new(),
        };
        if batch.puts.is_empty() {
            return Ok(());
        }
        kv.apply(batch)?;
    }
}

/// Why a view did not answer.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// What is on the disk is not what was written: set the view aside and rebuild it.
    #[error("the view is damaged while we {doing}")]
    Damaged {
        /// The act, for example `read a key`.
        doing: &'static str,
        /// The engine's own words.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The engine or the machine refused; trying again may help.
    #[error("the view could not {doing}")]
    Failed {
        /// The act, for example `apply a batch`.
        doing: &'static str,
        /// The engine's own words.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// A view in memory, for tests and the simulator: it remembers what was flushed.
#[derive(Debug, Default)]
pub struct MemoryKv(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    written: BTreeMap<Vec<u8>, Vec<u8>>,
    flushed: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Applied after the last flush, oldest first.
    unflushed: Vec<Batch>,
}

impl MemoryKv {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power: of the batches not yet flushed the first `kept` remain (as many as there are).
    pub fn crash(&self, kept: usize) {
        let mut memory = self.lock();
        let batches: Vec<Batch> = memory.unflushed.drain(..).take(kept).collect();
        memory.written = memory.flushed.clone();
        for batch in batches {
            change(&mut memory.written, batch);
        }
        memory.flushed = memory.written.clone();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for MemoryKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.lock().written.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, KvError> {
        let memory = self.lock();
        let from = memory.written.range(prefix.to_vec()..);
        let pairs = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(pairs
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn apply(&self, batch: Batch) -> Result<(), KvError> {
        let mut memory = self.lock();
        change(&mut memory.written, batch.clone());
        memory.unflushed.push(batch);
        Ok(())
    }

    fn flush(&self) -> Result<(), KvError> {
        let mut memory = self.lock();
        for batch in std::mem::take(&mut memory.unflushed) {
            change(&mut memory.flushed, batch);
        }
        Ok(())
    }
}

fn change(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: Batch) {
    for key in batch.deletes {
        map.remove(&key);
    }
    map.extend(batch.puts);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8]) -> Batch {
        Batch {
            puts: vec![(key.to_vec(), b"v".to_vec())],
            deletes: vec![],
        }
    }

    #[test]
    fn a_crash_loses_only_what_was_not_flushed() {
        let view = MemoryKv::new();
        view.apply(put(b"a")).unwrap();
        view.flush().unwrap();
        view.apply(put(b"b")).unwrap();
        view.apply(put(b"c")).unwrap();
        view.crash(1);
        let keys: Vec<_> = view
            .scan(b"")
            .unwrap()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, [b"a", b"b"]);
    }
}
