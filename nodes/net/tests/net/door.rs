//! The door's certificates.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use guitai_crypto::tls;
use guitai_host::{Clock, ManualClock, SystemClock};
use guitai_net::{
    ConnectionError, Door, Doorman,
    rotation::{MAKE_NEXT_MS, SERVE_NEXT_MS},
};
use guitai_types::{UnixMillis, door::DoorLimits};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use crate::Cluster;

/// Takes any certificate, as a browser takes a pinned one, and keeps its hash.
#[derive(Debug, Default)]
struct Pin(Mutex<Vec<u8>>);

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash = ring::digest::digest(&ring::digest::SHA256, end_entity);
        *self.0.lock().unwrap() = hash.as_ref().to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::browser_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = tls::browser_provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Connects as a browser does and gives the hash of the certificate it met.
async fn visit(door: &Door, alpn: &str) -> Result<Vec<u8>, ConnectionError> {
    let pin = Arc::new(Pin::default());
    let mut client = rustls::ClientConfig::builder_with_provider(tls::browser_provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(pin.clone())
        .with_no_client_auth();
    client.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite()).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let addr = door.local_addr().unwrap();
    let conn = endpoint.connect_with(config, addr, "localhost").unwrap();
    let conn = conn.await?;
    let arrived = door.accept().await.unwrap();
    assert_eq!(
        arrived.connection.remote_address(),
        endpoint.local_addr().unwrap()
    );
    conn.close(0_u32.into(), b"");
    Ok(pin.0.lock().unwrap().clone())
}

fn open(addr: &str, clock: Arc<ManualClock>) -> Door {
    let hosts = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let doorman = Doorman::quic(&DoorLimits::default(), clock.clone());
    Door::bind(
        addr.parse().unwrap(),
        &hosts,
        &["h3", "moq-lite-06"],
        doorman,
        clock,
    )
    .unwrap()
}

fn clock() -> (Arc<ManualClock>, UnixMillis) {
    let now = SystemClock.wall();
    let clock = Arc::new(ManualClock::new(now));
    (clock, now)
}

#[tokio::test]
async fn the_next_certificate_is_published_before_it_is_served() {
    let (clock, start) = clock();
    let door = open("127.73.1.1:0", clock.clone());
    let first = door.certificate_hashes();
    assert_eq!(first.len(), 1);
    assert_eq!(visit(&door, "h3").await.unwrap(), first[0]);

    clock.set(start.plus(MAKE_NEXT_MS));
    door.rotate().unwrap();
    let both = door.certificate_hashes();
    assert_eq!((both.len(), both[0]), (2, first[0]));
    assert_eq!(visit(&door, "h3").await.unwrap(), first[0]);
    door.rotate().unwrap();
    assert_eq!(
        door.certificate_hashes(),
        both,
        "one next certificate, not two"
    );

    clock.set(start.plus(SERVE_NEXT_MS));
    door.rotate().unwrap();
    assert_eq!(door.certificate_hashes(), both[1..]);
    assert_eq!(visit(&door, "moq-lite-06").await.unwrap(), both[1]);
}

#[tokio::test]
async fn a_node_that_slept_through_the_overlap_serves_a_fresh_certificate() {
    let (clock, _) = clock();
    let door = open("127.73.2.1:0", clock.clone());
    let first = door.certificate_hashes();
    clock.advance(Duration::from_secs(60 * 24 * 3600));
    door.rotate().unwrap();
    let fresh = door.certificate_hashes();
    assert_eq!(fresh.len(), 1);
    assert_ne!(fresh, first);
    assert_eq!(visit(&door, "h3").await.unwrap(), fresh[0]);
}

#[tokio::test]
async fn an_alpn_the_door_does_not_speak_is_refused() {
    let (clock, _) = clock();
    let door = open("127.73.3.1:0", clock);
    let refused = visit(&door, "guitai-raft/1").await.unwrap_err();
    assert!(matches!(refused, ConnectionError::ConnectionClosed(_)));
    assert!(visit(&door, "h3").await.is_ok());
}

#[tokio::test]
async fn a_closed_door_accepts_nobody() {
    let (clock, _) = clock();
    let door = open("127.73.4.1:0", clock);
    door.close().await;
    assert!(door.accept().await.is_none());
}

/// The strict policy: whoever speaks national TLS comes in, a browser does not.
#[tokio::test]
async fn a_national_door_refuses_browsers_and_names_no_certificate_for_them() {
    let cluster = Cluster::new();
    let identity = cluster.identity("edge-a1", "dmz");
    let addr = "127.73.5.1:0".parse().unwrap();
    let doorman = Doorman::quic(&DoorLimits::default(), Arc::new(SystemClock));
    let door = Door::bind_national(addr, &identity, &["h3", "moq-lite-06"], doorman).unwrap();
    assert!(door.certificate_hashes().is_empty());
    door.rotate().unwrap();

    let refused = visit(&door, "h3").await.unwrap_err();
    // TLS alert 40, handshake_failure: nothing in common.
    let ConnectionError::ConnectionClosed(close) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(u64::from(close.error_code), 0x100 + 40, "{close:?}");

    let mut roots = rustls::RootCertStore::empty();
    for root in cluster.roots() {
        roots.add(CertificateDer::from(root)).unwrap();
    }
    let mut client = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"moq-lite-06".to_vec()];
    let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite()).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let name = "edge-a1.dmz.guitai.internal";
    let renewed = cluster.identity("edge-a1", "dmz");
    for shown in [&identity, &renewed] {
        door.renew(shown).unwrap();
        let dialled = endpoint.connect_with(config.clone(), door.local_addr().unwrap(), name);
        let conn = dialled.unwrap().await.unwrap();
        let arrived = door.accept().await.unwrap();
        assert_eq!(
            arrived.connection.remote_address(),
            endpoint.local_addr().unwrap()
        );
        let chain = conn.peer_identity().unwrap();
        let chain = chain.downcast::<Vec<CertificateDer<'static>>>().unwrap();
        assert_eq!(chain[0].as_ref(), shown.chain[0]);
        conn.close(0_u32.into(), b"");
    }
}
