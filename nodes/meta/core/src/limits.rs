//! Limits that concern the core alone; those that others must know are in `guitai_types::limits`.

use guitai_types::limits::{EVENTS_KEPT, SESSION_EVENTS_MAX};

/// How long an ended ticket stays, in milliseconds, so that its customer can see the end and rate.
pub const TICKET_ENDED_KEPT_MS: u64 = 30 * 60 * 1000;
/// Ended tickets kept at most; the oldest goes first.
pub const TICKETS_ENDED_KEPT: usize = 20_000;
/// Due things one tick handles at most, so that no single log entry takes long to apply; the next
/// tick follows at once.
pub const TICK_DUE_MAX: usize = 1_000;
/// A touch sooner than this after the one before changes nothing, in milliseconds.
pub const TOUCH_MS_MIN: u64 = 1_000;
/// Institutions of one cluster.
pub const INSTITUTIONS_MAX: usize = 64;
/// Queues of one institution.
pub const QUEUES_MAX: usize = 64;
/// Steps of one queue's flow.
pub(crate) const STEPS_MAX: usize = 64;
/// Details of one business step.
pub(crate) const DETAILS_MAX: usize = 16;
/// Longest wrapped media key in bytes; SM2 needs 129 for a key of 32.
pub(crate) const WRAPPED_BYTES_MAX: usize = 512;
/// Longest single word in bytes: an actor is a duty, a colon and an id.
pub(crate) const WORD_BYTES_MAX: usize = 128;
/// An uncompressed SM2 point.
pub(crate) const POINT_BYTES: usize = 65;
/// Session events that only the cluster itself writes (recording, end, rating) always find room:
/// business steps stop this far below `SESSION_EVENTS_MAX`.
pub(crate) const SYSTEM_EVENTS_RESERVED: usize = 200;
/// The last of them are for the end and the rating.
pub(crate) const CLOSING_EVENTS_RESERVED: usize = 4;
/// Shortest period of a class, in months: what 网络安全法 21 asks of logs, and no recording is less than that.
/// With it nobody can have a recording destroyed soon after it was made, whatever matrix was agreed on.
pub(crate) const RETENTION_MONTHS_MIN: u32 = 6;
/// In how many centres there should be a whole copy of every recording, where there are so many with recorders.
pub(crate) const PLACEMENT_CENTRES: usize = 2;
/// How long a recorder has to seal, or to get a replica, in milliseconds, before another one is asked.
pub(crate) const REPLICA_PATIENCE_MS: u64 = 10 * 60 * 1000;
/// A copy is read through again after so many milliseconds: thirty days.
pub(crate) const READ_AGAIN_AFTER_MS: u64 = 30 * 24 * 60 * 60 * 1000;

const _: () = assert!(SYSTEM_EVENTS_RESERVED < SESSION_EVENTS_MAX);
const _: () = assert!(CLOSING_EVENTS_RESERVED < SYSTEM_EVENTS_RESERVED);
// One tick must not push events out of the ring that nobody has seen: each due thing makes at most
// four, and may free an agent for another ticket (three more).
const _: () = assert!(TICK_DUE_MAX * 7 < EVENTS_KEPT);
