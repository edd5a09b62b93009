//! Texts and files that the two parties of a call send each other, and the rules that they are held to.
//!
//! A message is decided on by `guitai-inspect`: at the edge, and once more inside, because the edge is not
//! trusted. What it says is kept with the call's recording and nowhere else; the metadata has an event with its
//! kind, size and digest and with what was found in it, never its content.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Hex, MessageId, UnixMillis,
    limits::{
        FILE_BYTES_MAX, FILE_PAGES_MAX, FILE_PIXELS_MAX, PATTERN_BYTES_MAX, PATTERN_NAME_BYTES_MAX,
        PATTERNS_MAX,
    },
};

/// What happens when a rule finds something in a text.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It goes through and is counted.
    Count,
    /// All of it but its last four characters becomes asterisks.
    Mask,
    /// The text is refused.
    Block,
}

impl Action {
    /// As it stands in a profile, and as label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

/// Name of the rule for numbers of identity documents.
pub const ID_CARD: &str = "id-card";
/// Name of the rule for numbers of bank cards.
pub const BANK_CARD: &str = "bank-card";
/// Name of the rule for telephone numbers.
pub const PHONE: &str = "phone";

/// What is looked for in texts, and what happens then; `[guard.text]` of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextRules {
    /// Numbers of identity cards: 18 characters with the check character of GB 11643-1999, a region and a date
    /// that there are.
    pub id_card: Action,
    /// Numbers of bank cards: 16 to 19 digits with the check digit of ISO/IEC 7812-1 (Luhn).
    pub bank_card: Action,
    /// Telephone numbers of the mainland, mobile and fixed.
    pub phone: Action,
    /// The bank's own, at most [`PATTERNS_MAX`].
    pub patterns: Vec<Pattern>,
}

impl Default for TextRules {
    fn default() -> Self {
        Self {
            id_card: Action::Mask,
            bank_card: Action::Mask,
            phone: Action::Count,
            patterns: Vec::new(),
        }
    }
}

/// A pattern of the bank's own, for example of its customer numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// What counters and events call it: 1 to [`PATTERN_NAME_BYTES_MAX`] characters of a-z, 0-9 and '-'.
    pub name: String,
    /// A regular expression without look-around and back references, so that it takes linear time; at most
    /// [`PATTERN_BYTES_MAX`] bytes. It is held against the text with full-width characters made half-width.
    pub pattern: String,
    /// What happens.
    pub action: Action,
}

/// A kind of file that may be sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FileType {
    /// ISO/IEC 10918.
    Jpeg,
    /// ISO/IEC 15948.
    Png,
    /// ISO 32000.
    Pdf,
}

impl FileType {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::Pdf];

    /// Its media type (RFC 6838).
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Pdf => "application/pdf",
        }
    }

    /// The kind of a media type as a browser declares it.
    pub fn of_media_type(declared: &str) -> Option<Self> {
        let essence = declared.split(';').next().unwrap_or_default().trim();
        let named = |kind: &Self| essence.eq_ignore_ascii_case(kind.media_type());
        Self::ALL.into_iter().find(named)
    }

    /// As it stands in a profile, and as label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Pdf => "pdf",
        }
    }
}

/// Which files may be sent; `[guard.files]` of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileRules {
    /// Kinds; none without any, and then no file is sent at all.
    pub types: Vec<FileType>,
    /// Most bytes of a file, before and after it is made anew; at most [`FILE_BYTES_MAX`].
    pub bytes: usize,
    /// Most points of a picture, at most [`FILE_PIXELS_MAX`]: while it is made anew each takes four bytes of memory.
    pub pixels: u64,
    /// Most pages of a document, at most [`FILE_PAGES_MAX`].
    pub pages: usize,
}

impl Default for FileRules {
    fn default() -> Self {
        Self {
            types: FileType::ALL.to_vec(),
            bytes: FILE_BYTES_MAX,
            pixels: 16_000_000,
            pages: 50,
        }
    }
}

/// What texts and files between customer and agent are held to; `[guard]` of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessageRules {
    /// Texts.
    pub text: TextRules,
    /// Files.
    pub files: FileRules,
}

impl MessageRules {
    /// Checks what a file can show; whether each pattern is a regular expression, `guitai-inspect` finds out.
    ///
    /// # Errors
    /// The first broken rule, with its limit.
    pub fn check(&self) -> Result<(), MessageRulesError> {
        let (patterns, files) = (&self.text.patterns, &self.files);
        at_most(
            "guard.text.patterns",
            patterns.len() as u64,
            PATTERNS_MAX as u64,
        )?;
        let mut names = BTreeSet::from([ID_CARD, BANK_CARD, PHONE]);
        for Pattern { name, pattern, .. } in patterns {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let is_name = !name.is_empty() && name.len() <= PATTERN_NAME_BYTES_MAX;
            if !is_name || !name.bytes().all(plain) {
                return Err(MessageRulesError::Name);
            }
            if !names.insert(name) {
                return Err(MessageRulesError::Twice(name.clone()));
            }
            at_most(
                "bytes of a pattern",
                pattern.len() as u64,
                PATTERN_BYTES_MAX as u64,
            )?;
        }
        at_most(
            "guard.files.bytes",
            files.bytes as u64,
            FILE_BYTES_MAX as u64,
        )?;
        at_most("guard.files.pixels", files.pixels, FILE_PIXELS_MAX)?;
        at_most(
            "guard.files.pages",
            files.pages as u64,
            FILE_PAGES_MAX as u64,
        )
    }
}

const fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), MessageRulesError> {
    if found <= limit {
        return Ok(());
    }
    Err(MessageRulesError::Limit { what, found, limit })
}

/// Why rules for messages cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageRulesError {
    /// A pattern without a name that counters can carry.
    #[error(
        "guard.text.patterns: a name is 1 to {PATTERN_NAME_BYTES_MAX} characters of a-z, 0-9 and '-'"
    )]
    Name,
    /// A name used twice, or one of the built-in rules.
    #[error("guard.text.patterns: {0} is used twice")]
    Twice(String),
    /// Too much of something.
    #[error("{what}: {found} is over the limit of {limit}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much.
        found: u64,
        /// The limit.
        limit: u64,
    },
}

/// What a rule found in a text: how often, never what.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Name of the rule.
    pub rule: String,
    /// What was done.
    pub action: Action,
    /// How often.
    pub count: u32,
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sender {
    /// The customer.
    Customer,
    /// The agent.
    Agent,
}

impl Sender {
    /// As an event of the session names its actor.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Agent => "agent",
        }
    }
}

/// A file, apart from its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileHead {
    /// Its name as the sender has it, of one line and at most [`crate::limits::FILE_NAME_CHARS_MAX`] characters.
    pub name: String,
    /// What it is, found by parsing it.
    pub kind: FileType,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SM3.
    pub sm3: Hex,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub enum MessageBody {
    /// A text, as it went through.
    Text {
        /// At most [`crate::limits::MESSAGE_CHARS_MAX`] characters.
        text: String,
    },
    /// A file; its bytes are asked for by the message's id.
    File {
        /// What it is.
        file: FileHead,
    },
}

/// A message as the parties of a call see it, and as it lies with the recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Random id.
    pub id: MessageId,
    /// Number of its event in the session; 0 where it lies with the recording, which does not know it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// When, by the clock of the node that took it.
    pub at: UnixMillis,
    /// Who sent it.
    pub from: Sender,
    /// What it says.
    pub body: MessageBody,
    /// What the rules found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
}

impl Message {
    /// What its event says of it.
    pub fn note(&self, sm3: Hex, copies: u32) -> MessageNote {
        let (kind, bytes) = match &self.body {
            MessageBody::Text { text } => (None, text.len() as u64),
            MessageBody::File { file } => (Some(file.kind), file.bytes),
        };
        MessageNote {
            id: self.id.clone(),
            from: self.from,
            kind,
            bytes,
            sm3,
            found: self.found.clone(),
            copies,
        }
    }
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What the metadata knows of a message: everything but what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageNote {
    /// Its id.
    pub id: MessageId,
    /// Who sent it.
    pub from: Sender,
    /// What kind of file; none of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileType>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SM3, of the text as it went through or of the file as it was made anew.
    pub sm3: Hex,
    /// What the rules found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Found>,
    /// Recorders that had it durably when this was proposed.
    pub copies: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_past_their_limits_are_refused_by_name() {
        let rules = |toml: &str| serde_json::from_str::<MessageRules>(toml).unwrap().check();
        assert_eq!(rules("{}"), Ok(()));
        for (json, word) in [
            (r#"{"files": {"bytes": 4194305}}"#, "guard.files.bytes"),
            (r#"{"files": {"pixels": 40000001}}"#, "guard.files.pixels"),
            (r#"{"files": {"pages": 501}}"#, "guard.files.pages"),
            (
                r#"{"text": {"patterns": [{"name": "Kd", "pattern": "x", "action": "mask"}]}}"#,
                "a name is",
            ),
            (
                r#"{"text": {"patterns": [{"name": "phone", "pattern": "x", "action": "mask"}]}}"#,
                "phone is used twice",
            ),
        ] {
            let refused = rules(json).unwrap_err().to_string();
            assert!(refused.contains(word), "{refused}");
        }
        assert!(serde_json::from_str::<MessageRules>(r#"{"texts": {}}"#).is_err());
    }

    #[test]
    fn a_media_type_names_its_kind() {
        let kind = FileType::of_media_type("Image/JPEG; charset=x");
        assert_eq!(kind, Some(FileType::Jpeg));
        assert_eq!(FileType::of_media_type("image/svg+xml"), None);
    }
}
