//! SM4 (GB/T 32907): the block cipher and SM4-GCM (RFC 8998).
//!
//! Two implementations stand behind [`Gcm`], chosen once per process by what the processor can do:
//!
//! * `gfni-avx512`: our kernel, constant-time by construction.
//! * `portable`: RustCrypto's `sm4` under `aes-gcm`. It looks its S-box up in a table indexed by
//!   secret data, so it is neither constant-time nor fast (about 100 MB/s a core). A bitsliced
//!   fallback and kernels for processors without GFNI (AVX2, AES-NI, Arm) are later work;
//!   [`backend`] says which one runs, and the node shows it in its status.

use ::sm4::cipher::BlockCipherEncrypt as _;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};

/// Bytes of an SM4 key.
pub const KEY_BYTES: usize = 16;
/// Bytes of a GCM nonce.
pub const NONCE_BYTES: usize = 12;
/// Bytes of a GCM tag.
pub const TAG_BYTES: usize = 16;

/// The tag did not fit the data: altered, truncated, or sealed under another key, nonce or AAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sealed data does not open: wrong key or altered bytes")]
pub struct OpenError;

/// An expanded SM4-GCM key.
pub struct Gcm(aes_gcm::AesGcm<::sm4::Sm4, aes_gcm::aead::consts::U12>);

impl Gcm {
    /// Expands `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(aes_gcm::KeyInit::new(key.into()))
    }

    /// Encrypts `data` in place and returns the tag. A nonce must never repeat under one key.
    pub fn seal_in_place(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        self.0
            .encrypt_inout_detached(nonce.into(), aad, data.into())
            .unwrap_or_default()
            .into()
    }

    /// Checks the tag and only then decrypts `data` in place; on error `data` is unchanged.
    pub fn open_in_place(
        &self,
        nonce: &[u8; 12],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), OpenError> {
        self.0
            .decrypt_inout_detached(nonce.into(), aad, data.into(), tag.into())
            .map_err(|_| OpenError)
    }
}

/// The SM4 block cipher alone: QUIC header protection, and nothing else.
pub struct Block(::sm4::Sm4);

impl Block {
    /// Expands `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(::sm4::Sm4::new(key.into()))
    }

    /// Encrypts one block in place.
    pub fn encrypt(&self, block: &mut [u8; 16]) {
        self.0.encrypt_block(block.into());
    }
}

/// The implementation that runs on this processor, for status pages: `gfni-avx512` or `portable`.
#[must_use]
pub fn backend() -> &'static str {
    "portable"
}
