//! Which connections a node has and had: who opened them, what is spoken, how much went each way, and which were
//! refused. Kept since the node started, by party and protocol and not by connection, so its size is bounded.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use guitai_crypto::random;
use guitai_host::Clock;
use guitai_types::{
    UnixMillis, Zone,
    observed::{FlowWay, SEEN_FLOWS_MAX},
};
use quinn::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{mesh::lock, name::Peer};

/// What is kept apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKey {
    /// The other party: a node's name, a role, or an address that showed no name.
    pub party: String,
    /// Its zone, where that is known.
    pub zone: Option<Zone>,
    /// ALPN, or what else is spoken.
    pub protocol: String,
    /// Who opens.
    pub way: FlowWay,
}

impl FlowKey {
    /// Connections of the mesh.
    pub(crate) fn of(peer: &Peer, alpn: &str, way: FlowWay) -> Self {
        Self {
            party: peer.name.to_string(),
            zone: Some(peer.zone),
            protocol: alpn.to_owned(),
            way,
        }
    }
}

/// What became of the connections of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Random; the same as long as the node runs.
    pub uid: [u8; 8],
    /// When the first one was opened or refused.
    pub first: UnixMillis,
    /// When something came or went, as of the last look.
    pub last: UnixMillis,
    /// Connections so far.
    pub connections: u64,
    /// Open now.
    pub open: u64,
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
    /// Refused so far.
    pub refused: u64,
    /// Why the last one was.
    pub why: Option<String>,
}

/// The account of one node. Clones are the same.
#[derive(Clone)]
pub struct Ledger {
    book: Arc<Mutex<Book>>,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Book {
    flows: BTreeMap<FlowKey, Tally>,
    open: BTreeMap<u64, Live>,
    next: u64,
    left_out: u64,
}

struct Live {
    key: FlowKey,
    counter: Counter,
    /// Bytes of it that the tally has already.
    sent: u64,
    received: u64,
}

/// Where the bytes of an open connection are counted.
enum Counter {
    Quic(Connection),
    Stream(Arc<Bytes>),
}

#[derive(Default)]
struct Bytes {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counter {
    fn bytes(&self) -> (u64, u64) {
        match self {
            Self::Quic(conn) => {
                let stats = conn.stats();
                (stats.udp_tx.bytes, stats.udp_rx.bytes)
            }
            Self::Stream(bytes) => (
                bytes.sent.load(Ordering::Relaxed),
                bytes.received.load(Ordering::Relaxed),
            ),
        }
    }

    fn is_open(&self) -> bool {
        match self {
            Self::Quic(conn) => conn.close_reason().is_none(),
            Self::Stream(_) => true,
        }
    }
}

impl Book {
    /// The tally of a key; none when there are too many.
    fn tally(&mut self, key: &FlowKey, now: UnixMillis) -> Option<&mut Tally> {
        if !self.flows.contains_key(key) && self.flows.len() >= SEEN_FLOWS_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let tally = self.flows.entry(key.clone()).or_insert_with(|| Tally {
            uid: random::array(),
            first: now,
            last: now,
            connections: 0,
            open: 0,
            sent: 0,
            received: 0,
            refused: 0,
            why: None,
        });
        Some(tally)
    }

    fn enter(&mut self, key: FlowKey, counter: Counter, now: UnixMillis) -> Option<u64> {
        let tally = self.tally(&key, now)?;
        tally.connections = tally.connections.saturating_add(1);
        tally.last = now;
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let live = Live {
            key,
            counter,
            sent: 0,
            received: 0,
        };
        self.open.insert(id, live);
        Some(id)
    }

    /// Adds what came and went since the last look.
    fn read(flows: &mut BTreeMap<FlowKey, Tally>, live: &mut Live, now: UnixMillis) {
        let (sent, received) = live.counter.bytes();
        if (sent, received) == (live.sent, live.received) {
            return;
        }
        if let Some(tally) = flows.get_mut(&live.key) {
            tally.sent = tally.sent.saturating_add(sent.saturating_sub(live.sent));
            let more = received.saturating_sub(live.received);
            tally.received = tally.received.saturating_add(more);
            tally.last = now;
        }
        (live.sent, live.received) = (sent, received);
    }

    fn leave(&mut self, id: u64, now: UnixMillis) {
        if let Some(mut live) = self.open.remove(&id) {
            Self::read(&mut self.flows, &mut live, now);
        }
    }
}

impl Ledger {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let book = Arc::default();
        Self { book, clock }
    }

    /// A QUIC connection is open until what this gives is dropped.
    pub fn enter(&self, key: FlowKey, conn: Connection) -> Entered {
        self.begin(key, Counter::Quic(conn))
    }

    /// Counts the bytes of a stream until it is dropped.
    pub fn metered<S>(&self, key: FlowKey, stream: S) -> Metered<S> {
        let bytes = Arc::<Bytes>::default();
        let entered = self.begin(key, Counter::Stream(bytes.clone()));
        Metered {
            stream,
            bytes,
            _entered: entered,
        }
    }

    /// A connection did not come about.
    pub fn refused(&self, key: &FlowKey, why: &str) {
        let now = self.clock.wall();
        if let Some(tally) = lock(&self.book).tally(key, now) {
            tally.refused = tally.refused.saturating_add(1);
            tally.last = now;
            tally.why = Some(why.to_owned());
        }
    }

    fn begin(&self, key: FlowKey, counter: Counter) -> Entered {
        let now = self.clock.wall();
        let id = lock(&self.book).enter(key, counter, now);
        Entered {
            ledger: self.clone(),
            id,
        }
    }

    /// Every flow since the node started, and how many connections were not kept apart.
    pub fn seen(&self) -> (BTreeMap<FlowKey, Tally>, u64) {
        let now = self.clock.wall();
        let mut book = lock(&self.book);
        let book = &mut *book;
        for tally in book.flows.values_mut() {
            tally.open = 0;
        }
        for live in book.open.values_mut() {
            Book::read(&mut book.flows, live, now);
            if let Some(tally) = book.flows.get_mut(&live.key)
                && live.counter.is_open()
            {
                tally.open = tally.open.saturating_add(1);
            }
        }
        (book.flows.clone(), book.left_out)
    }
}

/// An open connection of the account.
pub struct Entered {
    ledger: Ledger,
    id: Option<u64>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let now = self.ledger.clock.wall();
            lock(&self.ledger.book).leave(id, now);
        }
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entered({:?})", self.id)
    }
}

/// A stream whose bytes are counted.
pub struct Metered<S> {
    stream: S,
    bytes: Arc<Bytes>,
    _entered: Entered,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len().saturating_sub(before);
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        self.bytes.received.fetch_add(read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S> Metered<S> {
    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = &outcome {
            let written = u64::try_from(*written).unwrap_or(u64::MAX);
            self.bytes.sent.fetch_add(written, Ordering::Relaxed);
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use guitai_host::ManualClock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn key(party: &str) -> FlowKey {
        FlowKey {
            party: party.to_owned(),
            zone: None,
            protocol: "http".to_owned(),
            way: FlowWay::Accepted,
        }
    }

    #[tokio::test]
    async fn bytes_of_open_and_ended_streams_are_counted_once() {
        let ledger = Ledger::new(Arc::new(ManualClock::new(UnixMillis(7))));
        let (near, mut far) = tokio::io::duplex(1024);
        let mut near = ledger.metered(key("a"), near);
        far.write_all(b"12345").await.unwrap();
        near.read_exact(&mut [0; 5]).await.unwrap();
        near.write_all(b"123").await.unwrap();
        let look = || {
            let (flows, left_out) = ledger.seen();
            assert_eq!((flows.len(), left_out), (1, 0));
            let tally = &flows[&key("a")];
            (tally.connections, tally.open, tally.sent, tally.received)
        };
        assert_eq!(look(), (1, 1, 3, 5));
        assert_eq!(look(), (1, 1, 3, 5));
        near.write_all(b"4").await.unwrap();
        drop(near);
        assert_eq!(look(), (1, 0, 4, 5));
        drop(ledger.metered(key("a"), far));
        assert_eq!(look(), (2, 0, 4, 5));
    }

    #[test]
    fn parties_are_bounded_and_what_is_left_out_is_counted() {
        let ledger = Ledger::new(Arc::new(ManualClock::new(UnixMillis(7))));
        for party in 0..SEEN_FLOWS_MAX + 3 {
            ledger.refused(&key(&party.to_string()), "no");
        }
        ledger.refused(&key("0"), "still no");
        let (flows, left_out) = ledger.seen();
        assert_eq!((flows.len(), left_out), (SEEN_FLOWS_MAX, 3));
        let first = &flows[&key("0")];
        assert_eq!((first.refused, first.why.as_deref()), (2, Some("still no")));
    }
}
