//! Issuing certificates: the root and what it signs.

use std::time::Duration;

use ::sm2::dsa::signature::{self, Keypair, Signer};
use der::asn1::{Ia5String, OctetString, Utf8StringRef};
use der::oid::{ObjectIdentifier, db};
use der::{Any, Decode as _, Encode as _};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder as _, CertificateBuilder};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::{Name, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{self, SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate};
use zeroize::Zeroizing;

use super::pem::{self, PemError};
use crate::{random, sm2 as keys, sm3};

/// SM2-with-SM3 (GM/T 0006).
pub(crate) const SM2_WITH_SM3: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");
/// id-kp-documentSigning (RFC 9336).
const DOCUMENT_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.36");

/// Certificates begin this much before they are made, for clocks that run behind.
const BACKDATED: Duration = Duration::from_secs(3600);
/// Longest CN and O (X.520, ub-common-name and ub-organization-name).
const NAME_CHARS_MAX: usize = 64;
/// Bytes of a serial number: 20 are allowed, 16 random ones never repeat.
const SERIAL_BYTES: usize = 16;
/// Bytes of a key identifier, the usual length of a certificate's.
const KEY_ID_BYTES: usize = 20;

/// A root that issues the certificates of a cluster.
pub struct Authority {
    certificate: Certificate,
    der: Vec<u8>,
    key: keys::SecretKey,
}

/// The holder of a certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// CN: the node's name.
    pub common_name: String,
    /// O: the cluster's id.
    pub organization: String,
    /// SAN: the names that peers dial.
    pub dns_names: Vec<String>,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Either end of TLS between nodes.
    Tls,
    /// Signing documents such as evidence manifests; refused by TLS.
    Documents,
}

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// CN or O is empty, longer than 64 characters, or holds control characters.
    #[error(
        "certificate name {0:?} is empty, longer than {NAME_CHARS_MAX} characters or unprintable"
    )]
    Name(String),
    /// A SAN that is no DNS name.
    #[error("{0:?} is no DNS name")]
    DnsName(String),
    /// A time past the year 9999.
    #[error("certificate's time of validity")]
    Time(#[source] der::Error),
    /// The certificate could not be encoded or signed.
    #[error("certificate")]
    Build(#[from] builder::Error),
}

impl Authority {
    /// Makes a self-signed root, valid for `days` from an hour before `now_unix`.
    pub fn create(
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, IssueError> {
        let key = keys::SecretKey::generate();
        let name = name(common_name, organization)?;
        let profile = Profile {
            issuer: name.clone(),
            subject: name,
            kind: Kind::Root,
        };
        let certificate = build(profile, validity(days, now_unix)?, &key.public(), &key)?;
        let der = certificate.to_der().map_err(builder::Error::from)?;
        Ok(Self {
            certificate,
            der,
            key,
        })
    }

    /// The root certificate.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.der
    }

    /// The root certificate and its key as PEM; the key's file needs mode 600.
    #[must_use]
    pub fn to_pem(&self) -> (String, Zeroizing<String>) {
        let certificate = pem::certificates_to_pem(std::slice::from_ref(&self.der));
        (certificate, self.key.to_pkcs8_pem())
    }

    /// Reads what [`Authority::to_pem`] wrote and refuses a certificate of another key.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PemError> {
        let chain = pem::certificates_from_pem(certificate)?;
        let key = keys::SecretKey::from_pkcs8_pem(key)?;
        pem::check_key_fits(&chain, &key)?;
        let der = chain.into_iter().next().ok_or(PemError::Certificates)?;
        let certificate = Certificate::from_der(&der).map_err(|_| PemError::Certificates)?;
        Ok(Self {
            certificate,
            der,
            key,
        })
    }

    /// Issues a leaf certificate (DER) for `public`, never beyond the root's own end.
    pub fn issue(
        &self,
        subject: &Subject,
        public: &keys::PublicKey,
        usage: Usage,
        days: u32,
        now_unix: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let root = self.certificate.tbs_certificate();
        let mut validity = validity(days, now_unix)?;
        let root_end = root.validity().not_after;
        if validity.not_after.to_unix_duration() > root_end.to_unix_duration() {
            validity.not_after = root_end;
        }
        let profile = Profile {
            issuer: root.subject().clone(),
            subject: name(&subject.common_name, &subject.organization)?,
            kind: Kind::Leaf {
                usage,
                dns_names: dns_names(&subject.dns_names)?,
            },
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
    let time = |at| {
        der::DateTime::from_unix_duration(at)
            .map(Time::from)
            .map_err(IssueError::Time)
    };
    Ok(Validity::new(
        time(now.saturating_sub(BACKDATED))?,
        time(end)?,
    ))
}

/// O and CN as UTF-8, built from values: in a string form a comma in a name would start another
/// attribute.
fn name(common_name: &str, organization: &str) -> Result<Name, IssueError> {
    let part = |oid, value: &str| {
        let printable = !value.chars().any(char::is_control);
        if value.is_empty() || value.chars().count() > NAME_CHARS_MAX || !printable {
            return Err(IssueError::Name(value.to_owned()));
        }
        let value = Utf8StringRef::new(value).and_then(|value| Any::encode_from(&value));
        value
            .and_then(|value| {
                RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value }])
            })
            .map_err(|error| IssueError::Build(error.into()))
    };
    let parts = vec![
        part(db::rfc4519::ORGANIZATION_NAME, organization)?,
        part(db::rfc4519::COMMON_NAME, common_name)?,
    ];
    parts
        .to_der()
        .and_then(|der| Name::from_der(&der))
        .map_err(|error| IssueError::Build(error.into()))
}

fn dns_names(names: &[String]) -> Result<Vec<GeneralName>, IssueError> {
    names
        .iter()
        .map(|name| {
            rustls::pki_types::DnsName::try_from(name.as_str())
                .ok()
                .and_then(|_| Ia5String::new(name).ok())
                .map(GeneralName::DnsName)
                .ok_or_else(|| IssueError::DnsName(name.clone()))
        })
        .collect()
}

/// The extensions of our certificates (RFC 5280, 4.2).
struct Profile {
    issuer: Name,
    subject: Name,
    kind: Kind,
}

enum Kind {
    Root,
    Leaf {
        usage: Usage,
        dns_names: Vec<GeneralName>,
    },
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        subject_key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let subject = tbs.subject();
        let mut all = Vec::new();
        let key_id = SubjectKeyIdentifier(key_id(&subject_key)?);
        all.push(key_id.to_extension(subject, &all)?);
        let authority = AuthorityKeyIdentifier {
            key_identifier: Some(self::key_id(&issuer_key)?),
            ..Default::default()
        };
        all.push(authority.to_extension(subject, &all)?);
        let is_root = matches!(self.kind, Kind::Root);
        let constraints = BasicConstraints {
            ca: is_root,
            // Our roots sign leaves directly.
            path_len_constraint: is_root.then_some(0),
        };
        all.push(constraints.to_extension(subject, &all)?);
        let (usages, purposes) = match &self.kind {
            Kind::Root => (KeyUsages::KeyCertSign | KeyUsages::CRLSign, vec![]),
            Kind::Leaf {
                usage: Usage::Tls, ..
            } => (
                KeyUsages::DigitalSignature.into(),
                vec![
                    db::rfc5280::ID_KP_SERVER_AUTH,
                    db::rfc5280::ID_KP_CLIENT_AUTH,
                ],
            ),
            Kind::Leaf {
                usage: Usage::Documents,
                ..
            } => (
                KeyUsages::DigitalSignature | KeyUsages::NonRepudiation,
                vec![DOCUMENT_SIGNING],
            ),
        };
        all.push(KeyUsage(usages).to_extension(subject, &all)?);
        if !purposes.is_empty() {
            all.push(ExtendedKeyUsage(purposes).to_extension(subject, &all)?);
        }
        if let Kind::Leaf { dns_names, .. } = &self.kind
            && !dns_names.is_empty()
        {
            all.push(SubjectAltName(dns_names.clone()).to_extension(subject, &all)?);
        }
        Ok(all)
    }
}

/// The first bytes of the key's SM3: the method is the issuer's choice (RFC 5280, 4.2.1.2), and the
/// usual one is SHA-1.
fn key_id(key: &SubjectPublicKeyInfoRef<'_>) -> Result<OctetString, der::Error> {
    let digest = sm3::hash(key.subject_public_key.raw_bytes());
    OctetString::new(&digest[..KEY_ID_BYTES])
}

/// What the builder wants of a signer, which `sm2`'s signing key lacks: DER signatures and the
/// algorithm without parameters.
struct CertificateSigner(::sm2::dsa::SigningKey);

impl Keypair for CertificateSigner {
    type VerifyingKey = ::sm2::dsa::VerifyingKey;

    fn verifying_key(&self) -> Self::VerifyingKey {
        self.0.verifying_key().clone()
    }
}

impl Signer<::sm2::dsa::DerSignature> for CertificateSigner {
    fn try_sign(&self, message: &[u8]) -> Result<::sm2::dsa::DerSignature, signature::Error> {
        keys::sign(&self.0, message).as_slice().try_into()
    }
}

impl spki::DynSignatureAlgorithmIdentifier for CertificateSigner {
    fn signature_algorithm_identifier(&self) -> spki::Result<spki::AlgorithmIdentifierOwned> {
        Ok(spki::AlgorithmIdentifierOwned {
            oid: SM2_WITH_SM3,
            parameters: None,
        })
    }
}
