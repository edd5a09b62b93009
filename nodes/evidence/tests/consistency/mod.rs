//! Consistency proofs of a log that is there whole: for the tests here, and for `tests/verifier/mutations`, which
//! includes this file.

use guitai_evidence::log::{Digest, Hash};

/// The proof that a log of these leaves continues the first `old` of them (RFC 6962, 2.1.2).
pub(crate) fn proof(leaves: &[Hash], old: usize) -> Vec<Hash> {
    fn subproof(leaves: &[Hash], old: usize, whole: bool, out: &mut Vec<Hash>) {
        if old == leaves.len() {
            if !whole {
                out.push(Digest::Sm3.root(leaves));
            }
            return;
        }
        let split = leaves.len().next_power_of_two() / 2;
        if old <= split {
            subproof(&leaves[..split], old, whole, out);
            out.push(Digest::Sm3.root(&leaves[split..]));
        } else {
            subproof(&leaves[split..], old - split, false, out);
            out.push(Digest::Sm3.root(&leaves[..split]));
        }
    }
    let mut hashes = Vec::new();
    subproof(leaves, old, true, &mut hashes);
    hashes
}
