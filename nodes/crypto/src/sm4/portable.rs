//! SM4 by RustCrypto, for processors without a kernel of ours: about 100 MB/s a core, and its S-box
//! is a table indexed by secret data, so its running time may betray key bits to a program on the
//! same processor. A constant-time fallback is later work.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use sm4::cipher::BlockCipherEncrypt as _;

use super::kernel::{AeadKernel, BlockKernel};

pub(super) struct Gcm(aes_gcm::AesGcm<sm4::Sm4, U12>);

impl Gcm {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(aes_gcm::AesGcm::new(key.into()))
    }
}

impl AeadKernel for Gcm {
    /// The caller keeps `data` and `aad` within GCM's limits, the only thing that can fail.
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        self.0
            .encrypt_inout_detached(nonce.into(), aad, data.into())
            .expect("data is within GCM's limits")
            .into()
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> bool {
        self.0
            .decrypt_inout_detached(nonce.into(), aad, data.into(), tag.into())
            .is_ok()
    }
}

pub(super) struct Block(sm4::Sm4);

impl Block {
    pub(super) fn new(key: &[u8; 16]) -> Self {
        Self(sm4::Sm4::new(key.into()))
    }
}

impl BlockKernel for Block {
    fn encrypt(&self, blocks: &mut [[u8; 16]]) {
        for block in blocks {
            self.0.encrypt_block(block.into());
        }
    }
}
