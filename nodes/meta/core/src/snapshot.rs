//! The state as one run of bytes: a first line of JSON that says format, version and how many
//! records follow, then one line `["<key>",<record>]` per record, in order of key kind and key.
//! Whether the bytes arrived whole is checked by whoever keeps them; the count catches a cut anyway.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{LoadError, State};

/// Version of the snapshot format that this release writes; it reads all up to it.
pub const SNAPSHOT_VERSION: u16 = 1;
const FORMAT: &str = "guitai-state";

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    v: u16,
    records: usize,
}

/// Why bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The first line is not a snapshot's.
    #[error("the snapshot does not begin with its header")]
    Header,
    /// Written by a later release.
    #[error("the snapshot has version {0}, known here is {SNAPSHOT_VERSION}")]
    Version(u16),
    /// A line is not a record.
    #[error("line {line} of the snapshot is no record")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Cut short, or something was added.
    #[error("the snapshot has {found} records, its header says {expected}")]
    Count {
        /// By the header.
        expected: usize,
        /// Present.
        found: usize,
    },
    /// The records are no state.
    #[error("the records of the snapshot are no state")]
    Records(#[from] LoadError),
}

impl State {
    /// The state as bytes; equal states give equal bytes.
    pub fn to_snapshot(&self) -> Vec<u8> {
        let lines = self
            .record_keys()
            .filter_map(|key| Some((self.record(&key)?, key)));
        let mut body = Vec::new();
        let mut records = 0;
        for (record, key) in lines {
            records += 1;
            // A key has no character that JSON would escape.
            body.extend_from_slice(format!("[\"{key}\",").as_bytes());
            body.extend_from_slice(&record);
            body.extend_from_slice(b"]\n");
        }
        let v = SNAPSHOT_VERSION;
        let header =
            format!("{{\"format\":\"{FORMAT}\",\"v\":{v},\"records\":{records}}}\n").into_bytes();
        [header, body].concat()
    }

    /// The state that [`State::to_snapshot`] wrote.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let header: Option<Header> = lines
            .next()
            .and_then(|line| serde_json::from_slice(line).ok());
        let header = header
            .filter(|header| header.format == FORMAT)
            .ok_or(SnapshotError::Header)?;
        if header.v > SNAPSHOT_VERSION {
            return Err(SnapshotError::Version(header.v));
        }
        let mut records: Vec<(&str, &str)> = Vec::new();
        for (number, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
            let parsed = serde_json::from_slice::<(&str, &RawValue)>(line);
            let fault = |source| SnapshotError::Line {
                line: number + 2,
                source,
            };
            let (key, value) = parsed.map_err(fault)?;
            records.push((key, value.get()));
        }
        if records.len() != header.records {
            let (expected, found) = (header.records, records.len());
            return Err(SnapshotError::Count { expected, found });
        }
        Ok(Self::load(records)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_snapshot_is_refused() {
        let refused = |text: &str| State::from_snapshot(text.as_bytes()).err();
        assert!(matches!(refused(""), Some(SnapshotError::Header)));
        assert!(matches!(refused("{\"v\":1}"), Some(SnapshotError::Header)));
        let later = r#"{"format":"guitai-state","v":2,"records":0}"#;
        assert!(matches!(refused(later), Some(SnapshotError::Version(2))));
        let cut = r#"{"format":"guitai-state","v":1,"records":1}"#;
        assert!(matches!(
            refused(cut),
            Some(SnapshotError::Count {
                expected: 1,
                found: 0
            })
        ));
        let garbled = format!("{cut}\n[\"head\"");
        assert!(matches!(
            refused(&garbled),
            Some(SnapshotError::Line { line: 2, .. })
        ));
    }

    #[test]
    fn the_empty_state_has_frozen_bytes() {
        let bytes = State::default().to_snapshot();
        assert_eq!(
            bytes,
            b"{\"format\":\"guitai-state\",\"v\":1,\"records\":0}\n"
        );
        assert_eq!(State::from_snapshot(&bytes).ok(), Some(State::default()));
    }
}
