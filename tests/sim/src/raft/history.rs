//! What the clients did and saw; whether one register per key could have answered so, `guitai_history`
//! decides.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use guitai_history::{Done, Op, check};

use crate::Violation;

/// The lowest serial written: above every number the bank was founded with.
pub const SERIAL_FIRST: u64 = 1_000;

/// The history of one world; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    tick: u64,
    serial: u64,
    keys: BTreeMap<u64, Vec<Done>>,
}

/// A write whose outcome is awaited.
#[derive(Debug, Clone, Copy)]
pub struct Pending {
    key: u64,
    at: usize,
}

impl History {
    /// Begins a write of a new serial.
    pub fn begin_write(&self, key: u64) -> (Pending, u64) {
        let mut inner = self.lock();
        inner.serial += 1;
        let serial = SERIAL_FIRST + inner.serial;
        let from = inner.now();
        let done = inner.keys.entry(key).or_default();
        done.push(Done {
            op: Op::Write(serial),
            from,
            to: u64::MAX,
        });
        let at = done.len() - 1;
        (Pending { key, at }, serial)
    }

    /// The write was acknowledged.
    pub fn written(&self, pending: Pending) {
        let mut inner = self.lock();
        let now = inner.now();
        let done = inner.keys.get_mut(&pending.key);
        if let Some(done) = done.and_then(|done| done.get_mut(pending.at)) {
            done.to = now;
        }
    }

    /// Begins a read.
    pub fn begin_read(&self) -> u64 {
        self.lock().now()
    }

    /// The read that began then saw this.
    pub fn seen(&self, key: u64, from: u64, serial: u64) {
        let mut inner = self.lock();
        let to = inner.now();
        let op = Op::Read(serial);
        let done = inner.keys.entry(key).or_default();
        done.push(Done { op, from, to });
    }

    /// Serials acknowledged, over all keys.
    pub fn acknowledged(&self) -> Vec<u64> {
        let inner = self.lock();
        let all = inner.keys.values().flatten();
        all.filter_map(|done| match done.op {
            Op::Write(serial) if done.to != u64::MAX => Some(serial),
            _ => None,
        })
        .collect()
    }

    /// Whether every key's history is that of a register.
    pub fn check(&self) -> Result<(), Violation> {
        for (key, done) in &self.lock().keys {
            check(done).map_err(|what| format!("register {key}: {what}"))?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn now(&mut self) -> u64 {
        self.tick += 1;
        self.tick
    }
}
