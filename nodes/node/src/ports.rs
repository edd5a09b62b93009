//! Are the addresses free? Asked for all of them before anything is written or started.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use guitai_flow::{Transport, deployment};
use guitai_types::{Code, profile::Profile};

use crate::exit::Failure;

/// Binds and releases every address of the profile.
pub(crate) fn all_free(profile: &Profile) -> Result<(), Failure> {
    for node in &profile.nodes {
        for listener in deployment::listeners(node) {
            let bind = |at| match listener.transport {
                Transport::Udp => UdpSocket::bind(at).map(drop),
                Transport::Tcp => TcpListener::bind(at).map(drop),
            };
            free(&node.name, listener.what, listener.address, bind)?;
        }
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
