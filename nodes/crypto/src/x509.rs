//! SM2 certificates (GB/T 20518): the cluster's own authority, identities, and chain checks.
//!
//! A bank has its own authority; [`Authority`] serves the demo, the laboratory and the tests. What
//! both must produce is the same: an SM2 key, SM2-with-SM3 signatures under the default ID, CN = node
//! name, O = cluster id, SAN = the names that peers dial.

mod authority;
mod chain;
mod pem;

pub use authority::{Authority, IssueError, Subject, Usage};
pub use chain::{
    CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX, ChainError, VerifiedLeaf,
    dangerous_read_unverified, verify_chain,
};
pub use pem::{PemError, certificates_from_pem, certificates_to_pem};

use crate::sm2;

/// A certificate chain with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// DER, leaf first; the root last or left out.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: sm2::SecretKey,
}

impl Identity {
    /// The chain as PEM certificates one after the other, and the key as PKCS#8 PEM for a file with
    /// mode 600.
    #[must_use]
    pub fn to_pem(&self) -> (String, zeroize::Zeroizing<String>) {
        (certificates_to_pem(&self.chain), self.key.to_pkcs8_pem())
    }

    /// Reads what [`Identity::to_pem`] wrote and refuses a certificate of another key.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PemError> {
        let chain = certificates_from_pem(chain)?;
        let key = sm2::SecretKey::from_pkcs8_pem(key)?;
        pem::check_key_fits(&chain, &key)?;
        Ok(Self { chain, key })
    }
}
