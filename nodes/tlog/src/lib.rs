//! The transparency log: what it is made of, how it is proven, and who watches it.
//!
//! Layout, checkpoints, proofs and witnesses are those of C2SP (tlog-tiles, tlog-checkpoint, signed-note,
//! tlog-proof, tlog-cosignature, tlog-witness). There are two trees over the same entries: the primary one
//! with SM3 and SM2, and a twin with SHA-256 and Ed25519 that tools of others can read. All digests have 32
//! bytes, so every size of the documents holds for both.
//!
//! Read in this order: [`Digest`] and [`Edge`] (how a tree grows), [`tiles`] (how it lies in files and how
//! proofs come out of them), [`check`] (how proofs are checked), [`note`] and [`Checkpoint`] (what is
//! signed), [`InclusionProof`] (what is handed out), [`Witness`] and [`Policy`] (who must agree), [`audit()`]
//! (all of it read again). No file, no clock, no network: bytes in, bytes out.

mod audit;
pub mod check;
mod checkpoint;
mod digest;
mod edge;
pub mod note;
pub mod policy;
mod proof;
mod signer;
pub mod tiles;
mod witness;

#[cfg(test)]
mod tests;

pub use audit::{Audited, LogError, audit};
pub use checkpoint::{BadCheckpoint, Checkpoint};
pub use digest::{Digest, Hash, PROOF_HASHES_MAX};
pub use edge::{ENTRY_BYTES_MAX, Edge, EntryTooLong, Written};
pub use policy::{Believed, Policy, PolicyError};
pub use proof::{BadProof, InclusionProof};
pub use signer::{Party, Signer};
pub use witness::{Answer, BadSubmission, Seen, Submission, Witness};
