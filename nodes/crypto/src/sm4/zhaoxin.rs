//! SM4 by Zhaoxin's own instruction, CCS_ENCRYPT of the GMI set, on processors of Zhaoxin and of
//! Centaur.
//!
//! **No processor with it was at hand**: the encoding and the registers follow the public Linux and
//! OpenSSL drivers (`zhaoxin-gmi-sm4.c`, `e_gmi`), and this code has never executed the instruction.
//! So it is trusted only after a self-test against the bitsliced code in every process that wants
//! it; if that disagrees, the path is absent, and [`rejected`] says why. Its preference, after the
//! AES-NI paths, is a guess for the same reason.

use std::arch::asm;
use std::arch::x86_64::__cpuid;
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::bitsliced;
use super::kernel::BlockKernel;

/// Whether the path may be used, found out once per process.
pub(super) fn is_present() -> bool {
    *STATE == State::Trusted
}

/// Whether the processor has the instruction, but it gave wrong results.
pub(super) fn rejected() -> bool {
    *STATE == State::Rejected
}

/// The block cipher under `key`; `None` without a trusted instruction.
pub(super) fn block(key: &[u8; 16]) -> Option<Block> {
    is_present().then(|| Block::new(ccs_encrypt, key))
}

static STATE: LazyLock<State> = LazyLock::new(|| probe(announced(), ccs_encrypt));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Absent,
    Trusted,
    Rejected,
}

/// Encrypts the blocks of a batch under a key, each by itself.
///
/// # Safety
/// The processor has whatever instruction it uses.
type Encrypt = unsafe fn(key: &Aligned<[u8; 16]>, from: &Batch, to: &mut Batch);

/// The drivers align everything that the instruction reads or writes to 16 bytes.
#[repr(align(16))]
struct Aligned<T>(T);

/// Blocks given to the instruction together.
const BLOCKS: usize = 32;
type Batch = Aligned<[[u8; 16]; BLOCKS]>;

/// Asks nothing of `encrypt` unless the processor announces the instruction.
fn probe(announced: bool, encrypt: Encrypt) -> State {
    match announced {
        false => State::Absent,
        true if agrees(encrypt) => State::Trusted,
        true => State::Rejected,
    }
}

/// The self-test: several keys in turn, so that a key kept from the call before is noticed, and
/// every place in a batch.
fn agrees(encrypt: Encrypt) -> bool {
    (0..8u8).all(|round| {
        let key = std::array::from_fn(|i| (i as u8 + 1).wrapping_mul(29).wrapping_add(round));
        let mut ours = [[0; 16]; 2 * BLOCKS + 1];
        for (index, block) in ours.iter_mut().enumerate() {
            *block = std::array::from_fn(|i| (index * 37 + i * 11) as u8 ^ round);
        }
        let mut theirs = ours;
        bitsliced::Block::new(&key).encrypt(&mut ours);
        Block::new(encrypt, &key).encrypt(&mut theirs);
        ours == theirs
    })
}

/// SM4 under one key. The instruction expands it anew in each call.
pub(super) struct Block {
    encrypt: Encrypt,
    key: Box<Zeroizing<[u8; 16]>>,
}

impl Block {
    fn new(encrypt: Encrypt, key: &[u8; 16]) -> Self {
        Self {
            encrypt,
            key: Box::new(Zeroizing::new(*key)),
        }
    }
}

#[expect(unsafe_code, reason = "entry to the instruction")]
impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        let mut key = Aligned(**self.key);
        let mut from = Aligned([[0; 16]; BLOCKS]);
        let mut to = Aligned([[0; 16]; BLOCKS]);
        for part in blocks.chunks_mut(BLOCKS) {
            from.0[..part.len()].copy_from_slice(part);
            // SAFETY: only `probe` and `block` make one, when the processor has the instruction.
            unsafe { (self.encrypt)(&key, &from, &mut to) };
            part.copy_from_slice(&to.0[..part.len()]);
        }
        zeroize::Zeroize::zeroize(&mut key.0);
    }
}

/// Whether the processor announces the instruction: CPUID 0xC0000001, EDX bit 4 (CCS present) and
/// 5 (enabled).
fn announced() -> bool {
    const LEAF: u32 = 0xc000_0001;
    let id = __cpuid(0);
    let vendor = [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes);
    let vendor = vendor.as_flattened();
    if vendor != b"  Shanghai  " && vendor != b"CentaurHauls" {
        return false;
    }
    // Processors answer leaves that they lack with those of another.
    let last = __cpuid(LEAF - 1).eax;
    (LEAF..LEAF + 0x1000).contains(&last) && __cpuid(LEAF).edx & 0x30 == 0x30
}

/// CCS_ENCRYPT, ECB: F3 0F A7 F0 with the control word in RAX, the key's address in RBX, the number
/// of blocks in RCX, an initial value's address in RDX (not read), source in RSI, target in RDI.
#[expect(unsafe_code, reason = "an instruction without an intrinsic")]
fn ccs_encrypt(key: &Aligned<[u8; 16]>, from: &Batch, to: &mut Batch) {
    /// Bit 0 clear: encrypt. Bits 1 to 5: 16, SM4. Bit 6: ECB.
    const CONTROL: u64 = 0x60;
    let mut initial = Aligned([0u8; 16]);
    // SAFETY: the processor has the instruction (see `Encrypt`). It reads 16 bytes at RBX and
    // BLOCKS blocks at RSI and writes as many at RDI. Rust keeps RBX and perhaps RBP for itself;
    // both are put back.
    unsafe {
        asm!(
            "xchg r8, rbx",
            "mov r9, rbp",
            ".byte 0xf3, 0x0f, 0xa7, 0xf0",
            "mov rbp, r9",
            "xchg r8, rbx",
            inout("r8") &raw const key.0 => _,
            out("r9") _,
            inout("rax") CONTROL => _,
            inout("rcx") BLOCKS => _,
            inout("rdx") &raw mut initial.0 => _,
            inout("rsi") &raw const from.0 => _,
            inout("rdi") &raw mut to.0 => _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::compose::Composed;
    use super::super::kernel::AeadKernel as _;
    use super::*;
    use crate::sm4::ghash_soft::Ghash;

    /// What the instruction is said to do.
    fn honest(key: &Aligned<[u8; 16]>, from: &Batch, to: &mut Batch) {
        to.0 = from.0;
        bitsliced::Block::new(&key.0).encrypt(&mut to.0);
    }

    fn wrong_in_one_bit(key: &Aligned<[u8; 16]>, from: &Batch, to: &mut Batch) {
        honest(key, from, to);
        to.0[BLOCKS - 1][15] ^= 1;
    }

    fn keeps_its_first_key(_: &Aligned<[u8; 16]>, from: &Batch, to: &mut Batch) {
        honest(
            &Aligned(std::array::from_fn(|i| (i as u8 + 1).wrapping_mul(29))),
            from,
            to,
        );
    }

    fn never_called(_: &Aligned<[u8; 16]>, _: &Batch, _: &mut Batch) {
        panic!("the processor does not announce the instruction");
    }

    #[test]
    fn only_an_instruction_that_agrees_is_trusted() {
        assert_eq!(probe(true, honest), State::Trusted);
        assert_eq!(probe(true, wrong_in_one_bit), State::Rejected);
        assert_eq!(probe(true, keeps_its_first_key), State::Rejected);
        assert_eq!(probe(false, never_called), State::Absent);
    }

    #[test]
    fn gcm_over_it_is_gcm() {
        let key = [0x5a; 16];
        let ours = Composed::new(Block::new(honest, &key), Ghash::new);
        let theirs = Composed::new(bitsliced::Block::new(&key), Ghash::new);
        for length in [0, 1, 16, 31, 511, 512, 513, 1200, 4000] {
            let mut data = vec![0x11; length];
            let mut other = data.clone();
            let tag = ours.seal(&[3; 12], b"header", &mut data);
            assert_eq!(tag, theirs.seal(&[3; 12], b"header", &mut other));
            assert_eq!(data, other, "length {length}");
            assert!(ours.open(&[3; 12], b"header", &mut data, &tag));
            assert_eq!(data, vec![0x11; length]);
        }
    }

    #[test]
    fn a_processor_that_announces_it_is_either_trusted_or_rejected() {
        assert_eq!(is_present() || rejected(), announced());
        assert_eq!(block(&[0; 16]).is_some(), is_present());
    }
}
