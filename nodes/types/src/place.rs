//! Where things are: city, centre, zone, node; and what a node does there.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{CentreId, CityId, Hex, NodeId, NodeName};

/// A location in the sense of 两地三中心.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct City {
    /// Short id, for example `a`.
    pub id: CityId,
    /// Name for people, Chinese first.
    pub name: Text,
}

/// A data centre.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Centre {
    /// Short id, for example `a1`.
    pub id: CentreId,
    /// The city it stands in.
    pub city: CityId,
    /// Name for people, Chinese first.
    pub name: Text,
}

/// A text shown to people in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

/// A network zone. Arrows between zones point the way a connection is opened.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// Internet or branch network: customers.
    Outer,
    /// The data buffer area: edges. Opens nothing inward.
    Dmz,
    /// Bank intranet: core, relay, recorder, staff.
    Inner,
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Outer => "outer",
            Self::Dmz => "dmz",
            Self::Inner => "inner",
        })
    }
}

/// What a node does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Raft metadata, queue, API, staff pages.
    Core,
    /// Forwards media inside.
    Relay,
    /// Keeps recordings.
    Recorder,
    /// Ends the customer's connection in the DMZ: relay and guard, no disk, no secrets.
    Edge,
}

/// A core node's part in consensus.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Voice {
    /// Votes and counts for a quorum.
    Voter,
    /// Receives the log only.
    Learner,
    /// No part in consensus (edges, pure relays and recorders).
    None,
}

/// One node of the cluster as everybody knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Raft id.
    pub id: NodeId,
    /// Name, equal to the name in its certificate.
    pub name: NodeName,
    /// Where it stands.
    pub centre: CentreId,
    /// Which zone its addresses belong to.
    pub zone: Zone,
    /// What it does.
    pub roles: Vec<Role>,
    /// Its part in consensus.
    pub voice: Voice,
    /// UDP address for node-to-node QUIC (SM mutual TLS).
    #[schema(value_type = String)]
    pub mesh: SocketAddr,
    /// Address for browsers: TCP (HTTP, WebSocket) and UDP (WebTransport) on the same port.
    #[schema(value_type = String)]
    pub door: SocketAddr,
    /// SM2 public key that media keys are wrapped to, uncompressed point (65 bytes). It is not its
    /// certificate's, which changes with every renewal.
    pub public_key: Hex,
}

impl Member {
    /// Whether the node has a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}
