//! The probers of one node: every 20 ms each asks its service for the next serial, whether or not the
//! one before was answered, and remembers when good answers came.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_types::{
    CentreId, RunId, UnixMillis,
    command::{Command, Reply},
    dr::{Lane, LaneReport, Service},
    live::{LANES_LIVE_MAX, LaneLive},
};
use tokio::task::JoinSet;

use crate::{meter::Meter, recovery::Inner};

/// Pause between two questions of one prober, in milliseconds.
pub(crate) const CADENCE_MS: u64 = 20;
/// Questions of one prober under way; past it the prober waits, and the waiting counts as silence.
const UNDER_WAY_MAX: usize = 256;
/// Services that this node can ask for.
const SERVICES: [Service; 3] = [Service::Log, Service::Queue, Service::Login];

const _: () = assert!(SERVICES.len() <= LANES_LIVE_MAX);

/// Running probers; they end when this is dropped.
pub(crate) struct Probers {
    lanes: Vec<Prober>,
    began: UnixMillis,
    tasks: JoinSet<()>,
}

struct Prober {
    lane: Lane,
    meter: Arc<Mutex<Meter>>,
}

impl Probers {
    /// Begins to ask.
    pub(crate) fn begin(inner: &Arc<Inner>) -> Self {
        let mut tasks = JoinSet::new();
        let lanes = SERVICES.map(|service| {
            let lane = Lane {
                node: inner.member.name.clone(),
                service,
            };
            let meter = Meter::new(inner.clock.monotonic());
            let meter = Arc::new(Mutex::new(meter));
            tasks.spawn(ask(inner.clone(), lane.clone(), meter.clone()));
            Prober { lane, meter }
        });
        Self {
            lanes: lanes.into(),
            began: inner.clock.wall(),
            tasks,
        }
    }

    /// What can be looked at while they ask.
    pub(crate) fn watched(&self, run: &RunId, centre: &CentreId) -> Watched {
        let lanes = self.lanes.iter();
        Watched {
            run: run.clone(),
            centre: centre.clone(),
            lanes: lanes
                .map(|it| (it.lane.clone(), it.meter.clone()))
                .collect(),
        }
    }

    /// Stops asking and says what was seen. What is still under way counts as not answered.
    pub(crate) fn end(mut self, inner: &Inner) -> Vec<LaneReport> {
        self.tasks.abort_all();
        let (to, now) = (inner.clock.wall(), inner.clock.monotonic());
        let report = |prober: &Prober| {
            let mut meter = lock(&prober.meter).clone();
            let gap = meter.end(now);
            LaneReport {
                lane: prober.lane.clone(),
                centre: inner.member.centre.clone(),
                from: self.began,
                to,
                sent: meter.sent,
                acked: meter.acked,
                gap_ms: millis(gap.length),
                gap_from: self.began.plus(millis(gap.after)),
                latency: meter.latency,
                serials: meter.serials,
            }
        };
        self.lanes.iter().map(report).collect()
    }
}

/// The probers of a run, for whoever looks; it does not keep them going.
pub(crate) struct Watched {
    run: RunId,
    centre: CentreId,
    lanes: Vec<(Lane, Arc<Mutex<Meter>>)>,
}

impl Watched {
    pub(crate) fn look(&self, now: Duration) -> Vec<LaneLive> {
        let look = |(lane, meter): &(Lane, Arc<Mutex<Meter>>)| {
            let meter = lock(meter);
            LaneLive {
                run: self.run.clone(),
                lane: lane.clone(),
                centre: self.centre.clone(),
                sent: meter.sent,
                acked: meter.acked,
                gap_ms: millis(meter.longest(now)),
                silent_ms: millis(meter.silence(now)),
            }
        };
        self.lanes.iter().map(look).collect()
    }
}

async fn ask(inner: Arc<Inner>, lane: Lane, meter: Arc<Mutex<Meter>>) {
    let mut cadence = tokio::time::interval(Duration::from_millis(CADENCE_MS));
    cadence.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = cadence.tick(), if under_way.len() < UNDER_WAY_MAX => {
                let serial = lock(&meter).send();
                under_way.spawn(one(inner.clone(), lane.clone(), meter.clone(), serial));
            }
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
}

async fn one(inner: Arc<Inner>, lane: Lane, meter: Arc<Mutex<Meter>>, serial: u64) {
    let begin = inner.clock.monotonic();
    let good = match lane.service {
        Service::Log | Service::Queue => {
            let probe = Command::Probe { lane, serial };
            matches!(inner.meta.write(probe).await, Ok(Reply::Done))
        }
        Service::Login | Service::Media => inner.meta.read(|_| ()).await.is_ok(),
    };
    if good {
        let now = inner.clock.monotonic();
        lock(&meter).good(serial, now, now.saturating_sub(begin));
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Nothing that can panic runs under this lock; a poisoned one is as good as before.
fn lock(meter: &Mutex<Meter>) -> std::sync::MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}
