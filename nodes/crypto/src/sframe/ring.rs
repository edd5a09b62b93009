//! Media keys of one session over time: one per epoch, the newest current, the one before still good
//! for frames under way. Pure: the time is an argument.

use std::time::Duration;

use super::{Header, OpenError, Opener, Suite, epoch_of};

/// Epochs whose keys are held at once; the oldest goes first.
pub const EPOCHS_MAX: usize = 4;

/// Opens frames of a session across changes of its media key.
pub struct Ring {
    audio: Suite,
    /// How long a key that was replaced still opens.
    grace: Duration,
    /// Oldest first; at most [`EPOCHS_MAX`].
    held: Vec<Held>,
}

struct Held {
    epoch: u32,
    video: Opener,
    audio: Opener,
    /// When it stops opening; `None` while it is the newest.
    until: Option<Duration>,
}

impl Ring {
    /// An empty ring. Sound is sealed with the suite `audio`, picture always with
    /// [`Suite::Sm4GcmSm3_128`]. A replaced key opens for `grace` more.
    #[must_use]
    pub fn new(audio: Suite, grace: Duration) -> Self {
        Self {
            audio,
            grace,
            held: Vec::new(),
        }
    }

    /// The newest epoch held; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.held.last().map_or(0, |held| held.epoch)
    }

    /// Takes the key of an epoch. One that is not newer than the newest is passed over.
    pub fn add(&mut self, epoch: u32, base_key: &[u8; 32], now: Duration) {
        if epoch <= self.epoch() {
            return;
        }
        if let Some(last) = self.held.last_mut() {
            last.until = Some(now.saturating_add(self.grace));
        }
        self.retire(now);
        if self.held.len() == EPOCHS_MAX {
            self.held.remove(0);
        }
        self.held.push(Held {
            epoch,
            video: Opener::new(Suite::Sm4GcmSm3_128, base_key),
            audio: Opener::new(self.audio, base_key),
            until: None,
        });
    }

    /// Drops the keys whose time is over; they are overwritten in memory.
    pub fn retire(&mut self, now: Duration) {
        self.held
            .retain(|held| held.until.is_none_or(|until| now < until));
    }

    /// Opens a frame that its header says belongs to one of the epochs held.
    ///
    /// # Errors
    /// [`OpenError::Ahead`] when the frame is of an epoch to come: it may be tried again after the next
    /// [`Ring::add`]. [`OpenError::Retired`] when its epoch is over. Otherwise as [`Opener::open`].
    pub fn open(
        &self,
        metadata: &[u8],
        sealed: &[u8],
        now: Duration,
    ) -> Result<Vec<u8>, OpenError> {
        let (header, _) = Header::read(sealed)?;
        let epoch = epoch_of(header.kid);
        if epoch > u64::from(self.epoch()) {
            return Err(OpenError::Ahead);
        }
        let good = |held: &&Held| {
            u64::from(held.epoch) == epoch && held.until.is_none_or(|until| now < until)
        };
        let held = self.held.iter().find(good).ok_or(OpenError::Retired)?;
        let is_audio = header.kid & 1 == 1;
        let opener = if is_audio { &held.audio } else { &held.video };
        opener.open(metadata, sealed)
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let epochs: Vec<u32> = self.held.iter().map(|held| held.epoch).collect();
        write!(f, "sframe::Ring(epochs {epochs:?})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sframe::{Party, Sealer, kid};

    const GRACE: Duration = Duration::from_secs(2);
    const AUDIO: Suite = Suite::Sm4CtrHmacSm3_80;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn frames(epoch: u32) -> [(&'static [u8], Vec<u8>); 2] {
        let key = [epoch as u8; 32];
        let seal = |suite, sound, track: &'static [u8]| {
            let kid = kid(epoch, Party::Agent, sound);
            (
                track,
                Sealer::new(suite, &key, kid, 1 << 32).seal(track, b"frame"),
            )
        };
        [
            seal(Suite::Sm4GcmSm3_128, false, b"video"),
            seal(AUDIO, true, b"audio"),
        ]
    }

    fn open(ring: &Ring, epoch: u32, now: Duration) -> [Result<Vec<u8>, OpenError>; 2] {
        frames(epoch).map(|(track, frame)| ring.open(track, &frame, now))
    }

    #[test]
    fn a_key_opens_from_its_epoch_until_the_grace_after_the_next() {
        let mut ring = Ring::new(AUDIO, GRACE);
        let opened = || [Ok(b"frame".to_vec()), Ok(b"frame".to_vec())];
        let refused = |error: OpenError| [Err(error), Err(error)];
        assert_eq!(open(&ring, 1, at(0)), refused(OpenError::Ahead));
        ring.add(1, &[1; 32], at(0));
        assert_eq!(open(&ring, 1, at(60_000)), opened());
        assert_eq!(open(&ring, 2, at(60_000)), refused(OpenError::Ahead));
        ring.add(2, &[2; 32], at(60_000));
        assert_eq!(open(&ring, 2, at(60_000)), opened());
        assert_eq!(open(&ring, 1, at(61_999)), opened());
        assert_eq!(open(&ring, 1, at(62_000)), refused(OpenError::Retired));
        ring.retire(at(62_000));
        assert_eq!(ring.held.len(), 1);
        assert_eq!(open(&ring, 2, at(90_000)), opened());
    }

    #[test]
    fn keys_held_are_bounded_and_an_old_epoch_never_comes_back() {
        let mut ring = Ring::new(AUDIO, Duration::MAX);
        for epoch in 1..=40 {
            ring.add(epoch, &[epoch as u8; 32], at(0));
        }
        assert_eq!((ring.held.len(), ring.epoch()), (EPOCHS_MAX, 40));
        ring.add(3, &[3; 32], at(0));
        assert_eq!(open(&ring, 3, at(0))[0], Err(OpenError::Retired));
        assert_eq!(open(&ring, 37, at(0))[1], Ok(b"frame".to_vec()));
    }

    #[test]
    fn a_frame_that_claims_another_epoch_or_suite_does_not_open() {
        let mut ring = Ring::new(AUDIO, GRACE);
        ring.add(1, &[1; 32], at(0));
        ring.add(2, &[2; 32], at(0));
        // A former member, who knows key 1 only, claims epoch 2.
        let forged = Sealer::new(
            Suite::Sm4GcmSm3_128,
            &[1; 32],
            kid(2, Party::Agent, false),
            0,
        )
        .seal(b"video", b"frame");
        assert_eq!(ring.open(b"video", &forged, at(0)), Err(OpenError::Sealed));
        // Sound sealed with the suite that was not agreed.
        let other = Sealer::new(
            Suite::Sm4GcmSm3_128,
            &[2; 32],
            kid(2, Party::Agent, true),
            0,
        )
        .seal(b"audio", b"frame");
        assert_eq!(ring.open(b"audio", &other, at(0)), Err(OpenError::Sealed));
    }
}
