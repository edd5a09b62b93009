//! One stream of many blocks: eight of them make a group, whose message words lie across vectors, and
//! the words of the next group are made beside the rounds of this one.

use std::arch::x86_64::*;
use std::mem::{MaybeUninit, offset_of, size_of};

use super::avx2;
use crate::sm3::{Block, State};

mod rounds;

/// Blocks of a group. A stream of fewer is not worth one.
pub(super) const BLOCKS: usize = 8;

/// Rows of the next group that are made beside the rounds of one block.
const WORDS_A_BLOCK: usize = 7;

/// W[0] to W[67], and what [`WORDS_A_BLOCK`] goes too far.
const ROWS: usize = 16 + WORDS_A_BLOCK * BLOCKS;

const _: () = assert!(ROWS >= 68, "the group's rounds make all words of the next");

/// The message words of a group: row j of `plain` is W[j] of its blocks, of `mixed` W′[j] (GB/T 32905,
/// 5.3.2).
#[repr(C)]
struct Rows {
    plain: [MaybeUninit<__m256i>; ROWS],
    mixed: [MaybeUninit<__m256i>; ROWS],
}

const ROW_BYTES: usize = size_of::<__m256i>();
const MIXED_AT: usize = offset_of!(Rows, mixed);

impl Rows {
    const UNWRITTEN: Self = Self {
        plain: [MaybeUninit::uninit(); ROWS],
        mixed: [MaybeUninit::uninit(); ROWS],
    };

    /// Writes W[0] to W[15] and W′[0] to W′[11] of up to eight blocks, and returns the former.
    #[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
    fn start(&mut self, blocks: &[Block]) -> [__m256i; 16] {
        let to_words = avx2::big_endian();
        let mut words = [to_words; 16];
        for (half, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            for (i, row) in words.iter_mut().enumerate() {
                // A block that is missing stands in as the first: its words are not used.
                let block = blocks.get(i).unwrap_or(&blocks[0]);
                let x = avx2::load_half(&block.as_chunks().0[half]);
                *row = _mm256_shuffle_epi8(x, to_words);
            }
            *words = avx2::transpose(*words);
        }
        for (row, word) in self.plain.iter_mut().zip(words) {
            row.write(word);
        }
        for j in 0..12 {
            self.mixed[j].write(_mm256_xor_si256(words[j], words[j + 4]));
        }
        words
    }

    /// Writes the words that follow those that [`Self::start`] wrote and returned.
    #[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
    fn expand(&mut self, mut words: [__m256i; 16]) {
        for first in [16, 32, 48, 64] {
            for i in 0..16 {
                if first + i == 68 {
                    return;
                }
                let [w16, w13, w9, w6, w4, w3] =
                    [i, i + 3, i + 7, i + 10, i + 12, i + 13].map(|i| words[i % 16]);
                let x = _mm256_ternarylogic_epi32::<XOR3>(w16, w9, _mm256_rol_epi32::<15>(w3));
                let (near, far) = (_mm256_rol_epi32::<15>(x), _mm256_rol_epi32::<23>(x));
                let x = _mm256_ternarylogic_epi32::<XOR3>(x, near, far);
                let x = _mm256_ternarylogic_epi32::<XOR3>(x, _mm256_rol_epi32::<7>(w13), w6);
                words[i] = x;
                self.plain[first + i].write(x);
                self.mixed[first + i - 4].write(_mm256_xor_si256(x, w4));
            }
        }
    }
}

/// Truth table of `_mm256_ternarylogic_epi32`.
const XOR3: i32 = 0x96;

/// Compresses the blocks into the state.
#[target_feature(enable = "bmi1,bmi2,avx2,avx512f,avx512bw,avx512vl")]
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    let mut groups = blocks.chunks(BLOCKS);
    let Some(mut group) = groups.next() else {
        return;
    };
    let mut buffers = [Rows::UNWRITTEN; 2];
    let [now, next] = &mut buffers;
    let (mut now, mut next) = (now, next);
    let words = now.start(group);
    now.expand(words);
    loop {
        let following = groups.next();
        if let Some(following) = following {
            next.start(following);
        }
        // SAFETY: the features are there; all words in `now` are written, by `expand` or by the rounds
        // of the group before, which had eight blocks. After the last group, what the rounds make in
        // `next` is not used.
        #[expect(unsafe_code, reason = "a call of assembly")]
        unsafe {
            rounds::rounds(state, now, next, group.len());
        }
        let Some(following) = following else {
            return;
        };
        std::mem::swap(&mut now, &mut next);
        group = following;
    }
}
