//! The names openraft knows our types by. Only this crate names openraft, and its versions do not
//! promise each other anything: whatever is stored or sent passes through here or through `wire`.

use std::fmt;

use guitai_types::command::{Proposal, Reply};
use openraft::type_config::alias::{
    LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf, VoteOf,
};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

#[cfg(not(feature = "sim"))]
openraft::declare_raft_types!(
    /// Our side of openraft's generics.
    pub(crate) Types:
        D = Agreed,
        R = Reply,
        NodeId = u64,
        Node = openraft::BasicNode,
);

#[cfg(feature = "sim")]
openraft::declare_raft_types!(
    /// Our side of openraft's generics, on the simulator's runtime.
    pub(crate) Types:
        D = Agreed,
        R = Reply,
        NodeId = u64,
        Node = openraft::BasicNode,
        AsyncRuntime = crate::sim::Runtime,
);

/// What is agreed on: a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Agreed(pub(crate) Proposal);

impl fmt::Display for Agreed {
    /// Only the request: a command holds names of customers, and this is for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}", self.0.request)
    }
}

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type Membership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
/// A snapshot in memory; shared, since it goes to several nodes and to the disk.
pub(crate) type SnapshotData = std::sync::Arc<Vec<u8>>;
pub(crate) type Snapshot = SnapshotOf<Types, SnapshotData>;
pub(crate) type AppendRequest = openraft::raft::AppendEntriesRequest<Types>;
pub(crate) type AppendResponse = openraft::raft::AppendEntriesResponse<Types>;
pub(crate) type VoteRequest = openraft::raft::VoteRequest<Types>;
pub(crate) type VoteResponse = openraft::raft::VoteResponse<Types>;
pub(crate) type SnapshotResponse = openraft::raft::SnapshotResponse<Types>;
pub(crate) type TransferRequest = openraft::raft::TransferLeaderRequest<Types>;
pub(crate) type TransferResponse = openraft::raft::TransferLeaderResponse<Types>;
