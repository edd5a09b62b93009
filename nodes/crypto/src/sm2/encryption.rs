//! SM2 encryption (GB/T 32918.4) in the order C1‖C3‖C2.

use zeroize::Zeroizing;

use super::generator;
use super::limbs::Mask;
use super::multiply::multiply;
use super::point::Affine;
use super::scalar::Scalar;
use crate::sm3;

/// The point that both sides share, as bytes.
struct Shared {
    x: Zeroizing<[u8; 32]>,
    y: Zeroizing<[u8; 32]>,
}

/// Encrypts with a given number from 1 to n − 1, which must never be used twice (6.1, A2 to A8).
/// `None` when the standard asks for another number: the key stream is all zeros.
pub(super) fn encrypt_with(k: &Scalar, public: &Affine, message: &[u8]) -> Option<Vec<u8>> {
    let shared = Shared::new(k, public);
    let stream = shared.key_stream(message.len())?;
    let point = generator::multiply(k).to_affine();
    let mut sealed = Vec::with_capacity(super::OVERHEAD_BYTES + message.len());
    sealed.push(0x04);
    sealed.extend_from_slice(&point.x.to_bytes());
    sealed.extend_from_slice(&point.y.to_bytes());
    sealed.extend_from_slice(&shared.digest(message));
    sealed.extend(message.iter().zip(stream.iter()).map(|(a, b)| a ^ b));
    Some(sealed)
}

/// Decrypts C2 with C1 and C3 (7.1, B3 to B7).
pub(super) fn decrypt(
    secret: &Scalar,
    point: &Affine,
    digest: &[u8; 32],
    body: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let shared = Shared::new(secret, point);
    let mut message = shared.key_stream(body.len())?;
    for (out, byte) in message.iter_mut().zip(body) {
        *out ^= byte;
    }
    let differences = shared.digest(&message).into_iter().zip(digest);
    let difference = differences.fold(0, |all, (a, b)| all | (a ^ b));
    let fits = Mask::is_zero(u64::from(difference));
    fits.reveal().then_some(message)
}

impl Shared {
    /// The point is never infinity: k is not 0 modulo the prime order.
    fn new(k: &Scalar, point: &Affine) -> Self {
        let shared = Zeroizing::new(multiply(k, point).to_affine());
        Self {
            x: Zeroizing::new(shared.x.to_bytes()),
            y: Zeroizing::new(shared.y.to_bytes()),
        }
    }

    /// KDF of GB/T 32918.4, 5.4.3; `None` if it gives zeros only.
    fn key_stream(&self, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        let mut stream = Zeroizing::new(vec![0; length]);
        let mut any = 0u8;
        for (chunk, counter) in stream.chunks_mut(sm3::DIGEST_BYTES).zip(1u32..) {
            let mut hasher = sm3::Hasher::new();
            hasher.update(self.x.as_slice());
            hasher.update(self.y.as_slice());
            hasher.update(&counter.to_be_bytes());
            let block = Zeroizing::new(hasher.finish());
            for (out, byte) in chunk.iter_mut().zip(block.iter()) {
                *out = *byte;
                any |= byte;
            }
        }
        let zeros = Mask::is_zero(u64::from(any));
        (!zeros.reveal()).then_some(stream)
    }

    /// C3 = SM3(x‖M‖y).
    fn digest(&self, message: &[u8]) -> [u8; sm3::DIGEST_BYTES] {
        let mut hasher = sm3::Hasher::new();
        hasher.update(self.x.as_slice());
        hasher.update(message);
        hasher.update(self.y.as_slice());
        hasher.finish()
    }
}
