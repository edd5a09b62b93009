//! The key-value view: a copy of the state that makes a restart fast. It is never the truth: when
//! it is absent, damaged or behind the snapshot, the node starts from the snapshot, and the log's
//! rest follows.
//!
//! Keys: `state/<record key>` hold the core's records; `applied` says which entry they are the
//! state after. Both are written in one batch, so an entry is never applied twice to the view.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use guitai_host::{Batch, Kv};
use guitai_meta_core::{RecordKey, State};
use serde::{Deserialize, Serialize};

use crate::{
    applied::Base,
    raft::{LogId, Membership},
};

const APPLIED: &[u8] = b"applied";
const STATE: &[u8] = b"state/";

/// Where the view stands in the log.
#[derive(Serialize, Deserialize)]
struct Mark {
    v: u16,
    last: Option<LogId>,
    membership: Membership,
    /// The generation of the lineage it is a view of.
    #[serde(default)]
    generation: u64,
}

/// The view, and whether it can still be written.
#[derive(Clone)]
pub(crate) struct View {
    kv: Arc<dyn Kv>,
    generation: u64,
    broken: Arc<AtomicBool>,
}

impl View {
    pub(crate) fn new(kv: Arc<dyn Kv>, generation: u64) -> Self {
        Self {
            kv,
            generation,
            broken: Arc::default(),
        }
    }

    /// What the view holds; `None` if that is nothing or cannot be used.
    pub(crate) fn load(&self) -> Option<Base> {
        let loaded = self.try_load();
        loaded.unwrap_or_else(|error| {
            tracing::warn!(error, "the view cannot be used; starting from the snapshot");
            None
        })
    }

    fn try_load(&self) -> Result<Option<Base>, String> {
        let Some(mark) = self.kv.get(APPLIED).map_err(|error| chain(&error))? else {
            return Ok(None);
        };
        let mark: Mark = serde_json::from_slice(&mark).map_err(|error| chain(&error))?;
        if mark.generation != self.generation {
            // Of the lineage this node has left: nothing of it may be mixed with what comes.
            self.replace(&Base::default());
            return Ok(None);
        }
        let pairs = self.kv.scan(STATE).map_err(|error| chain(&error))?;
        let records = pairs
            .iter()
            .map(|(key, value)| (key.get(STATE.len()..).unwrap_or(&[]), value));
        let state = State::load(records).map_err(|error| chain(&error))?;
        Ok(Some(Base {
            state,
            last: mark.last,
            membership: mark.membership,
        }))
    }

    /// Makes the view hold exactly this. A restart before it is done finds no mark, hence no view.
    pub(crate) fn replace(&self, base: &Base) {
        let result = self.kv.scan(STATE).and_then(|old| {
            let mut deletes: Vec<Vec<u8>> = old.into_iter().map(|(key, _)| key).collect();
            deletes.push(APPLIED.to_vec());
            self.kv.apply(Batch {
                puts: Vec::new(),
                deletes,
            })?;
            let keys: Vec<RecordKey> = base.state.record_keys().collect();
            self.kv.apply(self.batch(base, &keys))?;
            self.kv.flush()
        });
        let failed = result.inspect_err(|error| {
            tracing::warn!(
                error = chain(error),
                "the view was not rebuilt; going on without it"
            );
        });
        self.broken.store(failed.is_err(), Ordering::Relaxed);
    }

    /// Writes the records that changed, with the mark. After a failure nothing more is written: a
    /// later success would hide the hole, and the next restart would believe it.
    pub(crate) fn write(&self, base: &Base, changed: &[RecordKey]) {
        if self.broken.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.kv.apply(self.batch(base, changed)) {
            let error = chain(&error);
            tracing::warn!(error, "the view was not written; going on without it");
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn flush(&self) {
        if let Err(error) = self.kv.flush() {
            tracing::warn!(error = chain(&error), "the view was not flushed");
        }
    }

    fn batch(&self, base: &Base, keys: &[RecordKey]) -> Batch {
        // Once per key: what counts is the record now.
        let keys: BTreeMap<&RecordKey, ()> = keys.iter().map(|key| (key, ())).collect();
        let mut batch = Batch::default();
        for key in keys.into_keys() {
            let name = [STATE, key.to_string().as_bytes()].concat();
            match base.state.record(key) {
                Some(record) => batch.puts.push((name, record)),
                None => batch.deletes.push(name),
            }
        }
        let mark = Mark {
            v: 1,
            last: base.last,
            membership: base.membership.clone(),
            generation: self.generation,
        };
        // Plain data; were it ever not to encode, a view without mark is no view.
        match serde_json::to_vec(&mark) {
            Ok(mark) => batch.puts.push((APPLIED.to_vec(), mark)),
            Err(_) => batch.deletes.push(APPLIED.to_vec()),
        }
        batch
    }
}

/// An error with its causes, for one log line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
