//! SM2 certificates (GB/T 20518): the laboratory authority, identities, and chain checks.

use crate::sm2;

/// A root that issues the certificates of a cluster.
pub struct Authority(());

/// The holder of a certificate to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// CN: the node's name.
    pub common_name: String,
    /// O: the cluster's id.
    pub organization: String,
    /// SAN: the names that peers dial.
    pub dns_names: Vec<String>,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Both ends of TLS between nodes.
    Tls,
    /// Signing documents (evidence packages), not TLS.
    Signing,
}

/// A certificate chain with its key.
pub struct Identity {
    /// DER, leaf first; the root last or left out.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: sm2::SecretKey,
}

/// Why a certificate was not made or read.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A name or time that a certificate cannot carry.
    #[error("certificate cannot be made: {0}")]
    Build(String),
}

/// What a verified chain says about its leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedLeaf {
    /// CN.
    pub common_name: String,
    /// O.
    pub organization: String,
    /// SAN DNS names.
    pub dns_names: Vec<String>,
    /// The leaf's public key.
    pub public_key: sm2::PublicKey,
    /// End of validity, seconds since 1970.
    pub not_after: u64,
}

/// Why a chain is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// No certificate at all.
    #[error("empty certificate chain")]
    Empty,
}

/// Why a PEM text is refused.
#[derive(Debug, thiserror::Error)]
#[error("not a PEM {expected}")]
pub struct PemError {
    /// What was expected.
    expected: &'static str,
}

impl Authority {
    /// Makes a self-signed root valid from an hour before `now_unix` for `days`.
    pub fn create(
        common_name: &str,
        organization: &str,
        days: u32,
        now_unix: u64,
    ) -> Result<Self, IssueError> {
        let _ = (common_name, organization, days, now_unix);
        unimplemented!()
    }

    /// The root certificate.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        unimplemented!()
    }

    /// The root certificate and its key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> (String, zeroize::Zeroizing<String>) {
        unimplemented!()
    }

    /// Reads what [`Authority::to_pem`] wrote.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PemError> {
        let _ = (certificate, key);
        unimplemented!()
    }

    /// Issues a leaf certificate (DER) for `public`.
    pub fn issue(
        &self,
        subject: &Subject,
        public: &sm2::PublicKey,
        usage: Usage,
        days: u32,
        now_unix: u64,
    ) -> Result<Vec<u8>, IssueError> {
        let _ = (subject, public, usage, days, now_unix);
        unimplemented!()
    }
}

impl Identity {
    /// The chain as PEM certificates one after the other, and the key as PKCS#8 PEM.
    #[must_use]
    pub fn to_pem(&self) -> (String, zeroize::Zeroizing<String>) {
        unimplemented!()
    }

    /// Reads what [`Identity::to_pem`] wrote.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PemError> {
        let _ = (chain, key);
        unimplemented!()
    }
}

/// Certificates (DER) as PEM text.
#[must_use]
pub fn certificates_to_pem(certificates: &[Vec<u8>]) -> String {
    let _ = certificates;
    unimplemented!()
}

/// Certificates (DER) of a PEM text.
pub fn certificates_from_pem(pem: &str) -> Result<Vec<Vec<u8>>, PemError> {
    let _ = pem;
    unimplemented!()
}

/// Checks `chain` (DER, leaf first) up to one of `roots` at the time `at_unix`.
pub fn verify_chain(
    chain: &[Vec<u8>],
    roots: &[Vec<u8>],
    at_unix: u64,
) -> Result<VerifiedLeaf, ChainError> {
    let _ = (chain, roots, at_unix);
    unimplemented!()
}

/// What a certificate says about its holder, UNCHECKED: only for a chain that TLS has verified.
pub fn dangerous_read_unverified(certificate: &[u8]) -> Result<VerifiedLeaf, ChainError> {
    let _ = certificate;
    unimplemented!()
}
