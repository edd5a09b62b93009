//! Media relay, media tickets and the edge's guard.
//!
//! A [`Relay`] carries broadcasts between everyone who may see them: browsers at its [door](Relay::serve_door),
//! WebSockets where there is no UDP, and other nodes on the mesh. [`client`] is the other side, for
//! the demo, the recorder and tests; [`hang`] is what broadcasts look like inside.

pub mod client;
pub mod guard;
pub mod hang;
pub mod permit;
pub mod token;
pub mod websocket;

mod admission;
mod door;
mod mesh;
mod origin;
mod pace;
mod relay;
mod stats;
mod table;

pub use self::{
    admission::{Refused, RoomName},
    mesh::PeerLink,
    relay::{CACHE_BYTES_MAX, Config, HANDSHAKE_DEADLINE, Limits, Relay},
    stats::{RelayStats, Traffic},
    table::{REVOCATIONS_MAX, SessionView, Transport},
};
