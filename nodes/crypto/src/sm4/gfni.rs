//! SM4-GCM on x86-64 with GFNI, AVX-512 and VPCLMULQDQ: the fast path, and all `unsafe` code.
//!
//! SM4's S-box is an inversion in GF(2^8) between two affine maps. GFNI inverts in AES's field, so
//! two other affine maps carry the value there and back: no tables, no secret-dependent branches,
//! constant time by construction. Sixteen blocks lie across four 512-bit registers, one register for
//! each of SM4's four words, and up to four such groups run interleaved, since one round's steps
//! depend on each other. GHASH multiplies by sixteen powers of H before it reduces once.
//!
//! Safety rests on two things. A [`Token`] exists only if the processor has every feature, and each
//! expanded key holds one, so the `target_feature` functions are never entered without them. Loads
//! and stores go through references to arrays or slices whose length was checked, or through masks
//! that name only bytes within the slice.

mod cipher;
mod ghash;

use cipher::{Schedule, encrypt_block, encrypt_counter, expand, words};
use ghash::{Powers, powers, tag};
use subtle::ConstantTimeEq as _;

use super::kernel::{AeadKernel, BlockKernel};

/// Proof that the processor has every feature that this module uses.
#[derive(Clone, Copy)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("vpclmulqdq");
        present.then_some(Self(()))
    }
}

/// An expanded SM4-GCM key.
pub(super) struct Gcm {
    schedule: Schedule,
    powers: Powers,
    _token: Token,
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Gcm {
    pub(super) fn new(token: Token, key: &[u8; 16]) -> Self {
        // SAFETY: `token` proves the features.
        let (schedule, powers) = unsafe {
            let schedule = expand(key);
            let powers = powers(encrypt_block(&schedule, [0; 4]));
            (schedule, powers)
        };
        Self {
            schedule,
            powers,
            _token: token,
        }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl AeadKernel for Gcm {
    /// The caller keeps `data` within GCM's limit of 2^36 − 32 bytes.
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        let words = words(nonce);
        // SAFETY: `_token` proves the features.
        unsafe {
            let mask = encrypt_counter(&self.schedule, &words, data);
            tag(&self.powers, mask, aad, data)
        }
    }

    /// Compares the tag first, in constant time, so that nothing forged is ever decrypted.
    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], expected: &[u8; 16]) -> bool {
        let words = words(nonce);
        // SAFETY: `_token` proves the features.
        unsafe {
            let [a, b, c] = words;
            let mask = u128::from_le_bytes(encrypt_block(&self.schedule, [a, b, c, 1]));
            let computed = tag(&self.powers, mask, aad, data);
            if !bool::from(computed.ct_eq(expected)) {
                return false;
            }
            encrypt_counter(&self.schedule, &words, data);
        }
        true
    }
}

/// The block cipher alone.
pub(super) struct Block {
    schedule: Schedule,
    _token: Token,
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Block {
    pub(super) fn new(token: Token, key: &[u8; 16]) -> Self {
        Self {
            // SAFETY: `token` proves the features.
            schedule: unsafe { expand(key) },
            _token: token,
        }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        for block in blocks {
            let words = words(block);
            // SAFETY: `_token` proves the features.
            *block = unsafe { encrypt_block(&self.schedule, words) };
        }
    }
}
