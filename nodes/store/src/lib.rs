//! What a node keeps, and how long it can be trusted to be there.
//!
//! The log ([`Wal`]) and the snapshots ([`Snapshots`]) are the truth: nothing is acknowledged
//! before it survives a power cut. The views ([`SledView`], [`RedbView`]) are copies that may lose
//! their newest part or be thrown away; they are made again from snapshot and log. [`NodeDir`]
//! keeps one directory to one process of one cluster. With a storage key ([`Sealing`]) all of it is
//! sealed with SM4-GCM.

mod chain;
mod node_dir;
mod sealing;
mod snapshots;
pub mod view;
pub mod wal;

pub use chain::{HashChain, LINK_BYTES};
pub use node_dir::{NodeDir, OpenNodeDirError};
pub use sealing::{OpenRecordError, STORAGE_KEY_BYTES, SealedView, Sealing};
pub use snapshots::{SaveSnapshotError, Snapshot, Snapshots};
pub use view::{OpenOutcome, OpenViewError, RedbView, SledView};
pub use wal::{OpenWalError, ReadWalError, Recovered, Wal};
