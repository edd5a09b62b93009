//! Believing a stamp.

use der::{Decode as _, Encode as _};

use super::form::{self, GRANTED, Info, POLICY, Response, VERSION};
use super::request::{Refusal, Request, nonce_fits};
use super::{ACCURACY_S, SERIAL_BYTES};
use crate::cms;
use crate::sm2;
use crate::sm3;
use crate::x509::{self, ChainError, Demands, Usage, VerifiedLeaf};

/// Largest answer: as large as a signature file may be.
pub const STAMP_BYTES_MAX: usize = cms::SIGNATURE_BYTES_MAX;

/// Who saw a document and when, after everything was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What the authority's certificate says.
    pub leaf: VerifiedLeaf,
    /// When, seconds since 1970, by the authority's clock.
    pub time_unix: u64,
    /// The stamp's serial number.
    pub serial: Vec<u8>,
}

/// Why a stamp is refused.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Larger than any honest answer.
    #[error("time stamp has more than {STAMP_BYTES_MAX} bytes")]
    TooLarge,
    /// Not a TimeStampResp of the form that counts.
    #[error("time stamp does not parse as one of this profile")]
    Parse(#[from] der::Error),
    /// The authority refused, or grants with a reservation.
    #[error("no time stamp: the authority answered with status {status}{}", words(.failure))]
    Status {
        /// PKIStatus.
        status: u8,
        /// Why, if it is one of the reasons that are known here.
        failure: Option<Refusal>,
    },
    /// A TimeStampResp, but not in the one form that counts.
    #[error("time stamp has another form: {0}")]
    Form(&'static str),
    /// It is over something else.
    #[error("time stamp is over something else")]
    Content,
    /// It answers another request.
    #[error("time stamp answers another request (nonce)")]
    Nonce,
    /// The authority's certificate is not under a trusted root, or not for time stamping alone.
    #[error("time stamp authority's certificate")]
    Chain(#[source] ChainError),
    /// The signature does not fit the authority's key.
    #[error("time stamp's signature")]
    Signature(#[source] sm2::VerifyError),
}

fn words(failure: &Option<Refusal>) -> String {
    failure.map_or_else(String::new, |failure| format!(" ({failure})"))
}

impl From<cms::VerifyError> for StampError {
    fn from(error: cms::VerifyError) -> Self {
        match error {
            cms::VerifyError::TooLarge => Self::TooLarge,
            cms::VerifyError::Parse(error) => Self::Parse(error),
            cms::VerifyError::Form(why) => Self::Form(why),
            cms::VerifyError::Content => Self::Content,
            cms::VerifyError::Chain(error) => Self::Chain(error),
            cms::VerifyError::Signature(error) => Self::Signature(error),
        }
    }
}

/// Checks a stamp over `content` by an authority under one of `roots_der`, whose certificate was for time
/// stamping alone and valid at the stamp's time.
///
/// # Errors
/// When it is not one.
pub fn verify(der: &[u8], content: &[u8], roots_der: &[Vec<u8>]) -> Result<Stamp, StampError> {
    check(der, &sm3::hash(content), None, roots_der)
}

/// The same, of a stamp over what has this SM3.
///
/// # Errors
/// When it is not one.
pub fn verify_imprint(
    der: &[u8],
    imprint: &[u8; sm3::DIGEST_BYTES],
    roots_der: &[Vec<u8>],
) -> Result<Stamp, StampError> {
    check(der, imprint, None, roots_der)
}

/// The same, of an answer to `request`.
///
/// # Errors
/// Also when it answers another request.
pub fn verify_answer(
    der: &[u8],
    request: &Request,
    roots_der: &[Vec<u8>],
) -> Result<Stamp, StampError> {
    check(der, &request.imprint, Some(request), roots_der)
}

fn check(
    der: &[u8],
    digest: &[u8; sm3::DIGEST_BYTES],
    request: Option<&Request>,
    roots_der: &[Vec<u8>],
) -> Result<Stamp, StampError> {
    if der.len() > STAMP_BYTES_MAX {
        return Err(StampError::TooLarge);
    }
    let response = Response::from_der(der)?;
    if response.status.status != GRANTED {
        return Err(refused(&response));
    }
    let token = response.token.ok_or(StampError::Form("it has no token"))?;
    let signed = token.content;
    let [signer] = signed.signers.as_slice() else {
        return Err(StampError::Form("it must have one signer"));
    };
    let encoded = signed.content.content.as_bytes();
    let info = Info::from_der(encoded)?;
    let time_unix = info.time.to_unix_duration().as_secs();
    check_info(&info, digest)?;
    if request.is_some_and(|request| request.nonce != info.nonce) {
        return Err(StampError::Nonce);
    }
    let chain = cms::order(&signed.certificates, &signer.certificate)?;
    cms::refuse_roots(&chain, roots_der)?;
    let leaf = chain.first().map_or(&[][..], |leaf| &leaf.der);
    let attributes = form::attributes(encoded, leaf, time_unix)?;
    let message = attributes.to_der()?;
    let signature = signer.signature.as_bytes();
    let is_whole = info.to_der()? == encoded;
    if !is_whole || form::granted(&chain, encoded, attributes, signature)? != der {
        return Err(StampError::Form("it is not exactly as it has to be"));
    }
    let chain: Vec<Vec<u8>> = chain.into_iter().map(|link| link.der).collect();
    let demands = Demands {
        usage: Some(Usage::TimeStamping),
        crls: &[],
    };
    let leaf =
        x509::verify_chain_for(&chain, roots_der, time_unix, demands).map_err(StampError::Chain)?;
    leaf.public_key
        .verify(&message, signature)
        .map_err(StampError::Signature)?;
    Ok(Stamp {
        leaf,
        time_unix,
        serial: info.serial.as_bytes().to_vec(),
    })
}

fn check_info(info: &Info, digest: &[u8; sm3::DIGEST_BYTES]) -> Result<(), StampError> {
    let wrong = |why| Err(StampError::Form(why));
    let algorithm = &info.imprint.algorithm;
    if info.version != VERSION {
        return wrong("TSTInfo is of another version");
    }
    if info.policy != POLICY {
        return wrong("it is by another policy");
    }
    if algorithm.oid != cms::SM3 || algorithm.parameters.is_some() {
        return wrong("its imprint is not by SM3");
    }
    if info.imprint.digest.as_bytes() != digest {
        return Err(StampError::Content);
    }
    if !is_serial(info.serial.as_bytes()) {
        return wrong("its serial number is not of 16 bytes");
    }
    if info.accuracy.seconds != ACCURACY_S {
        return wrong("it claims another accuracy");
    }
    if !nonce_fits(&info.nonce) {
        return wrong("its nonce is too large");
    }
    Ok(())
}

/// A positive number of [`SERIAL_BYTES`], big-endian without leading zeros.
pub(super) fn is_serial(bytes: &[u8]) -> bool {
    bytes.len() == SERIAL_BYTES && bytes.first().is_some_and(|first| (1..0x80).contains(first))
}

fn refused(response: &Response) -> StampError {
    let failure = response.status.failure.as_ref();
    let set = failure.and_then(|bits| (0..).zip(bits.bits()).find(|(_, set)| *set));
    StampError::Status {
        status: response.status.status,
        failure: set.and_then(|(bit, _)| Refusal::of_bit(bit)),
    }
}
