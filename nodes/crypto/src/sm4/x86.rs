//! SM4 and SM4-GCM on x86-64: four machines, one source.
//!
//! | machine | registers | S-box | GHASH |
//! |---|---|---|---|
//! | [`GfniAvx512`] | 512 bits | `GF2P8AFFINEINVQB` | `VPCLMULQDQ`, 512 bits |
//! | [`GfniAvx2`] | 256 bits | `GF2P8AFFINEINVQB` | `VPCLMULQDQ`, 256 bits |
//! | [`AesniAvx2`] | 256 bits | `AESENCLAST` and `VPSHUFB` | `PCLMULQDQ` |
//! | [`AesniSse`] | 128 bits | `AESENCLAST` and `PSHUFB` | `PCLMULQDQ` |
//!
//! The S-box needs no table in memory: SM4 inverts in GF(2^8) as AES does, so AES's or the Galois
//! field's instructions do it between linear maps ([`linear`]). Constant time by construction.
//!
//! All `unsafe` code is here and in [`vector`]. A machine's value exists only if the processor has
//! its features ([`Machine::detect`]); registers are made from it; so the kernels themselves are
//! safe code, written once and compiled for each machine's features.

mod cipher;
mod gcm;
mod ghash;
mod linear;
mod sbox;
mod vector;

use cipher::{Prefix, Schedule, encrypt_block, encrypt_groups};
use gcm::with_groups;
use ghash::Powers;
use sbox::{ByAes, ByGfni, Sbox};
use vector::{Multiply, Vector, Xmm, Ymm, Zmm};
use zeroize::Zeroizing;

use super::kernel::{AeadKernel, BlockKernel};
use super::path::Path;

/// The block cipher of one of this module's paths; `None` where the processor lacks it.
pub(super) fn block(path: Path, key: &[u8; 16]) -> Option<Box<dyn BlockKernel>> {
    Some(match path {
        Path::GfniAvx512 => Block::<GfniAvx512>::new(key)?,
        Path::GfniAvx2 => Block::<GfniAvx2>::new(key)?,
        Path::AesniAvx2 => Block::<AesniAvx2>::new(key)?,
        Path::AesniSse => Block::<AesniSse>::new(key)?,
        _ => return None,
    })
}

/// The AEAD of one of this module's paths; `None` where the processor lacks it.
pub(super) fn aead(path: Path, key: &[u8; 16]) -> Option<Box<dyn AeadKernel>> {
    Some(match path {
        Path::GfniAvx512 => Gcm::<GfniAvx512>::new(key)?,
        Path::GfniAvx2 => Gcm::<GfniAvx2>::new(key)?,
        Path::AesniAvx2 => Gcm::<AesniAvx2>::new(key)?,
        Path::AesniSse => Gcm::<AesniSse>::new(key)?,
        _ => return None,
    })
}

/// Whether this processor has one of this module's paths.
pub(super) fn is_present(path: Path) -> bool {
    match path {
        Path::GfniAvx512 => GfniAvx512::detect().is_some(),
        Path::GfniAvx2 => GfniAvx2::detect().is_some(),
        Path::AesniAvx2 => AesniAvx2::detect().is_some(),
        Path::AesniSse => AesniSse::detect().is_some(),
        _ => false,
    }
}

/// A set of processor features, and what the kernels make of it.
trait Machine: vector::Base + Send + Sync + 'static {
    /// The register of many blocks.
    type Wide: Vector<Self>;
    type WideSbox: Sbox<Self, Self::Wide>;
    /// For one block and the key.
    type NarrowSbox: Sbox<Self, Xmm<Self>>;
    /// The register of GHASH.
    type Hash: Multiply<Self>;
    /// Groups of blocks that run interleaved, 4 or 5: as many as the registers hold.
    const GROUPS_MAX: usize;

    /// The machine, if this processor is one.
    fn detect() -> Option<Self>;
    /// Each of the kernels' entries, compiled for the machine's features.
    fn expand(self, schedule: &mut Schedule, key: &[u8; 16]);
    fn prepare(self, powers: &mut Powers, hash_key: &[u8; 16]);
    fn encrypt(self, schedule: &Schedule, blocks: &mut [[u8; 16]]);
    fn encrypt_counter(self, schedule: &Schedule, prefix: &[u8; 12], counter: u32, data: &mut [u8]);
    fn seal(
        self,
        schedule: &Schedule,
        powers: &Powers,
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; 16];
    fn open(
        self,
        schedule: &Schedule,
        powers: &Powers,
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; 16],
    ) -> bool;
}

macro_rules! machine {
    ($(#[$doc:meta])* $name:ident: [$($feature:tt),+], promises [$($promise:ident),+],
     $wide:ident, $sbox:ident, $hash:ident, $groups:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name(());

        $(
            // SAFETY: `detect` is the only maker of values, and asks for the features.
            #[expect(unsafe_code, reason = "the promise that makes the kernels safe code")]
            unsafe impl vector::$promise for $name {}
        )+

        #[expect(unsafe_code, reason = "entry to code with target features")]
        impl Machine for $name {
            type Wide = $wide<Self>;
            type WideSbox = $sbox<Self, $wide<Self>>;
            type NarrowSbox = $sbox<Self, Xmm<Self>>;
            type Hash = $hash<Self>;
            const GROUPS_MAX: usize = $groups;

            fn detect() -> Option<Self> {
                let present = true $(&& is_x86_feature_detected!($feature))+;
                present.then_some(Self(()))
            }

            machine!(@entry [$($feature),+] $name
                fn expand(schedule: &mut Schedule, key: &[u8; 16]) = cipher::expand);
            machine!(@entry [$($feature),+] $name
                fn prepare(powers: &mut Powers, hash_key: &[u8; 16]) = ghash::prepare);
            machine!(@entry [$($feature),+] $name
                fn encrypt(schedule: &Schedule, blocks: &mut [[u8; 16]]) = encrypt_blocks);
            machine!(@entry [$($feature),+] $name
                fn encrypt_counter(
                    schedule: &Schedule, prefix: &[u8; 12], counter: u32, data: &mut [u8]
                ) = encrypt_counter);
            machine!(@entry [$($feature),+] $name
                fn seal(
                    schedule: &Schedule, powers: &Powers, nonce: &[u8; 12], aad: &[u8],
                    data: &mut [u8]
                ) -> [u8; 16] = gcm::seal);
            machine!(@entry [$($feature),+] $name
                fn open(
                    schedule: &Schedule, powers: &Powers, nonce: &[u8; 12], aad: &[u8],
                    data: &mut [u8], tag: &[u8; 16]
                ) -> bool = gcm::open);
        }
    };
    (@entry [$($feature:tt),+] $name:ident
     fn $entry:ident($($argument:ident: $type:ty),+) $(-> $out:ty)? = $call:path) => {
        fn $entry(self, $($argument: $type),+) $(-> $out)? {
            $(#[target_feature(enable = $feature)])+
            fn compiled(machine: $name, $($argument: $type),+) $(-> $out)? {
                $call(machine, $($argument),+)
            }
            // SAFETY: `self` proves the features.
            unsafe { compiled(self, $($argument),+) }
        }
    };
}

machine!(
    /// Intel since Ice Lake (servers), AMD since Zen 4.
    GfniAvx512: [
        "ssse3", "sse4.1", "pclmulqdq", "avx2", "avx512f", "avx512bw", "avx512vl", "gfni",
        "vpclmulqdq"
    ], promises [Base, Avx2, Avx512, Gfni, WideMultiply],
    Zmm, ByGfni, Zmm, 5
);

machine!(
    /// Intel processors since Alder Lake that lack AVX-512.
    GfniAvx2: ["ssse3", "sse4.1", "pclmulqdq", "avx2", "gfni", "vpclmulqdq"],
    promises [Base, Avx2, Gfni, WideMultiply],
    Ymm, ByGfni, Ymm, 4
);

machine!(
    /// Intel since Haswell, AMD and Hygon since Zen.
    AesniAvx2: ["ssse3", "sse4.1", "pclmulqdq", "aes", "avx2"], promises [Base, Avx2, Aes],
    Ymm, ByAes, Xmm, 4
);

machine!(
    /// Intel since Westmere, and what else has AES but no AVX2.
    AesniSse: ["ssse3", "sse4.1", "pclmulqdq", "aes"], promises [Base, Aes],
    Xmm, ByAes, Xmm, 4
);

/// The block cipher under one key.
struct Block<M> {
    schedule: Schedule,
    machine: M,
}

impl<M: Machine> Block<M> {
    /// `None` where the processor is no such machine.
    fn new(key: &[u8; 16]) -> Option<Box<Self>> {
        let machine = M::detect()?;
        let mut block = Box::new(Self {
            schedule: Schedule::EMPTY,
            machine,
        });
        machine.expand(&mut block.schedule, key);
        Some(block)
    }
}

impl<M: Machine> BlockKernel for Block<M> {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        self.machine.encrypt(&self.schedule, blocks);
    }

    fn ctr(&self, iv: &[u8; 16], mut data: &mut [u8]) {
        let mut counter = u128::from_be_bytes(*iv);
        // The kernel counts in 32 bits; what carries further starts anew.
        while !data.is_empty() {
            let low = counter as u32;
            let until_carry = (1 << 32) - u64::from(low);
            let blocks = until_carry.min(data.len().div_ceil(16) as u64);
            let length = (16 * blocks).min(data.len() as u64) as usize;
            let (part, rest) = data.split_at_mut(length);
            let [prefix @ .., _, _, _, _] = &counter.to_be_bytes();
            self.machine
                .encrypt_counter(&self.schedule, prefix, low, part);
            counter = counter.wrapping_add(u128::from(blocks));
            data = rest;
        }
    }
}

/// GCM under one key.
struct Gcm<M> {
    schedule: Schedule,
    powers: Powers,
    machine: M,
}

impl<M: Machine> Gcm<M> {
    /// `None` where the processor is no such machine.
    fn new(key: &[u8; 16]) -> Option<Box<Self>> {
        let machine = M::detect()?;
        let mut gcm = Box::new(Self {
            schedule: Schedule::EMPTY,
            powers: Powers::EMPTY,
            machine,
        });
        machine.expand(&mut gcm.schedule, key);
        let mut hash_key = Zeroizing::new([[0; 16]]);
        machine.encrypt(&gcm.schedule, &mut *hash_key);
        let [hash_key] = &*hash_key;
        machine.prepare(&mut gcm.powers, hash_key);
        Some(gcm)
    }
}

impl<M: Machine> AeadKernel for Gcm<M> {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        self.machine
            .seal(&self.schedule, &self.powers, nonce, aad, data)
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> bool {
        self.machine
            .open(&self.schedule, &self.powers, nonce, aad, data, tag)
    }
}

/// Every block by itself: groups interleaved where there are enough, a single block by the shortest
/// way.
#[inline(always)]
fn encrypt_blocks<M: Machine>(machine: M, schedule: &Schedule, blocks: &mut [[u8; 16]]) {
    if let [block] = blocks {
        return encrypt_block(machine, schedule, block);
    }
    let group = 64 * M::Wide::LANES;
    for part in blocks.as_flattened_mut().chunks_mut(group * M::GROUPS_MAX) {
        if part.len() == group * M::GROUPS_MAX {
            with_groups!(M::GROUPS_MAX, encrypt_groups::<M>(machine, schedule, part));
            continue;
        }
        for part in part.chunks_mut(group) {
            let mut padded = [0; 256];
            // A group has at most 256 bytes, and `part` is no longer.
            let padded = &mut padded[..group];
            padded[..part.len()].copy_from_slice(part);
            encrypt_groups::<M, 1>(machine, schedule, padded);
            part.copy_from_slice(&padded[..part.len()]);
        }
    }
}

#[inline(always)]
fn encrypt_counter<M: Machine>(
    machine: M,
    schedule: &Schedule,
    prefix: &[u8; 12],
    counter: u32,
    data: &mut [u8],
) {
    let prefix = Prefix::new(machine, prefix);
    gcm::encrypt_counter(machine, schedule, prefix, counter, data);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of `value` before it is dropped and after, in the same memory.
    #[expect(
        unsafe_code,
        reason = "looks at memory that was dropped and not yet freed"
    )]
    fn around_drop<T>(value: Box<T>) -> [Vec<u8>; 2] {
        let at = Box::into_raw(value);
        let bytes = || {
            // SAFETY: the allocation lives until it is freed below, and a `T` here is arrays of
            // integers without padding.
            unsafe { std::slice::from_raw_parts(at.cast::<u8>(), size_of::<T>()) }.to_vec()
        };
        let before = bytes();
        // SAFETY: `at` came from a box and is dropped once; what is freed has nothing left to drop.
        let after = unsafe {
            at.drop_in_place();
            let after = bytes();
            drop(Box::from_raw(at.cast::<std::mem::MaybeUninit<T>>()));
            after
        };
        [before, after]
    }

    fn keys_are_wiped<M: Machine>() {
        let key = &[7; 16];
        let (Some(gcm), Some(block)) = (Gcm::<M>::new(key), Block::<M>::new(key)) else {
            return; // another processor
        };
        assert_eq!(size_of_val(&*gcm), 32 * 4 + 16 * 16);
        for [before, after] in [around_drop(gcm), around_drop(block)] {
            assert!(before.as_chunks::<4>().0.iter().all(|word| *word != [0; 4]));
            assert!(after.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn schedules_and_powers_are_wiped_on_drop() {
        keys_are_wiped::<GfniAvx512>();
        keys_are_wiped::<GfniAvx2>();
        keys_are_wiped::<AesniAvx2>();
        keys_are_wiped::<AesniSse>();
    }
}
