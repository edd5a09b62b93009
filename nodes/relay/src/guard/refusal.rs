//! Why a message does not cross.

use guitai_types::{Code, Problem};

/// Why a message does not cross. Says nothing of the message's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than the limit.
    #[error("a message of {length} bytes, the limit is {max}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Not JSON, or a field missing or of another type.
    #[error("not a control message")]
    Malformed,
    /// No message type of that name.
    #[error("a message type that may not cross")]
    UnknownType,
    /// A field the type does not have.
    #[error("a field that may not cross")]
    UnknownField,
    /// A message type of the other direction, or an answer to another question.
    #[error("a message in the wrong direction")]
    WrongDirection,
    /// A field's value is out of range.
    #[error("{field}: {rule}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What it should be.
        rule: &'static str,
    },
    /// The customer has not agreed to being recorded.
    #[error("no consent to recording")]
    NoConsent,
    /// A tunnel of an epoch that is over.
    #[error("an epoch that is over")]
    OldEpoch,
    /// No row of the flow matrix has this kind of message.
    #[error("a message that the flow matrix does not declare")]
    Undeclared,
    /// More of them than a row of the flow matrix allows, or than one ticket may ask.
    #[error("more than {max} messages a second of one {of}")]
    TooFast {
        /// Whose: `row` or `ticket`.
        of: &'static str,
        /// The limit.
        max: u64,
    },
}

impl Refusal {
    /// The refusal as counters name it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::TooLarge { .. } => Verdict::TooLarge,
            Self::Malformed => Verdict::Malformed,
            Self::UnknownType => Verdict::UnknownType,
            Self::UnknownField => Verdict::UnknownField,
            Self::WrongDirection => Verdict::WrongDirection,
            Self::BadValue { .. } | Self::NoConsent => Verdict::BadValue,
            Self::OldEpoch => Verdict::OldEpoch,
            Self::Undeclared => Verdict::Undeclared,
            Self::TooFast { .. } => Verdict::TooFast,
        }
    }

    /// Whether no honest peer would have sent it. One may not know yet that the matrix has changed, and passes on what
    /// its customers do.
    pub const fn is_held_against(&self) -> bool {
        !matches!(self, Self::Undeclared | Self::TooFast { .. })
    }

    /// The refusal as its sender sees it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::TooLarge { .. } => Code::TooLarge,
            Self::BadValue { .. } => Code::BadRequest,
            Self::NoConsent => Code::NoConsent,
            Self::TooFast { .. } => Code::TooMany,
            Self::Malformed
            | Self::UnknownType
            | Self::UnknownField
            | Self::WrongDirection
            | Self::OldEpoch
            | Self::Undeclared => Code::GuardRefused,
        };
        Problem::new(code, self.to_string())
    }
}

/// What became of a message, for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Checked and made anew.
    Passed,
    /// See [`Refusal::TooLarge`].
    TooLarge,
    /// See [`Refusal::Malformed`].
    Malformed,
    /// See [`Refusal::UnknownType`].
    UnknownType,
    /// See [`Refusal::UnknownField`].
    UnknownField,
    /// See [`Refusal::WrongDirection`].
    WrongDirection,
    /// See [`Refusal::BadValue`].
    BadValue,
    /// See [`Refusal::OldEpoch`].
    OldEpoch,
    /// See [`Refusal::Undeclared`].
    Undeclared,
    /// See [`Refusal::TooFast`].
    TooFast,
}

impl Verdict {
    /// Label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown-type",
            Self::UnknownField => "unknown-field",
            Self::WrongDirection => "wrong-direction",
            Self::BadValue => "bad-value",
            Self::OldEpoch => "old-epoch",
            Self::Undeclared => "undeclared",
            Self::TooFast => "too-fast",
        }
    }
}
