//! Why a file is no matrix: where, and in words of both languages.

use guitai_types::{canonical::CanonicalError, place::Text};

use crate::{
    limits::FILE_BYTES_MAX,
    matrix::{FORMAT, RowId},
    names::{End, Protocol, Role, Word as _},
};

/// Why a file is no matrix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Longer than [`FILE_BYTES_MAX`].
    #[error("the file has {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// Not TOML, a field that there is not, a field that is missing, a value of another kind.
    #[error("line {line}{}: {message}", in_row(row.as_deref()))]
    Toml {
        /// From 1; 0 where the parser could not say.
        line: usize,
        /// The row it stands in.
        row: Option<String>,
        /// What is wrong, in the parser's words.
        message: String,
    },
    /// Not in canonical form.
    #[error("not the canonical form of a matrix")]
    Canonical(#[source] CanonicalError),
    /// Rules that it breaks; never none.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Faults(Vec<Fault>),
}

fn in_row(row: Option<&str>) -> String {
    row.map(|row| format!(", row {row}")).unwrap_or_default()
}

/// A rule that a file breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}{}, {field}: {}", in_row(row.as_deref()), why.words().en)]
pub struct Fault {
    /// From 1; 0 where what was read has no lines.
    pub line: usize,
    /// The row, as far as it has an id.
    pub row: Option<String>,
    /// The field, `limits.message_bytes`.
    pub field: &'static str,
    /// The rule.
    pub why: Why,
}

/// A rule of a matrix that is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Not [`FORMAT`].
    Format {
        /// What it says.
        found: String,
    },
    /// A word that is none of those there are.
    Unknown {
        /// What it says.
        value: String,
        /// What there is.
        known: String,
    },
    /// Not written as it must be.
    Form {
        /// How it must be.
        must: String,
    },
    /// A number outside of its range.
    Range {
        /// What it says.
        value: u64,
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// A text that is empty, too long, or has control characters.
    Length {
        /// Characters it has.
        chars: usize,
        /// Most.
        max: usize,
    },
    /// More than a matrix may have.
    TooMany {
        /// How many there are.
        found: usize,
        /// Most.
        max: usize,
    },
    /// There twice.
    Twice {
        /// What.
        value: String,
    },
    /// Another row allows the same connection.
    Overlap {
        /// Which.
        other: RowId,
    },
    /// The DMZ or the outer zone would open a connection that it must not.
    Opens {
        /// Who would open.
        opener: End,
        /// To whom.
        listener: End,
    },
    /// A role does not stand in that zone.
    Zone {
        /// The end.
        end: End,
    },
    /// The matrix does not declare the role, or the zone of a role.
    Undeclared {
        /// What is not declared.
        what: String,
    },
    /// The protocol is not carried so.
    Transport {
        /// Which.
        protocol: Protocol,
    },
    /// The protocol has no such message.
    Message {
        /// Which.
        protocol: Protocol,
        /// What it says.
        value: String,
    },
    /// The protocol has kinds of message, and the row allows none.
    NoMessages {
        /// Which.
        protocol: Protocol,
    },
    /// Without this kind of message the row is of no use, or could never be changed again.
    Needed {
        /// Which message.
        value: &'static str,
    },
    /// A message would go a way that the row does not allow.
    Way {
        /// Which message.
        value: String,
    },
    /// Nothing can be sealed for a role without a key of the call.
    Sealed {
        /// Which.
        role: Role,
    },
}

impl Why {
    /// The rule in words.
    pub fn words(&self) -> Text {
        let (zh, en) = match self {
            Self::Format { found } => (
                format!("格式为“{found}”,应为 {FORMAT}"),
                format!("\"{found}\" is not {FORMAT}"),
            ),
            Self::Unknown { value, known } => (
                format!("“{value}”不在其列:{known}"),
                format!("\"{value}\" is none of: {known}"),
            ),
            Self::Form { must } => (format!("写法应为:{must}"), format!("must be {must}")),
            Self::Range { value, min, max } => (
                format!("{value} 超出范围 {min} 至 {max}"),
                format!("{value} is not within {min} to {max}"),
            ),
            Self::Length { chars, max } => (
                format!("有 {chars} 个字符;须为 1 至 {max} 个,单行"),
                format!("{chars} characters; must be one line of 1 to {max}"),
            ),
            Self::TooMany { found, max } => (
                format!("有 {found} 项,上限 {max}"),
                format!("{found} of them; at most {max}"),
            ),
            Self::Twice { value } => (
                format!("“{value}”重复"),
                format!("\"{value}\" is there twice"),
            ),
            Self::Overlap { other } => (
                format!("与 {other} 行允许同一连接"),
                format!("row {other} allows the same connection"),
            ),
            Self::Opens { opener, listener } => (
                format!(
                    "{opener} 不得向 {listener} 建立连接:缓冲区不主动建立任何连接,外区只能到缓冲区"
                ),
                format!(
                    "{opener} must not open a connection to {listener}: the DMZ opens none, and the outer zone reaches the DMZ only"
                ),
            ),
            Self::Zone { end } => (
                format!("{} 只能位于 {}", end.role, end.role.zone().word()),
                format!("{} stands in {} only", end.role, end.role.zone().word()),
            ),
            Self::Undeclared { what } => {
                (format!("未声明 {what}"), format!("{what} is not declared"))
            }
            Self::Transport { protocol } => (
                format!("{protocol} 由 {} 承载", protocol.transport()),
                format!("{protocol} is carried by {}", protocol.transport()),
            ),
            Self::Message { protocol, value } => (
                format!("{protocol} 没有消息“{value}”"),
                format!("{protocol} has no message \"{value}\""),
            ),
            Self::NoMessages { protocol } => (
                format!("须列出允许的 {protocol} 消息"),
                format!("must list the messages of {protocol} that are allowed"),
            ),
            Self::Needed { value } => (
                format!("缺少“{value}”,此行缺之不可用"),
                format!("lacks \"{value}\", without which the row is of no use"),
            ),
            Self::Way { value } => (
                format!("“{value}”所走方向未获允许"),
                format!("\"{value}\" would go a way that `data` does not allow"),
            ),
            Self::Sealed { role } => (
                format!("{role} 不持有通话密钥"),
                format!("{role} never holds the key of a call"),
            ),
        };
        Text { zh, en }
    }
}
