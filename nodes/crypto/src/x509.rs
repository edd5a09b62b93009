//! SM2 certificates (GB/T 20518): authorities, identities, requests, revocation, chain checks.
//!
//! A bank has its own authority: [`Request`] asks it, and [`Identity::check`] says whether its answer
//! fits. [`Authority`] serves the demo, the laboratory, the tests, and a bank that gives the cluster
//! an intermediate of its own. What either must produce is the same: an SM2 key, SM2-with-SM3
//! signatures under the default ID, CN = node name, O = cluster id, SAN = the names that peers dial.

mod authority;
mod chain;
mod crl;
mod describe;
mod pem;
mod profile;
mod request;
mod signer;

pub use authority::{Authority, AuthorityError, IssueError, Pair};
pub use chain::{
    CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX, ChainError, Demands, PairError, VerifiedLeaf,
    check_may_sign, check_pair, dangerous_read_unverified, identify, verify_chain,
    verify_chain_for,
};
pub use crl::{CRL_BYTES_MAX, CertificateId, Crl, CrlError, ListNumber, Reason, Revoked};
pub use describe::{Description, describe};
pub use pem::{
    PemError, certificates_from_pem, certificates_to_pem, crl_from_pem, crl_to_pem,
    request_from_pem, request_to_pem,
};
pub use profile::{Purpose, Subject, Usage};
pub use request::{REQUEST_BYTES_MAX, Request, RequestError};

use crate::sm2;

/// A certificate chain with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// DER, leaf first; the root last or left out.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: sm2::SecretKey,
}

/// Why an authority's answer to a request does not fit.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// It does not verify, or is not fit for its usage.
    #[error("certificate chain")]
    Chain(#[from] ChainError),
    /// It certifies another key.
    #[error("certificate is of another key than the request")]
    Key,
    /// It names another holder.
    #[error("certificate is for {found}, the request was for {wanted}")]
    Name {
        /// CN or O that was asked for.
        wanted: String,
        /// What stands there.
        found: String,
    },
    /// A name that peers dial is missing, or there is another one.
    #[error("certificate has the DNS names {found:?}, the request had {wanted:?}")]
    DnsNames {
        /// Asked for.
        wanted: Vec<String>,
        /// What stands there.
        found: Vec<String>,
    },
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

    /// Checks an authority's answer against what was asked: key, names, usage, and a chain valid now.
    pub fn check(
        &self,
        roots: &[Vec<u8>],
        wanted: &Subject,
        usage: Usage,
        now_unix: u64,
    ) -> Result<VerifiedLeaf, FitError> {
        let demands = Demands {
            usage: Some(usage),
            crls: &[],
        };
        let leaf = verify_chain_for(&self.chain, roots, now_unix, demands)?;
        if leaf.public_key != self.key.public() {
            return Err(FitError::Key);
        }
        for (wanted, found) in [
            (&wanted.common_name, &leaf.common_name),
            (&wanted.organization, &leaf.organization),
        ] {
            if wanted != found {
                let (wanted, found) = (wanted.clone(), found.clone());
                return Err(FitError::Name { wanted, found });
            }
        }
        let sorted = |names: &[String]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        let (wanted, found) = (sorted(&wanted.dns_names), sorted(&leaf.dns_names));
        if wanted != found {
            return Err(FitError::DnsNames { wanted, found });
        }
        Ok(leaf)
    }
}
