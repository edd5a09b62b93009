//! `guitai keys …`: the keys at rest, offline. It works on the files of a node or of a deployment's
//! data directory, also while nodes run: they notice a rotation by themselves.

mod args;
mod change;
mod custody;
mod device;
mod found;
mod held;
mod show;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use guitai_crypto::keys::{
    Inventory, KeyStore, Purpose, StoreError, Unlock, WrappedBy, Zone, recording_context,
    storage_context,
};
use guitai_types::Code;

pub use args::{Combine, Device, Keys, Layer, Place, Rewrap, Rotate, Split, Where};
pub use found::{Seat, demo_passphrase, found, migrate};
pub use held::{Kept, RECORDINGS_COUNTED_MAX, held};
pub(crate) use show::ask_where;

use crate::{
    Language,
    failure::{Failure, chain},
};

/// Directory of a node's key store, below the node's directory.
pub const KEYS_DIR: &str = "keys";
/// File with the root's passphrase in a node's directory: the demo's way.
pub const PASSPHRASE_FILE: &str = "root-passphrase";
/// Private keys in a node's directory: file, and what the key is called in it.
pub const KEY_FILES: [(&str, &str); 7] = [
    ("identity.key.pem", "identity"),
    ("media.key.pem", "media"),
    ("token.key.pem", "token"),
    ("seal.key.pem", "seal"),
    ("tsa.key.pem", "tsa"),
    ("log.key.pem", "log"),
    ("witness.key.pem", "witness"),
];
/// Directory of the key store in a PKI directory: `keys/` there holds the keys of certificates.
pub const PKI_STORE_DIR: &str = "store";
/// What the owner of that store is called.
pub const PKI_NAME: &str = "pki";
/// The authority's private key in a PKI directory.
pub const CA_KEY_FILE: &str = "ca.key.pem";
/// Private keys under the store of a PKI directory.
const PKI_KEY_FILES: [(&str, &str); 1] = [(CA_KEY_FILE, "ca")];
/// File with the wrapped key of a node's metadata, in its data directory.
pub const STORAGE_KEY: &str = "storage.key";
/// Largest file with one wrapped data key, in bytes; one of this release has about 65.
const DATA_KEY_FILE_BYTES_MAX: u64 = 4096;

/// Answers one command.
pub(crate) fn answer(command: &Keys, lang: Language, now_unix: u64) -> Result<String, Failure> {
    match command {
        Keys::Where(which) => show::whereabouts(&which.place(), lang),
        Keys::List(place) => show::list(place, lang),
        Keys::Init(place) => change::init(place, lang, now_unix),
        Keys::Rotate(rotate) => change::rotate(rotate, lang, now_unix),
        Keys::Rewrap(rewrap) => change::rewrap(rewrap, lang, now_unix),
        Keys::Split(split) => custody::share_out(split, lang),
        Keys::Combine(combine) => custody::put_together(combine, lang),
        Keys::Device(device) => device::try_it(device, lang),
    }
}

/// One node's directory with a key store in it.
pub(crate) struct Holder {
    pub(crate) dir: PathBuf,
    /// Its key store.
    pub(crate) store: PathBuf,
    /// Its data directory, which need not be there.
    pub(crate) data: PathBuf,
    pub(crate) inventory: Inventory,
}

impl Holder {
    fn read(dir: PathBuf, store: &str) -> Result<Self, Failure> {
        let store = dir.join(store);
        let inventory = KeyStore::inventory(&store).map_err(|error| refused(&error))?;
        Ok(Self {
            data: dir.join("data"),
            store,
            dir,
            inventory,
        })
    }

    /// Whether it is the authority of a deployment and no node.
    pub(crate) fn is_pki(&self) -> bool {
        self.store.ends_with(PKI_STORE_DIR)
    }

    /// Opens the store with the passphrase that was named, else the node's own.
    pub(crate) fn open(&self, place: &Place) -> Result<KeyStore, Failure> {
        KeyStore::open(&self.store, unlock(place, &self.dir)).map_err(|e| refused(&e))
    }

    /// Private keys that are there.
    pub(crate) fn key_files(&self) -> Result<Vec<PrivateKey>, Failure> {
        let mut found = Vec::new();
        let files: &[_] = if self.is_pki() {
            &PKI_KEY_FILES
        } else {
            &KEY_FILES
        };
        for (file, name) in files {
            let path = self.dir.join(file);
            if path.is_file() {
                let by = KeyStore::key_file_wrapped_by(&path).map_err(|error| refused(&error))?;
                let name = (*name).to_owned();
                found.push(PrivateKey { path, name, by });
            }
        }
        Ok(found)
    }

    /// Data keys in files: of the metadata and of at most `recordings_max` recordings.
    pub(crate) fn data_keys(&self, recordings_max: usize) -> Result<Vec<DataKey>, Failure> {
        let mut keys = Vec::new();
        let storage = self.data.join(STORAGE_KEY);
        if storage.is_file() {
            let context = storage_context(&self.inventory.node);
            keys.push(DataKey::read(storage, Purpose::Storage, context)?);
        }
        let dir = self.data.join("recordings");
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(keys),
            entries => entries.map_err(|error| local(&dir, &error))?,
        };
        let first = keys.len();
        for entry in entries {
            if keys.len() - first >= recordings_max {
                break;
            }
            let entry = entry.map_err(|error| local(&dir, &error))?;
            let path = entry.path().join("key");
            if let Some(session) = entry.file_name().to_str().filter(|_| path.is_file()) {
                let context = recording_context(session);
                keys.push(DataKey::read(path, Purpose::Recording, context)?);
            }
        }
        // `first` is at most the length.
        if let Some(recordings) = keys.get_mut(first..) {
            recordings.sort_by(|a, b| a.path.cmp(&b.path));
        }
        Ok(keys)
    }
}

/// A private key's file.
pub(crate) struct PrivateKey {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// The KEK it is under; `None` for one that is plain.
    pub(crate) by: Option<WrappedBy>,
}

/// A wrapped data key in its file.
pub(crate) struct DataKey {
    pub(crate) path: PathBuf,
    pub(crate) purpose: Purpose,
    pub(crate) context: Vec<u8>,
    pub(crate) by: WrappedBy,
}

impl DataKey {
    fn read(path: PathBuf, purpose: Purpose, context: Vec<u8>) -> Result<Self, Failure> {
        let length = path.metadata().map_err(|error| local(&path, &error))?.len();
        let wrapped = if length > DATA_KEY_FILE_BYTES_MAX {
            Vec::new()
        } else {
            std::fs::read(&path).map_err(|error| local(&path, &error))?
        };
        let by = WrappedBy::of(&wrapped).map_err(|_| {
            let detail = format!("{} holds no wrapped key", path.display());
            Failure::new(Code::KeysRefused, detail)
        })?;
        Ok(Self {
            path,
            purpose,
            context,
            by,
        })
    }
}

/// The nodes with a key store below a data directory, or the one whose directory it is; by name.
pub(crate) fn nodes(place: &Place) -> Result<Vec<Holder>, Failure> {
    let mut all = holders(place)?;
    all.retain(|one| !one.is_pki());
    if all.is_empty() {
        return Err(nothing(place));
    }
    Ok(all)
}

/// The nodes, and the authority in its PKI directory.
pub(crate) fn holders(place: &Place) -> Result<Vec<Holder>, Failure> {
    let mut dirs = vec![place.data.clone()];
    if store_of(&place.data).is_none() {
        let entries = std::fs::read_dir(&place.data).map_err(|error| {
            Failure::usage(
                format!("{}: {error}", place.data.display()),
                "用 --data 指明数据目录",
                "Name the data directory with --data",
            )
        })?;
        for entry in entries {
            dirs.push(entry.map_err(|error| local(&place.data, &error))?.path());
        }
    }
    let mut all = Vec::new();
    for dir in dirs {
        if let Some(store) = store_of(&dir) {
            all.push(Holder::read(dir, store)?);
        }
    }
    all.retain(|one| {
        let name = &one.inventory.node;
        place.node.as_ref().is_none_or(|wanted| wanted == name)
    });
    all.sort_by(|a, b| a.inventory.node.cmp(&b.inventory.node));
    if all.is_empty() {
        return Err(nothing(place));
    }
    Ok(all)
}

/// Which directory of a node's or PKI directory is its key store.
fn store_of(dir: &Path) -> Option<&'static str> {
    [KEYS_DIR, PKI_STORE_DIR]
        .into_iter()
        .find(|store| KeyStore::exists(&dir.join(store)))
}

fn nothing(place: &Place) -> Failure {
    Failure::usage(
        format!("{} holds no key store", place.data.display()),
        "核对 --data 与 --node;旧版本的目录先执行 guitai keys init",
        "Check --data and --node; for a directory of the release before run guitai keys init",
    )
}

/// What opens a node's root: the file that was named, else the one in the node's directory.
pub(crate) fn unlock(place: &Place, dir: &Path) -> Unlock {
    let file = place.passphrase_file.clone();
    Unlock::File(file.unwrap_or_else(|| dir.join(PASSPHRASE_FILE)))
}

/// What a purpose's data keys protect, in both languages.
pub(crate) const fn protects(purpose: Purpose) -> (&'static str, &'static str) {
    match purpose {
        Purpose::Recording => ("本节点的录音录像", "recordings on this node"),
        Purpose::Call => ("通话留存的内容", "what is kept of calls"),
        Purpose::Backup => ("本节点的备份", "backups made on this node"),
        Purpose::Storage => (
            "元数据日志、快照与视图",
            "log, snapshots and view of the metadata",
        ),
        Purpose::Identity => ("本节点的私钥文件", "private key files of this node"),
    }
}

/// The purposes of a node's KEKs.
pub(crate) fn purposes(zone: Zone) -> Vec<Purpose> {
    let all = Purpose::ALL.into_iter();
    all.filter(|purpose| zone.may_hold(*purpose)).collect()
}

pub(crate) fn refused(error: &StoreError) -> Failure {
    Failure::new(Code::KeysRefused, chain(error))
}

fn local(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(&path.display().to_string(), error)
}
