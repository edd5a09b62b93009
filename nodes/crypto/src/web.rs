//! The browser's certificate: P-256, short-lived, self-signed, pinned by its hash.
//!
//! A page names the hash (`serverCertificateHashes`) that it got from our own API; browsers accept
//! that only for ECDSA P-256 and at most 14 days of validity.

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Days of validity: one less than browsers allow, for clocks that differ.
pub const DAYS: u32 = 13;
/// Certificates begin this much before they are made, for clocks that run behind.
const BACKDATED: Duration = Duration::HOUR;

/// A certificate for the door and its key.
#[derive(Clone)]
pub struct Certificate {
    /// The chain, leaf first: one self-signed certificate.
    pub chain_der: Vec<Vec<u8>>,
    /// The key as PKCS#8.
    pub key_der: Zeroizing<Vec<u8>>,
    /// SHA-256 of the leaf, what the page pins.
    pub sha256: [u8; 32],
    /// End of validity, seconds since 1970.
    pub not_after_unix: u64,
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// A time past the year 9999.
    #[error("browser certificate's time of validity")]
    Time(#[from] time::error::ComponentRange),
    /// A host name that no certificate can carry, or no randomness for the key.
    #[error("browser certificate")]
    Certificate(#[from] rcgen::Error),
}

/// Makes a certificate for `hosts` (DNS names or IP addresses), valid from an hour before
/// `now_unix` for [`DAYS`] in all.
pub fn make(hosts: &[String], now_unix: u64) -> Result<Certificate, MakeError> {
    let now = i64::try_from(now_unix).unwrap_or(i64::MAX);
    let not_before = OffsetDateTime::from_unix_timestamp(now)?.saturating_sub(BACKDATED);
    let not_after = not_before.saturating_add(Duration::days(i64::from(DAYS)));
    let mut params = CertificateParams::new(hosts)?;
    params.not_before = not_before;
    params.not_after = not_after;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "guitai door");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.self_signed(&key)?;
    let der = certificate.der().to_vec();
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest.as_ref());
    Ok(Certificate {
        chain_der: vec![der],
        key_der: Zeroizing::new(key.serialize_der()),
        sha256,
        not_after_unix: u64::try_from(not_after.unix_timestamp()).unwrap_or(0),
    })
}

impl Certificate {
    /// Chain and key as PEM texts, for whoever serves from files.
    #[must_use]
    pub fn to_pem(&self) -> (String, Zeroizing<String>) {
        let key = der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, &self.key_der);
        // The label is a constant of the right form, and a key is far below the limit of the encoding.
        let key = Zeroizing::new(key.unwrap_or_default());
        (crate::x509::certificates_to_pem(&self.chain_der), key)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("web::Certificate")
            .field("sha256", &self.sha256)
            .field("not_after_unix", &self.not_after_unix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_what_browsers_accept() {
        let now = 1_790_000_000;
        let hosts = ["127.1.1.1".to_owned(), "desk.example".to_owned()];
        let certificate = make(&hosts, now).unwrap();
        assert_eq!(certificate.not_after_unix, now - 3600 + 13 * 86_400);
        let [der] = certificate.chain_der.as_slice() else {
            panic!("one certificate");
        };
        let hash = ring::digest::digest(&ring::digest::SHA256, der);
        assert_eq!(certificate.sha256, hash.as_ref());
        let again = make(&hosts, now).unwrap();
        assert_ne!(again.sha256, certificate.sha256, "each has its own key");
        crate::tls::browser_server_config(&certificate, &[b"h3"]).unwrap();
        make(&["not a host\u{0}".to_owned()], u64::MAX).unwrap_err();
    }
}
