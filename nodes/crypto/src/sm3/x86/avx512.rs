//! SM3 with AVX-512: one stream in groups of eight blocks, a short one with message words of four blocks
//! at once, or sixteen messages.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::group;
use super::rounds::{Words, rounds};
use super::stream::stream;
use crate::sm3::lanes::{self, Vector};
use crate::sm3::path::{Kernel, Lanes};
use crate::sm3::{Block, State};

pub(in crate::sm3) const KERNEL: Kernel = Kernel {
    name: "avx512",
    runs_here: || {
        is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
    },
    compress: compress_any,
    lanes: Lanes::Sixteen(compress_lanes),
    lanes_min: 3,
};

stream!("bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl", Expansion);

/// Compresses the blocks into the state, group by group if they make one.
#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
fn compress_any(state: &mut State, blocks: &[Block]) {
    if blocks.len() < group::BLOCKS {
        compress(state, blocks);
    } else {
        group::compress(state, blocks);
    }
}

/// Truth tables of `_mm512_ternarylogic_epi32`.
const XOR3: i32 = 0x96;
const MAJORITY: i32 = 0xe8;
const CHOOSE: i32 = 0xca;

/// The next sixteen words of W of four blocks, a block to a 128-bit lane.
struct Expansion([__m512i; 4]);

#[expect(unsafe_code, reason = "unaligned loads, and stores into the buffers")]
impl Expansion {
    const BLOCKS: usize = 4;

    #[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
    #[inline]
    fn new(blocks: &[Block]) -> Self {
        let to_words = _mm512_broadcast_i32x4(big_endian());
        // A block that is missing stands in as the first: its words are not used.
        let block = |i: usize| blocks.get(i).unwrap_or(&blocks[0]).as_chunks::<16>().0;
        let (a, b, c, d) = (block(0), block(1), block(2), block(3));
        let mut words = [to_words; 4];
        for (i, words) in words.iter_mut().enumerate() {
            let x = _mm512_castsi128_si512(load(&a[i]));
            let x = _mm512_inserti32x4::<1>(x, load(&b[i]));
            let x = _mm512_inserti32x4::<2>(x, load(&c[i]));
            let x = _mm512_inserti32x4::<3>(x, load(&d[i]));
            *words = _mm512_shuffle_epi8(x, to_words);
        }
        Self(words)
    }

    #[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
    #[inline]
    fn step(&mut self, i: usize, out: &mut [MaybeUninit<Words>; 4]) {
        assert!(i < 16, "sixteen steps write 64 words");
        let [x0, x1, x2, x3] = self.0;
        let mixed = _mm512_xor_si512(x0, x1);
        macro_rules! store {
            ($($block:literal)*) => {$(
                let words = out[$block].as_mut_ptr();
                // SAFETY: writes words 4·i to 4·i + 3 of 64, and `Words` is aligned.
                unsafe {
                    let (plain_at, mixed_at) = (&raw mut (*words).plain, &raw mut (*words).mixed);
                    let x = _mm512_extracti32x4_epi32::<$block>(x0);
                    _mm_store_si128(plain_at.cast::<__m128i>().add(i), x);
                    let x = _mm512_extracti32x4_epi32::<$block>(mixed);
                    _mm_store_si128(mixed_at.cast::<__m128i>().add(i), x);
                }
            )*};
        }
        store!(0 1 2 3);
        // W[j−9], W[j−3] (its fourth word is not there yet), W[j−13], W[j−6]
        let w9 = _mm512_alignr_epi8::<12>(x2, x1);
        let w3 = _mm512_bsrli_epi128::<4>(x3);
        let w13 = _mm512_alignr_epi8::<12>(x1, x0);
        let w6 = _mm512_alignr_epi8::<8>(x3, x2);
        let x = _mm512_ternarylogic_epi32::<XOR3>(x0, w9, _mm512_rol_epi32::<15>(w3));
        let (near, far) = (_mm512_rol_epi32::<15>(x), _mm512_rol_epi32::<23>(x));
        let x = _mm512_ternarylogic_epi32::<XOR3>(x, near, far);
        let x = _mm512_ternarylogic_epi32::<XOR3>(x, _mm512_rol_epi32::<7>(w13), w6);
        // The first of the new words goes into the fourth: P1(W <<< 15), since P1 is linear.
        let first = _mm512_bslli_epi128::<12>(x);
        let first = _mm512_ternarylogic_epi32::<XOR3>(
            _mm512_rol_epi32::<15>(first),
            _mm512_rol_epi32::<30>(first),
            _mm512_rol_epi32::<6>(first),
        );
        self.0 = [x1, x2, x3, _mm512_xor_si512(x, first)];
    }
}

#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
#[expect(unsafe_code, reason = "an unaligned load")]
fn load(quarter: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of the reference.
    unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) }
}

/// Turns four big-endian words round.
#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn big_endian() -> __m128i {
    _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)
}

/// Blocks of each of sixteen messages.
#[expect(unsafe_code, reason = "loads and stores of vectors")]
#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
fn compress_lanes(state: &mut [[u32; 16]; 8], blocks: &[&[Block]; 16]) {
    let to_words = _mm512_broadcast_i32x4(big_endian());
    let mut vectors = [Sixteen(to_words); 8];
    for (vector, row) in vectors.iter_mut().zip(&*state) {
        // SAFETY: reads the sixteen words of the row.
        *vector = Sixteen(unsafe { _mm512_loadu_si512(row.as_ptr().cast()) });
    }
    // Loops instead of `map`: a closure with target features is not inlined into `map`.
    for step in 0..blocks[0].len() {
        let mut rows = [to_words; 16];
        for (row, blocks) in rows.iter_mut().zip(blocks) {
            // SAFETY: reads the 64 bytes of the block.
            *row = unsafe { _mm512_loadu_si512(blocks[step].as_ptr().cast()) };
        }
        let mut words = [Sixteen(to_words); 16];
        for (word, x) in words.iter_mut().zip(transpose(rows)) {
            *word = Sixteen(_mm512_shuffle_epi8(x, to_words));
        }
        lanes::compress(&mut vectors, &mut words);
    }
    for (row, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: writes the sixteen words of the row.
        unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), vector.0) }
    }
}

/// Word w of row r becomes word r of row w.
#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    // Four rows at a time: 4 × 4 words within each 128-bit lane.
    let mut x = rows;
    for four in x.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        *four = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(ab_high, cd_high),
            _mm512_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    // Then the 128-bit lanes themselves: 4 × 4 of them.
    let mut out = x;
    for i in 0..4 {
        let (a, b, c, d) = (x[i], x[4 + i], x[8 + i], x[12 + i]);
        let ab = _mm512_shuffle_i32x4::<0x44>(a, b);
        let cd = _mm512_shuffle_i32x4::<0x44>(c, d);
        let ab_high = _mm512_shuffle_i32x4::<0xee>(a, b);
        let cd_high = _mm512_shuffle_i32x4::<0xee>(c, d);
        out[i] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        out[4 + i] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
        out[8 + i] = _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high);
        out[12 + i] = _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high);
    }
    out
}

/// A word of sixteen messages. Made only inside [`compress_lanes`], so the features are there.
#[derive(Clone, Copy)]
struct Sixteen(__m512i);

#[expect(unsafe_code, reason = "vector instructions behind `Vector`")]
impl Vector for Sixteen {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: runs only inside `compress_lanes`; so in all that follow.
        Self(unsafe { _mm512_set1_epi32(word as i32) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }
    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_rol_epi32::<LEFT>(self.0) })
    }
    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_ternarylogic_epi32::<XOR3>(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0) })
    }
}
