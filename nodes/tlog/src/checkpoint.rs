//! What a log signs: its name, its size and its root (tlog-checkpoint). No extension lines: nobody could
//! audit them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{check::Head, note::Note};

/// Why a text is no checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no checkpoint: {0}")]
pub struct BadCheckpoint(pub(crate) &'static str);

/// A log's head, signed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How long it is, and its root.
    pub head: Head,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// When it has not exactly the three lines.
    pub fn parse(text: &str) -> Result<Self, BadCheckpoint> {
        let text = text.strip_suffix('\n');
        let text = text.ok_or(BadCheckpoint("the last line has no end"))?;
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty());
        let origin = origin.ok_or(BadCheckpoint("no origin"))?;
        let size = lines.next().and_then(decimal);
        let size = size.ok_or(BadCheckpoint("the second line is no size"))?;
        let root = lines.next().and_then(hash);
        let root = root.ok_or(BadCheckpoint("the third line is no hash"))?;
        if lines.next().is_some() {
            return Err(BadCheckpoint("lines after the hash"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            head: Head { size, root },
        })
    }

    /// Reads a note's text.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of(note: &Note) -> Result<Self, BadCheckpoint> {
        Self::parse(note.text())
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { size, root } = &self.head;
        writeln!(to, "{}\n{size}\n{}", self.origin, STANDARD.encode(root))
    }
}

/// A number without a leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = is_digits && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

/// A digest in Base64.
pub(crate) fn hash(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
