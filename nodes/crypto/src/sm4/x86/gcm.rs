//! Counter mode and GCM (NIST SP 800-38D) on top of the keystream and GHASH.

use subtle::ConstantTimeEq as _;

use super::Machine;
use super::cipher::{Prefix, Schedule, keystream};
use super::ghash::{Powers, hash};
use super::vector::Vector;

/// Most bytes that the first batch of keystream has on any machine: 5 groups of 16 blocks.
const FIRST_BYTES_MAX: usize = 5 * 256;

/// Bytes of keystream in one group.
const fn group_bytes<M: Machine>() -> usize {
    64 * M::Wide::LANES
}

/// How many groups to run next, of those that remain. Five at a time are as many equal batches as can
/// be, since a batch of one group costs nearly as much time as one of four.
#[inline(always)]
fn batch<M: Machine>(remaining: usize) -> usize {
    if M::GROUPS_MAX == 5 {
        return remaining.div_ceil(remaining.div_ceil(5).max(1));
    }
    remaining.min(M::GROUPS_MAX)
}

/// Calls `$call::<M, N>` with an `N` of at least `$groups`, which is 1 to `M::GROUPS_MAX`. Not every
/// number has its own code: three groups of four take no less time than four.
macro_rules! with_groups {
    ($groups:expr, $call:ident::<$machine:ident>($($argument:expr),*)) => {
        match $groups {
            5.. if const { $machine::GROUPS_MAX == 5 } => {
                $call::<$machine, 5>($($argument),*)
            }
            3 if const { $machine::GROUPS_MAX == 5 } => $call::<$machine, 3>($($argument),*),
            3.. => $call::<$machine, 4>($($argument),*),
            2 => $call::<$machine, 2>($($argument),*),
            _ => $call::<$machine, 1>($($argument),*),
        }
    };
}
pub(super) use with_groups;

/// XORs `N` groups of keystream from `counter` on into `data`, as far as it goes.
#[inline(always)]
fn xor_groups<M: Machine, const N: usize>(
    machine: M,
    schedule: &Schedule,
    prefix: Prefix,
    counter: u32,
    data: &mut [u8],
) {
    let stream = keystream::<M, N>(machine, schedule, prefix, counter);
    xor_registers(machine, stream.as_flattened(), data);
}

/// The same with the first block left out, which is returned: the tag's mask.
#[inline(always)]
fn xor_groups_after_mask<M: Machine, const N: usize>(
    machine: M,
    schedule: &Schedule,
    prefix: Prefix,
    data: &mut [u8],
) -> [u8; 16] {
    let stream = keystream::<M, N>(machine, schedule, prefix, 1);
    let [first, rest @ ..] = stream.as_flattened() else {
        return [0; 16]; // cannot happen: N is at least 1
    };
    let mut bytes = [0; 64];
    first.store(&mut bytes);
    let (mask, bytes) = bytes[..16 * M::Wide::LANES].split_at(16);
    let (head, data) = data.split_at_mut(data.len().min(bytes.len()));
    xor_bytes(head, bytes);
    xor_registers(machine, rest, data);
    let mut out = [0; 16];
    out.copy_from_slice(mask);
    out
}

/// `N` groups of keystream from counter 1 on, into `out`.
#[inline(always)]
fn store_groups<M: Machine, const N: usize>(
    machine: M,
    schedule: &Schedule,
    prefix: Prefix,
    out: &mut [u8],
) {
    let stream = keystream::<M, N>(machine, schedule, prefix, 1);
    let registers = out.chunks_exact_mut(16 * M::Wide::LANES);
    for (register, out) in stream.as_flattened().iter().zip(registers) {
        register.store(out);
    }
}

/// XORs registers into `data`, as far as it goes.
#[inline(always)]
fn xor_registers<M: Machine>(machine: M, registers: &[M::Wide], data: &mut [u8]) {
    for (register, part) in registers.iter().zip(data.chunks_mut(16 * M::Wide::LANES)) {
        if part.len() == 16 * M::Wide::LANES {
            M::Wide::load(machine, part).xor(*register).store(part);
        } else {
            let mut bytes = [0; 64];
            register.store(&mut bytes);
            xor_bytes(part, &bytes);
        }
    }
}

/// XORs `stream`, which is no shorter, into `data`.
#[inline(always)]
fn xor_bytes(data: &mut [u8], stream: &[u8]) {
    let (blocks, tail) = data.as_chunks_mut::<16>();
    let (stream_blocks, _) = stream.as_chunks::<16>();
    for (block, stream) in blocks.iter_mut().zip(stream_blocks) {
        *block = (u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(*stream)).to_ne_bytes();
    }
    let stream = &stream[16 * blocks.len()..];
    let (eights, tail) = tail.as_chunks_mut::<8>();
    let (stream_eights, _) = stream.as_chunks::<8>();
    for (eight, stream) in eights.iter_mut().zip(stream_eights) {
        *eight = (u64::from_ne_bytes(*eight) ^ u64::from_ne_bytes(*stream)).to_ne_bytes();
    }
    let stream = &stream[8 * eights.len()..];
    for (byte, stream) in tail.iter_mut().zip(stream).take(8) {
        *byte ^= stream;
    }
}

/// Counter mode from `counter` on; the caller sees to it that the counter does not wrap within
/// `data`.
#[inline(always)]
pub(super) fn encrypt_counter<M: Machine>(
    machine: M,
    schedule: &Schedule,
    prefix: Prefix,
    mut counter: u32,
    mut data: &mut [u8],
) {
    while !data.is_empty() {
        let groups = batch::<M>(data.len().div_ceil(group_bytes::<M>()));
        let length = data.len().min(groups * group_bytes::<M>());
        let (part, rest) = data.split_at_mut(length);
        with_groups!(
            groups,
            xor_groups::<M>(machine, schedule, prefix, counter, part)
        );
        counter = counter.wrapping_add(4 * (M::Wide::LANES * groups) as u32);
        data = rest;
    }
}

/// Groups and bytes of data of the first batch, which begins with the tag's mask.
#[inline(always)]
fn first_batch<M: Machine>(length: usize) -> (usize, usize) {
    let groups = batch::<M>((length.saturating_add(16)).div_ceil(group_bytes::<M>()));
    (groups, length.min(groups * group_bytes::<M>() - 16))
}

/// Encrypts `data` and returns the tag. The caller keeps within GCM's limit of 2^36 − 32 bytes, so
/// the counter never wraps.
#[inline(always)]
pub(super) fn seal<M: Machine>(
    machine: M,
    schedule: &Schedule,
    powers: &Powers,
    nonce: &[u8; 12],
    aad: &[u8],
    data: &mut [u8],
) -> [u8; 16] {
    let prefix = Prefix::new(machine, nonce);
    let (groups, length) = first_batch::<M>(data.len());
    let (first, rest) = data.split_at_mut(length);
    let mask = with_groups!(
        groups,
        xor_groups_after_mask::<M>(machine, schedule, prefix, first)
    );
    let counter = 1 + 4 * (M::Wide::LANES * groups) as u32;
    encrypt_counter(machine, schedule, prefix, counter, rest);
    (hash(machine, powers, aad, data) ^ u128::from_be_bytes(mask)).to_be_bytes()
}

/// Compares the tag first, in constant time, so that nothing forged is ever decrypted.
#[inline(always)]
pub(super) fn open<M: Machine>(
    machine: M,
    schedule: &Schedule,
    powers: &Powers,
    nonce: &[u8; 12],
    aad: &[u8],
    data: &mut [u8],
    tag: &[u8; 16],
) -> bool {
    let prefix = Prefix::new(machine, nonce);
    let (groups, length) = first_batch::<M>(data.len());
    // The first batch has the mask, and its other blocks come at no price: they wait for the tag.
    let mut stream = [0; FIRST_BYTES_MAX];
    with_groups!(
        groups,
        store_groups::<M>(machine, schedule, prefix, &mut stream)
    );
    let (mask, stream) = stream.split_at(16);
    let computed = hash(machine, powers, aad, data).to_be_bytes();
    let mut expected = *tag;
    xor_bytes(&mut expected, mask);
    if !bool::from(computed.ct_eq(&expected)) {
        return false;
    }
    let (first, rest) = data.split_at_mut(length);
    xor_bytes(first, stream);
    let counter = 1 + 4 * (M::Wide::LANES * groups) as u32;
    encrypt_counter(machine, schedule, prefix, counter, rest);
    true
}
