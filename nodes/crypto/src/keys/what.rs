//! What a key is: its id, what it is for, and which zone may use it.

use crate::random;

/// Name of a key; drawn with it, public, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; Self::BYTES]);

impl KeyId {
    /// Bytes of an id.
    pub const BYTES: usize = 16;

    /// A new id.
    pub(crate) fn draw() -> Self {
        Self(random::array())
    }
}

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// What the data keys under a key-encryption key (KEK) protect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Recordings of calls.
    Recording,
    /// What is kept of a call besides its recording.
    Call,
    /// Backups.
    Backup,
    /// Log, snapshots and view of the metadata.
    Storage,
    /// Private keys of the node: TLS, evidence seal, tokens.
    Identity,
}

impl Purpose {
    /// Every purpose, in the order of the files.
    pub const ALL: [Self; 5] = [
        Self::Recording,
        Self::Call,
        Self::Backup,
        Self::Storage,
        Self::Identity,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Call => "call",
            Self::Backup => "backup",
            Self::Storage => "storage",
            Self::Identity => "identity",
        }
    }

    /// The purpose of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == word)
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Recording => 1,
            Self::Call => 2,
            Self::Backup => 3,
            Self::Storage => 4,
            Self::Identity => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.code() == code)
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The zone of the node that holds a ring, as far as keys are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// An edge: its own TLS key and nothing else.
    Dmz,
    /// An inner node: everything of its roles.
    Inner,
}

impl Zone {
    /// Whether a node of this zone may hold a KEK of this purpose.
    #[must_use]
    pub const fn may_hold(self, purpose: Purpose) -> bool {
        matches!(self, Self::Inner) || matches!(purpose, Purpose::Identity)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dmz => "dmz",
            Self::Inner => "inner",
        }
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Dmz => 1,
            Self::Inner => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Dmz),
            2 => Some(Self::Inner),
            _ => None,
        }
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
