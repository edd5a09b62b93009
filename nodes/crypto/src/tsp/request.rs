//! What is asked of an authority.

use der::asn1::Uint;
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _, Sequence};
use x509_cert::ext::Extension;

use super::form::{Imprint, POLICY, VERSION};
use crate::{cms, sm3};

/// Largest request that is looked at; one of ours has under 100 bytes.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// Largest nonce: as large as a serial number may be (RFC 3161, 2.4.2).
pub(super) const NONCE_BYTES_MAX: u32 = 20;

/// Why an authority gives no stamp: PKIFailureInfo of RFC 3161, 2.4.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The imprint is not by SM3.
    #[error("badAlg: the imprint is not by SM3")]
    Algorithm,
    /// Asked for in a way that this authority does not serve.
    #[error("badRequest: a nonce and the certificates have to be asked for")]
    Request,
    /// Not a request.
    #[error("badDataFormat: not a TimeStampReq of version 1")]
    Format,
    /// The clock is not to be believed.
    #[error("timeNotAvailable: the clock of this node is not to be believed")]
    Time,
    /// Another policy was asked for.
    #[error("unacceptedPolicy: the policy here is {}", super::POLICY)]
    Policy,
    /// Extensions, of which none is known here.
    #[error("unacceptedExtension: no extension is known here")]
    Extension,
    /// The authority cannot sign.
    #[error("systemFailure: the authority cannot sign")]
    System,
}

impl Refusal {
    /// The bit of PKIFailureInfo.
    pub(super) const fn bit(self) -> u8 {
        match self {
            Self::Algorithm => 0,
            Self::Request => 2,
            Self::Format => 5,
            Self::Time => 14,
            Self::Policy => 15,
            Self::Extension => 16,
            Self::System => 25,
        }
    }

    /// The refusal of a bit, if it is one of these.
    pub(super) fn of_bit(bit: u8) -> Option<Self> {
        let all = [
            Self::Algorithm,
            Self::Request,
            Self::Format,
            Self::Time,
            Self::Policy,
            Self::Extension,
            Self::System,
        ];
        all.into_iter().find(|one| one.bit() == bit)
    }
}

/// A request that this authority serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// SM3 of what is to be stamped.
    pub imprint: [u8; sm3::DIGEST_BYTES],
    /// Drawn by whoever asks; the answer has it too, so it is no answer of before. Big-endian, without
    /// leading zeros.
    pub(super) nonce: Uint,
}

impl Request {
    /// Asks for a stamp over the digest `imprint`; `nonce` is random.
    ///
    /// # Errors
    /// None that can happen: the type of `nonce` bounds it.
    pub fn new(
        imprint: [u8; sm3::DIGEST_BYTES],
        nonce: [u8; super::NONCE_BYTES],
    ) -> Result<Self, der::Error> {
        let nonce = Uint::new(&nonce)?;
        Ok(Self { imprint, nonce })
    }

    /// The request in DER.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn to_der(&self) -> Result<Vec<u8>, der::Error> {
        TimeStampReq {
            version: VERSION,
            imprint: Imprint::sm3(&self.imprint)?,
            policy: Some(POLICY),
            nonce: Some(self.nonce.clone()),
            wants_certificates: true,
            extensions: None,
        }
        .to_der()
    }

    /// Reads a request.
    ///
    /// # Errors
    /// What the authority has to answer to one that it does not serve.
    pub fn from_der(der: &[u8]) -> Result<Self, Refusal> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(Refusal::Format);
        }
        let request = TimeStampReq::from_der(der).map_err(|_| Refusal::Format)?;
        if request.version != VERSION {
            return Err(Refusal::Format);
        }
        if request.extensions.is_some() {
            return Err(Refusal::Extension);
        }
        if request.policy.is_some_and(|policy| policy != POLICY) {
            return Err(Refusal::Policy);
        }
        let algorithm = &request.imprint.algorithm;
        // Some write an algorithm without parameters as one with NULL.
        let is_plain = algorithm.parameters.as_ref().is_none_or(der::Any::is_null);
        if algorithm.oid != cms::SM3 || !is_plain {
            return Err(Refusal::Algorithm);
        }
        let imprint = request.imprint.digest.as_bytes().try_into();
        let imprint = imprint.map_err(|_| Refusal::Format)?;
        match request.nonce {
            Some(nonce) if request.wants_certificates && nonce_fits(&nonce) => {
                Ok(Self { imprint, nonce })
            }
            _ => Err(Refusal::Request),
        }
    }
}

/// Whether an INTEGER has at most [`NONCE_BYTES_MAX`] bytes.
pub(super) fn nonce_fits(nonce: &Uint) -> bool {
    use der::EncodeValue as _;
    let max = der::Length::new(NONCE_BYTES_MAX);
    nonce.value_len().is_ok_and(|length| length <= max)
}

/// TimeStampReq (RFC 3161, 2.4.1).
#[derive(Sequence)]
struct TimeStampReq {
    version: u8,
    imprint: Imprint,
    #[asn1(optional = "true")]
    policy: Option<ObjectIdentifier>,
    #[asn1(optional = "true")]
    nonce: Option<Uint>,
    #[asn1(default = "Default::default")]
    wants_certificates: bool,
    #[asn1(
        context_specific = "0",
        tag_mode = "IMPLICIT",
        constructed = "true",
        optional = "true"
    )]
    extensions: Option<Vec<Extension>>,
}
