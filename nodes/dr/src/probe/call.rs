//! Call set-up as a prober sees it: a customer of the canary tenant opens a ticket, the routing reserves
//! the canary's agent, who reads it, wraps the media key and accepts. Every order is agreed on as any
//! other, in the write class it has, and decided by the rules of a bank's calls.
//!
//! Not in it: the way from the customer's page through the edge to a core node, which is the same tunnel
//! for every request.

use std::sync::Arc;

use guitai_crypto::sm2::SecretKey;
use guitai_host::random_id;
use guitai_meta::{CanaryIds, State};
use guitai_types::{
    Hex, NodeName, ReservationId, Role, SessionId, TicketId, UnixMillis,
    command::{CanaryStep, Command, Reply},
    limits::RECORDERS_PER_SESSION,
    record::{Consent, Participant, Presence},
};

use super::{Prober, cadence};
use crate::recovery::Inner;

/// The wording a canary's customer agrees to: none.
const WORDING: &str = "canary";

/// Whether a call can be set up at all: it comes through an edge and must be recorded.
pub(super) fn can_be_set_up(inner: &Inner) -> bool {
    inner
        .meta
        .peek(|state| edge(state).is_some() && state.recorders().next().is_some())
}

/// Sets calls up, one after the other, for ever.
pub(super) async fn set_up(inner: Arc<Inner>, prober: Prober) {
    let Some(ids) = CanaryIds::known() else {
        return;
    };
    let (customer, agent) = (SecretKey::generate(), SecretKey::generate());
    let point = |secret: &SecretKey| Hex(secret.public().to_point().to_vec());
    let canary = Canary {
        inner,
        ids,
        customer: point(&customer),
        agent: point(&agent),
    };
    let mut cadence = cadence(prober.lane.service);
    loop {
        cadence.tick().await;
        let serial = prober.meter().send();
        let clock = canary.inner.clock.clone();
        // The agent sits down before the customer comes.
        if canary.is_ready().await {
            let begin = clock.monotonic();
            if canary.call().await.is_some() {
                let now = clock.monotonic();
                prober.meter().good(serial, now, now.saturating_sub(begin));
            }
        }
    }
}

struct Canary {
    inner: Arc<Inner>,
    ids: CanaryIds,
    customer: Hex,
    agent: Hex,
}

impl Canary {
    async fn is_ready(&self) -> bool {
        let ready = Command::SetPresence {
            staff: self.ids.agent.clone(),
            presence: Presence::Ready,
            media_key: self.agent.clone(),
        };
        self.step(CanaryStep::Begin).await.is_some() && self.order(ready).await.is_some()
    }

    /// From ticket to accepted.
    async fn call(&self) -> Option<SessionId> {
        let inner = &self.inner;
        let ticket: TicketId = random_id(&*inner.entropy, TicketId::from_random);
        let opened = Command::OpenTicket {
            ticket,
            institution: self.ids.institution.clone(),
            queue: self.ids.queue.clone(),
            edge: inner.meta.peek(edge)?,
            customer: WORDING.to_owned(),
            consent: Consent {
                recording: true,
                wording: WORDING.to_owned(),
                at: UnixMillis(0),
            },
            media_key: self.customer.clone(),
        };
        self.order(opened).await?;
        let me = &inner.member.name;
        let rings = inner.meta.read(|state| rings(state, me)).await.ok()?;
        let (reservation, recorders) = rings?;
        let customer = (Participant::Customer, self.customer.clone());
        let agent = (Participant::Agent, self.agent.clone());
        let holders: Vec<_> = [customer, agent].into_iter().chain(recorders).collect();
        let wrap = inner.wrap.clone();
        let keys = tokio::task::spawn_blocking(move || wrap(holders)).await;
        let accept = Command::Accept {
            reservation,
            staff: self.ids.agent.clone(),
            session: random_id(&*inner.entropy, SessionId::from_random),
            keys: keys.ok()?.ok()?,
            silent: Vec::new(),
            recorders: RECORDERS_PER_SESSION,
        };
        match self.order(accept).await? {
            Reply::Session { session } => Some(session),
            _ => None,
        }
    }

    async fn order(&self, command: Command) -> Option<Reply> {
        let command = Box::new(command);
        self.step(CanaryStep::Order { command }).await
    }

    async fn step(&self, step: CanaryStep) -> Option<Reply> {
        let node = self.inner.member.name.clone();
        let written = self.inner.meta.write(Command::Canary { node, step }).await;
        match written {
            Ok(Reply::Refused { problem }) => {
                tracing::debug!(detail = problem.detail, "a canary's order was refused");
                None
            }
            Ok(reply) => Some(reply),
            Err(error) => {
                tracing::debug!(%error, "a canary's order was not agreed on");
                None
            }
        }
    }
}

/// What rings at the canary's agent, and to whom the media key must be wrapped.
fn rings(state: &State, me: &NodeName) -> Option<(ReservationId, Vec<(Participant, Hex)>)> {
    let reservation = state.canary_rings(me)?.id.clone();
    let recorder = |member: &guitai_types::Member| {
        let node = member.name.clone();
        (Participant::Recorder { node }, member.public_key.clone())
    };
    Some((reservation, state.recorders().map(recorder).collect()))
}

fn edge(state: &State) -> Option<NodeName> {
    let mut members = state.members();
    let edge = members.find(|member| member.has(Role::Edge));
    edge.map(|member| member.name.clone())
}
