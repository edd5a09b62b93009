//! What is to be done next for one recording: a pure function of what is here, what is there, and what was promised.

use std::collections::BTreeMap;

use guitai_types::{Hex, NodeName, SessionId, UnixMillis, canonical, sink::LockMode};
use serde::{Deserialize, Serialize};

/// Files in one step; what was done is noted after each.
pub const FILES_IN_STEP_MAX: usize = 32;
/// What is there is read again after so long, in milliseconds: thirty days, as on the recorders' disks.
pub const READ_AGAIN_AFTER_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// What could not be deleted is tried again after so long, in milliseconds: a day.
pub const DELETE_AGAIN_AFTER_MS: u64 = 24 * 60 * 60 * 1000;
/// First pause after a failure, in milliseconds; it doubles with every further one.
pub const PAUSE_MS: u64 = 1_000;
/// Longest pause, in milliseconds.
pub const PAUSE_MS_MAX: u64 = 5 * 60 * 1000;
/// Name of the object that says what belongs to a recording; no file of a recording is called so.
pub const MANIFEST: &str = "manifest.json";

/// What a node noted of a recording in the sink. Everything in it was read back and compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct There {
    /// Format version, 1.
    pub v: u16,
    /// Files, by name.
    pub files: BTreeMap<String, Object>,
    /// The manifest over exactly these files; without it the copy is not whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Object>,
    /// When all of it was read back last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<UnixMillis>,
    /// When deleting it was refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<UnixMillis>,
}

/// An object, as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its length.
    pub bytes: u64,
    /// Its SM3.
    pub sm3: Hex,
    /// Its version, where the bucket keeps versions: what is put under the same name later is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Locked until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// A legal hold is on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

/// What a recorder has on its own disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Here {
    /// A sealed recording: names of its files and their lengths, without those of [`is_secret`].
    Sealed(BTreeMap<String, u64>),
    /// Its key is destroyed.
    Erased,
}

/// What the cluster promised of a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promise {
    /// It is kept until then at least, if that is known.
    pub until: Option<UnixMillis>,
    /// Somebody holds it.
    pub held: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until something is otherwise.
    Rest,
    /// Get these back: they are there and not, or not whole, here.
    Mend(Vec<String>),
    /// Put these.
    Put(Vec<String>),
    /// All is there: put the manifest.
    Close,
    /// Lock these.
    Lock {
        /// Names of files; [`MANIFEST`] among them.
        names: Vec<String>,
        /// Until when; left as it is without.
        until: Option<UnixMillis>,
        /// Whether a legal hold is to be on them.
        held: bool,
    },
    /// Read all of it back again.
    Read,
    /// Delete everything.
    Delete,
    /// Nothing can be deleted yet.
    Locked,
}

/// Whether a file of a recording stays at the node whatever happens: its key, and what is only half written or is a
/// remark of this node about itself.
pub fn is_secret(name: &str) -> bool {
    name.starts_with("key")
        || name == "erased.json"
        || name.ends_with(".tmp")
        || name.ends_with(".damaged")
}

/// Whether a file never changes once its recording is sealed.
fn is_fixed(name: &str) -> bool {
    name.ends_with(".seg") || name == "journal" || name == "seal"
}

/// What is to be done next for a recording.
pub fn next(here: &Here, there: &There, promise: Promise, mode: LockMode, now: UnixMillis) -> Step {
    match here {
        Here::Sealed(files) => keep(files, there, promise, mode, now),
        Here::Erased => end(there, now),
    }
}

fn keep(
    files: &BTreeMap<String, u64>,
    there: &There,
    promise: Promise,
    mode: LockMode,
    now: UnixMillis,
) -> Step {
    let lost = there.files.iter().filter(|(name, object)| {
        let here = files.get(*name);
        is_fixed(name) && here != Some(&object.bytes)
    });
    let lost: Vec<String> = lost.map(|(name, _)| name.clone()).collect();
    if !lost.is_empty() {
        return Step::Mend(lost);
    }
    let missing = files.iter().filter(|(name, bytes)| {
        let object = there.files.get(*name);
        !is_secret(name) && object.is_none_or(|object| object.bytes != **bytes)
    });
    let missing: Vec<String> = missing
        .take(FILES_IN_STEP_MAX)
        .map(|(name, _)| name.clone())
        .collect();
    if !missing.is_empty() {
        return Step::Put(missing);
    }
    if there.manifest.is_none() {
        return Step::Close;
    }
    if mode != LockMode::None {
        let loose = there
            .objects()
            .filter(|(_, it)| it.held != promise.held || promise.until > it.until);
        let names: Vec<String> = loose
            .take(FILES_IN_STEP_MAX)
            .map(|(name, _)| name.to_owned())
            .collect();
        if !names.is_empty() {
            let Promise { until, held } = promise;
            return Step::Lock { names, until, held };
        }
    }
    match there.read_at {
        Some(at) if now.since(at) < READ_AGAIN_AFTER_MS => Step::Rest,
        _ => Step::Read,
    }
}

fn end(there: &There, now: UnixMillis) -> Step {
    let held = there.objects().filter(|(_, it)| it.held);
    let names: Vec<String> = held
        .take(FILES_IN_STEP_MAX)
        .map(|(name, _)| name.to_owned())
        .collect();
    let was_refused = there
        .refused_at
        .is_some_and(|at| now.since(at) < DELETE_AGAIN_AFTER_MS);
    if was_refused || there.until().is_some_and(|until| until > now) {
        Step::Locked
    } else if names.is_empty() {
        Step::Delete
    } else {
        // Nobody erases what is held: the hold has ended, and this node was away when it did.
        let (until, held) = (None, false);
        Step::Lock { names, until, held }
    }
}

impl There {
    /// One of which nothing is there yet.
    pub fn new() -> Self {
        Self {
            v: 1,
            ..Self::default()
        }
    }

    /// Every object by name, the manifest among them.
    pub fn objects(&self) -> impl Iterator<Item = (&str, &Object)> {
        let manifest = self.manifest.iter().map(|object| (MANIFEST, object));
        let files = self
            .files
            .iter()
            .map(|(name, object)| (name.as_str(), object));
        files.chain(manifest)
    }

    /// One of them.
    pub fn object_mut(&mut self, name: &str) -> Option<&mut Object> {
        match name {
            MANIFEST => self.manifest.as_mut(),
            name => self.files.get_mut(name),
        }
    }

    /// A file was put and read back: the manifest is over others now.
    pub fn put(&mut self, name: &str, object: Object) {
        if name == MANIFEST {
            self.manifest = Some(object);
        } else {
            self.files.insert(name.to_owned(), object);
            self.manifest = None;
        }
    }

    /// An object is not what was put: it is to be put again.
    pub fn lost(&mut self, name: &str) {
        self.files.remove(name);
        self.manifest = None;
    }

    /// Until when nothing of it can be deleted, as far as this node locked it.
    pub fn until(&self) -> Option<UnixMillis> {
        self.objects().filter_map(|(_, object)| object.until).max()
    }

    /// What the cluster is told; nothing while the copy is not whole.
    pub fn summary(&self) -> Option<Summary> {
        self.manifest.as_ref()?;
        let locked = self.objects().map(|(_, object)| object.until).min();
        Some(Summary {
            files: u32::try_from(self.files.len()).unwrap_or(u32::MAX),
            bytes: self.files.values().map(|object| object.bytes).sum(),
            until: locked.flatten(),
            held: self.objects().all(|(_, object)| object.held),
        })
    }

    /// The manifest's bytes.
    pub fn manifest_bytes(&self, session: &SessionId, node: &NodeName) -> Vec<u8> {
        let file = |(name, object): (&String, &Object)| {
            let file = ManifestFile {
                bytes: object.bytes,
                sm3: object.sm3.clone(),
            };
            (name.clone(), file)
        };
        let manifest = Manifest {
            v: 1,
            session: session.clone(),
            node: node.clone(),
            files: self.files.iter().map(file).collect(),
        };
        // Names, numbers and digests have a canonical form.
        canonical::to_bytes(&manifest).unwrap_or_default()
    }
}

/// A whole copy in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many files.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Every object is locked until then at least.
    pub until: Option<UnixMillis>,
    /// A legal hold is on every object.
    pub held: bool,
}

/// What belongs to a recording, put last: an upload that broke off has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version, 1.
    pub v: u16,
    /// The call.
    pub session: SessionId,
    /// Whose recording of it.
    pub node: NodeName,
    /// Its files.
    pub files: BTreeMap<String, ManifestFile>,
}

/// A file of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its length.
    pub bytes: u64,
    /// Its SM3.
    pub sm3: Hex,
}

/// How long to wait after so many failures in a row, in milliseconds.
pub fn pause_ms(failures: u32) -> u64 {
    let doubled = PAUSE_MS.checked_shl(failures.saturating_sub(1).min(32));
    doubled.map_or(PAUSE_MS_MAX, |pause| pause.min(PAUSE_MS_MAX))
}

#[cfg(test)]
mod tests;
