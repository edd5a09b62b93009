//! Who records a call is known at every moment, a call counts as recorded only while somebody records
//! it, and a node whose turn is over has no word any more: otherwise a recorder that comes back from a
//! partition could declare a call recorded that nobody records.

use std::collections::BTreeMap;

use guitai_meta_core::State;
use guitai_types::{
    SessionId,
    record::{Assignment, RecordingState, Session},
};

use super::{Invariant, Step, Violation};

/// Turns are numbered, one a node at a time, and over is over.
#[derive(Debug, Default)]
pub struct OverIsOver {
    /// Of each session the turns that were over.
    over: BTreeMap<SessionId, Vec<Assignment>>,
}

impl Invariant for OverIsOver {
    fn name(&self) -> &'static str {
        "a recorder's turn that is over is over"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        for session in sessions(step.state) {
            turns_hold(session).map_err(|what| format!("session {}: {what}", session.id))?;
            let before = self.over.entry(session.id.clone()).or_default();
            for (turn, was) in session.assignments.iter().zip(before.iter()) {
                let sealed = matches!(turn.recording, RecordingState::Sealed { .. });
                let same = Assignment {
                    recording: was.recording.clone(),
                    ..turn.clone()
                };
                if same != *was || was.recording != turn.recording && !sealed {
                    let (id, number) = (&session.id, turn.number);
                    return Err(format!("session {id}: turn {number} goes on after its end"));
                }
            }
            // Turns end in any order; those before the first that is not over are compared.
            let ended = session
                .assignments
                .iter()
                .take_while(|it| it.until.is_some());
            *before = ended.cloned().collect();
        }
        let state = step.state;
        self.over.retain(|id, _| state.session(id).is_some());
        Ok(())
    }
}

fn sessions(state: &State) -> impl Iterator<Item = &Session> {
    state.sessions_running().chain(state.sessions_ended())
}

fn turns_hold(session: &Session) -> Result<(), Violation> {
    let turns = &session.assignments;
    if !turns
        .iter()
        .zip(1..)
        .all(|(turn, number)| turn.number == number)
    {
        return Err("its turns are not numbered from 1".to_owned());
    }
    if !turns.is_sorted_by_key(|turn| (turn.epoch, turn.since)) {
        return Err("a later turn is of an earlier epoch or time".to_owned());
    }
    let open: Vec<_> = turns.iter().filter(|turn| turn.until.is_none()).collect();
    let nodes: Vec<_> = open.iter().map(|turn| turn.node.clone()).collect();
    if nodes != session.recorders || nodes.is_empty() {
        return Err(format!("{:?} record, {nodes:?} should", session.recorders));
    }
    if nodes.len() > usize::from(session.recorders_wanted.max(1)) {
        return Err(format!("{} nodes record", nodes.len()));
    }
    let runs = |state: &RecordingState| matches!(state, RecordingState::Running { .. });
    let recorded = open.iter().any(|turn| runs(&turn.recording));
    if session.ended_at.is_none() && runs(&session.recording) != recorded {
        return Err("it counts as recorded otherwise than somebody records it".to_owned());
    }
    Ok(())
}
