//! The line of history this node belongs to, kept durably beside the log.
//!
//! Log, snapshots and view belong to a *generation*; one small file, written whole, says which
//! generation counts and in which epoch. Taking over and rejoining build a new generation beside the
//! old one and then write that file: a power cut leaves the old lineage or the new one, never a
//! mixture, and the old generation stays where it was.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use guitai_host::Disk;
use guitai_types::{
    Epoch, NodeName, UnixMillis,
    lineage::{EPOCH_FIRST, LineageView, Quarantine, Tombstone},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The file that says which lineage counts.
const FILE: &str = "raft-lineage.json";
/// Longest such file: a tombstone with its runs of terms is under 200 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Format version, 1.
    pub(crate) v: u16,
    /// `None` on a node that has nothing yet: it adopts the epoch of whoever speaks to it.
    pub(crate) epoch: Option<Epoch>,
    /// Which directories count: 0 is the founding's, later ones bear the epoch they began in.
    #[serde(default)]
    pub(crate) generation: u64,
    /// Set when a higher epoch was heard of.
    #[serde(default)]
    pub(crate) quarantine: Option<Quarantine>,
    /// The takeover that began this lineage.
    #[serde(default)]
    pub(crate) tombstone: Option<Tombstone>,
    /// The node has left an old lineage and waits to be taken in.
    #[serde(default)]
    pub(crate) joining: bool,
}

/// What a message from another lineage means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Of our lineage.
    Ours,
    /// Of an older one.
    Fenced,
    /// This node takes no part.
    Quarantined,
}

/// Keeps the record; clones are the same.
#[derive(Clone)]
pub(crate) struct Lineage(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    record: Mutex<Record>,
    /// Whether the node has no entry at all; known once log and snapshots are open.
    is_empty: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    /// Held by whoever changes who votes, or makes the member list agree with it.
    voices: tokio::sync::Mutex<()>,
    quarantined: watch::Sender<bool>,
    /// The node is about to leave its lineage: nothing more is agreed on with it.
    leaving: AtomicBool,
    restart: watch::Sender<bool>,
}

impl Lineage {
    pub(crate) fn open(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let path = Path::new(FILE);
        let record = if disk.exists(path)? {
            let bytes = disk.read(path, FILE_BYTES_MAX)?;
            serde_json::from_slice(&bytes).map_err(io::Error::other)?
        } else {
            Record {
                v: 1,
                ..Record::default()
            }
        };
        let (restart, _) = watch::channel(false);
        let (quarantined, _) = watch::channel(record.quarantine.is_some());
        Ok(Self(Arc::new(Inner {
            disk,
            record: Mutex::new(record),
            is_empty: OnceLock::new(),
            voices: tokio::sync::Mutex::new(()),
            quarantined,
            leaving: AtomicBool::new(false),
            restart,
        })))
    }

    pub(crate) fn know_emptiness(&self, is_empty: impl Fn() -> bool + Send + Sync + 'static) {
        // Set once, at the start.
        self.0.is_empty.set(Box::new(is_empty)).ok();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty.get().is_some_and(|is_empty| is_empty())
    }

    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        self.0.disk.clone()
    }

    pub(crate) fn record(&self) -> Record {
        self.lock().clone()
    }

    pub(crate) fn voices(&self) -> &tokio::sync::Mutex<()> {
        &self.0.voices
    }

    pub(crate) fn epoch(&self) -> Option<Epoch> {
        self.lock().epoch
    }

    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    pub(crate) fn quarantine(&self) -> Option<Quarantine> {
        self.lock().quarantine.clone()
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.0.leaving.load(Ordering::Acquire) || self.lock().quarantine.is_some()
    }

    /// From now on this process takes no part any more: its next start will, in another lineage.
    pub(crate) fn leave(&self) {
        self.0.leaving.store(true, Ordering::Release);
    }

    pub(crate) async fn quarantined(&self) {
        let mut quarantined = self.0.quarantined.subscribe();
        // The sender lives as long as `self`.
        drop(quarantined.wait_for(|quarantined| *quarantined).await);
    }

    pub(crate) fn want_restart(&self) {
        self.0.restart.send_replace(true);
    }

    pub(crate) async fn restart_wanted(&self) {
        let mut wanted = self.0.restart.subscribe();
        // The sender lives as long as `self`.
        drop(wanted.wait_for(|wanted| *wanted).await);
    }

    pub(crate) fn view(&self) -> LineageView {
        let record = self.record();
        LineageView {
            epoch: record.epoch.unwrap_or_default(),
            quarantine: record.quarantine,
            joining: record.joining,
            tombstone: record.tombstone,
        }
    }

    /// Changes the record, durably before anybody sees it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut record = self.lock();
        let mut next = record.clone();
        change(&mut next);
        next.v = 1;
        if next != *record {
            let bytes = serde_json::to_vec(&next).map_err(io::Error::other)?;
            self.0.disk.write_whole(Path::new(FILE), &bytes)?;
            *record = next;
        }
        Ok(())
    }

    /// A node that had a log before it kept epochs belongs to the one its state says.
    pub(crate) fn settle(&self, epoch: Epoch) -> io::Result<()> {
        self.change(|record| {
            record.epoch.get_or_insert_with(|| epoch.max(EPOCH_FIRST));
        })
    }

    /// Judges the epoch a message came with; `None` is a node of the release before, which knows only
    /// the first. A higher one is adopted by a node that has nothing, and quarantines any other.
    pub(crate) fn judge(&self, heard: Option<Epoch>, from: &NodeName, now: UnixMillis) -> Verdict {
        let heard = heard.unwrap_or(EPOCH_FIRST);
        let present = self.epoch();
        if self.is_quarantined() {
            return Verdict::Quarantined;
        }
        match present {
            Some(present) if heard < present => Verdict::Fenced,
            Some(present) if heard == present => Verdict::Ours,
            _ if self.is_empty() => {
                let adopted = self.change(|record| record.epoch = Some(heard));
                if let Err(error) = adopted {
                    tracing::error!(%error, "the epoch was not kept");
                    return Verdict::Quarantined;
                }
                Verdict::Ours
            }
            // Before the log is open nothing is answered; a node that is not asked has nothing to lose.
            None => Verdict::Quarantined,
            Some(_) => {
                self.enter_quarantine(heard, from, now);
                Verdict::Quarantined
            }
        }
    }

    fn enter_quarantine(&self, heard: Epoch, from: &NodeName, now: UnixMillis) {
        let own = self.epoch().unwrap_or_default();
        let quarantine = Quarantine {
            heard,
            told_by: from.clone(),
            at: now,
        };
        tracing::error!(
            own = own.0,
            heard = heard.0,
            told_by = %from,
            "this node is of an old epoch: it takes no part until guitai node rejoin",
        );
        let kept = self.change(|record| record.quarantine = Some(quarantine.clone()));
        if let Err(error) = kept {
            tracing::error!(%error, "the quarantine was not kept; it holds until the restart");
            self.lock().quarantine = Some(quarantine);
        }
        self.0.quarantined.send_replace(true);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Record> {
        self.0.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Directory of the log of a generation.
pub(crate) fn log_dir(generation: u64) -> PathBuf {
    of_generation("raft-log", generation)
}

/// Directory of the snapshots of a generation.
pub(crate) fn snapshot_dir(generation: u64) -> PathBuf {
    of_generation("raft-snapshots", generation)
}

fn of_generation(name: &str, generation: u64) -> PathBuf {
    match generation {
        0 => name.into(),
        later => format!("{name}-{later}").into(),
    }
}

/// Empties a directory, so that what an interrupted attempt left there is not taken for anything.
pub(crate) fn empty_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if !disk.exists(dir)? {
        return Ok(());
    }
    for name in disk.list(dir)? {
        disk.remove(&dir.join(name))?;
    }
    disk.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use guitai_host::SimDisk;

    use super::*;

    const NOW: UnixMillis = UnixMillis(7);

    fn lineage(disk: &SimDisk, is_empty: bool) -> Lineage {
        let lineage = Lineage::open(Arc::new(disk.clone())).unwrap();
        lineage.know_emptiness(move || is_empty);
        lineage
    }

    #[test]
    fn a_lower_epoch_is_fenced_and_a_higher_one_quarantines_for_good() {
        let disk = SimDisk::new();
        let from: NodeName = "b-1".parse().unwrap();
        let first = lineage(&disk, false);
        first.settle(Epoch(2)).unwrap();
        assert_eq!(first.judge(Some(Epoch(1)), &from, NOW), Verdict::Fenced);
        assert_eq!(first.judge(None, &from, NOW), Verdict::Fenced);
        assert_eq!(first.judge(Some(Epoch(2)), &from, NOW), Verdict::Ours);
        assert_eq!(
            first.judge(Some(Epoch(3)), &from, NOW),
            Verdict::Quarantined
        );
        assert_eq!(
            first.judge(Some(Epoch(2)), &from, NOW),
            Verdict::Quarantined
        );
        // It survives a power cut.
        disk.crash(1);
        let again = lineage(&disk, false);
        let quarantine = again.quarantine().unwrap();
        assert_eq!((quarantine.heard, quarantine.told_by), (Epoch(3), from));
        assert_eq!(again.epoch(), Some(Epoch(2)));
    }

    #[test]
    fn a_node_that_has_nothing_adopts_what_it_hears() {
        let disk = SimDisk::new();
        let from: NodeName = "b-1".parse().unwrap();
        let empty = lineage(&disk, true);
        assert_eq!(empty.judge(Some(Epoch(4)), &from, NOW), Verdict::Ours);
        assert_eq!(empty.judge(Some(Epoch(3)), &from, NOW), Verdict::Fenced);
        assert_eq!(lineage(&disk, false).epoch(), Some(Epoch(4)));
    }

    #[test]
    fn the_bytes_of_the_record_are_frozen_and_the_shortest_is_read() {
        let record = Record {
            v: 1,
            epoch: Some(Epoch(2)),
            generation: 2,
            quarantine: Some(Quarantine {
                heard: Epoch(3),
                told_by: "b-1".parse().unwrap(),
                at: NOW,
            }),
            tombstone: None,
            joining: true,
        };
        let text = concat!(
            r#"{"v":1,"epoch":2,"generation":2,"quarantine":{"heard":3,"told_by":"b-1","at":7},"#,
            r#""tombstone":null,"joining":true}"#
        );
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        assert_eq!(serde_json::from_str::<Record>(text).unwrap(), record);
        let short: Record = serde_json::from_str(r#"{"v":1,"epoch":null}"#).unwrap();
        assert_eq!((short.epoch, short.generation), (None, 0));
    }
}
