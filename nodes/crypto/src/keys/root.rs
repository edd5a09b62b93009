//! Making a root and opening it again, whatever holds it.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::device::{Description, RootSecret};
use super::file::{RootBody, RootFile, RootName};
use super::passphrase::Cost;
use super::pkcs11::Pkcs11Root;
use super::ring::Device;
use super::sdf::SdfRoot;
use super::share::RestoredRoot;
use super::software::{self, SealedRoot, SoftwareRoot};
use super::store::{StoreError, Unlock};
use super::what::KeyId;
use crate::random;

/// A root that is to be made.
pub struct NewRoot(Kind);

enum Kind {
    Software(Cost),
    Restored(Cost, RestoredRoot),
    Copy(RootFile, Device),
    Sdf {
        library: String,
        kek_index: u32,
    },
    Pkcs11 {
        library: String,
        token: String,
        key: String,
    },
}

impl NewRoot {
    /// A new root in a file, sealed by a passphrase.
    #[must_use]
    pub const fn software(cost: Cost) -> Self {
        Self(Kind::Software(cost))
    }

    /// A root that officers' shares gave, in a file sealed by a new passphrase. It keeps its name.
    #[must_use]
    pub const fn restored(cost: Cost, root: RestoredRoot) -> Self {
        Self(Kind::Restored(cost, root))
    }

    /// A new root that never leaves an SDF device (GM/T 0018): generated there and kept under the
    /// device's own KEK of that index. `library` is the path of the vendor's `.so`.
    #[must_use]
    pub const fn sdf(library: String, kek_index: u32) -> Self {
        Self(Kind::Sdf { library, kek_index })
    }

    /// A new root that never leaves a PKCS#11 token: an AES-256 key of that label, which must not be
    /// there yet. The passphrase is the user's PIN.
    #[must_use]
    pub const fn pkcs11(library: String, token: String, key: String) -> Self {
        Self(Kind::Pkcs11 {
            library,
            token,
            key,
        })
    }

    /// The very file of another node of the same zone, opened there: the same passphrase opens both.
    pub(crate) const fn copy(file: RootFile, device: Device) -> Self {
        Self(Kind::Copy(file, device))
    }

    pub(crate) fn make(
        self,
        unlock: &Unlock,
        generation: u32,
        created_unix: u64,
    ) -> Result<(RootFile, Device), StoreError> {
        let new_name = || RootName {
            id: KeyId::draw(),
            generation,
            created_unix,
        };
        let (name, body, device): (_, _, Device) = match self.0 {
            Kind::Copy(file, device) => return Ok((file, device)),
            Kind::Software(cost) => {
                let secret = Zeroizing::new(random::array());
                in_a_file(cost, new_name(), secret, unlock)?
            }
            Kind::Restored(cost, root) => in_a_file(cost, root.name, root.secret, unlock)?,
            Kind::Sdf { library, kek_index } => {
                let (root, wrapped) = SdfRoot::generate(&library, kek_index)?;
                let body = RootBody::Sdf {
                    library,
                    kek_index,
                    wrapped,
                };
                (new_name(), body, Arc::new(root))
            }
            Kind::Pkcs11 {
                library,
                token,
                key,
            } => {
                let pin = unlock.passphrase()?;
                let root = Pkcs11Root::generate(&library, &token, &key, &pin)?;
                let body = RootBody::Pkcs11 {
                    library,
                    token,
                    key,
                };
                (new_name(), body, Arc::new(root))
            }
        };
        Ok((RootFile { name, body }, device))
    }
}

fn in_a_file(
    cost: Cost,
    name: RootName,
    secret: RootSecret,
    unlock: &Unlock,
) -> Result<(RootName, RootBody, Device), StoreError> {
    let sealed = SealedRoot::new(&secret, &unlock.passphrase()?, cost, &name.bytes());
    let device = Arc::new(SoftwareRoot::new(secret));
    Ok((name, RootBody::Software(sealed), device))
}

impl std::fmt::Debug for NewRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewRoot(..)")
    }
}

impl RootFile {
    /// Opens the root.
    pub(crate) fn open(&self, unlock: &Unlock) -> Result<Device, StoreError> {
        Ok(match &self.body {
            RootBody::Software(sealed) => {
                let secret = sealed.open(&unlock.passphrase()?, &self.name.bytes());
                let secret = secret.map_err(|_| StoreError::Locked { id: self.name.id })?;
                Arc::new(SoftwareRoot::new(secret))
            }
            RootBody::Sdf {
                library,
                kek_index,
                wrapped,
            } => Arc::new(SdfRoot::open(library, *kek_index, wrapped)?),
            RootBody::Pkcs11 {
                library,
                token,
                key,
            } => Arc::new(Pkcs11Root::open(
                library,
                token,
                key,
                &unlock.passphrase()?,
            )?),
        })
    }

    /// Where the root is and how it counts, without opening it.
    #[must_use]
    pub fn describe(&self) -> Description {
        match &self.body {
            RootBody::Software(_) => software::description(),
            RootBody::Sdf {
                library, kek_index, ..
            } => super::sdf::description(library, *kek_index),
            RootBody::Pkcs11 {
                library,
                token,
                key,
            } => super::pkcs11::description(library, token, key),
        }
    }
}
