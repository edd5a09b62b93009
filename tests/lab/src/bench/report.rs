//! The figures of a comparison, for people and for programs.

use std::path::Path;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use super::{Cell, Sample, clusters::System};
use crate::measure::{load_average, median, processor, unix_seconds};

/// Everything a comparison found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// The processor.
    pub processor: String,
    /// Its threads.
    pub threads: usize,
    /// The peer's version.
    pub etcd: String,
    /// Load averages before.
    pub load_before: String,
    /// And after.
    pub load_after: String,
    /// Every measurement, in the order they were made.
    pub samples: Vec<Sample>,
}

impl Report {
    pub(super) fn begin(etcd: &Path) -> Self {
        let version = std::process::Command::new(etcd).arg("--version").output();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let version = version.unwrap_or_default();
        let line = version.lines().next().unwrap_or("?");
        Self {
            began: unix_seconds(),
            processor: processor(),
            threads: std::thread::available_parallelism().map_or(0, usize::from),
            etcd: line.replace("etcd Version: ", ""),
            load_before: load_average(),
            load_after: String::new(),
            samples: Vec::new(),
        }
    }

    pub(super) fn end(&mut self) {
        self.load_after = load_average();
    }

    pub(super) fn add(&mut self, sample: &Sample, turn: u32, turns: u32) {
        let figure = match (&sample.load, sample.gap_ms) {
            (Some(load), _) => format!(
                "{:.0}/s p50 {:.2} ms p99 {:.2} ms",
                load.per_second, load.p50_ms, load.p99_ms
            ),
            (None, gap) => format!("{:.0} ms", gap.unwrap_or(0.0)),
        };
        let (cell, system) = (name(sample.cell), &sample.system);
        eprintln!(
            "{cell} {turn}/{turns} {system}: {figure} (load {})",
            sample.machine
        );
        self.samples.push(sample.clone());
    }

    /// As a table in Markdown: writes first, interruptions after.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{}, {} threads, etcd {}, load {} before and {} after\n\n",
            self.processor, self.threads, self.etcd, self.load_before, self.load_after
        );
        text += "| cell | system | rounds | writes/s (every round) | median | p50 ms | p99 ms |\n";
        text += "|---|---|---:|---|---:|---:|---:|\n";
        for (cell, system) in self.rows() {
            let loads: Vec<_> = self
                .of(cell, system)
                .filter_map(|it| it.load.as_ref())
                .collect();
            if loads.is_empty() {
                continue;
            }
            let rates: Vec<f64> = loads.iter().map(|load| load.per_second).collect();
            let p50: Vec<f64> = loads.iter().map(|load| load.p50_ms).collect();
            let p99: Vec<f64> = loads.iter().map(|load| load.p99_ms).collect();
            text += &format!(
                "| {} | {} | {} | {} | {:.0} | {:.2} | {:.2} |\n",
                name(cell),
                system.name(),
                loads.len(),
                list(&rates),
                median(&rates),
                median(&p50),
                median(&p99)
            );
        }
        text += "\n| cell | system | runs | longest time without an acknowledgement, ms | median | worst |\n";
        text += "|---|---|---:|---|---:|---:|\n";
        for (cell, system) in self.rows() {
            let gaps: Vec<f64> = self.of(cell, system).filter_map(|it| it.gap_ms).collect();
            if gaps.is_empty() {
                continue;
            }
            text += &format!(
                "| {} | {} | {} | {} | {:.0} | {:.0} |\n",
                name(cell),
                system.name(),
                gaps.len(),
                list(&gaps),
                median(&gaps),
                gaps.iter().copied().fold(0.0, f64::max)
            );
        }
        text
    }

    fn rows(&self) -> impl Iterator<Item = (Cell, System)> {
        let cells = Cell::value_variants().iter();
        cells.flat_map(|cell| System::BOTH.map(|system| (*cell, system)))
    }

    fn of(&self, cell: Cell, system: System) -> impl Iterator<Item = &Sample> {
        let all = self.samples.iter();
        all.filter(move |sample| sample.cell == cell && sample.system == system.name())
    }
}

fn list(numbers: &[f64]) -> String {
    let numbers = numbers.iter().map(|number| format!("{number:.0}"));
    numbers.collect::<Vec<_>>().join(" ")
}

fn name(cell: Cell) -> String {
    let value = cell.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
