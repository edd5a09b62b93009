//! The answering end of calls: one request from each stream, each in its own task.

use std::{sync::Arc, time::Duration};

use guitai_types::limits::RPC_BYTES_MAX;
use quinn::SendStream;

use crate::{
    BoxFuture,
    frame::{read_frame, write_frame},
    mesh::{Link, Mesh},
    name::Peer,
};

/// How long a peer may take to send its request, in milliseconds.
const REQUEST_MS_MAX: u64 = 10_000;

impl Mesh {
    /// Answers every request on connections of `alpn` with what `answer` makes of it. An answer of
    /// `None` ends the stream without one.
    pub fn serve_calls(&self, alpn: &str, answer: Answerer) {
        let handler = move |link: Link| -> BoxFuture<'static, ()> {
            let answer = answer.clone();
            Box::pin(each_request(link, move |peer, request, mut send| {
                let answered = answer(peer, request);
                Box::pin(async move {
                    if let Some(message) = answered.await {
                        reply(&mut send, &message).await;
                    }
                })
            }))
        };
        self.serve(alpn, Arc::new(handler));
    }
}

/// What answers the calls of one ALPN.
pub type Answerer = Arc<dyn Fn(Peer, Vec<u8>) -> BoxFuture<'static, Option<Vec<u8>>> + Send + Sync>;

/// Reads one request from each stream of a link, each in its own task.
pub(crate) async fn each_request<F>(link: Link, act: F)
where
    F: Fn(Peer, Vec<u8>, SendStream) -> BoxFuture<'static, ()> + Clone + Send + Sync + 'static,
{
    // Streams of one connection are bounded by the transport's limit.
    while let Ok((send, mut receive)) = link.conn.accept_bi().await {
        let (peer, act) = (link.peer.clone(), act.clone());
        tokio::spawn(async move {
            let limit = Duration::from_millis(REQUEST_MS_MAX);
            let read = read_frame(&mut receive, RPC_BYTES_MAX);
            match tokio::time::timeout(limit, read).await {
                Ok(Ok(Some(request))) => act(peer, request, send).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => tracing::warn!(%peer, %error, "request not read"),
                Err(_elapsed) => tracing::warn!(%peer, "request not sent in {REQUEST_MS_MAX} ms"),
            }
        });
    }
}

/// Sends an answer; a caller that is gone needs none.
pub(crate) async fn reply(send: &mut SendStream, message: &[u8]) {
    if let Err(error) = write_frame(send, message).await {
        tracing::debug!(%error, "answer not sent");
    }
}
