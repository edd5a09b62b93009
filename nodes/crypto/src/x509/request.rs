//! Certification requests (PKCS#10, RFC 2986) with SM2: how a bank's own authority is asked.

use der::asn1::{BitString, SetOfVec};
use der::oid::AssociatedOid as _;
use der::{Decode as _, Encode as _};
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::chain::{self, ChainError};
use super::profile::{self, Purpose, Subject, Usage};
use super::{IssueError, signer};
use crate::sm2;

/// Largest request; ours have under 1 KiB.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// A request whose maker has proved to hold the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub subject: Subject,
    /// What for, where the asked extensions are exactly those of one of our purposes.
    pub purpose: Option<Purpose>,
    /// The key to be certified.
    pub public_key: sm2::PublicKey,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Larger than any honest request.
    #[error("certification request has more than {REQUEST_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a request: truncated, or something else.
    #[error("certification request does not parse")]
    Parse(#[source] der::Error),
    /// Not in the one form that DER allows.
    #[error("certification request is not DER")]
    NotCanonical,
    /// Its key is on another curve, or is no point.
    #[error("key of the certification request")]
    Key(#[source] ChainError),
    /// Signed with another algorithm than SM2 with SM3.
    #[error("certification request is not signed with SM2 and SM3")]
    Algorithm,
    /// Its signature does not fit its key: who sent it does not hold the key, or it was altered.
    #[error("certification request does not prove that its maker holds the key")]
    Proof(#[source] sm2::VerifyError),
}

impl Request {
    /// Makes a request (DER) for `key`.
    pub fn create(
        subject: &Subject,
        purpose: Purpose,
        key: &sm2::SecretKey,
    ) -> Result<Vec<u8>, IssueError> {
        let name = profile::name(&subject.common_name, &subject.organization)?;
        let names = profile::dns_names(&subject.dns_names)?;
        let build = || -> der::Result<Vec<u8>> {
            let wanted = ExtensionReq(profile::asked(purpose, &names, &name)?);
            let info = CertReqInfo {
                version: Version::V1,
                subject: name.clone(),
                public_key: SubjectPublicKeyInfoOwned::from_der(&key.public().to_spki_der())?,
                attributes: SetOfVec::try_from(vec![Attribute::try_from(wanted)?])?,
            };
            let signature = signer::sign(key, &info.to_der()?)?;
            let request = CertReq {
                info,
                algorithm: signer::algorithm(),
                signature,
            };
            request.to_der()
        };
        build().map_err(|error| IssueError::Build(error.into()))
    }

    /// Reads a request and checks that its maker holds the key.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::TooLarge);
        }
        let request = CertReq::from_der(der).map_err(RequestError::Parse)?;
        if request.to_der().map_err(RequestError::Parse)? != der {
            return Err(RequestError::NotCanonical);
        }
        let info = &request.info;
        let public_key = chain::key_of_info(&info.public_key).map_err(RequestError::Key)?;
        if !signer::is_ours(&request.algorithm) {
            return Err(RequestError::Algorithm);
        }
        let message = info.to_der().map_err(RequestError::Parse)?;
        public_key
            .verify(&message, bytes(&request.signature))
            .map_err(RequestError::Proof)?;
        let wanted = wanted(info).map_err(RequestError::Parse)?;
        let text = |oid| -> Result<String, RequestError> {
            let value = info.subject.by_oid::<DirectoryString>(oid);
            let value = value.map_err(RequestError::Parse)?;
            Ok(value.map(|v| v.value().into_owned()).unwrap_or_default())
        };
        Ok(Self {
            subject: Subject {
                common_name: text(der::oid::db::rfc4519::COMMON_NAME)?,
                organization: text(der::oid::db::rfc4519::ORGANIZATION_NAME)?,
                dns_names: wanted.dns_names,
            },
            purpose: wanted.purpose,
            public_key,
        })
    }
}

struct Wanted {
    dns_names: Vec<String>,
    purpose: Option<Purpose>,
}

fn wanted(info: &CertReqInfo) -> der::Result<Wanted> {
    let mut extensions: Vec<Extension> = vec![];
    for attribute in info.attributes.iter() {
        if attribute.oid == ExtensionReq::OID {
            for value in attribute.values.iter() {
                let mut asked: Vec<Extension> = value.decode_as()?;
                extensions.append(&mut asked);
            }
        }
    }
    let find = |oid| {
        let found = extensions.iter().find(|one| one.extn_id == oid);
        found.map(|one| one.extn_value.as_bytes())
    };
    let names = match find(SubjectAltName::OID) {
        Some(value) => SubjectAltName::from_der(value)?.0,
        None => vec![],
    };
    let dns_names = names
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        })
        .collect();
    let constraints = find(BasicConstraints::OID)
        .map(BasicConstraints::from_der)
        .transpose()?;
    let usages = find(KeyUsage::OID).map(KeyUsage::from_der).transpose()?;
    let purposes = find(ExtendedKeyUsage::OID)
        .map(ExtendedKeyUsage::from_der)
        .transpose()?;
    let purposes = purposes
        .map(|ExtendedKeyUsage(all)| all)
        .unwrap_or_default();
    let purpose = match (constraints, usages) {
        (Some(constraints), _) if constraints.ca => Some(Purpose::Authority {
            path_length: constraints.path_len_constraint.unwrap_or(0),
        }),
        (_, Some(KeyUsage(usages))) => Usage::ALL
            .into_iter()
            .find(|usage| usage.key_usages() == usages && usage.purposes() == purposes)
            .map(Purpose::Leaf),
        _ => None,
    };
    Ok(Wanted { dns_names, purpose })
}

/// A signature's bytes; a bit string of part bytes gives none, which fits no key.
pub(super) fn bytes(signature: &BitString) -> &[u8] {
    signature.as_bytes().unwrap_or_default()
}
