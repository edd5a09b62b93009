//! The log through the gap: a tar of the files that a copy has and the last one sent had not, and its checkpoint.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use guitai_evidence::log::{
    Checkpoint, Policy, audit,
    note::{NOTE_BYTES_MAX, Note},
    tiles::{Resource, Tiles},
};
use guitai_ferry::{Kept, name::Kind, record::Record};

use super::{
    inspect::refused,
    state::{State, local},
};
use crate::{
    failure::Failure,
    files::{PUBLIC, failed},
};

/// Largest file of a log: a bundle of 256 entries of 65,535 bytes.
const FILE_BYTES_MAX: u64 = 256 * (2 + 65_535);
/// Longest name of a log in a name of an item, in bytes.
const ORIGIN_BYTES_MAX: usize = 80;

/// The folders of trees below a folder that was named: itself, or what `guitai log mirror` makes in it.
pub(super) fn trees(dir: &Path) -> Vec<PathBuf> {
    let places = [dir.to_owned(), dir.join("sm3"), dir.join("sha256")];
    let has_one = |place: &PathBuf| place.join("checkpoint").is_file();
    places.into_iter().filter(has_one).collect()
}

/// A copy of a log that is to be sent.
pub(super) struct Copy {
    dir: PathBuf,
    origin: String,
    size: u64,
}

impl Copy {
    /// Reads its checkpoint; believes nothing, which the other side does for itself.
    pub(super) fn open(dir: &Path) -> Result<Self, Failure> {
        let bad = |error: &dyn std::error::Error| {
            Failure::local(&format!("the log in {}", dir.display()), error)
        };
        let bytes = read(&dir.join("checkpoint"), NOTE_BYTES_MAX as u64);
        let bytes = bytes.map_err(|error| bad(&io::Error::other(error)))?;
        let note = Note::parse(&bytes).map_err(|error| bad(&error))?;
        let checkpoint = Checkpoint::of(&note).map_err(|error| bad(&error))?;
        Ok(Self {
            dir: dir.to_owned(),
            origin: folder(&checkpoint.origin),
            size: checkpoint.head.size,
        })
    }

    /// What the item is called.
    pub(super) fn name(&self) -> String {
        format!("{}.{}.tar", self.origin, self.size)
    }

    /// How much of it the other side has or is about to have: what was sent last and not refused.
    pub(super) fn base(&self, state: &State) -> u64 {
        let mine = |name: &str| -> Option<u64> {
            let size = name.strip_prefix(&self.origin)?.strip_prefix('.')?;
            size.strip_suffix(".tar")?.parse().ok()
        };
        let mut last = None;
        for record in &state.records {
            match record {
                Record::Queued { item, .. } if item.kind.known() == Some(Kind::Log) => {
                    if let Some(size) = mine(item.name.as_str()) {
                        last = Some((item.number, size));
                    }
                }
                Record::Received { ack, .. } | Record::Answered { ack, .. } => {
                    let is_last = |number| last.is_some_and(|(item, _)| item == number);
                    if ack.refused.iter().any(|it| is_last(it.item)) {
                        // What stood on it was refused too: all of it goes again.
                        last = last.map(|(item, _)| (item, 0));
                    }
                }
                _ => {}
            }
        }
        last.map_or(0, |(_, size)| size)
    }

    /// Whether there is anything after `base`.
    pub(super) const fn has_more_than(&self, base: u64) -> bool {
        self.size != base
    }

    /// Writes the tar of what came after the first `base` entries.
    pub(super) fn write(&self, base: u64, to: &Path) -> io::Result<()> {
        let base = if base > self.size { 0 } else { base };
        let known: BTreeSet<Resource> = Resource::of_tree(base).collect();
        let mut tar = tar::Builder::new(File::create(to)?);
        let new = Resource::of_tree(self.size).filter(|it| !known.contains(it));
        for resource in new.chain([Resource::Checkpoint]) {
            let path = resource.to_string();
            let mut file = File::open(self.dir.join(&path))?;
            let mut header = tar::Header::new_ustar();
            header.set_size(file.metadata()?.len());
            header.set_mode(PUBLIC);
            tar.append_data(&mut header, &path, &mut file)?;
        }
        tar.into_inner()?.sync_all()
    }
}

/// Inspects a log that came and, where it is right, adds it to the copy. Being asked again gives the same.
pub(super) fn keep(state: &State, tar: &Path) -> Result<Kept, Failure> {
    if state.policies.is_empty() {
        return Ok(refused("no policy is pinned for logs"));
    }
    let io = |error: io::Error| Failure::local("unpacking a log", &error);
    let staging = tempfile::tempdir_in(state.dir.join("partial")).map_err(io)?;
    if let Err(why) = unpack(tar, staging.path()) {
        return Ok(refused(&why));
    }
    let note = read(&staging.path().join("checkpoint"), NOTE_BYTES_MAX as u64);
    let note = note.and_then(|bytes| Note::parse(&bytes).map_err(|error| error.to_string()));
    let checkpoint = note.and_then(|note| Checkpoint::of(&note).map_err(|error| error.to_string()));
    let origin = match checkpoint {
        Ok(checkpoint) => checkpoint.origin,
        Err(why) => return Ok(refused(&why)),
    };
    let dir = state.config.into.join("log").join(folder(&origin));
    let older = read(&dir.join("checkpoint"), NOTE_BYTES_MAX as u64).ok();
    let both = Both {
        new: staging.path(),
        old: &dir,
    };
    let by = |policy: &Policy| {
        let audited = audit(&both, policy, older.as_deref(), |_| ());
        audited.map(|it| (it.believed.checkpoint.head.size, it.continues))
    };
    // The policy that names the log says why it is refused; where none does, any.
    let names = |policy: &&Policy| policy.logs().iter().any(|log| log.name() == origin);
    let policy = state.policies.iter().find(names);
    let policy = policy.or_else(|| state.policies.first());
    let (size, continues) = match policy.map(by) {
        Some(Ok(found)) => found,
        Some(Err(error)) => return Ok(refused(&error.to_string())),
        None => return Ok(refused("no policy is pinned for logs")),
    };
    // The checkpoint last: what it is over is there.
    let mut found: Vec<Resource> = Resource::of_tree(size).collect();
    found.push(Resource::Checkpoint);
    for resource in found {
        let path = resource.to_string();
        let Ok(bytes) = read(&staging.path().join(&path), FILE_BYTES_MAX) else {
            continue;
        };
        let to = dir.join(&path);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|error| local(&failed(parent, error)))?;
        }
        state
            .disk
            .write(&to, &bytes, PUBLIC)
            .map_err(|error| local(&error))?;
    }
    let since = continues
        .map(|size| format!(", continues {size}"))
        .unwrap_or_default();
    Ok(Kept::Accepted(format!(
        "log {origin}: {size} entries audited{since}"
    )))
}

/// Takes the files of a log out of a tar; anything else in it refuses it.
fn unpack(tar: &Path, into: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut archive = tar::Archive::new(File::open(tar).map_err(text)?);
    for entry in archive.entries().map_err(text)? {
        let entry = entry.map_err(text)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let resource = Resource::parse(&path);
        let resource = resource.ok_or_else(|| format!("{path:?} is no file of a log"))?;
        if entry.header().entry_type() != tar::EntryType::Regular || entry.size() > FILE_BYTES_MAX {
            return Err(format!(
                "{resource} is no regular file of at most {FILE_BYTES_MAX} bytes"
            ));
        }
        let to = into.join(resource.to_string());
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(text)?;
        }
        let mut file = File::create_new(&to).map_err(text)?;
        io::copy(&mut entry.take(FILE_BYTES_MAX), &mut file).map_err(text)?;
    }
    Ok(())
}

/// What came, and the copy that is there already.
struct Both<'a> {
    new: &'a Path,
    old: &'a Path,
}

impl Tiles for Both<'_> {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        let path = resource.to_string();
        let new = self.new.join(&path);
        let place = if new.exists() {
            new
        } else {
            self.old.join(&path)
        };
        read(&place, FILE_BYTES_MAX)
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("longer than {bytes_max} bytes"));
    }
    Ok(bytes)
}

/// A log's name as a folder's. Two that give the same are told apart by their checkpoints.
fn folder(origin: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let plain = origin.chars().map(|c| if fits(c) { c } else { '-' });
    let plain: String = plain.take(ORIGIN_BYTES_MAX).collect();
    format!("log-{plain}")
}
