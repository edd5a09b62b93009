//! No ticket is served twice: a customer would be in two calls, with two recordings of one business.

use std::collections::BTreeMap;

use guitai_types::{SessionId, TicketId, event::Change, record::TicketState};

use super::{Invariant, Step, Violation};

/// A ticket leads to one session at most, rings at one desk at most, and never lives again.
#[derive(Debug, Default)]
pub struct ServedOnce {
    served: BTreeMap<TicketId, SessionId>,
}

impl Invariant for ServedOnce {
    fn name(&self) -> &'static str {
        "served once"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        for event in &step.outcome.events {
            let Change::SessionStarted { session, .. } = &event.change else {
                continue;
            };
            let Some(started) = step.state.session(session) else {
                return Err(format!("session {session} started and is not there"));
            };
            let ticket = started.ticket.clone();
            if let Some(other) = self.served.insert(ticket.clone(), session.clone()) {
                return Err(format!(
                    "ticket {ticket} is served in {other} and in {session}"
                ));
            }
        }
        for ticket in step.state.tickets() {
            let rings = step
                .state
                .reservations()
                .filter(|it| it.ticket == ticket.id)
                .count();
            let calls = step
                .state
                .sessions_running()
                .filter(|it| it.ticket == ticket.id)
                .count();
            let expected = match ticket.state {
                TicketState::Waiting | TicketState::Ended { .. } => (0, 0),
                TicketState::Ringing { .. } => (1, 0),
                TicketState::InSession { .. } => (0, 1),
            };
            if (rings, calls) != expected {
                let id = &ticket.id;
                return Err(format!(
                    "ticket {id} has {rings} reservations and {calls} sessions"
                ));
            }
        }
        Ok(())
    }
}
