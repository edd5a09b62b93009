//! Where a key store's files are: a directory, or memory. Small on purpose, so that a crash can be
//! put between any two steps in a test.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::file::KEY_FILE_BYTES_MAX;

/// Why a file of a key store was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The system refused.
    #[error("key file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Someone but the owner may use it.
    #[error("{path} has mode {mode:03o}; it must be {wanted:03o}")]
    Mode {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they must be.
        wanted: u32,
    },
    /// Larger than a key file can be.
    #[error("{path} has more than the {KEY_FILE_BYTES_MAX} bytes of a key file")]
    TooLong {
        /// The file.
        path: PathBuf,
    },
}

/// Named files. Each write is whole or not there at all, and durable when it returns.
pub(crate) trait Place: Send + Sync {
    /// The file's bytes; `None` if there is no such file.
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PlaceError>;
    /// Replaces or makes a file in one step.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), PlaceError>;
    /// Renames a file over another in one step.
    fn rename(&self, from: &str, to: &str) -> Result<(), PlaceError>;
    /// Removes a file if it is there.
    fn remove(&self, name: &str) -> Result<(), PlaceError>;
    /// Waits until no one else writes here; holds until the guard is dropped.
    fn lock(&self) -> Result<Guard, PlaceError>;
    /// Its name for people.
    fn display(&self) -> String;
}

/// Held while files are changed.
#[derive(Debug)]
pub(crate) struct Guard(
    #[expect(dead_code, reason = "held, not read: dropping it unlocks")] Option<File>,
);

/// A directory of mode 700 with files of mode 600.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes the directory if need be.
    pub(crate) fn create(path: &Path) -> Result<Self, PlaceError> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.map_err(|source| PlaceError::Io {
            path: path.into(),
            source,
        })?;
        Self::open(path)
    }

    /// Takes a directory that only its owner may use.
    pub(crate) fn open(path: &Path) -> Result<Self, PlaceError> {
        let meta = std::fs::metadata(path).map_err(|source| PlaceError::Io {
            path: path.into(),
            source,
        })?;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PlaceError::Mode {
                path: path.into(),
                mode,
                wanted: 0o700,
            });
        }
        Ok(Self(path.into()))
    }

    fn io(&self, name: &str) -> impl Fn(io::Error) -> PlaceError {
        let path = self.0.join(name);
        move |source| PlaceError::Io {
            path: path.clone(),
            source,
        }
    }
}

impl Place for Directory {
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PlaceError> {
        read_private(&self.0.join(name))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        replace_private(&self.0.join(name), bytes)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), PlaceError> {
        let renamed = std::fs::rename(self.0.join(from), self.0.join(to));
        renamed
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(self.io(to))
    }

    fn remove(&self, name: &str) -> Result<(), PlaceError> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done
                .and_then(|()| File::open(&self.0)?.sync_all())
                .map_err(self.io(name)),
        }
    }

    fn lock(&self) -> Result<Guard, PlaceError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.0.join("lock"));
        let file = file.map_err(self.io("lock"))?;
        file.lock().map_err(self.io("lock"))?;
        Ok(Guard(Some(file)))
    }

    fn display(&self) -> String {
        self.0.display().to_string()
    }
}

/// Reads a file that only its owner may use; `None` if it is not there.
pub(crate) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, PlaceError> {
    let io = |source| PlaceError::Io {
        path: path.into(),
        source,
    };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io)?,
    };
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(PlaceError::Mode {
            path: path.into(),
            mode,
            wanted: 0o600,
        });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(KEY_FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() > KEY_FILE_BYTES_MAX {
        return Err(PlaceError::TooLong { path: path.into() });
    }
    Ok(Some(bytes))
}

/// Replaces or makes a file of mode 600 in one step: beside it, synced, renamed, directory synced.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), PlaceError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        // A file that an earlier crash left may have another mode or length.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    write().map_err(|source| PlaceError::Io {
        path: path.into(),
        source,
    })
}

/// Overwrites a file with zeros, synced, and removes it; nothing if it is not there.
pub(crate) fn remove_plain(path: &Path) -> Result<(), PlaceError> {
    let remove = || {
        let mut file = match OpenOptions::new().write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let length = file.metadata()?.len().min(KEY_FILE_BYTES_MAX as u64);
        // At most KEY_FILE_BYTES_MAX, which fits.
        file.write_all(&vec![0; usize::try_from(length).unwrap_or(0)])?;
        file.sync_all()?;
        std::fs::remove_file(path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    };
    remove().map_err(|source| PlaceError::Io {
        path: path.into(),
        source,
    })
}

/// Files in memory: a key store that ends with its process. A clone shows the same files.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    files: Arc<Mutex<BTreeMap<String, Zeroizing<Vec<u8>>>>>,
    /// Changes until the power goes; `None` never.
    #[cfg(test)]
    left: Arc<Mutex<Option<u32>>>,
}

impl Memory {
    fn change(
        &self,
        act: impl FnOnce(&mut BTreeMap<String, Zeroizing<Vec<u8>>>),
    ) -> Result<(), PlaceError> {
        #[cfg(test)]
        {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(left) = left.as_mut() {
                if *left == 0 {
                    return Err(PlaceError::Io {
                        path: "memory".into(),
                        source: io::Error::other("the power is gone"),
                    });
                }
                *left -= 1;
            }
        }
        act(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Lets `changes` more happen and none after.
    #[cfg(test)]
    pub(crate) fn cut_after(&self, changes: Option<u32>) {
        *self.left.lock().unwrap() = changes;
    }
}

impl Place for Memory {
    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, PlaceError> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(files.get(name).cloned())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), PlaceError> {
        self.change(|files| drop(files.insert(name.to_owned(), Zeroizing::new(bytes.to_vec()))))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), PlaceError> {
        self.change(|files| {
            if let Some(bytes) = files.remove(from) {
                files.insert(to.to_owned(), bytes);
            }
        })
    }

    fn remove(&self, name: &str) -> Result<(), PlaceError> {
        self.change(|files| drop(files.remove(name)))
    }

    fn lock(&self) -> Result<Guard, PlaceError> {
        Ok(Guard(None))
    }

    fn display(&self) -> String {
        "memory".to_owned()
    }
}
