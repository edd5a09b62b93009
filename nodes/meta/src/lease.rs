//! Drives the sync lease (`guitai_meta_core::lease`): every core node answers as a guard, and the
//! leader asks, waits with sync writes and changes the mode.
//!
//! `guard` is the guard's side, `holder` the leader's.

mod guard;
mod holder;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_host::{Disk, Entropy};
use guitai_meta_core::lease::{Ask, Grantor, Holder, Moment};
use guitai_types::{NodeId, sync::GuardView};
use openraft::async_runtime::WatchReceiver as _;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{meta::Meta, raft::LogId};

pub(crate) use guard::keep;
pub(crate) use holder::{follow, run};

/// What the sync lease needs on a node.
pub(crate) struct Lease {
    /// Voters of the guard city, by this node's profile.
    candidates: Vec<NodeId>,
    /// The lease that a return to sync begins with.
    lease: Duration,
    guard: Mutex<guard::Guard>,
    /// This node's term as leader.
    holder: Mutex<Option<Holder>>,
    guarded: Published,
}

/// How far the guards have the log, on the leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Guarded {
    /// The change of the mode whose guards they are.
    counter: u64,
    /// Last log id that one of them has on its disk.
    upto: Option<LogId>,
}

/// The newest [`Guarded`], for any number of waiting writes. They are woken in the order in which they
/// began to wait, which a `watch` does not promise and the simulator needs.
#[derive(Default)]
struct Published {
    newest: Mutex<Guarded>,
    changed: Notify,
}

impl Published {
    fn newest(&self) -> Guarded {
        *self.lock()
    }

    fn publish(&self, present: Guarded) {
        let before = std::mem::replace(&mut *self.lock(), present);
        if before != present {
            self.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Body of `meta.lease`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Request {
    /// To a guard.
    Ask(Ask),
    /// From a guard that stops: that life of it promises nothing any more.
    Release { life: u64 },
}

impl Lease {
    pub(crate) fn open(
        me: NodeId,
        candidates: Vec<NodeId>,
        lease: Duration,
        disk: Arc<dyn Disk>,
        entropy: &dyn Entropy,
    ) -> Self {
        let mut life = [0; 8];
        entropy.fill(&mut life);
        let grantor = Grantor::new(me, u64::from_be_bytes(life));
        Self {
            candidates,
            lease,
            guard: Mutex::new(guard::Guard::open(grantor, disk)),
            holder: Mutex::new(None),
            guarded: Published::default(),
        }
    }

    fn guard(&self) -> MutexGuard<'_, guard::Guard> {
        // Nothing is half done when a thread panics here: both sides are changed by one call each.
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self) -> MutexGuard<'_, Option<Holder>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meta {
    /// Answers another core node about the lease; `None` if it is not understood.
    pub(crate) fn answer_lease(&self, from: NodeId, request: &[u8]) -> Option<Vec<u8>> {
        match serde_json::from_slice(request).ok()? {
            Request::Ask(ask) => serde_json::to_vec(&self.grant(&ask)).ok(),
            Request::Release { life } => {
                if let Some(holder) = self.lease().holder().as_mut() {
                    holder.released(from, life);
                }
                Some(b"{}".to_vec())
            }
        }
    }

    /// The guards as this leader sees them; empty elsewhere.
    pub(crate) fn guard_views(&self) -> Vec<GuardView> {
        let holder = self.lease().holder().clone();
        let Some(holder) = holder else {
            return Vec::new();
        };
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = |guard: NodeId| metrics.replication.as_ref()?.get(&guard.0)?.as_ref();
        let agreed = self.peek(|state| state.sync().guards().to_vec());
        let guards = if agreed.is_empty() {
            self.lease().candidates.clone()
        } else {
            agreed
        };
        let view = |node: NodeId| GuardView {
            node,
            proves_ms: millis(holder.proves(node, self.now())),
            lag: matched(node).map(|log| last.saturating_sub(log.index)),
        };
        guards.into_iter().map(view).collect()
    }

    fn moment(&self) -> Moment {
        Moment {
            mono: self.now(),
            wall: self.wall(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
