//! What passed a node of one call: `guitai trace session` and `GET /api/v1/sessions/{id}/passed`.
//!
//! Relays, those of edges too, count the bytes of each connection that belongs to one session: a page's, a recorder's.
//! The links between relays carry many sessions and are counted by the flow log. A node keeps what it counted until it
//! ends, of so many connections that are over as [`KEPT_MAX`] says.

use serde::{Deserialize, Serialize};

use crate::{NodeName, UnixMillis, Zone};

/// Connections that are over and remembered by one node: a day of a busy one.
pub const KEPT_MAX: usize = 8_192;
/// Most connections of one session believed of one node; pages that come back make new ones.
pub const PASSED_MAX: usize = 512;

/// One connection of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PassedConnection {
    /// Who it was let in for: `ticket:…` of a page, `node:…` of a recorder.
    pub who: String,
    /// How it came: `web-transport`, `quic`, `web-socket`, `mesh`.
    pub transport: String,
    /// Since when.
    pub since: UnixMillis,
    /// Until when; left out while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// Bytes that came from it, where its transport counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Bytes that went to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
}

/// What passed one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePassed {
    /// Who says so.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// Since when it counts.
    pub since: UnixMillis,
    /// By time.
    pub connections: Vec<PassedConnection>,
}

/// What passed all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Passed {
    /// When they were asked.
    pub at: UnixMillis,
    /// Those that answered.
    pub nodes: Vec<NodePassed>,
    /// Those that did not.
    pub silent: Vec<NodeName>,
}
