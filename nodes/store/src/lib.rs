//! What a node keeps, and how long it can be trusted to be there.
//!
//! The log ([`Wal`]) and the snapshots ([`Snapshots`]) are the truth: nothing is acknowledged
//! before it survives a power cut. The views ([`SledView`], [`RedbView`]) are copies that may lose
//! their newest part or be thrown away; they are made again from snapshot and log. [`NodeDir`]
//! keeps one directory to one process of one cluster.

mod node_dir;
mod snapshots;
pub mod view;
pub mod wal;

pub use node_dir::{NodeDir, OpenNodeDirError};
pub use snapshots::{SaveSnapshotError, Snapshot, Snapshots};
pub use view::{OpenOutcome, OpenViewError, RedbView, SledView};
pub use wal::{OpenWalError, ReadWalError, Recovered, Wal};
