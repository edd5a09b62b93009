//! Certificates as PEM text.

use der::pem::LineEnding;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::chain::{self, ChainError};
use crate::sm2;

/// Why a PEM text is refused.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// No certificate, or one whose text is damaged.
    #[error("not a PEM text of certificates")]
    Certificates,
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
///
/// # Panics
/// Never: any bytes can be PEM.
#[must_use]
pub fn certificates_to_pem(certificates: &[Vec<u8>]) -> String {
    certificates
        .iter()
        .map(|der| {
            der::pem::encode_string("CERTIFICATE", LineEnding::LF, der).expect("bytes encode")
        })
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

/// Refuses a chain whose leaf holds another key than `key`.
pub(super) fn check_key_fits(chain: &[Vec<u8>], key: &sm2::SecretKey) -> Result<(), PemError> {
    let leaf = chain.first().ok_or(PemError::Certificates)?;
    if chain::public_key(leaf)? == key.public() {
        Ok(())
    } else {
        Err(PemError::Mismatch)
    }
}
