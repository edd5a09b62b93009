//! TLS 1.3 between nodes with national cryptography only (RFC 8998), and the browsers' TLS.
//!
//! Suite `TLS_SM4_GCM_SM3`, signature sm2sig_sm3, group curveSM2MLKEM768 or else curveSM2. Both ends
//! show certificates at every full handshake; for an hour after it the pair may resume, with a new
//! key agreement each time. There is no 0-RTT: nothing that could be replayed is ever taken.
//! QUIC's Initial packets stay AES-128-GCM, as QUIC v1 demands of every implementation: their keys
//! follow from the connection id in the clear and protect nothing secret.

mod hash;
mod hmac;
mod hybrid;
mod kx;
mod offered;
mod quic;
mod sessions;
mod sign;
#[cfg(test)]
mod tests;
mod tls13;
pub(crate) mod verify;
mod web_door;

pub use offered::offered;
pub use sessions::RESUMPTION_SECONDS_MAX;
pub use web_door::{WebDoor, WebDoorError, web_client, web_door};

use std::sync::Arc;

use rustls::client::{Resumption, Tls12Resumption};
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::AeadKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite, version};
use zeroize::Zeroizing;

use self::sessions::Sessions;
use crate::{web, x509};

/// `TLS_SM4_GCM_SM3` (RFC 8998, 2).
pub const SUITE: u16 = 0x00C6;
/// `curveSM2` (RFC 8998, 2).
pub const GROUP: u16 = 41;
/// `curveSM2MLKEM768`, the hybrid group (IANA, draft-yang-tls-hybrid-sm2-mlkem).
pub const HYBRID_GROUP: u16 = 4590;
/// `sm2sig_sm3` (RFC 8998, 2).
pub const SCHEME: u16 = 0x0708;

/// Tickets sent with each handshake: one for the next connection and one in case that one breaks.
const TICKETS: usize = 2;
/// Sessions that the dialling end keeps; rustls gives each server up to 8 of them.
const SESSIONS_DIALLED_MAX: usize = 1_024;

/// Why a TLS configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A root certificate that does not parse.
    #[error("trusted root certificate")]
    Root(#[source] rustls::Error),
    /// No root certificate to check clients with.
    #[error("trusted root certificates of clients")]
    ClientRoots(#[source] VerifierBuilderError),
    /// Certificate and key do not parse or do not belong together.
    #[error("own certificate and key")]
    Identity(#[source] rustls::Error),
    /// The provider cannot do TLS 1.3.
    #[error("TLS 1.3")]
    Version(#[source] rustls::Error),
}

/// The provider with the algorithms of RFC 8998 and nothing else.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&tls13::TLS_SM4_GCM_SM3)],
        kx_groups: vec![&hybrid::CurveSm2MlKem768, &kx::CurveSm2],
        signature_verification_algorithms: verify::ALGORITHMS,
        secure_random: rustls::crypto::ring::default_provider().secure_random,
        key_provider: &sign::Keys,
    })
}

/// The suite of QUIC's Initial packets: AES-128-GCM (RFC 9001, 5.2).
///
/// # Panics
/// Never: ring's suite has its QUIC half in every build that links it.
#[must_use]
pub fn initial_suite() -> rustls::quic::Suite {
    rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite)
        .expect("ring has a QUIC suite")
}

/// The accepting node's configuration: a client without a certificate under `roots_der` is refused.
///
/// Sessions of this configuration and its clones can be resumed for [`RESUMPTION_SECONDS_MAX`], those
/// of any other cannot. A resumed session brings the client's chain of the full handshake with it and
/// does not check it again: whoever admits the client looks at its end of validity.
pub fn server_config(
    identity: &x509::Identity,
    roots_der: &[Vec<u8>],
    alpns: &[&[u8]],
) -> Result<ServerConfig, ConfigError> {
    let provider = provider();
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(roots_der)?), provider.clone())
            .build()
            .map_err(ConfigError::ClientRoots)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(ConfigError::Version)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain(&identity.chain), private_key(identity))
        .map_err(ConfigError::Identity)?;
    resume_only_here(&mut config);
    config.alpn_protocols = protocols(alpns);
    Ok(config)
}

/// The dialling node's configuration; the server's name is given with each connection. What
/// [`server_config`] says of resumption holds here too.
pub fn client_config(
    identity: &x509::Identity,
    roots_der: &[Vec<u8>],
    alpns: &[&[u8]],
) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(ConfigError::Version)?
        .with_root_certificates(roots(roots_der)?)
        .with_client_auth_cert(chain(&identity.chain), private_key(identity))
        .map_err(ConfigError::Identity)?;
    config.resumption = Resumption::in_memory_sessions(SESSIONS_DIALLED_MAX)
        .tls12_resumption(Tls12Resumption::Disabled);
    config.alpn_protocols = protocols(alpns);
    Ok(config)
}

/// The provider for browsers, which know no national cryptography: ring's.
#[must_use]
pub fn browser_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The door's configuration: TLS 1.3 with the pinned P-256 certificate, no client certificate.
pub fn browser_server_config(
    certificate: &web::Certificate,
    alpns: &[&[u8]],
) -> Result<ServerConfig, ConfigError> {
    let key = PrivatePkcs8KeyDer::from(certificate.key_der.to_vec());
    let mut config = ServerConfig::builder_with_provider(browser_provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(ConfigError::Version)?
        .with_no_client_auth()
        .with_single_cert(chain(&certificate.chain_der), PrivateKeyDer::Pkcs8(key))
        .map_err(ConfigError::Identity)?;
    config.alpn_protocols = protocols(alpns);
    Ok(config)
}

/// The door's configuration under the strict policy: national algorithms only, the node's own
/// certificate, no client certificate. Sessions resume as with [`server_config`].
pub fn national_door_config(
    identity: &x509::Identity,
    alpns: &[&[u8]],
) -> Result<ServerConfig, ConfigError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .map_err(ConfigError::Version)?
        .with_no_client_auth()
        .with_single_cert(chain(&identity.chain), private_key(identity))
        .map_err(ConfigError::Identity)?;
    resume_only_here(&mut config);
    config.alpn_protocols = protocols(alpns);
    Ok(config)
}

/// Sessions of this configuration are kept with it and nowhere else; never 0-RTT.
fn resume_only_here(config: &mut ServerConfig) {
    config.session_storage = Arc::new(Sessions::new(config.time_provider.clone()));
    config.send_tls13_tickets = TICKETS;
    config.max_early_data_size = 0;
}

fn roots(roots_der: &[Vec<u8>]) -> Result<RootCertStore, ConfigError> {
    let mut store = RootCertStore::empty();
    for root in roots_der {
        store
            .add(CertificateDer::from_slice(root).into_owned())
            .map_err(ConfigError::Root)?;
    }
    Ok(store)
}

fn chain(certificates: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    certificates
        .iter()
        .cloned()
        .map(CertificateDer::from)
        .collect()
}

fn private_key(identity: &x509::Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(
        identity.key.to_pkcs8_der().to_vec(),
    ))
}

fn protocols(alpns: &[&[u8]]) -> Vec<Vec<u8>> {
    alpns.iter().map(|alpn| alpn.to_vec()).collect()
}

/// rustls gives keys of the length that the algorithm named: 16 bytes.
fn key_bytes(key: &AeadKey) -> Zeroizing<[u8; 16]> {
    let mut bytes = Zeroizing::new([0; 16]);
    for (byte, given) in bytes.iter_mut().zip(key.as_ref()) {
        *byte = *given;
    }
    bytes
}
