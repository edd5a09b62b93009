//! The journal: one line of JSON per act, each with the SM3 of the line before it. Whoever alters,
//! drops or moves a line breaks the chain; the index holds its end, so cutting the end shows too.

use guitai_crypto::sm3;
use guitai_types::Hex;
use serde::{Deserialize, Serialize};

/// What was done to a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// The directory was made.
    Founded,
    /// A request was made.
    Requested,
    /// Another authority's answer was taken.
    Imported,
    /// A certificate was issued.
    Issued,
    /// A certificate was replaced by a new one of the same name.
    Rotated,
    /// A certificate was revoked.
    Revoked,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Counts from 1.
    pub seq: u64,
    /// When, seconds since 1970.
    pub at: u64,
    /// What.
    pub act: Act,
    /// To whose certificate.
    pub name: String,
    /// Its serial number; empty for a request.
    pub serial: String,
    /// More, for people.
    pub detail: String,
    /// SM3 of the line before; zeros before the first.
    pub previous: Hex,
}

/// Where the journal ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Number of records.
    pub(super) length: u64,
    /// SM3 of the last line; zeros if there is none.
    pub(super) hash: Hex,
}

impl Default for End {
    fn default() -> Self {
        Self {
            length: 0,
            hash: Hex(vec![0; sm3::DIGEST_BYTES]),
        }
    }
}

impl End {
    /// The next record, and the end after it.
    pub(super) fn next(
        &mut self,
        at: u64,
        act: Act,
        name: &str,
        serial: &str,
        detail: String,
    ) -> Record {
        self.length += 1;
        let record = Record {
            seq: self.length,
            at,
            act,
            name: name.to_owned(),
            serial: serial.to_owned(),
            detail,
            previous: self.hash.clone(),
        };
        self.hash = hash(&line(&record));
        record
    }
}

/// Why a journal is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line that is no record, or does not follow the one before it.
    #[error("journal line {line} was altered")]
    Altered {
        /// Counts from 1.
        line: u64,
    },
    /// Fewer or other lines than the index knows.
    #[error("journal ends with {found} records, the index knows {known}")]
    End {
        /// Lines there.
        found: u64,
        /// Lines that the index knows.
        known: u64,
    },
}

/// Records of a journal and where it ends. A last line without its end is left out: a crash cut it.
pub(super) fn read(text: &str) -> Result<(Vec<Record>, End), JournalError> {
    let mut end = End::default();
    let mut records = vec![];
    for line in text.split_inclusive('\n') {
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        let number = end.length + 1;
        let altered = || JournalError::Altered { line: number };
        let record: Record = serde_json::from_str(line).map_err(|_| altered())?;
        if record.seq != number || record.previous != end.hash || self::line(&record) != line {
            return Err(altered());
        }
        end.length = number;
        end.hash = hash(line);
        records.push(record);
    }
    Ok((records, end))
}

/// A record as it stands in the journal, without the line's end.
pub(super) fn line(record: &Record) -> String {
    // A struct of numbers and texts always serialises.
    serde_json::to_string(record).unwrap_or_default()
}

fn hash(line: &str) -> Hex {
    Hex(sm3::hash(line.as_bytes()).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (String, End) {
        let mut end = End::default();
        let mut text = String::new();
        for name in ["a", "b", "c"] {
            let record = end.next(7, Act::Issued, name, "4b", "node".to_owned());
            text += &line(&record);
            text.push('\n');
        }
        (text, end)
    }

    #[test]
    fn a_journal_reads_back_and_a_torn_line_is_left_out() {
        let (text, end) = three();
        let (records, found) = read(&text).expect("sound");
        assert_eq!((records.len(), &found), (3, &end));
        let torn = text.trim_end();
        let (records, _) = read(torn).expect("sound up to the torn line");
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn an_altered_dropped_or_moved_line_breaks_the_chain() {
        let (text, end) = three();
        let lines: Vec<&str> = text.lines().collect();
        let joined = |order: &[usize]| {
            let lines: String = order.iter().map(|i| format!("{}\n", lines[*i])).collect();
            read(&lines)
        };
        assert_eq!(joined(&[0, 2]), Err(JournalError::Altered { line: 2 }));
        assert_eq!(joined(&[1, 0, 2]), Err(JournalError::Altered { line: 1 }));
        let altered = text.replace("\"name\":\"b\"", "\"name\":\"x\"");
        assert_eq!(read(&altered), Err(JournalError::Altered { line: 3 }));
        // Cutting the end keeps the chain whole, but not its end.
        let (_, cut) = joined(&[0, 1]).expect("whole");
        assert_ne!(cut, end);
    }
}
