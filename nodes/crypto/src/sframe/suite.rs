//! The two suites: what seals and opens the bytes of a frame once key, nonce and AAD are known.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::OpenError;
use crate::sm3::{self, HmacKey};
use crate::sm4::{self, NONCE_BYTES};

/// Bytes of the encryption part of a `SM4_CTR_HMAC_SM3_80` key, Nka (RFC 9605, 4.5.1).
const ENC_KEY_BYTES: usize = sm4::KEY_BYTES;
/// Bytes of the whole, Nk: the rest authenticates.
const CTR_HMAC_KEY_BYTES: usize = ENC_KEY_BYTES + sm3::DIGEST_BYTES;
/// Bytes of its tag, Nt.
const SHORT_TAG_BYTES: usize = 10;

/// A cipher suite. IANA has none with SM4, so ours stand in the range for private use (RFC 9605, 8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// `0xF001`: SM4-GCM (RFC 8998), HKDF over HMAC-SM3. Nh 32, Nk 16, Nn 12, Nt 16.
    Sm4GcmSm3_128,
    /// `0xF002`: SM4-CTR, HMAC-SM3 cut to 80 bits (RFC 9605, 4.5.1 with SM4 and SM3 in the places of
    /// AES and SHA-256). Nh 32, Nka 16, Nk 48, Nn 12, Nt 10.
    Sm4CtrHmacSm3_80,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::Sm4GcmSm3_128, Self::Sm4CtrHmacSm3_80];

    /// The number that stands in key derivation and catalogs.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Sm4GcmSm3_128 => 0xF001,
            Self::Sm4CtrHmacSm3_80 => 0xF002,
        }
    }

    /// Bytes of a frame's tag, Nt.
    #[must_use]
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::Sm4GcmSm3_128 => sm4::TAG_BYTES,
            Self::Sm4CtrHmacSm3_80 => SHORT_TAG_BYTES,
        }
    }
}

/// An expanded key of a suite.
pub(super) enum Cipher {
    Gcm(sm4::Gcm),
    CtrHmac { enc: sm4::Block, auth: Box<HmacKey> },
}

impl Cipher {
    /// Derives the key by HKDF-Expand over `info` and expands it.
    pub(super) fn derive(suite: Suite, secret: &[u8; sm3::DIGEST_BYTES], info: &[&[u8]]) -> Self {
        match suite {
            Suite::Sm4GcmSm3_128 => {
                let key = Zeroizing::new(sm3::hkdf_expand::<{ sm4::KEY_BYTES }>(secret, info));
                Self::Gcm(sm4::Gcm::new(&key))
            }
            Suite::Sm4CtrHmacSm3_80 => {
                let key = Zeroizing::new(sm3::hkdf_expand::<CTR_HMAC_KEY_BYTES>(secret, info));
                // The array is longer than its first part: this cannot fail.
                let (enc, auth) = key
                    .split_first_chunk::<ENC_KEY_BYTES>()
                    .expect("48 bytes begin with 16");
                let auth = Box::new(HmacKey::new(auth));
                Self::CtrHmac {
                    enc: sm4::Block::new(enc),
                    auth,
                }
            }
        }
    }

    /// Encrypts `out` from `start` on in place and appends the tag.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        out: &mut Vec<u8>,
        start: usize,
    ) {
        let (_, data) = out.split_at_mut(start);
        match self {
            Self::Gcm(gcm) => {
                let tag = gcm.seal_in_place(nonce, aad, data);
                out.extend_from_slice(&tag);
            }
            Self::CtrHmac { enc, auth } => {
                enc.ctr_in_place(&counter(nonce), data);
                let tag = short_tag(auth, nonce, aad, data);
                out.extend_from_slice(&tag);
            }
        }
    }

    /// Checks the tag that ends `sealed`, and only then decrypts what stands before it.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        match self {
            Self::Gcm(gcm) => {
                let (data, tag) = sealed
                    .split_last_chunk::<{ sm4::TAG_BYTES }>()
                    .ok_or(OpenError::Short)?;
                let mut plain = data.to_vec();
                gcm.open_in_place(nonce, aad, &mut plain, tag)
                    .map_err(|_| OpenError::Sealed)?;
                Ok(plain)
            }
            Self::CtrHmac { enc, auth } => {
                let (data, tag) = sealed
                    .split_last_chunk::<SHORT_TAG_BYTES>()
                    .ok_or(OpenError::Short)?;
                let expected = short_tag(auth, nonce, aad, data);
                if !bool::from(expected.ct_eq(tag)) {
                    return Err(OpenError::Sealed);
                }
                let mut plain = data.to_vec();
                enc.ctr_in_place(&counter(nonce), &mut plain);
                Ok(plain)
            }
        }
    }
}

/// The first counter block, `nonce ‖ 0` (RFC 9605, 4.5.1). A frame is far shorter than the 2^32 blocks
/// after which the counter would repeat.
fn counter(nonce: &[u8; NONCE_BYTES]) -> [u8; 16] {
    let mut block = [0; 16];
    block[..NONCE_BYTES].copy_from_slice(nonce);
    block
}

/// The tag of RFC 9605, 4.5.1: lengths, nonce, AAD and ciphertext under HMAC, cut to Nt.
fn short_tag(
    auth: &HmacKey,
    nonce: &[u8; NONCE_BYTES],
    aad: &[u8],
    data: &[u8],
) -> [u8; SHORT_TAG_BYTES] {
    let length = |bytes: usize| (bytes as u64).to_be_bytes();
    let (aad_length, data_length) = (length(aad.len()), length(data.len()));
    let tag_length = length(SHORT_TAG_BYTES);
    let whole = auth.tag(&[&aad_length, &data_length, &tag_length, nonce, aad, data]);
    let mut tag = [0; SHORT_TAG_BYTES];
    tag.copy_from_slice(&whole[..SHORT_TAG_BYTES]);
    tag
}
