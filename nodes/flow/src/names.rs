//! The closed sets of words that a matrix is made of.

use std::{fmt, str::FromStr};

use guitai_types::Zone;
use serde::{Deserialize, Serialize};

/// A word that is none of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is none of: {known}")]
pub struct UnknownWord {
    /// What was written.
    pub value: String,
    /// What may be.
    pub known: String,
}

/// A word of one of the closed sets of a matrix.
pub trait Word: Copy + Eq + 'static {
    /// All of the set, in the order in which they are listed.
    const ALL: &'static [Self];

    /// The word as it is written.
    fn word(self) -> &'static str;

    /// Reads one.
    ///
    /// # Errors
    /// The text is none of them.
    fn read(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.iter().copied().find(|it| it.word() == text);
        found.ok_or_else(|| UnknownWord {
            value: text.to_owned(),
            known: Self::ALL
                .iter()
                .map(|it| it.word())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $word:literal),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$one])* #[serde(rename = $word)] $variant),* }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn word(self) -> &'static str { match self { $(Self::$variant => $word),* } }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.word()) }
        }
        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> { Self::read(text) }
        }
    )*};
}

words! {
    /// Who takes part in a flow: what a node does, or who sits before a browser or a terminal.
    Role {
        /// Customers' browsers, or the gateway before them.
        Customer = "customer",
        /// Edges.
        Edge = "edge",
        /// Metadata, queue, API.
        Core = "core",
        /// Inner media relays.
        Relay = "relay",
        /// Recorders.
        Recorder = "recorder",
        /// Agents' browsers.
        Agent = "agent",
        /// Consoles and command lines of operators, officers and auditors; their monitoring.
        Operator = "operator",
        /// The bank's object store, a sink of recordings.
        ObjectStore = "object-store",
    }
    /// What is spoken on a connection of the product.
    Protocol {
        /// Pages, API and server-sent events: HTTP/1.1, behind the bank's TLS gateway.
        Http = "http",
        /// Media where UDP is blocked: MoQ over WebSocket, on the port of the pages.
        WebSocket = "websocket",
        /// Media of browsers: MoQ over WebTransport.
        WebTransport = "webtransport",
        /// Media of a program: MoQ over QUIC at a door.
        MoqDoor = "moq-door",
        /// Media between nodes: MoQ over QUIC on the mesh.
        MoqMesh = "moq-mesh",
        /// Control messages between zones (`guitai_types::control`).
        Tunnel = "tunnel",
        /// Questions to a node about itself.
        Node = "node",
        /// Revocation lists.
        Crl = "crl",
        /// Consensus.
        Raft = "raft",
        /// Calls between inner nodes.
        Call = "call",
        /// Objects of a bucket: HTTP/1.1 as S3 has it, over TLS.
        S3 = "s3",
    }
    /// What carries a protocol.
    Transport {
        /// TCP.
        Tcp = "tcp",
        /// UDP, with QUIC in it.
        Udp = "udp",
    }
    /// Which of a row's two ends.
    Side {
        /// The one that `from` names.
        From = "from",
        /// The one that `to` names.
        To = "to",
    }
    /// Which way data may go.
    Ways {
        /// From `from` to `to` only.
        FromTo = "from-to",
        /// From `to` to `from` only.
        ToFrom = "to-from",
        /// Both ways.
        Both = "both",
    }
    /// How sensitive personal financial information is (JR/T 0171-2020, 4.2); the later, the more.
    DataClass {
        /// What the institution keeps to itself.
        C1 = "c1",
        /// What identifies a person or shows a person's finances; pictures and sound of a call.
        C2 = "c2",
        /// What authenticates a customer: passwords, biometric features.
        C3 = "c3",
    }
}

impl Role {
    /// The one zone in which it may stand.
    pub const fn zone(self) -> Zone {
        match self {
            Self::Customer => Zone::Outer,
            Self::Edge => Zone::Dmz,
            Self::Core
            | Self::Relay
            | Self::Recorder
            | Self::Agent
            | Self::Operator
            | Self::ObjectStore => Zone::Inner,
        }
    }

    /// Whether it is somebody before a browser or a terminal.
    pub const fn is_person(self) -> bool {
        matches!(self, Self::Customer | Self::Agent | Self::Operator)
    }

    /// Whether it is a role of a node.
    pub const fn is_node(self) -> bool {
        matches!(self, Self::Edge | Self::Core | Self::Relay | Self::Recorder)
    }
}

impl From<guitai_types::Role> for Role {
    fn from(role: guitai_types::Role) -> Self {
        match role {
            guitai_types::Role::Core => Self::Core,
            guitai_types::Role::Relay => Self::Relay,
            guitai_types::Role::Recorder => Self::Recorder,
            guitai_types::Role::Edge => Self::Edge,
        }
    }
}

impl Protocol {
    /// What carries it.
    pub const fn transport(self) -> Transport {
        match self {
            Self::Http | Self::WebSocket | Self::S3 => Transport::Tcp,
            _ => Transport::Udp,
        }
    }

    /// Its wire version on the mesh; `None` where browsers choose (HTTP, WebTransport) or MoQ has several.
    pub const fn alpn(self) -> Option<&'static str> {
        match self {
            Self::Tunnel => Some("guitai-tunnel/1"),
            Self::Node => Some("guitai-node/1"),
            Self::Crl => Some("guitai-crl/1"),
            Self::Raft => Some("guitai-raft/1"),
            Self::Call => Some("guitai-call/1"),
            Self::Http
            | Self::WebSocket
            | Self::WebTransport
            | Self::MoqDoor
            | Self::MoqMesh
            | Self::S3 => None,
        }
    }
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::From => Self::To,
            Self::To => Self::From,
        }
    }
}

impl Ways {
    /// Whether data may leave that end.
    pub const fn leaves(self, side: Side) -> bool {
        matches!(
            (self, side),
            (Self::Both, _) | (Self::FromTo, Side::From) | (Self::ToFrom, Side::To)
        )
    }
}

impl Word for Zone {
    const ALL: &'static [Self] = &[Self::Outer, Self::Dmz, Self::Inner];

    fn word(self) -> &'static str {
        match self {
            Self::Outer => "outer",
            Self::Dmz => "dmz",
            Self::Inner => "inner",
        }
    }
}

/// A role in its zone, `dmz/edge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The zone.
    pub zone: Zone,
    /// The role.
    pub role: Role,
}

impl End {
    /// A role in the zone where it stands.
    pub const fn of(role: Role) -> Self {
        Self {
            zone: role.zone(),
            role,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.zone.word(), self.role))
    }
}

impl FromStr for End {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let (zone, role) = text.split_once('/').unwrap_or((text, ""));
        Ok(Self {
            zone: Zone::read(zone)?,
            role: Role::read(role)?,
        })
    }
}

/// Where a row's listener listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Port {
    /// The port that the profile calls so for each node.
    Named(PortName),
    /// The same number everywhere, 1 to 65535.
    Number(u16),
}

words! {
    /// A port that every node of a profile has.
    PortName {
        /// For browsers, TCP and UDP.
        Door = "door",
        /// Between nodes, UDP.
        Mesh = "mesh",
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// Why a text or number is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no port: 1 to 65535, door or mesh")]
pub struct PortError(pub String);

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if let Ok(name) = PortName::read(text) {
            return Ok(Self::Named(name));
        }
        let number = text
            .parse::<i64>()
            .map_err(|_| PortError(text.to_owned()))?;
        Self::try_from(number)
    }
}

impl TryFrom<i64> for Port {
    type Error = PortError;

    fn try_from(number: i64) -> Result<Self, PortError> {
        match u16::try_from(number) {
            Ok(port) if port > 0 => Ok(Self::Number(port)),
            _ => Err(PortError(number.to_string())),
        }
    }
}

/// A port as a file has it: a number or a name, not yet judged.
#[derive(Debug, Clone)]
pub(crate) struct RawPort(pub(crate) Result<Port, PortError>);

impl<'de> Deserialize<'de> for RawPort {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RawPort;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port number, or \"door\" or \"mesh\"")
            }
            fn visit_i64<E>(self, number: i64) -> Result<RawPort, E> {
                Ok(RawPort(Port::try_from(number)))
            }
            fn visit_u64<E>(self, number: u64) -> Result<RawPort, E> {
                let number = i64::try_from(number).unwrap_or(i64::MAX);
                Ok(RawPort(Port::try_from(number)))
            }
            fn visit_str<E>(self, text: &str) -> Result<RawPort, E> {
                let named = PortName::read(text).map(Port::Named);
                Ok(RawPort(named.map_err(|_| PortError(text.to_owned()))))
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        RawPort::deserialize(from)?
            .0
            .map_err(serde::de::Error::custom)
    }
}
