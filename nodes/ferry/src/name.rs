//! Names that are safe as a file's name on both sides, and the hashes that stand in a manifest.

use std::{fmt, str::FromStr};

use guitai_types::{FerryId, Hex, SideName};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::limits::{KIND_BYTES_MAX, NAME_BYTES_MAX};

/// How the name of a bundle's file ends. A tar, so that the gap's own inspection can look inside.
pub const EXTENSION: &str = ".tar";

/// Why a text is no name of an item, or no kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "1 to {NAME_BYTES_MAX} characters of A-Z, a-z, 0-9, '.', '_' and '-' (a kind: to {KIND_BYTES_MAX}), not beginning with '.' or '-'"
)]
pub struct BadName;

/// An item's name: one path element without a way out of its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemName(String);

/// What an item is. One that this release does not know can be read, so that it can be refused by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindName(String);

/// The kinds that this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An evidence package in one file, `.vcep`.
    Recording,
    /// Files of a copy of the transparency log, as a tar.
    Log,
    /// A report: JSON or plain text.
    Report,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Recording, Self::Log, Self::Report];

    /// As it stands in a manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recording => "recording",
            Self::Log => "log",
            Self::Report => "report",
        }
    }

    /// How names of such items end.
    #[must_use]
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Recording => &[".vcep"],
            Self::Log => &[".tar"],
            Self::Report => &[".json", ".txt", ".csv", ".md"],
        }
    }

    /// Whether an item of this kind may have the name.
    #[must_use]
    pub fn may_have(self, name: &ItemName) -> bool {
        let fits = |ending: &&'static str| name.0.ends_with(*ending) && name.0.len() > ending.len();
        self.endings().iter().any(fits)
    }
}

impl From<Kind> for KindName {
    fn from(kind: Kind) -> Self {
        Self(kind.name().to_owned())
    }
}

impl KindName {
    /// The kind, where this release knows it.
    #[must_use]
    pub fn known(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == self.0)
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !text.is_empty()
        && text.len() <= bytes_max
        && !text.starts_with(['.', '-'])
        && text.bytes().all(fits)
}

macro_rules! names {
    ($($name:ident: $max:expr),*) => {$(
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                if is_name(&text, $max) { Ok(Self(text)) } else { Err(BadName) }
            }
        }
        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> { Self::try_from(text.to_owned()) }
        }
        impl From<$name> for String { fn from(name: $name) -> Self { name.0 } }
        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result { to.pad(&self.0) }
        }
    )*};
}

names!(ItemName: NAME_BYTES_MAX, KindName: KIND_BYTES_MAX);

/// A digest of 32 bytes, SM3 (GB/T 32905) or SHA-256, in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self}")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Hex(bytes) = Hex::deserialize(deserializer)?;
        let bytes = <[u8; 32]>::try_from(bytes);
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("a digest has 32 bytes"))
    }
}

/// The name of a bundle's file: `<ferry>.<from>.<number in ten digits>.tar`.
#[must_use]
pub fn file_name(ferry: &FerryId, from: &SideName, number: u64) -> String {
    format!("{ferry}.{from}.{number:010}{EXTENSION}")
}

/// The number in the name of a bundle's file; nothing for any name but the one that is written.
#[must_use]
pub fn number_of(file: &str, ferry: &FerryId, from: &SideName) -> Option<u64> {
    let digits = file.strip_suffix(EXTENSION)?.rsplit('.').next()?;
    let number = digits.parse().ok()?;
    (file_name(ferry, from, number) == file).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_folder() {
        for good in ["a.vcep", "5e55-1_b.vcep", "A"] {
            assert!(good.parse::<ItemName>().is_ok(), "{good}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in [
            "", ".", "..", ".a", "-a", "a/b", "a\\b", "a b", "a\n", "é", &long,
        ] {
            assert!(bad.parse::<ItemName>().is_err(), "{bad:?}");
        }
        let name: ItemName = ".vcep.vcep".trim_start_matches('.').parse().unwrap();
        assert!(Kind::Recording.may_have(&name) && !Kind::Report.may_have(&name));
    }

    #[test]
    fn a_bundle_is_called_one_way_only() {
        let (ferry, from) = ("gap".parse().unwrap(), "inner".parse().unwrap());
        let name = file_name(&ferry, &from, 7);
        assert_eq!(name, "gap.inner.0000000007.tar");
        assert_eq!(number_of(&name, &ferry, &from), Some(7));
        for other in [
            "gap.inner.7.tar",
            "gap.inner.00000000007.tar",
            "gap.outer.0000000007.tar",
            "gap.inner.0000000007.tar.new",
            "gap.inner.+000000007.tar",
        ] {
            assert_eq!(number_of(other, &ferry, &from), None, "{other}");
        }
    }
}
