//! Files that are there whole or not at all.
//!
//! A file is written beside its name, synced, renamed, and its directory synced. Whatever the moment
//! of a crash, the name then holds the old bytes or the new ones.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Mode of what everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;
/// Mode of keys.
pub(crate) const SECRET: u32 = 0o600;

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
pub(crate) struct Files {
    #[cfg(test)]
    pub(crate) steps_left: std::cell::Cell<Option<u32>>,
}

impl Files {
    /// Makes a directory with mode 700, and those above it.
    pub(crate) fn make_dir(&self, path: &Path) -> Result<(), FileError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(|source| failed(path, source))
    }

    /// Replaces a file, or makes it.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
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
    pub(crate) fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
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

    /// Replaces what a file has from `offset` on, or makes it. A crash may leave part of what was written there,
    /// and nothing else of what came before it changed.
    pub(crate) fn write_from(
        &self,
        path: &Path,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        #[cfg(test)]
        let bytes = match self.step(path) {
            Ok(()) => bytes,
            Err(stopped) => {
                let half = bytes.get(..bytes.len() / 2).unwrap_or_default();
                write_from_synced(path, offset, half).map_err(|source| failed(path, source))?;
                return Err(stopped);
            }
        };
        write_from_synced(path, offset, bytes).map_err(|source| failed(path, source))
    }

    /// Cuts a file to a length.
    pub(crate) fn cut(&self, path: &Path, bytes: u64) -> Result<(), FileError> {
        self.step(path)?;
        let file = OpenOptions::new().write(true).open(path);
        let cut = file.and_then(|file| file.set_len(bytes).and_then(|()| file.sync_all()));
        cut.map_err(|source| failed(path, source))
    }

    /// Gives a file its name, in one step within a file system; what has that name is replaced. From another file
    /// system it is copied beside the name first, hidden, then renamed, and the old one is removed.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step(to)?;
        let renamed = match fs::rename(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let hidden = hidden(to);
                let copied = fs::copy(from, &hidden).and_then(|_| File::open(&hidden)?.sync_all());
                copied
                    .and_then(|()| fs::rename(&hidden, to))
                    .and_then(|()| fs::remove_file(from))
            }
            other => other,
        };
        renamed
            .and_then(|()| sync_parent(to))
            .map_err(|source| failed(to, source))
    }

    /// Like [`Self::write`], under a hidden name beside it until it is whole: for folders that somebody watches.
    pub(crate) fn publish(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.step(path)?;
        let hidden = hidden(path);
        let written = write_synced(&hidden, bytes, PUBLIC);
        written.map_err(|source| failed(&hidden, source))?;
        self.rename(&hidden, path)
    }

    /// Removes a file; one that is gone already is as good.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), FileError> {
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
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(|source| failed(path, source))
}

/// Reads a text that may be missing.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

pub(crate) fn failed(path: &Path, source: io::Error) -> FileError {
    let path = path.to_owned();
    FileError { path, source }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn hidden(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn write_from_synced(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let options = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(SECRET);
    let mut file = options.open(path)?;
    if file.metadata()?.len() < offset {
        return Err(io::Error::other("what came before it is gone"));
    }
    file.set_len(offset)?;
    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    file.sync_all()
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
