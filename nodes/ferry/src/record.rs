//! What a side remembers: one line of canonical JSON per act, each with the SM3 of the line before it. The
//! state of a side is what its records add up to, so one line that is on the disk is one act that happened.

use guitai_crypto::sm3;
use guitai_types::{UnixMillis, canonical};
use serde::{Deserialize, Serialize};

use crate::{
    manifest::{Ack, Item, Part, WhyFile, WhyItem},
    name::Hash,
};

/// One act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Record {
    /// An item was taken into the spool, to be sent.
    Queued {
        /// When.
        at: UnixMillis,
        /// Which.
        item: Item,
    },
    /// A bundle was made and kept.
    Made {
        /// When.
        at: UnixMillis,
        /// Its number.
        number: u64,
        /// SM3 of its statement.
        statement: Hash,
        /// SM3 of its file.
        sm3: Hash,
        /// Length of its file.
        bytes: u64,
        /// What it carries.
        parts: Vec<Part>,
        /// What it acknowledges.
        ack: Ack,
    },
    /// Bundles were put into the drop folder.
    Sent {
        /// When.
        at: UnixMillis,
        /// Which.
        numbers: Vec<u64>,
    },
    /// A bundle of the other side was taken, and all of it dealt with.
    Received {
        /// When.
        at: UnixMillis,
        /// Its number.
        number: u64,
        /// SM3 of its statement.
        statement: Hash,
        /// SM3 of its file.
        sm3: Hash,
        /// Length of its file.
        bytes: u64,
        /// What it carried.
        parts: Vec<Part>,
        /// What became of the items that ended in it.
        outcomes: Vec<Outcome>,
        /// Which of the other side's bundles it knows to be acknowledged.
        settled: u64,
        /// What it acknowledged.
        ack: Ack,
    },
    /// A bundle that was taken before came again.
    Duplicate {
        /// When.
        at: UnixMillis,
        /// Its number.
        number: u64,
    },
    /// Bundles wait for one that is missing before them.
    Waiting {
        /// When.
        at: UnixMillis,
        /// Which are there.
        numbers: Vec<u64>,
    },
    /// A file in the drop folder was no bundle that is believed.
    FileRefused {
        /// When.
        at: UnixMillis,
        /// Its name, as far as it can be shown.
        file: String,
        /// Its length.
        bytes: u64,
        /// SM3 of it; left out where it was not read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sm3: Option<Hash>,
        /// Why.
        why: WhyFile,
        /// More, for people.
        detail: String,
    },
    /// An acknowledgement came by hand.
    Answered {
        /// When.
        at: UnixMillis,
        /// What it says.
        ack: Ack,
    },
}

/// What became of an item that was received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Its number.
    pub item: u64,
    /// Why it was refused; left out when it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<WhyItem>,
    /// What the inspection found.
    pub inspection: String,
}

impl Record {
    /// When it happened, by this side's clock.
    #[must_use]
    pub const fn at(&self) -> UnixMillis {
        match self {
            Self::Queued { at, .. }
            | Self::Made { at, .. }
            | Self::Sent { at, .. }
            | Self::Received { at, .. }
            | Self::Duplicate { at, .. }
            | Self::Waiting { at, .. }
            | Self::FileRefused { at, .. }
            | Self::Answered { at, .. } => *at,
        }
    }
}

/// A line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    previous: Hash,
    record: Record,
}

/// Where a journal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct End {
    /// How many records it has.
    pub length: u64,
    /// SM3 of its last line; zeros before the first.
    pub sm3: Hash,
}

impl Default for End {
    fn default() -> Self {
        Self {
            length: 0,
            sm3: Hash([0; sm3::DIGEST_BYTES]),
        }
    }
}

/// Why a journal is not believed, or a record not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line that is no record, or does not follow the one before it.
    #[error("line {line} of the journal was altered")]
    Altered {
        /// Counts from 1.
        line: u64,
    },
    /// A record has no canonical form.
    #[error("the record has no canonical form: {0}")]
    Form(String),
}

impl End {
    /// The line of the next record, with its end, and where the journal ends after it.
    ///
    /// # Errors
    /// When the record has no canonical form.
    pub fn next(self, record: &Record) -> Result<(String, Self), JournalError> {
        let line = Line {
            seq: self.length + 1,
            previous: self.sm3,
            record: record.clone(),
        };
        let bytes = canonical::to_bytes(&line);
        let bytes = bytes.map_err(|error| JournalError::Form(error.to_string()))?;
        let end = Self {
            length: line.seq,
            sm3: Hash(sm3::hash(&bytes)),
        };
        Ok((String::from_utf8_lossy(&bytes).into_owned() + "\n", end))
    }
}

/// A journal as it was read.
#[derive(Debug, Default)]
pub struct Journal {
    /// Its records.
    pub records: Vec<Record>,
    /// Where it ends.
    pub end: End,
    /// Length in bytes of what was read: a crash may have left half a line after it.
    pub bytes: u64,
}

/// Reads a journal. A last line without its end is left out: a crash cut it.
///
/// # Errors
/// When a line was altered, dropped or moved.
pub fn read(text: &str) -> Result<Journal, JournalError> {
    let mut journal = Journal::default();
    for line in text.split_inclusive('\n') {
        let Some(bare) = line.strip_suffix('\n') else {
            break;
        };
        let number = journal.end.length + 1;
        let altered = || JournalError::Altered { line: number };
        let read: Line = canonical::from_bytes(bare.as_bytes()).map_err(|_| altered())?;
        if read.seq != number || read.previous != journal.end.sm3 {
            return Err(altered());
        }
        journal.end = End {
            length: number,
            sm3: Hash(sm3::hash(bare.as_bytes())),
        };
        journal.bytes += line.len() as u64;
        journal.records.push(read.record);
    }
    Ok(journal)
}
