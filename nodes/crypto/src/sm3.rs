//! SM3 (GB/T 32905), HMAC-SM3 and HKDF-SM3 (RFC 5869 with SM3).

use ::sm3::Digest as _;

/// Bytes of an SM3 digest.
pub const DIGEST_BYTES: usize = 32;

/// Bytes of the block that SM3 compresses; HMAC pads its key to it.
const BLOCK_BYTES: usize = 64;

/// SM3 of `data`.
#[must_use]
pub fn hash(data: &[u8]) -> [u8; DIGEST_BYTES] {
    ::sm3::Sm3::digest(data).into()
}

/// SM3 over data that arrives in parts. A clone continues from the same state.
#[derive(Clone, Default)]
pub struct Hasher(::sm3::Sm3);

impl Hasher {
    /// Starts an empty digest.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> [u8; DIGEST_BYTES] {
        self.0.finalize().into()
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm3::Hasher")
    }
}

/// An HMAC-SM3 key with both paddings already compressed, so each tag costs two blocks less.
#[derive(Clone)]
pub struct HmacKey {
    inner: ::sm3::Sm3,
    outer: ::sm3::Sm3,
}

impl HmacKey {
    /// Takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = zeroize::Zeroizing::new([0u8; BLOCK_BYTES]);
        if key.len() > BLOCK_BYTES {
            block[..DIGEST_BYTES].copy_from_slice(&hash(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| {
            let bytes = zeroize::Zeroizing::new(block.map(|byte| byte ^ pad));
            ::sm3::Sm3::new_with_prefix(bytes.as_slice())
        };
        Self {
            inner: padded(0x36),
            outer: padded(0x5c),
        }
    }

    /// The tag of `parts`, as if they were one message.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
        let mut inner = self.inner.clone();
        for part in parts {
            inner.update(part);
        }
        let mut outer = self.outer.clone();
        outer.update(inner.finalize());
        outer.finalize().into()
    }
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm3::HmacKey")
    }
}

/// HMAC-SM3 of `parts`, as if they were one message.
#[must_use]
pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    HmacKey::new(key).tag(parts)
}

/// HKDF-Extract (RFC 5869, 2.2).
#[must_use]
pub fn hkdf_extract(salt: &[u8], input: &[u8]) -> [u8; DIGEST_BYTES] {
    hmac(salt, &[input])
}

/// HKDF-Expand (RFC 5869, 2.3) to `N` bytes; `info` is one string given in parts.
///
/// `N` past 255 digests, the limit of RFC 5869, does not compile.
#[must_use]
pub fn hkdf_expand<const N: usize>(secret: &[u8; DIGEST_BYTES], info: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 255 * DIGEST_BYTES, "RFC 5869: at most 255 digests") }
    let key = HmacKey::new(secret);
    let mut out = [0; N];
    let mut previous: &[u8] = &[];
    let mut block;
    for (counter, chunk) in (1u8..=255).zip(out.chunks_mut(DIGEST_BYTES)) {
        let mut parts = vec![previous];
        parts.extend_from_slice(info);
        let last = [counter];
        parts.push(&last);
        block = key.tag(&parts);
        chunk.copy_from_slice(&block[..chunk.len()]);
        previous = &block;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hmac::{KeyInit as _, Mac as _};

    #[test]
    fn gbt_32905_examples() {
        assert_eq!(
            hex::encode(hash(b"abc")),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        let long = b"abcd".repeat(16);
        let digest = "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732";
        assert_eq!(hex::encode(hash(&long)), digest);
        let mut parts = Hasher::new();
        long.chunks(7).for_each(|part| parts.update(part));
        assert_eq!(hex::encode(parts.finish()), digest);
    }

    #[test]
    fn hmac_equals_the_hmac_crate_for_every_key_length() {
        for length in 0..200 {
            let key: Vec<u8> = (0..length).map(|i| i as u8 ^ 0xa5).collect();
            let mut other = ::hmac::Hmac::<::sm3::Sm3>::new_from_slice(&key).unwrap();
            other.update(b"one message");
            let ours = hmac(&key, &[b"one ", b"", b"message"]);
            assert_eq!(ours[..], other.finalize().into_bytes()[..], "{length}");
        }
    }

    #[test]
    fn hkdf_is_rfc_5869_over_hmac() {
        let secret = hkdf_extract(b"salt", b"input");
        assert_eq!(secret, hmac(b"salt", &[b"input"]));
        let first = hmac(&secret, &[b"info", &[1]]);
        let second = hmac(&secret, &[&first, b"info", &[2]]);
        let out: [u8; 50] = hkdf_expand(&secret, &[b"in", b"fo"]);
        assert_eq!(out[..32], first);
        assert_eq!(out[32..], second[..18]);
    }
}
