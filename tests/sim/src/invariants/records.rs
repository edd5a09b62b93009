//! The records written step by step are the state: a node that restarts from its view continues
//! where it was.

use std::collections::BTreeMap;

use guitai_meta_core::State;
use guitai_types::command::Proposal;

use super::{Invariant, Step, Violation};

/// A key-value view that got only the changed records, loaded again, is the state, its index
/// included.
#[derive(Debug, Default)]
pub struct RecordsAreState {
    view: BTreeMap<String, Vec<u8>>,
}

impl Invariant for RecordsAreState {
    fn name(&self) -> &'static str {
        "records are state"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        for key in &step.outcome.changed {
            match step.state.record(key) {
                Some(record) => self.view.insert(key.to_string(), record),
                None => self.view.remove(&key.to_string()),
            };
        }
        Ok(())
    }

    fn finish(&mut self, _log: &[Proposal], state: &State) -> Result<(), Violation> {
        let loaded = State::load(&self.view).map_err(|error| format!("{error}"))?;
        if &loaded == state {
            return Ok(());
        }
        let differs = |key: &String| {
            let key = guitai_meta_core::RecordKey::parse(key);
            key.is_none_or(|key| state.record(&key) != loaded.record(&key))
        };
        let stale: Vec<_> = self.view.keys().filter(|key| differs(key)).collect();
        Err(format!(
            "the view loads to another state; stale or too much: {stale:?}"
        ))
    }
}
