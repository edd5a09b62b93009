//! Asks the [`crate::limiter`] for every connection of a door, tells who is displaced, and counts who was not let in.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use guitai_host::Clock;
use guitai_types::door::DoorLimits;
use tokio::sync::Notify;

use crate::{
    limiter::{Entered, GuestId, Limiter, Rules, Source, Why},
    mesh::lock,
};

/// What is refused is logged this often at most, by kind; each one would be a flood of its own.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// One way into a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Pages, requests, WebSockets.
    Tcp,
    /// WebTransport and QUIC.
    Quic,
}

impl Way {
    /// Label in metrics and kind in the account of flows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

/// How a door stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoorStats {
    /// Which way in.
    pub way: Way,
    /// Connections now of who has shown no ticket.
    pub strangers: u32,
    /// Connections now of who has.
    pub served: u32,
    /// Who and what was not let in since the start; zeros are left out.
    pub refused: BTreeMap<Why, u64>,
}

/// Stands at one way into a door. Clones are the same.
#[derive(Clone)]
pub struct Doorman {
    inner: Arc<Inner>,
}

struct Inner {
    way: Way,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    limiter: Limiter,
    bells: BTreeMap<GuestId, Arc<Notify>>,
    refused: BTreeMap<Why, Refused>,
}

#[derive(Default)]
struct Refused {
    count: u64,
    said: Option<Duration>,
}

impl Doorman {
    /// At an edge's door: pages and WebSockets.
    pub fn tcp(limits: &DoorLimits, clock: Arc<dyn Clock>) -> Self {
        Self::new(Way::Tcp, Rules::tcp(limits), clock)
    }

    /// At an edge's door: media.
    pub fn quic(limits: &DoorLimits, clock: Arc<dyn Clock>) -> Self {
        Self::new(Way::Quic, Rules::quic(limits), clock)
    }

    /// At a door that only staff reach: so many connections, whoever they are.
    pub fn lax(way: Way, connections: u32, clock: Arc<dyn Clock>) -> Self {
        Self::new(way, Rules::lax(connections), clock)
    }

    fn new(way: Way, rules: Rules, clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State {
            limiter: Limiter::new(rules),
            bells: BTreeMap::new(),
            refused: BTreeMap::new(),
        });
        Self {
            inner: Arc::new(Inner { way, clock, state }),
        }
    }

    /// Somebody comes in from an address; `proven` when it is known to be its own.
    ///
    /// # Errors
    /// Why not; it is counted.
    pub fn arrive(&self, from: IpAddr, proven: bool) -> Result<Guest, Why> {
        let address = Source::of(from);
        let source = if proven { address } else { Source::Unproven };
        let now = self.inner.clock.monotonic();
        let mut state = lock(&self.inner.state);
        let state = &mut *state;
        let Entered { guest, displaced } = state
            .limiter
            .arrive(source, now)
            .inspect_err(|why| state.refused.entry(*why).or_default().add(self, *why, now))?;
        let bell = Arc::<Notify>::default();
        state.bells.insert(guest, bell.clone());
        if let Some(displaced) = displaced.and_then(|it| state.bells.remove(&it)) {
            displaced.notify_one();
            let refused = state.refused.entry(Why::Displaced).or_default();
            refused.add(self, Why::Displaced, now);
        }
        Ok(Guest {
            doorman: self.clone(),
            id: guest,
            source: address,
            bell,
        })
    }

    /// Something was not let in, by who is here already.
    pub fn refused(&self, why: Why) {
        let now = self.inner.clock.monotonic();
        let mut state = lock(&self.inner.state);
        state.refused.entry(why).or_default().add(self, why, now);
    }

    /// How the door stands.
    pub fn stats(&self) -> DoorStats {
        let state = lock(&self.inner.state);
        DoorStats {
            way: self.inner.way,
            strangers: state.limiter.strangers(),
            served: state.limiter.served_now(),
            refused: state
                .refused
                .iter()
                .map(|(why, it)| (*why, it.count))
                .collect(),
        }
    }

    fn ask(&self, ask: impl FnOnce(&mut Limiter, Duration) -> Result<(), Why>) -> Result<(), Why> {
        let now = self.inner.clock.monotonic();
        let mut state = lock(&self.inner.state);
        let state = &mut *state;
        ask(&mut state.limiter, now)
            .inspect_err(|why| state.refused.entry(*why).or_default().add(self, *why, now))
    }
}

impl Refused {
    fn add(&mut self, doorman: &Doorman, why: Why, now: Duration) {
        self.count = self.count.saturating_add(1);
        let is_due = self
            .said
            .is_none_or(|said| now.saturating_sub(said) >= SAID_EVERY);
        if is_due {
            self.said = Some(now);
            let way = doorman.inner.way.as_str();
            tracing::warn!(
                way,
                why = why.as_str(),
                total = self.count,
                "the door refuses"
            );
        }
    }
}

/// A connection at a door; its place is free again when this is dropped.
pub struct Guest {
    doorman: Doorman,
    id: GuestId,
    source: Source,
    bell: Arc<Notify>,
}

impl Guest {
    /// Resolves when a newcomer has taken the place.
    pub async fn displaced(&self) {
        self.bell.notified().await;
    }

    /// Its address is proven.
    ///
    /// # Errors
    /// When that address has too many already: the place is gone.
    pub fn settle(&self) -> Result<(), Why> {
        let (id, source) = (self.id, self.source);
        self.doorman
            .ask(|limiter, now| limiter.settle(id, source, now))
    }

    /// It has shown a ticket, and keeps its place.
    ///
    /// # Errors
    /// When the ticket or the door has too many: it stays a stranger.
    pub fn served(&self, bearer: &str) -> Result<(), Why> {
        let id = self.id;
        self.doorman.ask(|limiter, _| limiter.served(id, bearer))
    }

    /// It asks something. `on_behalf` is whom a gateway asks for.
    ///
    /// # Errors
    /// When there were too many.
    pub fn ask(&self, on_behalf: Option<IpAddr>) -> Result<(), Why> {
        let (id, own) = (self.id, self.source);
        self.doorman.ask(|limiter, now| {
            let source = whose(limiter, own, on_behalf);
            limiter.ask(id, source, now)
        })
    }

    /// It wants a new ticket. `on_behalf` is whom a gateway asks for.
    ///
    /// # Errors
    /// When the address has had too many.
    pub fn ticket(&self, on_behalf: Option<IpAddr>) -> Result<(), Why> {
        let own = self.source;
        self.doorman.ask(|limiter, now| {
            let source = whose(limiter, own, on_behalf);
            limiter.ticket(source, now)
        })
    }

    /// Something of it was not let in.
    pub fn refused(&self, why: Why) {
        self.doorman.refused(why);
    }
}

/// Only a gateway is believed whom it asks for.
fn whose(limiter: &Limiter, own: Source, on_behalf: Option<IpAddr>) -> Source {
    match on_behalf {
        Some(other) if limiter.is_gateway(own) => Source::of(other),
        _ => own,
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut state = lock(&self.doorman.inner.state);
        state.bells.remove(&self.id);
        state.limiter.leave(self.id);
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its address: that is personal data.
        write!(f, "Guest({})", self.id)
    }
}

impl std::fmt::Debug for Doorman {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Doorman({})", self.inner.way.as_str())
    }
}
