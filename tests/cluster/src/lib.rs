//! Real processes on loopback: a deployment started with the product's own `guitai up`, asked through
//! its own commands, and hurt with signals, garbage and full disks. `SIGKILL` is not a power cut; the
//! simulated disk of `guitai-host` is where power cuts are tested.
//!
//! The binary is the one built beside the test (`cargo build -p guitai`), or `GUITAI_BIN`.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests wait for real processes by the real clock"
)]

pub mod deployment;
pub mod http;
pub mod officers;
pub mod packages;

pub use deployment::{Deployment, NODES};
