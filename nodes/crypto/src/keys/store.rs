//! A node's key store: its root's file and its ring, opened, rotated while it runs.
//!
//! ```text
//! keys/            mode 700
//!   root           where the root key is (sealed, or in a device), mode 600
//!   root.next      a root that a rotation has not finished putting in place
//!   ring           the node's KEKs, wrapped by the root that the ring names
//!   lock           held by whoever writes
//! ```
//!
//! The ring is replaced in one step, and names its root. A rotation of the root therefore writes the
//! new root beside the old, replaces the ring (from here on the new root counts), and renames; a crash
//! between any two steps leaves a ring whose root is in one of the two files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use zeroize::Zeroizing;

use super::device::{Description, DeviceError, RootSecret};
use super::file::{FormatError, KekEntry, RingFile, RootFile, RootName, WrappedFile};
use super::passphrase::{Passphrase, PassphraseError};
use super::place::{self, Directory, Memory, Place, PlaceError};
use super::ring::{DataKeyError, Device, Ring, RingError, WrappedBy, version_1};
use super::root::NewRoot;
use super::what::{KeyId, Purpose, Zone};
use crate::random;
use crate::sm3;

const ROOT: &str = "root";
const ROOT_NEXT: &str = "root.next";
const RING: &str = "ring";

/// Why a key store was not opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file.
    #[error("key store")]
    Place(#[from] PlaceError),
    /// The passphrase.
    #[error("the passphrase of the root key")]
    Passphrase(#[from] PassphraseError),
    /// There is no store.
    #[error(
        "{place} holds no {what}: guitai keys init makes one, guitai keys combine restores a lost root"
    )]
    Absent {
        /// The directory.
        place: String,
        /// Which file is missing.
        what: &'static str,
    },
    /// There is one already.
    #[error("{place} holds a key store already; it is never overwritten")]
    Exists {
        /// The directory.
        place: String,
    },
    /// The root's file.
    #[error("root key file")]
    Root(#[from] FormatError),
    /// The root does not open.
    #[error("root key {id} does not open: wrong passphrase, or the file was altered")]
    Locked {
        /// Which root.
        id: KeyId,
    },
    /// The ring belongs to a root that is not here.
    #[error("the ring in {place} needs root {wanted}, which is not there")]
    AnotherRoot {
        /// The directory.
        place: String,
        /// The root that wrapped the ring.
        wanted: KeyId,
    },
    /// The device that holds the root.
    #[error("the root's device")]
    Device(#[from] DeviceError),
    /// The ring.
    #[error("key ring of {place}")]
    Ring {
        /// The directory.
        place: String,
        /// Why.
        #[source]
        source: RingError,
    },
    /// A node of that zone may not hold such a KEK.
    #[error("a node in the {zone} must not hold a KEK for {purpose}")]
    Zone {
        /// The node's zone.
        zone: Zone,
        /// What was asked for.
        purpose: Purpose,
    },
    /// A data key or a wrapped file.
    #[error("{path}")]
    DataKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: DataKeyError,
    },
    /// A wrapped key's file.
    #[error("{path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// A wrapped file in another's place.
    #[error("{path} holds the key {found}, not {wanted}")]
    AnotherKey {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What belongs there.
        wanted: String,
    },
    /// The root cannot leave its device.
    #[error(
        "the root is in a device ({location}) and cannot leave it: use the device's own backup"
    )]
    NotExportable {
        /// Where it is.
        location: String,
    },
}

/// Where the passphrase comes from, each time the root is opened.
#[derive(Clone, Debug)]
pub enum Unlock {
    /// A file of mode 600 or 400; read again after a rotation.
    File(PathBuf),
    /// Given once.
    Given(Passphrase),
}

impl Unlock {
    pub(crate) fn passphrase(&self) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::File(path) => Passphrase::load(path),
            Self::Given(passphrase) => Ok(passphrase.clone()),
        }
    }
}

/// A node's keys, open. Cheap to clone; every clone sees a rotation.
#[derive(Clone)]
pub struct KeyStore {
    shared: Arc<Shared>,
}

struct Shared {
    place: Box<dyn Place>,
    unlock: Unlock,
    state: RwLock<State>,
}

struct State {
    root: RootFile,
    device: Device,
    ring: Ring,
    /// Digest of the ring's text: another one on disk means that somebody rotated.
    stamp: [u8; sm3::DIGEST_BYTES],
}

/// What a key store holds, as its files say; nothing opened, nothing secret.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The node.
    pub node: String,
    /// Its zone.
    pub zone: Zone,
    /// The root that counts, by its file.
    pub root: RootFile,
    /// Where that root is.
    pub device: Description,
    /// The KEKs, by purpose and generation.
    pub keks: Vec<KekEntry>,
    /// A rotation of the root is not tidied up yet; the next change does it.
    pub unfinished: bool,
}

impl KeyStore {
    /// Makes a store in a new directory: a root, and a KEK for each of `purposes`.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn create(
        dir: &Path,
        node: &str,
        zone: Zone,
        purposes: &[Purpose],
        root: NewRoot,
        unlock: Unlock,
        now_unix: u64,
    ) -> Result<Self, StoreError> {
        let place = Box::new(Directory::create(dir)?);
        Self::create_at(place, node, zone, purposes, root, unlock, now_unix)
    }

    /// A store that is gone with its process: what tests and trials use instead of files.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn in_memory(node: &str, purposes: &[Purpose]) -> Result<Self, StoreError> {
        let unlock = Unlock::Given(Passphrase::new("gone with the process")?);
        let root = NewRoot::software(super::passphrase::Cost::MIN);
        let place = Box::new(Memory::default());
        Self::create_at(place, node, Zone::Inner, purposes, root, unlock, 0)
    }

    pub(crate) fn create_at(
        place: Box<dyn Place>,
        node: &str,
        zone: Zone,
        purposes: &[Purpose],
        root: NewRoot,
        unlock: Unlock,
        now_unix: u64,
    ) -> Result<Self, StoreError> {
        let _guard = place.lock()?;
        if place.read(RING)?.is_some() {
            return Err(StoreError::Exists {
                place: place.display(),
            });
        }
        let (root, device) = root.make(&unlock, 1, now_unix)?;
        let mut ring = Ring::new(node, zone, root.name.id);
        for purpose in purposes {
            allowed(zone, *purpose)?;
            ring.add(*purpose, None, now_unix, &*device)
                .map_err(|source| in_ring(&*place, source))?;
        }
        let text = ring
            .seal_text(&*device)
            .map_err(|source| in_ring(&*place, source))?;
        // The root first: a ring without its root would open for nobody.
        place.replace(ROOT, root.to_text().as_bytes())?;
        place.replace(RING, text.as_bytes())?;
        let state = State {
            root,
            device,
            ring,
            stamp: sm3::hash(text.as_bytes()),
        };
        Ok(Self::of(place, unlock, state))
    }

    /// Opens a store: its root with the passphrase, every KEK, and the seal over the ring.
    pub fn open(dir: &Path, unlock: Unlock) -> Result<Self, StoreError> {
        Self::open_at(Box::new(existing(dir)?), unlock)
    }

    pub(crate) fn open_at(place: Box<dyn Place>, unlock: Unlock) -> Result<Self, StoreError> {
        let state = load(&*place, &unlock)?;
        Ok(Self::of(place, unlock, state))
    }

    fn of(place: Box<dyn Place>, unlock: Unlock, state: State) -> Self {
        let shared = Arc::new(Shared {
            place,
            unlock,
            state: RwLock::new(state),
        });
        Self { shared }
    }

    /// Whether `dir` holds a store.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(RING).exists()
    }

    /// Reads what a store holds without opening anything.
    pub fn inventory(dir: &Path) -> Result<Inventory, StoreError> {
        let place = existing(dir)?;
        let (_, ring) = read_ring(&place)?;
        let (root, unfinished) = find_root(&place, ring.root)?;
        let device = root.describe();
        Ok(Inventory {
            node: ring.node,
            zone: ring.zone,
            root,
            device,
            keks: ring.keks,
            unfinished,
        })
    }

    /// The ring of a store whose root's file may be lost; opens nothing.
    pub fn read_ring(dir: &Path) -> Result<RingFile, StoreError> {
        Ok(read_ring(&existing(dir)?)?.1)
    }

    /// Whether the files are whole and are what this store has open.
    pub fn verify(&self) -> Result<(), StoreError> {
        load(&*self.shared.place, &self.shared.unlock).map(drop)
    }

    /// Wraps a data key under the newest KEK of its purpose. `context` says where the key belongs and
    /// must be given again to open it.
    pub fn wrap(
        &self,
        purpose: Purpose,
        context: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, DataKeyError> {
        self.state().ring.wrap(purpose, context, key)
    }

    /// Opens a wrapped data key, of this release or the one before. One that names a KEK nobody has
    /// heard of makes the store look whether its ring was rotated meanwhile.
    pub fn unwrap(
        &self,
        purpose: Purpose,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DataKeyError> {
        let first = self.state().ring.unwrap(purpose, context, wrapped);
        match first {
            Err(DataKeyError::Unknown { .. }) if matches!(self.refresh(), Ok(true)) => {
                self.state().ring.unwrap(purpose, context, wrapped)
            }
            done => done,
        }
    }

    /// The same data key under the newest KEK; `None` if it is there already.
    pub fn rewrap(
        &self,
        purpose: Purpose,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Option<Vec<u8>>, DataKeyError> {
        if self.state().ring.is_newest(purpose, wrapped)? {
            return Ok(None);
        }
        let key = self.unwrap(purpose, context, wrapped)?;
        self.wrap(purpose, context, &key).map(Some)
    }

    /// The newest generation of a purpose, if the node has such a KEK.
    #[must_use]
    pub fn generation(&self, purpose: Purpose) -> Option<u32> {
        self.state().ring.newest(purpose).map(|kek| kek.generation)
    }

    /// The root's name, and the KEKs under it, as they are open: ids, generations and dates, no key.
    #[must_use]
    pub fn held(&self) -> (RootName, Vec<KekEntry>) {
        let state = self.state();
        (state.root.name, state.ring.file.keks.clone())
    }

    /// The root's id.
    #[must_use]
    pub fn root_id(&self) -> KeyId {
        self.state().root.name.id
    }

    /// The root's file as it was opened.
    #[must_use]
    pub fn root(&self) -> RootFile {
        self.state().root.clone()
    }

    /// This store's root for another node of its zone: the same file, opened by the same passphrase.
    #[must_use]
    pub fn root_copy(&self) -> NewRoot {
        let state = self.state();
        NewRoot::copy(state.root.clone(), state.device.clone())
    }

    /// The root key itself, for officers' shares.
    pub fn export_root(&self) -> Result<RootSecret, StoreError> {
        let state = self.state();
        state
            .device
            .export()
            .ok_or_else(|| StoreError::NotExportable {
                location: state.device.describe().location,
            })
    }

    /// Takes over what another process rotated; says whether there was anything.
    pub fn refresh(&self) -> Result<bool, StoreError> {
        if self.is_current()? {
            return Ok(false);
        }
        let place = &*self.shared.place;
        let state = load(place, &self.shared.unlock)?;
        *self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = state;
        Ok(true)
    }

    /// Whether the ring on the disk is the one that is open; opens nothing.
    pub fn is_current(&self) -> Result<bool, StoreError> {
        let place = &*self.shared.place;
        let text = place.read(RING)?.ok_or_else(|| absent(place, RING))?;
        Ok(sm3::hash(&text) == self.state().stamp)
    }

    /// A new KEK for a purpose: new data keys go under it, old ones stay readable. Gives its
    /// generation.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn rotate_kek(&self, purpose: Purpose, now_unix: u64) -> Result<u32, StoreError> {
        self.change(|state, place| {
            allowed(state.ring.file.zone, purpose)?;
            state
                .ring
                .add(purpose, None, now_unix, &*state.device)
                .map_err(|source| in_ring(place, source))
        })
    }

    /// Destroys every KEK of a purpose but the newest; whatever is still under one of them is lost, so
    /// the caller has rewrapped everything first. Gives how many.
    pub fn destroy_old(&self, purpose: Purpose) -> Result<usize, StoreError> {
        self.change(|state, _| Ok(state.ring.drop_old(purpose)))
    }

    /// Puts the KEKs under a new root. The new root opens with `unlock`; the store goes on with what it
    /// was opened with, so both are the same unless the store is opened anew.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn rotate_root(
        &self,
        new: NewRoot,
        unlock: &Unlock,
        now_unix: u64,
    ) -> Result<KeyId, StoreError> {
        let place = &*self.shared.place;
        let _guard = place.lock()?;
        let mut state = load(place, &self.shared.unlock)?;
        settle(place, &state)?;
        let generation = state.root.name.generation.saturating_add(1);
        let (root, device) = new.make(unlock, generation, now_unix)?;
        let mut ring = state
            .ring
            .under(&*state.device, root.name.id, &*device)
            .map_err(|source| in_ring(place, source))?;
        let text = ring
            .seal_text(&*device)
            .map_err(|source| in_ring(place, source))?;
        place.replace(ROOT_NEXT, root.to_text().as_bytes())?;
        place.replace(RING, text.as_bytes())?;
        place.rename(ROOT_NEXT, ROOT)?;
        let id = root.name.id;
        state = State {
            root,
            device,
            ring,
            stamp: sm3::hash(text.as_bytes()),
        };
        *self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = state;
        Ok(id)
    }

    /// Puts a lost root's file back beside the ring that it wrapped, sealed by a new passphrase.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn restore_root(dir: &Path, root: NewRoot, unlock: Unlock) -> Result<Self, StoreError> {
        let place = Box::new(existing(dir)?);
        let guard = place.lock()?;
        let (text, ring) = read_ring(&*place)?;
        let (root, device) = root.make(&unlock, 1, 0)?;
        if root.name.id != ring.root {
            return Err(StoreError::AnotherRoot {
                place: place.display(),
                wanted: ring.root,
            });
        }
        // Opened before anything is written: shares of another root with this id change nothing.
        Ring::open(&text, &*device).map_err(|source| in_ring(&*place, source))?;
        place.replace(ROOT, root.to_text().as_bytes())?;
        place.remove(ROOT_NEXT)?;
        drop(guard);
        Self::open_at(place, unlock)
    }

    /// Imports the plain KEK file of the release before as generation 0 of its purpose: what it
    /// wrapped stays readable, nothing new goes under it. Does nothing if that was done already.
    pub fn import_version_1(
        &self,
        purpose: Purpose,
        path: &Path,
        now_unix: u64,
    ) -> Result<(), StoreError> {
        let Some(text) = place::read_private(path)? else {
            return Ok(());
        };
        let key = version_1::parse(&text).map_err(|source| StoreError::KeyFile {
            path: path.into(),
            source,
        })?;
        self.change(|state, place| {
            let mut keks = state.ring.file.keks.iter();
            if keks.any(|kek| kek.purpose == purpose && kek.generation == 0) {
                return Ok(());
            }
            state
                .ring
                .add(purpose, Some(&key), now_unix, &*state.device)
                .map(drop)
                .map_err(|source| in_ring(place, source))
        })
    }

    /// Reads a private key's file: wrapped by this store, or plain as the release before wrote it.
    /// `name` is what the key is called.
    pub fn read_key_file(&self, path: &Path, name: &str) -> Result<KeyFile, StoreError> {
        let text = place::read_private(path)?.ok_or_else(|| StoreError::Absent {
            place: path.display().to_string(),
            what: "private key",
        })?;
        if !WrappedFile::is_one(&text) {
            return Ok(KeyFile::Plain(text));
        }
        let file = WrappedFile::parse(&text).map_err(|source| StoreError::KeyFile {
            path: path.into(),
            source,
        })?;
        if file.name != name {
            return Err(StoreError::AnotherKey {
                path: path.into(),
                found: file.name,
                wanted: name.to_owned(),
            });
        }
        let context = self.file_context(name);
        let key = self.unwrap(Purpose::Identity, &context, &file.wrapped);
        key.map(KeyFile::Wrapped)
            .map_err(|source| StoreError::DataKey {
                path: path.into(),
                source,
            })
    }

    /// Wraps a private key that lies in its file in plain; says whether it did. Nothing happens to one
    /// that is wrapped.
    pub fn wrap_key_file(&self, path: &Path, name: &str) -> Result<bool, StoreError> {
        match self.read_key_file(path, name)? {
            KeyFile::Wrapped(_) => Ok(false),
            KeyFile::Plain(key) => self.write_key_file(path, name, &key).map(|()| true),
        }
    }

    /// Writes a private key's file, wrapped under the identity KEK, in one step.
    pub fn write_key_file(&self, path: &Path, name: &str, key: &[u8]) -> Result<(), StoreError> {
        let wrapped = self
            .wrap(Purpose::Identity, &self.file_context(name), key)
            .map_err(|source| StoreError::DataKey {
                path: path.into(),
                source,
            })?;
        let file = WrappedFile {
            name: name.to_owned(),
            wrapped,
        };
        Ok(place::replace_private(path, file.to_text().as_bytes())?)
    }

    /// The KEK that a private key's file is under; `None` for a plain one. Opens nothing.
    pub fn key_file_wrapped_by(path: &Path) -> Result<Option<WrappedBy>, StoreError> {
        let text = place::read_private(path)?.unwrap_or_default();
        if !WrappedFile::is_one(&text) {
            return Ok(None);
        }
        let file = WrappedFile::parse(&text).map_err(|source| StoreError::KeyFile {
            path: path.into(),
            source,
        })?;
        let by = WrappedBy::of(&file.wrapped).map_err(|source| StoreError::DataKey {
            path: path.into(),
            source,
        })?;
        Ok(Some(by))
    }

    /// Overwrites a plain key's file with zeros and removes it; nothing if it is not there. Storage
    /// that writes elsewhere (flash, copy-on-write) may keep the old bytes.
    pub fn remove_plain(path: &Path) -> Result<(), StoreError> {
        Ok(place::remove_plain(path)?)
    }

    /// Puts a private key's file under the newest identity KEK, wrapping it if it was plain; says
    /// whether anything was to be done.
    pub fn rewrap_key_file(&self, path: &Path, name: &str) -> Result<bool, StoreError> {
        let text = place::read_private(path)?;
        let wrapped = text
            .as_deref()
            .filter(|text| WrappedFile::is_one(text))
            .map(|text| WrappedFile::parse(text))
            .transpose()
            .map_err(|source| StoreError::KeyFile {
                path: path.into(),
                source,
            })?;
        let is_newest = wrapped.is_some_and(|file| {
            matches!(
                self.state()
                    .ring
                    .is_newest(Purpose::Identity, &file.wrapped),
                Ok(true)
            )
        });
        if is_newest {
            return Ok(false);
        }
        let (KeyFile::Plain(key) | KeyFile::Wrapped(key)) = self.read_key_file(path, name)?;
        self.write_key_file(path, name, &key)?;
        Ok(true)
    }

    /// Puts a file that holds one wrapped data key under the newest KEK of its purpose, in one step;
    /// says whether anything was to be done.
    pub fn rewrap_data_key_file(
        &self,
        path: &Path,
        purpose: Purpose,
        context: &[u8],
    ) -> Result<bool, StoreError> {
        let io = |source| PlaceError::Io {
            path: path.into(),
            source,
        };
        // Written by its owner with the mode of data: it holds nothing that is not wrapped.
        let meta = std::fs::metadata(path).map_err(io)?;
        if meta.len() > place_limit() {
            return Err(PlaceError::TooLong { path: path.into() }.into());
        }
        let wrapped = std::fs::read(path).map_err(io)?;
        let again = self.rewrap(purpose, context, &wrapped);
        let again = again.map_err(|source| StoreError::DataKey {
            path: path.into(),
            source,
        })?;
        if let Some(again) = &again {
            place::replace_private(path, again)?;
        }
        Ok(again.is_some())
    }

    /// Draws a data key of `bytes` bytes and writes it, wrapped, to a new file.
    ///
    /// # Panics
    /// Like [`crate::random::fill`].
    pub fn create_data_key_file(
        &self,
        path: &Path,
        purpose: Purpose,
        context: &[u8],
        bytes: usize,
    ) -> Result<(), StoreError> {
        let mut key = Zeroizing::new(vec![0; bytes]);
        random::fill(&mut key);
        let wrapped = self.wrap(purpose, context, &key);
        let wrapped = wrapped.map_err(|source| StoreError::DataKey {
            path: path.into(),
            source,
        })?;
        Ok(place::replace_private(path, &wrapped)?)
    }

    /// Opens a file that [`Self::create_data_key_file`] made with the same context and length.
    pub fn open_data_key_file<const N: usize>(
        &self,
        path: &Path,
        purpose: Purpose,
        context: &[u8],
    ) -> Result<Zeroizing<[u8; N]>, StoreError> {
        let failed = |source| StoreError::DataKey {
            path: path.into(),
            source,
        };
        let wrapped = place::read_private(path)?.ok_or_else(|| StoreError::Absent {
            place: path.display().to_string(),
            what: "data key",
        })?;
        let key = self.unwrap(purpose, context, &wrapped).map_err(failed)?;
        <[u8; N]>::try_from(key.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| failed(DataKeyError::Format))
    }

    /// Where the root is and how it counts.
    #[must_use]
    pub fn device(&self) -> Description {
        self.state().root.describe()
    }

    fn file_context(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        let node = state.ring.file.node.as_bytes();
        [b"guitai key file 1\0", node, b"\0", name.as_bytes()].concat()
    }

    /// Changes the ring: under the lock, from what is on disk, replaced in one step.
    fn change<T>(
        &self,
        act: impl FnOnce(&mut State, &dyn Place) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = &*self.shared.place;
        let _guard = place.lock()?;
        let mut state = load(place, &self.shared.unlock)?;
        settle(place, &state)?;
        let done = act(&mut state, place)?;
        let device = state.device.clone();
        let text = state
            .ring
            .seal_text(&*device)
            .map_err(|source| in_ring(place, source))?;
        place.replace(RING, text.as_bytes())?;
        state.stamp = sm3::hash(text.as_bytes());
        *self
            .shared
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = state;
        Ok(done)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.shared
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyStore({})", self.shared.place.display())
    }
}

/// A private key read from its file; zeroised on drop.
pub enum KeyFile {
    /// It was wrapped.
    Wrapped(Zeroizing<Vec<u8>>),
    /// It was plain: the release before wrote it, or somebody put it there.
    Plain(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrapped(_) => "Wrapped(..)",
            Self::Plain(_) => "Plain(..)",
        })
    }
}

fn load(place: &dyn Place, unlock: &Unlock) -> Result<State, StoreError> {
    let (text, ring) = read_ring(place)?;
    let (root, _) = find_root(place, ring.root)?;
    let device = root.open(unlock)?;
    let ring = Ring::open(&text, &*device).map_err(|source| in_ring(place, source))?;
    Ok(State {
        root,
        device,
        ring,
        stamp: sm3::hash(&text),
    })
}

fn read_ring(place: &dyn Place) -> Result<(Zeroizing<Vec<u8>>, RingFile), StoreError> {
    let text = place.read(RING)?.ok_or_else(|| absent(place, RING))?;
    let ring = RingFile::parse(&text).map_err(|source| in_ring(place, source.into()))?;
    Ok((text, ring))
}

/// The file of the root that wrapped the ring, and whether a rotation is not tidied up.
fn find_root(place: &dyn Place, wanted: KeyId) -> Result<(RootFile, bool), StoreError> {
    let read = |name| -> Result<Option<RootFile>, StoreError> {
        let text = place.read(name)?;
        Ok(text.map(|text| RootFile::parse(&text)).transpose()?)
    };
    let (root, next) = (read(ROOT)?, read(ROOT_NEXT)?);
    if root.is_none() && next.is_none() {
        return Err(absent(place, ROOT));
    }
    let unfinished = next.is_some();
    let found = [root, next]
        .into_iter()
        .flatten()
        .find(|root| root.name.id == wanted);
    let root = found.ok_or_else(|| StoreError::AnotherRoot {
        place: place.display(),
        wanted,
    })?;
    Ok((root, unfinished))
}

/// Tidies up after a rotation of the root that a crash cut short.
fn settle(place: &dyn Place, state: &State) -> Result<(), StoreError> {
    let Some(next) = place.read(ROOT_NEXT)? else {
        return Ok(());
    };
    let counts = RootFile::parse(&next).is_ok_and(|next| next.name.id == state.root.name.id);
    if counts {
        place.rename(ROOT_NEXT, ROOT)?;
    } else {
        place.remove(ROOT_NEXT)?;
    }
    Ok(())
}

fn existing(dir: &Path) -> Result<Directory, StoreError> {
    if !dir.exists() {
        return Err(StoreError::Absent {
            place: dir.display().to_string(),
            what: "key store",
        });
    }
    Ok(Directory::open(dir)?)
}

const fn place_limit() -> u64 {
    super::file::KEY_FILE_BYTES_MAX as u64
}

fn allowed(zone: Zone, purpose: Purpose) -> Result<(), StoreError> {
    let may = zone.may_hold(purpose);
    may.then_some(()).ok_or(StoreError::Zone { zone, purpose })
}

fn absent(place: &dyn Place, what: &'static str) -> StoreError {
    StoreError::Absent {
        place: place.display(),
        what,
    }
}

fn in_ring(place: &dyn Place, source: RingError) -> StoreError {
    StoreError::Ring {
        place: place.display(),
        source,
    }
}
