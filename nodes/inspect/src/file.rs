//! Files: what one is, is found by parsing it, and what goes on is made anew of what was parsed.

use guitai_types::message::{FileRules, FileType};

use crate::{pdf, picture};

/// Which files may be sent, ready for use.
#[derive(Debug, Clone, Default)]
pub struct Files {
    rules: FileRules,
}

/// A file made anew: nothing in it was copied without having been parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remade {
    /// What it is.
    pub kind: FileType,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why a file does not go through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// More bytes than the profile allows.
    #[error("a file of {length} bytes, the limit guard.files.bytes is {max}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// It begins like nothing that is known, or says it is something else than JPEG, PNG and PDF.
    #[error("neither a JPEG, nor a PNG, nor a PDF")]
    UnknownType,
    /// What it is said to be is not what it is.
    #[error("said to be {declared}, but it is {found}", declared = .declared.as_str(), found = .found.as_str())]
    WrongType {
        /// What its sender says.
        declared: FileType,
        /// What it begins like.
        found: FileType,
    },
    /// A kind that the profile does not allow.
    #[error("{kind} is not among guard.files.types", kind = .kind.as_str())]
    NotAllowed {
        /// Which.
        kind: FileType,
    },
    /// It begins like its kind and cannot be read to its end.
    #[error("a {kind} that cannot be read", kind = .kind.as_str())]
    Broken {
        /// Which kind.
        kind: FileType,
    },
    /// More points than the profile allows.
    #[error("a picture of {width} x {height} points, the limit guard.files.pixels is {max}")]
    Pixels {
        /// How wide.
        width: u32,
        /// How high.
        height: u32,
        /// The limit.
        max: u64,
    },
    /// More pages than the profile allows.
    #[error("a document of {found} pages, the limit guard.files.pages is {max}")]
    Pages {
        /// How many.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A document that nobody can look into.
    #[error("an encrypted document")]
    Encrypted,
    /// A document that does something when it is opened or clicked on.
    #[error("a document with {what}")]
    Active {
        /// What it does, as ISO 32000 calls it.
        what: &'static str,
    },
    /// What is packed in the document is more than it may be.
    #[error("a document whose content takes more than {max} bytes unpacked")]
    Unpacked {
        /// The limit.
        max: usize,
    },
}

impl FileError {
    /// The refusal as counters name it.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::UnknownType => "unknown-type",
            Self::WrongType { .. } => "wrong-type",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Broken { .. } => "broken",
            Self::Pixels { .. } => "pixels",
            Self::Pages { .. } => "pages",
            Self::Encrypted => "encrypted",
            Self::Active { .. } => "active",
            Self::Unpacked { .. } => "unpacked",
        }
    }
}

impl Files {
    /// Makes rules ready.
    pub const fn new(rules: FileRules) -> Self {
        Self { rules }
    }

    /// Longest file that is worth reading, in bytes.
    pub const fn bytes_max(&self) -> usize {
        self.rules.bytes
    }

    /// Parses a file and makes it anew. Takes memory of about four bytes for each of `guard.files.pixels`, and
    /// some milliseconds for each million: nothing for an async thread.
    ///
    /// # Errors
    /// Why it does not go through.
    pub fn remake(&self, declared: FileType, bytes: &[u8]) -> Result<Remade, FileError> {
        let (rules, max) = (&self.rules, self.rules.bytes);
        let fits = |bytes: &[u8]| match bytes.len() {
            length if length > max => Err(FileError::TooLarge { length, max }),
            _ => Ok(()),
        };
        fits(bytes)?;
        let kind = begins_like(bytes).ok_or(FileError::UnknownType)?;
        if kind != declared {
            let found = kind;
            return Err(FileError::WrongType { declared, found });
        }
        if !rules.types.contains(&kind) {
            return Err(FileError::NotAllowed { kind });
        }
        let bytes = match kind {
            FileType::Jpeg | FileType::Png => picture::remake(kind, rules, bytes)?,
            FileType::Pdf => pdf::remake(rules, bytes)?,
        };
        fits(&bytes)?;
        Ok(Remade { kind, bytes })
    }
}

/// By its first bytes, and at no other place: what has something before it is for a reader that is less strict.
fn begins_like(bytes: &[u8]) -> Option<FileType> {
    let begins = |signature: &[u8]| bytes.starts_with(signature);
    if begins(b"\xff\xd8\xff") {
        Some(FileType::Jpeg)
    } else if begins(b"\x89PNG\r\n\x1a\n") {
        Some(FileType::Png)
    } else if begins(b"%PDF-") {
        Some(FileType::Pdf)
    } else {
        None
    }
}
