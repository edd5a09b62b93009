//! Knocks at a UDP door with one family of algorithms or the other.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use guitai_crypto::tls;
use quinn::{ConnectionError, crypto::rustls::QuicClientConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// What became of a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// TLS alert 40, `handshake_failure`: the door has nothing in common with it.
    Refused,
    /// The door chose from what was offered and showed a certificate.
    Taken,
}

/// Offers what common browsers offer: AES-GCM and ChaCha20 over NIST and X25519 curves.
///
/// # Panics
/// When the door does neither.
pub(crate) fn of_a_browser(door: SocketAddr) -> Answer {
    knock(door, tls::browser_provider())
}

/// Offers RFC 8998 and nothing else.
///
/// # Panics
/// When the door does neither.
pub(crate) fn of_a_national_client(door: SocketAddr) -> Answer {
    knock(door, tls::provider())
}

fn knock(door: SocketAddr, provider: Arc<CryptoProvider>) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let ended = runtime.block_on(async {
        let mut client = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoMatterWho(provider)))
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h3".to_vec()];
        let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite());
        let config = quinn::ClientConfig::new(Arc::new(quic.expect("TLS 1.3 has such a suite")));
        let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
        let dialled = endpoint
            .connect_with(config, door, "localhost")
            .expect("a name");
        let waited = tokio::time::timeout(Duration::from_secs(20), dialled).await;
        waited.expect("an answer in time").map(drop)
    });
    match ended {
        // RFC 9001, 4.8: 0x100 and the alert.
        Err(ConnectionError::ConnectionClosed(close)) if u64::from(close.error_code) == 0x128 => {
            Answer::Refused
        }
        Ok(()) => Answer::Taken,
        Err(ConnectionError::TransportError(error)) if error.reason.contains("certificate") => {
            Answer::Taken
        }
        Err(error) => panic!("neither refused nor taken: {error:?}"),
    }
}

/// Sees a certificate and goes home: only what the door chose is of interest.
#[derive(Debug)]
struct NoMatterWho(Arc<CryptoProvider>);

impl ServerCertVerifier for NoMatterWho {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("no certificate is taken".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
