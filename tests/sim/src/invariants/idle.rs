//! Nobody waits while an agent who could serve is ready: a forgotten match is a customer lost.

use guitai_types::record::{Presence, TicketState};

use super::{Invariant, Step, Violation};

/// No customer waits for a queue whose skills a ready agent has. Computed from the records alone, so
/// that a mistake of the core's own index shows.
#[derive(Debug)]
pub struct NobodyWaitsForNothing;

impl Invariant for NobodyWaitsForNothing {
    fn name(&self) -> &'static str {
        "nobody waits for nothing"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let state = step.state;
        let ready = state
            .desks()
            .filter(|desk| desk.presence == Presence::Ready);
        let ready: Vec<_> = ready.filter_map(|desk| state.staff(&desk.staff)).collect();
        for ticket in state
            .tickets()
            .filter(|ticket| ticket.state == TicketState::Waiting)
        {
            let institution = state.institution(&ticket.institution);
            let queue = institution.and_then(|it| it.queues.iter().find(|q| q.id == ticket.queue));
            let Some(queue) = queue else {
                return Err(format!("ticket {} is in no queue", ticket.id));
            };
            let able = ready.iter().find(|staff| {
                staff.id.institution == ticket.institution
                    && queue
                        .skills
                        .iter()
                        .all(|skill| staff.skills.contains(skill))
            });
            if let Some(staff) = able {
                return Err(format!(
                    "ticket {} waits while {} is ready",
                    ticket.id, staff.id
                ));
            }
        }
        Ok(())
    }
}
