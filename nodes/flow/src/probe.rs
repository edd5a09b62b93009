//! What somebody who stands somewhere can try: every socket of a node that has an address, with the rows that let
//! this one open a connection to it. Where there is none, no answer may come.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use guitai_types::Date;

use crate::{
    addresses::Addresses,
    matrix::{Matrix, Row, RowId},
    names::{End, Port, PortName, Transport},
};

/// One socket to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What carries it.
    pub transport: Transport,
    /// Where.
    pub at: SocketAddr,
    /// Who listens there.
    pub to: BTreeSet<End>,
    /// The rows that allow it, in their order; empty: nobody may answer.
    pub rows: Vec<RowId>,
}

/// What can be tried from one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    /// By transport and address.
    pub probes: Vec<Probe>,
    /// Rows that this place opens, and whose other end has no single address here.
    pub untried: Vec<RowId>,
}

/// What hosts, or people, of these roles can try on a day. Loopback addresses of a role are left out where it has
/// others: from elsewhere they are somebody else's.
pub fn probes(matrix: &Matrix, ends: &BTreeSet<End>, addresses: &Addresses, on: Date) -> Probes {
    let mut found: BTreeMap<(Transport, SocketAddr), (BTreeSet<End>, Vec<RowId>)> = BTreeMap::new();
    for role in matrix.roles().iter().filter(|role| role.id.is_node()) {
        let end = End::of(role.id);
        for (transport, name) in [
            (Transport::Tcp, PortName::Door),
            (Transport::Udp, PortName::Door),
            (Transport::Udp, PortName::Mesh),
        ] {
            for at in sockets(addresses, end, name) {
                found.entry((transport, at)).or_default().0.insert(end);
            }
        }
    }
    let mut untried = Vec::new();
    let opened = |row: &&Row| ends.contains(&row.opener()) && row.holds(on);
    for row in matrix.rows().iter().filter(opened) {
        let to = row.listener();
        let at = match row.port {
            Port::Named(name) => sockets(addresses, to, name),
            Port::Number(port) => hosts(addresses, to, port),
        };
        if at.is_empty() {
            untried.push(row.id.clone());
        }
        for at in at {
            let (ends, rows) = found.entry((row.transport, at)).or_default();
            ends.insert(to);
            rows.push(row.id.clone());
        }
    }
    let probe = |((transport, at), (to, rows))| Probe {
        transport,
        at,
        to,
        rows,
    };
    Probes {
        probes: found.into_iter().map(probe).collect(),
        untried,
    }
}

fn sockets(addresses: &Addresses, end: End, name: PortName) -> BTreeSet<SocketAddr> {
    let party = addresses.party(end);
    let all: BTreeSet<SocketAddr> = party.map_or_else(BTreeSet::new, |it| it.sockets(name).clone());
    let abroad = all.iter().filter(|it| !it.ip().is_loopback());
    let abroad: BTreeSet<SocketAddr> = abroad.copied().collect();
    if abroad.is_empty() { all } else { abroad }
}

fn hosts(addresses: &Addresses, end: End, port: u16) -> BTreeSet<SocketAddr> {
    let networks = addresses.party(end).map(|party| &party.networks);
    let hosts = networks.into_iter().flatten().filter(|it| it.is_host());
    hosts
        .map(|it| SocketAddr::new(it.address(), port))
        .collect()
}
