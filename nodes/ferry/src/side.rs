//! One side of the gap: what it sends next and again, what it takes, what it refuses.
//!
//! [`Side`] is the sum of its records and changes by [`Side::apply`] alone. Everything else here only says what
//! should happen next, as a record that is applied once it is on the disk.

mod incoming;
mod outgoing;

use guitai_types::{FerryId, SideName, UnixMillis};
use serde::{Deserialize, Serialize};

pub use incoming::{Incoming, Judged, Kept, Shelf};
pub use outgoing::{Item, MakeError, Outgoing, Outstanding, Plan, Spool};

use crate::{
    limits::{
        AGAIN_MS_DEFAULT, CONTENT_BYTES_DEFAULT, CONTENT_BYTES_MAX, ITEM_BYTES_MAX,
        OUTSTANDING_DEFAULT, OUTSTANDING_MAX,
    },
    record::Record,
};

/// What a side was told when it was set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Which gap.
    pub ferry: FerryId,
    /// This side.
    pub me: SideName,
    /// The other.
    pub peer: SideName,
    /// Most bytes of content in a bundle that is made here.
    pub content_bytes: u64,
    /// Most bundles with content that may be unacknowledged.
    pub outstanding: u64,
    /// Largest item that is taken, in bytes.
    pub item_bytes: u64,
    /// Milliseconds after which an unacknowledged bundle is sent again; 0 for never.
    pub again_ms: u64,
}

impl Terms {
    /// The usual limits.
    #[must_use]
    pub const fn new(ferry: FerryId, me: SideName, peer: SideName) -> Self {
        Self {
            ferry,
            me,
            peer,
            content_bytes: CONTENT_BYTES_DEFAULT,
            outstanding: OUTSTANDING_DEFAULT,
            item_bytes: ITEM_BYTES_MAX,
            again_ms: AGAIN_MS_DEFAULT,
        }
    }

    /// Whether every limit is within that of the format, and the sides are two.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.me != self.peer
            && (1..=CONTENT_BYTES_MAX).contains(&self.content_bytes)
            && (1..=OUTSTANDING_MAX).contains(&self.outstanding)
            && self.item_bytes <= ITEM_BYTES_MAX
    }
}

/// One side of the gap.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it was told.
    pub terms: Terms,
    /// What it sends.
    pub out: Outgoing,
    /// What it takes.
    pub into: Incoming,
}

impl Side {
    /// A side that has done nothing yet.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self {
            terms,
            out: Outgoing::default(),
            into: Incoming::default(),
        }
    }

    /// The side that these records add up to.
    #[must_use]
    pub fn of(terms: Terms, records: &[Record]) -> Self {
        let mut side = Self::new(terms);
        records.iter().for_each(|record| side.apply(record));
        side
    }

    /// Takes over what happened.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Queued { item, .. } => self.out.queue(item),
            Record::Made {
                at,
                number,
                statement,
                bytes,
                parts,
                ack,
                ..
            } => {
                self.out.made_one(*at, *number, *statement, *bytes, parts);
                self.into.told(ack);
            }
            Record::Sent { at, numbers } => self.out.put(*at, numbers),
            Record::Received {
                number,
                statement,
                parts,
                outcomes,
                settled,
                ack,
                ..
            } => {
                self.into.took(*number, *statement, parts, outcomes);
                self.into.heard(*settled);
                self.acknowledged(ack);
            }
            Record::Duplicate { .. } => self.out.echo = true,
            Record::Waiting { numbers, .. } => {
                self.into.waiting = numbers.iter().copied().collect();
            }
            Record::FileRefused { file, sm3, why, .. } => self.into.refused_file(file, *sm3, *why),
            Record::Answered { ack, .. } => self.acknowledged(ack),
        }
    }

    fn acknowledged(&mut self, ack: &crate::manifest::Ack) {
        self.out.acknowledged(ack);
        self.into.asked(ack);
    }

    /// Which of the bundles that were made go into the drop folder now: those never put there, those that the
    /// other side misses, those that waited too long, and, where the other side sent something again, the
    /// acknowledgements that it seems not to have. With `every`, all that are unacknowledged.
    #[must_use]
    pub fn again(&self, now: UnixMillis, every: bool) -> Vec<u64> {
        self.out.again(now, every, self.terms.again_ms)
    }
}
