//! What core nodes say to each other about lineages, on `meta.lineage`. JSON both ways; answered by
//! any core node to any other, of whatever epoch, in quarantine or not.

use guitai_types::{
    Epoch, NodeId,
    lineage::{LogPlace, Tombstone, VoiceOrder},
};
use serde::{Deserialize, Serialize};

/// A request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// How do you stand?
    Stand,
    /// Follow this takeover, which counts you among the survivors.
    Follow(Box<Tombstone>),
    /// Take me in as a learner; I have nothing.
    Join,
    /// Change who votes, if you lead in this epoch.
    Voices { epoch: Epoch, order: VoiceOrder },
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    Stand(Box<Stand>),
    /// It is so now, or will be after a restart.
    Done,
    /// Only the leader can.
    NotLeader,
    /// No, and why.
    Refused(String),
}

/// How a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stand {
    /// Its epoch, if it has one.
    pub(crate) epoch: Option<Epoch>,
    /// It takes no part.
    pub(crate) quarantined: bool,
    /// Its last entry.
    pub(crate) last: Option<LogPlace>,
    /// The highest term it has seen.
    pub(crate) term: u64,
    /// The leader, if it has heard of it lately.
    pub(crate) leader: Option<NodeId>,
    /// The takeover that began its lineage.
    pub(crate) tombstone: Option<Tombstone>,
}
