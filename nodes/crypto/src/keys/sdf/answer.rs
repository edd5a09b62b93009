//! What an SDF device answers, checked: structures of GM/T 0018-2012, clause 5, read from the bytes
//! that the device wrote. Pure, so that it can be fuzzed; no answer makes it panic.

use std::ops::RangeInclusive;

use crate::keys::device::DeviceError;
use crate::sm2;

/// Bytes of `DEVICEINFO`: maker (40), model (16), serial (16), two versions, two asymmetric abilities,
/// symmetric and hash abilities, buffer size.
pub const DEVICE_INFO_BYTES: usize = 40 + 16 + 16 + 7 * 4;
/// Bytes of one number in an ECC structure: 512 bits, of which SM2 uses the last 256.
pub const ECC_FIELD_BYTES: usize = 64;
/// Bytes of `ECCrefPublicKey`: bits, x, y.
pub const PUBLIC_KEY_BYTES: usize = 4 + 2 * ECC_FIELD_BYTES;
/// Bytes of `ECCSignature`: r, s.
pub const SIGNATURE_BYTES: usize = 2 * ECC_FIELD_BYTES;
const SM2_BYTES: usize = 32;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Who made it.
    pub maker: String,
    /// Its model.
    pub model: String,
    /// Its serial number.
    pub serial: String,
    /// Its version.
    pub version: u32,
    /// The version of the standard it follows.
    pub standard: u32,
}

/// Reads `DEVICEINFO`.
pub fn device_info(bytes: &[u8]) -> Result<DeviceInfo, DeviceError> {
    let mut rest = bytes;
    let short = || DeviceError::Answer {
        call: "SDF_GetDeviceInfo",
        why: "DEVICEINFO is too short",
    };
    let mut text = |length| {
        let (field, after) = rest.split_at_checked(length).ok_or_else(short)?;
        rest = after;
        // Padded with zeros or blanks; whatever is not plain ASCII must not reach a terminal.
        let end = field.iter().position(|byte| *byte == 0);
        let shown = field.get(..end.unwrap_or(length)).unwrap_or_default();
        let plain = |byte: &u8| match byte {
            0x20..=0x7e => char::from(*byte),
            _ => '?',
        };
        Ok(shown
            .iter()
            .map(plain)
            .collect::<String>()
            .trim()
            .to_owned())
    };
    let (maker, model, serial) = (text(40)?, text(16)?, text(16)?);
    let mut number = || {
        let (field, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        rest = after;
        Ok(u32::from_ne_bytes(*field))
    };
    let (version, standard) = (number()?, number()?);
    for _ in 0..5 {
        number()?;
    }
    Ok(DeviceInfo {
        maker,
        model,
        serial,
        version,
        standard,
    })
}

/// Reads `ECCrefPublicKey` and checks that it is a point of SM2's curve.
pub fn public_key(bytes: &[u8]) -> Result<sm2::PublicKey, DeviceError> {
    let wrong = |why| DeviceError::Answer {
        call: "SDF_ExportSignPublicKey_ECC",
        why,
    };
    let (bits, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| wrong("ECCrefPublicKey is too short"))?;
    if u32::from_ne_bytes(*bits) != 256 {
        return Err(wrong("the key does not have SM2's 256 bits"));
    }
    let too_wide = || wrong("a coordinate is missing or has more than 256 bits");
    let (x, rest) = number(rest).ok_or_else(too_wide)?;
    let (y, _) = number(rest).ok_or_else(too_wide)?;
    let point = [&[4][..], &x, &y].concat();
    sm2::PublicKey::from_point(&point).map_err(|_| wrong("the point is not on SM2's curve"))
}

/// Reads `ECCSignature` as r and s, 32 bytes each.
pub fn signature(bytes: &[u8]) -> Result<[u8; 2 * SM2_BYTES], DeviceError> {
    let wrong = || DeviceError::Answer {
        call: "SDF_InternalSign_ECC",
        why: "r or s is missing or has more than 256 bits",
    };
    let (r, rest) = number(bytes).ok_or_else(wrong)?;
    let (s, _) = number(rest).ok_or_else(wrong)?;
    let mut signature = [0; 2 * SM2_BYTES];
    signature.copy_from_slice(&[r, s].concat());
    Ok(signature)
}

/// A length that a device claims, within what was asked for.
pub fn length(
    call: &'static str,
    claimed: u32,
    wanted: RangeInclusive<usize>,
) -> Result<usize, DeviceError> {
    usize::try_from(claimed)
        .ok()
        .filter(|length| wanted.contains(length))
        .ok_or(DeviceError::Answer {
            call,
            why: "its length is not what the standard says",
        })
}

/// The 256 bits of a 512-bit field, and what follows.
fn number(bytes: &[u8]) -> Option<([u8; SM2_BYTES], &[u8])> {
    let (field, rest) = bytes.split_first_chunk::<ECC_FIELD_BYTES>()?;
    let (zeros, value) = field
        .split_last_chunk::<SM2_BYTES>()
        .map(|(z, v)| (z, *v))?;
    zeros.iter().all(|byte| *byte == 0).then_some((value, rest))
}

/// An error code of the standard (clause 6.6 and annex A) in words.
#[must_use]
pub fn error_words(code: u32) -> String {
    const BASE: u32 = 0x0100_0000;
    let words = [
        "unknown error",
        "call not supported",
        "no communication with the device",
        "hardware does not answer",
        "device does not open",
        "session does not open",
        "no right to use the private key",
        "no such key",
        "algorithm not supported",
        "mode of the algorithm not supported",
        "public key operation failed",
        "private key operation failed",
        "signing failed",
        "verification failed",
        "symmetric operation failed",
        "steps in the wrong order",
        "file too large",
        "no such file",
        "wrong offset in a file",
        "wrong type of key",
        "wrong key",
    ];
    let place = code.checked_sub(BASE + 1);
    let word = place.and_then(|place| words.get(usize::try_from(place).ok()?));
    match word {
        Some(word) => format!("{word} ({code:#010x})"),
        None => format!("{code:#010x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_answers_are_read() {
        let mut info = Vec::new();
        info.extend(b"Maker\0garbage behind the end............");
        info.truncate(40);
        info.extend(b"Model           ");
        info.extend(b"S\x1b[31m 1\0\0\0\0\0\0\0\0");
        for number in [3_u32, 2012, 0, 0, 0, 0, 0] {
            info.extend(number.to_ne_bytes());
        }
        assert_eq!(info.len(), DEVICE_INFO_BYTES);
        let read = device_info(&info).unwrap();
        assert_eq!(
            (read.maker.as_str(), read.model.as_str()),
            ("Maker", "Model")
        );
        assert_eq!(read.serial, "S?[31m 1", "no control characters");
        assert_eq!((read.version, read.standard), (3, 2012));

        let key = sm2::SecretKey::generate().public();
        let point = key.to_point();
        let zeros = [0; 32];
        let bits = 256_u32.to_ne_bytes();
        let honest = [&bits[..], &zeros, &point[1..33], &zeros, &point[33..]].concat();
        assert_eq!(honest.len(), PUBLIC_KEY_BYTES);
        assert_eq!(public_key(&honest).unwrap().to_point(), point);
        let both = [&zeros[..], &[1; 32], &zeros, &[2; 32]].concat();
        assert_eq!(both.len(), SIGNATURE_BYTES);
        assert_eq!(
            signature(&both).unwrap(),
            *[[1; 32], [2; 32]].as_flattened()
        );
    }

    #[test]
    fn every_other_answer_is_a_typed_error() {
        let zeros = [0_u8; 32];
        let key = sm2::SecretKey::generate().public().to_point();
        let bits = 256_u32.to_ne_bytes();
        let honest = [&bits[..], &zeros, &key[1..33], &zeros, &key[33..]].concat();
        for cut in 0..honest.len() {
            public_key(&honest[..cut]).unwrap_err();
        }
        for at in 0..honest.len() {
            let mut other = honest.clone();
            other[at] ^= 0x40;
            public_key(&other).unwrap_err();
        }
        for cut in 0..DEVICE_INFO_BYTES {
            device_info(&vec![0xff; cut]).unwrap_err();
        }
        device_info(&[0xff; DEVICE_INFO_BYTES]).unwrap();
        for cut in 0..SIGNATURE_BYTES {
            signature(&vec![0; cut]).unwrap_err();
        }
        let mut wide = [0; SIGNATURE_BYTES];
        wide[31] = 1;
        signature(&wide).unwrap_err();
        for claimed in [0, 15, 17, u32::MAX] {
            length("call", claimed, 16..=16).unwrap_err();
        }
        assert_eq!(length("call", 16, 16..=16).unwrap(), 16);
        assert_eq!(error_words(0x0100_0008), "no such key (0x01000008)");
        for code in [0, 1, 0x0100_0000, 0x0100_0016, u32::MAX] {
            assert_eq!(error_words(code), format!("{code:#010x}"));
        }
    }
}
