//! GHASH (NIST SP 800-38D, 6.4), computed as POLYVAL (RFC 8452, appendix A): bytes reversed, and
//! H multiplied by x, so that numbers need no bit reversal. Up to [`POWERS`] blocks are multiplied
//! by as many powers of H before one reduction.

use zeroize::Zeroize as _;

use super::Machine;
use super::vector::{Multiply, Vector, Xmm};

/// Blocks to a reduction.
const POWERS: usize = 16;

/// H^16 … H^1 in POLYVAL's form, lowest power last.
#[repr(C, align(64))]
pub(super) struct Powers([[u8; 16]; POWERS]);

impl Powers {
    pub(super) const EMPTY: Self = Self([[0; 16]; POWERS]);
}

impl Drop for Powers {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Prepares for the hash key, the encrypted zero block. Writes into `powers`, so that no copy stays
/// behind.
#[inline(always)]
pub(super) fn prepare<M: Machine>(machine: M, powers: &mut Powers, hash_key: &[u8; 16]) {
    let h = u128::from_be_bytes(*hash_key);
    let carry = h >> 127;
    let h = Xmm::from_number(machine, (h << 1) ^ (carry * ((0xc2 << 120) | 1)));
    let mut all = [h; POWERS];
    for power in 2..=POWERS {
        // Halves of the exponent: short chains of multiplications.
        all[power - 1] = multiply(machine, all[power / 2 - 1], all[power - power / 2 - 1]);
    }
    for (out, power) in powers.0.iter_mut().rev().zip(all) {
        power.store(out);
    }
}

/// Reduces a 256-bit product given as low, middle and high parts.
#[inline(always)]
fn reduce<M: Machine>(machine: M, low: Xmm<M>, middle: Xmm<M>, high: Xmm<M>) -> Xmm<M> {
    let polynomial = Xmm::from_number(machine, 0xc2 << 120 | 1);
    let low = low.xor(middle.low_to_high());
    let high = high.xor(middle.high_to_low());
    let low = low.swap_halves().xor(low.multiply::<0x10>(polynomial));
    low.swap_halves()
        .xor3(low.multiply::<0x10>(polynomial), high)
}

#[inline(always)]
fn multiply<M: Machine>(machine: M, a: Xmm<M>, b: Xmm<M>) -> Xmm<M> {
    let middle = a.multiply::<0x01>(b).xor(a.multiply::<0x10>(b));
    reduce(
        machine,
        a.multiply::<0x00>(b),
        middle,
        a.multiply::<0x11>(b),
    )
}

/// Adds `sum` to the first of up to [`POWERS`] blocks and multiplies each by its power of H. The
/// blocks make whole registers.
#[inline(always)]
fn absorb<M: Machine>(machine: M, powers: &Powers, sum: Xmm<M>, blocks: &[u8]) -> Xmm<M> {
    let register = 16 * M::Hash::LANES;
    let reverse = M::Hash::splat(machine, &REVERSED);
    let mut first = M::Hash::first_lane(machine, sum);
    let zero = M::Hash::splat_word(machine, 0);
    let (mut low, mut middle, mut high) = (zero, zero, zero);
    let powers = powers.0.as_flattened();
    // At most POWERS blocks come in.
    let powers = &powers[powers.len() - blocks.len()..];
    for (block, power) in blocks
        .chunks_exact(register)
        .zip(powers.chunks_exact(register))
    {
        let x = M::Hash::load(machine, block).shuffle(reverse).xor(first);
        let h = M::Hash::load(machine, power);
        first = zero;
        low = low.xor(x.multiply::<0x00>(h));
        high = high.xor(x.multiply::<0x11>(h));
        middle = middle.xor3(x.multiply::<0x01>(h), x.multiply::<0x10>(h));
    }
    reduce(machine, low.fold(), middle.fold(), high.fold())
}

const REVERSED: [u8; 16] = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];

/// Up to [`POWERS`] blocks collected from parts, each padded with zeros to whole blocks.
#[repr(C, align(64))]
struct Collected {
    bytes: [u8; 16 * POWERS],
    used: usize,
}

impl Collected {
    #[inline(always)]
    fn with_room_for(blocks: usize) -> Self {
        debug_assert!(blocks <= POWERS);
        Self {
            bytes: [0; 16 * POWERS],
            used: 16 * (POWERS - blocks),
        }
    }

    #[inline(always)]
    fn push(&mut self, part: &[u8]) {
        self.bytes[self.used..self.used + part.len()].copy_from_slice(part);
        self.used += part.len().next_multiple_of(16);
    }

    /// The blocks stand at the end, to meet H^1 last; zero blocks before them count for nothing, so
    /// `sum` joins the first real one in memory.
    #[inline(always)]
    fn absorb<M: Machine>(
        mut self,
        machine: M,
        powers: &Powers,
        sum: Xmm<M>,
        blocks: usize,
    ) -> Xmm<M> {
        let start = 16 * (POWERS - blocks);
        let first = &mut self.bytes[start..start + 16];
        let reverse = Xmm::splat(machine, &REVERSED);
        Xmm::load(machine, first)
            .xor(sum.shuffle(reverse))
            .store(first);
        let start = start / (16 * M::Hash::LANES) * (16 * M::Hash::LANES);
        let zero = Xmm::from_number(machine, 0);
        absorb(machine, powers, zero, &self.bytes[start..])
    }
}

/// GHASH of `aad` and `data`, each padded with zeros to whole blocks, and their bit lengths, as a
/// big-endian number.
#[inline(always)]
pub(super) fn hash<M: Machine>(machine: M, powers: &Powers, aad: &[u8], data: &[u8]) -> u128 {
    let lengths = (aad.len() as u128) << 67 | (data.len() as u128) << 3;
    let lengths = lengths.to_be_bytes();
    let (aad_blocks, data_blocks) = (aad.len().div_ceil(16), data.len().div_ceil(16));
    let mut sum = Xmm::from_number(machine, 0);
    let mut rest = data;
    let mut blocks = aad_blocks.saturating_add(data_blocks) + 1;
    let mut short_aad = aad;
    if blocks > POWERS {
        let (whole, aad_rest) = aad.as_chunks::<{ 16 * POWERS }>();
        for part in whole {
            sum = absorb(machine, powers, sum, part);
        }
        if !aad_rest.is_empty() {
            let aad_blocks = aad_rest.len().div_ceil(16);
            let mut collected = Collected::with_room_for(aad_blocks);
            collected.push(aad_rest);
            sum = collected.absorb(machine, powers, sum, aad_blocks);
        }
        let (whole, data_rest) = data.as_chunks::<{ 16 * POWERS }>();
        for part in whole {
            sum = absorb(machine, powers, sum, part);
        }
        rest = data_rest;
        short_aad = &[];
        blocks = rest.len().div_ceil(16) + 1;
        if blocks > POWERS {
            // Sixteen blocks, the last one cut: the lengths do not fit any more.
            let mut collected = Collected::with_room_for(POWERS);
            collected.push(rest);
            sum = collected.absorb(machine, powers, sum, POWERS);
            rest = &[];
            blocks = 1;
        }
    }
    let mut collected = Collected::with_room_for(blocks);
    collected.push(short_aad);
    collected.push(rest);
    collected.push(&lengths);
    collected.absorb(machine, powers, sum, blocks).to_number()
}
