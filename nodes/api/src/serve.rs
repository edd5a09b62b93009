//! Serving a router on a listener, in TLS where the door has a certificate: connections that the doorman lets in, bounded
//! time for handshakes, heads and readers, a graceful end.

mod patient;

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use guitai_net::{Doorman, FlowKey, Guest, Ledger, Why};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use self::patient::Patient;
use crate::visit::Visit;

/// TCP connections at once of a door that only staff reach; an edge's are in its profile (`[door_limits]`).
pub const CONNECTIONS_MAX: u32 = 24_000;
/// A request's head must be there in this time, in milliseconds; idle connections end with it too.
pub const HEAD_MS_MAX: u64 = 15_000;
/// Whoever takes nothing of what is sent for so long, in milliseconds, is given up. An event stream sends a sign of life
/// every two seconds.
pub const WRITE_MS_MAX: u64 = 20_000;
/// Longest request head in bytes; a media token in the query is under 2 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A TLS handshake must be done in this time, in milliseconds; a bad mobile network takes two seconds for it.
pub const TLS_MS_MAX: u64 = 10_000;
/// How long connections may finish after the end was asked for, in milliseconds.
const DRAIN_MS_MAX: u64 = 3_000;
/// Pause after a failed accept (file descriptors used up), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// TLS as a door speaks it now; what is sent later is for new connections.
pub type TlsSource = watch::Receiver<Arc<ServerConfig>>;

/// Serves whom the `doorman` lets in until `shutdown` is ready, then lets open requests finish for a short while.
/// Connections are entered in the `ledger` under `flow`. With `tls` nothing is ever answered in plain.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    doorman: Doorman,
    (ledger, flow): (Ledger, FlowKey),
    tls: Option<TlsSource>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX);
    let (ending, ended) = watch::channel(());
    let mut open = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &doorman) => accepted,
        };
        while open.try_join_next().is_some() {}
        let (stream, guest) = match accepted {
            Ok(Some(accepted)) => accepted,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                continue;
            }
        };
        let visit = Visit::of(guest);
        let stream = Patient::new(ledger.metered(flow.clone(), stream), visit.clone());
        let serving = Serving {
            http: http.clone(),
            router: router.clone(),
            ended: ended.clone(),
            visit,
        };
        match &tls {
            None => open.spawn(serving.run(stream)),
            Some(tls) => {
                let acceptor = TlsAcceptor::from(tls.borrow().clone());
                open.spawn(serving.run_in_tls(acceptor, stream))
            }
        };
    }
    drop(listener);
    drop(ending);
    let drain = Duration::from_millis(DRAIN_MS_MAX);
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, all).await.is_err() {
        tracing::info!("connections that did not end in time are cut");
    }
    Ok(())
}

/// One connection.
struct Serving {
    http: http1::Builder,
    router: Router,
    ended: watch::Receiver<()>,
    visit: Visit,
}

impl Serving {
    async fn run_in_tls<S>(self, acceptor: TlsAcceptor, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limit = Duration::from_millis(TLS_MS_MAX);
        let guest = self.visit.guest();
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(limit, acceptor.accept(stream)) => accepted,
            () = guest.displaced() => return,
        };
        match accepted {
            Ok(Ok(stream)) => {
                // What came so far was no head of a request.
                self.visit.asks();
                self.run(stream).await;
            }
            // Scanners, and browsers that do not trust the certificate.
            Ok(Err(error)) => {
                guest.refused(Why::Handshake);
                tracing::debug!(%error, "a TLS handshake failed");
            }
            Err(_elapsed) => guest.refused(Why::Handshake),
        }
    }

    async fn run<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            http,
            router,
            mut ended,
            visit,
        } = self;
        let naming = visit.clone();
        let known = router.map_request(move |request| name(&naming, request));
        let service = TowerToHyperService::new(known);
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = connection.as_mut() => served,
            // Whoever is displaced is cut: a farewell would be one more thing that a flood can ask for.
            () = visit.guest().displaced() => return,
            _ = ended.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = served {
            count(&visit, &error);
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The next connection; nothing where the doorman does not let it in.
async fn accept(
    listener: &TcpListener,
    doorman: &Doorman,
) -> io::Result<Option<(TcpStream, Guest)>> {
    let (stream, from) = listener.accept().await?;
    let Ok(guest) = doorman.arrive(from.ip(), true) else {
        // A reset, so that nothing of it stays in the kernel either. It is gone already if that fails.
        drop(stream.set_zero_linger());
        return Ok(None);
    };
    // Events and media records are small and must not wait for each other.
    match stream.set_nodelay(true) {
        Ok(()) => Ok(Some((stream, guest))),
        // Whoever has gone meanwhile is no failure of ours.
        Err(_gone) => Ok(None),
    }
}

/// A request that knows by which connection it came.
fn name(visit: &Visit, request: Request<Incoming>) -> Request {
    visit.asks();
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(visit.clone());
    request
}

/// What a connection ended with, if it is something that a door refuses.
fn count(visit: &Visit, error: &hyper::Error) {
    if error.is_timeout() && visit.has_begun() {
        visit.guest().refused(Why::SlowHead);
    } else if error.is_parse() {
        visit.guest().refused(Why::BadHead);
    }
}

#[cfg(test)]
mod tests;
