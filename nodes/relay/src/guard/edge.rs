//! The edge's end: tunnels that inner nodes have dialled, questions that go through them, orders
//! that come out of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use guitai_host::Clock;
use guitai_net::{
    Link, Peer, RecvStream, VarInt,
    frame::{FrameError, read_frame},
};
use guitai_types::{
    Code, Epoch, NodeName, Problem, SessionId, TicketId, Zone,
    control::{Answer, Ask, Order},
    limits::{CONTROL_BYTES_MAX, DOORS_MAX, MEMBERS_MAX, REFUSALS_MAX},
    view::DoorEntry,
};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

use super::{
    ASKS_MAX, CODE_OLD_EPOCH, CODE_REFUSED, CODE_REPLACED, Count, Counts, Direction, Refusal,
    WATCHES_MAX, check, check_answer, check_order,
    message::{UNKNOWN, decode, kind_of, remake},
    pieces::{self, PieceError},
    rows::{Rows, Scales},
    tunnel::{Load, Tunnel},
};

/// How long a question may wait for its answer on one tunnel, in milliseconds. A write waits for a
/// quorum; an election of a new leader fits in.
pub(super) const ASK_MS_MAX: u64 = 8_000;
/// Tunnels a repeatable question is tried on.
const TRIES_MAX: usize = 3;
/// How long a tunnel whose node knew no leader comes last, in milliseconds.
const LEADERLESS_MS: u64 = 3_000;
/// How long the core may take to send an order, once it has begun, in milliseconds.
const ORDER_MS_MAX: u64 = 5_000;

/// What an edge does with orders from inside.
pub trait OrderSink: Send + Sync {
    /// The media tokens of a session are void; its connections are closed.
    fn end_session(&self, session: SessionId);
    /// A ticket's tokens are void; its connections are closed.
    fn revoke_ticket(&self, ticket: TicketId);
    /// Nothing of a lower epoch is accepted from now on.
    fn set_epoch(&self, epoch: Epoch);
}

/// Why a question got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The question, or the answer to it, may not cross.
    #[error("refused by the guard")]
    Refused(#[source] Refusal),
    /// No inner node has a tunnel to this edge now.
    #[error("no tunnel from the inner zone")]
    NoTunnel,
    /// More than [`ASKS_MAX`] questions or [`WATCHES_MAX`] watched tickets at once.
    #[error("more than {max} at once")]
    Busy {
        /// The limit.
        max: usize,
    },
    /// The tunnel broke before the question was sent.
    #[error("the question was not sent")]
    NotSent,
    /// No answer came; whether it was done inside is unknown.
    #[error("no answer from the inner zone")]
    Lost,
    /// The core refused the watch.
    #[error("refused by the core")]
    Core(#[source] Problem),
}

impl AskError {
    /// The error as the customer sees it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused(refusal) => refusal.problem(),
            Self::NoTunnel => Problem::new(Code::NoTunnel, self.to_string()),
            Self::Busy { .. } => Problem::new(Code::TooMany, self.to_string()),
            Self::NotSent | Self::Lost => Problem::new(Code::NoTunnel, self.to_string()),
            Self::Core(problem) => problem.clone(),
        }
    }
}

/// The guard of an edge. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    tunnels: Mutex<Vec<Arc<Tunnel>>>,
    /// Rotates who comes first among the equally loaded.
    turn: AtomicUsize,
    epoch: AtomicU64,
    counts: Counts,
    scales: Scales,
    sink: Arc<dyn OrderSink>,
    clock: Arc<dyn Clock>,
    asks: Semaphore,
    pub(super) watches: Arc<Semaphore>,
    /// What the core nodes told of the cluster's edges, put together.
    doors: watch::Sender<Vec<DoorEntry>>,
}

impl Guard {
    /// A guard without tunnels, whose orders go to `sink`; `rows` say what may cross.
    pub fn new(sink: Arc<dyn OrderSink>, rows: Arc<dyn Rows>, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner {
            tunnels: Mutex::default(),
            turn: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
            counts: Counts::default(),
            scales: Scales::new(rows, clock.clone()),
            sink,
            clock,
            asks: Semaphore::new(ASKS_MAX),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            doors: watch::Sender::new(Vec::new()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Uses a tunnel until it closes. It takes questions once the core has said hello.
    pub async fn serve_tunnel(&self, link: Link) {
        // The mesh admits inner nodes only; a guard does not rest on it.
        if link.peer.zone != Zone::Inner {
            link.conn.close(VarInt::from_u32(CODE_REFUSED), b"");
            return;
        }
        let tunnel = Arc::new(Tunnel::new(link));
        if !self.add(&tunnel) {
            tunnel.close(CODE_REFUSED);
            return;
        }
        let mut orders = tokio::task::JoinSet::new();
        while let Ok(stream) = tunnel.link.conn.accept_uni().await {
            let (guard, tunnel) = (self.clone(), tunnel.clone());
            orders.spawn(async move { guard.take_order(&tunnel, stream).await });
            while orders.try_join_next().is_some() {}
        }
        self.remove(&tunnel);
        // What was received whole before the end still counts.
        while orders.join_next().await.is_some() {}
    }

    /// Asks the core. A question that may be repeated is tried on another tunnel when one fails;
    /// one that may not, only if it was not sent.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, AskError> {
        self.ask_with(ask, &[]).await.map(|(answer, _)| answer)
    }

    /// As [`Self::ask`], with the bytes of the file that the question announces; and with those that the answer does.
    pub async fn ask_with(&self, ask: Ask, file: &[u8]) -> Result<(Answer, Vec<u8>), AskError> {
        let message = self.pass_inward(&ask)?;
        let max = ASKS_MAX;
        let busy = |_| AskError::Busy { max };
        let _permit = self.inner.asks.try_acquire().map_err(busy)?;
        let mut tried = Vec::new();
        let mut outcome = Err(AskError::NoTunnel);
        while tried.len() < TRIES_MAX {
            let Some(tunnel) = self.pick(&tried) else {
                break;
            };
            outcome = self.ask_on(&tunnel, &ask, &message, file).await;
            tried.push(tunnel.id());
            let again = match &outcome {
                Ok((answer, _)) => is_leaderless(answer) && may_repeat(&ask),
                Err(AskError::NotSent) => true,
                Err(AskError::Lost) => may_repeat(&ask),
                Err(_) => false,
            };
            if !again {
                break;
            }
        }
        outcome
    }

    /// Every counter that is not zero.
    pub fn stats(&self) -> Vec<Count> {
        self.inner.counts.all()
    }

    /// The inner nodes whose tunnels take questions now.
    pub fn tunnels(&self) -> Vec<Peer> {
        let tunnels = self.tunnel_list();
        let ready = tunnels.iter().filter(|tunnel| tunnel.is_ready());
        ready.map(|tunnel| tunnel.link.peer.clone()).collect()
    }

    /// The doors customers may use, as the core nodes tell; changes are seen by the receiver.
    pub fn doors(&self) -> watch::Receiver<Vec<DoorEntry>> {
        self.inner.doors.subscribe()
    }

    /// The highest epoch any core node has told.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.inner.epoch.load(Ordering::Acquire))
    }

    /// Checks a question and makes its message.
    pub(super) fn pass_inward(&self, ask: &Ask) -> Result<Vec<u8>, AskError> {
        let made = check(ask).and_then(|()| remake(ask)).and_then(|message| {
            let weighed = self.inner.scales.ask(ask, message.len(), None);
            weighed.map(|()| message)
        });
        match &made {
            Ok(_) => self.inner.counts.passed(Direction::Inward, ask.kind()),
            Err(refusal) => {
                let counts = &self.inner.counts;
                counts.refused(Direction::Inward, ask.kind(), refusal);
            }
        }
        made.map_err(AskError::Refused)
    }

    /// The ready tunnel with the fewest questions under way; those without a leader last.
    pub(super) fn pick(&self, tried: &[usize]) -> Option<Arc<Tunnel>> {
        let now = self.now_ms();
        let tunnels = self.tunnel_list();
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        let count = tunnels.len().max(1);
        let ready = tunnels
            .iter()
            .enumerate()
            .filter(|(_, tunnel)| tunnel.is_ready() && !tried.contains(&tunnel.id()));
        let best = ready.min_by_key(|(place, tunnel)| {
            let leaderless = tunnel.leaderless_until.load(Ordering::Relaxed) > now;
            let asks = tunnel.asks.load(Ordering::Relaxed);
            (leaderless, asks, place.wrapping_add(turn) % count)
        });
        best.map(|(_, tunnel)| tunnel.clone())
    }

    async fn ask_on(
        &self,
        tunnel: &Arc<Tunnel>,
        ask: &Ask,
        message: &[u8],
        file: &[u8],
    ) -> Result<(Answer, Vec<u8>), AskError> {
        let _load = Load::on(tunnel.clone());
        let limit = Duration::from_millis(ASK_MS_MAX);
        let mut receive = tunnel.send(message, file).await?;
        let answer = timeout(limit, self.answer(tunnel, ask, &mut receive));
        let answer = answer.await.unwrap_or(Err(AskError::Lost));
        let answer = answer?.ok_or(AskError::Lost)?;
        let Answer::File { file } = &answer else {
            return Ok((answer, Vec::new()));
        };
        match timeout(limit, pieces::read(&mut receive, file)).await {
            Ok(Ok(bytes)) => Ok((answer, bytes)),
            Ok(Err(PieceError::Refused(refusal))) => {
                self.refuse(tunnel, kind_of(&answer), &refusal);
                Err(AskError::Refused(refusal))
            }
            Ok(Err(PieceError::Lost)) | Err(_) => Err(AskError::Lost),
        }
    }

    /// Reads one answer, checked against its question; `None` when the core ended the stream.
    pub(super) async fn answer(
        &self,
        tunnel: &Tunnel,
        ask: &Ask,
        receive: &mut RecvStream,
    ) -> Result<Option<Answer>, AskError> {
        let counts = &self.inner.counts;
        let (kind, checked) = match read_frame(receive, CONTROL_BYTES_MAX).await {
            Ok(None) => return Ok(None),
            Ok(Some(message)) => match decode::<Answer>(&message) {
                Ok((answer, kind)) => {
                    let (scales, peer) = (&self.inner.scales, &tunnel.link.peer);
                    let checked = check_answer(ask, &answer)
                        .and_then(|()| scales.answer(kind, message.len(), Some(peer)));
                    (kind, checked.map(|()| answer))
                }
                Err(refused) => (refused.kind, Err(refused.refusal)),
            },
            Err(FrameError::TooLarge { length, max }) => {
                (UNKNOWN, Err(Refusal::TooLarge { length, max }))
            }
            Err(FrameError::Cut | FrameError::Stream(_)) => return Err(AskError::Lost),
        };
        match checked {
            Ok(answer) => {
                counts.passed(Direction::Outward, kind_of(&answer));
                self.note_leader(tunnel, &answer);
                Ok(Some(answer))
            }
            Err(refusal) => {
                self.refuse(tunnel, kind, &refusal);
                Err(AskError::Refused(refusal))
            }
        }
    }

    fn note_leader(&self, tunnel: &Tunnel, answer: &Answer) {
        let until = if is_leaderless(answer) {
            self.now_ms().saturating_add(LEADERLESS_MS)
        } else {
            0
        };
        tunnel.leaderless_until.store(until, Ordering::Relaxed);
    }

    fn refuse(&self, tunnel: &Tunnel, kind: &'static str, refusal: &Refusal) {
        let counts = &self.inner.counts;
        counts.refused(Direction::Outward, kind, refusal);
        if !refusal.is_held_against() {
            return;
        }
        if tunnel.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS_MAX {
            tracing::error!(peer = %tunnel.link.peer, "tunnel closed: {REFUSALS_MAX} refusals");
            tunnel.close(CODE_REFUSED);
        }
    }

    async fn take_order(&self, tunnel: &Tunnel, mut stream: RecvStream) {
        let limit = Duration::from_millis(ORDER_MS_MAX);
        let read = timeout(limit, read_frame(&mut stream, CONTROL_BYTES_MAX));
        let decoded = match read.await {
            Ok(Ok(Some(message))) => {
                let decoded = decode::<Order>(&message);
                decoded
                    .map(|(order, kind)| (order, kind, message.len()))
                    .map_err(|refused| (refused.kind, refused.refusal))
            }
            Ok(Err(FrameError::TooLarge { length, max })) => {
                Err((UNKNOWN, Refusal::TooLarge { length, max }))
            }
            Ok(Ok(None)) => Err((UNKNOWN, Refusal::Malformed)),
            // A stream that broke with its tunnel is nobody's fault.
            Ok(Err(FrameError::Cut | FrameError::Stream(_))) | Err(_) => return,
        };
        let checked = decoded.and_then(|(order, kind, bytes)| {
            let (scales, peer) = (&self.inner.scales, &tunnel.link.peer);
            let checked = check_order(&order).and_then(|()| scales.order(kind, bytes, Some(peer)));
            checked
                .map(|()| (order, kind))
                .map_err(|refusal| (kind, refusal))
        });
        match checked {
            Ok((order, kind)) => self.obey(tunnel, order, kind),
            Err((kind, refusal)) => self.refuse(tunnel, kind, &refusal),
        }
    }

    fn obey(&self, tunnel: &Tunnel, order: Order, kind: &'static str) {
        let sink = &self.inner.sink;
        match order {
            Order::Hello { epoch } => {
                let before = self.inner.epoch.fetch_max(epoch.0, Ordering::AcqRel);
                if epoch.0 < before {
                    // Streams may overtake each other: a greeted tunnel's older hello is late.
                    if !tunnel.is_ready() {
                        self.refuse(tunnel, kind, &Refusal::OldEpoch);
                        tunnel.close(CODE_OLD_EPOCH);
                    }
                    return;
                }
                sink.set_epoch(epoch);
                tunnel.greeted.store(true, Ordering::Release);
                self.gather_doors();
            }
            // These only ever take rights away: obeyed even before hello.
            Order::EndSession { session } => sink.end_session(session),
            Order::RevokeTicket { ticket } => sink.revoke_ticket(ticket),
            Order::Doors { doors } => {
                *tunnel.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors;
                self.gather_doors();
            }
        }
        self.inner.counts.passed(Direction::Outward, kind);
    }

    /// Takes a tunnel in; a node that dials anew replaces its old one.
    fn add(&self, tunnel: &Arc<Tunnel>) -> bool {
        let mut tunnels = self.tunnel_list();
        tunnels.retain(|old| {
            let same = old.link.peer == tunnel.link.peer;
            if same {
                old.close(CODE_REPLACED);
            }
            !same
        });
        let fits = tunnels.len() < MEMBERS_MAX;
        if fits {
            tunnels.push(tunnel.clone());
        }
        fits
    }

    fn remove(&self, tunnel: &Tunnel) {
        self.tunnel_list().retain(|other| other.id() != tunnel.id());
        self.gather_doors();
    }

    /// Puts together what the ready tunnels told. Without any the last list stays: better an old one
    /// than none for a page that has to move.
    fn gather_doors(&self) {
        let told: Vec<Vec<DoorEntry>> = {
            let tunnels = self.tunnel_list();
            let ready = tunnels.iter().filter(|tunnel| tunnel.is_ready());
            let doors = ready.map(|tunnel| {
                let doors = tunnel.doors.lock();
                doors.unwrap_or_else(PoisonError::into_inner).clone()
            });
            doors.filter(|doors| !doors.is_empty()).collect()
        };
        if told.is_empty() {
            return;
        }
        let doors = together(told);
        self.inner.doors.send_if_modified(|present| {
            let changed = *present != doors;
            *present = doors;
            changed
        });
    }

    fn tunnel_list(&self) -> MutexGuard<'_, Vec<Arc<Tunnel>>> {
        let tunnels = self.inner.tunnels.lock();
        tunnels.unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.inner.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Guard({} tunnels)", self.tunnels().len())
    }
}

/// One list of several core nodes': a door that one of them reaches is alive, and what that one says of
/// it counts.
fn together(told: Vec<Vec<DoorEntry>>) -> Vec<DoorEntry> {
    let mut doors = BTreeMap::<NodeName, DoorEntry>::new();
    for door in told.into_iter().flatten() {
        let known = doors.get(&door.node);
        if known.is_none_or(|known| door.alive && !known.alive) {
            doors.insert(door.node.clone(), door);
        }
    }
    doors.into_values().take(DOORS_MAX).collect()
}

/// Whether asking twice does no more than asking once.
fn may_repeat(ask: &Ask) -> bool {
    match ask {
        Ask::Catalogue
        | Ask::Ticket { .. }
        | Ask::WatchTicket { .. }
        | Ask::CloseTicket { .. }
        | Ask::Rejoin { .. }
        | Ask::Leave { .. }
        | Ask::Confirm { .. }
        | Ask::Messages { .. }
        | Ask::FetchFile { .. } => true,
        // A second one is a second ticket or text, or a refusal of what was done.
        Ask::OpenTicket(_) | Ask::Rate { .. } | Ask::Say { .. } | Ask::SendFile { .. } => false,
    }
}

pub(super) fn is_leaderless(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused { problem } if problem.code == Code::NoLeader)
}
