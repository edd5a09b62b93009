//! Telephone numbers of the mainland: mobile (1[3-9] and nine digits) and fixed (0, area, seven or eight digits).

use crate::{
    number::{self, Digit, Run},
    text::Span,
};

/// Digits of a mobile number.
const MOBILE: usize = 11;
/// Digits of a fixed one, with its area.
const FIXED: std::ops::RangeInclusive<usize> = 10..=12;
/// Country code, which may stand before a mobile number without a gap.
const COUNTRY: [u8; 2] = [8, 6];

/// Where a run has telephone numbers. They are made of whole groups, apart from the country code.
pub(crate) fn find(run: &Run) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut free = 0;
    for place in 0..run.digits.len() {
        if place < free {
            continue;
        }
        let row = |length: usize| run.digits.get(place..place + length);
        let fixed = FIXED.rev().filter_map(row);
        let row = row(MOBILE).filter(|row| is_mobile(run, place, row));
        let row = row.or_else(|| fixed.into_iter().find(|row| is_fixed(row)));
        if let Some((row, span)) = row.and_then(|row| Some((row, number::span(row)?))) {
            free = place + row.len();
            spans.push(span);
        }
    }
    spans
}

fn is_mobile(run: &Run, place: usize, row: &[Digit]) -> bool {
    let values = |digit: &Digit| digit.value;
    let begins = row.first().is_some_and(|digit| digit.begins) || {
        let before = place
            .checked_sub(COUNTRY.len())
            .and_then(|from| run.digits.get(from..place));
        before.is_some_and(|before| {
            before.iter().map(values).eq(COUNTRY)
                && before.first().is_some_and(|digit| digit.begins)
        })
    };
    let ends = row.last().is_some_and(|digit| digit.ends);
    begins && ends && matches!(row, [one, two, ..] if one.value == 1 && two.value >= 3)
}

/// Areas of Peking and the 02x cities have three digits and numbers of eight; all others four, and seven or eight.
fn is_fixed(row: &[Digit]) -> bool {
    let fits = match row {
        [zero, one, two, ..] if zero.value == 0 => match (one.value, two.value) {
            (1, 0) | (2, _) => row.len() == 11,
            (3..=9, _) => row.len() >= 11,
            _ => false,
        },
        _ => false,
    };
    fits && number::is_whole(row)
}
