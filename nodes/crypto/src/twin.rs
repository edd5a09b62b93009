//! SHA-256 and Ed25519 for the twin of the transparency log, which tools of others must be able to read.
//! Besides, whoever inspects what leaves through a file gap with tools of others is given a SHA-256 to compare.
//! Nothing else may use them: everything that the product protects is protected by SM algorithms.

use ring::{
    digest,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};

/// Bytes of an Ed25519 public key and of its seed.
pub const ED25519_KEY_BYTES: usize = 32;

/// SHA-256 (FIPS 180-4) of parts one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::default();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finish()
}

/// SHA-256 of what comes piece by piece.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

/// An Ed25519 key that signs (RFC 8032).
pub struct Ed25519(Ed25519KeyPair);

impl Ed25519 {
    /// The key of a seed; nothing when the library refuses it, which it does for no seed of this length.
    #[must_use]
    pub fn from_seed(seed: &[u8; ED25519_KEY_BYTES]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; ED25519_KEY_BYTES] {
        let mut key = [0; ED25519_KEY_BYTES];
        key.copy_from_slice(self.0.public_key().as_ref());
        key
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

/// Whether an Ed25519 signature fits. A key or signature of another length fits nothing.
#[must_use]
pub fn verify_ed25519(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, public);
    key.verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }

    #[test]
    fn the_standards_examples_come_out() {
        // FIPS 180-4, "abc".
        let abc = hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(sha256(&[b"a", b"bc"])[..], abc);
        // RFC 8032, 7.1, test 2.
        let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        let key = Ed25519::from_seed(&seed.try_into().unwrap()).unwrap();
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(key.public()[..], public);
        let signature = hex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert_eq!(key.sign(&[0x72]), signature);
        assert!(verify_ed25519(&public, &[0x72], &signature));
        assert!(!verify_ed25519(&public, &[0x73], &signature));
        assert!(!verify_ed25519(&public[1..], &[0x72], &signature));
        assert!(!verify_ed25519(&public, &[0x72], &signature[1..]));
    }
}
