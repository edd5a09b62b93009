//! The log in files (tlog-tiles): where a tile lies, and how roots and proofs come out of tiles.

use std::{fmt, ops::Range};

use super::{Digest, EntryTooLong, Hash, edge::ENTRY_BYTES_MAX};

/// Hashes of a full tile, and entries of a full bundle.
pub const TILE_WIDTH: usize = 256;
/// Bits of [`TILE_WIDTH`]: levels of the tree in one level of tiles.
const TILE_HEIGHT: u32 = 8;
/// Levels of tiles of the largest tree.
const LEVELS: u8 = 8;

/// One file of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// The signed head.
    Checkpoint,
    /// Hashes of one level.
    Tile {
        /// Level of tiles, 0 to 7 in a tree of fewer than 2^64 entries.
        level: u8,
        /// Its number in the level.
        index: u64,
        /// How many hashes it has, 1 to 256.
        width: u16,
    },
    /// Entries.
    Entries {
        /// Its number.
        index: u64,
        /// How many entries it has, 1 to 256.
        width: u16,
    },
}

impl Resource {
    /// A tile of 256 hashes.
    #[must_use]
    pub const fn full_tile(level: u8, index: u64) -> Self {
        Self::Tile {
            level,
            index,
            width: TILE_WIDTH as u16,
        }
    }

    /// Reads a path below the log's prefix; nothing for any text but the one that is written.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (place, width) = match path.split_once(".p/") {
            Some((place, width)) => (place, width.parse().ok()?),
            None => (path, TILE_WIDTH as u16),
        };
        let (kind, digits) = place.strip_prefix("tile/")?.split_once('/')?;
        let digits: String = digits
            .split('/')
            .map(|it| it.trim_start_matches('x'))
            .collect();
        let index = digits.parse().ok()?;
        let found = match kind {
            "entries" => Self::Entries { index, width },
            level => Self::Tile {
                level: level.parse().ok().filter(|level| *level < LEVELS)?,
                index,
                width,
            },
        };
        let is_wide = width > 0 && usize::from(width) <= TILE_WIDTH;
        (is_wide && found.to_string() == path).then_some(found)
    }

    /// All files of a tree of `size` entries besides its checkpoint, in a fixed order.
    pub fn of_tree(size: u64) -> impl Iterator<Item = Self> {
        let tiles = (0..LEVELS).flat_map(move |level| {
            bundles(size >> (TILE_HEIGHT * u32::from(level))).map(move |(index, width)| {
                Self::Tile {
                    level,
                    index,
                    width,
                }
            })
        });
        tiles.chain(bundles(size).map(|(index, width)| Self::Entries { index, width }))
    }
}

/// Number and width of each group of up to 256 of `count`.
fn bundles(count: u64) -> impl Iterator<Item = (u64, u16)> {
    let full = count / TILE_WIDTH as u64;
    let rest = (count % TILE_WIDTH as u64) as u16;
    let rest = (rest > 0).then_some((full, rest));
    (0..full)
        .map(|index| (index, TILE_WIDTH as u16))
        .chain(rest)
}

/// The path below the log's prefix.
impl fmt::Display for Resource {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Checkpoint => return to.write_str("checkpoint"),
            Self::Tile {
                level,
                index,
                width,
            } => {
                write!(to, "tile/{level}")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                to.write_str("tile/entries")?;
                (index, width)
            }
        };
        // Three digits an element; all but the last begin with an x.
        let digits = index.to_string();
        let padded = digits.len().next_multiple_of(3);
        let digits = format!("{digits:0>padded$}");
        for at in (0..padded).step_by(3) {
            let mark = if at + 3 < padded { "x" } else { "" };
            // `at + 3 <= padded`, and digits are ASCII.
            write!(to, "/{mark}{}", digits.get(at..at + 3).unwrap_or_default())?;
        }
        if usize::from(*width) < TILE_WIDTH {
            write!(to, ".p/{width}")?;
        }
        Ok(())
    }
}

/// Where tiles come from.
pub trait Tiles {
    /// Bytes of a file, or why it cannot be had.
    ///
    /// # Errors
    /// As the source says.
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String>;
}

/// Why nothing came out of the tiles.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// A file could not be had.
    #[error("{resource}: {why}")]
    Missing {
        /// Which.
        resource: Resource,
        /// Why.
        why: String,
    },
    /// A file has another length than its name says.
    #[error("{resource} has {bytes} bytes, not {expected}")]
    Length {
        /// Which.
        resource: Resource,
        /// How many it has.
        bytes: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A bundle's entries do not fill it.
    #[error("{resource} is no bundle of {width} entries")]
    Bundle {
        /// Which.
        resource: Resource,
        /// How many entries it should have.
        width: u16,
    },
    /// The tree has no such entry, or the sizes are in the wrong order.
    #[error("{wanted} is past the tree's {size} entries")]
    Past {
        /// What was asked for.
        wanted: u64,
        /// The tree's size.
        size: u64,
    },
}

/// A tree of a known size that lies in tiles.
pub struct Tree<'a> {
    /// What it is made of.
    pub digest: Digest,
    /// How many entries it has.
    pub size: u64,
    /// Its files.
    pub tiles: &'a dyn Tiles,
}

impl Tree<'_> {
    /// The root over all entries.
    ///
    /// # Errors
    /// When a tile is missing or has a wrong length.
    pub fn root(&self) -> Result<Hash, TileError> {
        self.root_of(0..self.size)
    }

    /// The inclusion proof of an entry, lowest sibling first (RFC 6962, 2.1.1).
    ///
    /// # Errors
    /// When there is no such entry, or a tile is missing.
    pub fn inclusion(&self, index: u64) -> Result<Vec<Hash>, TileError> {
        if index >= self.size {
            return Err(TileError::Past {
                wanted: index,
                size: self.size,
            });
        }
        let mut proof = Vec::new();
        let mut range = 0..self.size;
        while range.end - range.start > 1 {
            let middle = range.start + split(range.end - range.start);
            let (inside, beside) = if index < middle {
                (range.start..middle, middle..range.end)
            } else {
                (middle..range.end, range.start..middle)
            };
            proof.push(self.root_of(beside)?);
            range = inside;
        }
        proof.reverse();
        Ok(proof)
    }

    /// The proof that this tree continues the one of its first `old` entries (RFC 6962, 2.1.2).
    ///
    /// # Errors
    /// When `old` is past the tree, or a tile is missing.
    pub fn consistency(&self, old: u64) -> Result<Vec<Hash>, TileError> {
        if old > self.size {
            return Err(TileError::Past {
                wanted: old,
                size: self.size,
            });
        }
        let mut proof = Vec::new();
        if old == 0 || old == self.size {
            return Ok(proof);
        }
        let mut range = 0..self.size;
        // Where the old tree is all of the range, its root is known if the range begins the tree.
        let mut known = true;
        while old != range.end {
            let middle = range.start + split(range.end - range.start);
            if old <= middle {
                proof.push(self.root_of(middle..range.end)?);
                range = range.start..middle;
            } else {
                proof.push(self.root_of(range.start..middle)?);
                range = middle..range.end;
                known = false;
            }
        }
        if !known {
            proof.push(self.root_of(range)?);
        }
        proof.reverse();
        Ok(proof)
    }

    /// An entry.
    ///
    /// # Errors
    /// When there is no such entry, or its bundle is missing or broken.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, TileError> {
        if index >= self.size {
            return Err(TileError::Past {
                wanted: index,
                size: self.size,
            });
        }
        let width = TILE_WIDTH as u64;
        let mut entries = self.bundle(index / width)?;
        let at = (index % width) as usize;
        // The bundle has as many entries as the tree says, and the index is within the tree.
        Ok(entries.get_mut(at).map(std::mem::take).unwrap_or_default())
    }

    /// The entries of a bundle.
    ///
    /// # Errors
    /// When it is missing or broken.
    pub fn bundle(&self, index: u64) -> Result<Vec<Vec<u8>>, TileError> {
        let width = width_of(index, self.size);
        let resource = Resource::Entries { index, width };
        let bytes = self.get(resource)?;
        unbundle(&bytes)
            .filter(|entries| entries.len() == usize::from(width))
            .ok_or(TileError::Bundle { resource, width })
    }

    /// The root of a range that begins at a multiple of the power of two that covers it, as every range of
    /// a proof does.
    fn root_of(&self, range: Range<u64>) -> Result<Hash, TileError> {
        let count = range.end - range.start;
        if count == 0 {
            return Ok(self.digest.empty());
        }
        if !count.is_power_of_two() {
            let middle = range.start + split(count);
            let left = self.root_of(range.start..middle)?;
            let right = self.root_of(middle..range.end)?;
            return Ok(self.digest.node(&left, &right));
        }
        // A full subtree lies within one tile: 2^(height mod 8) of its hashes.
        let height = count.trailing_zeros();
        let level = (height / TILE_HEIGHT) as u8;
        let below = TILE_HEIGHT * u32::from(level);
        let first = range.start >> below;
        let index = first / TILE_WIDTH as u64;
        let tile = self.tile(level, index)?;
        let at = (first % TILE_WIDTH as u64) as usize;
        let span = 1_usize << (height % TILE_HEIGHT);
        let hashes = tile.get(at..at + span).ok_or(TileError::Past {
            wanted: range.end,
            size: self.size,
        })?;
        Ok(self.digest.root(hashes))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, TileError> {
        let width = width_of(index, self.size >> (TILE_HEIGHT * u32::from(level)));
        let resource = Resource::Tile {
            level,
            index,
            width,
        };
        let bytes = self.get(resource)?;
        let expected = usize::from(width) * size_of::<Hash>();
        if bytes.len() != expected {
            let bytes = bytes.len();
            return Err(TileError::Length {
                resource,
                bytes,
                expected,
            });
        }
        Ok(bytes.as_chunks().0.to_vec())
    }

    fn get(&self, resource: Resource) -> Result<Vec<u8>, TileError> {
        let got = self.tiles.get(resource);
        got.map_err(|why| TileError::Missing { resource, why })
    }
}

/// Width of tile or bundle `index` where there are `count` hashes or entries.
fn width_of(index: u64, count: u64) -> u16 {
    let width = TILE_WIDTH as u64;
    count.saturating_sub(index.saturating_mul(width)).min(width) as u16
}

/// The largest power of two below `count`, for `count` of at least two.
const fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Entries as a bundle: each after its length in two bytes, high byte first.
///
/// # Errors
/// When an entry is longer than [`ENTRY_BYTES_MAX`].
pub fn bundle<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, EntryTooLong> {
    let mut bytes = Vec::new();
    for entry in entries {
        let length = u16::try_from(entry.len()).ok();
        let length = length.ok_or(EntryTooLong { bytes: entry.len() })?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle; nothing when the bytes end within one or there are too many.
#[must_use]
pub fn unbundle(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, rest) = rest.split_at_checked(length)?;
        entries.push(entry.to_vec());
        if entries.len() > TILE_WIDTH {
            return None;
        }
        bytes = rest;
    }
    const { assert!(ENTRY_BYTES_MAX == u16::MAX as usize) };
    bytes.is_empty().then_some(entries)
}
