//! The authority: from a request and a time to an answer.

use der::Encode as _;
use der::asn1::{BitString, GeneralizedTime, Uint};

use super::form::{self, Accuracy, Imprint, Info, POLICY, REJECTION, Response, Status, VERSION};
use super::request::{Refusal, Request};
use super::{ACCURACY_S, verify::is_serial};
use crate::cms::{self, SignError};
use crate::x509::Identity;

/// Bytes of a serial number. A counter would have to survive a crash, a restored backup and a second node
/// with the same certificate; random numbers of this length never meet, with nothing kept.
pub const SERIAL_BYTES: usize = 16;
/// Bytes of the nonce of our own requests.
pub const NONCE_BYTES: usize = 16;

/// Answers a request: stamps its imprint with the time `now_unix` (seconds since 1970), by the key and
/// certificates of `identity` and under a serial number made of `serial`, which must be random; or refuses,
/// as it does without a time. Always an answer in DER, with what was refused beside it.
///
/// # Errors
/// When not even a refusal can be written, which no input brings about.
pub fn answer(
    request: &[u8],
    identity: &Identity,
    now_unix: Option<u64>,
    serial: [u8; SERIAL_BYTES],
) -> Result<(Vec<u8>, Option<Refusal>), der::Error> {
    let refused = |refusal| Ok((refuse(refusal)?, Some(refusal)));
    let request = match Request::from_der(request) {
        Ok(request) => request,
        Err(refusal) => return refused(refusal),
    };
    let Some(now_unix) = now_unix else {
        return refused(Refusal::Time);
    };
    match stamp(&request, identity, now_unix, serial) {
        Ok(answer) => Ok((answer, None)),
        Err(_) => refused(Refusal::System),
    }
}

/// An answer that refuses.
///
/// # Errors
/// As [`answer`].
pub fn refuse(refusal: Refusal) -> Result<Vec<u8>, der::Error> {
    let (byte, bit) = (usize::from(refusal.bit() / 8), refusal.bit() % 8);
    let mut bits = vec![0; byte];
    bits.push(0x80 >> bit);
    let status = Status {
        status: REJECTION,
        text: Some(vec![refusal.to_string()]),
        failure: Some(BitString::new(7 - bit, bits)?),
    };
    Response {
        status,
        token: None,
    }
    .to_der()
}

fn stamp(
    request: &Request,
    identity: &Identity,
    now_unix: u64,
    mut serial: [u8; SERIAL_BYTES],
) -> Result<Vec<u8>, SignError> {
    // Positive, and of one length, as the serial numbers of certificates.
    serial[0] = serial[0] & 0x3f | 0x40;
    debug_assert!(is_serial(&serial));
    let time = std::time::Duration::from_secs(now_unix);
    let info = Info {
        version: VERSION,
        policy: POLICY,
        imprint: Imprint::sm3(&request.imprint)?,
        serial: Uint::new(&serial)?,
        time: GeneralizedTime::from_unix_duration(time)?,
        accuracy: Accuracy {
            seconds: ACCURACY_S,
        },
        nonce: request.nonce.clone(),
    };
    let info = info.to_der()?;
    let chain = cms::signers_chain(identity)?;
    let leaf = chain.first().ok_or(SignError::NoCertificate)?;
    let attributes = form::attributes(&info, &leaf.der, now_unix)?;
    let signature = identity.key.sign(&attributes.to_der()?);
    Ok(form::granted(&chain, &info, attributes, &signature)?)
}
