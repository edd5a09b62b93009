//! Cluster metadata: drives openraft, keeps the core's state, forwards to the leader.
//!
//! The decisions are in `guitai-meta-core`; here they are agreed on, kept and served.

mod config;
mod error;
mod meta;
mod status;

pub use config::Timing;
pub use error::{ReadError, StartError, WriteError};
pub use guitai_meta_core::{Outcome, State};
pub use meta::Meta;
pub use status::RaftStatus;
