//! Does what [`crate::roots`] decides: keeps roots in files, tells the cluster, gives a session its own.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_crypto::random;
use guitai_host::Disk;
use guitai_types::SessionId;
use tokio::{sync::Notify, task};

use crate::{
    Shared,
    cluster::ReportError,
    roots::{Closed, Kept, Roots},
    vault::Shelf,
};

/// Where roots are kept among the recordings; no session has such a name.
const DIR: &str = "_roots";
/// Holds the second through which the log has the roots.
const TOLD: &str = "told";
/// How often there may be a root.
const EVERY: Duration = Duration::from_secs(1);
/// Roots told before that is written down: as many are told again, in vain, after a crash.
const TOLD_UNWRITTEN_MAX: u32 = 16;
/// Largest file of a root: its leaves and some.
const ROOT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long a seal waits for the last root of its session before it is tried again.
const SETTLE_MAX: Duration = Duration::from_secs(10);
/// Pause before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The roots of a node, and where they are kept.
pub(crate) struct Rooting {
    shelf: Shelf,
    roots: Mutex<Roots>,
    /// There is a new root to be told.
    made: Notify,
}

impl Rooting {
    /// Reads what an earlier run kept; `unsealed` are the sessions that still need their roots.
    pub(crate) fn open(shelf: Shelf, unsealed: &[SessionId]) -> io::Result<Self> {
        let unsealed: BTreeSet<&SessionId> = unsealed.iter().collect();
        let needs = |session: &SessionId| unsealed.contains(session);
        let mut roots = Roots::default();
        shelf.disk().create_dir(Path::new(DIR))?;
        let told = match shelf.disk().exists(&file(TOLD))? {
            true => {
                let text = shelf.disk().read(&file(TOLD), 64)?;
                let text = String::from_utf8_lossy(&text).into_owned();
                text.trim().parse().unwrap_or(0)
            }
            false => 0,
        };
        roots.used(told);
        for name in shelf.disk().list(Path::new(DIR))? {
            if name.parse::<u64>().is_err() {
                continue;
            }
            let read = shelf.disk().read(&file(&name), ROOT_BYTES_MAX);
            let kept = read.and_then(|bytes| Ok(serde_json::from_slice::<Kept>(&bytes)?));
            match kept {
                Ok(kept) => roots.found(&kept, told, needs),
                // Its segments go under the next root.
                Err(error) => tracing::error!(name, %error, "a root cannot be read"),
            }
        }
        Ok(Self {
            shelf,
            roots: Mutex::new(roots),
            made: Notify::new(),
        })
    }

    fn roots(&self) -> MutexGuard<'_, Roots> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment is durable.
    pub(crate) fn closed(&self, segment: Closed) {
        self.roots().closed(segment);
    }

    /// Waits until every durable segment of a session is under a root, and gives these.
    pub(crate) async fn of(self: Arc<Self>, session: &SessionId) -> io::Result<Vec<Kept>> {
        let pause = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        while !self.roots().is_settled(session) {
            if waited > SETTLE_MAX {
                return Err(io::Error::other("its last segments are under no root yet"));
            }
            tokio::time::sleep(pause).await;
            waited += pause;
        }
        let seconds = self.roots().of(session);
        task::spawn_blocking(move || {
            let read = |second: &u64| {
                let bytes = self
                    .disk()
                    .read(&file(&second.to_string()), ROOT_BYTES_MAX)?;
                Ok(serde_json::from_slice(&bytes)?)
            };
            seconds.iter().map(read).collect()
        })
        .await?
    }

    /// A session is sealed: it needs no roots any more.
    pub(crate) async fn forget(self: Arc<Self>, session: &SessionId) {
        self.roots().forget(session);
        self.tidy().await;
    }

    fn disk(&self) -> &dyn Disk {
        self.shelf.disk()
    }

    /// Removes files that nobody needs; one that stays is removed after the next start.
    async fn tidy(self: Arc<Self>) {
        let spent = self.roots().spent();
        if spent.is_empty() {
            return;
        }
        let removed = task::spawn_blocking(move || {
            let mut files = spent.iter().map(|second| file(&second.to_string()));
            files.try_for_each(|path| self.disk().remove(&path))
        });
        if !matches!(removed.await, Ok(Ok(()))) {
            tracing::debug!("a root that nobody needs was not removed");
        }
    }
}

/// Makes roots for ever.
pub(crate) async fn make(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let next = shared.rooting.roots().next(shared.clock.wall());
        let Some((second, segments)) = next else {
            continue;
        };
        let signer = shared.config.seal.borrow().clone();
        let (rooting, node) = (shared.rooting.clone(), shared.config.name.clone());
        let written = task::spawn_blocking(move || {
            let kept = Kept::sign(&node, second, segments, random::array, &signer);
            let path = file(&second.to_string());
            let written = serde_json::to_vec(&kept).map_err(io::Error::from);
            let written = written.and_then(|json| rooting.disk().write_whole(&path, &json));
            written.map(|()| kept)
        });
        match written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok(kept) => {
                shared.rooting.roots().kept(&kept);
                shared.rooting.made.notify_one();
            }
            Err(error) => {
                tracing::error!(second, %error, "a root was not kept; its segments go under the next");
                shared.rooting.roots().used(second);
            }
        }
    }
}

/// Tells the cluster of every root, the oldest first.
pub(crate) async fn tell(shared: Arc<Shared>) {
    shared.cluster.ready().await;
    let mut unwritten = 0;
    loop {
        let untold = shared.rooting.roots().untold().cloned();
        let Some(root) = untold else {
            shared.rooting.made.notified().await;
            continue;
        };
        let second = root.second;
        // A cluster without a log refuses every root: the packages have them all the same.
        let told = match shared.cluster.has_log() {
            true => shared.cluster.append_root(root).await,
            false => Ok(()),
        };
        match told {
            Ok(()) => {}
            Err(error @ ReportError::Refused(_)) => {
                // As a rule it was told before a restart and is there; a package without its proof says so.
                tracing::info!(second, %error, "a root was not taken");
            }
            Err(error) => {
                tracing::warn!(second, %error, "a root was not told; trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        shared.rooting.roots().told(second);
        unwritten += 1;
        if unwritten >= TOLD_UNWRITTEN_MAX {
            let rooting = shared.rooting.clone();
            let written = task::spawn_blocking(move || {
                let text = second.to_string();
                rooting.disk().write_whole(&file(TOLD), text.as_bytes())
            });
            if matches!(written.await, Ok(Ok(()))) {
                unwritten = 0;
            }
        }
        shared.rooting.clone().tidy().await;
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}
