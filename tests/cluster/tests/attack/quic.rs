//! First packets of QUIC as real clients write them, to be sent by somebody else: caught on their way to a socket that
//! answers nothing.

use std::{collections::BTreeSet, net::UdpSocket, sync::Arc, time::Duration};

use guitai_crypto::tls;
use quinn::crypto::rustls::QuicClientConfig;

/// Clients that try at once.
const AT_ONCE: usize = 64;
/// RFC 9000 17.2: length of the destination's connection id stands here, and the id after it.
const ID_LENGTH_AT: usize = 5;

/// So many, each of a connection of its own.
pub(super) fn initials(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let patience = Duration::from_millis(200);
    sink.set_read_timeout(Some(patience)).expect("a timeout");
    let to = sink.local_addr().expect("bound");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (mut found, mut ids) = (Vec::new(), BTreeSet::new());
    while found.len() < count {
        // A client that goes on would send the same packet again; this one is gone with its endpoint.
        let clients = runtime.block_on(async {
            let mut client = rustls::ClientConfig::builder_with_provider(tls::browser_provider())
                .with_protocol_versions(&[&rustls::version::TLS13])
                .expect("TLS 1.3")
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            client.alpn_protocols = vec![b"h3".to_vec()];
            let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite());
            let config = quinn::ClientConfig::new(Arc::new(quic.expect("such a suite")));
            let any = "127.0.0.1:0".parse().expect("an address");
            let endpoint = quinn::Endpoint::client(any).expect("a socket");
            let dial = |_| {
                endpoint
                    .connect_with(config.clone(), to, "localhost")
                    .expect("dialled")
            };
            let clients: Vec<quinn::Connecting> = (0..AT_ONCE).map(dial).collect();
            tokio::time::sleep(Duration::from_millis(50)).await;
            (endpoint, clients)
        });
        let mut packet = [0; 2048];
        while let Ok(length) = sink.recv(&mut packet) {
            let packet = &packet[..length];
            let id_length = packet.get(ID_LENGTH_AT).copied().unwrap_or(0) as usize;
            let id = packet.get(ID_LENGTH_AT + 1..ID_LENGTH_AT + 1 + id_length);
            if let Some(id) = id
                && length >= 1200
                && ids.insert(id.to_vec())
            {
                found.push(packet.to_vec());
            }
        }
        drop(clients);
    }
    found.truncate(count);
    found
}
