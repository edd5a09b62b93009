//! The structures of RFC 3161, 2.4, as this authority writes them.

use der::asn1::{BitString, GeneralizedTime, OctetString, SetOfVec, Uint};
use der::oid::ObjectIdentifier;
use der::{Any, Encode as _, Sequence};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::cms::{self, Attribute, Link, Signer};
use crate::sm3;

/// id-signedData (RFC 5652, 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// id-ct-TSTInfo (RFC 3161, 2.4.2).
pub(super) const TST_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificateV2 (RFC 5035, 3).
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
/// SM2-with-SM3 (GM/T 0006).
const SM2_WITH_SM3: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.156.10197.1.501");
/// See [`super::POLICY`].
pub(super) const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap(super::POLICY);

/// granted (RFC 3161, 2.4.2).
pub(super) const GRANTED: u8 = 0;
/// rejection.
pub(super) const REJECTION: u8 = 2;
/// SignedData with a content that is not data (RFC 5652, 5.1).
const SIGNED_DATA_VERSION: u8 = 3;
/// A signer named by issuer and serial number (RFC 5652, 5.3).
const SIGNER_VERSION: u8 = 1;
/// TSTInfo and TimeStampReq.
pub(super) const VERSION: u8 = 1;

/// TimeStampResp.
#[derive(Sequence)]
pub(super) struct Response {
    pub(super) status: Status,
    #[asn1(optional = "true")]
    pub(super) token: Option<ContentInfo>,
}

/// PKIStatusInfo.
#[derive(Sequence)]
pub(super) struct Status {
    pub(super) status: u8,
    #[asn1(optional = "true")]
    pub(super) text: Option<Vec<String>>,
    #[asn1(optional = "true")]
    pub(super) failure: Option<BitString>,
}

#[derive(Sequence)]
pub(super) struct ContentInfo {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: SignedData,
}

#[derive(Sequence)]
pub(super) struct SignedData {
    version: u8,
    digest_algorithms: SetOfVec<AlgorithmIdentifierOwned>,
    pub(super) content: Encapsulated,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", constructed = "true")]
    pub(super) certificates: SetOfVec<Any>,
    pub(super) signers: SetOfVec<Signer>,
}

/// EncapsulatedContentInfo.
#[derive(Sequence)]
pub(super) struct Encapsulated {
    kind: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    pub(super) content: OctetString,
}

/// TSTInfo, without what this authority never says: ordering, its own name, extensions.
#[derive(Sequence)]
pub(super) struct Info {
    pub(super) version: u8,
    pub(super) policy: ObjectIdentifier,
    pub(super) imprint: Imprint,
    pub(super) serial: Uint,
    pub(super) time: GeneralizedTime,
    pub(super) accuracy: Accuracy,
    pub(super) nonce: Uint,
}

/// MessageImprint.
#[derive(Clone, PartialEq, Eq, Sequence)]
pub(super) struct Imprint {
    pub(super) algorithm: AlgorithmIdentifierOwned,
    pub(super) digest: OctetString,
}

impl Imprint {
    pub(super) fn sm3(digest: &[u8; sm3::DIGEST_BYTES]) -> der::Result<Self> {
        Ok(Self {
            algorithm: cms::algorithm(cms::SM3),
            digest: OctetString::new(digest.as_slice())?,
        })
    }
}

/// Accuracy in whole seconds.
#[derive(Sequence)]
pub(super) struct Accuracy {
    pub(super) seconds: u8,
}

/// SigningCertificateV2 (RFC 5035, 3) with the leaf alone.
#[derive(Sequence)]
struct SigningCertificate {
    certificates: Vec<CertificateHash>,
}

/// ESSCertIDv2 (RFC 5035, 4); the hash is not the default, SHA-256, so it is named.
#[derive(Sequence)]
struct CertificateHash {
    algorithm: AlgorithmIdentifierOwned,
    digest: OctetString,
}

/// The signed attributes over a TSTInfo, in DER's order.
pub(super) fn attributes(
    info: &[u8],
    leaf: &[u8],
    time_unix: u64,
) -> der::Result<SetOfVec<Attribute>> {
    let digest = OctetString::new(sm3::hash(info).as_slice())?;
    let signing = SigningCertificate {
        certificates: vec![CertificateHash {
            algorithm: cms::algorithm(cms::SM3),
            digest: OctetString::new(sm3::hash(leaf).as_slice())?,
        }],
    };
    let time = cms::time(time_unix)?;
    SetOfVec::try_from(vec![
        Attribute::of(cms::CONTENT_TYPE, Any::encode_from(&TST_INFO)?)?,
        Attribute::of(cms::SIGNING_TIME, Any::encode_from(&time)?)?,
        Attribute::of(cms::MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
        Attribute::of(SIGNING_CERTIFICATE_V2, Any::encode_from(&signing)?)?,
    ])
}

/// The whole answer, from its variable parts.
pub(super) fn granted(
    chain: &[Link],
    info: &[u8],
    attributes: SetOfVec<Attribute>,
    signature: &[u8],
) -> der::Result<Vec<u8>> {
    let leaf = chain.first().ok_or(der::ErrorKind::Failed)?;
    let signer = Signer {
        version: SIGNER_VERSION,
        certificate: leaf.id.clone(),
        digest_algorithm: cms::algorithm(cms::SM3),
        attributes,
        signature_algorithm: cms::algorithm(SM2_WITH_SM3),
        signature: OctetString::new(signature)?,
    };
    let content = SignedData {
        version: SIGNED_DATA_VERSION,
        digest_algorithms: SetOfVec::try_from(vec![cms::algorithm(cms::SM3)])?,
        content: Encapsulated {
            kind: TST_INFO,
            content: OctetString::new(info)?,
        },
        certificates: cms::certificates(chain)?,
        signers: SetOfVec::try_from(vec![signer])?,
    };
    let response = Response {
        status: Status {
            status: GRANTED,
            text: None,
            failure: None,
        },
        token: Some(ContentInfo {
            kind: SIGNED_DATA,
            content,
        }),
    };
    response.to_der()
}
