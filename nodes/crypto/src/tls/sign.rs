//! Signing the handshake with SM2 under the ID of RFC 8998.

use std::sync::Arc;

use rustls::crypto::KeyProvider;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{Error, SignatureAlgorithm, SignatureScheme};

use crate::sm2;

/// The signer's ID in CertificateVerify (RFC 8998, 3.2.1), unlike [`sm2::DEFAULT_ID`] elsewhere.
pub(super) const HANDSHAKE_ID: &str = "TLSv1.3+GM+Cipher+Suite";

#[derive(Debug)]
pub(super) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let PrivateKeyDer::Pkcs8(key) = &key else {
            return Err(Error::General("an SM2 key comes as PKCS#8".into()));
        };
        let key = sm2::SecretKey::from_pkcs8_der(key.secret_pkcs8_der())
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Arc::new(HandshakeKey::new(&key, HANDSHAKE_ID)))
    }
}

pub(super) struct HandshakeKey {
    key: Arc<sm2::SigningKey>,
    public: Vec<u8>,
}

impl HandshakeKey {
    pub(super) fn new(key: &sm2::SecretKey, id: &'static str) -> Self {
        Self {
            key: Arc::new(key.signing_key(id)),
            public: key.public().to_spki_der(),
        }
    }
}

impl std::fmt::Debug for HandshakeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandshakeKey(..)")
    }
}

impl SigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SignatureScheme::Unknown(super::SCHEME);
        offered
            .contains(&scheme)
            .then(|| Box::new(HandshakeSigner(self.key.clone())) as Box<dyn Signer>)
    }

    /// Lets rustls refuse a certificate that belongs to another key when a config is built.
    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.public.as_slice().into())
    }

    /// Only read below TLS 1.3, which we never speak; rustls has no value for SM2.
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

struct HandshakeSigner(Arc<sm2::SigningKey>);

impl std::fmt::Debug for HandshakeSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandshakeSigner(..)")
    }
}

impl Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(sm2::sign(&self.0, message))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::Unknown(super::SCHEME)
    }
}
