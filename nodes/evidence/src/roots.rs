//! A recorder's roots by the second, as a package carries them: who signed what, and where each segment of
//! the session is under it.

use guitai_types::{Hex, NodeName};
use serde::{Deserialize, Serialize};

use crate::{
    log::{Digest, Hash, check},
    tree,
};

pub use guitai_types::tlog::SALT_BYTES;

/// Most segments under one root: every session of a node closing a segment of each of four tracks, twice.
pub const LEAVES_MAX: usize = 100_000;

/// What a leaf is made of: a segment's SM3 and a salt that is of no other leaf.
#[must_use]
pub fn leaf(salt: &Hash, segment: &Hash) -> Hash {
    Digest::Sm3.leaf(&[*salt, *segment].concat())
}

/// One line of `roots.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootLine {
    /// The recorder.
    pub node: NodeName,
    /// Which second, since 1970, by the recorder's clock.
    pub second: u64,
    /// Leaves under the root.
    pub count: u32,
    /// SM3 root over them.
    pub root: Hex,
    /// SM2 signature (DER) over [`RecorderRoot::text`](guitai_types::tlog::RecorderRoot::text).
    pub signature: Hex,
    /// Number of the chain it was signed under: [`crate::layout::recorder_chain`].
    pub signer: u32,
    /// The session's segments under it, by index.
    pub segments: Vec<Rooted>,
}

/// Where a segment is under a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rooted {
    /// Which leaf, from 0.
    pub index: u32,
    /// Number of its track.
    pub track: u32,
    /// Number of the segment in its track.
    pub segment: u32,
    /// The leaf's salt.
    pub salt: Hex,
    /// Hashes from the leaf's sibling up to the root's child.
    pub path: Vec<Hex>,
}

/// Places under the tree of `leaves`: for each of `segments`, its leaf's number, its track, its number and
/// its salt.
#[must_use]
pub fn places(leaves: &[Hash], segments: &[(u32, u32, u32, Hash)]) -> Vec<Rooted> {
    let place = |(index, track, segment, salt): &(u32, u32, u32, Hash)| Rooted {
        index: *index,
        track: *track,
        segment: *segment,
        salt: Hex(salt.to_vec()),
        path: tree::path(leaves, *index as usize)
            .iter()
            .map(|hash| Hex(hash.to_vec()))
            .collect(),
    };
    segments.iter().map(place).collect()
}

impl RootLine {
    /// Whether a segment whose bytes have this SM3 is where it says.
    #[must_use]
    pub fn holds(&self, rooted: &Rooted, segment: &Hash) -> bool {
        let hash = |hex: &Hex| Hash::try_from(hex.0.as_slice()).ok();
        let path: Option<Vec<Hash>> = rooted.path.iter().map(hash).collect();
        let (Some(salt), Some(path), Some(root)) = (hash(&rooted.salt), path, hash(&self.root))
        else {
            return false;
        };
        let leaf = leaf(&salt, segment);
        let (index, count) = (u64::from(rooted.index), u64::from(self.count));
        check::includes(Digest::Sm3, &leaf, index, count, &path, &root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_says_is_frozen() {
        let line = r#"{"count":2,"node":"a1-2","root":"07","second":5,"segments":[{"index":1,"path":["0a"],"salt":"0b","segment":4,"track":3}],"signature":"30","signer":1}"#;
        let read: RootLine = crate::canonical::from_bytes(line.as_bytes()).unwrap();
        assert_eq!((read.second, read.count, read.signer), (5, 2, 1));
        assert_eq!((read.segments[0].segment, read.segments[0].index), (4, 1));
    }

    #[test]
    fn a_segment_is_under_its_root_only_with_its_own_salt_and_place() {
        let segments: Vec<Hash> = (0..5).map(|n| [n; 32]).collect();
        let salts: Vec<Hash> = (0..5).map(|n| [100 + n; 32]).collect();
        let leaves: Vec<Hash> = segments
            .iter()
            .zip(&salts)
            .map(|(s, salt)| leaf(salt, s))
            .collect();
        let wanted = [(1, 1, 1, salts[1]), (4, 2, 1, salts[4])];
        let mut line = RootLine {
            node: "a1-2".parse().unwrap(),
            second: 5,
            count: 5,
            root: Hex(Digest::Sm3.root(&leaves).to_vec()),
            signature: Hex::default(),
            signer: 1,
            segments: places(&leaves, &wanted),
        };
        let [first, last] = &line.segments[..] else {
            panic!("two places");
        };
        assert!(line.holds(first, &segments[1]) && line.holds(last, &segments[4]));
        assert!(!line.holds(first, &segments[4]) && !line.holds(last, &segments[1]));
        let mut other = first.clone();
        other.salt = last.salt.clone();
        assert!(!line.holds(&other, &segments[1]));
        let first = first.clone();
        line.count = 1;
        assert!(!line.holds(&first, &segments[1]), "past the last leaf");
    }
}
