//! The commands of `guitai`: they talk HTTP to `api` as any other client does, verify evidence offline,
//! and make demonstration calls through the doors that browsers use.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 evidence not verified, 4 not reachable
//! (`docs/reference/cli.md`).

mod args;
mod cluster;
mod language;

use std::process::ExitCode;

pub use crate::{
    args::{
        Access, Command, Demo, Evidence, Export, Output, SessionState, Sessions, Verify, View,
    },
    cluster::{Account, CLUSTER_FILE, Cluster, LoginFile, ReadClusterError},
    language::Language,
};

/// Runs one command and says how it went.
pub async fn run(command: Command) -> ExitCode {
    drop(command);
    unimplemented!("first phase")
}
