//! SM4 with NEON and the AES instructions.
//!
//! SM4's S-box is an inversion in GF(2^8) between two affine maps. AESE inverts in AES's field, so
//! two other affine maps carry the value there and back, each a look-up of the byte's two halves in
//! a register (TBL: no memory is indexed by a secret). Four blocks lie across four registers, one
//! for each of SM4's four words, and four such groups run interleaved, since one round's steps
//! depend on each other.

use std::arch::aarch64::*;

use zeroize::Zeroizing;

use super::super::bitsliced::expand;
use super::super::kernel::BlockKernel;
use super::Token;

/// Four blocks: what one set of registers holds.
type Group = [[u8; 16]; 4];
/// Groups that run interleaved.
const GROUPS: usize = 4;

/// SM4 under one key.
pub(super) struct Block {
    keys: Zeroizing<[u32; 32]>,
    _token: Token<false>,
}

impl Block {
    pub(super) fn new(token: Token<false>, key: &[u8; 16]) -> Self {
        let keys = expand(key);
        Self {
            keys,
            _token: token,
        }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        let (batches, rest) = blocks.as_chunks_mut::<{ 4 * GROUPS }>();
        for batch in batches {
            // SAFETY: `_token` proves the features.
            unsafe { encrypt_batch(&self.keys, batch) };
        }
        // A batch takes little longer than a group, so several groups go as one.
        let mut padded = [[0; 16]; 4 * GROUPS];
        let used = rest.len();
        padded[..used].copy_from_slice(rest);
        match padded.first_chunk_mut() {
            _ if used == 0 => return,
            // SAFETY: `_token` proves the features.
            Some(group) if used <= 4 => unsafe { encrypt_groups(&self.keys, [group]) },
            // SAFETY: `_token` proves the features.
            _ => unsafe { encrypt_batch(&self.keys, &mut padded) },
        }
        rest.copy_from_slice(&padded[..used]);
    }
}

#[target_feature(enable = "neon,aes")]
fn encrypt_batch(keys: &[u32; 32], blocks: &mut [[u8; 16]; 4 * GROUPS]) {
    let (groups, _) = blocks.as_chunks_mut::<4>();
    if let [a, b, c, d] = groups {
        encrypt_groups(keys, [a, b, c, d]);
    }
}

#[target_feature(enable = "neon,aes")]
#[inline]
#[expect(unsafe_code, reason = "loads and stores of whole registers")]
fn encrypt_groups<const G: usize>(keys: &[u32; 32], groups: [&mut Group; G]) {
    let constants = Constants::load();
    let mut words = [[vdupq_n_u32(0); 4]; G];
    for (words, group) in words.iter_mut().zip(&groups) {
        // SAFETY: a group has the 64 bytes that are read.
        let uint32x4x4_t(a, b, c, d) = unsafe { vld4q_u32(group.as_ptr().cast()) };
        *words = [swap_bytes(a), swap_bytes(b), swap_bytes(c), swap_bytes(d)];
    }
    let (rounds, _) = keys.as_chunks::<4>();
    for keys in rounds {
        for (step, key) in keys.iter().enumerate() {
            let key = vdupq_n_u32(*key);
            for words in &mut words {
                let [x, y, z] = [1, 2, 3].map(|next| words[(step + next) % 4]);
                let sum = veorq_u32(veorq_u32(x, y), veorq_u32(z, key));
                words[step] = veorq_u32(words[step], constants.round(sum));
            }
        }
    }
    for ([a, b, c, d], group) in words.into_iter().zip(groups) {
        let reversed = uint32x4x4_t(swap_bytes(d), swap_bytes(c), swap_bytes(b), swap_bytes(a));
        // SAFETY: a group has the 64 bytes that are written.
        unsafe { vst4q_u32(group.as_mut_ptr().cast(), reversed) };
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn swap_bytes(words: uint32x4_t) -> uint32x4_t {
    vreinterpretq_u32_u8(vrev32q_u8(vreinterpretq_u8_u32(words)))
}

/// An affine map over GF(2), as what the lower and the upper half of a byte contribute.
struct Affine {
    low: [u8; 16],
    high: [u8; 16],
}

/// From SM4's input to AES's field: `φ(A·x + C)`, φ the field isomorphism that takes x to 0x23.
const TO_AES: Affine = Affine {
    low: [
        0x3e, 0xb2, 0x0e, 0x82, 0xbb, 0x37, 0x8b, 0x07, 0xa1, 0x2d, 0x91, 0x1d, 0x24, 0xa8, 0x14,
        0x98,
    ],
    high: [
        0x00, 0xdc, 0x2e, 0xf2, 0xc5, 0x19, 0xeb, 0x37, 0x08, 0xd4, 0x26, 0xfa, 0xcd, 0x11, 0xe3,
        0x3f,
    ],
};

/// From AES's S-box to SM4's: undoes AES's affine map, goes back by φ, and adds SM4's.
const FROM_AES: Affine = Affine {
    low: [
        0x6c, 0xd4, 0xa6, 0x1e, 0x52, 0xea, 0x98, 0x20, 0x0b, 0xb3, 0xc1, 0x79, 0x35, 0x8d, 0xff,
        0x47,
    ],
    high: [
        0x00, 0xe0, 0x50, 0xb0, 0x9d, 0x7d, 0xcd, 0x2d, 0xc0, 0x20, 0x90, 0x70, 0x5d, 0xbd, 0x0d,
        0xed,
    ],
};

/// AESE also shifts AES's rows: byte `i` of its input lands where this holds `i`. Taking bytes in
/// this order puts them back; with the order of each word turned, it rotates the words as well.
const UNSHIFT: [u8; 16] = [0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3];

const fn unshift_and_rotate_left(bytes: usize) -> [u8; 16] {
    let mut order = [0; 16];
    let mut place = 0;
    while place < 16 {
        order[place] = UNSHIFT[place / 4 * 4 + (place + 4 - bytes) % 4];
        place += 1;
    }
    order
}

/// What every round needs, in registers.
struct Constants {
    to_aes: [uint8x16_t; 2],
    from_aes: [uint8x16_t; 2],
    /// Undo AESE's shift and rotate each word left by 0, 8, 16 and 24 bits.
    rotate: [uint8x16_t; 4],
}

impl Constants {
    #[target_feature(enable = "neon")]
    #[inline]
    #[expect(unsafe_code, reason = "loads of whole registers")]
    fn load() -> Self {
        // SAFETY: an array of 16 bytes is read.
        let load = |bytes: &[u8; 16]| unsafe { vld1q_u8(bytes.as_ptr()) };
        Self {
            to_aes: [load(&TO_AES.low), load(&TO_AES.high)],
            from_aes: [load(&FROM_AES.low), load(&FROM_AES.high)],
            rotate: [
                load(const { &unshift_and_rotate_left(0) }),
                load(const { &unshift_and_rotate_left(1) }),
                load(const { &unshift_and_rotate_left(2) }),
                load(const { &unshift_and_rotate_left(3) }),
            ],
        }
    }

    /// L(S(x)) of four words (GB/T 32907, 6.2 T).
    #[target_feature(enable = "neon,aes")]
    #[inline]
    fn round(&self, x: uint32x4_t) -> uint32x4_t {
        let x = affine(&self.to_aes, vreinterpretq_u8_u32(x));
        let x = affine(&self.from_aes, vaeseq_u8(x, vdupq_n_u8(0)));
        let [r0, r8, r16, r24] = self
            .rotate
            .map(|order| vreinterpretq_u32_u8(vqtbl1q_u8(x, order)));
        // L is B ^ B<<<2 ^ B<<<10 ^ B<<<18 ^ B<<<24, so three of its terms rotate together.
        let by_two = veorq_u32(veorq_u32(r0, r8), r16);
        let by_two = vsriq_n_u32::<30>(vshlq_n_u32::<2>(by_two), by_two);
        veorq_u32(veorq_u32(r0, r24), by_two)
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn affine(map: &[uint8x16_t; 2], x: uint8x16_t) -> uint8x16_t {
    let low = vqtbl1q_u8(map[0], vandq_u8(x, vdupq_n_u8(0x0f)));
    let high = vqtbl1q_u8(map[1], vshrq_n_u8::<4>(x));
    veorq_u8(low, high)
}
