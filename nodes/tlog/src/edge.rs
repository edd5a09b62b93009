//! The right edge of a growing tree: the hashes that the next entries are joined to, level by level of
//! tiles. Everything to its left lies in full tiles that never change again.

use serde::{Deserialize, Serialize};

use super::{
    Digest, Hash,
    tiles::{Resource, TILE_WIDTH},
};

/// Longest entry: its length is written in two bytes (tlog-tiles, "Log entries").
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// An entry that no log can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry has {bytes} bytes, at most {ENTRY_BYTES_MAX} fit")]
pub struct EntryTooLong {
    /// How long it is.
    pub bytes: usize,
}

/// A file of the log as it is after some entries were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Which file.
    pub resource: Resource,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// The right edge of a tree. Equal edges are equal trees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    digest: Digest,
    size: u64,
    /// Per level of tiles the hashes of the tile that is not full yet, at most 255.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// A tree without entries.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self {
            digest,
            size: 0,
            levels: Vec::new(),
        }
    }

    /// The edge of a tree that [`Self::levels`] were taken of; nothing when they are not those of any tree
    /// of that size.
    #[must_use]
    pub fn resume(digest: Digest, size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let width = TILE_WIDTH as u64;
        let mut rest = size;
        for level in &levels {
            if level.len() as u64 != rest % width {
                return None;
            }
            rest /= width;
        }
        (rest == 0).then_some(Self {
            digest,
            size,
            levels,
        })
    }

    /// Per level of tiles, lowest first, the hashes of the tile that is not full.
    #[must_use]
    pub fn levels(&self) -> &[Vec<Hash>] {
        &self.levels
    }

    /// What the tree is made of.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many entries the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all of it.
    #[must_use]
    pub fn root(&self) -> Hash {
        // The right edge is the small end: what is left of it is a full subtree and goes before it.
        let mut right: Option<Hash> = None;
        for level in &self.levels {
            // Full subtrees of this tile, from its right end: their sizes are the bits of its width.
            let mut end = level.len();
            while end > 0 {
                let span = 1 << end.trailing_zeros();
                // `span` is a bit of `end`, so the range lies within the tile.
                let left = self
                    .digest
                    .root(level.get(end - span..end).unwrap_or_default());
                right = Some(match right {
                    Some(right) => self.digest.node(&left, &right),
                    None => left,
                });
                end -= span;
            }
        }
        right.unwrap_or_else(|| self.digest.empty())
    }

    /// Adds the hash of one entry; gives the tiles that became full by it, lowest level first.
    pub fn push(&mut self, leaf: Hash) -> Vec<Written> {
        let mut full = Vec::new();
        let mut hash = leaf;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            // It was pushed above if it was missing.
            let Some(tile) = self.levels.get_mut(at) else {
                break;
            };
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                break;
            }
            hash = self.digest.root(tile);
            let index = self.size >> (8 * (u32::from(level) + 1));
            full.push(Written {
                resource: Resource::full_tile(level, index),
                bytes: tile.as_flattened().to_vec(),
            });
            tile.clear();
        }
        self.size += 1;
        full
    }

    /// The tiles that are not full, as a checkpoint over the present size needs them.
    pub fn partial(&self) -> impl Iterator<Item = Written> {
        let levels = (0_u8..).zip(&self.levels);
        levels
            .filter(|(_, tile)| !tile.is_empty())
            .map(|(level, tile)| Written {
                resource: Resource::Tile {
                    level,
                    index: self.size >> (8 * (u32::from(level) + 1)),
                    // At most 255, see `push`.
                    width: u16::try_from(tile.len()).unwrap_or(u16::MAX),
                },
                bytes: tile.as_flattened().to_vec(),
            })
    }
}
