//! Who is connected, and who may no longer be: the live sessions, the epoch and the revocations,
//! under one lock so that none slips in between being revoked and being entered.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_host::Clock;
use guitai_types::{
    Epoch, SessionId, TicketId, UnixMillis,
    limits::TOKEN_LIFE_MS,
    passed::{KEPT_MAX, PASSED_MAX, PassedConnection},
};
use serde::Serialize;

use crate::admission::{Admission, Refused, RoomName};

/// Revocations remembered, of each kind: two hours (a token's life) of 36 ended calls a second.
/// Past it the oldest is forgotten, whose token has the least life left.
pub const REVOCATIONS_MAX: usize = 262_144;
/// How long a revocation is remembered: no token lives longer.
const REVOCATION_LIFE: Duration = Duration::from_millis(TOKEN_LIFE_MS);

/// How a connection reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// WebTransport over HTTP/3.
    WebTransport,
    /// MoQ directly on QUIC.
    Quic,
    /// qmux over WebSocket.
    WebSocket,
    /// Node to node.
    Mesh,
}

impl Transport {
    /// As answers name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebTransport => "web-transport",
            Self::Quic => "quic",
            Self::WebSocket => "web-socket",
            Self::Mesh => "mesh",
        }
    }
}

/// One live connection, for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Number in this relay's life.
    pub id: u64,
    /// The ticket (`ticket:<id>`) or node (`node:<name>`) it was let in for.
    pub who: String,
    /// Its room, `/<institution>/<session>`; absent for a link to another relay.
    pub room: Option<String>,
    /// How it is connected.
    pub transport: Transport,
    /// Since when.
    pub since: UnixMillis,
    /// Bytes sent to it, where the transport counts them.
    pub bytes_sent: Option<u64>,
    /// Bytes received from it, where the transport counts them.
    pub bytes_received: Option<u64>,
}

/// What the table must know of a connection.
pub(crate) struct Entry {
    pub(crate) who: String,
    pub(crate) room: Option<String>,
    pub(crate) transport: Transport,
    pub(crate) since: UnixMillis,
    /// What a token let it in for; `None` for nodes.
    pub(crate) admission: Option<Admission>,
    pub(crate) session: moq_net::Session,
}

/// The table; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u64,
    live: BTreeMap<u64, Entry>,
    /// Connections of rooms that are over, the oldest first.
    over: VecDeque<(String, PassedConnection)>,
    epoch_min: Epoch,
    sessions: Revocations<SessionId>,
    tickets: Revocations<TicketId>,
}

/// Takes its entry out of the table when dropped; what it carried stays remembered.
pub(crate) struct Seat {
    table: Table,
    id: u64,
    clock: Arc<dyn Clock>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let until = self.clock.wall();
        self.table.with(|state| state.leave(self.id, until));
    }
}

impl Table {
    /// Enters a connection unless its token has been revoked meanwhile.
    pub(crate) fn enter(&self, entry: Entry, clock: Arc<dyn Clock>) -> Result<Seat, Refused> {
        self.with(|state| {
            if let Some(admission) = &entry.admission {
                state.check(admission, clock.monotonic())?;
            }
            let id = state.next;
            state.next += 1;
            state.live.insert(id, entry);
            Ok(Seat {
                table: self.clone(),
                id,
                clock,
            })
        })
    }

    /// Whether a token still lets in.
    pub(crate) fn check(&self, admission: &Admission, now: Duration) -> Result<(), Refused> {
        self.with(|state| state.check(admission, now))
    }

    /// Voids every token of a session and closes its connections.
    pub(crate) fn revoke_session(&self, session: &SessionId, now: Duration) -> usize {
        self.with(|state| {
            state.sessions.insert(session.clone(), now);
            state.abort(|admission| admission.room.session == *session)
        })
    }

    /// Voids every token of a ticket and closes its connections.
    pub(crate) fn revoke_ticket(&self, ticket: &TicketId, now: Duration) -> usize {
        self.with(|state| {
            state.tickets.insert(ticket.clone(), now);
            state.abort(|admission| admission.ticket == *ticket)
        })
    }

    /// Voids every token of an earlier epoch and closes its connections. A lower epoch than the
    /// one known changes nothing.
    pub(crate) fn set_epoch(&self, epoch: Epoch) -> usize {
        self.with(|state| {
            state.epoch_min = state.epoch_min.max(epoch);
            let least = state.epoch_min;
            state.abort(|admission| admission.epoch < least)
        })
    }

    /// The epoch below which no token lets in.
    pub(crate) fn epoch_min(&self) -> Epoch {
        self.with(|state| state.epoch_min)
    }

    /// Everyone who is connected, oldest first.
    pub(crate) fn views(&self) -> Vec<SessionView> {
        let view = |(&id, entry): (&u64, &Entry)| {
            let bytes = entry.session.stats();
            SessionView {
                id,
                who: entry.who.clone(),
                room: entry.room.clone(),
                transport: entry.transport,
                since: entry.since,
                bytes_sent: bytes.bytes_sent,
                bytes_received: bytes.bytes_received,
            }
        };
        self.with(|state| state.live.iter().map(view).collect())
    }

    /// The connections of one session, those that are over first.
    pub(crate) fn passed(&self, session: &SessionId) -> Vec<PassedConnection> {
        let is_its = |room: &str| room.rsplit('/').next() == Some(session.as_str());
        self.with(|state| {
            let over = state.over.iter().filter(|(room, _)| is_its(room));
            let over = over.map(|(_, passed)| passed.clone());
            let live = state.live.values();
            let live = live.filter(|entry| entry.room.as_deref().is_some_and(is_its));
            let all = over.chain(live.map(|entry| entry.passed(None)));
            all.take(PASSED_MAX).collect()
        })
    }

    /// Whether anybody is in a room by a token.
    pub(crate) fn has_room(&self, room: &RoomName) -> bool {
        let is_in = |entry: &Entry| entry.admission.as_ref().is_some_and(|it| it.room == *room);
        self.with(|state| state.live.values().any(is_in))
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.with(|state| state.live.len())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        // Nothing in here can stop half-way, so what a panicking thread left behind is whole.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entry {
    fn passed(&self, until: Option<UnixMillis>) -> PassedConnection {
        let bytes = self.session.stats();
        PassedConnection {
            who: self.who.clone(),
            transport: self.transport.as_str().to_owned(),
            since: self.since,
            until,
            received: bytes.bytes_received,
            sent: bytes.bytes_sent,
        }
    }
}

impl State {
    fn leave(&mut self, id: u64, until: UnixMillis) {
        let Some(entry) = self.live.remove(&id) else {
            return;
        };
        let passed = entry.passed(Some(until));
        let Some(room) = entry.room else { return };
        if self.over.len() >= KEPT_MAX {
            self.over.pop_front();
        }
        self.over.push_back((room, passed));
    }

    fn check(&mut self, admission: &Admission, now: Duration) -> Result<(), Refused> {
        let revoked = admission.epoch < self.epoch_min
            || self.sessions.contains(&admission.room.session, now)
            || self.tickets.contains(&admission.ticket, now);
        if revoked {
            Err(Refused::Revoked)
        } else {
            Ok(())
        }
    }

    /// Closes the connections whose token is void; each leaves the table as it ends.
    fn abort(&self, void: impl Fn(&Admission) -> bool) -> usize {
        let live = self.live.values();
        let hit = live.filter(|entry| entry.admission.as_ref().is_some_and(&void));
        hit.map(|entry| entry.session.abort(moq_net::Error::Unauthorized))
            .count()
    }
}

/// Ids that are void, each for [`REVOCATION_LIFE`] and [`REVOCATIONS_MAX`] at most.
struct Revocations<K> {
    since: BTreeMap<K, Duration>,
    order: VecDeque<K>,
}

impl<K> Default for Revocations<K> {
    fn default() -> Self {
        Self {
            since: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<K: Ord + Clone> Revocations<K> {
    fn insert(&mut self, key: K, now: Duration) {
        self.forget(now);
        if self.since.contains_key(&key) {
            return;
        }
        if self.order.len() >= REVOCATIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.since.remove(&oldest);
        }
        self.since.insert(key.clone(), now);
        self.order.push_back(key);
    }

    fn contains(&mut self, key: &K, now: Duration) -> bool {
        self.forget(now);
        self.since.contains_key(key)
    }

    fn forget(&mut self, now: Duration) {
        let past = |since: &Duration| now.saturating_sub(*since) > REVOCATION_LIFE;
        while let Some(oldest) = self.order.front()
            && self.since.get(oldest).is_none_or(past)
        {
            self.since.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_lasts_as_long_as_a_token_can() {
        let mut revoked = Revocations::default();
        let start = Duration::from_secs(1);
        revoked.insert("a", start);
        assert!(revoked.contains(&"a", start + REVOCATION_LIFE));
        assert!(!revoked.contains(&"b", start));
        let after = start + REVOCATION_LIFE + Duration::from_millis(1);
        assert!(!revoked.contains(&"a", after));
        assert!(revoked.order.is_empty() && revoked.since.is_empty());
    }

    #[test]
    fn the_memory_of_revocations_is_bounded() {
        let mut revoked = Revocations::default();
        for id in 0..=REVOCATIONS_MAX {
            revoked.insert(id, Duration::ZERO);
        }
        assert_eq!(revoked.order.len(), REVOCATIONS_MAX);
        assert_eq!(revoked.since.len(), REVOCATIONS_MAX);
        assert!(!revoked.contains(&0, Duration::ZERO));
        assert!(revoked.contains(&REVOCATIONS_MAX, Duration::ZERO));
    }
}
