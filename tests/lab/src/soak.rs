//! A long run under random faults, and the question at its end whether anything acknowledged is missing,
//! any read was stale, or any event came twice or not at all.

mod clients;
mod nemesis;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use guitai_host::SeededEntropy;
use serde::{Deserialize, Serialize};

use self::{clients::Witness, nemesis::Nemesis};
use crate::{
    LabError,
    measure::{
        guitai::Marker,
        load_average,
        pulse::{self, Pulse, SERIALS_MAX},
        stage::{Site, Stage},
    },
};

/// Pause between two writes of one lane at the least; a long run makes it longer, so that serials last.
const BEAT_MIN: Duration = Duration::from_millis(100);
/// How long followers of events may take to catch up at the end.
const FOLLOW_MAX: Duration = Duration::from_secs(20);

/// How long, and with which chance.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// 分钟数 / Minutes of faults
    #[arg(long, default_value_t = 30.0)]
    pub minutes: f64,
    /// 随机种子;同一种子故障次序相同 / Seed; the same one gives the same faults in the same order
    #[arg(long, default_value_t = 1, env = "GUITAI_SEED")]
    pub seed: u64,
    /// 负向检验:故意丢失两个已确认的写入,必须为红 / Negative control: two acknowledged writes are lost on purpose; must be red
    #[arg(long)]
    pub inject_loss: bool,
    /// 被测程序 / The guitai under test
    #[arg(long, env = "GUITAI_BIN")]
    pub binary: Option<PathBuf>,
}

/// What was done, and what was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// How long faults came, in seconds.
    pub seconds: f64,
    /// Faults, in order.
    pub faults: Vec<String>,
    /// Reads and writes of registers that were answered.
    pub operations: u64,
    /// Writes of registers whose outcome is unknown.
    pub unknown: u64,
    /// Numbered writes that were acknowledged.
    pub serials: u64,
    /// The longest time without an acknowledged numbered write in any centre, in milliseconds.
    pub longest_gap_ms: f64,
    /// Events that every follower saw.
    pub events: u64,
    /// Nothing was violated.
    pub green: bool,
    /// What was violated.
    pub violations: Vec<String>,
    /// Whether a loss was put in on purpose.
    pub injected: bool,
    /// Load averages at the end.
    pub machine: String,
}

impl Verdict {
    /// For a person.
    pub fn text(&self) -> String {
        let mut text = format!(
            "seed {}: {:.0} s, {} faults, {} operations ({} writes of unknown outcome), {} numbered writes, \
             longest gap {:.0} ms, {} events; load {}\n",
            self.seed,
            self.seconds,
            self.faults.len(),
            self.operations,
            self.unknown,
            self.serials,
            self.longest_gap_ms,
            self.events,
            self.machine
        );
        for violation in &self.violations {
            text += &format!("  违反 / violated: {violation}\n");
        }
        text += match (self.green, self.injected) {
            (true, false) => "绿:无违反 / green: nothing was violated\n",
            (true, true) => "故意的丢失未被发现 / the loss put in on purpose was NOT found\n",
            (false, true) => "红,符合预期 / red, as it must be: a loss was put in on purpose\n",
            (false, false) => "红 / red\n",
        };
        text
    }
}

/// Runs it; tells every fault on standard error.
///
/// # Errors
/// A laboratory that does not come up, or is not whole again when all is healed.
pub fn run(plan: &Plan, binary: PathBuf, dir: PathBuf) -> Result<Verdict, LabError> {
    let site = Site {
        dir,
        binary,
        seed: plan.seed,
        port: 24_620,
    };
    let stage = Stage::up(&site)?;
    soak(&stage, plan)
}

fn soak(stage: &Stage, plan: &Plan) -> Result<Verdict, LabError> {
    let time = Duration::from_secs_f64(plan.minutes * 60.0);
    let beat = BEAT_MIN.max(time / u32::try_from(SERIALS_MAX - 100).unwrap_or(u32::MAX));
    let run = format!("s{}", plan.seed);
    let lanes = stage.lanes();
    let stop = Arc::new(AtomicBool::new(false));
    let doors = stage.doors(None);
    let edges: Vec<_> = stage.lab.edges().map(|host| host.door).collect();
    let witness = Witness::default();
    let began = Instant::now();
    let (pulse, tasks) = stage.runtime.block_on(async {
        let pulse = Pulse::start(lanes, &run, beat, true);
        let operator = &stage.operator;
        let tasks = witness.start(&doors, &edges, operator, plan.seed, &stop);
        (pulse, tasks)
    });

    let mut nemesis = Nemesis::new(stage, plan.seed);
    while began.elapsed() < time {
        nemesis.strike(time.saturating_sub(began.elapsed()))?;
    }
    nemesis.heal_all()?;
    let seconds = began.elapsed().as_secs_f64();
    let whole = stage.wait_whole();
    stop.store(true, Ordering::Relaxed);
    let gaps = pulse.gaps_while_writing(began, Instant::now());
    let (run, lanes) = stage.runtime.block_on(pulse.stop());
    whole?;

    let mut violations = Vec::new();
    if plan.inject_loss {
        stage.runtime.block_on(lose(stage, &lanes, &witness))?;
    }
    let newest = stage
        .status()
        .and_then(|status| status["event_number"].as_u64());
    let events = stage.runtime.block_on(async {
        // Every node is asked for every register: a last read each, which must be explained, too.
        witness.read_all(&doors, &stage.operator).await;
        witness.caught_up(newest.unwrap_or(0), FOLLOW_MAX).await
    });
    match events {
        Ok(()) => {}
        Err(what) => violations.push(what),
    }
    stage.runtime.block_on(async {
        let mut tasks = tasks;
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    });
    let marks = stage.runtime.block_on(async {
        for door in &doors {
            if let Ok(marks) = stage.operator.marks(door, "m-").await {
                return Some(marks);
            }
        }
        None
    });
    let Some(marks) = marks else {
        return Err(LabError::Refused("the marks cannot be read".to_owned()));
    };
    let marks: std::collections::BTreeMap<String, String> = marks.into_iter().collect();
    let mut serials = 0;
    for (lane, seen) in &lanes {
        serials += seen.acked.len() as u64;
        for serial in seen.acked.keys() {
            let (key, value) = (pulse::key(lane, *serial), pulse::value(&run, *serial));
            if marks.get(&key) != Some(&value) {
                let there = marks.get(&key);
                violations.push(format!(
                    "{key} was acknowledged as {value} and is {there:?}"
                ));
            }
        }
    }
    let (operations, unknown) = witness.counts();
    violations.extend(witness.violations());
    let longest = gaps
        .into_iter()
        .map(|(_, gap)| gap)
        .max()
        .unwrap_or_default();
    Ok(Verdict {
        seed: plan.seed,
        seconds,
        faults: nemesis.told(),
        operations,
        unknown,
        serials,
        longest_gap_ms: longest.as_secs_f64() * 1e3,
        events: witness.events(),
        green: violations.is_empty(),
        violations,
        injected: plan.inject_loss,
        machine: load_average(),
    })
}

/// Takes an acknowledged numbered write away, and puts an old value back into a register: what a store
/// that loses writes would do.
async fn lose(
    stage: &Stage,
    lanes: &[(pulse::Lane, pulse::Seen)],
    witness: &Witness,
) -> Result<(), LabError> {
    let nothing = || LabError::Refused("nothing was acknowledged that could be lost".to_owned());
    let lane = lanes.iter().find_map(|(lane, seen)| {
        let serial = seen.acked.keys().next()?;
        Some(pulse::key(lane, *serial))
    });
    let lane = lane.ok_or_else(nothing)?;
    let (register, old) = witness.older().ok_or_else(nothing)?;
    for door in stage.doors(None) {
        let lost = async {
            let mut marker = Marker::connect(&door, &stage.operator).await?;
            marker.put(&lane, "", false).await?;
            marker.put(&register, &old, false).await
        };
        if lost.await.is_some() {
            eprintln!("put in on purpose: {lane} is lost, {register} is {old} again");
            return Ok(());
        }
    }
    Err(nothing())
}

/// A seed of its own for everything that draws.
fn seeded(seed: u64, of: u64) -> SeededEntropy {
    SeededEntropy::new(seed.wrapping_mul(1_000_003).wrapping_add(of))
}
