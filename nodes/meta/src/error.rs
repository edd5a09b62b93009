//! What can go wrong, one enum per operation.

use std::io;

use guitai_store::OpenWalError;
use guitai_types::{Problem, limits::COMMAND_BYTES_MAX, problem::Code};

/// Why a node cannot take part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The bounds of the timing contradict each other.
    #[error("the timing is wrong: {0}")]
    Timing(String),
    /// The log cannot be opened. A damaged one means that this node must not vote any more.
    #[error("the raft log was not opened")]
    Wal(#[from] OpenWalError),
    /// Which lineage counts cannot be read or written.
    #[error("the lineage was not settled")]
    Lineage(#[source] io::Error),
    /// What this node's witness has seen cannot be read: it must not sign as if it had seen nothing.
    #[error("what the witness of the transparency log saw was not read")]
    Witness(#[source] io::Error),
    /// The log cannot be read.
    #[error("the raft log was not read")]
    Log(#[source] io::Error),
    /// The snapshot cannot be read or written.
    #[error("the snapshot was not loaded")]
    Snapshot(#[source] io::Error),
    /// What log and snapshot say together makes no sense.
    #[error("consensus did not start: {0}")]
    Raft(String),
}

/// Why a write gave no reply. A refusal by the core is no error: it is a reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// No leader took it in time. It may still have been done: the caller must look before retrying
    /// with another request.
    #[error("no leader answered request {request} within {waited_ms} ms")]
    NoLeader {
        /// The request.
        request: guitai_types::RequestId,
        /// How long was waited.
        waited_ms: u64,
    },
    /// Larger than a log entry may be.
    #[error("the command has {bytes} bytes, the limit COMMAND_BYTES_MAX is {COMMAND_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// This node was left behind on an old lineage.
    #[error("this node is in quarantine: epoch {heard} exists", heard = .heard.0)]
    Quarantined {
        /// The epoch it heard of.
        heard: guitai_types::Epoch,
    },
    /// This node is shutting down, or its storage failed.
    #[error("consensus has stopped on this node: {0}")]
    Stopped(String),
}

impl WriteError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::NoLeader { .. } => Code::NoLeader,
            Self::Quarantined { .. } => Code::Quarantined,
            Self::TooLarge { .. } => Code::TooLarge,
            Self::Stopped(_) => Code::Internal,
        };
        Problem::new(code, self.to_string())
    }
}

/// Why a linearizable read is not possible now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader confirmed the read in time.
    #[error("no leader confirmed the read within {waited_ms} ms")]
    NoLeader {
        /// How long was waited.
        waited_ms: u64,
    },
    /// This node was left behind on an old lineage.
    #[error("this node is in quarantine: epoch {heard} exists", heard = .heard.0)]
    Quarantined {
        /// The epoch it heard of.
        heard: guitai_types::Epoch,
    },
    /// This node is shutting down, or its storage failed.
    #[error("consensus has stopped on this node: {0}")]
    Stopped(String),
}

impl ReadError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::NoLeader { .. } => Code::NoLeader,
            Self::Quarantined { .. } => Code::Quarantined,
            Self::Stopped(_) => Code::Internal,
        };
        Problem::new(code, self.to_string())
    }
}
