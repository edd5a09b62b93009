//! A signature's secret number k: RFC 6979 over HMAC-SM3, with fresh randomness mixed in (3.6).
//!
//! It depends on key, digest and randomness together: a random source that fails or repeats gives no
//! second signature with the same k for another digest, and so does not reveal the key.

use zeroize::{Zeroize as _, Zeroizing};

use super::scalar::Scalar;
use crate::sm3;

/// Draws one candidate after the other for one signature; erased on drop.
pub(super) struct Nonces {
    key: [u8; sm3::DIGEST_BYTES],
    value: [u8; sm3::DIGEST_BYTES],
    drawn: bool,
}

impl Nonces {
    /// For the private key `secret` and the digest `e`; `extra` is fresh randomness, or empty.
    pub(super) fn new(secret: &Scalar, e: &Scalar, extra: &[u8]) -> Self {
        let mut nonces = Self {
            key: [0; sm3::DIGEST_BYTES],
            value: [1; sm3::DIGEST_BYTES],
            drawn: false,
        };
        let secret = Zeroizing::new(secret.to_bytes());
        let e = e.to_bytes();
        // Steps d to g.
        for round in 0..2 {
            let value = Zeroizing::new(nonces.value);
            nonces.rekey(&[value.as_slice(), &[round], secret.as_slice(), &e, extra]);
        }
        nonces
    }

    /// The next candidate from 1 to n − 1 (step h).
    pub(super) fn draw(&mut self) -> Zeroizing<Scalar> {
        loop {
            if self.drawn {
                let value = Zeroizing::new(self.value);
                self.rekey(&[value.as_slice(), &[0]]);
            }
            self.drawn = true;
            self.value = sm3::hmac(&self.key, &[&self.value]);
            if let Some(candidate) = Scalar::from_bytes_nonzero(&self.value) {
                return Zeroizing::new(candidate);
            }
        }
    }

    fn rekey(&mut self, parts: &[&[u8]]) {
        self.key = sm3::hmac(&self.key, parts);
        self.value = sm3::hmac(&self.key, &[&self.value]);
    }
}

impl Drop for Nonces {
    fn drop(&mut self) {
        self.key.zeroize();
        self.value.zeroize();
    }
}
