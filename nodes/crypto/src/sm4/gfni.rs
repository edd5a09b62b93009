//! SM4-GCM on x86-64 with GFNI, AVX-512 and VPCLMULQDQ: the fast path, and all `unsafe` code.
//!
//! SM4's S-box is an inversion in GF(2^8) between two affine maps. GFNI inverts in AES's field, so
//! two other affine maps carry the value there and back: no tables, no secret-dependent branches,
//! constant time by construction. Sixteen blocks lie across four 512-bit registers, one register for
//! each of SM4's four words, and up to four such groups run interleaved, since one round's steps
//! depend on each other. GHASH multiplies by sixteen powers of H before it reduces once.
//!
//! Safety rests on two things. A [`Token`] exists only if the processor has every feature, and each
//! expanded key holds one, so the `target_feature` functions are never entered without them. Loads
//! and stores go through references to arrays or slices whose length was checked, or through masks
//! that name only bytes within the slice.

use std::arch::x86_64::*;

use zeroize::Zeroize as _;

/// S-box: input affine map into AES's field, and its constant.
const IN_MATRIX: i64 = 0x4c28_7db9_1a22_505d;
const IN_CONSTANT: i32 = 0x3e;
/// S-box: output affine map after the inversion, and its constant. All four were found by search
/// over the 256 values; the tests compare whole blocks with GB/T 32907 and RustCrypto.
const OUT_MATRIX: i64 = 0xf3ab_34a9_74a6_b589_u64 as i64;
const OUT_CONSTANT: i32 = 0xd3;
/// FK (GB/T 32907, 7.3).
const FK: [u32; 4] = [0xa3b1_bac6, 0x56aa_3350, 0x677d_9197, 0xb270_22dc];

/// Proof that the processor has every feature that this module uses.
#[derive(Clone, Copy)]
pub(super) struct Token(());

impl Token {
    pub(super) fn detect() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("gfni")
            && is_x86_feature_detected!("pclmulqdq")
            && is_x86_feature_detected!("vpclmulqdq");
        present.then_some(Self(()))
    }
}

/// The round keys.
struct Schedule([u32; 32]);

impl Drop for Schedule {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// An expanded SM4-GCM key.
pub(super) struct Gcm {
    schedule: Schedule,
    powers: Powers,
    _token: Token,
}

/// H^16 … H^1 in POLYVAL's form (byte-reversed, multiplied by x), lowest power last.
#[repr(C, align(64))]
struct Powers([u128; 16]);

impl Drop for Powers {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Gcm {
    pub(super) fn new(token: Token, key: &[u8; 16]) -> Self {
        // SAFETY: `token` proves the features.
        let (schedule, powers) = unsafe {
            let schedule = expand(key);
            let powers = powers(&schedule);
            (schedule, powers)
        };
        Self {
            schedule,
            powers,
            _token: token,
        }
    }

    /// The caller keeps `data` within GCM's limit of 2^36 − 32 bytes.
    pub(super) fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        let words = nonce_words(nonce);
        // SAFETY: `_token` proves the features.
        unsafe {
            let mask = encrypt_counter(&self.schedule, &words, data);
            tag(&self.powers, mask, aad, data)
        }
    }

    /// Compares the tag first, in constant time, so that nothing forged is ever decrypted.
    pub(super) fn open(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut [u8],
        expected: &[u8; 16],
    ) -> bool {
        use subtle::ConstantTimeEq as _;
        let words = nonce_words(nonce);
        // SAFETY: `_token` proves the features.
        unsafe {
            let [a, b, c] = words;
            let mask = u128::from_le_bytes(encrypt_block(&self.schedule, [a, b, c, 1]));
            let computed = tag(&self.powers, mask, aad, data);
            if !bool::from(computed.ct_eq(expected)) {
                return false;
            }
            encrypt_counter(&self.schedule, &words, data);
        }
        true
    }
}

/// The block cipher alone.
pub(super) struct Block {
    schedule: Schedule,
    _token: Token,
}

#[expect(unsafe_code, reason = "entry to the vector code")]
impl Block {
    pub(super) fn new(token: Token, key: &[u8; 16]) -> Self {
        Self {
            // SAFETY: `token` proves the features.
            schedule: unsafe { expand(key) },
            _token: token,
        }
    }

    pub(super) fn encrypt(&self, block: &mut [u8; 16]) {
        let words = words(block);
        // SAFETY: `_token` proves the features.
        *block = unsafe { encrypt_block(&self.schedule, words) };
    }
}

fn words(block: &[u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

fn nonce_words(nonce: &[u8; 12]) -> [u32; 3] {
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(nonce.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

// ---- SM4

/// The S-box on every byte of a 128-bit register.
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
fn substitute_128(x: __m128i) -> __m128i {
    let x = _mm_gf2p8affine_epi64_epi8::<IN_CONSTANT>(x, _mm_set1_epi64x(IN_MATRIX));
    _mm_gf2p8affineinv_epi64_epi8::<OUT_CONSTANT>(x, _mm_set1_epi64x(OUT_MATRIX))
}

/// Key expansion (GB/T 32907, 7.3).
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl")]
fn expand(key: &[u8; 16]) -> Schedule {
    let mut k = words(key);
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
fn encrypt_block(schedule: &Schedule, words: [u32; 4]) -> [u8; 16] {
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

/// Truth table of a ⊕ b ⊕ c.
const XOR3: i32 = 0x96;

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
fn encrypt_counter(schedule: &Schedule, nonce: &[u32; 3], data: &mut [u8]) -> u128 {
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

// ---- GHASH, as POLYVAL (RFC 8452, appendix A)

#[target_feature(enable = "sse2")]
#[inline]
fn to_u128(x: __m128i) -> u128 {
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
#[target_feature(enable = "gfni,avx2,avx512f,avx512bw,avx512vl,pclmulqdq")]
fn powers(schedule: &Schedule) -> Powers {
    let h = u128::from_be_bytes(encrypt_block(schedule, [0; 4]));
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
fn tag(powers: &Powers, mask: u128, aad: &[u8], data: &[u8]) -> [u8; 16] {
    let sum = update(powers, _mm_setzero_si128(), aad);
    let sum = update(powers, sum, data);
    let bits = |bytes: &[u8]| 8 * bytes.len() as u128;
    let lengths = from_u128(bits(aad) << 64 | bits(data));
    let h = from_u128(powers.0[15]);
    let sum = multiply(_mm_xor_si128(sum, lengths), h);
    // POLYVAL's bytes run the other way.
    (to_u128(sum).swap_bytes() ^ mask).to_le_bytes()
}
