//! The yearly report for auditors: which answers it binds together, as a node of the cluster signs it.

use serde::{Deserialize, Serialize};

use crate::{ClusterId, Hex, NodeName, StaffRef, UnixMillis};

/// Format and version of [`Statement`].
pub const FORMAT: &str = "guitai-audit-report/1";
/// Files of one report.
pub const REPORT_FILES_MAX: usize = 128;
/// Longest name of a file, in bytes.
pub const REPORT_NAME_BYTES_MAX: usize = 100;
/// Bytes of a digest.
pub const SM3_BYTES: usize = 32;

/// One file of a report.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ReportFile {
    /// Its name in the directory of the report.
    pub name: String,
    /// SM3 of its bytes.
    pub sm3: Hex,
}

/// What a node signs: that these files were made at this time, by an account of this cluster, when its log was at this
/// checkpoint. Whether the files say what is true, each answer's own checkpoint and the log show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`FORMAT`].
    pub format: String,
    /// Which cluster.
    pub cluster: ClusterId,
    /// When, by the clock of the node that signs.
    pub made_at: UnixMillis,
    /// The node that signs.
    pub made_by: NodeName,
    /// Who had it made.
    pub asked_by: StaffRef,
    /// From when on it looks back.
    pub since: UnixMillis,
    /// The newest checkpoint of the transparency log, a signed note; empty where there is none yet.
    pub checkpoint: String,
    /// Ordered by name.
    pub files: Vec<ReportFile>,
}

/// A statement with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    /// Canonical JSON (RFC 8785) of a [`Statement`].
    pub statement: Hex,
    /// SM2 SignedData over it, detached (GB/T 35275), with the signer's certificates.
    pub signature: Hex,
    /// The root that they lead to, DER.
    pub root: Hex,
}
