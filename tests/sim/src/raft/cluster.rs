//! The nodes of a world and what can happen to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::StreamExt as _;
use guitai_host::{MemoryKv, SeededEntropy, SimDisk};
use guitai_meta::{
    Config, Meta, Timing, WriteError,
    sim::{self, Life, Standing, Watch},
};
use guitai_meta_core::lease::DRIFT_PPM_MAX;
use guitai_store::{
    Wal,
    wal::{self, Stepper},
};
use guitai_types::{
    Member, NodeId, Role, Voice,
    command::{Command, Reply},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{
    Fault,
    clients::Tickets,
    history::History,
    net::Net,
    oracle::{self, Entry, Held, Oracle},
    time::{NodeClock, Time},
    trace::{Trace, digest},
};
use crate::{
    Dice, Violation,
    bank::{self, id},
    world::SMALL,
};

/// The voter in city B, for which sync writes wait.
const GUARD: NodeId = NodeId(5);
/// How far a clock's speed is off at most, in millionths; what the sync lease allows for is more.
const DRIFT_PPM: u32 = DRIFT_PPM_MAX / 10 * 9;
/// The learner in city B.
const LEARNER: NodeId = NodeId(8);
/// A sync of a healthy disk takes up to this, in milliseconds.
const SYNC_MS: u64 = 2;
/// A node whose consensus stopped is started again after this, in milliseconds, as by the unit file.
const RESTART_MS: u64 = 300;
/// A dead voter gives its voice away after this, in milliseconds: the shortest that a profile may say.
const REPLACE_MS: u64 = 5_000;
/// The state's digest is taken at applied indexes that are multiples of this.
const STATE_EVERY: u64 = 8;

/// The nodes of one world; clones are the same.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    trace: Trace,
    oracle: Oracle,
    history: History,
    tickets: Tickets,
    net: Net,
    fault: Option<Fault>,
    seed: u64,
    snapshot_every: u64,
    /// As in a profile: whether and when a dead voter gives its voice to the learner.
    replace_after: Option<Duration>,
    /// Whether sync writes wait for city B.
    guarded: bool,
    seats: BTreeMap<NodeId, Seat>,
    /// Nodes whose consensus stopped by itself, and the life in which it did.
    fallen: mpsc::UnboundedSender<(NodeId, Life)>,
}

/// A machine with its disk.
struct Seat {
    member: Member,
    timing: Timing,
    disk: SimDisk,
    view: Arc<MemoryKv>,
    clock: Arc<NodeClock>,
    /// Longest sync now, in milliseconds.
    sync_ms: Arc<AtomicU64>,
    process: Mutex<Process>,
}

#[derive(Default)]
struct Process {
    lives: u64,
    running: Option<Running>,
    /// It may be started; not while it is off or lost.
    wanted: bool,
    /// It burned down.
    lost: bool,
    /// A fault of its disk is armed, so its consensus may stop.
    excused: bool,
    /// The last event it told.
    told: u64,
    /// What its log held when it ran last.
    at_rest: Held,
}

#[derive(Clone)]
struct Running {
    life: Life,
    /// Nothing while it starts.
    parts: Option<(Meta, Wal)>,
}

impl Cluster {
    /// The machines, all off.
    pub fn new(dice: &mut Dice, fault: Option<Fault>) -> Self {
        let time = Time::begin();
        let trace = Trace::new(time);
        let snapshot_every = [20, 60, 10_000][dice.below(3) as usize];
        let replaces = dice.percent(50);
        let guarded = dice.percent(50) || fault == Some(Fault::GuardClockSlow);
        let seats = members().into_iter().map(|member| {
            let timing = if member.centre.as_str() == "b" {
                Timing::FAR
            } else {
                Timing::NEAR
            };
            let up_before = Duration::from_millis(dice.below(1_000_000));
            let rate_ppm = match fault {
                Some(Fault::GuardClockSlow) if member.id == GUARD => 250_000,
                _ => 1_000_000 - DRIFT_PPM + dice.below(2 * u64::from(DRIFT_PPM)) as u32,
            };
            let seat = Seat {
                timing,
                disk: SimDisk::new(),
                view: Arc::new(MemoryKv::new()),
                clock: Arc::new(NodeClock::new(time, up_before, rate_ppm)),
                sync_ms: Arc::new(AtomicU64::new(SYNC_MS)),
                process: Mutex::default(),
                member,
            };
            (seat.member.id, seat)
        });
        let seats = seats.collect();
        let (fallen, told) = mpsc::unbounded_channel();
        let oracle = Oracle::new(trace.clone());
        let cluster = Self(Arc::new(Inner {
            net: Net::new(trace.clone(), oracle.clone(), Dice::new(dice.throw())),
            oracle,
            history: History::default(),
            tickets: Tickets::default(),
            trace,
            fault,
            seed: dice.throw(),
            snapshot_every,
            guarded,
            replace_after: replaces.then_some(Duration::from_millis(REPLACE_MS)),
            seats,
            fallen,
        }));
        tokio::spawn(cluster.clone().supervise(told));
        cluster
    }

    /// The trace of this world.
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// The one who knows.
    pub fn oracle(&self) -> &Oracle {
        &self.0.oracle
    }

    /// What the clients did.
    pub fn history(&self) -> &History {
        &self.0.history
    }

    /// Tickets that were acknowledged to a client.
    pub fn tickets(&self) -> &Tickets {
        &self.0.tickets
    }

    /// The network.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// The fault put back on purpose.
    pub fn fault(&self) -> Option<Fault> {
        self.0.fault
    }

    /// All nodes.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.0.seats.keys().copied().collect()
    }

    /// Voters.
    pub fn voters(&self) -> Vec<NodeId> {
        let voters = self.0.seats.values();
        let voters = voters.filter(|seat| seat.member.voice == Voice::Voter);
        voters.map(|seat| seat.member.id).collect()
    }

    /// Nodes of a centre.
    pub fn centre(&self, centre: &str) -> Vec<NodeId> {
        let seats = self.0.seats.values();
        let seats = seats.filter(|seat| seat.member.centre.as_str() == centre);
        seats.map(|seat| seat.member.id).collect()
    }

    /// Starts all machines and founds the cluster.
    pub async fn found(&self) -> Result<(), Violation> {
        for node in self.nodes() {
            self.switch_on(node).await;
        }
        let mut command = bank::found(SMALL);
        if let Command::Found { members: all, .. } = &mut command {
            all.retain(|member| !member.has(Role::Core));
            all.extend(members());
        }
        let founded = self.on(
            NodeId(1),
            move |meta| async move { meta.found(command).await },
        );
        match founded.await {
            Some(Ok(Reply::Done)) => Ok(()),
            other => Err(format!("founding: {other:?}")),
        }
    }

    /// Lets a node do something; `None` if it is not running or its process ends before it is done.
    pub async fn on<T, F>(&self, node: NodeId, act: impl FnOnce(Meta) -> F + Send) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let running = self.running(node)?;
        let (meta, _) = running.parts?;
        let life = running.life;
        tokio::select! {
            biased;
            done = life.of(act(meta)) => Some(done),
            () = life.over() => None,
        }
    }

    /// Writes through a node.
    pub async fn write(&self, node: NodeId, command: Command) -> Option<Result<Reply, WriteError>> {
        self.on(node, move |meta| async move { meta.write(command).await })
            .await
    }

    /// The handle of a running node.
    pub fn meta(&self, node: NodeId) -> Option<Meta> {
        Some(self.running(node)?.parts?.0)
    }

    /// A client was told that a sync write is done: a guard that proves at this moment must have it.
    pub fn see_acknowledged(&self, mark: Option<u64>) {
        let running = self.running(GUARD).and_then(|running| running.parts);
        if let Some(((meta, wal), mark)) = running.zip(mark)
            && meta.verdict().is_some_and(|verdict| verdict.proves_now)
        {
            self.0.oracle.see_proven(mark, &wal);
        }
    }

    /// Who believes that it leads.
    pub fn leaders(&self) -> Vec<NodeId> {
        let leads = |node: &NodeId| {
            let meta = self.meta(*node);
            meta.is_some_and(|meta| Watch::of(&meta).look().leads)
        };
        self.nodes().into_iter().filter(leads).collect()
    }

    /// Switches a machine on and starts its process, unless it runs.
    pub async fn switch_on(&self, node: NodeId) {
        if let Some(seat) = self.seat(node) {
            {
                let mut process = seat.lock();
                process.wanted = !process.lost;
            }
            self.start(seat).await;
        }
    }

    /// Kills the process; what it wrote is still there.
    pub fn kill(&self, node: NodeId) {
        if let Some(seat) = self.seat(node) {
            self.note(format_args!("kill {node}"));
            self.end(seat);
            seat.disk.restart();
            self.arm(seat);
        }
    }

    /// The machine loses power: of what was not synced some is there, some is not.
    pub fn power_off(&self, node: NodeId, dice: &mut Dice) {
        if let Some(seat) = self.seat(node) {
            self.note(format_args!("power off {node}"));
            self.end(seat);
            seat.disk.crash(dice.throw());
            seat.view.crash(dice.below(40) as usize);
            self.arm(seat);
        }
    }

    /// The power will fail in the middle of one of the next writes; then comes
    /// [`Cluster::power_off`].
    pub fn power_will_fail(&self, node: NodeId, dice: &mut Dice) {
        if let Some(seat) = self.seat(node) {
            seat.lock().excused = true;
            seat.disk.cut_after(1 + dice.below(6));
        }
    }

    /// The disk fails: full, or at its next syncs.
    pub fn disk_fails(&self, node: NodeId, dice: &mut Dice) {
        if let Some(seat) = self.seat(node) {
            self.note(format_args!("the disk of {node} fails"));
            seat.lock().excused = true;
            match dice.below(3) {
                0 => seat.disk.fail_sync(),
                1 => seat
                    .disk
                    .fail_after(dice.below(4_000), io::ErrorKind::StorageFull),
                _ => seat
                    .disk
                    .fail_after(dice.below(4_000), io::ErrorKind::Other),
            }
        }
    }

    /// Syncs take up to so many milliseconds; `None`: what is usual.
    pub fn disk_pace(&self, node: NodeId, sync_ms: Option<u64>) {
        if let Some(seat) = self.seat(node) {
            seat.sync_ms
                .store(sync_ms.unwrap_or(SYNC_MS), Ordering::Relaxed);
        }
    }

    /// Sets a node's wall clock wrong.
    pub fn clock_wrong(&self, node: NodeId, by_ms: i64) {
        if let Some(seat) = self.seat(node) {
            seat.clock.set_wrong(by_ms);
        }
    }

    /// Stops a process, as SIGSTOP does.
    pub fn pause(&self, node: NodeId) {
        if let Some(running) = self.running(node) {
            self.note(format_args!("pause {node}"));
            running.life.pause();
        }
    }

    /// Lets it go on.
    pub fn resume(&self, node: NodeId) {
        if let Some(running) = self.running(node) {
            self.note(format_args!("resume {node}"));
            running.life.resume();
        }
    }

    /// The machine is lost for good: it is never switched on again.
    pub fn lose(&self, node: NodeId) {
        if let Some(seat) = self.seat(node) {
            self.note(format_args!("{node} is lost"));
            self.end(seat);
            let mut process = seat.lock();
            process.wanted = false;
            process.lost = true;
        }
    }

    /// Ends every fault and starts what is not lost.
    pub async fn heal(&self) {
        self.note("heal");
        self.0.net.mend_all();
        for (node, seat) in &self.0.seats {
            self.disk_pace(*node, None);
            self.clock_wrong(*node, 0);
            self.resume(*node);
            // A disk with an armed fault is replaced by the restart that clears it.
            let excused = seat.lock().excused;
            if excused && seat.lock().wanted {
                self.kill(*node);
            }
        }
        for seat in self.0.seats.values() {
            self.start(seat).await;
        }
    }

    /// Nodes that are switched on.
    pub fn wanted(&self) -> Vec<NodeId> {
        let seats = self.0.seats.values();
        let wanted = seats.filter(|seat| seat.lock().wanted);
        wanted.map(|seat| seat.member.id).collect()
    }

    /// Every running node's log, for the final judgement.
    pub fn logs(&self) -> Vec<(NodeId, Meta, Wal)> {
        let nodes = self.nodes().into_iter();
        let logs = nodes.filter_map(|node| {
            let (meta, wal) = self.running(node)?.parts?;
            Some((node, meta, wal))
        });
        logs.collect()
    }

    /// The world is over: nothing holds anything any more.
    pub fn close(&self) {
        for seat in self.0.seats.values() {
            self.end(seat);
        }
    }

    /// Nodes whose logs, of running nodes or on the disks of others, have an entry.
    fn holders(&self, index: u64, entry: &Entry) -> BTreeSet<u64> {
        let seats = self.0.seats.values();
        let has = |seat: &&Seat| {
            let process = seat.lock();
            let running = process.running.as_ref();
            match running.and_then(|running| running.parts.as_ref()) {
                Some((_, wal)) => oracle::has(wal, index, entry.digest),
                None => process.at_rest.has(index, entry.digest),
            }
        };
        seats.filter(has).map(|seat| seat.member.id.0).collect()
    }

    fn end(&self, seat: &Seat) {
        let mut process = seat.lock();
        self.0.net.disconnect(seat.member.id);
        if let Some(running) = process.running.take() {
            let held = running.parts.and_then(|(_, wal)| Held::of(&wal).ok());
            process.at_rest = held.unwrap_or_else(Held::unknown);
            running.life.end();
        }
        process.excused = false;
    }

    /// Puts the fault that this world has on purpose into the disk.
    fn arm(&self, seat: &Seat) {
        if self.0.fault == Some(Fault::AckBeforeSync) {
            seat.disk.dangerous_ignore_sync();
        }
    }

    async fn start(&self, seat: &Seat) {
        let node = seat.member.id;
        let (life, number) = {
            let mut process = seat.lock();
            if process.running.is_some() || !process.wanted {
                return;
            }
            process.lives += 1;
            let life = Life::new(digest((self.0.seed, node.0, process.lives)));
            process.running = Some(Running {
                life: life.clone(),
                parts: None,
            });
            (life, process.lives)
        };
        self.arm(seat);
        self.note(format_args!("start {node}"));
        self.0.oracle.count(|figures| figures.lives += 1);
        self.0.oracle.forget(node);
        let starting = life.of(self.clone().assemble(node, number, life.clone()));
        let started = tokio::select! {
            biased;
            started = starting => started,
            () = life.over() => return,
        };
        match started {
            Ok((meta, wal)) => {
                let mut process = seat.lock();
                if let Some(running) = &mut process.running
                    && !life.is_over()
                {
                    running.parts = Some((meta, wal));
                }
            }
            Err(why) if seat.lock().excused => {
                self.note(format_args!("{node} does not start: {why}"));
            }
            Err(why) => self
                .0
                .oracle
                .accuse(format!("node {node} does not start: {why}")),
        }
    }

    /// Opens the log, starts the node on it, and has it watched.
    async fn assemble(self, node: NodeId, number: u64, life: Life) -> Result<(Meta, Wal), String> {
        let seat = self.seat(node).ok_or("no such node")?;
        let work = Arc::new(Notify::new());
        let waker = Arc::clone(&work);
        let disk = Arc::new(seat.disk.clone());
        let (log_disk, pace) = (disk.clone(), Arc::clone(&seat.sync_ms));
        let seed = digest((self.0.seed, "disk", node.0, number));
        let (forgets, its_life) = (self.0.fault == Some(Fault::VoteForgotten), life.clone());
        let (tell, told) = oneshot::channel();
        let oracle = self.0.oracle.clone();
        let open_log = move |dir: PathBuf| {
            let config = wal::Config {
                segment_bytes: 48 << 10,
                grow_bytes: 4 << 10,
                cache_bytes: 16 << 10,
                ..wal::Config::new(dir)
            };
            let opened = Wal::open_stepped(log_disk, config, move || waker.notify_one());
            let (wal, _, mut stepper) = opened?;
            if forgets {
                forget_vote(&wal, &mut stepper);
            }
            let log = Written {
                oracle: (node == GUARD).then_some(oracle),
                wal: wal.clone(),
                stepper,
            };
            tokio::spawn(its_life.of(log.write(work, pace, Dice::new(seed))));
            // Whoever waits for it is this function.
            tell.send(wal.clone()).ok();
            Ok(wal)
        };

        let mut config = Config::new(seat.member.clone(), members(), disk, seat.view.clone());
        config.timing = seat.timing;
        config.homes = [1, 2, 3, 4].map(NodeId).into();
        config.snapshot_every = self.0.snapshot_every;
        config.replace_after = self.0.replace_after;
        config.guards = if self.0.guarded {
            vec![GUARD]
        } else {
            Vec::new()
        };
        let line = Arc::new(self.0.net.plug(&seat.member));
        let entropy = SeededEntropy::new(digest((self.0.seed, "ids", node.0, number)));
        let started = sim::start(
            open_log,
            config,
            line,
            seat.clock.clone(),
            Arc::new(entropy),
        );
        let (meta, door) = started.await.map_err(|error| chain(&error))?;
        let wal = told.await.map_err(|error| chain(&error))?;
        if self.0.fault == Some(Fault::ElectionBan) && seat.member.centre.as_str() == "b" {
            sim::dangerous_ban_election(&meta);
        }
        self.0.net.connect(&seat.member, life.clone(), door);
        tokio::spawn(
            self.clone()
                .watch(node, life.clone(), meta.clone(), wal.clone()),
        );
        tokio::spawn(self.clone().listen(node, life, meta.clone()));
        Ok((meta, wal))
    }

    /// Shows the oracle every change of a node; starts it again when its consensus stops.
    async fn watch(self, node: NodeId, life: Life, meta: Meta, wal: Wal) {
        let mut watch = Watch::of(&meta);
        let mut before = Standing::default();
        while !life.is_over() {
            let standing = watch.look();
            if standing != before {
                let excused = self.seat(node).is_some_and(|seat| seat.lock().excused);
                let newest = self.0.oracle.see(node, &standing, &wal, excused);
                if let Some((index, entry)) = newest {
                    let holders = self.holders(index, &entry);
                    self.0.oracle.see_quorum(index, &entry, &holders);
                }
                if standing.applied != before.applied {
                    self.see_state(node, &meta);
                }
                before.clone_from(&standing);
            }
            if standing.stopped.is_some() {
                break;
            }
            tokio::select! {
                biased;
                () = life.over() => return,
                more = watch.changed() => if !more { break },
            }
        }
        let Some(seat) = self.seat(node) else {
            return;
        };
        let excused = seat.lock().excused;
        if life.is_over() {
            return;
        }
        if before.panicked || !excused {
            let why = before.stopped.unwrap_or_default();
            self.0
                .oracle
                .accuse(format!("consensus stopped on node {node}: {why}"));
        }
        // Nobody listens only when the world has ended.
        self.0.fallen.send((node, life)).ok();
    }

    /// Starts what has stopped by itself again, as systemd does.
    async fn supervise(self, mut fallen: mpsc::UnboundedReceiver<(NodeId, Life)>) {
        while let Some((node, life)) = fallen.recv().await {
            tokio::spawn(self.clone().start_again(node, life));
        }
    }

    async fn start_again(self, node: NodeId, life: Life) {
        tokio::time::sleep(Duration::from_millis(RESTART_MS)).await;
        if let Some(seat) = self.seat(node).filter(|_| !life.is_over()) {
            self.kill(node);
            self.start(seat).await;
        }
    }

    fn see_state(&self, node: NodeId, meta: &Meta) {
        let seen = sim::applied(meta, |applied, state| {
            let due = applied > 0 && applied % STATE_EVERY == 0;
            due.then(|| (applied, digest(state.to_snapshot())))
        });
        if let Some((applied, state)) = seen {
            self.0.oracle.see_state(node, applied, state);
        }
    }

    /// Follows a node's events from where its last life was left.
    async fn listen(self, node: NodeId, life: Life, meta: Meta) {
        let Some(seat) = self.seat(node) else {
            return;
        };
        let mut told = seat.lock().told;
        let mut events = meta.events(told + 1);
        loop {
            let event = tokio::select! {
                biased;
                () = life.over() => return,
                event = events.next() => event,
            };
            let Some(event) = event else {
                return;
            };
            self.0.oracle.see_event(node, told, &event);
            told = event.number;
            seat.lock().told = told;
        }
    }

    fn running(&self, node: NodeId) -> Option<Running> {
        self.seat(node)?.lock().running.clone()
    }

    fn seat(&self, node: NodeId) -> Option<&Seat> {
        self.0.seats.get(&node)
    }

    fn note(&self, what: impl std::fmt::Display) {
        self.0.trace.note(what);
    }
}

impl Seat {
    fn lock(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fault [`Fault::VoteForgotten`]: of votes only those are durable that an entry proves.
fn forget_vote(wal: &Wal, stepper: &mut Stepper) {
    let last = wal.range().last();
    let entry = last.and_then(|last| wal.read(last..last + 1).ok()?.pop());
    let entry = entry.and_then(|(_, bytes)| serde_json::from_slice::<Value>(&bytes).ok());
    if let Some(entry) = entry {
        let vote = json!({"leader_id": entry["log_id"]["leader_id"], "committed": true});
        wal.save_vote_then(vote.to_string().into_bytes(), drop);
        stepper.step();
    }
}

/// A node's log, and who writes it.
struct Written {
    wal: Wal,
    stepper: Stepper,
    /// Of the guard: it is told what is durable there.
    oracle: Option<Oracle>,
}

impl Written {
    /// Writes: whatever came while one sync lasted goes with the next.
    async fn write(mut self, work: Arc<Notify>, pace: Arc<AtomicU64>, mut dice: Dice) {
        let mut seen = 0;
        loop {
            work.notified().await;
            let sync_ms = dice.below(pace.load(Ordering::Relaxed) + 1);
            if sync_ms > 0 {
                tokio::time::sleep(Duration::from_millis(sync_ms)).await;
            }
            if !self.stepper.step() {
                return;
            }
            if let Some(oracle) = &self.oracle {
                seen = oracle.see_guard(&self.wal, seen);
            }
        }
    }
}

/// Five voters 2:2:1 and a learner in city B.
fn members() -> Vec<Member> {
    let Command::Found { members, .. } = bank::found(SMALL) else {
        return Vec::new();
    };
    let mut members: Vec<Member> = members
        .into_iter()
        .filter(|member| member.has(Role::Core))
        .collect();
    if let Some(far) = members.last().cloned() {
        members.push(Member {
            id: LEARNER,
            name: id("b-2"),
            voice: Voice::Learner,
            public_key: bank::point(LEARNER.0),
            ..far
        });
    }
    members
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}
