//! GHASH, computed as POLYVAL (RFC 8452, appendix A), and GCM's tag.

use std::arch::x86_64::*;

use zeroize::Zeroize as _;

use super::cipher::XOR3;

/// H^16 … H^1 in POLYVAL's form (byte-reversed, multiplied by x), lowest power last.
#[repr(C, align(64))]
pub(super) struct Powers([u128; 16]);

impl Drop for Powers {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A register as the number that its bytes, lowest first, make.
#[target_feature(enable = "sse2")]
#[inline]
pub(super) fn to_u128(x: __m128i) -> u128 {
    let low = _mm_cvtsi128_si64(x) as u64;
    let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(x, x)) as u64;
    u128::from(high) << 64 | u128::from(low)
}

#[target_feature(enable = "sse2")]
#[inline]
fn from_u128(x: u128) -> __m128i {
    _mm_set_epi64x((x >> 64) as i64, x as i64)
}

/// Reduces a 256-bit product given as low, middle and high parts.
#[target_feature(enable = "pclmulqdq,sse2")]
#[inline]
fn reduce(low: __m128i, middle: __m128i, high: __m128i) -> __m128i {
    let polynomial = _mm_set_epi64x(0xc200_0000_0000_0000_u64 as i64, 1);
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(middle));
    let high = _mm_xor_si128(high, _mm_srli_si128::<8>(middle));
    let folded = _mm_clmulepi64_si128::<0x10>(low, polynomial);
    let low = _mm_xor_si128(_mm_shuffle_epi32::<SWAP_HALVES>(low), folded);
    let folded = _mm_clmulepi64_si128::<0x10>(low, polynomial);
    let low = _mm_xor_si128(_mm_shuffle_epi32::<SWAP_HALVES>(low), folded);
    _mm_xor_si128(low, high)
}

/// Exchanges the 64-bit halves of a register.
const SWAP_HALVES: i32 = 0b01_00_11_10;

#[target_feature(enable = "pclmulqdq,sse2")]
fn multiply(a: __m128i, b: __m128i) -> __m128i {
    let middle = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    );
    reduce(
        _mm_clmulepi64_si128::<0x00>(a, b),
        middle,
        _mm_clmulepi64_si128::<0x11>(a, b),
    )
}

/// H is the encrypted zero block; POLYVAL wants it byte-reversed and multiplied by x.
#[target_feature(enable = "pclmulqdq,sse2")]
pub(super) fn powers(zero_block: [u8; 16]) -> Powers {
    let h = u128::from_be_bytes(zero_block);
    let carry = h >> 127;
    let h = from_u128((h << 1) ^ (carry * ((0xc2 << 120) | 1)));
    let mut powers = Powers([0; 16]);
    let mut power = h;
    for out in powers.0.iter_mut().rev() {
        *out = to_u128(power);
        power = multiply(power, h);
    }
    powers
}

/// The four blocks of a register added into one.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
#[inline]
fn add_lanes(x: __m512i) -> __m128i {
    let half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
    _mm_xor_si128(
        _mm256_castsi256_si128(half),
        _mm256_extracti128_si256::<1>(half),
    )
}

/// Absorbs `V` registers of four blocks each; `sum` joins block `lead` of the first, which is where
/// the data begins (the blocks before it are zero and count for nothing).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vpclmulqdq,pclmulqdq")]
#[inline]
#[expect(unsafe_code, reason = "loads of whole registers")]
fn absorb<const V: usize>(
    powers: &Powers,
    sum: __m128i,
    lead: usize,
    data: &[[u8; 64]; V],
) -> __m128i {
    let reverse = _mm512_broadcast_i32x4(_mm_set_epi8(
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ));
    let zero = _mm512_setzero_si512();
    let sum = match lead {
        0 => _mm512_inserti32x4::<0>(zero, sum),
        1 => _mm512_inserti32x4::<1>(zero, sum),
        2 => _mm512_inserti32x4::<2>(zero, sum),
        _ => _mm512_inserti32x4::<3>(zero, sum),
    };
    let (registers, _) = powers.0.as_chunks::<4>();
    let (mut low, mut middle, mut high) = (zero, zero, zero);
    for (index, (part, power)) in data.iter().zip(&registers[4 - V..]).enumerate() {
        // SAFETY: both arrays have exactly 64 bytes; the unaligned form asks for no alignment.
        let (x, h) = unsafe {
            (
                _mm512_loadu_si512(part.as_ptr().cast()),
                _mm512_loadu_si512(power.as_ptr().cast()),
            )
        };
        let mut x = _mm512_shuffle_epi8(x, reverse);
        if index == 0 {
            x = _mm512_xor_si512(x, sum);
        }
        low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(x, h));
        high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128::<0x11>(x, h));
        middle = _mm512_ternarylogic_epi64::<XOR3>(
            middle,
            _mm512_clmulepi64_epi128::<0x01>(x, h),
            _mm512_clmulepi64_epi128::<0x10>(x, h),
        );
    }
    reduce(add_lanes(low), add_lanes(middle), add_lanes(high))
}

/// Absorbs `data`, padded with zeros to whole blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vpclmulqdq,pclmulqdq")]
fn update(powers: &Powers, mut sum: __m128i, data: &[u8]) -> __m128i {
    let (registers, tail) = data.as_chunks::<64>();
    let (whole, rest) = registers.as_chunks::<4>();
    for part in whole {
        sum = absorb(powers, sum, 0, part);
    }
    let length = 64 * rest.len() + tail.len();
    if length == 0 {
        return sum;
    }
    // The rest goes to the end of a zeroed buffer, so that its last block meets H^1.
    let blocks = length.div_ceil(16);
    let used = blocks.div_ceil(4);
    let lead = 4 * used - blocks;
    let mut buffer = [[0u8; 64]; 4];
    let bytes = buffer.as_flattened_mut();
    let start = 256 - 16 * blocks;
    bytes[start..start + length].copy_from_slice(&data[data.len() - length..]);
    match &buffer {
        [.., a] if used == 1 => absorb(powers, sum, lead, &[*a]),
        [.., a, b] if used == 2 => absorb(powers, sum, lead, &[*a, *b]),
        [_, a, b, c] if used == 3 => absorb(powers, sum, lead, &[*a, *b, *c]),
        all => absorb(powers, sum, lead, all),
    }
}

/// The tag of ciphertext `data`; `mask` is the encrypted block 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,vpclmulqdq,pclmulqdq")]
pub(super) fn tag(powers: &Powers, mask: u128, aad: &[u8], data: &[u8]) -> [u8; 16] {
    let sum = update(powers, _mm_setzero_si128(), aad);
    let sum = update(powers, sum, data);
    let bits = |bytes: &[u8]| 8 * bytes.len() as u128;
    let lengths = from_u128(bits(aad) << 64 | bits(data));
    let h = from_u128(powers.0[15]);
    let sum = multiply(_mm_xor_si128(sum, lengths), h);
    // POLYVAL's bytes run the other way.
    (to_u128(sum).swap_bytes() ^ mask).to_le_bytes()
}
