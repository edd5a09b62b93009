//! Clients that know nothing of Guitai: moq-net and web-transport-quinn as they come.

use std::sync::Arc;

use guitai_types::Zone;
use moq_net::{Client, Hop, Timescale, Timestamp, origin, track};
use web_transport_quinn::quinn;

use super::{AGENT, CUSTOMER, Node, RECORDER_AGE, World, announced, catalog, frame, soon};

fn spawn_origin() -> origin::Producer {
    let (producer, driver) = origin::Producer::new(origin::Config::new(Hop::random()));
    tokio::spawn(moq_net::time::run(driver));
    producer
}

#[expect(
    clippy::disallowed_methods,
    reason = "a stock client asks its own clock"
)]
fn now() -> moq_net::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// A QUIC connection to the door, trusting its certificate.
pub(crate) async fn quic(node: &Node, alpn: &str) -> quinn::Connection {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = Arc::new(Anyone(Arc::clone(&provider)));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let door = node.door.local_addr().unwrap();
    let connecting = endpoint.connect_with(config, door, "localhost").unwrap();
    soon("QUIC", connecting).await.unwrap()
}

#[tokio::test]
async fn a_stock_client_on_raw_quic_works_unchanged() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let agent = world.enter(&node, &AGENT).await;

    for (version, name) in [
        ("moq-lite-06", "customer/six.hang"),
        ("moq-lite-05", "customer/five.hang"),
    ] {
        let mine = spawn_origin();
        let transport = web_transport_quinn::Session::raw(quic(&node, version).await);
        let client = Client::new()
            .with_path(world.path(&CUSTOMER))
            .with_publisher(&mine);
        let (session, driver) = client.connect(now(), transport).await.unwrap();
        tokio::spawn(moq_net::time::run(driver));
        assert_eq!(session.version().to_string(), version);

        let broadcast = mine.create_broadcast(name).unwrap();
        let json = catalog().encode().unwrap();
        let mut catalogs = broadcast.create_track("catalog.json", None).unwrap();
        catalogs.write_frame(Timestamp::now(), json).unwrap();
        let micro = track::Info::default().with_timescale(Timescale::MICRO);
        let mut video = broadcast.create_track("video", micro).unwrap();
        let wrapped = guitai_relay::hang::encode_frame(40_000, b"key").unwrap();
        let at = Timestamp::from_micros(40_000).unwrap();
        video.write_frame(at, wrapped).unwrap();
        broadcast.announce(origin::Route::default()).unwrap();

        announced(agent.room(), name).await;
        let subscribing = agent.room().subscribe(name, RECORDER_AGE);
        let mut subscriber = soon("subscribe", subscribing).await.unwrap();
        let frame = frame(&mut subscriber).await;
        assert_eq!(
            (frame.timestamp_us, &frame.payload[..]),
            (40_000, &b"key"[..])
        );
    }
}

#[tokio::test]
async fn our_frames_carry_their_time_for_stock_players() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let mut publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    publisher.video(1_234_567, true, b"key").unwrap();

    let theirs = spawn_origin();
    let transport = web_transport_quinn::Session::raw(quic(&node, "moq-lite-05").await);
    let client = Client::new()
        .with_path(world.path(&AGENT))
        .with_subscriber(theirs.clone());
    let (_session, driver) = client.connect(now(), transport).await.unwrap();
    tokio::spawn(moq_net::time::run(driver));
    let theirs = theirs.consume();
    let broadcast = soon("route", theirs.routed_broadcast("customer/1.hang")).await;
    let broadcast = broadcast.unwrap();
    let wanted = track::Subscription::default().with_max_age(RECORDER_AGE);
    let subscribing = broadcast.track("video").unwrap().subscribe(wanted);
    let mut video = soon("subscribe", subscribing).await.unwrap();
    assert_eq!(video.info().timescale, Timescale::MICRO);
    assert_eq!(video.info().priority, 60);
    assert_eq!(video.info().max_age, guitai_relay::client::GROUP_AGE_MAX);
    let mut group = soon("group", video.recv_group()).await.unwrap().unwrap();
    let frame = soon("frame", group.read_frame()).await.unwrap().unwrap();
    assert_eq!(frame.timestamp, Timestamp::from_micros(1_234_567).unwrap());
}

#[tokio::test]
async fn a_stock_client_with_a_wrong_token_is_unauthorized() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let foreign = World::new();
    for path in ["".to_owned(), "/".to_owned(), foreign.path(&CUSTOMER)] {
        let theirs = spawn_origin();
        let transport = web_transport_quinn::Session::raw(quic(&node, "moq-lite-06").await);
        let client = Client::new().with_path(&path).with_subscriber(theirs);
        let error = match client.connect(now(), transport).await {
            Err(error) => error,
            Ok((session, driver)) => {
                tokio::spawn(moq_net::time::run(driver));
                soon("refusal", session.closed()).await
            }
        };
        // On raw QUIC the transport does not decode the code; the text carries it.
        assert!(
            error.to_string().contains("unauthorized"),
            "{path}: {error}"
        );
    }
    assert_eq!(node.relay.stats().accepted, 0);
}

/// Tests reach doors by address; what they pin is tested elsewhere.
#[derive(Debug)]
struct Anyone(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
