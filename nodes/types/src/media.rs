//! The media key of a session: its epochs, who holds it, and with what frames are sealed.
//!
//! A session has one media key at a time. Whenever who takes part changes, the next *epoch* has another
//! key, wrapped to those who take part then; frames name their epoch (`docs/reference/media.md`).

use serde::{Deserialize, Serialize};

use crate::{
    Hex, NodeName, StaffRef, UnixMillis,
    record::{Participant, WrappedKey},
};

/// The epoch a session begins with.
pub const KEY_EPOCH_FIRST: u32 = 1;

/// With what sound is sealed; picture always is with the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub enum MediaSuite {
    /// `0xF001`: SM4-GCM with a tag of 16 bytes.
    #[default]
    #[serde(rename = "sm4-gcm-sm3-128")]
    Sm4GcmSm3_128,
    /// `0xF002`: SM4-CTR with HMAC-SM3, a tag of 10 bytes.
    #[serde(rename = "sm4-ctr-hmac-sm3-80")]
    Sm4CtrHmacSm3_80,
}

impl MediaSuite {
    /// Whether it is what every session was sealed with before there was a choice.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Somebody who holds the media key of an epoch, and the key pair it was wrapped to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyHolder {
    /// Who.
    pub participant: Participant,
    /// SM2 public key, uncompressed point (65 bytes).
    pub public_key: Hex,
}

/// What is kept of an epoch that is over: the wraps of recorders, who may have to open its last frames
/// after a restart. Nobody else gets a wrap again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PastKeys {
    /// Which epoch.
    pub epoch: u32,
    /// When it was over.
    pub until: UnixMillis,
    /// Wraps to recorders.
    pub keys: Vec<WrappedKey>,
}

/// Why a session gets its next media key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub enum KeyChange {
    /// A party is there with another key pair: its page was loaded again.
    Joined {
        /// Customer or agent.
        participant: Participant,
        /// Public key of its page now.
        media_key: Hex,
    },
    /// A party's page is gone; the call waits for it as long as the policy says.
    Left {
        /// Customer or agent.
        participant: Participant,
        /// Public key of the page that is gone. If the party has another by now, nothing happens.
        media_key: Hex,
    },
    /// Another agent goes on with the call.
    Transferred {
        /// Who must be ready.
        to: StaffRef,
    },
    /// A recorder has another key pair, for example after its certificate was renewed.
    Recorders,
    /// Another node records from now on, and the one before no longer does.
    HandOver {
        /// Whose turn is over; nobody's when a place was empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<NodeName>,
        /// Whose turn begins.
        to: NodeName,
        /// Why: `recorder-gone`, `disk-full`, `io-error`, or `joined` when a place was empty.
        cause: String,
    },
}

impl KeyChange {
    /// The word that stands in the session's events.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Left { .. } => "left",
            Self::Transferred { .. } => "transferred",
            Self::Recorders => "recorders",
            Self::HandOver { .. } => "handed-over",
        }
    }
}

/// A holder of the media key as pages show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolderView {
    /// Who.
    pub participant: Participant,
    /// Name for people: the customer's, the agent's with work number, the recorder's node.
    pub display: String,
}

/// Who can open the media of a session now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyView {
    /// Number of the present media key, from 1; rises when who takes part changes.
    pub epoch: u32,
    /// Present since.
    pub since: UnixMillis,
    /// With what sound is sealed.
    pub audio_suite: MediaSuite,
    /// Everybody who has it; empty when media is not sealed.
    pub holders: Vec<HolderView>,
}

#[cfg(test)]
mod tests {
    use crate::record::Policy;

    #[test]
    fn a_policy_of_a_package_made_before_there_was_a_choice_keeps_its_bytes() {
        let before = r#"{"ring_ms":1,"away_ms":2,"unrecorded_ms":3,"media_sealed":true}"#;
        let policy: Policy = serde_json::from_str(before).unwrap();
        assert_eq!(serde_json::to_string(&policy).unwrap(), before);
        let other = before.replace('}', r#","media_suite":"sm4-ctr-hmac-sm3-80"}"#);
        let policy: Policy = serde_json::from_str(&other).unwrap();
        assert_eq!(serde_json::to_string(&policy).unwrap(), other);
    }
}
