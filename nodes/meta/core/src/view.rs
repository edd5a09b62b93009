//! What people see, as functions of the state. Tokens are signed by the caller: the core knows
//! no keys.

use guitai_types::{
    Hex, SessionId, StaffRef, TicketId,
    claims::Grant,
    control::{Catalogue, CatalogueInstitution, CatalogueQueue},
    record::{Business, Participant, Presence, Session, Ticket, TicketState, WrappedKey},
    view::{
        CallView, DeskView, MediaAccess, QueueView, RingView, SessionView, StaffView, TicketPhase,
        TicketView,
    },
};

use crate::{
    State,
    index::{Line, serves},
    messages,
};

const CUSTOMER: &str = "customer";
const AGENT: &str = "agent";

impl State {
    /// A ticket as its customer sees it.
    pub fn ticket_view(
        &self,
        ticket: &TicketId,
        issue: &dyn Fn(&Grant) -> String,
    ) -> Option<TicketView> {
        let ticket = self.ticket(ticket)?;
        Some(TicketView {
            ticket: ticket.id.clone(),
            institution: ticket.institution.clone(),
            queue: ticket.queue.clone(),
            number: self.event_number(),
            opened_at: ticket.opened_at,
            phase: self.ticket_phase(ticket, issue)?,
        })
    }

    fn ticket_phase(
        &self,
        ticket: &Ticket,
        issue: &dyn Fn(&Grant) -> String,
    ) -> Option<TicketPhase> {
        Some(match &ticket.state {
            TicketState::Waiting => {
                let line = self.line(ticket)?;
                let before = line.waiting.range(..ticket.serial).count();
                TicketPhase::Waiting {
                    position: before as u64 + 1,
                    agents: line.online.len() as u64,
                }
            }
            TicketState::Ringing { .. } => TicketPhase::Ringing,
            TicketState::InSession { session } => {
                let call = self.call_view(self.session(session)?, &Participant::Customer, issue);
                TicketPhase::InSession {
                    call: Box::new(call),
                }
            }
            TicketState::Ended { reason, session } => TicketPhase::Ended {
                reason: *reason,
                session: session.clone(),
                stars: session.as_ref().and_then(|id| self.session(id)?.stars),
            },
        })
    }

    /// A desk as its owner sees it; an agent who never logged in sees an offline one.
    pub fn desk_view(
        &self,
        staff: &StaffRef,
        issue: &dyn Fn(&Grant) -> String,
    ) -> Option<DeskView> {
        let account = self.staff(staff)?;
        let desk = self.desk(staff);
        let session = desk.and_then(|desk| self.session(desk.session.as_ref()?));
        let lines = self.index.lines.get(&staff.institution)?;
        let queues = self.institution(&staff.institution)?.queues.iter();
        let served = queues.filter(|queue| serves(account, queue));
        let waiting = served.filter_map(|queue| Some(lines.get(&queue.id)?.waiting.len()));
        Some(DeskView {
            staff: staff.clone(),
            display: account.display.clone(),
            presence: desk.map(|desk| desk.presence).unwrap_or_default(),
            since: desk.map(|desk| desk.since).unwrap_or_default(),
            number: self.event_number(),
            waiting: waiting.sum::<usize>() as u64,
            ring: desk.and_then(|desk| self.ring_view(desk.reservation.as_ref()?)),
            call: session.map(|session| self.call_view(session, &Participant::Agent, issue)),
        })
    }

    fn ring_view(&self, reservation: &guitai_types::ReservationId) -> Option<RingView> {
        let reservation = self.reservation(reservation)?;
        let ticket = self.ticket(&reservation.ticket)?;
        Some(RingView {
            reservation: reservation.id.clone(),
            customer: ticket.customer.clone(),
            queue: ticket.queue.clone(),
            queue_name: self.queue(ticket)?.name.clone(),
            opened_at: ticket.opened_at,
            due_at: reservation.due_at,
        })
    }

    fn call_view(
        &self,
        session: &Session,
        party: &Participant,
        issue: &dyn Fn(&Grant) -> String,
    ) -> CallView {
        let is_agent = *party == Participant::Agent;
        let (publish, watch) = if is_agent {
            (AGENT, CUSTOMER)
        } else {
            (CUSTOMER, AGENT)
        };
        let recorders = session.recorders.iter().cloned();
        let recorders = recorders.map(|node| Participant::Recorder { node });
        let steps = self
            .institution(&session.institution)
            .and_then(|institution| {
                let queue = institution
                    .queues
                    .iter()
                    .find(|queue| queue.id == session.queue)?;
                Some(queue.steps.clone())
            });
        let key = session
            .keys
            .iter()
            .find(|key| key.recipient == *party)
            .cloned();
        let no_key = || WrappedKey {
            recipient: party.clone(),
            wrapped: Hex::default(),
        };
        CallView {
            session: session.id.clone(),
            peer: if is_agent {
                session.customer.clone()
            } else {
                session.agent_display.clone()
            },
            participants: [Participant::Customer, Participant::Agent]
                .into_iter()
                .chain(recorders)
                .collect(),
            recording: session.recording.clone(),
            started_at: session.started_at,
            steps: steps.unwrap_or_default(),
            done: steps_of(session, "step"),
            confirmed: if is_agent {
                steps_of(session, "confirmed")
            } else {
                Vec::new()
            },
            message: if is_agent {
                messages::newest(session)
            } else {
                0
            },
            business: if is_agent {
                session.business.clone()
            } else {
                Business::default()
            },
            media: MediaAccess {
                room: session.room(),
                token: issue(&Grant::Media {
                    institution: session.institution.clone(),
                    session: session.id.clone(),
                    ticket: session.ticket.clone(),
                    publish: vec![publish.to_owned()],
                    subscribe: vec![watch.to_owned()],
                }),
                publish: publish.to_owned(),
                watch: watch.to_owned(),
                sealed: self.policy().media_sealed,
                key: key.unwrap_or_else(no_key),
                epoch: session.key_epoch,
                audio_suite: session.audio_suite,
            },
            key: self.key_view(session),
        }
    }

    /// A member of staff as pages see it.
    pub fn staff_view(&self, staff: &StaffRef) -> Option<StaffView> {
        let account = self.staff(staff)?;
        Some(StaffView {
            id: staff.clone(),
            display: account.display.clone(),
            number: account.number.clone(),
            duties: account.duties.clone(),
            presence: self
                .desk(staff)
                .map(|desk| desk.presence)
                .unwrap_or_default(),
        })
    }

    /// All queues, by institution and id.
    pub fn queue_views(&self) -> Vec<QueueView> {
        let none = Line::default();
        let mut views = Vec::new();
        for institution in self.institutions() {
            let lines = self.index.lines.get(&institution.id);
            for queue in &institution.queues {
                let line = lines
                    .and_then(|lines| lines.get(&queue.id))
                    .unwrap_or(&none);
                let oldest = line.waiting.values().next().and_then(|id| self.ticket(id));
                let busy = line.online.iter().filter(|name| {
                    let name = (*name).clone();
                    let staff = StaffRef {
                        institution: institution.id.clone(),
                        name,
                    };
                    self.desk(&staff)
                        .is_some_and(|desk| desk.presence == Presence::Busy)
                });
                views.push(QueueView {
                    institution: institution.id.clone(),
                    queue: queue.id.clone(),
                    name: queue.name.clone(),
                    waiting: line.waiting.len() as u64,
                    longest_wait_ms: oldest.map_or(0, |it| self.clock().since(it.opened_at)),
                    ready: line.ready.len() as u64,
                    busy: busy.count() as u64,
                });
            }
        }
        views
    }

    /// A session with its business events.
    pub fn session_view(&self, session: &SessionId) -> Option<SessionView> {
        let session = self.session(session)?;
        Some(SessionView {
            events: session.events.clone(),
            ..self.summary(session)
        })
    }

    /// Running sessions by id, without their events.
    pub fn sessions_running_views(&self) -> Vec<SessionView> {
        self.sessions_running()
            .map(|session| self.summary(session))
            .collect()
    }

    /// Ended sessions, newest first, at most `limit`, without their events.
    pub fn sessions_ended_views(&self, limit: usize) -> Vec<SessionView> {
        self.sessions_ended()
            .take(limit)
            .map(|session| self.summary(session))
            .collect()
    }

    fn summary(&self, session: &Session) -> SessionView {
        SessionView {
            id: session.id.clone(),
            institution: session.institution.clone(),
            queue: session.queue.clone(),
            customer: session.customer.clone(),
            agent: session.agent.clone(),
            agent_display: session.agent_display.clone(),
            branch: session.branch.clone(),
            business: session.business.clone(),
            edge: session.edge.clone(),
            recorders: session.recorders.clone(),
            assignments: session.assignments.clone(),
            started_at: session.started_at,
            ended_at: session.ended_at,
            end_reason: session.end_reason,
            recording: session.recording.clone(),
            stars: session.stars,
            key: self.key_view(session),
            events: Vec::new(),
        }
    }

    /// What customers may choose from.
    pub fn catalogue(&self) -> Catalogue {
        let institutions = self.institutions().map(|institution| CatalogueInstitution {
            id: institution.id.clone(),
            name: institution.name.clone(),
            queues: institution
                .queues
                .iter()
                .map(|queue| CatalogueQueue {
                    id: queue.id.clone(),
                    name: queue.name.clone(),
                })
                .collect(),
        });
        Catalogue {
            institutions: institutions.collect(),
        }
    }
}

/// Ids of the steps that events of a kind are about, each once, in the order of the first: `step` is done by
/// the agent, `confirmed` by the customer, whose confirmation of a step does not do it.
fn steps_of(session: &Session, kind: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for event in session.events.iter().filter(|event| event.kind == kind) {
        if let Some(step) = event
            .details
            .get("step")
            .filter(|step| !steps.contains(step))
        {
            steps.push(step.clone());
        }
    }
    steps
}
