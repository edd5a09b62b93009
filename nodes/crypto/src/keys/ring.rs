//! Opened KEKs, and the data keys under them.
//!
//! A wrapped data key of this release: version 2, id of the KEK (16), its generation (4, big endian),
//! nonce (12), ciphertext, tag (16). The first three are bound to it, and so is the context that the
//! owner of the key gives (which recording, which file). Version 1, of the release before, names no
//! KEK; it opens under the KEK of generation 0, which is imported from the old plain file.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::device::{DeviceError, KeyDevice};
use super::file::{FormatError, KEK_ENTRIES_MAX, KekEntry, RingFile};
use super::software::{open, seal};
use super::what::{KeyId, Purpose, Zone};
use crate::random;
use crate::sm3;
use crate::sm4::{self, KEY_BYTES, OpenError};

const VERSION: u8 = 2;
const DOMAIN: &[u8] = b"guitai wrapped key 2\0";
const VERSION_1: u8 = 1;
const DOMAIN_1: &[u8] = b"guitai wrapped key 1\0";
const HEADER_BYTES: usize = 1 + KeyId::BYTES + 4;
/// Separates the ring's seal from wrapped KEKs.
const SEAL_CONTEXT: &[u8] = b"guitai ring 1\0";
const KEK_CONTEXT: &[u8] = b"guitai kek 1\0";
/// The seal wraps nothing of worth: what counts is its context.
const SEALED: [u8; 16] = [0; 16];

/// Why a data key was not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// The ring has no KEK of this purpose.
    #[error("this node holds no key-encryption key for {purpose}")]
    NoKek {
        /// What was asked for.
        purpose: Purpose,
    },
    /// Wrapped under a KEK that this ring does not hold.
    #[error(
        "the key is wrapped under {purpose} KEK {id}, generation {generation}, which this node does not hold"
    )]
    Unknown {
        /// What it is for.
        purpose: Purpose,
        /// The KEK it names.
        id: KeyId,
        /// Its generation.
        generation: u32,
    },
    /// Wrapped by the release before, under a plain KEK that was not imported.
    #[error(
        "the key is wrapped by the release before, and its key-encryption key was not imported: guitai keys init"
    )]
    NotImported,
    /// Cut off, or of another release.
    #[error("no wrapped key of version 1 or 2")]
    Format,
    /// Altered, or of another place.
    #[error("the wrapped key does not open: altered, or of another place")]
    NotOpen(#[from] OpenError),
}

/// Why a ring did not open.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// Its text.
    #[error("the ring cannot be read")]
    Format(#[from] FormatError),
    /// A KEK does not open.
    #[error("{purpose} KEK of generation {generation} does not open")]
    Kek {
        /// What for.
        purpose: Purpose,
        /// Which.
        generation: u32,
        /// Why.
        #[source]
        source: DeviceError,
    },
    /// The whole does not fit its seal: something was added, taken out or put in another order.
    #[error("the ring does not fit its seal: it was altered")]
    Seal(#[source] DeviceError),
    /// The root could not wrap.
    #[error("the root does not wrap")]
    Wrap(#[source] DeviceError),
    /// Too many.
    #[error(
        "a ring holds at most {KEK_ENTRIES_MAX} KEKs: destroy old ones first (guitai keys rewrap --destroy-old)"
    )]
    Full,
}

/// A ring whose KEKs are open, in memory.
pub(crate) struct Ring {
    pub(crate) file: RingFile,
    /// Expanded, in the order of `file.keks`.
    open: Vec<sm4::Gcm>,
}

impl Ring {
    /// An empty ring for a node.
    pub(crate) fn new(node: &str, zone: Zone, root: KeyId) -> Self {
        let file = RingFile {
            node: node.to_owned(),
            zone,
            root,
            keks: Vec::new(),
            seal: Vec::new(),
        };
        Self {
            file,
            open: Vec::new(),
        }
    }

    /// Opens a ring: every KEK, and the seal over the whole.
    pub(crate) fn open(text: &[u8], device: &dyn KeyDevice) -> Result<Self, RingError> {
        let file = RingFile::parse(text)?;
        let kept = device
            .unwrap(&seal_context(&file), &file.seal)
            .map_err(RingError::Seal)?;
        if kept.as_slice() != SEALED {
            return Err(RingError::Seal(DeviceError::NotOpen));
        }
        let mut open = Vec::with_capacity(file.keks.len());
        for kek in &file.keks {
            let key = unwrap_kek(&file, kek, device)?;
            open.push(sm4::Gcm::new(&key));
        }
        Ok(Self { file, open })
    }

    /// The text, sealed anew.
    pub(crate) fn seal_text(&mut self, device: &dyn KeyDevice) -> Result<String, RingError> {
        self.file.seal = device
            .wrap(&seal_context(&self.file), &SEALED)
            .map_err(RingError::Wrap)?;
        Ok(self.file.to_text())
    }

    /// Adds a KEK: a drawn one of the next generation, or `imported` of generation 0.
    pub(crate) fn add(
        &mut self,
        purpose: Purpose,
        imported: Option<&[u8; KEY_BYTES]>,
        now_unix: u64,
        device: &dyn KeyDevice,
    ) -> Result<u32, RingError> {
        if self.file.keks.len() >= KEK_ENTRIES_MAX {
            return Err(RingError::Full);
        }
        let newest = self.newest(purpose).map_or(0, |kek| kek.generation);
        let (generation, key): (u32, Zeroizing<[u8; KEY_BYTES]>) = match imported {
            Some(key) => (0, Zeroizing::new(*key)),
            None => (
                newest.checked_add(1).ok_or(RingError::Full)?,
                Zeroizing::new(random::array()),
            ),
        };
        let mut kek = KekEntry {
            id: KeyId::draw(),
            purpose,
            generation,
            created_unix: now_unix,
            wrapped: Vec::new(),
        };
        kek.wrapped = device
            .wrap(&kek_context(&self.file, &kek), key.as_slice())
            .map_err(RingError::Wrap)?;
        let at = (self.file.keks)
            .partition_point(|other| (other.purpose, other.generation) < (purpose, generation));
        self.file.keks.insert(at, kek);
        self.open.insert(at, sm4::Gcm::new(&key));
        Ok(generation)
    }

    /// The same KEKs under another root.
    pub(crate) fn under(
        &self,
        old: &dyn KeyDevice,
        root: KeyId,
        device: &dyn KeyDevice,
    ) -> Result<Self, RingError> {
        let mut ring = Self::new(&self.file.node, self.file.zone, root);
        for kek in &self.file.keks {
            let key = unwrap_kek(&self.file, kek, old)?;
            let mut moved = kek.clone();
            moved.wrapped = device
                .wrap(&kek_context(&ring.file, &moved), key.as_slice())
                .map_err(RingError::Wrap)?;
            ring.file.keks.push(moved);
            ring.open.push(sm4::Gcm::new(&key));
        }
        Ok(ring)
    }

    /// Drops every KEK of a purpose but the newest; gives how many.
    pub(crate) fn drop_old(&mut self, purpose: Purpose) -> usize {
        let newest = self.newest(purpose).map(|kek| kek.id);
        let before = self.file.keks.len();
        let mut keep = (self.file.keks.iter())
            .map(|kek| kek.purpose != purpose || Some(kek.id) == newest)
            .collect::<Vec<_>>()
            .into_iter();
        // One answer for each KEK, in the same order.
        self.open.retain(|_| keep.next().unwrap_or(true));
        (self.file.keks).retain(|kek| kek.purpose != purpose || Some(kek.id) == newest);
        before - self.file.keks.len()
    }

    /// The KEK that wraps new data keys.
    pub(crate) fn newest(&self, purpose: Purpose) -> Option<&KekEntry> {
        let mut of_purpose = self.file.keks.iter().filter(|kek| kek.purpose == purpose);
        // Sorted by generation; 0 is the release before's, which only reads.
        of_purpose.next_back().filter(|kek| kek.generation > 0)
    }

    fn gcm(&self, wanted: impl Fn(&KekEntry) -> bool) -> Option<(&KekEntry, &sm4::Gcm)> {
        let mut both = self.file.keks.iter().zip(&self.open);
        both.find(|(kek, _)| wanted(kek))
    }

    /// Wraps a data key under the newest KEK of a purpose.
    pub(crate) fn wrap(
        &self,
        purpose: Purpose,
        context: &[u8],
        key: &[u8],
    ) -> Result<Vec<u8>, DataKeyError> {
        let newest = self.newest(purpose).map(|kek| kek.id);
        let (kek, gcm) = self
            .gcm(|kek| Some(kek.id) == newest)
            .ok_or(DataKeyError::NoKek { purpose })?;
        let header = header(kek);
        let sealed = seal(gcm, &aad(purpose, &header, context), key);
        Ok([&header[..], &sealed].concat())
    }

    /// Opens a wrapped data key of this release or the one before.
    pub(crate) fn unwrap(
        &self,
        purpose: Purpose,
        context: &[u8],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DataKeyError> {
        match WrappedBy::of(wrapped)? {
            WrappedBy::Version1 => {
                let (_, gcm) = self
                    .gcm(|kek| kek.purpose == purpose && kek.generation == 0)
                    .ok_or(DataKeyError::NotImported)?;
                let aad = [DOMAIN_1, context].concat();
                // At least the version, or `of` had refused it.
                Ok(open(gcm, &aad, wrapped.get(1..).unwrap_or_default())?)
            }
            WrappedBy::Kek { id, generation } => {
                let (kek, gcm) = self
                    .gcm(|kek| (kek.purpose, kek.id, kek.generation) == (purpose, id, generation))
                    .ok_or(DataKeyError::Unknown {
                        purpose,
                        id,
                        generation,
                    })?;
                let aad = aad(purpose, &header(kek), context);
                Ok(open(
                    gcm,
                    &aad,
                    wrapped.get(HEADER_BYTES..).unwrap_or_default(),
                )?)
            }
        }
    }

    /// Whether a wrapped data key is under the newest KEK of a purpose.
    pub(crate) fn is_newest(&self, purpose: Purpose, wrapped: &[u8]) -> Result<bool, DataKeyError> {
        let by = WrappedBy::of(wrapped)?;
        Ok(self.newest(purpose).is_some_and(|kek| {
            by == WrappedBy::Kek {
                id: kek.id,
                generation: kek.generation,
            }
        }))
    }
}

/// Which KEK a wrapped data key needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrappedBy {
    /// The plain KEK of the release before.
    Version1,
    /// A KEK of a ring.
    Kek {
        /// Its id.
        id: KeyId,
        /// Its generation.
        generation: u32,
    },
}

impl WrappedBy {
    /// Reads it from a wrapped data key; opens nothing.
    pub fn of(wrapped: &[u8]) -> Result<Self, DataKeyError> {
        match wrapped.split_first() {
            Some((&VERSION_1, _)) => Ok(Self::Version1),
            Some((&VERSION, rest)) => {
                let (id, rest) = rest
                    .split_first_chunk::<{ KeyId::BYTES }>()
                    .ok_or(DataKeyError::Format)?;
                let (generation, _) = rest.split_first_chunk().ok_or(DataKeyError::Format)?;
                Ok(Self::Kek {
                    id: KeyId(*id),
                    generation: u32::from_be_bytes(*generation),
                })
            }
            _ => Err(DataKeyError::Format),
        }
    }
}

fn header(kek: &KekEntry) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts = [&[VERSION][..], &kek.id.0, &kek.generation.to_be_bytes()].concat();
    header.copy_from_slice(&parts);
    header
}

fn aad(purpose: Purpose, header: &[u8], context: &[u8]) -> Vec<u8> {
    [DOMAIN, &[purpose.code()], header, context].concat()
}

fn unwrap_kek(
    file: &RingFile,
    kek: &KekEntry,
    device: &dyn KeyDevice,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, RingError> {
    let fail = |source| RingError::Kek {
        purpose: kek.purpose,
        generation: kek.generation,
        source,
    };
    let key = device
        .unwrap(&kek_context(file, kek), &kek.wrapped)
        .map_err(fail)?;
    <[u8; KEY_BYTES]>::try_from(key.as_slice())
        .map(Zeroizing::new)
        .map_err(|_| fail(DeviceError::NotOpen))
}

fn kek_context(file: &RingFile, kek: &KekEntry) -> Vec<u8> {
    [KEK_CONTEXT, &file.kek_context(kek)].concat()
}

fn seal_context(file: &RingFile) -> Vec<u8> {
    [SEAL_CONTEXT, &sm3::hash(&file.sealed_part())].concat()
}

/// The release before: a plain KEK in a PEM file, and data keys that name no KEK.
pub(crate) mod version_1 {
    use super::{FormatError, KEY_BYTES, Zeroizing};

    const LABEL: &str = "GUITAI KEY ENCRYPTION KEY";

    /// Reads the old file's text.
    pub(crate) fn parse(text: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, FormatError> {
        let (label, bytes) = der::pem::decode_vec(text).map_err(|_| FormatError::NotPem)?;
        let bytes = Zeroizing::new(bytes);
        if label != LABEL {
            return Err(FormatError::Label { wanted: LABEL });
        }
        <[u8; KEY_BYTES]>::try_from(bytes.as_slice())
            .map(Zeroizing::new)
            .map_err(|_| FormatError::Field {
                label: LABEL,
                why: "a KEK has 16 bytes",
            })
    }
}

/// Shared ownership of a device: the root outlives the ring that was opened with it.
pub(crate) type Device = Arc<dyn KeyDevice>;
