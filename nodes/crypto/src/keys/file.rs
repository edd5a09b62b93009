//! The files of a key store: PEM around DER, so that there is one way to write each and every byte
//! is accounted for (ITU-T X.690 DER; RFC 7468). Parsers are strict: another label, another
//! version, a byte too many or a list out of order is a typed error.

use der::asn1::OctetString;
use der::pem::LineEnding;
use der::{Decode as _, Encode, Sequence};
use zeroize::Zeroizing;

use super::passphrase::{Cost, CostError, SALT_BYTES};
use super::software::SealedRoot;
use super::what::{KeyId, Purpose, Zone};

/// Largest file of a key store, in bytes; a ring of [`KEK_ENTRIES_MAX`] KEKs has a third of it.
pub const KEY_FILE_BYTES_MAX: usize = 256 * 1024;
/// Most KEKs in a ring: five purposes, rotated every month for eight years.
pub const KEK_ENTRIES_MAX: usize = 512;
/// Longest name in a key file, in bytes: of a node, a library, a token, a key.
pub const NAME_BYTES_MAX: usize = 1024;
/// Longest wrapped key in a file, in bytes.
const WRAPPED_BYTES_MAX: usize = 2048;

const ROOT_LABEL: &str = "GUITAI ROOT KEY";
const ROOT_VERSION: u8 = 1;
const RING_LABEL: &str = "GUITAI KEY RING";
const RING_VERSION: u8 = 1;
const WRAPPED_LABEL: &str = "GUITAI WRAPPED KEY";
const WRAPPED_VERSION: u8 = 1;

/// Why the text of a key file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// More than [`KEY_FILE_BYTES_MAX`].
    #[error("{found} bytes are more than the {KEY_FILE_BYTES_MAX} of a key file")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// No PEM text, or a torn one.
    #[error("no whole PEM text")]
    NotPem,
    /// A PEM text of something else.
    #[error("the label is not \"{wanted}\"")]
    Label {
        /// What was to be read.
        wanted: &'static str,
    },
    /// Another release's format.
    #[error("{label} of version {found}; this release reads version {wanted}")]
    Version {
        /// Which file.
        label: &'static str,
        /// What it says.
        found: u8,
        /// What this release reads.
        wanted: u8,
    },
    /// Not the one DER form of such a file.
    #[error("{label}: the contents are not in their canonical form")]
    NotCanonical {
        /// Which file.
        label: &'static str,
    },
    /// A field has a value it cannot have.
    #[error("{label}: {why}")]
    Field {
        /// Which file.
        label: &'static str,
        /// Which field, and what it may be.
        why: &'static str,
    },
    /// The cost of its passphrase is absurd.
    #[error("{ROOT_LABEL}")]
    Cost(#[from] CostError),
    /// A KEK that a node of this zone must not hold.
    #[error("{RING_LABEL}: a node in the {zone} must not hold a KEK for {purpose}")]
    Zone {
        /// The ring's zone.
        zone: Zone,
        /// The KEK's purpose.
        purpose: Purpose,
    },
}

/// A root key's file: its name, and where the key itself is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootFile {
    /// What it is called.
    pub name: RootName,
    pub(crate) body: RootBody,
}

/// Where a root key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RootBody {
    /// In the file, sealed by a passphrase.
    Software(SealedRoot),
    /// In an SDF device: under its KEK of that index.
    Sdf {
        library: String,
        kek_index: u32,
        wrapped: Vec<u8>,
    },
    /// In a PKCS#11 token.
    Pkcs11 {
        library: String,
        token: String,
        key: String,
    },
}

#[derive(Sequence)]
struct RootDer {
    version: u8,
    id: OctetString,
    generation: u32,
    created_unix: u64,
    backend: u8,
    body: OctetString,
}

#[derive(Sequence)]
struct SoftwareDer {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: OctetString,
    sealed: OctetString,
}

#[derive(Sequence)]
struct SdfDer {
    library: String,
    kek_index: u32,
    wrapped: OctetString,
}

#[derive(Sequence)]
struct Pkcs11Der {
    library: String,
    token: String,
    key: String,
}

/// What a root is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootName {
    /// Its id.
    pub id: KeyId,
    /// How many roots there have been, this one included.
    pub generation: u32,
    /// When it was made, seconds since 1970.
    pub created_unix: u64,
}

impl RootName {
    /// What is bound to a sealed root: all that is said of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let numbers = (
            self.generation.to_be_bytes(),
            self.created_unix.to_be_bytes(),
        );
        [&self.id.0[..], &numbers.0, &numbers.1].concat()
    }
}

impl RootFile {
    /// Reads the text of a root's file; opens nothing.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let bytes = unarmour(text, ROOT_LABEL)?;
        version(&bytes, ROOT_LABEL, ROOT_VERSION)?;
        let canonical = |_| FormatError::NotCanonical { label: ROOT_LABEL };
        let field = |why| FormatError::Field {
            label: ROOT_LABEL,
            why,
        };
        let file = RootDer::from_der(&bytes).map_err(canonical)?;
        let inner = file.body.as_bytes();
        let body = match file.backend {
            1 => {
                let body = SoftwareDer::from_der(inner).map_err(canonical)?;
                let salt = <[u8; SALT_BYTES]>::try_from(body.salt.as_bytes())
                    .map_err(|_| field("a salt has 16 bytes"))?;
                RootBody::Software(SealedRoot {
                    cost: Cost::new(body.memory_kib, body.passes, body.lanes)?,
                    salt,
                    sealed: limited(&body.sealed, ROOT_LABEL)?,
                })
            }
            2 => {
                let body = SdfDer::from_der(inner).map_err(canonical)?;
                RootBody::Sdf {
                    library: named(body.library, ROOT_LABEL)?,
                    kek_index: body.kek_index,
                    wrapped: limited(&body.wrapped, ROOT_LABEL)?,
                }
            }
            3 => {
                let body = Pkcs11Der::from_der(inner).map_err(canonical)?;
                RootBody::Pkcs11 {
                    library: named(body.library, ROOT_LABEL)?,
                    token: named(body.token, ROOT_LABEL)?,
                    key: named(body.key, ROOT_LABEL)?,
                }
            }
            _ => return Err(field("the back end is 1 (file), 2 (SDF) or 3 (PKCS#11)")),
        };
        Ok(Self {
            name: RootName {
                id: id(&file.id, ROOT_LABEL)?,
                generation: file.generation,
                created_unix: file.created_unix,
            },
            body,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let (backend, body) = match &self.body {
            RootBody::Software(root) => {
                let (memory_kib, passes, lanes) = root.cost.parts();
                let body = SoftwareDer {
                    memory_kib,
                    passes,
                    lanes,
                    salt: octets(&root.salt),
                    sealed: octets(&root.sealed),
                };
                (1, der(&body))
            }
            RootBody::Sdf {
                library,
                kek_index,
                wrapped,
            } => {
                let body = SdfDer {
                    library: library.clone(),
                    kek_index: *kek_index,
                    wrapped: octets(wrapped),
                };
                (2, der(&body))
            }
            RootBody::Pkcs11 {
                library,
                token,
                key,
            } => {
                let body = Pkcs11Der {
                    library: library.clone(),
                    token: token.clone(),
                    key: key.clone(),
                };
                (3, der(&body))
            }
        };
        let file = RootDer {
            version: ROOT_VERSION,
            id: octets(&self.name.id.0),
            generation: self.name.generation,
            created_unix: self.name.created_unix,
            backend,
            body: octets(&body),
        };
        armour(ROOT_LABEL, &der(&file))
    }
}

/// A node's KEKs, each wrapped by the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingFile {
    /// The node's name.
    pub node: String,
    /// Its zone.
    pub zone: Zone,
    /// The root that wraps the KEKs.
    pub root: KeyId,
    /// By purpose, then generation; never two of the same.
    pub keks: Vec<KekEntry>,
    /// What the root wrapped with the digest of everything above: shows that nothing was taken out.
    pub(crate) seal: Vec<u8>,
}

/// One wrapped KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KekEntry {
    /// Its id.
    pub id: KeyId,
    /// What for.
    pub purpose: Purpose,
    /// Counts from 1; 0 is the plain KEK of the release before, which only reads.
    pub generation: u32,
    /// When it was made, seconds since 1970.
    pub created_unix: u64,
    pub(crate) wrapped: Vec<u8>,
}

#[derive(Sequence)]
struct RingDer {
    version: u8,
    node: String,
    zone: u8,
    root: OctetString,
    keks: Vec<KekDer>,
    seal: OctetString,
}

#[derive(Sequence)]
struct KekDer {
    id: OctetString,
    purpose: u8,
    generation: u32,
    created_unix: u64,
    wrapped: OctetString,
}

impl RingFile {
    /// Reads the text of a ring; opens nothing.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let bytes = unarmour(text, RING_LABEL)?;
        version(&bytes, RING_LABEL, RING_VERSION)?;
        let field = |why| FormatError::Field {
            label: RING_LABEL,
            why,
        };
        let file = RingDer::from_der(&bytes)
            .map_err(|_| FormatError::NotCanonical { label: RING_LABEL })?;
        if file.keks.len() > KEK_ENTRIES_MAX {
            return Err(field("a ring has at most 512 KEKs"));
        }
        let zone = Zone::from_code(file.zone).ok_or_else(|| field("the zone is 1 or 2"))?;
        let mut keks = Vec::with_capacity(file.keks.len());
        for kek in &file.keks {
            let purpose =
                Purpose::from_code(kek.purpose).ok_or_else(|| field("the purpose is 1 to 5"))?;
            if !zone.may_hold(purpose) {
                return Err(FormatError::Zone { zone, purpose });
            }
            keks.push(KekEntry {
                id: id(&kek.id, RING_LABEL)?,
                purpose,
                generation: kek.generation,
                created_unix: kek.created_unix,
                wrapped: limited(&kek.wrapped, RING_LABEL)?,
            });
        }
        let order = |kek: &KekEntry| (kek.purpose, kek.generation);
        if !keks.is_sorted_by(|a, b| order(a) < order(b)) {
            return Err(field(
                "KEKs are sorted by purpose and generation, none twice",
            ));
        }
        Ok(Self {
            node: named(file.node, RING_LABEL)?,
            zone,
            root: id(&file.root, RING_LABEL)?,
            keks,
            seal: limited(&file.seal, RING_LABEL)?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        armour(RING_LABEL, &self.to_der(&self.seal))
    }

    /// Everything that the seal covers.
    pub(crate) fn sealed_part(&self) -> Vec<u8> {
        self.to_der(&[])
    }

    /// What a KEK is wrapped with: all that the ring says of it, and whose ring it is.
    pub(crate) fn kek_context(&self, kek: &KekEntry) -> Vec<u8> {
        der(&KekDer {
            id: octets(&kek.id.0),
            purpose: kek.purpose.code(),
            generation: kek.generation,
            created_unix: kek.created_unix,
            wrapped: octets(&[self.node.as_bytes(), &[0, self.zone.code()], &self.root.0].concat()),
        })
    }

    fn to_der(&self, seal: &[u8]) -> Vec<u8> {
        let kek = |kek: &KekEntry| KekDer {
            id: octets(&kek.id.0),
            purpose: kek.purpose.code(),
            generation: kek.generation,
            created_unix: kek.created_unix,
            wrapped: octets(&kek.wrapped),
        };
        der(&RingDer {
            version: RING_VERSION,
            node: self.node.clone(),
            zone: self.zone.code(),
            root: octets(&self.root.0),
            keks: self.keks.iter().map(kek).collect(),
            seal: octets(seal),
        })
    }
}

/// A private key of the node in its own file, wrapped by a KEK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedFile {
    /// What the key is called; bound to it, so that two files cannot be swapped.
    pub name: String,
    /// A data key as [`super::KeyStore::wrap`] makes it.
    pub wrapped: Vec<u8>,
}

#[derive(Sequence)]
struct WrappedDer {
    version: u8,
    name: String,
    wrapped: OctetString,
}

impl WrappedFile {
    /// Whether `text` begins as such a file does; a plain key of the release before does not.
    #[must_use]
    pub fn is_one(text: &[u8]) -> bool {
        text.strip_prefix(b"-----BEGIN ")
            .is_some_and(|rest| rest.starts_with(WRAPPED_LABEL.as_bytes()))
    }

    /// Reads the text of such a file; opens nothing.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let bytes = unarmour(text, WRAPPED_LABEL)?;
        version(&bytes, WRAPPED_LABEL, WRAPPED_VERSION)?;
        let file = WrappedDer::from_der(&bytes).map_err(|_| FormatError::NotCanonical {
            label: WRAPPED_LABEL,
        })?;
        Ok(Self {
            name: named(file.name, WRAPPED_LABEL)?,
            wrapped: limited(&file.wrapped, WRAPPED_LABEL)?,
        })
    }

    pub(crate) fn to_text(&self) -> String {
        let file = WrappedDer {
            version: WRAPPED_VERSION,
            name: self.name.clone(),
            wrapped: octets(&self.wrapped),
        };
        armour(WRAPPED_LABEL, &der(&file))
    }
}

pub(super) fn unarmour(
    text: &[u8],
    label: &'static str,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    if text.len() > KEY_FILE_BYTES_MAX {
        return Err(FormatError::TooLong { found: text.len() });
    }
    let (found, bytes) = der::pem::decode_vec(text).map_err(|_| FormatError::NotPem)?;
    let bytes = Zeroizing::new(bytes);
    if found != label {
        return Err(FormatError::Label { wanted: label });
    }
    // PEM leaves a choice of line lengths and endings: the one we write is the one we read.
    if armour(label, &bytes).as_bytes() != text {
        return Err(FormatError::NotCanonical { label });
    }
    Ok(bytes)
}

pub(super) fn armour(label: &'static str, bytes: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, bytes)
        .expect("labels are constants without control characters, lengths fit in memory")
}

/// The version stands first, so that a file of a later release is told from a damaged one.
pub(super) fn version(der: &[u8], label: &'static str, wanted: u8) -> Result<(), FormatError> {
    // SEQUENCE, its length in one to five bytes, INTEGER of one byte, the version.
    let length_bytes = match der.get(1) {
        Some(short @ 0..=0x7f) => usize::from(*short > 0x7f),
        Some(long) => usize::from(long & 0x7f),
        None => return Err(FormatError::NotCanonical { label }),
    };
    match der.get(2 + length_bytes..5 + length_bytes) {
        Some(&[0x02, 0x01, found]) if found == wanted => Ok(()),
        Some(&[0x02, 0x01, found]) => Err(FormatError::Version {
            label,
            found,
            wanted,
        }),
        _ => Err(FormatError::NotCanonical { label }),
    }
}

fn id(octets: &OctetString, label: &'static str) -> Result<KeyId, FormatError> {
    let bytes = <[u8; KeyId::BYTES]>::try_from(octets.as_bytes());
    bytes.map(KeyId).map_err(|_| FormatError::Field {
        label,
        why: "an id has 16 bytes",
    })
}

pub(super) fn named(name: String, label: &'static str) -> Result<String, FormatError> {
    let sound = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    sound.then_some(name).ok_or(FormatError::Field {
        label,
        why: "a name has 1 to 1024 bytes and no control characters",
    })
}

fn limited(octets: &OctetString, label: &'static str) -> Result<Vec<u8>, FormatError> {
    let bytes = octets.as_bytes();
    let fits = bytes.len() <= WRAPPED_BYTES_MAX;
    fits.then(|| bytes.to_vec()).ok_or(FormatError::Field {
        label,
        why: "a wrapped key has at most 2048 bytes",
    })
}

pub(super) fn octets(bytes: &[u8]) -> OctetString {
    OctetString::new(bytes).expect("fits DER: every caller's bytes have limits far below 256 MiB")
}

pub(super) fn der(value: &impl Encode) -> Vec<u8> {
    value
        .to_der()
        .expect("every field has a limit far below DER's 256 MiB")
}
