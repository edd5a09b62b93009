//! What is left to do after a lineage changed: the leader raises the epoch in the state, takes in the
//! other survivors, and makes membership and member list agree; a node that has left an old lineage
//! asks to be taken in. Every step looks at how things are, so any of them may be interrupted.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use guitai_host::random_id;
use guitai_types::{
    Member, NodeId, RequestId, Voice,
    command::{Command, Reply},
};
use openraft::{BasicNode, async_runtime::WatchReceiver as _};
use tokio::sync::watch;

use crate::{
    meta::Meta,
    talk::{Ask, Told},
};

/// How often it is looked whether something is left to do, in milliseconds.
const LOOK_MS: u64 = 250;
/// How long a change of voters found unfinished is waited for, in milliseconds, before the next look.
const FINISH_MS: u64 = 5_000;

/// Runs until the node stops.
pub(crate) async fn run(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let (voters, _) = voices(&meta);
    if voters == [meta.id()].into() && !meta.lineage().is_quarantined() {
        // Nobody else could be elected, so there is nothing to wait for.
        drop(meta.raft().trigger().elect(false).await);
    }
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = look.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        if meta.lineage().is_quarantined() {
            // Nothing it would stand for could be agreed on.
            meta.raft().runtime_config().tick(false);
            continue;
        }
        if meta.lineage().record().joining {
            ask_in(&meta).await;
        } else if meta.leading().is_some() {
            raise_epoch(&meta).await;
            gather(&meta).await;
            agree(&meta).await;
        }
    }
}

/// The epoch of the lineage becomes that of the state, and with it of tokens and tunnels.
async fn raise_epoch(meta: &Meta) {
    let Some(epoch) = meta.lineage().epoch() else {
        return;
    };
    let founded = meta.peek(|state| state.cluster().is_some());
    if founded && meta.peek(|state| state.epoch() < epoch) {
        propose(meta, Command::RaiseEpoch { epoch }).await;
    }
}

/// The other survivors of the takeover follow it, whenever they answer.
async fn gather(meta: &Meta) {
    let Some(tombstone) = meta.lineage().record().tombstone else {
        return;
    };
    let (voters, learners) = voices(meta);
    let missing = meta.cores().into_iter().filter(|member| {
        tombstone.survivors.contains(&member.name)
            && !voters.contains(&member.id)
            && !learners.contains(&member.id)
            && member.voice != Voice::None
    });
    for member in missing {
        let follow = Ask::Follow(Box::new(tombstone.clone()));
        match meta.ask_lineage(&member, &follow).await {
            Some(Told::Done) => {
                add_learner(meta, &member).await;
            }
            Some(Told::Refused(why)) => {
                tracing::warn!(node = %member.name, why, "a survivor does not follow; rejoin it by hand");
            }
            _ => {}
        }
    }
}

/// Ends what a dead leader began, and lets the member list say what raft does.
async fn agree(meta: &Meta) {
    // Whoever changes it now will be done in a moment.
    let Ok(_one_at_a_time) = meta.lineage().voices().try_lock() else {
        return;
    };
    if let Some(voters) = unfinished(meta) {
        tracing::info!("bringing a change of voters to its end");
        let finishing = meta.raft().change_membership(voters, true);
        let finishing = tokio::time::timeout(Duration::from_millis(FINISH_MS), finishing);
        if let Ok(Err(error)) = finishing.await {
            tracing::warn!(%error, "the change of voters is not at its end yet");
        }
        return;
    }
    list_voices(meta).await;
}

/// What the member list says of voices is what raft does: a node that is not in the membership has
/// none, except a learner of the founding that was not added yet. Only whoever holds the lock of
/// changes calls this.
pub(crate) async fn list_voices(meta: &Meta) {
    let (voters, learners) = voices(meta);
    let survivors = meta.lineage().record().tombstone.map(|it| it.survivors);
    for member in meta.cores() {
        let voice = if voters.contains(&member.id) {
            Voice::Voter
        } else if learners.contains(&member.id) {
            Voice::Learner
        } else if member.voice == Voice::Learner && survivors.is_none() {
            add_learner(meta, &member).await;
            continue;
        } else if survivors
            .as_ref()
            .is_some_and(|names| names.contains(&member.name))
        {
            // It is still to follow.
            continue;
        } else {
            Voice::None
        };
        if member.voice != voice {
            let member = Member { voice, ..member };
            propose(meta, Command::PutMember { member }).await;
        }
    }
}

/// The voters that a change was on its way to when its leader died: a membership stays joint until
/// somebody ends it.
fn unfinished(meta: &Meta) -> Option<BTreeSet<u64>> {
    let metrics = meta.raft().metrics();
    let metrics = metrics.borrow_watched();
    let joint = metrics.membership_config.get_joint_config();
    joint.get(1..).and_then(<[_]>::last).cloned()
}

/// Asks every core node it knows of until a leader has taken it in.
async fn ask_in(meta: &Meta) {
    if !meta.lineage().is_empty() {
        let joined = meta.lineage().change(|record| record.joining = false);
        if let Err(error) = joined {
            tracing::warn!(%error, "that it has joined was not kept");
        }
        return;
    }
    // All at once: of a lost city nobody answers, and each would be waited for in turn. Only a leader takes it in.
    let others = meta.directory().others(meta.id());
    let mut asked: FuturesUnordered<_> = others
        .iter()
        .map(|member| meta.ask_lineage(member, &Ask::Join))
        .collect();
    while let Some(told) = asked.next().await {
        if matches!(told, Some(Told::Done)) {
            return;
        }
    }
}

impl Meta {
    /// Takes in a core node that has left an old lineage, as a learner.
    pub(crate) async fn take_in(&self, from: &Member) -> Told {
        if self.leading().is_none() || self.lineage().is_quarantined() {
            return Told::NotLeader;
        }
        if add_learner(self, from).await {
            Told::Done
        } else {
            Told::NotLeader
        }
    }
}

async fn add_learner(meta: &Meta, member: &Member) -> bool {
    let node = BasicNode::new(&member.name);
    match meta.raft().add_learner(member.id.0, node, false).await {
        Ok(_) => {
            tracing::info!(node = %member.name, "taken in as a learner");
            true
        }
        Err(error) => {
            tracing::debug!(node = %member.name, %error, "not taken in now");
            false
        }
    }
}

/// Voters and learners as raft has them.
pub(crate) fn voices(meta: &Meta) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    let metrics = meta.raft().metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let voters = membership.voter_ids().map(NodeId).collect();
    let learners = membership.learner_ids().map(NodeId).collect();
    (voters, learners)
}

pub(crate) async fn propose(meta: &Meta, command: Command) {
    let request = random_id(meta.entropy(), RequestId::from_random);
    if let Some(Reply::Refused { problem }) = meta.propose_here(request, &command).await {
        tracing::warn!(%problem, "the core refuses what the lineage demands");
    }
}
