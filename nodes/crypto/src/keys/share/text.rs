//! A sealed share as a person types it: 46 groups of five letters and digits, six to a line.
//!
//! Crockford's base 32 has no I, L, O and U; what is typed for them is read as 1, 1, 0 and refused.
//! Four characters of a group carry 20 bits, the fifth checks them and the group's place: any one
//! wrong character, any two swapped ones and any two swapped groups are found, and the group is named.
//! Four bytes of SM3 over the whole are the last word. A line's rest after `#` is for people.

use super::{SEALED_BYTES, SealedShare};
use crate::keys::passphrase::CostError;
use crate::sm3;

/// Bytes of the checksum over the whole.
const SUM_BYTES: usize = 4;
const WHOLE_BYTES: usize = SEALED_BYTES + SUM_BYTES;
/// Groups of a share.
pub const GROUPS: usize = WHOLE_BYTES * 8 / DATA_BITS;
const DATA_CHARS: usize = 4;
const DATA_BITS: usize = DATA_CHARS * 5;
const GROUPS_PER_LINE: usize = 6;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Most bytes that are looked at: a typed share with comments has some 500.
const TEXT_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(
    (WHOLE_BYTES * 8).is_multiple_of(DATA_BITS),
    "no bits are left over"
);

/// What is wrong with a typed share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareTextError {
    /// Too few or too many groups.
    #[error("a share has {GROUPS} groups, here are {found}")]
    Count {
        /// How many were typed.
        found: usize,
    },
    /// A group of another length.
    #[error("group {group} has {found} characters instead of 5")]
    Length {
        /// Which group, from 1.
        group: usize,
        /// Its length.
        found: usize,
    },
    /// A character that no group has.
    #[error("group {group} has a character that no share has; there is no U")]
    Character {
        /// Which group, from 1.
        group: usize,
    },
    /// A typing error, or a group in another's place.
    #[error("group {group} is mistyped or in the wrong place")]
    Group {
        /// Which group, from 1.
        group: usize,
    },
    /// Every group checks, but not all together.
    #[error("the groups do not belong together: a line of another share?")]
    Whole,
    /// Of a later release.
    #[error("a share of version {found}; this release reads version 1")]
    Version {
        /// What it says.
        found: u8,
    },
    /// Numbers that cannot be.
    #[error("threshold, count or number of the share are impossible")]
    Numbers,
    /// The cost of its passphrase is absurd.
    #[error("the share's passphrase")]
    Cost(#[from] CostError),
    /// Longer than any share.
    #[error("{found} bytes are more than any share has")]
    TooLong {
        /// Its length.
        found: usize,
    },
}

impl SealedShare {
    /// The text to print and keep.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = self.bytes();
        let sum = sm3::hash(&bytes);
        bytes.extend(sum.iter().take(SUM_BYTES));
        let (index, count, threshold) = self.position();
        let mut text = format!(
            "# GUITAI ROOT SHARE {index} of {count}, any {threshold} open the root, set {}\n",
            self.set()
        );
        let digits = digits(&bytes);
        let groups: Vec<&[u8]> = digits.chunks(DATA_CHARS).collect();
        for (line, chunk) in groups.chunks(GROUPS_PER_LINE).enumerate() {
            let first = line * GROUPS_PER_LINE;
            for (offset, data) in chunk.iter().enumerate() {
                let check = check(first + offset, data);
                let letters = data.iter().chain([&check]);
                text.extend(letters.map(|digit| char::from(ALPHABET[usize::from(digit % 32)])));
                text.push(' ');
            }
            text.push_str(&format!("# {}-{}\n", first + 1, first + chunk.len()));
        }
        text
    }

    /// Reads what was typed. Small letters, hyphens and line breaks anywhere are fine.
    pub fn from_text(text: &str) -> Result<Self, ShareTextError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ShareTextError::TooLong { found: text.len() });
        }
        let lines = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let groups: Vec<&str> = lines
            .flat_map(|line| line.split(|c: char| c.is_whitespace() || c == '-'))
            .filter(|group| !group.is_empty())
            .collect();
        let mut data = Vec::with_capacity(GROUPS * DATA_CHARS);
        for (place, group) in groups.iter().enumerate() {
            let group_number = place + 1;
            let mut typed = Vec::with_capacity(DATA_CHARS + 1);
            for letter in group.chars() {
                let digit = digit(letter).ok_or(ShareTextError::Character {
                    group: group_number,
                })?;
                typed.push(digit);
            }
            let Some((data_digits, [sum])) = typed.split_at_checked(DATA_CHARS) else {
                return Err(ShareTextError::Length {
                    group: group_number,
                    found: typed.len(),
                });
            };
            if check(place, data_digits) != *sum {
                return Err(ShareTextError::Group {
                    group: group_number,
                });
            }
            data.extend_from_slice(data_digits);
        }
        if groups.len() != GROUPS {
            return Err(ShareTextError::Count {
                found: groups.len(),
            });
        }
        let bytes = bytes(&data);
        let (share, sum) = bytes
            .split_first_chunk::<SEALED_BYTES>()
            .ok_or(ShareTextError::Whole)?;
        if !sm3::hash(share).starts_with(sum) {
            return Err(ShareTextError::Whole);
        }
        Self::parse(share)
    }
}

/// A linear code over the field of 32: the digits weighted by powers of a generator, plus the place.
fn check(place: usize, data: &[u8]) -> u8 {
    let mut sum = 0;
    for digit in data {
        sum = twice(sum ^ digit);
    }
    sum ^ (place % 32) as u8 // below 32
}

/// Multiplies by x in GF(2)[x] / (x^5 + x^2 + 1).
const fn twice(digit: u8) -> u8 {
    ((digit << 1) ^ ((digit >> 4) * 0b10_0101)) & 31
}

fn digit(letter: char) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET
        .iter()
        .position(|known| char::from(*known) == letter);
    place.and_then(|place| u8::try_from(place).ok())
}

/// Five bits at a time, most significant first.
fn digits(bytes: &[u8]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..bytes.len() * 8 / 5)
        .map(|digit| (0..5).fold(0, |value, offset| value << 1 | bit(digit * 5 + offset)))
        .collect()
}

fn bytes(digits: &[u8]) -> Vec<u8> {
    let bit = |at: usize| {
        digits
            .get(at / 5)
            .map_or(0, |digit| digit >> (4 - at % 5) & 1)
    };
    (0..digits.len() * 5 / 8)
        .map(|byte| (0..8).fold(0, |value, offset| value << 1 | bit(byte * 8 + offset)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::share::split;
    use crate::keys::{Cost, KeyId, Passphrase, RootName};

    fn share() -> SealedShare {
        let root = RootName {
            id: KeyId([1; 16]),
            generation: 1,
            created_unix: 5,
        };
        let shares = split(&zeroize::Zeroizing::new([7; 16]), root, 3, 5).unwrap();
        shares[2].seal(&Passphrase::new("an officer's words").unwrap(), Cost::MIN)
    }

    /// The groups alone.
    fn groups(text: &str) -> Vec<String> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap());
        lines
            .flat_map(|line| line.split_whitespace().map(str::to_owned))
            .collect()
    }

    #[test]
    fn what_is_typed_as_people_type_is_read() {
        let share = share();
        let text = share.to_text();
        assert!(text.starts_with("# GUITAI ROOT SHARE 3 of 5, any 3 open the root, set "));
        assert_eq!(groups(&text).len(), GROUPS);
        assert_eq!(GROUPS, 46);
        for typed in [
            text.clone(),
            text.to_lowercase(),
            groups(&text).join("-"),
            groups(&text).join("\n"),
            text.replace('0', "o").replace('1', "l"),
        ] {
            assert!(SealedShare::from_text(&typed).unwrap() == share, "{typed}");
        }
    }

    #[test]
    fn every_typing_error_is_found_and_its_group_named() {
        let honest = groups(&share().to_text());
        let read = |groups: &[String]| SealedShare::from_text(&groups.join(" ")).unwrap_err();
        for at in 0..honest.len() {
            let group = at + 1;
            for place in 0..5 {
                for other in ALPHABET {
                    let mut typed = honest.clone();
                    let mut letters: Vec<char> = typed[at].chars().collect();
                    if letters[place] == char::from(*other) {
                        continue;
                    }
                    letters[place] = char::from(*other);
                    typed[at] = letters.iter().collect();
                    assert_eq!(read(&typed), ShareTextError::Group { group });
                }
            }
            for place in 0..4 {
                let mut typed = honest.clone();
                let mut letters: Vec<char> = typed[at].chars().collect();
                letters.swap(place, place + 1);
                typed[at] = letters.iter().collect();
                if typed != honest {
                    assert_eq!(read(&typed), ShareTextError::Group { group });
                }
            }
            if let Some(next) = honest.get(at + 1).filter(|next| **next != honest[at]) {
                let mut typed = honest.clone();
                typed[at].clone_from(next);
                typed[at + 1].clone_from(&honest[at]);
                let found = read(&typed);
                assert!(
                    matches!(found, ShareTextError::Group { group: g } if g == group || g == group + 1)
                );
            }
            let mut typed = honest.clone();
            typed[at].push('0');
            assert_eq!(read(&typed), ShareTextError::Length { group, found: 6 });
            typed[at] = "ABU00".to_owned();
            assert_eq!(read(&typed), ShareTextError::Character { group });
        }
        assert_eq!(read(&honest[..45]), ShareTextError::Count { found: 45 });
        let mut longer = honest.clone();
        longer.push(honest[14].clone());
        assert_eq!(
            read(&longer),
            ShareTextError::Count { found: 47 },
            "{longer:?}"
        );
        let other = groups(&share().to_text());
        let half = [&honest[..30], &other[30..]].concat();
        assert_eq!(read(&half), ShareTextError::Whole);
        assert_eq!(
            SealedShare::from_text(&"0".repeat(TEXT_BYTES_MAX + 1)).unwrap_err(),
            ShareTextError::TooLong {
                found: TEXT_BYTES_MAX + 1
            }
        );
        assert_eq!(
            SealedShare::from_text("").unwrap_err(),
            ShareTextError::Count { found: 0 }
        );
    }
}
