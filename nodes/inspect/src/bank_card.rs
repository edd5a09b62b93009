//! Numbers of bank cards (ISO/IEC 7812-1): 16 to 19 digits, the last of them Luhn's check digit.

use crate::{
    number::{self, Digit, Run},
    text::Span,
};

/// Digits of a bank card.
const DIGITS: std::ops::RangeInclusive<usize> = 16..=19;

/// Where a run has numbers of bank cards, the longest first. They are made of whole groups: one number in ten has
/// the check digit right, and a part of a longer one is no card.
pub(crate) fn find(run: &Run) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut taken = vec![false; run.digits.len()];
    for length in DIGITS.rev() {
        for (place, row) in run.rows(length) {
            let is_card = number::is_whole(row) && is_issued(row) && is_luhn(row);
            let places = taken.get_mut(place..place + length);
            if let (true, Some(places), Some(span)) = (is_card, places, number::span(row))
                && !places.contains(&true)
            {
                places.fill(true);
                spans.push(span);
            }
        }
    }
    spans
}

/// Whether the first digit is one that banks issue under: 0, 1, 7 and 8 belong to others (ISO/IEC 7812-1, annex A).
fn is_issued(row: &[Digit]) -> bool {
    matches!(row.first(), Some(digit) if matches!(digit.value, 2..=6 | 9))
}

fn is_luhn(row: &[Digit]) -> bool {
    let sum: u32 = row
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(digit.value)) {
            (0, value) => value,
            (_, value @ 0..=4) => value * 2,
            (_, value) => value * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}
