//! TLS of a door's TCP port: pages, API and media over WebSocket, with a certificate that an authority of the browsers
//! or of the bank has issued.

use std::sync::Arc;

use der::{Decode as _, oid::db::rfc4519};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureAlgorithm, version};
use webpki::EndEntityCert;
use x509_cert::{Certificate, ext::pkix::name::DirectoryString};

use super::{browser_provider, provider, resume_only_here};
use crate::twin;

/// Pages, server-sent events and WebSocket are all HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// What a door serves TLS with, and what an inventory says of it.
#[derive(Clone)]
pub struct WebDoor {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// CN of the certificate; empty if it has none.
    pub subject: String,
    /// SHA-256 of the certificate, as browsers show it.
    pub sha256: [u8; 32],
    /// Kind of its key, for people.
    pub algorithm: &'static str,
    /// End of validity, seconds since 1970.
    pub not_after_unix: u64,
}

/// Why a certificate is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebDoorError {
    /// No certificate, or one whose text is damaged.
    #[error("there is no PEM certificate in it")]
    Certificates,
    /// A certificate that does not parse.
    #[error("its first certificate does not parse")]
    Leaf(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No private key, or one with a passphrase.
    #[error("there is no PEM private key in it that can be read without a passphrase")]
    Key,
    /// A host that no certificate can be for.
    #[error("{host} is no host name")]
    Host {
        /// As it was given.
        host: String,
        /// Why.
        #[source]
        source: InvalidDnsNameError,
    },
    /// Browsers would refuse it.
    #[error("it is not for {host}: no subject alternative name says so")]
    Name {
        /// What browsers call the door.
        host: String,
    },
    /// The key is of another certificate, or of a kind that is not spoken here.
    #[error(
        "certificate and key do not belong together, or the policy does not know their algorithm"
    )]
    Pair(#[source] rustls::Error),
    /// The provider cannot do TLS 1.3.
    #[error("TLS 1.3")]
    Version(#[source] rustls::Error),
}

/// Reads a certificate chain and its key (PEM) for `host`. With `national` only RFC 8998 is spoken, and the certificate
/// is one of SM2.
pub fn web_door(
    chain_pem: &[u8],
    key_pem: &[u8],
    host: &str,
    national: bool,
) -> Result<WebDoor, WebDoorError> {
    let chain = CertificateDer::pem_slice_iter(chain_pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| WebDoorError::Certificates)?;
    let leaf = chain.first().ok_or(WebDoorError::Certificates)?.clone();
    is_for(&leaf, host)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|_| WebDoorError::Key)?;
    let provider = match national {
        true => provider(),
        false => browser_provider(),
    };
    let pair = CertifiedKey::from_der(chain, key, &provider).map_err(WebDoorError::Pair)?;
    let algorithm = name_of(pair.key.algorithm());
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(pair));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(WebDoorError::Version)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    resume_only_here(&mut config);
    config.alpn_protocols = vec![ALPN.to_vec()];
    let read = |source: der::Error| WebDoorError::Leaf(source.into());
    let certificate = Certificate::from_der(&leaf).map_err(read)?;
    let tbs = certificate.tbs_certificate();
    let subject = tbs
        .subject()
        .by_oid::<DirectoryString>(rfc4519::COMMON_NAME)
        .map_err(read)?;
    Ok(WebDoor {
        config: Arc::new(config),
        subject: subject
            .map(|name| name.value().into_owned())
            .unwrap_or_default(),
        sha256: twin::sha256(&[&leaf]),
        algorithm,
        not_after_unix: tbs.validity().not_after.to_unix_duration().as_secs(),
    })
}

/// What a program trusts that asks such a door: these certificates (PEM) and no other.
pub fn web_client(trusted_pem: &[u8], national: bool) -> Result<ClientConfig, WebDoorError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trusted_pem) {
        let certificate = certificate.map_err(|_| WebDoorError::Certificates)?;
        let added = roots.add(certificate);
        added.map_err(|error| WebDoorError::Leaf(error.into()))?;
    }
    if roots.is_empty() {
        return Err(WebDoorError::Certificates);
    }
    let provider = match national {
        true => provider(),
        false => browser_provider(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .map_err(WebDoorError::Version)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn is_for(leaf: &CertificateDer<'_>, host: &str) -> Result<(), WebDoorError> {
    let name = ServerName::try_from(host).map_err(|source| WebDoorError::Host {
        host: host.to_owned(),
        source,
    })?;
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| WebDoorError::Leaf(error.into()))?;
    leaf.verify_is_valid_for_subject_name(&name)
        .map_err(|_| WebDoorError::Name {
            host: host.to_owned(),
        })
}

const fn name_of(algorithm: SignatureAlgorithm) -> &'static str {
    match algorithm {
        SignatureAlgorithm::RSA => "RSA",
        SignatureAlgorithm::ECDSA => "ECDSA",
        SignatureAlgorithm::ED25519 => "Ed25519",
        _ => "SM2",
    }
}

impl std::fmt::Debug for WebDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebDoor")
            .field("subject", &self.subject)
            .field("not_after_unix", &self.not_after_unix)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web;

    const NOW: u64 = 1_790_000_000;

    fn pem(host: &str) -> (String, String) {
        let made = web::make(&[host.to_owned()], NOW).unwrap();
        let (chain, key) = made.to_pem();
        (chain, key.to_string())
    }

    fn refused(chain: &str, key: &str, host: &str) -> WebDoorError {
        web_door(chain.as_bytes(), key.as_bytes(), host, false).unwrap_err()
    }

    #[test]
    fn a_certificate_is_served_under_the_name_it_is_for() {
        let (chain, key) = pem("vtm.bank.example");
        let door = web_door(chain.as_bytes(), key.as_bytes(), "vtm.bank.example", false).unwrap();
        assert_eq!(door.subject, "guitai door");
        assert_eq!(door.algorithm, "ECDSA");
        assert!(door.not_after_unix > NOW);
        assert_eq!(door.config.alpn_protocols, [ALPN]);
        let (chain, key) = pem("127.1.1.1");
        web_door(chain.as_bytes(), key.as_bytes(), "127.1.1.1", false).unwrap();
        web_client(chain.as_bytes(), false).unwrap();
    }

    #[test]
    fn what_browsers_would_refuse_is_refused_with_its_reason() {
        let (chain, key) = pem("vtm.bank.example");
        let (_, other) = pem("vtm.bank.example");
        let host = "vtm.bank.example";
        let name = refused(&chain, &key, "desk.bank.example");
        assert!(matches!(name, WebDoorError::Name { .. }), "{name}");
        let name = refused(&chain, &key, "127.1.1.1");
        assert!(matches!(name, WebDoorError::Name { .. }), "{name}");
        let host_name = refused(&chain, &key, "a b");
        assert!(
            matches!(host_name, WebDoorError::Host { .. }),
            "{host_name}"
        );
        let pair = refused(&chain, &other, host);
        assert!(matches!(pair, WebDoorError::Pair(_)), "{pair}");
        assert!(matches!(
            refused("", &key, host),
            WebDoorError::Certificates
        ));
        assert!(matches!(refused(&chain, "", host), WebDoorError::Key));
        assert!(matches!(refused(&chain, &chain, host), WebDoorError::Key));
        // The strict policy knows no P-256.
        let national = web_door(chain.as_bytes(), key.as_bytes(), host, true).unwrap_err();
        assert!(matches!(national, WebDoorError::Pair(_)), "{national}");
        assert!(web_client(b"", false).is_err());
    }
}
