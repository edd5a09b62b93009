//! The core's clock never goes back, whatever the nodes' clocks do: waiting times would turn negative.

use guitai_types::UnixMillis;

use super::{Invariant, Step, Violation};

/// The clock is the greatest time any new proposal carried.
#[derive(Debug, Default)]
pub struct ClockNeverBack {
    last: UnixMillis,
}

impl Invariant for ClockNeverBack {
    fn name(&self) -> &'static str {
        "clock never back"
    }

    fn see(&mut self, step: Step<'_>) -> Result<(), Violation> {
        let now = step.state.clock();
        if now != self.last && now != self.last.max(step.proposal.at) {
            return Err(format!(
                "{now} follows {} by {}",
                self.last, step.proposal.at
            ));
        }
        self.last = now;
        Ok(())
    }
}
