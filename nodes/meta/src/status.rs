//! How consensus stands, as one node sees it.

use std::collections::BTreeMap;

use guitai_types::{NodeId, sync::GuardView};
use openraft::{Instant as _, async_runtime::WatchReceiver as _};
use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// How consensus stands on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftStatus {
    /// The leader, if this node knows one.
    pub leader: Option<NodeId>,
    /// Present term.
    pub term: u64,
    /// Last log index applied on this node.
    pub applied: u64,
    /// Last log index known to be durable on each node; only the leader knows, elsewhere empty.
    pub matched: BTreeMap<NodeId, u64>,
    /// Milliseconds since each node was heard of: on the leader since it acknowledged, elsewhere
    /// since it sent something, so mostly of the leader.
    pub heard_ms: BTreeMap<NodeId, u64>,
    /// Nodes whose voice counts.
    pub voters: Vec<NodeId>,
    /// The guards of sync writes; only the leader knows, elsewhere empty.
    #[serde(default)]
    pub guards: Vec<GuardView>,
}

/// A core node that was not heard of for this long, in milliseconds, is gone. A recorder among them: both
/// pages show within two seconds that nothing is recorded.
pub const SILENT_MS: u64 = 1_200;
/// Entries that may be missing on a node that begins to vote or to lead: the cluster would wait for one
/// that is further behind.
pub const BEHIND_MAX: u64 = 64;

impl RaftStatus {
    /// Whether a core node is gone, as far as whose status this is can tell.
    pub fn is_silent(&self, node: NodeId) -> bool {
        let heard_ms = self.heard_ms.get(&node);
        heard_ms.is_none_or(|heard_ms| *heard_ms > SILENT_MS)
    }

    /// Entries that a node lacks; nothing when it never answered the leader whose status this is.
    pub fn behind(&self, node: NodeId) -> Option<u64> {
        let newest = self.matched.values().copied().max().unwrap_or(0);
        let there = self.matched.get(&node)?;
        Some(newest.max(self.applied).saturating_sub(*there))
    }

    /// Whether a node is alive and lacks so little that it may begin to vote or to lead.
    pub fn is_ready(&self, node: NodeId) -> bool {
        let behind = self.behind(node);
        !self.is_silent(node) && behind.is_some_and(|behind| behind <= BEHIND_MAX)
    }

    pub(crate) fn of(meta: &Meta) -> Self {
        let guards = meta.guard_views();
        let metrics = meta.raft().metrics();
        let metrics = metrics.borrow_watched();
        let mut heard_ms = meta.directory().heard_ms(meta.now());
        for (node, acked) in metrics.heartbeat.iter().flatten() {
            if let Some(acked) = acked {
                let ago = u64::try_from(acked.elapsed().as_millis()).unwrap_or(u64::MAX);
                let heard = heard_ms.entry(NodeId(*node)).or_insert(ago);
                *heard = ago.min(*heard);
            }
        }
        heard_ms.insert(NodeId(metrics.id), 0);
        let replication = metrics.replication.iter().flatten();
        let matched =
            replication.filter_map(|(node, log)| Some((NodeId(*node), log.as_ref()?.index)));
        Self {
            // In quarantine it may believe what it likes.
            leader: metrics
                .current_leader
                .map(NodeId)
                .filter(|_| !meta.lineage().is_quarantined()),
            term: metrics.current_term,
            applied: metrics.last_applied.as_ref().map_or(0, |log| log.index),
            matched: matched.collect(),
            heard_ms,
            voters: metrics.membership_config.voter_ids().map(NodeId).collect(),
            guards,
        }
    }
}
