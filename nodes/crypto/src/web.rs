//! The browser's certificate: P-256, short-lived, pinned by hash (`serverCertificateHashes`).

/// A certificate for the door and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The chain, leaf first (self-signed: one certificate).
    pub chain_der: Vec<Vec<u8>>,
    /// The key as PKCS#8.
    pub key_der: Vec<u8>,
    /// SHA-256 of the leaf, what the page pins.
    pub sha256: [u8; 32],
    /// End of validity, seconds since 1970.
    pub not_after_unix: u64,
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A host name that no certificate can carry.
    #[error("browser certificate")]
    Certificate(#[from] rcgen::Error),
}

/// Makes a certificate for `hosts` (DNS names or IP addresses).
pub fn make(hosts: &[String], now_unix: u64) -> Result<Certificate, MakeError> {
    let _ = (hosts, now_unix);
    unimplemented!()
}
