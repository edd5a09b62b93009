//! Cluster metadata: agreed on by raft, decided by the core, served to everybody on the node.
//!
//! The decisions are in `guitai-meta-core`. Here is the driver: [`Meta`] is the handle; `log`,
//! `machine`, `view` and `network` are what openraft asks for; `service` answers the other core
//! nodes, `transport` reaches them, `leader` finds whom to ask, `proposals` makes entries of what waits, `duties` is what a leader does besides, `lease` lets the
//! guard city prove what was acknowledged. `lineage` says which line of history counts, `fence` keeps
//! other lines out, `takeover` begins a new one, `succession` is what happens after, `rejoin` is the way
//! back. `tlog` keeps, publishes and witnesses the transparency log. `membership` is who votes, `replacement` when a dead voter loses its voice. Nothing outside this crate knows openraft.

mod applied;
mod config;
mod directory;
mod duties;
mod error;
mod events;
mod fence;
mod leader;
mod lease;
mod lineage;
mod log;
mod machine;
mod membership;
mod meta;
mod network;
mod proposals;
mod raft;
mod rejoin;
mod replacement;
mod runtime;
mod service;
mod status;
mod storage;
mod succession;
mod takeover;
mod talk;
mod tlog;
mod transport;
mod view;
mod wire;

#[cfg(feature = "sim")]
pub mod sim;

#[cfg(test)]
mod tests;

pub use config::{Config, Seal, Sign, Timing};
pub use duties::LeadError;
pub use error::{ReadError, StartError, WriteError};
pub use guitai_meta_core::{CanaryIds, Hearing, Noted, Outcome, State, may_approve};
pub use membership::VoiceError;
pub use meta::{Meta, READ_MS_MAX, WRITE_MS_MAX};
pub use rejoin::RejoinError;
pub use status::{BEHIND_MAX, RaftStatus, SILENT_MS};
pub use takeover::{CheckedTakeover, TAKEOVER_CHECK_MS, TakeoverError};
pub use tlog::{Included, LogFile, LogKeys, LogReadError, Pick, Proofs, Proven};
