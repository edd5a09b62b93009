//! Checking a chain and reading its leaf.

use std::time::Duration;

use der::oid::db::rfc4519;
use der::{Decode as _, Encode as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::ext::pkix::{KeyUsage, KeyUsages, SubjectAltName};

use crate::sm2;
use crate::tls::verify::CERTIFICATES;

/// Longest chain: leaf, two intermediate authorities, root.
pub const CHAIN_CERTIFICATES_MAX: usize = 4;
/// Largest certificate; SM2 ones have under 1 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// What a verified chain says about its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLeaf {
    /// CN; empty if the certificate has none.
    pub common_name: String,
    /// O; empty if the certificate has none.
    pub organization: String,
    /// SAN DNS names.
    pub dns_names: Vec<String>,
    /// The leaf's public key.
    pub public_key: sm2::PublicKey,
    /// End of validity, seconds since 1970.
    pub not_after: u64,
}

/// Why a chain is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No certificate at all.
    #[error("certificate chain is empty")]
    Empty,
    /// More certificates than any honest chain has.
    #[error("certificate chain has more than {CHAIN_CERTIFICATES_MAX} certificates")]
    TooLong,
    /// A certificate larger than any honest one.
    #[error("certificate has more than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a certificate.
    #[error("certificate does not parse")]
    Parse(#[source] der::Error),
    /// Not in the one form that DER allows, so some of its bytes would mean nothing.
    #[error("certificate is not DER")]
    NotCanonical,
    /// Its key is not an SM2 key.
    #[error("certificate has no SM2 key")]
    Key,
    /// Its key may not sign.
    #[error("certificate does not allow digital signatures")]
    Usage,
    /// Not valid now, or not under a trusted root.
    #[error("certificate chain")]
    Untrusted(#[source] webpki::Error),
    /// The chain holds a certificate that takes no part in it.
    #[error("certificate chain holds a certificate that is no part of it")]
    Unused,
}

/// Checks `chain` (DER, leaf first, root last or left out) up to one of `roots` at the time
/// `at_unix`. Every certificate given must be part of the path, in order: no byte goes unchecked.
pub fn verify_chain(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    at_unix: u64,
) -> Result<VerifiedLeaf, ChainError> {
    if chain.len() > CHAIN_CERTIFICATES_MAX {
        return Err(ChainError::TooLong);
    }
    let (leaf, others) = chain.split_first().ok_or(ChainError::Empty)?;
    let certificate = parse(leaf)?;
    // A root in the chain proves nothing unless it is one of ours, to the byte.
    let intermediates: Vec<CertificateDer<'_>> = match others.split_last() {
        Some((last, before)) if roots.contains(last) => before,
        _ => others,
    }
    .iter()
    .map(|der| parse(der).map(|_| CertificateDer::from_slice(der)))
    .collect::<Result<_, _>>()?;

    let roots: Vec<CertificateDer<'_>> = roots
        .iter()
        .map(|der| CertificateDer::from_slice(der))
        .collect();
    let anchors = roots
        .iter()
        .map(webpki::anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(ChainError::Untrusted)?;
    let leaf = CertificateDer::from_slice(leaf);
    let end_entity = EndEntityCert::try_from(&leaf).map_err(ChainError::Untrusted)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at_unix));
    let path = end_entity
        .verify_for_usage(
            CERTIFICATES,
            &anchors,
            &intermediates,
            time,
            AnyUsage,
            None,
            None,
        )
        .map_err(ChainError::Untrusted)?;
    let used = path.intermediate_certificates().map(webpki::Cert::der);
    if !used.eq(intermediates.iter().cloned()) {
        return Err(ChainError::Unused);
    }
    check_may_sign(&certificate)?;
    read(&certificate)
}

/// What a certificate says about its holder, UNCHECKED: only for one that TLS has verified.
pub fn dangerous_read_unverified(certificate: &[u8]) -> Result<VerifiedLeaf, ChainError> {
    read(&parse(certificate)?)
}

/// The key of a certificate, unchecked.
pub(super) fn public_key(certificate: &[u8]) -> Result<sm2::PublicKey, ChainError> {
    read(&parse(certificate)?).map(|leaf| leaf.public_key)
}

/// The purposes in EKU are TLS's business; for documents the key usage decides.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}

fn parse(der: &[u8]) -> Result<Certificate, ChainError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(ChainError::TooLarge);
    }
    let certificate = Certificate::from_der(der).map_err(ChainError::Parse)?;
    let canonical = certificate.to_der().map_err(ChainError::Parse)?;
    if canonical != der {
        return Err(ChainError::NotCanonical);
    }
    Ok(certificate)
}

fn check_may_sign(certificate: &Certificate) -> Result<(), ChainError> {
    let usage = certificate
        .tbs_certificate()
        .get_extension::<KeyUsage>()
        .map_err(ChainError::Parse)?;
    match usage {
        Some((_, KeyUsage(usages))) if usages.contains(KeyUsages::DigitalSignature) => Ok(()),
        _ => Err(ChainError::Usage),
    }
}

fn read(certificate: &Certificate) -> Result<VerifiedLeaf, ChainError> {
    let tbs = certificate.tbs_certificate();
    let text = |oid| {
        let value = tbs.subject().by_oid::<DirectoryString>(oid);
        let value = value.map_err(ChainError::Parse)?;
        Ok(value
            .map(|value| value.value().into_owned())
            .unwrap_or_default())
    };
    let names = tbs
        .get_extension::<SubjectAltName>()
        .map_err(ChainError::Parse)?
        .map(|(_, SubjectAltName(names))| names)
        .unwrap_or_default();
    let dns_names = names
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        })
        .collect();
    Ok(VerifiedLeaf {
        common_name: text(rfc4519::COMMON_NAME)?,
        organization: text(rfc4519::ORGANIZATION_NAME)?,
        dns_names,
        public_key: key_of(certificate)?,
        not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
    })
}

fn key_of(certificate: &Certificate) -> Result<sm2::PublicKey, ChainError> {
    let info = certificate.tbs_certificate().subject_public_key_info();
    let key = sm2::PublicKey::from_point(info.subject_public_key.raw_bytes())
        .map_err(|_| ChainError::Key)?;
    // Algorithm and curve must be the ones that our own encoding has.
    let encoded = info.to_der().map_err(ChainError::Parse)?;
    if encoded != key.to_spki_der() {
        return Err(ChainError::Key);
    }
    Ok(key)
}
