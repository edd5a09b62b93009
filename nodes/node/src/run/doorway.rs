//! A node's door: one port, TCP for pages and WebSocket, UDP for WebTransport and QUIC; and who stands at it.

use std::sync::Arc;

use guitai_api::{Addresses, DoorSource, DoorStatsSource, PassedSource};
use guitai_crypto::x509::Identity;
use guitai_host::Clock;
use guitai_net::{Door, DoorStats, Doorman, Ledger, Way, mesh::alpn_of, widen_listener};
use guitai_relay::Relay;
use guitai_types::{
    Hex, Member, UnixMillis, door::DoorLimits, inventory::CryptoPolicy, limits::MEDIA_SESSIONS_MAX,
    observed::SeenMessages, origin::Origin, passed::NodePassed, profile::DoorTls, view::DoorView,
};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{error::AssembleError, observing};

/// What this node's relay counted of one session.
pub(crate) fn passed(member: &Member, relay: &Relay, since: UnixMillis) -> PassedSource {
    let (node, zone, relay) = (member.name.clone(), member.zone, relay.clone());
    Arc::new(move |session| NodePassed {
        node: node.clone(),
        zone,
        since,
        connections: relay.passed(session),
    })
}

/// What the account of flows calls a door, where control messages have their direction.
const AT_THE_DOOR: &str = "door";

/// Who lets in at the two sockets of a door.
#[derive(Clone)]
pub(crate) struct Doormen {
    pub(crate) tcp: Doorman,
    quic: Doorman,
}

impl Doormen {
    /// At an edge: strangers come in.
    pub(crate) fn of_edge(limits: &DoorLimits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            tcp: Doorman::tcp(limits, clock.clone()),
            quic: Doorman::quic(limits, clock.clone()),
        }
    }

    /// Inside: staff come in.
    pub(crate) fn inside(clock: &Arc<dyn Clock>) -> Self {
        let media = u32::try_from(MEDIA_SESSIONS_MAX).unwrap_or(u32::MAX);
        let lax = |way, connections| Doorman::lax(way, connections, clock.clone());
        Self {
            tcp: lax(Way::Tcp, guitai_api::CONNECTIONS_MAX),
            quic: lax(Way::Quic, media),
        }
    }

    fn stats(&self) -> [DoorStats; 2] {
        [self.tcp.stats(), self.quic.stats()]
    }

    /// How both stand, whenever it is asked.
    pub(crate) fn source(&self) -> DoorStatsSource {
        let this = self.clone();
        Arc::new(move || this.stats().to_vec())
    }

    /// Whom and what they did not let in, as an auditor reads it.
    pub(crate) fn refused(&self) -> Vec<SeenMessages> {
        let seen = |it: DoorStats| {
            let refused = it.refused.into_iter();
            refused.map(move |(why, count)| SeenMessages {
                direction: AT_THE_DOOR.to_owned(),
                kind: it.way.as_str().to_owned(),
                verdict: why.as_str().to_owned(),
                count,
            })
        };
        self.stats().into_iter().flat_map(seen).collect()
    }
}

/// The two sockets of a door, bound and not yet served.
pub(crate) struct Sockets {
    pub(crate) http: TcpListener,
    pub(crate) media: Door,
    /// What browsers call it, where it has TLS.
    origin: Option<Origin>,
}

impl Sockets {
    /// Binds both. Under the strict policy the UDP door shows `own`, the node's SM2 certificate.
    pub(crate) async fn bind(
        member: &Member,
        policy: CryptoPolicy,
        own: &Identity,
        tls: Option<&DoorTls>,
        doormen: &Doormen,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AssembleError> {
        let origin = tls.map(|tls| tls.origin.clone());
        let addr = member.door;
        let http = TcpListener::bind(addr)
            .await
            .map_err(|source| AssembleError::Listen { addr, source })?;
        widen_listener(&http);
        let alpns = Relay::door_alpns();
        let doorman = doormen.quic.clone();
        let media = match policy {
            CryptoPolicy::Mixed => {
                let mut hosts = vec![addr.ip().to_string(), "localhost".to_owned()];
                hosts.extend(origin.iter().map(|origin| origin.host().to_owned()));
                Door::bind(addr, &hosts, &alpns, doorman, clock)?
            }
            CryptoPolicy::Strict => {
                tracing::info!(
                    "crypto.policy = strict: the door speaks RFC 8998 only; common browsers come through the bank's gateway, over WebSocket"
                );
                Door::bind_national(addr, own, &alpns, doorman)?
            }
        };
        Ok(Self {
            http,
            media,
            origin,
        })
    }

    /// What the API tells pages about this door, with the certificates in use when asked.
    pub(crate) fn source(&self, member: &Member) -> DoorSource {
        let media = self.media.clone();
        let member = member.clone();
        let at = Addresses::of(&member, self.origin.as_ref());
        Arc::new(move || DoorView {
            node: member.name.clone(),
            centre: member.centre.clone(),
            webtransport: at.webtransport.clone(),
            websocket: at.websocket.clone(),
            certificate_hashes: media
                .certificate_hashes()
                .iter()
                .map(|hash| Hex(hash.to_vec()).to_string())
                .collect(),
            version: guitai_api::VERSION.to_owned(),
        })
    }
}

/// Hands every media connection of the door to the relay, each in a task of its own, entered in the `ledger`.
pub(crate) fn serve_media(
    door: Door,
    relay: Relay,
    member: Member,
    ledger: Ledger,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(arrived) = door.accept().await {
            let relay = relay.clone();
            let flow = observing::media(&member, alpn_of(&arrived.connection).as_deref());
            let entered = ledger.enter(flow, arrived.connection.clone());
            tokio::spawn(async move {
                relay.serve_door(arrived).await;
                drop(entered);
            });
        }
    })
}
