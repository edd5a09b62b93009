//! The mesh: one UDP endpoint per node that both dials and accepts, with SM mutual TLS.
//!
//! Dialling from the same socket means that a peer sees the node's own address, not a chance one.
//! Who a peer is, its verified certificate says; whether it may speak, [`crate::rule`] says.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use guitai_crypto::{tls, x509};
use guitai_host::Clock;
use guitai_types::observed::FlowWay;
use quinn::{
    Connection, ConnectionError, Endpoint, Runtime as _, VarInt,
    crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig},
};
use tokio::task::JoinSet;

use crate::{
    BoxFuture, accept,
    apart::{self, Apart},
    fence::{FencedClient, FencedServer},
    gate::{self, Gate},
    ledger::{Entered, FlowKey, Ledger},
    name::{Peer, Target},
    pool::Pool,
    revocation::{CertificateStats, ExamineError, Revocations},
    rule, transport,
};

/// Longest handshake in milliseconds, dialled or accepted: three round trips of a bad line.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;
/// A line between nodes that is being dialled and has no answer is dialled once more beside it after so long, in
/// milliseconds. A handshake repeats its packets at ever longer intervals (RFC 9002, 6.2.1): one that began a second
/// into a cut of four is silent for two more when the cut is mended. Those of several, begun a second apart, leave no
/// pause longer than 0.7 s; more of them would burden a node that is merely slow.
pub(crate) const BESIDE_MS: u64 = 1_000;

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
    /// Ends a dialled connection with the last of its holders, since the mesh keeps a handle of its
    /// own to end it when the peer is revoked. Whoever takes `conn` out keeps this beside it.
    pub hold: Hold,
}

/// See [`Link::hold`]. An accepted connection ends with its handler and has an empty one.
#[derive(Debug, Clone, Default)]
pub struct Hold {
    _dialled: Option<Arc<(CloseOnDrop, Entered)>>,
}

impl Hold {
    fn of(conn: &Connection, entered: Entered) -> Self {
        Self {
            _dialled: Some(Arc::new((CloseOnDrop(conn.clone()), entered))),
        }
    }
}

/// Closes a connection, also on a panic. One that is closed already keeps its reason.
#[derive(Debug)]
pub(crate) struct CloseOnDrop(pub(crate) Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if self.0.close_reason().is_none() {
            self.0.close(VarInt::from_u32(0), b"");
        }
    }
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
    /// The deployment does not have it.
    #[error("dialling {peer}: {why}")]
    Undeclared {
        /// Whom.
        peer: Peer,
        /// Why.
        why: String,
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
    /// The peer's certificate is in order for TLS and cannot be used all the same: revoked, or of
    /// the wrong usage.
    #[error("certificate of {peer}")]
    Certificate {
        /// Whose.
        peer: Peer,
        /// Why.
        #[source]
        source: ExamineError,
    },
    /// The peer's certificate is in order but names another node.
    #[error("the certificate does not name {peer}")]
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

/// Why the own certificate was not replaced; the old one stays in use.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// It does not verify against the roots.
    #[error("new certificate")]
    Chain(#[source] x509::ChainError),
    /// It names another node, or none.
    #[error("the new certificate is not one of {me}")]
    Stranger {
        /// This node.
        me: Peer,
    },
    /// It makes no TLS configuration.
    #[error("TLS configuration")]
    Tls(#[source] tls::ConfigError),
    /// The suite for Initial packets is not the one QUIC demands.
    #[error("QUIC initial suite")]
    Initial,
}

struct Inner {
    endpoint: Endpoint,
    me: Peer,
    roots: Vec<Vec<u8>>,
    own: Mutex<Own>,
    renewals: AtomicU64,
    revocations: Arc<Revocations>,
    handlers: Handlers,
    pool: Pool,
    apart: apart::Order,
    gate: gate::Place,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
}

/// What follows from the own certificate.
struct Own {
    client: rustls::ClientConfig,
    server: rustls::ServerConfig,
    /// The certificate itself, DER.
    leaf: Vec<u8>,
    /// Authorities of the own chain: they sign lists as the roots do.
    issuers: Vec<Vec<u8>>,
    not_after: u64,
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
        let own = Own::new(identity, roots, leaf.not_after).map_err(BindError::Tls)?;
        // Made once now so that a wrong suite is refused here and not at the first connection.
        client_config(&own.client, "").ok_or(BindError::Initial)?;
        server_config(&own.server, &[]).ok_or(BindError::Initial)?;

        let apart = apart::Order::default();
        let socket = std::net::UdpSocket::bind(addr);
        let endpoint = socket.and_then(|socket| {
            let config = transport::endpoint(&reset_secret(identity));
            let runtime = Arc::new(quinn::TokioRuntime);
            let real = runtime.wrap_udp_socket(socket)?;
            let order = apart.clone();
            let socket = Arc::new(apart::Socket { real, order });
            Endpoint::new_with_abstract_socket(config, None, socket, runtime)
        });
        let endpoint = endpoint.map_err(|source| BindError::Socket { addr, source })?;

        let gate = gate::Place::default();
        let ledger = Ledger::new(clock.clone());
        let handlers = Handlers::default();
        let revocations = Arc::<Revocations>::default();
        tokio::spawn(accept::accept(
            endpoint.clone(),
            accept::House {
                zone: me.zone,
                gate: gate.clone(),
                handlers: handlers.clone(),
                revocations: revocations.clone(),
                ledger: ledger.clone(),
                clock: clock.clone(),
            },
        ));
        let inner = Inner {
            endpoint,
            me,
            roots: roots.to_vec(),
            own: Mutex::new(own),
            renewals: AtomicU64::new(0),
            revocations,
            handlers,
            pool: Pool::default(),
            apart,
            gate,
            ledger,
            clock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// From now on `gate` is asked before each connection, in both directions. To be called once, before the first
    /// [`Mesh::serve`] and [`Mesh::dial`].
    pub fn guard(&self, gate: Arc<dyn Gate>) {
        self.inner.gate.set(gate);
    }

    pub(crate) fn gate(&self) -> gate::Place {
        self.inner.gate.clone()
    }

    /// The account of this node's connections; its doors enter theirs too.
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// Asks the gate again about every open connection, and ends those it refuses now.
    pub fn recheck(&self) {
        let gate = &self.inner.gate;
        self.inner.revocations.end_unless(|alpn, peer, dialled| {
            let asked = if dialled {
                gate.may_dial(alpn, peer)
            } else {
                gate.may_enter(alpn, peer)
            };
            asked.is_ok()
        });
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
        match server_config(&lock(&self.inner.own).server, &alpns) {
            Some(config) => self.inner.endpoint.set_server_config(Some(config)),
            None => tracing::error!(alpn, "no QUIC configuration; the ALPN is not served"),
        }
    }

    /// Uses another certificate of this node from now on. Connections that are open go on; new ones,
    /// dialled or accepted, show the new certificate.
    pub fn renew(&self, identity: &x509::Identity) -> Result<(), RenewError> {
        let inner = &self.inner;
        let now_unix = inner.clock.wall().0 / 1000;
        let leaf = x509::verify_chain(&identity.chain, &inner.roots, now_unix)
            .map_err(RenewError::Chain)?;
        if Peer::of_certificate(&leaf.dns_names).as_ref() != Some(&inner.me) {
            let me = inner.me.clone();
            return Err(RenewError::Stranger { me });
        }
        let own = Own::new(identity, &inner.roots, leaf.not_after).map_err(RenewError::Tls)?;
        // Held throughout, so that an ALPN served meanwhile does not bring the old one back.
        let handlers = lock(&inner.handlers);
        let alpns: Vec<&str> = handlers.keys().map(String::as_str).collect();
        let server = server_config(&own.server, &alpns).ok_or(RenewError::Initial)?;
        *lock(&inner.own) = own;
        if !alpns.is_empty() {
            inner.endpoint.set_server_config(Some(server));
        }
        inner.renewals.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a revocation list (DER) if a trusted authority signed it and it is newer than the one
    /// held; what it revokes is refused from now on, and its open connections end. `false` if it is
    /// the one held.
    pub fn take_list(&self, list: &[u8]) -> Result<bool, x509::CrlError> {
        let inner = &self.inner;
        let mut issuers = inner.roots.clone();
        issuers.extend_from_slice(&lock(&inner.own).issuers);
        let now_unix = inner.clock.wall().0 / 1000;
        inner.revocations.take(list, &issuers, now_unix)
    }

    /// The revocation lists held.
    pub fn lists(&self) -> Vec<Arc<x509::Crl>> {
        self.inner.revocations.lists()
    }

    /// The certificate (DER) that this node shows.
    pub fn certificate(&self) -> Vec<u8> {
        lock(&self.inner.own).leaf.clone()
    }

    /// Peers that a connection is open to, each with the certificate (DER) that it showed last.
    pub fn met(&self) -> BTreeMap<Peer, Vec<u8>> {
        self.inner.revocations.met()
    }

    /// Numbers about certificates and the connections they opened.
    pub fn certificate_stats(&self) -> CertificateStats {
        CertificateStats {
            not_after: lock(&self.inner.own).not_after,
            renewals: self.inner.renewals.load(Ordering::Relaxed),
            ..self.inner.revocations.stats()
        }
    }

    /// Dials a node for `alpn` and checks that its certificate names that node.
    pub async fn dial(&self, alpn: &str, to: &Target) -> Result<Link, DialError> {
        self.dial_beside(alpn, to, None).await
    }

    /// As [`Self::dial`]; while there is no answer, another handshake begins each `beside`, and the first that ends
    /// decides. The peer may take up several connections then, of which only one stays.
    pub(crate) async fn dial_beside(
        &self,
        alpn: &str,
        to: &Target,
        beside: Option<Duration>,
    ) -> Result<Link, DialError> {
        let peer = to.peer();
        let ledger = &self.inner.ledger;
        let flow = FlowKey::of(&peer, alpn, FlowWay::Opened);
        if let Err(source) = rule::may_open(alpn, self.inner.me.zone, to.zone) {
            ledger.refused(&flow, &source.to_string());
            return Err(DialError::Forbidden { peer, source });
        }
        if let Err(why) = self.inner.gate.may_dial(alpn, &peer) {
            ledger.refused(&flow, &why);
            return Err(DialError::Undeclared { peer, why });
        }
        let config = client_config(&lock(&self.inner.own).client, alpn);
        let config = config.ok_or(DialError::Initial)?;
        let conn = self.handshake(&config, to, beside).await?;
        let hold = Hold::of(&conn, ledger.enter(flow, conn.clone()));
        let now_unix = self.inner.clock.wall().0 / 1000;
        let met = match self.inner.revocations.examine(&conn, alpn, true, now_unix) {
            Ok(met) => met,
            Err(source) => {
                conn.close(CODE_FORBIDDEN, b"");
                return Err(DialError::Certificate { peer, source });
            }
        };
        if met != peer {
            conn.close(CODE_FORBIDDEN, b"");
            return Err(DialError::Stranger { peer });
        }
        let alpn = alpn.to_owned();
        Ok(Link {
            conn,
            peer,
            alpn,
            hold,
        })
    }

    async fn handshake(
        &self,
        config: &quinn::ClientConfig,
        to: &Target,
        beside: Option<Duration>,
    ) -> Result<Connection, DialError> {
        let peer = to.peer();
        let first_that_ends = async {
            let mut under_way = JoinSet::new();
            loop {
                let endpoint = &self.inner.endpoint;
                match endpoint.connect_with(config.clone(), to.addr, &peer.dns_name()) {
                    Ok(connecting) => drop(under_way.spawn(connecting)),
                    Err(source) => {
                        let peer = peer.clone();
                        return Err(DialError::Start { peer, source });
                    }
                }
                tokio::select! {
                    Some(Ok(ended)) = under_way.join_next() => {
                        let peer = peer.clone();
                        return ended.map_err(|source| DialError::Handshake { peer, source });
                    }
                    () = async {
                        match beside {
                            Some(beside) => tokio::time::sleep(beside).await,
                            None => std::future::pending().await,
                        }
                    } => {}
                }
            }
        };
        let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
        match tokio::time::timeout(limit, first_that_ends).await {
            Ok(ended) => ended,
            Err(_elapsed) => Err(DialError::Silent { peer: to.peer() }),
        }
    }

    /// Drops from now on what goes to or comes from these addresses, for a drill; an empty order ends
    /// it. Connections are not closed: both ends must find out as they would of a cut line.
    pub fn hold_apart(&self, apart: Apart) {
        self.inner.apart.set(apart);
    }

    /// What is held apart now.
    pub fn held_apart(&self) -> Apart {
        self.inner.apart.get()
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

impl Own {
    fn new(
        identity: &x509::Identity,
        roots: &[Vec<u8>],
        not_after: u64,
    ) -> Result<Self, tls::ConfigError> {
        Ok(Self {
            client: tls::client_config(identity, roots, &[])?,
            server: tls::server_config(identity, roots, &[])?,
            leaf: identity.chain.first().cloned().unwrap_or_default(),
            issuers: identity.chain.iter().skip(1).cloned().collect(),
            not_after,
        })
    }
}

/// What is spoken on a connection.
pub fn alpn_of(conn: &Connection) -> Option<String> {
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
