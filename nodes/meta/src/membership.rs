//! Who votes: changed through raft by joint consensus, on an operator's word.
//!
//! The joint membership is the plan, and it is in the log: a leader that dies in the middle leaves it
//! there, and the next one brings it to its end (`succession`). The member list follows what raft
//! does, never the other way round.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use guitai_types::{
    Code, Member, NodeId, NodeName, Problem, Voice,
    command::Command,
    lineage::{VoiceChange, VoiceOrder},
};
use openraft::{BasicNode, ChangeMembers};

use crate::{
    meta::Meta,
    status::{BEHIND_MAX, RaftStatus, SILENT_MS},
    succession::{list_voices, propose, voices},
    talk::{Ask, Told},
};

/// How long a change may take, in milliseconds: two entries, and a learner that lags a little.
const CHANGE_MS: u64 = 10_000;

/// Why who votes was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoiceError {
    /// The change must not be made, as it is or now.
    #[error("{0}")]
    Refused(String),
    /// Nobody leads.
    #[error("no leader took the change")]
    NoLeader,
}

impl VoiceError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Refused(_) => Code::VoiceRefused,
            Self::NoLeader => Code::NoLeader,
        };
        Problem::new(code, self.to_string())
    }
}

impl Meta {
    /// Changes who votes, at the leader wherever it is. Done when the new membership is committed.
    pub async fn change_voices(&self, order: VoiceOrder) -> Result<(), VoiceError> {
        let told = if self.leading().is_some() {
            self.change_voices_here(order).await
        } else {
            let leader = self.leader_heard().ok_or(VoiceError::NoLeader)?;
            let leader = self.directory().by_id(leader).ok_or(VoiceError::NoLeader)?;
            let epoch = self.lineage().epoch().unwrap_or_default();
            let ask = Ask::Voices { epoch, order };
            let told = self.ask_lineage_within(&leader, &ask, CHANGE_MS).await;
            told.ok_or(VoiceError::NoLeader)?
        };
        match told {
            Told::Done => Ok(()),
            Told::Refused(why) => Err(VoiceError::Refused(why)),
            Told::NotLeader | Told::Stand(_) => Err(VoiceError::NoLeader),
        }
    }

    pub(crate) async fn change_voices_here(&self, order: VoiceOrder) -> Told {
        match self.change_as(|ground| ground.plan(&order)).await {
            Ok(()) => {
                tracing::info!(?order, "who votes has changed");
                Told::Done
            }
            Err(VoiceError::Refused(why)) => Told::Refused(why),
            Err(VoiceError::NoLeader) => Told::NotLeader,
        }
    }

    /// Changes who votes as a disaster recovery run has it: any number of nodes at once, an even number
    /// of voters too, this leader among those that cease to. What is not named stays as it is; who
    /// ceases to vote goes on learning.
    ///
    /// # Errors
    /// When this node does not lead, a new voter is behind, or it is not agreed on in time.
    pub async fn set_voices(&self, set: &BTreeMap<NodeId, Voice>) -> Result<(), VoiceError> {
        self.change_as(|ground| ground.set(set)).await
    }

    /// One change at a time: `succession` must not take a joint membership for a dead leader's.
    async fn change_as(
        &self,
        plan: impl FnOnce(&Ground<'_>) -> Result<Step, String>,
    ) -> Result<(), VoiceError> {
        if self.leading().is_none() || self.lineage().is_quarantined() {
            return Err(VoiceError::NoLeader);
        }
        let _one_at_a_time = self.lineage().voices().lock().await;
        let (voters, learners) = voices(self);
        let cores = self.cores();
        let ground = Ground {
            cores: &cores,
            voters: &voters,
            learners: &learners,
            status: RaftStatus::of(self),
            me: self.id(),
        };
        let step = plan(&ground).map_err(VoiceError::Refused)?;
        if let Step::Remove(member) = &step {
            // First the list: a learner of the founding that it names would be added again.
            let (voice, member) = (Voice::None, member.clone());
            let member = Member { voice, ..member };
            propose(self, Command::PutMember { member }).await;
        }
        let (change, retain) = step.change();
        let changing = self.raft().change_membership(change, retain);
        match tokio::time::timeout(Duration::from_millis(CHANGE_MS), changing).await {
            Ok(Ok(_)) => list_voices(self).await,
            Ok(Err(error)) => return Err(VoiceError::Refused(error.to_string())),
            Err(_) => {
                let late = format!("not agreed on within {CHANGE_MS} ms");
                return Err(VoiceError::Refused(late));
            }
        }
        Ok(())
    }
}

/// What raft is to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Add(NodeId, NodeName),
    /// The new voters; whoever voted before stays as a learner, or goes.
    Voters {
        voters: BTreeSet<NodeId>,
        stay: bool,
    },
    Remove(Member),
}

impl Step {
    fn change(self) -> (ChangeMembers<u64, BasicNode>, bool) {
        match self {
            Self::Add(id, name) => {
                let node = [(id.0, BasicNode::new(&name))];
                (ChangeMembers::AddNodes(node.into()), true)
            }
            Self::Voters { voters, stay } => {
                let voters = voters.into_iter().map(|id| id.0).collect();
                (ChangeMembers::ReplaceAllVoters(voters), stay)
            }
            Self::Remove(member) => (ChangeMembers::RemoveNodes([member.id.0].into()), true),
        }
    }
}

/// How things are when a change is asked for.
struct Ground<'a> {
    cores: &'a [Member],
    voters: &'a BTreeSet<NodeId>,
    learners: &'a BTreeSet<NodeId>,
    status: RaftStatus,
    me: NodeId,
}

impl Ground<'_> {
    fn plan(&self, order: &VoiceOrder) -> Result<Step, String> {
        match &order.change {
            VoiceChange::Add { node } => {
                let member = self.member(node)?;
                if self.voters.contains(&member.id) || self.learners.contains(&member.id) {
                    return Err(format!("{node} is in the membership already"));
                }
                Ok(Step::Add(member.id, member.name.clone()))
            }
            VoiceChange::Promote { nodes } => {
                let mut voters = self.voters.clone();
                for node in nodes {
                    voters.insert(self.ready_learner(node)?);
                }
                self.voters(voters, true, order.even)
            }
            VoiceChange::Demote { nodes } => {
                let mut voters = self.voters.clone();
                for node in nodes {
                    voters.remove(&self.other_voter(node)?);
                }
                self.voters(voters, true, order.even)
            }
            VoiceChange::Replace { old, by } => {
                let mut voters = self.voters.clone();
                voters.remove(&self.other_voter(old)?);
                voters.insert(self.ready_learner(by)?);
                self.voters(voters, false, order.even)
            }
            VoiceChange::Remove { node } => {
                let member = self.member(node)?;
                if self.voters.contains(&member.id) {
                    return Err(format!("{node} votes: demote or replace it first"));
                }
                if !self.learners.contains(&member.id) {
                    return Err(format!("{node} is not in the membership"));
                }
                Ok(Step::Remove(member.clone()))
            }
        }
    }

    fn set(&self, set: &BTreeMap<NodeId, Voice>) -> Result<Step, String> {
        let mut voters = self.voters.clone();
        for (node, voice) in set {
            if *voice != Voice::Voter {
                voters.remove(node);
            } else if voters.insert(*node) {
                self.ready(*node, node)?;
            }
        }
        self.voters(voters, true, true)
    }

    fn member(&self, name: &NodeName) -> Result<&Member, String> {
        let found = self.cores.iter().find(|member| &member.name == name);
        found.ok_or_else(|| format!("{name} is no core node of this cluster"))
    }

    fn ready_learner(&self, name: &NodeName) -> Result<NodeId, String> {
        let id = self.member(name)?.id;
        if !self.learners.contains(&id) {
            return Err(format!("{name} is no learner: add it first"));
        }
        self.ready(id, name)?;
        Ok(id)
    }

    fn ready(&self, id: NodeId, name: &dyn fmt::Display) -> Result<(), String> {
        if !self.is_up(id) {
            return Err(format!("{name} was not heard of within {SILENT_MS} ms"));
        }
        match self.status.behind(id) {
            _ if id == self.me => Ok(()),
            Some(behind) if behind <= BEHIND_MAX => Ok(()),
            Some(behind) => Err(format!(
                "{name} lacks {behind} entries, at most {BEHIND_MAX} may be missing"
            )),
            None => Err(format!("{name} never answered this leader")),
        }
    }

    fn other_voter(&self, name: &NodeName) -> Result<NodeId, String> {
        let id = self.member(name)?.id;
        if !self.voters.contains(&id) {
            return Err(format!("{name} does not vote"));
        }
        if id == self.me {
            return Err(format!("{name} leads: hand leadership over first"));
        }
        Ok(id)
    }

    /// Refuses a membership that would be worse than none: an even one without the operator's word, or
    /// one of which too few answer.
    fn voters(&self, voters: BTreeSet<NodeId>, stay: bool, even: bool) -> Result<Step, String> {
        let count = voters.len();
        if count == 0 {
            return Err("nobody would vote".to_owned());
        }
        if count.is_multiple_of(2) && !even {
            return Err(format!(
                "{count} voters bear the loss of no more nodes than {} do; say --even if it must be",
                count - 1
            ));
        }
        let needed = count / 2 + 1;
        let up = voters.iter().filter(|id| self.is_up(**id)).count();
        if up < needed {
            return Err(format!(
                "of the new {count} voters {up} answer and {needed} are needed"
            ));
        }
        Ok(Step::Voters { voters, stay })
    }

    fn is_up(&self, id: NodeId) -> bool {
        id == self.me || !self.status.is_silent(id)
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{Hex, Role, Zone};

    use super::*;

    fn core(number: u64) -> Member {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7443));
        Member {
            id: NodeId(number),
            name: name(number),
            centre: "a1".parse().unwrap(),
            zone: Zone::Inner,
            roles: vec![Role::Core],
            voice: Voice::None,
            mesh: address,
            door: address,
            public_key: Hex(Vec::new()),
        }
    }

    fn name(number: u64) -> NodeName {
        format!("n-{number}").parse().unwrap()
    }

    fn planned(change: VoiceChange, even: bool) -> Result<Step, String> {
        // 1 leads, 2 votes, 3 votes and is dead; 4 learns, 5 learns and lags, 6 is nothing.
        let cores: Vec<Member> = (1..=6).map(core).collect();
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect();
        let status = RaftStatus {
            applied: 1_000,
            matched: [(1, 1_000), (2, 1_000), (3, 500), (4, 990), (5, 100)]
                .map(|(id, at)| (NodeId(id), at))
                .into(),
            heard_ms: [(2, 10), (3, 60_000), (4, 10), (5, 10)]
                .map(|(id, ms)| (NodeId(id), ms))
                .into(),
            ..RaftStatus::default()
        };
        let (voters, learners): (BTreeSet<_>, BTreeSet<_>) = (ids(&[1, 2, 3]), ids(&[4, 5]));
        let ground = Ground {
            cores: &cores,
            voters: &voters,
            learners: &learners,
            status,
            me: NodeId(1),
        };
        ground.plan(&VoiceOrder { change, even })
    }

    #[test]
    fn a_dead_voter_is_replaced_by_a_learner_that_caught_up() {
        let replace = |by| VoiceChange::Replace {
            old: name(3),
            by: name(by),
        };
        let voters = [1, 2, 4].map(NodeId).into();
        let stay = false;
        assert_eq!(
            planned(replace(4), false),
            Ok(Step::Voters { voters, stay })
        );
        let lags = planned(replace(5), false).unwrap_err();
        assert!(lags.contains("lacks 900"), "{lags}");
        let nothing = planned(replace(6), false).unwrap_err();
        assert!(nothing.contains("add it first"), "{nothing}");
    }

    #[test]
    fn an_even_or_helpless_membership_is_refused_with_the_margin() {
        let promote = || VoiceChange::Promote {
            nodes: vec![name(4)],
        };
        let even = planned(promote(), false).unwrap_err();
        assert!(even.contains("4 voters"), "{even}");
        assert!(planned(promote(), true).is_ok());
        let demote = VoiceChange::Demote {
            nodes: vec![name(2)],
        };
        let helpless = planned(demote, true).unwrap_err();
        assert!(helpless.contains("1 answer and 2 are needed"), "{helpless}");
        let leader = VoiceChange::Demote {
            nodes: vec![name(1)],
        };
        assert!(planned(leader, true).unwrap_err().contains("leads"));
        let voter = VoiceChange::Remove { node: name(2) };
        assert!(planned(voter, false).unwrap_err().contains("votes"));
    }
}
