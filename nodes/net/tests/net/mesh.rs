//! Who gets onto the mesh, and what cannot throw it off.

use std::{
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use guitai_crypto::tls;
use guitai_host::ManualClock;
use guitai_net::{
    CALL_ALPN, ConnectionError, Gate, Link, Mesh, Peer, RAFT_ALPN, TUNNEL_ALPN,
    mesh::{BindError, DialError, Handler},
};
use guitai_types::Zone;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::server::StoresServerSessions;
use rustls_pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::{Cluster, target, unknown};

/// A handler that hands its links to the test.
fn links() -> (Handler, mpsc::Receiver<Link>) {
    let (send, receive) = mpsc::channel(8);
    let handler: Handler = Arc::new(move |link| {
        let send = send.clone();
        Box::pin(async move {
            let conn = link.conn.clone();
            // A test that does not look keeps the connection all the same.
            drop(send.send(link).await);
            conn.closed().await;
        })
    });
    (handler, receive)
}

/// Dials with a TLS configuration of the test's own making.
async fn dial_raw(
    to: &Mesh,
    mut client: rustls::ClientConfig,
    alpn: &str,
) -> Result<quinn::Connection, ConnectionError> {
    client.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let (addr, name) = (to.local_addr().unwrap(), to.me().dns_name());
    let conn = endpoint.connect_with(config, addr, &name).unwrap().await?;
    Ok(conn)
}

#[tokio::test]
async fn two_nodes_know_each_other_and_where_they_are() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.2.1");
    let b = cluster.node("a1-2", "127.71.2.2");
    let (handler, mut accepted) = links();
    b.serve("guitai-test/1", handler);
    let dialled = a.dial("guitai-test/1", &target(&b)).await.unwrap();
    assert_eq!(&dialled.peer, b.me());
    let accepted = accepted.recv().await.unwrap();
    assert_eq!(&accepted.peer, a.me());
    assert_eq!(accepted.alpn, "guitai-test/1");
    assert_eq!(accepted.conn.remote_address(), a.local_addr().unwrap());
}

/// Lets through what it is told to.
struct Choosy(std::sync::Mutex<Vec<&'static str>>);

impl Gate for Choosy {
    fn may_dial(&self, alpn: &str, _to: &Peer) -> Result<(), String> {
        self.may_enter(alpn, _to)
    }

    fn may_enter(&self, alpn: &str, _from: &Peer) -> Result<(), String> {
        let lets = self.0.lock().unwrap().contains(&alpn);
        lets.then_some(()).ok_or_else(|| "not declared".to_owned())
    }

    fn may_call(&self, _: &str, _: &Peer, kind: &str, bytes: usize) -> Result<(), String> {
        Err(format!("{kind} of {bytes} bytes"))
    }
}

#[tokio::test]
async fn what_the_gate_lets_through_no_more_is_closed_when_it_is_asked_again() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.2.41");
    let b = cluster.node("a1-2", "127.71.2.42");
    let gate = Arc::new(Choosy(std::sync::Mutex::new(vec!["one/1", "two/1"])));
    b.guard(gate.clone());
    let (handler, mut accepted) = links();
    b.serve("one/1", handler.clone());
    b.serve("two/1", handler);
    let one = a.dial("one/1", &target(&b)).await.unwrap();
    let two = a.dial("two/1", &target(&b)).await.unwrap();
    for _ in 0..2 {
        accepted.recv().await.unwrap();
    }
    b.recheck();
    assert_eq!(one.conn.close_reason(), None);
    gate.0.lock().unwrap().retain(|alpn| *alpn != "one/1");
    b.recheck();
    assert!(matches!(
        one.conn.closed().await,
        ConnectionError::ApplicationClosed(_)
    ));
    assert_eq!(two.conn.close_reason(), None, "the other goes on");
    // Nor does it come back.
    let again = a.dial("one/1", &target(&b)).await;
    if let Ok(again) = again {
        assert!(matches!(
            again.conn.closed().await,
            ConnectionError::ApplicationClosed(_)
        ));
    }
}

#[tokio::test]
async fn an_alpn_nobody_serves_is_refused() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.3.1");
    let b = cluster.node("a1-2", "127.71.3.2");
    b.serve("guitai-test/1", links().0);
    let refused = a.dial("guitai-test/2", &target(&b)).await;
    assert!(matches!(refused, Err(DialError::Handshake { .. })));
}

#[tokio::test]
async fn a_name_that_is_not_the_certificates_is_refused() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.4.1");
    let b = cluster.node("a1-2", "127.71.4.2");
    b.serve("guitai-test/1", links().0);
    let wrong = unknown(b.local_addr().unwrap(), "a1-3");
    let refused = a.dial("guitai-test/1", &wrong).await;
    assert!(matches!(refused, Err(DialError::Handshake { .. })));
}

#[tokio::test]
async fn a_client_with_only_aes_is_refused() {
    let cluster = Cluster::new();
    let b = cluster.node("a1-2", "127.71.5.2");
    b.serve("guitai-test/1", links().0);
    let aes = rustls::ClientConfig::builder_with_provider(tls::browser_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let refused = dial_raw(&b, aes, "guitai-test/1").await.unwrap_err();
    // TLS alert 40, handshake_failure: the server found nothing in common.
    let ConnectionError::ConnectionClosed(close) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(u64::from(close.error_code), 0x100 + 40, "{close:?}");
}

#[tokio::test]
async fn a_foreign_root_is_refused_by_both_ends() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let b = ours.node("a1-2", "127.71.6.2");
    let (handler, mut accepted) = links();
    b.serve("guitai-test/1", handler);
    let foreign = theirs.node("a1-1", "127.71.6.1");
    let refused = foreign.dial("guitai-test/1", &target(&b)).await;
    assert!(matches!(refused, Err(DialError::Handshake { .. })));

    // One that trusts us, but whom we do not: its handshake may seem done before ours is.
    let identity = theirs.identity("a1-1", "inner");
    let client = tls::client_config(&identity, &ours.roots(), &[]).unwrap();
    if let Ok(conn) = dial_raw(&b, client, "guitai-test/1").await {
        let closed = conn.closed().await;
        assert!(
            matches!(closed, ConnectionError::ConnectionClosed(_)),
            "{closed:?}"
        );
    }
    assert!(accepted.try_recv().is_err());
    // What this end refused it has on its account; that the other end refused is none of its own.
    let refused = async {
        loop {
            let (seen, _) = b.ledger().seen();
            let handshakes = seen.iter().filter(|(key, _)| key.protocol == "handshake");
            let refused: Vec<u64> = handshakes.map(|(_, tally)| tally.refused).collect();
            if !refused.is_empty() {
                return refused;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(10), refused).await;
    assert_eq!(refused.unwrap(), [1]);

    let clock = ours.clock.clone();
    let addr = "127.71.6.3:0".parse().unwrap();
    let refused = Mesh::bind(addr, &identity, &ours.roots(), clock);
    assert!(matches!(refused, Err(BindError::Chain(_))));
}

#[tokio::test]
async fn the_dmz_opens_nothing_inward() {
    let cluster = Cluster::new();
    let inner = cluster.node("a1-1", "127.71.7.1");
    let edge = cluster.node_in("edge-a1", "dmz", "127.71.7.2:0");
    let (handler, mut accepted) = links();
    for alpn in [RAFT_ALPN, CALL_ALPN, TUNNEL_ALPN] {
        inner.serve(alpn, handler.clone());
        let refused = edge.dial(alpn, &target(&inner)).await;
        assert!(matches!(refused, Err(DialError::Forbidden { .. })));
        // An edge that somebody else's program runs on does not ask its own rule.
        let identity = cluster.identity("edge-a1", "dmz");
        let client = tls::client_config(&identity, &cluster.roots(), &[]).unwrap();
        match dial_raw(&inner, client, alpn).await {
            Ok(conn) => {
                let closed = conn.closed().await;
                assert!(
                    matches!(closed, ConnectionError::ApplicationClosed(_)),
                    "{closed:?}"
                );
            }
            Err(closed) => {
                assert!(
                    matches!(closed, ConnectionError::ApplicationClosed(_)),
                    "{closed:?}"
                );
            }
        }
    }
    assert!(accepted.try_recv().is_err(), "no handler ran");

    let (handler, mut accepted) = links();
    edge.serve(TUNNEL_ALPN, handler.clone());
    edge.serve(RAFT_ALPN, handler);
    let _tunnel = inner.dial(TUNNEL_ALPN, &target(&edge)).await.unwrap();
    let met = accepted.recv().await.unwrap().peer;
    assert_eq!(met.zone, Zone::Inner);
    let refused = inner.dial(RAFT_ALPN, &target(&edge)).await;
    assert!(matches!(refused, Err(DialError::Forbidden { .. })));
}

#[tokio::test]
async fn garbage_datagrams_leave_the_endpoint_serving() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.8.1");
    let b = cluster.node("a1-2", "127.71.8.2");
    b.serve("guitai-test/1", links().0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..3_000_usize {
        let mut datagram = vec![0; round % 1400];
        for byte in &mut datagram {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            *byte = (noise >> 56) as u8;
        }
        // Every third looks like the start of an Initial packet of version 1.
        if round % 3 == 0 {
            datagram.resize(1200, 0);
            datagram[..7].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8, noise as u8]);
        }
        socket.send_to(&datagram, b.local_addr().unwrap()).unwrap();
    }
    a.dial("guitai-test/1", &target(&b)).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_only() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.9.1");
    let b = cluster.node("a1-2", "127.71.9.2");
    b.serve(
        "panics/1",
        Arc::new(|_| Box::pin(async { panic!("on purpose") })),
    );
    b.serve("guitai-test/1", links().0);
    let good = a.dial("guitai-test/1", &target(&b)).await.unwrap();
    let bad = a.dial("panics/1", &target(&b)).await.unwrap();
    let closed = bad.conn.closed().await;
    assert!(matches!(closed, ConnectionError::ApplicationClosed(_)));
    assert!(good.conn.close_reason().is_none());
    a.dial("guitai-test/1", &target(&b)).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.10.1");
    let addr = a.local_addr().unwrap();
    let identity = cluster.identity("a1-2", "inner");
    let taken = Mesh::bind(addr, &identity, &cluster.roots(), cluster.clock.clone());
    assert!(matches!(taken, Err(BindError::Socket { .. })));
    let nameless = cluster.identity("a1-2", "outer");
    let any = "127.71.10.1:0".parse().unwrap();
    let refused = Mesh::bind(any, &nameless, &cluster.roots(), cluster.clock.clone());
    assert!(matches!(refused, Err(BindError::Nameless)));
    let me: &Peer = a.me();
    assert_eq!(me.to_string(), "a1-1.inner");
}

/// quinn's view of resumption: a session store that counts what is taken from it.
#[derive(Debug)]
struct Counted {
    sessions: Arc<dyn StoresServerSessions>,
    resumed: AtomicUsize,
}

impl StoresServerSessions for Counted {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.sessions.take(key)?;
        self.resumed.fetch_add(1, Ordering::Relaxed);
        Some(session)
    }

    fn can_cache(&self) -> bool {
        self.sessions.can_cache()
    }
}

#[tokio::test]
async fn quic_sessions_resume_and_bring_the_peers_chain() {
    let cluster = Cluster::new();
    let identity = cluster.identity("a1-2", "inner");
    let mut server = tls::server_config(&identity, &cluster.roots(), &[b"guitai-test/1"]).unwrap();
    let counted = Arc::new(Counted {
        sessions: server.session_storage.clone(),
        resumed: AtomicUsize::new(0),
    });
    server.session_storage = counted.clone();
    let quic = QuicServerConfig::with_initial(Arc::new(server), tls::initial_suite()).unwrap();
    let server = quinn::ServerConfig::with_crypto(Arc::new(quic));
    let server = quinn::Endpoint::server(server, "127.71.11.2:0".parse().unwrap()).unwrap();

    let dialler = cluster.identity("a1-1", "inner");
    let mut client = tls::client_config(&dialler, &cluster.roots(), &[]).unwrap();
    client.alpn_protocols = vec![b"guitai-test/1".to_vec()];
    let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite()).unwrap();
    let client = quinn::Endpoint::client("127.71.11.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    for round in 0..3 {
        let (to, name) = (server.local_addr().unwrap(), "a1-2.inner.guitai.internal");
        let dialled = client.connect_with(config.clone(), to, name).unwrap();
        let accepted = server.accept().await.unwrap().accept().unwrap();
        let (dialled, accepted) = tokio::try_join!(dialled, accepted).unwrap();
        for (end, leaf) in [(&dialled, &identity), (&accepted, &dialler)] {
            let chain = end.peer_identity().unwrap();
            let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
            assert_eq!(chain[0].as_ref(), leaf.chain[0]);
        }
        assert_eq!(counted.resumed.load(Ordering::Relaxed), round);
        // The tickets come after the handshake: a stream from the server says that they are here.
        accepted
            .open_uni()
            .await
            .unwrap()
            .write_all(b".")
            .await
            .unwrap();
        dialled.accept_uni().await.unwrap();
        dialled.close(0_u32.into(), b"");
    }
}

/// TLS checks a chain at a full handshake and by the system's clock; admission looks at the end of
/// validity each time, so a resumed session does not outlive its certificate.
#[tokio::test]
async fn a_certificate_that_has_expired_names_nobody_at_either_end() {
    let cluster = Cluster::new();
    let clock = Arc::new(ManualClock::new(cluster.clock.wall()));
    let a = cluster.node("a1-1", "127.71.12.1");
    let addr = "127.71.12.2:0".parse().unwrap();
    let identity = cluster.identity("a1-2", "inner");
    let b = Mesh::bind(addr, &identity, &cluster.roots(), clock.clone()).unwrap();
    let (handler, mut accepted) = links();
    a.serve("guitai-test/1", handler.clone());
    b.serve("guitai-test/1", handler);
    b.dial("guitai-test/1", &target(&a)).await.unwrap();
    a.dial("guitai-test/1", &target(&b)).await.unwrap();
    for _ in 0..2 {
        accepted.recv().await.unwrap();
    }
    clock.advance(Duration::from_secs(31 * 86_400));
    let refused = b.dial("guitai-test/1", &target(&a)).await;
    assert!(matches!(refused, Err(DialError::Certificate { .. })));
    let link = a.dial("guitai-test/1", &target(&b)).await.unwrap();
    let closed = link.conn.closed().await;
    assert!(
        matches!(closed, ConnectionError::ApplicationClosed(_)),
        "{closed:?}"
    );
}
