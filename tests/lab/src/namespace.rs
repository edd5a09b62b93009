//! A network namespace of one host, and a thread that lives in it: sockets it opens and processes it
//! starts are that host's.

use std::{
    fs::File,
    net::Ipv4Addr,
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tappers::{Interface, linux::Tun};

use crate::error::{LabError, io_error};

/// Every namespace of a laboratory begins so, followed by the id of the process it belongs to.
const PREFIX: &str = "guitai-lab-";
/// The wire to the emulator in every namespace.
const WIRE: &str = "wan0";

/// What a thread in a namespace is asked to do.
type Task = Box<dyn FnOnce() + Send>;

/// One host's network; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    inside: Option<Inside>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The way to the thread in a namespace. The thread ends when all are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    name: Arc<str>,
    tasks: mpsc::Sender<Task>,
}

impl Inside {
    /// Runs `task` on the thread in the namespace.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LabError> {
        let gone = || LabError::NamespaceGone {
            name: self.name.to_string(),
        };
        let (answer, answered) = mpsc::sync_channel(1);
        let task: Task = Box::new(move || drop(answer.send(task())));
        self.tasks.send(task).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())
    }
}

impl Namespace {
    /// Makes the namespace of `node` with this address on its wire; gives the emulator's end, too.
    pub(crate) fn create(node: &str, address: Ipv4Addr) -> Result<(Self, Tun), LabError> {
        let name = format!("{PREFIX}{}-{node}", std::process::id());
        ip(&["netns", "add", &name])?;
        let mut namespace = Self {
            name,
            inside: None,
            thread: None,
        };
        let inside = namespace.enter()?;
        let tun = inside.run(|| {
            let tun = Tun::create_named(Interface::new(WIRE)?)?;
            tun.set_nonblocking(true)?;
            Ok(tun)
        });
        let tun = tun?.map_err(io_error("make the TUN device of", node))?;
        let at = format!("{address}/8");
        let name = &namespace.name;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "addr", "add", &at, "dev", WIRE])?;
        ip(&["-n", name, "link", "set", WIRE, "mtu", "1500", "up"])?;
        Ok((namespace, tun))
    }

    /// Its name, for `ip netns exec`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The way in; `None` never, until it is dropped.
    pub(crate) const fn inside(&self) -> Option<&Inside> {
        self.inside.as_ref()
    }

    /// Runs `work` on a thread of its own in the namespace: it may take long, and what else is done there goes on.
    pub(crate) fn visit<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let at = self.path();
        let file = File::open(&at).map_err(io_error("open", &at))?;
        let gone = || LabError::NamespaceGone {
            name: self.name.clone(),
        };
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), kind).map(|()| work())
            });
            let done = thread.join().map_err(|_| gone())?;
            done.map_err(|error| io_error("move into", &at)(error.into()))
        })
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn enter(&mut self) -> Result<Inside, LabError> {
        let at = self.path();
        let file = File::open(&at).map_err(io_error("open", &at))?;
        let (tasks, todo) = mpsc::channel::<Task>();
        let (entered, answer) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("lab-host".to_owned());
        let thread = thread.spawn(move || {
            // A namespace is a thread's: the rest of the process stays where it is.
            let kind = Some(LinkNameSpaceType::Network);
            let moved = move_into_link_name_space(file.as_fd(), kind);
            let is_in = moved.is_ok();
            entered.send(moved).ok();
            if is_in {
                todo.into_iter().for_each(|task| task());
            }
        });
        self.thread = Some(thread.map_err(io_error("start a thread for", &at))?);
        let moved = answer.recv().unwrap_or(Err(rustix::io::Errno::CANCELED));
        moved.map_err(|error| io_error("move into", &at)(error.into()))?;
        let inside = Inside {
            name: self.name.as_str().into(),
            tasks,
        };
        self.inside = Some(inside.clone());
        Ok(inside)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.inside.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        remove(&self.name);
    }
}

/// Namespaces of laboratories whose process is gone: ends what runs in them and removes them.
pub fn sweep() -> Vec<String> {
    let orphans: Vec<String> = all()
        .into_iter()
        .filter(|name| owner(name).is_some_and(|pid| !is_alive(pid)))
        .collect();
    for name in &orphans {
        remove(name);
    }
    orphans
}

/// Namespaces of the laboratory that process `pid` runs or ran.
pub fn of_process(pid: u32) -> Vec<String> {
    let mut names = all();
    names.retain(|name| owner(name) == Some(pid));
    names
}

fn all() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten();
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Kills, by id, what still runs in a namespace of ours, and removes it.
fn remove(name: &str) {
    let pids = Command::new("ip").args(["netns", "pids", name]).output();
    let pids = pids.map(|output| output.stdout).unwrap_or_default();
    for pid in String::from_utf8_lossy(&pids).lines() {
        // Its own threads live there, too; it is not among its orphans.
        if pid.trim() != std::process::id().to_string() {
            drop(Command::new("kill").args(["-KILL", pid.trim()]).status());
        }
    }
    drop(ip(&["netns", "del", name]));
}

fn ip(arguments: &[&str]) -> Result<(), LabError> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("run", "ip (Debian: iproute2)"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Tool {
        line: format!("ip {}", arguments.join(" ")),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
