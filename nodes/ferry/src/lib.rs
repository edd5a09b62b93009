//! The ferry: what passes a one-way file gap (网闸) between two sides that are never connected at once.
//!
//! Each side numbers, chains and signs its *bundles*, files in a drop folder; each bundle says what was taken
//! of the other side's. Read in this order: [`limits`], [`name`] and [`manifest`] (what is stated), [`bundle`]
//! (how it lies in one file), [`record`] (what a side remembers), [`Side`] (what is sent next and again, what is
//! taken, what is refused), [`inspect`] (what a report may hold), [`report`] (what passed).
//! No file, no clock, no network: bytes in, bytes out. Whoever has the folders, `guitai ferry`, drives it.
//! The format is described for other implementers in `docs/reference/ferry-bundle.md`.

pub mod bundle;
pub mod inspect;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod record;
pub mod report;
mod side;

#[cfg(test)]
mod tests;

pub use side::{
    Incoming, Item as SentItem, Judged, Kept, MakeError, Outgoing, Outstanding, Plan, Shelf, Side,
    Spool, Terms,
};
