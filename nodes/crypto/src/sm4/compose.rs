//! GCM (NIST SP 800-38D) from a block cipher and a GHASH, for the paths that do not fuse the two.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::kernel::{AeadKernel, BlockKernel, COUNTER_BLOCKS, xor};

/// Most bytes whose keystream is made in one batch with the tag's mask.
const SHORT_BYTES: usize = 16 * (COUNTER_BLOCKS - 1);

/// GHASH under one hash key (NIST SP 800-38D, 6.4).
pub(super) trait Ghash: Send + Sync {
    /// GHASH of `aad` and `data`, each padded with zeros to whole blocks, and the block of their
    /// bit lengths.
    fn hash(&self, aad: &[u8], data: &[u8]) -> [u8; 16];
}

/// GCM over the block cipher `B` and the hash `G`.
pub(super) struct Composed<B, G> {
    block: B,
    ghash: G,
}

impl<B: BlockKernel, G: Ghash> Composed<B, G> {
    /// `ghash` prepares for the hash key: the encrypted zero block.
    pub(super) fn new(block: B, ghash: impl FnOnce(&[u8; 16]) -> G) -> Self {
        let mut hash_key = Zeroizing::new([[0; 16]]);
        block.encrypt(&mut *hash_key);
        let [hash_key] = &*hash_key;
        Self {
            ghash: ghash(hash_key),
            block,
        }
    }

    fn tag(&self, mask: [u8; 16], aad: &[u8], data: &[u8]) -> [u8; 16] {
        let hash = u128::from_ne_bytes(self.ghash.hash(aad, data));
        (hash ^ u128::from_ne_bytes(mask)).to_ne_bytes()
    }
}

impl<B: BlockKernel, G: Ghash> AeadKernel for Composed<B, G> {
    fn seal(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8]) -> [u8; 16] {
        let mask = self.block.ctr_after_mask(&first_counter(nonce), data);
        self.tag(mask, aad, data)
    }

    fn open(&self, nonce: &[u8; 12], aad: &[u8], data: &mut [u8], tag: &[u8; 16]) -> bool {
        let counter = first_counter(nonce);
        // A short message's keystream comes with the mask, but is used only once the tag fits.
        let mut stream = Zeroizing::new([0; SHORT_BYTES]);
        let stream = &mut stream[..if data.len() <= SHORT_BYTES {
            data.len()
        } else {
            0
        }];
        let mask = self.block.ctr_after_mask(&counter, stream);
        if !bool::from(self.tag(mask, aad, data).ct_eq(tag)) {
            return false;
        }
        if stream.is_empty() {
            let next = u128::from_be_bytes(counter) + 1; // cannot overflow: its low half is 1
            self.block.ctr(&next.to_be_bytes(), data);
        } else {
            xor(data, stream);
        }
        true
    }
}

/// J0 for a 96-bit nonce (NIST SP 800-38D, 7.1). Within GCM's limit of 2^36 − 32 bytes the counter's
/// low 32 bits never wrap from here, so counting over 128 bits gives the same blocks.
fn first_counter(nonce: &[u8; 12]) -> [u8; 16] {
    let mut counter = [0; 16];
    counter[..12].copy_from_slice(nonce);
    counter[15] = 1;
    counter
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::consts::U12;
    use aes_gcm::aead::{AeadInOut as _, KeyInit as _};

    use super::super::bitsliced;
    use super::*;

    /// GHASH as NIST SP 800-38D writes it, bit by bit.
    struct Textbook(u128);

    impl Textbook {
        fn multiply(self_h: u128, x: u128) -> u128 {
            let (mut z, mut v) = (0, self_h);
            for bit in (0..128).rev() {
                if x >> bit & 1 == 1 {
                    z ^= v;
                }
                v = v >> 1 ^ if v & 1 == 1 { 0xe1 << 120 } else { 0 };
            }
            z
        }
    }

    impl Ghash for Textbook {
        fn hash(&self, aad: &[u8], data: &[u8]) -> [u8; 16] {
            let lengths = (aad.len() as u128) << 67 | (data.len() as u128) << 3;
            let mut y = 0;
            for part in aad
                .chunks(16)
                .chain(data.chunks(16))
                .chain([&lengths.to_be_bytes()[..]])
            {
                let mut block = [0; 16];
                block[..part.len()].copy_from_slice(part);
                y = Self::multiply(self.0, y ^ u128::from_be_bytes(block));
            }
            y.to_be_bytes()
        }
    }

    #[test]
    fn composed_gcm_equals_rustcrypto() {
        let key = [7; 16];
        let composed = Composed::new(bitsliced::Block::new(&key), |hash_key| {
            Textbook(u128::from_be_bytes(*hash_key))
        });
        let oracle = aes_gcm::AesGcm::<sm4::Sm4, U12>::new(&key.into());
        for length in (0..40).chain([255, 256, 1007, 1008, 1009, 1024, 2033]) {
            let aad: Vec<u8> = (0..length % 37).map(|i| i as u8).collect();
            let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let (mut ours, mut theirs) = (plain.clone(), plain.clone());
            let tag = composed.seal(&[5; 12], &aad, &mut ours);
            let expected: [u8; 16] = oracle
                .encrypt_inout_detached(&[5; 12].into(), &aad, theirs.as_mut_slice().into())
                .unwrap()
                .into();
            assert_eq!((&ours, tag), (&theirs, expected), "length {length}");
            assert!(!composed.open(&[4; 12], &aad, &mut ours, &tag));
            assert_eq!(ours, theirs, "length {length}");
            assert!(composed.open(&[5; 12], &aad, &mut ours, &tag));
            assert_eq!(ours, plain, "length {length}");
        }
    }
}
