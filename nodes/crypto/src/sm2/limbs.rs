//! Numbers of 256 bits as four 64-bit limbs, the least significant first.
//!
//! No function here branches on its arguments or uses them as an index: what depends on a value
//! is chosen by a [`Mask`], and sums wrap where they cannot overflow, because the check for
//! overflow in a development build would be a branch.

use std::hint::black_box;

/// 256 bits, least significant limb first.
pub(super) type Limbs = [u64; 4];

/// Yes (all ones) or no (zero), computed from a secret.
///
/// It passes through an optimisation barrier when made, so that the compiler cannot see that it has
/// two values only and turn a selection back into a branch.
#[derive(Clone, Copy)]
pub(super) struct Mask(u64);

impl Mask {
    /// From a bit: 0 or 1.
    #[inline(always)]
    pub(super) fn from_bit(bit: u64) -> Self {
        Self(black_box(bit.wrapping_neg()))
    }

    /// Whether `word` is zero.
    #[inline(always)]
    pub(super) fn is_zero(word: u64) -> Self {
        Self::from_bit(1 ^ ((word | word.wrapping_neg()) >> 63))
    }

    #[inline(always)]
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    #[inline(always)]
    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline(always)]
    pub(super) const fn not(self) -> Self {
        Self(!self.0)
    }

    /// `word` if yes, 0 if no.
    #[inline(always)]
    pub(super) const fn keep(self, word: u64) -> u64 {
        self.0 & word
    }

    /// The answer in the open, once it is no secret any more.
    #[inline(always)]
    pub(super) fn reveal(self) -> bool {
        #[cfg(all(test, target_arch = "x86_64"))]
        return super::tests::taint::declassified(self.0) != 0;
        #[cfg(not(all(test, target_arch = "x86_64")))]
        return self.0 != 0;
    }
}

/// `yes` or `no` by the mask.
#[inline(always)]
pub(super) const fn select(mask: Mask, yes: &Limbs, no: &Limbs) -> Limbs {
    [
        no[0] ^ mask.keep(no[0] ^ yes[0]),
        no[1] ^ mask.keep(no[1] ^ yes[1]),
        no[2] ^ mask.keep(no[2] ^ yes[2]),
        no[3] ^ mask.keep(no[3] ^ yes[3]),
    ]
}

/// a + b, and the carry.
#[inline(always)]
pub(super) const fn add(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (r0, c) = a[0].overflowing_add(b[0]);
    let (r1, c) = carrying_add(a[1], b[1], c);
    let (r2, c) = carrying_add(a[2], b[2], c);
    let (r3, c) = carrying_add(a[3], b[3], c);
    ([r0, r1, r2, r3], c)
}

/// a − b, and the borrow: whether a < b.
#[inline(always)]
pub(super) const fn sub(a: &Limbs, b: &Limbs) -> (Limbs, bool) {
    let (r0, c) = a[0].overflowing_sub(b[0]);
    let (r1, c) = borrowing_sub(a[1], b[1], c);
    let (r2, c) = borrowing_sub(a[2], b[2], c);
    let (r3, c) = borrowing_sub(a[3], b[3], c);
    ([r0, r1, r2, r3], c)
}

/// a + b mod `modulus`, for a and b below it.
#[inline(always)]
pub(super) const fn add_mod(a: &Limbs, b: &Limbs, modulus: &Limbs) -> Limbs {
    let (sum, carry) = add(a, b);
    subtract_once(&sum, carry, modulus)
}

/// a − b mod `modulus`, for a and b below it.
#[inline(always)]
pub(super) const fn sub_mod(a: &Limbs, b: &Limbs, modulus: &Limbs) -> Limbs {
    let (difference, borrow) = sub(a, b);
    let mask = (borrow as u64).wrapping_neg();
    let back = [
        modulus[0] & mask,
        modulus[1] & mask,
        modulus[2] & mask,
        modulus[3] & mask,
    ];
    add(&difference, &back).0
}

/// `carry`·2^256 + `value`, which is below 2·`modulus`, brought below `modulus`.
#[inline(always)]
pub(super) const fn subtract_once(value: &Limbs, carry: bool, modulus: &Limbs) -> Limbs {
    let (reduced, borrow) = sub(value, modulus);
    // Without a carry and with a borrow the value was small enough already.
    let keep = ((!carry & borrow) as u64).wrapping_neg();
    [
        reduced[0] ^ keep & (reduced[0] ^ value[0]),
        reduced[1] ^ keep & (reduced[1] ^ value[1]),
        reduced[2] ^ keep & (reduced[2] ^ value[2]),
        reduced[3] ^ keep & (reduced[3] ^ value[3]),
    ]
}

/// a · b in full.
#[inline(always)]
pub(super) const fn mul(a: &Limbs, b: &Limbs) -> [u64; 8] {
    let (low, c) = mul_word(a, b[0]);
    let mut t = [low[0], low[1], low[2], low[3], c, 0, 0, 0];
    let mut i = 1;
    while i < 4 {
        let (row, top) = mul_word(a, b[i]);
        let (sum, c) = add(&[t[i], t[i + 1], t[i + 2], t[i + 3]], &row);
        t[i] = sum[0];
        t[i + 1] = sum[1];
        t[i + 2] = sum[2];
        t[i + 3] = sum[3];
        // Never wraps: the product of 256 and 64 bits leaves room for the carry.
        t[i + 4] = top.wrapping_add(c as u64);
        i += 1;
    }
    t
}

/// a · `word`: the low 256 bits and the fifth limb.
#[inline(always)]
pub(super) const fn mul_word(a: &Limbs, word: u64) -> (Limbs, u64) {
    let (l0, h0) = carrying_mul(a[0], word, 0);
    let (l1, h1) = carrying_mul(a[1], word, 0);
    let (l2, h2) = carrying_mul(a[2], word, 0);
    let (l3, h3) = carrying_mul(a[3], word, 0);
    let (l1, c) = l1.overflowing_add(h0);
    let (l2, c) = carrying_add(l2, h1, c);
    let (l3, c) = carrying_add(l3, h2, c);
    // Never wraps: the high half of a product is at most 2^64 − 2.
    ([l0, l1, l2, l3], h3.wrapping_add(c as u64))
}

/// a² in full: each mixed product once, doubled, then the squares of the limbs.
#[inline(always)]
pub(super) const fn square(a: &Limbs) -> [u64; 8] {
    let (t1, c) = carrying_mul(a[0], a[1], 0);
    let (t2, c) = carrying_mul(a[0], a[2], c);
    let (t3, t4) = carrying_mul(a[0], a[3], c);
    let (t3, c) = carrying_mul_add(a[1], a[2], t3, 0);
    let (t4, t5) = carrying_mul_add(a[1], a[3], t4, c);
    let (t5, t6) = carrying_mul_add(a[2], a[3], t5, 0);

    let (s0, h0) = carrying_mul(a[0], a[0], 0);
    let (s2, h2) = carrying_mul(a[1], a[1], 0);
    let (s4, h4) = carrying_mul(a[2], a[2], 0);
    let (s6, h6) = carrying_mul(a[3], a[3], 0);
    let (r1, c) = (t1 << 1).overflowing_add(h0);
    let (r2, c) = carrying_add(t2 << 1 | t1 >> 63, s2, c);
    let (r3, c) = carrying_add(t3 << 1 | t2 >> 63, h2, c);
    let (r4, c) = carrying_add(t4 << 1 | t3 >> 63, s4, c);
    let (r5, c) = carrying_add(t5 << 1 | t4 >> 63, h4, c);
    let (r6, c) = carrying_add(t6 << 1 | t5 >> 63, s6, c);
    // Never wraps: a square of 256 bits fits in 512.
    let r7 = (t6 >> 63).wrapping_add(h6).wrapping_add(c as u64);
    [s0, r1, r2, r3, r4, r5, r6, r7]
}

/// a + b + carry, and the carry. (The methods of this name are not `const` in Rust 1.95.)
#[inline(always)]
const fn carrying_add(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (sum, c) = a.overflowing_add(b);
    let (sum, d) = sum.overflowing_add(carry as u64);
    (sum, c | d)
}

/// a − b − borrow, and the borrow.
#[inline(always)]
const fn borrowing_sub(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (difference, c) = a.overflowing_sub(b);
    let (difference, d) = difference.overflowing_sub(borrow as u64);
    (difference, c | d)
}

/// a · b + c, low and high.
#[inline(always)]
const fn carrying_mul(a: u64, b: u64, c: u64) -> (u64, u64) {
    carrying_mul_add(a, b, c, 0)
}

/// a · b + c + d, low and high: at most 2^128 − 1.
#[inline(always)]
const fn carrying_mul_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let wide = a as u128 * b as u128 + c as u128 + d as u128;
    (wide as u64, (wide >> 64) as u64)
}

/// Whether all limbs are zero.
#[inline(always)]
pub(super) fn is_zero(a: &Limbs) -> Mask {
    Mask::is_zero(a[0] | a[1] | a[2] | a[3])
}

/// Reads 32 big-endian bytes.
pub(super) fn from_bytes(bytes: &[u8; 32]) -> Limbs {
    let (words, _) = bytes.as_chunks::<8>();
    // 32 bytes are four words.
    [3, 2, 1, 0].map(|i| u64::from_be_bytes(words[i]))
}

/// Writes 32 big-endian bytes.
pub(super) fn to_bytes(a: &Limbs) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (out, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(a.iter().rev()) {
        *out = limb.to_be_bytes();
    }
    bytes
}
