//! Handshakes in memory: two nodes agree, and everyone else is refused.

mod wrong_input;

use std::io::{Read as _, Write as _};

use rustls::pki_types::ServerName;
use rustls::quic::{self, Version};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConnection, Error, HandshakeKind, NamedGroup, ServerConnection};

use super::*;
use crate::sm2;
use crate::x509::{Authority, Identity, Subject, Usage};

const NAME: &str = "a1-1.inner.guitai.internal";

struct Cluster {
    authority: Authority,
    roots: Vec<Vec<u8>>,
}

impl Cluster {
    fn new() -> Self {
        let authority = Authority::create("Guitai Root", "cluster", 30, now()).unwrap();
        let roots = vec![authority.certificate_der().to_vec()];
        Self { authority, roots }
    }

    fn identity(&self, usage: Usage) -> Identity {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: "a1-1".into(),
            organization: "cluster".into(),
            dns_names: vec![NAME.into()],
        };
        let leaf = self
            .authority
            .issue(&subject, &key.public(), usage, 30, now())
            .unwrap();
        Identity {
            chain: vec![leaf],
            key,
        }
    }

    fn server(&self) -> ServerConfig {
        server_config(&self.identity(Usage::Tls), &self.roots, &[b"guitai-call/1"]).unwrap()
    }

    fn client(&self) -> ClientConfig {
        client_config(&self.identity(Usage::Tls), &self.roots, &[b"guitai-call/1"]).unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "rustls itself asks the system's clock"
)]
fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Runs a handshake to its end; the error is the first that either end reports.
fn handshake(
    client: ClientConfig,
    server: ServerConfig,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    for _ in 0..6 {
        carry(&mut client, &mut server)?;
        carry(&mut server, &mut client)?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn carry<A, B>(
    from: &mut rustls::ConnectionCommon<A>,
    to: &mut rustls::ConnectionCommon<B>,
) -> Result<(), Error>
where
    A: rustls::SideData,
    B: rustls::SideData,
{
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut bytes = bytes.as_slice();
    while !bytes.is_empty() {
        to.read_tls(&mut bytes).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn two_nodes_agree_with_national_cryptography_and_both_certificates() {
    let cluster = Cluster::new();
    let (mut client, mut server) = handshake(cluster.client(), cluster.server()).unwrap();
    let suite = client.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::Unknown(SUITE));
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::Unknown(HYBRID_GROUP));
    assert_eq!(client.alpn_protocol(), Some(&b"guitai-call/1"[..]));
    for peer in [client.peer_certificates(), server.peer_certificates()] {
        let leaf = x509::dangerous_read_unverified(&peer.unwrap()[0]).unwrap();
        assert_eq!(leaf.dns_names, [NAME]);
    }
    let message = vec![0x5a; 100_000];
    let mut received = Vec::new();
    for part in message.chunks(10_000) {
        client.writer().write_all(part).unwrap();
        carry(&mut client, &mut server).unwrap();
        let mut buffer = vec![0; part.len()];
        server.reader().read_exact(&mut buffer).unwrap();
        received.extend_from_slice(&buffer);
    }
    assert_eq!(received, message);
}

/// What the last handshake was; the client also takes in the tickets that came after it.
fn kind(client: &ClientConfig, server: &ServerConfig) -> Option<HandshakeKind> {
    let (client, server) = handshake(client.clone(), server.clone()).unwrap();
    assert_eq!(client.handshake_kind(), server.handshake_kind());
    for peer in [client.peer_certificates(), server.peer_certificates()] {
        let leaf = x509::dangerous_read_unverified(&peer.unwrap()[0]).unwrap();
        assert_eq!(leaf.dns_names, [NAME]);
    }
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::Unknown(HYBRID_GROUP));
    client.handshake_kind()
}

#[test]
fn a_pair_resumes_with_a_new_key_agreement_and_knows_the_peer() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.client(), cluster.server());
    assert_eq!(kind(&client, &server), Some(HandshakeKind::Full));
    for _ in 0..4 {
        assert_eq!(kind(&client, &server), Some(HandshakeKind::Resumed));
    }
}

/// A new root, certificate or revocation list means a new configuration.
#[test]
fn a_new_configuration_at_either_end_resumes_nothing() {
    let cluster = Cluster::new();
    let (client, server) = (cluster.client(), cluster.server());
    assert_eq!(kind(&client, &server), Some(HandshakeKind::Full));
    assert_eq!(kind(&client, &cluster.server()), Some(HandshakeKind::Full));
    assert_eq!(kind(&cluster.client(), &server), Some(HandshakeKind::Full));
}

#[test]
fn a_ticket_of_the_servers_other_clients_is_of_no_use() {
    let cluster = Cluster::new();
    let server = cluster.server();
    let (first, second) = (cluster.client(), cluster.client());
    assert_eq!(kind(&first, &server), Some(HandshakeKind::Full));
    // The second client holds the first one's tickets, but not its certificate: rustls keeps a
    // ticket with the credentials it was got with.
    let mut thief = second;
    thief.resumption = first.resumption.clone();
    assert_eq!(kind(&thief, &server), Some(HandshakeKind::Full));
}

#[test]
fn early_data_is_never_offered_nor_taken() {
    let cluster = Cluster::new();
    let server = Arc::new(cluster.server());
    assert_eq!(server.max_early_data_size, 0);
    let mut client = cluster.client();
    assert!(!client.enable_early_data);
    client.enable_early_data = true;
    let (_, _) = handshake(client.clone(), (*server).clone()).unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let mut eager = ClientConnection::new(Arc::new(client), name).unwrap();
    assert!(eager.early_data().is_none(), "the ticket does not allow it");
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..6 {
        carry(&mut eager, &mut server).unwrap();
        assert!(server.early_data().is_none());
        carry(&mut server, &mut eager).unwrap();
    }
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(!eager.is_early_data_accepted());
}

/// A node of the release before knows curveSM2 alone. It serves without a second round trip, and is
/// served after one.
#[test]
fn an_end_without_the_hybrid_group_still_agrees() {
    fn classical() -> Arc<CryptoProvider> {
        Arc::new(CryptoProvider {
            kx_groups: vec![&kx::CurveSm2],
            ..(*provider()).clone()
        })
    }
    let cluster = Cluster::new();
    let identity = cluster.identity(Usage::Tls);
    let (certificates, key) = (chain(&identity.chain), private_key(&identity));
    let old_client = ClientConfig::builder_with_provider(classical())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&cluster.roots).unwrap())
        .with_client_auth_cert(certificates.clone(), key.clone_key())
        .unwrap();
    let clients = roots(&cluster.roots).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), classical());
    let old_server = ServerConfig::builder_with_provider(classical())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(certificates, key)
        .unwrap();
    for (client, server) in [
        (old_client, cluster.server()),
        (cluster.client(), old_server),
    ] {
        let mut client = client;
        client.alpn_protocols = Vec::new();
        let (client, _) = handshake(client, server).unwrap();
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::Unknown(GROUP));
        assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[test]
fn a_client_without_national_cryptography_is_refused() {
    let cluster = Cluster::new();
    let client = ClientConfig::builder_with_provider(browser_provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&cluster.roots).unwrap())
        .with_no_client_auth();
    let refused = handshake(client, cluster.server()).unwrap_err();
    assert!(matches!(refused, Error::PeerIncompatible(_)), "{refused}");
}

#[test]
fn a_client_without_certificate_is_refused() {
    let cluster = Cluster::new();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&cluster.roots).unwrap())
        .with_no_client_auth();
    client.alpn_protocols = protocols(&[b"guitai-call/1"]);
    let refused = handshake(client, cluster.server()).unwrap_err();
    assert_eq!(refused, Error::NoCertificatesPresented);
}

#[test]
fn certificates_of_another_root_or_use_are_refused_at_both_ends() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let alpns: [&[u8]; 1] = [b"guitai-call/1"];
    let strangers = [
        other.identity(Usage::Tls),
        cluster.identity(Usage::Documents),
    ];
    for stranger in strangers {
        let client = client_config(&stranger, &cluster.roots, &alpns).unwrap();
        let refused = handshake(client, cluster.server()).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
        let server = server_config(&stranger, &cluster.roots, &alpns).unwrap();
        let refused = handshake(cluster.client(), server).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
    }
}

/// RFC 8998, 3.2.1: a handshake signed under the ID of certificates is no handshake.
#[test]
fn a_handshake_signed_under_the_default_id_is_refused() {
    #[derive(Debug)]
    struct Fixed(Arc<CertifiedKey>);
    impl ResolvesServerCert for Fixed {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let cluster = Cluster::new();
    let identity = cluster.identity(Usage::Tls);
    for (id, accepted) in [(sign::HANDSHAKE_ID, true), (sm2::DEFAULT_ID, false)] {
        let key = Arc::new(sign::HandshakeKey::new(&identity.key, id));
        let certified = CertifiedKey::new(chain(&identity.chain), key);
        let mut server = cluster.server();
        server.cert_resolver = Arc::new(Fixed(Arc::new(certified)));
        match handshake(cluster.client(), server) {
            Ok(_) => assert!(accepted, "{id}"),
            Err(error) => {
                assert!(!accepted, "{id}: {error}");
                let bad = Error::InvalidCertificate(rustls::CertificateError::BadSignature);
                assert_eq!(error, bad);
            }
        }
    }
}

#[test]
fn configurations_refuse_what_does_not_fit() {
    let cluster = Cluster::new();
    let mut identity = cluster.identity(Usage::Tls);
    let alpns: [&[u8]; 0] = [];
    let refused = server_config(&identity, &[], &alpns).unwrap_err();
    assert!(matches!(refused, ConfigError::ClientRoots(_)));
    let refused = server_config(&identity, &[vec![1, 2, 3]], &alpns).unwrap_err();
    assert!(matches!(refused, ConfigError::Root(_)));
    identity.key = sm2::SecretKey::generate();
    let refused = client_config(&identity, &cluster.roots, &alpns).unwrap_err();
    assert!(matches!(refused, ConfigError::Identity(_)));
    identity.chain.clear();
    let refused = client_config(&identity, &cluster.roots, &alpns).unwrap_err();
    assert!(matches!(refused, ConfigError::Identity(_)));
}

#[test]
fn the_initial_suite_is_what_quic_demands() {
    let suite = initial_suite().suite.common.suite;
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(provider().cipher_suites.len(), 1);
    assert!(
        provider().cipher_suites[0]
            .tls13()
            .unwrap()
            .quic_suite()
            .is_some()
    );
}

/// QUIC's half of the suite, through rustls' own QUIC connections: the packets of one end open at
/// the other, before and after a key update, in a full handshake and in a resumed one.
#[test]
fn quic_ends_agree_on_packet_keys() {
    let cluster = Cluster::new();
    let (client, server) = (Arc::new(cluster.client()), Arc::new(cluster.server()));
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let name = ServerName::try_from(NAME).unwrap();
        let client = quic::ClientConnection::new(client.clone(), Version::V1, name, vec![1]);
        let server = quic::ServerConnection::new(server.clone(), Version::V1, vec![2]);
        let mut client = quic::Connection::from(client.unwrap());
        let mut server = quic::Connection::from(server.unwrap());
        let (mut client_keys, mut server_keys) = (None, None);
        for _ in 0..3 {
            carry_quic(&mut client, &mut server, &mut client_keys);
            carry_quic(&mut server, &mut client, &mut server_keys);
        }
        assert_eq!(client.handshake_kind(), Some(expected));
        assert_eq!(server.handshake_kind(), Some(expected));
        assert_eq!(client.quic_transport_parameters(), Some(&[2][..]));
        assert!(client.zero_rtt_keys().is_none() && server.zero_rtt_keys().is_none());

        let (client_keys, mut client_next) = client_keys.unwrap();
        let (server_keys, mut server_next) = server_keys.unwrap();
        let mut updates = vec![(client_keys.local.packet, server_keys.remote.packet)];
        updates.push((
            client_next.next_packet_keys().local,
            server_next.next_packet_keys().remote,
        ));
        for (local, remote) in updates {
            let mut packet = vec![0x5a; 1200];
            let tag = local.encrypt_in_place(3, b"header", &mut packet).unwrap();
            packet.extend_from_slice(tag.as_ref());
            let plain = remote.decrypt_in_place(3, b"header", &mut packet).unwrap();
            assert_eq!(plain, [0x5a; 1200]);
        }
    }
}

/// Carries what `from` has to say, and keeps the keys that it changes to at the end.
fn carry_quic(
    from: &mut quic::Connection,
    to: &mut quic::Connection,
    keys: &mut Option<(quic::Keys, quic::Secrets)>,
) {
    loop {
        let mut bytes = Vec::new();
        let change = from.write_hs(&mut bytes);
        if bytes.is_empty() && change.is_none() {
            break;
        }
        if let Some(quic::KeyChange::OneRtt { keys: new, next }) = change {
            *keys = Some((new, next));
        }
        to.read_hs(&bytes).unwrap();
    }
}
