//! Calls over kept connections: one connection per peer and ALPN, dialled when first needed and
//! again when it was lost; one bidirectional stream per call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use guitai_types::limits::{MEDIA_STREAMS_MAX, RPC_BYTES_MAX};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    frame::{FrameError, read_frame, write_frame},
    mesh::{BESIDE_MS, DialError, Link, Mesh, lock},
    name::{Peer, Target},
};

/// How long a call may take unless its caller says otherwise, in milliseconds.
pub const CALL_MS_MAX: u64 = 5_000;
/// Calls under way to one peer over one ALPN; below the stream limit, so that a caller waits here,
/// where its deadline counts, and not inside QUIC.
pub const CALLS_MAX: usize = 128;

/// A call that waited this long, in milliseconds, on a connection on which nothing was heard since it began,
/// and that is given up, takes the connection with it.
const MUTE_MS: u64 = 500;

const _: () = assert!(CALLS_MAX < MEDIA_STREAMS_MAX as usize);

/// Why a call brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The peer was not reached; the request was not sent.
    #[error("cannot reach {peer}")]
    Dial {
        /// Whom.
        peer: Peer,
        /// Why.
        #[source]
        source: Arc<DialError>,
    },
    /// The request is too large; it was not sent.
    #[error("request of {length} bytes, the limit is {RPC_BYTES_MAX}")]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// The deadline passed before the request was sent.
    #[error("not sent to {peer} in {ms} ms")]
    NotSent {
        /// To whom.
        peer: Peer,
        /// The deadline.
        ms: u64,
    },
    /// The deadline passed; whether the peer did it is unknown.
    #[error("no answer from {peer} in {ms} ms")]
    Silent {
        /// From whom.
        peer: Peer,
        /// The deadline.
        ms: u64,
    },
    /// The connection was lost during the call; whether the peer did it is unknown.
    #[error("call to {peer}")]
    Lost {
        /// To whom.
        peer: Peer,
        /// Why.
        #[source]
        source: FrameError,
    },
    /// The peer ended the stream without an answer: its handler failed.
    #[error("{peer} gave no answer")]
    NoAnswer {
        /// Who.
        peer: Peer,
    },
    /// The peer answered that it will not or cannot.
    #[error("{peer} refused: {reason}")]
    Refused {
        /// Who.
        peer: Peer,
        /// Its words.
        reason: String,
    },
}

impl CallError {
    /// Whether the peer may have acted on the request. If not, anyone may be asked again; if so,
    /// only an idempotent request may be repeated.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::TooLarge { .. } | Self::NotSent { .. } => false,
            Self::Silent { .. }
            | Self::Lost { .. }
            | Self::NoAnswer { .. }
            | Self::Refused { .. } => true,
        }
    }
}

impl Mesh {
    /// Sends a request and reads the answer within [`CALL_MS_MAX`].
    pub async fn call(
        &self,
        to: &Target,
        alpn: &str,
        request: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let deadline = Duration::from_millis(CALL_MS_MAX);
        self.call_within(to, alpn, request, deadline).await
    }

    /// Sends a request and reads the answer within `deadline`, dialling included.
    pub async fn call_within(
        &self,
        to: &Target,
        alpn: &str,
        request: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let mut opened = self.open(to, alpn, &request, deadline).await?;
        opened.answer(to, deadline).await
    }

    /// The round trip to each node that calls were made to, as QUIC measured it on the connections
    /// that are open; of several to one node the shortest.
    pub fn round_trips(&self) -> BTreeMap<Peer, Duration> {
        let mut trips = BTreeMap::new();
        for ((target, _), line) in lock(&self.pool().lines).iter() {
            if let State::Up(link) = &*lock(&line.state)
                && link.conn.close_reason().is_none()
            {
                let rtt = link.conn.rtt();
                let known = trips.entry(target.peer()).or_insert(rtt);
                *known = rtt.min(*known);
            }
        }
        trips
    }

    /// Opens a stream on the kept connection and sends the request.
    pub(crate) async fn open(
        &self,
        to: &Target,
        alpn: &str,
        request: &[u8],
        deadline: Duration,
    ) -> Result<Opened, CallError> {
        if request.len() > RPC_BYTES_MAX {
            let length = request.len();
            return Err(CallError::TooLarge { length });
        }
        let due = self.clock().monotonic().saturating_add(deadline);
        let line = self.pool().line(to, alpn);
        let unsent = || CallError::NotSent {
            peer: to.peer(),
            ms: millis(deadline),
        };
        let ready = tokio::time::timeout(deadline, async {
            // The semaphore is never closed; if it were, the call simply would not count.
            let permit = line.calls.clone().acquire_owned().await.ok();
            let (link, streams) = self.stream(&line, to, alpn).await?;
            Ok::<_, CallError>((permit, link, streams))
        });
        let (permit, link, (mut send, receive)) = ready.await.map_err(|_elapsed| unsent())??;
        let waiting = Waiting {
            mesh: self.clone(),
            heard: heard(&link.conn),
            link,
            line,
            since: self.clock().monotonic(),
            due,
        };
        let opened = Opened {
            receive,
            waiting,
            _permit: permit,
        };
        let left = opened.waiting.left();
        let written = tokio::time::timeout(left, async {
            write_frame(&mut send, request).await?;
            // Only fails when the stream was finished or reset before, and it was not.
            send.finish().map_err(|e| FrameError::Stream(e.into()))
        });
        match written.await {
            Ok(Ok(())) => Ok(opened),
            Ok(Err(source)) => Err(CallError::Lost {
                peer: to.peer(),
                source,
            }),
            Err(_elapsed) => Err(CallError::Silent {
                peer: to.peer(),
                ms: millis(deadline),
            }),
        }
    }

    /// A stream on the line's connection. A kept connection may have died unnoticed: nothing was
    /// sent on it yet, so it is dialled once more.
    async fn stream(
        &self,
        line: &Arc<Line>,
        to: &Target,
        alpn: &str,
    ) -> Result<(Link, (SendStream, RecvStream)), CallError> {
        let link = self.connection(line, to, alpn).await?;
        if let Ok(streams) = link.conn.open_bi().await {
            return Ok((link, streams));
        }
        let link = self.connection(line, to, alpn).await?;
        match link.conn.open_bi().await {
            Ok(streams) => Ok((link, streams)),
            Err(source) => {
                let peer = to.peer();
                let source = DialError::Handshake {
                    peer: peer.clone(),
                    source,
                };
                let source = Arc::new(source);
                Err(CallError::Dial { peer, source })
            }
        }
    }

    /// The line's connection, dialled if there is none. The dialling runs in a task of its own:
    /// it outlives a caller with a short deadline, so that the next one finds it done.
    async fn connection(
        &self,
        line: &Arc<Line>,
        to: &Target,
        alpn: &str,
    ) -> Result<Link, CallError> {
        let mut dialled = {
            let mut state = lock(&line.state);
            match &*state {
                State::Up(link) if link.conn.close_reason().is_none() => return Ok(link.clone()),
                State::Dialling(dialled) => dialled.clone(),
                State::Up(_) | State::Down => {
                    let (done, dialled) = watch::channel(None);
                    *state = State::Dialling(dialled.clone());
                    let (mesh, line) = (self.clone(), line.clone());
                    let (to, alpn) = (to.clone(), alpn.to_owned());
                    tokio::spawn(async move { mesh.dial_line(&line, &to, &alpn, &done).await });
                    dialled
                }
            }
        };
        let outcome = match dialled.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_dialler_gone) => None,
        };
        match outcome {
            Some(Ok(link)) => Ok(link),
            Some(Err(source)) => Err(CallError::Dial {
                peer: to.peer(),
                source,
            }),
            None => {
                *lock(&line.state) = State::Down;
                let peer = to.peer();
                let source = Arc::new(DialError::Silent { peer: peer.clone() });
                Err(CallError::Dial { peer, source })
            }
        }
    }

    async fn dial_line(
        &self,
        line: &Line,
        to: &Target,
        alpn: &str,
        done: &watch::Sender<Option<Dialled>>,
    ) {
        let beside = Duration::from_millis(BESIDE_MS);
        let dialled = self.dial_beside(alpn, to, Some(beside)).await;
        let dialled = dialled.map_err(Arc::new);
        *lock(&line.state) = match &dialled {
            Ok(link) => State::Up(link.clone()),
            Err(_) => State::Down,
        };
        done.send_replace(Some(dialled));
    }
}

/// A call under way: request sent, answer to come.
pub(crate) struct Opened {
    pub(crate) receive: RecvStream,
    waiting: Waiting,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Opened {
    /// Reads the answer's frame within what is left of `deadline`.
    pub(crate) async fn answer(
        &mut self,
        to: &Target,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let peer = to.peer();
        let read = read_frame(&mut self.receive, RPC_BYTES_MAX);
        match tokio::time::timeout(self.waiting.left(), read).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(CallError::NoAnswer { peer }),
            Ok(Err(source)) => Err(CallError::Lost { peer, source }),
            Err(_elapsed) => Err(CallError::Silent {
                peer,
                ms: millis(deadline),
            }),
        }
    }
}

/// What a call waits on. When it ends, by an answer, its deadline or because its caller went elsewhere, a
/// connection that was mute all the time is not kept until its idle timeout; the next call dials. Calls still
/// on it may yet be answered.
///
/// A node that crashed may be back, and asked again, within that timeout. Nothing sent on the old connection
/// makes it reset that: what was under way fills the congestion window, and the probes come at ever longer
/// intervals.
struct Waiting {
    mesh: Mesh,
    link: Link,
    line: Arc<Line>,
    /// Datagrams heard before it began.
    heard: u64,
    since: Duration,
    due: Duration,
}

impl Waiting {
    /// What is left of the deadline.
    fn left(&self) -> Duration {
        self.due.saturating_sub(self.mesh.clock().monotonic())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let suspect = self.since.saturating_add(Duration::from_millis(MUTE_MS));
        let was_long = self.mesh.clock().monotonic() >= suspect.min(self.due);
        if !was_long || heard(&self.link.conn) != self.heard {
            return;
        }
        let mut state = lock(&self.line.state);
        let same = |link: &Link| link.conn.stable_id() == self.link.conn.stable_id();
        if matches!(&*state, State::Up(link) if same(link)) {
            *state = State::Down;
        }
    }
}

fn heard(conn: &Connection) -> u64 {
    conn.stats().udp_rx.datagrams
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

type Dialled = Result<Link, Arc<DialError>>;

/// Lines by target and ALPN. Bounded by the members of a cluster: callers only call members.
#[derive(Default)]
pub(crate) struct Pool {
    lines: Mutex<BTreeMap<(Target, String), Arc<Line>>>,
}

impl Pool {
    fn line(&self, to: &Target, alpn: &str) -> Arc<Line> {
        let mut lines = lock(&self.lines);
        let line = lines.entry((to.clone(), alpn.to_owned()));
        line.or_insert_with(Line::new).clone()
    }
}

struct Line {
    state: Mutex<State>,
    calls: Arc<Semaphore>,
}

impl Line {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Down),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        })
    }
}

enum State {
    Down,
    Dialling(watch::Receiver<Option<Dialled>>),
    Up(Link),
}
