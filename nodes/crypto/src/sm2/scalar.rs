//! Numbers modulo n, the order of the generator (GB/T 32918.5): private keys, nonces, r and s.
//!
//! Kept as plain numbers below n. Only a handful of multiplications go into a signature, so each one
//! pays for both ways of the Montgomery form.

use zeroize::Zeroize;

use super::limbs::{self, Limbs, Mask};

/// n.
pub(super) const ORDER: Limbs = [
    0x53bb_f409_39d5_4123,
    0x7203_df6b_21c6_052b,
    0xffff_ffff_ffff_ffff,
    0xffff_fffe_ffff_ffff,
];

/// −1/n mod 2^64.
const ORDER_INVERSE: u64 = {
    // Newton: each step doubles the bits that are right, and an odd number is its own inverse mod 8.
    let mut inverse = ORDER[0];
    let mut i = 0;
    while i < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(ORDER[0].wrapping_mul(inverse)));
        i += 1;
    }
    inverse.wrapping_neg()
};

/// 2^256 mod n: 2^256 − n, as n is above 2^255.
const RADIX: Limbs = limbs::sub(&[0; 4], &ORDER).0;

/// 2^512 mod n.
const RADIX_SQUARED: Limbs = {
    let mut power = RADIX;
    let mut i = 0;
    while i < 256 {
        power = limbs::add_mod(&power, &power, &ORDER);
        i += 1;
    }
    power
};

/// A number modulo n.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
pub(super) struct Scalar(Limbs);

impl Scalar {
    pub(super) const ONE: Self = Self([1, 0, 0, 0]);

    /// Reads 32 big-endian bytes; `None` unless the number is from 1 to n − 1.
    pub(super) fn from_bytes_nonzero(bytes: &[u8; 32]) -> Option<Self> {
        let limbs = limbs::from_bytes(bytes);
        let (_, below) = limbs::sub(&limbs, &ORDER);
        // One answer for both tests: which one failed stays unsaid.
        let fits = Mask::from_bit(u64::from(below)).and(limbs::is_zero(&limbs).not());
        fits.reveal().then_some(Self(limbs))
    }

    /// Reads 32 big-endian bytes and reduces them modulo n.
    pub(super) fn from_bytes_reduced(bytes: &[u8; 32]) -> Self {
        Self::reduced(&limbs::from_bytes(bytes))
    }

    /// Any number of 256 bits, reduced modulo n.
    pub(super) const fn reduced(limbs: &Limbs) -> Self {
        // Below 2n, as n is above 2^255.
        Self(limbs::subtract_once(limbs, false, &ORDER))
    }

    /// 32 big-endian bytes.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        limbs::to_bytes(&self.0)
    }

    /// The number, below n.
    pub(super) const fn limbs(&self) -> &Limbs {
        &self.0
    }

    pub(super) const fn add(&self, other: &Self) -> Self {
        Self(limbs::add_mod(&self.0, &other.0, &ORDER))
    }

    pub(super) const fn sub(&self, other: &Self) -> Self {
        Self(limbs::sub_mod(&self.0, &other.0, &ORDER))
    }

    pub(super) const fn mul(&self, other: &Self) -> Self {
        Self(montgomery(&montgomery(&self.0, &other.0), &RADIX_SQUARED))
    }

    /// 1/a by Fermat, a^(n−2), with the same operations for every a; 0 for 0.
    pub(super) fn invert(&self) -> Self {
        const EXPONENT: Limbs = limbs::sub(&ORDER, &[2, 0, 0, 0]).0;
        // powers[i] = a^i in Montgomery form; indexed by the exponent, which is public.
        let mut powers = [RADIX; 16];
        let base = montgomery(&self.0, &RADIX_SQUARED);
        for i in 1..16 {
            powers[i] = montgomery(&powers[i - 1], &base);
        }
        let mut power = RADIX;
        for position in (0..64).rev() {
            for _ in 0..4 {
                power = montgomery(&power, &power);
            }
            // Positions 0..64 of four bits each lie in four limbs.
            let digit = EXPONENT[position / 16] >> (position % 16 * 4) & 15;
            power = montgomery(&power, &powers[digit as usize]);
        }
        powers.zeroize();
        Self(montgomery(&power, &[1, 0, 0, 0]))
    }

    /// Whether the number is 0.
    pub(super) fn is_zero(&self) -> Mask {
        limbs::is_zero(&self.0)
    }

    /// The signed digit of `WIDTH` bits at `position` (Booth): its sign and its size, 0 to
    /// 2^(WIDTH−1). The number is the sum of digit · 2^(WIDTH · position).
    #[inline(always)]
    pub(super) fn digit<const WIDTH: usize>(&self, position: usize) -> (Mask, u64) {
        // One bit below the window belongs to it; below bit 0 there is a zero.
        let low = (WIDTH * position).saturating_sub(1);
        let (limb, shift) = (low / 64, low % 64);
        // The last window reaches past bit 255, where there are zeros.
        let at = |limb: usize| u128::from(self.0.get(limb).copied().unwrap_or(0));
        let bits = ((at(limb + 1) << 64 | at(limb)) >> shift) as u64;
        let bits = if position == 0 { bits << 1 } else { bits };
        let window = bits & ((1 << (WIDTH + 1)) - 1);
        let negative = Mask::from_bit(window >> WIDTH);
        let complement = (1 << (WIDTH + 1)) - 1 - window;
        let magnitude = window ^ negative.keep(window ^ complement);
        (negative, (magnitude >> 1) + (magnitude & 1))
    }
}

/// a · b / 2^256 mod n, for a below n and b below 2^256.
#[inline(always)]
const fn montgomery(a: &Limbs, b: &Limbs) -> Limbs {
    let t = limbs::mul(a, b);
    let mut low = [t[0], t[1], t[2], t[3]];
    let mut i = 0;
    while i < 4 {
        let m = low[0].wrapping_mul(ORDER_INVERSE);
        let (added, top) = limbs::mul_word(&ORDER, m);
        let (sum, carry) = limbs::add(&low, &added);
        // The lowest limb of the sum is 0; what is left is below 2^256, as in `field::reduce`.
        low = [sum[1], sum[2], sum[3], top.wrapping_add(carry as u64)];
        i += 1;
    }
    let (sum, carry) = limbs::add(&low, &[t[4], t[5], t[6], t[7]]);
    limbs::subtract_once(&sum, carry, &ORDER)
}
