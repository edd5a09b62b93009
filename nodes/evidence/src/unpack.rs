//! Unpacks the tar stream of a package into a new directory, trusting nothing in it.

use std::{fs, io, path::Path};

use crate::layout;

/// Why a stream was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the stream or writing the directory failed.
    #[error("unpacking to {dir}")]
    Io {
        /// Where to.
        dir: std::path::PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A link, a device, or a path that may not be in a package.
    #[error("{0:?} is no file of a package")]
    Entry(String),
    /// Past a limit of [`layout`].
    #[error("the stream has more or larger files than a package may have")]
    TooLarge,
}

/// Unpacks `tar` into `dir`, which must be empty or not exist.
pub fn unpack(tar: impl io::Read, dir: &Path) -> Result<(), UnpackError> {
    use crate::sink::{DirSink, Sink as _};
    let failed = |source| UnpackError::Io {
        dir: dir.to_path_buf(),
        source,
    };
    let mut sink = DirSink::create(dir).map_err(failed)?;
    let mut archive = tar::Archive::new(tar);
    for (count, entry) in archive.entries().map_err(failed)?.enumerate() {
        let mut entry = entry.map_err(failed)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type() != tar::EntryType::Regular || !layout::path_is_safe(&path) {
            return Err(UnpackError::Entry(path));
        }
        let size = entry.size();
        if count >= 2 * layout::FILES_MAX || size > layout::FILE_BYTES_MAX {
            return Err(UnpackError::TooLarge);
        }
        sink.put(&path, size, &mut entry).map_err(failed)?;
    }
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(failed)
}
