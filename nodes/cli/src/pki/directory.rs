//! A PKI directory on disk: opened under a lock, repaired after a crash, changed in one step.
//!
//! ```text
//! index.json      what there is; everything below that can be made from it again is
//! journal.jsonl   every act, chained by SM3
//! root.pem        the trusted root
//! ca.pem          the authority's chain; ca.key.pem its key, wrapped by the store (mode 600)
//! store/          the key store that wraps it, opened by a passphrase (`guitai_crypto::keys`)
//! crl.pem         the newest revocation list
//! certs/          <serial>.pem: certificate and issuers
//! keys/           <serial>.key.pem (mode 600), unless it was put where it is used
//! requests/       <name>.csr.pem and <name>.key.pem, until their answer is imported
//! ```
//!
//! An act writes the new certificates and keys first, then the index, then what follows from it:
//! journal, list, and the copies in the nodes' own directories. Opening completes what a crash cut
//! off after the index, and removes what it cut off before.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use guitai_crypto::{
    keys::{KeyStore, Unlock},
    x509::{self, Authority, Crl, Revoked},
};
use guitai_types::Hex;

use super::{
    PkiError,
    args::Place,
    files::{FileError, Files, PUBLIC, SECRET, failed, read, read_if_there},
    index::{AuthorityState, Entry, Index, Pending, SCHEMA, State},
    journal::{self, Act, JournalError, Record},
    vault,
};
use crate::keys::CA_KEY_FILE;

/// Life of a revocation list. Its successor is made after a third of it, by whatever opens the
/// directory next; `guitai up` opens its own every minute.
pub(super) const CRL_DAYS: u64 = 30;
const CRL_RENEW_DAYS: u64 = 10;
/// A revoked certificate leaves the list this long after its own end (RFC 5280, 3.3).
const CRL_KEEP_DAYS: u64 = 30;
pub(super) const DAY_S: u64 = 86_400;

const _: () = assert!(CRL_RENEW_DAYS * 2 < CRL_DAYS && CRL_KEEP_DAYS >= CRL_DAYS);

/// A directory, locked for this process.
#[derive(Debug)]
pub struct Directory {
    pub(super) path: PathBuf,
    pub(super) files: Files,
    pub(super) index: Index,
    /// What opens the key store.
    pub(super) unlock: Unlock,
    /// The key store, once something was signed.
    pub(super) keys: OnceCell<KeyStore>,
    _lock: File,
}

/// Changes on their way into the index.
pub(super) struct Change {
    pub(super) index: Index,
    now: u64,
}

impl Change {
    pub(super) fn record(&mut self, act: Act, name: &str, serial: &str, detail: String) {
        let record = self.index.journal.next(self.now, act, name, serial, detail);
        self.index.unwritten.push(record);
    }

    /// The list is made anew, with the next number.
    pub(super) const fn new_list(&mut self) {
        self.index.crl_number += 1;
        self.index.crl_made_at = self.now;
    }
}

impl Directory {
    /// Whether `path` holds a PKI.
    #[must_use]
    pub fn is_there(path: &Path) -> bool {
        path.join("index.json").is_file()
    }

    /// Opens a directory, waits for whoever uses it, and completes what a crash cut off.
    pub fn open(path: &Path, now_unix: u64) -> Result<Self, PkiError> {
        Self::open_with(path, vault::unlock(path, None), now_unix)
    }

    /// The same, with what opens the authority's key.
    pub fn open_with(path: &Path, unlock: Unlock, now_unix: u64) -> Result<Self, PkiError> {
        if !Self::is_there(path) {
            return Err(PkiError::NotThere(path.to_owned()));
        }
        let lock = lock(path)?;
        Self::open_locked(path, lock, Files::default(), unlock, now_unix)
    }

    pub(super) fn open_locked(
        path: &Path,
        lock: File,
        files: Files,
        unlock: Unlock,
        now_unix: u64,
    ) -> Result<Self, PkiError> {
        let at = path.join("index.json");
        let index: Index = serde_json::from_str(&read(&at)?).map_err(|source| PkiError::Index {
            path: at.clone(),
            source,
        })?;
        if index.schema != SCHEMA {
            return Err(PkiError::Schema {
                path: at,
                found: index.schema,
            });
        }
        let mut directory = Self {
            path: path.to_owned(),
            files,
            index,
            unlock,
            keys: OnceCell::new(),
            _lock: lock,
        };
        directory.refuse_open_keys()?;
        directory.complete(now_unix)?;
        directory.sweep()?;
        directory.refresh(now_unix)?;
        Ok(directory)
    }

    /// Makes an empty directory, or finds the one there; the index comes with the first change.
    pub(super) fn make(path: &Path, index: Index) -> Result<Self, PkiError> {
        let files = Files::default();
        for dir in [
            path,
            &path.join("certs"),
            &path.join("keys"),
            &path.join("requests"),
        ] {
            files.make_dir(dir)?;
        }
        let lock = lock(path)?;
        if Self::is_there(path) {
            return Err(PkiError::Exists(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            files,
            index,
            unlock: vault::unlock(path, None),
            keys: OnceCell::new(),
            _lock: lock,
        })
    }

    /// Opens the authority's key with what `place` names.
    pub(super) fn unlocked_by(mut self, place: &Place) -> Self {
        self.unlock = place.unlock();
        self
    }

    /// Certificates in the order of their making.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.index.entries
    }

    /// Whether the directory has an authority.
    #[must_use]
    pub const fn authority_state(&self) -> AuthorityState {
        self.index.authority
    }

    /// O of what is issued here.
    #[must_use]
    pub fn organization(&self) -> &str {
        &self.index.organization
    }

    /// Requests that wait for an answer.
    #[must_use]
    pub fn requests(&self) -> &[Pending] {
        &self.index.requests
    }

    /// The trusted root.
    pub fn root_pem(&self) -> Result<String, PkiError> {
        Ok(read(&self.path.join("root.pem"))?)
    }

    /// The journal, its chain checked.
    pub fn journal(&self) -> Result<Vec<Record>, PkiError> {
        let text = read_if_there(&self.path.join("journal.jsonl"))?.unwrap_or_default();
        let (records, end) = journal::read(&text)?;
        if end != self.index.journal {
            return Err(PkiError::Journal(JournalError::End {
                found: end.length,
                known: self.index.journal.length,
            }));
        }
        Ok(records)
    }

    /// The newest revocation list.
    pub fn crl(&self) -> Result<Option<Crl>, PkiError> {
        let Some(pem) = read_if_there(&self.path.join("crl.pem"))? else {
            return Ok(None);
        };
        Ok(Some(Crl::from_der(&x509::crl_from_pem(&pem)?)?))
    }

    /// The chain of a certificate, as PEM.
    pub fn certificate_pem(&self, entry: &Entry) -> Result<String, PkiError> {
        Ok(read(&self.certificate_path(&entry.serial))?)
    }

    /// The directory's authority.
    pub(super) fn authority(&self, now_unix: u64) -> Result<Authority, PkiError> {
        if self.index.authority != AuthorityState::Active {
            return Err(PkiError::NoAuthority(self.path.clone()));
        }
        let chain = read(&self.path.join("ca.pem"))?;
        let key = self.read_authority_key(&self.path.join(CA_KEY_FILE), now_unix)?;
        Ok(Authority::from_pem(&chain, &key)?)
    }

    pub(super) fn certificate_path(&self, serial: &Hex) -> PathBuf {
        self.path.join("certs").join(format!("{serial}.pem"))
    }

    pub(super) fn key_path(&self, serial: &Hex) -> PathBuf {
        self.path.join("keys").join(format!("{serial}.key.pem"))
    }

    pub(super) fn request_paths(&self, name: &str) -> (PathBuf, PathBuf) {
        let dir = self.path.join("requests");
        (
            dir.join(format!("{name}.csr.pem")),
            dir.join(format!("{name}.key.pem")),
        )
    }

    pub(super) fn change(&self, now_unix: u64) -> Change {
        let mut index = self.index.clone();
        index.unwritten.clear();
        Change {
            index,
            now: now_unix,
        }
    }

    /// Makes a change last: from here on it is done, and opening completes what a crash cuts off.
    pub(super) fn commit(&mut self, change: Change) -> Result<(), PkiError> {
        let Change { index, now } = change;
        let text = serde_json::to_vec_pretty(&index).map_err(|source| PkiError::Index {
            path: self.path.join("index.json"),
            source,
        })?;
        self.files
            .write(&self.path.join("index.json"), &text, PUBLIC)?;
        self.index = index;
        self.complete(now)
    }

    /// Brings everything that follows from the index up to it.
    fn complete(&self, now_unix: u64) -> Result<(), PkiError> {
        self.complete_journal()?;
        self.complete_list(now_unix)?;
        self.complete_copies()
    }

    fn complete_journal(&self) -> Result<(), PkiError> {
        let path = self.path.join("journal.jsonl");
        let text = read_if_there(&path)?.unwrap_or_default();
        let (_, end) = journal::read(&text)?;
        let whole = text.rfind('\n').map_or(0, |last| last + 1);
        if whole < text.len() {
            // A crash tore the last line; it is written again below.
            let sound = text.get(..whole).unwrap_or_default();
            self.files.write(&path, sound.as_bytes(), PUBLIC)?;
        }
        let missing = self.index.unwritten.iter();
        let missing = missing.filter(|record| record.seq > end.length);
        let lines: String = missing.map(|one| journal::line(one) + "\n").collect();
        if !lines.is_empty() {
            self.files.append(&path, lines.as_bytes())?;
        }
        self.journal().map(drop)
    }

    fn complete_list(&self, now_unix: u64) -> Result<(), PkiError> {
        if self.index.authority != AuthorityState::Active || self.index.crl_number == 0 {
            return Ok(());
        }
        let there = self.crl()?.map(|crl| crl.number());
        if there == Some(self.index.crl_number.into()) {
            return Ok(());
        }
        let mut entries = BTreeMap::new();
        for entry in &self.index.entries {
            let (Some(reason), State::Revoked { at, .. }) = (entry.state.reason(), &entry.state)
            else {
                continue;
            };
            if entry.not_after + CRL_KEEP_DAYS * DAY_S > now_unix {
                let revoked = Revoked {
                    at_unix: *at,
                    reason,
                };
                entries.insert(entry.serial.0.clone(), revoked);
            }
        }
        let made_at = self.index.crl_made_at;
        let list = self.authority(now_unix)?.issue_crl(
            self.index.crl_number,
            &entries,
            made_at,
            made_at + CRL_DAYS * DAY_S,
        )?;
        let pem = x509::crl_to_pem(&list);
        Ok(self
            .files
            .write(&self.path.join("crl.pem"), pem.as_bytes(), PUBLIC)?)
    }

    /// Puts present certificates, their keys, the root and the list where they are used.
    fn complete_copies(&self) -> Result<(), PkiError> {
        let crl = read_if_there(&self.path.join("crl.pem"))?;
        let root = read_if_there(&self.path.join("root.pem"))?;
        for entry in &self.index.entries {
            let Some(install) = &entry.install else {
                continue;
            };
            let dir = self.path.join(&install.dir);
            // A node's directory that was taken away is no reason to stop the others.
            if !dir.is_dir() {
                continue;
            }
            let key_path = self.key_path(&entry.serial);
            if entry.state == State::Current {
                let to = dir.join(format!("{}.pem", install.stem));
                let chain = read(&self.certificate_path(&entry.serial))?;
                let there = read_if_there(&to)?.as_deref() == Some(&chain);
                // A copy that somebody removed comes back with the next rotation.
                let key = read_if_there(&key_path)?;
                if let (false, Some(key)) = (there, key) {
                    // The key first: a node that reads between the two sees that they do not fit,
                    // and reads again.
                    self.copy(&dir.join(format!("{}.key.pem", install.stem)), &key, SECRET)?;
                    self.copy(&to, &chain, PUBLIC)?;
                }
            }
            // Where it is used it stays, wrapped as its node likes; a second copy helps thieves only.
            if key_path.is_file() {
                self.files.remove(&key_path)?;
            }
            for (name, text) in [("crl.pem", &crl), ("root.pem", &root)] {
                if let Some(text) = text {
                    self.copy(&dir.join(name), text, PUBLIC)?;
                }
            }
        }
        Ok(())
    }

    fn copy(&self, to: &Path, text: &str, mode: u32) -> Result<(), FileError> {
        if read_if_there(to)?.as_deref() == Some(text) {
            return Ok(());
        }
        self.files.write(to, text.as_bytes(), mode)
    }

    /// Removes certificates and keys of an act that a crash cut off before the index knew of it.
    fn sweep(&self) -> Result<(), PkiError> {
        let serials = self
            .index
            .entries
            .iter()
            .map(|entry| entry.serial.to_string());
        let serials: BTreeSet<String> = serials.collect();
        let names: BTreeSet<&str> = self.index.requests.iter().map(|one| &*one.name).collect();
        for (dir, known) in [
            ("certs", &|stem: &str| serials.contains(stem)),
            ("keys", &|stem: &str| serials.contains(stem)),
            ("requests", &|stem: &str| names.contains(stem)),
        ] as [(&str, &dyn Fn(&str) -> bool); 3]
        {
            let dir = self.path.join(dir);
            let listed = std::fs::read_dir(&dir).map_err(|source| failed(&dir, source))?;
            for found in listed {
                let found = found.map_err(|source| failed(&dir, source))?.path();
                let name = found.file_name().unwrap_or_default().to_string_lossy();
                let stem = [".csr.pem", ".key.pem", ".pem"]
                    .iter()
                    .find_map(|ending| name.strip_suffix(ending));
                if !stem.is_some_and(known) {
                    self.files.remove(&found)?;
                }
            }
        }
        Ok(())
    }

    /// Makes the next revocation list when a third of the present one's life is over.
    pub fn refresh(&mut self, now_unix: u64) -> Result<bool, PkiError> {
        let due = self.index.crl_made_at + CRL_RENEW_DAYS * DAY_S;
        if self.index.authority != AuthorityState::Active || now_unix < due {
            return Ok(false);
        }
        let mut change = self.change(now_unix);
        change.new_list();
        self.commit(change)?;
        Ok(true)
    }

    /// A key that others can read is refused: it would have to be replaced anyway.
    fn refuse_open_keys(&self) -> Result<(), PkiError> {
        let path = self.path.join(CA_KEY_FILE);
        let Ok(metadata) = std::fs::metadata(&path) else {
            return Ok(());
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PkiError::Exposed { path, mode });
        }
        Ok(())
    }
}

/// Waits for the lock: an act takes milliseconds.
pub(super) fn lock(path: &Path) -> Result<File, FileError> {
    let path = path.join("lock");
    let mut options = OpenOptions::new();
    let options = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(SECRET);
    let file = options
        .open(&path)
        .map_err(|source| failed(&path, source))?;
    file.lock().map_err(|source| failed(&path, source))?;
    Ok(file)
}
