//! The relay: one origin that every connection writes into and reads from, each within its scope.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use guitai_host::Clock;
use guitai_types::{
    NodeName, SessionId, TicketId, Zone,
    limits::{MEDIA_SESSIONS_MAX, SESSIONS_RUNNING_MAX},
    passed::PassedConnection,
    permit::PermitView,
};
use moq_net::{Hop, Pattern, Patterns, cache, origin};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    admission::{self, Admission, Refused, RoomName},
    client::{GROUP_AGE_MAX, PublishError, Publisher, Room},
    hang::Catalog,
    origin::spawn_origin,
    pace::{DOOR_BYTES_PER_SECOND, outpaced},
    permit::Permits,
    stats::{Counters, RelayStats},
    table::{Entry, SessionView, Table, Transport},
    token::Verifier,
};

/// How long a connection may take from its first packet to the end of the MoQ handshake.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// Default for [`Limits::cache_bytes_max`].
pub const CACHE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// How long a refused connection stays open so that the refusal arrives.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// What a relay is.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, for logs.
    pub name: NodeName,
    /// The zone it stands in; an edge ([`Zone::Dmz`]) exchanges only customers' broadcasts against
    /// agents' with the inner zone.
    pub zone: Zone,
    /// How much it may carry.
    pub limits: Limits,
}

/// How much a relay may carry.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at its door, WebSockets included.
    pub door_sessions_max: usize,
    /// Connections from other nodes: links and recorders' subscriptions, one per room.
    pub mesh_sessions_max: usize,
    /// Bytes of recent groups it keeps for late readers; the oldest go first.
    pub cache_bytes_max: u64,
    /// How long a handshake may take.
    pub handshake_deadline: Duration,
    /// Bytes a second that one connection of the door may send; who sends more is cut off.
    pub door_bytes_per_second: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            door_sessions_max: MEDIA_SESSIONS_MAX,
            mesh_sessions_max: SESSIONS_RUNNING_MAX,
            cache_bytes_max: CACHE_BYTES_MAX,
            handshake_deadline: HANDSHAKE_DEADLINE,
            door_bytes_per_second: DOOR_BYTES_PER_SECOND,
        }
    }
}

/// A media relay; clones share it.
#[derive(Clone)]
pub struct Relay(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) origin: origin::Producer,
    pub(crate) counters: Counters,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    table: Table,
    door: Arc<Semaphore>,
    mesh: Arc<Semaphore>,
    /// Set once where new calls need a permit.
    permits: OnceLock<Permits>,
}

impl Relay {
    /// A relay with nobody connected. Must be called inside a tokio runtime.
    pub fn new(config: Config, verifier: Verifier, clock: Arc<dyn Clock>) -> Self {
        // A recorder that stumbles must find the groups of the last 30 s; nobody gets more.
        let pool = cache::Config::default()
            .with_capacity(config.limits.cache_bytes_max)
            .with_expiry(GROUP_AGE_MAX);
        let mut origin = origin::Config::new(Hop::random());
        origin.pool = cache::Pool::new(pool);
        origin.cache_duration = GROUP_AGE_MAX;
        Self(Arc::new(Inner {
            origin: spawn_origin(origin),
            counters: Counters::default(),
            verifier,
            clock,
            table: Table::default(),
            door: Arc::new(Semaphore::new(config.limits.door_sessions_max)),
            mesh: Arc::new(Semaphore::new(config.limits.mesh_sessions_max)),
            permits: OnceLock::new(),
            config,
        }))
    }

    /// From now on new calls need a permit; calls that are here keep their media and may connect anew.
    pub fn require(&self, permits: Permits) {
        // Assembled once; a second one would be the same node's.
        drop(self.0.permits.set(permits));
    }

    /// How this node's permit stands; `None` where none is needed.
    pub fn permit(&self) -> Option<PermitView> {
        self.0.permits.get().map(Permits::view)
    }

    /// Whether a new call may come through here.
    pub fn accepts_new(&self) -> bool {
        self.permit().is_none_or(|permit| permit.accepts)
    }

    /// Whether `<room>?jwt=<token>` would be let in now; for an HTTP server, before it upgrades.
    pub fn check(&self, path_and_query: &str) -> Result<(), Refused> {
        let admission = self.admit(path_and_query);
        if let Err(refused) = &admission {
            self.0.counters.refused(refused);
        }
        admission.map(|_| ())
    }

    /// Looks into a room from inside this process.
    pub fn consume(&self, room: &RoomName) -> Result<Room, Refused> {
        let scope = self.0.origin.consume().scope(root(room), &everything());
        scope.map(Room::new).map_err(|_| Refused::Path)
    }

    /// Publishes into a room from inside this process, as a connection does from outside.
    ///
    /// # Errors
    /// When the room's path or the catalog is none, or the name is taken.
    pub fn publish(
        &self,
        room: &RoomName,
        name: &str,
        catalog: &Catalog,
    ) -> Result<Publisher, PublishError> {
        let scope = self.0.origin.scope(root(room), &everything())?;
        Publisher::new(&scope, name, catalog)
    }

    /// The session is over: its tokens are void and its connections are closed.
    pub fn revoke_session(&self, session: &SessionId) {
        let closed = self
            .0
            .table
            .revoke_session(session, self.0.clock.monotonic());
        tracing::info!(%session, closed, "media session revoked");
    }

    /// The ticket is over: its tokens are void and its connections are closed.
    pub fn revoke_ticket(&self, ticket: &TicketId) {
        let closed = self.0.table.revoke_ticket(ticket, self.0.clock.monotonic());
        tracing::info!(%ticket, closed, "ticket revoked");
    }

    /// Tokens of an earlier epoch are void and their connections are closed.
    pub fn set_epoch(&self, epoch: guitai_types::Epoch) {
        if let Some(permits) = self.0.permits.get() {
            permits.set_epoch(epoch);
        }
        let closed = self.0.table.set_epoch(epoch);
        if closed > 0 {
            tracing::warn!(
                ?epoch,
                closed,
                "media connections of an earlier epoch closed"
            );
        }
    }

    /// Who is connected, oldest first.
    pub fn sessions(&self) -> Vec<SessionView> {
        self.0.table.views()
    }

    /// What passed of one session since this relay started, by time.
    pub fn passed(&self, session: &SessionId) -> Vec<PassedConnection> {
        self.0.table.passed(session)
    }

    /// Counters since the start, for the metrics page.
    pub fn stats(&self) -> RelayStats {
        self.0.counters.read(self.0.table.len())
    }

    pub(crate) fn admit(&self, path_and_query: &str) -> Result<Admission, Refused> {
        let inner = &self.0;
        let epoch = inner.table.epoch_min();
        let now = inner.clock.wall();
        let admission = admission::admit(path_and_query, &inner.verifier, now, epoch)?;
        inner.table.check(&admission, inner.clock.monotonic())?;
        if !self.accepts_new() && !inner.table.has_room(&admission.room) {
            return Err(Refused::NoPermit);
        }
        Ok(admission)
    }

    /// A place among the door's connections.
    pub(crate) fn door_place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let place = Arc::clone(&self.0.door).try_acquire_owned();
        place.map_err(|_| Refused::Full)
    }

    /// A place among the mesh's connections.
    pub(crate) fn mesh_place(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let place = Arc::clone(&self.0.mesh).try_acquire_owned();
        place.map_err(|_| Refused::Full)
    }

    /// Runs one connection in a task of its own, so that a panic in it ends nothing else.
    pub(crate) async fn contain(
        &self,
        what: &'static str,
        connection: impl Future<Output = Result<(), Refused>> + Send + 'static,
    ) {
        match tokio::spawn(connection).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => {
                self.0.counters.refused(&refused);
                tracing::debug!(what, error = &refused as &dyn std::error::Error, "refused");
            }
            Err(error) => {
                self.0.counters.panicked();
                tracing::error!(what, %error, "a connection's task panicked");
            }
        }
    }

    /// Waits for a step of a handshake, but not for ever.
    pub(crate) async fn within_deadline<T>(
        &self,
        step: impl Future<Output = Result<T, Refused>>,
    ) -> Result<T, Refused> {
        let deadline = self.0.config.limits.handshake_deadline;
        let done = tokio::time::timeout(deadline, step).await;
        done.map_err(|_| Refused::Deadline)?
    }

    /// Lets a token's bearer in and serves it until one side closes.
    pub(crate) async fn serve_admitted<S>(
        &self,
        handshake: moq_net::server::Handshake<S>,
        admission: Admission,
        transport: Transport,
    ) -> Result<(), Refused>
    where
        S: moq_net::transport::poll::Boxable,
        S::SendStream: moq_net::web_transport_trait::MaybeSync,
        S::RecvStream: moq_net::web_transport_trait::MaybeSync,
    {
        let scope = Scope {
            publish: rooted(&self.0.origin, &admission.room, &admission.publish)?,
            subscribe: rooted(&self.0.origin, &admission.room, &admission.subscribe)?,
        };
        let entry = Introduction {
            who: format!("ticket:{}", admission.ticket),
            room: Some(admission.room.to_string()),
            transport,
            admission: Some(admission),
        };
        self.serve(handshake, scope, entry).await
    }

    pub(crate) async fn serve<S>(
        &self,
        mut handshake: moq_net::server::Handshake<S>,
        scope: Scope,
        who: Introduction,
    ) -> Result<(), Refused>
    where
        S: moq_net::transport::poll::Boxable,
        S::SendStream: moq_net::web_transport_trait::MaybeSync,
        S::RecvStream: moq_net::web_transport_trait::MaybeSync,
    {
        let transport = who.transport;
        let stats = self.0.counters.session(transport);
        handshake = handshake.with_stats(stats);
        // The names are the other side's: what it subscribes to, we publish.
        if let Some(seen) = scope.subscribe {
            handshake = handshake.with_publisher(&seen);
        }
        if let Some(written) = scope.publish {
            handshake = handshake.with_subscriber(written);
        }
        let (session, driver) = self
            .within_deadline(async { handshake.ok().await.map_err(refused_handshake) })
            .await?;
        let name = who.who.clone();
        let seat = match self.enter(who, &session) {
            Ok(seat) => seat,
            Err(refused) => {
                // The driver is what tells the other side.
                linger(moq_net::time::run(driver)).await;
                return Err(refused);
            }
        };
        let driver = tokio::spawn(moq_net::time::run(driver));
        let max = match transport {
            // Links carry many calls.
            Transport::Mesh => 0,
            _ => self.0.config.limits.door_bytes_per_second,
        };
        let is_cut = tokio::select! {
            end = session.closed() => {
                tracing::debug!(%end, "media connection closed");
                false
            }
            () = outpaced(&session, max, self.0.clock.clone()) => true,
        };
        if is_cut {
            let refused = Refused::TooFast { max };
            tracing::warn!(who = name, error = %refused, "media connection cut off");
            self.0.counters.refused(&refused);
            session.abort(moq_net::Error::Unauthorized);
        }
        drop(seat);
        if let Err(error) = driver.await
            && error.is_panic()
        {
            self.0.counters.panicked();
            tracing::error!(%error, "a connection's driver panicked");
        }
        Ok(())
    }

    pub(crate) fn enter(
        &self,
        who: Introduction,
        session: &moq_net::Session,
    ) -> Result<crate::table::Seat, Refused> {
        let entry = Entry {
            who: who.who,
            room: who.room,
            transport: who.transport,
            since: self.0.clock.wall(),
            admission: who.admission,
            session: session.clone(),
        };
        let clock = self.0.clock.clone();
        let entered = self.0.table.enter(entry, clock);
        match entered {
            Ok(_) => self.0.counters.accepted(),
            Err(_) => session.abort(moq_net::Error::Unauthorized),
        }
        entered
    }
}

/// Who a connection is, for the table.
pub(crate) struct Introduction {
    pub(crate) who: String,
    pub(crate) room: Option<String>,
    pub(crate) transport: Transport,
    pub(crate) admission: Option<Admission>,
}

/// What the other side may write and see; `None` is nothing at all.
pub(crate) struct Scope {
    pub(crate) publish: Option<origin::Producer>,
    pub(crate) subscribe: Option<origin::Producer>,
}

/// The part of the origin that is `patterns` of a room; `None` when there are none.
pub(crate) fn rooted(
    origin: &origin::Producer,
    room: &RoomName,
    patterns: &Patterns,
) -> Result<Option<origin::Producer>, Refused> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let scope = origin.scope(root(room), patterns);
    scope.map(Some).map_err(|_| Refused::Room)
}

pub(crate) fn everything() -> Patterns {
    [Pattern::all()].into_iter().collect()
}

pub(crate) fn refused_handshake(error: moq_net::Error) -> Refused {
    Refused::Handshake(error.to_string())
}

/// Keeps a refused connection until its other side has read why, or a second has passed.
pub(crate) async fn linger(closed: impl Future) {
    if tokio::time::timeout(REFUSAL_LINGER, closed).await.is_err() {
        tracing::trace!("a refused connection was still open after the refusal");
    }
}

fn root(room: &RoomName) -> String {
    format!("{}/{}", room.institution, room.session)
}
