//! Event numbers rise by one: a page or recorder that counts would otherwise miss a change for ever.

use std::collections::BTreeMap;

use guitai_types::SessionId;

use super::{Invariant, Step, Violation};

/// Cluster events and the events of each session are numbered from 1 without gap or repeat, and what
/// a session's events said is never unsaid.
#[derive(Debug, Default)]
pub struct NumbersWithoutGap {
    last: u64,
    sessions: BTreeMap<SessionId, usize>,
}

impl Invariant for NumbersWithoutGap {
    fn name(&self) -> &'static str {
        "numbers without gap"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        for event in &step.outcome.events {
            if event.number != self.last + 1 {
                return Err(format!(
                    "event {} follows event {}",
                    event.number, self.last
                ));
            }
            self.last = event.number;
        }
        if step.state.event_number() != self.last {
            let number = step.state.event_number();
            return Err(format!(
                "the state is at event {number}, the stream at {}",
                self.last
            ));
        }
        for session in step
            .state
            .sessions_running()
            .chain(step.state.sessions_ended())
        {
            let numbers = session.events.iter().map(|event| event.number);
            if !numbers.eq(1..=session.events.len() as u64) {
                return Err(format!("the events of session {} have a gap", session.id));
            }
            let before = self
                .sessions
                .insert(session.id.clone(), session.events.len());
            if before.is_some_and(|before| before > session.events.len()) {
                return Err(format!("session {} lost an event", session.id));
            }
        }
        Ok(())
    }
}
