//! The same log gives the same bytes: nodes that applied the same entries are the same.

use guitai_meta_core::State;
use guitai_types::command::Proposal;

use super::{Invariant, Step, Violation};

/// Applying the whole log again gives equal bytes.
#[derive(Debug)]
pub struct ReplayIsEqual;

impl Invariant for ReplayIsEqual {
    fn name(&self) -> &'static str {
        "replay is equal"
    }

    fn see(&mut self, _step: Step<'_>) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, log: &[Proposal], state: &State) -> Result<(), Violation> {
        let mut again = State::default();
        for proposal in log {
            again.apply(proposal);
        }
        if again.to_snapshot() == state.to_snapshot() && &again == state {
            return Ok(());
        }
        Err("the log applied again gives another state".to_owned())
    }
}
