//! What a node keeps of one generation of its lineage, opened.

use std::{path::PathBuf, sync::Arc};

use guitai_host::Disk;
use guitai_store::{OpenWalError, Snapshots, Wal, wal};

use crate::{
    Config, StartError,
    lineage::{log_dir, snapshot_dir},
    log::LogStore,
    machine::Machine,
    tlog::Files,
    view::View,
};

/// Opens a log as every node does.
pub(crate) fn open_log(
    disk: Arc<dyn Disk>,
) -> impl FnOnce(PathBuf) -> Result<Wal, OpenWalError> + Send {
    move |dir| Ok(Wal::open(disk, wal::Config::new(dir))?.0)
}

/// Log, and state machine, of one generation.
pub(crate) fn open(
    config: &Config,
    generation: u64,
    open_log: impl FnOnce(PathBuf) -> Result<Wal, OpenWalError>,
) -> Result<(LogStore, Machine), StartError> {
    let wal = open_log(log_dir(generation))?;
    let wal = match &config.sealing {
        Some(sealing) => wal.sealed_by(sealing.clone()),
        None => wal,
    };
    let log = LogStore::new(wal);
    let last = log.last().map_err(StartError::Log)?;
    let snapshots = snapshots(config, generation)?;
    let files = Files::new(config.disk.clone(), config.sealing.clone());
    let view = View::new(config.view.clone(), generation, files.clone());
    let machine = Machine::open(view, snapshots, files, last).map_err(StartError::Snapshot)?;
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
