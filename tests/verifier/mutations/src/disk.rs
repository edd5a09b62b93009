//! A package as a directory, brought from one state to the next with as few writes as there are differences.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use crate::package::Entry;

/// A directory that holds the entries last shown.
pub(crate) struct Disk {
    dir: PathBuf,
    shown: BTreeMap<String, Entry>,
}

impl Disk {
    /// Takes an empty directory.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            shown: BTreeMap::new(),
        }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory hold exactly `entries`.
    pub(crate) fn show(&mut self, entries: &BTreeMap<String, Entry>) -> io::Result<()> {
        let gone: Vec<String> = self
            .shown
            .iter()
            .filter(|(path, entry)| entries.get(*path) != Some(entry))
            .map(|(path, _)| path.clone())
            .collect();
        for path in &gone {
            match self.shown.remove(path) {
                Some(Entry::Empty) => fs::remove_dir(self.dir.join(path))?,
                _ => fs::remove_file(self.dir.join(path))?,
            }
        }
        // Folders that nothing is in any more; the deepest first.
        let needed = folders(entries.keys().chain(self.shown.keys()));
        let left = folders(gone.iter());
        for folder in left.iter().rev().filter(|it| !needed.contains(*it)) {
            fs::remove_dir(self.dir.join(folder))?;
        }
        for (path, entry) in entries {
            if self.shown.contains_key(path) {
                continue;
            }
            let at = self.dir.join(path);
            if let Some(parent) = at.parent() {
                fs::create_dir_all(parent)?;
            }
            match entry {
                Entry::File(bytes) => fs::write(&at, bytes.as_slice())?,
                Entry::Link(to) => symlink(to, &at)?,
                Entry::Empty => fs::create_dir(&at)?,
                Entry::Socket => drop(UnixListener::bind(&at)?),
            }
            self.shown.insert(path.clone(), entry.clone());
        }
        Ok(())
    }
}

/// Every folder that one of these paths is in.
fn folders<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let of = |path: &'a String| path.match_indices('/').map(|(at, _)| &path[..at]);
    paths.flat_map(of).collect()
}
