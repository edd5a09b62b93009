//! A laboratory with an operator in it: brought up, looked at, waited for, brought up anew.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Place, guitai::Operator, load::Target, pulse::Lane};
use crate::{Lab, LabError, Options, Topology, error::io_error};

/// How long a laboratory may take to be whole again before it is made anew.
pub(crate) const WHOLE_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// A node that is behind by more entries than this has not caught up.
const LAG_MAX: u64 = 64;

/// Where a measurement finds things.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) seed: u64,
    pub(crate) port: u16,
}

/// A laboratory under measurement.
pub(crate) struct Stage {
    at: Site,
    pub(crate) lab: Lab,
    pub(crate) operator: Operator,
    pub(crate) runtime: Runtime,
    /// The centre that leads when all is well; any of the first city unless it was chosen.
    home: Option<String>,
}

impl Stage {
    /// Brings it up and waits until it is whole.
    pub(crate) fn up(at: &Site) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(io_error("start", "the clients"))?;
        let lab = bring_up(at)?;
        let operator = Operator::read(&lab.data(), "operator")?;
        let at = at.clone();
        let stage = Self {
            at,
            lab,
            operator,
            runtime,
            home: None,
        };
        stage.wait_whole()?;
        Ok(stage)
    }

    /// The same, made anew.
    pub(crate) fn anew(self) -> Result<Self, LabError> {
        let (at, home) = (self.at.clone(), self.home.clone());
        drop(self);
        let stage = Self::up(&at)?;
        match home {
            Some(home) => stage.led_from(&home),
            None => Ok(stage),
        }
    }

    /// The same with that centre leading from now on, whenever it can: a planned switch says so.
    pub(crate) fn led_from(mut self, centre: &str) -> Result<Self, LabError> {
        self.approved(&["dr", "failback", "--to", centre])?;
        self.home = Some(centre.to_owned());
        self.wait_whole()?;
        Ok(self)
    }

    /// Proposes a run, has two officers approve it and waits for its end.
    pub(crate) fn approved(&self, words: &[&str]) -> Result<(), LabError> {
        let run = self.guitai(&[words, &["--no-wait"]].concat())?;
        let id = run["id"].as_str().unwrap_or_default().to_owned();
        for officer in ["chenjing", "liuyang"] {
            self.guitai(&["dr", "approve", &id, "--officer", officer])?;
        }
        let run = self.guitai(&["dr", "show", &id, "--wait"])?;
        if run["verdict"]["green"] == true {
            return Ok(());
        }
        Err(LabError::Refused(format!("{words:?} is not green: {run}")))
    }

    /// Doors of the core nodes of a centre, or of all.
    pub(crate) fn doors(&self, centre: Option<&str>) -> Vec<Place> {
        let hosts = self.lab.hosts().iter();
        hosts
            .filter(|host| !host.is_edge && centre.is_none_or(|centre| host.centre == centre))
            .map(|host| Place::here(host.door))
            .collect()
    }

    /// Names of the centres.
    pub(crate) fn centres(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for host in self.lab.hosts() {
            if !all.contains(&host.centre) {
                all.push(host.centre.clone());
            }
        }
        all
    }

    /// A writer of each class in every centre, at its core nodes' doors.
    pub(crate) fn lanes(&self) -> Vec<Lane> {
        let centres = self.centres();
        let of = |centre: &String| {
            let doors = self.doors(Some(centre));
            [("sync", true), ("fast", false)].map(|(class, sync)| Lane {
                name: format!("m-{centre}-{class}"),
                targets: doors
                    .iter()
                    .map(|door| Target::Guitai(door.clone(), self.operator.clone()))
                    .collect(),
                sync,
            })
        };
        centres.iter().flat_map(of).collect()
    }

    /// The status as the leader sees it, if there is one.
    pub(crate) fn status(&self) -> Option<Value> {
        self.runtime.block_on(async {
            for door in self.doors(None) {
                let status = self.operator.status(&door).await;
                if let Some(status) = status.filter(|status| !status["leader"].is_null()) {
                    return Some(status);
                }
            }
            None
        })
    }

    /// The node that leads.
    pub(crate) fn leader(&self) -> Option<String> {
        let status = self.status()?;
        let nodes = status["nodes"].as_array()?.iter();
        let leader = nodes.into_iter().find(|node| node["leader"] == true)?;
        Some(leader["member"]["name"].as_str()?.to_owned())
    }

    /// Waits until it is as at first: a node of the home centre, or of the first city, leads, every core node has what the
    /// leader has, and the guard city can prove that nothing is missing there.
    pub(crate) fn wait_whole(&self) -> Result<(), LabError> {
        let began = Instant::now();
        let mut missing = "a status".to_owned();
        while began.elapsed() < WHOLE_MAX {
            match self.status() {
                Some(status) => match self.lacks(&status) {
                    None => return Ok(()),
                    Some(what) => missing = what,
                },
                None => missing = "a leader".to_owned(),
            }
            std::thread::sleep(LOOK);
        }
        Err(LabError::NotReady {
            what: format!("the laboratory is not whole: {missing}"),
            seconds: WHOLE_MAX.as_secs(),
            log: self.lab.data().display().to_string(),
        })
    }

    /// What it still lacks to be whole.
    fn lacks(&self, status: &Value) -> Option<String> {
        let hosts = self.lab.hosts();
        let city = hosts.first().map(|host| &host.city);
        let applied = status["applied"].as_u64().unwrap_or(u64::MAX);
        let nodes = status["nodes"].as_array()?;
        for node in nodes {
            let member = &node["member"];
            let name = member["name"].as_str().unwrap_or("?");
            if node["leader"] == true {
                let host = hosts.iter().find(|host| host.node == name);
                let is_home = host.is_some_and(|host| match &self.home {
                    Some(home) => host.centre == *home,
                    None => Some(&host.city) == city,
                });
                if !is_home {
                    return Some(format!("{name} leads"));
                }
                continue;
            }
            let is_core = member["voice"] != "none";
            let matched = node["matched"].as_u64().unwrap_or(0);
            if is_core && matched.saturating_add(LAG_MAX) < applied {
                return Some(format!("{name} has {matched} of {applied}"));
            }
            if node["up"] != true {
                return Some(format!("{name} is not heard"));
            }
        }
        let sync = &status["sync"];
        if sync["state"]["mode"]["is"] != "sync" {
            return Some("the sync lease".to_owned());
        }
        let guards = sync["guards"].as_array();
        let proves = guards.is_some_and(|all| all.iter().any(|it| it["proves_ms"] != 0));
        (!proves).then(|| "a guard that proves".to_owned())
    }

    /// Runs a command of the product on the deployment and reads its JSON.
    pub(crate) fn guitai(&self, words: &[&str]) -> Result<Value, LabError> {
        let output = self
            .lab
            .command(words)
            .arg("--json")
            .output()
            .map_err(io_error("run", &self.at.binary))?;
        serde_json::from_slice(&output.stdout).map_err(|_| LabError::Tool {
            line: format!("guitai {}", words.join(" ")),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn bring_up(at: &Site) -> Result<Lab, LabError> {
    if at.dir.exists() {
        std::fs::remove_dir_all(&at.dir).map_err(io_error("remove", &at.dir))?;
    }
    let options = Options {
        dir: at.dir.clone(),
        binary: at.binary.clone(),
        seed: at.seed,
        keep: false,
    };
    Lab::up(Topology::named("2l3c", Some(at.port))?, options)
}

/// Reads a file of one JSON value a line; a last line that is not whole was being written when the
/// measurement was killed.
pub(crate) fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> Vec<T> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines();
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
