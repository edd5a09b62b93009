//! The flow matrix of the data buffer area: what may cross between zones, opened by whom, and what follows
//! from it. A matrix is data, whole and numbered; everything here decides and nothing acts: no I/O, no clock,
//! and the day is an argument.
//!
//! * [`Matrix::parse`] reads a file and names every fault by line, row and field; [`Matrix::render`] writes one.
//! * [`Matrix::canonical`] is what is signed and agreed on (RFC 8785), [`Matrix::digest`] its SM3;
//!   [`Matrix::from_canonical`] takes it back from whoever agreed on it, by the same rules.
//! * [`Matrix::admit_listener`] and [`Matrix::admit_dial`] answer whoever is about to bind or to dial, with the
//!   row that allows it: the name to count and to log what flows under.
//! * [`Row::messages`], [`Row::limits`] and [`Row::data`] are what a guard asks of the row that it was
//!   admitted by; names of messages are those of [`messages`].
//! * [`Diff`] says in both languages what one version allows that another did not, which is what officers sign.
//! * [`check()`] finds what has expired and where a deployment ([`deployment`]) does what no row allows.
//! * [`firewall::firewall`] makes rules for a host, [`probe::probes`] lists what is tried from it, [`Matrix::reach`] says what a taken-over role has in
//!   its hands, [`picture::svg`] draws it.
//!
//! The format is in `docs/reference/flow-matrix.md`, the reasons in decision 0050.

pub mod addresses;
mod admit;
mod breaks;
mod check;
pub mod deployment;
mod diff;
mod fault;
pub mod firewall;
pub mod limits;
mod matrix;
pub mod messages;
mod names;

pub mod picture;
pub mod probe;
mod reach;
mod read;
mod render;
mod rules;

pub use admit::{Refusal, Standing, Verdict, standing};
pub use breaks::Break;
pub use check::{Finding, check};
pub use diff::{Diff, Effect, Head, RowChange, Sentence};
pub use fault::{Fault, ParseError, Why};
pub use matrix::{FORMAT, Limits, Matrix, RoleEntry, Row, RowId, RowIdError, SHIPPED, ZoneEntry};
pub use names::{
    DataClass, End, Port, PortError, PortName, Protocol, Role, Side, Transport, UnknownWord, Ways,
    Word,
};
pub use reach::{Cannot, Reach, Touch};

#[cfg(test)]
mod tests;
