//! A disk as the log, the snapshots and the recorder need it: offsets, an explicit sync, and
//! directories that must be synced too.
//!
//! Paths are relative to the disk's root; the empty path is the root. A path that leaves the root
//! is refused with [`io::ErrorKind::InvalidInput`].

use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// One directory tree of the machine's disk.
pub trait Disk: Send + Sync {
    /// Creates `dir` and its parents, durably. An existing one is no error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates `path` empty, or empties it, open for reading and writing. Its name is durable only
    /// after [`Disk::sync_dir`] of its directory.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Gives the file another name, replacing what had that name. Durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Names of the files and directories in `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// True when there is a file or directory at `path`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;

    /// The whole file, refused when longer than `bytes_max`.
    fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let len = file.len()?;
        let fits = usize::try_from(len).ok().filter(|_| len <= bytes_max);
        let Some(fits) = fits else {
            let text = format!(
                "{} has {len} bytes, at most {bytes_max} are read",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        };
        let mut data = vec![0; fits];
        let got = file.read_at(0, &mut data)?;
        data.truncate(got);
        Ok(data)
    }

    /// Makes `path` hold `data`, durably: after a power cut it holds the old content or the new,
    /// never a mixture. Leaves at most a `.tmp` sibling behind.
    fn write_whole(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(".tmp");
        let tmp = path.with_file_name(name);
        let file = self.create(&tmp)?;
        file.write_at(0, data)?;
        file.sync_data()?;
        drop(file);
        self.rename(&tmp, path)?;
        self.sync_dir(path.parent().unwrap_or_else(|| Path::new("")))
    }
}

/// An open file. Handles may be shared by threads; one thread writes.
#[expect(
    clippy::len_without_is_empty,
    reason = "the length can fail, so it is no container's"
)]
pub trait DiskFile: Send + Sync {
    /// Reads at `offset` until `out` is full or the file ends; says how many bytes it read.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `data` at `offset`; a gap before it reads as zeros. Not durable until synced.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Shortens the file, or lengthens it with zeros. Not durable until synced.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns when the content and the length survive a power cut (`fdatasync`). After an error
    /// nothing is known about any earlier unsynced write: do not try again, open anew.
    fn sync_data(&self) -> io::Result<()>;

    /// Writes at the end and says where that was. One writer at a time.
    fn append(&self, data: &[u8]) -> io::Result<u64> {
        let end = self.len()?;
        self.write_at(end, data)?;
        Ok(end)
    }
}

/// `path` cleaned of `.`; refused when it is absolute or climbs.
pub(crate) fn inside(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let text = format!("the path {} leaves its disk", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
    }
    Ok(clean)
}
