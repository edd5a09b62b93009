//! Detached SM2 signatures over documents: SignedData of GB/T 35275.

use crate::x509;

/// Who signed and when, after everything was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerInfo {
    /// The signer's certificate, verified.
    pub leaf: x509::VerifiedLeaf,
    /// The time the signer claims, seconds since 1970.
    pub signing_time_unix: u64,
}

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The identity has no certificate or one that does not parse.
    #[error("signer's certificate")]
    Certificate(#[source] der::Error),
    /// The chain is empty.
    #[error("signer has no certificate")]
    NoCertificate,
}

/// Why a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not the SignedData that [`sign_detached`] makes.
    #[error("not a signature file: {0}")]
    Format(&'static str),
}

/// Signs `content` and returns the DER of a SignedData without the content.
pub fn sign_detached(
    identity: &x509::Identity,
    content: &[u8],
    signing_time_unix: u64,
) -> Result<Vec<u8>, SignError> {
    let _ = (identity, content, signing_time_unix);
    unimplemented!()
}

/// Checks a detached signature over `content` by a signer under one of `roots_der`.
pub fn verify_detached(
    der: &[u8],
    content: &[u8],
    roots_der: &[Vec<u8>],
) -> Result<SignerInfo, VerifyError> {
    let _ = (der, content, roots_der);
    unimplemented!()
}
