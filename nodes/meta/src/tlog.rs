//! The transparency log on this node: its full parts in [`files`], those that are missing fetched by
//! [`fetch`], its heads signed by [`heads`] while this node leads, and other's heads judged by
//! [`witness`] where this node is one. What is logged, the core decides.

mod fetch;
mod files;
mod heads;
mod proofs;
mod serve;
mod witness;

use std::sync::Arc;

use guitai_tlog::Signer;
use guitai_types::tlog::LogTrust;
use serde::{Deserialize, Serialize};

pub use proofs::{Included, Pick, Proofs};
pub use serve::{LogFile, LogReadError, Proven};

pub(crate) use fetch::run as fetch;
pub(crate) use files::Files;
pub(crate) use heads::run as publish;
pub(crate) use witness::{Cosigned, Watch};

/// What a core node of a cluster with a log is told.
#[derive(Clone)]
pub struct LogKeys {
    /// The log's keys, the same on every core node: whoever leads signs.
    pub log: Arc<Signer>,
    /// The keys of this centre's witness, where this node is it.
    pub witness: Option<Arc<Signer>>,
    /// Whom readers believe; agreed on when the log begins.
    pub trust: LogTrust,
}

/// What core nodes ask each other about the log: body of `meta.log`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ask")]
pub(crate) enum Ask {
    /// A full bundle, with what is behind its entries.
    Bundle { index: u64 },
    /// A full tile above the leaves, of both trees.
    Tile { level: u8, index: u64 },
    /// Submissions to the witness on that node (tlog-witness, `add-checkpoint`), one per tree.
    Cosign { sm3: String, sha256: String },
}

/// The answers, in the same order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(crate) enum Answer {
    /// The file as it is in plain.
    File { bytes: guitai_types::Hex },
    /// Not here.
    Absent,
    /// What the witness says, per tree.
    Cosigned { sm3: Cosigned, sha256: Cosigned },
}
