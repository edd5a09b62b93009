//! Keys at rest: data keys sealed under a key-encryption key (KEK), and the KEK's own file.
//!
//! The KEK's file is plain with mode 600: whoever is root on the host has it. A deployment that must
//! keep it in a certified device puts the device behind [`Kek`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use der::pem::LineEnding;
use zeroize::{Zeroize as _, Zeroizing};

use crate::random;
use crate::sm4::{self, KEY_BYTES, NONCE_BYTES, OpenError, TAG_BYTES};

/// First byte of a wrapped key: the version of its format.
const VERSION: u8 = 1;
/// Separates wrapped keys from anything else ever sealed under the same key.
const DOMAIN: &[u8] = b"guitai wrapped key 1\0";
/// The label of the KEK's file, which is a PEM text.
const LABEL: &str = "GUITAI KEY ENCRYPTION KEY";
/// Longest key file read; an honest one has 100 bytes.
const FILE_BYTES_MAX: u64 = 1024;

/// A key-encryption key.
pub struct Kek(sm4::Gcm);

/// Why a key file was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KekFileError {
    /// The file could not be read or written, or exists already.
    #[error("key file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Someone but the owner may read or write the file.
    #[error("key file {path} has mode {mode:03o}; it must be 600")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold one key.
    #[error("key file {path} holds no key")]
    Format {
        /// The file.
        path: PathBuf,
    },
}

impl Kek {
    /// Takes the key itself.
    #[must_use]
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(sm4::Gcm::new(key))
    }

    /// Makes a random key and writes it, synced, to a new file with mode 600. An existing file is
    /// never overwritten: everything sealed under its key would be lost.
    ///
    /// # Panics
    /// Like [`random::fill`].
    pub fn create(path: &Path) -> Result<Self, KekFileError> {
        let key: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(random::array());
        let text = Zeroizing::new(
            der::pem::encode_string(LABEL, LineEnding::LF, key.as_slice())
                .map_err(|_| KekFileError::Format { path: path.into() })?,
        );
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
                _ => Ok(()),
            }
        };
        write().map_err(|source| KekFileError::Io {
            path: path.into(),
            source,
        })?;
        Ok(Self::new(&key))
    }

    /// Reads the key, refusing a file that others may read.
    pub fn load(path: &Path) -> Result<Self, KekFileError> {
        let io = |source| KekFileError::Io {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KekFileError::Mode {
                path: path.into(),
                mode,
            });
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(io)?;
        let format = || KekFileError::Format { path: path.into() };
        let (label, bytes) = der::pem::decode_vec(&text).map_err(|_| format())?;
        let bytes = Zeroizing::new(bytes);
        let key = <&[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| format())?;
        if label != LABEL {
            return Err(format());
        }
        Ok(Self::new(key))
    }
}

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kek(..)")
    }
}

/// Seals `key` under `kek`: version, nonce, ciphertext, tag. `context` (which recording, which node)
/// must be given again to unwrap it, so that wrapped keys cannot be swapped.
///
/// # Panics
/// Like [`random::fill`].
#[must_use]
pub fn wrap_key(kek: &Kek, context: &[u8], key: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = random::array();
    let mut sealed = Zeroizing::new(key.to_vec());
    let tag = kek.0.seal_in_place(&nonce, &aad(context), &mut sealed);
    let parts: [&[u8]; 4] = [&[VERSION], &nonce, &sealed, &tag];
    parts.concat()
}

/// Opens what [`wrap_key`] made with the same `context`.
pub fn unwrap_key(
    kek: &Kek,
    context: &[u8],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let Some((&VERSION, rest)) = wrapped.split_first() else {
        return Err(OpenError);
    };
    let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
    let (data, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
    let mut key = Zeroizing::new(data.to_vec());
    if let Err(error) = kek.0.open_in_place(nonce, &aad(context), &mut key, tag) {
        key.zeroize();
        return Err(error);
    }
    Ok(key)
}

fn aad(context: &[u8]) -> Vec<u8> {
    [DOMAIN, context].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_unwrap_in_their_own_context_only() {
        let kek = Kek::new(&[5; 16]);
        let wrapped = wrap_key(&kek, b"recording 1", b"sixteen byte key");
        let open = |kek: &Kek, context: &[u8], wrapped: &[u8]| {
            unwrap_key(kek, context, wrapped).map(|key| key.to_vec())
        };
        assert_eq!(
            open(&kek, b"recording 1", &wrapped).unwrap(),
            b"sixteen byte key"
        );
        open(&kek, b"recording 2", &wrapped).unwrap_err();
        open(&Kek::new(&[6; 16]), b"recording 1", &wrapped).unwrap_err();
        for index in 0..wrapped.len() {
            let mut altered = wrapped.clone();
            altered[index] ^= 1;
            open(&kek, b"recording 1", &altered).unwrap_err();
            open(&kek, b"recording 1", &wrapped[..index]).unwrap_err();
        }
    }

    #[test]
    fn the_file_is_private_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kek.pem");
        let kek = Kek::create(&path).unwrap();
        let wrapped = wrap_key(&kek, b"", b"key");
        let again = Kek::load(&path).unwrap();
        assert_eq!(
            unwrap_key(&again, b"", &wrapped).unwrap().as_slice(),
            b"key"
        );
        assert!(matches!(Kek::create(&path), Err(KekFileError::Io { .. })));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Kek::load(&path).unwrap_err();
        assert!(refused.to_string().contains("640"), "{refused}");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "nothing").unwrap();
        assert!(matches!(Kek::load(&path), Err(KekFileError::Format { .. })));
    }
}
