//! Trees over the lines of checksum lists: those of [`crate::log`], with SM3.

use crate::log::Digest;
pub use crate::log::Hash;

/// The root over lines of a checksum list, each line (without its end) being the data of one leaf.
#[must_use]
pub fn root_of_lines<'a>(lines: impl Iterator<Item = &'a str>) -> Hash {
    let leaves = Digest::Sm3.leaves(lines.map(str::as_bytes));
    Digest::Sm3.root(&leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_leaf() {
        let leaf = |line: &str| Digest::Sm3.leaf(line.as_bytes());
        let root = root_of_lines("a  x\nb  y".lines());
        assert_eq!(root, Digest::Sm3.node(&leaf("a  x"), &leaf("b  y")));
    }
}
