//! The installer: a plan before any change, an undo after it.
//!
//! [`plan`] is a pure function of what is to be installed and what is there; it returns [`Step`]s that
//! an operator can read. [`apply()`] carries them out one by one and writes a journal first, so that a
//! half-done installation can be undone as well as a whole one by [`undo()`].

mod apply;
mod journal;
mod plan;
mod step;

pub use apply::{ApplyError, apply, undo};
pub use journal::{JOURNAL, JournalError};
pub use plan::{Facts, PlanError, Wanted, plan};
pub use step::{Action, Step};
