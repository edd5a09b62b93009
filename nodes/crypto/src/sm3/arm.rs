//! SM3 on 64-bit Arm by the SM3 instructions (FEAT_SM3).
//!
//! Rust 1.95 has no stable intrinsics for them, so they are assembly of one instruction each. The
//! state lies in two registers, A to D and E to H, the first word in the highest lane.

use std::arch::aarch64::*;
use std::arch::asm;

use super::path::{Kernel, Lanes};
use super::{Block, State, T};

pub(super) const KERNEL: Kernel = Kernel {
    name: "arm-sm3",
    // The kernel reports SM3 and SM4 apart, Rust only both together.
    runs_here: || std::arch::is_aarch64_feature_detected!("sm4"),
    compress,
    lanes: Lanes::Four(compress_lanes),
    lanes_min: 2,
};

/// The messages one after the other: the processor overlaps them.
#[target_feature(enable = "neon,sm4")]
fn compress_lanes(state: &mut [[u32; 4]; 8], blocks: &[&[Block]; 4]) {
    for (lane, blocks) in blocks.iter().enumerate() {
        let mut one = state.map(|words| words[lane]);
        compress(&mut one, blocks);
        for (words, word) in state.iter_mut().zip(one) {
            words[lane] = word;
        }
    }
}

#[target_feature(enable = "neon,sm4")]
#[expect(unsafe_code, reason = "loads and stores of whole registers")]
fn compress(state: &mut State, blocks: &[Block]) {
    let [a, b, c, d, e, f, g, h] = *state;
    let load = |words: [u32; 4]| {
        // SAFETY: four words are read.
        unsafe { vld1q_u32(words.as_ptr()) }
    };
    let (mut abcd, mut efgh) = (load([d, c, b, a]), load([h, g, f, e]));
    for block in blocks {
        let before = (abcd, efgh);
        let message = expand(block);
        for quarter in 0..4 {
            let words = [message[quarter], message[quarter + 1]];
            (abcd, efgh) = four_rounds::<false>((abcd, efgh), words, 4 * quarter);
        }
        for quarter in 4..16 {
            let words = [message[quarter], message[quarter + 1]];
            (abcd, efgh) = four_rounds::<true>((abcd, efgh), words, 4 * quarter);
        }
        (abcd, efgh) = (veorq_u32(abcd, before.0), veorq_u32(efgh, before.1));
    }
    let mut words = [0; 8];
    // SAFETY: eight words are written, four at a time.
    unsafe {
        vst1q_u32(words.as_mut_ptr(), efgh);
        vst1q_u32(words.as_mut_ptr().add(4), abcd);
    }
    words.reverse();
    *state = words;
}

/// W_0 to W_67 (GB/T 32905, 5.3.2).
#[target_feature(enable = "neon,sm4")]
#[inline]
#[expect(unsafe_code, reason = "loads, and instructions without intrinsics")]
fn expand(block: &Block) -> [uint32x4_t; 17] {
    let mut w = [vdupq_n_u32(0); 17];
    for (words, bytes) in w.iter_mut().zip(block.as_chunks::<16>().0) {
        // SAFETY: 16 bytes are read.
        let bytes = unsafe { vld1q_u8(bytes.as_ptr()) };
        *words = vreinterpretq_u32_u8(vrev32q_u8(bytes));
    }
    for i in 4..17 {
        let [w0, w4, w8, w12] = [w[i - 4], w[i - 3], w[i - 2], w[i - 1]];
        let [w3, w7, w10] = [
            vextq_u32::<3>(w0, w4),
            vextq_u32::<3>(w4, w8),
            vextq_u32::<2>(w8, w12),
        ];
        let mut next = w7;
        // SAFETY: reads and writes only its registers; the caller has the feature.
        unsafe {
            asm!("sm3partw1 {next:v}.4s, {w0:v}.4s, {w12:v}.4s",
                "sm3partw2 {next:v}.4s, {w10:v}.4s, {w3:v}.4s",
                next = inout(vreg) next, w0 = in(vreg) w0, w12 = in(vreg) w12,
                w10 = in(vreg) w10, w3 = in(vreg) w3,
                options(pure, nomem, nostack, preserves_flags));
        }
        w[i] = next;
    }
    w
}

/// Rounds `first` to `first + 3` with their four message words and the four after those.
#[target_feature(enable = "neon,sm4")]
#[inline]
fn four_rounds<const LATE: bool>(
    state: (uint32x4_t, uint32x4_t),
    [words, later]: [uint32x4_t; 2],
    first: usize,
) -> (uint32x4_t, uint32x4_t) {
    let mixed = veorq_u32(words, later);
    let state = round::<LATE, 0>(state, words, mixed, T[first]);
    let state = round::<LATE, 1>(state, words, mixed, T[first + 1]);
    let state = round::<LATE, 2>(state, words, mixed, T[first + 2]);
    round::<LATE, 3>(state, words, mixed, T[first + 3])
}

/// One round (GB/T 32905, 5.3.3); `LATE` from round 16 on.
#[target_feature(enable = "neon,sm4")]
#[inline]
#[expect(unsafe_code, reason = "instructions without intrinsics")]
fn round<const LATE: bool, const LANE: u32>(
    (mut abcd, mut efgh): (uint32x4_t, uint32x4_t),
    words: uint32x4_t,
    mixed: uint32x4_t,
    t: u32,
) -> (uint32x4_t, uint32x4_t) {
    let t = vdupq_n_u32(t);
    let ss1: uint32x4_t;
    // SAFETY: each reads and writes only its registers; the caller has the feature.
    unsafe {
        asm!("sm3ss1 {ss1:v}.4s, {abcd:v}.4s, {efgh:v}.4s, {t:v}.4s",
            ss1 = lateout(vreg) ss1, abcd = in(vreg) abcd, efgh = in(vreg) efgh, t = in(vreg) t,
            options(pure, nomem, nostack, preserves_flags));
        if LATE {
            asm!("sm3tt1b {abcd:v}.4s, {ss1:v}.4s, {mixed:v}.s[{lane}]",
                "sm3tt2b {efgh:v}.4s, {ss1:v}.4s, {words:v}.s[{lane}]",
                abcd = inout(vreg) abcd, efgh = inout(vreg) efgh, ss1 = in(vreg) ss1,
                mixed = in(vreg) mixed, words = in(vreg) words, lane = const LANE,
                options(pure, nomem, nostack, preserves_flags));
        } else {
            asm!("sm3tt1a {abcd:v}.4s, {ss1:v}.4s, {mixed:v}.s[{lane}]",
                "sm3tt2a {efgh:v}.4s, {ss1:v}.4s, {words:v}.s[{lane}]",
                abcd = inout(vreg) abcd, efgh = inout(vreg) efgh, ss1 = in(vreg) ss1,
                mixed = in(vreg) mixed, words = in(vreg) words, lane = const LANE,
                options(pure, nomem, nostack, preserves_flags));
        }
    }
    (abcd, efgh)
}
