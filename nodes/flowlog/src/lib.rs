//! The flow log: what nodes saw of their connections, kept by the minute.
//!
//! In the way of the data: a node closes its account each minute ([`closing`]); the leader asks all nodes and puts
//! their minutes into one [`book`]; every inner node keeps it ([`shelf`]) before its root is agreed on, and fetches
//! those it lacks ([`keeper`]); whoever asks for a stretch of time gets a sum ([`sum`]).
//!
//! Who saw what when is decided without I/O in `closing`, `book` and `sum`; `keeper` acts.

mod book;
#[cfg(test)]
mod book_tests;
mod closing;
mod keeper;
mod shelf;
mod sum;

pub use book::BookError;
pub use closing::Closing;
pub use keeper::{Deps, FlowLog, FlowLogError, MinutesSource, Stretch, register_minutes};
