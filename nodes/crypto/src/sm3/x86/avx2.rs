//! SM3 with AVX2 and BMI: message words of two blocks at once, or eight messages.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::rounds::{Words, rounds};
use super::stream::stream;
use crate::sm3::lanes::{self, Vector};
use crate::sm3::path::{Kernel, Lanes};
use crate::sm3::{Block, State};

pub(in crate::sm3) const KERNEL: Kernel = Kernel {
    name: "avx2",
    runs_here: || {
        is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("avx2")
    },
    compress,
    lanes: Lanes::Eight(compress_lanes),
    lanes_min: 3,
};

stream!("bmi1,bmi2,avx2", Expansion);

/// The next sixteen words of W of two blocks, a block to a 128-bit lane.
struct Expansion([__m256i; 4]);

#[expect(unsafe_code, reason = "unaligned loads, and stores into the buffers")]
impl Expansion {
    const BLOCKS: usize = 2;

    #[target_feature(enable = "bmi1,bmi2,avx2")]
    #[inline]
    fn new(blocks: &[Block]) -> Self {
        let to_words = big_endian();
        // A block that is missing stands in as the first: its words are not used.
        let block = |i: usize| blocks.get(i).unwrap_or(&blocks[0]).as_chunks::<16>().0;
        let (a, b) = (block(0), block(1));
        let mut words = [to_words; 4];
        for (i, words) in words.iter_mut().enumerate() {
            let x = _mm256_set_m128i(load(&b[i]), load(&a[i]));
            *words = _mm256_shuffle_epi8(x, to_words);
        }
        Self(words)
    }

    #[target_feature(enable = "bmi1,bmi2,avx2")]
    #[inline]
    fn step(&mut self, i: usize, out: &mut [MaybeUninit<Words>; 2]) {
        assert!(i < 16, "sixteen steps write 64 words");
        let [x0, x1, x2, x3] = self.0;
        let mixed = _mm256_xor_si256(x0, x1);
        macro_rules! store {
            ($($block:literal)*) => {$(
                let words = out[$block].as_mut_ptr();
                // SAFETY: writes words 4·i to 4·i + 3 of 64, and `Words` is aligned.
                unsafe {
                    let (plain_at, mixed_at) = (&raw mut (*words).plain, &raw mut (*words).mixed);
                    let x = _mm256_extracti128_si256::<$block>(x0);
                    _mm_store_si128(plain_at.cast::<__m128i>().add(i), x);
                    let x = _mm256_extracti128_si256::<$block>(mixed);
                    _mm_store_si128(mixed_at.cast::<__m128i>().add(i), x);
                }
            )*};
        }
        store!(0 1);
        // W[j−9], W[j−3] (its fourth word is not there yet), W[j−13], W[j−6]
        let w9 = _mm256_alignr_epi8::<12>(x2, x1);
        let w3 = _mm256_bsrli_epi128::<4>(x3);
        let w13 = _mm256_alignr_epi8::<12>(x1, x0);
        let w6 = _mm256_alignr_epi8::<8>(x3, x2);
        let x = _mm256_xor_si256(_mm256_xor_si256(x0, w9), rotate::<15, 17>(w3));
        let x = _mm256_xor_si256(x, _mm256_xor_si256(rotate::<15, 17>(x), rotate::<23, 9>(x)));
        let x = _mm256_xor_si256(x, _mm256_xor_si256(rotate::<7, 25>(w13), w6));
        // The first of the new words goes into the fourth: P1(W <<< 15), since P1 is linear.
        let first = _mm256_bslli_epi128::<12>(x);
        let far = _mm256_xor_si256(rotate::<30, 2>(first), rotate::<6, 26>(first));
        let first = _mm256_xor_si256(rotate::<15, 17>(first), far);
        self.0 = [x1, x2, x3, _mm256_xor_si256(x, first)];
    }
}

#[target_feature(enable = "bmi1,bmi2,avx2")]
#[inline]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
}

#[target_feature(enable = "bmi1,bmi2,avx2")]
#[inline]
#[expect(unsafe_code, reason = "an unaligned load")]
fn load(quarter: &[u8; 16]) -> __m128i {
    // SAFETY: reads the 16 bytes of the reference.
    unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) }
}

#[target_feature(enable = "bmi1,bmi2,avx2")]
#[inline]
#[expect(unsafe_code, reason = "an unaligned load")]
pub(super) fn load_half(half: &[u8; 32]) -> __m256i {
    // SAFETY: reads the 32 bytes of the reference.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

/// Turns eight big-endian words round.
#[target_feature(enable = "bmi1,bmi2,avx2")]
#[inline]
pub(super) fn big_endian() -> __m256i {
    let four = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    _mm256_broadcastsi128_si256(four)
}

/// Blocks of each of eight messages.
#[expect(unsafe_code, reason = "loads and stores of vectors")]
#[target_feature(enable = "bmi1,bmi2,avx2")]
fn compress_lanes(state: &mut [[u32; 8]; 8], blocks: &[&[Block]; 8]) {
    let to_words = big_endian();
    let mut vectors = [Eight(to_words); 8];
    for (vector, row) in vectors.iter_mut().zip(&*state) {
        // SAFETY: reads the eight words of the row.
        *vector = Eight(unsafe { _mm256_loadu_si256(row.as_ptr().cast()) });
    }
    // Loops instead of `map`: a closure with target features is not inlined into `map`.
    for step in 0..blocks[0].len() {
        let mut words = [Eight(to_words); 16];
        for (half, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let mut rows = [to_words; 8];
            for (row, blocks) in rows.iter_mut().zip(blocks) {
                *row = load_half(&blocks[step].as_chunks().0[half]);
            }
            for (word, x) in words.iter_mut().zip(transpose(rows)) {
                *word = Eight(_mm256_shuffle_epi8(x, to_words));
            }
        }
        lanes::compress(&mut vectors, &mut words);
    }
    for (row, vector) in state.iter_mut().zip(vectors) {
        // SAFETY: writes the eight words of the row.
        unsafe { _mm256_storeu_si256(row.as_mut_ptr().cast(), vector.0) }
    }
}

/// Word w of row r becomes word r of row w.
#[target_feature(enable = "bmi1,bmi2,avx2")]
#[inline]
pub(super) fn transpose(rows: [__m256i; 8]) -> [__m256i; 8] {
    // Four rows at a time: 4 × 4 words within each 128-bit lane.
    let mut x = rows;
    for four in x.as_chunks_mut::<4>().0 {
        let [a, b, c, d] = *four;
        let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
        *four = [
            _mm256_unpacklo_epi64(ab, cd),
            _mm256_unpackhi_epi64(ab, cd),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ];
    }
    // Then the 128-bit lanes themselves: 2 × 2 of them.
    let mut out = x;
    for i in 0..4 {
        out[i] = _mm256_permute2x128_si256::<0x20>(x[i], x[4 + i]);
        out[4 + i] = _mm256_permute2x128_si256::<0x31>(x[i], x[4 + i]);
    }
    out
}

/// A word of eight messages. Made only inside [`compress_lanes`], so the features are there.
#[derive(Clone, Copy)]
struct Eight(__m256i);

#[expect(unsafe_code, reason = "vector instructions behind `Vector`")]
impl Vector for Eight {
    #[inline(always)]
    fn splat(word: u32) -> Self {
        // SAFETY: runs only inside `compress_lanes`; so in all that follow.
        Self(unsafe { _mm256_set1_epi32(word as i32) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { rotate::<LEFT, RIGHT>(self.0) })
    }
    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe {
            let either = _mm256_and_si256(_mm256_xor_si256(self.0, b.0), c.0);
            _mm256_xor_si256(_mm256_and_si256(self.0, b.0), either)
        })
    }
    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe {
            _mm256_or_si256(
                _mm256_and_si256(self.0, b.0),
                _mm256_andnot_si256(self.0, c.0),
            )
        })
    }
}
