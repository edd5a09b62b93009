//! An officer's own key: the SM2 key by which a person approves what no single person may do. It is
//! sealed by a passphrase that only the officer knows, in a file that only the officer carries; the
//! cluster knows the public half.

use std::path::Path;

use der::{Decode as _, Sequence, asn1::OctetString};

use super::{
    file::{FormatError, armour, der, named, octets, unarmour, version},
    passphrase::{Cost, Passphrase, SALT_BYTES},
    place::{self, PlaceError},
    software::{open, seal},
};
use crate::{random, sm2, sm4};

const LABEL: &str = "GUITAI OFFICER KEY";
const VERSION: u8 = 1;
/// What is bound to the sealed key, besides name and public half.
const DOMAIN: &[u8] = b"guitai officer key 1\0";
/// Longest sealed key in bytes; an SM2 key in PKCS#8 has about 150.
const SEALED_BYTES_MAX: usize = 1024;

/// An officer's key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficerKey {
    /// The officer, as `institution/name`.
    pub officer: String,
    /// The public half: an uncompressed point (65 bytes).
    pub public: [u8; sm2::POINT_BYTES],
    cost: Cost,
    salt: [u8; SALT_BYTES],
    sealed: Vec<u8>,
}

#[derive(Sequence)]
struct OfficerDer {
    version: u8,
    officer: String,
    public: OctetString,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: OctetString,
    sealed: OctetString,
}

/// The passphrase is another, or the file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the officer's key does not open: another passphrase, or the file was changed")]
pub struct OfficerKeyLocked;

impl OfficerKey {
    /// Draws a key and seals it.
    ///
    /// # Panics
    /// Like [`random::fill`].
    #[must_use]
    pub fn create(officer: &str, passphrase: &Passphrase, cost: Cost) -> Self {
        let key = sm2::SecretKey::generate();
        let mut made = Self {
            officer: officer.to_owned(),
            public: key.public().to_point(),
            cost,
            salt: random::array(),
            sealed: Vec::new(),
        };
        let gcm = sm4::Gcm::new(&passphrase.key(&made.salt, cost));
        made.sealed = seal(&gcm, &made.bound(), &key.to_pkcs8_der());
        made
    }

    /// Opens it.
    ///
    /// # Errors
    /// When the passphrase is another or anything in the file was changed.
    pub fn open(&self, passphrase: &Passphrase) -> Result<sm2::SecretKey, OfficerKeyLocked> {
        let gcm = sm4::Gcm::new(&passphrase.key(&self.salt, self.cost));
        let der = open(&gcm, &self.bound(), &self.sealed).map_err(|_| OfficerKeyLocked)?;
        let key = sm2::SecretKey::from_pkcs8_der(&der).map_err(|_| OfficerKeyLocked)?;
        let same = key.public().to_point() == self.public;
        same.then_some(key).ok_or(OfficerKeyLocked)
    }

    /// Reads the text of a file; opens nothing.
    ///
    /// # Errors
    /// When it is anything but the one form of such a file.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        let bytes = unarmour(text, LABEL)?;
        version(&bytes, LABEL, VERSION)?;
        let canonical = |_| FormatError::NotCanonical { label: LABEL };
        let field = |why| FormatError::Field { label: LABEL, why };
        let file = OfficerDer::from_der(&bytes).map_err(canonical)?;
        let public = file.public.as_bytes();
        let public = <[u8; sm2::POINT_BYTES]>::try_from(public);
        let salt = <[u8; SALT_BYTES]>::try_from(file.salt.as_bytes());
        let sealed = file.sealed.as_bytes();
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(field("a sealed key has at most 1024 bytes"));
        }
        Ok(Self {
            officer: named(file.officer, LABEL)?,
            public: public.map_err(|_| field("a public key has 65 bytes"))?,
            cost: Cost::new(file.memory_kib, file.passes, file.lanes)?,
            salt: salt.map_err(|_| field("a salt has 16 bytes"))?,
            sealed: sealed.to_vec(),
        })
    }

    /// The text of its file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (memory_kib, passes, lanes) = self.cost.parts();
        let file = OfficerDer {
            version: VERSION,
            officer: self.officer.clone(),
            public: octets(&self.public),
            memory_kib,
            passes,
            lanes,
            salt: octets(&self.salt),
            sealed: octets(&self.sealed),
        };
        armour(LABEL, &der(&file))
    }

    /// Writes it, synced, to a new file of mode 600; an existing one is replaced in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PlaceError> {
        place::replace_private(path, self.to_text().as_bytes())
    }

    fn bound(&self) -> Vec<u8> {
        [DOMAIN, &self.public, self.officer.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_with_its_passphrase_and_unchanged_only() {
        let passphrase = Passphrase::new("a long passphrase").unwrap();
        let key = OfficerKey::create("bank/chen", &passphrase, Cost::MIN);
        let text = key.to_text();
        let read = OfficerKey::parse(text.as_bytes()).unwrap();
        assert_eq!(read, key);
        let secret = read.open(&passphrase).unwrap();
        assert_eq!(secret.public().to_point(), read.public);

        let other = Passphrase::new("another passphrase").unwrap();
        assert_eq!(read.open(&other).err(), Some(OfficerKeyLocked));
        let renamed = OfficerKey {
            officer: "bank/li".to_owned(),
            ..read
        };
        assert_eq!(renamed.open(&passphrase).err(), Some(OfficerKeyLocked));
        let cut = &text.as_bytes()[..text.len() - 2];
        assert!(OfficerKey::parse(cut).is_err());
        let label = text.replace("OFFICER", "MANAGER");
        let refused = OfficerKey::parse(label.as_bytes());
        assert!(matches!(refused, Err(FormatError::Label { .. })));
    }
}
