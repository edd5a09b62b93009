//! Issuing certificates: a root, intermediates below it, and what they sign.

use std::time::Duration;

use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_cert::builder::{self, Builder as _, CertificateBuilder};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, KeyUsages};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use x509_cert::time::{Time, Validity};
use zeroize::Zeroizing;

use super::chain::{self, ChainError};
use super::pem::{self, PemError};
use super::profile::{self, Profile, Purpose, Subject, Usage};
use super::signer::CertificateSigner;
use crate::{random, sm2 as keys};

/// Certificates begin this much before they are made, for clocks that run behind.
const BACKDATED: Duration = Duration::from_secs(3600);
/// Bytes of a serial number: 20 are allowed, 16 random ones never repeat.
const SERIAL_BYTES: usize = 16;

/// A root or intermediate that issues certificates and revocation lists.
pub struct Authority {
    pub(super) certificate: Certificate,
    der: Vec<u8>,
    /// Issuers of this certificate, DER, the nearest first; empty for a root.
    parents: Vec<Vec<u8>>,
    pub(super) key: keys::SecretKey,
}

/// Two certificates of one holder, as TLCP uses them (GB/T 38636, 6.4): same subject, same names,
/// one key that signs and another that keys are encrypted to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// DER; digitalSignature.
    pub signing: Vec<u8>,
    /// DER; keyEncipherment, dataEncipherment, keyAgreement.
    pub encryption: Vec<u8>,
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// CN or O is empty, longer than 64 characters, or holds control characters.
    #[error(
        "certificate name {0:?} is empty, longer than {max} characters or unprintable",
        max = profile::NAME_CHARS_MAX
    )]
    Name(String),
    /// A SAN that is no DNS name.
    #[error("{0:?} is no DNS name")]
    DnsName(String),
    /// A time past the year 9999.
    #[error("certificate's time of validity")]
    Time(#[source] der::Error),
    /// The issuer's own certificate allows no authority below it.
    #[error("this authority may not certify another authority (path length)")]
    PathLength,
    /// The issuer's certificate is over.
    #[error("this authority's certificate ended at {not_after} (seconds since 1970)")]
    Ended {
        /// When.
        not_after: u64,
    },
    /// Both halves of a pair have the same key.
    #[error("the two certificates of a pair need two keys")]
    OneKey,
    /// The certificate could not be encoded or signed.
    #[error("certificate")]
    Build(#[from] builder::Error),
}

/// Why a chain and a key make no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The text of chain or key.
    #[error("authority's certificate and key")]
    Pem(#[from] PemError),
    /// The first certificate may not sign certificates.
    #[error("certificate is not one of an authority")]
    NotAuthority,
    /// What it signs would not verify: the chain is not trusted, not valid now, or too long.
    #[error("authority's chain")]
    Chain(#[from] ChainError),
    /// No certificate could be made with it.
    #[error("authority")]
    Issue(#[from] IssueError),
}

impl Authority {
    /// Makes a self-signed root that signs leaves directly, valid for `days` from an hour before
    /// `now_unix`.
    pub fn create(
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, IssueError> {
        Self::create_root(common_name, organization, 0, days, now_unix)
    }

    /// Makes a self-signed root with `path_length` levels of authorities allowed below it.
    pub fn create_root(
        common_name: &str,
        organization: &str,
        path_length: u8,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, IssueError> {
        let key = keys::SecretKey::generate();
        let name = profile::name(common_name, organization)?;
        let profile = Profile {
            issuer: name.clone(),
            subject: name,
            purpose: Purpose::Authority { path_length },
            dns_names: vec![],
        };
        let certificate = build(profile, validity(days, now_unix)?, &key.public(), &key)?;
        let der = certificate.to_der().map_err(builder::Error::from)?;
        Ok(Self {
            certificate,
            der,
            parents: vec![],
            key,
        })
    }

    /// Makes an authority below this one that signs leaves.
    pub fn create_intermediate(
        &self,
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, IssueError> {
        let key = keys::SecretKey::generate();
        let der =
            self.issue_authority(common_name, organization, &key.public(), 0, days, now_unix)?;
        let certificate = Certificate::from_der(&der).map_err(builder::Error::from)?;
        Ok(Self {
            certificate,
            der,
            parents: self.chain(),
            key,
        })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// Its certificate and its issuers', DER, the root last if it is known.
    #[must_use]
    pub fn chain(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.der)
            .chain(&self.parents)
            .cloned()
            .collect()
    }

    /// CN and O of the authority.
    pub fn subject(&self) -> Result<Subject, ChainError> {
        chain::subject_of(&self.certificate)
    }

    /// The chain and the key as PEM; the key's file needs mode 600.
    #[must_use]
    pub fn to_pem(&self) -> (String, Zeroizing<String>) {
        (
            pem::certificates_to_pem(&self.chain()),
            self.key.to_pkcs8_pem(),
        )
    }

    /// Reads what [`Authority::to_pem`] wrote and refuses a certificate of another key.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PemError> {
        let chain = pem::certificates_from_pem(chain)?;
        let key = keys::SecretKey::from_pkcs8_pem(key)?;
        pem::check_key_fits(&chain, &key)?;
        let mut chain = chain.into_iter();
        let der = chain.next().ok_or(PemError::Certificates)?;
        let certificate = Certificate::from_der(&der).map_err(|_| PemError::Certificates)?;
        Ok(Self {
            certificate,
            der,
            parents: chain.collect(),
            key,
        })
    }

    /// Checks that what this authority signs at `now_unix` verifies under `roots`: its chain, its
    /// usage, its path length and its validity. It signs a throw-away leaf and verifies that.
    pub fn check(&self, roots: &[Vec<u8>], now_unix: u64) -> Result<(), AuthorityError> {
        let extension = |error| AuthorityError::Chain(ChainError::Parse(error));
        let tbs = self.certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(extension)?;
        let usage = tbs.get_extension::<KeyUsage>().map_err(extension)?;
        let signs = usage.is_some_and(|(_, KeyUsage(usages))| {
            usages.contains(KeyUsages::KeyCertSign) && usages.contains(KeyUsages::CRLSign)
        });
        if !constraints.is_some_and(|(_, constraints)| constraints.ca) || !signs {
            return Err(AuthorityError::NotAuthority);
        }
        let subject = Subject {
            common_name: "probe".to_owned(),
            organization: "probe".to_owned(),
            dns_names: vec![],
        };
        let key = keys::SecretKey::generate().public();
        let mut chain = vec![self.issue(&subject, &key, Usage::Tls, 1, now_unix)?];
        chain.append(&mut self.chain());
        chain::verify_chain(&chain, roots, now_unix)?;
        Ok(())
    }

    /// Issues a leaf certificate (DER) for `public`, never beyond the authority's own end.
    pub fn issue(
        &self,
        subject: &Subject,
        public: &keys::PublicKey,
        usage: Usage,
        days: u32,
        now_unix: u64,
    ) -> Result<Vec<u8>, IssueError> {
        self.certify(subject, public, Purpose::Leaf(usage), days, now_unix)
    }

    /// Issues both certificates of a pair; `usage` is the signing half's.
    pub fn issue_pair(
        &self,
        subject: &Subject,
        signing: &keys::PublicKey,
        encryption: &keys::PublicKey,
        usage: Usage,
        days: u32,
        now_unix: u64,
    ) -> Result<Pair, IssueError> {
        if signing == encryption {
            return Err(IssueError::OneKey);
        }
        Ok(Pair {
            signing: self.issue(subject, signing, usage, days, now_unix)?,
            encryption: self.issue(subject, encryption, Usage::Encryption, days, now_unix)?,
        })
    }

    /// Certifies an authority below this one (DER).
    pub fn issue_authority(
        &self,
        common_name: &str,
        organization: &str,
        public: &keys::PublicKey,
        path_length: u8,
        days: u32,
        now_unix: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let constraints = self
            .certificate
            .tbs_certificate()
            .get_extension::<BasicConstraints>()
            .map_err(builder::Error::from)?;
        let own = constraints.and_then(|(_, constraints)| constraints.path_len_constraint);
        if own.is_some_and(|own| own <= path_length) {
            return Err(IssueError::PathLength);
        }
        let subject = Subject {
            common_name: common_name.to_owned(),
            organization: organization.to_owned(),
            dns_names: vec![],
        };
        let purpose = Purpose::Authority { path_length };
        self.certify(&subject, public, purpose, days, now_unix)
    }

    fn certify(
        &self,
        subject: &Subject,
        public: &keys::PublicKey,
        purpose: Purpose,
        days: u32,
        now_unix: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let own = self.certificate.tbs_certificate();
        let own_end = own.validity().not_after;
        let not_after = own_end.to_unix_duration().as_secs();
        if not_after < now_unix {
            return Err(IssueError::Ended { not_after });
        }
        let mut validity = validity(days, now_unix)?;
        if validity.not_after.to_unix_duration() > own_end.to_unix_duration() {
            validity.not_after = own_end;
        }
        let profile = Profile {
            issuer: own.subject().clone(),
            subject: profile::name(&subject.common_name, &subject.organization)?,
            purpose,
            dns_names: profile::dns_names(&subject.dns_names)?,
        };
        let certificate = build(profile, validity, public, &self.key)?;
        Ok(certificate.to_der().map_err(builder::Error::from)?)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Authority({})",
            self.certificate.tbs_certificate().subject()
        )
    }
}

fn build(
    profile: Profile,
    validity: Validity,
    public: &keys::PublicKey,
    signer: &keys::SecretKey,
) -> Result<Certificate, IssueError> {
    let mut serial: [u8; SERIAL_BYTES] = random::array();
    // Positive, and of one length: some tools stumble over anything else.
    serial[0] = serial[0] & 0x3f | 0x40;
    let serial = SerialNumber::new(&serial).map_err(builder::Error::from)?;
    let public =
        SubjectPublicKeyInfoOwned::from_der(&public.to_spki_der()).map_err(builder::Error::from)?;
    let signer = CertificateSigner(signer.signing_key(keys::DEFAULT_ID));
    let certificate = CertificateBuilder::new(profile, serial, validity, public)?
        .build::<_, ::sm2::dsa::DerSignature>(&signer)?;
    Ok(certificate)
}

fn validity(days: u32, now_unix: u64) -> Result<Validity, IssueError> {
    let now = Duration::from_secs(now_unix);
    let end = now.saturating_add(Duration::from_secs(u64::from(days) * 86_400));
    Ok(Validity::new(
        time(now.saturating_sub(BACKDATED))?,
        time(end)?,
    ))
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280, 4.1.2.5).
pub(super) fn time(at: Duration) -> Result<Time, IssueError> {
    der::DateTime::from_unix_duration(at)
        .map(Time::from)
        .map_err(IssueError::Time)
}
