//! The accepting half of the mesh: handshake, admission, and a task for every connection.

use std::{sync::Arc, time::Duration};

use guitai_host::Clock;
use guitai_types::Zone;
use quinn::{Connection, ConnectionError, Endpoint, VarInt};

use crate::{
    handshake::Handshakes,
    mesh::{CODE_FORBIDDEN, HANDSHAKE_MS_MAX, Handlers, Link, alpn_of, lock, peer_of},
    name::Peer,
    rule,
};

/// Handshakes accepted at once; a cluster has fewer nodes.
const HANDSHAKES_MAX: usize = 128;

/// Accepts until the endpoint closes.
pub(crate) async fn accept(
    endpoint: Endpoint,
    zone: Zone,
    handlers: Handlers,
    clock: Arc<dyn Clock>,
) {
    let handshakes = Handshakes::new(HANDSHAKES_MAX);
    while let Some(incoming) = endpoint.accept().await {
        let Some((incoming, place)) = handshakes.enter(incoming) else {
            continue;
        };
        let handlers = handlers.clone();
        let clock = clock.clone();
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let accepted = welcome(incoming, zone, &*clock).await;
            drop(place);
            let link = match accepted {
                Ok(link) => link,
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%from, error, "mesh connection refused");
                    return;
                }
            };
            let handler = lock(&handlers).get(&link.alpn).cloned();
            if let Some(handler) = handler {
                let _closed = CloseOnDrop(link.conn.clone());
                handler(link).await;
            }
        });
    }
}

/// Why an accepted connection was not used.
#[derive(Debug, thiserror::Error)]
enum WelcomeError {
    #[error("handshake")]
    Handshake(#[from] ConnectionError),
    #[error("handshake not done in {HANDSHAKE_MS_MAX} ms")]
    Slow,
    #[error("no ALPN")]
    NoAlpn,
    #[error("the certificate names no node, or has expired")]
    Nameless,
    #[error("{alpn} from {peer}")]
    Forbidden {
        alpn: String,
        peer: Peer,
        #[source]
        source: rule::Forbidden,
    },
}

async fn welcome(
    incoming: quinn::Incoming,
    zone: Zone,
    clock: &dyn Clock,
) -> Result<Link, WelcomeError> {
    let connecting = incoming.accept()?;
    let handshake = Duration::from_millis(HANDSHAKE_MS_MAX);
    let conn = match tokio::time::timeout(handshake, connecting).await {
        Ok(conn) => conn?,
        Err(_elapsed) => return Err(WelcomeError::Slow),
    };
    let admitted = admit(&conn, zone, clock.wall().0 / 1000);
    if admitted.is_err() {
        conn.close(CODE_FORBIDDEN, b"");
    }
    let (peer, alpn) = admitted?;
    Ok(Link { conn, peer, alpn })
}

fn admit(conn: &Connection, zone: Zone, now_unix: u64) -> Result<(Peer, String), WelcomeError> {
    let alpn = alpn_of(conn).ok_or(WelcomeError::NoAlpn)?;
    let peer = peer_of(conn, now_unix).ok_or(WelcomeError::Nameless)?;
    match rule::may_open(&alpn, peer.zone, zone) {
        Ok(()) => Ok((peer, alpn)),
        Err(source) => Err(WelcomeError::Forbidden { alpn, peer, source }),
    }
}

/// Closes a connection also when its handler panics. One that is closed already keeps its reason.
struct CloseOnDrop(Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if self.0.close_reason().is_none() {
            self.0.close(VarInt::from_u32(0), b"");
        }
    }
}
