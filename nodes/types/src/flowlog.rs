//! The flow log: what nodes saw of their connections, kept by the minute.
//!
//! Every node closes its own account each minute; the leader puts those of all nodes together, every inner node keeps
//! the result, and its root is agreed on and entered in the transparency log. Reasons:
//! `docs/decisions/0059-what-flowed-is-kept-by-the-minute.md`.

use serde::{Deserialize, Serialize};

use crate::{
    Hex, NodeName, UnixMillis,
    observed::{FlowFault, FlowFinding, NodeFlows},
    place::Text,
};

/// Milliseconds of a minute.
pub const MINUTE_MS: u64 = 60_000;
/// Closed minutes that a node holds until an inner node has asked for them.
pub const MINUTES_HELD_MAX: usize = 60;
/// Minutes of one node in one answer.
pub const MINUTES_ASKED_MAX: usize = 15;
/// Minutes whose roots the cluster's state has; the transparency log has all. As many as nodes hold, and some.
pub const MINUTES_AGREED_MAX: usize = 64;
/// Longest minute in bytes of text.
pub const MINUTE_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Days that a minute is kept. The Cybersecurity Law (网络安全法, article 21 (3)) asks for six months.
pub const KEPT_DAYS: u64 = 200;
/// Longest time that may be asked for at once, in days.
pub const KEPT_DAYS_ASKED_MAX: u64 = 200;
/// Nodes close their minutes by their own clocks, and those of a new cluster start one after the other: what is not
/// known at either end of a stretch is no gap up to so many milliseconds.
pub const GAP_AT_END_MS: u64 = 5_000;

/// The number of the minute that a time lies in, counted from 1970.
#[must_use]
pub const fn minute_of(at: UnixMillis) -> u64 {
    at.0 / MINUTE_MS
}

/// When a minute begins.
#[must_use]
pub const fn minute_begin(minute: u64) -> UnixMillis {
    UnixMillis(minute.saturating_mul(MINUTE_MS))
}

/// A minute as the cluster agreed on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreedMinute {
    /// Its number, counted from 1970.
    pub minute: u64,
    /// SM3 Merkle root over its lines (RFC 6962, section 2.1).
    pub root: Hex,
    /// How many lines.
    pub lines: u32,
}

/// A stretch of time in which nothing is known of a node's connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowGap {
    /// Which node.
    pub node: NodeName,
    /// From.
    pub from: UnixMillis,
    /// Until.
    pub to: UnixMillis,
}

/// What flowed in a stretch of time, summed over its minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowsKept {
    /// From: the time asked for, or the first minute that is kept.
    pub from: UnixMillis,
    /// Until: the time asked for, or the end of the last minute that is kept.
    pub to: UnixMillis,
    /// Minutes that it is made from.
    pub minutes: u64,
    /// SM3 of the matrix in force when it was asked, once there is one.
    pub matrix: Option<Hex>,
    /// The newest checkpoint of the transparency log then, a signed note; `guitai log consistency` can start from it.
    pub checkpoint: Option<String>,
    /// Sums, by name. Connections and bytes are those of the stretch; nothing is said to be open.
    pub nodes: Vec<NodeFlows>,
    /// Of whom nothing is known when, ordered.
    pub gaps: Vec<FlowGap>,
    /// What is not as it should be.
    pub findings: Vec<FlowFinding>,
}

/// One minute as it is kept, and where its root is in the transparency log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MinuteKept {
    /// Its number, counted from 1970.
    pub minute: u64,
    /// As they are kept: the first says which minute and who was silent, each of the others is what one node saw.
    pub lines: Vec<String>,
    /// SM3 Merkle root over them, computed for this answer.
    pub root: Hex,
    /// Number of the entry that has the root; none when it is in no checkpoint yet.
    pub entry: Option<u64>,
    /// What the entry has. Another root than the one computed: somebody has changed the lines.
    pub agreed: Option<AgreedMinute>,
}

/// How many gaps are findings of their own; what is beyond is counted.
const GAPS_NAMED_MAX: usize = 100;

impl FlowGap {
    /// Its length in milliseconds.
    pub fn millis(&self) -> u64 {
        self.to.since(self.from)
    }
}

/// Gaps that somebody has to look at.
pub fn gap_findings(gaps: &[FlowGap]) -> Vec<FlowFinding> {
    let finding = |gap: &FlowGap| {
        let seconds = gap.millis().div_ceil(1_000);
        let from = gap.from.utc();
        FlowFinding {
            node: gap.node.clone(),
            fault: FlowFault::Unknown,
            what: Text {
                zh: format!("{from} 起有 {seconds} 秒所见未知"),
                en: format!("what it saw is not known for {seconds} s from {from} on"),
            },
        }
    };
    gaps.iter().take(GAPS_NAMED_MAX).map(finding).collect()
}
