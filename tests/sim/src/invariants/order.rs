//! The order of a queue is kept: nobody is served before one who came earlier to the same queue,
//! whatever rejections, timeouts and restarts lie between.

use std::collections::BTreeSet;

use guitai_types::{ReservationId, record::TicketState};

use super::{Invariant, Step, Violation};

/// When an agent is reserved, nobody with a lower serial still waits in the same queue; and of the
/// agents that could serve it, none has been idle longer.
#[derive(Debug, Default)]
pub struct QueueOrder {
    seen: BTreeSet<ReservationId>,
}

impl Invariant for QueueOrder {
    fn name(&self) -> &'static str {
        "queue order"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let fresh = step
            .state
            .reservations()
            .filter(|it| !self.seen.contains(&it.id));
        for reservation in fresh {
            let Some(served) = step.state.ticket(&reservation.ticket) else {
                return Err(format!("reservation {} is for no ticket", reservation.id));
            };
            let overtaken = step.state.tickets().find(|ticket| {
                ticket.state == TicketState::Waiting
                    && (&ticket.institution, &ticket.queue) == (&served.institution, &served.queue)
                    && ticket.serial < served.serial
            });
            if let Some(ticket) = overtaken {
                return Err(format!("{} overtook {}", served.serial, ticket.serial));
            }
        }
        self.seen = step.state.reservations().map(|it| it.id.clone()).collect();
        Ok(())
    }
}
