//! Whether this node may take new calls. [`Holder`] decides: no I/O, no clock, no chance. [`Permits`] is it
//! with a clock, shared by whoever asks.
//!
//! A node draws a nonce and tells it to whoever asks; the leader signs a permit over it. The permit's
//! life is counted from the moment the nonce was told, by the node's own steady clock, so it ends here no
//! later than the leader thinks. A nonce is good for one permit: an old one says nothing again.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_host::Clock;
use guitai_types::{
    Epoch, Hex, NodeName,
    permit::{NONCE_BYTES, PERMIT_MS_MAX, Permit, PermitAnswer, PermitOffer, PermitView},
};

use crate::token::{TokenError, Verifier};

/// Nonces that wait for their permit at most: every core node may ask once before one is used.
const NONCES_MAX: usize = 16;

/// Why a permit is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitRefused {
    /// Nobody we know signed it, or it is none.
    #[error("the permit does not verify")]
    Token(#[from] TokenError),
    /// It is another node's.
    #[error("the permit is for {0}")]
    Node(NodeName),
    /// Authority has moved since.
    #[error("the permit is of epoch {offered:?}, known is {known:?}")]
    OldEpoch {
        /// Its epoch.
        offered: Epoch,
        /// The highest this node knows.
        known: Epoch,
    },
    /// It answers no question of this node, or one that was answered before.
    #[error("the permit's nonce is none that waits for a permit")]
    Nonce,
    /// It is meant to last longer than any may.
    #[error("the permit lasts {0} ms, PERMIT_MS_MAX is {PERMIT_MS_MAX}")]
    TooLong(u64),
}

/// What a node may, and on whose word.
#[derive(Debug)]
pub struct Holder {
    node: NodeName,
    epoch: Epoch,
    until: Option<Duration>,
    /// Told and not used, oldest first, with the time they were told.
    nonces: VecDeque<(Hex, Duration)>,
}

impl Holder {
    /// A node that may not yet.
    #[must_use]
    pub const fn new(node: NodeName) -> Self {
        Self {
            node,
            epoch: Epoch(0),
            until: None,
            nonces: VecDeque::new(),
        }
    }

    /// Tells a fresh nonce.
    pub fn ask(&mut self, nonce: [u8; NONCE_BYTES], now: Duration) -> Hex {
        if self.nonces.len() >= NONCES_MAX {
            self.nonces.pop_front();
        }
        let nonce = Hex(nonce.to_vec());
        self.nonces.push_back((nonce.clone(), now));
        nonce
    }

    /// Takes a permit whose signature holds.
    ///
    /// # Errors
    /// When it is not for this node, of a lower epoch, no answer to a nonce of this node, or too long.
    pub fn take(&mut self, permit: &Permit) -> Result<(), PermitRefused> {
        if permit.node != self.node {
            return Err(PermitRefused::Node(permit.node.clone()));
        }
        if permit.epoch < self.epoch {
            return Err(PermitRefused::OldEpoch {
                offered: permit.epoch,
                known: self.epoch,
            });
        }
        if permit.life_ms > PERMIT_MS_MAX {
            return Err(PermitRefused::TooLong(permit.life_ms));
        }
        let told = self.nonces.iter().position(|(it, _)| *it == permit.nonce);
        let (_, at) = told
            .and_then(|place| self.nonces.remove(place))
            .ok_or(PermitRefused::Nonce)?;
        self.set_epoch(permit.epoch);
        let until = at.saturating_add(Duration::from_millis(permit.life_ms));
        self.until = self.until.max(Some(until));
        Ok(())
    }

    /// A core node told the present epoch: what was permitted under a lower one is over.
    pub fn set_epoch(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.until = None;
        }
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self, now: Duration) -> PermitView {
        let left = self.until.unwrap_or_default().saturating_sub(now);
        PermitView {
            accepts: !left.is_zero(),
            epoch: self.epoch,
            left_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A node's permit. Cheap to clone.
#[derive(Clone)]
pub struct Permits {
    holder: Arc<Mutex<Holder>>,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
}

impl Permits {
    /// A node that may not yet.
    pub fn new(node: NodeName, verifier: Verifier, clock: Arc<dyn Clock>) -> Self {
        Self {
            holder: Arc::new(Mutex::new(Holder::new(node))),
            verifier,
            clock,
        }
    }

    /// Takes what a leader offers, and tells how it stands and the nonce for the next.
    pub fn answer(&self, offer: &PermitOffer) -> PermitAnswer {
        let now = self.clock.monotonic();
        let taken = offer.permit.as_deref().map(|token| self.take(token));
        let refused = match taken {
            Some(Err(refused)) => {
                tracing::warn!(
                    error = &refused as &dyn std::error::Error,
                    "a permit was refused"
                );
                Some(refused.to_string())
            }
            Some(Ok(())) | None => None,
        };
        let mut holder = self.holder();
        PermitAnswer {
            nonce: holder.ask(guitai_crypto::random::array(), now),
            view: holder.view(now),
            refused,
        }
    }

    fn take(&self, token: &str) -> Result<(), PermitRefused> {
        let permit = self.verifier.permit(token)?;
        self.holder().take(&permit)
    }

    /// How it stands.
    #[must_use]
    pub fn view(&self) -> PermitView {
        self.holder().view(self.clock.monotonic())
    }

    pub(crate) fn set_epoch(&self, epoch: Epoch) {
        self.holder().set_epoch(epoch);
    }

    fn holder(&self) -> MutexGuard<'_, Holder> {
        // Nothing in a holder can stop half-way.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permits")
    }
}

#[cfg(test)]
mod tests {
    use guitai_crypto::sm2::SecretKey;
    use guitai_host::ManualClock;
    use guitai_types::{UnixMillis, permit::PERMIT_MS};

    use super::*;
    use crate::token::Signer;

    const T: fn(u64) -> Duration = Duration::from_millis;

    fn holder() -> Holder {
        Holder::new("edge-a1".parse().unwrap())
    }

    fn permit(nonce: &Hex, epoch: u64) -> Permit {
        Permit {
            v: 1,
            node: "edge-a1".parse().unwrap(),
            epoch: Epoch(epoch),
            nonce: nonce.clone(),
            life_ms: PERMIT_MS,
        }
    }

    #[test]
    fn a_permit_lasts_from_the_question_and_no_longer() {
        let mut holder = holder();
        assert!(!holder.view(T(0)).accepts, "nobody said it may");
        let nonce = holder.ask([1; 16], T(1_000));
        // However long the permit was under way: its life began with the question.
        holder.take(&permit(&nonce, 1)).unwrap();
        assert!(holder.view(T(1_000 + PERMIT_MS - 1)).accepts);
        assert_eq!(holder.view(T(2_000)).left_ms, PERMIT_MS - 1_000);
        assert!(!holder.view(T(1_000 + PERMIT_MS)).accepts);
        // Renewed it goes on; a late answer to an early question takes nothing away.
        let (early, late) = (holder.ask([2; 16], T(5_000)), holder.ask([3; 16], T(6_000)));
        holder.take(&permit(&late, 1)).unwrap();
        holder.take(&permit(&early, 1)).unwrap();
        assert!(holder.view(T(6_000 + PERMIT_MS - 1)).accepts);
    }

    #[test]
    fn an_old_permit_says_nothing_again() {
        let mut holder = holder();
        let nonce = holder.ask([1; 16], T(0));
        holder.take(&permit(&nonce, 1)).unwrap();
        assert_eq!(holder.take(&permit(&nonce, 1)), Err(PermitRefused::Nonce));
        let stranger = Hex(vec![9; 16]);
        assert_eq!(
            holder.take(&permit(&stranger, 1)),
            Err(PermitRefused::Nonce)
        );
        // Nor does one for a nonce that was pushed out by many others.
        let pushed_out = holder.ask([2; 16], T(1));
        for other in 0..NONCES_MAX as u8 {
            holder.ask([100 + other; 16], T(2));
        }
        assert_eq!(
            holder.take(&permit(&pushed_out, 1)),
            Err(PermitRefused::Nonce)
        );
        assert!(!holder.view(T(PERMIT_MS)).accepts);
    }

    #[test]
    fn a_lower_epoch_is_refused_and_a_higher_one_ends_what_was() {
        let mut holder = holder();
        let nonce = holder.ask([1; 16], T(0));
        holder.take(&permit(&nonce, 4)).unwrap();
        let nonce = holder.ask([2; 16], T(10));
        let (offered, known) = (Epoch(3), Epoch(4));
        let refused = PermitRefused::OldEpoch { offered, known };
        assert_eq!(holder.take(&permit(&nonce, 3)), Err(refused));
        assert!(holder.view(T(20)).accepts, "what it had stays");
        holder.set_epoch(Epoch(5));
        assert!(!holder.view(T(20)).accepts, "authority moved");
        holder.set_epoch(Epoch(2));
        assert_eq!(holder.view(T(20)).epoch, Epoch(5));
        // The nonce was not used up by a refusal.
        holder.take(&permit(&nonce, 5)).unwrap();
        assert!(holder.view(T(20)).accepts);
    }

    #[test]
    fn another_nodes_and_an_endless_permit_are_refused() {
        let mut holder = holder();
        let nonce = holder.ask([1; 16], T(0));
        let other = Permit {
            node: "edge-a2".parse().unwrap(),
            ..permit(&nonce, 1)
        };
        assert!(matches!(holder.take(&other), Err(PermitRefused::Node(_))));
        let endless = Permit {
            life_ms: u64::MAX,
            ..permit(&nonce, 1)
        };
        assert_eq!(holder.take(&endless), Err(PermitRefused::TooLong(u64::MAX)));
        assert!(!holder.view(T(1)).accepts);
    }

    #[test]
    fn only_the_clusters_signature_counts() {
        let (signer, stranger) = (
            Signer::new(SecretKey::generate()),
            Signer::new(SecretKey::generate()),
        );
        let clock = Arc::new(ManualClock::new(UnixMillis(1)));
        let node = "edge-a1".parse().unwrap();
        let permits = Permits::new(node, signer.verifier(), clock.clone());
        let nonce = permits.answer(&PermitOffer::default()).nonce;
        let offer = |signer: &Signer, nonce: &Hex| PermitOffer {
            permit: Some(signer.permit(&permit(nonce, 1))),
        };
        let forged = permits.answer(&offer(&stranger, &nonce));
        assert!(forged.refused.is_some() && !forged.view.accepts);
        let taken = permits.answer(&offer(&signer, &nonce));
        assert_eq!((taken.refused, taken.view.accepts), (None, true));
        clock.advance(T(PERMIT_MS));
        assert!(!permits.view().accepts);
    }
}
