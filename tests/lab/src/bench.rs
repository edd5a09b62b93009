//! The core beside etcd: both in one run, measured in turn, by clients outside of their processes. What is
//! compared with what, and why that is fair, is in `docs/decisions/0037-beside-etcd.md`.

mod clusters;
mod report;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use self::clusters::{Pair, System, Timers};
pub use self::report::Report;
pub use crate::measure::load::Load;
use crate::{
    LabError,
    measure::{load, load_average, pulse::Pulse},
};

/// How long a cluster may be without any acknowledgement before the measurement gives up on it.
const LOST_MAX: Duration = Duration::from_secs(30);
/// Acknowledgements must have come again for so long before a failover counts as over.
const CALM: Duration = Duration::from_millis(700);
/// Pause between two writes of one lane while an interruption is measured.
const BEAT: Duration = Duration::from_millis(10);
/// How long two sides of city A do not hear each other before one of them is lost.
const CUT: Duration = Duration::from_secs(1);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Three nodes on loopback, one client at the leader.
    Write1,
    /// The same with 64.
    Write64,
    /// The same with 256.
    Write256,
    /// The leader is killed; each with its own default timers.
    KillDefault,
    /// The leader hands over by order.
    Transfer,
    /// The leader is killed; both with the same time until an election.
    KillEqual,
    /// Five nodes 2:2:1 under the WAN emulator, one client at the leader.
    WanWrite1,
    /// The same with 64.
    WanWrite64,
    /// Its leader is killed.
    WanKillLeader,
    /// Its leader's centre is killed.
    WanKillCentre,
    /// A1 and A2 do not hear each other for a second, then A1 is lost.
    WanCutThenLoss,
}

impl Cell {
    const fn group(self) -> Group {
        match self {
            Self::Write1 | Self::Write64 | Self::Write256 | Self::KillDefault | Self::Transfer => {
                Group::Loopback
            }
            Self::KillEqual => Group::Equal,
            _ => Group::Wan,
        }
    }

    const fn clients(self) -> Option<usize> {
        match self {
            Self::Write1 | Self::WanWrite1 => Some(1),
            Self::Write64 | Self::WanWrite64 => Some(64),
            Self::Write256 => Some(256),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Loopback,
    Equal,
    Wan,
}

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// 单元,可多次给出;默认全部 / Cells, all unless given
    #[arg(long = "cell", value_enum)]
    pub cells: Vec<Cell>,
    /// 每个写入单元的轮数 / Rounds of every cell of writes
    #[arg(long, default_value_t = 3, env = "GUITAI_BENCH_ROUNDS")]
    pub rounds: u32,
    /// 每轮秒数 / Seconds of every round
    #[arg(long, default_value_t = 6.0, env = "GUITAI_BENCH_SECONDS")]
    pub seconds: f64,
    /// 每个故障单元的次数 / Runs of every cell with an interruption
    #[arg(long, default_value_t = 8, env = "GUITAI_BENCH_RUNS")]
    pub runs: u32,
    /// 被测程序 / The guitai under test
    #[arg(long, env = "GUITAI_BIN")]
    pub binary: Option<PathBuf>,
    /// etcd 程序 / The peer
    #[arg(long, default_value = "etcd", env = "GUITAI_ETCD")]
    pub etcd: PathBuf,
}

/// One measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// Of what.
    pub cell: Cell,
    /// `guitai` or `etcd`.
    pub system: String,
    /// Of writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The longest time without any acknowledgement, in milliseconds; of an interruption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<f64>,
    /// Load averages of the machine after it.
    pub machine: String,
}

/// Measures; says on standard error how far it is.
///
/// # Errors
/// A cluster that does not come up, or never comes back.
pub fn run(plan: &Plan, binary: PathBuf, dir: PathBuf) -> Result<Report, LabError> {
    let mut report = Report::begin(&plan.etcd);
    for group in [Group::Loopback, Group::Equal, Group::Wan] {
        let asked = |cell: &Cell| plan.cells.is_empty() || plan.cells.contains(cell);
        let all = <Cell as clap::ValueEnum>::value_variants();
        let cells: Vec<Cell> = all
            .iter()
            .copied()
            .filter(|cell| cell.group() == group && asked(cell))
            .collect();
        if cells.is_empty() {
            continue;
        }
        let timers = match group {
            Group::Equal => Timers::Equal,
            Group::Loopback | Group::Wan => Timers::Default,
        };
        let dir = dir.join(format!("{group:?}").to_lowercase());
        let mut pair = match group {
            Group::Wan => Pair::wan(&binary, &plan.etcd, &dir)?,
            Group::Loopback | Group::Equal => Pair::local(&binary, &plan.etcd, &dir, timers)?,
        };
        for cell in cells {
            measure(plan, cell, &mut pair, &mut report)?;
        }
    }
    report.end();
    Ok(report)
}

/// Both, in turn.
fn measure(plan: &Plan, cell: Cell, pair: &mut Pair, report: &mut Report) -> Result<(), LabError> {
    let turns = match cell.clients() {
        Some(_) => plan.rounds,
        None => plan.runs,
    };
    for turn in 0..turns {
        for system in System::BOTH {
            let mut sample = Sample {
                cell,
                system: system.name().to_owned(),
                load: None,
                gap_ms: None,
                machine: String::new(),
            };
            match cell.clients() {
                Some(clients) => sample.load = Some(writes(pair, system, clients, plan.seconds)?),
                None => sample.gap_ms = Some(interruption(pair, system, cell)?),
            }
            sample.machine = load_average();
            report.add(&sample, turn + 1, turns);
        }
    }
    Ok(())
}

fn writes(pair: &mut Pair, system: System, clients: usize, seconds: f64) -> Result<Load, LabError> {
    let leader = pair.leader(system)?;
    let target = pair.target(system, leader)?;
    let time = Duration::from_secs_f64(seconds);
    Ok(pair.wait_for(load::run(&target, clients, time)))
}

/// The longest time without any acknowledgement around what `cell` does; everything is whole afterwards.
fn interruption(pair: &mut Pair, system: System, cell: Cell) -> Result<f64, LabError> {
    if cell.group() == Group::Wan {
        pair.lead_from_first_centre(system)?;
    }
    let leader = pair.leader(system)?;
    let lanes = pair.lanes(system)?;
    let pulse = pair.wait_for(async { Pulse::start(lanes, "gap", BEAT, false) });
    let lost = |what: &str| LabError::Refused(format!("{}: {what}", system.name()));
    if !pair.wait_for(pulse.beats(LOST_MAX)) {
        return Err(lost("not every node takes writes"));
    }
    std::thread::sleep(CALM);
    let mut from = Instant::now();
    let mut killed = Vec::new();
    match cell {
        Cell::KillDefault | Cell::KillEqual | Cell::WanKillLeader => killed.push(leader),
        Cell::WanKillCentre => killed.extend(pair.centre_of(system, leader)),
        Cell::WanCutThenLoss => {
            pair.cut("A1-A2")?;
            std::thread::sleep(CUT);
            // What the cut itself costs is the matrix's; here it is the loss after it.
            from = Instant::now();
            killed.extend(pair.centre_of(system, leader));
        }
        Cell::Transfer => pair.transfer(system, leader)?,
        _ => {}
    }
    for node in &killed {
        pair.kill(system, *node)?;
    }
    if cell == Cell::WanCutThenLoss {
        pair.heal()?;
    }
    let mut calm = None;
    while calm.is_none_or(|since: Instant| since.elapsed() < CALM) {
        if from.elapsed() > LOST_MAX {
            return Err(lost("no write was acknowledged any more"));
        }
        let silent = pulse.silence_of_all() > BEAT * 10;
        // The silence must have had time to begin.
        let early = from.elapsed() < CALM;
        calm = match calm {
            _ if silent || early => None,
            None => Some(Instant::now()),
            since => since,
        };
        std::thread::sleep(BEAT);
    }
    let gap = pulse.gap_of_all(from, Instant::now(), |_| true);
    pair.wait_for(pulse.stop());
    for node in &killed {
        pair.start(system, *node)?;
    }
    pair.wait_whole(system)?;
    Ok(gap.as_secs_f64() * 1e3)
}
