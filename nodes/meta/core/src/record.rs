//! The state as records.
/// Key of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// Counters, clock and epoch.
    Head,
}
/// Why records are no state.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Unknown key.
    #[error("a record has an unknown key")]
    Key,
}
