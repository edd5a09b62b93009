//! A root in an SDF device (GM/T 0018-2012, GB/T 36322): the vendor's `.so`, loaded at run time.
//!
//! The root is a 128-bit SM4 key that the device draws and gives out only under one of its own KEKs
//! (`SDF_GenerateKeyWithKEK`); here it is a handle. To wrap a key, a one-time SM4 key is encrypted
//! by the device under that handle (SM4, one block), and seals the key with SM4-GCM: the standard of
//! 2012 has no authenticated mode. What the device answers is checked in [`answer`].

pub mod answer;
mod library;

use std::sync::{Mutex, PoisonError};

use der::asn1::UintRef;
use der::{Encode as _, Sequence};
use zeroize::Zeroizing;

use self::answer::DeviceInfo;
use self::library::{Handle, Session};
use super::device::{DEVICE_KEY_BYTES_MAX, Description, DeviceError, KeyDevice};
use super::passphrase::Passphrase;
use super::software::{open, seal};
use crate::sm2;
use crate::sm4::{self, KEY_BYTES};

const DOMAIN: &[u8] = b"guitai sdf root wraps 1\0";

/// A root inside a device.
pub(crate) struct SdfRoot {
    library: String,
    kek_index: u32,
    /// One session, one call at a time: the standard says nothing of two threads in one.
    open: Mutex<Open>,
}

struct Open {
    /// Dropped before the session, which it needs.
    root: Handle,
    session: Session,
}

impl SdfRoot {
    /// Lets the device draw a root; gives it and what to keep of it, wrapped by the device's KEK.
    pub(crate) fn generate(library: &str, kek_index: u32) -> Result<(Self, Vec<u8>), DeviceError> {
        let session = Session::open(library)?;
        let (root, wrapped) = session.generate_with_kek(kek_index)?;
        Ok((Self::of(library, kek_index, session, root), wrapped))
    }

    /// Gives the device back a root that it drew.
    pub(crate) fn open(library: &str, kek_index: u32, wrapped: &[u8]) -> Result<Self, DeviceError> {
        let session = Session::open(library)?;
        let root = session.import_with_kek(kek_index, wrapped)?;
        Ok(Self::of(library, kek_index, session, root))
    }

    fn of(library: &str, kek_index: u32, session: Session, root: Handle) -> Self {
        Self {
            library: library.to_owned(),
            kek_index,
            open: Mutex::new(Open { root, session }),
        }
    }
}

impl KeyDevice for SdfRoot {
    fn describe(&self) -> Description {
        description(&self.library, self.kek_index)
    }

    fn wrap(&self, context: &[u8], key: &[u8]) -> Result<Vec<u8>, DeviceError> {
        if key.len() > DEVICE_KEY_BYTES_MAX {
            return Err(DeviceError::TooLong { found: key.len() });
        }
        let device = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut once: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new([0; KEY_BYTES]);
        device.session.random(once.as_mut_slice())?;
        let sealed_once = device.session.encrypt_block(&device.root, &once)?;
        let gcm = sm4::Gcm::new(&once);
        let sealed = seal(&gcm, &[DOMAIN, &sealed_once, context].concat(), key);
        Ok([&sealed_once[..], &sealed].concat())
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let (sealed_once, sealed) = wrapped
            .split_first_chunk::<KEY_BYTES>()
            .ok_or(DeviceError::NotOpen)?;
        let device = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let once = device.session.decrypt_block(&device.root, sealed_once)?;
        let gcm = sm4::Gcm::new(&once);
        open(&gcm, &[DOMAIN, sealed_once, context].concat(), sealed)
            .map_err(|_| DeviceError::NotOpen)
    }
}

impl Drop for SdfRoot {
    fn drop(&mut self) {
        let device = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        device.session.destroy(&device.root);
    }
}

/// What such a root says of itself, opened or not.
pub(crate) fn description(library: &str, kek_index: u32) -> Description {
    Description {
        backend: "sdf",
        location: format!("{library}, KEK {kek_index}"),
        algorithm: "SM4-GCM",
        national: true,
        exportable: false,
    }
}

/// What a trial of a device showed; every line of it was done, not only asked.
#[derive(Debug)]
pub struct Trial {
    /// Who made it, which one it is.
    pub info: DeviceInfo,
    /// A root was drawn, wrapped a key, was given back to the device and unwrapped it.
    pub wraps: bool,
    /// The public key whose signature over a digest was checked in software, if one was asked for.
    pub signs: Option<sm2::PublicKey>,
}

/// Tries a device: says who it is, lets a root of KEK `kek_index` wrap and unwrap, and, for a `signer`
/// (its index and the password of its access right), lets it sign and checks the signature here.
pub fn try_device(
    library: &str,
    kek_index: u32,
    signer: Option<(u32, &Passphrase)>,
) -> Result<Trial, DeviceError> {
    let session = Session::open(library)?;
    let info = session.info()?;
    let mut digest = [0; 32];
    session.random(&mut digest)?;

    let (root, kept) = SdfRoot::generate(library, kek_index)?;
    let wrapped = root.wrap(b"trial", &digest)?;
    drop(root);
    let again = SdfRoot::open(library, kek_index, &kept)?;
    let wraps = again.unwrap(b"trial", &wrapped)?.as_slice() == digest;

    let signs = match signer {
        None => None,
        Some((index, password)) => {
            let public = session.sign_public_key(index)?;
            session.with_private_key(index, password, |session| {
                let signature = session.sign(index, &digest)?;
                if fits(&public, &digest, &signature) {
                    return Ok(());
                }
                Err(DeviceError::Answer {
                    call: "SDF_InternalSign_ECC",
                    why: "the signature does not verify under the exported public key",
                })
            })?;
            Some(public)
        }
    };
    Ok(Trial { info, wraps, signs })
}

/// An SM2 signature as GM/T 0009 writes it.
#[derive(Sequence)]
struct Signature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Whether r and s sign a digest: the device is given the digest, not the message.
fn fits(key: &sm2::PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    let (r, s) = signature.split_at(32);
    let der = UintRef::new(r)
        .and_then(|r| {
            Ok(Signature {
                r,
                s: UintRef::new(s)?,
            })
        })
        .and_then(|signature| signature.to_der());
    der.is_ok_and(|der| key.verify_digest(digest, &der).is_ok())
}
