//! Which addresses the parties of a deployment have: nodes by its profile, everybody else by a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use guitai_types::profile::Profile;
use serde::Deserialize;

use crate::{
    fault::{Fault, ParseError, Why},
    limits::{FAULTS_MAX, NETWORKS_MAX, PARTIES_MAX},
    names::{End, PortName},
    read,
};

/// What the first line of a file of addresses says.
pub const ADDRESSES_FORMAT: &str = "guitai-flow-addresses/1";

/// Addresses by party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses {
    parties: BTreeMap<End, Party>,
}

/// Addresses of one party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Where its connections come from.
    pub networks: BTreeSet<Network>,
    /// Its doors; nodes only.
    pub doors: BTreeSet<SocketAddr>,
    /// Its places on the mesh; nodes only.
    pub meshes: BTreeSet<SocketAddr>,
}

/// A network, `10.1.0.0/16`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address, or a network whose bits after the prefix are 0, such as 10.1.0.0/16")]
pub struct NetworkError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAddresses {
    format: toml::Spanned<String>,
    parties: Vec<toml::Spanned<RawParty>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParty {
    zone: toml::Spanned<String>,
    role: toml::Spanned<String>,
    networks: Vec<toml::Spanned<String>>,
    door: Option<u16>,
    mesh: Option<u16>,
}

impl Addresses {
    /// Addresses of the nodes of a profile.
    pub fn of_profile(profile: &Profile) -> Self {
        let mut parties: BTreeMap<End, Party> = BTreeMap::new();
        for node in &profile.nodes {
            for role in &node.roles {
                let end = End {
                    zone: node.zone,
                    role: (*role).into(),
                };
                let party = parties.entry(end).or_default();
                party.networks.insert(Network::host(node.mesh.ip()));
                party.networks.insert(Network::host(node.door.ip()));
                party.doors.insert(node.door);
                party.meshes.insert(node.mesh);
            }
        }
        Self { parties }
    }

    /// Reads a file of addresses.
    ///
    /// # Errors
    /// What is wrong with it, by line and field.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let raw: RawAddresses = read::toml(text)?;
        let mut faults = Vec::new();
        let mut fault = |at: usize, field: &'static str, why: Why| {
            faults.push(Fault {
                line: read::line_of(text, at),
                row: None,
                field,
                why,
            });
        };
        if raw.format.get_ref() != ADDRESSES_FORMAT {
            let must = ADDRESSES_FORMAT.to_owned();
            fault(raw.format.span().start, "format", Why::Form { must });
        }
        if raw.parties.len() > PARTIES_MAX {
            let (found, max) = (raw.parties.len(), PARTIES_MAX);
            fault(0, "parties", Why::TooMany { found, max });
        }
        let mut made = Self::default();
        for raw in raw.parties.into_iter().take(PARTIES_MAX) {
            let at = raw.span().start;
            let raw = raw.into_inner();
            let written = format!("{}/{}", raw.zone.get_ref(), raw.role.get_ref());
            let end = match written.parse::<End>() {
                Ok(end) if end.role.zone() == end.zone => end,
                Ok(end) => {
                    fault(raw.zone.span().start, "parties.zone", Why::Zone { end });
                    continue;
                }
                Err(unknown) => {
                    let (value, known) = (unknown.value, unknown.known);
                    fault(at, "parties.role", Why::Unknown { value, known });
                    continue;
                }
            };
            if raw.networks.len() > NETWORKS_MAX {
                let (found, max) = (raw.networks.len(), NETWORKS_MAX);
                fault(at, "parties.networks", Why::TooMany { found, max });
            }
            let party = made.parties.entry(end).or_default();
            for network in raw.networks.iter().take(NETWORKS_MAX) {
                let Ok(read) = network.get_ref().parse::<Network>() else {
                    let must = NetworkError.to_string();
                    fault(network.span().start, "parties.networks", Why::Form { must });
                    continue;
                };
                party.networks.insert(read);
                for (port, sockets, field) in [
                    (raw.door, &mut party.doors, "parties.door"),
                    (raw.mesh, &mut party.meshes, "parties.mesh"),
                ] {
                    match port {
                        None => {}
                        Some(port) if port > 0 && read.is_host() => {
                            sockets.insert(SocketAddr::new(read.address, port));
                        }
                        Some(_) => {
                            let must = "a port of single addresses, from 1".to_owned();
                            fault(network.span().start, field, Why::Form { must });
                        }
                    }
                }
            }
        }
        if faults.is_empty() {
            Ok(made)
        } else {
            faults.truncate(FAULTS_MAX);
            Err(ParseError::Faults(faults))
        }
    }

    /// Adds everything of another.
    pub fn add(&mut self, other: Self) {
        for (end, more) in other.parties {
            let party = self.parties.entry(end).or_default();
            party.networks.extend(more.networks);
            party.doors.extend(more.doors);
            party.meshes.extend(more.meshes);
        }
    }

    /// Addresses of one party.
    pub fn party(&self, end: End) -> Option<&Party> {
        self.parties.get(&end).filter(|it| !it.networks.is_empty())
    }
}

impl Party {
    /// Its sockets by the name of their port.
    pub const fn sockets(&self, name: PortName) -> &BTreeSet<SocketAddr> {
        match name {
            PortName::Door => &self.doors,
            PortName::Mesh => &self.meshes,
        }
    }
}

impl Network {
    /// One address.
    pub const fn host(address: IpAddr) -> Self {
        let prefix = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, prefix }
    }

    /// Its first address.
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is one address.
    pub fn is_host(&self) -> bool {
        *self == Self::host(self.address)
    }

    /// Whether every address of the other is in it.
    pub fn contains(&self, other: &Self) -> bool {
        let same = self.address.is_ipv4() == other.address.is_ipv4();
        same && self.prefix <= other.prefix && masked(other.address, self.prefix) == self.address
    }
}

/// An address with the bits after the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let shift = u32::from(prefix);
    match address {
        IpAddr::V4(it) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(shift));
            IpAddr::V4((it.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(it) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(shift));
            IpAddr::V6((it.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse().map_err(|_| NetworkError)?;
            return Ok(Self::host(address));
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = prefix.parse().map_err(|_| NetworkError)?;
        let longest = Self::host(address).prefix;
        if digits && prefix <= longest && masked(address, prefix) == address {
            Ok(Self { address, prefix })
        } else {
            Err(NetworkError)
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            self.address.fmt(f)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

/// Whether a text says that it is a file of addresses and not a profile.
pub fn is_addresses(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line.starts_with("format"))
}
