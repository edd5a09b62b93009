//! Disaster recovery as it looks at this moment: what each core node says of itself, put together by the one
//! that is asked. Nothing of it is agreed on or kept; `GET /api/v1/dr/live` works without a leader and in
//! quarantine, on whatever side is left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    CentreId, Epoch, NodeName, RunId, UnixMillis,
    dr::{Lane, Run},
    lineage::Quarantine,
    sync::Verdict,
};

/// Lanes one node tells of at most; it probes fewer.
pub const LANES_LIVE_MAX: usize = 8;
/// Names in one map of a [`NodeLive`] at most: more than a cluster has core nodes.
pub const LINES_MAX: usize = 64;

/// The whole of it, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LiveView {
    /// When, by the clock of the node that answers.
    pub at: UnixMillis,
    /// Who answers.
    pub node: NodeName,
    /// Last log index it has applied: what it shows of runs is as of this entry.
    pub applied: u64,
    /// Who leads. Only a leader that was heard of within three seconds is one; without one nothing is
    /// agreed on.
    pub leader: Option<NodeName>,
    /// The core nodes that answered, by name; the one that answers always among them.
    pub nodes: Vec<NodeLive>,
    /// Those that did not.
    pub silent: Vec<NodeName>,
    /// The run that is not over; a takeover that this node keeps goes before one of the replicated state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// When a negative control last turned red, as it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_at: Option<UnixMillis>,
}

/// What a core node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NodeLive {
    /// Which.
    pub node: NodeName,
    /// Its epoch.
    pub epoch: Epoch,
    /// It leads, by its own account.
    pub leads: bool,
    /// Last log index it has applied.
    pub applied: u64,
    /// Set when it was left behind on an old epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// Round trips in microseconds on the connections it has open, as QUIC measures them.
    pub round_trips_us: BTreeMap<NodeName, u64>,
    /// How far each core node is behind; only the leader knows, elsewhere empty.
    #[serde(default)]
    pub behind: BTreeMap<NodeName, Behind>,
    /// What its probers see of the present run.
    #[serde(default)]
    pub lanes: Vec<LaneLive>,
    /// What it can prove by itself, if it is a guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// How far a node's log is behind the leader's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Behind {
    /// Entries it is not known to have.
    pub entries: u64,
    /// For how many milliseconds the oldest of them has been in the leader's log, at least: the leader
    /// looks every 50 ms and remembers some minutes. 0 when none is missing.
    pub ms: u64,
}

/// What one prober sees, while it probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LaneLive {
    /// Of which run.
    pub run: RunId,
    /// Which.
    pub lane: Lane,
    /// Its centre.
    pub centre: CentreId,
    /// Asked.
    pub sent: u64,
    /// Answered well.
    pub acked: u64,
    /// Longest time without a good answer so far, in milliseconds, the present one included.
    pub gap_ms: u64,
    /// How long the last good answer is ago, in milliseconds.
    pub silent_ms: u64,
}
