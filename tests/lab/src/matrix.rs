//! RTO and RPO of every kind of loss, measured again and again: numbered writes from every centre, the
//! longest time without an acknowledgement, and the acknowledged ones that are not there afterwards.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::{
    LabError,
    error::io_error,
    measure::{
        load_average, median, processor,
        pulse::{self, Lane, Pulse},
        stage::{Site, Stage, read_lines},
        unix_seconds,
    },
};

/// Pause between two writes of one lane.
const BEAT: Duration = Duration::from_millis(20);
/// How long the writers run before something happens.
const BASE_LINE: Duration = Duration::from_millis(500);
/// How long a loss lasts at least: longer than any election and any lease.
const HOLD_MIN: Duration = Duration::from_millis(3_500);
/// How long a service that does not come back is waited for.
const HOLD_MAX: Duration = Duration::from_secs(25);
/// Writers that were acknowledged within this have service.
const CALM: Duration = Duration::from_millis(300);
/// How long all writers may take to be acknowledged at the beginning.
const READY_MAX: Duration = Duration::from_secs(20);

/// What is lost, or moved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// A voter that does not lead is killed.
    Node,
    /// The leader is killed.
    Leader,
    /// Centre A1, which leads, goes off.
    CentreA1,
    /// Centre A2 goes off.
    CentreA2,
    /// Centre B, the guard city, goes off.
    CentreB,
    /// A1 and A2 do not hear each other.
    #[value(name = "link-a1-a2")]
    #[serde(rename = "link-a1-a2")]
    LinkA1A2,
    /// The cities do not hear each other.
    #[value(name = "link-a-b")]
    #[serde(rename = "link-a-b")]
    LinkAB,
    /// What A1 sends does not reach A2.
    OneWay,
    /// City A goes off; B takes over on the order of two officers.
    City,
    /// Leadership moves to A2 by order.
    SwitchA2,
    /// Leadership moves to B by order.
    SwitchB,
    /// And back to A1; measured after each of the two.
    Failback,
}

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// 每单元次数,含结果文件中已有的 / Runs of every cell, those in the results file included
    #[arg(long, default_value_t = 20)]
    pub runs: u32,
    /// 单元,可多次给出;默认全部 / Cells, all unless given
    #[arg(long = "cell", value_enum)]
    pub cells: Vec<Cell>,
    /// 结果文件,每次追加一行;中断后从这里继续 / Results, a line a run; an interrupted measurement goes on from here
    #[arg(long, default_value = "matrix.jsonl", env = "GUITAI_MATRIX")]
    pub results: PathBuf,
    /// 被测程序 / The guitai under test
    #[arg(long, env = "GUITAI_BIN")]
    pub binary: Option<PathBuf>,
}

/// One run of one cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sample {
    /// Of what.
    pub cell: Cell,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The longest time in which no writer anywhere was acknowledged, in milliseconds.
    pub anywhere_ms: f64,
    /// The longest time in which some centre that was left had no acknowledgement of the fast class.
    pub fast_ms: f64,
    /// The same of the sync class.
    pub sync_ms: f64,
    /// By writer.
    pub lanes_ms: BTreeMap<String, f64>,
    /// The longest time in which some centre that ran had none, from healing until all was whole.
    pub healing_ms: f64,
    /// Acknowledged serials, fast and sync.
    pub acked: (u64, u64),
    /// Acknowledged and not there afterwards, fast and sync: the counted RPO.
    pub lost: (u64, u64),
    /// Whether every centre that was left had service again before it was healed.
    pub recovered: bool,
    /// How long the whole run took, in seconds.
    pub seconds: f64,
    /// Load averages after it.
    pub machine: String,
}

/// Measures what is still missing in the results file; says on standard error how far it is.
///
/// # Errors
/// A laboratory that does not come up, a product's command that fails.
pub fn run(plan: &Plan, binary: PathBuf, dir: PathBuf) -> Result<Vec<Sample>, LabError> {
    let site = Site {
        dir,
        binary,
        seed: 5,
        port: 24_610,
    };
    let mut samples: Vec<Sample> = read_lines(&plan.results);
    let mut stage = Stage::up(&site)?.led_from("a1")?;
    let asked = |cell: &Cell| plan.cells.is_empty() || plan.cells.contains(cell);
    for cell in Cell::value_variants().iter().copied().filter(asked) {
        loop {
            let done = samples.iter().filter(|sample| sample.cell == cell).count();
            if done >= plan.runs as usize {
                break;
            }
            let (after, found) = one(stage, cell)?;
            stage = after;
            for sample in found {
                keep(&plan.results, &sample)?;
                eprintln!(
                    "{} {}/{}: {}",
                    name(cell),
                    done + 1,
                    plan.runs,
                    words(&sample)
                );
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

/// One run; a switch gives its failback, too.
fn one(stage: Stage, cell: Cell) -> Result<(Stage, Vec<Sample>), LabError> {
    match cell {
        Cell::SwitchA2 => switched(stage, cell, "a2"),
        Cell::SwitchB | Cell::Failback => switched(stage, Cell::SwitchB, "b"),
        Cell::City => {
            let sample = lost(&stage, cell)?;
            // Bringing city A back is the runbook's and its test's; here the next run begins anew.
            Ok((stage.anew()?, vec![sample]))
        }
        _ => {
            let sample = lost(&stage, cell)?;
            let stage = match stage.wait_whole() {
                Ok(()) => stage,
                Err(why) => {
                    eprintln!("{why}; it is brought up anew");
                    stage.anew()?
                }
            };
            Ok((stage, vec![sample]))
        }
    }
}

fn switched(stage: Stage, cell: Cell, to: &str) -> Result<(Stage, Vec<Sample>), LabError> {
    let there = moved(
        &stage,
        cell,
        &["dr", "run", "--scenario", "switch", "--to", to],
    )?;
    let back = moved(&stage, Cell::Failback, &["dr", "failback", "--to", "a1"])?;
    stage.wait_whole()?;
    Ok((stage, vec![there, back]))
}

/// A planned move, by the product's own command and two officers.
fn moved(stage: &Stage, cell: Cell, words: &[&str]) -> Result<Sample, LabError> {
    let began = Instant::now();
    let pulse = Watch::begin(stage)?;
    let from = Instant::now();
    stage.approved(words)?;
    let to = Instant::now();
    pulse.end(stage, cell, Window { from, to }, true, began)
}

fn lost(stage: &Stage, cell: Cell) -> Result<Sample, LabError> {
    let began = Instant::now();
    let watch = Watch::begin(stage)?;
    let leader = stage.leader().unwrap_or_default();
    let from = Instant::now();
    let lab = &stage.lab;
    match cell {
        Cell::Node => lab.kill("a2-1")?,
        Cell::Leader => lab.kill(&leader)?,
        Cell::CentreA1 => lab.kill("a1")?,
        Cell::CentreA2 => lab.kill("a2")?,
        Cell::CentreB => lab.kill("b")?,
        Cell::LinkA1A2 => lab.cut("a1-a2", false)?,
        Cell::LinkAB => lab.cut("a-b", false)?,
        Cell::OneWay => lab.cut("a1-a2", true)?,
        Cell::City => {
            lab.kill("a")?;
            take_over(stage)?;
        }
        Cell::SwitchA2 | Cell::SwitchB | Cell::Failback => {}
    }
    let is_left = |lane: &Lane| left(cell, lane);
    let mut recovered = false;
    while from.elapsed() < HOLD_MAX && !recovered {
        std::thread::sleep(BEAT);
        recovered = from.elapsed() > HOLD_MIN && watch.pulse.silence(is_left) < CALM;
    }
    let to = Instant::now();
    match cell {
        Cell::Node => lab.start("a2-1")?,
        Cell::Leader => lab.start(&leader)?,
        Cell::CentreA1 => lab.start("a1")?,
        Cell::CentreA2 => lab.start("a2")?,
        Cell::CentreB => lab.start("b")?,
        Cell::LinkA1A2 | Cell::LinkAB | Cell::OneWay => lab.heal(None)?,
        Cell::City | Cell::SwitchA2 | Cell::SwitchB | Cell::Failback => {}
    }
    watch.end(stage, cell, Window { from, to }, recovered, began)
}

/// The forced takeover, as the runbook has it: by the node of city B that has most.
fn take_over(stage: &Stage) -> Result<(), LabError> {
    let hosts = stage.lab.hosts().iter();
    let left = hosts.filter(|host| host.centre == "b" && !host.is_edge);
    let mut heirs = left
        .map(|host| (host.node.as_str(), format!("http://{}", host.door)))
        .cycle();
    let off_since = (unix_seconds() * 1_000).to_string();
    // B must have seen that there is no leader any more before it may be asked, and a node that has less
    // than another refuses.
    let began = Instant::now();
    let (run, url) = loop {
        let Some((heir, url)) = heirs.next() else {
            return Err(LabError::Refused("city B has no node".to_owned()));
        };
        let words = format!("dr run --scenario city --lost a --on {heir} --no-wait --url {url}");
        match stage.guitai(&words.split(' ').collect::<Vec<_>>()) {
            Ok(run) => break (run, url),
            Err(why) if began.elapsed() > HOLD_MAX => return Err(why),
            Err(_) => std::thread::sleep(CALM),
        }
    };
    let at_b = |words: &[&str]| stage.guitai(&[words, &["--url", &url]].concat());
    let id = run["id"].as_str().unwrap_or_default();
    for officer in ["chenjing", "liuyang"] {
        at_b(&[
            "dr",
            "approve",
            id,
            "--officer",
            officer,
            "--off-since",
            &off_since,
        ])?;
    }
    Ok(())
}

/// Whether the lane's centre still has its service in that cell. One that does not reach the leader (which
/// is in A1 when a run begins) has none: its doors close and pages go to another centre's.
fn left(cell: Cell, lane: &Lane) -> bool {
    let gone: &[&str] = match cell {
        Cell::CentreA1 => &["m-a1-"],
        Cell::CentreA2 | Cell::LinkA1A2 | Cell::OneWay => &["m-a2-"],
        Cell::CentreB | Cell::LinkAB => &["m-b-"],
        Cell::City => &["m-a1-", "m-a2-"],
        _ => &[],
    };
    !gone.iter().any(|gone| lane.name.starts_with(gone))
}

/// Whether the lane's centre runs: after a cut is mended, every one of them is waited for.
fn runs(cell: Cell, lane: &Lane) -> bool {
    matches!(cell, Cell::LinkA1A2 | Cell::OneWay | Cell::LinkAB) || left(cell, lane)
}

#[derive(Debug, Clone, Copy)]
struct Window {
    from: Instant,
    to: Instant,
}

/// The writers of one run.
struct Watch {
    pulse: Pulse,
}

impl Watch {
    fn begin(stage: &Stage) -> Result<Self, LabError> {
        let run = format!("r{}", unix_seconds());
        let lanes = stage.lanes();
        let pulse = stage
            .runtime
            .block_on(async { Pulse::start(lanes, &run, BEAT, true) });
        if !stage.runtime.block_on(pulse.beats(READY_MAX)) {
            return Err(LabError::Refused("not every centre has service".to_owned()));
        }
        std::thread::sleep(BASE_LINE);
        Ok(Self { pulse })
    }

    /// Waits until all is whole, stops the writers and counts.
    fn end(
        self,
        stage: &Stage,
        cell: Cell,
        window: Window,
        recovered: bool,
        began: Instant,
    ) -> Result<Sample, LabError> {
        let is_left = |lane: &Lane| left(cell, lane);
        let Window { from, to } = window;
        let ms = |gap: Duration| gap.as_secs_f64() * 1e3;
        let gaps = self.pulse.gaps(from, to);
        let worst = |sync: bool| {
            let lanes = gaps
                .iter()
                .filter(|(lane, _)| is_left(lane) && lane.sync == sync);
            ms(lanes.map(|(_, gap)| *gap).max().unwrap_or_default())
        };
        let mut sample = Sample {
            cell,
            at: unix_seconds(),
            anywhere_ms: ms(self.pulse.gap_of_all(from, to, is_left)),
            fast_ms: worst(false),
            sync_ms: worst(true),
            lanes_ms: gaps
                .iter()
                .map(|(lane, gap)| (lane.name.clone(), ms(*gap)))
                .collect(),
            healing_ms: 0.0,
            acked: (0, 0),
            lost: (0, 0),
            recovered,
            seconds: 0.0,
            machine: String::new(),
        };
        if !matches!(cell, Cell::City | Cell::SwitchA2 | Cell::SwitchB) {
            // Serials end before a node that catches up slowly is done; then the writers are silent by
            // themselves and nothing is measured any more.
            if let Err(why) = stage.wait_whole() {
                eprintln!("{why}");
            }
            let healing = self.pulse.gaps_while_writing(to, Instant::now());
            let lanes = healing.into_iter().filter(|(lane, _)| runs(cell, lane));
            sample.healing_ms = ms(lanes.map(|(_, gap)| gap).max().unwrap_or_default());
        }
        let (run, lanes) = stage.runtime.block_on(self.pulse.stop());
        let present = stage.runtime.block_on(async {
            let mut why = String::new();
            for door in stage.doors(Some(if cell == Cell::City { "b" } else { "a1" })) {
                match stage.operator.marks(&door, "m-").await {
                    Ok(marks) => return Ok(marks),
                    Err(trouble) => why = trouble,
                }
            }
            Err(LabError::Refused(format!("marks not read: {why}")))
        });
        let present: BTreeMap<String, String> = present?.into_iter().collect();
        for (lane, seen) in lanes {
            let is_there = |serial: &&u64| {
                let found = present.get(&pulse::key(&lane, **serial));
                found == Some(&pulse::value(&run, **serial))
            };
            let acked = seen.acked.len() as u64;
            let there = seen.acked.keys().filter(is_there).count() as u64;
            let (all, lost) = if lane.sync {
                (&mut sample.acked.1, &mut sample.lost.1)
            } else {
                (&mut sample.acked.0, &mut sample.lost.0)
            };
            *all += acked;
            *lost += acked - there;
        }
        sample.seconds = began.elapsed().as_secs_f64();
        sample.machine = load_average();
        Ok(sample)
    }
}

fn keep(results: &Path, sample: &Sample) -> Result<(), LabError> {
    let open = std::fs::File::options()
        .create(true)
        .append(true)
        .open(results);
    let mut file = open.map_err(io_error("open", results))?;
    let line = serde_json::to_string(sample).unwrap_or_default();
    writeln!(file, "{line}").map_err(io_error("write", results))
}

fn words(sample: &Sample) -> String {
    format!(
        "anywhere {:.0} ms, fast {:.0} ms, sync {:.0} ms, healing {:.0} ms; lost {} of {} fast, {} of {} sync{}; \
         {:.0} s, load {}",
        sample.anywhere_ms,
        sample.fast_ms,
        sample.sync_ms,
        sample.healing_ms,
        sample.lost.0,
        sample.acked.0,
        sample.lost.1,
        sample.acked.1,
        if sample.recovered {
            ""
        } else {
            "; NOT RECOVERED"
        },
        sample.seconds,
        sample.machine
    )
}

/// The samples as a table in Markdown.
pub fn table(samples: &[Sample]) -> String {
    let machine = samples.last().map_or("", |sample| &sample.machine);
    let mut text = format!("{}, load after the last run {machine}\n\n", processor());
    text += "| cell | runs | anywhere median, worst ms | fast | sync | healing | lost fast of | lost sync of | not recovered |\n";
    text += "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    for cell in Cell::value_variants() {
        let of: Vec<&Sample> = samples.iter().filter(|it| it.cell == *cell).collect();
        if of.is_empty() {
            continue;
        }
        let both = |get: fn(&Sample) -> f64| {
            let all: Vec<f64> = of.iter().map(|sample| get(sample)).collect();
            let worst = all.iter().copied().fold(0.0, f64::max);
            format!("{:.0}, {worst:.0}", median(&all))
        };
        let sum = |get: fn(&Sample) -> u64| of.iter().map(|sample| get(sample)).sum::<u64>();
        text += &format!(
            "| {} | {} | {} | {} | {} | {} | {} of {} | {} of {} | {} |\n",
            name(*cell),
            of.len(),
            both(|it| it.anywhere_ms),
            both(|it| it.fast_ms),
            both(|it| it.sync_ms),
            both(|it| it.healing_ms),
            sum(|it| it.lost.0),
            sum(|it| it.acked.0),
            sum(|it| it.lost.1),
            sum(|it| it.acked.1),
            of.iter().filter(|sample| !sample.recovered).count()
        );
    }
    text
}

fn name(cell: Cell) -> String {
    let value = cell.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
