//! Checking a chain and reading its leaf.

use std::time::Duration;

use der::oid::db::{rfc4519, rfc5280};
use der::referenced::OwnedToRef as _;
use der::{Decode as _, Encode as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExtendedKeyUsageValidator,
    KeyPurposeIdIter, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_cert::Certificate;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};

use super::crl::{CertificateId, Crl};
use super::profile::{Subject, Usage};
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
    /// Beginning of validity, seconds since 1970.
    pub not_before: u64,
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
    /// Not a certificate: truncated, or something else.
    #[error("certificate does not parse")]
    Parse(#[source] der::Error),
    /// Not in the one form that DER allows, so some of its bytes would mean nothing.
    #[error("certificate is not DER")]
    NotCanonical,
    /// Its key is of another algorithm or on another curve than SM2's.
    #[error("certificate's key is not on the SM2 curve (1.2.156.10197.1.301)")]
    Curve,
    /// Its key claims the SM2 curve but is no point of it.
    #[error("certificate's key is no point of the SM2 curve")]
    Point,
    /// Its key usage (RFC 5280, 4.2.1.3) does not allow what is asked of it.
    #[error("certificate's key usage does not allow {0}")]
    Usage(&'static str),
    /// Its extended key usage (RFC 5280, 4.2.1.12) is for something else.
    #[error("certificate's extended key usage is for something else")]
    Purpose,
    /// Not valid any more.
    #[error("certificate has expired")]
    Expired(#[source] webpki::Error),
    /// Not valid yet.
    #[error("certificate is not valid yet")]
    NotYetValid(#[source] webpki::Error),
    /// Altered, or signed with another key than its issuer's.
    #[error("certificate's signature does not fit")]
    Tampered(#[source] webpki::Error),
    /// More authorities on the path than one of them allows.
    #[error("more authorities on the path than are allowed")]
    PathLength(#[source] webpki::Error),
    /// Withdrawn by its issuer.
    #[error("certificate is revoked")]
    Revoked(#[source] webpki::Error),
    /// A revocation list that cannot be used.
    #[error("revocation list")]
    Crl(#[source] webpki::Error),
    /// Not under a trusted root.
    #[error("certificate chain")]
    Untrusted(#[source] webpki::Error),
    /// The chain holds a certificate that takes no part in it.
    #[error("certificate chain holds a certificate that is no part of it")]
    Unused,
}

/// What is asked of a chain besides its signatures and times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demands<'a> {
    /// The leaf is fit for this; unless given, it may sign, whatever its EKU.
    pub usage: Option<Usage>,
    /// No certificate of the path may be in one of these. A list past its nextUpdate still revokes;
    /// a path for whose issuers no list is held is not refused for that.
    pub crls: &'a [Crl],
}

/// Checks `chain` (DER, leaf first, root last or left out) up to one of `roots` at the time
/// `at_unix`. Every certificate given must be part of the path, in order: no byte goes unchecked.
pub fn verify_chain(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    at_unix: u64,
) -> Result<VerifiedLeaf, ChainError> {
    verify_chain_for(chain, roots, at_unix, Demands::default())
}

/// The same with more demands.
pub fn verify_chain_for(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    at_unix: u64,
    demands: Demands<'_>,
) -> Result<VerifiedLeaf, ChainError> {
    if chain.len() > CHAIN_CERTIFICATES_MAX {
        return Err(ChainError::TooLong);
    }
    let (leaf, others) = chain.split_first().ok_or(ChainError::Empty)?;
    let certificate = parse(leaf)?;
    key_of(&certificate)?;
    // A root in the chain proves nothing unless it is one of ours, to the byte.
    let intermediates: Vec<CertificateDer<'_>> = match others.split_last() {
        Some((last, before)) if roots.contains(last) => before,
        _ => others,
    }
    .iter()
    .map(|der| check_authority(der).map(|()| CertificateDer::from_slice(der)))
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
    let lists = demands
        .crls
        .iter()
        .map(|crl| BorrowedCertRevocationList::from_der(crl.as_der()).map(CertRevocationList::from))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ChainError::Crl)?;
    let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
    // An error means that there is no list, and then there is nothing to ask.
    let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
        options
            .with_status_policy(UnknownStatusPolicy::Allow)
            .build()
    });

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
            revocation,
            None,
        )
        .map_err(classify)?;
    let used = path.intermediate_certificates().map(webpki::Cert::der);
    if !used.eq(intermediates.iter().cloned()) {
        return Err(ChainError::Unused);
    }
    check_usage(&certificate, demands.usage)?;
    read(&certificate)
}

/// What a certificate says about its holder, UNCHECKED: only for one that TLS has verified.
pub fn dangerous_read_unverified(certificate: &[u8]) -> Result<VerifiedLeaf, ChainError> {
    read(&parse(certificate)?)
}

/// Whether a certificate that TLS has verified may sign at all: webpki does not look at the key
/// usage, and the encrypting half of a pair must not open connections.
pub fn check_may_sign(certificate: &[u8]) -> Result<(), ChainError> {
    check_usage(&parse(certificate)?, None)
}

/// Issuer and serial number of a certificate, which a revocation list names it by.
pub fn identify(certificate: &[u8]) -> Result<CertificateId, ChainError> {
    let certificate = parse(certificate)?;
    let tbs = certificate.tbs_certificate();
    Ok(CertificateId {
        issuer: tbs.issuer().to_der().map_err(ChainError::Parse)?,
        serial: tbs.serial_number().as_bytes().to_vec(),
    })
}

/// Checks that two certificates, each verified by [`verify_chain_for`], are halves of one pair.
pub fn check_pair(signing: &[u8], encryption: &[u8]) -> Result<(), PairError> {
    let (signing, encryption) = (parse(signing)?, parse(encryption)?);
    check_usage(&signing, None)?;
    check_usage(&encryption, Some(Usage::Encryption))?;
    let (a, b) = (signing.tbs_certificate(), encryption.tbs_certificate());
    if a.issuer() != b.issuer() {
        return Err(PairError::Issuer);
    }
    if a.subject() != b.subject() || read(&signing)?.dns_names != read(&encryption)?.dns_names {
        return Err(PairError::Subject);
    }
    if key_of(&signing)? == key_of(&encryption)? {
        return Err(PairError::OneKey);
    }
    Ok(())
}

/// Why two certificates are no pair.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// One of them does not parse or may not do its half.
    #[error("certificate of a pair")]
    Certificate(#[from] ChainError),
    /// Two issuers.
    #[error("the certificates of a pair have different issuers")]
    Issuer,
    /// Two holders.
    #[error("the certificates of a pair have different holders")]
    Subject,
    /// One key for both.
    #[error("the certificates of a pair have one key")]
    OneKey,
}

/// The key of a certificate, unchecked.
pub(super) fn public_key(certificate: &[u8]) -> Result<sm2::PublicKey, ChainError> {
    key_of(&parse(certificate)?)
}

pub(super) fn subject_of(certificate: &Certificate) -> Result<Subject, ChainError> {
    let leaf = read(certificate)?;
    Ok(Subject {
        common_name: leaf.common_name,
        organization: leaf.organization,
        dns_names: leaf.dns_names,
    })
}

/// The purposes in EKU are checked by [`check_usage`]; here they only have to parse.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        for purpose in purposes {
            purpose?;
        }
        Ok(())
    }
}

fn classify(error: webpki::Error) -> ChainError {
    use webpki::Error as E;
    match error {
        E::CertExpired { .. } => ChainError::Expired(error),
        E::CertNotValidYet { .. } => ChainError::NotYetValid(error),
        E::InvalidSignatureForPublicKey => ChainError::Tampered(error),
        E::PathLenConstraintViolated => ChainError::PathLength(error),
        E::CertRevoked => ChainError::Revoked(error),
        E::InvalidCrlSignatureForPublicKey => ChainError::Crl(error),
        _ => ChainError::Untrusted(error),
    }
}

pub(super) fn parse(der: &[u8]) -> Result<Certificate, ChainError> {
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

/// webpki checks that it is an authority; its key usage it leaves to us.
fn check_authority(der: &[u8]) -> Result<(), ChainError> {
    let certificate = parse(der)?;
    key_of(&certificate)?;
    let usages = key_usages(&certificate)?;
    if usages.is_some_and(|usages| usages.contains(KeyUsages::KeyCertSign)) {
        Ok(())
    } else {
        Err(ChainError::Usage("signing certificates"))
    }
}

fn check_usage(certificate: &Certificate, usage: Option<Usage>) -> Result<(), ChainError> {
    let usages = key_usages(certificate)?.unwrap_or_default();
    let Some(usage) = usage else {
        return if usages.contains(KeyUsages::DigitalSignature) {
            Ok(())
        } else {
            Err(ChainError::Usage("digital signatures"))
        };
    };
    if !usages.contains(usage.key_usages()) {
        return Err(ChainError::Usage(match usage {
            Usage::Tls | Usage::Service | Usage::TimeStamping => "digital signatures",
            Usage::Documents | Usage::Staff => "signatures that bind",
            Usage::Encryption => "key encipherment, data encipherment and key agreement",
        }));
    }
    if usage == Usage::TimeStamping {
        return check_time_stamping(certificate, usages);
    }
    // The encrypting half of a pair signs nothing: its key may be known to a key centre.
    if usage == Usage::Encryption && usages.contains(KeyUsages::DigitalSignature) {
        return Err(ChainError::Usage("encryption only"));
    }
    let purposes = certificate
        .tbs_certificate()
        .get_extension::<ExtendedKeyUsage>()
        .map_err(ChainError::Parse)?
        .map(|(_, ExtendedKeyUsage(purposes))| purposes);
    match purposes {
        // No EKU restricts nothing.
        None => Ok(()),
        Some(purposes) => {
            let any = purposes.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE);
            if any || usage.purposes().iter().all(|one| purposes.contains(one)) {
                Ok(())
            } else {
                Err(ChainError::Purpose)
            }
        }
    }
}

/// A time stamp's key does nothing else, and says so where nobody may pass over it (RFC 3161, 2.3).
fn check_time_stamping(
    certificate: &Certificate,
    usages: der::flagset::FlagSet<KeyUsages>,
) -> Result<(), ChainError> {
    if usages != Usage::TimeStamping.key_usages() {
        return Err(ChainError::Usage("digital signatures alone"));
    }
    let purposes = certificate
        .tbs_certificate()
        .get_extension::<ExtendedKeyUsage>()
        .map_err(ChainError::Parse)?;
    match purposes {
        Some((true, ExtendedKeyUsage(purposes))) if purposes == Usage::TimeStamping.purposes() => {
            Ok(())
        }
        _ => Err(ChainError::Purpose),
    }
}

fn key_usages(
    certificate: &Certificate,
) -> Result<Option<der::flagset::FlagSet<KeyUsages>>, ChainError> {
    let usage = certificate
        .tbs_certificate()
        .get_extension::<KeyUsage>()
        .map_err(ChainError::Parse)?;
    Ok(usage.map(|(_, KeyUsage(usages))| usages))
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
        not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
        not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
    })
}

fn key_of(certificate: &Certificate) -> Result<sm2::PublicKey, ChainError> {
    key_of_info(certificate.tbs_certificate().subject_public_key_info())
}

/// The SM2 key of a SubjectPublicKeyInfo: algorithm and curve must be the ones of our own encoding.
pub(super) fn key_of_info(
    info: &x509_cert::spki::SubjectPublicKeyInfoOwned,
) -> Result<sm2::PublicKey, ChainError> {
    let curve = info.algorithm.owned_to_ref().parameters_oid();
    if info.algorithm.oid != EC_PUBLIC_KEY || curve != Ok(SM2_CURVE) {
        return Err(ChainError::Curve);
    }
    let key = sm2::PublicKey::from_point(info.subject_public_key.raw_bytes())
        .map_err(|_| ChainError::Point)?;
    if info.to_der().map_err(ChainError::Parse)? != key.to_spki_der() {
        return Err(ChainError::Point);
    }
    Ok(key)
}

/// id-ecPublicKey (RFC 5480).
const EC_PUBLIC_KEY: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The SM2 curve (GM/T 0006).
const SM2_CURVE: der::oid::ObjectIdentifier =
    der::oid::ObjectIdentifier::new_unwrap("1.2.156.10197.1.301");
