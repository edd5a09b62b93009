//! Ring 2: our storage and drivers under openraft, on simulated disks, lines and clocks.
//!
//! A [`Cluster`](cluster::Cluster) has five voters 2:2:1 and a learner in city B. Clients write unique
//! serials and read them back through [`guitai_meta::Meta`] on any node; the [`nemesis`] does to nodes,
//! disks and lines what its dice say; the [`oracle`] watches every node after every change. Then
//! everything is healed, except perhaps a centre that is lost for good, and the cluster must go on by
//! itself. At the end the committed log is replayed through the core and its invariants, and the
//! clients' history must be linearizable.
//!
//! One thread, paused time, chance by seed: the same seed gives the same trace, byte for byte, so the
//! seed is the bug report, and [`replay_line`] is how to see it again.

pub mod clients;
pub mod cluster;
pub mod history;
pub mod nemesis;
pub mod net;
pub mod oracle;
pub mod time;
pub mod trace;
mod verdict;

use std::time::Duration;

use crate::{Dice, Violation};
use cluster::Cluster;

/// A fault put back on purpose: a ring that does not find it proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Disks say that they synced and did not: acknowledged before durable.
    AckBeforeSync,
    /// The voter in city B never stands for election (facts/raft-dr.md 6.3).
    ElectionBan,
    /// A node that believes that it leads answers reads from its own state, without ReadIndex.
    StaleRead,
    /// A vote is not synced: a restarted node remembers no vote that its log does not prove.
    VoteForgotten,
    /// The guard's clock goes at a quarter of the speed, far beyond the drift that the sync
    /// lease allows for: it believes in grants that the leader no longer waits for.
    GuardClockSlow,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AckBeforeSync,
        Self::ElectionBan,
        Self::StaleRead,
        Self::VoteForgotten,
        Self::GuardClockSlow,
    ];

    /// What `GUITAI_FAULT` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSync => "ack-before-sync",
            Self::ElectionBan => "election-ban",
            Self::StaleRead => "stale-read",
            Self::VoteForgotten => "vote-forgotten",
            Self::GuardClockSlow => "guard-clock-slow",
        }
    }

    /// The fault that the environment asks for, to replay a negative control.
    ///
    /// # Panics
    /// When `GUITAI_FAULT` names none: a typing mistake must not pass for a run.
    pub fn wanted() -> Option<Self> {
        let name = std::env::var("GUITAI_FAULT").ok()?;
        let named = Self::ALL.into_iter().find(|fault| fault.name() == name);
        Some(named.expect("GUITAI_FAULT names a fault of guitai_sim::raft"))
    }
}

/// The test that runs the seeds asked for.
pub const RING: &str = "the_cluster_keeps_its_word_in_every_seed";

/// The command that shows a seed again.
pub fn replay_line(seed: u64, fault: Option<Fault>) -> String {
    let fault = fault.map_or_else(String::new, |fault| {
        format!(" GUITAI_FAULT={}", fault.name())
    });
    let next = seed + 1;
    format!("GUITAI_SEEDS={seed}..{next}{fault} cargo nextest run -p guitai-sim --test raft {RING}")
}

/// What a seed's run came to.
#[derive(Debug)]
pub struct Run {
    /// What broke; nothing in a sound world.
    pub violation: Option<Violation>,
    /// Hash over all events.
    pub digest: u64,
    /// Events hashed.
    pub events: u64,
    /// The last of them, as text.
    pub lines: Vec<String>,
    /// What it lived through.
    pub figures: Figures,
}

/// What a world lived through, to see that it did anything.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Writes acknowledged.
    pub writes: u64,
    /// Reads answered.
    pub reads: u64,
    /// Operations whose outcome the client never learned.
    pub unknown: u64,
    /// Entries committed.
    pub entries: u64,
    /// Terms with a leader.
    pub leaders: u64,
    /// Lives of nodes.
    pub lives: u64,
    /// Writes acknowledged while the guard said that it has everything.
    pub proven: u64,
}

impl Figures {
    /// Adds another world's.
    pub fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.reads += other.reads;
        self.unknown += other.unknown;
        self.entries += other.entries;
        self.leaders += other.leaders;
        self.lives += other.lives;
        self.proven += other.proven;
    }
}

/// Lives through a seed.
pub fn run(seed: u64, fault: Option<Fault>) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads or sockets can be made");
    runtime.block_on(live(seed, fault))
}

async fn live(seed: u64, fault: Option<Fault>) -> Run {
    let mut dice = Dice::new(seed);
    let cluster = Cluster::new(&mut dice, fault);
    let lived = live_in(&cluster, &mut dice).await;
    let oracle = cluster.oracle();
    let violation = oracle.violation().or_else(|| lived.err());
    let violation = violation.or_else(|| verdict::judge(&cluster).err());
    cluster.close();
    let (digest, events, lines) = cluster.trace().close();
    Run {
        violation,
        digest,
        events,
        lines,
        figures: oracle.figures(),
    }
}

async fn live_in(cluster: &Cluster, dice: &mut Dice) -> Result<(), Violation> {
    cluster.found().await?;
    let clients = clients::start(cluster, dice);
    nemesis::rage(cluster, dice).await;
    cluster.heal().await;
    // Whatever was in flight ends: the slowest is a write that is tried for its whole time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let alive = nemesis::must_go_on(cluster).await;
    clients.stop().await;
    alive?;
    nemesis::must_settle(cluster).await
}
