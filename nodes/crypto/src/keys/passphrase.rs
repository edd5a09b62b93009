//! Passphrases, and the key that Argon2id (RFC 9106) makes of one.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::place::{self, PlaceError};
use crate::sm4;

/// Shortest passphrase taken, in bytes.
pub const PASSPHRASE_BYTES_MIN: usize = 8;
/// Longest passphrase taken, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;
/// Bytes of a salt (RFC 9106, 4: 16 are recommended).
pub const SALT_BYTES: usize = 16;

/// What opens the root: a passphrase, the password of a device, or the PIN of a token.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

/// Why a passphrase was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Too short or too long.
    #[error(
        "a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes, this one has {found}"
    )]
    Length {
        /// Its length.
        found: usize,
    },
    /// Its file could not be read.
    #[error("passphrase file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Someone but the owner may use its file.
    #[error("passphrase file {path} has mode {mode:03o}; it must be 600 or 400")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No text.
    #[error("a passphrase is UTF-8 text")]
    NotText,
}

impl Passphrase {
    /// Takes the passphrase itself.
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        let found = text.len();
        if !(PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&found) {
            return Err(PassphraseError::Length { found });
        }
        Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// Reads the first line of a file that only its owner may read.
    pub fn load(path: &Path) -> Result<Self, PassphraseError> {
        let io = |source| PassphraseError::Io {
            path: path.into(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(PassphraseError::Mode {
                path: path.into(),
                mode,
            });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX + 3));
        // Two more than a line ending needs: a longer file is told from one that just fits.
        file.take(PASSPHRASE_BYTES_MAX as u64 + 3)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| PassphraseError::NotText)?;
        Self::new(text.trim_end_matches(['\n', '\r']))
    }

    /// Writes it, synced, to a new file of mode 600; an existing one is replaced in one step.
    pub fn save(&self, path: &Path) -> Result<(), PlaceError> {
        let text = Zeroizing::new([self.0.as_slice(), b"\n"].concat());
        place::replace_private(path, &text)
    }

    /// The text, for a device that asks for a password or a PIN.
    pub(crate) fn expose(&self) -> &str {
        // Made from a `str` in `new`, the only constructor.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The SM4 key that this passphrase, salt and cost give.
    pub(crate) fn key(&self, salt: &[u8; SALT_BYTES], cost: Cost) -> DerivedKey {
        let mut key = Zeroizing::new([0; sm4::KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params())
            .hash_password_into(&self.0, salt, key.as_mut_slice())
            .expect("length of passphrase, salt and key are within Argon2's limits by type");
        key
    }
}

/// What [`Passphrase::key`] gives; zeroised on drop.
type DerivedKey = Zeroizing<[u8; sm4::KEY_BYTES]>;

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// What one guess at a passphrase costs. A file names its own; what it may ask for is bounded, so
/// that a hostile file neither takes the node's memory nor keeps it busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// What new files use: 64 MiB, three passes, one lane (RFC 9106, 4, second recommendation, with
    /// one lane because a start has no second core to spare).
    pub const DEFAULT: Self = Self {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 1,
    };
    /// The least a file may ask for: what OWASP names the minimum is 19 MiB and two passes; below 8
    /// MiB no passphrase is worth the name.
    pub const MIN: Self = Self {
        memory_kib: 8 * 1024,
        passes: 1,
        lanes: 1,
    };
    /// The most a file may ask for: 1 GiB, 16 passes, 4 lanes; seconds, not hours.
    pub const MAX: Self = Self {
        memory_kib: 1024 * 1024,
        passes: 16,
        lanes: 4,
    };

    /// Takes memory in KiB, passes and lanes within [`Self::MIN`] and [`Self::MAX`].
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, CostError> {
        let within = (Self::MIN.memory_kib..=Self::MAX.memory_kib).contains(&memory_kib)
            && (Self::MIN.passes..=Self::MAX.passes).contains(&passes)
            && (Self::MIN.lanes..=Self::MAX.lanes).contains(&lanes);
        let cost = Self {
            memory_kib,
            passes,
            lanes,
        };
        within.then_some(cost).ok_or(CostError {
            memory_kib,
            passes,
            lanes,
        })
    }

    /// Memory in KiB, passes, lanes.
    #[must_use]
    pub const fn parts(self) -> (u32, u32, u32) {
        (self.memory_kib, self.passes, self.lanes)
    }

    fn params(self) -> Params {
        Params::new(
            self.memory_kib,
            self.passes,
            self.lanes,
            Some(sm4::KEY_BYTES),
        )
        .expect("MIN and MAX are within Argon2's own limits")
    }
}

/// A cost outside of what is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is outside of 8192..=1048576 KiB, 1..=16 passes, 1..=4 lanes"
)]
pub struct CostError {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passphrase_salt_and_cost_each_make_another_key() {
        let key = |text: &str, salt: u8, cost| {
            let passphrase = Passphrase::new(text).unwrap();
            passphrase.key(&[salt; SALT_BYTES], cost)
        };
        let first = key("a passphrase", 7, Cost::MIN);
        assert_eq!(first, key("a passphrase", 7, Cost::MIN));
        assert_ne!(first, key("a passphrasf", 7, Cost::MIN));
        assert_ne!(first, key("a passphrase", 8, Cost::MIN));
        let costlier = Cost::new(8 * 1024, 2, 1).unwrap();
        assert_ne!(first, key("a passphrase", 7, costlier));
    }

    #[test]
    fn a_hostile_cost_is_refused_by_name() {
        for (memory, passes, lanes) in [
            (u32::MAX, 3, 1),
            (64 * 1024, u32::MAX, 1),
            (64 * 1024, 3, 5),
            (0, 3, 1),
            (64 * 1024, 0, 1),
            (64 * 1024, 3, 0),
            (1024 * 1024 + 1, 3, 1),
        ] {
            let error = Cost::new(memory, passes, lanes).unwrap_err().to_string();
            assert!(
                error.contains(&memory.to_string()) && error.contains("1048576"),
                "{error}"
            );
        }
        Cost::new(1024 * 1024, 16, 4).unwrap();
    }

    #[test]
    fn the_file_is_private_and_of_limited_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Passphrase::load(&path)
        };
        assert_eq!(
            write("correct horse\n", 0o600).unwrap().expose(),
            "correct horse"
        );
        assert_eq!(
            write("correct horse", 0o400).unwrap().expose(),
            "correct horse"
        );
        assert!(matches!(
            write("correct horse", 0o640),
            Err(PassphraseError::Mode { mode: 0o640, .. })
        ));
        assert!(matches!(
            write("short\n", 0o600),
            Err(PassphraseError::Length { found: 5 })
        ));
        let long = "x".repeat(PASSPHRASE_BYTES_MAX);
        write(&format!("{long}\n"), 0o600).unwrap();
        assert!(matches!(
            write(&format!("{long}xyz"), 0o600),
            Err(PassphraseError::Length { .. })
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            Passphrase::load(&path),
            Err(PassphraseError::Io { .. })
        ));
    }
}
