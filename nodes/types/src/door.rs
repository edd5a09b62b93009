//! What an edge's door takes from strangers; `[door_limits]` of a profile.
//!
//! A stranger is whoever has shown no ticket on a connection yet. Strangers are bounded as a whole and by address;
//! who has shown a ticket keeps its place whatever strangers do (decision 0064).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

/// Most TCP connections of one edge that a profile may allow: each is a file descriptor of the process.
pub const DOOR_CONNECTIONS_MAX: u32 = 60_000;
/// Most that one address may be allowed of anything, in its second or minute.
pub const DOOR_RATE_MAX: u32 = 1_000_000;
/// Gateways that a profile may name.
pub const DOOR_GATEWAYS_MAX: usize = 64;
/// Open files of a process that no connection of its door takes: other sockets, its log, its libraries.
const FILES_KEPT: u64 = 128;
/// Fewest connections, strangers' and others', of an edge.
const DOOR_CONNECTIONS_MIN: u32 = 16;

/// All that strangers can make an edge hold in memory, in bytes: 4 096 TCP connections with their buffers, 512 of QUIC
/// with their windows, and what is remembered of 65 536 addresses.
pub const STRANGERS_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// All that an edge holds in memory under attack, in bytes: what strangers may (256 MiB), the relay's groups of the last
/// seconds (512 MiB at most), and what runs in it (256 MiB).
pub const EDGE_MEMORY_BYTES_MAX: u64 = 1024 * 1024 * 1024;

const _: () = assert!(STRANGERS_MEMORY_BYTES_MAX < EDGE_MEMORY_BYTES_MAX / 2);

/// How much an edge's door takes. Of an address means: of an IPv4 address, or of a network of 64 bits of IPv6. A branch
/// behind one address (NAT) is one address, so these are wide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DoorLimits {
    /// TCP connections open at once, at most [`DOOR_CONNECTIONS_MAX`].
    pub connections: u32,
    /// Of them, those of strangers; the rest is kept for who shows a ticket. Past it a newcomer takes the place of the
    /// stranger who waits longest at the address that has most of them.
    pub strangers: u32,
    /// Strangers' open connections of one address, over TCP and over QUIC each; 0 is no limit.
    pub address_strangers: u32,
    /// New connections of one address in a second, over TCP and over QUIC each; 0 is no limit.
    pub address_arrivals: u32,
    /// Requests of one address without a ticket in a second; 0 is no limit.
    pub address_requests: u32,
    /// New tickets of one address in a minute; 0 is no limit.
    pub address_tickets: u32,
    /// Connections that one ticket keeps from being strangers'; more of it stay strangers.
    pub ticket_connections: u32,
    /// Requests of one ticket in a second; 0 is no limit.
    pub ticket_requests: u32,
    /// Addresses that stand for many customers: the bank's own TLS gateway in front of the door. What is limited by
    /// address is not limited for them, and their `X-Forwarded-For` says whose request it is.
    pub gateways: Vec<IpAddr>,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            strangers: 4_096,
            address_strangers: 256,
            address_arrivals: 200,
            address_requests: 400,
            address_tickets: 240,
            ticket_connections: 16,
            ticket_requests: 50,
            gateways: vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
        }
    }
}

impl DoorLimits {
    /// Whether it says nothing of its own.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The same as far as a process may have so many files open; some are kept for what is no door's.
    #[must_use]
    pub fn within(&self, files: Option<u64>) -> Self {
        let most = files.map_or(u64::MAX, |files| files.saturating_sub(FILES_KEPT));
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let connections = self.connections.min(most.max(DOOR_CONNECTIONS_MIN));
        Self {
            connections,
            strangers: self.strangers.min(connections / 2),
            ..self.clone()
        }
    }

    /// Checks every rule that a file can show.
    ///
    /// # Errors
    /// The first value out of its bounds.
    pub fn check(&self) -> Result<(), DoorLimitsError> {
        let within = |what, found: u32, min: u32, max: u32| {
            if (min..=max).contains(&found) {
                return Ok(());
            }
            Err(DoorLimitsError {
                what,
                found,
                min,
                max,
            })
        };
        let Self {
            connections,
            strangers,
            address_strangers,
            address_arrivals,
            address_requests,
            address_tickets,
            ticket_connections,
            ticket_requests,
            gateways,
        } = self;
        let most = DOOR_CONNECTIONS_MAX;
        within("connections", *connections, DOOR_CONNECTIONS_MIN, most)?;
        let half = connections / 2;
        within("strangers", *strangers, DOOR_CONNECTIONS_MIN / 2, half)?;
        within("address_strangers", *address_strangers, 0, most)?;
        within("address_arrivals", *address_arrivals, 0, DOOR_RATE_MAX)?;
        within("address_requests", *address_requests, 0, DOOR_RATE_MAX)?;
        within("address_tickets", *address_tickets, 0, DOOR_RATE_MAX)?;
        within("ticket_connections", *ticket_connections, 1, most)?;
        within("ticket_requests", *ticket_requests, 0, DOOR_RATE_MAX)?;
        let named = u32::try_from(gateways.len()).unwrap_or(u32::MAX);
        within("gateways", named, 0, DOOR_GATEWAYS_MAX as u32)
    }
}

/// Why limits of a door cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("door_limits.{what}: {found} is not {min} to {max}")]
pub struct DoorLimitsError {
    /// Which.
    pub what: &'static str,
    /// What the file says.
    pub found: u32,
    /// Least.
    pub min: u32,
    /// Most.
    pub max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_places_at_most_are_for_strangers() {
        let usual = DoorLimits::default();
        assert_eq!(usual.check(), Ok(()));
        let wrong = DoorLimits {
            strangers: usual.connections / 2 + 1,
            ..usual.clone()
        };
        let why = wrong.check().unwrap_err().to_string();
        assert_eq!(why, "door_limits.strangers: 10001 is not 8 to 10000");
        let few = usual.within(Some(1_024));
        assert_eq!((few.connections, few.strangers), (896, 448));
        assert_eq!(few.check(), Ok(()));
        assert_eq!(usual.within(Some(0)).check(), Ok(()));
        assert_eq!(usual.within(None), usual);
        let off = DoorLimits {
            address_strangers: 0,
            address_arrivals: 0,
            gateways: Vec::new(),
            ..usual
        };
        assert_eq!(off.check(), Ok(()));
    }
}
