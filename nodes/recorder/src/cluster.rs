//! What a recorder asks of the cluster: which calls there are, what is known of them, where the
//! relays are; and to whom it reports. [`Meta`] answers in a node, a script in the tests.

use std::io;

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use guitai_evidence::manifest::Named;
use guitai_meta::{Meta, Proofs};
use guitai_net::Target;
use guitai_sink::plan::Promise;
use guitai_types::{
    ClusterId, Date, Epoch, Hex, NodeName, Role, SessionId, UnixMillis, Zone,
    command::{Command, RecordingReport, Reply},
    event::Change,
    place::Text,
    record::{Assignment, Consent, Participant, Policy, RecordingState, Session, Step, WrappedKey},
    retention::{Erasure, KeepOrder, SinkCopy},
    tlog::{Record, RecorderRoot},
};
use serde::{Deserialize, Serialize};

use crate::{keeper::Order, proving::Wanted};

/// Recordings that a node erases in one look; the rest waits for the next.
const ERASURES_AT_ONCE_MAX: usize = 64;
/// Copies that a node reads again in one look.
const READ_AT_ONCE_MAX: usize = 64;
/// Replicas that a node gets in one look, one after the other.
const REPLICAS_AT_ONCE_MAX: usize = 4;

/// Everything a package says about a call beside its media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) cluster: ClusterId,
    pub(crate) institution: Named,
    pub(crate) session: Session,
    pub(crate) consent: Option<Consent>,
    pub(crate) steps: Vec<Step>,
    pub(crate) policy: Policy,
}

/// What a node has to do for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duty {
    pub(crate) session: SessionId,
    pub(crate) order: Order,
    /// Its turn is over: another node records. What it kept is sealed, and nothing is begun.
    pub(crate) is_over: bool,
}

/// What a node has to do for a session, if it has to do with it.
pub(crate) fn duty_of(session: &Session, node: &NodeName) -> Option<Duty> {
    let mut turns = session.assignments.iter().rev();
    let last = turns.find(|turn| turn.node == *node)?;
    if matches!(last.recording, RecordingState::Sealed { .. }) {
        return None;
    }
    let is_over = last.until.is_some();
    let order = match (session.ended_at, is_over) {
        (Some(_), _) => Order::Seal,
        (None, true) => Order::Rest,
        (None, false) => Order::Keep,
    };
    Some(Duty {
        session: session.id.clone(),
        order,
        is_over,
    })
}

/// What the cluster promised of a recording, and believes of a node's part of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) promise: Promise,
    /// The node may have something of it.
    pub(crate) is_tracked: bool,
    /// What the node has in the sink.
    pub(crate) sink: Option<SinkCopy>,
}

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// Nobody took it; it may be tried again.
    #[error("the cluster did not answer: {0}")]
    Unanswered(String),
    /// The cluster says no; trying again gives the same.
    #[error("the cluster refused: {0}")]
    Refused(String),
}

pub(crate) trait Cluster: Send + Sync {
    /// Returns when what is known of the cluster is as new as the cluster.
    fn ready(&self) -> BoxFuture<'_, ()>;
    /// Calls that `node` records or recorded, and whose recording it has not sealed.
    fn calls_of(&self, node: &NodeName) -> Vec<Duty>;
    /// The turn of `node` at a running call that is not over, with how the cluster thinks it goes.
    fn turn(&self, session: &SessionId, node: &NodeName) -> Option<Assignment>;
    /// What is known of a call now.
    fn call(&self, session: &SessionId) -> Option<Call>;
    /// The cluster's epoch as this node knows it.
    fn epoch(&self) -> Epoch;
    /// Media keys of a call wrapped to `node`, of epochs after `epoch`, oldest first.
    fn keys(&self, session: &SessionId, node: &NodeName, epoch: u32) -> Vec<(u32, Hex)>;
    /// Recordings whose key `node` is to destroy, as far as it knows.
    fn erasures(&self, node: &NodeName) -> Vec<(SessionId, Erasure)>;
    /// Whether the cluster still says exactly so, after everything that was acknowledged before: a hold may have
    /// come, or a later date.
    fn is_to_erase(
        &self,
        session: &SessionId,
        node: &NodeName,
        erasure: &Erasure,
    ) -> BoxFuture<'static, bool>;
    /// Recordings of which `node` has a whole copy, as far as the cluster knows.
    fn copies(&self, node: &NodeName) -> Vec<SessionId>;
    /// Some of those that have not been read through for long, by the clock `now`.
    fn copies_to_read(&self, node: &NodeName, now: UnixMillis) -> Vec<SessionId>;
    /// What the cluster promised of a recording, and believes of it; `None` when it does not keep track of it.
    fn kept(&self, session: &SessionId, node: &NodeName) -> Option<Kept>;
    /// Replicas that `node` is to get, and from whom.
    fn replicas(&self, node: &NodeName) -> Vec<(SessionId, NodeName)>;
    /// Says something about the keeping of a recording.
    fn keep(&self, order: KeepOrder) -> BoxFuture<'static, Result<(), ReportError>>;
    /// Wakes when calls may have begun or ended.
    fn wakes(&self) -> BoxStream<'static, ()>;
    /// Reports how a recording goes.
    fn report(
        &self,
        session: &SessionId,
        node: &NodeName,
        assignment: u32,
        report: RecordingReport,
    ) -> BoxFuture<'static, Result<(), ReportError>>;
    /// Puts a root by the second into the log.
    fn append_root(&self, root: RecorderRoot) -> BoxFuture<'static, Result<(), ReportError>>;
    /// Whether the cluster has a log.
    fn has_log(&self) -> bool;
    /// The log's checkpoint published last, if there is one.
    fn checkpoint(&self) -> Option<String>;
    /// Proofs of what is wanted under the checkpoint published last, and that it continues the log's first
    /// `older` entries; nothing when none is published yet.
    fn proofs(
        &self,
        wanted: Wanted,
        older: Option<u64>,
    ) -> BoxFuture<'static, io::Result<Option<Proofs<String>>>>;
    /// Inner relays on other nodes, those in the centre of `near` first: they are there when the others are
    /// lost, and what is recorded need not cross between centres.
    fn relays(&self, near: &NodeName) -> Vec<Target>;
}

/// Wraps of a session to a recorder, of epochs after `epoch`, oldest first.
pub(crate) fn keys_of(session: &Session, node: &NodeName, epoch: u32) -> Vec<(u32, Hex)> {
    let present = (session.key_epoch, &session.keys);
    let past = session
        .keys_past
        .iter()
        .map(|past| (past.epoch, &past.keys));
    let mine = |(number, keys): (u32, &Vec<WrappedKey>)| {
        let is_mine = |key: &&WrappedKey| matches!(&key.recipient, Participant::Recorder { node: other } if other == node);
        let key = keys.iter().find(is_mine)?;
        (number > epoch).then(|| (number, key.wrapped.clone()))
    };
    past.chain([present]).filter_map(mine).collect()
}

impl Cluster for Meta {
    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while !matches!(self.read(|state| state.cluster().is_some()).await, Ok(true)) {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        })
    }

    fn calls_of(&self, node: &NodeName) -> Vec<Duty> {
        self.peek(|state| {
            let calls = state.sessions_running().chain(state.sessions_ended());
            calls.filter_map(|session| duty_of(session, node)).collect()
        })
    }

    fn turn(&self, session: &SessionId, node: &NodeName) -> Option<Assignment> {
        self.peek(|state| state.session(session)?.assignment_of(node).cloned())
    }

    fn call(&self, session: &SessionId) -> Option<Call> {
        self.peek(|state| {
            let session = state.session(session)?.clone();
            let institution = state.institution(&session.institution);
            let queue = institution.and_then(|i| i.queues.iter().find(|q| q.id == session.queue));
            let name = institution.map_or_else(Text::default, |i| i.name.clone());
            Some(Call {
                cluster: state.cluster()?.clone(),
                institution: Named {
                    id: session.institution.clone(),
                    name,
                },
                consent: state
                    .ticket(&session.ticket)
                    .map(|ticket| ticket.consent.clone()),
                steps: queue.map(|queue| queue.steps.clone()).unwrap_or_default(),
                policy: state.policy().clone(),
                session,
            })
        })
    }

    fn epoch(&self) -> Epoch {
        self.peek(guitai_meta::State::epoch)
    }

    fn keys(&self, session: &SessionId, node: &NodeName, epoch: u32) -> Vec<(u32, Hex)> {
        self.peek(|state| match state.session(session) {
            Some(session) => keys_of(session, node, epoch),
            None => Vec::new(),
        })
    }

    fn erasures(&self, node: &NodeName) -> Vec<(SessionId, Erasure)> {
        self.peek(|state| {
            let erasures = state.erasures_of(node).take(ERASURES_AT_ONCE_MAX);
            let owned =
                |(session, erasure): (&SessionId, &Erasure)| (session.clone(), erasure.clone());
            erasures.map(owned).collect()
        })
    }

    fn is_to_erase(
        &self,
        session: &SessionId,
        node: &NodeName,
        erasure: &Erasure,
    ) -> BoxFuture<'static, bool> {
        let (meta, session, node) = (self.clone(), session.clone(), node.clone());
        let erasure = erasure.clone();
        Box::pin(async move {
            let says_so = |state: &guitai_meta::State| {
                let mut orders = state.erasures_of(&node);
                orders.any(|order| order == (&session, &erasure))
            };
            meta.read(says_so).await.unwrap_or(false)
        })
    }

    fn copies(&self, node: &NodeName) -> Vec<SessionId> {
        self.peek(|state| {
            let copies = state.copies_on(node);
            copies.map(|(session, _)| session.clone()).collect()
        })
    }

    fn copies_to_read(&self, node: &NodeName, now: UnixMillis) -> Vec<SessionId> {
        self.peek(|state| {
            let copies = state.copies_to_read(node, now);
            copies.take(READ_AT_ONCE_MAX).cloned().collect()
        })
    }

    fn kept(&self, session: &SessionId, node: &NodeName) -> Option<Kept> {
        self.peek(|state| {
            let recording = state.recording(session)?;
            let copy = recording.copies.get(node);
            let (until, held) = state.promise_of(recording);
            Some(Kept {
                promise: Promise {
                    until: until.map(Date::over),
                    held,
                },
                is_tracked: copy.is_some(),
                sink: copy.and_then(|copy| copy.sink.clone()),
            })
        })
    }

    fn replicas(&self, node: &NodeName) -> Vec<(SessionId, NodeName)> {
        self.peek(|state| {
            let replicas = state.replicas_of(node).take(REPLICAS_AT_ONCE_MAX);
            let owned = |(session, from): (&SessionId, &NodeName)| (session.clone(), from.clone());
            replicas.map(owned).collect()
        })
    }

    fn keep(&self, order: KeepOrder) -> BoxFuture<'static, Result<(), ReportError>> {
        let meta = self.clone();
        Box::pin(async move {
            let order = Box::new(order);
            write(&meta, Command::Keep { order }).await
        })
    }

    fn wakes(&self) -> BoxStream<'static, ()> {
        let from = self.peek(|state| state.event_number());
        let concerns = |change: &Change| {
            matches!(
                change,
                Change::SessionStarted { .. }
                    | Change::Recorders { .. }
                    | Change::SessionEnded { .. }
            )
        };
        let events = self.events(from.saturating_add(1));
        events
            .filter_map(move |event| std::future::ready(concerns(&event.change).then_some(())))
            .boxed()
    }

    fn report(
        &self,
        session: &SessionId,
        node: &NodeName,
        assignment: u32,
        report: RecordingReport,
    ) -> BoxFuture<'static, Result<(), ReportError>> {
        let (session, node) = (session.clone(), node.clone());
        let meta = self.clone();
        Box::pin(async move {
            let command = Command::ReportRecording {
                session,
                node,
                assignment,
                report,
            };
            write(&meta, command).await
        })
    }

    fn has_log(&self) -> bool {
        self.peek(|state| state.log().is_some())
    }

    fn checkpoint(&self) -> Option<String> {
        self.log_checkpoint()
    }

    fn proofs(
        &self,
        mut wanted: Wanted,
        older: Option<u64>,
    ) -> BoxFuture<'static, io::Result<Option<Proofs<String>>>> {
        let meta = self.clone();
        Box::pin(async move {
            let since = wanted.since;
            let pick = move |record: &Record| wanted.pick(record);
            let proofs = meta.log_proofs(since, older, pick).await;
            proofs.map_err(io::Error::other)
        })
    }

    fn append_root(&self, root: RecorderRoot) -> BoxFuture<'static, Result<(), ReportError>> {
        let meta = self.clone();
        Box::pin(async move { write(&meta, Command::AppendRoot { root }).await })
    }

    fn relays(&self, near: &NodeName) -> Vec<Target> {
        self.peek(|state| {
            let centre = state.member(near).map(|member| &member.centre);
            let relays = state
                .members()
                .filter(|m| m.zone == Zone::Inner && m.has(Role::Relay) && &m.name != near);
            let mut relays: Vec<_> = relays.collect();
            relays.sort_by_key(|member| (Some(&member.centre) != centre, member.id));
            relays.into_iter().map(Target::from).collect()
        })
    }
}

async fn write(meta: &Meta, command: Command) -> Result<(), ReportError> {
    match meta.write(command).await {
        Ok(Reply::Refused { problem }) => Err(ReportError::Refused(problem.detail)),
        Ok(_) => Ok(()),
        Err(error) => Err(ReportError::Unanswered(error.to_string())),
    }
}
