//! What this node has applied so far: the core's state, and how far it is. Read by everybody,
//! changed by the state machine alone.

use std::sync::{Arc, PoisonError, RwLock};

use guitai_meta_core::{Full, RecordKey, State};
use guitai_types::command::Reply;
use openraft::EntryPayload;
use tokio::sync::watch;

use crate::raft::{Entry, LogId, Membership};

/// State, and where in the log it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Base {
    pub(crate) state: State,
    pub(crate) last: Option<LogId>,
    pub(crate) membership: Membership,
}

impl Base {
    /// Applies one entry; says what came of it.
    pub(crate) fn step(&mut self, entry: Entry) -> Step {
        self.last = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Step::default(),
            EntryPayload::Normal(agreed) => {
                let mut step = Step::default();
                for proposed in &agreed.0 {
                    let outcome = self.state.apply(proposed.proposal());
                    step.replies.push(outcome.reply);
                    step.changed.extend(outcome.changed);
                    step.full.extend(outcome.full);
                }
                step
            }
            EntryPayload::Membership(membership) => {
                self.membership = Membership::new(Some(entry.log_id), membership);
                Step::default()
            }
        }
    }
}

/// What came of one entry.
#[derive(Default)]
pub(crate) struct Step {
    /// One to each proposal, in their order.
    pub(crate) replies: Vec<Reply>,
    /// Records that they changed.
    pub(crate) changed: Vec<RecordKey>,
    /// Parts of the transparency log that became full.
    pub(crate) full: Vec<Full>,
}

/// The applied state; clones are the same.
#[derive(Clone)]
pub(crate) struct Applied {
    base: Arc<RwLock<Base>>,
    /// Number of the newest event; subscribers wait on it and read the state's ring.
    events: watch::Sender<u64>,
}

impl Applied {
    pub(crate) fn new(base: Base) -> Self {
        let (events, _) = watch::channel(base.state.event_number());
        Self {
            base: Arc::new(RwLock::new(base)),
            events,
        }
    }

    /// Looks at it. The look must be short: nothing is applied meanwhile.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Base) -> T) -> T {
        // A panicking reader cannot have changed anything.
        look(&self.base.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes it and wakes those who wait for events.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Base) -> T) -> T {
        let mut base = self.base.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut base);
        let number = base.state.event_number();
        drop(base);
        self.events
            .send_if_modified(|newest| std::mem::replace(newest, number) != number);
        result
    }

    /// Wakes whenever there are new events.
    pub(crate) fn event_number(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }
}
