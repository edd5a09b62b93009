//! Files that are there whole or not at all.
//!
//! A file is written beside its name, synced, renamed, and its directory synced. Whatever the moment
//! of a crash, the name then holds the old bytes or the new ones.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Mode of what everybody may read.
pub(super) const PUBLIC: u32 = 0o644;
/// Mode of keys.
pub(super) const SECRET: u32 = 0o600;

/// A file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct FileError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The disk under one directory. In tests it can be told to fail after so many steps, as a crash
/// would stop it.
#[derive(Debug, Default)]
pub(super) struct Files {
    #[cfg(test)]
    pub(super) steps_left: std::cell::Cell<Option<u32>>,
}

impl Files {
    /// Makes a directory with mode 700, and those above it.
    pub(super) fn make_dir(&self, path: &Path) -> Result<(), FileError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(|source| failed(path, source))
    }

    /// Replaces a file, or makes it.
    pub(super) fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        self.step(path)?;
        let beside = beside(path);
        let written = write_synced(&beside, bytes, mode);
        written.map_err(|source| failed(&beside, source))?;
        self.step(path)?;
        fs::rename(&beside, path)
            .and_then(|()| sync_parent(path))
            .map_err(|source| failed(path, source))
    }

    /// Adds to the end of a file. A crash may leave part of what was added.
    pub(super) fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        #[cfg(test)]
        let bytes = match self.step(path) {
            Ok(()) => bytes,
            Err(stopped) => {
                // The worst moment: half of it is there.
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                append_synced(path, half).map_err(|source| failed(path, source))?;
                return Err(stopped);
            }
        };
        append_synced(path, bytes).map_err(|source| failed(path, source))
    }

    /// Removes a file; one that is gone already is as good.
    pub(super) fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.step(path)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
            _ => Ok(()),
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests' disk counts here")]
    const fn step(&self, _path: &Path) -> Result<(), FileError> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, path: &Path) -> Result<(), FileError> {
        match self.steps_left.get() {
            Some(0) => Err(failed(path, io::Error::other("the machine stops here"))),
            Some(left) => {
                self.steps_left.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Reads a text.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| failed(path, source))
}

/// Reads a text that may be missing.
pub(super) fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    FileError { path, source }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // What a crash left there may have another mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn append_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(PUBLIC).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
