//! SM4 (GB/T 32907): the block cipher and SM4-GCM (RFC 8998).
//!
//! Several implementations stand behind [`Gcm`] and [`Block`], one [`Path`] each; the best that the
//! processor has is chosen once per process. [`Gcm::with_path`] and [`Block::with_path`] take a path
//! by name, for tests, benches and the self-test only: nothing in production chooses.

#[cfg(target_arch = "aarch64")]
mod arm;
mod bitsliced;
mod compose;
mod ghash_soft;
mod kernel;
mod path;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
mod zhaoxin;

use std::sync::LazyLock;

pub use path::Path;

/// Bytes of an SM4 key.
pub const KEY_BYTES: usize = 16;
/// Bytes of a GCM nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a GCM tag.
pub const TAG_BYTES: usize = 16;
/// Most bytes sealed in one call: GCM's counter has 32 bits, and two of its blocks are taken
/// (NIST SP 800-38D, 5.2.1.1).
pub const DATA_BYTES_MAX: u64 = (1 << 36) - 32;

/// The tag did not fit the data: altered, truncated, or sealed under another key, nonce or AAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed data does not open: wrong key or altered bytes")]
pub struct OpenError;

/// An expanded SM4-GCM key.
pub struct Gcm {
    path: Path,
    kernel: Box<dyn kernel::AeadKernel>,
}

impl Gcm {
    /// Expands `key` for the best path of this processor.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        // The best path is one of those available.
        Self::with_path(Path::best(), key).expect("the best path is available")
    }

    /// Expands `key` for `path`; `None` where the processor lacks it.
    #[must_use]
    pub fn with_path(path: Path, key: &[u8; KEY_BYTES]) -> Option<Self> {
        let kernel = path.aead(key)?;
        Some(Self { path, kernel })
    }

    /// The implementation in use.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// Encrypts `data` in place and returns the tag. A nonce must never repeat under one key.
    ///
    /// # Panics
    /// When `data` is longer than [`DATA_BYTES_MAX`], 64 GiB: every caller's own limits are far
    /// below it.
    #[must_use]
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        assert!(fits(data.len()), "data is longer than GCM's counter");
        self.kernel.seal(nonce, aad, data)
    }

    /// Checks the tag and only then decrypts `data` in place; on error `data` is unchanged.
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), OpenError> {
        let opened = fits(data.len()) && self.kernel.open(nonce, aad, data, tag);
        if opened { Ok(()) } else { Err(OpenError) }
    }
}

impl std::fmt::Debug for Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm4::Gcm(..)")
    }
}

/// The SM4 block cipher alone: QUIC header protection, counter mode, and oracles in tests.
pub struct Block {
    path: Path,
    kernel: Box<dyn kernel::BlockKernel>,
}

impl Block {
    /// Expands `key` for the best path of this processor.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        // The best path is one of those available.
        Self::with_path(Path::best(), key).expect("the best path is available")
    }

    /// Expands `key` for `path`; `None` where the processor lacks it.
    #[must_use]
    pub fn with_path(path: Path, key: &[u8; KEY_BYTES]) -> Option<Self> {
        let kernel = path.block(key)?;
        Some(Self { path, kernel })
    }

    /// The implementation in use.
    #[must_use]
    pub fn path(&self) -> Path {
        self.path
    }

    /// Encrypts one block in place.
    pub fn encrypt(&self, block: &mut [u8; 16]) {
        self.kernel.encrypt(std::slice::from_mut(block));
    }

    /// Encrypts every block in place, each by itself (ECB): many cost less together than one by one.
    pub fn encrypt_many(&self, blocks: &mut [[u8; 16]]) {
        self.kernel.encrypt(blocks);
    }

    /// Counter mode in place, both directions: XORs `data` with the encrypted counters `iv`,
    /// `iv + 1`, …, big-endian over all 128 bits and wrapping (NIST SP 800-38A, 6.5 and B.1).
    /// No counter may repeat under one key.
    pub fn ctr_in_place(&self, iv: &[u8; 16], data: &mut [u8]) {
        self.kernel.ctr(iv, data);
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm4::Block(..)")
    }
}

/// Whether GCM's counter reaches over `length` bytes. Nonce, key and tag have the right length by
/// type; the limit of the AAD, 2^61 − 1 bytes, is more than any address space holds.
const fn fits(length: usize) -> bool {
    length as u64 <= DATA_BYTES_MAX
}

/// The name of the path that runs on this processor, for status pages and the inventory; a path that
/// failed its self-test is named with it.
#[must_use]
pub fn backend() -> &'static str {
    static NAME: LazyLock<String> =
        LazyLock::new(|| path::describe(Path::best(), Path::rejected()));
    &NAME
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32,
        0x10,
    ];

    /// Every path that runs here.
    fn all_gcm(key: &[u8; 16]) -> Vec<(Path, Gcm)> {
        let built = |path| (path, Gcm::with_path(path, key).unwrap());
        Path::available().into_iter().map(built).collect()
    }

    fn all_blocks(key: &[u8; 16]) -> Vec<(Path, Block)> {
        let built = |path| (path, Block::with_path(path, key).unwrap());
        Path::available().into_iter().map(built).collect()
    }

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length)
            .map(|i| (((i + seed) * 167) >> 3) as u8)
            .collect()
    }

    #[test]
    fn gbt_32907_example_1() {
        for (name, cipher) in all_blocks(&KEY) {
            let mut block = KEY;
            cipher.encrypt(&mut block);
            assert_eq!(
                hex::encode(block),
                "681edf34d206965e86b3e94f536e4246",
                "{name}"
            );
        }
    }

    /// `tests/cross/run` leaves it out: a million blocks one by one are too many for an emulator.
    #[test]
    fn gbt_32907_example_2() {
        for (name, cipher) in all_blocks(&KEY) {
            let mut block = KEY;
            for _ in 0..1_000_000 {
                cipher.encrypt(&mut block);
            }
            assert_eq!(
                hex::encode(block),
                "595298c7c6fd271f0402f804c33d3f66",
                "{name}"
            );
        }
    }

    #[test]
    fn rfc_8998_appendix_a_1() {
        let nonce = *b"\x00\x00\x12\x34\x56\x78\x00\x00\x00\x00\xab\xcd";
        let aad = hex::decode("feedfacedeadbeeffeedfacedeadbeefabaddad2").unwrap();
        let plain = hex::decode(concat!(
            "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd",
            "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa"
        ))
        .unwrap();
        let sealed = concat!(
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735",
            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        );
        for (name, gcm) in all_gcm(&KEY) {
            let mut data = plain.clone();
            let tag = gcm.seal_in_place(&nonce, &aad, &mut data);
            assert_eq!(hex::encode(&data), sealed, "{name}");
            assert_eq!(
                hex::encode(tag),
                "83de3541e4c2b58177e065a9bf7b62ec",
                "{name}"
            );
            gcm.open_in_place(&nonce, &aad, &mut data, &tag).unwrap();
            assert_eq!(data, plain, "{name}");
        }
    }

    #[test]
    fn every_path_equals_rustcrypto_for_every_length() {
        use aes_gcm::aead::consts::U12;
        use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
        let long = [4096, 8191, 16_384, 16_385, 65_537];
        for length in (0..=2600).chain(long) {
            let key: [u8; 16] = std::array::from_fn(|i| (i * 31 + length) as u8);
            let nonce: [u8; 12] = std::array::from_fn(|i| (i * 7 + length) as u8);
            let (plain, aad) = (bytes(length, 3), bytes(length % 601, 5));
            let mut theirs = plain.clone();
            let expected: [u8; 16] = aes_gcm::AesGcm::<sm4::Sm4, U12>::new(&key.into())
                .encrypt_inout_detached(&nonce.into(), &aad, theirs.as_mut_slice().into())
                .unwrap()
                .into();
            for (path, gcm) in all_gcm(&key) {
                let mut ours = plain.clone();
                let tag = gcm.seal_in_place(&nonce, &aad, &mut ours);
                assert_eq!((&ours, tag), (&theirs, expected), "{path}, length {length}");
                gcm.open_in_place(&nonce, &aad, &mut ours, &tag).unwrap();
                assert_eq!(ours, plain, "{path}, length {length}");
            }
        }
    }

    #[test]
    fn the_limit_leaves_the_counter_its_two_blocks() {
        // Counters 2 … 2^32 − 1 encrypt data; the next would be 0.
        assert_eq!(DATA_BYTES_MAX, 16 * ((1 << 32) - 2));
        let most = usize::try_from(DATA_BYTES_MAX).unwrap();
        assert!(fits(0) && fits(most));
        assert!(!fits(most + 1) && !fits(usize::MAX));
    }

    #[test]
    fn many_blocks_and_counters_are_single_blocks() {
        for (path, cipher) in all_blocks(&KEY) {
            for count in (0..70).chain([127, 128, 200]) {
                let mut blocks: Vec<[u8; 16]> = (0..count)
                    .map(|i| std::array::from_fn(|j| (i * 17 + j) as u8))
                    .collect();
                let mut singly = blocks.clone();
                singly.iter_mut().for_each(|block| cipher.encrypt(block));
                cipher.encrypt_many(&mut blocks);
                assert_eq!(blocks, singly, "{path}, {count} blocks");
            }
            // The counter carries past 32, 64 and 128 bits.
            for high in [
                0,
                u32::MAX.into(),
                u64::MAX.into(),
                u128::MAX >> 32,
                u128::MAX,
            ] {
                for length in (0..80).chain([1000, 1024, 1025, 3000]) {
                    let mut data = bytes(length, 9);
                    let iv = high - high.min(1);
                    cipher.ctr_in_place(&iv.to_be_bytes(), &mut data);
                    for (index, part) in data.chunks_mut(16).enumerate() {
                        let mut block = iv.wrapping_add(index as u128).to_be_bytes();
                        cipher.encrypt(&mut block);
                        part.iter_mut().zip(block).for_each(|(a, b)| *a ^= b);
                    }
                    assert_eq!(data, bytes(length, 9), "{path}, {iv:032x}, length {length}");
                }
            }
        }
    }

    #[test]
    fn nothing_outside_the_data_is_touched() {
        for (path, gcm) in all_gcm(&KEY) {
            for length in 0..700 {
                for offset in [0, 1, 63] {
                    let mut around = vec![0xee; offset + length + 64];
                    let _ = gcm.seal_in_place(&[1; 12], b"", &mut around[offset..offset + length]);
                    assert!(around[..offset].iter().all(|byte| *byte == 0xee), "{path}");
                    assert!(
                        around[offset + length..].iter().all(|byte| *byte == 0xee),
                        "{path}"
                    );
                }
            }
        }
    }

    #[test]
    fn altered_tag_data_aad_or_nonce_is_refused_and_data_is_unchanged() {
        for (name, gcm) in all_gcm(&KEY) {
            for length in [0, 1, 15, 16, 17, 255, 256, 300, 1200] {
                let (nonce, aad) = ([9; 12], bytes(21, 1));
                let mut sealed = bytes(length, 2);
                let tag = gcm.seal_in_place(&nonce, &aad, &mut sealed);
                let refused = |nonce: &[u8; 12], aad: &[u8], data: &[u8], tag: &[u8; 16]| {
                    let mut copy = data.to_vec();
                    let result = gcm.open_in_place(nonce, aad, &mut copy, tag);
                    assert_eq!(result, Err(OpenError), "{name} {length}");
                    assert_eq!(copy, data, "{name} {length}");
                };
                for bit in 0..128 {
                    let mut other = tag;
                    other[bit / 8] ^= 1 << (bit % 8);
                    refused(&nonce, &aad, &sealed, &other);
                }
                for index in 0..length {
                    let mut other = sealed.clone();
                    other[index] ^= 0x80;
                    refused(&nonce, &aad, &other, &tag);
                }
                refused(&nonce, &aad[..20], &sealed, &tag);
                refused(&[8; 12], &aad, &sealed, &tag);
            }
        }
    }
}
