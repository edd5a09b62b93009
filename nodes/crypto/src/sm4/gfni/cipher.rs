//! SM4 itself: key expansion, one block, and counter mode over many.

use std::arch::x86_64::*;

use zeroize::Zeroize as _;

use super::ghash::to_u128;

/// S-box: input affine map into AES's field, and its constant.
const IN_MATRIX: i64 = 0x4c28_7db9_1a22_505d;
const IN_CONSTANT: i32 = 0x3e;
/// S-box: output affine map after the inversion, and its constant. All four were found by search
/// over the 256 values; the tests compare whole blocks with GB/T 32907 and RustCrypto.
const OUT_MATRIX: i64 = 0xf3ab_34a9_74a6_b589_u64 as i64;
const OUT_CONSTANT: i32 = 0xd3;
/// FK (GB/T 32907, 7.3).
const FK: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];
/// Truth table of a ⊕ b ⊕ c.
pub(super) const XOR3: i32 = 0x96;

/// The round keys.
pub(super) struct Schedule([u32; 32]);

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// `N` big-endian words.
pub(super) fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

/// The S-box on every byte of a 128-bit register.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
fn substitute_128(x: __m128i) -> __m128i {
    let x = _mm_gf2p8affine_epi64_epi8::<IN_CONSTANT>(x, _mm_set1_epi64x(IN_MATRIX));
    _mm_gf2p8affineinv_epi64_epi8::<OUT_CONSTANT>(x, _mm_set1_epi64x(OUT_MATRIX))
}

/// Key expansion (GB/T 32907, 7.3).
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
pub(super) fn expand(key: &[u8; 16]) -> Schedule {
    let mut k: [u32; 4] = words(key);
    for (word, constant) in k.iter_mut().zip(FK) {
        *word ^= constant;
    }
    let mut schedule = Schedule([0; 32]);
    for (round, out) in (0u32..).zip(&mut schedule.0) {
        // CK: the bytes 7·(4i + j) mod 256.
        let ck = u32::from_be_bytes([0, 1, 2, 3].map(|j| ((4 * round + j) * 7) as u8));
        let [k0, k1, k2, k3] = k;
        let input = _mm_cvtsi32_si128((k1 ^ k2 ^ k3 ^ ck) as i32);
        let t = _mm_cvtsi128_si32(substitute_128(input)) as u32;
        *out = k0 ^ t ^ t.rotate_left(13) ^ t.rotate_left(23);
        k = [k1, k2, k3, *out];
    }
    k.zeroize();
    schedule
}

/// One block, in the low lane of 128-bit registers.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
pub(super) fn encrypt_block(schedule: &Schedule, words: [u32; 4]) -> [u8; 16] {
    let mut x = words.map(|word| _mm_cvtsi32_si128(word as i32));
    for round_key in &schedule.0 {
        let [x0, x1, x2, x3] = x;
        let keyed = _mm_xor_si128(x3, _mm_cvtsi32_si128(*round_key as i32));
        let t = substitute_128(_mm_ternarylogic_epi32::<XOR3>(x1, x2, keyed));
        let near = _mm_ternarylogic_epi32::<XOR3>(x0, t, _mm_rol_epi32::<2>(t));
        let far = _mm_ternarylogic_epi32::<XOR3>(
            _mm_rol_epi32::<10>(t),
            _mm_rol_epi32::<18>(t),
            _mm_rol_epi32::<24>(t),
        );
        x = [x1, x2, x3, _mm_xor_si128(near, far)];
    }
    let mut out = [0; 16];
    for (bytes, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(x.iter().rev()) {
        *bytes = (_mm_cvtsi128_si32(*word) as u32).to_be_bytes();
    }
    out
}

/// Sixteen blocks: register w holds word w of each.
type Group = [__m512i; 4];

/// All 32 rounds on `N` groups, interleaved.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn rounds<const N: usize>(schedule: &Schedule, groups: &mut [Group; N]) {
    let in_matrix = _mm512_set1_epi64(IN_MATRIX);
    let out_matrix = _mm512_set1_epi64(OUT_MATRIX);
    macro_rules! round {
        ($key:expr, $a:tt, $b:tt, $c:tt, $d:tt) => {
            let key = _mm512_set1_epi32($key as i32);
            for x in groups.iter_mut() {
                let keyed = _mm512_xor_si512(x[$d], key);
                let t = _mm512_ternarylogic_epi32::<XOR3>(x[$b], x[$c], keyed);
                let t = _mm512_gf2p8affine_epi64_epi8::<IN_CONSTANT>(t, in_matrix);
                let t = _mm512_gf2p8affineinv_epi64_epi8::<OUT_CONSTANT>(t, out_matrix);
                let near = _mm512_ternarylogic_epi32::<XOR3>(x[$a], t, _mm512_rol_epi32::<2>(t));
                let far = _mm512_ternarylogic_epi32::<XOR3>(
                    _mm512_rol_epi32::<10>(t),
                    _mm512_rol_epi32::<18>(t),
                    _mm512_rol_epi32::<24>(t),
                );
                x[$a] = _mm512_xor_si512(near, far);
            }
        };
    }
    for [k0, k1, k2, k3] in schedule.0.as_chunks::<4>().0 {
        round!(*k0, 0, 1, 2, 3);
        round!(*k1, 1, 2, 3, 0);
        round!(*k2, 2, 3, 0, 1);
        round!(*k3, 3, 0, 1, 2);
    }
}

/// The encrypted counter blocks `counter` … `counter + 16·N − 1`, in the order of the bytes they
/// will be XORed with.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn keystream<const N: usize>(schedule: &Schedule, nonce: &[u32; 3], counter: u32) -> [Group; N] {
    // Block 4·e + l of a group sits in 32-bit element e of 128-bit lane l: after the transposition
    // below, each register holds four blocks that follow each other.
    let places = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    let mut groups = [[_mm512_setzero_si512(); 4]; N];
    for (index, group) in (0u32..).zip(&mut groups) {
        let first = _mm512_set1_epi32(counter.wrapping_add(16 * index) as i32);
        *group = [
            _mm512_set1_epi32(nonce[0] as i32),
            _mm512_set1_epi32(nonce[1] as i32),
            _mm512_set1_epi32(nonce[2] as i32),
            _mm512_add_epi32(first, places),
        ];
    }
    rounds(schedule, &mut groups);
    let to_big_endian = _mm512_broadcast_i32x4(_mm_set_epi8(
        12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3,
    ));
    for group in &mut groups {
        // The output words of SM4 are its last four, newest first.
        let [x0, x1, x2, x3] = *group;
        let a = _mm512_unpacklo_epi32(x3, x2);
        let b = _mm512_unpackhi_epi32(x3, x2);
        let c = _mm512_unpacklo_epi32(x1, x0);
        let d = _mm512_unpackhi_epi32(x1, x0);
        *group = [
            _mm512_shuffle_epi8(_mm512_unpacklo_epi64(a, c), to_big_endian),
            _mm512_shuffle_epi8(_mm512_unpackhi_epi64(a, c), to_big_endian),
            _mm512_shuffle_epi8(_mm512_unpacklo_epi64(b, d), to_big_endian),
            _mm512_shuffle_epi8(_mm512_unpackhi_epi64(b, d), to_big_endian),
        ];
    }
    groups
}

/// XORs `stream` (64 bytes) into `data` (at most 64 bytes; more are left alone).
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
#[expect(unsafe_code, reason = "masked loads and stores")]
fn xor_register(stream: __m512i, data: &mut [u8]) {
    let length = data.len().min(64);
    if length == 64 {
        let at = data.as_mut_ptr().cast::<__m512i>();
        // SAFETY: `data` has 64 bytes; the unaligned forms ask for no alignment.
        unsafe { _mm512_storeu_si512(at, _mm512_xor_si512(_mm512_loadu_si512(at), stream)) };
    } else {
        let mask = (1u64 << length) - 1;
        let at = data.as_mut_ptr().cast::<i8>();
        // SAFETY: the mask names the first `length` bytes only, all within `data`; masked-out bytes
        // are neither read nor written.
        unsafe {
            let sum = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, at), stream);
            _mm512_mask_storeu_epi8(at, mask, sum);
        }
    }
}

/// Encrypts up to `256·N` bytes with the counters from `counter` on.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn xor_groups<const N: usize>(
    schedule: &Schedule,
    nonce: &[u32; 3],
    counter: u32,
    data: &mut [u8],
) {
    let stream = keystream::<N>(schedule, nonce, counter);
    for (register, part) in stream.as_flattened().iter().zip(data.chunks_mut(64)) {
        xor_register(*register, part);
    }
}

/// The first `256·N` bytes of keystream: block 1 masks the tag, and `data` begins with block 2.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
#[inline]
fn xor_first_groups<const N: usize>(
    schedule: &Schedule,
    nonce: &[u32; 3],
    data: &mut [u8],
) -> u128 {
    let stream = keystream::<N>(schedule, nonce, 1);
    let registers = stream.as_flattened();
    let shift = |low: __m512i, high: __m512i| {
        // Drops block 0 of `low` and appends block 0 of `high`.
        _mm512_alignr_epi64::<2>(high, low)
    };
    let zero = _mm512_setzero_si512();
    let next = registers.iter().skip(1).chain(std::iter::once(&zero));
    let (first, rest) = data.split_at_mut(data.len().min(256 * N - 16));
    debug_assert!(rest.is_empty() || first.len() == 256 * N - 16);
    for ((register, next), part) in registers.iter().zip(next).zip(first.chunks_mut(64)) {
        xor_register(shift(*register, *next), part);
    }
    to_u128(_mm512_castsi512_si128(stream[0][0]))
}

/// Counter mode over all of `data`; returns the mask of the tag, in the byte order of memory.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
pub(super) fn encrypt_counter(schedule: &Schedule, nonce: &[u32; 3], data: &mut [u8]) -> u128 {
    let groups = (data.len() + 16).div_ceil(256).clamp(1, 4);
    let mask = match groups {
        1 => xor_first_groups::<1>(schedule, nonce, data),
        2 => xor_first_groups::<2>(schedule, nonce, data),
        3 => xor_first_groups::<3>(schedule, nonce, data),
        _ => xor_first_groups::<4>(schedule, nonce, data),
    };
    let done = data.len().min(256 * groups - 16);
    let (_, rest) = data.split_at_mut(done);
    let mut counter = 1 + 16 * groups as u32;
    for part in rest.chunks_mut(1024) {
        match part.len().div_ceil(256) {
            1 => xor_groups::<1>(schedule, nonce, counter, part),
            2 => xor_groups::<2>(schedule, nonce, counter, part),
            3 => xor_groups::<3>(schedule, nonce, counter, part),
            _ => xor_groups::<4>(schedule, nonce, counter, part),
        }
        counter = counter.wrapping_add(64);
    }
    mask
}
