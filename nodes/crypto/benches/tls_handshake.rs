//! What a handshake between two nodes costs, both ends in one thread: CPU time and bytes, with the
//! hybrid group and with curveSM2 alone, in full and resumed, in one run.
//!
//! ```sh
//! cargo bench -p guitai-crypto --bench tls_handshake
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a bench asks the machine's clock"
)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use guitai_crypto::{
    sm2, tls,
    x509::{Authority, Identity, Subject, Usage},
};
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, RootCertStore,
    ServerConnection, SideData,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    version::TLS13,
};

const NAME: &str = "a1-1.inner.guitai.internal";
/// Handshakes of one measurement.
const HANDSHAKES: u32 = 300;

fn main() {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let authority = Authority::create("bench root", "bench", 30, now).unwrap();
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "a1-1".into(),
        organization: "bench".into(),
        dns_names: vec![NAME.into()],
    };
    let leaf = authority
        .issue(&subject, &key.public(), Usage::Tls, 30, now)
        .unwrap();
    let chain = vec![leaf];
    let identity = Identity { chain, key };
    let roots = [authority.certificate_der().to_vec()];

    println!(
        "| group | handshake | CPU ms, both ends | bytes of the client | bytes of the server |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let hybrid_only = tls::provider().kx_groups[..1].to_vec();
    let classical_only = tls::provider().kx_groups[1..].to_vec();
    for _ in 0..2 {
        for (name, groups) in [
            ("curveSM2MLKEM768", hybrid_only.clone()),
            ("curveSM2", classical_only.clone()),
        ] {
            let client = Arc::new(client(&identity, &roots, groups));
            let server = tls::server_config(&identity, &roots, &[]).unwrap();
            let server = Arc::new(server);
            let mut fresh = (*client).clone();
            fresh.resumption = rustls::client::Resumption::disabled();
            let fresh = Arc::new(fresh);
            handshake(&client, &server);
            for (client, kind) in [
                (fresh, HandshakeKind::Full),
                (client, HandshakeKind::Resumed),
            ] {
                let begin = cpu();
                let mut bytes = [0, 0];
                for _ in 0..HANDSHAKES {
                    let done = handshake(&client, &server);
                    assert_eq!(done.kind, Some(kind));
                    bytes = done.bytes;
                }
                let each = (cpu() - begin).as_secs_f64() * 1e3 / f64::from(HANDSHAKES);
                println!(
                    "| {name} | {kind:?} | {each:.2} | {} | {} |",
                    bytes[0], bytes[1]
                );
            }
        }
    }
}

/// As [`tls::client_config`], with other groups.
fn client(
    identity: &Identity,
    roots: &[Vec<u8>],
    kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
) -> ClientConfig {
    let provider = CryptoProvider {
        kx_groups,
        ..(*tls::provider()).clone()
    };
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.clone())).unwrap();
    }
    let key = PrivatePkcs8KeyDer::from(identity.key.to_pkcs8_der().to_vec());
    let chain = identity.chain.iter().cloned().map(CertificateDer::from);
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(store)
        .with_client_auth_cert(chain.collect(), PrivateKeyDer::Pkcs8(key))
        .unwrap()
}

struct Done {
    kind: Option<HandshakeKind>,
    bytes: [usize; 2],
}

fn handshake(client: &Arc<ClientConfig>, server: &Arc<rustls::ServerConfig>) -> Done {
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    let mut bytes = [0, 0];
    for _ in 0..3 {
        bytes[0] += carry(&mut client, &mut server);
        bytes[1] += carry(&mut server, &mut client);
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let kind = client.handshake_kind();
    Done { kind, bytes }
}

fn carry<A: SideData, B: SideData>(
    from: &mut ConnectionCommon<A>,
    to: &mut ConnectionCommon<B>,
) -> usize {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().unwrap();
    }
    bytes.len()
}

/// Time that this thread ran: the first number of schedstat, nanoseconds.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
