//! A snapshot and the rest of the log are the whole log: a node that was away catches up to the same
//! state.

use guitai_meta_core::State;
use guitai_types::command::Proposal;

use super::{Invariant, Step, Violation};

/// For cuts all along the log: state at the cut → bytes → state, plus the tail, equals the full run.
#[derive(Debug)]
pub struct SnapshotIsEqual;

/// Cuts tried in each world.
const CUTS: usize = 3;

impl Invariant for SnapshotIsEqual {
    fn name(&self) -> &'static str {
        "snapshot is equal"
    }

    fn see(&mut self, _step: Step<'_>) -> Result<(), Violation> {
        Ok(())
    }

    fn finish(&mut self, log: &[Proposal], state: &State) -> Result<(), Violation> {
        let mut running = State::default();
        let cuts: Vec<usize> = (1..=CUTS).map(|cut| log.len() * cut / (CUTS + 1)).collect();
        for (at, proposal) in log.iter().enumerate() {
            if cuts.contains(&at) {
                let bytes = running.to_snapshot();
                let loaded = State::from_snapshot(&bytes);
                running = loaded.map_err(|error| format!("snapshot at {at}: {error}"))?;
            }
            running.apply(proposal);
        }
        if &running == state {
            return Ok(());
        }
        Err(format!(
            "with snapshots at {cuts:?} the log gives another state"
        ))
    }
}
