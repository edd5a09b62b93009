//! SM4 by the SM4 instructions (FEAT_SM4): SM4E does four rounds of a block, SM4EKEY four steps of
//! the key schedule.
//!
//! Rust 1.95 has no stable intrinsics for the two, so they are assembly of one instruction each.

use std::arch::aarch64::*;
use std::arch::asm;

use zeroize::Zeroizing;

use super::super::bitsliced::{CK, FK};
use super::super::kernel::BlockKernel;
use super::Token;

/// Blocks that run interleaved: SM4E takes several cycles.
const BLOCKS: usize = 8;

/// SM4 under one key.
pub(super) struct Block {
    /// The round keys, four for each SM4E.
    keys: Zeroizing<[[u32; 4]; 8]>,
    _token: Token<true>,
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Block {
    pub(super) fn new(token: Token<true>, key: &[u8; 16]) -> Self {
        // SAFETY: `token` proves the features.
        let keys = unsafe { expand(key) };
        Self {
            keys,
            _token: token,
        }
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        let (batches, rest) = blocks.as_chunks_mut::<BLOCKS>();
        for batch in batches {
            // SAFETY: `_token` proves the features.
            unsafe { encrypt_batch(&self.keys, batch) };
        }
        if let [block] = rest {
            // SAFETY: `_token` proves the features.
            unsafe { encrypt_batch(&self.keys, std::array::from_mut(block)) };
        } else if !rest.is_empty() {
            let mut padded = [[0; 16]; BLOCKS];
            padded[..rest.len()].copy_from_slice(rest);
            // SAFETY: `_token` proves the features.
            unsafe { encrypt_batch(&self.keys, &mut padded) };
            rest.copy_from_slice(&padded[..rest.len()]);
        }
    }
}

#[target_feature(enable = "neon,sm4")]
#[expect(unsafe_code, reason = "loads and stores of whole registers")]
fn encrypt_batch<const N: usize>(keys: &[[u32; 4]; 8], blocks: &mut [[u8; 16]; N]) {
    let mut states = [vdupq_n_u32(0); N];
    for (state, block) in states.iter_mut().zip(&*blocks) {
        // SAFETY: a block has the 16 bytes that are read.
        let bytes = unsafe { vld1q_u8(block.as_ptr()) };
        *state = vreinterpretq_u32_u8(vrev32q_u8(bytes));
    }
    for key in keys {
        let key = load(key);
        for state in &mut states {
            *state = four_rounds(*state, key);
        }
    }
    for (state, block) in states.into_iter().zip(blocks) {
        // The words in reverse and each big-endian: the bytes in reverse (GB/T 32907, 7.2 R).
        let halves = vrev64q_u8(vreinterpretq_u8_u32(state));
        // SAFETY: a block has the 16 bytes that are written.
        unsafe { vst1q_u8(block.as_mut_ptr(), vextq_u8::<8>(halves, halves)) };
    }
}

#[target_feature(enable = "neon,sm4")]
#[expect(unsafe_code, reason = "a store of a whole register")]
fn expand(key: &[u8; 16]) -> Zeroizing<[[u32; 4]; 8]> {
    let (parts, _) = key.as_chunks::<4>();
    let start = Zeroizing::new(std::array::from_fn(|i| {
        u32::from_be_bytes(parts[i]) ^ FK[i]
    }));
    let mut window = load(&start);
    let mut keys = Zeroizing::new([[0; 4]; 8]);
    let (constants, _) = CK.as_chunks::<4>();
    for (keys, constants) in keys.iter_mut().zip(constants) {
        window = four_keys(window, load(constants));
        // SAFETY: four words are written.
        unsafe { vst1q_u32(keys.as_mut_ptr(), window) };
    }
    keys
}

#[target_feature(enable = "neon")]
#[inline]
#[expect(unsafe_code, reason = "a load of a whole register")]
fn load(words: &[u32; 4]) -> uint32x4_t {
    // SAFETY: four words are read.
    unsafe { vld1q_u32(words.as_ptr()) }
}

/// Four rounds under four round keys.
#[target_feature(enable = "neon,sm4")]
#[inline]
#[expect(unsafe_code, reason = "an instruction without an intrinsic")]
fn four_rounds(mut state: uint32x4_t, keys: uint32x4_t) -> uint32x4_t {
    // SAFETY: reads and writes only its two registers; the caller has the feature.
    unsafe {
        asm!("sm4e {state:v}.4s, {keys:v}.4s", state = inout(vreg) state, keys = in(vreg) keys,
            options(pure, nomem, nostack, preserves_flags));
    }
    state
}

/// The next four round keys from the last four.
#[target_feature(enable = "neon,sm4")]
#[inline]
#[expect(unsafe_code, reason = "an instruction without an intrinsic")]
fn four_keys(last: uint32x4_t, constants: uint32x4_t) -> uint32x4_t {
    let next: uint32x4_t;
    // SAFETY: reads and writes only its three registers; the caller has the feature.
    unsafe {
        asm!("sm4ekey {next:v}.4s, {last:v}.4s, {constants:v}.4s", next = lateout(vreg) next,
            last = in(vreg) last, constants = in(vreg) constants,
            options(pure, nomem, nostack, preserves_flags));
    }
    next
}
