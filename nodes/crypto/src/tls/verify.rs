//! Verifying SM2 signatures in chains and handshakes. The two use different signer IDs, and the
//! tables below are all that keeps them apart: no certificate verifier of our own is needed.

use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use super::sign::HANDSHAKE_ID;
use crate::sm2::{DEFAULT_ID, PublicKey};

/// id-ecPublicKey with the curve 1.2.156.10197.1.301 (GM/T 0006).
const PUBLIC_KEY: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55,
    0x01, 0x82, 0x2d,
]);

/// SM2-with-SM3, 1.2.156.10197.1.501, without parameters.
const SIGNATURE: AlgorithmIdentifier =
    AlgorithmIdentifier::from_slice(&[0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75]);

/// The same with NULL parameters: both forms occur in certificates of domestic authorities, and
/// webpki compares the bytes.
const SIGNATURE_WITH_NULL: AlgorithmIdentifier = AlgorithmIdentifier::from_slice(&[
    0x06, 0x08, 0x2a, 0x81, 0x1c, 0xcf, 0x55, 0x01, 0x83, 0x75, 0x05, 0x00,
]);

/// Signatures that may stand in a certificate.
pub(crate) static CERTIFICATES: &[&dyn SignatureVerificationAlgorithm] = &[
    &Sm2WithSm3 {
        id: DEFAULT_ID,
        signature: SIGNATURE,
    },
    &Sm2WithSm3 {
        id: DEFAULT_ID,
        signature: SIGNATURE_WITH_NULL,
    },
];

/// Chains by [`CERTIFICATES`], CertificateVerify under the handshake's own ID.
pub(super) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: CERTIFICATES,
    mapping: &[(
        SignatureScheme::Unknown(super::SCHEME),
        &[&Sm2WithSm3 {
            id: HANDSHAKE_ID,
            signature: SIGNATURE,
        }],
    )],
};

#[derive(Debug)]
struct Sm2WithSm3 {
    id: &'static str,
    signature: AlgorithmIdentifier,
}

impl SignatureVerificationAlgorithm for Sm2WithSm3 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        PublicKey::from_point(public_key)
            .map_err(|_| InvalidSignature)?
            .verify_with_id(self.id, message, signature)
            .map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        PUBLIC_KEY
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}
