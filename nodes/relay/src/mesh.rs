//! Node to node: links between relays, and recorders' subscriptions, authorised by certificate.
//!
//! Inner relays dial; an edge only accepts. Between the zones a link carries customers' broadcasts
//! inward and agents' outward and nothing else, so that a captured edge can neither speak as an
//! agent nor listen to other rooms' agents' customers of other edges.

use std::{sync::Arc, time::Duration};

use guitai_net::{Connection, Link, Mesh, Target, VarInt};
use guitai_types::Zone;
use moq_net::{Client, Pattern, Patterns, Server, origin};
use tokio::task::JoinHandle;

use crate::{
    admission::{Refused, RoomName},
    origin::media_now,
    relay::{Introduction, Relay, Scope, everything, linger, refused_handshake, rooted},
    table::Transport,
};

/// What we dial other nodes with.
pub(crate) const ALPN: &str = moq_net::ALPNS[0];
/// What a link between centres adds to a route's cost; one more hop is never cheaper.
const LINK_COST: u64 = 1;
/// Concurrent streams of a link each way: two tracks of 8,000 broadcasts.
const LINK_STREAMS_MAX: u32 = 16_384;
/// First pause after a link was lost.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest pause; a node that comes back is linked within this.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// What may cross from the DMZ into the inner zone: customers' broadcasts.
const INWARD: &str = "*/*/customer/**";
/// What may cross from the inner zone into the DMZ: agents' broadcasts.
const OUTWARD: &str = "*/*/agent/**";

/// Keeps a link to another relay; dropping it ends the link.
pub struct PeerLink {
    keeper: JoinHandle<()>,
}

impl Drop for PeerLink {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Relay {
    /// Serves every MoQ version on the mesh. Call once, before traffic.
    pub fn register(&self, mesh: &Mesh) {
        for alpn in moq_net::ALPNS {
            let relay = self.clone();
            mesh.serve(
                alpn,
                Arc::new(move |link| {
                    let relay = relay.clone();
                    Box::pin(async move { relay.serve_mesh(link).await })
                }),
            );
        }
    }

    /// Serves one connection from another node until it ends, in a task of its own. Without a path
    /// it is a link between relays; with a room as its path it may subscribe in that room.
    pub async fn serve_mesh(&self, link: Link) {
        let relay = self.clone();
        self.contain("mesh", async move { relay.serve_link(link).await })
            .await;
    }

    /// Keeps a link to the relay `target`, for as long as the result lives.
    #[must_use = "the link ends when this is dropped"]
    pub fn dial_peer(&self, mesh: Mesh, target: Target) -> PeerLink {
        let relay = self.clone();
        let keeper = tokio::spawn(async move { relay.keep_link(&mesh, &target).await });
        PeerLink { keeper }
    }

    async fn serve_link(&self, link: Link) -> Result<(), Refused> {
        let transport = web_transport_quinn::Session::raw(link.conn);
        let connection = transport.clone();
        let server = Server::new();
        let handshake = self.within_deadline(async {
            let handshake = server.accept_request(media_now(), transport).await;
            handshake.map_err(refused_handshake)
        });
        let handshake = handshake.await?;
        let decided = self.mesh_place().and_then(|place| {
            let path = handshake.path();
            Ok((place, self.mesh_scope(link.peer.zone, path)?))
        });
        match decided {
            Ok((place, (room, scope))) => {
                if room.is_none() {
                    widen(&connection);
                }
                let who = Introduction {
                    who: format!("node:{}", link.peer.name),
                    room: room.map(|room| room.to_string()),
                    transport: Transport::Mesh,
                    admission: None,
                };
                let served = self.serve(handshake, scope, who).await;
                drop(place);
                served
            }
            Err(refused) => {
                handshake.close(moq_net::Error::Unauthorized);
                linger(connection.closed()).await;
                Err(refused)
            }
        }
    }

    /// What a node may do here, by its certificate's zone and the path it asks for.
    fn mesh_scope(&self, zone: Zone, path: &str) -> Result<(Option<RoomName>, Scope), Refused> {
        if zone != Zone::Inner {
            return Err(Refused::Node);
        }
        if path.trim_matches('/').is_empty() {
            return Ok((None, self.link_scope(zone)?));
        }
        let room = RoomName::parse(path).ok_or(Refused::Path)?;
        let subscribe = rooted(&self.0.origin, &room, &everything())?;
        let publish = None;
        Ok((Some(room), Scope { publish, subscribe }))
    }

    /// What crosses a link between relays. `publish` is what comes from the other side.
    fn link_scope(&self, theirs: Zone) -> Result<Scope, Refused> {
        let (from_them, from_us) = match (self.0.config.zone, theirs) {
            (Zone::Dmz, Zone::Inner) => (pattern(OUTWARD)?, pattern(INWARD)?),
            (Zone::Inner, Zone::Dmz) => (pattern(INWARD)?, pattern(OUTWARD)?),
            (Zone::Inner, Zone::Inner) => (everything(), everything()),
            _ => return Err(Refused::Node),
        };
        let part = |patterns: &Patterns| -> Result<origin::Producer, Refused> {
            let scope = self.0.origin.scope("", patterns);
            Ok(scope.map_err(|_| Refused::Node)?.peer())
        };
        Ok(Scope {
            publish: Some(part(&from_them)?),
            subscribe: Some(part(&from_us)?),
        })
    }

    async fn keep_link(&self, mesh: &Mesh, target: &Target) {
        let mut pause = BACKOFF_MIN;
        loop {
            match self.link(mesh, target).await {
                Ok(end) => {
                    pause = BACKOFF_MIN;
                    tracing::info!(peer = %target.name, %end, "link to a relay lost");
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::debug!(peer = %target.name, error, "a relay could not be linked");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }

    /// Makes one link and returns when it ends.
    async fn link(&self, mesh: &Mesh, target: &Target) -> Result<moq_net::Error, LinkError> {
        let scope = self.link_scope(target.zone)?;
        let place = self.mesh_place()?;
        let link = mesh.dial(ALPN, target).await.map_err(Box::new)?;
        let mut client = Client::new()
            .with_cost(LINK_COST)
            .with_stats(self.0.counters.session(Transport::Mesh));
        if let Some(offered) = &scope.subscribe {
            client = client.with_publisher(offered);
        }
        if let Some(taken) = scope.publish {
            client = client.with_subscriber(taken);
        }
        widen(&link.conn);
        let _hold = link.hold;
        let transport = web_transport_quinn::Session::raw(link.conn);
        let (session, driver) = self
            .within_deadline(async {
                let connected = client.connect(media_now(), transport).await;
                connected.map_err(refused_handshake)
            })
            .await?;
        let who = Introduction {
            who: format!("node:{}", target.name),
            room: None,
            transport: Transport::Mesh,
            admission: None,
        };
        let seat = self.enter(who, &session)?;
        tracing::info!(peer = %target.name, version = %session.version(), "linked to a relay");
        let driver = tokio::spawn(moq_net::time::run(driver));
        let end = session.closed().await;
        driver.abort();
        drop((seat, place));
        Ok(end)
    }
}

/// Why a link did not come about.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the node could not be dialled")]
    Dial(#[from] Box<guitai_net::mesh::DialError>),
    #[error("the link was not made")]
    Refused(#[from] Refused),
}

/// A link carries every track of a centre; the limit of a single call would stall it.
fn widen(connection: &Connection) {
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(LINK_STREAMS_MAX));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(LINK_STREAMS_MAX));
}

fn pattern(text: &str) -> Result<Patterns, Refused> {
    let pattern: Pattern = text.parse().map_err(|_| Refused::Node)?;
    Ok([pattern].into_iter().collect())
}
