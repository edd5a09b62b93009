//! A node's door: one port, TCP for pages and WebSocket, UDP for WebTransport and QUIC.

use std::sync::Arc;

use guitai_api::DoorSource;
use guitai_crypto::x509::Identity;
use guitai_host::Clock;
use guitai_net::{Door, Ledger, mesh::alpn_of};
use guitai_relay::Relay;
use guitai_types::{Hex, Member, inventory::CryptoPolicy, view::DoorView};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{error::AssembleError, observing};

/// The two sockets of a door, bound and not yet served.
pub(crate) struct Sockets {
    pub(crate) http: TcpListener,
    pub(crate) media: Door,
}

impl Sockets {
    /// Binds both. Under the strict policy the UDP door shows `own`, the node's SM2 certificate.
    pub(crate) async fn bind(
        member: &Member,
        policy: CryptoPolicy,
        own: &Identity,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AssembleError> {
        let addr = member.door;
        let http = TcpListener::bind(addr)
            .await
            .map_err(|source| AssembleError::Listen { addr, source })?;
        let alpns = Relay::door_alpns();
        let media = match policy {
            CryptoPolicy::Mixed => {
                let hosts = [addr.ip().to_string(), "localhost".to_owned()];
                Door::bind(addr, &hosts, &alpns, clock)?
            }
            CryptoPolicy::Strict => {
                tracing::info!(
                    "crypto.policy = strict: the door speaks RFC 8998 only; common browsers come through the bank's gateway, over WebSocket"
                );
                Door::bind_national(addr, own, &alpns)?
            }
        };
        Ok(Self { http, media })
    }

    /// What the API tells pages about this door, with the certificates in use when asked.
    pub(crate) fn source(&self, member: &Member) -> DoorSource {
        let media = self.media.clone();
        let member = member.clone();
        Arc::new(move || DoorView {
            node: member.name.clone(),
            centre: member.centre.clone(),
            webtransport: format!("https://{}", member.door),
            websocket: format!("ws://{}", member.door),
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
        while let Some(connection) = door.accept().await {
            let relay = relay.clone();
            let flow = observing::media(&member, alpn_of(&connection).as_deref());
            let entered = ledger.enter(flow, connection.clone());
            tokio::spawn(async move {
                relay.serve_door(connection).await;
                drop(entered);
            });
        }
    })
}
