//! Signing structures of X.509 with SM2.

use ::sm2::dsa::signature::{self, Keypair, Signer};
use der::asn1::BitString;
use der::oid::ObjectIdentifier;
use x509_cert::spki::{self, AlgorithmIdentifierOwned};

use crate::sm2 as keys;

/// SM2-with-SM3 (GM/T 0006).
pub(super) const SM2_WITH_SM3: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");

/// SM2-with-SM3 as we write it: without parameters.
pub(super) fn algorithm() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: SM2_WITH_SM3,
        parameters: None,
    }
}

/// Whether `given` is SM2-with-SM3, without parameters or with NULL: both forms occur.
pub(super) fn is_ours(given: &AlgorithmIdentifierOwned) -> bool {
    let plain = match &given.parameters {
        None => true,
        Some(parameters) => parameters.is_null(),
    };
    given.oid == SM2_WITH_SM3 && plain
}

/// A signature over `message` as X.509 carries it.
pub(super) fn sign(key: &keys::SecretKey, message: &[u8]) -> Result<BitString, der::Error> {
    BitString::from_bytes(&key.sign(message))
}

/// What the certificate builder wants of a signer: its key in RustCrypto's form, DER signatures and
/// the algorithm without parameters.
pub(super) struct CertificateSigner(pub(super) keys::SigningKey);

impl Keypair for CertificateSigner {
    type VerifyingKey = ::sm2::dsa::VerifyingKey;

    fn verifying_key(&self) -> Self::VerifyingKey {
        let point = self.0.public().to_point();
        ::sm2::dsa::VerifyingKey::from_sec1_bytes(keys::DEFAULT_ID, &point)
            .expect("a public key is a point, and the ID is short")
    }
}

impl Signer<::sm2::dsa::DerSignature> for CertificateSigner {
    fn try_sign(&self, message: &[u8]) -> Result<::sm2::dsa::DerSignature, signature::Error> {
        keys::sign(&self.0, message).as_slice().try_into()
    }
}

impl spki::DynSignatureAlgorithmIdentifier for CertificateSigner {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(algorithm())
    }
}
