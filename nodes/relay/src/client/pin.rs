//! TLS towards a door: trust is the SHA-256 of its certificate, as a browser's
//! `serverCertificateHashes`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use guitai_types::limits::MEDIA_STREAMS_MAX;
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use web_transport_quinn::quinn;

/// Keeps the path through NATs and firewalls open; below the 30 s idle limit of QUIC stacks.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// A client endpoint of the address family of `remote`, trusting certificates with these hashes.
pub(super) fn client(
    remote_is_v6: bool,
    pins: &[[u8; 32]],
) -> Result<web_transport_quinn::Client, PinError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Pins {
        provider: Arc::clone(&provider),
        pins: pins.to_vec(),
    });
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![web_transport_quinn::ALPN.as_bytes().to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls)
        .map_err(|_| rustls::Error::General("no suite for QUIC's first packets".to_owned()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_concurrent_bidi_streams(MEDIA_STREAMS_MAX.into());
    transport.max_concurrent_uni_streams(MEDIA_STREAMS_MAX.into());
    config.transport_config(Arc::new(transport));

    let any = match remote_is_v6 {
        true => SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
        false => SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0)),
    };
    let endpoint = quinn::Endpoint::client(any)?;
    Ok(web_transport_quinn::Client::new(endpoint, config))
}

/// Why no client endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// TLS.
    #[error("TLS towards the door could not be set up")]
    Tls(#[from] rustls::Error),
    /// UDP.
    #[error("no UDP socket could be opened")]
    Socket(#[from] std::io::Error),
}

/// Accepts exactly the certificates whose hash is known; names and dates do not matter then.
#[derive(Debug)]
struct Pins {
    provider: Arc<CryptoProvider>,
    pins: Vec<[u8; 32]>,
}

impl Pins {
    fn sha256(&self, der: &[u8]) -> Option<Vec<u8>> {
        let suites = self.provider.cipher_suites.iter();
        let mut hashes = suites.filter_map(|suite| Some(suite.tls13()?.common.hash_provider));
        let hash = hashes.find(|hash| hash.output_len() == 32)?;
        Some(hash.hash(der).as_ref().to_vec())
    }
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash = self.sha256(end_entity);
        match self
            .pins
            .iter()
            .any(|pin| Some(&pin[..]) == hash.as_deref())
        {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls13RequiredForQuic.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
