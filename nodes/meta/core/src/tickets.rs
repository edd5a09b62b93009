//! A customer's way: enter a queue, stay alive, leave, rate.

use std::collections::BTreeMap;

use guitai_types::{
    NodeName, Problem, Role, TicketId,
    command::{Command, Reply},
    event::Change,
    limits::{QUEUE_TICKETS_MAX, SESSION_EVENTS_MAX},
    problem::Code,
    record::{EndReason, Presence, Ticket, TicketState},
};

use crate::{
    apply::Turn,
    check,
    limits::{SYSTEM_EVENTS_RESERVED, TICKETS_ENDED_KEPT, TOUCH_MS_MIN},
};

impl Turn<'_> {
    pub(crate) fn open_ticket(&mut self, command: &Command) -> Result<Reply, Problem> {
        let Command::OpenTicket {
            ticket,
            institution,
            queue,
            edge,
            customer,
            consent,
            media_key,
        } = command
        else {
            return Err(check::bad("not an opening"));
        };
        if !consent.recording {
            let detail = "the customer did not agree to being recorded";
            return Err(Problem::new(Code::NoConsent, detail));
        }
        check::name("customer", customer)?;
        check::word("version of the consent's wording", &consent.wording)?;
        check::point("media key", media_key)?;
        let lines = self.state.index.lines.get(institution);
        let lines = lines.ok_or_else(|| check::missing("institution"))?;
        let line = lines.get(queue).ok_or_else(|| check::missing("queue"))?;
        let waiting = line.waiting.len();
        check::room(
            "tickets in the queue",
            waiting,
            "QUEUE_TICKETS_MAX",
            QUEUE_TICKETS_MAX,
        )?;
        self.state
            .member(edge)
            .ok_or_else(|| check::missing("edge"))?;
        if self.state.tickets.contains_key(ticket) {
            return Err(check::wrong("a ticket with that id is there"));
        }
        self.state.head.serial += 1;
        let serial = self.state.head.serial;
        self.put_ticket(Ticket {
            id: ticket.clone(),
            institution: institution.clone(),
            queue: queue.clone(),
            edge: edge.clone(),
            customer: customer.clone(),
            consent: consent.clone(),
            media_key: media_key.clone(),
            serial,
            opened_at: self.now,
            seen_at: self.now,
            state: TicketState::Waiting,
        });
        Ok(Reply::Ticket { serial })
    }

    pub(crate) fn touch_ticket(&mut self, id: &TicketId) -> Result<Reply, Problem> {
        let mut ticket = self.ticket(id)?;
        let over = matches!(ticket.state, TicketState::Ended { .. });
        if !over && self.now.since(ticket.seen_at) >= TOUCH_MS_MIN {
            ticket.seen_at = self.now;
            self.keep_ticket(ticket);
        }
        Ok(Reply::Done)
    }

    /// The customer's page goes on through another edge, because its own is gone. Where it is by now is
    /// told to those who show it, and in a call it is an event.
    pub(crate) fn move_ticket(&mut self, id: &TicketId, edge: &NodeName) -> Result<Reply, Problem> {
        let mut ticket = self.ticket(id)?;
        let is_edge = |member: &guitai_types::Member| member.has(Role::Edge);
        if !self.state.member(edge).is_some_and(is_edge) {
            return Err(check::missing("edge"));
        }
        let over = matches!(ticket.state, TicketState::Ended { .. });
        if over || ticket.edge == *edge {
            return self.touch_ticket(id);
        }
        let details = BTreeMap::from([
            ("from".to_owned(), ticket.edge.to_string()),
            ("to".to_owned(), edge.to_string()),
        ]);
        ticket.edge = edge.clone();
        ticket.seen_at = self.now;
        let session = match &ticket.state {
            TicketState::InSession { session } => self.state.sessions.get(session).cloned(),
            _ => None,
        };
        let institution = ticket.institution.clone();
        self.keep_ticket(ticket);
        let Some(mut session) = session else {
            self.emit(Some(&institution), Change::Ticket { ticket: id.clone() });
            return Ok(Reply::Done);
        };
        session.edge = edge.clone();
        // A page that moves for ever must not make a session without bound; that it moved still counts.
        if session.events.len() < SESSION_EVENTS_MAX - SYSTEM_EVENTS_RESERVED {
            self.note(&mut session, "system", "moved", details);
        }
        self.put_session(session);
        Ok(Reply::Done)
    }

    /// The customer leaves wherever the ticket is by now; leaving twice is no fault.
    pub(crate) fn close_ticket(
        &mut self,
        id: &TicketId,
        reason: EndReason,
    ) -> Result<Reply, Problem> {
        let ticket = self.ticket(id)?;
        let away = match reason {
            EndReason::CustomerLeft | EndReason::CustomerHungUp => false,
            EndReason::CustomerAway => true,
            _ => return Err(check::bad("that is no reason of a customer")),
        };
        self.leave(ticket, away);
        Ok(Reply::Done)
    }

    /// Ends a ticket on the customer's side. The reason fits where the ticket is, not where the
    /// customer's page believed it to be.
    pub(crate) fn leave(&mut self, ticket: Ticket, away: bool) {
        let left = if away {
            EndReason::CustomerAway
        } else {
            EndReason::CustomerLeft
        };
        let hung_up = if away {
            EndReason::CustomerAway
        } else {
            EndReason::CustomerHungUp
        };
        match ticket.state.clone() {
            TicketState::Ended { .. } => {}
            TicketState::Waiting => self.end_ticket(ticket, left),
            TicketState::Ringing { reservation } => {
                if let Some(reservation) = self.state.reservations.get(&reservation).cloned() {
                    self.release(&reservation, Presence::Ready);
                }
                self.end_ticket(ticket, left);
            }
            TicketState::InSession { session } => {
                if let Some(session) = self.state.sessions.get(&session).cloned() {
                    self.end_session(session, "customer", hung_up);
                }
            }
        }
    }

    fn end_ticket(&mut self, mut ticket: Ticket, reason: EndReason) {
        ticket.seen_at = self.now;
        ticket.state = TicketState::Ended {
            reason,
            session: None,
        };
        self.put_ticket(ticket);
        self.trim_tickets();
    }

    /// Keeps the memory of ended tickets bounded.
    pub(crate) fn trim_tickets(&mut self) {
        while self.state.index.tickets_ended.len() > TICKETS_ENDED_KEPT {
            let Some((_, oldest)) = self.state.index.tickets_ended.first().cloned() else {
                break;
            };
            self.forget_ticket(&oldest);
        }
    }

    pub(crate) fn rate(
        &mut self,
        id: &TicketId,
        stars: u8,
        comment: &str,
    ) -> Result<Reply, Problem> {
        let ticket = self.ticket(id)?;
        if !(1..=5).contains(&stars) {
            return Err(check::bad(format!("{stars} stars; 1 to 5 may be given")));
        }
        check::note("comment", comment)?;
        let TicketState::Ended {
            session: Some(session),
            ..
        } = ticket.state
        else {
            return Err(check::wrong("only an ended call can be rated"));
        };
        let session = self.state.sessions.get(&session).cloned();
        let mut session = session.ok_or_else(|| check::missing("session"))?;
        if session.stars.is_some() {
            return Err(check::wrong("the call was rated before"));
        }
        session.stars = Some(stars);
        let mut details = BTreeMap::from([("stars".to_owned(), stars.to_string())]);
        if !comment.is_empty() {
            details.insert("comment".to_owned(), comment.to_owned());
        }
        self.note(&mut session, "customer", "rated", details);
        let institution = session.institution.clone();
        self.emit(
            Some(&institution),
            Change::Session {
                session: session.id.clone(),
            },
        );
        self.emit(Some(&institution), Change::Ticket { ticket: id.clone() });
        self.keep_session(session);
        Ok(Reply::Done)
    }

    fn ticket(&self, id: &TicketId) -> Result<Ticket, Problem> {
        let ticket = self.state.tickets.get(id).cloned();
        ticket.ok_or_else(|| check::missing("ticket"))
    }
}
