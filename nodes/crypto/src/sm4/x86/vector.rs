//! Registers of 128, 256 and 512 bits with the few operations that SM4-GCM needs.
//!
//! A register carries the type of its machine and is made from a value of it, which exists only
//! where the processor has the machine's features. So the operations are safe to call, and the
//! code above them has no `unsafe` of its own. Everything is `inline(always)`: the operations have
//! to end up inside a function with the machine's `target_feature`s to become single instructions.

#![expect(
    unsafe_code,
    reason = "vector instructions, unaligned loads and stores"
)]

use std::arch::x86_64::*;
use std::marker::PhantomData;

/// A machine's registers have 256 bits.
///
/// # Safety
/// The processor has AVX2 wherever a value of the type exists.
pub(super) unsafe trait Avx2: Copy {}

/// A machine's registers have 512 bits.
///
/// # Safety
/// The processor has AVX-512 F, BW and VL wherever a value of the type exists.
pub(super) unsafe trait Avx512: Avx2 {}

/// A machine has Galois field instructions.
///
/// # Safety
/// The processor has GFNI and AVX wherever a value of the type exists.
pub(super) unsafe trait Gfni: Copy {}

/// A machine has AES instructions.
///
/// # Safety
/// The processor has AES-NI wherever a value of the type exists.
pub(super) unsafe trait Aes: Copy {}

/// A machine has carry-less multiplication of all its registers.
///
/// # Safety
/// The processor has VPCLMULQDQ wherever a value of the type exists.
pub(super) unsafe trait WideMultiply: Copy {}

/// Every machine.
///
/// # Safety
/// The processor has SSSE3, SSE4.1 and PCLMULQDQ wherever a value of the type exists.
pub(super) unsafe trait Base: Copy {}

/// A register: 128-bit lanes that never meet but in [`Vector::fold`].
pub(super) trait Vector<M: Base>: Copy {
    /// 128-bit lanes: 1, 2 or 4.
    const LANES: usize;

    /// The same 16 bytes in every lane.
    fn splat(machine: M, lane: &[u8; 16]) -> Self;
    /// The same word in every place.
    fn splat_word(machine: M, word: u32) -> Self;
    /// The first 16·LANES bytes of `from`, which has so many.
    fn load(machine: M, from: &[u8]) -> Self;
    /// Into the first 16·LANES bytes of `to`, which has so many.
    fn store(self, to: &mut [u8]);
    fn xor(self, other: Self) -> Self;
    fn xor3(self, b: Self, c: Self) -> Self;
    fn and(self, other: Self) -> Self;
    /// Adds 32-bit words.
    fn add_words(self, other: Self) -> Self;
    /// Shifts each 64-bit half of a lane right by four bits.
    fn shift_right_4(self) -> Self;
    /// Byte i becomes byte `places[i]` of its lane.
    fn shuffle(self, places: Self) -> Self;
    fn unpack_low_words(self, other: Self) -> Self;
    fn unpack_high_words(self, other: Self) -> Self;
    fn unpack_low_halves(self, other: Self) -> Self;
    fn unpack_high_halves(self, other: Self) -> Self;
    /// All lanes added (XOR) into one.
    fn fold(self) -> Xmm<M>;
    /// `lane` as the first lane, the others zero.
    fn first_lane(machine: M, lane: Xmm<M>) -> Self;
}

/// Galois field operations on every byte.
pub(super) trait Affine<M>: Copy {
    /// `matrix` times each byte.
    fn affine(self, matrix: Self) -> Self;
    /// `matrix` times the inverse of each byte in AES's field, plus `CONSTANT`.
    fn affine_inverse<const CONSTANT: i32>(self, matrix: Self) -> Self;
}

/// AES's last round on every lane.
pub(super) trait AesLast<M>: Copy {
    /// AES's S-box on each byte, then its ShiftRows, without a key.
    fn aes_last(self) -> Self;
}

/// Carry-less multiplication in every lane.
pub(super) trait Multiply<M: Base>: Vector<M> {
    /// One 64-bit half of each by one of the other: bit 0 of `HALVES` chooses `self`'s, bit 4
    /// `other`'s.
    fn multiply<const HALVES: i32>(self, other: Self) -> Self;
}

macro_rules! register {
    ($(#[$doc:meta])* $name:ident($raw:ty): $proof:ident, $lanes:literal,
     $set1:ident, $load:ident, $store:ident, $xor:ident, $and:ident, $add:ident, $srl:ident,
     $shuffle:ident, $lo32:ident, $hi32:ident, $lo64:ident, $hi64:ident, $affine:ident,
     $affine_inverse:ident,
     splat($s:ident) = $splat:expr,
     xor3($a:ident, $b:ident, $c:ident) = $xor3:expr,
     fold($f:ident) = $fold:expr,
     first_lane($l:ident) = $first:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name<M>($raw, PhantomData<M>);

        impl<M: $proof + Base> $name<M> {
            #[inline(always)]
            fn new(raw: $raw) -> Self {
                Self(raw, PhantomData)
            }
        }

        // SAFETY of all: a register or its machine exists, so the processor has what `$proof` and
        // `Base` promise. Loads and stores are unaligned forms within a slice of checked length.
        impl<M: $proof + Base> Vector<M> for $name<M> {
            const LANES: usize = $lanes;

            #[inline(always)]
            fn splat(_: M, lane: &[u8; 16]) -> Self {
                // SAFETY: see above; `lane` has 16 bytes.
                Self::new(unsafe {
                    let $s = _mm_loadu_si128(lane.as_ptr().cast());
                    $splat
                })
            }

            #[inline(always)]
            fn splat_word(_: M, word: u32) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $set1(word as i32) })
            }

            #[inline(always)]
            fn load(_: M, from: &[u8]) -> Self {
                assert!(from.len() >= 16 * Self::LANES);
                // SAFETY: see above.
                Self::new(unsafe { $load(from.as_ptr().cast()) })
            }

            #[inline(always)]
            fn store(self, to: &mut [u8]) {
                assert!(to.len() >= 16 * Self::LANES);
                // SAFETY: see above.
                unsafe { $store(to.as_mut_ptr().cast(), self.0) }
            }

            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $xor(self.0, other.0) })
            }

            #[inline(always)]
            fn xor3(self, b: Self, c: Self) -> Self {
                let ($a, $b, $c) = (self.0, b.0, c.0);
                // SAFETY: see above.
                Self::new(unsafe { $xor3 })
            }

            #[inline(always)]
            fn and(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $and(self.0, other.0) })
            }

            #[inline(always)]
            fn add_words(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $add(self.0, other.0) })
            }

            #[inline(always)]
            fn shift_right_4(self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $srl::<4>(self.0) })
            }

            #[inline(always)]
            fn shuffle(self, places: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $shuffle(self.0, places.0) })
            }

            #[inline(always)]
            fn unpack_low_words(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $lo32(self.0, other.0) })
            }

            #[inline(always)]
            fn unpack_high_words(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $hi32(self.0, other.0) })
            }

            #[inline(always)]
            fn unpack_low_halves(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $lo64(self.0, other.0) })
            }

            #[inline(always)]
            fn unpack_high_halves(self, other: Self) -> Self {
                // SAFETY: see above.
                Self::new(unsafe { $hi64(self.0, other.0) })
            }

            #[inline(always)]
            fn fold(self) -> Xmm<M> {
                let $f = self.0;
                Xmm::new($fold)
            }

            #[inline(always)]
            fn first_lane(_: M, lane: Xmm<M>) -> Self {
                let $l = lane.0;
                Self::new($first)
            }
        }

        impl<M: $proof + Base + Gfni> Affine<M> for $name<M> {
            #[inline(always)]
            fn affine(self, matrix: Self) -> Self {
                // SAFETY: see above; `Gfni` promises the instruction.
                Self::new(unsafe { $affine::<0>(self.0, matrix.0) })
            }

            #[inline(always)]
            fn affine_inverse<const CONSTANT: i32>(self, matrix: Self) -> Self {
                // SAFETY: see above; `Gfni` promises the instruction.
                Self::new(unsafe { $affine_inverse::<CONSTANT>(self.0, matrix.0) })
            }
        }
    };
}

/// Truth table of a ⊕ b ⊕ c.
const XOR3: i32 = 0x96;

register!(
    /// 128 bits.
    Xmm(__m128i): Base, 1,
    _mm_set1_epi32, _mm_loadu_si128, _mm_storeu_si128, _mm_xor_si128, _mm_and_si128,
    _mm_add_epi32, _mm_srli_epi64, _mm_shuffle_epi8, _mm_unpacklo_epi32, _mm_unpackhi_epi32,
    _mm_unpacklo_epi64, _mm_unpackhi_epi64, _mm_gf2p8affine_epi64_epi8,
    _mm_gf2p8affineinv_epi64_epi8,
    splat(lane) = lane,
    xor3(a, b, c) = _mm_xor_si128(_mm_xor_si128(a, b), c),
    fold(x) = x,
    first_lane(lane) = lane
);

register!(
    /// 256 bits.
    Ymm(__m256i): Avx2, 2,
    _mm256_set1_epi32, _mm256_loadu_si256, _mm256_storeu_si256, _mm256_xor_si256,
    _mm256_and_si256, _mm256_add_epi32, _mm256_srli_epi64, _mm256_shuffle_epi8,
    _mm256_unpacklo_epi32, _mm256_unpackhi_epi32, _mm256_unpacklo_epi64, _mm256_unpackhi_epi64,
    _mm256_gf2p8affine_epi64_epi8, _mm256_gf2p8affineinv_epi64_epi8,
    splat(lane) = _mm256_broadcastsi128_si256(lane),
    xor3(a, b, c) = _mm256_xor_si256(_mm256_xor_si256(a, b), c),
    fold(x) = {
        // SAFETY: a 256-bit register exists.
        unsafe { _mm_xor_si128(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)) }
    },
    first_lane(lane) = {
        // SAFETY: the machine has 256-bit registers.
        unsafe { _mm256_inserti128_si256::<0>(_mm256_setzero_si256(), lane) }
    }
);

register!(
    /// 512 bits.
    Zmm(__m512i): Avx512, 4,
    _mm512_set1_epi32, _mm512_loadu_si512, _mm512_storeu_si512, _mm512_xor_si512,
    _mm512_and_si512, _mm512_add_epi32, _mm512_srli_epi64, _mm512_shuffle_epi8,
    _mm512_unpacklo_epi32, _mm512_unpackhi_epi32, _mm512_unpacklo_epi64, _mm512_unpackhi_epi64,
    _mm512_gf2p8affine_epi64_epi8, _mm512_gf2p8affineinv_epi64_epi8,
    splat(lane) = _mm512_broadcast_i32x4(lane),
    xor3(a, b, c) = _mm512_ternarylogic_epi64::<XOR3>(a, b, c),
    fold(x) = {
        // SAFETY: a 512-bit register exists.
        unsafe {
            let (low, high) = (_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
            let half = _mm256_xor_si256(low, high);
            _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
        }
    },
    first_lane(lane) = {
        // SAFETY: the machine has 512-bit registers.
        unsafe { _mm512_inserti32x4::<0>(_mm512_setzero_si512(), lane) }
    }
);

impl<M: Base + Aes> AesLast<M> for Xmm<M> {
    #[inline(always)]
    fn aes_last(self) -> Self {
        // SAFETY: `Aes` promises the instruction.
        Self::new(unsafe { _mm_aesenclast_si128(self.0, _mm_setzero_si128()) })
    }
}

impl<M: Base + Avx2 + Aes> AesLast<M> for Ymm<M> {
    #[inline(always)]
    fn aes_last(self) -> Self {
        // SAFETY: `Avx2` and `Aes` promise the instructions.
        Self::new(unsafe {
            let zero = _mm_setzero_si128();
            let low = _mm_aesenclast_si128(_mm256_castsi256_si128(self.0), zero);
            let high = _mm_aesenclast_si128(_mm256_extracti128_si256::<1>(self.0), zero);
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
        })
    }
}

impl<M: Base> Multiply<M> for Xmm<M> {
    #[inline(always)]
    fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: `Base` promises PCLMULQDQ.
        Self::new(unsafe { _mm_clmulepi64_si128::<HALVES>(self.0, other.0) })
    }
}

impl<M: Base + Avx2 + WideMultiply> Multiply<M> for Ymm<M> {
    #[inline(always)]
    fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: `Avx2` and `WideMultiply` promise the instruction.
        Self::new(unsafe { _mm256_clmulepi64_epi128::<HALVES>(self.0, other.0) })
    }
}

impl<M: Base + Avx512 + WideMultiply> Multiply<M> for Zmm<M> {
    #[inline(always)]
    fn multiply<const HALVES: i32>(self, other: Self) -> Self {
        // SAFETY: `Avx512` and `WideMultiply` promise the instruction.
        Self::new(unsafe { _mm512_clmulepi64_epi128::<HALVES>(self.0, other.0) })
    }
}

impl<M: Base> Xmm<M> {
    /// The number that the bytes make, lowest first.
    #[inline(always)]
    pub(super) fn to_number(self) -> u128 {
        // SAFETY: SSE2 is part of x86-64.
        let (low, high) = unsafe {
            (
                _mm_cvtsi128_si64(self.0) as u64,
                _mm_cvtsi128_si64(_mm_unpackhi_epi64(self.0, self.0)) as u64,
            )
        };
        u128::from(high) << 64 | u128::from(low)
    }

    #[inline(always)]
    pub(super) fn from_number(_: M, number: u128) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self::new(unsafe { _mm_set_epi64x((number >> 64) as i64, number as i64) })
    }

    /// Exchanges the 64-bit halves.
    #[inline(always)]
    pub(super) fn swap_halves(self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self::new(unsafe { _mm_shuffle_epi32::<0b01_00_11_10>(self.0) })
    }

    /// The low half as the high one, over zeros.
    #[inline(always)]
    pub(super) fn low_to_high(self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self::new(unsafe { _mm_slli_si128::<8>(self.0) })
    }

    /// The high half as the low one, under zeros.
    #[inline(always)]
    pub(super) fn high_to_low(self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self::new(unsafe { _mm_srli_si128::<8>(self.0) })
    }

    /// Word `place` in every place.
    #[inline(always)]
    pub(super) fn splat_place<const PLACES: i32>(self) -> Self {
        // SAFETY: SSE2 is part of x86-64.
        Self::new(unsafe { _mm_shuffle_epi32::<PLACES>(self.0) })
    }
}
