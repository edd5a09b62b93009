//! Wall time as data.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, macros::format_description};

/// Milliseconds since the Unix epoch, UTC, as some node's clock said. Cores get it as an argument.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This time plus `millis`, saturating.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// In UTC, to the second: `2031-05-09 07:04:00Z`; the number itself where no calendar has it.
    pub fn utc(self) -> String {
        let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
        let seconds = i64::try_from(self.0 / 1000).ok();
        let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        time.and_then(|time| time.format(form).ok())
            .unwrap_or_else(|| self.0.to_string())
    }

    /// Milliseconds since `earlier`, 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
