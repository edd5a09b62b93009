//! The machine's disk, rooted in one directory.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::disk::{Disk, DiskFile, inside};

/// A directory of the machine.
#[derive(Debug, Clone)]
pub struct SystemDisk {
    root: PathBuf,
}

impl SystemDisk {
    /// The disk rooted at `root`, which is created (private to its owner) when absent.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        create_durably(&root)?;
        Ok(Self {
            root: root.canonicalize()?,
        })
    }

    /// The root, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.root.join(inside(path)?))
    }
}

impl Disk for SystemDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        create_durably(&self.at(dir)?)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        // What a node keeps is its owner's alone: the log and recordings hold personal data.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Ok(Box::new(SystemFile(options.open(self.at(path)?)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.at(path)?)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.at(from)?, self.at(to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.at(path)?)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(self.at(dir)?)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(dir)?)? {
            // A name that is not text is nothing we wrote.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.at(path)?.try_exists()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(self.at(dir)?)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Creates `dir` level by level and syncs each parent, so that a power cut keeps the whole way.
fn create_durably(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    create_durably(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

#[derive(Debug)]
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(dir.path().join("a/b")).unwrap();
        for bad in ["../x", "/etc/passwd", "x/../../y"] {
            let error = disk.create(Path::new(bad)).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
            assert!(
                disk.rename(Path::new("ok"), Path::new(bad)).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn writes_reads_lists_and_measures() {
        let dir = tempfile::tempdir().unwrap();
        let disk = SystemDisk::new(dir.path()).unwrap();
        disk.create_dir(Path::new("d/e")).unwrap();
        disk.write_whole(Path::new("d/e/f"), b"first").unwrap();
        disk.write_whole(Path::new("d/e/f"), b"second").unwrap();
        assert_eq!(disk.list(Path::new("d/e")).unwrap(), ["f"]);
        assert_eq!(disk.read(Path::new("d/e/f"), 6).unwrap(), b"second");
        let error = disk.read(Path::new("d/e/f"), 5).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let file = disk.open(Path::new("d/e/f")).unwrap();
        assert_eq!(file.append(b"!").unwrap(), 6);
        assert_eq!(file.len().unwrap(), 7);
        assert!(disk.free_bytes().unwrap() > 0);
        disk.remove(Path::new("d/e/f")).unwrap();
        assert!(!disk.exists(Path::new("d/e/f")).unwrap());
    }
}
