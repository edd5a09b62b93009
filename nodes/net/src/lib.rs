//! How nodes speak: QUIC endpoints, the mesh between nodes, the doors to browsers.
//!
//! The only crate that names quinn. A [`Mesh`] is one UDP socket that both dials and accepts, with
//! mutual TLS over SM algorithms; the ALPN is the wire version and says who may speak at all (see
//! [`rule`]). A [`Door`] is the UDP socket browsers reach, with a short-lived P-256 certificate.
//! Whatever a peer sends, the endpoint goes on serving: every connection has a task of its own, and
//! a panic in the cryptography ends one handshake (see [`fence`]).

pub mod answer;
pub mod calls;
pub mod door;
pub mod doorman;
pub mod frame;
pub mod ledger;
pub mod limiter;
mod lists;
pub mod mesh;
pub mod name;
pub mod pace;
pub mod pool;
pub mod revocation;
pub mod rotation;
pub mod rule;

mod accept;
mod apart;
mod fence;
mod gate;
mod handshake;
mod transport;

use std::pin::Pin;

pub use apart::Apart;
pub use calls::Calls;
pub use door::{Arrived, Door};
pub use doorman::{DoorStats, Doorman, Guest, Way};
pub use gate::Gate;
pub use ledger::{FlowKey, Ledger, Tally};
pub use limiter::Why;
pub use mesh::{Link, Mesh};
pub use name::{Peer, Target};
pub use pool::CallError;
pub use quinn::{
    ApplicationClose, ClosedStream, Connection, ConnectionClose, ConnectionError, ConnectionStats,
    ReadError, ReadExactError, ReadToEndError, RecvStream, SendStream, StoppedError, VarInt,
    WriteError,
};
pub use revocation::CertificateStats;
pub use transport::{
    DOOR_IDLE_MS_MAX, DOOR_KEEP_ALIVE_MS, IDLE_MS_MAX, KEEP_ALIVE_MS, TUNNEL_IDLE_MS_MAX,
    TUNNEL_KEEP_ALIVE_MS, widen_listener,
};

/// A future in a box; the same type as `futures::future::BoxFuture`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Raft messages between core nodes.
pub const RAFT_ALPN: &str = "guitai-raft/1";
/// Calls between inner nodes: forwarded writes and reads, recording export.
pub const CALL_ALPN: &str = "guitai-call/1";
/// Questions that inner nodes put to any node, an edge too, about that node itself. An edge cannot
/// ask: it opens nothing.
pub const NODE_ALPN: &str = "guitai-node/1";
/// Control messages between zones, dialled by inner nodes (see `guitai_types::control`).
pub const TUNNEL_ALPN: &str = "guitai-tunnel/1";
/// Revocation lists, dialled by inner nodes to every node.
pub const CRL_ALPN: &str = "guitai-crl/1";
