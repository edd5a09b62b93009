//! What the leader does besides agreeing: lets time pass, speaks for recorders that are gone, has dead
//! voters replaced, and hands leadership home.

use std::time::Duration;

use guitai_host::random_id;
use guitai_meta_core::{Hearing, Repair, State};
use guitai_types::{
    CentreId, Member, NodeId, NodeName, RequestId, Role, SessionId,
    command::{Command, RecordingReport},
    film::FilmOrder,
    record::{Assignment, RecordingState},
    retention::{KeepOrder, Matrix},
};
use tokio::sync::watch;

use crate::{meta::Meta, replacement, status::RaftStatus};

/// How often the leader looks whether something is due, in milliseconds: a desk rings at most this
/// much longer than it should.
const LOOK_MS: u64 = 100;
/// After the cluster was without a leader for this long, in milliseconds, pages could not show that
/// they are alive...
const OUTAGE_MS: u64 = 10_000;
/// ...so the new leader waits this long, in milliseconds, before it calls anybody away: a page
/// touches its ticket every 10 s, and retries for as long.
const MERCY_MS: u64 = 12_000;
/// How long a leader stays before it hands over, in milliseconds: nobody hands over in a row.
const HAND_OVER_AFTER_MS: u64 = 5_000;
/// How long a new leader waits for every node to be heard of, in milliseconds.
const ROLL_CALL_MS: u64 = 3_000;
/// Recordings declared lost in one look; the rest waits for the next.
const LOST_PER_LOOK_MAX: usize = 64;

/// A node that makes a film and has been away for so long, in milliseconds, is not waited for. Longer than a node
/// needs to start again: it goes on with the pieces that it has.
const FILM_GONE_MS: u64 = 15_000;
/// Films given to others in one look.
const FILMS_PER_LOOK_MAX: usize = 16;

/// How often the leader looks where copies of recordings are missing, in milliseconds: it goes through all of them.
const REPAIR_LOOK_MS: u64 = 2_000;
/// Replicas ordered in one look: each is a whole recording over the network.
const REPAIRS_PER_LOOK_MAX: usize = 16;
/// A recorder that has been away for so long, in milliseconds, is not waited for: what it has is replaced.
const COPIES_GONE_MS: u64 = 60 * 60 * 1000;

/// Runs until the node stops.
pub(crate) async fn run(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut term, mut leader) = (None, None);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = look.tick() => {}
        }
        term = meta
            .leading()
            .map(|present| Term::follow(term, present, leader, &meta));
        if term.is_none() {
            leader = meta.status().leader.or(leader);
        }
        let hearing = term.as_ref().map(|term| hearing(&meta, term));
        meta.hears(hearing.clone());
        if let Some(term) = &mut term {
            if meta.now() >= term.ticks_from {
                tick(&meta).await;
            }
            begin_keeping(&meta).await;
            speak_for_the_gone(&meta, &hearing.unwrap_or_default()).await;
            if meta.now() >= term.roll_called_at {
                replacement::look(&meta, term.roll_called_at).await;
            }
            if meta.now() >= term.repairs_from {
                term.repairs_from = meta.now() + Duration::from_millis(REPAIR_LOOK_MS);
                repair(&meta).await;
                release_films(&meta).await;
            }
            if meta.now() >= term.hands_over_from {
                term.hands_over_from = meta.now() + Duration::from_millis(HAND_OVER_AFTER_MS);
                hand_over(&meta).await;
            }
        }
    }
}

/// A term in which this node leads.
#[derive(Debug, Clone, Copy)]
struct Term {
    number: u64,
    /// Who led before, as far as this node knows: it was heard by this very node until it was gone.
    before: Option<NodeId>,
    ticks_from: Duration,
    roll_called_at: Duration,
    repairs_from: Duration,
    hands_over_from: Duration,
}

impl Term {
    fn follow(before: Option<Self>, number: u64, leader: Option<NodeId>, meta: &Meta) -> Self {
        if let Some(same) = before.filter(|before| before.number == number) {
            return same;
        }
        let now = meta.now();
        let outage_ms = meta.wall().since(meta.peek(|state| state.clock()));
        let mercy_ms = if outage_ms > OUTAGE_MS { MERCY_MS } else { 0 };
        Self {
            number,
            before: leader,
            ticks_from: now + Duration::from_millis(mercy_ms),
            roll_called_at: now + Duration::from_millis(ROLL_CALL_MS),
            // Until then a node that is merely not heard yet would look as if it were gone.
            repairs_from: now + Duration::from_millis(ROLL_CALL_MS),
            hands_over_from: now + Duration::from_millis(HAND_OVER_AFTER_MS),
        }
    }
}

async fn tick(meta: &Meta) {
    let (due, clock) = meta.peek(|state| (state.next_due(), state.clock()));
    // This node's clock may be behind the one of the leader before.
    let now = meta.wall().max(clock);
    if due.is_some_and(|due| due <= now) {
        let request = random_id(meta.entropy(), RequestId::from_random);
        // If it does not come through, the next look proposes another.
        meta.propose_here(request, &Command::Tick).await;
    }
}

/// The first leader that knows of retention has the matrix of the product agreed on: a recording is kept by it
/// until an officer sets another.
async fn begin_keeping(meta: &Meta) {
    let begins = meta.peek(|state| state.cluster().is_some() && state.retention().is_none());
    if begins {
        let order = Box::new(KeepOrder::Matrix {
            matrix: Matrix::shipped(),
            by: None,
        });
        let request = random_id(meta.entropy(), RequestId::from_random);
        meta.apply_here(request, &Command::Keep { order }).await;
    }
}

/// Has replicas made where whole copies of a recording are in too few centres.
async fn repair(meta: &Meta) {
    let gone = away(meta, COPIES_GONE_MS);
    let repairs = meta.peek(|state| {
        // A drill holds nodes apart on purpose.
        if state.run_open().is_some() {
            return Vec::new();
        }
        state.repairs(&gone, REPAIRS_PER_LOOK_MAX)
    });
    for Repair {
        session,
        node,
        from,
    } in repairs
    {
        tracing::warn!(%session, %node, %from, "whole copies in too few centres; a replica is made");
        let order = Box::new(KeepOrder::Replicate {
            session,
            node,
            from,
        });
        let request = random_id(meta.entropy(), RequestId::from_random);
        // If it does not come through, the next look orders it again.
        meta.propose_here(request, &Command::Keep { order }).await;
    }
}

/// Has films that nodes made which are gone taken up by others.
async fn release_films(meta: &Meta) {
    let gone = away(meta, FILM_GONE_MS);
    let left = meta.peek(|state| state.films_left(&gone, FILMS_PER_LOOK_MAX));
    for claim in left {
        tracing::warn!(film = claim.film, node = %claim.node, "the node that makes a film is gone; another one may");
        let order = Box::new(FilmOrder::Release { claim });
        let request = random_id(meta.entropy(), RequestId::from_random);
        // If it does not come through, the next look orders it again.
        meta.propose_here(request, &Command::Film { order }).await;
    }
}

/// Recorders that this leader has not heard of for so many milliseconds.
fn away(meta: &Meta, for_ms: u64) -> Vec<NodeName> {
    let status = RaftStatus::of(meta);
    let is_away = |member: &&Member| {
        let heard_ms = status.heard_ms.get(&member.id);
        member.id != meta.id() && heard_ms.is_some_and(|ms| *ms >= for_ms)
    };
    meta.peek(|state| {
        let away = state.recorders().filter(is_away);
        away.map(|it| it.name.clone()).collect()
    })
}

/// Which recorders this leader hears. Of a node that led before it knows at once; the others it has only
/// begun to listen to.
fn hearing(meta: &Meta, term: &Term) -> Hearing {
    let status = RaftStatus::of(meta);
    let is_called = meta.now() >= term.roll_called_at;
    let is_unheard = |member: &&Member| member.id != meta.id() && status.is_silent(member.id);
    let unheard: Vec<Member> =
        meta.peek(|state| state.recorders().filter(is_unheard).cloned().collect());
    let is_gone = |member: &&Member| is_called || Some(member.id) == term.before;
    let name = |member: &Member| member.name.clone();
    Hearing {
        gone: unheard.iter().filter(is_gone).map(name).collect(),
        unheard: unheard.iter().map(name).collect(),
    }
}

/// A recorder that died cannot say so; the leader says it in its name. When it is back it reports anew,
/// if nobody has taken its turn.
async fn speak_for_the_gone(meta: &Meta, hearing: &Hearing) {
    if hearing.gone.is_empty() {
        return;
    }
    for (session, node, assignment) in meta.peek(|state| recordings_of(state, &hearing.gone)) {
        tracing::warn!(%session, %node, "a recorder of a running call is gone");
        let report = RecordingReport::Lost {
            cause: "recorder-gone".to_owned(),
        };
        let command = Command::ReportRecording {
            session,
            node,
            assignment,
            report,
        };
        let request = random_id(meta.entropy(), RequestId::from_random);
        // Nobody waits for an answer, and time must not stand still while a guard is away.
        meta.apply_here(request, &command).await;
    }
}

/// Turns at running calls that count as recorded, or as about to be, of nodes that are gone.
fn recordings_of(state: &State, gone: &[NodeName]) -> Vec<(SessionId, NodeName, u32)> {
    let is_lost = |turn: &&Assignment| {
        let counts = matches!(
            turn.recording,
            RecordingState::Starting | RecordingState::Running { .. }
        );
        counts && turn.until.is_none() && gone.contains(&turn.node)
    };
    let sessions = state.sessions_running();
    let lost = sessions.flat_map(|session| {
        let turns = session.assignments.iter().filter(is_lost);
        turns.map(|turn| (session.id.clone(), turn.node.clone(), turn.number))
    });
    lost.take(LOST_PER_LOOK_MAX).collect()
}

/// Why the lead was not handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeadError {
    /// Only the leader hands it over.
    #[error("this node does not lead")]
    NotLeader,
    /// No node of the centre votes and has caught up.
    #[error("no voter of {0} has caught up")]
    NoHeir(CentreId),
    /// Consensus did not do it.
    #[error("not handed over: {0}")]
    Raft(String),
}

impl Meta {
    /// Asks consensus to hand the lead to a voter of that centre that has caught up. Whether it took it,
    /// the status shows.
    ///
    /// # Errors
    /// When this node does not lead, or nobody there can.
    pub async fn hand_over_to(&self, centre: &CentreId) -> Result<NodeId, LeadError> {
        if self.leading().is_none() {
            return Err(LeadError::NotLeader);
        }
        let homes = self.cores_of(centre);
        let heir = heir(&homes, &RaftStatus::of(self));
        let heir = heir.ok_or_else(|| LeadError::NoHeir(centre.clone()))?;
        let handed = self.raft().trigger().transfer_leader(heir.0).await;
        handed.map_err(|error| LeadError::Raft(error.to_string()))?;
        Ok(heir)
    }

    /// Core nodes of a centre.
    fn cores_of(&self, centre: &CentreId) -> Vec<NodeId> {
        self.peek(|state| {
            let members = state.members();
            let there = members.filter(|it| it.has(Role::Core) && &it.centre == centre);
            there.map(|member| member.id).collect()
        })
    }
}

async fn hand_over(meta: &Meta) {
    // A disaster recovery run may have moved where the cluster should be led from.
    let preferred = meta.peek(|state| state.preferred().cloned());
    let homes = match &preferred {
        Some(centre) => meta.cores_of(centre),
        None => meta.homes().to_vec(),
    };
    if homes.is_empty() || homes.contains(&meta.id()) {
        return;
    }
    let status = RaftStatus::of(meta);
    if let Some(heir) = heir(&homes, &status) {
        tracing::info!(%heir, "handing leadership to a node that should lead");
        if let Err(error) = meta.raft().trigger().transfer_leader(heir.0).await {
            tracing::warn!(%error, "leadership was not handed over");
        }
    }
}

/// The first of the homes that votes, is alive and has nearly everything.
fn heir(homes: &[NodeId], status: &RaftStatus) -> Option<NodeId> {
    let inherits = |node: &&NodeId| status.voters.contains(node) && status.is_ready(**node);
    homes.iter().find(inherits).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_living_voter_that_caught_up_inherits() {
        let [far, behind, silent, learner, good] = [5, 1, 2, 3, 4].map(NodeId);
        let status = RaftStatus {
            matched: [
                (far, 1_000),
                (behind, 900),
                (silent, 1_000),
                (learner, 1_000),
                (good, 990),
            ]
            .into(),
            heard_ms: [(behind, 1), (silent, 5_000), (learner, 1), (good, 20)].into(),
            voters: vec![far, behind, silent, good],
            ..RaftStatus::default()
        };
        assert_eq!(heir(&[behind, silent, learner, good], &status), Some(good));
        assert_eq!(heir(&[behind, silent, learner], &status), None);
    }
}
