//! SM4 (GB/T 32907): the block cipher and SM4-GCM (RFC 8998).
//!
//! Two implementations stand behind [`Gcm`], chosen once per process by what the processor can do:
//!
//! * `gfni-avx512`: our kernel, constant-time by construction.
//! * `portable`: RustCrypto's `sm4` under `aes-gcm`. It looks its S-box up in a table indexed by
//!   secret data, so it is neither constant-time nor fast (about 100 MB/s a core). A bitsliced
//!   fallback and kernels for processors without GFNI (AVX2, AES-NI, Arm) are later work;
//!   [`backend`] says which one runs, for the node's status.

#[cfg(target_arch = "x86_64")]
mod gfni;
mod portable;

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
pub struct Gcm(GcmBackend);

enum GcmBackend {
    #[cfg(target_arch = "x86_64")]
    Gfni(Box<gfni::Gcm>),
    Portable(Box<portable::Gcm>),
}

impl Gcm {
    /// Expands `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = gfni::Token::detect() {
            return Self(GcmBackend::Gfni(Box::new(gfni::Gcm::new(token, key))));
        }
        Self::portable(key)
    }

    /// The implementation for processors without a kernel of ours.
    fn portable(key: &[u8; KEY_BYTES]) -> Self {
        Self(GcmBackend::Portable(Box::new(portable::Gcm::new(key))))
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
        assert!(
            data.len() as u64 <= DATA_BYTES_MAX,
            "data is longer than GCM's counter"
        );
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            GcmBackend::Gfni(key) => key.seal(nonce, aad, data),
            GcmBackend::Portable(key) => key.seal(nonce, aad, data),
        }
    }

    /// Checks the tag and only then decrypts `data` in place; on error `data` is unchanged.
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), OpenError> {
        let opened = data.len() as u64 <= DATA_BYTES_MAX
            && match &self.0 {
                #[cfg(target_arch = "x86_64")]
                GcmBackend::Gfni(key) => key.open(nonce, aad, data, tag),
                GcmBackend::Portable(key) => key.open(nonce, aad, data, tag),
            };
        if opened { Ok(()) } else { Err(OpenError) }
    }
}

impl std::fmt::Debug for Gcm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm4::Gcm(..)")
    }
}

/// The SM4 block cipher alone: QUIC header protection and oracles in tests, nothing else.
pub struct Block(BlockBackend);

enum BlockBackend {
    #[cfg(target_arch = "x86_64")]
    Gfni(Box<gfni::Block>),
    Portable(Box<portable::Block>),
}

impl Block {
    /// Expands `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(token) = gfni::Token::detect() {
            return Self(BlockBackend::Gfni(Box::new(gfni::Block::new(token, key))));
        }
        Self::portable(key)
    }

    /// The implementation for processors without a kernel of ours.
    fn portable(key: &[u8; KEY_BYTES]) -> Self {
        Self(BlockBackend::Portable(Box::new(portable::Block::new(key))))
    }

    /// Encrypts one block in place.
    pub fn encrypt(&self, block: &mut [u8; 16]) {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            BlockBackend::Gfni(key) => key.encrypt(block),
            BlockBackend::Portable(key) => key.encrypt(block),
        }
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm4::Block(..)")
    }
}

/// The implementation that runs on this processor, for status pages: `gfni-avx512` or `portable`.
#[must_use]
pub fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if gfni::Token::detect().is_some() {
        return "gfni-avx512";
    }
    "portable"
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [
        0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32,
        0x10,
    ];

    /// Every implementation that runs here, by name.
    fn all_gcm(key: &[u8; 16]) -> Vec<(&'static str, Gcm)> {
        vec![(backend(), Gcm::new(key)), ("portable", Gcm::portable(key))]
    }

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length)
            .map(|i| (((i + seed) * 167) >> 3) as u8)
            .collect()
    }

    #[test]
    fn gbt_32907_examples() {
        for (name, cipher) in [
            (backend(), Block::new(&KEY)),
            ("portable", Block::portable(&KEY)),
        ] {
            let mut block = KEY;
            cipher.encrypt(&mut block);
            assert_eq!(
                hex::encode(block),
                "681edf34d206965e86b3e94f536e4246",
                "{name}"
            );
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
    fn the_kernel_equals_the_portable_cipher_for_every_length() {
        let long = [4096, 8191, 16_384, 16_385, 65_537];
        for length in (0..=2600).chain(long) {
            let key: [u8; 16] = std::array::from_fn(|i| (i * 31 + length) as u8);
            let nonce: [u8; 12] = std::array::from_fn(|i| (i * 7 + length) as u8);
            let (plain, aad) = (bytes(length, 3), bytes(length % 601, 5));
            let (mut ours, mut theirs) = (plain.clone(), plain.clone());
            let gcm = Gcm::new(&key);
            let tag = gcm.seal_in_place(&nonce, &aad, &mut ours);
            let expected = Gcm::portable(&key).seal_in_place(&nonce, &aad, &mut theirs);
            assert_eq!((&ours, tag), (&theirs, expected), "length {length}");
            gcm.open_in_place(&nonce, &aad, &mut ours, &tag).unwrap();
            assert_eq!(ours, plain, "length {length}");
        }
    }

    #[test]
    fn nothing_outside_the_data_is_touched() {
        let gcm = Gcm::new(&KEY);
        for length in 0..700 {
            for offset in [0, 1, 63] {
                let mut around = vec![0xee; offset + length + 64];
                let _ = gcm.seal_in_place(&[1; 12], b"", &mut around[offset..offset + length]);
                assert!(around[..offset].iter().all(|byte| *byte == 0xee));
                assert!(around[offset + length..].iter().all(|byte| *byte == 0xee));
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
