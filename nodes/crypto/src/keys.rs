//! Keys at rest: root key, key-encryption keys (KEKs), data keys.
//!
//! ```text
//! root key                 in a file sealed by a passphrase, in an SDF device, in a PKCS#11 token
//!   └─ KEK                 one per node and purpose, in generations; wrapped by the root
//!        └─ data key       one per recording, call, backup, private key file; wrapped by a KEK
//! ```
//!
//! Read in this order: [`what`] names keys, purposes and zones; [`device`] is the trait that a root
//! lives behind; [`file`] is every format; [`ring`] wraps data keys; [`store`] is one node's keys on
//! disk, and rotates them. Every key that is stored is wrapped with its id, generation, purpose and
//! owner bound to it, so that none opens in another's place.
//!
//! This is a software module without a product certificate (GM/T 0028). With an SDF device or a token
//! the root is not in this process; KEKs and data keys are, while they are used.

mod device;
mod file;
mod officer;
mod passphrase;
mod pkcs11;
mod place;
mod ring;
mod root;
pub mod sdf;
mod share;
mod software;
mod store;
#[cfg(test)]
mod tests;
mod what;

pub use device::{DEVICE_KEY_BYTES_MAX, Description, DeviceError, KeyDevice, RootSecret};
pub use file::{
    FormatError, KEK_ENTRIES_MAX, KEY_FILE_BYTES_MAX, KekEntry, NAME_BYTES_MAX, RingFile, RootFile,
    RootName, WrappedFile,
};
pub use officer::{OfficerKey, OfficerKeyLocked};
pub use passphrase::{
    Cost, CostError, PASSPHRASE_BYTES_MAX, PASSPHRASE_BYTES_MIN, Passphrase, PassphraseError,
    SALT_BYTES,
};
pub use place::PlaceError;
pub use ring::{DataKeyError, RingError, WrappedBy};
pub use root::NewRoot;
pub use share::{
    CombineError, GROUPS, RestoredRoot, SHARES_MAX, SealedShare, Share, ShareLocked,
    ShareTextError, SplitError, combine, split,
};
pub use store::{Inventory, KeyFile, KeyStore, StoreError, Unlock};
pub use what::{KeyId, Purpose, Zone};

/// What a recording's data key is bound to: the session it records.
#[must_use]
pub fn recording_context(session: &str) -> Vec<u8> {
    [b"guitai recording 1\0", session.as_bytes()].concat()
}

/// What the storage key of a node's metadata is bound to.
#[must_use]
pub fn storage_context(node: &str) -> Vec<u8> {
    [b"guitai storage 1\0", node.as_bytes()].concat()
}
