//! OpenSSL 4.0.3 as an independent peer: TLS 1.3 over TCP both ways, and certificates both ways.
//!
//! `GUITAI_OPENSSL` names its built tree; `tests/peers/openssl` builds one and prints the path. The
//! tests are ignored unless asked for, so that a run without the peer does not count them as passed:
//!
//! ```sh
//! GUITAI_OPENSSL=$(tests/peers/openssl) cargo nextest run -p guitai-crypto --test peers --run-ignored only
//! ```

mod certificates;
mod openssl;
mod our_client;
mod our_server;

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};

/// The name in our node's certificate.
const NAME: &str = "a1-1.inner.guitai.internal";

/// A root and what it issues.
struct Cluster(Authority);

impl Cluster {
    fn new() -> Self {
        Self(Authority::create("Guitai Root", "cluster", 30, now()).unwrap())
    }

    fn roots(&self) -> Vec<Vec<u8>> {
        vec![self.0.certificate_der().to_vec()]
    }

    fn root_pem(&self) -> String {
        guitai_crypto::x509::certificates_to_pem(&self.roots())
    }

    fn identity(&self) -> Identity {
        let key = sm2::SecretKey::generate();
        let subject = Subject {
            common_name: "a1-1".into(),
            organization: "cluster".into(),
            dns_names: vec![NAME.into()],
        };
        let leaf = self
            .0
            .issue(&subject, &key.public(), Usage::Tls, 30, now())
            .unwrap();
        let chain = vec![leaf];
        Identity { chain, key }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the peer asks the system's clock too"
)]
fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
