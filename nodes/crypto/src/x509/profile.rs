//! What stands in our certificates: names, purposes, and the extensions that say so.

use der::asn1::{Ia5String, OctetString, Utf8StringRef};
use der::flagset::FlagSet;
use der::oid::{ObjectIdentifier, db};
use der::{Any, Decode as _, Encode as _};
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::{self, profile::BuilderProfile};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::{Name, RelativeDistinguishedName};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use super::IssueError;
use crate::sm3;

/// id-kp-documentSigning (RFC 9336).
pub(super) const DOCUMENT_SIGNING: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.36");

/// Longest CN and O (X.520, ub-common-name and ub-organization-name).
pub(super) const NAME_CHARS_MAX: usize = 64;
/// Bytes of a key identifier, the usual length of a certificate's.
const KEY_ID_BYTES: usize = 20;

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
    /// A server that people or other systems reach.
    Service,
    /// A person who logs in and signs.
    Staff,
    /// Signing time stamps and nothing else (RFC 3161, 2.3): its one purpose is marked critical.
    TimeStamping,
    /// Receiving keys: the encrypting half of a pair (GB/T 38636, TLCP). It signs nothing.
    Encryption,
}

impl Usage {
    /// Every usage.
    pub const ALL: [Self; 6] = [
        Self::Tls,
        Self::Documents,
        Self::Service,
        Self::Staff,
        Self::TimeStamping,
        Self::Encryption,
    ];

    pub(super) fn key_usages(self) -> FlagSet<KeyUsages> {
        match self {
            Self::Tls | Self::Service | Self::TimeStamping => KeyUsages::DigitalSignature.into(),
            Self::Documents | Self::Staff => {
                KeyUsages::DigitalSignature | KeyUsages::NonRepudiation
            }
            Self::Encryption => {
                KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment | KeyUsages::KeyAgreement
            }
        }
    }

    /// EKU. The encrypting half of a pair has none: it stands for whatever its signing half is for.
    pub(super) fn purposes(self) -> Vec<ObjectIdentifier> {
        let (server, client) = (
            db::rfc5280::ID_KP_SERVER_AUTH,
            db::rfc5280::ID_KP_CLIENT_AUTH,
        );
        match self {
            Self::Tls => vec![server, client],
            Self::Documents => vec![DOCUMENT_SIGNING],
            Self::Service => vec![server],
            Self::Staff => vec![client],
            Self::TimeStamping => vec![db::rfc5280::ID_KP_TIME_STAMPING],
            Self::Encryption => vec![],
        }
    }
}

/// What a key is certified for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A leaf.
    Leaf(Usage),
    /// Signing certificates and revocation lists.
    Authority {
        /// How many authorities may stand below it on one path (RFC 5280, 4.2.1.9).
        path_length: u8,
    },
}

/// The extensions that a request asks for and a certificate has: constraints, usages, names.
pub(super) fn asked(
    purpose: Purpose,
    dns_names: &[GeneralName],
    subject: &Name,
) -> Result<Vec<Extension>, der::Error> {
    let mut all = Vec::new();
    let (constraints, usages, purposes) = match purpose {
        Purpose::Authority { path_length } => (
            BasicConstraints {
                ca: true,
                path_len_constraint: Some(path_length),
            },
            KeyUsages::KeyCertSign | KeyUsages::CRLSign,
            vec![],
        ),
        Purpose::Leaf(usage) => (
            BasicConstraints {
                ca: false,
                path_len_constraint: None,
            },
            usage.key_usages(),
            usage.purposes(),
        ),
    };
    all.push(constraints.to_extension(subject, &all)?);
    all.push(KeyUsage(usages).to_extension(subject, &all)?);
    if !purposes.is_empty() {
        let mut extension = ExtendedKeyUsage(purposes).to_extension(subject, &all)?;
        extension.critical |= purpose == Purpose::Leaf(Usage::TimeStamping);
        all.push(extension);
    }
    if !dns_names.is_empty() {
        all.push(SubjectAltName(dns_names.to_vec()).to_extension(subject, &all)?);
    }
    Ok(all)
}

/// The extensions of our certificates (RFC 5280, 4.2).
pub(super) struct Profile {
    pub(super) issuer: Name,
    pub(super) subject: Name,
    pub(super) purpose: Purpose,
    pub(super) dns_names: Vec<GeneralName>,
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
        let own = SubjectKeyIdentifier(key_id(&subject_key)?);
        all.push(own.to_extension(subject, &all)?);
        all.push(authority_key_id(&issuer_key)?.to_extension(subject, &all)?);
        all.append(&mut asked(self.purpose, &self.dns_names, subject)?);
        Ok(all)
    }
}

/// Which of the issuer's keys signed.
pub(super) fn authority_key_id(
    issuer_key: &SubjectPublicKeyInfoRef<'_>,
) -> Result<AuthorityKeyIdentifier, der::Error> {
    Ok(AuthorityKeyIdentifier {
        key_identifier: Some(key_id(issuer_key)?),
        ..Default::default()
    })
}

/// The first bytes of the key's SM3: the method is the issuer's choice (RFC 5280, 4.2.1.2), and the
/// usual one is SHA-1.
fn key_id(key: &SubjectPublicKeyInfoRef<'_>) -> Result<OctetString, der::Error> {
    let digest = sm3::hash(key.subject_public_key.raw_bytes());
    OctetString::new(&digest[..KEY_ID_BYTES])
}

/// O and CN as UTF-8, built from values: in a string form a comma in a name would start another
/// attribute.
pub(super) fn name(common_name: &str, organization: &str) -> Result<Name, IssueError> {
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

pub(super) fn dns_names(names: &[String]) -> Result<Vec<GeneralName>, IssueError> {
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
