//! Counters of what crossed and what did not. Bounded: every label is of a closed set.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{Refusal, Verdict};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the DMZ to the inner zone.
    Inward,
    /// From the inner zone to the DMZ.
    Outward,
}

impl Direction {
    /// Label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inward => "inward",
            Self::Outward => "outward",
        }
    }
}

/// One counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Which way.
    pub direction: Direction,
    /// Message kind as in `types::control`, `unknown` if it has none.
    pub kind: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// How many since start.
    pub count: u64,
}

/// The counters of one guard.
#[derive(Debug, Default)]
pub struct Counts {
    counts: Mutex<BTreeMap<(Direction, &'static str, Verdict), u64>>,
}

impl Counts {
    pub(super) fn passed(&self, direction: Direction, kind: &'static str) {
        self.add(direction, kind, Verdict::Passed);
    }

    pub(super) fn refused(&self, direction: Direction, kind: &'static str, refusal: &Refusal) {
        tracing::warn!(direction = direction.as_str(), kind, %refusal, "message refused");
        self.add(direction, kind, refusal.verdict());
    }

    /// Every counter that is not zero, in order.
    pub fn all(&self) -> Vec<Count> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |(&(direction, kind, verdict), &count): (&_, &u64)| Count {
            direction,
            kind,
            verdict,
            count,
        };
        counts.iter().map(count).collect()
    }

    fn add(&self, direction: Direction, kind: &'static str, verdict: Verdict) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((direction, kind, verdict)).or_default() += 1;
    }
}
