//! Which seeds to run: `GUITAI_SEEDS` is a number of seeds from 0, or a range `from..to`.

use std::ops::Range;

/// Seeds run when nothing is said.
const SEEDS_DEFAULT: u64 = 500;

/// The seeds that the environment asks for.
///
/// # Panics
/// When `GUITAI_SEEDS` is neither a number nor a range: a typing mistake must not pass for a run.
pub fn wanted() -> Range<u64> {
    wanted_or(SEEDS_DEFAULT)
}

/// The seeds that the environment asks for, or so many from 0.
///
/// # Panics
/// As [`wanted`].
pub fn wanted_or(count: u64) -> Range<u64> {
    match std::env::var("GUITAI_SEEDS") {
        Ok(text) => parse(&text).expect("GUITAI_SEEDS is a number or a range from..to"),
        Err(_) => 0..count,
    }
}

fn parse(text: &str) -> Option<Range<u64>> {
    match text.split_once("..") {
        Some((from, to)) => Some(from.parse().ok()?..to.parse().ok()?),
        None => Some(0..text.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range() {
        assert_eq!(parse("5"), Some(0..5));
        assert_eq!(parse("17..18"), Some(17..18));
        assert_eq!(parse("many"), None);
    }
}
