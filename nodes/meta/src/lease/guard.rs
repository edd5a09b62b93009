//! The guard's side: grants, remembers across a restart how far it proved, and gives back what it
//! promised when it stops.

use std::{io, path::Path, sync::Arc, time::Duration};

use guitai_host::Disk;
use guitai_meta_core::lease::{Answer, Ask, Grantor};
use guitai_types::{UnixMillis, sync::Verdict};
use openraft::async_runtime::WatchReceiver as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Request;
use crate::{meta::Meta, runtime::blocking, transport::Topic};

/// Where the end of the last promise is kept, on the metadata's disk.
const FILE: &str = "sync-verdict.json";
/// Largest file that is one.
const FILE_BYTES_MAX: u64 = 1_024;
/// How often it is written while promises are made, in milliseconds: a guard that restarts names a
/// moment that is at most so much too early.
const KEEP_MS: u64 = 1_000;
/// How long a stopping guard waits for the leader to hear of it, in milliseconds. Unheard, sync writes
/// stall until the promise runs out.
const RELEASE_MS: u64 = 1_000;

/// A guard, and what it knows from before its restart.
pub(super) struct Guard {
    grantor: Grantor,
    disk: Arc<dyn Disk>,
    before: Option<UnixMillis>,
    kept: Option<UnixMillis>,
}

/// What is on the disk. The moment stands there twice, the second time with every bit turned round:
/// a rotten digit must not become a proof.
#[derive(Serialize, Deserialize)]
struct Kept {
    v: u16,
    proven_until: UnixMillis,
    turned: u64,
}

impl Guard {
    pub(super) fn open(grantor: Grantor, disk: Arc<dyn Disk>) -> Self {
        let before = load(&*disk);
        Self {
            grantor,
            disk,
            before,
            kept: before,
        }
    }
}

fn load(disk: &dyn Disk) -> Option<UnixMillis> {
    let path = Path::new(FILE);
    let bytes = match disk.read(path, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, "what this guard proved before is not known any more");
            return None;
        }
    };
    let kept: Option<Kept> = serde_json::from_slice(&bytes).ok();
    let kept = kept.filter(|kept| kept.v == 1 && kept.turned == !kept.proven_until.0);
    if kept.is_none() {
        tracing::warn!("{FILE} is damaged: what this guard proved before is not known any more");
    }
    kept.map(|kept| kept.proven_until)
}

fn save(disk: &dyn Disk, proven_until: UnixMillis) -> io::Result<()> {
    let kept = Kept {
        v: 1,
        proven_until,
        turned: !proven_until.0,
    };
    disk.write_whole(Path::new(FILE), &serde_json::to_vec(&kept)?)
}

impl Meta {
    /// What this node can say by itself, without any other, about the sync writes that were
    /// acknowledged; `None` if it is no guard.
    pub fn verdict(&self) -> Option<Verdict> {
        let (last_index, applied) = {
            let metrics = self.raft().metrics();
            let metrics = metrics.borrow_watched();
            let applied = metrics.last_applied.as_ref().map_or(0, |log| log.index);
            (metrics.last_log_index.unwrap_or(0), applied)
        };
        let sync = self.peek(|state| state.sync().clone());
        let guard = self.lease().guard();
        let is_guard =
            self.lease().candidates.contains(&self.id()) || sync.guards().contains(&self.id());
        let is_known = guard.before.is_some() || guard.grantor.proven_until().is_some();
        (is_guard || is_known).then(|| {
            let at = (applied, last_index);
            guard
                .grantor
                .verdict(self.moment(), &sync, guard.before, at)
        })
    }

    pub(super) fn grant(&self, ask: &Ask) -> Answer {
        let term = self.raft().metrics().borrow_watched().current_term;
        let sync = self.peek(|state| state.sync().clone());
        let mut guard = self.lease().guard();
        // Under the lock, so that no answer is older than a release.
        guard.grantor.answer(self.moment(), ask, term, &sync)
    }

    /// Gives back what was promised, so that nobody waits for a node that stops. On the disk first:
    /// the leader may act on it as soon as it hears.
    pub(crate) async fn release(&self) {
        let (life, proven_until, disk) = {
            let mut guard = self.lease().guard();
            let moment = self.moment();
            guard.grantor.release(moment);
            let until = guard.grantor.proven_until().map(|until| until.wall);
            guard.kept = until.or(guard.kept);
            (guard.grantor.life(), until, guard.disk.clone())
        };
        let Some(proven_until) = proven_until else {
            return;
        };
        if let Err(error) = blocking(move || save(&*disk, proven_until)).await {
            tracing::warn!(%error, "the end of this guard's promise was not kept; it runs out by itself");
            return;
        }
        // One that is not heard is not told: a node that takes over would wait for the dead.
        let leader = self.leader_heard().filter(|leader| *leader != self.id());
        let body = serde_json::to_vec(&Request::Release { life }).unwrap_or_default();
        if let Some(leader) = leader {
            let told: Option<serde_json::Value> =
                self.ask(leader, Topic::Lease, body, RELEASE_MS).await;
            tracing::info!(heard = told.is_some(), "this guard gave its promise back");
        }
    }
}

/// Keeps on the disk how far this guard has proved, until the node stops.
pub(crate) async fn keep(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let mut turn = tokio::time::interval(Duration::from_millis(KEEP_MS));
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = turn.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        let (proven_until, disk) = {
            let guard = meta.lease().guard();
            let until = guard.grantor.proven_until().map(|until| until.wall);
            match until.filter(|until| guard.kept != Some(*until)) {
                Some(until) => (until, guard.disk.clone()),
                None => continue,
            }
        };
        match blocking(move || save(&*disk, proven_until)).await {
            Ok(()) => meta.lease().guard().kept = Some(proven_until),
            Err(error) => tracing::warn!(%error, "how far this guard proved was not kept"),
        }
    }
}

#[cfg(test)]
mod tests {
    use guitai_host::SimDisk;

    use super::*;

    #[test]
    fn only_a_whole_file_is_a_proof() {
        let disk = SimDisk::new();
        assert_eq!(load(&disk), None);
        save(&disk, UnixMillis(77)).unwrap();
        assert_eq!(load(&disk), Some(UnixMillis(77)));
        save(&disk, UnixMillis(1_234)).unwrap();
        let whole = disk.read(Path::new(FILE), FILE_BYTES_MAX).unwrap();
        for at in 0..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 1;
            disk.write_whole(Path::new(FILE), &rotten).unwrap();
            let read = load(&disk);
            assert!(read.is_none(), "byte {at}: {read:?}");
        }
        disk.write_whole(Path::new(FILE), &whole[..whole.len() - 1])
            .unwrap();
        assert_eq!(load(&disk), None);
    }
}
