//! Checks of what a command brings, each naming its limit.

use guitai_types::{
    Hex, Problem,
    canonical::INTEGER_MAX,
    limits::{BUSINESS_CHARS_MAX, NAME_CHARS_MAX, NOTE_CHARS_MAX},
    problem::Code,
};

use crate::limits::{POINT_BYTES, WORD_BYTES_MAX};

/// A display name: something, not too long, one line.
pub(crate) fn name(what: &str, text: &str) -> Result<(), Problem> {
    let chars = text.chars().count();
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("{what} is empty or not one line"),
        ));
    }
    at_most(what, chars, "NAME_CHARS_MAX", NAME_CHARS_MAX)
}

/// A free text: may be empty and have several lines.
pub(crate) fn note(what: &str, text: &str) -> Result<(), Problem> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::new(
            Code::BadRequest,
            format!("{what} has control characters"),
        ));
    }
    at_most(what, text.chars().count(), "NOTE_CHARS_MAX", NOTE_CHARS_MAX)
}

/// A number in the bank's own systems: may be empty, and has no blanks at its ends.
pub(crate) fn number(what: &str, text: &str) -> Result<(), Problem> {
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(bad(format!(
            "{what} is not one line without blanks around it"
        )));
    }
    let chars = text.chars().count();
    at_most(what, chars, "BUSINESS_CHARS_MAX", BUSINESS_CHARS_MAX)
}

/// A short word: a step id, an actor, the name of a detail.
pub(crate) fn word(what: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("{what} is empty or not one word"),
        ));
    }
    at_most(what, text.len(), "WORD_BYTES_MAX", WORD_BYTES_MAX)
}

/// A number that every reader of canonical JSON keeps exact.
pub(crate) fn integer(what: &str, number: u64) -> Result<(), Problem> {
    let max = INTEGER_MAX;
    if number <= max {
        return Ok(());
    }
    Err(bad(format!("{what} {number} is past INTEGER_MAX, {max}")))
}

/// A page's SM2 public key: an uncompressed point. Whether it lies on the curve, who wraps to it sees.
pub(crate) fn point(what: &str, key: &Hex) -> Result<(), Problem> {
    if key.0.len() == POINT_BYTES && key.0.first() == Some(&4) {
        return Ok(());
    }
    let detail = format!("{what} is no uncompressed SM2 point of {POINT_BYTES} bytes");
    Err(Problem::new(Code::BadRequest, detail))
}

/// Refuses a size above its limit.
pub(crate) fn at_most(what: &str, size: usize, limit: &str, max: usize) -> Result<(), Problem> {
    if size <= max {
        return Ok(());
    }
    Err(Problem::new(
        Code::TooLarge,
        format!("{what}: {size}, the limit {limit} is {max}"),
    ))
}

/// Refuses one more when there are already as many as the limit allows.
pub(crate) fn room(what: &str, present: usize, limit: &str, max: usize) -> Result<(), Problem> {
    if present < max {
        return Ok(());
    }
    let detail = format!("{what}: {present}, the limit {limit} is {max}");
    Err(Problem::new(Code::TooMany, detail))
}

/// Not there.
pub(crate) fn missing(what: &str) -> Problem {
    Problem::new(Code::NotFound, format!("no such {what}"))
}

/// Not now.
pub(crate) fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::WrongState, detail)
}

/// Never.
pub(crate) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadRequest, detail)
}
