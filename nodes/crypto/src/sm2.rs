//! SM2 (GB/T 32918) on bytes: signatures, encryption, key files.

use ::sm2::dsa::signature::{RandomizedSigner as _, Signer as _, Verifier as _};
use ::sm2::elliptic_curve::Generate as _;
use ::sm2::elliptic_curve::sec1::ToSec1Point as _;
use ::sm2::pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use zeroize::Zeroizing;

/// The signer's ID where nothing else is agreed (GM/T 0009): certificates, tokens, documents.
pub const DEFAULT_ID: &str = "1234567812345678";

/// Bytes of an uncompressed point: 0x04, x, y.
pub const POINT_BYTES: usize = 65;

/// A private key; erased from memory when dropped.
#[derive(Clone)]
pub struct SecretKey(::sm2::SecretKey);

/// A public key: a point on the curve, never the point at infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(::sm2::PublicKey);

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

/// There is nothing to encrypt: SM2 cannot encrypt an empty message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SM2 encrypts 1 to {MESSAGE_BYTES_MAX} bytes")]
pub struct EncryptError;

/// Longest message to encrypt: SM2 wraps keys, everything longer is sealed with SM4.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// n − 1: the one scalar below the order that cannot sign, because 1 + d has no inverse
/// (GB/T 32918.2 draws d from [1, n − 2]).
const ORDER_MINUS_ONE: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x22,
];

impl SecretKey {
    /// A new key from the system's randomness.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    #[must_use]
    pub fn generate() -> Self {
        loop {
            if let Some(key) = Self::usable(::sm2::SecretKey::generate()) {
                return key;
            }
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    /// Signs `message` under [`DEFAULT_ID`]: DER of r and s.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        sign(&self.signing_key(DEFAULT_ID), message)
    }

    /// Decrypts what [`PublicKey::encrypt`] made (C1‖C3‖C2).
    pub fn decrypt(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let length = sealed.len().checked_sub(OVERHEAD_BYTES);
        if !matches!(length, Some(1..=MESSAGE_BYTES_MAX)) || sealed.first() != Some(&0x04) {
            return Err(DecryptError);
        }
        ::sm2::pke::DecryptingKey::new(self.0.clone())
            .decrypt(sealed)
            .map(Zeroizing::new)
            .map_err(|_| DecryptError)
    }

    /// The key as an unencrypted PKCS#8 PEM text, for a file with mode 600.
    ///
    /// # Panics
    /// Never: a valid key always encodes.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a valid key encodes")
    }

    /// The key as unencrypted PKCS#8 DER.
    ///
    /// # Panics
    /// Never: a valid key always encodes.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.0
            .to_pkcs8_der()
            .expect("a valid key encodes")
            .to_bytes()
    }

    /// Reads a PKCS#8 PEM text.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, KeyFormatError> {
        ::sm2::SecretKey::from_pkcs8_pem(pem)
            .ok()
            .and_then(Self::usable)
            .ok_or(KeyFormatError)
    }

    /// Reads PKCS#8 DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyFormatError> {
        ::sm2::SecretKey::from_pkcs8_der(der)
            .ok()
            .and_then(Self::usable)
            .ok_or(KeyFormatError)
    }

    /// A signing key under `id`; it computes the public point, so keep it where signing is frequent.
    /// Unlike `SecretKey` it does not erase itself: `sm2` 0.14 gives no way to.
    ///
    /// # Panics
    /// Never: only an ID past 8191 bytes is refused, and ours are constants.
    pub(crate) fn signing_key(&self, id: &'static str) -> ::sm2::dsa::SigningKey {
        ::sm2::dsa::SigningKey::new(id, &self.0).expect("a short constant ID is accepted")
    }

    fn usable(key: ::sm2::SecretKey) -> Option<Self> {
        let bytes = Zeroizing::new(<[u8; 32]>::from(key.to_bytes()));
        (*bytes != ORDER_MINUS_ONE).then_some(Self(key))
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sm2::SecretKey(..)")
    }
}

/// Bytes that encryption adds: the point C1 and the digest C3.
pub const OVERHEAD_BYTES: usize = POINT_BYTES + 32;

impl PublicKey {
    /// Reads an uncompressed point (0x04, x, y) and checks that it is on the curve.
    pub fn from_point(point: &[u8]) -> Result<Self, PointError> {
        if point.len() != POINT_BYTES || point.first() != Some(&0x04) {
            return Err(PointError);
        }
        ::sm2::PublicKey::from_sec1_bytes(point)
            .map(Self)
            .map_err(|_| PointError)
    }

    /// The uncompressed point.
    #[must_use]
    pub fn to_point(&self) -> [u8; POINT_BYTES] {
        let mut point = [0; POINT_BYTES];
        point.copy_from_slice(self.0.to_sec1_point(false).as_bytes());
        point
    }

    /// The key as a DER SubjectPublicKeyInfo, as it stands in a certificate.
    ///
    /// # Panics
    /// Never: a valid point always encodes.
    #[must_use]
    pub fn to_spki_der(&self) -> Vec<u8> {
        let document = self.0.to_public_key_der().expect("a valid point encodes");
        document.into_vec()
    }

    /// Checks a DER signature over `message` under [`DEFAULT_ID`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.verify_with_id(DEFAULT_ID, message, signature)
    }

    /// Checks a DER signature over `message` under `id`.
    pub(crate) fn verify_with_id(
        &self,
        id: &'static str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let signature = ::sm2::dsa::Signature::from_der(signature).map_err(|_| VerifyError)?;
        ::sm2::dsa::VerifyingKey::new(id, self.0)
            .and_then(|key| key.verify(message, &signature))
            .map_err(|_| VerifyError)
    }

    /// Encrypts a short message, a key as a rule: C1‖C3‖C2 with C1 uncompressed (0x04 first).
    pub fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>, EncryptError> {
        if message.is_empty() || message.len() > MESSAGE_BYTES_MAX {
            return Err(EncryptError);
        }
        ::sm2::pke::EncryptingKey::new(self.0)
            .encrypt(&mut getrandom::SysRng, message)
            .map_err(|_| EncryptError)
    }
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
pub(crate) fn sign(key: &::sm2::dsa::SigningKey, message: &[u8]) -> Vec<u8> {
    loop {
        let signature: Result<::sm2::dsa::Signature, _> = key
            .try_sign_with_rng(&mut getrandom::SysRng, message)
            .or_else(|_| key.try_sign(message));
        // Both fail together only when r or s is zero, one chance in 2^250: draw again.
        if let Ok(signature) = signature {
            return signature.to_der().as_bytes().to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of every example in GB/T 32918.5.
    const PRIVATE: &str = "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8";
    const PUBLIC: &str = concat!(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    );

    fn unhex(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    fn key(scalar: &[u8]) -> Option<SecretKey> {
        SecretKey::usable(::sm2::SecretKey::from_slice(scalar).unwrap())
    }

    #[test]
    fn gbt_32918_5_signature_example() {
        let key = key(&unhex(PRIVATE)).unwrap();
        assert_eq!(key.public().to_point()[..], unhex(PUBLIC));
        let signature = unhex(concat!(
            "3046",
            "022100f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3",
            "022100b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
        ));
        let public = PublicKey::from_point(&unhex(PUBLIC)).unwrap();
        public.verify(b"message digest", &signature).unwrap();
        public.verify(b"message Digest", &signature).unwrap_err();
    }

    #[test]
    fn gbt_32918_5_encryption_example() {
        let sealed = unhex(concat!(
            "0404ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73",
            "e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0",
            "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766",
            "21886ca989ca9c7d58087307ca93092d651efa"
        ));
        let key = key(&unhex(PRIVATE)).unwrap();
        assert_eq!(*key.decrypt(&sealed).unwrap(), b"encryption standard");
    }

    #[test]
    fn signatures_fit_key_message_and_form_only() {
        let (key, other) = (SecretKey::generate(), SecretKey::generate());
        let signature = key.sign(b"message");
        assert_ne!(signature, key.sign(b"message"), "nonces are drawn anew");
        key.public().verify(b"message", &signature).unwrap();
        key.public().verify(b"massage", &signature).unwrap_err();
        other.public().verify(b"message", &signature).unwrap_err();
        for bit in 0..signature.len() * 8 {
            let mut altered = signature.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            key.public().verify(b"message", &altered).unwrap_err();
        }
        for length in 0..signature.len() {
            key.public()
                .verify(b"message", &signature[..length])
                .unwrap_err();
        }
        let longer = [&signature[..], &[0]].concat();
        key.public().verify(b"message", &longer).unwrap_err();
    }

    #[test]
    fn sealed_keys_open_unaltered_only() {
        let key = SecretKey::generate();
        let sealed = key.public().encrypt(&[7; 32]).unwrap();
        assert_eq!(sealed.len(), OVERHEAD_BYTES + 32);
        assert_eq!(sealed[0], 0x04);
        assert_eq!(*key.decrypt(&sealed).unwrap(), [7; 32]);
        SecretKey::generate().decrypt(&sealed).unwrap_err();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            key.decrypt(&altered).unwrap_err();
            key.decrypt(&sealed[..index]).unwrap_err();
        }
        key.public().encrypt(b"").unwrap_err();
        key.public()
            .encrypt(&[0; MESSAGE_BYTES_MAX + 1])
            .unwrap_err();
    }

    #[test]
    fn keys_read_back_and_the_unusable_ones_are_refused() {
        let key = SecretKey::generate();
        let pem = SecretKey::from_pkcs8_pem(&key.to_pkcs8_pem()).unwrap();
        let der = SecretKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
        assert_eq!(pem.public(), key.public());
        assert_eq!(der.public(), key.public());
        assert_eq!(format!("{key:?}"), "sm2::SecretKey(..)");
        assert!(self::key(&ORDER_MINUS_ONE).is_none());
        SecretKey::from_pkcs8_pem("").unwrap_err();
        for point in [
            &[][..],
            &[0],
            &[4; 65],
            &[4; 66],
            &key.public().to_point()[..33],
        ] {
            PublicKey::from_point(point).unwrap_err();
        }
    }
}
