//! One recording at rest: a directory with a wrapped key, a journal, and a file per segment, all
//! sealed with SM4-GCM.
//!
//! What the journal says is durable: a segment's file and its name are synced before the journal
//! has its record, and the record is synced before anybody is told. A process killed at any moment
//! therefore loses at most the segments that were still open. Nonces are random, not counted: a
//! segment number is used again when writing it failed, and a counted nonce would repeat with it.
//! Place is bound by the associated data: session, track and number, or the record's index.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_crypto::{
    keys::{DataKeyError, KeyStore, Purpose, recording_context},
    random,
    sm4::Gcm,
};
use guitai_host::{Disk, DiskFile};
use guitai_types::{SessionId, limits::DISK_FREE_MIN};
use serde::{Serialize, de::DeserializeOwned};

/// Largest sealed document or journal: eight hours of frame logs.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Largest segment file.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest journal record.
const RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

const KEY: &str = "key";
const JOURNAL: &str = "journal";
/// A key that was being written when the process died.
const KEY_HALF: &str = "key.tmp";
/// Name of the note that stays where a recording was erased: what allowed it. No key is ever made beside it.
const ERASED: &str = "erased.json";
/// Largest wrapped key in bytes.
const KEY_BYTES_MAX: u64 = 1024;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The recordings of a node, one directory each.
#[derive(Clone)]
pub(crate) struct Shelf {
    disk: Arc<dyn Disk>,
    keys: KeyStore,
    /// Directory of the disk under which the recordings are.
    base: PathBuf,
}

impl Shelf {
    pub(crate) const fn new(disk: Arc<dyn Disk>, keys: KeyStore) -> Self {
        let base = PathBuf::new();
        Self { disk, keys, base }
    }

    /// Another shelf on the same disk, in a directory that no session is named like.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self {
            base: self.base.join(name),
            ..self.clone()
        }
    }

    fn dir(&self, session: &SessionId) -> PathBuf {
        self.base.join(session.as_str())
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Where a file of a recording is; its directory, for no name.
    pub(crate) fn file(&self, session: &SessionId, name: &str) -> PathBuf {
        self.dir(session).join(name)
    }

    /// Names of a recording's files; none where it has no directory.
    pub(crate) fn files(&self, session: &SessionId) -> io::Result<Vec<String>> {
        match self.is_there(session)? {
            true => self.disk.list(&self.dir(session)),
            false => Ok(Vec::new()),
        }
    }

    /// Sessions with a directory; other names are left alone.
    pub(crate) fn sessions(&self) -> io::Result<Vec<SessionId>> {
        let names = self.disk.list(&self.base)?;
        Ok(names
            .into_iter()
            .filter_map(|name| name.parse().ok())
            .collect())
    }

    /// Whether there is a directory of a session.
    pub(crate) fn has(&self, session: &SessionId) -> bool {
        let key = self.dir(session).join(KEY);
        self.disk.exists(&key).unwrap_or(false)
    }

    /// Opens a recording, making it if there is none, and reads its journal.
    pub(crate) fn open<R: DeserializeOwned>(
        &self,
        session: &SessionId,
    ) -> io::Result<(Vault, Vec<R>)> {
        let dir = self.dir(session);
        if self.is_erased(session)? {
            let text = format!("the recording of session {session} was erased");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        self.disk.create_dir(&dir)?;
        let key_path = dir.join(KEY);
        let context = recording_context(session.as_str());
        if !self.disk.exists(&key_path)? {
            let key: [u8; 16] = random::array();
            let wrapped = self.keys.wrap(Purpose::Recording, &context, &key);
            let wrapped = wrapped.map_err(|error| no_key(&error))?;
            self.disk.write_whole(&key_path, &wrapped)?;
        }
        let mut vault = self.beside_journal(session)?;
        let records = vault.read_journal()?;
        Ok((vault, records))
    }

    /// A recording that is there, for what lies beside its journal: whoever keeps it may be writing that one.
    pub(crate) fn beside_journal(&self, session: &SessionId) -> io::Result<Vault> {
        let dir = self.dir(session);
        let context = recording_context(session.as_str());
        let wrapped = self.disk.read(&dir.join(KEY), KEY_BYTES_MAX)?;
        let key = self.keys.unwrap(Purpose::Recording, &context, &wrapped);
        let key = key.map_err(|error| no_key(&error))?;
        let key =
            <[u8; 16]>::try_from(key.as_slice()).map_err(|_| damaged("the recording's key"))?;
        Ok(Vault {
            disk: self.disk.clone(),
            gcm: Gcm::new(&key),
            session: session.clone(),
            dir,
            journal: None,
            journal_end: 0,
            records: 0,
        })
    }

    /// Whether anything of a session is here: also what is left of one that was erased.
    pub(crate) fn is_there(&self, session: &SessionId) -> io::Result<bool> {
        self.disk.exists(&self.dir(session))
    }

    /// Whether a recording was erased here, or was being erased when the process died.
    pub(crate) fn is_erased(&self, session: &SessionId) -> io::Result<bool> {
        self.disk.exists(&self.dir(session).join(ERASED))
    }

    /// Destroys a recording's key: when this returns, no crash and no power cut brings it back, and what was
    /// sealed with it is noise. The note goes first, so that whoever comes here later knows what happened and
    /// makes no new key. May be called again at any time.
    pub(crate) fn destroy_key(&self, session: &SessionId, note: &[u8]) -> io::Result<()> {
        let dir = self.dir(session);
        self.disk.create_dir(&dir)?;
        if !self.is_erased(session)? {
            self.disk.write_whole(&dir.join(ERASED), note)?;
        }
        self.burn(&dir)
    }

    /// Destroys the key as [`Shelf::destroy_key`] does, and removes everything else: nothing says that there was
    /// anything, and a new key may be made.
    pub(crate) fn forget(&self, session: &SessionId) -> io::Result<()> {
        let dir = self.dir(session);
        self.burn(&dir)?;
        for name in self.disk.list(&dir)? {
            self.disk.remove(&dir.join(name))?;
        }
        self.disk.remove_dir(&dir)?;
        self.disk.sync_dir(&self.base)
    }

    fn burn(&self, dir: &Path) -> io::Result<()> {
        for name in [KEY, KEY_HALF] {
            let path = dir.join(name);
            if !self.disk.exists(&path)? {
                continue;
            }
            // Overwritten before the name goes: a removed file's blocks may be read for a long time.
            let file = self.disk.open(&path)?;
            let bytes = usize::try_from(file.len()?.min(KEY_BYTES_MAX)).unwrap_or_default();
            file.write_at(0, &vec![0; bytes])?;
            file.sync_data()?;
            drop(file);
            self.disk.remove(&path)?;
        }
        self.disk.sync_dir(dir)
    }

    /// Removes some of them, in this order, durably.
    pub(crate) fn remove_files(&self, session: &SessionId, names: &[String]) -> io::Result<()> {
        let dir = self.dir(session);
        for name in names {
            self.disk.remove(&dir.join(name))?;
        }
        self.disk.sync_dir(&dir)
    }

    /// Removes what a destroyed key leaves: noise, and the small notes beside it. Only after
    /// [`Shelf::destroy_key`].
    pub(crate) fn sweep(&self, session: &SessionId) -> io::Result<()> {
        let dir = self.dir(session);
        for name in self.disk.list(&dir)? {
            if name != ERASED {
                self.disk.remove(&dir.join(name))?;
            }
        }
        self.disk.sync_dir(&dir)
    }

    /// A small open document beside a recording, if there is one.
    pub(crate) fn note(&self, session: &SessionId, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.dir(session).join(name);
        match self.disk.exists(&path)? {
            true => self.disk.read(&path, DOCUMENT_BYTES_MAX).map(Some),
            false => Ok(None),
        }
    }

    /// Writes such a document.
    pub(crate) fn put_note(
        &self,
        session: &SessionId,
        name: &str,
        content: &[u8],
    ) -> io::Result<()> {
        self.disk
            .write_whole(&self.dir(session).join(name), content)
    }
}

/// One recording.
pub(crate) struct Vault {
    disk: Arc<dyn Disk>,
    gcm: Gcm,
    session: SessionId,
    dir: PathBuf,
    /// Open between appends; dropped after an error, because nothing is known of a file whose sync failed.
    journal: Option<Box<dyn DiskFile>>,
    /// Bytes of whole records; whatever follows is a torn write and is overwritten.
    journal_end: u64,
    records: u64,
}

impl Vault {
    /// Writes a segment; durable when this returns.
    pub(crate) fn put_segment(&self, track: u32, number: u32, content: &[u8]) -> io::Result<()> {
        self.has_room()?;
        let path = self.segment_path(track, number);
        let sealed = self.seal(&place(track, number), content);
        let written = self.disk.create(&path).and_then(|file| {
            file.write_at(0, &sealed)?;
            file.sync_data()?;
            self.disk.sync_dir(&self.dir)
        });
        if written.is_err() {
            // Half a segment only takes the room that is missing.
            let _kept = self.disk.remove(&path);
        }
        written
    }

    /// Reads a segment back.
    pub(crate) fn segment(&self, track: u32, number: u32) -> io::Result<Vec<u8>> {
        let sealed = self
            .disk
            .read(&self.segment_path(track, number), SEGMENT_BYTES_MAX)?;
        self.open(&place(track, number), &sealed)
    }

    /// Appends records to the journal; durable when this returns.
    pub(crate) fn append<R: Serialize>(&mut self, records: &[R]) -> io::Result<()> {
        let mut frames = Vec::new();
        for (record, index) in records.iter().zip(self.records..) {
            let sealed = self.seal(&record_place(index), &serde_json::to_vec(record)?);
            let length = u32::try_from(sealed.len())
                .ok()
                .filter(|_| sealed.len() <= RECORD_BYTES_MAX);
            let length = length.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
            frames.extend_from_slice(&length.to_be_bytes());
            frames.extend_from_slice(&sealed);
        }
        let journal = match self.journal.take() {
            Some(journal) => journal,
            None => self.open_journal()?,
        };
        journal.write_at(self.journal_end, &frames)?;
        journal.sync_data()?;
        self.journal = Some(journal);
        self.journal_end += frames.len() as u64;
        self.records += records.len() as u64;
        Ok(())
    }

    /// Writes a sealed document; after a power cut it is the old one or the new one.
    pub(crate) fn put_document<D: Serialize>(&self, name: &str, document: &D) -> io::Result<()> {
        let sealed = self.seal(name.as_bytes(), &serde_json::to_vec(document)?);
        self.disk.write_whole(&self.dir.join(name), &sealed)
    }

    /// Writes a sealed file of any bytes; durable when this returns, and after a power cut it is there or not.
    pub(crate) fn put_bytes(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.has_room()?;
        let sealed = self.seal(name.as_bytes(), content);
        self.disk.write_whole(&self.dir.join(name), &sealed)
    }

    /// Reads such a file, if there is one.
    pub(crate) fn bytes(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let path = self.dir.join(name);
        if !self.disk.exists(&path)? {
            return Ok(None);
        }
        let sealed = self.disk.read(&path, SEGMENT_BYTES_MAX)?;
        self.open(name.as_bytes(), &sealed).map(Some)
    }

    fn has_room(&self) -> io::Result<()> {
        if self.disk.free_bytes()? < DISK_FREE_MIN {
            let text = format!("less than DISK_FREE_MIN = {DISK_FREE_MIN} bytes are free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        Ok(())
    }

    /// Removes a sealed document, durably; one that is not there is no error.
    pub(crate) fn remove_document(&self, name: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        if self.disk.exists(&path)? {
            self.disk.remove(&path)?;
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Reads a sealed document, if there is one.
    pub(crate) fn document<D: DeserializeOwned>(&self, name: &str) -> io::Result<Option<D>> {
        let path = self.dir.join(name);
        if !self.disk.exists(&path)? {
            return Ok(None);
        }
        let sealed = self.disk.read(&path, DOCUMENT_BYTES_MAX)?;
        let content = self.open(name.as_bytes(), &sealed)?;
        Ok(Some(serde_json::from_slice(&content)?))
    }

    fn open_journal(&self) -> io::Result<Box<dyn DiskFile>> {
        let path = self.dir.join(JOURNAL);
        if self.disk.exists(&path)? {
            let journal = self.disk.open(&path)?;
            journal.set_len(self.journal_end)?;
            return Ok(journal);
        }
        let journal = self.disk.create(&path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(journal)
    }

    /// Reads whole records up to the first that is torn.
    fn read_journal<R: DeserializeOwned>(&mut self) -> io::Result<Vec<R>> {
        let path = self.dir.join(JOURNAL);
        if !self.disk.exists(&path)? {
            return Ok(Vec::new());
        }
        let bytes = self.disk.read(&path, DOCUMENT_BYTES_MAX)?;
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some(sealed) = after.get(..length).filter(|_| length <= RECORD_BYTES_MAX) else {
                break;
            };
            let Ok(content) = self.open(&record_place(self.records), sealed) else {
                break;
            };
            records.push(serde_json::from_slice(&content)?);
            self.records += 1;
            self.journal_end += 4 + length as u64;
            rest = after.get(length..).unwrap_or_default();
        }
        if !rest.is_empty() {
            let (session, torn) = (&self.session, rest.len());
            tracing::warn!(%session, torn, "the journal's end was torn and is cut");
        }
        Ok(records)
    }

    fn segment_path(&self, track: u32, number: u32) -> PathBuf {
        self.dir.join(format!("t{track}-{number:06}.seg"))
    }

    /// Nonce, ciphertext, tag.
    fn seal(&self, place: &[u8], content: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = random::array();
        let mut sealed = [&nonce, content].concat();
        let (_, data) = sealed.split_at_mut(NONCE_BYTES);
        let tag = self.gcm.seal_in_place(&nonce, &self.bound(place), data);
        sealed.extend_from_slice(&tag);
        sealed
    }

    fn open(&self, place: &[u8], sealed: &[u8]) -> io::Result<Vec<u8>> {
        let cut = || damaged("a sealed file is cut short");
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or_else(cut)?;
        let (data, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or_else(cut)?;
        let mut content = data.to_vec();
        let opened = self
            .gcm
            .open_in_place(nonce, &self.bound(place), &mut content, tag);
        opened.map_err(|_| damaged("a sealed file does not open: its bytes have changed"))?;
        Ok(content)
    }

    fn bound(&self, place: &[u8]) -> Vec<u8> {
        [self.session.as_str().as_bytes(), b"\0", place].concat()
    }
}

fn place(track: u32, number: u32) -> Vec<u8> {
    [&b"segment"[..], &track.to_be_bytes(), &number.to_be_bytes()].concat()
}

fn record_place(index: u64) -> Vec<u8> {
    [&b"journal"[..], &index.to_be_bytes()].concat()
}

fn no_key(error: &DataKeyError) -> io::Error {
    damaged(&format!("the recording's key: {error}"))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use guitai_host::SimDisk;

    use super::*;

    fn keys() -> KeyStore {
        KeyStore::in_memory("a1-1", &[Purpose::Recording]).unwrap()
    }

    fn shelf(disk: &Arc<SimDisk>) -> Shelf {
        // Made once: its root is sealed with a passphrase, which is slow on purpose.
        static KEYS: OnceLock<KeyStore> = OnceLock::new();
        Shelf::new(disk.clone(), KEYS.get_or_init(keys).clone())
    }

    fn session() -> SessionId {
        "5e55".parse().unwrap()
    }

    #[test]
    fn what_was_appended_survives_any_crash_and_what_was_not_is_cut() {
        for seed in 0..200 {
            let disk = Arc::new(SimDisk::new());
            let (mut vault, none) = shelf(&disk).open::<String>(&session()).unwrap();
            assert!(none.is_empty());
            let mut durable = Vec::new();
            disk.cut_after(seed % 40);
            for number in 1..10u32 {
                let record = format!("segment {number}");
                let stored = vault.put_segment(1, number, record.as_bytes());
                if stored
                    .and_then(|()| vault.append(std::slice::from_ref(&record)))
                    .is_err()
                {
                    break;
                }
                durable.push(record);
            }
            disk.crash(seed);
            let (mut vault, found) = shelf(&disk).open::<String>(&session()).unwrap();
            assert!(found.len() <= durable.len() + 1, "seed {seed}");
            assert_eq!(
                found.get(..durable.len()),
                Some(&durable[..]),
                "seed {seed}"
            );
            for (number, record) in (1..).zip(&found) {
                assert_eq!(
                    vault.segment(1, number).unwrap(),
                    record.as_bytes(),
                    "seed {seed}"
                );
            }
            vault.append(&["after".to_owned()]).unwrap();
            let (_, again) = shelf(&disk).open::<String>(&session()).unwrap();
            assert_eq!(
                again.last().map(String::as_str),
                Some("after"),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_segment_opens_only_in_its_place_and_unchanged() {
        let disk = Arc::new(SimDisk::new());
        let (vault, _) = shelf(&disk).open::<String>(&session()).unwrap();
        vault.put_segment(1, 1, b"one").unwrap();
        vault.put_segment(1, 2, b"two").unwrap();
        let (one, two) = (vault.segment_path(1, 1), vault.segment_path(1, 2));
        assert!(
            !disk
                .read(&one, 100)
                .unwrap()
                .windows(3)
                .any(|w| w == b"one"),
            "sealed"
        );
        disk.rename(&two, &one).unwrap();
        assert!(vault.segment(1, 1).is_err(), "swapped");
        vault.put_segment(1, 1, b"one").unwrap();
        disk.dangerous_flip_bit(&one, 100).unwrap();
        assert!(vault.segment(1, 1).is_err(), "changed");
        let other = Shelf::new(disk.clone(), keys());
        assert!(other.open::<String>(&session()).is_err(), "another KEK");
    }

    #[test]
    fn what_lies_beside_the_journal_is_sealed_in_its_place_and_ends_with_the_recording() {
        let disk = Arc::new(SimDisk::new());
        let shelf = shelf(&disk);
        assert!(
            shelf.beside_journal(&session()).is_err(),
            "no key is made for it"
        );
        let (mut keeper, _) = shelf.open::<String>(&session()).unwrap();
        let vault = shelf.beside_journal(&session()).unwrap();
        vault
            .put_bytes("message-1", b"what the customer wrote")
            .unwrap();
        vault.put_bytes("message-2", b"something else").unwrap();
        keeper.append(&["segment 1".to_owned()]).unwrap();
        assert_eq!(
            vault.bytes("message-1").unwrap().as_deref(),
            Some(&b"what the customer wrote"[..])
        );
        assert_eq!(vault.bytes("message-3").unwrap(), None);
        assert!(!holds(&lying_about(&*disk), b"what the customer wrote"));
        let (one, two) = (Path::new("5e55/message-1"), Path::new("5e55/message-2"));
        disk.rename(two, one).unwrap();
        assert!(vault.bytes("message-1").is_err(), "another one's content");
        let (_, journal) = shelf.open::<String>(&session()).unwrap();
        assert_eq!(journal, ["segment 1"], "the journal is the keeper's");
        shelf.destroy_key(&session(), b"{}").unwrap();
        assert!(shelf.beside_journal(&session()).is_err());
    }

    /// Everything that lies on the disk under a recording.
    fn lying_about(disk: &dyn Disk) -> Vec<u8> {
        let dir = Path::new("5e55");
        let names = disk.list(dir).unwrap_or_default();
        let read = |name: String| disk.read(&dir.join(name), DOCUMENT_BYTES_MAX).unwrap();
        names.into_iter().flat_map(read).collect()
    }

    fn holds(all: &[u8], part: &[u8]) -> bool {
        part.windows(8)
            .any(|it| all.windows(8).any(|other| other == it))
    }

    #[test]
    fn a_destroyed_key_is_nowhere_and_what_it_sealed_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(guitai_host::SystemDisk::new(dir.path()).unwrap());
        let keys = keys();
        let shelf = Shelf::new(disk.clone(), keys.clone());
        let (mut vault, _) = shelf.open::<String>(&session()).unwrap();
        vault.put_segment(1, 1, b"what the customer said").unwrap();
        vault.append(&["one".to_owned()]).unwrap();
        let kept = disk.read(&vault.segment_path(1, 1), 1_000).unwrap();
        let wrapped = disk.read(Path::new("5e55/key"), 1_000).unwrap();
        // A second one, as a process leaves it that dies while writing it.
        disk.write_whole(Path::new("5e55/key.tmp"), &wrapped)
            .unwrap();
        let context = recording_context("5e55");
        let key = keys.unwrap(Purpose::Recording, &context, &wrapped).unwrap();
        assert!(holds(&lying_about(&*disk), &wrapped), "it is there before");
        drop(vault);

        shelf.destroy_key(&session(), b"{}").unwrap();
        assert!(!shelf.has(&session()));
        let left = lying_about(&*disk);
        assert!(!holds(&left, &wrapped) && !holds(&left, &key));
        assert!(holds(&left, &kept), "the noise is still there");
        let refused = shelf.open::<String>(&session()).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::NotFound);
        // Not even with a new key under the old name.
        disk.remove(Path::new("5e55/erased.json")).unwrap();
        let (vault, journal) = shelf.open::<String>(&session()).unwrap();
        assert!(journal.is_empty());
        assert!(vault.segment(1, 1).is_err(), "does not open");
        drop(vault);

        shelf.destroy_key(&session(), b"{}").unwrap();
        shelf.sweep(&session()).unwrap();
        assert_eq!(disk.list(Path::new("5e55")).unwrap(), ["erased.json"]);
        shelf.destroy_key(&session(), b"{}").unwrap();
        shelf.sweep(&session()).unwrap();
    }

    #[test]
    fn whoever_was_told_that_a_key_is_gone_finds_none_after_any_crash() {
        for seed in 0..200 {
            let disk = Arc::new(SimDisk::new());
            let (vault, _) = shelf(&disk).open::<String>(&session()).unwrap();
            vault.put_segment(1, 1, b"one").unwrap();
            drop(vault);
            let wrapped = disk.read(Path::new("5e55/key"), 1_000).unwrap();
            disk.cut_after(seed % 12);
            let told = shelf(&disk).destroy_key(&session(), b"{}").is_ok();
            disk.crash(seed);
            if told {
                assert!(!holds(&lying_about(&*disk), &wrapped), "seed {seed}");
                assert!(!shelf(&disk).has(&session()), "seed {seed}");
            }
            // What was begun is ended by the next process.
            shelf(&disk).destroy_key(&session(), b"{}").unwrap();
            shelf(&disk).sweep(&session()).unwrap();
            assert!(!holds(&lying_about(&*disk), &wrapped), "seed {seed}");
            assert!(
                shelf(&disk).open::<String>(&session()).is_err(),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_full_disk_leaves_nothing_behind_and_the_next_try_works() {
        let disk = Arc::new(SimDisk::new());
        let (mut vault, _) = shelf(&disk).open::<String>(&session()).unwrap();
        vault.append(&["one".to_owned()]).unwrap();
        disk.fail_after(10, io::ErrorKind::StorageFull);
        let full = vault.put_segment(1, 1, b"some content").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert!(vault.append(&["two".to_owned()]).is_err());
        disk.fail_after(u64::MAX, io::ErrorKind::StorageFull);
        vault.put_segment(1, 1, b"some content").unwrap();
        vault.append(&["three".to_owned()]).unwrap();
        let (_, records) = shelf(&disk).open::<String>(&session()).unwrap();
        assert_eq!(records, ["one", "three"]);
    }
}
