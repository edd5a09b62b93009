//! Clusters within the process, on simulated disks, with lines that can be cut.

mod lease;
mod losses;
mod takeover;
mod tlog;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::StreamExt;
use guitai_host::{MemoryKv, SeededEntropy, SimDisk, SystemClock, SystemEntropy, random_id};
use guitai_types::{
    Centre, City, Hex, Member, NodeId, RequestId, Role, StaffRef, TicketId, UnixMillis, Voice,
    Zone,
    command::{Command, Reply},
    place::Text,
    record::{Consent, Duty, Institution, Policy, Presence, Queue, Staff, TicketState},
};

use crate::{Config, Meta, Timing, transport::switchboard::Switchboard};

/// Slower than in production: the test machine compiles while it elects.
const TIMING: Timing = Timing {
    heartbeat_ms: 100,
    election_min_ms: 500,
    election_max_ms: 1_000,
};

const PATIENCE: Duration = Duration::from_secs(30);

struct Cluster {
    board: Switchboard,
    seats: Vec<Seat>,
    snapshot_every: u64,
    /// The guard city; its nodes stand for election late.
    guards: Vec<NodeId>,
    /// A voter silent for so long is replaced.
    replace_after: Option<Duration>,
    /// Keys of the transparency log, by node.
    log_keys: std::collections::BTreeMap<NodeId, crate::LogKeys>,
}

struct Seat {
    member: Member,
    disk: SimDisk,
    view: Arc<MemoryKv>,
    meta: Option<Meta>,
}

impl Cluster {
    /// A founded cluster of so many voters.
    async fn new(size: u64) -> Self {
        Self::with_snapshots(size, 10_000).await
    }

    async fn with_snapshots(size: u64, snapshot_every: u64) -> Self {
        Self::of((1..=size).map(member).collect(), snapshot_every, Vec::new()).await
    }

    async fn founded(size: u64, snapshot_every: u64, guards: Vec<NodeId>) -> Self {
        Self::of((1..=size).map(member).collect(), snapshot_every, guards).await
    }

    async fn of(members: Vec<Member>, snapshot_every: u64, guards: Vec<NodeId>) -> Self {
        let seat = |member| Seat {
            member,
            disk: SimDisk::new(),
            view: Arc::new(MemoryKv::new()),
            meta: None,
        };
        let seats = members.into_iter().map(seat).collect();
        let mut cluster = Self {
            board: Switchboard::default(),
            seats,
            snapshot_every,
            guards,
            replace_after: None,
            log_keys: Default::default(),
        };
        for seat in 0..cluster.seats.len() {
            cluster.start(seat).await;
        }
        let found = found(cluster.members());
        assert_eq!(cluster.meta(0).found(found).await.unwrap(), Reply::Done);
        cluster
    }

    fn members(&self) -> Vec<Member> {
        self.seats.iter().map(|seat| seat.member.clone()).collect()
    }

    async fn start(&mut self, seat: usize) {
        assert!(self.try_start(seat).await, "seat {seat} starts");
    }

    /// False when the disk fails meanwhile.
    async fn try_start(&mut self, seat: usize) -> bool {
        let (members, board) = (self.members(), self.board.clone());
        let seat = &mut self.seats[seat];
        let disk = Arc::new(seat.disk.clone());
        let mut config = Config::new(seat.member.clone(), members, disk, seat.view.clone());
        config.timing = TIMING;
        config.snapshot_every = self.snapshot_every;
        config.guards = self.guards.clone();
        config.sync_lease = lease::LEASE;
        config.replace_after = self.replace_after;
        config.log = self.log_keys.get(&seat.member.id).cloned();
        if self.guards.contains(&seat.member.id) {
            config.timing.election_min_ms = 2_000;
            config.timing.election_max_ms = 3_000;
        }
        let plug = Arc::new(board.plug(&seat.member.name));
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let Ok((meta, service)) = Meta::assemble(config, plug, clock, entropy).await else {
            return false;
        };
        board.connect(&seat.member.name, service);
        seat.meta = Some(meta);
        true
    }

    fn meta(&self, seat: usize) -> &Meta {
        self.seats[seat].meta.as_ref().unwrap()
    }

    fn running(&self) -> Vec<Meta> {
        self.seats
            .iter()
            .filter_map(|seat| seat.meta.clone())
            .collect()
    }

    /// Loses power: nothing more is said, and what was not synced may be gone.
    async fn crash(&mut self, seat: usize, seed: u64) {
        let seat = &mut self.seats[seat];
        self.board.cut(&seat.member.name);
        if let Some(meta) = seat.meta.take() {
            meta.shutdown().await;
        }
        seat.disk.crash(seed);
    }

    /// Seat of the leader that a majority of the running nodes agrees on.
    async fn leader(&self) -> usize {
        let found = async {
            loop {
                let metas = self.running();
                for (at, seat) in self.seats.iter().enumerate() {
                    let says = |meta: &&Meta| meta.status().leader == Some(seat.member.id);
                    let agree = metas.iter().filter(says).count();
                    if seat.meta.is_some() && agree * 2 > self.seats.len() {
                        return at;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .expect("a leader is elected")
    }
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn member(number: u64) -> Member {
    let address = SocketAddr::from(([127, 0, 0, number as u8], 7443));
    Member {
        id: NodeId(number),
        name: id(&format!("n-{number}")),
        centre: id("a1"),
        zone: Zone::Inner,
        roles: vec![Role::Core, Role::Recorder],
        voice: Voice::Voter,
        mesh: address,
        door: address,
        public_key: point(),
    }
}

fn point() -> Hex {
    Hex([&[4], &[7; 64][..]].concat())
}

fn staff() -> StaffRef {
    StaffRef {
        institution: id("bank"),
        name: id("wang"),
    }
}

fn found(members: Vec<Member>) -> Command {
    let queue = Queue {
        id: id("retail"),
        name: Text::default(),
        skills: Vec::new(),
        steps: Vec::new(),
    };
    let institution = Institution {
        id: id("bank"),
        name: Text::default(),
        branches: Vec::new(),
        queues: vec![queue],
    };
    let agent = Staff {
        id: staff(),
        display: "王敏".to_owned(),
        number: "1".to_owned(),
        branch: id("main"),
        team: id("one"),
        skills: Vec::new(),
        duties: vec![Duty::Agent],
        password_phc: String::new(),
        approval_key: None,
    };
    Command::Found {
        cluster: id("test"),
        cities: ["a", "b"].map(city).into(),
        centres: [("a1", "a"), ("a2", "a"), ("b", "b")].map(centre).into(),
        members,
        institutions: vec![institution],
        staff: vec![agent],
        policy: Policy {
            ring_ms: 300,
            ..Policy::default()
        },
    }
}

fn city(name: &str) -> City {
    City {
        id: id(name),
        name: Text::default(),
    }
}

fn centre((name, city): (&str, &str)) -> Centre {
    Centre {
        id: id(name),
        city: id(city),
        name: Text::default(),
    }
}

fn open(ticket: &TicketId) -> Command {
    Command::OpenTicket {
        ticket: ticket.clone(),
        institution: id("bank"),
        queue: id("retail"),
        edge: id("n-1"),
        customer: "张三".to_owned(),
        consent: Consent {
            recording: true,
            wording: "1".to_owned(),
            at: UnixMillis(0),
        },
        media_key: point(),
    }
}

fn ticket() -> TicketId {
    random_id(&SystemEntropy, TicketId::from_random)
}

/// Opens tickets on a node until told to stop; gives those that were acknowledged.
async fn write_until(meta: Meta, mut stop: tokio::sync::watch::Receiver<bool>) -> Vec<TicketId> {
    let mut acked = Vec::new();
    while !*stop.borrow_and_update() {
        let ticket = ticket();
        if let Ok(reply) = meta.write(open(&ticket)).await {
            assert!(matches!(reply, Reply::Ticket { .. }), "{reply:?}");
            acked.push(ticket);
        } else {
            // A node that has crashed refuses at once, and the simulator's watch, present in a build of the
            // workspace, takes no part in tokio's budget: without this the writer keeps its thread for itself.
            tokio::task::yield_now().await;
        }
    }
    acked
}

async fn missing(meta: &Meta, acked: &[TicketId]) -> usize {
    let lost = |state: &crate::State| acked.iter().filter(|it| state.ticket(it).is_none()).count();
    meta.read(lost).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_takes_writes_and_reads_its_own() {
    let cluster = Cluster::new(3).await;
    for seat in 0..3 {
        let ticket = ticket();
        let reply = cluster.meta(seat).write(open(&ticket)).await.unwrap();
        assert_eq!(
            reply,
            Reply::Ticket {
                serial: seat as u64 + 1
            }
        );
        for reader in 0..3 {
            let seen = cluster
                .meta(reader)
                .read(|state| state.ticket(&ticket).is_some())
                .await;
            assert!(seen.unwrap(), "written on {seat}, read on {reader}");
        }
    }
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    let status = cluster.meta(follower).leader_status().await;
    assert_eq!(status.leader, Some(cluster.seats[leader].member.id));
    assert_eq!(status.matched.len(), 3, "{status:?}");
    assert_eq!(status.voters.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_takes_no_acknowledged_write_with_it() {
    for (size, seed) in [(3, 1), (5, 2)] {
        let mut cluster = Cluster::new(size).await;
        let leader = cluster.leader().await;
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let writers: Vec<_> = cluster
            .running()
            .into_iter()
            .map(|meta| tokio::spawn(write_until(meta, stopped.clone())))
            .collect();
        // Long enough under way that the crash hits writes in flight.
        wait_for(cluster.meta(leader), |state| state.tickets().count() >= 20).await;
        cluster.crash(leader, seed).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        let before = cluster
            .meta(next)
            .read(|state| state.tickets().count())
            .await
            .unwrap();
        wait_for(cluster.meta(next), move |state| {
            state.tickets().count() > before + 10
        })
        .await;
        stop.send_replace(true);
        let mut acked = Vec::new();
        for writer in writers {
            acked.extend(
                tokio::time::timeout(PATIENCE, writer)
                    .await
                    .unwrap()
                    .unwrap(),
            );
        }
        assert_eq!(missing(cluster.meta(next), &acked).await, 0, "{size} nodes");

        cluster.start(leader).await;
        assert_eq!(
            missing(cluster.meta(leader), &acked).await,
            0,
            "the one that came back"
        );
        let bytes = |meta: &Meta| meta.peek(crate::State::to_snapshot);
        let end = cluster
            .meta(next)
            .read(|state| state.event_number())
            .await
            .unwrap();
        wait_for(cluster.meta(leader), move |state| {
            state.event_number() >= end
        })
        .await;
        // Time passes in the state, too: one may be an entry ahead.
        let other = cluster.meta(next).clone();
        wait_for(cluster.meta(leader), move |state| {
            state.to_snapshot() == bytes(&other)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_lose_power_and_come_back_with_everything_acknowledged() {
    // Few entries between snapshots, so that recovery goes over snapshot, view and log.
    for (seed, keeps_view) in [(1, true), (2, false), (3, true)] {
        let mut cluster = Cluster::with_snapshots(3, 20).await;
        let mut acked = Vec::new();
        for _ in 0..50 {
            let ticket = ticket();
            cluster.meta(0).write(open(&ticket)).await.unwrap();
            acked.push(ticket);
        }
        let dice = SeededEntropy::new(seed);
        for seat in 0..3 {
            cluster.crash(seat, seed + seat as u64).await;
            if keeps_view {
                // The view lost its newest batches, as sled may.
                cluster.seats[seat].view.crash(dice.below(40) as usize);
            } else {
                cluster.seats[seat].view = Arc::new(MemoryKv::new());
            }
        }
        for seat in 0..3 {
            cluster.start(seat).await;
        }
        for seat in 0..3 {
            assert_eq!(
                missing(cluster.meta(seat), &acked).await,
                0,
                "seed {seed}, seat {seat}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_too_long_gets_a_snapshot() {
    let mut cluster = Cluster::with_snapshots(3, 10).await;
    let away = (cluster.leader().await + 1) % 3;
    cluster.crash(away, 7).await;
    let writer = cluster.leader().await;
    let mut acked = Vec::new();
    for _ in 0..100 {
        let ticket = ticket();
        cluster.meta(writer).write(open(&ticket)).await.unwrap();
        acked.push(ticket);
    }
    // The log it would need is gone everywhere else.
    for meta in cluster.running() {
        let wait = meta.raft().wait(Some(PATIENCE));
        let purged = |log: &Option<crate::raft::LogId>| log.is_some_and(|log| log.index > 20);
        let purged = wait
            .metrics(|metrics| purged(&metrics.purged), "purged")
            .await;
        assert!(purged.is_ok(), "{purged:?}");
    }
    cluster.start(away).await;
    assert_eq!(missing(cluster.meta(away), &acked).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_tells_nobody_old_news() {
    let cluster = Cluster::new(3).await;
    let old = cluster.leader().await;
    let name = cluster.seats[old].member.name.clone();
    cluster.board.cut(&name);
    let others: Vec<usize> = (0..3).filter(|seat| *seat != old).collect();
    let fresh = ticket();
    cluster.meta(others[0]).write(open(&fresh)).await.unwrap();

    let told = cluster
        .meta(old)
        .read(|state| state.ticket(&fresh).is_some())
        .await;
    assert!(
        told.is_err(),
        "a read of the cut-off leader was answered: {told:?}"
    );
    assert!(
        !cluster
            .meta(old)
            .peek(|state| state.ticket(&fresh).is_some())
    );
    cluster.board.mend(&name);
    let told = cluster
        .meta(old)
        .read(|state| state.ticket(&fresh).is_some())
        .await;
    assert!(told.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_request_gets_its_first_answer_from_any_leader() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let request = random_id(&SystemEntropy, RequestId::from_random);
    let command = open(&ticket());
    let first = cluster
        .meta(leader)
        .propose_here(request.clone(), &command)
        .await
        .unwrap();
    cluster.crash(leader, 3).await;
    let next = cluster.leader().await;
    // Only once its own first entry is applied is it a leader that answers.
    cluster.meta(next).read(|_| ()).await.unwrap();
    let second = cluster
        .meta(next)
        .propose_here(request, &command)
        .await
        .unwrap();
    assert_eq!(first, second);
    assert_eq!(cluster.meta(next).peek(|state| state.tickets().count()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_together_share_entries_and_each_gets_its_own_answer() {
    const WRITES: usize = 96;
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    let meta = cluster.meta(leader).clone();
    let before = meta.status().applied;
    let replies = (0..WRITES).map(|number| {
        let command = if number.is_multiple_of(3) {
            Command::TouchTicket { ticket: ticket() }
        } else {
            let (mark, value) = (id(&format!("m-{number}")), number.to_string());
            Command::PutMark {
                mark,
                value,
                sync: false,
            }
        };
        meta.write(command)
    });
    let replies = futures::future::join_all(replies).await;
    for (number, reply) in replies.into_iter().enumerate() {
        let is_refused = matches!(reply.unwrap(), Reply::Refused { .. });
        assert_eq!(is_refused, number.is_multiple_of(3), "write {number}");
    }
    let entries = meta.status().applied - before;
    assert!(entries < WRITES as u64 / 2, "{entries} entries");
    drop(meta);
    // Whoever starts again reads the same out of its log.
    for (seat, seed) in (0..3).zip(1..) {
        cluster.crash(seat, seed).await;
        // Of its view nothing is left.
        cluster.seats[seat].view = Arc::default();
    }
    for seat in 0..3 {
        cluster.start(seat).await;
    }
    cluster.leader().await;
    for seat in 0..3 {
        let marks = |state: &crate::State| state.marks("m-").count();
        let read = cluster.meta(seat).read(marks).await.unwrap();
        assert_eq!(read, WRITES / 3 * 2, "seat {seat}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_rings_stops_ringing_and_events_have_no_gap() {
    let cluster = Cluster::new(3).await;
    let ready = Command::SetPresence {
        staff: staff(),
        presence: Presence::Ready,
        media_key: point(),
    };
    cluster.meta(1).write(ready).await.unwrap();
    let ticket = ticket();
    cluster.meta(2).write(open(&ticket)).await.unwrap();
    let ringing = cluster
        .meta(0)
        .read(|state| state.reservations().count())
        .await
        .unwrap();
    let presence = |state: &crate::State| state.desk(&staff()).map(|desk| desk.presence);
    // The leader's ticks end it after the policy's 300 ms; nobody else does anything.
    wait_for(cluster.meta(0), move |state| {
        presence(state) == Some(Presence::Break)
    })
    .await;
    assert!(ringing <= 1);
    cluster.meta(0).peek(|state| {
        assert_eq!(
            state.ticket(&ticket).map(|it| &it.state),
            Some(&TicketState::Waiting)
        );
    });

    let newest = cluster.meta(0).peek(crate::State::event_number);
    let numbers = cluster
        .meta(0)
        .events(0)
        .map(|event| event.number)
        .take(newest as usize);
    let numbers = tokio::time::timeout(PATIENCE, numbers.collect::<Vec<_>>())
        .await
        .unwrap();
    assert!(numbers.iter().copied().eq(1..=newest), "{numbers:?}");
    let mut live = cluster.meta(1).events(newest + 1);
    cluster
        .meta(2)
        .write(open(&super::tests::ticket()))
        .await
        .unwrap();
    let next = tokio::time::timeout(PATIENCE, live.next()).await.unwrap();
    assert_eq!(next.map(|event| event.number), Some(newest + 1));
    cluster.meta(1).shutdown().await;
    let rest = tokio::time::timeout(PATIENCE, live.collect::<Vec<_>>()).await;
    assert!(rest.is_ok(), "the stream ends at shutdown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_a_write_says_so() {
    let mut cluster = Cluster::new(3).await;
    let leader = cluster.leader().await;
    for seat in (0..3).filter(|seat| *seat != leader) {
        cluster.crash(seat, 9).await;
    }
    let refused = cluster.meta(leader).write(open(&ticket())).await;
    assert!(
        matches!(refused, Err(crate::WriteError::NoLeader { .. })),
        "{refused:?}"
    );
    let large = Command::AddStep {
        session: id("s"),
        actor: "agent".to_owned(),
        step: "x".repeat(guitai_types::limits::COMMAND_BYTES_MAX),
        details: Default::default(),
    };
    let refused = cluster.meta(leader).write(large).await;
    assert!(
        matches!(refused, Err(crate::WriteError::TooLarge { .. })),
        "{refused:?}"
    );
}

/// Waits until a node has applied what is looked for.
async fn wait_for(meta: &Meta, holds: impl Fn(&crate::State) -> bool) {
    let waits = async {
        while !meta.peek(&holds) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits)
        .await
        .expect("it holds in the end");
}
