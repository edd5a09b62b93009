//! Are the addresses free? Asked for all of them before anything is written or started.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use guitai_types::{Code, profile::Profile};

use crate::exit::Failure;

/// Binds and releases every address of the profile.
pub(crate) fn all_free(profile: &Profile) -> Result<(), Failure> {
    for node in &profile.nodes {
        free(&node.name, "mesh, UDP", node.mesh, |at| {
            UdpSocket::bind(at).map(drop)
        })?;
        free(&node.name, "door, UDP", node.door, |at| {
            UdpSocket::bind(at).map(drop)
        })?;
        free(&node.name, "door, TCP", node.door, |at| {
            TcpListener::bind(at).map(drop)
        })?;
    }
    Ok(())
}

fn free(
    node: &guitai_types::NodeName,
    what: &str,
    at: SocketAddr,
    bind: impl FnOnce(SocketAddr) -> std::io::Result<()>,
) -> Result<(), Failure> {
    bind(at).map_err(|error| {
        Failure::new(
            Code::PortTaken,
            format!("node {node} cannot have {at} ({what}): {error}"),
        )
    })
}
