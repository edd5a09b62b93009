//! Which hosts there are and how far apart they stand: generated from a profile, so that the
//! laboratory follows the product's own description of a deployment.
//!
//! Loopback addresses of the profile's mesh become addresses of the emulated WAN, 127.x to 10.x. Doors
//! keep theirs: each namespace has a loopback of its own, and the laboratory forwards the host's to it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use guitai_types::{Role, profile::Profile};

use crate::{
    error::{LabError, io_error},
    wan::Link,
};

/// One way within a centre, in microseconds.
const SAME_CENTRE_US: u64 = 150;
/// One way between two centres of one city.
const SAME_CITY_US: u64 = 750;
/// One way between cities.
const OTHER_CITY_US: u64 = 15_000;

/// One node's host.
#[derive(Debug, Clone)]
pub struct Host {
    /// Name of its node.
    pub node: String,
    /// Where it stands.
    pub centre: String,
    /// City of its centre.
    pub city: String,
    /// Address on the emulated WAN.
    pub wan: Ipv4Addr,
    /// Where its door is, in its namespace and, forwarded, on this machine.
    pub door: SocketAddr,
    /// Whether customers come in here.
    pub is_edge: bool,
}

/// A host without a node: people, or somebody who has no business here.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Its name.
    pub name: &'static str,
    /// Address on the emulated WAN.
    pub wan: Ipv4Addr,
}

/// Customers, in front of the edges.
pub const CUSTOMER: &str = "customer";
/// Agents' desks.
pub const AGENT: &str = "agent";
/// Operators, officers, auditors.
pub const OPERATOR: &str = "operator";
/// Somebody whose address is nobody's.
pub const STRANGER: &str = "stranger";

/// Guests by their addresses.
const GUESTS: [Guest; 4] = [
    guest(CUSTOMER, 200),
    guest(AGENT, 201),
    guest(OPERATOR, 202),
    guest(STRANGER, 203),
];

const fn guest(name: &'static str, network: u8) -> Guest {
    let wan = Ipv4Addr::new(10, network, 0, 1);
    Guest { name, wan }
}

/// The hosts and the profile their nodes are founded with.
#[derive(Debug, Clone)]
pub struct Topology {
    /// In the profile's order.
    pub hosts: Vec<Host>,
    /// After them on the WAN, as far from everybody as two centres of a city. Where there are any, doors are reached
    /// over the WAN: each node has a gateway for TLS, as in a bank.
    pub guests: Vec<Guest>,
    /// The profile's text, on addresses of the laboratory.
    pub profile: String,
}

impl Topology {
    /// `2l3c` (two cities, three centres: the demo's profile) or the path of a profile; doors on
    /// another port where one is given.
    ///
    /// # Errors
    /// The profile that cannot be read, and why.
    pub fn named(name: &str, door_port: Option<u16>) -> Result<Self, LabError> {
        let path = match name {
            "2l3c" => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/demo.toml"),
            path => PathBuf::from(path),
        };
        let text = std::fs::read_to_string(&path).map_err(io_error("read", &path))?;
        let bad = |why: String| LabError::Profile {
            path: path.clone(),
            why,
        };
        let mut text = text.replace("mesh = \"127.", "mesh = \"10.");
        let profile = parse(&text).map_err(bad)?;
        if let Some(port) = door_port {
            for node in &profile.nodes {
                let (old, new) = (node.door, SocketAddr::new(node.door.ip(), port));
                text = text.replace(&format!("door = \"{old}\""), &format!("door = \"{new}\""));
            }
        }
        let profile = parse(&text).map_err(bad)?;
        let hosts = hosts(&profile).map_err(bad)?;
        Ok(Self {
            hosts,
            guests: Vec::new(),
            profile: text,
        })
    }

    /// With hosts of people, and of somebody who has no business here.
    #[must_use]
    pub fn with_guests(mut self) -> Self {
        self.guests = GUESTS.to_vec();
        self
    }

    /// The link between two hosts of a healthy WAN.
    pub fn healthy(&self, from: usize, to: usize) -> Link {
        let (Some(from), Some(to)) = (self.hosts.get(from), self.hosts.get(to)) else {
            return Link::healthy(SAME_CITY_US);
        };
        Link::healthy(if from.centre == to.centre {
            SAME_CENTRE_US
        } else if from.city == to.city {
            SAME_CITY_US
        } else {
            OTHER_CITY_US
        })
    }

    /// Hosts of a node, a centre or a city, by its name; upper case is the same as lower.
    ///
    /// # Errors
    /// A name that is none.
    pub fn select(&self, name: &str) -> Result<Vec<usize>, LabError> {
        let chosen = self.find(name);
        if chosen.is_empty() {
            return Err(self.unknown(name));
        }
        Ok(chosen)
    }

    /// Two sides of a link: `A1-A2`, `a1-1-b-1`, or one name, which is meant against all others.
    ///
    /// # Errors
    /// A name that is none, and a side that lies in the other.
    pub fn sides(&self, link: &str) -> Result<(Vec<usize>, Vec<usize>), LabError> {
        let one = self.find(link);
        if !one.is_empty() {
            let rest = (0..self.hosts.len()).filter(|host| !one.contains(host));
            return Ok((one.clone(), rest.collect()));
        }
        for (dash, _) in link.match_indices('-') {
            let (left, right) = (self.find(&link[..dash]), self.find(&link[dash + 1..]));
            if left.is_empty() || right.is_empty() {
                continue;
            }
            if left.iter().any(|host| right.contains(host)) {
                let text = format!("{link}: one side lies in the other");
                return Err(LabError::Refused(text));
            }
            return Ok((left, right));
        }
        Err(self.unknown(link))
    }

    fn find(&self, name: &str) -> Vec<usize> {
        let name = name.to_lowercase();
        let all = self.hosts.iter().enumerate();
        let hosts = all
            .filter(|(_, host)| host.node == name || host.centre == name || host.city == name)
            .map(|(index, _)| index);
        let guests = self.guests.iter().enumerate();
        let guests = guests.filter(|(_, guest)| guest.name == name);
        let after = self.hosts.len();
        hosts
            .chain(guests.map(|(index, _)| after + index))
            .collect()
    }

    fn unknown(&self, name: &str) -> LabError {
        let mut known: Vec<&str> = self
            .hosts
            .iter()
            .flat_map(|host| [&host.city, &host.centre, &host.node])
            .map(String::as_str)
            .chain(self.guests.iter().map(|guest| guest.name))
            .collect();
        known.sort_unstable();
        known.dedup();
        LabError::Unknown {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }
}

fn parse(text: &str) -> Result<Profile, String> {
    let profile: Profile = toml::from_str(text).map_err(|error| error.to_string())?;
    profile.check().map_err(|error| error.to_string())?;
    Ok(profile)
}

fn hosts(profile: &Profile) -> Result<Vec<Host>, String> {
    let host = |node: &guitai_types::profile::Node| {
        let city = profile
            .centres
            .iter()
            .find(|centre| centre.id == node.centre);
        let city = city.map(|centre| centre.city.to_string());
        let wan = match node.mesh.ip() {
            IpAddr::V4(address) if address.octets()[0] == 10 => address,
            other => return Err(format!("{}: mesh {other} is not 127.x or 10.x", node.name)),
        };
        if !node.door.ip().is_loopback() {
            return Err(format!(
                "{}: door {} is not on loopback",
                node.name, node.door
            ));
        }
        Ok(Host {
            node: node.name.to_string(),
            centre: node.centre.to_string(),
            city: city.unwrap_or_default(),
            wan,
            door: node.door,
            is_edge: node.roles.contains(&Role::Edge),
        })
    };
    profile.nodes.iter().map(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Topology {
        Topology::named("2l3c", Some(5000)).expect("the demo's profile")
    }

    fn names(topology: &Topology, hosts: &[usize]) -> Vec<String> {
        hosts
            .iter()
            .map(|host| topology.hosts[*host].node.clone())
            .collect()
    }

    #[test]
    fn the_demo_stands_on_the_wan_with_doors_on_loopback() {
        let topology = demo();
        for host in &topology.hosts {
            assert_eq!(host.wan.octets()[0], 10, "{host:?}");
            assert!(
                host.door.ip().is_loopback() && host.door.port() == 5000,
                "{host:?}"
            );
        }
        assert!(topology.hosts.iter().any(|host| host.is_edge));
    }

    #[test]
    fn farther_is_slower() {
        let topology = demo();
        let of = |name: &str| topology.select(name).expect("known")[0];
        let delay = |a: &str, b: &str| topology.healthy(of(a), of(b)).delay_us;
        assert!(delay("a1-1", "a1-2") < delay("a1-1", "a2-1"));
        assert!(delay("a1-1", "a2-1") < delay("a2-1", "b-1"));
    }

    #[test]
    fn sides_are_named_by_city_centre_or_node() {
        let topology = demo();
        let (left, right) = topology.sides("A1-A2").expect("centres");
        assert!(names(&topology, &left).contains(&"edge-a1".to_owned()));
        assert!(names(&topology, &right).contains(&"a2-1".to_owned()));
        let (left, right) = topology.sides("a1-1").expect("a node");
        assert_eq!(left.len() + right.len(), topology.hosts.len());
        let (left, right) = topology.sides("a1-1-a2-1").expect("two nodes");
        assert_eq!(names(&topology, &left), ["a1-1"]);
        assert_eq!(names(&topology, &right), ["a2-1"]);
        assert!(topology.sides("A-A1").is_err(), "a centre of that city");
        assert!(topology.sides("A1-C").is_err());
        assert!(topology.select("nowhere").is_err());
    }
}
