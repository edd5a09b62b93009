//! Evidence: package format, trees, proofs, and the offline verifier.
