//! Detached SM2 signatures over documents: SignedData of GB/T 35275 (GM/T 0010).
//!
//! A signature file has exactly one form: one signer, the three signed attributes below, the
//! signer's chain without its root, DER throughout. [`verify_detached`] rebuilds the file from what
//! it has checked and compares, so a byte that means nothing cannot hide in it.

use der::asn1::{GeneralizedTime, OctetString, SetOfVec, UtcTime};
use der::oid::ObjectIdentifier;
use der::{Any, Decode as _, Encode as _, Sequence, ValueOrd};
use x509_cert::Certificate;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

use crate::x509::{self, ChainError, Identity, VerifiedLeaf};
use crate::{sm2, sm3};

/// data (GB/T 35275, 5).
const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.6.1.4.2.1");
/// signedData (GB/T 35275, 5).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.6.1.4.2.2");
/// SM3 (GM/T 0006).
pub(crate) const SM3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.401");
/// SM2-1, the signature algorithm itself (GM/T 0006): GM/T 0010 names it as the signer's algorithm,
/// where certificates name SM2-with-SM3.
const SM2_SIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.301.1");
/// contentType (PKCS #9).
pub(crate) const CONTENT_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
/// messageDigest (PKCS #9).
pub(crate) const MESSAGE_DIGEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
/// signingTime (PKCS #9).
pub(crate) const SIGNING_TIME: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.5");

/// Largest signature file: a full chain of the largest certificates fits.
pub const SIGNATURE_BYTES_MAX: usize =
    (x509::CHAIN_CERTIFICATES_MAX + 1) * x509::CERTIFICATE_BYTES_MAX;

/// Who signed and when, after everything was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerInfo {
    /// What the signer's certificate says.
    pub leaf: VerifiedLeaf,
    /// The time that the signer claims, seconds since 1970. Its certificate was valid then; that the
    /// claim is true, only a time stamp or a log can show.
    pub signing_time_unix: u64,
}

/// Why no signature was made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The identity has no certificate.
    #[error("signer has no certificate")]
    NoCertificate,
    /// A certificate that does not parse, or a time past the year 9999.
    #[error("signature file")]
    Encode(#[from] der::Error),
}

/// Why a signature is refused.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Larger than any honest signature file.
    #[error("signature file has more than {SIGNATURE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a SignedData at all.
    #[error("signature file does not parse")]
    Parse(#[from] der::Error),
    /// A SignedData, but not in the one form that we sign.
    #[error("signature file has another form: {0}")]
    Form(&'static str),
    /// The document is not the one that was signed.
    #[error("document was altered after it was signed")]
    Content,
    /// The signer's certificate is not under a trusted root.
    #[error("signer's certificate")]
    Chain(#[source] ChainError),
    /// The signature does not fit the signer's key.
    #[error("signature")]
    Signature(#[source] sm2::VerifyError),
}

/// Signs `content` and returns the DER of a SignedData that leaves the content out.
pub fn sign_detached(
    identity: &Identity,
    content: &[u8],
    signing_time_unix: u64,
) -> Result<Vec<u8>, SignError> {
    let chain = signers_chain(identity)?;
    let attributes = attributes(&sm3::hash(content), signing_time_unix)?;
    let signature = identity.key.sign(&attributes.to_der()?);
    Ok(encode(&chain, attributes, &signature)?)
}

/// Checks a detached signature over `content` by a signer under one of `roots_der`, whose
/// certificate was valid at the signing time.
pub fn verify_detached(
    der: &[u8],
    content: &[u8],
    roots_der: &[Vec<u8>],
) -> Result<SignerInfo, VerifyError> {
    if der.len() > SIGNATURE_BYTES_MAX {
        return Err(VerifyError::TooLarge);
    }
    let signed = ContentInfo::from_der(der)?.content;
    let [signer] = signed.signers.as_slice() else {
        return Err(VerifyError::Form("it must have one signer"));
    };
    let claimed = Claims::read(&signer.attributes)?;
    let chain = order(&signed.certificates, &signer.certificate)?;
    refuse_roots(&chain, roots_der)?;
    let digest = sm3::hash(content);
    if claimed.digest != digest {
        return Err(VerifyError::Content);
    }
    let attributes = attributes(&digest, claimed.signing_time_unix)?;
    let message = attributes.to_der()?;
    let signature = signer.signature.as_bytes();
    if encode(&chain, attributes, signature)? != der {
        return Err(VerifyError::Form("it is not exactly as we write it"));
    }
    let chain: Vec<Vec<u8>> = chain.into_iter().map(|link| link.der).collect();
    let leaf = x509::verify_chain(&chain, roots_der, claimed.signing_time_unix)
        .map_err(VerifyError::Chain)?;
    leaf.public_key
        .verify(&message, signature)
        .map_err(VerifyError::Signature)?;
    Ok(SignerInfo {
        leaf,
        signing_time_unix: claimed.signing_time_unix,
    })
}

/// The signed attributes, in DER's order.
fn attributes(
    digest: &[u8; sm3::DIGEST_BYTES],
    signing_time_unix: u64,
) -> der::Result<SetOfVec<Attribute>> {
    SetOfVec::try_from(vec![
        Attribute::of(CONTENT_TYPE, Any::encode_from(&DATA)?)?,
        Attribute::of(SIGNING_TIME, Any::encode_from(&time(signing_time_unix)?)?)?,
        Attribute::of(
            MESSAGE_DIGEST,
            Any::encode_from(&OctetString::new(digest.as_slice())?)?,
        )?,
    ])
}

/// UTCTime as long as it can say the year, until 2049 (RFC 5652, 11.3).
pub(crate) fn time(unix: u64) -> der::Result<Time> {
    let time = std::time::Duration::from_secs(unix);
    Ok(match UtcTime::from_unix_duration(time) {
        Ok(time) => Time::UtcTime(time),
        Err(_) => Time::GeneralTime(GeneralizedTime::from_unix_duration(time)?),
    })
}

/// The signer's certificates, leaf first: the chain without a root, which a verifier takes from nobody.
pub(crate) fn signers_chain(identity: &Identity) -> Result<Vec<Link>, SignError> {
    let mut chain = Vec::with_capacity(identity.chain.len());
    for der in &identity.chain {
        let link = Link::parse(der)?;
        if !link.is_self_issued() {
            chain.push(link);
        }
    }
    if chain.is_empty() {
        return Err(SignError::NoCertificate);
    }
    Ok(chain)
}

/// The whole file, from its variable parts.
fn encode(
    chain: &[Link],
    attributes: SetOfVec<Attribute>,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    let leaf = chain.first().ok_or(der::ErrorKind::Failed)?;
    let signer = Signer {
        version: VERSION,
        certificate: leaf.id.clone(),
        digest_algorithm: algorithm(SM3),
        attributes,
        signature_algorithm: algorithm(SM2_SIGNATURE),
        signature: OctetString::new(signature)?,
    };
    let content = SignedData {
        version: VERSION,
        digest_algorithms: SetOfVec::try_from(vec![algorithm(SM3)])?,
        content: Detached { kind: DATA },
        certificates: certificates(chain)?,
        signers: SetOfVec::try_from(vec![signer])?,
    };
    ContentInfo {
        kind: SIGNED_DATA,
        content,
    }
    .to_der()
}

/// An algorithm as all of ours are written: without parameters.
pub(crate) const fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}

/// The certificates of a chain, in DER's order.
pub(crate) fn certificates(chain: &[Link]) -> der::Result<SetOfVec<Any>> {
    let certificates = chain.iter().map(|link| Any::from_der(&link.der));
    SetOfVec::try_from(certificates.collect::<der::Result<Vec<_>>>()?)
}

/// What the signer says about the document, unchecked.
struct Claims {
    digest: Vec<u8>,
    signing_time_unix: u64,
}

impl Claims {
    fn read(attributes: &SetOfVec<Attribute>) -> Result<Self, VerifyError> {
        let value = |kind| {
            attributes
                .iter()
                .find(|attribute| attribute.kind == kind)
                .and_then(|attribute| attribute.values.get(0))
                .ok_or(VerifyError::Form("it must have digest and signing time"))
        };
        let digest: OctetString = value(MESSAGE_DIGEST)?.decode_as()?;
        let time: Time = value(SIGNING_TIME)?.decode_as()?;
        Ok(Self {
            digest: digest.into_bytes().into_vec(),
            signing_time_unix: time.to_unix_duration().as_secs(),
        })
    }
}

/// A certificate of the file with what orders it.
pub(crate) struct Link {
    pub(crate) der: Vec<u8>,
    pub(crate) id: CertificateId,
    subject: Name,
}

impl Link {
    pub(crate) fn parse(der: &[u8]) -> der::Result<Self> {
        let certificate = Certificate::from_der(der)?;
        let tbs = certificate.tbs_certificate();
        Ok(Self {
            der: der.to_vec(),
            id: CertificateId {
                issuer: tbs.issuer().clone(),
                serial_number: tbs.serial_number().clone(),
            },
            subject: tbs.subject().clone(),
        })
    }

    fn is_self_issued(&self) -> bool {
        self.id.issuer == self.subject
    }
}

/// Brings the certificates, which DER sorts by their bytes, into the order of the chain.
pub(crate) fn order(
    certificates: &SetOfVec<Any>,
    signer: &CertificateId,
) -> Result<Vec<Link>, VerifyError> {
    if certificates.len() > x509::CHAIN_CERTIFICATES_MAX {
        return Err(VerifyError::Chain(ChainError::TooLong));
    }
    let mut rest = Vec::with_capacity(certificates.len());
    for certificate in certificates.iter() {
        rest.push(Link::parse(&certificate.to_der()?)?);
    }
    let mut chain: Vec<Link> = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let next = match chain.last() {
            None => rest.iter().position(|link| link.id == *signer),
            Some(last) => rest.iter().position(|link| link.subject == last.id.issuer),
        };
        let next = next.ok_or(VerifyError::Form("its certificates must be one chain"))?;
        chain.push(rest.swap_remove(next));
    }
    if chain.is_empty() {
        return Err(VerifyError::Form("it must have the signer's certificate"));
    }
    Ok(chain)
}

/// A root in the file proves nothing and changes its bytes: there is one form, without it.
pub(crate) fn refuse_roots(chain: &[Link], roots_der: &[Vec<u8>]) -> Result<(), VerifyError> {
    if chain.iter().any(|link| roots_der.contains(&link.der)) {
        return Err(VerifyError::Form("it holds the root itself"));
    }
    Ok(())
}

/// SignedData and SignerInfo are both version 1 (GB/T 35275, 8).
const VERSION: u8 = 1;

#[derive(Sequence)]
struct ContentInfo {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: SignedData,
}

#[derive(Sequence)]
struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    content: Detached,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    certificates: SetOfVec<Any>,
    signers: SetOfVec<Signer>,
}

/// A ContentInfo without content: the document lies beside the signature.
#[derive(Sequence)]
struct Detached {
    kind: ObjectIdentifier,
}

/// SignerInfo.
#[derive(Sequence, ValueOrd)]
pub(crate) struct Signer {
    pub(crate) version: u8,
    pub(crate) certificate: CertificateId,
    pub(crate) digest_algorithm: AlgorithmIdentifierOwned,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    pub(crate) attributes: SetOfVec<Attribute>,
    pub(crate) signature_algorithm: AlgorithmIdentifierOwned,
    pub(crate) signature: OctetString,
}

/// IssuerAndSerialNumber.
#[derive(Clone, PartialEq, Eq, Sequence, ValueOrd)]
pub(crate) struct CertificateId {
    issuer: Name,
    serial_number: SerialNumber,
}

/// A signed attribute.
#[derive(Clone, PartialEq, Eq, Sequence, ValueOrd)]
pub(crate) struct Attribute {
    kind: ObjectIdentifier,
    values: SetOfVec<Any>,
}

impl Attribute {
    /// One with one value.
    pub(crate) fn of(kind: ObjectIdentifier, value: Any) -> der::Result<Self> {
        let values = SetOfVec::try_from(vec![value])?;
        Ok(Self { kind, values })
    }
}
