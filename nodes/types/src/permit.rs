//! What lets a relay or an edge take new calls: a permit of a few seconds, signed under the cluster's epoch
//! by whoever leads and can prove it. A node that is cut off stops taking calls by itself and keeps the
//! media of those it has. The signature is in `relay::token`, the rules in `relay::permit`.

use serde::{Deserialize, Serialize};

use crate::{Epoch, Hex, NodeName};

/// Life of a permit from the moment the node asked for it, in milliseconds: longer than a change of leader
/// takes, with some renewals lost.
pub const PERMIT_MS: u64 = 5_000;
/// No node takes a longer one, in milliseconds.
pub const PERMIT_MS_MAX: u64 = 10_000;
/// How often the leader renews, in milliseconds.
pub const PERMIT_RENEWED_MS: u64 = 700;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

const _: () = assert!(PERMIT_MS <= PERMIT_MS_MAX);
const _: () = assert!(6 * PERMIT_RENEWED_MS < PERMIT_MS);

/// A permit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permit {
    /// Format version, 1.
    pub v: u8,
    /// Who may take new calls.
    pub node: NodeName,
    /// Under which epoch; a node that knows a higher one refuses it.
    pub epoch: Epoch,
    /// What the node drew and sent for this very permit. Its life is counted from then, by the node's own
    /// steady clock: no two clocks are compared, and an old permit cannot be used again.
    pub nonce: Hex,
    /// How long from then, in milliseconds.
    pub life_ms: u64,
}

/// A node's permit as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PermitView {
    /// Takes new calls now.
    pub accepts: bool,
    /// The highest epoch it knows.
    pub epoch: Epoch,
    /// How long it still may, in milliseconds.
    pub left_ms: u64,
}

/// Leader to relay or edge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitOffer {
    /// The signed permit; none when only a nonce is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermitAnswer {
    /// For the next permit.
    pub nonce: Hex,
    /// How it stands now.
    pub view: PermitView,
    /// Why the permit offered was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_are_signed_are_frozen() {
        let permit = Permit {
            v: 1,
            node: "edge-a1".parse().unwrap(),
            epoch: Epoch(3),
            nonce: Hex(vec![0xab; 2]),
            life_ms: PERMIT_MS,
        };
        let json = r#"{"v":1,"node":"edge-a1","epoch":3,"nonce":"abab","life_ms":5000}"#;
        assert_eq!(serde_json::to_string(&permit).unwrap(), json);
    }
}
