//! The door: the UDP endpoint browsers reach, with a certificate of its own making that is
//! replaced in time (see [`crate::rotation`]), or under the strict policy with the node's own SM2
//! certificate and no algorithm but national ones.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use guitai_crypto::{random, tls, web, x509};
use guitai_host::Clock;
use quinn::{Connection, Endpoint, Incoming, VarInt, crypto::rustls::QuicServerConfig};
use tokio::sync::mpsc;

use crate::{
    doorman::{Doorman, Guest},
    fence::FencedServer,
    limiter::Why,
    mesh::{HANDSHAKE_MS_MAX, lock},
    rotation::{Due, Rotation},
    transport,
};

/// Connections that wait for [`Door::accept`]; beyond it new ones are closed.
const BACKLOG_MAX: usize = 256;
/// How often the rotation is looked at, in milliseconds.
const ROTATION_CHECK_MS: u64 = 60_000;
/// Closing code: more than this door takes.
const CODE_BUSY: VarInt = VarInt::from_u32(3);

/// Why a door was not opened, or its certificate not replaced.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The socket.
    #[error("cannot listen on UDP {addr}")]
    Socket {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No certificate for these hosts.
    #[error("door certificate")]
    Certificate(#[source] web::MakeError),
    /// The certificate makes no TLS configuration.
    #[error("TLS configuration")]
    Tls(#[source] tls::ConfigError),
    /// The suite for Initial packets is not the one QUIC demands.
    #[error("QUIC initial suite")]
    Initial,
}

/// A node's door for browsers. Cheap to clone; the endpoint closes with the last clone.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    alpns: Vec<String>,
    /// None under the strict policy: the node's certificate is not the door's to make.
    pinned: Option<Pinned>,
    arrived: tokio::sync::Mutex<mpsc::Receiver<Arrived>>,
}

/// A connection whose handshake is done. It is a stranger's, with little room, until it is [`Arrived::served`].
#[derive(Debug)]
pub struct Arrived {
    /// The connection.
    pub connection: Connection,
    guest: Guest,
}

impl Arrived {
    /// It has shown a ticket: it keeps its place and gets the room that media take.
    ///
    /// # Errors
    /// When the ticket or the door has too many connections: it stays a stranger.
    pub fn served(&self, bearer: &str) -> Result<(), Why> {
        self.guest.served(bearer)?;
        transport::make_room(&self.connection);
        Ok(())
    }

    /// Resolves when a newcomer has taken the stranger's place; the connection is closed then.
    pub async fn displaced(&self) {
        self.guest.displaced().await;
        self.connection.close(CODE_BUSY, b"");
    }
}

/// The certificate that pages pin, and what making the next one takes.
struct Pinned {
    hosts: Vec<String>,
    rotation: Mutex<Rotation>,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// Opens the door with a fresh certificate for `hosts` (DNS names and IP addresses). Needs a
    /// tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        hosts: &[String],
        alpns: &[&str],
        doorman: Doorman,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DoorError> {
        let now = clock.wall();
        let certificate = web::make(hosts, now.0 / 1000).map_err(DoorError::Certificate)?;
        let alpns: Vec<String> = alpns.iter().map(|&alpn| alpn.to_owned()).collect();
        let config = server_config(&certificate, &alpns)?;
        // A new key per process is enough: the certificate does not outlive it either.
        let endpoint = transport::endpoint(&certificate.key_der);
        let pinned = Pinned {
            hosts: hosts.to_vec(),
            rotation: Mutex::new(Rotation::new(certificate, now)),
            clock,
        };
        let door = Self::open(addr, endpoint, config, alpns, Some(pinned), doorman)?;
        tokio::spawn(keep_rotating(Arc::downgrade(&door.inner)));
        Ok(door)
    }

    /// Opens the door for clients that speak RFC 8998 and refuses all others (the strict policy). It
    /// shows `identity`, the node's own certificate, and asks for none. Needs a tokio runtime.
    pub fn bind_national(
        addr: SocketAddr,
        identity: &x509::Identity,
        alpns: &[&str],
        doorman: Doorman,
    ) -> Result<Self, DoorError> {
        let alpns: Vec<String> = alpns.iter().map(|&alpn| alpn.to_owned()).collect();
        let config = national_config(identity, &alpns)?;
        let endpoint = transport::endpoint(&random::array::<32>());
        Self::open(addr, endpoint, config, alpns, None, doorman)
    }

    /// A national door shows this certificate of the node from now on, to newcomers; the pinned one
    /// of a browsers' door is another matter and stays.
    pub fn renew(&self, identity: &x509::Identity) -> Result<(), DoorError> {
        if self.is_national() {
            let config = national_config(identity, &self.inner.alpns)?;
            self.inner.endpoint.set_server_config(Some(config));
        }
        Ok(())
    }

    fn open(
        addr: SocketAddr,
        endpoint: quinn::EndpointConfig,
        config: quinn::ServerConfig,
        alpns: Vec<String>,
        pinned: Option<Pinned>,
        doorman: Doorman,
    ) -> Result<Self, DoorError> {
        let socket = std::net::UdpSocket::bind(addr).inspect(transport::widen);
        let endpoint = socket.and_then(|socket| {
            let runtime = Arc::new(quinn::TokioRuntime);
            Endpoint::new(endpoint, Some(config), socket, runtime)
        });
        let endpoint = endpoint.map_err(|source| DoorError::Socket { addr, source })?;
        let (arrive, arrived) = mpsc::channel(BACKLOG_MAX);
        tokio::spawn(accept(endpoint.clone(), arrive, doorman));
        let inner = Arc::new(Inner {
            endpoint,
            alpns,
            pinned,
            arrived: tokio::sync::Mutex::new(arrived),
        });
        Ok(Self { inner })
    }

    /// The next connection whose handshake is done; `None` when the door is closed. Handshakes run
    /// in tasks of their own: a slow one holds up nobody.
    pub async fn accept(&self) -> Option<Arrived> {
        self.inner.arrived.lock().await.recv().await
    }

    /// SHA-256 of the certificates a page may meet: the one served now, then the next. None where
    /// no common browser is served.
    pub fn certificate_hashes(&self) -> Vec<[u8; 32]> {
        let pinned = self.inner.pinned.as_ref();
        pinned.map_or_else(Vec::new, |pinned| lock(&pinned.rotation).hashes())
    }

    /// End of validity of the browser certificate served now, seconds since 1970.
    pub fn certificate_not_after_unix(&self) -> Option<u64> {
        let pinned = self.inner.pinned.as_ref()?;
        Some(lock(&pinned.rotation).not_after_unix())
    }

    /// Whether only national algorithms are spoken here ([`Door::bind_national`]).
    pub fn is_national(&self) -> bool {
        self.inner.pinned.is_none()
    }

    /// Where it listens, with the real port if 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.endpoint.local_addr()
    }

    /// Does what is due to the certificate now. Runs by itself every minute.
    pub fn rotate(&self) -> Result<(), DoorError> {
        self.inner.rotate()
    }

    /// Closes every connection and waits until the browsers have been told.
    pub async fn close(&self) {
        self.inner.endpoint.close(VarInt::from_u32(0), b"");
        self.inner.endpoint.wait_idle().await;
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Door({:?})", self.inner.endpoint.local_addr().ok())
    }
}

impl Inner {
    fn rotate(&self) -> Result<(), DoorError> {
        let Some(pinned) = &self.pinned else {
            return Ok(());
        };
        let now = pinned.clock.wall();
        let mut rotation = lock(&pinned.rotation);
        // Twice at most: a node that slept through the overlap makes and then serves.
        for _ in 0..2 {
            match rotation.due(now) {
                Due::Nothing => break,
                Due::MakeNext => {
                    let next = web::make(&pinned.hosts, now.0 / 1000);
                    rotation.prepare(next.map_err(DoorError::Certificate)?, now);
                    tracing::info!("next door certificate made and published");
                }
                Due::ServeNext => {
                    if let Some(next) = rotation.next() {
                        let config = server_config(next, &self.alpns)?;
                        self.endpoint.set_server_config(Some(config));
                        rotation.advance();
                        tracing::info!("next door certificate served");
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The accept task holds the endpoint too; this ends it.
        self.endpoint.close(VarInt::from_u32(0), b"");
    }
}

async fn keep_rotating(door: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(Duration::from_millis(ROTATION_CHECK_MS)).await;
        let Some(door) = door.upgrade() else { return };
        if let Err(error) = door.rotate() {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                error,
                "door certificate not replaced; tried again in a minute"
            );
        }
    }
}

async fn accept(endpoint: Endpoint, arrive: mpsc::Sender<Arrived>, doorman: Doorman) {
    while let Some(incoming) = endpoint.accept().await {
        let Some((incoming, guest)) = knock(incoming, &doorman) else {
            continue;
        };
        let (arrive, doorman) = (arrive.clone(), doorman.clone());
        tokio::spawn(async move {
            let Some(connection) = shake_hands(incoming, &guest).await else {
                doorman.refused(Why::Handshake);
                return;
            };
            // Who made it through a handshake has heard our answers where it says it is.
            if guest.settle().is_err() {
                connection.close(CODE_BUSY, b"");
                return;
            }
            if let Err(refused) = arrive.try_send(Arrived { connection, guest }) {
                doorman.refused(Why::Full);
                refused.into_inner().connection.close(CODE_BUSY, b"");
            }
        });
    }
}

/// A place for a newcomer. Without one it has been answered and is gone.
fn knock(incoming: Incoming, doorman: &Doorman) -> Option<(Incoming, Guest)> {
    let proven = incoming.remote_address_validated();
    match doorman.arrive(incoming.remote_address().ip(), proven) {
        Ok(guest) => Some((incoming, guest)),
        Err(Why::Unproven) => {
            if let Err(unanswered) = incoming.retry() {
                unanswered.into_incoming().ignore();
            }
            None
        }
        // It has proven that it can hear the refusal; the others get no answer that is worth a flood.
        Err(_) if proven => {
            incoming.refuse();
            None
        }
        Err(_) => {
            incoming.ignore();
            None
        }
    }
}

/// The handshake, unless it takes too long or somebody else gets the place.
async fn shake_hands(incoming: Incoming, guest: &Guest) -> Option<Connection> {
    let from = incoming.remote_address();
    let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
    let handshake = tokio::time::timeout(limit, incoming);
    let done = tokio::select! {
        done = handshake => done,
        () = guest.displaced() => return None,
    };
    match done {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(error)) => tracing::debug!(%from, %error, "door handshake failed"),
        Err(_elapsed) => tracing::debug!(%from, "door handshake too slow"),
    }
    None
}

fn server_config(
    certificate: &web::Certificate,
    alpns: &[String],
) -> Result<quinn::ServerConfig, DoorError> {
    let alpns: Vec<&[u8]> = alpns.iter().map(String::as_bytes).collect();
    let tls = tls::browser_server_config(certificate, &alpns).map_err(DoorError::Tls)?;
    quic(tls)
}

fn national_config(
    identity: &x509::Identity,
    alpns: &[String],
) -> Result<quinn::ServerConfig, DoorError> {
    let alpns: Vec<&[u8]> = alpns.iter().map(String::as_bytes).collect();
    quic(tls::national_door_config(identity, &alpns).map_err(DoorError::Tls)?)
}

fn quic(tls: rustls::ServerConfig) -> Result<quinn::ServerConfig, DoorError> {
    let quic = QuicServerConfig::with_initial(Arc::new(tls), tls::initial_suite())
        .map_err(|_| DoorError::Initial)?;
    Ok(transport::door(Arc::new(FencedServer(Arc::new(quic)))))
}
