//! TLS as a bank's gateway before a node ends it: one certificate for all of them, believed by this laboratory's people
//! and by nobody else.

use std::{sync::Arc, time::UNIX_EPOCH};

use guitai_crypto::{tls, web};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::error::LabError;

/// The gateways' end and the people's end.
pub(crate) fn pair(addresses: &[String]) -> Result<(TlsAcceptor, TlsConnector), LabError> {
    let failed = |error: &dyn std::error::Error| {
        LabError::Refused(format!("a certificate for the gateways: {error}"))
    };
    let now = UNIX_EPOCH.elapsed().map_err(|error| failed(&error))?;
    let certificate = web::make(addresses, now.as_secs()).map_err(|error| failed(&error))?;
    let server = tls::browser_server_config(&certificate, &[]).map_err(|error| failed(&error))?;
    let mut roots = RootCertStore::empty();
    for der in certificate.chain_der {
        roots.add(der.into()).map_err(|error| failed(&error))?;
    }
    let client = ClientConfig::builder_with_provider(tls::browser_provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((
        TlsAcceptor::from(Arc::new(server)),
        TlsConnector::from(Arc::new(client)),
    ))
}
