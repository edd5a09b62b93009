//! What a bundle states: its place in the chain, its parts, and what was taken of the other side.

use guitai_types::{FerryId, SideName, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::{
    limits::{
        CONTENT_BYTES_MAX, DETAIL_BYTES_MAX, MISSING_MAX, PARTS_MAX, REFUSED_FILES_MAX,
        REFUSED_ITEMS_MAX,
    },
    name::{Hash, ItemName, KindName},
};

/// Format and version of [`Manifest`].
pub const FORMAT: &str = "guitai-ferry-bundle/1";
/// Format and version of [`Answer`].
pub const ANSWER_FORMAT: &str = "guitai-ferry-answer/1";

/// The statement of one bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// Which gap.
    pub ferry: FerryId,
    /// Who made it.
    pub from: SideName,
    /// For whom.
    pub to: SideName,
    /// Counts the bundles of this direction from 1, without gaps.
    pub number: u64,
    /// SM3 of the statement of the bundle before; left out of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Hash>,
    /// When it was made, by the sender's clock; nothing is decided by it.
    pub at: UnixMillis,
    /// Which of its own bundles the sender knows to be acknowledged: what was refused up to there is heard.
    pub settled: u64,
    /// What the sender has taken of the other direction.
    pub ack: Ack,
    /// What it carries, in order.
    pub parts: Vec<Part>,
}

/// What a side has taken of the other's bundles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// All bundles up to this number; 0 before the first.
    pub received: u64,
    /// SM3 of the statement of that bundle; left out before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<Hash>,
    /// More was taken than can be said: the rest comes when the other side has settled this.
    pub more: bool,
    /// Numbers past it that are missing while later ones are there.
    pub missing: Vec<u64>,
    /// Items of those bundles that were refused; every other item that was complete is kept.
    pub refused: Vec<RefusedItem>,
    /// The last files that were no bundles; nothing in them is believed.
    pub files: Vec<RefusedFile>,
    /// How many such files there were in all.
    pub files_refused: u64,
}

/// An item that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedItem {
    /// Its number.
    pub item: u64,
    /// The bundle with its last part, or with the part by which it was refused.
    pub bundle: u64,
    /// Why.
    pub why: WhyItem,
    /// More, for people.
    pub detail: String,
}

/// A file that was no bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedFile {
    /// Its name, as far as it can be shown.
    pub file: String,
    /// SM3 of it; left out where it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sm3: Option<Hash>,
    /// Why.
    pub why: WhyFile,
}

/// Why an item was refused. It is not sent again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyItem {
    /// The receiver's release knows no such kind.
    UnknownKind,
    /// No item of its kind is called so.
    Name,
    /// Larger than the receiver takes of its kind.
    TooLarge,
    /// The whole is not what its digests say.
    Digest,
    /// What is inside did not pass inspection.
    Inspection,
}

impl WhyItem {
    /// As it stands in an acknowledgement.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownKind => "unknown-kind",
            Self::Name => "name",
            Self::TooLarge => "too-large",
            Self::Digest => "digest",
            Self::Inspection => "inspection",
        }
    }
}

/// Why a file in the drop folder was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyFile {
    /// No bundle of this ferry and direction is called so.
    Stray,
    /// Larger than a bundle may be.
    TooLarge,
    /// Shorter than it says.
    Truncated,
    /// Not in the one form of a bundle, or a part is not what its digest says.
    Garbled,
    /// Not signed by the pinned key of the other side.
    Forged,
    /// Signed, but of another ferry, for somebody else, or of an unknown version.
    Foreign,
    /// Signed, but it does not follow the bundle before it.
    Previous,
    /// Signed, but another bundle of this number was taken already: the sender has two histories.
    Conflict,
    /// Signed, but too far past what is missing.
    Ahead,
    /// Signed, but its parts do not continue what came before.
    Parts,
    /// Signed, but it acknowledges what was never sent.
    Acknowledgement,
}

impl WhyFile {
    /// As it stands in an acknowledgement.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stray => "stray",
            Self::TooLarge => "too-large",
            Self::Truncated => "truncated",
            Self::Garbled => "garbled",
            Self::Forged => "forged",
            Self::Foreign => "foreign",
            Self::Previous => "previous",
            Self::Conflict => "conflict",
            Self::Ahead => "ahead",
            Self::Parts => "parts",
            Self::Acknowledgement => "acknowledgement",
        }
    }
}

/// One thing that is carried whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Counts the items of this direction from 1, without gaps.
    pub number: u64,
    /// What it is.
    pub kind: KindName,
    /// What it is called.
    pub name: ItemName,
    /// How large it is.
    pub bytes: u64,
    /// SM3 of the whole.
    pub sm3: Hash,
    /// SHA-256 of the whole, for tools of others.
    pub sha256: Hash,
}

/// A stretch of an item; one that is small is one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Of what.
    pub item: Item,
    /// Where in the item it begins.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// SM3 of these bytes.
    pub sm3: Hash,
}

impl Part {
    /// Whether the item ends with it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.offset.checked_add(self.bytes) == Some(self.item.bytes)
    }

    /// Whether it lies within its item and brings it on.
    fn fits(&self) -> bool {
        let end = self.offset.checked_add(self.bytes);
        let within = end.is_some_and(|end| end <= self.item.bytes);
        within && (self.bytes > 0 || self.item.bytes == 0)
    }
}

/// An acknowledgement that is carried by hand, where no bundle goes the other way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`ANSWER_FORMAT`].
    pub format: String,
    /// Which gap.
    pub ferry: FerryId,
    /// Who acknowledges.
    pub from: SideName,
    /// Whose bundles.
    pub to: SideName,
    /// When it was made.
    pub at: UnixMillis,
    /// What is acknowledged.
    pub ack: Ack,
}

impl Ack {
    /// Whether it keeps to the limits and to its own form.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let details = self.refused.iter().map(|it| it.detail.len());
        self.tip.is_some() == (self.received > 0)
            && self.missing.len() <= MISSING_MAX
            && self.missing.iter().all(|number| *number > self.received)
            && self.refused.len() <= REFUSED_ITEMS_MAX
            && self.refused.iter().all(|it| it.bundle <= self.received)
            && self.files.len() <= REFUSED_FILES_MAX
            && details.max().unwrap_or(0) <= DETAIL_BYTES_MAX
    }
}

impl Manifest {
    /// Whether it keeps to the limits and to its own form.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let content = self
            .parts
            .iter()
            .try_fold(0_u64, |sum, part| sum.checked_add(part.bytes));
        self.number > 0
            && self.previous.is_some() == (self.number > 1)
            && self.settled < self.number
            && self.parts.len() <= PARTS_MAX
            && self.parts.iter().all(Part::fits)
            && content.is_some_and(|content| content <= CONTENT_BYTES_MAX)
            && self.ack.is_sound()
    }
}

/// A text cut to what a refusal may say, without control characters.
#[must_use]
pub fn detail(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut = String::new();
    for c in shown {
        if cut.len() + c.len_utf8() > DETAIL_BYTES_MAX {
            break;
        }
        cut.push(c);
    }
    cut
}
