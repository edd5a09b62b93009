//! The nodes' processes: each starts in its host's namespace, and as systemd does in a real deployment,
//! one that ends by itself is started again. One that was switched off stays off.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::{
    error::{LabError, io_error},
    namespace::Inside,
    shim::{Control, Faults},
};

/// Pause before a node that ended by itself is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// How long a node may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(8);

/// What a node's process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It ended by itself and is about to be started again.
    Ended,
    /// It was switched off.
    Off,
}

/// Where nodes find what they need.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The `guitai` under test.
    pub(crate) binary: PathBuf,
    /// The deployment's data directory.
    pub(crate) data: PathBuf,
    /// The shim, where there is a C compiler.
    pub(crate) shim: Option<PathBuf>,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    program: Program,
    inside: Inside,
    child: Option<(Child, Option<ChildStdin>)>,
    /// Whether it shall run.
    on: bool,
    paused: bool,
    /// When it ended by itself.
    ended: Option<Instant>,
    restarts: u32,
    control: Control,
}

impl Node {
    /// A node that is off.
    pub(crate) fn new(name: &str, program: Program, inside: Inside) -> Result<Self, LabError> {
        let control = program.data.join(format!("{name}.faults"));
        Ok(Self {
            name: name.to_owned(),
            program,
            inside,
            child: None,
            on: false,
            paused: false,
            ended: None,
            restarts: 0,
            control: Control::create(control)?,
        })
    }

    pub(crate) const fn state(&self) -> State {
        match (&self.child, self.on) {
            (Some(_), _) if self.paused => State::Paused,
            (Some(_), _) => State::Running,
            (None, true) => State::Ended,
            (None, false) => State::Off,
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|(child, _)| child.id())
    }

    pub(crate) const fn restarts(&self) -> u32 {
        self.restarts
    }

    pub(crate) const fn faults(&self) -> Faults {
        self.control.faults()
    }

    /// Puts disk and clock faults in force.
    pub(crate) fn set_faults(&mut self, faults: Faults) -> Result<(), LabError> {
        if self.program.shim.is_none() && faults != Faults::default() {
            let why = "faults of disk and clock need a C compiler (Debian: gcc, libc6-dev)";
            return Err(LabError::Refused(why.to_owned()));
        }
        self.control.set(faults)
    }

    /// Switches it on.
    pub(crate) fn start(&mut self) -> Result<(), LabError> {
        self.on = true;
        if self.child.is_some() {
            return Ok(());
        }
        let dir = self.program.data.join(&self.name);
        let mut command = self.command(&dir)?;
        // A child is in the namespace of the thread that starts it.
        let spawned = self.inside.run(move || command.spawn())?;
        let mut child = spawned.map_err(io_error("start node", &self.name))?;
        let input = child.stdin.take();
        self.child = Some((child, input));
        self.paused = false;
        self.ended = None;
        Ok(())
    }

    /// Switches it off as a power failure of its machine does.
    pub(crate) fn kill(&mut self) {
        self.on = false;
        if let Some((mut child, _)) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Asks it to stop; [`Node::kill`] ends what does not.
    pub(crate) fn ask_to_stop(&mut self) {
        self.on = false;
        self.resume();
        if let Some((_, input)) = &mut self.child {
            drop(input.take());
        }
    }

    /// Waits for a stop that was asked for before.
    pub(crate) fn stopped(&mut self) {
        let asked = Instant::now();
        while let Some((child, _)) = &mut self.child {
            if asked.elapsed() > STOP_MAX || !matches!(child.try_wait(), Ok(None)) {
                self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Freezes it, as a machine that hangs.
    pub(crate) fn pause(&mut self) {
        self.paused = self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&mut self) {
        if self.paused && self.signal(Signal::CONT) {
            self.paused = false;
        }
    }

    /// Starts it again when it ended by itself and the pause is over.
    pub(crate) fn keep(&mut self) {
        if let Some((child, _)) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            self.child = None;
            self.ended = Some(Instant::now());
        }
        let due = self
            .ended
            .is_some_and(|ended| ended.elapsed() >= RESTART_PAUSE);
        if self.on && self.child.is_none() && due {
            self.restarts += 1;
            self.ended = Some(Instant::now());
            // What cannot be started now is tried again after the next pause.
            drop(self.start());
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    fn command(&self, dir: &Path) -> Result<Command, LabError> {
        let log = dir.join("node.log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(io_error("open", &log))?;
        let errors = log.try_clone().map_err(io_error("open", dir))?;
        let mut command = Command::new(&self.program.binary);
        command
            .args(["run", "--supervised", "--config"])
            .arg(dir.join("node.toml"))
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors);
        if let Some(shim) = &self.program.shim {
            command
                .env("LD_PRELOAD", shim)
                .env("LAB_ROOT", dir)
                .env("LAB_CONTROL", self.control.path());
        }
        Ok(command)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
