//! What a node is, read from its files: keys stay in this process.

use std::{
    io,
    path::{Path, PathBuf},
};

use guitai_crypto::{
    sealed, sm2,
    x509::{self, Identity},
};
use guitai_relay::token::{Signer, Verifier};
use guitai_types::Hex;

use crate::config::{Files, SealFiles};

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
    #[error("cannot use the key-encryption key")]
    Kek(#[from] sealed::KekFileError),
}

/// The trusted root certificates, DER.
pub(crate) fn roots(files: &Files) -> Result<Vec<Vec<u8>>, IdentityError> {
    x509::certificates_from_pem(&read(&files.root)?).map_err(|error| format(&files.root, &error))
}

/// Own certificate chain and key.
pub(crate) fn own(files: &Files) -> Result<Identity, IdentityError> {
    let (chain, key) = (read(&files.identity)?, read(&files.identity_key)?);
    Identity::from_pem(&chain, &key).map_err(|error| format(&files.identity, &error))
}

/// What opens the media keys of sessions: a key of its own, since the node's certificate is renewed
/// with a new key and recordings must open all the same. A configuration of a release before has none
/// and used the certificate's.
pub(crate) fn media(files: &Files, own: Identity) -> Result<Identity, IdentityError> {
    let Some(path) = &files.media_key else {
        return Ok(own);
    };
    let key = sm2::SecretKey::from_pkcs8_pem(&read(path)?).map_err(|error| format(path, &error))?;
    Ok(Identity { key, ..own })
}

/// The evidence seal.
pub(crate) fn seal(files: &SealFiles) -> Result<Identity, IdentityError> {
    let (chain, key) = (read(&files.chain)?, read(&files.key)?);
    Identity::from_pem(&chain, &key).map_err(|error| format(&files.chain, &error))
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
pub(crate) fn signer(path: &Path) -> Result<Signer, IdentityError> {
    let key = sm2::SecretKey::from_pkcs8_pem(&read(path)?).map_err(|error| format(path, &error))?;
    Ok(Signer::new(key))
}

/// The key-encryption key of recordings.
pub(crate) fn kek(path: &Path) -> Result<sealed::Kek, IdentityError> {
    Ok(sealed::Kek::load(path)?)
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
