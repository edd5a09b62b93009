//! End-to-end media frames: SFrame (RFC 9605) with SM4, in two suites of our own ([`Suite`]).
//!
//! Everything but the algorithms is RFC 9605 to the letter. A session has one media key at a time;
//! whenever who takes part changes, the next *epoch* has another, and the epoch is part of the KID, so
//! that a frame says which key it needs ([`Ring`]). The test vectors in `tests/vectors/sframe-f00?.json`
//! bind this file and the pages' implementation.

mod header;
mod ring;
mod suite;

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

pub use self::ring::{EPOCHS_MAX, Ring};
pub use self::suite::Suite;
use self::{header::Header, suite::Cipher};
use crate::sm3;
use crate::sm4::{NONCE_BYTES, TAG_BYTES};

/// Most bytes that a sealed frame has over the plain one: header and the longer tag.
pub const OVERHEAD_BYTES_MAX: usize = header::BYTES_MAX + TAG_BYTES;
/// Keys that an opener remembers: a session has four tracks, and room for as many again.
pub const KEYS_MAX: usize = 8;

/// Who sealed a frame; the number in key ids and catalogs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Party {
    /// The customer.
    Customer = 1,
    /// The agent.
    Agent = 2,
}

/// The KID of a track: `(epoch − 1) × 8 + 2 × party + sound`. Epochs begin with 1, and up to the 32nd a
/// KID takes at most one byte.
#[must_use]
pub fn kid(epoch: u32, party: Party, sound: bool) -> u64 {
    u64::from(epoch.saturating_sub(1)) << 3 | u64::from(2 * party as u8) | u64::from(sound)
}

/// The epoch that a KID names.
fn epoch_of(kid: u64) -> u64 {
    (kid >> 3) + 1
}

/// The KID in the header of a sealed frame, before anything is opened.
///
/// # Errors
/// [`OpenError::Short`] when there is no whole header.
pub fn kid_of(sealed: &[u8]) -> Result<u64, OpenError> {
    Header::read(sealed).map(|(header, _)| header.kid)
}

/// Seals the frames of one track. Frames leave it with rising counters, so no nonce repeats as long
/// as `first_ctr` differs between two sealers of one key and KID.
pub struct Sealer {
    suite: Suite,
    key: TrackKey,
    kid: u64,
    next_ctr: u64,
}

/// Opens frames of any track of one session and one epoch, all sealed with one suite. It does not
/// remember counters: order and repetition are the media format's business.
pub struct Opener {
    suite: Suite,
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
    /// Of an epoch whose key is not here yet.
    #[error("sealed frame is of an epoch to come")]
    Ahead,
    /// Of an epoch that is over.
    #[error("sealed frame is of an epoch that is over")]
    Retired,
}

impl Sealer {
    /// Starts a track's sealer; its first frame has the counter `first_ctr`.
    #[must_use]
    pub fn new(suite: Suite, base_key: &[u8; 32], kid: u64, first_ctr: u64) -> Self {
        Self {
            suite,
            key: TrackKey::derive(suite, &session_secret(base_key), kid),
            kid,
            next_ctr: first_ctr,
        }
    }

    /// Goes on under the key of the next epoch. Counters go on too: a counter is never used twice in a
    /// publication, whatever the key.
    pub fn rekey(&mut self, base_key: &[u8; 32], kid: u64) {
        self.key = TrackKey::derive(self.suite, &session_secret(base_key), kid);
        self.kid = kid;
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
        header::write(&mut sealed, self.kid, ctr);
        let header_length = sealed.len();
        let aad = [&sealed, metadata].concat();
        sealed.extend_from_slice(plain);
        let nonce = self.key.nonce(ctr);
        self.key
            .cipher
            .seal(&nonce, &aad, &mut sealed, header_length);
        sealed
    }
}

impl Opener {
    /// Starts an opener over the session's media key of one epoch.
    #[must_use]
    pub fn new(suite: Suite, base_key: &[u8; 32]) -> Self {
        Self {
            suite,
            secret: session_secret(base_key),
            keys: Mutex::new(Vec::new()),
        }
    }

    /// Opens one frame sealed with the same `metadata`.
    ///
    /// # Errors
    /// [`OpenError::Short`] and [`OpenError::Sealed`].
    pub fn open(&self, metadata: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (header, rest) = Header::read(sealed)?;
        let aad = [&sealed[..header.length], metadata].concat();
        let (key, is_new) = self.key(header.kid);
        let plain = key.cipher.open(&key.nonce(header.ctr), &aad, rest)?;
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
            None => (
                Arc::new(TrackKey::derive(self.suite, &self.secret, kid)),
                true,
            ),
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
        write!(f, "sframe::Sealer({:?}, kid {})", self.suite, self.kid)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sframe::Opener({:?})", self.suite)
    }
}

/// Key and salt of one KID (RFC 9605, 4.4.2).
struct TrackKey {
    cipher: Cipher,
    salt: Zeroizing<[u8; NONCE_BYTES]>,
}

impl TrackKey {
    fn derive(suite: Suite, secret: &[u8; sm3::DIGEST_BYTES], kid: u64) -> Self {
        let (kid, number) = (kid.to_be_bytes(), suite.number().to_be_bytes());
        let salt_label: [&[u8]; 3] = [b"SFrame 1.0 Secret salt ", &kid, &number];
        Self {
            cipher: Cipher::derive(suite, secret, &[b"SFrame 1.0 Secret key ", &kid, &number]),
            salt: Zeroizing::new(sm3::hkdf_expand(secret, &salt_label)),
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [0x42; 32];

    #[test]
    fn kids_of_the_first_epoch_fit_the_configuration_byte() {
        let kids = |epoch| {
            [Party::Customer, Party::Agent]
                .map(|party| [false, true].map(|sound| kid(epoch, party, sound)))
        };
        assert_eq!(kids(1), [[2, 3], [4, 5]]);
        assert_eq!(kids(2), [[10, 11], [12, 13]]);
        assert_eq!(kids(32)[1][1], 253);
        for epoch in [1, 2, 33, u32::MAX] {
            assert_eq!(epoch_of(kid(epoch, Party::Agent, true)), u64::from(epoch));
        }
    }

    #[test]
    fn frames_open_again_on_their_own_track_only() {
        for suite in Suite::ALL {
            let opener = Opener::new(suite, &KEY);
            let mut sealer = Sealer::new(suite, &KEY, 2, 77 << 32);
            for length in [0, 1, 80, 1200, 60_000] {
                let plain = vec![length as u8; length];
                let sealed = sealer.seal(b"video", &plain);
                assert_eq!(sealed.len(), length + 6 + suite.tag_bytes());
                assert_eq!(opener.open(b"video", &sealed).unwrap(), plain);
                assert_eq!(opener.open(b"audio", &sealed), Err(OpenError::Sealed));
                assert_eq!(
                    Opener::new(suite, &[0; 32]).open(b"video", &sealed),
                    Err(OpenError::Sealed)
                );
            }
        }
    }

    #[test]
    fn every_altered_bit_and_every_cut_is_refused() {
        for suite in Suite::ALL {
            let sealed = Sealer::new(suite, &KEY, 300, 1 << 40).seal(b"audio", b"twenty ms");
            let opener = Opener::new(suite, &KEY);
            for bit in 0..sealed.len() * 8 {
                let mut altered = sealed.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert!(opener.open(b"audio", &altered).is_err(), "bit {bit}");
            }
            for length in 0..sealed.len() {
                let cut = opener.open(b"audio", &sealed[..length]);
                assert!(cut.is_err(), "cut {length}");
            }
        }
    }

    #[test]
    fn a_sealer_goes_on_under_the_next_key_with_the_next_counter() {
        let mut sealer = Sealer::new(Suite::Sm4GcmSm3_128, &KEY, 2, 7);
        sealer.seal(b"video", b"one");
        sealer.rekey(&[9; 32], 10);
        let sealed = sealer.seal(b"video", b"two");
        let (header, _) = Header::read(&sealed).unwrap();
        assert_eq!((header.kid, header.ctr), (10, 8));
        let opened = Opener::new(Suite::Sm4GcmSm3_128, &[9; 32]).open(b"video", &sealed);
        assert_eq!(opened.unwrap(), b"two");
    }

    #[test]
    fn the_cache_is_bounded_and_made_up_kids_stay_out() {
        let suite = Suite::Sm4GcmSm3_128;
        let opener = Opener::new(suite, &KEY);
        let frame = |kid| Sealer::new(suite, &KEY, kid, 0).seal(b"", b"frame");
        for kid in 0..20 {
            opener.open(b"", &frame(kid)).unwrap();
        }
        assert_eq!(opener.keys.lock().unwrap().len(), KEYS_MAX);
        let foreign = Sealer::new(suite, &[1; 32], 99, 0).seal(b"", b"frame");
        opener.open(b"", &foreign).unwrap_err();
        let known = opener.keys.lock().unwrap();
        assert!(known.iter().all(|(kid, _)| *kid != 99));
        drop(known);
        opener.open(b"", &frame(0)).unwrap();
    }
}
