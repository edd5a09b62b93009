//! Why a log was not opened or not read.

use std::{io, ops::Range, path::PathBuf};

use crate::sealing::OpenRecordError;

/// Why a log was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenWalError {
    /// Something that was acknowledged is no longer what was written. This node must not vote:
    /// remove it from the cluster and let it join again under a new id.
    #[error("the log is damaged: {what} in {file} at byte {offset}", file = file.display())]
    Damaged {
        /// What is wrong.
        what: &'static str,
        /// The segment.
        file: PathBuf,
        /// Where in the segment.
        offset: u64,
    },
    /// The disk refused.
    #[error("we could not {doing} the log in {path}", path = path.display())]
    Io {
        /// The act.
        doing: &'static str,
        /// The directory or file.
        path: PathBuf,
        /// The disk's words.
        #[source]
        source: io::Error,
    },
}

/// Why entries were not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadWalError {
    /// The log has no such entries (any more).
    #[error("entries {wanted:?} were asked for, the log has {have:?}")]
    Absent {
        /// What was asked for.
        wanted: Range<u64>,
        /// What there is.
        have: Range<u64>,
    },
    /// What is on the disk is not what was written.
    #[error("entry {index} is damaged in {file} at byte {offset}", file = file.display())]
    Damaged {
        /// The entry.
        index: u64,
        /// The segment.
        file: PathBuf,
        /// Where in the segment.
        offset: u64,
    },
    /// The disk refused.
    #[error("we could not read entry {index}")]
    Io {
        /// The entry.
        index: u64,
        /// The disk's words.
        #[source]
        source: io::Error,
    },
    /// The entry is whole but does not open under this node's storage key.
    #[error("entry {index} of the log")]
    Sealed {
        /// The entry.
        index: u64,
        /// Why.
        #[source]
        source: OpenRecordError,
    },
}
