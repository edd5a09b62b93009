//! The laboratory: a deployment of real nodes, each in a network namespace of its own, under a WAN that
//! is emulated in user space, with faults a person or a test asks for.
//!
//! * [`Wan`](wan::Wan) decides what becomes of a packet; the emulator's thread carries packets between
//!   the TUN devices of the namespaces.
//! * Doors are forwarded from the namespaces' loopback addresses to this machine's.
//! * Faults of disks and clocks are a small C library preloaded into the nodes ([`shim`]).
//!
//! It needs root, `ip`, and for the shim a C compiler. `SIGKILL` is not a power cut.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes and packets run by the real clock"
)]

pub mod bench;
pub mod control;
mod doors;
mod emulator;
pub mod error;
mod gateway;
mod lab;
pub mod matrix;
mod measure;
mod namespace;
mod nodes;
pub mod quantity;
pub mod shim;
pub mod soak;
pub mod topology;
pub mod wan;
pub mod workload;
pub mod writes;

pub use error::LabError;
pub use lab::{Lab, LinkStatus, NodeStatus, Options, Status};
pub use namespace::{of_process, sweep};
pub use nodes::State;
pub use topology::{Guest, Host, Topology};
