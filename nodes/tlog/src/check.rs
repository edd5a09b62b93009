//! Checking proofs, as RFC 9162 spells out what RFC 6962 leaves open.

use super::{Digest, Hash, PROOF_HASHES_MAX};

/// Whether `proof` leads from the leaf hash of entry `index` of a tree of `size` entries to `root`
/// (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(
    digest: Digest,
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> bool {
    if index >= size || proof.len() > PROOF_HASHES_MAX {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = digest.node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = digest.node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// A tree's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// Whether `proof` shows that `new` continues `old` (RFC 9162, 2.1.4.2). The empty tree is continued by
/// every tree, and then the proof must be empty, as it must for equal sizes.
#[must_use]
pub fn continues(digest: Digest, old: &Head, new: &Head, proof: &[Hash]) -> bool {
    if old.size > new.size || proof.len() > PROOF_HASHES_MAX {
        return false;
    }
    if old.size == 0 {
        return proof.is_empty() && old.root == digest.empty();
    }
    if old.size == new.size {
        return proof.is_empty() && old.root == new.root;
    }
    // A full old tree is a node of the new one; its root is known and left out of the proof.
    let mut rest = proof.iter();
    let begin = if old.size.is_power_of_two() {
        old.root
    } else {
        match rest.next() {
            Some(first) => *first,
            None => return false,
        }
    };
    let (mut at, mut last) = (old.size - 1, new.size - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (begin, begin);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_root = digest.node(sibling, &old_root);
            new_root = digest.node(sibling, &new_root);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_root = digest.node(&new_root, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_root == old.root && new_root == new.root
}
