//! Who a node is on the mesh: the name in its certificate, `<name>.<zone>.guitai.internal`.

use std::net::SocketAddr;

use guitai_types::{Member, NodeName, Zone};

/// Ending of every node's DNS name.
pub const DOMAIN: &str = "guitai.internal";

/// A node as its verified certificate names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// The zone its addresses belong to.
    pub zone: Zone,
}

impl Peer {
    /// The node behind the DNS names of a certificate. A certificate that names two nodes, or none,
    /// names nobody.
    pub fn of_certificate(dns_names: &[String]) -> Option<Self> {
        let mut peers = dns_names.iter().filter_map(|name| Self::parse(name));
        match (peers.next(), peers.next()) {
            (Some(peer), None) => Some(peer),
            _ => None,
        }
    }

    /// The DNS name in its certificate.
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{DOMAIN}", self.name, self.zone)
    }

    fn parse(dns_name: &str) -> Option<Self> {
        let (name, rest) = dns_name.split_once('.')?;
        let (zone, domain) = rest.split_once('.')?;
        if domain != DOMAIN {
            return None;
        }
        let zone = match zone {
            "inner" => Zone::Inner,
            "dmz" => Zone::Dmz,
            _ => return None,
        };
        let name = name.parse().ok()?;
        Some(Self { name, zone })
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.name, self.zone)
    }
}

/// A node to dial.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Its mesh address.
    pub addr: SocketAddr,
    /// Its name; a certificate with another one is refused.
    pub name: NodeName,
    /// Its zone, part of the same check.
    pub zone: Zone,
}

impl Target {
    /// Whom the certificate must name.
    pub fn peer(&self) -> Peer {
        Peer {
            name: self.name.clone(),
            zone: self.zone,
        }
    }
}

impl From<&Member> for Target {
    fn from(member: &Member) -> Self {
        Self {
            addr: member.mesh,
            name: member.name.clone(),
            zone: member.zone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Option<Peer> {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        Peer::of_certificate(&names)
    }

    #[test]
    fn a_certificate_names_one_node() {
        let peer = names(&["a1-2.inner.guitai.internal"]).unwrap();
        assert_eq!((peer.name.as_str(), peer.zone), ("a1-2", Zone::Inner));
        assert_eq!(peer.dns_name(), "a1-2.inner.guitai.internal");
        let both = ["a1-2.inner.guitai.internal", "edge-a1.dmz.guitai.internal"];
        assert_eq!(names(&both), None);
    }

    #[test]
    fn other_names_name_nobody() {
        for bad in [
            "a1-2.guitai.internal",
            "a1-2.outer.guitai.internal",
            "a1-2.inner.guitai.internal.example",
            "x.a1-2.inner.guitai.internal",
            "*.inner.guitai.internal",
            ".inner.guitai.internal",
        ] {
            assert_eq!(names(&[bad]), None, "{bad}");
        }
        assert_eq!(names(&[]), None);
    }
}
