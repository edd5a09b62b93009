//! The root key in a file: sealed by a passphrase, in memory while the node runs.

use zeroize::Zeroizing;

use super::device::{DEVICE_KEY_BYTES_MAX, Description, DeviceError, KeyDevice, RootSecret};
use super::passphrase::{Cost, Passphrase, SALT_BYTES};
use crate::random;
use crate::sm4::{self, KEY_BYTES, NONCE_BYTES, OpenError, TAG_BYTES};

/// Separates what a root seals from anything else ever sealed under the same key.
const WRAP_DOMAIN: &[u8] = b"guitai root wraps 1\0";
/// Separates a sealed root from anything else under a key made of a passphrase.
const SEAL_DOMAIN: &[u8] = b"guitai root sealed 1\0";

/// A root key in memory.
pub(crate) struct SoftwareRoot {
    secret: RootSecret,
    gcm: sm4::Gcm,
}

impl SoftwareRoot {
    pub(crate) fn new(secret: RootSecret) -> Self {
        let gcm = sm4::Gcm::new(&secret);
        Self { secret, gcm }
    }
}

impl KeyDevice for SoftwareRoot {
    fn describe(&self) -> Description {
        description()
    }

    fn wrap(&self, context: &[u8], key: &[u8]) -> Result<Vec<u8>, DeviceError> {
        if key.len() > DEVICE_KEY_BYTES_MAX {
            return Err(DeviceError::TooLong { found: key.len() });
        }
        Ok(seal(&self.gcm, &[WRAP_DOMAIN, context].concat(), key))
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        open(&self.gcm, &[WRAP_DOMAIN, context].concat(), wrapped).map_err(|_| DeviceError::NotOpen)
    }

    fn export(&self) -> Option<RootSecret> {
        Some(self.secret.clone())
    }
}

impl std::fmt::Debug for SoftwareRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SoftwareRoot(..)")
    }
}

/// What a software root says of itself, opened or not.
pub(crate) fn description() -> Description {
    Description {
        backend: "file",
        location: "root".to_owned(),
        algorithm: "SM4-GCM",
        national: true,
        exportable: true,
    }
}

/// A root sealed by a passphrase: what its file holds besides its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedRoot {
    pub(crate) cost: Cost,
    pub(crate) salt: [u8; SALT_BYTES],
    pub(crate) sealed: Vec<u8>,
}

impl SealedRoot {
    /// Seals `secret`; `name` is what the file says of the root, bound to it.
    pub(crate) fn new(
        secret: &RootSecret,
        passphrase: &Passphrase,
        cost: Cost,
        name: &[u8],
    ) -> Self {
        let salt = random::array();
        let gcm = sm4::Gcm::new(&passphrase.key(&salt, cost));
        let sealed = seal(&gcm, &sealed_aad(cost, &salt, name), secret.as_slice());
        Self { cost, salt, sealed }
    }

    /// Opens it.
    pub(crate) fn open(
        &self,
        passphrase: &Passphrase,
        name: &[u8],
    ) -> Result<RootSecret, OpenError> {
        let gcm = sm4::Gcm::new(&passphrase.key(&self.salt, self.cost));
        let key = open(&gcm, &sealed_aad(self.cost, &self.salt, name), &self.sealed)?;
        let key = <[u8; KEY_BYTES]>::try_from(key.as_slice()).map_err(|_| OpenError)?;
        Ok(Zeroizing::new(key))
    }
}

fn sealed_aad(cost: Cost, salt: &[u8; SALT_BYTES], name: &[u8]) -> Vec<u8> {
    let (memory_kib, passes, lanes) = cost.parts();
    let numbers = [memory_kib, passes, lanes].map(u32::to_be_bytes).concat();
    [SEAL_DOMAIN, &numbers, salt, name].concat()
}

/// Nonce, ciphertext, tag.
pub(crate) fn seal(gcm: &sm4::Gcm, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = random::array();
    let mut sealed = Zeroizing::new(plain.to_vec());
    let tag = gcm.seal_in_place(&nonce, aad, &mut sealed);
    [&nonce[..], &sealed, &tag].concat()
}

/// Opens what [`seal`] made.
pub(crate) fn open(
    gcm: &sm4::Gcm,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(OpenError)?;
    let (data, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
    let mut plain = Zeroizing::new(data.to_vec());
    gcm.open_in_place(nonce, aad, &mut plain, tag)?;
    Ok(plain)
}
