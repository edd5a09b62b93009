//! What applying a proposal gives.

use guitai_types::{command::Reply, event::Event};

use crate::{RecordKey, tlog::Full};

/// What [`crate::State::apply`] gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer to the proposer.
    pub reply: Reply,
    /// New events, in order; numbers continue those of earlier outcomes without a gap.
    pub events: Vec<Event>,
    /// Keys of records that were written or removed, each once, in order. What a key holds now, or
    /// that it holds nothing any more, says [`crate::State::record`].
    pub changed: Vec<RecordKey>,
    /// Parts of the transparency log that became full: the state forgets them, the driver must not.
    pub full: Vec<Full>,
}
