//! Tracks to segments: a recorder subscribes to a call as a named participant, opens its frames with
//! the media key wrapped to it, writes fragmented MP4 without re-encoding, seals it at rest, and
//! makes the evidence package.
//!
//! Read in this order: [`take`] decides (which track, when a segment closes, what is a gap, running
//! or lost); [`keeper`] does it for one call; [`roots`] and [`rooting`] sign what became durable, by the second; [`vault`] is one recording on disk; [`package`] seals
//! and exports; [`attaching`] adds what can only be had after the seal, [`stamping`] the time stamp of an
//! [`authority`]; [`room`] and [`cluster`] are what a recorder hears from outside; [`canary`] answers the
//! probes of a drill; [`messages`] are what the parties send each other; [`erasing`] is how a recording ends, [`copies`] whether it can
//! still be read, and who else has it; [`sinking`] puts it into an object store, where there is one.
//! still be read, and who else has it; [`films`] makes composites of recordings in the background.

mod attaching;
mod authority;
pub mod canary;
mod cluster;
mod copies;
mod cut;
mod erasing;
mod export;
mod films;
mod fmp4;
mod h264;
mod keeper;
mod lost;
mod messages;
mod package;
mod proving;
mod room;
mod rooting;
mod roots;
mod seals;
mod sinking;
mod stamping;
mod take;
mod vault;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use guitai_crypto::{keys::KeyStore, x509::Identity};
use guitai_host::{Clock, SystemDisk};
use guitai_meta::Meta;
use guitai_net::{Calls, Mesh};
use guitai_relay::Relay;
use guitai_types::{
    NodeName, SessionId, UnixMillis,
    command::RecordingReport,
    record::{RecordingState, RecordingSummary},
    sink::Sink,
};
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, task::JoinHandle};

pub use authority::{Authority, STAMP_CALL};
pub use copies::{Pieces, READ_CALL, fetch};
pub use export::{EXPORT_CALL, ExportError, Package};
pub use films::{FILM_CALL, FilmPart, WORK_FREE_MIN, Workshop, fetch_film};
pub use messages::{
    KEEP_MESSAGE_CALL, Letter, MESSAGES_CALL, MessageError, Wanted, keep_message_on, messages_on,
};
pub use sinking::SinkStat;

use cluster::Cluster;
use copies::{Members, Siblings};
use films::Films;
use keeper::Order;
use room::{Relays, Rooms};
use rooting::Rooting;
use sinking::Sinking;
use stamping::{Authorities, CoreNodes, Stamping};
use take::Take;
use vault::Shelf;

/// How often the list of calls is compared with what is being recorded, whatever events said.
const RECONCILE: Duration = Duration::from_secs(2);

/// What a recorder is.
pub struct Config {
    /// This node.
    pub name: NodeName,
    /// Where recordings are kept.
    pub dir: PathBuf,
    /// Wraps every recording's key.
    pub keys: KeyStore,
    /// Opens media keys.
    pub identity: Identity,
    /// Signs packages; whoever renews its certificate sends the next one.
    pub seal: watch::Receiver<Identity>,
    /// The cluster's root certificate, DER; goes into every package.
    pub root: Vec<u8>,
    /// Where sealed recordings are put besides; nowhere without it.
    pub sink: Option<Sink>,
    /// Where films are made, and with what.
    pub films: Workshop,
}

/// What a recorder works with.
pub struct Deps {
    /// Which sessions there are, and where it reports.
    pub meta: Meta,
    /// To relays on other nodes.
    pub mesh: Mesh,
    /// The relay of this node, if it has one.
    pub relay: Option<Relay>,
    /// Answers [`EXPORT_CALL`].
    pub calls: Calls,
    /// This node's time stamp authority, if it is one: asked where no other node answers.
    pub authority: Option<Authority>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Why a recorder did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its directory.
    #[error("recordings directory {dir}")]
    Dir {
        /// Which.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The setting of the sink.
    #[error(transparent)]
    Sink(#[from] guitai_sink::OpenError),
}

/// How a recording stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingStat {
    /// Session.
    pub session: SessionId,
    /// State as last reported.
    pub state: RecordingState,
    /// This process took it up at.
    pub started_at: UnixMillis,
    /// Tracks so far.
    pub tracks: u32,
    /// Durable segments so far.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their frames.
    pub frames: u64,
    /// Declared gaps so far.
    pub gaps: u32,
}

/// A node's recorder. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// What the parts of a recorder share.
pub(crate) struct Shared {
    config: Seat,
    shelf: Shelf,
    cluster: Arc<dyn Cluster>,
    rooms: Arc<dyn Rooms>,
    authorities: Arc<dyn Authorities>,
    siblings: Arc<dyn Siblings>,
    /// Replicas of what other nodes recorded.
    copies: Shelf,
    sinking: Option<Arc<Sinking>>,
    films: Films,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    rooting: Arc<Rooting>,
    stamping: Stamping,
}

/// Who answers for what is outside of a recorder.
pub(crate) struct Surroundings {
    pub(crate) cluster: Arc<dyn Cluster>,
    pub(crate) rooms: Arc<dyn Rooms>,
    pub(crate) authorities: Arc<dyn Authorities>,
    pub(crate) siblings: Arc<dyn Siblings>,
    pub(crate) sinking: Option<Arc<Sinking>>,
    pub(crate) queue: Arc<dyn films::Queue>,
}

/// What remains of [`Config`] once the shelf has its key.
pub(crate) struct Seat {
    name: NodeName,
    identity: Identity,
    seal: watch::Receiver<Identity>,
    root: Vec<u8>,
    films: Workshop,
}

#[derive(Default)]
struct Table {
    stats: BTreeMap<SessionId, RecordingStat>,
    keepers: BTreeMap<SessionId, (watch::Sender<Order>, JoinHandle<()>)>,
    watchers: Vec<JoinHandle<()>>,
    /// Recordings that are being erased, or were: nobody takes them up again.
    ending: BTreeSet<SessionId>,
    is_stopped: bool,
}

impl Recorder {
    /// Starts recording every call that this node has a turn at, after taking up what an
    /// earlier run left: running calls go on with a declared gap, ended ones are sealed. Must be
    /// called inside a tokio runtime.
    pub fn start(config: Config, deps: Deps) -> Result<Self, StartError> {
        let failed = |source| StartError::Dir {
            dir: config.dir.clone(),
            source,
        };
        let disk = SystemDisk::new(&config.dir).map_err(failed)?;
        let aside = SystemDisk::new(config.dir.with_file_name(canary::DIR)).map_err(failed)?;
        let canaries = Shelf::new(Arc::new(aside), config.keys.clone());
        let shelf = Shelf::new(Arc::new(disk), config.keys);
        let authorities = CoreNodes {
            me: config.name.clone(),
            meta: deps.meta.clone(),
            mesh: deps.mesh.clone(),
            own: deps.authority,
        };
        let siblings = Members {
            meta: deps.meta.clone(),
            mesh: deps.mesh.clone(),
        };
        let sinking = config.sink.as_ref().map(|sink| {
            let store = guitai_sink::Store::open(sink)?;
            Ok::<_, StartError>(Arc::new(Sinking::new(store, sink.lock)))
        });
        let sinking = sinking.transpose()?;
        let queue: Arc<dyn films::Queue> = Arc::new(deps.meta.clone());
        let cluster: Arc<dyn Cluster> = Arc::new(deps.meta);
        let rooms = Relays {
            cluster: cluster.clone(),
            mesh: deps.mesh,
            local: deps.relay,
        };
        let seat = Seat {
            name: config.name,
            identity: config.identity,
            seal: config.seal,
            root: config.root,
            films: config.films,
        };
        let around = Surroundings {
            cluster,
            rooms: Arc::new(rooms),
            authorities: Arc::new(authorities),
            siblings: Arc::new(siblings),
            sinking,
            queue,
        };
        let recorder = Self::start_with(seat, shelf, around, deps.clock);
        let recorder = recorder.map_err(failed)?;
        export::register(&deps.calls, &recorder);
        copies::register(&deps.calls, &recorder);
        films::register(&deps.calls, &recorder);
        messages::register(&deps.calls, &recorder);
        canary::register(&deps.calls, &recorder, canaries);
        Ok(recorder)
    }

    /// Starts over whatever answers for cluster, rooms, authorities, disk and time.
    fn start_with(
        config: Seat,
        shelf: Shelf,
        around: Surroundings,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let mut table = Table::default();
        let mut unsealed = Vec::new();
        let mut sealed = Vec::new();
        for session in shelf.sessions()? {
            // What is left of it is swept when the cluster says so again, or was before. Nobody takes it up.
            if shelf.is_erased(&session)? {
                table.ending.insert(session);
                continue;
            }
            let summary = shelf.note(&session, keeper::SUMMARY)?;
            match summary.and_then(|json| serde_json::from_slice::<RecordingStat>(&json).ok()) {
                Some(stat) => {
                    sealed.push(session.clone());
                    table.stats.insert(session, stat);
                }
                None => unsealed.push(session),
            }
        }
        let rooting = Arc::new(Rooting::open(shelf.clone(), &unsealed)?);
        let table = Mutex::new(table);
        let films = Films::new(config.films.clone(), around.queue, &shelf)?;
        let shared = Arc::new(Shared {
            config,
            cluster: around.cluster,
            rooms: around.rooms,
            authorities: around.authorities,
            siblings: around.siblings,
            copies: shelf.beside(copies::DIR),
            sinking: around.sinking,
            films,
            shelf,
            clock,
            table,
            rooting,
            stamping: Stamping::default(),
        });
        let watchers = vec![
            tokio::spawn(watch_calls(shared.clone(), unsealed)),
            tokio::spawn(erasing::run(shared.clone())),
            tokio::spawn(copies::run(shared.clone())),
            tokio::spawn(sinking::run(shared.clone())),
            tokio::spawn(films::run(shared.clone())),
            tokio::spawn(rooting::make(shared.clone())),
            tokio::spawn(rooting::tell(shared.clone())),
            tokio::spawn(stamping::follow(shared.clone(), sealed)),
        ];
        shared.table().watchers = watchers;
        Ok(Self { shared })
    }

    /// The recordings of this node, by session.
    pub fn list(&self) -> Vec<RecordingStat> {
        self.shared.table().stats.values().cloned().collect()
    }

    /// One recording.
    pub fn stat(&self, session: &SessionId) -> Option<RecordingStat> {
        self.shared.table().stats.get(session).cloned()
    }

    /// Makes durable what is open and stops; what is unfinished goes on at the next start.
    pub async fn shutdown(&self) {
        let (keepers, watchers) = {
            let mut table = self.shared.table();
            table.is_stopped = true;
            (
                std::mem::take(&mut table.keepers),
                std::mem::take(&mut table.watchers),
            )
        };
        for watcher in watchers {
            watcher.abort();
        }
        for (orders, _) in keepers.values() {
            orders.send_replace(Order::Stop);
        }
        for (_, keeper) in keepers.into_values() {
            // A keeper that panicked has nothing left to wait for; the journal has what was durable.
            let _ended = keeper.await;
        }
    }
}

impl Shared {
    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how far a recording has come.
    pub(crate) fn note(&self, session: &SessionId, take: &Take) {
        if let Some(stat) = self.table().stats.get_mut(session) {
            let kept = take.kept();
            stat.tracks = u32::try_from(kept.len()).unwrap_or(u32::MAX);
            stat.segments = kept.iter().map(|track| u64::from(track.segments)).sum();
            stat.bytes = kept.iter().map(|track| track.bytes).sum();
            stat.frames = kept.iter().map(|track| track.frames).sum();
            stat.gaps = take.gaps();
        }
    }

    /// Notes the state a recording is in.
    pub(crate) fn set_state(&self, session: &SessionId, report: &RecordingReport) {
        let state = keeper::state(report, self.clock.wall());
        if let Some(stat) = self.table().stats.get_mut(session) {
            stat.state = state;
        }
    }

    /// Notes that a recording is sealed, and gives what is to be remembered of it.
    pub(crate) fn sealed(
        &self,
        session: &SessionId,
        summary: &RecordingSummary,
    ) -> Option<RecordingStat> {
        let mut table = self.table();
        let stat = table.stats.get_mut(session)?;
        stat.segments = summary.segments;
        stat.bytes = summary.bytes;
        stat.frames = summary.frames;
        stat.gaps = summary.gaps;
        stat.state = RecordingState::Sealed {
            summary: summary.clone(),
        };
        Some(stat.clone())
    }

    /// Whether a recording is being erased or is gone.
    fn is_ending(&self, session: &SessionId) -> bool {
        self.table().ending.contains(session)
    }

    /// Whether anything is kept of a session.
    fn has(&self, session: &SessionId) -> bool {
        self.table().stats.contains_key(session) || self.shelf.has(session)
    }

    /// Puts a keeper on a call, or gives the one it has a new order.
    fn order(self: &Arc<Self>, session: &SessionId, order: Order) {
        let mut table = self.table();
        if table.is_stopped || table.ending.contains(session) {
            return;
        }
        if let Some((orders, keeper)) = table.keepers.get(session)
            && !keeper.is_finished()
        {
            orders.send_if_modified(|present| std::mem::replace(present, order) != order);
            return;
        }
        let stat = RecordingStat {
            session: session.clone(),
            state: RecordingState::Starting,
            started_at: self.clock.wall(),
            tracks: 0,
            segments: 0,
            bytes: 0,
            frames: 0,
            gaps: 0,
        };
        table.stats.entry(session.clone()).or_insert(stat);
        let (orders, received) = watch::channel(order);
        let keeper = tokio::spawn(keeper::keep(self.clone(), session.clone(), received));
        table.keepers.insert(session.clone(), (orders, keeper));
    }
}

/// Follows which calls there are. Events only wake it: what counts is the list, so that nothing is
/// missed by a node that was away.
async fn watch_calls(shared: Arc<Shared>, unsealed: Vec<SessionId>) {
    shared.cluster.ready().await;
    // What the cluster no longer knows ended long ago; it is sealed with what the journal knows.
    for session in unsealed
        .iter()
        .filter(|session| shared.cluster.call(session).is_none())
    {
        shared.order(session, Order::Seal);
    }
    let mut wakes = shared.cluster.wakes();
    loop {
        for duty in shared.cluster.calls_of(&shared.config.name) {
            // A node that was replaced before it kept anything has nothing to seal.
            let has_part = !duty.is_over || shared.has(&duty.session);
            if has_part && !shared.is_ending(&duty.session) {
                shared.order(&duty.session, duty.order);
            }
        }
        shared
            .table()
            .keepers
            .retain(|_, (_, keeper)| !keeper.is_finished());
        // An event stream that ended says the node is stopping; the pause then paces what is left.
        let woken = tokio::time::timeout(RECONCILE, wakes.next()).await;
        if matches!(woken, Ok(None)) {
            tokio::time::sleep(RECONCILE).await;
        }
    }
}
