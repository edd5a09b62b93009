//! What a node is, read from its files: keys stay in this process.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_crypto::{
    keys::{KeyFile, KeyStore, StoreError},
    sm2,
    x509::{self, Identity},
};
use guitai_meta::LogKeys;
use guitai_relay::token::{Signer, Verifier};
use guitai_tlog::{Digest, Party, Signer as LogSigner};
use guitai_types::{Hex, NodeName, tlog::LogTrust};

use zeroize::Zeroizing;

use crate::config::{Files, LogFiles, SignerFiles};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum IdentityError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not what it should be: {why}")]
    Format { path: PathBuf, why: String },
    #[error("cannot use a private key")]
    Key(#[from] StoreError),
}

/// The trusted root certificates, DER.
pub(crate) fn roots(files: &Files) -> Result<Vec<Vec<u8>>, IdentityError> {
    x509::certificates_from_pem(&read(&files.root)?).map_err(|error| format(&files.root, &error))
}

/// Own certificate chain and key.
pub(crate) fn own(files: &Files, keys: &KeyStore) -> Result<Identity, IdentityError> {
    let chain = read(&files.identity)?;
    let key = private(keys, &files.identity_key, "identity")?;
    Identity::from_pem(&chain, &key).map_err(|error| format(&files.identity, &error))
}

/// The same while the node runs: a renewed key that is still in plain is used and left for the
/// supervisor to wrap, since an edge writes nothing once it runs (an installer wraps it at the next start).
pub(crate) fn renewed(files: &Files, keys: &KeyStore) -> Result<Identity, IdentityError> {
    let chain = read(&files.identity)?;
    let (KeyFile::Wrapped(key) | KeyFile::Plain(key)) =
        keys.read_key_file(&files.identity_key, "identity")?;
    let key = text(&files.identity_key, &key)?;
    Identity::from_pem(&chain, &key).map_err(|error| format(&files.identity, &error))
}

/// What opens the media keys of sessions: a key of its own, since the node's certificate is renewed
/// with a new key and recordings must open all the same. A configuration of a release before has none
/// and used the certificate's.
pub(crate) fn media(
    files: &Files,
    keys: &KeyStore,
    own: Identity,
) -> Result<Identity, IdentityError> {
    let Some(path) = &files.media_key else {
        return Ok(own);
    };
    let text = private(keys, path, "media")?;
    let key = sm2::SecretKey::from_pkcs8_pem(&text).map_err(|error| format(path, &error))?;
    Ok(Identity { key, ..own })
}

/// Who signs documents besides the node's own certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Office {
    /// Signs evidence packages.
    Seal,
    /// Signs time stamps.
    TimeStamps,
}

impl Office {
    /// What its key is called in the key store.
    pub(crate) const fn key_name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::TimeStamps => "tsa",
        }
    }

    const fn usage(self) -> x509::Usage {
        match self {
            Self::Seal => x509::Usage::Documents,
            Self::TimeStamps => x509::Usage::TimeStamping,
        }
    }
}

/// The chain and key of an office.
pub(crate) fn signer_of(
    office: Office,
    files: &SignerFiles,
    keys: &KeyStore,
) -> Result<Identity, IdentityError> {
    let chain = read(&files.chain)?;
    let key = private(keys, &files.key, office.key_name())?;
    Identity::from_pem(&chain, &key).map_err(|error| format(&files.chain, &error))
}

/// The same while the node runs: a renewed key that is still in plain is used and left for the
/// supervisor to wrap. The next one is for the same office, in force, of the name it replaces, and leads to
/// one of `roots`.
pub(crate) fn renewed_signer(
    office: Office,
    files: &SignerFiles,
    keys: &KeyStore,
    present: &Identity,
    roots: &[Vec<u8>],
    now_unix: u64,
) -> Result<Identity, IdentityError> {
    let wrong = |error: &dyn std::error::Error| format(&files.chain, error);
    let chain = read(&files.chain)?;
    let (KeyFile::Wrapped(key) | KeyFile::Plain(key)) =
        keys.read_key_file(&files.key, office.key_name())?;
    let key = text(&files.key, &key)?;
    let seal = Identity::from_pem(&chain, &key).map_err(|error| wrong(&error))?;
    let leaf = present.chain.first().map_or(&[][..], Vec::as_slice);
    let leaf = x509::dangerous_read_unverified(leaf).map_err(|error| wrong(&error))?;
    let subject = x509::Subject {
        common_name: leaf.common_name,
        organization: leaf.organization,
        dns_names: leaf.dns_names,
    };
    let fits = seal.check(roots, &subject, office.usage(), now_unix);
    fits.map_err(|error| wrong(&error))?;
    Ok(seal)
}

/// The keys of the transparency log, and whom its readers believe.
pub(crate) fn log(
    files: &LogFiles,
    keys: &KeyStore,
    member: &NodeName,
) -> Result<LogKeys, IdentityError> {
    let trust = read(&files.trust)?;
    let trust: LogTrust =
        serde_json::from_str(&trust).map_err(|error| format(&files.trust, &error))?;
    let signer = |party, path: &Path, name: &str, key: &str| {
        let wrong = |why: &str| IdentityError::Format {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        let pem = private(keys, path, name)?;
        let secret = sm2::SecretKey::from_pkcs8_pem(&pem).map_err(|error| format(path, &error))?;
        // `<name>/sm3+<id>+<key>`
        let called = key.split_once("/sm3+").map(|(called, _)| called);
        let called = called.ok_or_else(|| wrong("its public half has no name"))?;
        let signer = LogSigner::new(party, called, secret).map_err(|error| format(path, &error))?;
        if signer.key(Digest::Sm3).to_string() == key {
            Ok(Arc::new(signer))
        } else {
            Err(wrong("not the key that readers of the log believe"))
        }
    };
    let log = signer(Party::Log, &files.key, "log", &trust.log.sm3)?;
    let own = trust.witnesses.iter().find(|it| &it.node == member);
    let witness = match (&files.witness, own) {
        (Some(path), Some(own)) => Some(signer(Party::Witness, path, "witness", &own.keys.sm3)?),
        _ => None,
    };
    Ok(LogKeys {
        log,
        witness,
        trust,
    })
}

/// Checks tokens.
pub(crate) fn verifier(files: &Files) -> Result<Verifier, IdentityError> {
    let path = &files.token_public;
    let text = read(path)?;
    let point = Hex::parse(text.trim()).ok_or_else(|| IdentityError::Format {
        path: path.clone(),
        why: "not hexadecimal".to_owned(),
    })?;
    let key = sm2::PublicKey::from_point(&point.0).map_err(|error| format(path, &error))?;
    Ok(Verifier::new(key))
}

/// Makes tokens.
pub(crate) fn signer(path: &Path, keys: &KeyStore) -> Result<Signer, IdentityError> {
    let text = private(keys, path, "token")?;
    let key = sm2::SecretKey::from_pkcs8_pem(&text).map_err(|error| format(path, &error))?;
    Ok(Signer::new(key))
}

/// A private key's PEM text. One that somebody put there in plain (a certificate was renewed) is
/// wrapped from now on.
fn private(keys: &KeyStore, path: &Path, name: &str) -> Result<Zeroizing<String>, IdentityError> {
    if keys.wrap_key_file(path, name)? {
        tracing::warn!(path = %path.display(), "a private key was in plain; it is wrapped now");
    }
    let (KeyFile::Wrapped(bytes) | KeyFile::Plain(bytes)) = keys.read_key_file(path, name)?;
    text(path, &bytes)
}

fn text(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, IdentityError> {
    let text = std::str::from_utf8(bytes).map_err(|error| format(path, &error))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })
}

fn format(path: &Path, error: &dyn std::error::Error) -> IdentityError {
    IdentityError::Format {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
