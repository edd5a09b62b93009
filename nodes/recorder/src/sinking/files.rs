//! The disk's side of the sink: which files a recording has, the notes about what is there, and files that come back.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use guitai_crypto::sm3;
use guitai_host::DiskFile;
use guitai_sink::{
    Body,
    plan::{Here, There, is_secret},
};
use guitai_types::SessionId;

use super::DIR;
use crate::{Shared, vault::Shelf};

/// Largest note in bytes: a recording of eight hours has some ten thousand files.
const NOTE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a file that are hashed at once.
const HASHED_BYTES: usize = 1024 * 1024;

/// The recordings of a node as files.
pub(super) struct Files {
    shelf: Shelf,
    notes: Shelf,
}

impl Files {
    pub(super) fn of(shared: &Shared) -> Self {
        Self {
            shelf: shared.shelf.clone(),
            notes: shared.shelf.beside(DIR),
        }
    }

    /// What this node has of a recording.
    pub(super) fn here(&self, session: &SessionId, is_ending: bool) -> io::Result<Here> {
        if is_ending || self.shelf.is_erased(session)? {
            return Ok(Here::Erased);
        }
        let mut files = BTreeMap::new();
        for name in self.shelf.files(session)? {
            if !is_secret(&name) {
                let file = self.shelf.disk().open(&self.shelf.file(session, &name))?;
                files.insert(name, file.len()?);
            }
        }
        Ok(Here::Sealed(files))
    }

    /// Whether the key is here: without it nothing opens.
    pub(super) fn has_key(&self, session: &SessionId) -> bool {
        self.shelf.has(session)
    }

    /// Sessions about which there is a note.
    pub(super) fn noted(&self) -> io::Result<Vec<SessionId>> {
        let dir = PathBuf::from(DIR);
        if !self.notes.disk().exists(&dir)? {
            return Ok(Vec::new());
        }
        let names = self.notes.disk().list(&dir)?;
        let sessions = names
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        Ok(sessions.collect())
    }

    /// The note about a recording. One that is no note counts as none: what was put is put again, and lies there as
    /// an older version until everything of the recording is deleted.
    pub(super) fn note(&self, session: &SessionId) -> io::Result<Option<There>> {
        let (disk, path) = (self.notes.disk(), note_path(session));
        if !disk.exists(&path)? {
            return Ok(None);
        }
        let json = disk.read(&path, NOTE_BYTES_MAX)?;
        let read = serde_json::from_slice(&json);
        if let Err(error) = &read {
            tracing::error!(%session, %error, "the note about what is in the sink cannot be read");
        }
        Ok(Some(read.unwrap_or_else(|_| There::new())))
    }

    /// Writes it; durable when this returns.
    pub(super) fn put_note(&self, session: &SessionId, there: &There) -> io::Result<()> {
        let disk = self.notes.disk();
        disk.create_dir(&PathBuf::from(DIR))?;
        disk.write_whole(&note_path(session), &serde_json::to_vec(there)?)
    }

    /// Nothing is there any more.
    pub(super) fn forget(&self, session: &SessionId) -> io::Result<()> {
        let (disk, path) = (self.notes.disk(), note_path(session));
        if disk.exists(&path)? {
            disk.remove(&path)?;
            disk.sync_dir(&PathBuf::from(DIR))?;
        }
        Ok(())
    }

    /// A file as it is to be put.
    pub(super) fn body(&self, session: &SessionId, name: &str) -> io::Result<Body> {
        let file: Arc<dyn DiskFile> = self
            .shelf
            .disk()
            .open(&self.shelf.file(session, name))?
            .into();
        let bytes = file.len()?;
        let read = move |offset: u64, most: usize| {
            let left = usize::try_from(bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut piece = vec![0; most.min(left)];
            let got = file.read_at(offset, &mut piece)?;
            piece.truncate(got);
            Ok(Bytes::from(piece))
        };
        Ok(Body {
            bytes,
            read: Arc::new(read),
        })
    }

    /// Files that are not here, or not as they are there.
    pub(super) fn rotten(&self, session: &SessionId, there: &There) -> Vec<String> {
        let is_rotten =
            |name: &str, sm3: &[u8]| !matches!(self.digest(session, name), Ok(it) if it == sm3);
        let files = there
            .files
            .iter()
            .filter(|(name, object)| is_rotten(name, &object.sm3.0));
        files.map(|(name, _)| name.clone()).collect()
    }

    fn digest(&self, session: &SessionId, name: &str) -> io::Result<[u8; 32]> {
        let file = self.shelf.disk().open(&self.shelf.file(session, name))?;
        let mut hasher = sm3::Hasher::new();
        let mut piece = vec![0; HASHED_BYTES];
        let mut at = 0;
        loop {
            let got = file.read_at(at, &mut piece)?;
            let Some(read) = piece.get(..got).filter(|read| !read.is_empty()) else {
                return Ok(hasher.finish());
            };
            hasher.update(read);
            at += got as u64;
        }
    }

    /// A file that is on its way back, under another name until it is whole.
    pub(super) fn begin(&self, session: &SessionId, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let disk = self.shelf.disk();
        disk.create_dir(&self.shelf.file(session, ""))?;
        disk.create(&self.shelf.file(session, &format!("{name}.tmp")))
    }

    /// It is whole. What had its name stays beside it: it may be evidence of something else.
    pub(super) fn finish(
        &self,
        session: &SessionId,
        name: &str,
        half: Box<dyn DiskFile>,
    ) -> io::Result<()> {
        half.sync_data()?;
        drop(half);
        let (disk, path) = (self.shelf.disk(), self.shelf.file(session, name));
        if disk.exists(&path)? {
            disk.rename(&path, &self.shelf.file(session, &format!("{name}.damaged")))?;
        }
        disk.rename(&self.shelf.file(session, &format!("{name}.tmp")), &path)?;
        disk.sync_dir(&self.shelf.file(session, ""))
    }
}

fn note_path(session: &SessionId) -> PathBuf {
    PathBuf::from(DIR).join(format!("{session}.json"))
}
