//! Sealing what a node keeps: log entries, snapshots and values of the view, each with SM4-GCM.
//!
//! A node writes many thousand records a second for years under one key, so nonces are counted and
//! not drawn: each process draws a salt, derives a key of its own from the node's storage key with
//! HKDF-SM3, and counts from zero under it. A record names salt and count, so any later process can
//! open it. Format 1: `version u8 ‖ salt[16] ‖ count u64 ‖ ciphertext ‖ tag[16]`, big-endian.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use guitai_crypto::{
    random, sm3,
    sm4::{Gcm, NONCE_BYTES, TAG_BYTES},
};
use guitai_host::{Batch, Kv, KvError, Pair};
use zeroize::Zeroizing;

/// Bytes of a node's storage key.
pub const STORAGE_KEY_BYTES: usize = 32;
/// Bytes that sealing adds to a record.
const OVERHEAD_BYTES: usize = HEAD_BYTES + TAG_BYTES;
/// Keys of former processes that are remembered; older ones are derived again when asked for.
const FORMER_KEPT: usize = 64;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + SALT_BYTES + 8;

/// The record does not open: altered, of another place, or sealed under another storage key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed record does not open: altered, or sealed under another storage key")]
pub struct OpenRecordError;

/// A node's storage key, ready for use.
pub struct Sealing {
    master: Zeroizing<[u8; STORAGE_KEY_BYTES]>,
    salt: [u8; SALT_BYTES],
    key: Gcm,
    next: AtomicU64,
    /// Newest last; at most [`FORMER_KEPT`].
    former: Mutex<Vec<([u8; SALT_BYTES], Arc<Gcm>)>>,
}

impl Sealing {
    /// Takes the storage key and draws this process's salt.
    ///
    /// # Panics
    /// Like [`random::fill`].
    pub fn new(master: &[u8; STORAGE_KEY_BYTES]) -> Self {
        let salt = random::array();
        Self {
            master: Zeroizing::new(*master),
            salt,
            key: derive(master, &salt),
            next: AtomicU64::new(0),
            former: Mutex::default(),
        }
    }

    /// Seals `plain` for one place, which [`Sealing::open`] must be told again.
    ///
    /// # Panics
    /// After 2^64 records of one process, which takes longer than any process lives.
    pub fn seal(&self, place: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(count != u64::MAX, "a nonce must never repeat");
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.salt);
        sealed.extend_from_slice(&count.to_be_bytes());
        sealed.extend_from_slice(plain);
        let (_, data) = sealed.split_at_mut(HEAD_BYTES);
        let tag = self.key.seal_in_place(&nonce(count), &place.concat(), data);
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// Opens what [`Sealing::seal`] made for the same place, by this process or a former one.
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, OpenRecordError> {
        let Some((&VERSION, rest)) = sealed.split_first() else {
            return Err(OpenRecordError);
        };
        let (salt, rest) = rest
            .split_first_chunk::<SALT_BYTES>()
            .ok_or(OpenRecordError)?;
        let (count, rest) = rest.split_first_chunk::<8>().ok_or(OpenRecordError)?;
        let (data, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(OpenRecordError)?;
        let nonce = nonce(u64::from_be_bytes(*count));
        let mut plain = data.to_vec();
        let open = |key: &Gcm, plain: &mut [u8]| {
            key.open_in_place(&nonce, &place.concat(), plain, tag)
                .map_err(|_| OpenRecordError)
        };
        if *salt == self.salt {
            open(&self.key, &mut plain)?;
        } else {
            let key = self.former(salt);
            open(&key, &mut plain)?;
            self.remember(salt, key);
        }
        Ok(plain)
    }

    fn former(&self, salt: &[u8; SALT_BYTES]) -> Arc<Gcm> {
        let known = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.iter().rev().find(|(of, _)| of == salt);
        known.map_or_else(
            || Arc::new(derive(&self.master, salt)),
            |(_, key)| key.clone(),
        )
    }

    /// Only a salt whose record opened is remembered: made-up ones must not push out real ones.
    fn remember(&self, salt: &[u8; SALT_BYTES], key: Arc<Gcm>) {
        let mut known = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|(of, _)| of == salt) {
            return;
        }
        if known.len() == FORMER_KEPT {
            known.remove(0);
        }
        known.push((*salt, key));
    }
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealing(..)")
    }
}

fn derive(master: &[u8; STORAGE_KEY_BYTES], salt: &[u8; SALT_BYTES]) -> Gcm {
    let secret = Zeroizing::new(sm3::hkdf_extract(salt, master));
    let key: Zeroizing<[u8; 16]> =
        Zeroizing::new(sm3::hkdf_expand(&secret, &[b"guitai storage 1"]));
    Gcm::new(&key)
}

fn nonce(count: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    let (_, low) = nonce.split_at_mut(NONCE_BYTES - 8);
    low.copy_from_slice(&count.to_be_bytes());
    nonce
}

/// A view whose values are sealed; keys, which are ids, stay readable so that they stay in order.
#[derive(Debug)]
pub struct SealedView<V> {
    view: V,
    sealing: Arc<Sealing>,
}

/// Separates values of the view from anything else sealed under the same key.
const VIEW: &[u8] = b"view\0";

impl<V: Kv> SealedView<V> {
    /// Seals what is written to `view` from now on, and expects everything in it to be sealed.
    pub fn new(view: V, sealing: Arc<Sealing>) -> Self {
        Self { view, sealing }
    }

    fn open(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KvError> {
        let opened = self.sealing.open(&[VIEW, key], sealed);
        opened.map_err(|error| KvError::Damaged {
            doing: "open a sealed value",
            source: error.into(),
        })
    }
}

impl<V: Kv> Kv for SealedView<V> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let value = self.view.get(key)?;
        value.map(|sealed| self.open(key, &sealed)).transpose()
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<Pair>, KvError> {
        let pairs = self.view.scan(prefix)?.into_iter();
        pairs
            .map(|(key, sealed)| {
                let value = self.open(&key, &sealed)?;
                Ok((key, value))
            })
            .collect()
    }

    fn apply(&self, mut batch: Batch) -> Result<(), KvError> {
        for (key, value) in &mut batch.puts {
            *value = self.sealing.seal(&[VIEW, key], value);
        }
        self.view.apply(batch)
    }

    fn flush(&self) -> Result<(), KvError> {
        self.view.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guitai_host::MemoryKv;

    const MASTER: [u8; STORAGE_KEY_BYTES] = [7; STORAGE_KEY_BYTES];

    #[test]
    fn a_record_opens_in_its_place_under_its_key_and_in_later_processes() {
        let (first, later) = (Sealing::new(&MASTER), Sealing::new(&MASTER));
        let sealed = first.seal(&[b"log", b"5"], b"entry");
        assert_eq!(first.open(&[b"log", b"5"], &sealed).unwrap(), b"entry");
        assert_eq!(later.open(&[b"log", b"5"], &sealed).unwrap(), b"entry");
        later.open(&[b"log", b"6"], &sealed).unwrap_err();
        let other = Sealing::new(&[8; STORAGE_KEY_BYTES]);
        other.open(&[b"log", b"5"], &sealed).unwrap_err();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            later.open(&[b"log", b"5"], &altered).unwrap_err();
        }
        for length in 0..sealed.len() {
            later.open(&[b"log", b"5"], &sealed[..length]).unwrap_err();
        }
    }

    #[test]
    fn no_nonce_repeats_and_former_keys_are_bounded() {
        let sealing = Sealing::new(&MASTER);
        let heads: std::collections::BTreeSet<Vec<u8>> = (0..1000)
            .map(|_| sealing.seal(&[], b"")[..HEAD_BYTES].to_vec())
            .collect();
        assert_eq!(heads.len(), 1000);
        for _ in 0..FORMER_KEPT + 10 {
            let sealed = Sealing::new(&MASTER).seal(&[], b"x");
            sealing.open(&[], &sealed).unwrap();
        }
        assert_eq!(sealing.former.lock().unwrap().len(), FORMER_KEPT);
    }

    #[test]
    fn the_engine_under_a_sealed_view_never_sees_a_value() {
        let sealing = Arc::new(Sealing::new(&MASTER));
        let view = SealedView::new(MemoryKv::new(), sealing);
        let put = |key: &[u8], value: &[u8]| Batch {
            puts: vec![(key.to_vec(), value.to_vec())],
            deletes: vec![],
        };
        view.apply(put(b"session/1", b"customer Zhang")).unwrap();
        view.apply(put(b"session/2", b"customer Li")).unwrap();
        assert_eq!(view.get(b"session/1").unwrap().unwrap(), b"customer Zhang");
        assert_eq!(view.scan(b"session/").unwrap()[1].1, b"customer Li");
        for (_, raw) in view.view.scan(b"").unwrap() {
            assert!(!raw.windows(8).any(|part| part == b"customer"));
        }
        // A value moved to another key is not taken for that key's.
        let raw = view.view.get(b"session/1").unwrap().unwrap();
        view.view.apply(put(b"session/2", &raw)).unwrap();
        let moved = view.get(b"session/2").unwrap_err();
        assert!(matches!(moved, KvError::Damaged { .. }));
    }
}
