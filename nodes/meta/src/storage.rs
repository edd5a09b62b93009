//! What a node keeps of one generation of its lineage, opened.

use std::sync::Arc;

use guitai_store::{Snapshots, Wal, wal};

use crate::{
    Config, StartError,
    lineage::{log_dir, snapshot_dir},
    log::LogStore,
    machine::Machine,
    view::View,
};

/// Log, and state machine, of one generation.
pub(crate) fn open(config: &Config, generation: u64) -> Result<(LogStore, Machine), StartError> {
    let (wal, _) = Wal::open(config.disk.clone(), wal::Config::new(log_dir(generation)))?;
    let wal = match &config.sealing {
        Some(sealing) => wal.sealed_by(sealing.clone()),
        None => wal,
    };
    let log = LogStore::new(wal);
    let last = log.last().map_err(StartError::Log)?;
    let snapshots = snapshots(config, generation)?;
    let view = View::new(config.view.clone(), generation);
    let machine = Machine::open(view, snapshots, last).map_err(StartError::Snapshot)?;
    Ok((log, machine))
}

/// The snapshots of one generation.
pub(crate) fn snapshots(config: &Config, generation: u64) -> Result<Snapshots, StartError> {
    let snapshots = Snapshots::open(config.disk.clone(), snapshot_dir(generation));
    let snapshots = snapshots.map_err(StartError::Snapshot)?;
    Ok(match &config.sealing {
        Some(sealing) => snapshots.sealed_by(Arc::clone(sealing)),
        None => snapshots,
    })
}
