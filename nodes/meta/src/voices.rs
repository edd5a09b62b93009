//! Who leads and who votes, changed on purpose. A node that is behind neither begins to vote nor to
//! lead: the cluster would wait for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use guitai_types::{CentreId, NodeId, Role, Voice, command::Command};

use crate::{duties::heir, meta::Meta, status::RaftStatus};

/// Entries that a node may be behind and still begin to vote.
const VOTE_BEHIND_MAX: u64 = 64;
/// How long openraft may take for a change of membership, in milliseconds: two entries through two
/// quorums, one of them across the cities.
const CHANGE_MS_MAX: u64 = 10_000;

/// Why voices or the lead were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeadError {
    /// Only the leader changes them.
    #[error("this node does not lead")]
    NotLeader,
    /// A node that is behind cannot vote yet.
    #[error("node {node} is {behind} entries behind, at most {VOTE_BEHIND_MAX} may be missing")]
    Behind {
        /// Which.
        node: NodeId,
        /// By how many.
        behind: u64,
    },
    /// The leader does not reach the node.
    #[error("node {node} is not reached")]
    Unreached {
        /// Which.
        node: NodeId,
    },
    /// Nobody would vote.
    #[error("nobody would vote")]
    Nobody,
    /// No node of the centre votes and has caught up.
    #[error("no voter of {0} has caught up")]
    NoHeir(CentreId),
    /// Consensus did not do it.
    #[error("not agreed on: {0}")]
    Raft(String),
    /// It was not agreed on in time; it may still come.
    #[error("not agreed on within {CHANGE_MS_MAX} ms")]
    Late,
}

impl Meta {
    /// Changes who votes. What is not named stays as it is; who ceases to vote goes on learning.
    ///
    /// # Errors
    /// When this node does not lead, a new voter is behind, or it is not agreed on in time.
    pub async fn set_voices(&self, voices: &BTreeMap<NodeId, Voice>) -> Result<(), LeadError> {
        // As every other change: `succession` must not take this one for a dead leader's.
        let _one_at_a_time = self.lineage().voices().lock().await;
        let status = RaftStatus::of(self);
        if status.leader != Some(self.id()) {
            return Err(LeadError::NotLeader);
        }
        let before: BTreeSet<NodeId> = status.voters.iter().copied().collect();
        let mut after = before.clone();
        for (node, voice) in voices {
            if *voice == Voice::Voter {
                after.insert(*node);
            } else {
                after.remove(node);
            }
        }
        if after.is_empty() {
            return Err(LeadError::Nobody);
        }
        for node in after.difference(&before).filter(|node| **node != self.id()) {
            let node = *node;
            let matched = status.matched.get(&node).copied();
            let matched = matched.ok_or(LeadError::Unreached { node })?;
            let behind = status.applied.saturating_sub(matched);
            if behind > VOTE_BEHIND_MAX {
                return Err(LeadError::Behind { node, behind });
            }
        }
        if after != before {
            let ids: BTreeSet<u64> = after.iter().map(|node| node.0).collect();
            let changed = self.raft().change_membership(ids, true);
            let changed = tokio::time::timeout(Duration::from_millis(CHANGE_MS_MAX), changed);
            let changed = changed.await.map_err(|_elapsed| LeadError::Late)?;
            changed.map_err(|error| LeadError::Raft(error.to_string()))?;
        }
        self.write_voices(voices).await
    }

    /// The member list says the same as consensus.
    async fn write_voices(&self, voices: &BTreeMap<NodeId, Voice>) -> Result<(), LeadError> {
        let named: Vec<_> = self.peek(|state| {
            let members = state.members().cloned();
            let changed = members.filter_map(|mut member| {
                let voice = *voices.get(&member.id)?;
                let differs = member.voice != voice;
                member.voice = voice;
                differs.then_some(member)
            });
            changed.collect()
        });
        for member in named {
            let written = self.write(Command::PutMember { member }).await;
            written.map_err(|error| LeadError::Raft(error.to_string()))?;
        }
        Ok(())
    }

    /// Asks consensus to hand the lead to a voter of that centre that has caught up. Whether it took it,
    /// the status shows.
    ///
    /// # Errors
    /// When this node does not lead, or nobody there can.
    pub async fn hand_over_to(&self, centre: &CentreId) -> Result<NodeId, LeadError> {
        let status = RaftStatus::of(self);
        if status.leader != Some(self.id()) {
            return Err(LeadError::NotLeader);
        }
        let homes = self.cores_of(centre);
        let heir = heir(&homes, &status).ok_or_else(|| LeadError::NoHeir(centre.clone()))?;
        let handed = self.raft().trigger().transfer_leader(heir.0).await;
        handed.map_err(|error| LeadError::Raft(error.to_string()))?;
        Ok(heir)
    }

    /// Core nodes of a centre.
    pub(crate) fn cores_of(&self, centre: &CentreId) -> Vec<NodeId> {
        self.peek(|state| {
            let members = state.members();
            let there = members.filter(|it| it.has(Role::Core) && &it.centre == centre);
            there.map(|member| member.id).collect()
        })
    }
}
