//! Everything that a certificate says, for people: nothing of it is checked.

use der::oid::{AssociatedOid as _, ObjectIdentifier, db};
use der::referenced::OwnedToRef as _;
use der::{Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};

use super::chain::{self, ChainError};
use super::profile::DOCUMENT_SIGNING;
use super::signer::SM2_WITH_SM3;
use crate::sm3;

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// 1, 2 or 3.
    pub version: u8,
    /// Serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// Name or object identifier.
    pub signature_algorithm: String,
    /// RFC 4514.
    pub issuer: String,
    /// RFC 4514.
    pub subject: String,
    /// Seconds since 1970.
    pub not_before: u64,
    /// Seconds since 1970.
    pub not_after: u64,
    /// Name or object identifier of the key's algorithm, with its curve.
    pub key_algorithm: String,
    /// The key's bits as they stand there; an uncompressed point for SM2.
    pub public_key: Vec<u8>,
    /// basicConstraints: an authority.
    pub authority: bool,
    /// basicConstraints: how many authorities may stand below it.
    pub path_length: Option<u8>,
    /// keyUsage, by the names of RFC 5280.
    pub key_usage: Vec<&'static str>,
    /// extKeyUsage, by name or object identifier.
    pub extended_key_usage: Vec<String>,
    /// subjectAltName, as `DNS:a.example` and so on.
    pub alternative_names: Vec<String>,
    /// subjectKeyIdentifier.
    pub subject_key_id: Option<Vec<u8>>,
    /// authorityKeyIdentifier.
    pub authority_key_id: Option<Vec<u8>>,
    /// Further extensions: object identifier, and whether it is critical.
    pub other_extensions: Vec<(String, bool)>,
    /// SM3 of the DER.
    pub sm3: [u8; 32],
    /// SHA-256 of the DER.
    pub sha256: Vec<u8>,
    /// SHA-1 of the DER, because many tools still show nothing else.
    pub sha1: Vec<u8>,
}

/// Reads every field of a certificate, ours or anybody's.
pub fn describe(certificate_der: &[u8]) -> Result<Description, ChainError> {
    let certificate = chain::parse(certificate_der)?;
    let tbs = certificate.tbs_certificate();
    let info = tbs.subject_public_key_info();
    let digest = |algorithm| {
        ring::digest::digest(algorithm, certificate_der)
            .as_ref()
            .to_vec()
    };
    let mut words = Description {
        version: tbs.version() as u8 + 1,
        serial: tbs.serial_number().as_bytes().to_vec(),
        signature_algorithm: name_of(&certificate.signature_algorithm().oid),
        issuer: tbs.issuer().to_string(),
        subject: tbs.subject().to_string(),
        not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
        not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
        key_algorithm: match info.algorithm.owned_to_ref().parameters_oid() {
            Ok(curve) => format!("{} {}", name_of(&info.algorithm.oid), name_of(&curve)),
            Err(_) => name_of(&info.algorithm.oid),
        },
        public_key: info.subject_public_key.raw_bytes().to_vec(),
        authority: false,
        path_length: None,
        key_usage: vec![],
        extended_key_usage: vec![],
        alternative_names: vec![],
        subject_key_id: None,
        authority_key_id: None,
        other_extensions: vec![],
        sm3: sm3::hash(certificate_der),
        sha256: digest(&ring::digest::SHA256),
        sha1: digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY),
    };
    for extension in tbs.extensions().into_iter().flatten() {
        words.add(extension).map_err(ChainError::Parse)?;
    }
    Ok(words)
}

impl Description {
    fn add(&mut self, extension: &Extension) -> der::Result<()> {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            BasicConstraints::OID => {
                let constraints = BasicConstraints::from_der(value)?;
                self.authority = constraints.ca;
                self.path_length = constraints.path_len_constraint;
            }
            KeyUsage::OID => {
                let KeyUsage(usages) = KeyUsage::from_der(value)?;
                let named = KEY_USAGES.iter().filter(|(bit, _)| usages.contains(*bit));
                self.key_usage = named.map(|(_, name)| *name).collect();
            }
            ExtendedKeyUsage::OID => {
                let ExtendedKeyUsage(purposes) = ExtendedKeyUsage::from_der(value)?;
                self.extended_key_usage = purposes.iter().map(name_of).collect();
            }
            SubjectAltName::OID => {
                let SubjectAltName(names) = SubjectAltName::from_der(value)?;
                let words: der::Result<Vec<String>> = names.iter().map(name_in_words).collect();
                self.alternative_names = words?;
            }
            SubjectKeyIdentifier::OID => {
                let SubjectKeyIdentifier(id) = SubjectKeyIdentifier::from_der(value)?;
                self.subject_key_id = Some(id.as_bytes().to_vec());
            }
            AuthorityKeyIdentifier::OID => {
                let id = AuthorityKeyIdentifier::from_der(value)?.key_identifier;
                self.authority_key_id = id.map(|id| id.as_bytes().to_vec());
            }
            other => {
                let other = (other.to_string(), extension.critical);
                self.other_extensions.push(other);
            }
        }
        Ok(())
    }
}

const KEY_USAGES: [(KeyUsages, &str); 9] = [
    (KeyUsages::DigitalSignature, "digitalSignature"),
    (KeyUsages::NonRepudiation, "nonRepudiation"),
    (KeyUsages::KeyEncipherment, "keyEncipherment"),
    (KeyUsages::DataEncipherment, "dataEncipherment"),
    (KeyUsages::KeyAgreement, "keyAgreement"),
    (KeyUsages::KeyCertSign, "keyCertSign"),
    (KeyUsages::CRLSign, "cRLSign"),
    (KeyUsages::EncipherOnly, "encipherOnly"),
    (KeyUsages::DecipherOnly, "decipherOnly"),
];

fn name_in_words(name: &GeneralName) -> der::Result<String> {
    Ok(match name {
        GeneralName::DnsName(name) => format!("DNS:{name}"),
        GeneralName::Rfc822Name(name) => format!("email:{name}"),
        GeneralName::UniformResourceIdentifier(name) => format!("URI:{name}"),
        GeneralName::DirectoryName(name) => format!("DirName:{name}"),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            [a, b, c, d] => format!("IP:{}", std::net::Ipv4Addr::new(*a, *b, *c, *d)),
            other => match <[u8; 16]>::try_from(other) {
                Ok(six) => format!("IP:{}", std::net::Ipv6Addr::from(six)),
                Err(_) => "IP:?".to_owned(),
            },
        },
        GeneralName::RegisteredId(id) => format!("RID:{id}"),
        other => format!("other ({} bytes)", other.to_der()?.len()),
    })
}

fn name_of(oid: &ObjectIdentifier) -> String {
    let ours = [
        (SM2_WITH_SM3, "SM2-with-SM3"),
        (ObjectIdentifier::new_unwrap("1.2.156.10197.1.301"), "SM2"),
        (DOCUMENT_SIGNING, "documentSigning"),
        (db::rfc5280::ID_KP_SERVER_AUTH, "serverAuth"),
        (db::rfc5280::ID_KP_CLIENT_AUTH, "clientAuth"),
    ];
    let ours = ours.iter().find(|(known, _)| known == oid);
    let known = ours.map(|(_, name)| *name);
    let known = known.or_else(|| db::DB.by_oid(oid));
    known.map_or_else(|| oid.to_string(), str::to_owned)
}
