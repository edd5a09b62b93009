//! An officer's word on something that one person may not decide alone.

use serde::{Deserialize, Serialize};

use crate::{Hex, StaffRef, UnixMillis};

/// An officer's word, signed with the officer's own key. What is signed, who asks for it says: [`crate::retention::Hold`],
/// [`crate::flows::FlowVersion`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfficerWord {
    /// Who.
    pub officer: StaffRef,
    /// When, by the officer's machine.
    pub at: UnixMillis,
    /// The officer's SM2 public key, 65 bytes.
    pub key: Hex,
    /// SM2 signature (GB/T 32918.2, DER).
    pub signature: Hex,
}
