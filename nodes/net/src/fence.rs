//! A fence around the TLS session: a panic in it ends one handshake.
//!
//! quinn feeds a client's first packet to TLS while it holds the endpoint's lock. A panic there
//! poisons the lock, the next use of it panics inside a destructor, and the process aborts: one
//! malformed key share would take down an edge. So the calls that parse what a stranger sent are
//! caught here and become an ordinary handshake failure.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use quinn::{
    ConnectError, ConnectionId, Side, TransportErrorCode,
    crypto::{
        ClientConfig, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig,
        Session, UnsupportedVersion,
    },
};
use quinn_proto::{TransportError, transport_parameters::TransportParameters};

/// A server configuration whose sessions are fenced.
pub(crate) struct FencedServer<C>(pub(crate) Arc<C>);

impl<C: ServerConfig> ServerConfig for FencedServer<C> {
    fn initial_keys(&self, version: u32, id: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, id: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0.retry_tag(version, id, packet)
    }

    fn start_session(
        self: Arc<Self>,
        version: u32,
        params: &TransportParameters,
    ) -> Box<dyn Session> {
        Box::new(Fenced::new(self.0.clone().start_session(version, params)))
    }
}

/// A client configuration whose sessions are fenced.
pub(crate) struct FencedClient<C>(pub(crate) Arc<C>);

impl<C: ClientConfig> ClientConfig for FencedClient<C> {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let session = self.0.clone().start_session(version, server_name, params)?;
        Ok(Box::new(Fenced::new(session)))
    }
}

struct Fenced {
    session: Box<dyn Session>,
    /// A session that panicked is never asked again: its state may be half-changed.
    broken: bool,
}

impl Fenced {
    fn new(session: Box<dyn Session>) -> Self {
        Self {
            session,
            broken: false,
        }
    }

    fn fenced<T>(&mut self, act: impl FnOnce(&mut dyn Session) -> T) -> Option<T> {
        if self.broken {
            return None;
        }
        let session = &mut *self.session;
        let done = catch_unwind(AssertUnwindSafe(|| act(session)));
        if done.is_err() {
            self.broken = true;
            tracing::error!("panic in a TLS session; the connection is refused");
        }
        done.ok()
    }
}

fn broken() -> TransportError {
    TransportError {
        code: TransportErrorCode::INTERNAL_ERROR,
        frame: None,
        reason: String::new(),
    }
}

impl Session for Fenced {
    fn initial_keys(&self, id: &ConnectionId, side: Side) -> Keys {
        self.session.initial_keys(id, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.session.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.session.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.session.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.session.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.broken || self.session.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.fenced(|session| session.read_handshake(buf))
            .unwrap_or_else(|| Err(broken()))
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        if self.broken {
            return Err(broken());
        }
        self.session.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.fenced(|session| session.write_handshake(buf))
            .flatten()
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.fenced(|session| session.next_1rtt_keys()).flatten()
    }

    fn is_valid_retry(&self, id: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.session.is_valid_retry(id, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.session.export_keying_material(output, label, context)
    }
}

#[cfg(test)]
mod tests {
    use guitai_crypto::{tls, web};
    use quinn::{
        ConnectionError, Endpoint,
        crypto::rustls::{QuicClientConfig, QuicServerConfig},
    };
    use rustls::{
        NamedGroup,
        crypto::{ActiveKeyExchange, CryptoProvider, SupportedKxGroup},
        pki_types::{CertificateDer, PrivateKeyDer},
    };

    use super::*;

    /// A key exchange with the fault a stranger would look for.
    #[derive(Debug)]
    struct Faulty;

    impl SupportedKxGroup for Faulty {
        fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
            panic!("on purpose")
        }

        fn name(&self) -> NamedGroup {
            NamedGroup::X25519
        }
    }

    fn faulty_server() -> QuicServerConfig {
        let certificate = web::make(&["localhost".to_owned()], 1_800_000_000).unwrap();
        let chain = certificate.chain_der.into_iter().map(CertificateDer::from);
        let key = PrivateKeyDer::try_from(certificate.key_der.to_vec()).unwrap();
        let provider = CryptoProvider {
            kx_groups: vec![&Faulty],
            ..(*tls::browser_provider()).clone()
        };
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .unwrap();
        QuicServerConfig::with_initial(Arc::new(server), tls::initial_suite()).unwrap()
    }

    fn client() -> quinn::ClientConfig {
        let client = rustls::ClientConfig::builder_with_provider(tls::browser_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite()).unwrap();
        quinn::ClientConfig::new(Arc::new(quic))
    }

    #[tokio::test]
    async fn a_panic_in_tls_refuses_the_connection_and_leaves_the_endpoint_serving() {
        let here = "127.0.0.1:0".parse().unwrap();
        let config = crate::transport::server(Arc::new(FencedServer(Arc::new(faulty_server()))));
        let server = Endpoint::server(config, here).unwrap();
        let addr = server.local_addr().unwrap();
        let accepting = server.clone();
        tokio::spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                tokio::spawn(async move { incoming.accept()?.await.map(drop) });
            }
        });
        let endpoint = Endpoint::client(here).unwrap();
        for _ in 0..3 {
            let refused = endpoint.connect_with(client(), addr, "localhost").unwrap();
            let refused = refused.await.unwrap_err();
            // The server says so itself: it neither died nor fell silent.
            let ConnectionError::ConnectionClosed(close) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(close.error_code, TransportErrorCode::INTERNAL_ERROR);
        }
        assert_eq!(server.open_connections(), 0);
    }
}
