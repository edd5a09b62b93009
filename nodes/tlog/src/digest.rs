//! The hash that a tree is made of (RFC 6962, section 2.1).

use guitai_crypto::{sm3, twin};
use serde::{Deserialize, Serialize};

/// One digest.
pub type Hash = [u8; 32];

/// Longest inclusion or consistency proof: that of a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;

/// Which hash a tree is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    /// GB/T 32905: the primary log.
    Sm3,
    /// The twin, to the letter of C2SP.
    Sha256,
}

impl Digest {
    /// The last part of a log's origin, which says what the log is made of.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sm3 => "sm3",
            Self::Sha256 => "sha256",
        }
    }

    /// The hash of an entry.
    #[must_use]
    pub fn leaf(self, entry: &[u8]) -> Hash {
        self.of(&[&[0x00], entry])
    }

    /// The hash of an inner node.
    #[must_use]
    pub fn node(self, left: &Hash, right: &Hash) -> Hash {
        self.of(&[&[0x01], left, right])
    }

    /// The root of a tree without entries.
    #[must_use]
    pub fn empty(self) -> Hash {
        self.of(&[])
    }

    /// The root over leaf hashes. Level by level from the leaves, since the hashes of a level do not wait
    /// for each other; the last of an odd level goes up as it is, which is the tree that RFC 6962
    /// describes from its root.
    #[must_use]
    pub fn root(self, leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            let (pairs, odd) = level.as_chunks::<2>();
            let mut above = self.many(0x01, pairs.iter().map(|pair| pair.as_flattened()));
            above.extend_from_slice(odd);
            level = above;
        }
        level.pop().unwrap_or_else(|| self.empty())
    }

    /// The hashes of entries, several at once.
    #[must_use]
    pub fn leaves<'a>(self, entries: impl Iterator<Item = &'a [u8]>) -> Vec<Hash> {
        self.many(0x00, entries)
    }

    /// The hash of parts one after the other, without a prefix.
    #[must_use]
    pub fn of(self, parts: &[&[u8]]) -> Hash {
        match self {
            Self::Sm3 => {
                let mut hasher = sm3::Hasher::new();
                parts.iter().for_each(|part| hasher.update(part));
                hasher.finish()
            }
            Self::Sha256 => twin::sha256(parts),
        }
    }

    fn many<'a>(self, prefix: u8, data: impl Iterator<Item = &'a [u8]>) -> Vec<Hash> {
        match self {
            Self::Sm3 => {
                let messages: Vec<Vec<u8>> = data.map(|data| [&[prefix], data].concat()).collect();
                let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
                sm3::hash_many(&messages)
            }
            Self::Sha256 => data.map(|data| self.of(&[&[prefix], data])).collect(),
        }
    }
}
