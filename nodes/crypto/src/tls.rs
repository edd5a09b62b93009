//! The rustls provider of RFC 8998 and the two configurations that use it, and the browser's one.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::{web, x509};

/// `TLS_SM4_GCM_SM3`.
pub const SUITE: u16 = 0x00C6;
/// `curveSM2`.
pub const GROUP: u16 = 41;
/// `sm2sig_sm3`.
pub const SCHEME: u16 = 0x0708;

/// Why a TLS configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A root certificate that does not parse.
    #[error("trusted root certificate")]
    Root(#[source] rustls::Error),
    /// Certificate and key do not fit.
    #[error("own certificate and key")]
    Identity(#[source] rustls::Error),
}

/// The provider with SM algorithms and nothing else.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    unimplemented!()
}

/// The suite for QUIC Initial packets: AES-128-GCM, as QUIC v1 demands; its keys are public.
#[must_use]
pub fn initial_suite() -> rustls::quic::Suite {
    unimplemented!()
}

/// TLS 1.3 with mandatory client certificates, without 0-RTT.
pub fn server_config(
    identity: &x509::Identity,
    roots_der: &[Vec<u8>],
    alpns: &[&[u8]],
) -> Result<rustls::ServerConfig, ConfigError> {
    let _ = (identity, roots_der, alpns);
    unimplemented!()
}

/// The client's side of [`server_config`].
pub fn client_config(
    identity: &x509::Identity,
    roots_der: &[Vec<u8>],
    alpns: &[&[u8]],
) -> Result<rustls::ClientConfig, ConfigError> {
    let _ = (identity, roots_der, alpns);
    unimplemented!()
}

/// The provider for browsers: ring's.
#[must_use]
pub fn browser_provider() -> Arc<CryptoProvider> {
    unimplemented!()
}

/// TLS 1.3 for browsers: P-256 certificate, no client certificate.
pub fn browser_server_config(
    certificate: &web::Certificate,
    alpns: &[&[u8]],
) -> Result<rustls::ServerConfig, ConfigError> {
    let _ = (certificate, alpns);
    unimplemented!()
}
