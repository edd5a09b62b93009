//! Keys at rest: data keys sealed under a key-encryption key (KEK), and the KEK's file.

use std::path::Path;

use crate::sm4;

/// A key-encryption key. It never leaves the process that read it.
pub struct Kek(sm4::Gcm);

/// Why a KEK file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KekFileError {
    /// The file could not be read or written.
    #[error("key file {path}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Someone but the owner may read the file.
    #[error("key file {path} has mode {mode:o}; it must be 600")]
    Mode {
        /// The file.
        path: std::path::PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold one key.
    #[error("key file {path} is not a key file")]
    Format {
        /// The file.
        path: std::path::PathBuf,
    },
}

impl Kek {
    /// Takes the key itself.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(sm4::Gcm::new(key))
    }

    /// Makes a new random key and writes it to a new file with mode 600.
    pub fn create(path: &Path) -> Result<Self, KekFileError> {
        let _ = path;
        unimplemented!()
    }

    /// Reads the key, refusing a file that others may read.
    pub fn load(path: &Path) -> Result<Self, KekFileError> {
        let _ = path;
        unimplemented!()
    }
}

/// Seals `key` under `kek`; `context` must be given again to unwrap it.
#[must_use]
pub fn wrap_key(kek: &Kek, context: &[u8], key: &[u8]) -> Vec<u8> {
    let _ = (&kek.0, context, key);
    unimplemented!()
}

/// Opens what [`wrap_key`] made.
pub fn unwrap_key(
    kek: &Kek,
    context: &[u8],
    wrapped: &[u8],
) -> Result<zeroize::Zeroizing<Vec<u8>>, sm4::OpenError> {
    let _ = (kek, context, wrapped);
    unimplemented!()
}
