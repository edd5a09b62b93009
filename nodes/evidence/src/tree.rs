//! Merkle trees as RFC 6962, section 2.1, with SM3 in place of SHA-256.
//!
//! Leaf `SM3(0x00 ‖ data)`, node `SM3(0x01 ‖ left ‖ right)`; an empty tree is `SM3("")`.

use guitai_crypto::sm3;

/// One SM3 digest.
pub type Hash = [u8; sm3::DIGEST_BYTES];

/// Longest inclusion proof: a tree of 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;

/// The hash of one leaf.
#[must_use]
pub fn leaf(data: &[u8]) -> Hash {
    prefixed(0x00, &[data])
}

/// The hash of an inner node.
#[must_use]
pub fn node(left: &Hash, right: &Hash) -> Hash {
    prefixed(0x01, &[left, right])
}

/// The root over leaf hashes.
///
/// Level by level from the leaves, since the hashes of a level do not wait for each other: the last
/// of an odd level goes up as it is, which is the tree that RFC 6962 describes from its root.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        let (pairs, odd) = level.as_chunks::<2>();
        let mut above = hash_all(0x01, pairs.iter().map(|pair| pair.as_flattened()));
        above.extend_from_slice(odd);
        level = above;
    }
    level.pop().unwrap_or_else(|| sm3::hash(b""))
}

/// The root over lines of a checksum list, each line (without its end) being the data of one leaf.
#[must_use]
pub fn root_of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Hash {
    root(&hash_all(0x00, lines.map(str::as_bytes)))
}

/// The inclusion proof of leaf `index`, lowest sibling first; `None` if there is no such leaf.
#[must_use]
pub fn prove(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut proof, sibling) = if index < left.len() {
        (prove(left, index)?, root(right))
    } else {
        (prove(right, index - left.len())?, root(left))
    };
    proof.push(sibling);
    Some(proof)
}

/// Whether `proof` leads from leaf `index` of a tree of `size` leaves to `root`
/// (RFC 9162, 2.1.3.2, which spells out the check that RFC 6962 leaves open).
#[must_use]
pub fn includes(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
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
            hash = node(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// The largest power of two below `count`, for `count` of at least two.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

fn prefixed(prefix: u8, parts: &[&[u8]]) -> Hash {
    let mut hasher = sm3::Hasher::new();
    hasher.update(&[prefix]);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

/// `SM3(prefix ‖ data)` of each, several at once.
fn hash_all<'a>(prefix: u8, data: impl Iterator<Item = &'a [u8]>) -> Vec<Hash> {
    let messages: Vec<Vec<u8>> = data.map(|data| [&[prefix], data].concat()).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    sm3::hash_many(&messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn small_trees_by_hand() {
        let l = leaves(3);
        assert_eq!(root(&[]), sm3::hash(b""));
        assert_eq!(
            root(&l[..1]),
            sm3::hash(&[&[0], &0usize.to_be_bytes()[..]].concat())
        );
        let pair = sm3::hash(&[&[1], &l[0][..], &l[1][..]].concat());
        assert_eq!(root(&l[..2]), pair);
        assert_eq!(root(&l), node(&pair, &l[2]));
    }

    #[test]
    fn every_leaf_is_included_and_nothing_else() {
        let stranger = leaf(b"other");
        for size in 1..40 {
            let all = leaves(size);
            let top = root(&all);
            for index in 0..size {
                let proof = prove(&all, index).unwrap();
                let includes = |leaf, index, size, proof: &[Hash]| {
                    includes(leaf, index as u64, size as u64, proof, &top)
                };
                assert!(
                    includes(&all[index], index, size, &proof),
                    "{index} of {size}"
                );
                assert!(!includes(&stranger, index, size, &proof));
                assert!(!includes(&all[index], size, size, &proof));
                if size > 1 {
                    assert!(!includes(&all[index], (index + 1) % size, size, &proof));
                    assert!(!includes(&all[index], index, size, &proof[1..]));
                }
            }
            assert_eq!(prove(&all, size), None);
        }
    }

    /// The definition of RFC 6962, 2.1, from the root down.
    fn defined(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sm3::hash(b""),
            [only] => *only,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node(&defined(left), &defined(right))
            }
        }
    }

    #[test]
    fn level_by_level_is_the_defined_tree() {
        let all = leaves(300);
        for size in 0..all.len() {
            assert_eq!(root(&all[..size]), defined(&all[..size]), "{size}");
        }
    }

    #[test]
    fn a_line_is_a_leaf() {
        let lines = "a  x\nb  y";
        assert_eq!(
            root_of_lines(lines.lines()),
            node(&leaf(b"a  x"), &leaf(b"b  y"))
        );
    }
}
