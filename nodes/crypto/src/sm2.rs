//! SM2 (GB/T 32918) on bytes: signatures, encryption, key agreement, key files.
//!
//! The arithmetic is ours (`docs/decisions/0022-sm2-arithmetic.md`): what touches a private key or a
//! nonce does the same operations on the same addresses whatever their value. Key files and
//! their encodings are RustCrypto's.

mod encryption;
mod field;
mod generator;
mod limbs;
mod multiply;
mod nonce;
mod point;
mod scalar;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use ::sm2::pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use zeroize::{Zeroize as _, Zeroizing};

use self::point::Affine;
use self::scalar::Scalar;
use self::signature::{Signature, Signer};
use crate::random::{self, RandomError};
use crate::sm3;

/// The signer's ID where nothing else is agreed (GM/T 0009): certificates, tokens, documents.
pub const DEFAULT_ID: &str = "1234567812345678";

/// Bytes of an uncompressed point: 0x04, x, y.
pub const POINT_BYTES: usize = 65;

/// Bytes of the digest that is signed: SM3 of the signer's Z and the message.
pub const DIGEST_BYTES: usize = sm3::DIGEST_BYTES;

/// A private key; erased from memory when dropped.
#[derive(Clone)]
pub struct SecretKey {
    scalar: Scalar,
    public: PublicKey,
    /// Made by the first signature under [`DEFAULT_ID`].
    signing: OnceLock<Box<SigningKey>>,
}

/// A public key: a point on the curve, never the point at infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Affine);

/// A private key made ready for signing under one ID; erased from memory when dropped.
#[derive(Clone)]
pub(crate) struct SigningKey {
    signer: Signer,
    public: PublicKey,
    /// Z, the digest of ID and public key that goes before each message.
    z: [u8; DIGEST_BYTES],
}

/// The bytes are not a point on the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an SM2 public key")]
pub struct PointError;

/// The text or bytes are not an SM2 private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an SM2 private key in PKCS#8")]
pub struct KeyFormatError;

/// The signature does not fit message and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SM2 signature does not fit")]
pub struct VerifyError;

/// The ciphertext was not made for this key, or was altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SM2 ciphertext does not open")]
pub struct DecryptError;

/// Why a message was not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// Empty, which SM2 cannot encrypt, or longer than [`MESSAGE_BYTES_MAX`].
    #[error("SM2 encrypts 1 to {MESSAGE_BYTES_MAX} bytes")]
    Length,
    /// No randomness for the ephemeral key.
    #[error("SM2 encryption")]
    Random(#[from] RandomError),
}

/// Longest message to encrypt: SM2 wraps keys, everything longer is sealed with SM4.
pub const MESSAGE_BYTES_MAX: usize = 1024;

impl SecretKey {
    /// A new key from the system's randomness.
    ///
    /// # Panics
    /// Like [`random::fill`].
    #[must_use]
    pub fn generate() -> Self {
        loop {
            let candidate = Zeroizing::new(random::array());
            if let Some(key) = Self::from_scalar(&candidate) {
                return key;
            }
        }
    }

    /// A new key from the system's randomness, where a panic would harm others.
    ///
    /// # Errors
    /// If the operating system has no randomness to give.
    pub fn try_generate() -> Result<Self, RandomError> {
        loop {
            let mut candidate = Zeroizing::new([0; 32]);
            random::try_fill(candidate.as_mut_slice())?;
            if let Some(key) = Self::from_scalar(&candidate) {
                return Ok(key);
            }
        }
    }

    /// The key with the private number `scalar` (big-endian), if that is from 1 to n − 2
    /// (GB/T 32918.1): at n − 1, 1 + d has no inverse to sign with.
    pub(crate) fn from_scalar(scalar: &[u8; 32]) -> Option<Self> {
        let scalar = Scalar::from_bytes_nonzero(scalar)?;
        if scalar.add(&Scalar::ONE).is_zero().reveal() {
            return None;
        }
        Some(Self {
            scalar,
            public: PublicKey(generator::multiply(&scalar).to_affine()),
            signing: OnceLock::new(),
        })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Signs `message` under [`DEFAULT_ID`]: DER of r and s. The first call makes the key ready for
    /// all others.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        sign(self.default_signing(), message)
    }

    /// Signs a ready digest, SM3 of Z and the message: DER of r and s.
    #[must_use]
    pub fn sign_digest(&self, digest: &[u8; DIGEST_BYTES]) -> Vec<u8> {
        self.default_signing().sign_digest(digest)
    }

    /// The secret shared with the holder of `peer`: the x coordinate of d·P, as curveSM2 in TLS
    /// takes it (RFC 8998, 3.2.1; RFC 8446, 7.4.2). Derive keys from it; it is none itself.
    #[must_use]
    pub fn agree(&self, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
        let shared = Zeroizing::new(multiply::multiply(&self.scalar, &peer.0).to_affine());
        Zeroizing::new(shared.x.to_bytes())
    }

    /// Decrypts what [`PublicKey::encrypt`] made (C1‖C3‖C2).
    pub fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (point, rest) = sealed.split_at_checked(POINT_BYTES).ok_or(DecryptError)?;
        let (digest, body) = rest.split_first_chunk().ok_or(DecryptError)?;
        if body.is_empty() || body.len() > MESSAGE_BYTES_MAX {
            return Err(DecryptError);
        }
        let point = PublicKey::from_point(point).map_err(|_| DecryptError)?;
        encryption::decrypt(&self.scalar, &point.0, digest, body).ok_or(DecryptError)
    }

    /// The key as an unencrypted PKCS#8 PEM text, for a file with mode 600.
    ///
    /// # Panics
    /// Never: a valid key always encodes.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        self.encodable()
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a valid key encodes")
    }

    /// The key as unencrypted PKCS#8 DER.
    ///
    /// # Panics
    /// Never: a valid key always encodes.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.encodable()
            .to_pkcs8_der()
            .expect("a valid key encodes")
            .to_bytes()
    }

    /// Reads a PKCS#8 PEM text.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyFormatError> {
        ::sm2::SecretKey::from_pkcs8_pem(pem)
            .ok()
            .and_then(|key| Self::decoded(&key))
            .ok_or(KeyFormatError)
    }

    /// Reads PKCS#8 DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyFormatError> {
        ::sm2::SecretKey::from_pkcs8_der(der)
            .ok()
            .and_then(|key| Self::decoded(&key))
            .ok_or(KeyFormatError)
    }

    /// A signing key under `id`, for where signing is frequent and the ID is not [`DEFAULT_ID`].
    pub(crate) fn signing_key(&self, id: &'static str) -> SigningKey {
        SigningKey {
            signer: Signer::new(&self.scalar),
            public: self.public,
            z: self.public.z(id),
        }
    }

    fn default_signing(&self) -> &SigningKey {
        self.signing
            .get_or_init(|| Box::new(self.signing_key(DEFAULT_ID)))
    }

    /// RustCrypto's form of the key, which erases itself too.
    fn encodable(&self) -> ::sm2::SecretKey {
        let scalar = Zeroizing::new(self.scalar.to_bytes());
        ::sm2::SecretKey::from_slice(scalar.as_slice()).expect("a number from 1 to n − 2 is a key")
    }

    fn decoded(key: &::sm2::SecretKey) -> Option<Self> {
        Self::from_scalar(&Zeroizing::new(key.to_bytes().into()))
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.scalar.zeroize();
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm2::SecretKey(..)")
    }
}

impl SigningKey {
    /// The public half.
    pub(crate) fn public(&self) -> PublicKey {
        self.public
    }

    fn sign_digest(&self, digest: &[u8; DIGEST_BYTES]) -> Vec<u8> {
        // Without randomness the nonce still depends on key and digest (RFC 6979).
        let mut fresh = Zeroizing::new([0; 32]);
        let extra = match random::try_fill(fresh.as_mut_slice()) {
            Ok(()) => fresh.as_slice(),
            Err(_) => &[],
        };
        self.signer.sign(digest, extra).to_der()
    }
}

/// Bytes that encryption adds: the point C1 and the digest C3.
pub const OVERHEAD_BYTES: usize = POINT_BYTES + DIGEST_BYTES;

impl PublicKey {
    /// Reads an uncompressed point (0x04, x, y) and checks that it is on the curve. Compressed
    /// and hybrid forms are refused: none of our formats has them.
    pub fn from_point(point: &[u8]) -> Result<Self, PointError> {
        let point: &[u8; POINT_BYTES] = point.try_into().map_err(|_| PointError)?;
        let (&[0x04], coordinates) = point.split_first_chunk().ok_or(PointError)? else {
            return Err(PointError);
        };
        let ([x, y], []) = coordinates.as_chunks() else {
            return Err(PointError);
        };
        Affine::from_bytes(x, y).map(Self).ok_or(PointError)
    }

    /// The uncompressed point.
    #[must_use]
    pub fn to_point(&self) -> [u8; POINT_BYTES] {
        let mut point = [0x04; POINT_BYTES];
        point[1..33].copy_from_slice(&self.0.x.to_bytes());
        point[33..].copy_from_slice(&self.0.y.to_bytes());
        point
    }

    /// The key as a DER SubjectPublicKeyInfo, as it stands in a certificate.
    ///
    /// # Panics
    /// Never: a valid point always encodes.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        let document = ::sm2::PublicKey::from_sec1_bytes(&self.to_point())
            .map(|key| key.to_public_key_der())
            .expect("a valid point is a key")
            .expect("a valid key encodes");
        document.into_vec()
    }

    /// Checks a DER signature over `message` under [`DEFAULT_ID`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.verify_with_id(DEFAULT_ID, message, signature)
    }

    /// Checks a DER signature over a ready digest, SM3 of Z and the message.
    pub fn verify_digest(
        &self,
        digest: &[u8; DIGEST_BYTES],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let signature = Signature::from_der(signature).ok_or(VerifyError)?;
        signature::verify(&self.0, digest, &signature)
            .then_some(())
            .ok_or(VerifyError)
    }

    /// Checks a DER signature over `message` under `id`.
    pub(crate) fn verify_with_id(
        &self,
        id: &'static str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        self.verify_digest(&digest(&self.z(id), message), signature)
    }

    /// The digest that a signature of this key over `message` under [`DEFAULT_ID`] signs, for
    /// [`SecretKey::sign_digest`] and [`PublicKey::verify_digest`].
    #[must_use]
    pub fn digest(&self, message: &[u8]) -> [u8; DIGEST_BYTES] {
        digest(&self.z(DEFAULT_ID), message)
    }

    /// Encrypts a short message, a key as a rule: C1‖C3‖C2 with C1 uncompressed (0x04 first).
    pub fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>, EncryptError> {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return Err(EncryptError::Length);
        }
        loop {
            let mut candidate = Zeroizing::new([0; 32]);
            random::try_fill(candidate.as_mut_slice())?;
            let sealed = Scalar::from_bytes_nonzero(&candidate)
                .map(Zeroizing::new)
                .and_then(|k| encryption::encrypt_with(&k, &self.0, message));
            if let Some(sealed) = sealed {
                return Ok(sealed);
            }
        }
    }

    /// Z of GB/T 32918.2, 5.5: SM3 of the ID's length in bits, the ID, the curve and the key.
    ///
    /// # Panics
    /// Never: only an ID past 8191 bytes has no length, and ours are constants.
    fn z(&self, id: &'static str) -> [u8; DIGEST_BYTES] {
        let bits = u16::try_from(id.len() * 8).expect("a short constant ID");
        let mut hasher = sm3::Hasher::new();
        hasher.update(&bits.to_be_bytes());
        hasher.update(id.as_bytes());
        hasher.update(&CURVE);
        hasher.update(&self.to_point()[1..]);
        hasher.finish()
    }
}

/// The curve's a, b and the generator's x, y as they go into Z.
const CURVE: [u8; 128] = *b"\
    \xff\xff\xff\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
    \xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xfc\
    \x28\xe9\xfa\x9e\x9d\x9f\x5e\x34\x4d\x5a\x9e\x4b\xcf\x65\x09\xa7\
    \xf3\x97\x89\xf5\x15\xab\x8f\x92\xdd\xbc\xbd\x41\x4d\x94\x0e\x93\
    \x32\xc4\xae\x2c\x1f\x19\x81\x19\x5f\x99\x04\x46\x6a\x39\xc9\x94\
    \x8f\xe3\x0b\xbf\xf2\x66\x0b\xe1\x71\x5a\x45\x89\x33\x4c\x74\xc7\
    \xbc\x37\x36\xa2\xf4\xf6\x77\x9c\x59\xbd\xce\xe3\x6b\x69\x21\x53\
    \xd0\xa9\x87\x7c\xc6\x2a\x47\x40\x02\xdf\x32\xe5\x21\x39\xf0\xa0";

/// SM3 of Z and the message.
fn digest(z: &[u8; DIGEST_BYTES], message: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut hasher = sm3::Hasher::new();
    hasher.update(z);
    hasher.update(message);
    hasher.finish()
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm2::PublicKey(")?;
        for byte in self.to_point() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Signs with a nonce drawn from key, message and fresh randomness together (RFC 6979, 3.6), so
/// that neither a weak random source nor a repeated message reveals the key.
pub(crate) fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    key.sign_digest(&digest(&key.z, message))
}
