//! The decisions of the cluster: a proposal goes in, a reply, numbered events and the keys of the
//! changed records come out. No I/O, no clock, no chance, no async: time and random ids arrive in
//! the proposal, every table is ordered, so the same log gives the same bytes on every node.

mod outcome;
mod record;
mod state;
mod view;

pub use outcome::Outcome;
pub use record::{LoadError, RecordKey};
pub use state::State;
