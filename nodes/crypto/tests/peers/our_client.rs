//! Our client at OpenSSL's `s_server`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use guitai_crypto::tls;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, Stream,
    crypto::CryptoProvider, pki_types::CertificateDer, pki_types::ServerName, version,
};

use crate::{
    Cluster, NAME,
    openssl::{NATIONAL, OpenSsl, Server},
};

/// What a connection was.
#[derive(Debug, PartialEq)]
struct Dialled {
    kind: Option<HandshakeKind>,
    group: Option<NamedGroup>,
}

impl Dialled {
    fn new(kind: HandshakeKind, group: u16) -> Self {
        let (kind, group) = (Some(kind), Some(NamedGroup::Unknown(group)));
        Self { kind, group }
    }
}

/// Dials, has one line reversed, and says how it went.
fn dial(config: &Arc<ClientConfig>, to: SocketAddr) -> Result<Dialled, String> {
    talk(config, to).map_err(|error| error.to_string())
}

fn talk(config: &Arc<ClientConfig>, to: SocketAddr) -> std::io::Result<Dialled> {
    let mut socket = TcpStream::connect(to)?;
    let name = ServerName::try_from(NAME).map_err(std::io::Error::other)?;
    let tls = ClientConnection::new(config.clone(), name);
    let mut tls = tls.map_err(std::io::Error::other)?;
    Stream::new(&mut tls, &mut socket).write_all(b"counter\n")?;
    let mut line = String::new();
    BufReader::new(Stream::new(&mut tls, &mut socket)).read_line(&mut line)?;
    assert_eq!(line, "retnuoc\n");
    tls.send_close_notify();
    tls.complete_io(&mut socket)?;
    Ok(Dialled {
        kind: tls.handshake_kind(),
        group: tls
            .negotiated_key_exchange_group()
            .map(|group| group.name()),
    })
}

struct World {
    cluster: Cluster,
    openssl: OpenSsl,
}

impl World {
    fn new() -> Self {
        let (cluster, openssl) = (Cluster::new(), OpenSsl::new());
        Self { cluster, openssl }
    }

    fn client(&self) -> Arc<ClientConfig> {
        let config = tls::client_config(&self.cluster.identity(), &self.cluster.roots(), &[]);
        Arc::new(config.unwrap())
    }

    /// `s_server` with an identity of the cluster; it asks for a certificate of the cluster.
    fn s_server(&self, more: &[&str]) -> Server {
        let identity = self.openssl.identity(&self.cluster.identity());
        let root = self.openssl.file("root.pem", self.cluster.root_pem());
        let mut arguments = vec!["-CAfile", &root, "-Verify", "2", "-verify_return_error"];
        arguments.extend(identity.iter().map(String::as_str));
        arguments.extend_from_slice(more);
        self.openssl.serve(&arguments)
    }

    fn national(&self, more: &[&str]) -> Server {
        self.s_server(&[NATIONAL, more].concat())
    }
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn both_groups_with_certificates_on_both_sides() {
    let world = World::new();
    for (name, group) in [
        ("curveSM2", tls::GROUP),
        ("curveSM2MLKEM768", tls::HYBRID_GROUP),
        ("curveSM2:curveSM2MLKEM768", tls::GROUP),
    ] {
        let server = world.national(&["-groups", name, "-serverpref"]);
        let dialled = dial(&world.client(), server.addr).unwrap();
        assert_eq!(dialled, Dialled::new(HandshakeKind::Full, group), "{name}");
    }
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn its_default_groups_take_the_hybrid_one() {
    let world = World::new();
    let server = world.national(&[]);
    let dialled = dial(&world.client(), server.addr).unwrap();
    assert_eq!(
        dialled,
        Dialled::new(HandshakeKind::Full, tls::HYBRID_GROUP)
    );
}

/// We send shares of both groups, so only a client that sends one is asked again.
#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn a_hello_retry_request_of_its_is_answered() {
    let world = World::new();
    let provider = tls::provider();
    let mut kx_groups = provider.kx_groups.clone();
    kx_groups.reverse();
    let provider = CryptoProvider {
        kx_groups,
        ..(*provider).clone()
    };
    let mut roots = RootCertStore::empty();
    for root in world.cluster.roots() {
        roots.add(CertificateDer::from(root)).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let identity = world.openssl.identity(&world.cluster.identity());
    let mut arguments = [NATIONAL, &["-groups", "curveSM2MLKEM768"]].concat();
    arguments.extend(identity.iter().map(String::as_str));
    let server = world.openssl.serve(&arguments);
    let dialled = dial(&Arc::new(client), server.addr).unwrap();
    let retried = HandshakeKind::FullWithHelloRetryRequest;
    assert_eq!(dialled, Dialled::new(retried, tls::HYBRID_GROUP));
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn we_resume_with_its_tickets() {
    let world = World::new();
    let server = world.national(&["-groups", "curveSM2MLKEM768"]);
    let client = world.client();
    let kinds: Vec<_> = (0..3)
        .map(|_| dial(&client, server.addr).unwrap().kind)
        .collect();
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert_eq!(kinds, [Some(full), Some(resumed), Some(resumed)]);
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn a_server_without_what_we_ask_is_refused() {
    let world = World::new();
    let client = world.client();
    let aes = ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"];
    let server = world.s_server(&aes);
    let refused = dial(&client, server.addr).unwrap_err();
    assert!(refused.contains("HandshakeFailure"), "{refused}");

    let server = world.s_server(&["-tls1_2"]);
    let refused = dial(&client, server.addr).unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
}

#[test]
#[ignore = "needs GUITAI_OPENSSL"]
fn another_root_is_refused_by_either_end() {
    let world = World::new();
    let server = world.national(&["-groups", "curveSM2"]);
    let other = Cluster::new();
    // We do not trust it.
    let suspicious = tls::client_config(&world.cluster.identity(), &other.roots(), &[]);
    let refused = dial(&Arc::new(suspicious.unwrap()), server.addr).unwrap_err();
    // Both roots have one name, so it is the signature that tells them apart.
    assert!(refused.contains("BadSignature"), "{refused}");
    // It does not trust us.
    let stranger = tls::client_config(&other.identity(), &world.cluster.roots(), &[]);
    let refused = dial(&Arc::new(stranger.unwrap()), server.addr).unwrap_err();
    assert!(refused.contains("fatal alert: UnknownCA"), "{refused}");
    // And still serves those whom it trusts.
    dial(&world.client(), server.addr).unwrap();
}
