//! A retried request does nothing twice: a customer would hold two places in the queue.

use std::collections::BTreeMap;

use guitai_types::{
    RequestId,
    command::{Command, Reply},
};

use super::{Invariant, Step, Violation};

/// The second time a request comes, it gets the first answer and changes nothing.
#[derive(Debug, Default)]
pub struct ExactlyOnce {
    answers: BTreeMap<RequestId, Reply>,
}

impl Invariant for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly once"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        // These are harmless when repeated and are not remembered.
        if let Command::TouchTicket { .. } | Command::Tick = step.proposal.command {
            return Ok(());
        }
        let request = &step.proposal.request;
        let Some(first) = self.answers.get(request) else {
            self.answers
                .insert(request.clone(), step.outcome.reply.clone());
            return Ok(());
        };
        if first != &step.outcome.reply {
            return Err(format!("request {request} got two different answers"));
        }
        if step.outcome.events.is_empty() && step.outcome.changed.is_empty() {
            return Ok(());
        }
        Err(format!(
            "request {request} did something when it came again"
        ))
    }
}
