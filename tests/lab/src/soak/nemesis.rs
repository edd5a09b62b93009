//! Who breaks things: one fault after the other, sometimes two at once, each healed before the next.

use std::time::{Duration, Instant};

use guitai_host::SeededEntropy;

use super::seeded;
use crate::{Lab, LabError, measure::stage::Stage, shim::Faults};

/// How long a fault lasts, in milliseconds.
const LASTS_MS: (u64, u64) = (1_000, 8_000);
/// How long all is well between two, in milliseconds.
const CALM_MS: (u64, u64) = (1_000, 5_000);
/// Links that are hurt.
const LINKS: [&str; 6] = ["a1-a2", "a-b", "a1-b", "a2-b", "a1-1-a2-1", "a1-1-b-1"];

/// A fault, and how it is undone.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Cut,
    OneWay,
    Isolated,
    Loss,
    Spike,
    Jitter,
    Disorder,
    Pause,
    Kill,
    KillLeader,
    KillCentre,
    SlowDisk,
    FullDisk,
    FailingDisk,
    Offset,
    Drift,
}

const ALL: [Fault; 16] = [
    Fault::Cut,
    Fault::OneWay,
    Fault::Isolated,
    Fault::Loss,
    Fault::Spike,
    Fault::Jitter,
    Fault::Disorder,
    Fault::Pause,
    Fault::Kill,
    Fault::KillLeader,
    Fault::KillCentre,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::FailingDisk,
    Fault::Offset,
    Fault::Drift,
];

/// Breaks and heals.
pub(super) struct Nemesis<'a> {
    stage: &'a Stage,
    chance: SeededEntropy,
    began: Instant,
    told: Vec<String>,
    /// Every kind once before any twice: a short run should see many.
    left: Vec<Fault>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(stage: &'a Stage, seed: u64) -> Self {
        Self {
            stage,
            chance: seeded(seed, 0),
            began: Instant::now(),
            told: Vec::new(),
            left: Vec::new(),
        }
    }

    /// What was done, in order.
    pub(super) fn told(self) -> Vec<String> {
        self.told
    }

    /// One fault or two, for a while, and a pause; not longer than `most`.
    pub(super) fn strike(&mut self, most: Duration) -> Result<(), LabError> {
        let twice = self.chance.chance(20);
        self.one()?;
        if twice {
            self.one()?;
        }
        let lasts = self.between(LASTS_MS);
        std::thread::sleep(lasts.min(most));
        self.heal_all()?;
        let calm = self.between(CALM_MS);
        std::thread::sleep(calm.min(most));
        Ok(())
    }

    /// Everything as at first.
    pub(super) fn heal_all(&self) -> Result<(), LabError> {
        let lab = &self.stage.lab;
        lab.heal(None)?;
        for host in lab.hosts() {
            lab.resume(&host.node)?;
            let faults = lab.faults(&host.node)?;
            lab.hurt(&host.node, |faults| *faults = Faults::default())?;
            // A node whose disk failed may stand still, as long as its process lives.
            if faults.full || faults.fail_sync_after.is_some() {
                lab.kill(&host.node)?;
            }
            lab.start(&host.node)?;
        }
        Ok(())
    }

    fn one(&mut self) -> Result<(), LabError> {
        if self.left.is_empty() {
            self.left = ALL.to_vec();
        }
        let at = self.chance.below(self.left.len() as u64) as usize;
        let fault = self.left.swap_remove(at);
        let core = self.pick(|host| !host.is_edge);
        let lab = &self.stage.lab;
        let link = LINKS[self.chance.below(LINKS.len() as u64) as usize];
        let amount = self.chance.below(1_000);
        let said = match fault {
            Fault::Cut => {
                lab.cut(link, false)?;
                format!("{link} is cut")
            }
            Fault::OneWay => {
                lab.cut(link, true)?;
                format!("{link} is cut one way")
            }
            Fault::Isolated => {
                lab.cut(&core, false)?;
                format!("{core} is cut off")
            }
            Fault::Loss => {
                let ppm = 10_000 + amount as u32 * 190;
                lab.change(link, false, |it| it.loss_ppm = ppm)?;
                format!("{link} loses {} %", f64::from(ppm) / 1e4)
            }
            Fault::Spike => {
                lab.change(link, false, |it| it.delay_us += 200_000)?;
                format!("{link} takes 200 ms more")
            }
            Fault::Jitter => {
                lab.change(link, false, |it| it.jitter_us = it.delay_us / 2)?;
                format!("{link} varies by half")
            }
            Fault::Disorder => {
                lab.change(link, false, |it| {
                    it.duplicate_ppm = 20_000;
                    it.reorder_ppm = 20_000;
                })?;
                format!("{link} repeats and disorders")
            }
            Fault::Pause => {
                lab.pause(&core)?;
                format!("{core} is frozen")
            }
            Fault::Kill => {
                lab.kill(&core)?;
                format!("{core} is killed")
            }
            Fault::KillLeader => {
                let leader = self.stage.leader().unwrap_or(core);
                lab.kill(&leader)?;
                format!("{leader}, which leads, is killed")
            }
            Fault::KillCentre => {
                let centres = self.stage.centres();
                let centre = &centres[amount as usize % centres.len()];
                lab.kill(centre)?;
                format!("centre {centre} is off")
            }
            Fault::SlowDisk => {
                let ms = 20 + amount / 6;
                lab.hurt(&core, |faults| faults.slow_ms = ms)?;
                format!("the disk of {core} takes {ms} ms more")
            }
            Fault::FullDisk => {
                lab.hurt(&core, |faults| faults.full = true)?;
                format!("the disk of {core} is full")
            }
            Fault::FailingDisk => {
                let after = amount % 20;
                lab.hurt(&core, |faults| faults.fail_sync_after = Some(after))?;
                format!("the disk of {core} fails after {after} syncs")
            }
            Fault::Offset => {
                let ms = if amount < 500 { -5_000 } else { 5_000 };
                lab.hurt(&core, |faults| faults.clock_ms = ms)?;
                format!("the clock of {core} is {ms:+} ms off")
            }
            Fault::Drift => {
                let ppm = if amount < 500 { -500 } else { 500 };
                lab.hurt(&core, |faults| faults.drift_ppm = ppm)?;
                format!("the clock of {core} runs {ppm:+} ppm")
            }
        };
        let at = self.began.elapsed().as_secs_f64();
        eprintln!("{at:7.1} s  {said}");
        self.told.push(format!("{at:.1} s: {said}"));
        Ok(())
    }

    fn pick(&self, which: impl Fn(&crate::Host) -> bool) -> String {
        let hosts = self.stage.lab.hosts().iter().filter(|host| which(host));
        let names: Vec<&str> = hosts.map(|host| host.node.as_str()).collect();
        names[self.chance.below(names.len() as u64) as usize].to_owned() // there are core nodes
    }

    fn between(&self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.chance.below(most - least))
    }
}

impl Lab {
    /// The faults of one node's disk and clock.
    fn faults(&self, node: &str) -> Result<Faults, LabError> {
        let status = self.status()?;
        let found = status.nodes.into_iter().find(|it| it.node == node);
        Ok(found.map(|it| it.faults).unwrap_or_default())
    }
}
