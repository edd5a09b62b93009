//! A root and one node's certificate, for benches of what two nodes do with each other.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert,
    crypto::CryptoProvider, version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The name in the certificate.
pub(crate) const NAME: &str = "a1-1.inner.guitai.internal";

/// A root, and an identity that it certified.
pub(crate) struct World {
    pub(crate) root: Vec<u8>,
    pub(crate) identity: Identity,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let authority = Authority::create("bench root", "bench", 30, now).unwrap();
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: "a1-1".into(),
            organization: "bench".into(),
            dns_names: vec![NAME.into()],
        };
        let leaf = authority
            .issue(&subject, &key.public(), Usage::Tls, 30, now)
            .unwrap();
        let identity = Identity {
            chain: vec![leaf],
            key,
        };
        Self {
            root: authority.certificate_der().to_vec(),
            identity,
        }
    }

    /// The certificates to show.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = self.identity.chain.iter().cloned();
        chain.map(CertificateDer::from).collect()
    }

    /// Their key.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        let key = self.identity.key.to_pkcs8_der().to_vec();
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key))
    }

    /// A client that trusts the root and speaks TLS 1.3 with these algorithms.
    pub(crate) fn client(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).unwrap();
        let begun: ConfigBuilder<ClientConfig, WantsVerifier> =
            ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&TLS13])
                .unwrap();
        begun.with_root_certificates(roots)
    }
}
