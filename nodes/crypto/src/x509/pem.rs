//! Certificates, requests and revocation lists as PEM text.

use der::pem::LineEnding;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, CertificateSigningRequestDer,
};

use super::chain::{self, ChainError};
use crate::sm2;

/// Why a PEM text is refused.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No certificate, or one whose text is damaged.
    #[error("not a PEM text of certificates")]
    Certificates,
    /// No certification request.
    #[error("not a PEM text of a certification request")]
    Request,
    /// No revocation list.
    #[error("not a PEM text of a revocation list")]
    Crl,
    /// A certificate that does not parse.
    #[error("certificate in the PEM text")]
    Certificate(#[from] ChainError),
    /// No private key.
    #[error("private key in the PEM text")]
    Key(#[from] sm2::KeyFormatError),
    /// The first certificate belongs to another key.
    #[error("certificate and private key do not belong together")]
    Mismatch,
}

/// Certificates (DER) as PEM text, in the given order.
#[must_use]
pub fn certificates_to_pem(certificates: &[Vec<u8>]) -> String {
    certificates
        .iter()
        .map(|der| encode("CERTIFICATE", der))
        .collect()
}

/// Certificates (DER) of a PEM text, at least one, in their order.
pub fn certificates_from_pem(pem: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| PemError::Certificates)?;
    if certificates.is_empty() {
        return Err(PemError::Certificates);
    }
    Ok(certificates)
}

/// A certification request (DER) as PEM text.
#[must_use]
pub fn request_to_pem(request: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", request)
}

/// The certification request (DER) of a PEM text.
pub fn request_from_pem(pem: &str) -> Result<Vec<u8>, PemError> {
    CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| PemError::Request)
}

/// A revocation list (DER) as PEM text.
#[must_use]
pub fn crl_to_pem(crl: &[u8]) -> String {
    encode("X509 CRL", crl)
}

/// The revocation list (DER) of a PEM text.
pub fn crl_from_pem(pem: &str) -> Result<Vec<u8>, PemError> {
    CertificateRevocationListDer::from_pem_slice(pem.as_bytes())
        .map(|der| der.to_vec())
        .map_err(|_| PemError::Crl)
}

/// # Panics
/// Never: any bytes can be PEM.
fn encode(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, der).expect("bytes encode")
}

/// Refuses a chain whose leaf holds another key than `key`.
pub(super) fn check_key_fits(chain: &[Vec<u8>], key: &sm2::SecretKey) -> Result<(), PemError> {
    let leaf = chain.first().ok_or(PemError::Certificates)?;
    if chain::public_key(leaf)? == key.public() {
        Ok(())
    } else {
        Err(PemError::Mismatch)
    }
}
