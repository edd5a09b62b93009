//! What of the log goes along with a package: many entries proven under one checkpoint, and that it continues
//! an older one.

use std::{cell::RefCell, collections::HashMap, io, ops::ControlFlow};

use guitai_meta_core::{Kept, Published};
use guitai_tlog::{
    Digest, Hash,
    tiles::{Resource, TILE_WIDTH, Tiles, Tree},
};
use guitai_types::{
    UnixMillis,
    tlog::{Entry, Opening, Record},
};

use super::serve::{LogReadError, Of, Reading, no_log, policy_text};
use crate::{meta::Meta, runtime::blocking};

/// Entries of the SM3 tree with their proofs, all under one checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proofs<K> {
    /// The policy file of the SM3 tree.
    pub policy: String,
    /// The checkpoint published last, a signed note.
    pub checkpoint: String,
    /// What was picked, in the order of the log.
    pub picked: Vec<(K, Included)>,
    /// That the checkpoint continues the tree of as many entries as was asked for (RFC 9162, 2.1.4).
    pub consistency: Option<Vec<Hash>>,
}

/// An entry that is in the SM3 tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// Its number.
    pub index: u64,
    /// Its bytes.
    pub entry: String,
    /// What is behind it; only for somebody who may see it.
    pub opening: Opening,
    /// Hashes from the leaf's sibling up to the root's child (RFC 9162, 2.1.3).
    pub hashes: Vec<Hash>,
}

/// Whether a record is picked, and as what, and whether the search goes on.
pub type Pick<K> = ControlFlow<Option<K>, Option<K>>;

impl Meta {
    /// The checkpoint of the SM3 tree published last, a signed note, if there is one.
    pub fn log_checkpoint(&self) -> Option<String> {
        self.peek(|state| Some(state.log()?.published()?.sm3.clone()))
    }

    /// Proves the entries that `pick` takes of those made at `since` or later, and that the log continues its
    /// first `older` entries. Nothing when no checkpoint is published yet.
    ///
    /// # Errors
    /// When there is no log, or a file of it is missing here.
    pub async fn log_proofs<K: Send + 'static>(
        &self,
        since: UnixMillis,
        older: Option<u64>,
        pick: impl FnMut(&Record) -> Pick<K> + Send + 'static,
    ) -> Result<Option<Proofs<K>>, LogReadError> {
        let reading = self.reading().ok_or_else(no_log)?;
        let Some(published) = reading.log.published().cloned() else {
            return Ok(None);
        };
        let prove =
            move || proofs(&reading, &published, since, older, pick).map_err(io::Error::other);
        let proofs = blocking(prove).await.map_err(LogReadError::Files)?;
        Ok(Some(proofs))
    }
}

fn proofs<K>(
    reading: &Reading,
    published: &Published,
    since: UnixMillis,
    older: Option<u64>,
    pick: impl FnMut(&Record) -> Pick<K>,
) -> Result<Proofs<K>, String> {
    let found = search(reading, published.size, since, pick)?;
    let of = reading.of(Digest::Sm3);
    let tiles = Once {
        of: &of,
        got: RefCell::default(),
    };
    let tree = Tree {
        digest: Digest::Sm3,
        size: published.size,
        tiles: &tiles,
    };
    let include = |(key, index, kept): (K, u64, Kept)| {
        let hashes = tree.inclusion(index).map_err(|error| error.to_string())?;
        let included = Included {
            index,
            entry: kept.entry,
            opening: kept.opening,
            hashes,
        };
        Ok((key, included))
    };
    let picked: Result<Vec<_>, String> = found.into_iter().map(include).collect();
    let continues = |older| tree.consistency(older).map_err(|error| error.to_string());
    let older = older.filter(|older| *older <= published.size);
    Ok(Proofs {
        policy: policy_text(reading.log.trust(), Digest::Sm3).unwrap_or_default(),
        checkpoint: published.sm3.clone(),
        picked: picked?,
        consistency: older.map(continues).transpose()?,
    })
}

/// What `pick` takes of the first `size` entries, from the first one made at `since` on.
fn search<K>(
    reading: &Reading,
    size: u64,
    since: UnixMillis,
    mut pick: impl FnMut(&Record) -> Pick<K>,
) -> Result<Vec<(K, u64, Kept)>, String> {
    let bundles = size.div_ceil(TILE_WIDTH as u64);
    // Times never go back along the log: the last bundle that begins before `since` may have the first entry.
    let (mut low, mut high) = (0, bundles);
    while low < high {
        let middle = low + (high - low) / 2;
        let entries = reading.bundle(middle, size)?;
        let first = entries
            .first()
            .and_then(|(_, kept)| Entry::parse(kept.entry.as_bytes()));
        if first.is_some_and(|first| first.at < since) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let mut found = Vec::new();
    for number in low.saturating_sub(1)..bundles {
        for (index, kept) in reading.bundle(number, size)? {
            let Ok(record) = serde_json::from_str(&kept.opening.record) else {
                continue;
            };
            let picked = pick(&record);
            let is_last = picked.is_break();
            let (ControlFlow::Continue(key) | ControlFlow::Break(key)) = picked;
            found.extend(key.map(|key| (key, index, kept)));
            if is_last {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// Tiles that are read once for many proofs.
struct Once<'a> {
    of: &'a Of<'a>,
    got: RefCell<HashMap<Resource, Vec<u8>>>,
}

impl Tiles for Once<'_> {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        if let Some(bytes) = self.got.borrow().get(&resource) {
            return Ok(bytes.clone());
        }
        let bytes = self.of.get(resource)?;
        self.got.borrow_mut().insert(resource, bytes.clone());
        Ok(bytes)
    }
}
