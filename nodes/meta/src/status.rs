//! How consensus stands, as one node sees it.

use std::collections::BTreeMap;

use guitai_types::NodeId;

/// How consensus stands on this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RaftStatus {
    /// The leader, if this node knows one.
    pub leader: Option<NodeId>,
    /// Present term.
    pub term: u64,
    /// Last log index applied on this node.
    pub applied: u64,
    /// Last log index known to be durable on each node; only the leader knows, elsewhere empty.
    pub matched: BTreeMap<NodeId, u64>,
    /// Milliseconds since each voter or learner was heard of: on the leader by its acknowledgements,
    /// on a follower only the leader by its messages.
    pub heard_ms: BTreeMap<NodeId, u64>,
}
