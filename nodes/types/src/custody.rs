//! What a node has of certificates and keys, as far as it is public: names, numbers, digests and dates, never a key.
//! Every change of it goes into the transparency log, so that years later it can be shown which key was in use when,
//! and since when one is gone.

use serde::{Deserialize, Serialize};

use crate::{Hex, NodeName};

/// Certificates of one node: its own, those it signs documents with, each for a while beside the one before.
pub const CERTIFICATES_HELD_MAX: usize = 16;
/// Revocation lists of one node: one for each issuer.
pub const LISTS_HELD_MAX: usize = 16;
/// Key-encryption keys of one node, all generations, and its root key.
pub const KEYS_HELD_MAX: usize = 520;
/// Longest word in what is held, in bytes.
pub const HELD_WORD_BYTES_MAX: usize = 128;

/// What a certificate is for.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateUse {
    /// The node proves who it is.
    Node,
    /// The institution's seal under evidence.
    Seal,
    /// Time stamps.
    Tsa,
}

/// A certificate in use.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeldCertificate {
    /// What for.
    pub usage: CertificateUse,
    /// Its serial number.
    pub serial: Hex,
    /// SM3 of its DER form.
    pub sm3: Hex,
    /// When it ends, seconds since 1970.
    pub not_after_unix: u64,
}

/// A revocation list that is obeyed.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeldList {
    /// Whose.
    pub issuer: String,
    /// Its number (RFC 5280, 5.2.3).
    pub number: String,
}

/// A key that wraps others.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct HeldKey {
    /// Its id, hexadecimal.
    pub id: String,
    /// `root`, or what it is for: `recording`, `call`, `backup`, `storage`, `identity`.
    pub purpose: String,
    /// Counts from 1.
    pub generation: u32,
    /// When it was made, seconds since 1970.
    pub created_unix: u64,
}

/// All that a node has of one sort, in order and none twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "of", deny_unknown_fields)]
pub enum Holding {
    /// What it shows others, and what it believes of them.
    Certificates {
        /// In use.
        certificates: Vec<HeldCertificate>,
        /// Obeyed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lists: Vec<HeldList>,
    },
    /// What its stored keys are wrapped by.
    Keys {
        /// Root and key-encryption keys.
        keys: Vec<HeldKey>,
    },
}

/// What the cluster knows of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Custody {
    /// In use.
    #[serde(default)]
    pub certificates: Vec<HeldCertificate>,
    /// Obeyed.
    #[serde(default)]
    pub lists: Vec<HeldList>,
    /// Root and key-encryption keys.
    #[serde(default)]
    pub keys: Vec<HeldKey>,
}

impl Custody {
    /// Whether that is what is known already.
    pub fn is_known(&self, holding: &Holding) -> bool {
        match holding {
            Holding::Certificates {
                certificates,
                lists,
            } => (certificates, lists) == (&self.certificates, &self.lists),
            Holding::Keys { keys } => *keys == self.keys,
        }
    }
}

/// What changed, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyChange<T> {
    /// In use from now on.
    pub taken: Vec<T>,
    /// Not any more: replaced, run out, or destroyed.
    pub gone: Vec<T>,
}

impl<T: Ord + Clone> CustodyChange<T> {
    /// From one to the other.
    pub fn between(before: &[T], after: &[T]) -> Self {
        let lacking = |of: &[T], other: &[T]| {
            let of = of.iter().filter(|one| !other.contains(one));
            of.cloned().collect()
        };
        Self {
            taken: lacking(after, before),
            gone: lacking(before, after),
        }
    }
}

/// Whose holding, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Whose.
    pub node: NodeName,
    /// Who says so: the node itself, or of an edge, which says nothing to the cluster, the inner node that it showed
    /// its certificate to.
    pub by: NodeName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_names_what_came_and_what_went() {
        let change = CustodyChange::between(&[1, 2, 3], &[2, 3, 4]);
        assert_eq!((change.taken, change.gone), (vec![4], vec![1]));
        let none = CustodyChange::between(&[1], &[1]);
        assert!(none.taken.is_empty() && none.gone.is_empty());
    }
}
