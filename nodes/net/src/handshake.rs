//! How many handshakes run at once, and for whom.
//!
//! Anyone can write any source address on a datagram. So strangers get half of the places only;
//! past that they are asked to come back with a token that proves their address, and the other half
//! is kept for those who did. A flood from made-up addresses then leaves the door open.

use std::sync::Arc;

use quinn::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for handshakes.
pub(crate) struct Handshakes {
    free: Arc<Semaphore>,
    max: usize,
}

impl Handshakes {
    /// `max` places.
    pub(crate) fn new(max: usize) -> Self {
        let free = Arc::new(Semaphore::new(max));
        Self { free, max }
    }

    /// A place for a newcomer, to be held during its handshake. Without one the newcomer has been
    /// answered and is gone.
    pub(crate) fn enter(&self, incoming: Incoming) -> Option<(Incoming, OwnedSemaphorePermit)> {
        let proven = incoming.remote_address_validated();
        if !proven && self.free.available_permits() <= self.max / 2 {
            if let Err(unanswered) = incoming.retry() {
                unanswered.into_incoming().ignore();
            }
            return None;
        }
        match self.free.clone().try_acquire_owned() {
            Ok(place) => Some((incoming, place)),
            Err(_full) => {
                incoming.refuse();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use guitai_crypto::{tls, web};
    use quinn::{
        ConnectionError, Endpoint,
        crypto::rustls::{QuicClientConfig, QuicServerConfig},
    };

    use super::*;

    fn server() -> Endpoint {
        let certificate = web::make(&["localhost".to_owned()], 1_800_000_000).unwrap();
        let tls = tls::browser_server_config(&certificate, &[b"h3"]).unwrap();
        let quic = QuicServerConfig::with_initial(Arc::new(tls), tls::initial_suite()).unwrap();
        let config = crate::transport::server(Arc::new(quic));
        Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
    }

    /// A newcomer at the server. It trusts nobody; here only its first packets matter.
    fn knock(server: &Endpoint) -> (Endpoint, quinn::Connecting) {
        let tls = rustls::ClientConfig::builder_with_provider(tls::browser_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let quic = QuicClientConfig::with_initial(Arc::new(tls), tls::initial_suite()).unwrap();
        let client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let config = quinn::ClientConfig::new(Arc::new(quic));
        let addr = server.local_addr().unwrap();
        let connecting = client.connect_with(config, addr, "localhost").unwrap();
        (client, connecting)
    }

    #[tokio::test]
    async fn past_half_the_places_an_address_must_be_proven() {
        let server = server();
        let handshakes = Handshakes::new(2);
        let _first = knock(&server);
        let entered = handshakes.enter(server.accept().await.unwrap());
        let (_stranger, _place) = entered.expect("the strangers' half is free");

        let _second = knock(&server);
        let unproven = server.accept().await.unwrap();
        assert!(!unproven.remote_address_validated());
        assert!(handshakes.enter(unproven).is_none());
        let back = server.accept().await.unwrap();
        assert!(
            back.remote_address_validated(),
            "it came back with its token"
        );
        let (_proven, _place) = handshakes.enter(back).expect("the other half is for it");

        let (_client, refused) = knock(&server);
        let again = server.accept().await.unwrap();
        assert!(handshakes.enter(again).is_none());
        let proven = server.accept().await.unwrap();
        assert!(handshakes.enter(proven).is_none(), "no place at all");
        let refused = refused.await.unwrap_err();
        assert!(
            matches!(refused, ConnectionError::ConnectionClosed(_)),
            "{refused:?}"
        );
    }
}
