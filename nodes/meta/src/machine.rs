//! openraft's state machine: the core's state, its view, and its snapshots.

use std::{io, sync::Arc};

use futures::{Stream, TryStreamExt};
use guitai_meta_core::State;
use guitai_store::Snapshots;
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};

use crate::{
    applied::{Applied, Base},
    raft::{LogId, Membership, Snapshot, SnapshotData, SnapshotMeta, Types},
    runtime::blocking,
    tlog::Files,
    view::View,
};

/// The state machine; clones are the same.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) applied: Applied,
    pub(crate) view: View,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) files: Files,
}

impl Machine {
    /// Starts from the newer of view and snapshot. `log_last` is the last entry of the log.
    pub(crate) fn open(
        view: View,
        snapshots: Snapshots,
        files: Files,
        log_last: Option<LogId>,
    ) -> io::Result<Self> {
        let from_view = view.load().unwrap_or_default();
        let from_snapshot = latest(&snapshots)?;
        let is_behind = from_snapshot
            .as_ref()
            .is_some_and(|(meta, _)| meta.last_log_id > from_view.last);
        let base = match from_snapshot {
            Some((meta, data)) if is_behind => {
                let base = base_of(&meta, &data)?;
                view.replace(&base);
                base
            }
            _ => from_view,
        };
        // The view saw entries that the log lost in a power cut before they were durable here (they
        // are on a quorum elsewhere). openraft will start the log after them, so they must be
        // somewhere durable first, and the view is not.
        if base.last > log_last {
            save(&snapshots, &base)?;
        }
        Ok(Self {
            applied: Applied::new(base),
            view,
            snapshots: Arc::new(snapshots),
            files,
        })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Membership), io::Error> {
        Ok(self
            .applied
            .look(|base| (base.last, base.membership.clone())))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let result = loop {
            let (entry, responder) = match entries.try_next().await {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let replies = self.applied.change(|base| {
                let step = base.step(entry);
                self.files.note(step.full);
                self.view.note(step.changed);
                step.replies
            });
            if let Some(responder) = responder {
                responder.send(replies);
            }
        };
        if self.view.is_full() {
            self.view.write(&self.applied);
        }
        result
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let base = self.applied.look(Clone::clone);
        Builder {
            base,
            snapshots: self.snapshots.clone(),
            files: self.files.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let base = base_of(meta, &snapshot)?;
        let encoded = serde_json::to_vec(meta)?;
        let snapshots = self.snapshots.clone();
        blocking(move || {
            snapshots
                .save(&encoded, &snapshot)
                .map_err(io::Error::other)
        })
        .await?;
        let view = self.view.clone();
        let copy = base.clone();
        blocking(move || {
            view.replace(&copy);
            Ok(())
        })
        .await?;
        self.applied.change(|present| *present = base);
        self.files.suspect();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshots = self.snapshots.clone();
        let latest = blocking(move || latest(&snapshots)).await?;
        Ok(latest.map(|(meta, data)| Snapshot {
            meta,
            snapshot: Arc::new(data),
        }))
    }
}

/// Builds a snapshot of the state as it was when asked for.
pub(crate) struct Builder {
    base: Base,
    snapshots: Arc<Snapshots>,
    files: Files,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    /// Durable when it returns: openraft purges the log on the strength of it.
    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (base, snapshots) = (self.base.clone(), self.snapshots.clone());
        let files = self.files.clone();
        blocking(move || {
            // The state has forgotten what is in them.
            files.flush()?;
            save(&snapshots, &base)
        })
        .await
    }
}

pub(crate) fn save(snapshots: &Snapshots, base: &Base) -> io::Result<Snapshot> {
    let meta = SnapshotMeta {
        last_log_id: base.last,
        last_membership: base.membership.clone(),
    };
    let data = base.state.to_snapshot();
    snapshots
        .save(&serde_json::to_vec(&meta)?, &data)
        .map_err(io::Error::other)?;
    Ok(Snapshot {
        meta,
        snapshot: Arc::new(data),
    })
}

fn latest(snapshots: &Snapshots) -> io::Result<Option<(SnapshotMeta, Vec<u8>)>> {
    let Some(found) = snapshots.latest()? else {
        return Ok(None);
    };
    Ok(Some((serde_json::from_slice(&found.meta)?, found.data)))
}

fn base_of(meta: &SnapshotMeta, data: &[u8]) -> io::Result<Base> {
    let state = State::from_snapshot(data).map_err(io::Error::other)?;
    Ok(Base {
        state,
        last: meta.last_log_id,
        membership: meta.last_membership.clone(),
    })
}
