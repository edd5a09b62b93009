//! Writers that leave a numbered write every few milliseconds, whether or not the one before was
//! acknowledged, and remember which were and when.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::load::{Client, Target};

/// A write that takes longer is given up; whether it happened is unknown.
const WRITE_MAX: Duration = Duration::from_secs(3);
/// Writes of one lane under way; past it the lane waits, and the waiting counts as silence.
const UNDER_WAY_MAX: usize = 192;
/// Serials of one lane; each has a key of its own, and the store has a limit of keys.
pub(crate) const SERIALS_MAX: u64 = 1_300;

/// One writer.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// Its name; the keys begin with it.
    pub(crate) name: String,
    /// Where it writes; the next when one does not answer.
    pub(crate) targets: Vec<Target>,
    /// Waits for the guard city.
    pub(crate) sync: bool,
}

/// Acknowledged serials with the moments they were acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Sent.
    pub(crate) sent: u64,
    /// Serials that were acknowledged, and when.
    pub(crate) acked: BTreeMap<u64, Instant>,
}

/// Running writers; they end with this.
pub(crate) struct Pulse {
    run: String,
    lanes: Vec<(Lane, Arc<Mutex<Seen>>)>,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Pulse {
    /// Starts them; values begin with `run`, so that those of an earlier run are told apart. Where
    /// `keep` is not set, keys are used again: then only times count.
    pub(crate) fn start(lanes: Vec<Lane>, run: &str, every: Duration, keep: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let lanes: Vec<_> = lanes
            .into_iter()
            .map(|lane| (lane, Arc::<Mutex<Seen>>::default()))
            .collect();
        for (lane, seen) in &lanes {
            let writer = Writer {
                lane: lane.clone(),
                run: run.to_owned(),
                keep,
                seen: Arc::clone(seen),
                door: Arc::default(),
                idle: Arc::default(),
            };
            tasks.spawn(beat(writer, every, Arc::clone(&stop)));
        }
        Self {
            run: run.to_owned(),
            lanes,
            stop,
            tasks,
        }
    }

    /// Waits until every lane was acknowledged, or `patience` is over; says whether all were.
    pub(crate) async fn beats(&self, patience: Duration) -> bool {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self
                .lanes
                .iter()
                .all(|(_, seen)| lock(seen).acked.len() > 5)
            {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// How long ago each of these lanes was last acknowledged, at the most.
    pub(crate) fn silence(&self, counts: impl Fn(&Lane) -> bool) -> Duration {
        let now = Instant::now();
        let lanes = self.lanes.iter().filter(|(lane, _)| counts(lane));
        let last = lanes.map(|(_, seen)| {
            let newest = lock(seen).acked.values().max().copied();
            newest.map_or(Duration::MAX, |newest| {
                now.saturating_duration_since(newest)
            })
        });
        last.max().unwrap_or_default()
    }

    /// How long no lane at all was acknowledged.
    pub(crate) fn silence_of_all(&self) -> Duration {
        let newest = self.lanes.iter().filter_map(|(_, seen)| {
            let seen = lock(seen);
            seen.acked.values().max().copied()
        });
        newest.max().map_or(Duration::MAX, |at| at.elapsed())
    }

    /// The longest time between two acknowledgements in the window, by lane.
    pub(crate) fn gaps(&self, from: Instant, to: Instant) -> Vec<(Lane, Duration)> {
        let of = |(lane, seen): &(Lane, Arc<Mutex<Seen>>)| {
            let times: Vec<Instant> = lock(seen).acked.values().copied().collect();
            (lane.clone(), longest(times, from, to))
        };
        self.lanes.iter().map(of).collect()
    }

    /// The same, with the window's end where the last of a lane's serials was acknowledged if it has no more.
    pub(crate) fn gaps_while_writing(&self, from: Instant, to: Instant) -> Vec<(Lane, Duration)> {
        let of = |(lane, seen): &(Lane, Arc<Mutex<Seen>>)| {
            let seen = lock(seen);
            let times: Vec<Instant> = seen.acked.values().copied().collect();
            let last = times.iter().max().copied().unwrap_or(to);
            let end = if seen.sent >= SERIALS_MAX {
                last.clamp(from, to)
            } else {
                to
            };
            (lane.clone(), longest(times, from, end))
        };
        self.lanes.iter().map(of).collect()
    }

    /// The longest time in the window in which none of these lanes was acknowledged.
    pub(crate) fn gap_of_all(
        &self,
        from: Instant,
        to: Instant,
        counts: impl Fn(&Lane) -> bool,
    ) -> Duration {
        let lanes = self.lanes.iter().filter(|(lane, _)| counts(lane));
        let times = lanes.flat_map(|(_, seen)| {
            let seen = lock(seen);
            seen.acked.values().copied().collect::<Vec<_>>()
        });
        longest(times.collect(), from, to)
    }

    /// Stops writing; gives the lanes with what was acknowledged, and the run's name.
    pub(crate) async fn stop(mut self) -> (String, Vec<(Lane, Seen)>) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let lanes = self.lanes.iter();
        let seen = lanes.map(|(lane, seen)| (lane.clone(), lock(seen).clone()));
        (self.run.clone(), seen.collect())
    }
}

/// The key of a serial.
pub(crate) fn key(lane: &Lane, serial: u64) -> String {
    format!("{}-{serial}", lane.name)
}

/// What stands under it.
pub(crate) fn value(run: &str, serial: u64) -> String {
    format!("{run}.{serial}")
}

/// The longest time without any of these moments, the window's ends included.
fn longest(mut times: Vec<Instant>, from: Instant, to: Instant) -> Duration {
    times.sort_unstable();
    let mut last = from;
    let mut gap = Duration::ZERO;
    let inside = times.into_iter().filter(|at| *at >= from && *at <= to);
    for at in inside.chain([to]) {
        gap = gap.max(at.saturating_duration_since(last));
        last = at;
    }
    gap
}

#[derive(Clone)]
struct Writer {
    lane: Lane,
    run: String,
    keep: bool,
    seen: Arc<Mutex<Seen>>,
    /// Which of the targets is used now.
    door: Arc<std::sync::atomic::AtomicUsize>,
    idle: Arc<Mutex<Vec<(usize, Client)>>>,
}

async fn beat(writer: Writer, every: Duration, stop: Arc<AtomicBool>) {
    let mut cadence = tokio::time::interval(every);
    cadence.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        tokio::select! {
            _ = cadence.tick(), if under_way.len() < UNDER_WAY_MAX => {
                let serial = {
                    let mut seen = lock(&writer.seen);
                    if writer.keep && seen.sent >= SERIALS_MAX {
                        break;
                    }
                    seen.sent += 1;
                    seen.sent
                };
                under_way.spawn(writer.clone().write(serial));
            }
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
    // What was sent may still be acknowledged, and then it counts.
    while under_way.join_next().await.is_some() {}
}

impl Writer {
    async fn write(self, serial: u64) {
        // Never repeated: a write that was not acknowledged may have happened.
        let door = self.door.load(Ordering::Relaxed);
        let write = async {
            let idle = lock(&self.idle).pop();
            let (at, mut client) = match idle.filter(|(at, _)| *at == door) {
                Some(idle) => idle,
                None => (door, self.target(door)?.connect().await?),
            };
            let number = if self.keep { serial } else { serial % 64 };
            let name = key(&self.lane, number);
            let value = value(&self.run, serial);
            client.put(&name, &value, self.lane.sync).await?;
            Some((at, client))
        };
        match tokio::time::timeout(WRITE_MAX, write).await {
            Ok(Some(idle)) => {
                lock(&self.seen).acked.insert(serial, Instant::now());
                lock(&self.idle).push(idle);
            }
            Ok(None) | Err(_) => {
                let next = (door + 1) % self.lane.targets.len().max(1);
                // Whoever fails first moves the lane on; the others find it moved.
                let moved =
                    self.door
                        .compare_exchange(door, next, Ordering::Relaxed, Ordering::Relaxed);
                if moved.is_ok() {
                    lock(&self.idle).clear();
                }
            }
        }
    }

    fn target(&self, door: usize) -> Option<&Target> {
        self.lane.targets.get(door)
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_includes_the_ends_of_the_window() {
        let from = Instant::now();
        let at = |ms: u64| from + Duration::from_millis(ms);
        let gap = |times: &[u64], to: u64| {
            longest(times.iter().map(|ms| at(*ms)).collect(), from, at(to)).as_millis()
        };
        assert_eq!(gap(&[10, 30, 20], 40), 10);
        assert_eq!(gap(&[10, 30], 400), 370);
        assert_eq!(gap(&[100, 110], 120), 100);
        assert_eq!(gap(&[], 50), 50);
        assert_eq!(gap(&[10, 900], 50), 40, "what came later does not count");
    }
}
