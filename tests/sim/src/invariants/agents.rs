//! No agent is in two sessions or reservations: two customers would hear each other's business.

use std::collections::BTreeMap;

use guitai_types::record::Presence;

use super::{Invariant, Step, Violation};

/// No agent is in two sessions or reservations, and every desk says the same as they do.
#[derive(Debug)]
pub struct OneCallPerAgent;

impl Invariant for OneCallPerAgent {
    fn name(&self) -> &'static str {
        "one call per agent"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let state = step.state;
        let mut taken = BTreeMap::new();
        let rings = state
            .reservations()
            .map(|it| (&it.staff, it.id.to_string()));
        let calls = state
            .sessions_running()
            .map(|it| (&it.agent, it.id.to_string()));
        for (staff, what) in rings.chain(calls) {
            if let Some(other) = taken.insert(staff, what.clone()) {
                return Err(format!("{staff} is in {other} and in {what}"));
            }
        }
        for desk in state.desks() {
            let rings = desk.reservation.as_ref().map(ToString::to_string);
            let calls = desk.session.as_ref().map(ToString::to_string);
            let says = match desk.presence {
                Presence::Ringing => rings.clone().filter(|_| calls.is_none()),
                Presence::Busy => calls.clone().filter(|_| rings.is_none()),
                _ => rings.or(calls),
            };
            if says != taken.remove(&desk.staff) {
                return Err(format!(
                    "the desk of {} does not say what it is in",
                    desk.staff
                ));
            }
        }
        match taken.first_key_value() {
            Some((staff, what)) => Err(format!("{staff} is in {what} without a desk")),
            None => Ok(()),
        }
    }
}
