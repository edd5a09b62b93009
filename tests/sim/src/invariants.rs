//! What must hold after every step, and at the end of every world. One file per invariant; each says
//! what it would mean for a bank if it were broken.

mod agents;
mod clock;
mod exactly_once;
mod gate;
mod idle;
mod keys;
mod numbers;
mod order;
mod records;
mod replay;
mod snapshot;
mod tickets;
mod turns;

use guitai_meta_core::{Outcome, State};
use guitai_types::command::Proposal;

pub use self::{
    agents::OneCallPerAgent, clock::ClockNeverBack, exactly_once::ExactlyOnce,
    gate::NoStepUnrecorded, idle::NobodyWaitsForNothing, keys::OnlyMembersHoldTheKey,
    numbers::NumbersWithoutGap, order::QueueOrder, records::RecordsAreState, replay::ReplayIsEqual,
    snapshot::SnapshotIsEqual, tickets::ServedOnce, turns::OverIsOver,
};

/// What is wrong, for the person who reads the failing seed.
pub type Violation = String;

/// One step of a world: what was proposed, what came out, and the state after it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What was proposed.
    pub proposal: &'a Proposal,
    /// What came out.
    pub outcome: &'a Outcome,
    /// The state after it.
    pub state: &'a State,
}

/// Something that must hold.
pub trait Invariant {
    /// Its name, as the failing seed prints it.
    fn name(&self) -> &'static str;

    /// Looks at one step; may remember what it saw.
    fn see(&mut self, step: Step<'_>) -> Result<(), Violation>;

    /// Looks at the whole log and the state it led to.
    fn finish(&mut self, log: &[Proposal], state: &State) -> Result<(), Violation> {
        let _unused = (log, state);
        Ok(())
    }
}

/// All of them, fresh.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(OneCallPerAgent),
        Box::new(ServedOnce::default()),
        Box::new(QueueOrder::default()),
        Box::new(NobodyWaitsForNothing),
        Box::new(NoStepUnrecorded::default()),
        Box::new(OnlyMembersHoldTheKey::default()),
        Box::new(OverIsOver::default()),
        Box::new(NumbersWithoutGap::default()),
        Box::new(ClockNeverBack::default()),
        Box::new(ExactlyOnce::default()),
        Box::new(RecordsAreState::default()),
        Box::new(ReplayIsEqual),
        Box::new(SnapshotIsEqual),
    ]
}
