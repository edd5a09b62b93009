//! The mesh: one UDP endpoint per node that both dials and accepts, with SM mutual TLS.
//!
//! Dialling from the same socket means that a peer sees the node's own address, not a chance one.
//! Who a peer is, its verified certificate says; whether it may speak, [`crate::rule`] says.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_crypto::{tls, x509};
use guitai_host::Clock;
use quinn::{
    Connection, ConnectionError, Endpoint, VarInt,
    crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig},
};
use rustls_pki_types::CertificateDer;

use crate::{
    BoxFuture, accept,
    fence::{FencedClient, FencedServer},
    name::{Peer, Target},
    pool::Pool,
    rule, transport,
};

/// Longest handshake in milliseconds, dialled or accepted: three round trips of a bad line.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;

/// Closing code: the peer may not speak this ALPN with us.
pub(crate) const CODE_FORBIDDEN: VarInt = VarInt::from_u32(1);
/// Closing code: this node goes away.
const CODE_GONE: VarInt = VarInt::from_u32(2);

/// What a node does with a connection of one ALPN. It runs in the connection's own task; when it
/// returns or panics, the connection is closed.
pub type Handler = Arc<dyn Fn(Link) -> BoxFuture<'static, ()> + Send + Sync>;

/// A connection whose peer is known.
#[derive(Debug, Clone)]
pub struct Link {
    /// The connection.
    pub conn: Connection,
    /// Who is at the other end, by its verified certificate.
    pub peer: Peer,
    /// What is spoken.
    pub alpn: String,
}

/// Why a mesh endpoint was not opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket.
    #[error("cannot listen on UDP {addr}")]
    Socket {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The own certificate does not verify against the roots.
    #[error("own certificate")]
    Chain(#[source] x509::ChainError),
    /// The own certificate names no node.
    #[error("own certificate names no node of {domain}", domain = crate::name::DOMAIN)]
    Nameless,
    /// Certificate, key and roots make no TLS configuration.
    #[error("TLS configuration")]
    Tls(#[source] tls::ConfigError),
    /// The suite for Initial packets is not the one QUIC demands.
    #[error("QUIC initial suite")]
    Initial,
}

/// Why a node was not reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The zones forbid it.
    #[error("dialling {peer}")]
    Forbidden {
        /// Whom.
        peer: Peer,
        /// Why.
        #[source]
        source: rule::Forbidden,
    },
    /// No connection could be started: the endpoint is closed or the address unusable.
    #[error("dialling {peer}")]
    Start {
        /// Whom.
        peer: Peer,
        /// Why.
        #[source]
        source: quinn::ConnectError,
    },
    /// The handshake failed: nobody there, wrong certificate, ALPN not served.
    #[error("handshake with {peer}")]
    Handshake {
        /// With whom.
        peer: Peer,
        /// Why.
        #[source]
        source: ConnectionError,
    },
    /// No answer in [`HANDSHAKE_MS_MAX`].
    #[error("no answer from {peer} in {HANDSHAKE_MS_MAX} ms")]
    Silent {
        /// From whom.
        peer: Peer,
    },
    /// The peer's certificate is under our root but names another node or has expired.
    #[error("the certificate does not name {peer}, or no longer")]
    Stranger {
        /// Who was expected.
        peer: Peer,
    },
    /// The configuration for this ALPN could not be made.
    #[error("QUIC initial suite")]
    Initial,
}

/// A node's place on the mesh. Cheap to clone; the endpoint closes with the last clone.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    me: Peer,
    client: rustls::ClientConfig,
    server: rustls::ServerConfig,
    handlers: Handlers,
    pool: Pool,
    clock: Arc<dyn Clock>,
}

pub(crate) type Handlers = Arc<Mutex<BTreeMap<String, Handler>>>;

impl Mesh {
    /// Opens the endpoint. Nothing is accepted before the first [`Mesh::serve`]. Needs a tokio runtime.
    pub fn bind(
        addr: SocketAddr,
        identity: &x509::Identity,
        roots: &[Vec<u8>],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BindError> {
        let now_unix = clock.wall().0 / 1000;
        let leaf =
            x509::verify_chain(&identity.chain, roots, now_unix).map_err(BindError::Chain)?;
        let me = Peer::of_certificate(&leaf.dns_names).ok_or(BindError::Nameless)?;
        let client = tls::client_config(identity, roots, &[]).map_err(BindError::Tls)?;
        let server = tls::server_config(identity, roots, &[]).map_err(BindError::Tls)?;
        // Made once now so that a wrong suite is refused here and not at the first connection.
        client_config(&client, "").ok_or(BindError::Initial)?;
        server_config(&server, &[]).ok_or(BindError::Initial)?;

        let socket = std::net::UdpSocket::bind(addr);
        let endpoint = socket.and_then(|socket| {
            let config = transport::endpoint(&reset_secret(identity));
            Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime))
        });
        let endpoint = endpoint.map_err(|source| BindError::Socket { addr, source })?;

        let handlers = Handlers::default();
        tokio::spawn(accept::accept(
            endpoint.clone(),
            me.zone,
            handlers.clone(),
            clock.clone(),
        ));
        let inner = Inner {
            endpoint,
            me,
            client,
            server,
            handlers,
            pool: Pool::default(),
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// This node, as its certificate names it.
    pub fn me(&self) -> &Peer {
        &self.inner.me
    }

    /// Where it listens, with the real port if 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.endpoint.local_addr()
    }

    /// From now on connections of `alpn` are accepted and given to `handler`, in a task each.
    /// An ALPN nobody serves is refused in the handshake.
    pub fn serve(&self, alpn: &str, handler: Handler) {
        let mut handlers = lock(&self.inner.handlers);
        handlers.insert(alpn.to_owned(), handler);
        let alpns: Vec<&str> = handlers.keys().map(String::as_str).collect();
        match server_config(&self.inner.server, &alpns) {
            Some(config) => self.inner.endpoint.set_server_config(Some(config)),
            None => tracing::error!(alpn, "no QUIC configuration; the ALPN is not served"),
        }
    }

    /// Dials a node for `alpn` and checks that its certificate names that node.
    pub async fn dial(&self, alpn: &str, to: &Target) -> Result<Link, DialError> {
        let peer = to.peer();
        if let Err(source) = rule::may_open(alpn, self.inner.me.zone, to.zone) {
            return Err(DialError::Forbidden { peer, source });
        }
        let config = client_config(&self.inner.client, alpn).ok_or(DialError::Initial)?;
        let endpoint = &self.inner.endpoint;
        let connecting = match endpoint.connect_with(config, to.addr, &peer.dns_name()) {
            Ok(connecting) => connecting,
            Err(source) => return Err(DialError::Start { peer, source }),
        };
        let handshake = Duration::from_millis(HANDSHAKE_MS_MAX);
        let conn = match tokio::time::timeout(handshake, connecting).await {
            Ok(Ok(conn)) => conn,
            Ok(Err(source)) => return Err(DialError::Handshake { peer, source }),
            Err(_elapsed) => return Err(DialError::Silent { peer }),
        };
        let now_unix = self.inner.clock.wall().0 / 1000;
        if peer_of(&conn, now_unix).as_ref() != Some(&peer) {
            conn.close(CODE_FORBIDDEN, b"");
            return Err(DialError::Stranger { peer });
        }
        let alpn = alpn.to_owned();
        Ok(Link { conn, peer, alpn })
    }

    /// Closes every connection and waits until the peers have been told.
    pub async fn close(&self) {
        self.inner.endpoint.close(CODE_GONE, b"");
        self.inner.endpoint.wait_idle().await;
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({})", self.inner.me)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The accept task holds the endpoint too; this ends it.
        self.endpoint.close(CODE_GONE, b"");
    }
}

/// Who the certificate names. TLS has verified the chain, but for a resumed session it did so up to
/// [`tls::RESUMPTION_SECONDS_MAX`] ago: one that expired meanwhile names nobody.
pub(crate) fn peer_of(conn: &Connection, now_unix: u64) -> Option<Peer> {
    let identity = conn.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let leaf = x509::dangerous_read_unverified(chain.first()?).ok()?;
    if leaf.not_after < now_unix {
        return None;
    }
    Peer::of_certificate(&leaf.dns_names)
}

pub(crate) fn alpn_of(conn: &Connection) -> Option<String> {
    let data = conn.handshake_data()?.downcast::<HandshakeData>().ok()?;
    String::from_utf8(data.protocol?).ok()
}

fn client_config(tls: &rustls::ClientConfig, alpn: &str) -> Option<quinn::ClientConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let quic = QuicClientConfig::with_initial(Arc::new(tls), tls::initial_suite()).ok()?;
    let mut config = quinn::ClientConfig::new(Arc::new(FencedClient(Arc::new(quic))));
    config.transport_config(transport::dialling(alpn));
    Some(config)
}

fn server_config(tls: &rustls::ServerConfig, alpns: &[&str]) -> Option<quinn::ServerConfig> {
    let mut tls = tls.clone();
    tls.alpn_protocols = alpns.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    let quic = QuicServerConfig::with_initial(Arc::new(tls), tls::initial_suite()).ok()?;
    Some(transport::server(Arc::new(FencedServer(Arc::new(quic)))))
}

/// Outlives the process and is known to nobody else: what the reset key is derived from.
fn reset_secret(identity: &x509::Identity) -> [u8; 32] {
    guitai_crypto::sm3::hash(&identity.key.to_pkcs8_der())
}

/// No code that can panic runs under these locks; a poisoned one is as good as before.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
