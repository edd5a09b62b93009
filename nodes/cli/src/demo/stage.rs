//! The stages of a call: each has a name that the report shows, and a time limit.

use std::time::Duration;

use guitai_types::Code;

use super::StageFailure;
use crate::failure::Failure;

/// Longest time of one stage in milliseconds; ringing, the longest in normal times, takes under one second.
pub(super) const STAGE_MS_MAX: u64 = 20_000;

/// Runs one stage within its time.
pub(super) async fn stage<T>(
    name: &'static str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, StageFailure> {
    let limit = Duration::from_millis(STAGE_MS_MAX);
    let done = tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let detail = format!("not done within STAGE_MS_MAX, {STAGE_MS_MAX} ms");
        Err(Failure::new(Code::WrongState, detail))
    });
    done.map_err(|failure| StageFailure {
        stage: name,
        code: failure.problem.code,
        detail: failure.problem.detail,
    })
}
