//! A bundle as one file: an uncompressed tar (POSIX ustar) in one form only, `manifest` and then
//! `parts/00`, `parts/01`, … in the manifest's order. The manifest is a signed note (C2SP signed-note, SM2 with
//! SM3) whose text is one line of canonical JSON. Every byte is either content or what it must be, so nothing can
//! hide between the parts.

use guitai_crypto::{sm2::SecretKey, sm3};
use guitai_tlog::note::{Kind, Line, NOTE_BYTES_MAX, Note, NoteError, VerifierKey};
use guitai_types::{
    SideName,
    canonical::{self, CanonicalError},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    limits::{CONTENT_BYTES_MAX, PARTS_MAX},
    manifest::{ANSWER_FORMAT, Answer, FORMAT, Manifest, WhyFile},
    name::Hash,
};

/// Largest file that can be a bundle.
pub const FILE_BYTES_MAX: u64 =
    CONTENT_BYTES_MAX + NOTE_BYTES_MAX as u64 + 2 * BLOCK as u64 * (PARTS_MAX as u64 + 3);

/// Bytes of a tar's block.
const BLOCK: usize = 512;
/// What a tar ends with.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Name of the statement in the tar.
const MANIFEST: &str = "manifest";

/// Why a file is no bundle that is believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refused {
    /// Of which sort.
    pub why: WhyFile,
    /// More, for people.
    pub detail: String,
}

/// Why a statement was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// No canonical form.
    #[error("the statement has no canonical form")]
    Canonical(#[source] CanonicalError),
    /// It does not fit a note.
    #[error("the statement cannot be signed")]
    Note(#[source] NoteError),
    /// Content and manifest do not belong together.
    #[error("the parts are not those of the manifest")]
    Parts,
    /// A header of the tar could not be made.
    #[error("a header could not be made")]
    Header(#[source] std::io::Error),
}

/// The key with which a side signs, under the side's name.
pub struct Signer {
    secret: SecretKey,
    key: VerifierKey,
}

impl Signer {
    /// The key of a side.
    ///
    /// # Errors
    /// Never for the name of a side; a note's names are wider.
    pub fn new(side: &SideName, secret: SecretKey) -> Result<Self, NoteError> {
        let key = verifier(side, &secret.public().to_point())?;
        Ok(Self { secret, key })
    }

    /// What the other side pins.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, statement: &str) -> Result<String, SealError> {
        let mut note = Note::new(statement.to_owned()).map_err(SealError::Note)?;
        let line = Line::sign(
            &self.key,
            &|message| self.secret.sign(message),
            statement,
            0,
        );
        note.add(line).map_err(SealError::Note)?;
        let text = note.to_string();
        if text.len() > NOTE_BYTES_MAX {
            return Err(SealError::Note(NoteError::TooLarge { bytes: text.len() }));
        }
        Ok(text)
    }
}

/// What a side pins of the other: its name and its point.
///
/// # Errors
/// When the point is no SM2 key.
pub fn verifier(side: &SideName, point: &[u8]) -> Result<VerifierKey, NoteError> {
    VerifierKey::new(side.as_str(), Kind::Sm2, point)
}

/// A bundle as it lies in one file.
pub struct Sealed {
    /// The file.
    pub bytes: Vec<u8>,
    /// SM3 of its statement: what the next one continues.
    pub statement: Hash,
}

/// Signs a manifest and writes the bundle.
///
/// # Errors
/// When the contents are not those of the manifest, or the manifest is too large for a note.
pub fn seal(
    manifest: &Manifest,
    contents: &[Vec<u8>],
    signer: &Signer,
) -> Result<Sealed, SealError> {
    let fits = |(part, content): (&crate::manifest::Part, &Vec<u8>)| {
        part.bytes == content.len() as u64 && part.sm3.0 == sm3::hash(content)
    };
    if manifest.parts.len() != contents.len() || !manifest.parts.iter().zip(contents).all(fits) {
        return Err(SealError::Parts);
    }
    let text = statement(manifest).map_err(SealError::Canonical)?;
    let note = signer.sign(&text)?;
    let mut bytes = Vec::new();
    let mut put = |name: &str, content: &[u8]| {
        let header = header(name, content.len() as u64).map_err(SealError::Header)?;
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    };
    put(MANIFEST, note.as_bytes())?;
    for (index, content) in contents.iter().enumerate() {
        put(&part_name(index), content)?;
    }
    bytes.extend_from_slice(&END);
    let statement = Hash(sm3::hash(text.as_bytes()));
    Ok(Sealed { bytes, statement })
}

/// A bundle that the other side signed, with its contents.
#[derive(Debug)]
pub struct Opened<'a> {
    /// What it states.
    pub manifest: Manifest,
    /// SM3 of the statement.
    pub statement: Hash,
    /// SM3 of the file.
    pub sm3: Hash,
    /// Length of the file.
    pub bytes: u64,
    /// What its parts hold, in order.
    pub contents: Vec<&'a [u8]>,
}

/// Reads a bundle: form, signature, limits, every part's digest. What it says is held against nothing yet.
///
/// # Errors
/// What it is instead.
pub fn open<'a>(bytes: &'a [u8], peer: &VerifierKey) -> Result<Opened<'a>, Refused> {
    let mut reading = Reading { bytes, at: 0 };
    let note = reading.manifest()?;
    let (manifest, statement) = believed::<Manifest>(note, peer, FORMAT)?;
    if !manifest.is_sound() {
        return refused(
            WhyFile::Garbled,
            "the manifest is past a limit or contradicts itself",
        );
    }
    let mut contents = Vec::new();
    for (index, part) in manifest.parts.iter().enumerate() {
        let name = part_name(index);
        let content = reading.file(&name, part.bytes)?;
        if sm3::hash(content) != part.sm3.0 {
            return refused(WhyFile::Garbled, format!("{name} is not what its SM3 says"));
        }
        contents.push(content);
    }
    if reading.take(END.len())? != END.as_slice() || reading.at != bytes.len() {
        return refused(WhyFile::Garbled, "bytes after the last part");
    }
    Ok(Opened {
        manifest,
        statement,
        sm3: Hash(sm3::hash(bytes)),
        bytes: bytes.len() as u64,
        contents,
    })
}

/// Signs an acknowledgement that is carried by hand.
///
/// # Errors
/// When it is too large for a note.
pub fn seal_answer(answer: &Answer, signer: &Signer) -> Result<String, SealError> {
    let text = statement(answer).map_err(SealError::Canonical)?;
    signer.sign(&text)
}

/// Reads an acknowledgement that was carried by hand.
///
/// # Errors
/// What it is instead.
pub fn open_answer(bytes: &[u8], peer: &VerifierKey) -> Result<Answer, Refused> {
    let (answer, _) = believed::<Answer>(bytes, peer, ANSWER_FORMAT)?;
    if !answer.ack.is_sound() {
        return refused(WhyFile::Garbled, "the acknowledgement is past a limit");
    }
    Ok(answer)
}

trait Formatted {
    fn format(&self) -> &str;
}

impl Formatted for Manifest {
    fn format(&self) -> &str {
        &self.format
    }
}

impl Formatted for Answer {
    fn format(&self) -> &str {
        &self.format
    }
}

/// The statement of a note that `peer` signed, and its SM3.
fn believed<T: Serialize + DeserializeOwned + Formatted>(
    bytes: &[u8],
    peer: &VerifierKey,
    format: &str,
) -> Result<(T, Hash), Refused> {
    let no_note = |error: NoteError| refusal(WhyFile::Garbled, error.to_string());
    let note = Note::parse(bytes).map_err(no_note)?;
    let known = std::slice::from_ref(peer);
    let forged = |error: NoteError| refusal(WhyFile::Forged, error.to_string());
    note.verify(known).map_err(forged)?;
    let statement = Hash(sm3::hash(note.text().as_bytes()));
    // Signed by the other side from here on: what cannot be read is of another release, not of the gap.
    let line = note.text().strip_suffix('\n').unwrap_or_default();
    let foreign = |error: CanonicalError| refusal(WhyFile::Foreign, error.to_string());
    let value: T = canonical::from_bytes(line.as_bytes()).map_err(foreign)?;
    if value.format() != format {
        let found = crate::manifest::detail(value.format());
        return refused(WhyFile::Foreign, format!("of format {found}, not {format}"));
    }
    Ok((value, statement))
}

/// What is signed: one line of canonical JSON.
fn statement<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    let bytes = canonical::to_bytes(value)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned() + "\n")
}

struct Reading<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reading<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Refused> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| {
            refusal(
                WhyFile::Truncated,
                format!("ends at byte {}", self.bytes.len()),
            )
        })?;
        self.at += count;
        Ok(taken)
    }

    /// The manifest, whose length only its header says.
    fn manifest(&mut self) -> Result<&'a [u8], Refused> {
        let first = self.bytes.get(..BLOCK);
        let first = first.ok_or_else(|| refusal(WhyFile::Truncated, "shorter than a header"))?;
        let size = first.get(124..135).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u64::from_str_radix(digits, 8).ok()
        });
        let size = size.filter(|size| *size <= NOTE_BYTES_MAX as u64);
        let size = size.ok_or_else(|| refusal(WhyFile::Garbled, "does not begin as a bundle"))?;
        self.file(MANIFEST, size)
    }

    /// A file of the tar that must have this name and size.
    fn file(&mut self, name: &str, size: u64) -> Result<&'a [u8], Refused> {
        let expected =
            header(name, size).map_err(|error| refusal(WhyFile::Garbled, error.to_string()))?;
        if self.take(BLOCK)? != expected {
            return refused(WhyFile::Garbled, format!("the header of {name} is another"));
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let content = self.take(size)?;
        let padding = self.take(size.next_multiple_of(BLOCK) - size)?;
        if padding.iter().any(|byte| *byte != 0) {
            return refused(WhyFile::Garbled, format!("bytes after {name}"));
        }
        Ok(content)
    }
}

fn part_name(index: usize) -> String {
    format!("parts/{index:02}")
}

fn header(name: &str, size: u64) -> std::io::Result<[u8; BLOCK]> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(*header.as_bytes())
}

fn refusal(why: WhyFile, detail: impl Into<String>) -> Refused {
    let detail = crate::manifest::detail(&detail.into());
    Refused { why, detail }
}

fn refused<T>(why: WhyFile, detail: impl Into<String>) -> Result<T, Refused> {
    Err(refusal(why, detail))
}
