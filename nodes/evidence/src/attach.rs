//! What can only be had after the seal: the time stamp over it, and that it is in the log. It is listed and
//! signed by itself, with what is missing, so that nothing in a package is uncovered and nothing absent is
//! passed over in silence.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guitai_crypto::{cms, sm3};
use guitai_types::{Hex, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{
    Seal, Signer,
    canonical::{self, CanonicalError},
    layout,
    log::{
        Believed, Digest, Hash, Policy, PolicyError,
        note::{Note, NoteError},
    },
    manifest::File,
};

/// The `format` of the list.
pub const FORMAT: &str = "guitai-evidence-attached/1";

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The older checkpoint, and that the newer continues it.
    Consistency,
    /// Proofs of some roots by the second.
    RootProofs,
    /// Proof of the seal.
    SealProof,
    /// The time stamp.
    Timestamp,
}

/// Something that is missing, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What.
    pub what: What,
    /// `no-authority`, `unanswered`, `no-log`, `not-logged` or `refused`.
    pub cause: String,
}

/// Content of `attached.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// [`FORMAT`].
    pub format: String,
    /// SM3 of manifest, SignedData and signature, one after the other.
    pub sealed: Hex,
    /// When.
    pub at: UnixMillis,
    /// The files, ordered by path.
    pub files: Vec<File>,
    /// What is missing, ordered.
    pub missing: Vec<Missing>,
}

/// What was attached to a seal, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attached {
    /// Bytes of `attached.json`.
    pub list: Hex,
    /// Bytes of `attached.p7s`.
    pub signed: Hex,
    /// The files it lists.
    pub files: Vec<(String, Hex)>,
}

/// What a proof of the log carries along, as canonical JSON: the entry, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extra {
    /// The entry's text.
    pub entry: String,
    /// The record's text.
    pub record: String,
    /// What was hashed before the record.
    pub salt: Hex,
}

/// Why nothing was attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// A path that may not be attached, or one twice.
    #[error("{0:?} is not attached to a package")]
    Path(String),
    /// The list has no canonical form.
    #[error("the list of what is attached")]
    Canonical(#[from] CanonicalError),
    /// The signer's certificates cannot be used.
    #[error("the list of what is attached cannot be signed")]
    Sign(#[from] cms::SignError),
}

/// Why a checkpoint does not count for a package.
#[derive(Debug, thiserror::Error)]
pub enum NotBelieved {
    /// It is no signed note, or a signature in it does not fit.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The policy does not believe it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Somebody else signed as well.
    #[error("is signed by somebody whom the policy does not name, or twice")]
    Stranger,
    /// Bytes that could be otherwise.
    #[error("is not in its one form")]
    Form,
    /// Packages go with the SM3 tree.
    #[error("is of a log that is not made with SM3")]
    Digest,
}

/// Believes a checkpoint as a package carries it: by the package's own policy, and signed by nobody whom that
/// does not name, so that no signature can be added or taken away unseen.
///
/// # Errors
/// When it does not count.
pub fn believed<'a>(policy: &'a Policy, checkpoint: &[u8]) -> Result<Believed<'a>, NotBelieved> {
    let note = Note::parse(checkpoint)?;
    let believed = policy.believe(&note)?;
    let logs = note.verify(policy.logs())?;
    let whole = note.to_string();
    let lines = whole.lines().rev().take_while(|line| !line.is_empty());
    // Of the twin's keys none signs a checkpoint of the SM3 tree.
    let witnesses = believed.witnesses.iter().chain(&logs);
    let national = witnesses.filter(|it| it.key.kind().digest() == Digest::Sm3);
    if lines.count() != national.count() {
        return Err(NotBelieved::Stranger);
    }
    if whole.as_bytes() != checkpoint {
        return Err(NotBelieved::Form);
    }
    if believed.digest != Digest::Sm3 {
        return Err(NotBelieved::Digest);
    }
    Ok(believed)
}

/// Content of `log/consistency`: a line of Base64 for each hash.
#[must_use]
pub fn consistency(hashes: &[Hash]) -> String {
    let line = |hash: &Hash| STANDARD.encode(hash) + "\n";
    hashes.iter().map(line).collect()
}

/// SM3 of what a seal is: what a list of attached files names.
#[must_use]
pub fn digest(manifest: &[u8], signed_data: &[u8], signature: &[u8]) -> [u8; sm3::DIGEST_BYTES] {
    let mut hasher = sm3::Hasher::new();
    for part in [manifest, signed_data, signature] {
        hasher.update(part);
    }
    hasher.finish()
}

/// Lists and signs what is attached to a seal, and what is missing.
///
/// # Errors
/// When a path may not be attached, or the signer cannot sign.
pub fn attach(
    seal: &Seal,
    mut files: Vec<(String, Vec<u8>)>,
    mut missing: Vec<Missing>,
    at: UnixMillis,
    signer: Signer<'_>,
) -> Result<Attached, AttachError> {
    files.sort();
    missing.sort_by_key(|missing| missing.what);
    for (index, (path, _)) in files.iter().enumerate() {
        let is_twice = files.get(index + 1).is_some_and(|(next, _)| next == path);
        if is_twice || !layout::is_attached(path) || !layout::path_is_safe(path) {
            return Err(AttachError::Path(path.clone()));
        }
    }
    let listed = |(path, content): &(String, Vec<u8>)| File {
        path: path.clone(),
        size: content.len() as u64,
        sm3: Hex(sm3::hash(content).to_vec()),
    };
    let sealed = digest(&seal.manifest.0, &seal.signed_data.0, &seal.signature.0);
    let list = canonical::to_bytes(&List {
        format: FORMAT.to_owned(),
        sealed: Hex(sealed.to_vec()),
        at,
        files: files.iter().map(listed).collect(),
        missing,
    })?;
    let signed = cms::sign_detached(signer.identity, &list, at.0 / 1000)?;
    let files = files
        .into_iter()
        .map(|(path, content)| (path, Hex(content)));
    Ok(Attached {
        list: Hex(list),
        signed: Hex(signed),
        files: files.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_ordered_as_it_is_written() {
        let all = [
            What::Consistency,
            What::RootProofs,
            What::SealProof,
            What::Timestamp,
        ];
        let words = all.map(|what| serde_json::to_string(&what).unwrap());
        assert!(all.is_sorted() && words.is_sorted());
        assert_eq!(
            words,
            [
                "\"consistency\"",
                "\"root-proofs\"",
                "\"seal-proof\"",
                "\"timestamp\""
            ]
        );
    }
}
