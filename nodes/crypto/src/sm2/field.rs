//! Numbers modulo p = 2^256 − 2^224 − 2^96 + 2^64 − 1, the field of the curve (GB/T 32918.5).
//!
//! Kept in Montgomery form (a·2^256 mod p) and always below p, so equal numbers have equal limbs.
//! As p ≡ −1 mod 2^64, a step of the Montgomery reduction needs no multiplication.

use zeroize::Zeroize;

use super::limbs::{self, Limbs, Mask};

/// p.
pub(super) const MODULUS: Limbs = [
    0xffff_ffff_ffff_ffff,
    0xffff_ffff_0000_0000,
    0xffff_ffff_ffff_ffff,
    0xffff_fffe_ffff_ffff,
];

/// 2^256 mod p, which is the Montgomery form of 1.
const RADIX: Limbs = [1, 0xffff_ffff, 0, 0x1_0000_0000];

/// 2^512 mod p, which takes a number into Montgomery form.
const RADIX_SQUARED: Limbs = {
    let mut power = RADIX;
    let mut i = 0;
    while i < 256 {
        power = limbs::add_mod(&power, &power, &MODULUS);
        i += 1;
    }
    power
};

/// A number modulo p.
#[derive(Clone, Copy, PartialEq, Eq, Zeroize)]
pub(super) struct Field(Limbs);

impl Field {
    pub(super) const ZERO: Self = Self([0; 4]);
    pub(super) const ONE: Self = Self(RADIX);

    /// Takes a number below p, as plain limbs.
    pub(super) const fn from_limbs(plain: &Limbs) -> Self {
        Self(reduce(&limbs::mul(plain, &RADIX_SQUARED)))
    }

    /// Reads 32 big-endian bytes; a number that is not below p is none of the field.
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        let plain = limbs::from_bytes(bytes);
        let (_, below) = limbs::sub(&plain, &MODULUS);
        below.then(|| Self::from_limbs(&plain))
    }

    /// The number itself, below p.
    pub(super) fn to_limbs(self) -> Limbs {
        let [a, b, c, d] = self.0;
        reduce(&[a, b, c, d, 0, 0, 0, 0])
    }

    /// 32 big-endian bytes.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        limbs::to_bytes(&self.to_limbs())
    }

    #[inline(always)]
    pub(super) const fn add(&self, other: &Self) -> Self {
        Self(limbs::add_mod(&self.0, &other.0, &MODULUS))
    }

    #[inline(always)]
    pub(super) const fn double(&self) -> Self {
        self.add(self)
    }

    #[inline(always)]
    pub(super) const fn sub(&self, other: &Self) -> Self {
        Self(limbs::sub_mod(&self.0, &other.0, &MODULUS))
    }

    #[inline(always)]
    pub(super) const fn neg(&self) -> Self {
        Self::ZERO.sub(self)
    }

    #[inline(always)]
    pub(super) const fn mul(&self, other: &Self) -> Self {
        Self(reduce(&limbs::mul(&self.0, &other.0)))
    }

    #[inline(always)]
    pub(super) const fn square(&self) -> Self {
        Self(reduce(&limbs::square(&self.0)))
    }

    /// The number squared `times` times over.
    fn squared(&self, times: u32) -> Self {
        let mut power = *self;
        for _ in 0..times {
            power = power.square();
        }
        power
    }

    /// 1/a by Fermat, a^(p−2), with the same operations for every a; 0 for 0.
    ///
    /// p − 2 in words of 32 bits: fffffffe, four of ffffffff, 00000000, ffffffff, fffffffd. `ones(k)`
    /// below is a^(2^k − 1), k ones in a row.
    pub(super) fn invert(&self) -> Self {
        let ones_2 = self.square().mul(self);
        let ones_4 = ones_2.squared(2).mul(&ones_2);
        let ones_8 = ones_4.squared(4).mul(&ones_4);
        let ones_16 = ones_8.squared(8).mul(&ones_8);
        let ones_24 = ones_16.squared(8).mul(&ones_8);
        let ones_28 = ones_24.squared(4).mul(&ones_4);
        let ones_30 = ones_28.squared(2).mul(&ones_2);
        let ones_31 = ones_30.square().mul(self);
        let ones_32 = ones_31.square().mul(self);
        let mut power = ones_31.squared(33).mul(&ones_32);
        for _ in 0..3 {
            power = power.squared(32).mul(&ones_32);
        }
        power = power.squared(64).mul(&ones_32);
        power = power.squared(30).mul(&ones_30);
        power.squared(2).mul(self)
    }

    /// Whether the number is 0.
    #[inline(always)]
    pub(super) fn is_zero(&self) -> Mask {
        limbs::is_zero(&self.0)
    }

    /// `yes` or `no` by the mask.
    #[inline(always)]
    pub(super) const fn select(mask: Mask, yes: &Self, no: &Self) -> Self {
        Self(limbs::select(mask, &yes.0, &no.0))
    }

    /// Adds `entry` if the mask says yes; exactly one entry of a table scan does.
    #[inline(always)]
    pub(super) const fn take(&mut self, mask: Mask, entry: &Self) {
        self.0[0] |= mask.keep(entry.0[0]);
        self.0[1] |= mask.keep(entry.0[1]);
        self.0[2] |= mask.keep(entry.0[2]);
        self.0[3] |= mask.keep(entry.0[3]);
    }
}

/// t / 2^256 mod p, for t below 2^256·p.
///
/// Each of four steps takes m = the lowest limb (as −1/p ≡ 1 mod 2^64), adds m·p and drops that limb:
/// with m·p = m·2^256 − m·2^224 − m·2^96 + m·2^64 − m, what is added to the limbs above it is
/// m·2^192 + m − m·2^160 − m·2^32.
#[inline(always)]
const fn reduce(t: &[u64; 8]) -> Limbs {
    let mut low = [t[0], t[1], t[2], t[3]];
    let mut i = 0;
    while i < 4 {
        let m = low[0];
        let (shifted, over) = (m << 32, m >> 32);
        // Never negative: the sum of the two positive terms is the larger.
        let (added, _) = limbs::sub(&[m, 0, 0, m], &[shifted, over, shifted, over]);
        // Below 2^256 again: (2^256 + (2^64 − 1)·p) / 2^64 is.
        (low, _) = limbs::add(&[low[1], low[2], low[3], 0], &added);
        i += 1;
    }
    let (sum, carry) = limbs::add(&low, &[t[4], t[5], t[6], t[7]]);
    limbs::subtract_once(&sum, carry, &MODULUS)
}
