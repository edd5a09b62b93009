//! The accepting half of the mesh: handshake, admission, and a task for every connection.

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use guitai_host::Clock;
use guitai_types::{Zone, observed::FlowWay};
use quinn::{Connection, ConnectionError, Endpoint};
use quinn_proto::TransportError;

use crate::{
    gate::Place,
    handshake::Handshakes,
    ledger::{FlowKey, Ledger},
    mesh::{CODE_FORBIDDEN, CloseOnDrop, HANDSHAKE_MS_MAX, Handlers, Hold, Link, alpn_of, lock},
    name::Peer,
    revocation::{ExamineError, Revocations},
    rule,
};

/// Handshakes accepted at once; a cluster has fewer nodes.
const HANDSHAKES_MAX: usize = 128;

/// What is refused before it is known what would have been spoken.
const HANDSHAKE: &str = "handshake";

/// What whoever comes in is held against, and whom it is led to.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) zone: Zone,
    pub(crate) gate: Place,
    pub(crate) handlers: Handlers,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Accepts until the endpoint closes.
pub(crate) async fn accept(endpoint: Endpoint, house: House) {
    let handshakes = Handshakes::new(HANDSHAKES_MAX);
    while let Some(incoming) = endpoint.accept().await {
        let Some((incoming, place)) = handshakes.enter(incoming) else {
            continue;
        };
        let house = house.clone();
        tokio::spawn(async move {
            let from = incoming.remote_address();
            let accepted = welcome(incoming, &house).await;
            drop(place);
            if let Err(error) = &accepted
                && let Some(flow) = error.flow(from)
            {
                house.ledger.refused(&flow, &error.words());
            }
            let link = match accepted {
                Ok(link) => link,
                // The gate says it, once for all the tries.
                Err(WelcomeError::Undeclared { alpn, peer, why }) => {
                    tracing::debug!(%from, alpn, %peer, why, "mesh connection refused");
                    return;
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(%from, error, "mesh connection refused");
                    return;
                }
            };
            let flow = FlowKey::of(&link.peer, &link.alpn, FlowWay::Accepted);
            let _entered = house.ledger.enter(flow, link.conn.clone());
            let _closed = CloseOnDrop(link.conn.clone());
            let handler = lock(&house.handlers).get(&link.alpn).cloned();
            if let Some(handler) = handler {
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
    #[error("certificate")]
    Certificate(#[from] ExamineError),
    #[error("{alpn} from {peer}")]
    Forbidden {
        alpn: String,
        peer: Peer,
        #[source]
        source: rule::Forbidden,
    },
    #[error("{alpn} from {peer}: {why}")]
    Undeclared {
        alpn: String,
        peer: Peer,
        why: String,
    },
}

impl WelcomeError {
    /// What this node refused, as far as it is known; nothing where the other end went away or was slow.
    fn flow(&self, from: SocketAddr) -> Option<FlowKey> {
        let flow = match self {
            Self::Forbidden { alpn, peer, .. } | Self::Undeclared { alpn, peer, .. } => {
                FlowKey::of(peer, alpn, FlowWay::Accepted)
            }
            Self::Certificate(ExamineError::Revoked { peer, .. }) => {
                FlowKey::of(peer, HANDSHAKE, FlowWay::Accepted)
            }
            // Of whoever showed no name the address is all there is; only nodes reach this endpoint.
            Self::NoAlpn | Self::Certificate(_) => nameless(from),
            Self::Handshake(ConnectionError::TransportError(error)) if is_alert(error) => {
                nameless(from)
            }
            // Packets of a handshake that this node gave up look like one that begins and does not decrypt.
            Self::Handshake(_) | Self::Slow => return None,
        };
        Some(flow)
    }

    fn words(&self) -> String {
        match self {
            Self::Undeclared { why, .. } => why.clone(),
            Self::Forbidden { source, .. } => source.to_string(),
            Self::Certificate(error) => error.to_string(),
            other => {
                let cause = std::error::Error::source(other);
                cause.map_or_else(|| other.to_string(), ToString::to_string)
            }
        }
    }
}

fn nameless(from: SocketAddr) -> FlowKey {
    FlowKey {
        party: from.ip().to_string(),
        zone: None,
        protocol: HANDSHAKE.to_owned(),
        way: FlowWay::Accepted,
    }
}

/// Whether TLS refused it (RFC 9001, 4.8: CRYPTO_ERROR and the alert).
fn is_alert(error: &TransportError) -> bool {
    const CRYPTO_ERRORS: Range<u64> = 0x100..0x200;
    CRYPTO_ERRORS.contains(&u64::from(error.code))
}

async fn welcome(incoming: quinn::Incoming, house: &House) -> Result<Link, WelcomeError> {
    let connecting = incoming.accept()?;
    let handshake = Duration::from_millis(HANDSHAKE_MS_MAX);
    let conn = match tokio::time::timeout(handshake, connecting).await {
        Ok(conn) => conn?,
        Err(_elapsed) => return Err(WelcomeError::Slow),
    };
    let admitted = admit(&conn, house);
    if admitted.is_err() {
        conn.close(CODE_FORBIDDEN, b"");
    }
    let (peer, alpn) = admitted?;
    Ok(Link {
        conn,
        peer,
        alpn,
        hold: Hold::default(),
    })
}

fn admit(conn: &Connection, house: &House) -> Result<(Peer, String), WelcomeError> {
    let alpn = alpn_of(conn).ok_or(WelcomeError::NoAlpn)?;
    let now_unix = house.clock.wall().0 / 1000;
    let peer = house.revocations.examine(conn, &alpn, false, now_unix)?;
    if let Err(source) = rule::may_open(&alpn, peer.zone, house.zone) {
        return Err(WelcomeError::Forbidden { alpn, peer, source });
    }
    match house.gate.may_enter(&alpn, &peer) {
        Ok(()) => Ok((peer, alpn)),
        Err(why) => Err(WelcomeError::Undeclared { alpn, peer, why }),
    }
}
