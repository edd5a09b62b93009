//! Marks: small named values that monitors, drills and benchmarks leave in the replicated metadata and
//! read back from anywhere. The product itself gives them no meaning, so that they can be written all day
//! without touching a customer.

use serde::{Deserialize, Serialize};

use crate::{MarkName, UnixMillis};

/// What stands under a mark's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The value last written; at most `MARK_BYTES_MAX` bytes, never empty.
    pub value: String,
    /// How often it was written, 1 for the first time.
    pub version: u64,
    /// When, by the clock of the leader that proposed it.
    pub at: UnixMillis,
}

/// A mark with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkView {
    /// Its name.
    pub name: MarkName,
    /// What stands under it.
    pub mark: Mark,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;

    #[test]
    fn the_bytes_of_a_mark_are_frozen() {
        let put = Command::PutMark {
            mark: "soak-1".parse().unwrap(),
            value: "7".to_owned(),
            sync: true,
        };
        let bytes = r#"{"do":"put-mark","mark":"soak-1","value":"7","sync":true}"#;
        assert_eq!(serde_json::to_string(&put).unwrap(), bytes);
        assert_eq!(serde_json::from_str::<Command>(bytes).unwrap(), put);
        let mark = Mark {
            value: "7".to_owned(),
            version: 2,
            at: UnixMillis(5),
        };
        let bytes = r#"{"value":"7","version":2,"at":5}"#;
        assert_eq!(serde_json::to_string(&mark).unwrap(), bytes);
        assert_eq!(serde_json::from_str::<Mark>(bytes).unwrap(), mark);
    }
}
