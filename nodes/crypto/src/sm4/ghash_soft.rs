//! GHASH for any processor, in constant time: carry-less multiplication by integer multiplication.
//!
//! An integer product of numbers that have a bit in every fourth place only keeps its carries within
//! each group of four bits, so the lowest bit of each group is the carry-less product's (Pornin,
//! BearSSL `ghash_ctmul64.c`). A group can count to 15; the operand that the key gives is therefore
//! cut to 60 bits, fifteen groups, and its four upper bits are added by masks. It needs a processor
//! whose 64-bit multiplication takes the same time for all operands, as every 64-bit server
//! processor's does.
//!
//! Values are in POLYVAL's order (RFC 8452, appendix A), where no bit is reversed.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::compose;

/// Blocks multiplied by as many powers of the hash key before one reduction.
const POWERS: usize = 4;

/// GHASH under one hash key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Ghash {
    /// H^4, H^3, H^2, H.
    powers: [Factor; POWERS],
}

impl Ghash {
    pub(super) fn new(hash_key: &[u8; 16]) -> Self {
        let h = from_hash_key(hash_key);
        let first = Factor::new(h);
        let mut power = h;
        let mut powers = [(); POWERS].map(|()| {
            let factor = Factor::new(power);
            power = reduce(product(&[power], std::slice::from_ref(&first)));
            factor
        });
        powers.reverse();
        Self { powers }
    }

    /// Absorbs `data`, padded with zeros to whole blocks.
    fn update(&self, mut sum: u128, data: &[u8]) -> u128 {
        let (blocks, tail) = data.as_chunks::<16>();
        let (groups, rest) = blocks.as_chunks::<POWERS>();
        for group in groups {
            sum = self.absorb(sum, &group.map(u128::from_be_bytes));
        }
        for block in rest {
            sum = self.absorb(sum, &[u128::from_be_bytes(*block)]);
        }
        if !tail.is_empty() {
            let mut block = [0; 16];
            block[..tail.len()].copy_from_slice(tail);
            sum = self.absorb(sum, &[u128::from_be_bytes(block)]);
        }
        sum
    }

    /// Absorbs `N` blocks, at most [`POWERS`].
    #[inline(always)]
    fn absorb<const N: usize>(&self, sum: u128, blocks: &[u128; N]) -> u128 {
        const { assert!(0 < N && N <= POWERS) }
        let mut blocks = *blocks;
        blocks[0] ^= sum;
        reduce(product(&blocks, &self.powers[POWERS - N..]))
    }
}

impl compose::Ghash for Ghash {
    fn hash(&self, aad: &[u8], data: &[u8]) -> [u8; 16] {
        let sum = self.update(0, aad);
        let sum = self.update(sum, data);
        let lengths = u128::from_be_bytes(length_block(aad, data));
        self.absorb(sum, &[lengths]).to_be_bytes()
    }
}

/// The hash key in POLYVAL's order, times x: POLYVAL's multiplication divides by x^128, GHASH's
/// reversed one by x^127.
pub(super) fn from_hash_key(hash_key: &[u8; 16]) -> u128 {
    let h = u128::from_be_bytes(*hash_key);
    (h << 1) ^ ((h >> 127) * ((0xc2 << 120) | 1))
}

/// GHASH's last block: both lengths in bits.
pub(super) fn length_block(aad: &[u8], data: &[u8]) -> [u8; 16] {
    let bits = |bytes: &[u8]| 8 * bytes.len() as u128;
    ((bits(aad) << 64) | bits(data)).to_be_bytes()
}

/// One power of the hash key, ready to be multiplied by: Karatsuba's three operands.
#[derive(Zeroize)]
struct Factor {
    low: Spread,
    high: Spread,
    both: Spread,
}

impl Factor {
    fn new(value: u128) -> Self {
        let (low, high) = (value as u64, (value >> 64) as u64);
        Self {
            low: Spread::new(low),
            high: Spread::new(high),
            both: Spread::new(low ^ high),
        }
    }
}

/// 64 bits of a factor.
#[derive(Zeroize)]
struct Spread {
    /// The lower 60 bits, by place modulo 4.
    classes: [u64; 4],
    /// Bits 60 to 63: all ones where the bit is set.
    upper: [u64; 4],
}

/// Every fourth bit.
const CLASS: u64 = 0x1111_1111_1111_1111;

impl Spread {
    fn new(value: u64) -> Self {
        Self {
            classes: std::array::from_fn(|class| value & (CLASS >> 4 << class)),
            upper: std::array::from_fn(|bit| (value >> (60 + bit) & 1).wrapping_neg()),
        }
    }
}

/// The sum of the carry-less products of `values` by `factors`, 256 bits: upper and lower half.
#[inline(always)]
fn product(values: &[u128], factors: &[Factor]) -> [u128; 2] {
    let pairs = || values.iter().zip(factors);
    let low = sum_of_products(pairs().map(|(value, factor)| (*value as u64, &factor.low)));
    let high = sum_of_products(pairs().map(|(value, factor)| ((value >> 64) as u64, &factor.high)));
    let both = sum_of_products(
        pairs().map(|(value, factor)| ((value >> 64) as u64 ^ *value as u64, &factor.both)),
    );
    let middle = both ^ low ^ high;
    [high ^ (middle >> 64), low ^ (middle << 64)]
}

/// The carry-less sum of products. The rubbish between a class's bits is masked away once for all.
#[inline(always)]
fn sum_of_products<'a>(pairs: impl Iterator<Item = (u64, &'a Spread)>) -> u128 {
    let mut classes = [0u128; 4];
    let mut upper = [0u64; 4];
    for (value, factor) in pairs {
        for i in 0..4 {
            let part = u128::from(value & (CLASS << i));
            for j in 0..4 {
                classes[(i + j) % 4] ^= part.wrapping_mul(factor.classes[j].into());
            }
            upper[i] ^= value & factor.upper[i];
        }
    }
    let every_fourth = (u128::from(CLASS) << 64) | u128::from(CLASS);
    (0..4).fold(0, |sum, i| {
        sum ^ (classes[i] & (every_fourth << i)) ^ (u128::from(upper[i]) << (60 + i))
    })
}

/// Modulo x^128 + x^127 + x^126 + x^121 + 1, divided by x^128 (Montgomery's reduction).
#[inline(always)]
pub(super) fn reduce([high, low]: [u128; 2]) -> u128 {
    // Twice 64 bits are cancelled from below: the polynomial's lower half is 1, its upper 0xc2 << 56.
    let fold = |v: u64| {
        let v = u128::from(v) << 64;
        v ^ (v >> 1) ^ (v >> 2) ^ (v >> 7)
    };
    let folded = fold(low as u64);
    let second = (low >> 64) as u64 ^ folded as u64;
    high ^ (folded >> 64) ^ fold(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The carry-less product, bit by bit: upper and lower half.
    fn textbook(a: u128, b: u128) -> [u128; 2] {
        (0..128)
            .filter(|bit| b >> bit & 1 == 1)
            .fold([0, 0], |[high, low], bit| {
                let above = if bit == 0 { 0 } else { a >> (128 - bit) };
                [high ^ above, low ^ (a << bit)]
            })
    }

    #[test]
    fn products_carry_nothing_even_where_every_group_is_full() {
        let halves = [
            0,
            1,
            0xf << 60,
            CLASS,
            CLASS << 3,
            u64::MAX,
            0x9e37_79b9_7f4a_7c15,
        ];
        let values = || {
            halves
                .into_iter()
                .flat_map(|high| halves.map(|low| (u128::from(high) << 64) | u128::from(low)))
        };
        for a in values() {
            for b in values() {
                let factors = [Factor::new(b), Factor::new(!b)];
                let one = product(&[a], &factors[..1]);
                assert_eq!(one, textbook(a, b), "{a:032x} {b:032x}");
                let ([x, y], [z, w]) = (textbook(a, b), textbook(!a, !b));
                let sum = product(&[a, !a], &factors);
                assert_eq!(sum, [x ^ z, y ^ w], "{a:032x} {b:032x}");
            }
        }
    }

    #[test]
    fn reduction_divides_by_x_to_the_128() {
        // x^128 itself becomes 1; a product with it, the other factor (RFC 8452, 3: dot).
        assert_eq!(reduce([1, 0]), 1);
        let x128 = 1 | (0xc2 << 120); // x^128 modulo the polynomial
        for value in [0, 1, 0xc2 << 120, u128::MAX, 0x0123_4567_89ab_cdef << 32] {
            assert_eq!(reduce(product(&[value], &[Factor::new(x128)])), value);
        }
    }
}
