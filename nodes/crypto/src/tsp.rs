//! Time stamps of RFC 3161 with SM2 and SM3, in the profile of GM/T 0033.
//!
//! An authority signs that it saw a digest at a time. [`answer`] is the authority, [`verify`] believes its
//! answer. As with [`crate::cms`], an answer that counts has exactly one form
//! (`docs/reference/evidence-package.md`, Time stamp): the verifier rebuilds it from what it has checked and
//! compares, so a byte that means nothing cannot hide in it. Requests of others are read as the RFC allows;
//! what this authority does not do it refuses by the RFC's own words ([`Refusal`]).
//!
//! Time and chance are arguments.

mod authority;
mod form;
mod request;
mod verify;

pub use authority::{NONCE_BYTES, SERIAL_BYTES, answer, refuse};
pub use request::{REQUEST_BYTES_MAX, Refusal, Request};
pub use verify::{STAMP_BYTES_MAX, Stamp, StampError, verify, verify_answer, verify_imprint};

/// The policy of the built-in authority, dotted: an arc of a random number that nobody registers
/// (ITU-T X.667). Its rule is the paragraph *Time stamp* of the format document.
pub const POLICY: &str = "2.25.1752934407";
/// How exact a stamp's time claims to be, in seconds: that of its digits.
pub const ACCURACY_S: u8 = 1;

#[cfg(test)]
mod tests;
