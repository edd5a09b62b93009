//! End-to-end media frames: SFrame (RFC 9605) with the suite `SM4_GCM_SM3_128`.
//!
//! IANA has no suite with SM4, so ours stands in the private range: Nh 32, Nk 16, Nn 12, Nt 16,
//! SM4-GCM as in RFC 8998, HKDF over HMAC-SM3. Everything else is RFC 9605 to the letter. The test
//! vectors in `tests/vectors/sframe-sm4.json` bind this file and the pages' implementation.

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use crate::sm3;
use crate::sm4::{self, NONCE_BYTES, TAG_BYTES};

/// The cipher suite number, in the range for private use (RFC 9605, 8.1).
pub const SUITE: u16 = 0xF001;
/// Most bytes that a sealed frame has over the plain one: header and tag.
pub const OVERHEAD_BYTES_MAX: usize = HEADER_BYTES_MAX + TAG_BYTES;
/// Keys that an opener remembers: a session has four tracks, and room for as many again.
pub const KEYS_MAX: usize = 8;

/// One configuration byte, KID and CTR of at most 8 bytes each (RFC 9605, 4.3).
const HEADER_BYTES_MAX: usize = 17;

/// Seals the frames of one track. Frames leave it with rising counters, so no nonce repeats as long
/// as `first_ctr` differs between two sealers of one key and KID.
pub struct Sealer {
    key: TrackKey,
    kid: u64,
    next_ctr: u64,
}

/// Opens frames of any track of one session. It does not remember counters: order and repetition
/// are the media format's business.
pub struct Opener {
    secret: Zeroizing<[u8; sm3::DIGEST_BYTES]>,
    /// Newest last; at most [`KEYS_MAX`].
    keys: Mutex<Vec<(u64, Arc<TrackKey>)>>,
}

/// Why a frame did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than its own header and tag.
    #[error("sealed frame is cut short")]
    Short,
    /// Sealed under another key, for another track, or altered.
    #[error("sealed frame does not open: wrong key, wrong track or altered bytes")]
    Sealed,
}

impl Sealer {
    /// Starts a track's sealer; its first frame has the counter `first_ctr`.
    #[must_use]
    pub fn new(base_key: &[u8; 32], kid: u64, first_ctr: u64) -> Self {
        Self {
            key: TrackKey::derive(&session_secret(base_key), kid),
            kid,
            next_ctr: first_ctr,
        }
    }

    /// Seals one frame: header, ciphertext, tag. `metadata` is authenticated but not carried.
    ///
    /// # Panics
    /// When the counter has run past 2^64 − 1. A counter that starts at an instance's 32 bits above
    /// 32 zero bits lasts 2^32 frames, two years of audio.
    pub fn seal(&mut self, metadata: &[u8], plain: &[u8]) -> Vec<u8> {
        let ctr = self.next_ctr;
        self.next_ctr = ctr.checked_add(1).expect("a track ends before its counter");
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES_MAX);
        write_header(&mut sealed, self.kid, ctr);
        let header_length = sealed.len();
        let aad = [&sealed, metadata].concat();
        sealed.extend_from_slice(plain);
        let (_, data) = sealed.split_at_mut(header_length);
        let tag = self.key.gcm.seal_in_place(&self.key.nonce(ctr), &aad, data);
        sealed.extend_from_slice(&tag);
        sealed
    }
}

impl Opener {
    /// Starts an opener over the session's media key.
    #[must_use]
    pub fn new(base_key: &[u8; 32]) -> Self {
        Self {
            secret: session_secret(base_key),
            keys: Mutex::new(Vec::new()),
        }
    }

    /// Opens one frame sealed with the same `metadata`.
    pub fn open(&self, metadata: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, rest) = Header::read(sealed)?;
        let (data, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(OpenError::Short)?;
        let aad = [&sealed[..header.length], metadata].concat();
        let mut plain = data.to_vec();
        let (key, is_new) = self.key(header.kid);
        key.gcm
            .open_in_place(&key.nonce(header.ctr), &aad, &mut plain, tag)
            .map_err(|_| OpenError::Sealed)?;
        // Only a KID that proved itself is remembered: made-up ones must not push out real ones.
        if is_new {
            self.remember(header.kid, key);
        }
        Ok(plain)
    }

    fn key(&self, kid: u64) -> (Arc<TrackKey>, bool) {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.iter().find(|(known, _)| *known == kid) {
            Some((_, key)) => (key.clone(), false),
            None => (Arc::new(TrackKey::derive(&self.secret, kid)), true),
        }
    }

    fn remember(&self, kid: u64, key: Arc<TrackKey>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().any(|(known, _)| *known == kid) {
            return;
        }
        if keys.len() == KEYS_MAX {
            keys.remove(0);
        }
        keys.push((kid, key));
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sframe::Sealer(kid {})", self.kid)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sframe::Opener(..)")
    }
}

/// Key and salt of one KID (RFC 9605, 4.4.2).
struct TrackKey {
    gcm: sm4::Gcm,
    salt: Zeroizing<[u8; NONCE_BYTES]>,
}

impl TrackKey {
    fn derive(secret: &[u8; sm3::DIGEST_BYTES], kid: u64) -> Self {
        let (kid, suite) = (kid.to_be_bytes(), SUITE.to_be_bytes());
        let key: Zeroizing<[u8; sm4::KEY_BYTES]> = Zeroizing::new(sm3::hkdf_expand(
            secret,
            &[b"SFrame 1.0 Secret key ", &kid, &suite],
        ));
        let salt = Zeroizing::new(sm3::hkdf_expand(
            secret,
            &[b"SFrame 1.0 Secret salt ", &kid, &suite],
        ));
        Self {
            gcm: sm4::Gcm::new(&key),
            salt,
        }
    }

    fn nonce(&self, ctr: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = *self.salt;
        for (byte, counter) in nonce[NONCE_BYTES - 8..].iter_mut().zip(ctr.to_be_bytes()) {
            *byte ^= counter;
        }
        nonce
    }
}

fn session_secret(base_key: &[u8; 32]) -> Zeroizing<[u8; sm3::DIGEST_BYTES]> {
    Zeroizing::new(sm3::hkdf_extract(b"", base_key))
}

/// Says in the configuration byte that the field follows, with its length.
const EXTENDED: u8 = 0x08;

/// Writes X K Y C, then KID and CTR where they need more than three bits, as short as possible.
fn write_header(out: &mut Vec<u8>, kid: u64, ctr: u64) {
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

struct Header {
    kid: u64,
    ctr: u64,
    length: usize,
}

impl Header {
    fn read(sealed: &[u8]) -> Result<(Self, &[u8]), OpenError> {
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

    const KEY: [u8; 32] = [0x42; 32];

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
            let mut header = Vec::new();
            write_header(&mut header, kid, ctr);
            assert_eq!(hex::encode(&header), hex);
            let (read, rest) = Header::read(&header).unwrap();
            assert_eq!((read.kid, read.ctr, rest.len()), (kid, ctr, 0));
        }
    }

    #[test]
    fn frames_open_again_on_their_own_track_only() {
        let opener = Opener::new(&KEY);
        let mut sealer = Sealer::new(&KEY, 2, 77 << 32);
        for length in [0, 1, 80, 1200, 60_000] {
            let plain = vec![length as u8; length];
            let sealed = sealer.seal(b"video", &plain);
            assert_eq!(opener.open(b"video", &sealed).unwrap(), plain);
            assert_eq!(opener.open(b"audio", &sealed), Err(OpenError::Sealed));
            assert_eq!(
                Opener::new(&[0; 32]).open(b"video", &sealed),
                Err(OpenError::Sealed)
            );
        }
    }

    #[test]
    fn every_altered_bit_and_every_cut_is_refused() {
        let sealed = Sealer::new(&KEY, 300, 1 << 40).seal(b"audio", b"twenty milliseconds");
        let opener = Opener::new(&KEY);
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(b"audio", &altered).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert!(
                opener.open(b"audio", &sealed[..length]).is_err(),
                "cut {length}"
            );
        }
    }

    #[test]
    fn the_cache_is_bounded_and_made_up_kids_stay_out() {
        let opener = Opener::new(&KEY);
        let frame = |kid| Sealer::new(&KEY, kid, 0).seal(b"", b"frame");
        for kid in 0..20 {
            opener.open(b"", &frame(kid)).unwrap();
        }
        assert_eq!(opener.keys.lock().unwrap().len(), KEYS_MAX);
        let foreign = Sealer::new(&[1; 32], 99, 0).seal(b"", b"frame");
        opener.open(b"", &foreign).unwrap_err();
        assert!(
            opener
                .keys
                .lock()
                .unwrap()
                .iter()
                .all(|(kid, _)| *kid != 99)
        );
        opener.open(b"", &frame(0)).unwrap();
    }
}
