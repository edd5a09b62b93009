//! The router of `guitai-call/1` and `guitai-node/1`: calls by kind, with one answer or a stream of
//! bytes.
//!
//! A request is a frame: one byte length of the kind, the kind, the body. An answer is a frame whose
//! first byte says [`DONE`] or [`REFUSED`]; the rest is the answer or the reason. A streaming call is
//! answered by an empty [`DONE`] frame and then bytes until the stream ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use guitai_types::observed::FlowWay;
use quinn::{RecvStream, SendStream};

use crate::{
    BoxFuture, CALL_ALPN, NODE_ALPN,
    answer::{each_request, reply},
    gate::Place,
    ledger::{FlowKey, Ledger},
    mesh::{Link, Mesh, lock},
    name::{Peer, Target},
    pool::{CALL_MS_MAX, CallError},
};

/// Longest name of a kind in bytes; it fits its length byte.
pub const KIND_BYTES_MAX: usize = 64;
/// Longest reason of a refusal in bytes; more is cut off.
const REASON_BYTES_MAX: usize = 512;

const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// Answers calls of one kind; an error's text goes to the caller.
pub type OnCall =
    Arc<dyn Fn(Peer, Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync>;
/// Answers streaming calls of one kind: refuses before the first byte, or gives what writes them.
pub type OnStream =
    Arc<dyn Fn(Peer, Vec<u8>) -> BoxFuture<'static, Result<StreamWriter, String>> + Send + Sync>;
/// Writes the bytes of a streaming answer. When it returns, the stream ends; to say that the bytes
/// are not complete, it resets the stream (`SendStream::reset`).
pub type StreamWriter = Box<dyn FnOnce(SendStream) -> BoxFuture<'static, ()> + Send>;

#[derive(Clone)]
enum Handler {
    Call(OnCall),
    Stream(OnStream),
}

/// What this node answers, by kind. Cheap to clone; kinds may be added while it serves.
#[derive(Clone, Default)]
pub struct Calls {
    handlers: Arc<Mutex<BTreeMap<&'static str, Handler>>>,
}

impl Calls {
    /// Answers nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers calls of `kind`; replaces what answered it before.
    pub fn register(&self, kind: &'static str, handler: OnCall) {
        lock(&self.handlers).insert(kind, Handler::Call(handler));
    }

    /// Answers streaming calls of `kind`.
    pub fn register_stream(&self, kind: &'static str, handler: OnStream) {
        lock(&self.handlers).insert(kind, Handler::Stream(handler));
    }

    /// Serves `guitai-call/1` on the mesh: calls between inner nodes.
    pub fn attach(&self, mesh: &Mesh) {
        self.attach_as(mesh, CALL_ALPN);
    }

    /// Serves `guitai-node/1` on the mesh: what inner nodes ask of any node about itself.
    pub fn attach_questions(&self, mesh: &Mesh) {
        self.attach_as(mesh, NODE_ALPN);
    }

    fn attach_as(&self, mesh: &Mesh, alpn: &str) {
        let door = Arc::new(Entrance {
            calls: self.clone(),
            alpn: alpn.to_owned(),
            gate: mesh.gate(),
            ledger: mesh.ledger().clone(),
        });
        let handler = move |link: Link| -> BoxFuture<'static, ()> {
            let door = door.clone();
            Box::pin(each_request(link, move |peer, request, send| {
                let door = door.clone();
                Box::pin(async move { door.answer(peer, &request, send).await })
            }))
        };
        mesh.serve(alpn, Arc::new(handler));
    }

    fn of(&self, kind: &str) -> Option<Handler> {
        lock(&self.handlers).get(kind).cloned()
    }
}

/// Where calls of one ALPN come in.
struct Entrance {
    calls: Calls,
    alpn: String,
    gate: Place,
    ledger: Ledger,
}

impl Entrance {
    async fn answer(&self, peer: Peer, request: &[u8], mut send: SendStream) {
        let Some((kind, body)) = split(request) else {
            return refuse(&mut send, "malformed request").await;
        };
        let Some(handler) = self.calls.of(kind) else {
            return refuse(&mut send, "unknown kind").await;
        };
        if let Err(why) = self.gate.may_call(&self.alpn, &peer, kind, body.len()) {
            let flow = FlowKey::of(&peer, &self.alpn, FlowWay::Accepted);
            self.ledger.refused(&flow, &why);
            return refuse(&mut send, &why).await;
        }
        match handler {
            Handler::Call(handler) => match handler(peer, body.to_vec()).await {
                Ok(answer) => reply(&mut send, &[&[DONE], &answer[..]].concat()).await,
                Err(reason) => refuse(&mut send, &reason).await,
            },
            Handler::Stream(handler) => match handler(peer, body.to_vec()).await {
                Ok(write) => {
                    reply(&mut send, &[DONE]).await;
                    write(send).await;
                }
                Err(reason) => refuse(&mut send, &reason).await,
            },
        }
    }
}

impl Mesh {
    /// Calls `kind` on a node within [`CALL_MS_MAX`].
    pub async fn call_kind(
        &self,
        to: &Target,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let deadline = Duration::from_millis(CALL_MS_MAX);
        self.call_kind_within(to, kind, body, deadline).await
    }

    /// Calls `kind` on a node within `deadline`.
    pub async fn call_kind_within(
        &self,
        to: &Target,
        kind: &str,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let request = join(kind, &body);
        let answer = self.call_within(to, CALL_ALPN, request, deadline).await?;
        judge(to, answer)
    }

    /// Puts a question to a node about itself, within `deadline`; an edge answers too.
    pub async fn question(
        &self,
        to: &Target,
        kind: &str,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let request = join(kind, &body);
        let answer = self.call_within(to, NODE_ALPN, request, deadline).await?;
        judge(to, answer)
    }

    /// Calls a streaming `kind`; its bytes are read from the stream, at the caller's pace. A stream
    /// that was reset is not complete.
    pub async fn call_stream(
        &self,
        to: &Target,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<RecvStream, CallError> {
        let deadline = Duration::from_millis(CALL_MS_MAX);
        let request = join(kind, &body);
        let mut opened = self.open(to, CALL_ALPN, &request, deadline).await?;
        let answer = opened.answer(to, deadline).await?;
        judge(to, answer)?;
        Ok(opened.receive)
    }

    /// As [`Self::call_stream`], for a question that may be asked twice: when the connection turns out to be one from
    /// before the other node started again, it is asked over a new one.
    pub async fn ask_stream(
        &self,
        to: &Target,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<RecvStream, CallError> {
        match self.call_stream(to, kind, body.clone()).await {
            Err(CallError::Lost { .. }) => self.call_stream(to, kind, body).await,
            answered => answered,
        }
    }
}

async fn refuse(send: &mut SendStream, reason: &str) {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason.get(..end).unwrap_or_default();
    reply(send, &[&[REFUSED], reason.as_bytes()].concat()).await;
}

fn join(kind: &str, body: &[u8]) -> Vec<u8> {
    let end = kind.floor_char_boundary(KIND_BYTES_MAX);
    let kind = kind.get(..end).unwrap_or_default().as_bytes();
    let length = u8::try_from(kind.len()).unwrap_or_default();
    [&[length], kind, body].concat()
}

fn split(request: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = request.split_first()?;
    let (kind, body) = rest.split_at_checked(length.into())?;
    let kind = std::str::from_utf8(kind).ok()?;
    Some((kind, body))
}

fn judge(to: &Target, answer: Vec<u8>) -> Result<Vec<u8>, CallError> {
    let peer = to.peer();
    match answer.split_first() {
        Some((&DONE, rest)) => Ok(rest.to_vec()),
        Some((&REFUSED, rest)) => Err(CallError::Refused {
            peer,
            reason: String::from_utf8_lossy(rest).into_owned(),
        }),
        _ => Err(CallError::NoAnswer { peer }),
    }
}
