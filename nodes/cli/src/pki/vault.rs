//! The authority's key, sealed: a key store of the PKI directory's own, opened by a passphrase when
//! something is to be signed and not before. Listing and showing ask for nothing.

use std::path::{Path, PathBuf};

use guitai_crypto::keys::{Cost, KeyFile, KeyStore, NewRoot, Purpose, Unlock, Zone};
use zeroize::Zeroizing;

use super::{PkiError, acts::AUTHORITY, directory::Directory};
use crate::keys::{CA_KEY_FILE, PASSPHRASE_FILE, PKI_NAME, PKI_STORE_DIR};

/// Names the file with the passphrase, instead of `root-passphrase` in the directory.
pub const PASSPHRASE_VARIABLE: &str = "GUITAI_PKI_PASSPHRASE_FILE";
/// What making the key out of the passphrase costs; tests open hundreds of stores.
const COST: Cost = if cfg!(test) { Cost::MIN } else { Cost::DEFAULT };

/// Where the passphrase of a PKI directory is read: what was named, else the file in the directory.
pub(super) fn unlock(path: &Path, named: Option<PathBuf>) -> Unlock {
    let named = named.or_else(|| std::env::var_os(PASSPHRASE_VARIABLE).map(PathBuf::from));
    Unlock::File(named.unwrap_or_else(|| path.join(PASSPHRASE_FILE)))
}

impl Directory {
    /// Wraps an authority's key that the release before left in plain; says whether there was one.
    ///
    /// # Errors
    /// [`PkiError::NoPassphrase`] and what a key store says.
    pub fn seal_authority(&self, now_unix: u64) -> Result<bool, PkiError> {
        let mut sealed = false;
        for path in [self.path.join(CA_KEY_FILE), self.request_paths(AUTHORITY).1] {
            let plain = path.is_file() && KeyStore::key_file_wrapped_by(&path)?.is_none();
            if plain {
                sealed |= self.keys(now_unix)?.wrap_key_file(&path, AUTHORITY)?;
            }
        }
        Ok(sealed)
    }

    /// The authority's private key, PEM. One in plain is wrapped from now on.
    pub(super) fn read_authority_key(
        &self,
        path: &Path,
        now_unix: u64,
    ) -> Result<Zeroizing<String>, PkiError> {
        let keys = self.keys(now_unix)?;
        keys.wrap_key_file(path, AUTHORITY)?;
        let (KeyFile::Wrapped(key) | KeyFile::Plain(key)) = keys.read_key_file(path, AUTHORITY)?;
        let text = std::str::from_utf8(&key).map_err(|_| PkiError::KeyText(path.to_owned()))?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// Writes the authority's private key, wrapped.
    pub(super) fn write_authority_key(
        &self,
        path: &Path,
        key: &str,
        now_unix: u64,
    ) -> Result<(), PkiError> {
        let keys = self.keys(now_unix)?;
        Ok(keys.write_key_file(path, AUTHORITY, key.as_bytes())?)
    }

    /// The directory's key store, opened once; made when it is needed for the first time.
    fn keys(&self, now_unix: u64) -> Result<&KeyStore, PkiError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys);
        }
        if let Unlock::File(file) = &self.unlock
            && !file.is_file()
        {
            return Err(PkiError::NoPassphrase {
                dir: self.path.clone(),
                file: file.clone(),
            });
        }
        let (dir, unlock) = (self.path.join(PKI_STORE_DIR), self.unlock.clone());
        let keys = if KeyStore::exists(&dir) {
            KeyStore::open(&dir, unlock)?
        } else {
            let (purposes, root) = ([Purpose::Identity], NewRoot::software(COST));
            KeyStore::create(
                &dir,
                PKI_NAME,
                Zone::Inner,
                &purposes,
                root,
                unlock,
                now_unix,
            )?
        };
        Ok(self.keys.get_or_init(|| keys))
    }
}
