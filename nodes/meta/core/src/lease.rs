//! The sync lease: how the guard city can prove, by itself, that no sync write was acknowledged that
//! it does not have.
//!
//! A guard *grants*: "until T, nothing is acknowledged without me". The leader *holds*: it lets sync
//! writes go without a guard only after the record `Degraded` is in the log, and puts that there only
//! when every promise that a guard may have made has run out. Then the guard's sentence is true
//! whatever was lost, delayed or cut off, as long as the clocks run at nearly the same rate:
//!
//! 1. A grant answers a *nonce* that the guard made at `b0`; the promise ends at `b0 + D(1-ρ)` of the
//!    guard's clock, at most `b0 + D` of true time.
//! 2. The leader that used the nonce got it after `b0`, and waits `D(1+ρ)` from then, at least `D`.
//! 3. Before it uses the nonce, and after it got it, a quorum confirms that it leads. So every leader
//!    of a later term was elected after `b0`, and it waits `D(1+ρ)` from its election.
//! 4. A leader of an earlier term can acknowledge only what a quorum took before the asker was elected,
//!    which is below the asker's first entry. If that holds a `Degraded`, the asker has applied it
//!    (the confirmed read index is at or after its first entry), and the guard grants only under the
//!    change number that the asker names.
//!
//! What is older than a return to `Sync` is in the log before that record, and a guard grants only
//! after it has applied it. So a promise covers the whole past, not only the time since the return.
//!
//! Time arrives as an argument. Where it is the process's monotonic time, it must not stand still while
//! the guard's process runs; since a suspended machine does that, a guard looks at its wall clock too
//! and takes whichever ends the promise first.

use std::{collections::VecDeque, time::Duration};

use guitai_types::{
    NodeId, UnixMillis,
    sync::{SyncMode, SyncState, Verdict},
};
use serde::{Deserialize, Serialize};

mod holder;
#[cfg(test)]
mod tests;

pub use holder::{Holder, Look, SYNC_BEHIND_MAX, Standing, Wish};

/// Largest difference between the rate of a node's clock and true time, in millionths. An oscillator
/// is within 100; NTP slews by 500; but chrony slews by 83,333 (its `maxslewrate`) after a step it was
/// not allowed to make, and that moves the monotonic clock as well.
pub const DRIFT_PPM_MAX: u32 = 100_000;
/// Nonces a guard remembers: one in flight for each of some leaders that believe they lead.
const NONCES_KEPT: usize = 64;

/// How long a guard's promise lasts on its own clock; never longer than `lease` of true time.
pub fn promised(lease: Duration) -> Duration {
    lease.saturating_sub(drift(lease))
}

/// How long a leader waits on its own clock; never shorter than `lease` of true time.
pub fn waited(lease: Duration) -> Duration {
    // A nanosecond more for the rounding.
    lease + drift(lease) + Duration::from_nanos(1)
}

fn drift(lease: Duration) -> Duration {
    lease.saturating_mul(DRIFT_PPM_MAX) / 1_000_000
}

/// A moment by a guard's two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Process time; never goes back.
    pub mono: Duration,
    /// Wall time; what a verdict names.
    pub wall: UnixMillis,
}

impl Moment {
    fn plus(self, by: Duration) -> Self {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self {
            mono: self.mono.saturating_add(by),
            wall: self.wall.plus(ms),
        }
    }

    /// What is left until then, by the clock that ends it first.
    fn left_from(self, now: Self) -> Duration {
        let wall = Duration::from_millis(self.wall.since(now.wall));
        self.mono.saturating_sub(now.mono).min(wall)
    }
}

/// Names a moment of a guard's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nonce {
    /// Drawn when the guard's process started: nonces of an earlier life are worth nothing.
    pub life: u64,
    /// Counts within a life.
    pub number: u64,
}

/// What a leader asks of a guard. Frozen as JSON: nodes of two releases talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Term of the asker.
    pub term: u64,
    /// Change number of the sync mode that the asker has applied.
    pub counter: u64,
    /// A moment after which a quorum confirmed that the asker leads; without one nothing is granted,
    /// only the next nonce given.
    pub nonce: Option<Nonce>,
}

/// A guard's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The nonce for the next ask.
    pub next: Nonce,
    /// For how many milliseconds the promise lasts; 0 if none was made.
    pub granted_ms: u64,
}

/// The guard's side.
#[derive(Debug, Clone)]
pub struct Grantor {
    me: NodeId,
    life: u64,
    given: u64,
    nonces: VecDeque<(Nonce, Moment)>,
    until: Option<Moment>,
    term: u64,
    is_released: bool,
}

impl Grantor {
    /// A guard that has promised nothing in this life. `life` is drawn at random.
    pub fn new(me: NodeId, life: u64) -> Self {
        Self {
            me,
            life,
            given: 0,
            nonces: VecDeque::new(),
            until: None,
            term: 0,
            is_released: false,
        }
    }

    /// Which life of the guard this is.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Answers an ask. `term` is the newest this node's consensus knows, `sync` the mode it has applied.
    pub fn answer(&mut self, now: Moment, ask: &Ask, term: u64, sync: &SyncState) -> Answer {
        self.term = self.term.max(term);
        let promise = self.promise(ask, sync);
        if let Some(promise) = promise {
            let later = self.until.is_none_or(|until| until.mono < promise.mono);
            self.until = if later { Some(promise) } else { self.until };
        }
        self.term = self.term.max(ask.term);
        let next = Nonce {
            life: self.life,
            number: self.given,
        };
        self.given += 1;
        self.nonces.push_back((next, now));
        while self.nonces.len() > NONCES_KEPT {
            self.nonces.pop_front();
        }
        let left = promise.map_or(Duration::ZERO, |promise| promise.left_from(now));
        Answer {
            next,
            granted_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Until when this ask binds its asker; `None` if it does not.
    fn promise(&self, ask: &Ask, sync: &SyncState) -> Option<Moment> {
        let SyncMode::Sync { guards, lease_ms } = &sync.mode else {
            return None;
        };
        let is_asked = guards.contains(&self.me) && sync.counter == ask.counter;
        if self.is_released || !is_asked || ask.term < self.term {
            return None;
        }
        let nonce = ask.nonce?;
        let (_, made) = self.nonces.iter().find(|(known, _)| *known == nonce)?;
        Some(made.plus(promised(Duration::from_millis(*lease_ms))))
    }

    /// Promises nothing any more and gives up what is left of the present promise. Whoever is told may
    /// act on it, so the verdict must be on the disk first.
    pub fn release(&mut self, now: Moment) {
        self.is_released = true;
        self.until = self.until.map(|until| {
            if until.left_from(now).is_zero() {
                until
            } else {
                now
            }
        });
    }

    /// The end of the greatest promise of this life.
    pub fn proven_until(&self) -> Option<Moment> {
        self.until
    }

    /// What this guard can say by itself. `before` is the moment read from the disk at its start,
    /// `applied` and `last_index` say how far its log is.
    pub fn verdict(
        &self,
        now: Moment,
        sync: &SyncState,
        before: Option<UnixMillis>,
        (applied, last_index): (u64, u64),
    ) -> Verdict {
        let is_guarded = sync.guards().contains(&self.me) && !self.is_released;
        let left = self.until.filter(|_| is_guarded);
        let left = left.map_or(Duration::ZERO, |until| until.left_from(now));
        Verdict {
            node: self.me,
            sync: sync.clone(),
            proven_until: self.until.map(|until| until.wall).or(before),
            proves_now: !left.is_zero(),
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
            from_before_restart: self.until.is_none() && before.is_some(),
            applied,
            last_index,
        }
    }
}
