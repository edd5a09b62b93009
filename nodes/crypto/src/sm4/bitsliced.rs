//! SM4 for any processor, bitsliced: constant time without tables, branches or special instructions.
//!
//! 32 blocks at a time are turned into bit planes, and the S-box is a circuit of XOR and AND over
//! them. All of it is safe Rust over small arrays, which the compiler turns into vector code where
//! the target has it (SSE2, NEON, LSX). A single block costs as much as 32 of them.

mod planes;
mod sbox;

use planes::{BLOCKS, LANES, Word, join_reversed, split};
use zeroize::{Zeroize as _, Zeroizing};

use super::kernel::BlockKernel;

const ROUNDS: usize = 32;

/// SM4 under one key.
pub(super) struct Block(Box<Zeroizing<RoundKeys>>);

/// Of each round key, its bits: all ones where a bit of a byte is set.
type RoundKeys = [[u32; 8]; ROUNDS];

impl Block {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        let mut rounds = Box::new(Zeroizing::new([[0; 8]; ROUNDS]));
        for (round, (planes, key)) in rounds.iter_mut().zip(*expand(key)).enumerate() {
            let constants = drift(round + 1) ^ drift(round + 2) ^ drift(round + 3);
            let key = key ^ sbox::INPUT ^ constants;
            *planes = std::array::from_fn(|bit| (key >> bit & EVERY_BYTE) * 0xff);
        }
        Self(rounds)
    }

    fn encrypt_batch(&self, blocks: &mut [[u8; 16]; BLOCKS]) {
        let mut words = split(blocks);
        let [a, b, c, d] = &mut words;
        let (rounds, _) = self.0.as_chunks::<4>();
        for [first, second, third, fourth] in rounds {
            round(a, b, c, d, first);
            round(b, c, d, a, second);
            round(c, d, a, b, third);
            round(d, a, b, c, fourth);
        }
        join_reversed(words, blocks);
    }
}

impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        let (batches, rest) = blocks.as_chunks_mut();
        for batch in batches {
            self.encrypt_batch(batch);
        }
        if !rest.is_empty() {
            let mut batch = [[0; 16]; BLOCKS];
            batch[..rest.len()].copy_from_slice(rest);
            self.encrypt_batch(&mut batch);
            rest.copy_from_slice(&batch[..rest.len()]);
        }
    }
}

/// One in the lowest bit of every byte.
const EVERY_BYTE: u32 = 0x0101_0101;

/// One round: `into ^= L(S(x ^ y ^ z ^ key))` (GB/T 32907, 6.1 F), but for the S-box's constants.
#[inline(always)]
fn round(into: &mut Word, x: &Word, y: &Word, z: &Word, key: &[u32; 8]) {
    for lane in 0..LANES {
        let s = sbox::circuit(std::array::from_fn(|bit| {
            x[bit][lane] ^ y[bit][lane] ^ z[bit][lane] ^ key[bit]
        }));
        // L is B ^ B<<<2 ^ B<<<10 ^ B<<<18 ^ B<<<24. With P = B ^ B<<<8 and T = P ^ B<<<16 it is
        // P<<<24 ^ T<<<2, and a rotation by two bits moves a plane two places up.
        let p = s.map(|plane| plane ^ plane.rotate_left(8));
        let t: [u32; 8] = std::array::from_fn(|bit| p[bit] ^ s[bit].rotate_left(16));
        for bit in 0..8 {
            let by_two = match bit {
                0 | 1 => t[bit + 6].rotate_left(8),
                _ => t[bit - 2],
            };
            into[bit][lane] ^= p[bit].rotate_left(24) ^ by_two;
        }
    }
}

/// What word `index` of the state lacks because the circuit leaves out the S-box's output constant:
/// each round adds L of that constant to a word that the round four before it had made. Words 32 to
/// 35, the last ones, lack nothing.
fn drift(index: usize) -> u32 {
    let w = sbox::OUTPUT;
    let constant = w ^ w.rotate_left(2) ^ w.rotate_left(10) ^ w.rotate_left(18) ^ w.rotate_left(24);
    if index / 4 % 2 == 1 { constant } else { 0 }
}

/// The round keys (GB/T 32907, 7.3), for every path that has no instruction for them.
pub(super) fn expand(key: &[u8; 16]) -> Zeroizing<[u32; ROUNDS]> {
    let (parts, _) = key.as_chunks::<4>();
    let mut window: [u32; 4] = std::array::from_fn(|i| u32::from_be_bytes(parts[i]) ^ FK[i]);
    let mut keys = Zeroizing::new([0; ROUNDS]);
    for (key, ck) in keys.iter_mut().zip(CK) {
        let [a, b, c, d] = window;
        let s = sbox::substitute(b ^ c ^ d ^ ck);
        *key = a ^ s ^ s.rotate_left(13) ^ s.rotate_left(23);
        window = [b, c, d, *key];
    }
    window.zeroize();
    keys
}

/// What the key schedule adds to the key.
pub(super) const FK: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];

/// What the key schedule adds in each step: byte `j` of word `i` is 7(4i + j) modulo 256.
pub(super) const CK: [u32; ROUNDS] = {
    let mut words = [0; ROUNDS];
    let mut byte = 0;
    while byte < 4 * ROUNDS {
        words[byte / 4] |= ((7 * byte as u32) & 0xff) << (24 - byte % 4 * 8);
        byte += 1;
    }
    words
};
