//! Trees over the lines of checksum lists: those of [`crate::log`], with SM3.

use crate::log::Digest;
pub use crate::log::Hash;

/// The root over lines of a checksum list, each line (without its end) being the data of one leaf.
#[must_use]
pub fn root_of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Hash {
    let leaves = Digest::Sm3.leaves(lines.map(str::as_bytes));
    Digest::Sm3.root(&leaves)
}

/// The hashes from the sibling of leaf `index` up to the root's child (RFC 9162, 2.1.3.1); empty for a
/// leaf that is not there.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let (mut level, mut at) = (leaves.to_vec(), index);
    while level.len() > 1 && at < level.len() {
        // The last of an odd level has no sibling and goes up as it is.
        path.extend(level.get(at ^ 1));
        let (pairs, odd) = level.as_chunks::<2>();
        let above = pairs.iter().map(|[a, b]| Digest::Sm3.node(a, b));
        level = above.chain(odd.iter().copied()).collect();
        at /= 2;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::check;

    #[test]
    fn every_path_of_every_small_tree_leads_to_its_root_and_no_other() {
        for size in 1..40_u8 {
            let leaves: Vec<Hash> = (0..size).map(|n| Digest::Sm3.leaf(&[n])).collect();
            let root = Digest::Sm3.root(&leaves);
            for (index, leaf) in leaves.iter().enumerate() {
                let path = path(&leaves, index);
                let leads = |leaf: &Hash, index: usize| {
                    let (index, size) = (index as u64, u64::from(size));
                    check::includes(Digest::Sm3, leaf, index, size, &path, &root)
                };
                assert!(leads(leaf, index), "{index} of {size}");
                assert!(!leads(&[0; 32], index), "{index} of {size}");
                assert!(size == 1 || !leads(leaf, index ^ 1), "{index} of {size}");
            }
            assert_eq!(path(&leaves, size.into()), [] as [Hash; 0]);
        }
    }

    #[test]
    fn a_line_is_a_leaf() {
        let leaf = |line: &str| Digest::Sm3.leaf(line.as_bytes());
        let root = root_of_lines("a  x\nb  y".lines());
        assert_eq!(root, Digest::Sm3.node(&leaf("a  x"), &leaf("b  y")));
    }
}
