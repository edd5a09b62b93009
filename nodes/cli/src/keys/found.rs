//! Key stores of a whole deployment: made when it is founded, and for a data directory of the release
//! before. Each step is whole or not there, and doing it again changes nothing, so that a crash in
//! between is mended by the next start.

use std::path::{Path, PathBuf};

use guitai_crypto::{
    keys::{Cost, KeyStore, NewRoot, Passphrase, Purpose, StoreError, Unlock, Zone},
    random,
};

use guitai_types::profile::Node;

use super::{KEY_FILES, KEYS_DIR, PASSPHRASE_FILE, purposes};

/// The plain KEK of the release before, in a recorder's directory and in `pki/`.
const OLD_KEK: &str = "kek.bin";

/// A node as far as its keys are concerned.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Its name, and its directory below the data directory.
    pub name: String,
    /// Its zone.
    pub zone: Zone,
}

impl Seat {
    /// The seat of a node of a profile.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let zone = match node.zone {
            guitai_types::Zone::Inner => Zone::Inner,
            guitai_types::Zone::Dmz | guitai_types::Zone::Outer => Zone::Dmz,
        };
        Self {
            name: node.name.to_string(),
            zone,
        }
    }
}

/// Makes the key store of each node that has none: one root for the inner zone, one of its own for
/// each edge, each opened by a passphrase that is drawn into `root-passphrase` (mode 600) unless it
/// is there. That file beside the keys is the demo's way: it protects a copied disk no better than
/// plain keys would. Gives the stores in the order of `seats`.
///
/// # Errors
/// The first store that could not be made or opened.
///
/// # Panics
/// Like [`random::fill`].
pub fn found(data: &Path, seats: &[Seat], now_unix: u64) -> Result<Vec<KeyStore>, StoreError> {
    let dir = |seat: &Seat| data.join(&seat.name);
    let mut inner: Option<(KeyStore, PathBuf)> = None;
    // A store of the inner zone that an earlier, interrupted run made gives its root to the others.
    for seat in seats.iter().filter(|seat| seat.zone == Zone::Inner) {
        let dir = dir(seat);
        if inner.is_none() && KeyStore::exists(&dir.join(KEYS_DIR)) {
            let file = dir.join(PASSPHRASE_FILE);
            let store = KeyStore::open(&dir.join(KEYS_DIR), Unlock::File(file.clone()))?;
            inner = Some((store, file));
        }
    }
    let mut stores = Vec::with_capacity(seats.len());
    for seat in seats {
        let keys = dir(seat).join(KEYS_DIR);
        let file = dir(seat).join(PASSPHRASE_FILE);
        let unlock = Unlock::File(file.clone());
        if KeyStore::exists(&keys) {
            stores.push(KeyStore::open(&keys, unlock)?);
            continue;
        }
        let root = match (&inner, seat.zone) {
            (Some((store, known)), Zone::Inner) => {
                if !file.exists() {
                    Passphrase::load(known)?.save(&file)?;
                }
                store.root_copy()
            }
            _ => {
                if !file.exists() {
                    draw().save(&file)?;
                }
                NewRoot::software(Cost::DEFAULT)
            }
        };
        let purposes = purposes(seat.zone);
        let store = KeyStore::create(
            &keys, &seat.name, seat.zone, &purposes, root, unlock, now_unix,
        )?;
        if seat.zone == Zone::Inner && inner.is_none() {
            inner = Some((store.clone(), file));
        }
        stores.push(store);
    }
    Ok(stores)
}

/// Brings a data directory of the release before to this one: key stores are made, its plain KEK is
/// imported (recordings stay readable), private keys are wrapped, and the plain files go last. Says
/// whether there was anything to do.
///
/// # Errors
/// Like [`found`]; what was done until then stays done, and the next call goes on from there.
///
/// # Panics
/// Like [`random::fill`].
pub fn migrate(data: &Path, seats: &[Seat], now_unix: u64) -> Result<bool, StoreError> {
    let is_old = |seat: &Seat| {
        let dir = data.join(&seat.name);
        !KeyStore::exists(&dir.join(KEYS_DIR)) || dir.join(OLD_KEK).exists()
    };
    let shared = data.join("pki").join(OLD_KEK);
    if !seats.iter().any(is_old) && !shared.exists() {
        return Ok(false);
    }
    let stores = found(data, seats, now_unix)?;
    for (seat, store) in seats.iter().zip(&stores) {
        let dir = data.join(&seat.name);
        let old = dir.join(OLD_KEK);
        if seat.zone.may_hold(Purpose::Recording) {
            store.import_version_1(Purpose::Recording, &old, now_unix)?;
        }
        for (file, name) in KEY_FILES {
            let path = dir.join(file);
            if path.is_file() {
                store.rewrap_key_file(&path, name)?;
            }
        }
    }
    // Only now: every store that needs the old KEK has it.
    for seat in seats {
        KeyStore::remove_plain(&data.join(&seat.name).join(OLD_KEK))?;
    }
    KeyStore::remove_plain(&shared)?;
    Ok(true)
}

/// Draws a passphrase into `root-passphrase` of a directory, mode 600, unless it is there: the demo's way.
///
/// # Errors
/// The file.
///
/// # Panics
/// Like [`random::fill`].
pub fn demo_passphrase(dir: &Path) -> Result<(), StoreError> {
    let file = dir.join(PASSPHRASE_FILE);
    if !file.exists() {
        draw().save(&file)?;
    }
    Ok(())
}

/// 160 random bits in letters and digits.
fn draw() -> Passphrase {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let drawn = random::array::<32>();
    let text: String = drawn
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])) // % 32 < 32
        .collect();
    Passphrase::new(&text).expect("32 bytes are within the limits of a passphrase")
}
