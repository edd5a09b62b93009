//! Everything that happens in a world, hashed; the end of it also as text.

use std::{
    collections::VecDeque,
    fmt::Display,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::time::Time;

/// Lines kept for whoever reads a failing seed.
const LINES_KEPT: usize = 50_000;

/// The trace of one world; clones are the same.
#[derive(Debug, Clone)]
pub struct Trace {
    time: Time,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    hasher: DefaultHasher,
    events: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// An empty trace.
    pub fn new(time: Time) -> Self {
        Self {
            time,
            inner: Arc::default(),
        }
    }

    /// Notes an event, with the time.
    pub fn note(&self, what: impl Display) {
        let line = format!("{:>9.3} {what}", self.time.passed().as_secs_f64() * 1_000.0);
        let mut inner = self.lock();
        line.hash(&mut inner.hasher);
        inner.events += 1;
        if inner.lines.len() == LINES_KEPT {
            inner.lines.pop_front();
        }
        inner.lines.push_back(line);
    }

    /// Hash, number of events, and the last lines.
    pub fn close(&self) -> (u64, u64, Vec<String>) {
        let inner = self.lock();
        (
            inner.hasher.finish(),
            inner.events,
            inner.lines.iter().cloned().collect(),
        )
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hash that is the same in every run.
pub fn digest(bytes: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
