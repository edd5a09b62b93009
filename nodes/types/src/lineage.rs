//! Lineages: which line of history a core node belongs to. A forced takeover begins a new one under
//! a higher epoch; what stayed on the old one is fenced until somebody has it rejoin.

use serde::{Deserialize, Serialize};

use crate::{Epoch, Hex, NodeName, UnixMillis};

/// The epoch a cluster is founded in.
pub const EPOCH_FIRST: Epoch = Epoch(1);
/// Longest reason an operator gives for a takeover, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// Terms a tombstone names at most, the newest ones; a node whose log parted before them exports all
/// that it still has.
pub const RUNS_MAX: usize = 1_024;

/// A place in a log: who led when the entry was written, and its index.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct LogPlace {
    /// Raft term.
    pub term: u64,
    /// Id of the node that led in it.
    pub leader: u64,
    /// Index of the entry.
    pub index: u64,
}

/// Consecutive entries of one term. Two logs whose entry at an index has the same term and leader are
/// equal up to it (raft's log matching), so runs are enough to find where two logs part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogRun {
    /// First index of the term.
    pub first: u64,
    /// Its last entry.
    pub last: LogPlace,
}

/// An operator's order to go on without the nodes that are lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TakeoverOrder {
    /// The new epoch; the one after the present unless given.
    #[serde(default)]
    pub epoch: Option<Epoch>,
    /// The nodes that go on; the core nodes in the city of the node that takes over unless given.
    #[serde(default)]
    pub survivors: Vec<NodeName>,
    /// Why, for the record; at most [`REASON_CHARS_MAX`] characters.
    pub reason: String,
}

/// The record of a takeover: where the old lineage ended for the new one. Every node of the new
/// lineage keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tombstone {
    /// Format version, 1.
    pub v: u16,
    /// Epoch of the lineage that ended.
    pub epoch_old: Epoch,
    /// Epoch of the one that began.
    pub epoch: Epoch,
    /// The node that took over.
    pub node: NodeName,
    /// Last entry of the old lineage that the new one holds.
    pub last: LogPlace,
    /// How far the node knew entries to be committed; those after it were taken along because they
    /// may have been acknowledged.
    pub committed: Option<LogPlace>,
    /// The terms of its log, oldest first, the newest [`RUNS_MAX`].
    pub runs: Vec<LogRun>,
    /// Who ordered it: `institution/name`.
    pub ordered_by: String,
    /// Why.
    pub reason: String,
    /// When it was ordered, by the clock of that node.
    pub at: UnixMillis,
    /// The nodes that go on.
    pub survivors: Vec<NodeName>,
    /// Those of them that answered when it was ordered, the node itself included.
    pub answered: Vec<NodeName>,
    /// Point of the SM2 key the node signed with; empty when it was given none.
    pub public_key: Hex,
    /// SM2 signature of this record as JSON with an empty signature.
    pub signature: Hex,
}

/// Why and since when a node takes no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quarantine {
    /// The higher epoch it heard of.
    pub heard: Epoch,
    /// Who told it.
    pub told_by: NodeName,
    /// When, by this node's clock.
    pub at: UnixMillis,
}

/// Which line of history a node belongs to, as people see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineageView {
    /// Its epoch; 0 for a node that has nothing yet.
    pub epoch: Epoch,
    /// Set on a node that was left behind on an old lineage.
    pub quarantine: Option<Quarantine>,
    /// True while it waits to be taken in as a learner.
    pub joining: bool,
    /// The takeover that began its lineage; none in the first.
    pub tombstone: Option<Tombstone>,
}

/// What a rejoin set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rejoined {
    /// The epoch left.
    pub epoch_old: Epoch,
    /// The epoch joined.
    pub epoch: Epoch,
    /// Entries that the new lineage does not have.
    pub divergent: u64,
    /// Where they are, below the node's data directory; none when there are none.
    pub file: Option<String>,
}

/// A change of who votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum VoiceChange {
    /// A core node outside the membership becomes a learner.
    Add {
        /// Which.
        node: NodeName,
    },
    /// Learners that caught up become voters, together.
    Promote {
        /// Which.
        nodes: Vec<NodeName>,
    },
    /// Voters become learners, together.
    Demote {
        /// Which.
        nodes: Vec<NodeName>,
    },
    /// A voter, alive or dead, leaves, and a learner takes its place.
    Replace {
        /// Who leaves.
        old: NodeName,
        /// Who votes instead.
        by: NodeName,
    },
    /// A learner leaves.
    Remove {
        /// Which.
        node: NodeName,
    },
}

/// An operator's order about who votes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VoiceOrder {
    /// What.
    #[serde(flatten)]
    pub change: VoiceChange,
    /// An even number of voters is meant: it bears no more losses than one voter fewer.
    #[serde(default)]
    pub even: bool,
}
