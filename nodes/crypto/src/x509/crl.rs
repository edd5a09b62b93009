//! Certificate revocation lists, version 2 (RFC 5280, 5): made by an authority, checked by everyone.
//!
//! A list is signed, so the way it travels is not trusted. What is trusted is the issuer's key, the
//! list's own times, and its number: whoever holds number 7 never takes number 6 again.

use std::collections::BTreeMap;
use std::time::Duration;

use der::asn1::{OctetString, Uint};
use der::oid::AssociatedOid as _;
use der::referenced::OwnedToRef as _;
use der::{Decode as _, Encode as _};
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::crl::dp::IssuingDistributionPoint;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, CrlNumber, CrlReason, KeyUsage, KeyUsages};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::serial_number::SerialNumber;

use super::authority::time;
use super::chain::{self, ChainError};
use super::{Authority, IssueError, profile, request, signer};
use crate::sm2;

/// Largest list: about a hundred thousand certificates.
pub const CRL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest serial number (RFC 5280, 4.1.2.2) and longest list number (5.2.3), in bytes.
const NUMBER_BYTES_MAX: usize = 20;

/// What a list names a certificate by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateId {
    /// The issuer's name, DER.
    pub issuer: Vec<u8>,
    /// Serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
}

/// Why a certificate was revoked (RFC 5280, 5.3.1). `certificateHold` and `removeFromCRL` are left
/// out: what is revoked here stays revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No reason given.
    Unspecified,
    /// The key is, or may be, in other hands.
    KeyCompromise,
    /// The issuer's key is, or may be, in other hands.
    AuthorityCompromise,
    /// The holder's name or place changed.
    AffiliationChanged,
    /// Replaced by another certificate.
    Superseded,
    /// The holder has ceased to work.
    CessationOfOperation,
    /// The holder may no longer do what the certificate says.
    PrivilegeWithdrawn,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AuthorityCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// The name that RFC 5280 and OpenSSL give it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::AuthorityCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
        }
    }

    const fn code(self) -> CrlReason {
        match self {
            Self::Unspecified => CrlReason::Unspecified,
            Self::KeyCompromise => CrlReason::KeyCompromise,
            Self::AuthorityCompromise => CrlReason::CaCompromise,
            Self::AffiliationChanged => CrlReason::AffiliationChanged,
            Self::Superseded => CrlReason::Superseded,
            Self::CessationOfOperation => CrlReason::CessationOfOperation,
            Self::PrivilegeWithdrawn => CrlReason::PrivilegeWithdrawn,
        }
    }

    /// Other issuers' holds and removals count as revocations without a reason: the safe reading.
    fn of(code: CrlReason) -> Self {
        let found = Self::ALL.into_iter().find(|reason| reason.code() == code);
        found.unwrap_or(Self::Unspecified)
    }
}

/// One entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// When, seconds since 1970.
    pub at_unix: u64,
    /// Why.
    pub reason: Reason,
}

/// Number of a list; later lists of an issuer have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListNumber([u8; NUMBER_BYTES_MAX]);

impl ListNumber {
    /// Big-endian, with leading zeros.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; NUMBER_BYTES_MAX] {
        self.0
    }

    /// Reads what [`Self::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl From<u64> for ListNumber {
    fn from(number: u64) -> Self {
        let mut bytes = [0; NUMBER_BYTES_MAX];
        bytes[NUMBER_BYTES_MAX - 8..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }
}

impl std::fmt::Display for ListNumber {
    /// Decimal as far as 64 bits go, hexadecimal beyond.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (high, low) = self.0.split_at(NUMBER_BYTES_MAX - 8);
        match <[u8; 8]>::try_from(low) {
            Ok(low) if high.iter().all(|byte| *byte == 0) => {
                write!(f, "{}", u64::from_be_bytes(low))
            }
            _ => {
                f.write_str("0x")?;
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// A list that parses; whether to believe it, [`Crl::verify`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    issuer: Vec<u8>,
    issuer_text: String,
    number: ListNumber,
    this_update: u64,
    next_update: u64,
    entries: BTreeMap<Vec<u8>, Revoked>,
}

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// Larger than any honest list.
    #[error("revocation list has more than {CRL_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a list: truncated, or something else.
    #[error("revocation list does not parse")]
    Parse(#[source] der::Error),
    /// Not in the one form that DER allows.
    #[error("revocation list is not DER")]
    NotCanonical,
    /// Version 1, or without what version 2 demands.
    #[error("revocation list has no {0}")]
    Missing(&'static str),
    /// A list for some certificates only, or one that only says what changed.
    #[error("revocation list is indirect, partial or a difference, which is not read")]
    Partial,
    /// An extension that must be understood and is not.
    #[error("revocation list has the unknown critical extension {0}")]
    Extension(String),
    /// The issuer's certificate does not parse.
    #[error("issuer of the revocation list")]
    IssuerCertificate(#[source] ChainError),
    /// Another issuer than the certificate it is checked with.
    #[error("revocation list is of another issuer: {found}")]
    Issuer {
        /// Who the list says.
        found: String,
    },
    /// The issuer may not sign lists.
    #[error("the issuer's key usage does not allow signing revocation lists")]
    Usage,
    /// Signed with another algorithm than SM2 with SM3.
    #[error("revocation list is not signed with SM2 and SM3")]
    Algorithm,
    /// Altered, or signed with another key.
    #[error("revocation list's signature does not fit")]
    Signature(#[source] sm2::VerifyError),
    /// Made in the future.
    #[error("revocation list begins at {this_update}, it is {now} (seconds since 1970)")]
    NotYetValid {
        /// thisUpdate.
        this_update: u64,
        /// The time of checking.
        now: u64,
    },
    /// Its successor is due.
    #[error("revocation list was due for renewal at {next_update}, it is {now}")]
    Overdue {
        /// nextUpdate.
        next_update: u64,
        /// The time of checking.
        now: u64,
    },
    /// Not newer than the one held: taking it would bring revoked certificates back.
    #[error("revocation list {given} is not newer than {held}, which is held")]
    Rollback {
        /// The number held.
        held: ListNumber,
        /// The number offered.
        given: ListNumber,
    },
}

impl Authority {
    /// Makes a list (DER) of `entries` by serial number. The caller counts `number` up.
    pub fn issue_crl(
        &self,
        number: u64,
        entries: &BTreeMap<Vec<u8>, Revoked>,
        this_update: u64,
        next_update: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let at = |unix| time(Duration::from_secs(unix));
        let (this, next) = (at(this_update)?, at(next_update)?);
        let mut revoked = Vec::with_capacity(entries.len());
        for (serial, entry) in entries {
            let when = at(entry.at_unix)?;
            let one = revoked_cert(serial, when, entry.reason)
                .map_err(|error| IssueError::Build(error.into()))?;
            revoked.push(one);
        }
        let build = || -> der::Result<Vec<u8>> {
            let own = self.certificate.tbs_certificate();
            let issuer = own.subject().clone();
            let key = own.subject_public_key_info().owned_to_ref();
            let mut extensions: Vec<Extension> = vec![];
            let key_id = profile::authority_key_id(&key)?;
            extensions.push(key_id.to_extension(&issuer, &extensions)?);
            let number = CrlNumber(Uint::try_from(number)?);
            extensions.push(number.to_extension(&issuer, &extensions)?);
            let list = TbsCertList {
                version: Version::V2,
                signature: signer::algorithm(),
                issuer,
                this_update: this,
                next_update: Some(next),
                // RFC 5280, 5.1.2.6: absent when there is nothing to list.
                revoked_certificates: (!revoked.is_empty()).then_some(revoked),
                crl_extensions: Some(extensions),
            };
            let signature = signer::sign(&self.key, &list.to_der()?)?;
            let list: CertificateList = CertificateList {
                tbs_cert_list: list,
                signature_algorithm: signer::algorithm(),
                signature,
            };
            list.to_der()
        };
        build().map_err(|error| IssueError::Build(error.into()))
    }
}

fn revoked_cert(
    serial: &[u8],
    revocation_date: x509_cert::time::Time,
    reason: Reason,
) -> der::Result<RevokedCert> {
    // RFC 5280, 5.3.1: no extension rather than "unspecified".
    let extension = (reason != Reason::Unspecified).then(|| {
        Ok::<_, der::Error>(vec![Extension {
            extn_id: CrlReason::OID,
            critical: false,
            extn_value: OctetString::new(reason.code().to_der()?)?,
        }])
    });
    Ok(RevokedCert {
        serial_number: SerialNumber::new(serial)?,
        revocation_date,
        crl_entry_extensions: extension.transpose()?,
    })
}

impl Crl {
    /// Reads a list; its signature is not checked.
    pub fn from_der(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > CRL_BYTES_MAX {
            return Err(CrlError::TooLarge);
        }
        let list = parse(der)?;
        let tbs = list.tbs_cert_list;
        if tbs.version != Version::V2 {
            return Err(CrlError::Missing("version 2"));
        }
        let mut number = None;
        for extension in tbs.crl_extensions.iter().flatten() {
            match extension.extn_id {
                CrlNumber::OID => number = Some(read_number(extension.extn_value.as_bytes())?),
                AuthorityKeyIdentifier::OID => {}
                IssuingDistributionPoint::OID | DELTA => return Err(CrlError::Partial),
                _ if extension.critical => {
                    return Err(CrlError::Extension(extension.extn_id.to_string()));
                }
                _ => {}
            }
        }
        let mut entries = BTreeMap::new();
        for one in tbs.revoked_certificates.iter().flatten() {
            let mut reason = Reason::Unspecified;
            for extension in one.crl_entry_extensions.iter().flatten() {
                if extension.extn_id == CrlReason::OID {
                    let code = CrlReason::from_der(extension.extn_value.as_bytes());
                    reason = Reason::of(code.map_err(CrlError::Parse)?);
                } else if extension.critical {
                    return Err(CrlError::Extension(extension.extn_id.to_string()));
                }
            }
            let at_unix = one.revocation_date.to_unix_duration().as_secs();
            let entry = Revoked { at_unix, reason };
            entries.insert(one.serial_number.as_bytes().to_vec(), entry);
        }
        let next = tbs.next_update.ok_or(CrlError::Missing("nextUpdate"))?;
        Ok(Self {
            der: der.to_vec(),
            issuer: tbs.issuer.to_der().map_err(CrlError::Parse)?,
            issuer_text: tbs.issuer.to_string(),
            number: number.ok_or(CrlError::Missing("number"))?,
            this_update: tbs.this_update.to_unix_duration().as_secs(),
            next_update: next.to_unix_duration().as_secs(),
            entries,
        })
    }

    /// Checks issuer, signature and beginning: what it takes to believe the list at all. A list past
    /// its nextUpdate is still believed; [`Crl::check_current`] tells.
    pub fn verify(&self, issuer_certificate: &[u8], now_unix: u64) -> Result<(), CrlError> {
        let issuer = chain::parse(issuer_certificate).map_err(CrlError::IssuerCertificate)?;
        let tbs = issuer.tbs_certificate();
        let name = tbs.subject().to_der().map_err(CrlError::Parse)?;
        if name != self.issuer {
            return Err(CrlError::Issuer {
                found: self.issuer_text.clone(),
            });
        }
        let usage = tbs.get_extension::<KeyUsage>().map_err(CrlError::Parse)?;
        if !usage.is_some_and(|(_, KeyUsage(usages))| usages.contains(KeyUsages::CRLSign)) {
            return Err(CrlError::Usage);
        }
        let list = parse(&self.der)?;
        if !signer::is_ours(&list.signature_algorithm)
            || list.tbs_cert_list.signature != list.signature_algorithm
        {
            return Err(CrlError::Algorithm);
        }
        let message = list.tbs_cert_list.to_der().map_err(CrlError::Parse)?;
        chain::key_of_info(tbs.subject_public_key_info())
            .map_err(CrlError::IssuerCertificate)?
            .verify(&message, request::bytes(&list.signature))
            .map_err(CrlError::Signature)?;
        if self.this_update > now_unix.saturating_add(CLOCK_SKEW_S) {
            return Err(CrlError::NotYetValid {
                this_update: self.this_update,
                now: now_unix,
            });
        }
        Ok(())
    }

    /// Whether its successor is due.
    pub fn check_current(&self, now_unix: u64) -> Result<(), CrlError> {
        if now_unix > self.next_update {
            return Err(CrlError::Overdue {
                next_update: self.next_update,
                now: now_unix,
            });
        }
        Ok(())
    }

    /// Refuses a list that is not newer than `held`, of the same issuer.
    pub fn check_newer_than(&self, held: &Self) -> Result<(), CrlError> {
        if self.issuer != held.issuer {
            return Err(CrlError::Issuer {
                found: self.issuer_text.clone(),
            });
        }
        if self.number <= held.number {
            return Err(CrlError::Rollback {
                held: held.number,
                given: self.number,
            });
        }
        Ok(())
    }

    /// Whether the list names this certificate.
    #[must_use]
    pub fn revokes(&self, certificate: &CertificateId) -> Option<Revoked> {
        if certificate.issuer != self.issuer {
            return None;
        }
        self.entries.get(&certificate.serial).copied()
    }

    /// The list as it was signed.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The issuer's name, DER.
    #[must_use]
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The issuer's name for people (RFC 4514).
    #[must_use]
    pub fn issuer_text(&self) -> &str {
        &self.issuer_text
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> ListNumber {
        self.number
    }

    /// When it was made, seconds since 1970.
    #[must_use]
    pub const fn this_update(&self) -> u64 {
        self.this_update
    }

    /// When the next one is due, seconds since 1970.
    #[must_use]
    pub const fn next_update(&self) -> u64 {
        self.next_update
    }

    /// Its entries by serial number.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<Vec<u8>, Revoked> {
        &self.entries
    }
}

/// Clocks of one bank differ by less.
const CLOCK_SKEW_S: u64 = 300;

/// deltaCRLIndicator (RFC 5280, 5.2.4).
const DELTA: der::oid::ObjectIdentifier = der::oid::db::rfc5280::ID_CE_DELTA_CRL_INDICATOR;

fn parse(der: &[u8]) -> Result<CertificateList, CrlError> {
    let list = <CertificateList>::from_der(der).map_err(CrlError::Parse)?;
    if list.to_der().map_err(CrlError::Parse)? != der {
        return Err(CrlError::NotCanonical);
    }
    Ok(list)
}

fn read_number(value: &[u8]) -> Result<ListNumber, CrlError> {
    let CrlNumber(number) = CrlNumber::from_der(value).map_err(CrlError::Parse)?;
    let bytes = number.as_bytes();
    let mut padded = [0; NUMBER_BYTES_MAX];
    match NUMBER_BYTES_MAX.checked_sub(bytes.len()) {
        Some(start) => padded[start..].copy_from_slice(bytes), // start + length is the whole length
        None => return Err(CrlError::Missing("number of at most 20 bytes")),
    }
    Ok(ListNumber(padded))
}
