//! The log's files as readers see them (tlog-tiles), and proofs out of them.

use std::io;

use guitai_meta_core::{Kept, Log, Published};
use guitai_tlog::{
    Checkpoint, Digest, InclusionProof,
    check::Head,
    note::{Note, VerifierKey},
    policy,
    tiles::{self, Resource, TILE_WIDTH, TileError, Tiles, Tree},
};
use guitai_types::{
    UnixMillis,
    tlog::{Entry, LogStatus, LogTrust, Opening, Record, TreeKeys},
};

use super::files::{Files, TILE_BYTES};
use crate::{meta::Meta, runtime::blocking};

/// Bytes of one hash.
const HASH_BYTES: usize = 32;

/// A file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFile {
    /// Signed heads and policies: text, changes.
    Text(String),
    /// Tiles and entries: never change.
    Bytes(Vec<u8>),
}

/// An entry with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Its number.
    pub index: u64,
    /// The bytes that both trees are over.
    pub entry: String,
    /// What is behind it; only for somebody who may see it.
    pub opening: Opening,
    /// A tlog-proof of it in the SM3 tree.
    pub sm3: String,
    /// A tlog-proof of it in the twin.
    pub sha256: String,
}

/// Why the log does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogReadError {
    /// There is no log, no such file, or nothing published that would have it.
    #[error("{0}")]
    Absent(String),
    /// A file is missing here or cannot be read.
    #[error("a file of the log cannot be read")]
    Files(#[source] io::Error),
}

/// The log as it was at a moment, with its files.
pub(crate) struct Reading {
    pub(crate) log: Log,
    files: Files,
}

impl Reading {
    pub(crate) fn new(log: Log, files: Files) -> Self {
        Self { log, files }
    }

    /// Those of a bundle's entries that are among the first `size`, with their numbers.
    pub(super) fn bundle(&self, index: u64, size: u64) -> Result<Vec<(u64, Kept)>, String> {
        let first = index.saturating_mul(TILE_WIDTH as u64);
        let width = size.saturating_sub(first).min(TILE_WIDTH as u64) as u16;
        Ok((first..).zip(self.entries(index, width)?).collect())
    }

    /// The first `width` entries of a bundle.
    fn entries(&self, index: u64, width: u16) -> Result<Vec<Kept>, String> {
        let open = self.log.size() / TILE_WIDTH as u64;
        let mut entries = if index == open {
            self.log.open().to_vec()
        } else if index < open {
            let found = self.files.bundle(index);
            let found = found.map_err(|error| error.to_string())?;
            found.ok_or_else(|| "not on this node yet".to_owned())?
        } else {
            Vec::new()
        };
        if entries.len() < usize::from(width) {
            return Err("no such file".to_owned());
        }
        entries.truncate(usize::from(width));
        Ok(entries)
    }

    /// The first `width` hashes of a tile.
    fn tile(&self, digest: Digest, level: u8, index: u64, width: u16) -> Result<Vec<u8>, String> {
        let hashes = self.log.size().checked_shr(8 * u32::from(level));
        let hashes = hashes.unwrap_or(0);
        let bytes = if index == hashes / TILE_WIDTH as u64 {
            let levels = self.log.edge(digest).levels();
            let tile = levels.get(usize::from(level));
            tile.map(|tile| tile.as_flattened().to_vec())
        } else if index > hashes / TILE_WIDTH as u64 {
            None
        } else if level == 0 {
            let entries = self.entries(index, width)?;
            let leaves = digest.leaves(entries.iter().map(|kept| kept.entry.as_bytes()));
            Some(leaves.as_flattened().to_vec())
        } else {
            let found = self.files.tile(level, index);
            let found = found.map_err(|error| error.to_string())?;
            let [sm3, sha256] = found.ok_or_else(|| "not on this node yet".to_owned())?;
            Some(match digest {
                Digest::Sm3 => sm3,
                Digest::Sha256 => sha256,
            })
        };
        let wanted = usize::from(width) * HASH_BYTES;
        let bytes = bytes.filter(|bytes| bytes.len() >= wanted);
        let mut bytes = bytes.ok_or_else(|| "no such file".to_owned())?;
        bytes.truncate(wanted);
        Ok(bytes)
    }

    /// One of the trees at a size that it has or had.
    pub(crate) fn tree<'a>(&self, view: &'a Of<'_>, size: u64) -> Tree<'a> {
        Tree {
            digest: view.digest,
            size,
            tiles: view,
        }
    }

    pub(crate) fn of(&self, digest: Digest) -> Of<'_> {
        Of {
            reading: self,
            digest,
        }
    }

    /// The root of a tree when it had so many entries.
    pub(crate) fn root(&self, digest: Digest, size: u64) -> Result<[u8; 32], TileError> {
        if size == self.log.size() {
            return Ok(self.log.edge(digest).root());
        }
        self.tree(&self.of(digest), size).root()
    }

    fn prove(&self, index: u64, published: &Published) -> Result<Proven, TileError> {
        let width = (published.size - index / TILE_WIDTH as u64 * TILE_WIDTH as u64)
            .min(TILE_WIDTH as u64) as u16;
        let number = index / TILE_WIDTH as u64;
        let missing = |why| TileError::Missing {
            resource: Resource::Entries {
                index: number,
                width,
            },
            why,
        };
        let entries = self.entries(number, width).map_err(missing)?;
        let at = (index % TILE_WIDTH as u64) as usize;
        let kept = entries.into_iter().nth(at);
        let kept = kept.ok_or_else(|| missing("it is cut".to_owned()))?;
        let proof = |digest: Digest, note: &str| {
            let hashes = self
                .tree(&self.of(digest), published.size)
                .inclusion(index)?;
            let checkpoint = Note::parse(note.as_bytes());
            let checkpoint = checkpoint.map_err(|error| missing(error.to_string()))?;
            let proof = InclusionProof {
                extra: None,
                index,
                hashes,
                checkpoint,
            };
            Ok(proof.to_string())
        };
        Ok(Proven {
            index,
            sm3: proof(Digest::Sm3, &published.sm3)?,
            sha256: proof(Digest::Sha256, &published.sha256)?,
            entry: kept.entry,
            opening: kept.opening,
        })
    }
}

/// The files of one of the trees.
pub(crate) struct Of<'a> {
    reading: &'a Reading,
    digest: Digest,
}

impl Tiles for Of<'_> {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        match resource {
            Resource::Tile {
                level,
                index,
                width,
            } => self.reading.tile(self.digest, level, index, width),
            Resource::Entries { index, width } => {
                let entries = self.reading.entries(index, width)?;
                let entries = entries.iter().map(|kept| kept.entry.as_bytes());
                tiles::bundle(entries).map_err(|error| error.to_string())
            }
            Resource::Checkpoint => {
                let published = self.reading.log.published();
                let published = published.ok_or("nothing is published yet")?;
                Ok(match self.digest {
                    Digest::Sm3 => published.sm3.clone().into_bytes(),
                    Digest::Sha256 => published.sha256.clone().into_bytes(),
                })
            }
        }
    }
}

impl Meta {
    pub(crate) fn reading(&self) -> Option<Reading> {
        let log = self.peek(|state| state.log().cloned())?;
        Some(Reading::new(log, self.log_files().clone()))
    }

    /// A file of the log by its path: `policy`, or `<tree>/` and `policy`, `checkpoint` or a path of
    /// tlog-tiles.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn log_file(&self, path: &str) -> Result<LogFile, LogReadError> {
        let absent = || LogReadError::Absent(format!("the log has no file {path}"));
        let reading = self.reading().ok_or_else(no_log)?;
        if path == "policy" {
            let text = both_policies(reading.log.trust());
            return Ok(LogFile::Text(text.ok_or_else(absent)?));
        }
        let (tree, rest) = path.split_once('/').ok_or_else(absent)?;
        let digest = [Digest::Sm3, Digest::Sha256]
            .into_iter()
            .find(|digest| digest.name() == tree)
            .ok_or_else(absent)?;
        if rest == "policy" {
            let text = policy_text(reading.log.trust(), digest).ok_or_else(absent)?;
            return Ok(LogFile::Text(text));
        }
        let resource = Resource::parse(rest).ok_or_else(absent)?;
        let name = path.to_owned();
        let read = move || {
            let got = reading.of(digest).get(resource);
            let error =
                |why: String| io::Error::new(io::ErrorKind::NotFound, format!("{name}: {why}"));
            got.map_err(error)
        };
        let bytes = blocking(read).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LogReadError::Absent(error.to_string()),
            _ => LogReadError::Files(error),
        })?;
        Ok(match resource {
            Resource::Checkpoint => LogFile::Text(String::from_utf8_lossy(&bytes).into_owned()),
            _ => LogFile::Bytes(bytes),
        })
    }

    /// How the log stands on this node; nothing where there is none.
    pub fn log_status(&self) -> Option<LogStatus> {
        let missing = self.log_files().missing();
        self.peek(|state| {
            let log = state.log()?;
            let published = log.published();
            Some(LogStatus {
                size: log.size(),
                published: published.map_or(0, |it| it.size),
                published_at: published.map(|it| it.at),
                missing,
                needed: log.trust().needed(),
                trust: log.trust().clone(),
                alarms: log.alarms().to_vec(),
            })
        })
    }

    /// An entry with its proofs under the checkpoints published last.
    ///
    /// # Errors
    /// When there is no such entry yet, or a file is missing here.
    pub async fn log_proof(&self, index: u64) -> Result<Proven, LogReadError> {
        let reading = self.reading().ok_or_else(no_log)?;
        let published = reading.log.published().filter(|it| it.size > index);
        let published = published.cloned().ok_or_else(|| {
            let size = reading.log.size();
            LogReadError::Absent(format!(
                "entry {index} is not under a checkpoint yet; the log has {size} entries"
            ))
        })?;
        let prove = move || {
            let proven = reading.prove(index, &published);
            proven.map_err(|error| io::Error::other(error.to_string()))
        };
        blocking(prove).await.map_err(LogReadError::Files)
    }

    /// What `pick` takes of the entries, with their numbers, at most `most`, newest first. It is given when an
    /// entry was made, and its record.
    ///
    /// # Errors
    /// When a file is missing here.
    pub async fn log_find<K: Send + 'static>(
        &self,
        most: usize,
        pick: impl Fn(UnixMillis, Record) -> Option<K> + Send + 'static,
    ) -> Result<Vec<(u64, K)>, LogReadError> {
        let reading = self.reading().ok_or_else(no_log)?;
        let search = move || {
            let size = reading.log.size();
            let mut found = Vec::new();
            for bundle in (0..size.div_ceil(TILE_WIDTH as u64)).rev() {
                let entries = reading.bundle(bundle, size).map_err(io::Error::other)?;
                for (number, kept) in entries.into_iter().rev() {
                    let entry = Entry::parse(kept.entry.as_bytes());
                    let record = serde_json::from_str(&kept.opening.record).ok();
                    let picked = entry.zip(record);
                    let picked = picked.and_then(|(entry, record)| pick(entry.at, record));
                    if let Some(picked) = picked {
                        found.push((number, picked));
                        if found.len() == most {
                            return Ok(found);
                        }
                    }
                }
            }
            Ok(found)
        };
        blocking(search).await.map_err(LogReadError::Files)
    }
}

pub(super) fn no_log() -> LogReadError {
    LogReadError::Absent("this cluster keeps no transparency log".to_owned())
}

/// The policy file for one of the trees.
pub(super) fn policy_text(trust: &LogTrust, digest: Digest) -> Option<String> {
    let (log, witnesses) = keys(trust, digest)?;
    Some(policy::text(&log, &witnesses, trust.needed()))
}

/// One policy for both trees: either's witnesses are enough, and each can only sign its own.
fn both_policies(trust: &LogTrust) -> Option<String> {
    let mut lines = Vec::new();
    let mut groups = Vec::new();
    for digest in [Digest::Sm3, Digest::Sha256] {
        let (log, witnesses) = keys(trust, digest)?;
        lines.push(format!("log {log}"));
        let witness = |key: &VerifierKey| format!("witness {} {key}", key.name());
        lines.extend(witnesses.iter().map(witness));
        let names: Vec<&str> = witnesses.iter().map(VerifierKey::name).collect();
        if !names.is_empty() {
            let (group, needed) = (digest.name(), trust.needed());
            groups.push(format!("group {group} {needed} {}", names.join(" ")));
        }
    }
    if groups.is_empty() {
        lines.push("quorum none".to_owned());
    } else {
        lines.extend(groups);
        lines.push("group either any sm3 sha256".to_owned());
        lines.push("quorum either".to_owned());
    }
    Some(lines.join("\n") + "\n")
}

fn keys(trust: &LogTrust, digest: Digest) -> Option<(VerifierKey, Vec<VerifierKey>)> {
    let pick = |keys: &TreeKeys| {
        let text = match digest {
            Digest::Sm3 => &keys.sm3,
            Digest::Sha256 => &keys.sha256,
        };
        VerifierKey::parse(text).ok()
    };
    let witnesses = trust.witnesses.iter().map(|it| pick(&it.keys));
    Some((pick(&trust.log)?, witnesses.collect::<Option<_>>()?))
}

/// What is signed of a tree.
pub(crate) fn checkpoint(origin: &str, size: u64, root: [u8; 32]) -> String {
    let head = Head { size, root };
    let origin = origin.to_owned();
    Checkpoint { origin, head }.to_string()
}

const _: () = assert!(TILE_BYTES == TILE_WIDTH * HASH_BYTES);
