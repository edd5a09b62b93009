//! The work directory beside a film: pieces that are done, each durable with its own digest. A job that was
//! killed finds them again and goes on with the first that is missing; one whose bytes changed is made anew; all
//! of them are, if what the film is made of is not the same any more.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use guitai_crypto::sm3;
use guitai_evidence::canonical::CanonicalError;
use guitai_types::Hex;

/// What the pieces are pieces of.
const RECIPE: &str = "recipe.json";
/// Held while a job works.
const LOCK: &str = "lock";

/// Why the work directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Reading or writing failed.
    #[error("the work directory: {path}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another job works there.
    #[error("{0} is in use by another job")]
    Busy(PathBuf),
    /// Something else lies under its name.
    #[error("{0} is there and is no work directory of a composite")]
    Foreign(PathBuf),
    /// What the film is made of cannot be written down.
    #[error("the description")]
    Canonical(#[from] CanonicalError),
}

#[derive(Debug)]
pub(crate) struct Work {
    dir: PathBuf,
    _lock: File,
}

impl Work {
    /// Where the pieces of a film are while it is made.
    pub(crate) fn place(film: &Path) -> PathBuf {
        let mut name = film.file_name().unwrap_or_default().to_os_string();
        name.push(".work");
        film.with_file_name(name)
    }

    /// Opens or creates; pieces of another recipe are thrown away.
    pub(crate) fn open(dir: &Path, recipe: &[u8]) -> Result<Self, WorkError> {
        let failed = |source| WorkError::Io {
            path: dir.to_path_buf(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        let is_ours = |name: &Path| dir.join(name).is_file();
        let is_empty = fs::read_dir(dir).map_err(failed)?.next().is_none();
        if !is_empty && !is_ours(Path::new(LOCK)) {
            return Err(WorkError::Foreign(dir.to_path_buf()));
        }
        let lock = File::create(dir.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(WorkError::Busy(dir.to_path_buf())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let work = Self {
            dir: dir.to_path_buf(),
            _lock: lock,
        };
        if work.read(RECIPE).as_deref() != Some(recipe) {
            work.clear().map_err(failed)?;
            work.keep(RECIPE, |file| file.write_all(recipe).map_err(failed))?;
        }
        Ok(work)
    }

    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// A piece, if it is there and its bytes are those that were kept.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.dir.join(name)).ok()?;
        let digest = fs::read_to_string(self.dir.join(digest_of(name))).ok()?;
        let is_whole = digest == Hex(sm3::hash(&bytes).to_vec()).to_string();
        is_whole.then_some(bytes)
    }

    /// Whether a piece is there and whole.
    pub(crate) fn has(&self, name: &str) -> bool {
        let digest = fs::read_to_string(self.dir.join(digest_of(name)));
        let is = File::open(self.dir.join(name)).and_then(digest_of_file);
        matches!((digest, is), (Ok(digest), Ok(is)) if digest == Hex(is.to_vec()).to_string())
    }

    /// Keeps a piece: it has its name only when it is whole and synced, and counts only when its digest has, too.
    pub(crate) fn keep<E: From<WorkError>>(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| WorkError::Io {
            path: self.dir.join(name),
            source,
        };
        let part = self.dir.join("part");
        let file = File::create(&part).map_err(failed)?;
        let mut hashed = Hashed {
            file,
            hasher: sm3::Hasher::new(),
        };
        write(&mut hashed)?;
        let Hashed { file, hasher } = hashed;
        let digest = Hex(hasher.finish().to_vec()).to_string();
        (|| {
            file.sync_all()?;
            fs::rename(&part, self.dir.join(name))?;
            let mut file = File::create(&part)?;
            file.write_all(digest.as_bytes())?;
            file.sync_all()?;
            fs::rename(&part, self.dir.join(digest_of(name)))?;
            File::open(&self.dir)?.sync_all()
        })()
        .map_err(failed)?;
        Ok(())
    }

    /// An empty directory for what ffmpeg reads.
    pub(crate) fn bench(&self) -> Result<PathBuf, WorkError> {
        let path = self.dir.join("now");
        let made = (|| {
            if path.exists() {
                fs::remove_dir_all(&path)?;
            }
            fs::create_dir(&path)
        })();
        match made {
            Ok(()) => Ok(path),
            Err(source) => Err(WorkError::Io { path, source }),
        }
    }

    /// A path in it, for the film before it has its name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The film is done: nothing of this is needed any more.
    pub(crate) fn remove(self) -> Result<(), WorkError> {
        let path = self.dir.clone();
        fs::remove_dir_all(&path).map_err(|source| WorkError::Io { path, source })
    }
}

fn digest_of(name: &str) -> String {
    format!("{name}.sm3")
}

fn digest_of_file(mut file: File) -> io::Result<[u8; 32]> {
    let mut hasher = sm3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

struct Hashed {
    file: File,
    hasher: sm3::Hasher,
}

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(work: &Work, name: &str, content: &[u8]) {
        let kept = work.keep(name, |out| {
            out.write_all(content).unwrap();
            Ok::<_, WorkError>(())
        });
        kept.unwrap();
    }

    #[test]
    fn pieces_outlive_a_job_and_a_changed_one_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let place = Work::place(&dir.path().join("film.mp4"));
        let work = Work::open(&place, b"recipe").unwrap();
        assert!(matches!(
            Work::open(&place, b"recipe"),
            Err(WorkError::Busy(_))
        ));
        keep(&work, "1", b"one");
        keep(&work, "2", b"two");
        drop(work);
        let work = Work::open(&place, b"recipe").unwrap();
        assert_eq!(work.read("1").unwrap(), b"one");
        fs::write(place.join("1"), b"0ne").unwrap();
        fs::remove_file(place.join("2.sm3")).unwrap();
        for name in ["1", "2", "3"] {
            assert!(!work.has(name) && work.read(name).is_none(), "{name}");
        }
        keep(&work, "1", b"one");
        assert!(work.has("1"));
        // A piece that was given up half way has no name.
        let half = work.keep("4", |out| {
            out.write_all(b"fo").unwrap();
            Err(WorkError::Busy(PathBuf::new()))
        });
        assert!(half.is_err() && !work.has("4"));
        drop(work);
        let work = Work::open(&place, b"another recipe").unwrap();
        assert!(!work.has("1"));
        work.remove().unwrap();
        assert!(!place.exists());
    }

    #[test]
    fn what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("letters"), "dear").unwrap();
        let opened = Work::open(dir.path(), b"recipe");
        assert!(matches!(opened, Err(WorkError::Foreign(_))));
        assert!(dir.path().join("letters").exists());
    }
}
