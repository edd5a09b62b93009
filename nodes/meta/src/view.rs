//! The key-value view: a copy of the state that makes a restart fast. It is never the truth: when
//! it is absent, damaged or behind the snapshot, the node starts from the snapshot, and the log's
//! rest follows.
//!
//! Keys: `state/<record key>` hold the core's records; `applied` says which entry they are the
//! state after. Both are written in one batch, so an entry is never applied twice to the view.
//!
//! What changed is gathered for a moment and written together: a record that changes with every entry
//! (and the mark itself) is then written ten times a second and not thousands of times. A restart finds
//! the view so much older, and the log has the rest.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use guitai_host::{Batch, Kv, fill};
use guitai_meta_core::{RecordKey, State};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    applied::{Applied, Base},
    machine::Machine,
    raft::{LogId, Membership},
    runtime::blocking,
    tlog::Files,
};

/// How long changes are gathered before they are written, in milliseconds.
const GATHER_MS: u64 = 500;
/// Changed records beyond which they are written at once.
const GATHERED_MAX: usize = 16 * 1024;

const APPLIED: &[u8] = b"applied";
const STATE: &[u8] = b"state/";
/// Records of a form that is read and not written any more.
const OLD: &[u8] = b"state/request/";

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
    files: Files,
    generation: u64,
    broken: Arc<AtomicBool>,
    gathered: Arc<Mutex<Gathered>>,
    /// Held from the look at the state until what was seen is written, so that batches keep their order.
    writing: Arc<Mutex<()>>,
}

/// What the view does not show yet.
#[derive(Default)]
struct Gathered {
    changed: BTreeSet<RecordKey>,
    /// An entry was applied, even if it changed no record.
    is_behind: bool,
}

impl View {
    pub(crate) fn new(kv: Arc<dyn Kv>, generation: u64, files: Files) -> Self {
        Self {
            kv,
            files,
            generation,
            broken: Arc::default(),
            gathered: Arc::default(),
            writing: Arc::default(),
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
        let base = Base {
            state: State::load(records).map_err(|error| chain(&error))?,
            last: mark.last,
            membership: mark.membership,
        };
        if pairs.iter().any(|(key, _)| key.starts_with(OLD)) {
            self.replace(&base);
        }
        Ok(Some(base))
    }

    /// Makes the view hold exactly this. A restart before it is done finds no mark, hence no view.
    pub(crate) fn replace(&self, base: &Base) {
        let _turn = lock(&self.writing);
        *lock(&self.gathered) = Gathered::default();
        let result = self.kv.scan(STATE).and_then(|old| {
            let mut deletes: Vec<Vec<u8>> = old.into_iter().map(|(key, _)| key).collect();
            deletes.push(APPLIED.to_vec());
            self.kv.apply(Batch {
                puts: Vec::new(),
                deletes,
            })?;
            let records = base.state.record_keys();
            let records = records.filter_map(|key| Some((name(&key), base.state.record(&key)?)));
            fill(&*self.kv, records)?;
            self.kv.apply(self.batch(base, BTreeSet::new()))?;
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

    /// Notes what an entry changed. Called where the entry is applied and nobody looks at the state, so
    /// that no state is ever written without the notes that belong to it.
    pub(crate) fn note(&self, changed: Vec<RecordKey>) {
        let mut gathered = lock(&self.gathered);
        gathered.is_behind = true;
        gathered.changed.extend(changed);
    }

    /// Whether so much was gathered that it should be written now.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.gathered).changed.len() >= GATHERED_MAX
    }

    /// Writes the records that changed, with the mark. After a failure nothing more is written: a
    /// later success would hide the hole, and the next restart would believe it.
    pub(crate) fn write(&self, applied: &Applied) {
        let _turn = lock(&self.writing);
        let batch = applied.look(|base| {
            let gathered = std::mem::take(&mut *lock(&self.gathered));
            let is_due = gathered.is_behind && !self.broken.load(Ordering::Relaxed);
            is_due.then(|| self.batch(base, gathered.changed))
        });
        // The state has forgotten what is in them, and so would a restart from this view.
        if let Err(error) = self.files.flush() {
            let error = chain(&error);
            tracing::warn!(
                error,
                "the transparency log was not written, and so is the view"
            );
            self.broken.store(true, Ordering::Relaxed);
            return;
        }
        let Some(batch) = batch else { return };
        if let Err(error) = self.kv.apply(batch) {
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

    fn batch(&self, base: &Base, keys: BTreeSet<RecordKey>) -> Batch {
        let mut batch = Batch::default();
        for key in keys {
            match base.state.record(&key) {
                Some(record) => batch.puts.push((name(&key), record)),
                None => batch.deletes.push(name(&key)),
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

/// Where a record lies.
fn name(key: &RecordKey) -> Vec<u8> {
    [STATE, key.to_string().as_bytes()].concat()
}

/// Writes what was gathered, again and again, until the node stops.
pub(crate) async fn keep(machine: Machine, mut stopped: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(Duration::from_millis(GATHER_MS));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = pace.tick() => {}
        }
        let Machine { view, applied, .. } = machine.clone();
        let written = blocking(move || {
            view.write(&applied);
            Ok(())
        });
        // It says itself what goes wrong; all that can fail here is a runtime that ends.
        if written.await.is_err() {
            return;
        }
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
