//! The core's end: dials every edge, answers what comes through, sends orders out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::BoxStream};
use guitai_host::Clock;
use guitai_net::{
    Link, Mesh, Peer, RecvStream, SendStream, TUNNEL_ALPN, Target, VarInt,
    frame::{FrameError, read_frame, write_frame},
};
use guitai_types::{
    Code, Epoch, NodeName, Problem, TicketId,
    control::{Answer, Ask, Order},
    limits::{CONTROL_BYTES_MAX, MEMBERS_MAX, REFUSALS_MAX},
    view::{DoorEntry, TicketView},
};
use tokio::{
    sync::{Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::{
    CODE_REFUSED, Count, Counts, Direction, Refusal, TUNNEL_STREAMS_MAX, check, check_answer,
    check_order,
    message::{UNKNOWN, decode, kind_of, remake},
    pieces::{self, PieceError},
    rows::{Rows, Scales},
};

/// Orders kept for an edge that was away; older ones it has from other core nodes, or the tokens
/// they void have expired.
const ORDERS_KEPT: usize = 1_024;
/// First and longest pause between two tries to reach an edge, in milliseconds.
const PAUSE_MS_MIN: u64 = 200;
const PAUSE_MS_MAX: u64 = 3_000;
/// How long an edge may take to send its question, in milliseconds.
const QUESTION_MS_MAX: u64 = 5_000;
/// Files on their way in or out at once, on all tunnels of one core node: each is in memory whole.
const FILES_UNDER_WAY_MAX: usize = 64;
/// How long the core may think about a question, in milliseconds; below the edge's patience.
const THINK_MS_MAX: u64 = 7_500;
/// How long an edge may take to read what it is sent, in milliseconds.
const READ_MS_MAX: u64 = 10_000;

const _: () = assert!(THINK_MS_MAX < super::edge::ASK_MS_MAX);

/// A row of views of one ticket. Dropped when the customer's page is gone.
pub type ViewStream = BoxStream<'static, TicketView>;

/// What answers the edges' questions; the API implements it over the metadata. Questions have
/// passed [`check`].
pub trait Core: Send + Sync + 'static {
    /// Answers a question. Refusals are answers too.
    fn handle(&self, ask: Ask, edge: Peer) -> BoxFuture<'_, Answer>;
    /// Answers a question that comes with a file. It has arrived whole, and with the digest it was announced with.
    fn take_file(&self, ask: Ask, file: Vec<u8>, edge: Peer) -> BoxFuture<'_, Answer>;
    /// The file that is asked for, with its bytes; a refusal has none.
    fn give_file(&self, ask: Ask, edge: Peer) -> BoxFuture<'_, (Answer, Vec<u8>)>;
    /// The views of a ticket, the present one first. The ticket counts as attended while the
    /// stream lives.
    fn watch(&self, ticket: TicketId, edge: Peer) -> BoxFuture<'_, Result<ViewStream, Problem>>;
    /// The present epoch.
    fn epoch(&self) -> Epoch;
}

/// The tunnels of one core node. Cheap to clone; they close with [`Tunnels::keep`] of nothing.
#[derive(Clone)]
pub struct Tunnels {
    inner: Arc<Inner>,
}

struct Inner {
    mesh: Mesh,
    core: Arc<dyn Core>,
    counts: Counts,
    scales: Scales,
    orders: Mutex<Orders>,
    /// Number of the newest order; wakes the tunnels.
    newest: watch::Sender<u64>,
    edges: Mutex<BTreeMap<Target, Edge>>,
    /// Files in memory, on all tunnels together.
    files: Semaphore,
}

#[derive(Default)]
struct Orders {
    kept: VecDeque<(u64, Order)>,
    number: u64,
    /// The newest list of doors; empty before the first.
    doors: Arc<Vec<DoorEntry>>,
}

struct Edge {
    task: AbortHandle,
    up: Arc<AtomicBool>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnels {
    /// No tunnels yet; `rows` say what may cross them.
    pub fn new(
        mesh: Mesh,
        core: Arc<dyn Core>,
        rows: Arc<dyn Rows>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let inner = Inner {
            mesh,
            core,
            counts: Counts::default(),
            scales: Scales::new(rows, clock),
            orders: Mutex::default(),
            newest: watch::Sender::new(0),
            edges: Mutex::default(),
            files: Semaphore::new(FILES_UNDER_WAY_MAX),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// From now on there is a tunnel to each of these edges, dialled again whenever it breaks, and
    /// to no other. To be called with the member list whenever it changes.
    pub fn keep(&self, wanted: &[Target]) {
        let mut edges = lock(&self.inner.edges);
        edges.retain(|edge, _| wanted.contains(edge));
        for target in wanted.iter().take(MEMBERS_MAX) {
            edges.entry(target.clone()).or_insert_with(|| {
                let up = Arc::new(AtomicBool::new(false));
                let dialling = keep_dialling(self.inner.clone(), target.clone(), up.clone());
                let task = tokio::spawn(dialling).abort_handle();
                Edge { task, up }
            });
        }
    }

    /// Sends an order to every edge, and to those that are away when they are back.
    /// [`Order::Hello`] tells them the core's present epoch.
    pub fn order(&self, order: Order) {
        let mut orders = lock(&self.inner.orders);
        orders.number += 1;
        let number = orders.number;
        // Hello is not kept: every tunnel makes its own, of the epoch it finds then.
        if !matches!(order, Order::Hello { .. }) {
            orders.kept.push_back((number, order));
        }
        if orders.kept.len() > ORDERS_KEPT {
            orders.kept.pop_front();
        }
        self.inner.newest.send_replace(number);
    }

    /// Tells every edge, now and when it is dialled again, which doors customers may use.
    pub fn tell_doors(&self, doors: Vec<DoorEntry>) {
        lock(&self.inner.orders).doors = Arc::new(doors);
        self.inner.newest.send_modify(|_| {});
    }

    /// The edges reached now.
    pub fn up(&self) -> Vec<NodeName> {
        let edges = lock(&self.inner.edges);
        let up = edges
            .iter()
            .filter(|(_, edge)| edge.up.load(Ordering::Relaxed));
        up.map(|(target, _)| target.name.clone()).collect()
    }

    /// Every counter that is not zero.
    pub fn stats(&self) -> Vec<Count> {
        self.inner.counts.all()
    }
}

impl std::fmt::Debug for Tunnels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tunnels({:?})", self.up())
    }
}

async fn keep_dialling(inner: Arc<Inner>, target: Target, up: Arc<AtomicBool>) {
    let mut pause_ms = PAUSE_MS_MIN;
    loop {
        match inner.mesh.dial(TUNNEL_ALPN, &target).await {
            Ok(link) => {
                tracing::info!(edge = %target.name, "tunnel up");
                up.store(true, Ordering::Relaxed);
                let reason = Tunnel::new(inner.clone(), link).serve().await;
                up.store(false, Ordering::Relaxed);
                tracing::warn!(edge = %target.name, %reason, "tunnel down");
                pause_ms = PAUSE_MS_MIN;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(edge = %target.name, error, "edge not reached");
                pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
            }
        }
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// One tunnel to one edge.
struct Tunnel {
    inner: Arc<Inner>,
    link: Link,
    refusals: AtomicU32,
}

impl Tunnel {
    fn new(inner: Arc<Inner>, link: Link) -> Arc<Self> {
        let streams = VarInt::from_u32(TUNNEL_STREAMS_MAX);
        link.conn.set_max_concurrent_bi_streams(streams);
        Arc::new(Self {
            inner,
            link,
            refusals: AtomicU32::new(0),
        })
    }

    /// Serves until the tunnel breaks. The questions under way end with it.
    async fn serve(self: Arc<Self>) -> guitai_net::ConnectionError {
        let _closed = CloseOnDrop(&self.link);
        let mut questions = JoinSet::new();
        let mut orders = std::pin::pin!(self.send_orders());
        loop {
            tokio::select! {
                stream = self.link.conn.accept_bi() => match stream {
                    Ok((send, receive)) => {
                        let tunnel = self.clone();
                        questions.spawn(async move { tunnel.question(send, receive).await });
                        while questions.try_join_next().is_some() {}
                    }
                    Err(reason) => return reason,
                },
                // An edge that takes no orders gets no answers either: dialled anew.
                () = &mut orders => {
                    self.link.conn.close(VarInt::from_u32(0), b"");
                    return self.link.conn.closed().await;
                }
            }
        }
    }

    /// Says hello, then sends what was kept and what comes. Ends when the edge takes no more.
    async fn send_orders(&self) {
        let mut newest = self.inner.newest.subscribe();
        let mut told: Option<Epoch> = None;
        let mut doors_told = Arc::<Vec<DoorEntry>>::default();
        let mut sent = 0;
        loop {
            newest.borrow_and_update();
            let epoch = self.inner.core.epoch();
            let hello = (told != Some(epoch)).then_some(Order::Hello { epoch });
            let due: Vec<Order> = {
                let orders = lock(&self.inner.orders);
                let due = orders.kept.iter().filter(|(number, _)| *number > sent);
                let due = due.map(|(_, order)| order.clone());
                // Only the newest list counts, so there is nothing to keep of the ones before.
                let doors = (doors_told != orders.doors).then(|| Order::Doors {
                    doors: orders.doors.to_vec(),
                });
                let due = hello.into_iter().chain(due).chain(doors).collect();
                doors_told = orders.doors.clone();
                sent = orders.number;
                due
            };
            told = Some(epoch);
            for order in due {
                if self.send_order(&order).await.is_err() {
                    return;
                }
            }
            if newest.changed().await.is_err() {
                return;
            }
        }
    }

    async fn send_order(&self, order: &Order) -> Result<(), FrameError> {
        let kind = match order {
            Order::Hello { .. } => "hello",
            Order::EndSession { .. } => "end-session",
            Order::RevokeTicket { .. } => "revoke-ticket",
            Order::Doors { .. } => "doors",
        };
        let made = check_order(order).and_then(|()| remake(order));
        let weighed = made.and_then(|message| {
            let weighed = self.inner.scales.order(kind, message.len(), None);
            weighed.map(|()| message)
        });
        let message = match weighed {
            Ok(message) => message,
            Err(refusal) => {
                let counts = &self.inner.counts;
                counts.refused(Direction::Outward, kind, &refusal);
                return Ok(());
            }
        };
        let stream = self.link.conn.open_uni().await;
        let mut stream = stream.map_err(|lost| FrameError::Stream(lost.into()))?;
        write_frame(&mut stream, &message).await?;
        self.inner.counts.passed(Direction::Outward, kind);
        Ok(())
    }

    async fn question(&self, mut send: SendStream, mut receive: RecvStream) {
        let limit = Duration::from_millis(QUESTION_MS_MAX);
        let read = timeout(limit, read_frame(&mut receive, CONTROL_BYTES_MAX));
        let asked = match read.await {
            Ok(Ok(Some(message))) => self.admit(&message),
            Ok(Err(FrameError::TooLarge { length, max })) => {
                Err((UNKNOWN, Refusal::TooLarge { length, max }))
            }
            Ok(Ok(None) | Err(FrameError::Cut)) | Err(_) => Err((UNKNOWN, Refusal::Malformed)),
            Ok(Err(FrameError::Stream(_))) => return,
        };
        let ask = match asked {
            Ok(ask) => ask,
            Err((kind, refusal)) => return self.refuse(&mut send, kind, &refusal).await,
        };
        self.inner.counts.passed(Direction::Inward, ask.kind());
        match &ask {
            Ask::WatchTicket { ticket } => self.watch(&ask, ticket, send).await,
            Ask::SendFile { file, .. } => {
                let Ok(_permit) = self.inner.files.try_acquire() else {
                    let problem = Problem::new(Code::TooMany, "files under way");
                    self.reply(&ask, Answer::Refused { problem }, &mut send)
                        .await;
                    return;
                };
                let limit = Duration::from_millis(QUESTION_MS_MAX);
                let bytes = match timeout(limit, pieces::read(&mut receive, file)).await {
                    Ok(Ok(bytes)) => bytes,
                    Ok(Err(PieceError::Refused(refusal))) => {
                        return self.refuse(&mut send, ask.kind(), &refusal).await;
                    }
                    Ok(Err(PieceError::Lost)) | Err(_) => return,
                };
                let peer = self.link.peer.clone();
                let taken = self.inner.core.take_file(ask.clone(), bytes, peer);
                let answer = in_time(taken).await.unwrap_or_else(|answer| answer);
                self.reply(&ask, answer, &mut send).await;
            }
            Ask::FetchFile { .. } => {
                let Ok(_permit) = self.inner.files.try_acquire() else {
                    let problem = Problem::new(Code::TooMany, "files under way");
                    self.reply(&ask, Answer::Refused { problem }, &mut send)
                        .await;
                    return;
                };
                let given = self
                    .inner
                    .core
                    .give_file(ask.clone(), self.link.peer.clone());
                let (answer, file) = in_time(given)
                    .await
                    .unwrap_or_else(|late| (late, Vec::new()));
                let is_file = matches!(answer, Answer::File { .. });
                if self.reply(&ask, answer, &mut send).await && is_file {
                    let limit = Duration::from_millis(READ_MS_MAX);
                    // An edge that does not read it sees that it is not whole.
                    drop(timeout(limit, pieces::write(&mut send, &file)).await);
                }
            }
            _ => {
                let answer = self.think(ask.clone()).await;
                self.reply(&ask, answer, &mut send).await;
            }
        }
    }

    /// Decodes a question, checks and weighs it.
    fn admit(&self, message: &[u8]) -> Result<Ask, (&'static str, Refusal)> {
        let (ask, kind) =
            decode::<Ask>(message).map_err(|refused| (refused.kind, refused.refusal))?;
        let (scales, peer) = (&self.inner.scales, &self.link.peer);
        check(&ask)
            .and_then(|()| scales.ask(&ask, message.len(), Some(peer)))
            .map_err(|refusal| (kind, refusal))?;
        Ok(ask)
    }

    async fn think(&self, ask: Ask) -> Answer {
        let handled = self.inner.core.handle(ask, self.link.peer.clone());
        in_time(handled).await.unwrap_or_else(|late| late)
    }

    async fn watch(&self, ask: &Ask, ticket: &TicketId, mut send: SendStream) {
        let watched = self
            .inner
            .core
            .watch(ticket.clone(), self.link.peer.clone());
        let mut views = match watched.await {
            Ok(views) => views,
            Err(problem) => {
                self.reply(ask, Answer::Refused { problem }, &mut send)
                    .await;
                return;
            }
        };
        loop {
            let view = tokio::select! {
                view = views.next() => view,
                // The edge dropped the stream: the customer's page is gone.
                _ = send.stopped() => return,
            };
            let Some(view) = view else { return };
            let view = Box::new(view);
            if !self.reply(ask, Answer::Ticket { view }, &mut send).await {
                return;
            }
        }
    }

    /// Checks an answer, makes its message and sends it. What the core should not have said is
    /// our own fault: it goes to the log and not to the edge.
    async fn reply(&self, ask: &Ask, answer: Answer, send: &mut SendStream) -> bool {
        let counts = &self.inner.counts;
        let kind = kind_of(&answer);
        let made = check_answer(ask, &answer).and_then(|()| remake(&answer));
        let weighed = made.and_then(|message| {
            let weighed = self.inner.scales.answer(kind, message.len(), None);
            weighed.map(|()| message)
        });
        let sound = weighed.is_ok();
        let message = match weighed {
            Ok(message) => message,
            Err(refusal) => {
                counts.refused(Direction::Outward, kind, &refusal);
                instead(&refusal)
            }
        };
        let limit = Duration::from_millis(READ_MS_MAX);
        let written = timeout(limit, write_frame(send, &message)).await;
        let sent = matches!(written, Ok(Ok(())));
        if sound && sent {
            counts.passed(Direction::Outward, kind);
        }
        sound && sent
    }

    async fn refuse(&self, send: &mut SendStream, kind: &'static str, refusal: &Refusal) {
        let counts = &self.inner.counts;
        counts.refused(Direction::Inward, kind, refusal);
        let counted = refusal.is_held_against();
        if counted && self.refusals.fetch_add(1, Ordering::Relaxed) + 1 >= REFUSALS_MAX {
            tracing::error!(edge = %self.link.peer, "tunnel closed: {REFUSALS_MAX} refusals");
            self.link.conn.close(VarInt::from_u32(CODE_REFUSED), b"");
            return;
        }
        let problem = refusal.problem();
        if let Ok(message) = remake(&Answer::Refused { problem }) {
            let limit = Duration::from_millis(READ_MS_MAX);
            // An edge that does not read its refusal has been refused all the same.
            drop(timeout(limit, write_frame(send, &message)).await);
        }
    }
}

/// What the core says within its time, or that it did not.
async fn in_time<T>(thinking: BoxFuture<'_, T>) -> Result<T, Answer> {
    let limit = Duration::from_millis(THINK_MS_MAX);
    timeout(limit, thinking).await.map_err(|_| {
        let problem = Problem::new(Code::NoLeader, "no answer in time");
        Answer::Refused { problem }
    })
}

/// What is said in the place of an answer that may not cross: that it is refused by the matrix, or our own fault.
fn instead(refusal: &Refusal) -> Vec<u8> {
    let problem = match refusal {
        Refusal::Undeclared | Refusal::TooFast { .. } => refusal.problem(),
        _ => Problem::new(Code::Internal, "an answer that may not cross"),
    };
    remake(&Answer::Refused { problem }).unwrap_or_default()
}

struct CloseOnDrop<'a>(&'a Link);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if self.0.conn.close_reason().is_none() {
            self.0.conn.close(VarInt::from_u32(0), b"");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
