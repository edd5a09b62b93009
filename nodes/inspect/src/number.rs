//! Numbers in a text: runs of digits, as people write them in groups.

use crate::text::Span;

/// Most separators between two digits of one number.
const SEPARATORS_MAX: usize = 1;

/// Digits that belong together: between two of them stands at most one separator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) digits: Vec<Digit>,
    /// The character after the last digit where it is an X: the check character of an identity card.
    pub(crate) has_x: bool,
}

/// One digit and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digit {
    pub(crate) value: u8,
    /// Its place in the text, in characters.
    pub(crate) at: usize,
    /// A group begins with it: nothing, or a separator, stands before it.
    pub(crate) begins: bool,
    /// A group ends with it.
    pub(crate) ends: bool,
}

impl Run {
    /// Every row of `length` digits, by its place among the digits of the run.
    pub(crate) fn rows(&self, length: usize) -> impl Iterator<Item = (usize, &[Digit])> {
        self.digits.windows(length).enumerate()
    }
}

/// Where a row of digits stands in the text.
pub(crate) fn span(row: &[Digit]) -> Option<Span> {
    Some((row.first()?.at, row.last()?.at + 1))
}

/// Whether a row is made of whole groups, so that it is no part of a longer number.
pub(crate) fn is_whole(row: &[Digit]) -> bool {
    row.first().is_some_and(|digit| digit.begins) && row.last().is_some_and(|digit| digit.ends)
}

/// The runs of a text whose characters are half-width.
pub(crate) fn runs(chars: &[char]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut run: Vec<Digit> = Vec::new();
    let mut gap = 0;
    for (at, &c) in chars.iter().enumerate() {
        if let Some(value) = c.to_digit(10).and_then(|value| u8::try_from(value).ok()) {
            let begins = run.is_empty() || gap > 0;
            if begins && let Some(last) = run.last_mut() {
                last.ends = true;
            }
            gap = 0;
            run.push(Digit {
                value,
                at,
                begins,
                ends: false,
            });
        } else if is_separator(c) && !run.is_empty() && gap < SEPARATORS_MAX {
            gap += 1;
        } else {
            close(&mut runs, &mut run, matches!(c, 'x' | 'X') && gap == 0);
            gap = 0;
        }
    }
    close(&mut runs, &mut run, false);
    runs
}

fn close(runs: &mut Vec<Run>, run: &mut Vec<Digit>, has_x: bool) {
    if let Some(last) = run.last_mut() {
        last.ends = true;
        let digits = std::mem::take(run);
        runs.push(Run { digits, has_x });
    }
}

/// A full-width character as its half-width one; any other as it is.
pub(crate) fn fold(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        // Dashes that keyboards and word processors put for a hyphen.
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        _ => c,
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | ' ' | '\u{a0}' | '\t')
}
