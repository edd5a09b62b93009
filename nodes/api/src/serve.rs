//! Serving a router on a listener: bounded connections, bounded header time, a graceful end.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use guitai_net::{FlowKey, Ledger};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

/// TCP connections of one door at once.
pub const CONNECTIONS_MAX: usize = 24_000;
/// A request's head must be there in this time, in milliseconds; idle connections end with it too.
pub const HEAD_MS_MAX: u64 = 15_000;
/// Longest request head in bytes; a media token in the query is under 2 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long connections may finish after the end was asked for, in milliseconds.
const DRAIN_MS_MAX: u64 = 3_000;
/// Pause after a failed accept (file descriptors used up), in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Serves until `shutdown` is ready, then lets open requests finish for a short while. Connections are entered in the
/// `ledger` under `flow`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    (ledger, flow): (Ledger, FlowKey),
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX);
    let (ending, ended) = watch::channel(());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                continue;
            }
        };
        let stream = ledger.metered(flow.clone(), stream);
        let service = TowerToHyperService::new(router.clone());
        let connection = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut ended = ended.clone();
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let served = tokio::select! {
                served = connection.as_mut() => served,
                _ = ended.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    drop(ending);
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let drain = Duration::from_millis(DRAIN_MS_MAX);
    if tokio::time::timeout(drain, places.acquire_many(all))
        .await
        .is_err()
    {
        tracing::info!("connections that did not end in time are cut");
    }
    Ok(())
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Events and media records are small and must not wait for each other.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_what_is_under_way() -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (asked, mut arrived) = tokio::sync::mpsc::channel::<()>(1);
        let (finish, wait) = watch::channel(false);
        let slow = async move || {
            let mut wait = wait.clone();
            asked.send(()).await.ok();
            drop(wait.wait_for(|go| *go).await);
            "done"
        };
        let router = Router::new().route("/", axum::routing::get(slow));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let clock = Arc::new(guitai_host::SystemClock::new());
        let ledger = Ledger::new(clock);
        let flow = FlowKey {
            party: "customer".to_owned(),
            zone: None,
            protocol: "http".to_owned(),
            way: guitai_types::observed::FlowWay::Accepted,
        };
        let entered = (ledger.clone(), flow.clone());
        let server = tokio::spawn(serve(listener, router, entered, async {
            drop(stopped.await);
        }));

        let mut client = TcpStream::connect(address).await?;
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await?;
        arrived.recv().await.ok_or("the request did not arrive")?;
        drop(stop);
        finish.send(true)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await?;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"),
            "{answer}"
        );
        server.await??;
        let (seen, _) = ledger.seen();
        let tally = seen.get(&flow).ok_or("the connection is not accounted")?;
        let sent = u64::try_from(answer.len())?;
        let came = u64::try_from("GET / HTTP/1.1\r\nhost: x\r\n\r\n".len())?;
        assert_eq!(
            (tally.connections, tally.sent, tally.received),
            (1, sent, came)
        );
        Ok(())
    }
}
