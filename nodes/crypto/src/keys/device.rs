//! Where a root key lives: one trait before file, SDF device and PKCS#11 token.

use zeroize::Zeroizing;

/// Longest key a device wraps: a private key in PKCS#8 has about 150 bytes, a KEK has 16.
pub const DEVICE_KEY_BYTES_MAX: usize = 1024;

/// Holds one root key. The root itself never crosses this line, except out of a software root that
/// is being split among officers ([`KeyDevice::export`]).
pub trait KeyDevice: Send + Sync {
    /// What and where it is, and how it is to be counted.
    fn describe(&self) -> Description;

    /// Seals a key of at most [`DEVICE_KEY_BYTES_MAX`] bytes; `context` (which key it is, whose, of
    /// which generation) must be given again to open it.
    fn wrap(&self, context: &[u8], key: &[u8]) -> Result<Vec<u8>, DeviceError>;

    /// Opens what [`KeyDevice::wrap`] made with the same `context`.
    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, DeviceError>;

    /// The root key, if it can leave: only for splitting and for the same root on another node.
    fn export(&self) -> Option<RootSecret> {
        None
    }
}

/// A software root's key on its way to officers or to another node's file; zeroised on drop.
pub type RootSecret = Zeroizing<[u8; crate::sm4::KEY_BYTES]>;

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// `file`, `sdf` or `pkcs11`.
    pub backend: &'static str,
    /// Where the root is: a file, a library with key index, a token with label.
    pub location: String,
    /// The root's algorithm.
    pub algorithm: &'static str,
    /// Whether that algorithm is one of the national ones (SM4).
    pub national: bool,
    /// Whether the root can leave, hence whether officers can be given shares of it.
    pub exportable: bool,
}

/// Why a device did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// What was to be opened does not open: altered, of another context, or under another root.
    #[error("the wrapped key does not open under this root: altered, or of another key")]
    NotOpen,
    /// Longer than [`DEVICE_KEY_BYTES_MAX`].
    #[error("a wrapped key has at most {DEVICE_KEY_BYTES_MAX} bytes, this one has {found}")]
    TooLong {
        /// Its length.
        found: usize,
    },
    /// The library of the device could not be used.
    #[error("library {library}: {why}")]
    Library {
        /// Its path.
        library: String,
        /// What is wrong.
        why: String,
    },
    /// A call of the device failed.
    #[error("{call} of the device failed: {why}")]
    Call {
        /// The function of the standard.
        call: &'static str,
        /// Its error code, in words where the standard has some.
        why: String,
    },
    /// The device answered with something that the standard does not allow.
    #[error("{call} of the device gave a wrong answer: {why}")]
    Answer {
        /// The function of the standard.
        call: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// The device does not have what the file names.
    #[error("the device has no {what}")]
    Absent {
        /// What is missing.
        what: String,
    },
}
