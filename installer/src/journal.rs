//! What was done, so that it can be undone: written before each step, synced, readable by people.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::step::Step;

/// Where the journal is, below the host's root.
pub const JOURNAL: &str = "var/lib/guitai-install/journal.json";

/// One step that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begun {
    pub(crate) step: Step,
    /// Copy of the file that stood there before.
    pub(crate) before: Option<PathBuf>,
}

/// The journal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    pub(crate) schema: u32,
    pub(crate) begun: Vec<Begun>,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Cannot be read or written.
    #[error("cannot use the journal {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Is no journal of this release.
    #[error("{path} is not a journal of this release")]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Journal {
    /// Reads the journal below `root`; an empty one when there is none.
    pub(crate) fn load(root: &Path) -> Result<Self, JournalError> {
        let path = root.join(JOURNAL);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| JournalError::Format { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self {
                schema: 1,
                begun: Vec::new(),
            }),
            Err(source) => Err(JournalError::Io { path, source }),
        }
    }

    /// Writes the journal so that it survives a power cut.
    pub(crate) fn save(&self, root: &Path) -> Result<(), JournalError> {
        let path = root.join(JOURNAL);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let dir = path.parent().unwrap_or(root);
        fs::create_dir_all(dir).map_err(io)?;
        let bytes = serde_json::to_vec_pretty(self).map_err(|source| JournalError::Format {
            path: path.clone(),
            source,
        })?;
        let staged = path.with_extension("new");
        fs::write(&staged, bytes).map_err(io)?;
        fs::File::open(&staged)
            .and_then(|file| file.sync_all())
            .map_err(io)?;
        fs::rename(&staged, &path).map_err(io)?;
        fs::File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io)
    }

    /// Removes the journal and what it kept.
    pub(crate) fn remove(root: &Path) -> Result<(), JournalError> {
        let path = root.join(JOURNAL);
        let dir = path.parent().unwrap_or(root);
        fs::remove_dir_all(dir).map_err(|source| JournalError::Io {
            path: path.clone(),
            source,
        })
    }
}
