//! What the simulator (`tests/sim`) needs of us: a runtime whose chance has a seed, lives that can be
//! paused and ended like processes, and a way to start a node over simulated lines.
//!
//! Nothing here is in a node's binary: the feature `sim` is asked for by the simulator alone. Where
//! the feature is on but no [`Life`] is present (a test run over the whole workspace), everything
//! behaves as in production.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use guitai_host::{Clock, Entropy};
use guitai_meta_core::State;
use guitai_store::{OpenWalError, Wal};
use guitai_types::{Member, NodeName};
use openraft::{ServerState, async_runtime::WatchReceiver as _, errors::Fatal};

use crate::{
    Config, Meta, StartError,
    service::Service,
    transport::{Topic, Transport, Unanswered},
};

pub use life::{Life, Lived};
pub use promise::{Answered, LeaderId, Promise};
pub use runtime::Runtime;

mod life;
mod promise;
mod runtime;

/// What a message is about, as far as a line must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(Topic);

/// One node's end of the simulated network.
pub trait Line: Send + Sync + 'static {
    /// Brings a request to a node and its answer back; `Err` says why none came.
    fn ask(
        &self,
        to: &Member,
        kind: Kind,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

struct OverLine(Arc<dyn Line>);

impl Transport for OverLine {
    fn ask(
        &self,
        to: &Member,
        topic: Topic,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, Unanswered>> {
        let asked = self.0.ask(to, Kind(topic), request, within);
        let to = to.name.clone();
        Box::pin(async move { asked.await.map_err(|why| Unanswered { to, why }) })
    }
}

/// Where a node takes requests.
#[derive(Clone)]
pub struct Door(Service);

impl Door {
    /// The answer; `None` if the sender may not ask or is not understood.
    pub async fn answer(&self, from: &NodeName, kind: Kind, request: Vec<u8>) -> Option<Answered> {
        let asked = promise::asked(kind.0, &request);
        let bytes = self.0.answer(from, kind.0, request).await?;
        let promise = asked.and_then(|asked| asked.promised(&bytes));
        Some(Answered { bytes, promise })
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// Starts a node on a log that the caller opens in the directory it is given. Call it within the
/// node's [`Life`].
pub async fn start(
    open_log: impl FnOnce(PathBuf) -> Result<Wal, OpenWalError> + Send,
    config: Config,
    line: Arc<dyn Line>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<(Meta, Door), StartError> {
    let transport = Arc::new(OverLine(line));
    let (meta, service) = Meta::assemble_on(open_log, config, transport, clock, entropy).await?;
    Ok((meta, Door(service)))
}

/// How one node's consensus stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The leader or candidate it has voted for last.
    pub vote: LeaderId,
    /// Whether it leads.
    pub leads: bool,
    /// Whom it takes for the leader.
    pub leader: Option<u64>,
    /// Index of the last entry that it knows to be committed and has itself.
    pub committed: u64,
    /// Index of the last entry applied.
    pub applied: u64,
    /// Why consensus has stopped here, if it has.
    pub stopped: Option<String>,
    /// Whether it stopped by a panic.
    pub panicked: bool,
}

/// Looks at a node whenever something changes there.
pub struct Watch(openraft::type_config::alias::WatchReceiverOf<crate::raft::Types, Metrics>);

type Metrics = openraft::RaftMetrics<crate::raft::Types>;

impl Watch {
    /// Of this node.
    pub fn of(meta: &Meta) -> Self {
        Self(meta.raft().metrics())
    }

    /// How it stands now.
    pub fn look(&mut self) -> Standing {
        let metrics = self.0.borrow_and_update();
        Standing {
            vote: LeaderId::of(&metrics.vote),
            leads: metrics.state == ServerState::Leader,
            leader: metrics.current_leader,
            committed: metrics.local_committed.as_ref().map_or(0, |id| id.index),
            applied: metrics.last_applied.as_ref().map_or(0, |id| id.index),
            stopped: metrics
                .running_state
                .as_ref()
                .err()
                .map(ToString::to_string),
            panicked: matches!(metrics.running_state, Err(Fatal::Panicked)),
        }
    }

    /// Waits for the next change; false when there will be none.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// The applied state together with the index it is the state after.
pub fn applied<T>(meta: &Meta, look: impl FnOnce(u64, &State) -> T) -> T {
    meta.applied_base(|base| look(base.last.as_ref().map_or(0, |id| id.index), &base.state))
}

/// The fault of facts/raft-dr.md 6.3, put back on purpose: this node never stands for election.
pub fn dangerous_ban_election(meta: &Meta) {
    meta.raft().runtime_config().elect(false);
}

/// Makes the node build a snapshot, after which openraft purges its log.
pub async fn snapshot(meta: &Meta) {
    // A node that has stopped builds none; the simulator sees that elsewhere.
    meta.raft().trigger().snapshot().await.ok();
}

/// Asks the node to hand leadership to another; one that does not lead does nothing.
pub async fn transfer_leader(meta: &Meta, to: u64) {
    // As above.
    meta.raft().trigger().transfer_leader(to).await.ok();
}
