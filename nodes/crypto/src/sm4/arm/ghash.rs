//! GHASH by PMULL, the carry-less multiplication of 64 bits: eight powers of the hash key meet eight
//! blocks before one reduction.
//!
//! Values are in POLYVAL's order (RFC 8452, appendix A), as in [`super::super::ghash_soft`], whose
//! reduction serves here too: it runs once for eight blocks.

use std::arch::aarch64::*;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::super::compose;
use super::super::ghash_soft::{from_hash_key, length_block, reduce};
use super::Token;

/// Blocks multiplied by as many powers of the hash key before one reduction.
const POWERS: usize = 8;

/// GHASH under one hash key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Ghash {
    /// H^8 … H.
    powers: [Power; POWERS],
    #[zeroize(skip)]
    _token: Token<false>,
}

/// A power of the hash key: its halves and, for Karatsuba, their sum.
#[derive(Clone, Copy, Zeroize)]
struct Power {
    low: u64,
    high: u64,
    both: u64,
}

impl Power {
    fn new(value: u128) -> Self {
        let (low, high) = (value as u64, (value >> 64) as u64);
        Self {
            low,
            high,
            both: low ^ high,
        }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Ghash {
    pub(super) fn new(token: Token<false>, hash_key: &[u8; 16]) -> Self {
        let h = from_hash_key(hash_key);
        let first = [Power::new(h)];
        let mut power = h;
        let mut powers = [Power::new(h); POWERS];
        for out in powers.iter_mut().rev().skip(1) {
            // SAFETY: `token` proves the features.
            power = unsafe { absorb(&first, power, &[[0; 16]]) };
            *out = Power::new(power);
        }
        Self {
            powers,
            _token: token,
        }
    }

    /// Absorbs `data`, padded with zeros to whole blocks.
    fn update(&self, mut sum: u128, data: &[u8]) -> u128 {
        let (blocks, tail) = data.as_chunks::<16>();
        let (groups, rest) = blocks.as_chunks::<POWERS>();
        for group in groups {
            // SAFETY: `_token` proves the features.
            sum = unsafe { absorb_all(&self.powers, sum, group) };
        }
        let mut last = [[0; 16]; POWERS];
        last[..rest.len()].copy_from_slice(rest);
        // At most seven blocks went before the tail.
        last[rest.len()][..tail.len()].copy_from_slice(tail);
        let used = rest.len() + usize::from(!tail.is_empty());
        if used == 0 {
            return sum;
        }
        // SAFETY: `_token` proves the features.
        unsafe { absorb(&self.powers[POWERS - used..], sum, &last[..used]) }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl compose::Ghash for Ghash {
    fn hash(&self, aad: &[u8], data: &[u8]) -> [u8; 16] {
        let sum = self.update(0, aad);
        let sum = self.update(sum, data);
        let lengths = [length_block(aad, data)];
        // SAFETY: `_token` proves the features.
        let sum = unsafe { absorb(&self.powers[POWERS - 1..], sum, &lengths) };
        sum.to_be_bytes()
    }
}

/// [`absorb`] of as many blocks as there are powers, unrolled.
#[target_feature(enable = "neon,aes")]
fn absorb_all(powers: &[Power; POWERS], sum: u128, blocks: &[[u8; 16]; POWERS]) -> u128 {
    absorb(powers, sum, blocks)
}

/// Adds `sum` to the first block and multiplies each block by its power.
#[target_feature(enable = "neon,aes")]
#[inline]
#[expect(unsafe_code, reason = "loads of whole registers")]
fn absorb(powers: &[Power], sum: u128, blocks: &[[u8; 16]]) -> u128 {
    let mut sum = from_u128(sum);
    let zero = vdupq_n_u64(0);
    let (mut low, mut high, mut both) = (zero, zero, zero);
    for (power, block) in powers.iter().zip(blocks) {
        // SAFETY: a block has the 16 bytes that are read.
        let x = vrev64q_u8(unsafe { vld1q_u8(block.as_ptr()) });
        let x = veorq_u64(vreinterpretq_u64_u8(vextq_u8::<8>(x, x)), sum);
        sum = zero;
        let folded = veorq_u64(x, vextq_u64::<1>(x, x));
        low = veorq_u64(low, multiply(vgetq_lane_u64::<0>(x), power.low));
        high = veorq_u64(high, multiply(vgetq_lane_u64::<1>(x), power.high));
        both = veorq_u64(both, multiply(vgetq_lane_u64::<0>(folded), power.both));
    }
    let (low, high, both) = (to_u128(low), to_u128(high), to_u128(both));
    let middle = both ^ low ^ high;
    reduce([high ^ (middle >> 64), low ^ (middle << 64)])
}

#[target_feature(enable = "neon,aes")]
#[inline]
fn multiply(a: u64, b: u64) -> uint64x2_t {
    vreinterpretq_u64_p128(vmull_p64(a, b))
}

#[target_feature(enable = "neon")]
#[inline]
fn from_u128(x: u128) -> uint64x2_t {
    vcombine_u64(vcreate_u64(x as u64), vcreate_u64((x >> 64) as u64))
}

#[target_feature(enable = "neon")]
#[inline]
fn to_u128(x: uint64x2_t) -> u128 {
    u128::from(vgetq_lane_u64::<0>(x)) | (u128::from(vgetq_lane_u64::<1>(x)) << 64)
}
