//! A whole log read again: every entry hashed, every tile compared, and the root beside the checkpoint.

use super::{
    Edge, Hash, Policy, PolicyError, Written, check,
    note::{Note, NoteError},
    policy::Believed,
    tiles::{Resource, TILE_WIDTH, TileError, Tiles, Tree},
};

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A file is missing or cut.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// A checkpoint is no signed note.
    #[error("{which}: {error}")]
    Note {
        /// Which checkpoint.
        which: &'static str,
        /// Why it is none.
        error: NoteError,
    },
    /// A checkpoint is not believed.
    #[error("{which}: {error}")]
    Policy {
        /// Which checkpoint.
        which: &'static str,
        /// Why it is not.
        error: PolicyError,
    },
    /// A tile is not what the entries give.
    #[error("{0} is not what the entries give")]
    Tampered(Resource),
    /// The root is not what the entries give.
    #[error("the checkpoint's root is not what its {size} entries give")]
    Root {
        /// How many entries.
        size: u64,
    },
    /// An older checkpoint is of something else.
    #[error("the log does not continue the older checkpoint of {size} entries: two histories")]
    Fork {
        /// Size of the older one.
        size: u64,
    },
    /// The older checkpoint is of another log.
    #[error("the older checkpoint is of {0}, another log")]
    OtherLog(String),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited<'a> {
    /// The checkpoint and who vouches for it.
    pub believed: Believed<'a>,
    /// How many tiles of hashes were compared.
    pub tiles: u64,
    /// Size of the older checkpoint that it continues.
    pub continues: Option<u64>,
}

/// Reads a whole log: its checkpoint must be believed, every entry be in it and every tile be right. With
/// an older checkpoint, which must be believed too, the log must continue it. `seen` hears how many
/// entries were read.
///
/// # Errors
/// The first thing that is wrong.
pub fn audit<'a>(
    tiles: &dyn Tiles,
    policy: &'a Policy,
    older: Option<&[u8]>,
    mut seen: impl FnMut(u64),
) -> Result<Audited<'a>, LogError> {
    let bytes = tiles.get(Resource::Checkpoint);
    let bytes = bytes.map_err(|why| TileError::Missing {
        resource: Resource::Checkpoint,
        why,
    })?;
    let believed = believe(policy, &bytes, "checkpoint")?;
    let head = believed.checkpoint.head;
    let older = older.map(|older| believe(policy, older, "older checkpoint"));
    let older = older.transpose()?;
    if let Some(older) = &older
        && older.checkpoint.origin != believed.checkpoint.origin
    {
        return Err(LogError::OtherLog(older.checkpoint.origin.clone()));
    }
    let older = older.map(|older| older.checkpoint.head);
    if let Some(older) = older
        && older.size > head.size
    {
        return Err(LogError::Fork { size: older.size });
    }
    let digest = believed.digest;
    let tree = Tree {
        digest,
        size: head.size,
        tiles,
    };
    let mut edge = Edge::new(digest);
    let mut count = 0;
    // Whether it continues the older one is said when it is known to be whole: a damaged copy is no fork.
    let mut at_older = digest.empty();
    for index in 0..head.size.div_ceil(TILE_WIDTH as u64) {
        let entries = tree.bundle(index)?;
        let leaves: Vec<Hash> = digest.leaves(entries.iter().map(Vec::as_slice));
        for leaf in leaves {
            for written in edge.push(leaf) {
                compare(tiles, written)?;
                count += 1;
            }
            if older.is_some_and(|older| older.size == edge.size()) {
                at_older = edge.root();
            }
        }
        seen(edge.size());
    }
    for written in edge.partial() {
        compare(tiles, written)?;
        count += 1;
    }
    let root = edge.root();
    if (check::Head {
        size: edge.size(),
        root,
    }) != head
    {
        return Err(LogError::Root { size: head.size });
    }
    if let Some(older) = older
        && older.root != at_older
    {
        return Err(LogError::Fork { size: older.size });
    }
    let continues = older.map(|older| older.size);
    Ok(Audited {
        believed,
        tiles: count,
        continues,
    })
}

fn believe<'a>(
    policy: &'a Policy,
    bytes: &[u8],
    which: &'static str,
) -> Result<Believed<'a>, LogError> {
    let note = Note::parse(bytes).map_err(|error| LogError::Note { which, error })?;
    let believed = policy.believe(&note);
    believed.map_err(|error| LogError::Policy { which, error })
}

fn compare(tiles: &dyn Tiles, Written { resource, bytes }: Written) -> Result<(), LogError> {
    let found = tiles.get(resource);
    let found = found.map_err(|why| TileError::Missing { resource, why })?;
    if found == bytes {
        Ok(())
    } else {
        Err(LogError::Tampered(resource))
    }
}
