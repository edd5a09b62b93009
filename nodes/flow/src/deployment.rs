//! What the nodes of a profile listen on and dial. `guitai up` probes these listeners, and a test of the node
//! compares the dials with those its links make; a matrix is checked against both.

use std::net::SocketAddr;

use guitai_types::{
    Date, NodeName, Voice, Zone,
    profile::{Node, Profile},
    sink::Sink,
};

use crate::{
    admit::{Refusal, Standing, Verdict, standing},
    matrix::{Matrix, Row, RowId},
    names::{End, Port, PortName, Protocol, Role, Transport},
};

/// A socket that a node binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// What it is, for people.
    pub what: &'static str,
    /// How it is carried.
    pub transport: Transport,
    /// Its name in a profile.
    pub port: Port,
    /// Where it is bound.
    pub address: SocketAddr,
}

/// A connection that a node opens by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dial {
    /// The node.
    pub from: NodeName,
    /// In which of its roles.
    pub by: End,
    /// The node it dials.
    pub to: NodeName,
    /// In which of that one's roles.
    pub at: End,
    /// What is spoken.
    pub protocol: Protocol,
}

/// Every socket that a node of a profile binds.
pub fn listeners(node: &Node) -> Vec<Listener> {
    sockets(node.mesh, node.door)
}

/// Every socket that a node with these addresses binds.
pub fn sockets(mesh: SocketAddr, door: SocketAddr) -> Vec<Listener> {
    let listener = |what, transport, port, address| Listener {
        what,
        transport,
        port: Port::Named(port),
        address,
    };
    vec![
        listener("mesh, UDP", Transport::Udp, PortName::Mesh, mesh),
        listener("door, UDP", Transport::Udp, PortName::Door, door),
        listener("door, TCP", Transport::Tcp, PortName::Door, door),
    ]
}

/// Every connection that the nodes of a deployment open to each other. Browsers and command lines are none.
pub fn dials(nodes: &[Node]) -> Vec<Dial> {
    let mut dials = Vec::new();
    for node in nodes {
        for other in nodes.iter().filter(|other| other.id != node.id) {
            dials.extend(between(node, other));
        }
    }
    dials.sort();
    dials
}

fn between(node: &Node, other: &Node) -> Vec<Dial> {
    use guitai_types::Role as Of;
    let is = |role: Of| node.roles.contains(&role);
    let has = |role: Of| other.roles.contains(&role);
    let mut found = Vec::new();
    let mut dial = |by: Role, at: Role, protocol| {
        found.push(Dial {
            from: node.name.clone(),
            by: End::of(by),
            to: other.name.clone(),
            at: End::of(at),
            protocol,
        });
    };
    if is(Of::Core) && has(Of::Edge) {
        for protocol in [Protocol::Tunnel, Protocol::Node, Protocol::Crl] {
            dial(Role::Core, Role::Edge, protocol);
        }
    }
    if is(Of::Core) && has(Of::Core) {
        let votes = node.voice != Voice::None && other.voice != Voice::None;
        let consensus = votes.then_some(Protocol::Raft);
        let rest = [Protocol::Call, Protocol::Node, Protocol::Crl];
        for protocol in consensus.into_iter().chain(rest) {
            dial(Role::Core, Role::Core, protocol);
        }
    }
    if is(Of::Core) && has(Of::Recorder) {
        dial(Role::Core, Role::Recorder, Protocol::Call);
    }
    if is(Of::Recorder) && has(Of::Core) {
        dial(Role::Recorder, Role::Core, Protocol::Call);
    }
    if is(Of::Recorder) && has(Of::Recorder) {
        dial(Role::Recorder, Role::Recorder, Protocol::Call);
    }
    // A pair of relays has one link, opened by the one with the higher id.
    if is(Of::Relay) && (has(Of::Edge) || (has(Of::Relay) && other.id < node.id)) {
        let at = if has(Of::Edge) {
            Role::Edge
        } else {
            Role::Relay
        };
        dial(Role::Relay, at, Protocol::MoqMesh);
    }
    if is(Of::Recorder) && has(Of::Relay) {
        dial(Role::Recorder, Role::Relay, Protocol::MoqMesh);
    }
    found
}

/// Something that a deployment does and a matrix does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gap {
    /// A socket that no row of any of the node's roles allows.
    Listener {
        /// Which node.
        node: NodeName,
        /// Which socket.
        listener: Listener,
        /// Why not, for the first of its roles.
        refusal: Refusal,
    },
    /// A connection that no row allows.
    Dial {
        /// Which.
        dial: Dial,
        /// Why not.
        refusal: Refusal,
    },
    /// The object store of the recorders, which no row allows at that port.
    Sink {
        /// As the profile names it.
        endpoint: String,
        /// Why not.
        refusal: Refusal,
    },
}

impl Gap {
    /// Why it is not allowed.
    pub const fn refusal(&self) -> &Refusal {
        match self {
            Self::Listener { refusal, .. }
            | Self::Dial { refusal, .. }
            | Self::Sink { refusal, .. } => refusal,
        }
    }

    /// Whether a row allowed it until its last day: nodes do it still, see [`Standing::RunOut`].
    pub const fn has_run_out(&self) -> bool {
        matches!(self.refusal(), Refusal::Expired { .. })
    }
}

/// Whether a node with these roles may have a socket: one of them must be allowed to.
pub fn admitted(
    matrix: &Matrix,
    zone: Zone,
    roles: &[guitai_types::Role],
    listener: &Listener,
    on: Date,
) -> Standing {
    let (transport, port) = (listener.transport, listener.port);
    let admit = |role: &guitai_types::Role| {
        matrix.admit_listener(zone, Role::from(*role), transport, port, on)
    };
    standing(roles.iter().map(admit))
}

/// Everything that a deployment does and a matrix does not allow on a day.
pub fn gaps(matrix: &Matrix, nodes: &[Node], sink: Option<&Sink>, on: Date) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for node in nodes {
        for listener in listeners(node) {
            let refusal = match admitted(matrix, node.zone, &node.roles, &listener, on) {
                Standing::Admitted => continue,
                Standing::RunOut { row, since } => Refusal::Expired { row, since },
                Standing::Refused(refusal) => refusal,
            };
            let node = node.name.clone();
            gaps.push(Gap::Listener {
                node,
                listener,
                refusal,
            });
        }
    }
    for dial in dials(nodes) {
        let verdict = matrix.admit_dial(dial.by, dial.at, dial.protocol, on);
        if let Verdict::Refused(refusal) = verdict {
            gaps.push(Gap::Dial { dial, refusal });
        }
    }
    if let Some(sink) = sink
        && let Verdict::Refused(refusal) = sink_admitted(matrix, sink, on)
    {
        let endpoint = sink.endpoint.clone();
        gaps.push(Gap::Sink { endpoint, refusal });
    }
    gaps
}

/// Whether recorders may open connections to a sink: a row must name its port by its number.
pub fn sink_admitted(matrix: &Matrix, sink: &Sink, on: Date) -> Verdict {
    let (from, to) = (End::of(Role::Recorder), End::of(Role::ObjectStore));
    let verdict = matrix.admit_dial(from, to, Protocol::S3, on);
    let at = |row: &RowId| matrix.rows().iter().find(|it| it.id == *row);
    let port = sink.endpoint().ok().map(|it| Port::Number(it.port));
    let other_port = |row: &Row| Refusal::OtherPort {
        row: row.id.clone(),
        transport: row.transport,
        port: row.port,
    };
    match verdict {
        Verdict::Admitted(rows) => {
            let fits = |row: &RowId| at(row).map(|row| row.port) == port;
            let fitting: Vec<RowId> = rows.iter().filter(|row| fits(row)).cloned().collect();
            let near = rows.first().and_then(at).map_or(Refusal::NoRow, other_port);
            match fitting.is_empty() {
                false => Verdict::Admitted(fitting),
                true => Verdict::Refused(near),
            }
        }
        // A row that has run out lets through, so it must be about this port.
        Verdict::Refused(Refusal::Expired { row, .. }) if at(&row).map(|row| row.port) != port => {
            Verdict::Refused(at(&row).map_or(Refusal::NoRow, other_port))
        }
        refused @ Verdict::Refused(_) => refused,
    }
}

/// Rows between nodes for which the deployment has nothing: they allow what nobody needs.
pub fn unused(matrix: &Matrix, profile: &Profile) -> Vec<RowId> {
    let dials = dials(&profile.nodes);
    let roles: Vec<Role> = profile
        .nodes
        .iter()
        .flat_map(|node| node.roles.iter().map(|role| Role::from(*role)))
        .collect();
    let has = |end: End| !end.role.is_node() || roles.contains(&end.role);
    let needed = |row: &Row| {
        let (opener, listener) = (row.opener(), row.listener());
        if opener.role.is_node() && listener.role.is_node() {
            let mut dials = dials.iter();
            return dials.any(|dial| {
                dial.by == opener && dial.at == listener && dial.protocol == row.protocol
            });
        }
        if row.protocol == Protocol::S3 {
            return profile.sink.is_some() && has(opener);
        }
        has(opener) && has(listener)
    };
    let rows = matrix.rows().iter().filter(|row| !needed(row));
    rows.map(|row| row.id.clone()).collect()
}
