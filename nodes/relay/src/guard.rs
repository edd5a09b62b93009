//! The guard between the DMZ and the inner zone.
//!
//! Nothing crosses as bytes: each control message is decoded into its type, checked, and made anew
//! from the type, on both ends of the tunnel. The core distrusts the edge; the edge lets out to the
//! customer only what fits the question. Which kinds may cross, how long and how often, the flow matrix in force says
//! ([`Rows`]), on both ends. What is refused is counted by direction, kind and verdict;
//! [`guitai_types::limits::REFUSALS_MAX`] refusals of what no honest peer sends close a tunnel.
//!
//! The tunnel is dialled from inside: [`Tunnels`] on a core node dials every edge, [`Guard`] on an
//! edge picks one of the tunnels for each question.

mod check;
mod count;
mod edge;
mod inside;
mod message;
pub mod parts;
mod pieces;
mod refusal;
mod rows;
pub mod schema;
mod tunnel;
mod watch;

pub use check::{check, check_answer, check_file, check_order, check_said};
pub use count::{Count, Counts, Direction};
pub use edge::{AskError, Guard, OrderSink};
pub use inside::{Core, Tunnels, ViewStream};
pub use refusal::{Refusal, Verdict};
pub use rows::{AnyKind, Rows, TICKET_PER_SECOND};
pub use schema::{MESSAGE_BYTES_MAX, SCHEMAS};
pub use watch::Watch;

use guitai_types::limits::REFUSALS_MAX;

/// Closing code of a tunnel: too many refusals.
const CODE_REFUSED: u32 = 4;
/// Closing code of a tunnel: the peer's epoch is over.
const CODE_OLD_EPOCH: u32 = 5;
/// Closing code of a tunnel: a newer tunnel from the same node took its place.
const CODE_REPLACED: u32 = 6;

/// Questions under way at once on one edge.
const ASKS_MAX: usize = 1_024;
/// Watched tickets on one edge.
const WATCHES_MAX: usize = 7_000;
/// Streams an edge may open on one tunnel: every question and every watched ticket of the edge,
/// should this be the only tunnel left.
const TUNNEL_STREAMS_MAX: u32 = 8_192;

const _: () = assert!(ASKS_MAX + WATCHES_MAX < TUNNEL_STREAMS_MAX as usize);
const _: () = assert!(REFUSALS_MAX > 0);

#[cfg(test)]
mod tests;
