//! Signed notes (signed-note) and cosignatures (tlog-cosignature): a text, and lines that say who signed it.
//!
//! Ed25519 is signed to the letter of C2SP. SM2 takes the escape that the document leaves open: type 0xff
//! and a longer name; ids of SM2 keys are the first bytes of an SM3, since where SM2 is demanded SHA-256 is
//! not wanted. The SM2 signature is DER (`r`, `s`) under the ID `1234567812345678`.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guitai_crypto::{sm2, twin};

use super::Digest;

/// Largest note read, in bytes.
pub const NOTE_BYTES_MAX: usize = 65_536;
/// Most signatures of a note; the document demands 16 at least.
pub const SIGNATURES_MAX: usize = 64;
/// Longest name of a key, in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 255;
/// The largest time of a cosignature.
const TIME_MAX: u64 = i64::MAX as u64;

const TYPE_ED25519: &[u8] = &[0x01];
const TYPE_ED25519_COSIGNATURE: &[u8] = &[0x04];
const TYPE_SM2: &[u8] = b"\xffguitai/sm2-with-sm3/v1";
const TYPE_SM2_COSIGNATURE: &[u8] = b"\xffguitai/sm2-cosignature/v1";

/// What a key signs, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A note, by Ed25519 (type 0x01).
    Ed25519,
    /// A checkpoint at a time, by Ed25519 (type 0x04).
    Ed25519Cosignature,
    /// A note, by SM2 with SM3.
    Sm2,
    /// A checkpoint at a time, by SM2 with SM3.
    Sm2Cosignature,
}

impl Kind {
    const ALL: [Self; 4] = [
        Self::Ed25519,
        Self::Ed25519Cosignature,
        Self::Sm2,
        Self::Sm2Cosignature,
    ];

    const fn type_bytes(self) -> &'static [u8] {
        match self {
            Self::Ed25519 => TYPE_ED25519,
            Self::Ed25519Cosignature => TYPE_ED25519_COSIGNATURE,
            Self::Sm2 => TYPE_SM2,
            Self::Sm2Cosignature => TYPE_SM2_COSIGNATURE,
        }
    }

    const fn is_sm2(self) -> bool {
        matches!(self, Self::Sm2 | Self::Sm2Cosignature)
    }

    /// What a log with such a key is made of.
    #[must_use]
    pub const fn digest(self) -> Digest {
        if self.is_sm2() {
            Digest::Sm3
        } else {
            Digest::Sha256
        }
    }

    /// Whether the signature is over a time too.
    #[must_use]
    pub const fn is_cosignature(self) -> bool {
        matches!(self, Self::Ed25519Cosignature | Self::Sm2Cosignature)
    }
}

/// Why a key or a note cannot be read, or its signatures not be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// A note is larger than any that is read.
    #[error("a note of {bytes} bytes; at most {NOTE_BYTES_MAX} are read")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// The bytes are no note.
    #[error("no signed note: {0}")]
    Form(&'static str),
    /// More signatures than are read.
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooMany,
    /// A key's name cannot stand in a note.
    #[error("{0:?} is no name of a key: 1 to {KEY_NAME_BYTES_MAX} bytes without space and plus")]
    Name(String),
    /// The text is no verifier key.
    #[error("no verifier key: {0}")]
    Key(&'static str),
    /// A known key's signature does not fit: the whole note is refused.
    #[error("the signature of {0} does not fit")]
    Signature(String),
    /// No known key signed.
    #[error("no known key signed it")]
    Unsigned,
}

/// Whose signature is believed, and of what kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: Kind,
    id: [u8; 4],
    point: Vec<u8>,
}

impl VerifierKey {
    /// A key of a name: 32 bytes for Ed25519, an uncompressed point of 65 bytes for SM2.
    ///
    /// # Errors
    /// When the name cannot stand in a note, or the key is none of its kind.
    pub fn new(name: &str, kind: Kind, key: &[u8]) -> Result<Self, NoteError> {
        check_name(name)?;
        let fits = if kind.is_sm2() {
            sm2::PublicKey::from_point(key).is_ok()
        } else {
            key.len() == twin::ED25519_KEY_BYTES
        };
        if !fits {
            return Err(NoteError::Key("the key is none of its kind"));
        }
        let [a, b, c, d, ..] = kind
            .digest()
            .of(&[name.as_bytes(), b"\n", kind.type_bytes(), key]);
        Ok(Self {
            name: name.to_owned(),
            kind,
            id: [a, b, c, d],
            point: key.to_vec(),
        })
    }

    /// Reads `name+id+key`.
    ///
    /// # Errors
    /// When it is no such text, of an unknown kind, or its id is not that of its key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("not of three parts"));
        };
        let bytes = STANDARD.decode(key);
        let bytes = bytes.map_err(|_| NoteError::Key("its key is not Base64"))?;
        let kind = Kind::ALL.into_iter().find_map(|kind| {
            let key = bytes.strip_prefix(kind.type_bytes())?;
            Some((kind, key))
        });
        let (kind, key) = kind.ok_or(NoteError::Key("of an unknown kind"))?;
        let parsed = Self::new(name, kind, key)?;
        if parsed.id_text() != id {
            return Err(NoteError::Key("its id is another key's"));
        }
        Ok(parsed)
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the same key, under whatever name and for whatever kind.
    #[must_use]
    pub fn has_same_key(&self, other: &Self) -> bool {
        self.point == other.point
    }

    fn id_text(&self) -> String {
        let [a, b, c, d] = self.id;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }

    /// The time of a cosignature, 0 for another signature; nothing when it does not fit.
    fn check(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let (message, time, signature) = if self.kind.is_cosignature() {
            let (time, signature) = signature.split_first_chunk()?;
            let time = u64::from_be_bytes(*time);
            if time > TIME_MAX {
                return None;
            }
            (cosigned(text, time), time, signature)
        } else {
            (text.to_owned(), 0, signature)
        };
        let fits = if self.kind.is_sm2() {
            let key = sm2::PublicKey::from_point(&self.point).ok()?;
            key.verify(message.as_bytes(), signature).is_ok()
        } else {
            twin::verify_ed25519(&self.point, message.as_bytes(), signature)
        };
        fits.then_some(time)
    }
}

/// `name+id+key`, a vkey of the document.
impl fmt::Display for VerifierKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [self.kind.type_bytes(), &self.point].concat();
        write!(
            to,
            "{}+{}+{}",
            self.name,
            self.id_text(),
            STANDARD.encode(key)
        )
    }
}

/// Signs bytes by a key that this crate does not see: Ed25519 in 64 bytes, SM2 in DER.
pub type Sign<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// One signature of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    name: String,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl Line {
    /// Signs a text; `at` is the time of a cosignature in seconds since 1970 and means nothing for others.
    #[must_use]
    pub fn sign(key: &VerifierKey, sign: Sign<'_>, text: &str, at: u64) -> Self {
        let bytes = if key.kind.is_cosignature() {
            let at = at.min(TIME_MAX);
            [&at.to_be_bytes()[..], &sign(cosigned(text, at).as_bytes())].concat()
        } else {
            sign(text.as_bytes())
        };
        Self {
            name: key.name.clone(),
            id: key.id,
            bytes,
        }
    }

    /// Reads one line without its end.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let form = || NoteError::Form("a signature is an em dash, a name and Base64");
        let rest = line.strip_prefix("— ").ok_or_else(form)?;
        let (name, signature) = rest.split_once(' ').ok_or_else(form)?;
        check_name(name)?;
        let bytes = STANDARD.decode(signature).map_err(|_| form())?;
        let (id, bytes) = bytes.split_first_chunk().ok_or_else(form)?;
        if bytes.is_empty() {
            return Err(form());
        }
        Ok(Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }

    /// Who is said to have signed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Line {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.id[..], &self.bytes].concat();
        writeln!(to, "— {} {}", self.name, STANDARD.encode(bytes))
    }
}

/// A key that signed a note, as its check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// Whose.
    pub key: &'a VerifierKey,
    /// The time of a cosignature in seconds since 1970, by the signer's clock.
    pub at: Option<u64>,
}

/// A text and who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<Line>,
}

impl Note {
    /// A text that nobody has signed yet; it must end in a newline and hold no other control character.
    ///
    /// # Errors
    /// When the text cannot be that of a note.
    pub fn new(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Form("the text does not end in a newline"));
        }
        if text.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Form("a control character"));
        }
        Ok(Self {
            text,
            lines: Vec::new(),
        })
    }

    /// Reads a note with one signature at least. Nothing is believed yet.
    ///
    /// # Errors
    /// When it is too large or no note.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLarge { bytes: bytes.len() });
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::Form("not UTF-8"))?;
        let at = whole.rfind("\n\n");
        let at = at.ok_or(NoteError::Form("no empty line before the signatures"))?;
        // The text keeps its newline; the empty line belongs to nobody.
        let (text, signatures) = whole.split_at(at + 1);
        let mut note = Self::new(text.to_owned())?;
        let signatures = signatures.strip_prefix('\n').unwrap_or_default();
        let signatures = signatures.strip_suffix('\n');
        let signatures = signatures.ok_or(NoteError::Form("the last line has no end"))?;
        for line in signatures.split('\n') {
            if note.lines.len() == SIGNATURES_MAX {
                return Err(NoteError::TooMany);
            }
            note.lines.push(Line::parse(line)?);
        }
        Ok(note)
    }

    /// What is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Adds a signature.
    ///
    /// # Errors
    /// When there are [`SIGNATURES_MAX`] already.
    pub fn add(&mut self, line: Line) -> Result<(), NoteError> {
        if self.lines.len() == SIGNATURES_MAX {
            return Err(NoteError::TooMany);
        }
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
        Ok(())
    }

    /// Which of the known keys signed, each once. Unknown signatures are nobody's business.
    ///
    /// # Errors
    /// When a known key's signature does not fit, or no known key signed.
    pub fn verify<'a>(&self, known: &'a [VerifierKey]) -> Result<Vec<Signed<'a>>, NoteError> {
        let mut found: Vec<Signed<'a>> = Vec::new();
        for line in &self.lines {
            let is_its = |key: &&VerifierKey| key.name == line.name && key.id == line.id;
            let Some(key) = known.iter().find(is_its) else {
                continue;
            };
            let at = key.check(&self.text, &line.bytes);
            let at = at.ok_or_else(|| NoteError::Signature(key.name.clone()))?;
            if !found.iter().any(|signed| signed.key == key) {
                let at = key.kind.is_cosignature().then_some(at);
                found.push(Signed { key, at });
            }
        }
        if found.is_empty() {
            return Err(NoteError::Unsigned);
        }
        Ok(found)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}", self.text)?;
        self.lines.iter().try_for_each(|line| line.fmt(to))
    }
}

/// What a cosigner signs (tlog-cosignature, "Ed25519 signed message").
fn cosigned(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let is_name = !name.is_empty()
        && name.len() <= KEY_NAME_BYTES_MAX
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+');
    if is_name {
        Ok(())
    } else {
        Err(NoteError::Name(name.to_owned()))
    }
}
