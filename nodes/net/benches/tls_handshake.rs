//! What a handshake between two nodes costs, both ends in one thread: CPU time and bytes, with the
//! hybrid group and with curveSM2 alone, in full and resumed, in one run.
//!
//! ```sh
//! cargo bench -p guitai-net --bench tls_handshake
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a bench asks the machine's clock"
)]

mod world;

use std::{sync::Arc, time::Duration};

use guitai_crypto::tls;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, ServerConnection, SideData,
    crypto::CryptoProvider, pki_types::ServerName,
};
use world::{NAME, World};

/// Handshakes of one measurement.
const HANDSHAKES: u32 = 300;

fn main() {
    let world = World::new();
    let roots = [world.root.clone()];
    println!("load average before: {}", load());

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
            let client = Arc::new(client(&world, groups));
            let server = tls::server_config(&world.identity, &roots, &[]).unwrap();
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
    world: &World,
    kx_groups: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
) -> ClientConfig {
    let provider = CryptoProvider {
        kx_groups,
        ..(*tls::provider()).clone()
    };
    world
        .client(Arc::new(provider))
        .with_client_auth_cert(world.chain(), world.key())
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

/// The machine's load average over 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
