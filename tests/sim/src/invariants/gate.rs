//! No business step is done while the recording does not run: it could not be proved later.

use std::collections::BTreeMap;

use guitai_types::{
    SessionId,
    command::{Command, Reply},
    problem::Code,
    record::RecordingState,
};

use super::{Invariant, Step, Violation};

/// A step is done exactly when the recording ran before it; a refused one leaves no trace.
#[derive(Debug, Default)]
pub struct NoStepUnrecorded {
    /// Of each running session: whether it is recorded, and how many steps it has.
    before: BTreeMap<SessionId, (bool, usize)>,
}

impl Invariant for NoStepUnrecorded {
    fn name(&self) -> &'static str {
        "no step unrecorded"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let now: BTreeMap<SessionId, (bool, usize)> = step
            .state
            .sessions_running()
            .map(|session| {
                let recorded = matches!(session.recording, RecordingState::Running { .. });
                let is_step = |kind: &str| kind == "step" || kind == "confirmed";
                let steps = session.events.iter().filter(|event| is_step(&event.kind));
                (session.id.clone(), (recorded, steps.count()))
            })
            .collect();
        for (session, (_, steps)) in &now {
            let (recorded, before) = self.before.get(session).copied().unwrap_or((false, 0));
            if *steps > before && !recorded {
                return Err(format!("session {session} got a step unrecorded"));
            }
        }
        if let (Command::AddStep { session, .. }, Reply::Refused { problem }) =
            (&step.proposal.command, &step.outcome.reply)
        {
            let recorded = self
                .before
                .get(session)
                .is_some_and(|(recorded, _)| *recorded);
            // A repeated request gets its first answer, which may have been given before.
            let is_fresh = !step.outcome.changed.is_empty();
            if recorded && is_fresh && problem.code == Code::NotRecording {
                return Err(format!(
                    "session {session} is recorded and its step was refused"
                ));
            }
        }
        self.before = now;
        Ok(())
    }
}
