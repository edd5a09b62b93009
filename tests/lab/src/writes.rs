//! The log of what a process wrote (made by the shim), and what a power cut leaves of it.
//!
//! The model is harsher than any journalling file system: a write is on the disk when a later `fsync` or
//! `fdatasync` of its file returned, a name when one of its directory did; before that any of its sectors
//! may be there or not (torn), and names come in their order up to any point. `sync_file_range` is no
//! barrier: it writes no metadata and does not empty the disk's cache (`sync_file_range(2)`).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use guitai_host::SeededEntropy;

/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// Begins every record; `shim.c` writes the same.
const MAGIC: u32 = 0x4c41_4257;
/// Bytes of a record before its two strings.
const HEAD_BYTES: usize = 40;

/// One record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A file or directory was opened, and made if it was not there.
    Open {
        /// Where.
        path: PathBuf,
        /// Which.
        inode: u64,
        /// Whether it is a directory.
        is_dir: bool,
        /// Whether it was emptied.
        emptied: bool,
    },
    /// Bytes were written.
    Data {
        /// To which file.
        inode: u64,
        /// Where in it.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// `fsync` or `fdatasync` was called.
    SyncBegins {
        /// Of which file or directory.
        inode: u64,
        /// By which thread.
        thread: u64,
    },
    /// It returned without an error.
    SyncEnds {
        /// Of which file or directory.
        inode: u64,
        /// By which thread.
        thread: u64,
    },
    /// The length was set.
    Length {
        /// Of which file.
        inode: u64,
        /// To how much.
        bytes: u64,
    },
    /// A file got another name.
    Rename {
        /// Old.
        from: PathBuf,
        /// New.
        to: PathBuf,
    },
    /// A file or an empty directory was removed.
    Remove {
        /// Which.
        path: PathBuf,
    },
    /// A directory was made.
    MakeDir {
        /// Which.
        path: PathBuf,
    },
    /// The process said something on its standard output.
    Said {
        /// What.
        text: String,
    },
    /// `sync_file_range`: nothing that counts.
    Range,
}

/// Reads a log; a last record that is not whole was being written when the process was killed.
///
/// # Errors
/// A file that cannot be read, or that is no such log.
pub fn read(path: &Path) -> io::Result<Vec<Write>> {
    let bytes = fs::read(path)?;
    let mut rest = bytes.as_slice();
    let mut writes = Vec::new();
    while let Some((write, after)) = record(rest)? {
        writes.push(write);
        rest = after;
    }
    Ok(writes)
}

fn record(bytes: &[u8]) -> io::Result<Option<(Write, &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else {
        return Ok(None);
    };
    let word = |at: usize| {
        let four = head.get(at..at + 4).and_then(|it| it.try_into().ok());
        four.map(u32::from_le_bytes).unwrap_or_default()
    };
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if word(0) != MAGIC {
        return Err(bad("it has a record that does not begin as one"));
    }
    let (inode, a, b) = (long(8), long(16), long(24));
    let Some((first, rest)) = rest.split_at_checked(word(32) as usize) else {
        return Ok(None);
    };
    let Some((second, rest)) = rest.split_at_checked(word(36) as usize) else {
        return Ok(None);
    };
    let path = |bytes: &[u8]| PathBuf::from(String::from_utf8_lossy(bytes).into_owned());
    let write = match word(4) {
        1 => Write::Open {
            path: path(first),
            inode,
            is_dir: a == 1,
            emptied: b == 1,
        },
        2 => Write::Data {
            inode,
            offset: a,
            data: first.to_vec(),
        },
        3 => Write::SyncBegins { inode, thread: a },
        4 => Write::SyncEnds { inode, thread: a },
        5 => Write::Length { inode, bytes: a },
        6 => Write::Rename {
            from: path(first),
            to: path(second),
        },
        7 => Write::Remove { path: path(first) },
        8 => Write::MakeDir { path: path(first) },
        9 => Write::Said {
            text: String::from_utf8_lossy(first).into_owned(),
        },
        10 => Write::Range,
        _ => return Err(bad("it has a record of a kind unknown here")),
    };
    Ok(Some((write, rest)))
}

fn bad(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not a log of writes: {why}"),
    )
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Any of its sectors, by seed.
    Some(u64),
}

#[derive(Debug, Clone)]
enum Change {
    Data { offset: u64, data: Vec<u8> },
    Length(u64),
}

#[derive(Debug, Clone)]
enum Naming {
    File(PathBuf, usize),
    Dir(PathBuf),
    Move(PathBuf, PathBuf),
    Gone(PathBuf),
}

impl Naming {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::File(path, _) | Self::Dir(path) | Self::Gone(path) => path.parent() == Some(dir),
            Self::Move(from, to) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    File(usize),
    Dir,
}

type Names = BTreeMap<PathBuf, Named>;

/// A disk that is told what a process wrote, and can say what a cut would leave.
#[derive(Debug)]
pub struct Platter {
    root: PathBuf,
    /// Serial of the record that comes next.
    now: u64,
    durable: Vec<Vec<u8>>,
    pending: Vec<Vec<(u64, Change)>>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<(u64, Naming)>,
    inodes: BTreeMap<u64, usize>,
    dirs: BTreeMap<u64, PathBuf>,
    begun: BTreeMap<(u64, u64), u64>,
    dangerous_ignore_sync: bool,
}

impl Platter {
    /// An empty disk; `root` is the directory that was watched.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            now: 0,
            durable: Vec::new(),
            pending: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            pending_names: Vec::new(),
            inodes: BTreeMap::new(),
            dirs: BTreeMap::new(),
            begun: BTreeMap::new(),
            dangerous_ignore_sync: false,
        }
    }

    /// From now on a sync makes nothing durable: shows that the check can fail.
    pub const fn dangerous_ignore_sync(&mut self) {
        self.dangerous_ignore_sync = true;
    }

    /// Takes the next record.
    pub fn take(&mut self, write: &Write) {
        self.now += 1;
        match write {
            Write::Open {
                path,
                inode,
                is_dir,
                emptied,
            } => {
                if *is_dir {
                    self.dirs.insert(*inode, path.clone());
                    return;
                }
                let file = match self.names.get(path) {
                    Some(Named::File(file)) => *file,
                    _ => self.make(path),
                };
                self.inodes.insert(*inode, file);
                if *emptied {
                    self.change(*inode, Change::Length(0));
                }
            }
            Write::Data {
                inode,
                offset,
                data,
            } => {
                let (offset, data) = (*offset, data.clone());
                self.change(*inode, Change::Data { offset, data });
            }
            Write::Length { inode, bytes } => self.change(*inode, Change::Length(*bytes)),
            Write::SyncBegins { inode, thread } => {
                self.begun.insert((*inode, *thread), self.now);
            }
            Write::SyncEnds { inode, thread } => {
                let begun = self.begun.remove(&(*inode, *thread));
                if let Some(begun) = begun.filter(|_| !self.dangerous_ignore_sync) {
                    self.sync(*inode, begun);
                }
            }
            Write::Rename { from, to } => self.name(Naming::Move(from.clone(), to.clone())),
            Write::Remove { path } => self.name(Naming::Gone(path.clone())),
            Write::MakeDir { path } => self.name(Naming::Dir(path.clone())),
            Write::Said { .. } | Write::Range => {}
        }
    }

    /// Makes `at`, an empty directory, hold what a cut now would leave.
    ///
    /// # Errors
    /// What the machine says.
    pub fn cut(&self, survives: Survives, at: &Path) -> io::Result<()> {
        let chance = match survives {
            Survives::Some(seed) => SeededEntropy::new(seed),
            Survives::Nothing | Survives::All => SeededEntropy::new(0),
        };
        // How much of everything survives differs from cut to cut, not only what.
        let percent = chance.below(101);
        let lucky = || match survives {
            Survives::Nothing => false,
            Survives::All => true,
            Survives::Some(_) => chance.chance(percent),
        };
        let named = match survives {
            Survives::Nothing => 0,
            Survives::All => self.pending_names.len(),
            Survives::Some(_) => chance.below(self.pending_names.len() as u64 + 1) as usize,
        };
        let mut names = self.durable_names.clone();
        for (_, naming) in self.pending_names.iter().take(named) {
            apply_name(&mut names, naming);
        }
        // Parents come before what they hold: paths are sorted.
        for (path, name) in &names {
            let Ok(inside) = path.strip_prefix(&self.root) else {
                continue;
            };
            let to = at.join(inside);
            if !to.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match name {
                Named::Dir if to.is_dir() => {}
                Named::Dir => fs::create_dir(&to)?,
                Named::File(file) => fs::write(&to, self.content(*file, &lucky))?,
            }
        }
        Ok(())
    }

    fn content(&self, file: usize, lucky: &impl Fn() -> bool) -> Vec<u8> {
        let mut content = self.durable.get(file).cloned().unwrap_or_default();
        for (_, change) in self.pending.get(file).into_iter().flatten() {
            match change {
                Change::Length(bytes) => {
                    if lucky() {
                        content.resize(*bytes as usize, 0);
                    }
                }
                Change::Data { offset, data } => {
                    let mut at = *offset as usize;
                    let mut rest = data.as_slice();
                    while !rest.is_empty() {
                        // Sectors lie where the disk has them, not where the write begins.
                        let (piece, after) = rest.split_at((SECTOR - at % SECTOR).min(rest.len()));
                        if lucky() {
                            put(&mut content, at, piece);
                        }
                        at += piece.len();
                        rest = after;
                    }
                }
            }
        }
        content
    }

    fn make(&mut self, path: &Path) -> usize {
        self.durable.push(Vec::new());
        self.pending.push(Vec::new());
        let file = self.durable.len() - 1;
        self.name(Naming::File(path.to_owned(), file));
        file
    }

    fn name(&mut self, naming: Naming) {
        apply_name(&mut self.names, &naming);
        self.pending_names.push((self.now, naming));
    }

    fn change(&mut self, inode: u64, change: Change) {
        let file = self.inodes.get(&inode);
        if let Some(pending) = file.and_then(|file| self.pending.get_mut(*file)) {
            pending.push((self.now, change));
        }
    }

    /// What was there when the sync was called is durable when it returned.
    fn sync(&mut self, inode: u64, begun: u64) {
        if let Some(dir) = self.dirs.get(&inode) {
            let durable = &mut self.durable_names;
            self.pending_names.retain(|(serial, naming)| {
                let synced = *serial < begun && naming.is_in(dir);
                if synced {
                    apply_name(durable, naming);
                }
                !synced
            });
        }
        let Some(file) = self.inodes.get(&inode).copied() else {
            return;
        };
        let (Some(durable), Some(pending)) =
            (self.durable.get_mut(file), self.pending.get_mut(file))
        else {
            return;
        };
        pending.retain(|(serial, change)| {
            let synced = *serial < begun;
            if synced {
                match change {
                    Change::Length(bytes) => durable.resize(*bytes as usize, 0),
                    Change::Data { offset, data } => put(durable, *offset as usize, data),
                }
            }
            !synced
        });
    }
}

fn put(content: &mut Vec<u8>, at: usize, data: &[u8]) {
    let end = at + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data); // as long as that: just made so
}

fn apply_name(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::File(path, file) => drop(names.insert(path.clone(), Named::File(*file))),
        Naming::Dir(path) => drop(names.insert(path.clone(), Named::Dir)),
        Naming::Gone(path) => drop(names.remove(path)),
        Naming::Move(from, to) => {
            if let Some(what) = names.remove(from) {
                names.insert(to.clone(), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 11;
    const DIR: u64 = 7;

    fn open(path: &str, inode: u64, is_dir: bool) -> Write {
        Write::Open {
            path: path.into(),
            inode,
            is_dir,
            emptied: false,
        }
    }

    fn data(offset: u64, byte: u8, bytes: usize) -> Write {
        Write::Data {
            inode: FILE,
            offset,
            data: vec![byte; bytes],
        }
    }

    fn sync(inode: u64) -> [Write; 2] {
        [
            Write::SyncBegins { inode, thread: 1 },
            Write::SyncEnds { inode, thread: 1 },
        ]
    }

    /// Content of `/r/f` after a cut.
    fn left(writes: &[Write], survives: Survives) -> Option<Vec<u8>> {
        let mut platter = Platter::new(Path::new("/r"));
        writes.iter().for_each(|write| platter.take(write));
        let dir = tempfile::tempdir().expect("a directory");
        platter.cut(survives, dir.path()).expect("laid out");
        fs::read(dir.path().join("f")).ok()
    }

    #[test]
    fn a_file_is_there_when_it_and_its_name_were_synced() {
        let mut writes = vec![
            open("/r", DIR, true),
            open("/r/f", FILE, false),
            data(0, 1, 600),
        ];
        writes.extend(sync(FILE));
        assert_eq!(
            left(&writes, Survives::Nothing),
            None,
            "its name is not durable"
        );
        assert_eq!(left(&writes, Survives::All), Some(vec![1; 600]));
        writes.extend(sync(DIR));
        assert_eq!(left(&writes, Survives::Nothing), Some(vec![1; 600]));
    }

    #[test]
    fn sync_file_range_is_no_barrier() {
        let mut writes = vec![open("/r", DIR, true), open("/r/f", FILE, false)];
        writes.extend(sync(DIR));
        writes.extend([data(0, 1, 600), Write::Range]);
        assert_eq!(left(&writes, Survives::Nothing), Some(vec![]));
    }

    #[test]
    fn a_write_after_the_sync_was_called_is_not_covered() {
        let mut writes = vec![open("/r", DIR, true), open("/r/f", FILE, false)];
        writes.extend(sync(DIR));
        let [begins, ends] = sync(FILE);
        writes.extend([data(0, 1, 8), begins, data(8, 2, 8), ends]);
        assert_eq!(left(&writes, Survives::Nothing), Some(vec![1; 8]));
    }

    #[test]
    fn an_unsynced_write_is_torn_at_sectors() {
        let mut writes = vec![open("/r", DIR, true), open("/r/f", FILE, false)];
        writes.extend(sync(DIR));
        writes.push(data(100, 9, 4_000));
        let torn = (0..50).filter_map(|seed| left(&writes, Survives::Some(seed)));
        let mut kinds = std::collections::BTreeSet::new();
        for content in torn {
            let sectors = content.chunks(SECTOR);
            kinds.insert(
                sectors
                    .map(|sector| sector.contains(&9))
                    .collect::<Vec<_>>(),
            );
            for sector in content.chunks(SECTOR).skip(1) {
                let same = sector.iter().all(|byte| *byte == sector[0]);
                assert!(same, "a sector is there whole or not at all");
            }
        }
        assert!(kinds.len() > 10, "{} kinds of damage", kinds.len());
    }

    #[test]
    fn a_rename_survives_with_its_directory() {
        let mut writes = vec![
            open("/r", DIR, true),
            open("/r/t", FILE, false),
            data(0, 1, 8),
        ];
        writes.extend(sync(FILE));
        writes.push(Write::Rename {
            from: "/r/t".into(),
            to: "/r/f".into(),
        });
        assert_eq!(left(&writes, Survives::Nothing), None);
        writes.extend(sync(DIR));
        assert_eq!(left(&writes, Survives::Nothing), Some(vec![1; 8]));
    }

    #[test]
    fn what_is_no_log_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        fs::write(&path, [0u8; 100]).expect("written");
        assert!(read(&path).is_err());
        fs::write(&path, [0u8; 10]).expect("written");
        assert_eq!(read(&path).expect("an unfinished record"), []);
    }
}
