//! Relays over real sockets on loopback: the door, WebSockets, the mesh, and the client on all
//! three.

mod door;
mod mesh;
mod refusal;
mod stock;
mod websocket;

use std::{sync::Arc, time::Duration};

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_host::{Clock, SystemClock};
use guitai_net::{Door, Doorman, Mesh, Target};
use guitai_relay::{
    Config, Limits, Relay,
    client::{Announcement, Connection, Event, Frame, Room, Subscriber},
    hang::{AudioConfig, Catalog, VideoConfig},
    token::Signer,
};
use guitai_types::{
    Epoch, Zone,
    claims::{Claims, Grant},
    door::DoorLimits,
};
use url::Url;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const ROOM: &str = "/demo-bank/session-1";
const RECORDER_AGE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("{what}: nothing after {PATIENCE:?}"))
}

/// A root, a ticket key, and the nodes they vouch for.
struct World {
    authority: Authority,
    signer: Signer,
    clock: Arc<dyn Clock>,
}

/// What a token says; the default is the customer of [`ROOM`].
struct Ask {
    room: &'static str,
    ticket: &'static str,
    publish: &'static [&'static str],
    subscribe: &'static [&'static str],
    life_ms: i64,
    epoch: u64,
}

const CUSTOMER: Ask = Ask {
    room: ROOM,
    ticket: "ticket-1",
    publish: &["customer"],
    subscribe: &["agent"],
    life_ms: 60_000,
    epoch: 1,
};
const AGENT: Ask = Ask {
    publish: &["agent"],
    subscribe: &["customer"],
    ..CUSTOMER
};
const WATCHER: Ask = Ask {
    publish: &[],
    subscribe: &[""],
    ..CUSTOMER
};

impl World {
    fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let now = clock.wall().0 / 1000;
        Self {
            authority: Authority::create("test root", "test", 30, now).unwrap(),
            signer: Signer::new(sm2::SecretKey::generate()),
            clock,
        }
    }

    fn token(&self, ask: &Ask) -> String {
        let (institution, session) = ask.room[1..].split_once('/').unwrap();
        let prefixes = |list: &[&str]| list.iter().map(|&p| p.to_owned()).collect();
        let mut expires_at = self.clock.wall();
        expires_at.0 = expires_at.0.saturating_add_signed(ask.life_ms);
        self.signer.sign(&Claims {
            v: 1,
            expires_at,
            epoch: Epoch(ask.epoch),
            grant: Grant::Media {
                institution: institution.parse().unwrap(),
                session: session.parse().unwrap(),
                ticket: ask.ticket.parse().unwrap(),
                publish: prefixes(ask.publish),
                subscribe: prefixes(ask.subscribe),
            },
        })
    }

    fn path(&self, ask: &Ask) -> String {
        format!("{}?jwt={}", ask.room, self.token(ask))
    }

    fn node(&self, name: &str, zone: Zone) -> Node {
        self.node_with(name, zone, Limits::default())
    }

    fn node_with(&self, name: &str, zone: Zone, limits: Limits) -> Node {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: name.to_owned(),
            organization: "test".to_owned(),
            dns_names: vec![format!("{name}.{zone}.guitai.internal")],
        };
        let now = self.clock.wall().0 / 1000;
        let leaf = self
            .authority
            .issue(&subject, &key.public(), Usage::Tls, 30, now)
            .unwrap();
        let identity = Identity {
            chain: vec![leaf],
            key,
        };
        let roots = [self.authority.certificate_der().to_vec()];
        let any = "127.0.0.1:0".parse().unwrap();
        let clock = Arc::clone(&self.clock);
        let mesh = Mesh::bind(any, &identity, &roots, Arc::clone(&clock)).unwrap();
        let config = Config {
            name: name.parse().unwrap(),
            zone,
            limits,
        };
        let relay = Relay::new(config, self.signer.verifier(), Arc::clone(&clock));
        relay.register(&mesh);
        let hosts = ["127.0.0.1".to_owned()];
        let doorman = Doorman::quic(&DoorLimits::default(), Arc::clone(&clock));
        let door = Door::bind(any, &hosts, &Relay::door_alpns(), doorman, clock).unwrap();
        let door = Arc::new(door);
        let (accepting, serving) = (Arc::clone(&door), relay.clone());
        tokio::spawn(async move {
            while let Some(arrived) = accepting.accept().await {
                let relay = serving.clone();
                tokio::spawn(async move { relay.serve_door(arrived).await });
            }
        });
        Node { mesh, relay, door }
    }

    async fn enter(&self, node: &Node, ask: &Ask) -> Connection {
        let url = node.url(&self.path(ask));
        let pins = node.door.certificate_hashes();
        soon("connect", Connection::connect_webtransport(&url, &pins))
            .await
            .unwrap()
    }
}

/// A relay with its two sockets.
struct Node {
    mesh: Mesh,
    relay: Relay,
    door: Arc<Door>,
}

impl Node {
    fn url(&self, path: &str) -> Url {
        let addr = self.door.local_addr().unwrap();
        format!("https://{addr}{path}").parse().unwrap()
    }

    fn target(&self) -> Target {
        Target {
            addr: self.mesh.local_addr().unwrap(),
            name: self.mesh.me().name.clone(),
            zone: self.mesh.me().zone,
        }
    }
}

/// Waits until so many are connected: a client is done with its handshake before the relay is.
async fn connected(relay: &Relay, count: usize) {
    soon("sessions", async {
        while relay.sessions().len() != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn catalog() -> Catalog {
    let video = VideoConfig::h264("avc1.42e01f", 640, 360, 15.0, 500_000);
    Catalog::new(Some(video), Some(AudioConfig::opus(1, 32_000)))
}

/// Waits until a broadcast of this name is announced.
async fn announced(room: &Room, name: &str) {
    let mut announced = room.announced("");
    soon("announcement", async {
        while announced.next().await != Some(Announcement::Started(name.to_owned())) {}
    })
    .await;
}

async fn frame(subscriber: &mut Subscriber) -> Frame {
    match soon("frame", subscriber.next()).await {
        Some(Event::Frame(frame)) => frame,
        other => panic!("a frame was expected, not {other:?}"),
    }
}
