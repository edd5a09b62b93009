//! The two people of a call, as their pages would act.

use std::collections::BTreeMap;

use guitai_crypto::sm2::SecretKey;
use guitai_host::Clock;
use guitai_types::{
    Code, Hex, QueueId, ReservationId, SessionId, TicketId,
    control::{Catalogue, OpenTicket},
    record::{Consent, Presence},
    view::{CallView, DeskView, QueueView, SessionView, TicketPhase, TicketView},
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Plan, now_ms};
use crate::{
    failure::Failure,
    http::{Door, Events},
    staff,
};

/// Stars the customer gives.
const STARS: u8 = 5;
/// Version of the consent's wording.
const WORDING: &str = "2026-11";
const FINISH: &str = "/api/v1/me/finish";

#[derive(Deserialize)]
struct Opened {
    ticket: TicketId,
    token: String,
    view: TicketView,
}

/// The customer at the edge.
pub(super) struct Customer {
    pub(super) door: Door,
    /// When the ticket was asked for.
    pub(super) asked_ms: u64,
    ticket: TicketId,
    pub(super) key: SecretKey,
    views: Events<TicketView>,
    seen: TicketView,
}

/// The agent at the inner node.
pub(super) struct Agent {
    pub(super) door: Door,
    pub(super) key: SecretKey,
    views: Events<DeskView>,
}

impl Agent {
    /// Logs in and sits down, on a break.
    pub(super) async fn arrive(plan: &Plan<'_>) -> Result<Self, Failure> {
        let door = staff::login(&Door::new(plan.core.clone())?, plan.agent).await?;
        let desk: DeskView = door.get("/api/v1/desk").await?;
        match desk.presence {
            Presence::WrapUp => {
                door.send::<DeskView>(Method::POST, FINISH, &json!({}))
                    .await
                    .map(drop)?;
            }
            Presence::Ringing | Presence::Busy => {
                let detail = "the agent's desk is in use; try again when it is free";
                return Err(Failure::new(Code::WrongState, detail));
            }
            Presence::Offline | Presence::Break | Presence::Ready => {}
        }
        let views = door.events("/api/v1/desk/events", "desk").await?;
        let agent = Self {
            door,
            key: SecretKey::generate(),
            views,
        };
        agent.set_presence(Presence::Break).await?;
        Ok(agent)
    }

    pub(super) async fn set_presence(&self, presence: Presence) -> Result<(), Failure> {
        let media_key = Hex(self.key.public().to_point().to_vec());
        let body = json!({ "presence": presence, "media_key": media_key });
        let path = "/api/v1/me/presence";
        self.door
            .send::<DeskView>(Method::PUT, path, &body)
            .await
            .map(drop)
    }

    pub(super) async fn wait_for_ring(&mut self, customer: &str) -> Result<ReservationId, Failure> {
        loop {
            let desk = self.views.next().await?.ok_or_else(ended)?;
            match desk.ring {
                Some(ring) if ring.customer == customer => return Ok(ring.reservation),
                Some(_) => {
                    let detail = "another customer came first; make demo calls on an idle cluster";
                    return Err(Failure::new(Code::WrongState, detail));
                }
                None => {}
            }
        }
    }

    /// Waits until the desk shows a call that is as wanted.
    pub(super) async fn wait_for_call(
        &mut self,
        wanted: impl Fn(&CallView) -> bool,
    ) -> Result<CallView, Failure> {
        loop {
            let desk = self.views.next().await?.ok_or_else(ended)?;
            if let Some(call) = desk.call.filter(&wanted) {
                return Ok(call);
            }
        }
    }

    pub(super) async fn accept(&self, reservation: &ReservationId) -> Result<CallView, Failure> {
        let path = format!("/api/v1/reservations/{reservation}/accept");
        let desk: DeskView = self.door.send(Method::POST, &path, &json!({})).await?;
        let none = || Failure::new(Code::WrongState, "the desk shows no call after accepting");
        desk.call.ok_or_else(none)
    }

    pub(super) async fn add_step(&self, session: &SessionId, step: &str) -> Result<(), Failure> {
        let path = format!("/api/v1/sessions/{session}/steps");
        let body = json!({ "step": step, "details": BTreeMap::<&str, &str>::new() });
        self.door
            .send::<SessionView>(Method::POST, &path, &body)
            .await
            .map(drop)
    }

    /// Leaves the desk as free as it can be made after a call that failed.
    pub(super) async fn give_up(&self) {
        drop(
            self.door
                .send::<DeskView>(Method::POST, FINISH, &json!({}))
                .await,
        );
        drop(self.set_presence(Presence::Offline).await);
    }

    /// Finishes writing up and goes home.
    pub(super) async fn leave(&self) -> Result<(), Failure> {
        self.door
            .send::<DeskView>(Method::POST, FINISH, &json!({}))
            .await
            .map(drop)?;
        self.set_presence(Presence::Offline).await
    }
}

impl Customer {
    /// Chooses a queue that the agent serves, enters it and watches the own place in it.
    pub(super) async fn arrive(
        plan: &Plan<'_>,
        agent: &Agent,
        clock: &dyn Clock,
    ) -> Result<Self, Failure> {
        let door = Door::new(plan.edge.clone())?;
        let catalogue: Catalogue = door.get("/api/v1/catalogue").await?;
        let queue = choose_queue(plan, agent, &catalogue).await?;
        let key = SecretKey::generate();
        let body = OpenTicket {
            institution: plan.agent.institution.clone(),
            queue,
            customer: name(plan, &key),
            consent: Consent {
                recording: true,
                wording: WORDING.to_owned(),
                at: clock.wall(),
            },
            media_key: Hex(key.public().to_point().to_vec()),
        };
        let asked_ms = now_ms(clock);
        let opened: Opened = door.send(Method::POST, "/api/v1/tickets", &body).await?;
        let door = door.with_token(opened.token);
        let views = door
            .events(
                &format!("/api/v1/tickets/{}/events", opened.ticket),
                "ticket",
            )
            .await?;
        Ok(Self {
            door,
            asked_ms,
            ticket: opened.ticket,
            key,
            views,
            seen: opened.view,
        })
    }

    pub(super) fn name(&self, plan: &Plan<'_>) -> String {
        name(plan, &self.key)
    }

    /// Waits until the customer is in a call that is as wanted.
    pub(super) async fn wait_for_call(
        &mut self,
        wanted: impl Fn(&CallView) -> bool,
    ) -> Result<CallView, Failure> {
        loop {
            match &self.seen.phase {
                TicketPhase::InSession { call } if wanted(call) => return Ok((**call).clone()),
                TicketPhase::Ended { reason, .. } => {
                    let detail = format!("the ticket ended: {reason:?}");
                    return Err(Failure::new(Code::WrongState, detail));
                }
                _ => {}
            }
            self.seen = self.views.next().await?.ok_or_else(ended)?;
        }
    }

    async fn post(&self, what: &str, body: &impl Serialize) -> Result<TicketView, Failure> {
        let path = format!("/api/v1/tickets/{}/{what}", self.ticket);
        self.door.send(Method::POST, &path, body).await
    }

    pub(super) async fn confirm(&self, step: &str) -> Result<(), Failure> {
        self.post("confirm", &json!({ "step": step }))
            .await
            .map(drop)
    }

    /// Takes part with the key pair that the customer has now.
    pub(super) async fn rejoin(&self) -> Result<CallView, Failure> {
        let path = format!("/api/v1/tickets/{}/key", self.ticket);
        let body = json!({ "media_key": Hex(self.key.public().to_point().to_vec()) });
        let view: TicketView = self.door.send(Method::PUT, &path, &body).await?;
        match view.phase {
            TicketPhase::InSession { call } => Ok(*call),
            _ => Err(Failure::new(
                Code::WrongState,
                "the ticket is not in a call",
            )),
        }
    }

    pub(super) async fn hang_up(&self) -> Result<(), Failure> {
        self.post("close", &json!({ "hang_up": true }))
            .await
            .map(drop)
    }

    /// Leaves queue or call after something failed.
    pub(super) async fn give_up(&self) {
        drop(self.hang_up().await);
    }

    pub(super) async fn rate(&self) -> Result<u8, Failure> {
        let body = json!({ "stars": STARS, "comment": "演示 / demo" });
        let view = self.post("rating", &body).await?;
        match view.phase {
            TicketPhase::Ended {
                stars: Some(stars), ..
            } => Ok(stars),
            _ => Err(Failure::new(Code::WrongState, "the rating was not kept")),
        }
    }
}

/// A name that no other customer has.
fn name(plan: &Plan<'_>, key: &SecretKey) -> String {
    let point = key.public().to_point();
    let tail = Hex(point.iter().rev().take(3).copied().collect());
    format!("演示客户 {}-{tail}", plan.number)
}

/// A queue in which the agent would be found: for a moment ready, then on a break again, so that the
/// customer is seen waiting.
async fn choose_queue(
    plan: &Plan<'_>,
    agent: &Agent,
    catalogue: &Catalogue,
) -> Result<QueueId, Failure> {
    agent.set_presence(Presence::Ready).await?;
    let queues: Vec<QueueView> = agent.door.get("/api/v1/queues").await?;
    agent.set_presence(Presence::Break).await?;
    let institution = catalogue
        .institutions
        .iter()
        .find(|i| i.id == plan.agent.institution);
    let offered = institution
        .map(|institution| institution.queues.as_slice())
        .unwrap_or_default();
    let served = queues.iter().find(|queue| {
        queue.institution == plan.agent.institution
            && queue.ready > 0
            && offered.iter().any(|offered| offered.id == queue.queue)
    });
    let none = || {
        Failure::new(
            Code::WrongState,
            "no queue of the catalogue finds this agent",
        )
    };
    served.map(|queue| queue.queue.clone()).ok_or_else(none)
}

fn ended() -> Failure {
    Failure::new(Code::NoLeader, "the door ended the stream of events")
}
