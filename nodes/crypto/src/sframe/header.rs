//! The header of a sealed frame (RFC 9605, 4.3).

use super::OpenError;

/// One configuration byte, KID and CTR of at most 8 bytes each.
pub(super) const BYTES_MAX: usize = 17;

/// Says in the configuration byte that the field follows, with its length.
const EXTENDED: u8 = 0x08;

/// Writes X K Y C, then KID and CTR where they need more than three bits, as short as possible.
pub(super) fn write(out: &mut Vec<u8>, kid: u64, ctr: u64) {
    let (kid_bits, kid_bytes) = field(kid);
    let (ctr_bits, ctr_bytes) = field(ctr);
    out.push(kid_bits << 4 | ctr_bits);
    out.extend_from_slice(&kid.to_be_bytes()[8 - kid_bytes..]);
    out.extend_from_slice(&ctr.to_be_bytes()[8 - ctr_bytes..]);
}

/// The four bits of a field in the configuration byte, and how many bytes follow.
fn field(value: u64) -> (u8, usize) {
    match value.to_be_bytes() {
        [0, 0, 0, 0, 0, 0, 0, low @ 0..=7] => (low, 0),
        _ => {
            let bytes = 8 - value.leading_zeros() / 8;
            (EXTENDED | (bytes as u8 - 1), bytes as usize)
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) kid: u64,
    pub(super) ctr: u64,
    /// Bytes that it takes.
    pub(super) length: usize,
}

impl Header {
    pub(super) fn read(sealed: &[u8]) -> Result<(Self, &[u8]), OpenError> {
        let (&config, rest) = sealed.split_first().ok_or(OpenError::Short)?;
        let (kid, rest) = read_field(config >> 4, rest)?;
        let (ctr, rest) = read_field(config & 0x0f, rest)?;
        let length = sealed.len() - rest.len();
        Ok((Self { kid, ctr, length }, rest))
    }
}

fn read_field(bits: u8, rest: &[u8]) -> Result<(u64, &[u8]), OpenError> {
    let value = bits & 0x07;
    if bits & EXTENDED == 0 {
        return Ok((u64::from(value), rest));
    }
    let (field, rest) = rest
        .split_at_checked(usize::from(value) + 1)
        .ok_or(OpenError::Short)?;
    let value = field
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    Ok((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_rfc_9605() {
        // RFC 9605, appendix C.1.
        let cases: [(u64, u64, &str); 8] = [
            (0, 0, "00"),
            (0, 7, "07"),
            (0, 8, "0808"),
            (0, 256, "090100"),
            (7, 0, "70"),
            (255, 0, "80ff"),
            (256, 65_536, "9a0100010000"),
            (u64::MAX, u64::MAX, "ffffffffffffffffffffffffffffffffff"),
        ];
        for (kid, ctr, hex) in cases {
            let mut bytes = Vec::new();
            write(&mut bytes, kid, ctr);
            assert_eq!(hex::encode(&bytes), hex);
            let (read, rest) = Header::read(&bytes).unwrap();
            assert_eq!((read.kid, read.ctr, rest.len()), (kid, ctr, 0));
        }
    }
}
