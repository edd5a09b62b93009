//! A witness (tlog-witness): it remembers the last head of a log that it has seen, and signs another only
//! with the proof that it continues the first.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    BadCheckpoint, Checkpoint, Digest, Hash, PROOF_HASHES_MAX, check,
    check::Head,
    checkpoint::{decimal, hash},
    note::{Note, NoteError, VerifierKey},
};

/// Why bytes are no submission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSubmission {
    /// The bytes before the checkpoint are wrong.
    #[error("no submission: {0}")]
    Form(&'static str),
    /// The checkpoint is no signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
}

/// What is asked of a witness: body of `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Size of the head that the witness has seen last, as the log believes.
    pub old: u64,
    /// Proof that the checkpoint continues it.
    pub proof: Vec<Hash>,
    /// The checkpoint.
    pub note: Note,
}

impl Submission {
    /// Reads a body.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(body: &[u8]) -> Result<Self, BadSubmission> {
        let text = std::str::from_utf8(body).map_err(|_| BadSubmission::Form("not UTF-8"))?;
        let (head, note) = text
            .split_once("\n\n")
            .ok_or(BadSubmission::Form("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.and_then(decimal);
        let old = old.ok_or(BadSubmission::Form("no old size"))?;
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.ok_or(BadSubmission::Form("a line of the proof is no hash"))?;
        if proof.len() > PROOF_HASHES_MAX {
            return Err(BadSubmission::Form("more than 63 hashes"));
        }
        let note = Note::parse(note.as_bytes())?;
        Ok(Self { old, proof, note })
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(to, "{}", STANDARD.encode(hash))?;
        }
        write!(to, "\n{}", self.note)
    }
}

/// What a witness remembers of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(pub Head);

/// What a witness answers. Only [`Answer::Cosign`] lets it sign, and not before [`Seen`] is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// 200: remember this, durably, then cosign the text.
    Cosign(Seen),
    /// 409: the witness has seen another size last.
    Conflict {
        /// Which.
        size: u64,
    },
    /// 404: not its log.
    UnknownLog,
    /// 403: no key that it trusts signed.
    Untrusted,
    /// 400: the old size is past the new one.
    Backwards,
    /// 422: the checkpoint does not continue what the witness has seen. `fork`: both are signed by the log,
    /// so the log shows two trees, and everybody must hear of it.
    Inconsistent {
        /// Whether two signed heads contradict each other for certain.
        fork: bool,
    },
}

impl Answer {
    /// The status code of the document.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Cosign(_) => 200,
            Self::Backwards => 400,
            Self::Untrusted => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent { .. } => 422,
        }
    }
}

/// A log as a witness knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The log's name.
    pub origin: String,
    /// What it is made of.
    pub digest: Digest,
    /// Its keys.
    pub keys: Vec<VerifierKey>,
}

impl Witness {
    /// Judges a submission; `seen` is what was seen last, nothing before the first. The caller holds a lock
    /// from reading `seen` until it is written, or two answers could roll each other back.
    ///
    /// # Errors
    /// When the note is no checkpoint.
    pub fn judge(&self, asked: &Submission, seen: Option<Seen>) -> Result<Answer, BadSubmission> {
        let checkpoint = Checkpoint::of(&asked.note)?;
        if checkpoint.origin != self.origin {
            return Ok(Answer::UnknownLog);
        }
        if asked.note.verify(&self.keys).is_err() {
            return Ok(Answer::Untrusted);
        }
        let new = checkpoint.head;
        if asked.old > new.size {
            return Ok(Answer::Backwards);
        }
        let old = match seen {
            Some(Seen(head)) => head,
            None => Head {
                size: 0,
                root: self.digest.empty(),
            },
        };
        if asked.old != old.size {
            return Ok(Answer::Conflict { size: old.size });
        }
        if new.size == 0 && new.root != self.digest.empty() {
            return Ok(Answer::Inconsistent { fork: false });
        }
        if check::continues(self.digest, &old, &new, &asked.proof) {
            return Ok(Answer::Cosign(Seen(new)));
        }
        // A wrong proof proves nothing; two roots of one size are two trees.
        let fork = new.size == old.size && new.root != old.root;
        Ok(Answer::Inconsistent { fork })
    }
}
