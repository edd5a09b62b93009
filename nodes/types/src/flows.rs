//! The flow matrix as the cluster agrees on it: which version is in force, which is proposed, and what was before.
//!
//! The cluster keeps its text; what the text means `guitai-flow` says, on whichever node has to know.

use serde::{Deserialize, Serialize};

use crate::{Hex, StaffRef, UnixMillis, flowlog::AgreedMinute, officer::OfficerWord, place::Text};

/// Longest matrix in bytes of text.
pub const FLOWS_BYTES_MAX: usize = 64 * 1024;
/// Versions that are kept with their text; the transparency log has all.
pub const FLOWS_KEPT_MAX: usize = 16;

/// One version of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowVersion {
    /// Counts from 1, proposals that came to nothing included.
    pub number: u32,
    /// As it was written (TOML, docs/reference/flow-matrix.md).
    pub matrix: String,
    /// SM3 of its canonical form: what officers sign.
    pub sm3: Hex,
    /// Who proposed it; left out for the one that the cluster was founded with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<StaffRef>,
    /// When it was proposed.
    pub at: UnixMillis,
    /// Why, one line, at most [`crate::limits::REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// Officers who approved it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<OfficerWord>,
    /// Since when it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<UnixMillis>,
}

impl FlowVersion {
    /// What an officer signs.
    pub fn text(number: u32, sm3: &Hex, at: UnixMillis) -> String {
        format!("guitai-flow-approval/1\n{number}\n{sm3}\n{at}\n")
    }
}

/// What the cluster knows of its matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// In force.
    pub present: FlowVersion,
    /// Waits for officers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<FlowVersion>,
    /// In force before, the latest first; at most [`FLOWS_KEPT_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<FlowVersion>,
    /// Number of the last version that was proposed.
    pub last: u32,
}

/// What may be ordered of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do", deny_unknown_fields)]
pub enum FlowOrder {
    /// The matrix that the nodes were founded with becomes version 1. By the leader, once.
    Begin {
        /// Its text.
        matrix: String,
        /// SM3 of its canonical form.
        sm3: Hex,
    },
    /// Another one is proposed; it waits for two officers.
    Propose {
        /// Its text.
        matrix: String,
        /// SM3 of its canonical form.
        sm3: Hex,
        /// Who.
        by: StaffRef,
        /// Why.
        reason: String,
    },
    /// An officer approves what is proposed; with the second it is in force.
    Approve {
        /// Which version.
        number: u32,
        /// The officer's word, its signature checked by whoever proposes this.
        approval: OfficerWord,
    },
    /// What is proposed is taken back.
    Withdraw {
        /// Which version.
        number: u32,
        /// Who.
        by: StaffRef,
    },
    /// What flowed in a minute is kept, and its root goes into the transparency log. By the leader, once a minute.
    Keep {
        /// Which minute, with the root over its lines.
        kept: AgreedMinute,
    },
}

/// What a matrix would change, for whoever thinks of proposing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowPlan {
    /// SM3 of its canonical form; none where it may not be proposed.
    pub sm3: Option<Hex>,
    /// What is wrong with it, and what the nodes do that it lacks, in words.
    pub faults: Vec<String>,
    /// Whether it allows anything that the one in force does not.
    pub widens: bool,
    /// What it changes, what allows more first.
    pub changes: Vec<FlowChange>,
}

/// One change of a matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowChange {
    /// Of which row; empty for the matrix itself.
    pub row: String,
    /// `widens`, `narrows` or `neutral`.
    pub effect: String,
    /// In a sentence.
    pub words: Text,
}

/// What happened to a version, as the transparency log has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowStep {
    /// The cluster began with it.
    Begun,
    /// It was proposed.
    Proposed,
    /// An officer approved it.
    Approved,
    /// It is in force.
    InForce,
    /// It was taken back.
    Withdrawn,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_officers_sign_is_frozen() {
        let text = FlowVersion::text(3, &Hex(vec![0xab; 32]), UnixMillis(5));
        let sm3 = "ab".repeat(32);
        assert_eq!(text, format!("guitai-flow-approval/1\n3\n{sm3}\n5\n"));
    }
}
