//! Media keys of one recording: the wraps for this recorder, opened as they come, and the few frames that
//! came before theirs. A party has its new key as soon as the cluster agreed on it, this node perhaps a
//! moment later; without waiting that moment would be a gap.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use guitai_crypto::sframe::{self, Party, Ring, Suite};
use guitai_types::{SessionId, media::MediaSuite, record::Session};

use crate::Shared;

/// Key ids of one epoch; `docs/reference/media.md`.
pub(crate) const TRACK_KIDS: u64 = 8;
/// How long a key that was replaced opens frames. What a relay repeats to a recorder that was away is up
/// to 30 s old, so this is not less.
const GRACE: Duration = Duration::from_secs(30);
/// Frames that wait for their key at most; a call has 130 a second.
const WAITING_FRAMES_MAX: usize = 1_024;
/// Bytes of them at most.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How long one waits at most: a node that is this far behind has other troubles.
const WAITING_MAX: Duration = Duration::from_secs(5);

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) broadcast: Arc<str>,
    pub(crate) track: Arc<str>,
    pub(crate) timestamp_us: u64,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Seals {
    pub(crate) ring: Ring,
    /// In the order they came, with the time they may wait to.
    waiting: VecDeque<(Duration, Sealed)>,
    waiting_bytes: usize,
}

impl Seals {
    pub(crate) fn new(session: &Session) -> Self {
        let audio = match session.audio_suite {
            MediaSuite::Sm4GcmSm3_128 => Suite::Sm4GcmSm3_128,
            MediaSuite::Sm4CtrHmacSm3_80 => Suite::Sm4CtrHmacSm3_80,
        };
        Self {
            ring: Ring::new(audio, GRACE),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// The frames to look at now that one more came: those that waited, if its key has come too, then
    /// this one; none while it has to wait. Within a track the order stays.
    pub(crate) fn sorted(
        &mut self,
        shared: &Shared,
        session: &SessionId,
        frame: Sealed,
    ) -> Vec<Sealed> {
        if !self.is_ahead(&frame) {
            return vec![frame];
        }
        self.learn(shared, session);
        let now = shared.clock.monotonic();
        if self.is_ahead(&frame) {
            let fits = self.waiting.len() < WAITING_FRAMES_MAX
                && self.waiting_bytes + frame.payload.len() <= WAITING_BYTES_MAX;
            if !fits {
                // Refused where it is opened, and counted there.
                return vec![frame];
            }
            self.waiting_bytes += frame.payload.len();
            self.waiting
                .push_back((now.saturating_add(WAITING_MAX), frame));
            return Vec::new();
        }
        let mut ready = self.take_ready(now);
        ready.push(frame);
        ready
    }

    /// Frames whose key has come, and those that waited too long.
    pub(crate) fn due(&mut self, shared: &Shared, session: &SessionId) -> Vec<Sealed> {
        self.learn(shared, session);
        let now = shared.clock.monotonic();
        self.ring.retire(now);
        self.take_ready(now)
    }

    fn take_ready(&mut self, now: Duration) -> Vec<Sealed> {
        let mut ready = Vec::new();
        for (until, frame) in std::mem::take(&mut self.waiting) {
            if self.is_ahead(&frame) && now < until {
                self.waiting.push_back((until, frame));
            } else {
                self.waiting_bytes -= frame.payload.len();
                ready.push(frame);
            }
        }
        ready
    }

    /// Only a frame that says it is sealed and names a coming epoch; anything else is judged at once.
    fn is_ahead(&self, frame: &Sealed) -> bool {
        let epoch = sframe::kid_of(&frame.payload).map(|kid| kid / TRACK_KIDS + 1);
        // One epoch is drawn after the other: a number far ahead is made up.
        epoch.is_ok_and(|epoch| {
            let newest = u64::from(self.ring.epoch());
            (newest + 1..=newest + sframe::EPOCHS_MAX as u64).contains(&epoch)
        })
    }

    fn learn(&mut self, shared: &Shared, session: &SessionId) {
        let wraps = shared
            .cluster
            .keys(session, &shared.config.name, self.ring.epoch());
        for (epoch, wrapped) in wraps {
            let key = shared.config.identity.key.decrypt(&wrapped.0).ok();
            let key = key.and_then(|key| <[u8; 32]>::try_from(key.as_slice()).ok());
            let Some(key) = key.map(zeroize::Zeroizing::new) else {
                tracing::error!(%session, epoch, "the media key does not open");
                continue;
            };
            tracing::info!(%session, epoch, "media key");
            self.ring.add(epoch, &key, shared.clock.monotonic());
        }
    }
}

/// The party whose broadcasts have that prefix.
pub(crate) fn sealer(party: &str) -> Party {
    if party == "customer" {
        Party::Customer
    } else {
        Party::Agent
    }
}
