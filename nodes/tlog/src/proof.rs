//! A proof that something is in the log, in one text that needs no network (tlog-proof).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Believed, Hash, PROOF_HASHES_MAX, Policy, PolicyError, check,
    checkpoint::{decimal, hash},
    note::{Note, NoteError},
};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadProof {
    /// The text is no proof.
    #[error("no tlog-proof: {0}")]
    Form(&'static str),
    /// The checkpoint in it is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Too few that are trusted signed the checkpoint.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The hashes do not lead from the entry to the root.
    #[error("entry {index} is not in the tree of {size} entries")]
    NotIncluded {
        /// Which entry.
        index: u64,
        /// Of how many.
        size: u64,
    },
}

/// A proof of inclusion with the checkpoint it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// What the application wants to go along; nobody vouches for it.
    pub extra: Option<Vec<u8>>,
    /// Number of the entry, from 0.
    pub index: u64,
    /// Hashes from the leaf's sibling up to the root's child.
    pub hashes: Vec<Hash>,
    /// The checkpoint, with who signed it.
    pub checkpoint: Note,
}

impl InclusionProof {
    /// Reads a proof. Nothing is believed yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadProof> {
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(BadProof::Form("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(BadProof::Form("the first line is not its header"));
        }
        let mut line = lines.next();
        let extra = line.and_then(|line| line.strip_prefix("extra "));
        let extra = extra
            .map(|extra| {
                let decoded = STANDARD.decode(extra);
                decoded.map_err(|_| BadProof::Form("the extra data is not Base64"))
            })
            .transpose()?;
        if extra.is_some() {
            line = lines.next();
        }
        let index = line.and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(decimal);
        let index = index.ok_or(BadProof::Form("no index"))?;
        let hashes: Option<Vec<Hash>> = lines.map(hash).collect();
        let hashes = hashes.ok_or(BadProof::Form("a line is no hash"))?;
        if hashes.len() > PROOF_HASHES_MAX {
            return Err(BadProof::Form("more hashes than any tree has levels"));
        }
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint,
        })
    }

    /// Whether the entry is in a log that the policy believes; gives the checkpoint that says so.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify<'a>(&self, entry: &[u8], policy: &'a Policy) -> Result<Believed<'a>, BadProof> {
        let believed = policy.believe(&self.checkpoint)?;
        let (digest, head) = (believed.digest, believed.checkpoint.head);
        let leaf = digest.leaf(entry);
        if check::includes(
            digest,
            &leaf,
            self.index,
            head.size,
            &self.hashes,
            &head.root,
        ) {
            return Ok(believed);
        }
        Err(BadProof::NotIncluded {
            index: self.index,
            size: head.size,
        })
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(to, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(to, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(to, "{}", STANDARD.encode(hash))?;
        }
        write!(to, "\n{}", self.checkpoint)
    }
}
