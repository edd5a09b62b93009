//! Numbers of identity cards (GB 11643-1999): region, date of birth, order, check character.

use crate::{
    number::{self, Digit, Run},
    text::Span,
};

/// Digits before the check character.
const BODY: usize = 17;
/// Weights of the check (GB 11643-1999, from ISO 7064 MOD 11-2).
const WEIGHTS: [u32; BODY] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check character by remainder.
const CHECK: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
/// Regions (GB/T 2260): provinces, the residence permits of 81 to 83, and 90 to 99 for those of foreigners.
const REGIONS: [std::ops::RangeInclusive<u32>; 8] = [
    11..=15,
    21..=23,
    31..=37,
    41..=46,
    50..=54,
    61..=65,
    81..=83,
    91..=91,
];

/// Where a run has numbers of identity cards. They are found inside of longer numbers too: that another row of
/// 18 characters has region, date and check character right is one case in some thousands.
pub(crate) fn find(run: &Run) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut free = 0;
    for (place, row) in run.rows(BODY) {
        if place < free || !is_plausible(row) {
            continue;
        }
        let (Some(check), Some((start, end))) = (check_of(row), number::span(row)) else {
            continue;
        };
        let next = run.digits.get(place + BODY);
        let end = match (check, next) {
            ('X', None) if run.has_x => end + 1,
            (check, Some(next)) if check.to_digit(10) == Some(next.value.into()) => next.at + 1,
            _ => continue,
        };
        free = place + BODY + 1;
        spans.push((start, end));
    }
    spans
}

fn is_plausible(row: &[Digit]) -> bool {
    let part = |from: usize, to: usize| {
        let digits = row.get(from..to).unwrap_or_default();
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit.value))
    };
    let is_region = REGIONS.iter().any(|regions| regions.contains(&part(0, 2)));
    is_region && is_date(part(6, 10), part(10, 12), part(12, 14))
}

/// Whether there is, was or will be such a day in three centuries.
const fn is_date(year: u32, month: u32, day: u32) -> bool {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return false,
    };
    1800 <= year && year < 2100 && 1 <= day && day <= days
}

fn check_of(row: &[Digit]) -> Option<char> {
    let sum: u32 = row
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit.value) * weight)
        .sum();
    CHECK.get(usize::try_from(sum % 11).ok()?).copied()
}

/// The check character of 17 digits.
#[cfg(test)]
pub(crate) fn check_character(body: &str) -> Option<char> {
    let chars: Vec<char> = body.chars().collect();
    let runs = number::runs(&chars);
    check_of(&runs.first()?.digits)
}
