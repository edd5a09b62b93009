//! HMAC-SM3 for the key schedule and Finished.

use rustls::crypto::hmac::{Hmac, Key, Tag};

use crate::sm3;

pub(super) struct Sm3Hmac;

impl Hmac for Sm3Hmac {
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        Box::new(Sm3HmacKey(sm3::HmacKey::new(key)))
    }

    fn hash_output_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }
}

struct Sm3HmacKey(sm3::HmacKey);

impl Key for Sm3HmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut parts = Vec::with_capacity(middle.len() + 2);
        parts.push(first);
        parts.extend_from_slice(middle);
        parts.push(last);
        Tag::new(&self.0.tag(&parts))
    }

    fn tag_len(&self) -> usize {
        sm3::DIGEST_BYTES
    }
}
