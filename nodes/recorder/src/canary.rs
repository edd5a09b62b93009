//! The recording service as a drill measures it: numbered frames of a canary room, received through the
//! relays as any call is, sealed and made durable as any recording is, and acknowledged by their numbers.
//!
//! They lie in a directory of their own ([`DIR`]) and belong to no session, so that no list of recordings
//! and no package knows of them. The next run's take their place.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use guitai_net::{Calls, Peer};
use guitai_relay::RoomName;
use guitai_types::{NodeName, RunId, SessionId, dr::Serials};
use serde::{Deserialize, Serialize};
use tokio::task::{self, JoinHandle};

use crate::{
    Recorder, Shared,
    room::Arrival,
    vault::{Shelf, Vault},
};

/// Kind of the call; its body is an [`Ask`], the answer [`Held`], both JSON.
pub const CANARY_CALL: &str = "recording.canary";
/// Directory beside the recordings.
pub(crate) const DIR: &str = "canary";
/// Party under whose name canaries publish: it does not cross into the DMZ.
pub const PARTY: &str = "customer";
/// Frames are made durable together for this long: about what a fast disk needs for a sync.
const GATHER: Duration = Duration::from_millis(100);
/// A canary that nobody has asked for so long is over: longer than anything is held apart.
const FORGOTTEN: Duration = Duration::from_secs(20 * 60);

/// Which frames are durable here?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Of which run; the first question of a run makes the recorder receive its room.
    pub run: RunId,
    /// Published by which prober.
    pub prober: NodeName,
    /// Read back from the disk, and not as remembered: what a judge wants to know.
    pub read_back: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Numbers of the frames that are durable.
    pub serials: Serials,
}

/// The room of a run's canaries; `None` when its id is no path.
pub fn room(run: &RunId) -> Option<RoomName> {
    RoomName::parse(&format!("canary/{run}"))
}

/// The name a prober publishes under.
pub fn broadcast(prober: &NodeName) -> String {
    format!("{PARTY}/{prober}.hang")
}

/// A frame's payload.
pub fn payload(serial: u64) -> [u8; 8] {
    serial.to_be_bytes()
}

/// The number in a payload; `None` if it is none.
pub fn serial(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_be_bytes)
}

/// A record: frames that became durable together.
#[derive(Debug, Serialize, Deserialize)]
struct Frames {
    prober: NodeName,
    serials: Serials,
}

type ByProber = BTreeMap<NodeName, Serials>;

/// The canary of the present run, if one was asked for.
struct Canaries {
    recorder: Weak<Shared>,
    shelf: Shelf,
    present: Mutex<Option<Canary>>,
}

struct Canary {
    run: RunId,
    vault: Arc<Mutex<Vault>>,
    durable: Arc<Mutex<ByProber>>,
    asked: Arc<Mutex<Duration>>,
    receiving: JoinHandle<()>,
}

impl Drop for Canary {
    fn drop(&mut self) {
        self.receiving.abort();
    }
}

/// Answers [`CANARY_CALL`]. Only inner nodes reach it: the ALPN is closed to other zones.
pub(crate) fn register(calls: &Calls, recorder: &Recorder, shelf: Shelf) {
    let canaries = Arc::new(Canaries {
        recorder: Arc::downgrade(&recorder.shared),
        shelf,
        present: Mutex::new(None),
    });
    calls.register(
        CANARY_CALL,
        Arc::new(move |_peer: Peer, body: Vec<u8>| {
            let canaries = canaries.clone();
            Box::pin(async move {
                let ask: Ask = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                let answered = task::spawn_blocking(move || canaries.answer(&ask));
                let held = answered.await.map_err(|error| error.to_string())?;
                let held = held.map_err(|error| error.to_string())?;
                serde_json::to_vec(&held).map_err(|error| error.to_string())
            })
        }),
    );
}

impl Canaries {
    /// Reads and writes the disk, so it blocks.
    fn answer(&self, ask: &Ask) -> io::Result<Held> {
        let shared = self.recorder.upgrade();
        let shared = shared.ok_or_else(|| io::Error::other("the recorder has stopped"))?;
        let mut present = lock(&self.present);
        if present.as_ref().is_none_or(|canary| canary.run != ask.run) {
            // First what was, so that its files are closed.
            drop(present.take());
            *present = Some(self.begin(&shared, &ask.run)?);
        }
        let Some(canary) = present.as_ref() else {
            return Err(io::Error::other("no canary"));
        };
        *lock(&canary.asked) = shared.clock.monotonic();
        let serials = if ask.read_back {
            // Nothing is written while this reads.
            let _quiet = lock(&canary.vault);
            let (_, records) = self.shelf.open::<Frames>(&session(&ask.run)?)?;
            all(records).remove(&ask.prober)
        } else {
            lock(&canary.durable).get(&ask.prober).cloned()
        };
        Ok(Held {
            serials: serials.unwrap_or_default(),
        })
    }

    /// Receives the run's room from now on; what an earlier process of this node kept of it counts.
    fn begin(&self, shared: &Arc<Shared>, run: &RunId) -> io::Result<Canary> {
        let session = session(run)?;
        for other in self.shelf.sessions()? {
            if other != session {
                self.shelf.remove(&other)?;
            }
        }
        let (vault, records) = self.shelf.open::<Frames>(&session)?;
        let vault = Arc::new(Mutex::new(vault));
        let durable = Arc::new(Mutex::new(all(records)));
        let asked = Arc::new(Mutex::new(shared.clock.monotonic()));
        let room = room(run).ok_or_else(|| io::Error::other("the run's id is no room"))?;
        let receiving = tokio::runtime::Handle::current().spawn(receive(
            shared.clone(),
            room,
            vault.clone(),
            durable.clone(),
            asked.clone(),
        ));
        Ok(Canary {
            run: run.clone(),
            vault,
            durable,
            asked,
            receiving,
        })
    }
}

/// Receives until nobody asks any more, and makes durable what came.
async fn receive(
    shared: Arc<Shared>,
    room: RoomName,
    vault: Arc<Mutex<Vault>>,
    durable: Arc<Mutex<ByProber>>,
    asked: Arc<Mutex<Duration>>,
) {
    let mut arrivals = shared.rooms.receive(room);
    let mut gather = tokio::time::interval(GATHER);
    gather.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting = ByProber::new();
    loop {
        tokio::select! {
            biased;
            _ = gather.tick() => {
                if shared.clock.monotonic().saturating_sub(*lock(&asked)) > FORGOTTEN {
                    return;
                }
                if waiting.is_empty() {
                    continue;
                }
                let frames = std::mem::take(&mut waiting);
                let (vault, records) = (vault.clone(), records(&frames));
                let stored = task::spawn_blocking(move || lock(&vault).append(&records));
                match stored.await {
                    Ok(Ok(())) => acknowledge(&mut lock(&durable), frames),
                    Ok(Err(error)) => tracing::warn!(%error, "canary frames are not durable"),
                    Err(error) => tracing::warn!(%error, "canary frames were not written"),
                }
            }
            arrival = arrivals.recv() => match arrival {
                Some(Arrival::Frame { broadcast, payload, .. }) => {
                    if let Some((prober, serial)) = prober(&broadcast).zip(serial(&payload)) {
                        waiting.entry(prober).or_default().insert(serial);
                    }
                }
                Some(_) => {}
                None => return,
            },
        }
    }
}

fn records(frames: &ByProber) -> Vec<Frames> {
    let record = |(prober, serials): (&NodeName, &Serials)| Frames {
        prober: prober.clone(),
        serials: serials.clone(),
    };
    frames.iter().map(record).collect()
}

fn all(records: Vec<Frames>) -> ByProber {
    let mut all = ByProber::new();
    for Frames { prober, serials } in records {
        acknowledge(&mut all, [(prober, serials)].into());
    }
    all
}

fn acknowledge(durable: &mut ByProber, frames: ByProber) {
    for (prober, serials) in frames {
        durable.entry(prober).or_default().insert_all(&serials);
    }
}

fn prober(broadcast: &str) -> Option<NodeName> {
    let name = broadcast.strip_prefix(PARTY)?.strip_prefix('/')?;
    name.strip_suffix(".hang")?.parse().ok()
}

fn session(run: &RunId) -> io::Result<SessionId> {
    let parsed = SessionId::try_from(run.to_string());
    parsed.map_err(|_| io::Error::other("the run's id is no session's"))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// Removes what lies under a name, and the name.
    fn remove(&self, session: &SessionId) -> io::Result<()> {
        let dir = Path::new(session.as_str());
        for name in self.disk().list(dir)? {
            self.disk().remove(&dir.join(name))?;
        }
        self.disk().remove_dir(dir)
    }
}
