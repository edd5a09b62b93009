//! The probers of one node: each asks its service for the next serial at its cadence, whether or not the
//! one before was answered, and remembers when good answers came. Log, queue and login are asked here;
//! [`call`] sets calls up, [`media`] sends frames and asks recorders for them.

mod call;
mod media;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_types::{
    CentreId, RunId, UnixMillis,
    command::{Command, Reply},
    dr::{Aim, Lane, LaneReport, Service},
    live::{LANES_LIVE_MAX, LaneLive},
};
use tokio::task::JoinSet;

use self::media::Room;
use crate::{meter::Meter, recovery::Inner};

/// Questions of one prober under way; past it the prober waits, and the waiting counts as silence. Each that
/// is under way asks again and again for a leader: more of them would measure nothing more, and keep a busy
/// machine from electing one.
const UNDER_WAY_MAX: usize = 32;

const _: () = assert!(Service::ALL.len() <= LANES_LIVE_MAX);

/// Running probers; they end when this is dropped.
pub(crate) struct Probers {
    lanes: Vec<Prober>,
    room: Option<Room>,
    began: UnixMillis,
    tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Prober {
    lane: Lane,
    meter: Arc<Mutex<Meter>>,
}

impl Prober {
    fn new(inner: &Inner, service: Service) -> Self {
        let meter = Meter::new(inner.clock.monotonic());
        Self {
            lane: Lane {
                node: inner.member.name.clone(),
                service,
            },
            meter: Arc::new(Mutex::new(meter)),
        }
    }

    /// Nothing that can panic runs under this lock; a poisoned one is as good as before.
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Probers {
    /// Begins to ask for every service that this node can ask for.
    pub(crate) fn begin(inner: &Arc<Inner>, run: &RunId, aim: &Aim) -> Self {
        let mut tasks = JoinSet::new();
        let mut lanes: Vec<Prober> = Vec::new();
        for service in [Service::Log, Service::Queue, Service::Login] {
            let prober = Prober::new(inner, service);
            tasks.spawn(ask(inner.clone(), prober.clone()));
            lanes.push(prober);
        }
        if call::can_be_set_up(inner) {
            let prober = Prober::new(inner, Service::Call);
            tasks.spawn(call::set_up(inner.clone(), prober.clone()));
            lanes.push(prober);
        }
        let room = Room::of(inner, run, aim);
        if let Some(room) = &room {
            lanes.extend(room.begin(inner, &mut tasks));
        }
        Self {
            lanes,
            room,
            began: inner.clock.wall(),
            tasks,
        }
    }

    /// What can be looked at while they ask.
    pub(crate) fn watched(&self, run: &RunId, centre: &CentreId) -> Watched {
        Watched {
            run: run.clone(),
            centre: centre.clone(),
            lanes: self.lanes.clone(),
        }
    }

    /// Stops asking and says what was seen. What is still under way counts as not answered.
    pub(crate) async fn end(mut self, inner: &Inner) -> Vec<LaneReport> {
        self.tasks.abort_all();
        let (to, now) = (inner.clock.wall(), inner.clock.monotonic());
        let held = match &self.room {
            Some(room) => room.read_back(inner).await,
            None => None,
        };
        let report = |prober: &Prober| {
            let mut meter = prober.meter().clone();
            let gap = meter.end(now);
            let service = prober.lane.service;
            LaneReport {
                lane: prober.lane.clone(),
                centre: inner.member.centre.clone(),
                from: self.began,
                to,
                sent: meter.sent,
                acked: meter.acked,
                gap_ms: millis(gap.length),
                gap_from: self.began.plus(millis(gap.after)),
                last_good: meter.last().map(|after| self.began.plus(millis(after))),
                latency: meter.latency,
                serials: meter.serials,
                cadence_ms: service.cadence_ms(),
                held: held.clone().filter(|_| service == Service::Recording),
            }
        };
        self.lanes.iter().map(report).collect()
    }
}

/// The probers of a run, for whoever looks; it does not keep them going.
pub(crate) struct Watched {
    run: RunId,
    centre: CentreId,
    lanes: Vec<Prober>,
}

impl Watched {
    pub(crate) fn look(&self, now: Duration) -> Vec<LaneLive> {
        let look = |prober: &Prober| {
            let meter = prober.meter();
            LaneLive {
                run: self.run.clone(),
                lane: prober.lane.clone(),
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

async fn ask(inner: Arc<Inner>, prober: Prober) {
    let mut cadence = cadence(prober.lane.service);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            _ = cadence.tick(), if under_way.len() < UNDER_WAY_MAX => {
                let serial = prober.meter().send();
                under_way.spawn(one(inner.clone(), prober.clone(), serial));
            }
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
    }
}

async fn one(inner: Arc<Inner>, prober: Prober, serial: u64) {
    let begin = inner.clock.monotonic();
    let lane = prober.lane.clone();
    let good = match lane.service {
        Service::Login => inner.meta.read(|_| ()).await.is_ok(),
        _ => {
            let probe = Command::Probe { lane, serial };
            matches!(inner.meta.write(probe).await, Ok(Reply::Done))
        }
    };
    if good {
        let now = inner.clock.monotonic();
        prober.meter().good(serial, now, now.saturating_sub(begin));
    }
}

fn cadence(service: Service) -> tokio::time::Interval {
    let mut cadence = tokio::time::interval(Duration::from_millis(service.cadence_ms()));
    cadence.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    cadence
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
