//! SM2 signatures (GB/T 32918.2) over a ready digest, and their DER form (GB/T 35276, 7.3).

use der::asn1::UintRef;
use der::{Decode as _, Encode as _, Sequence};
use zeroize::{Zeroize as _, Zeroizing};

use super::field::{self, Field};
use super::generator;
use super::limbs;
use super::multiply::multiply_sum_public;
use super::nonce::Nonces;
use super::point::Affine;
use super::scalar::{ORDER, Scalar};

/// r and s, both from 1 to n − 1.
///
/// Only the holder of the key can make a second signature of a signed message: for a given r the equation
/// that is checked has one s besides, and it depends on the key. DER has one form for each pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) r: Scalar,
    pub(super) s: Scalar,
}

/// A private key made ready for signing; erased on drop.
#[derive(Clone)]
pub(super) struct Signer {
    secret: Scalar,
    /// 1/(1 + d).
    inverse: Scalar,
}

#[derive(Sequence)]
struct Der<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl Signature {
    /// Reads exactly one DER SEQUENCE of two INTEGERs in range.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let der = Der::from_der(der).ok()?;
        Some(Self {
            r: read(der.r.as_bytes())?,
            s: read(der.s.as_bytes())?,
        })
    }

    /// The DER form, at most 72 bytes.
    ///
    /// # Panics
    /// Never: two integers of 32 bytes always encode.
    pub(super) fn to_der(self) -> Vec<u8> {
        let (r, s) = (self.r.to_bytes(), self.s.to_bytes());
        let encode = || {
            Der {
                r: UintRef::new(&r)?,
                s: UintRef::new(&s)?,
            }
            .to_der()
        };
        encode().expect("two integers of 32 bytes encode")
    }
}

fn read(bytes: &[u8]) -> Option<Scalar> {
    let mut padded = [0; 32];
    let start = padded.len().checked_sub(bytes.len())?;
    padded[start..].copy_from_slice(bytes);
    Scalar::from_bytes_nonzero(&padded)
}

impl Signer {
    /// `secret` is from 1 to n − 2: at n − 1 there would be no inverse.
    pub(super) fn new(secret: &Scalar) -> Self {
        Self {
            secret: *secret,
            inverse: secret.add(&Scalar::ONE).invert(),
        }
    }

    /// Signs a digest with a nonce of key, digest and `extra` (see [`Nonces`]).
    pub(super) fn sign(&self, digest: &[u8; 32], extra: &[u8]) -> Signature {
        let e = Scalar::from_bytes_reduced(digest);
        let mut nonces = Nonces::new(&self.secret, &e, extra);
        loop {
            // One draw in 2^250 is refused.
            if let Some(signature) = self.sign_with(&nonces.draw(), &e) {
                return signature;
            }
        }
    }

    /// Signs with a given nonce from 1 to n − 1, which must never be used twice (GB/T 32918.2, 6.1,
    /// steps A4 to A7). `None` when the standard asks for another nonce.
    ///
    /// s = (k − r·d)/(1 + d) is computed as (k + r)/(1 + d) − r: one product, whose one factor is
    /// fresh and secret in every signature, and none of the key with a number that others know.
    pub(super) fn sign_with(&self, k: &Scalar, e: &Scalar) -> Option<Signature> {
        let x = generator::multiply(k).to_affine().x.to_limbs();
        let r = e.add(&Scalar::reduced(&x));
        let sum = Zeroizing::new(k.add(&r));
        let s = sum.mul(&self.inverse).sub(&r);
        let refused = r.is_zero().or(sum.is_zero()).or(s.is_zero());
        (!refused.reveal()).then_some(Signature { r, s })
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.secret.zeroize();
        self.inverse.zeroize();
    }
}

/// Checks a signature over a digest (GB/T 32918.2, 7.1, steps B4 to B7), in a time that depends on
/// the values: all of them are public.
pub(super) fn verify(public: &Affine, digest: &[u8; 32], signature: &Signature) -> bool {
    let t = signature.r.add(&signature.s);
    if t.is_zero().reveal() {
        return false;
    }
    let point = multiply_sum_public(&signature.s, &t, public);
    // r ≡ e + x, so x is one of the one or two numbers below p that are r − e modulo n.
    let e = Scalar::from_bytes_reduced(digest);
    let x = *signature.r.sub(&e).limbs();
    if point.has_x(&Field::from_limbs(&x)) {
        return true;
    }
    let (above, carry) = limbs::add(&x, &ORDER);
    let (_, below_p) = limbs::sub(&above, &field::MODULUS);
    !carry && below_p && point.has_x(&Field::from_limbs(&above))
}
