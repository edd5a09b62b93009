//! A laboratory: brought up from a topology, hurt by methods, taken down by dropping it.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use guitai_cluster::http::ask;
use serde::Serialize;

use crate::{
    doors::{Doors, Tls, Way},
    emulator::Emulator,
    error::{LabError, io_error},
    gateway,
    namespace::{self, Inside, Namespace},
    nodes::{Node, Program, State},
    shim::{self, Faults},
    topology::{AGENT, CUSTOMER, Host, OPERATOR, Topology},
    wan::{DELAY_MAX, Link, Passed, Wan},
};

/// How long a deployment may take to become ready; its processes share two cores with whatever else runs.
const READY_MAX: Duration = Duration::from_secs(180);
/// How often the nodes are looked after.
const KEEP_EVERY: Duration = Duration::from_millis(100);
/// Packets sent to measure one round trip; the shortest counts.
const PROBES: usize = 5;
/// How long a probe is waited for.
const PROBE_MAX: Duration = Duration::from_secs(1);

/// What [`Lab::up`] needs besides a topology.
#[derive(Debug, Clone)]
pub struct Options {
    /// The laboratory's directory; made when absent, removed with the laboratory unless `keep`.
    pub dir: PathBuf,
    /// The `guitai` under test.
    pub binary: PathBuf,
    /// Seed of the WAN's chance.
    pub seed: u64,
    /// Keep the directory.
    pub keep: bool,
}

/// A running laboratory.
#[derive(Debug)]
pub struct Lab {
    topology: Topology,
    options: Options,
    nodes: Arc<Mutex<Vec<Node>>>,
    keeper: Keeper,
    emulator: Option<Emulator>,
    doors: Option<Doors>,
    namespaces: Vec<Namespace>,
}

/// One node as it is now.
#[derive(Debug, Clone, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// Its centre.
    pub centre: String,
    /// What its process does.
    pub state: State,
    /// Its process.
    pub pid: Option<u32>,
    /// How often it ended by itself and was started again.
    pub restarts: u32,
    /// Its address on the WAN.
    pub wan: String,
    /// Its door on this machine.
    pub door: String,
    /// Faults of its disk and clock.
    pub faults: Faults,
}

/// One direction of a link that is not as in a healthy WAN.
#[derive(Debug, Clone, Serialize)]
pub struct LinkStatus {
    /// Sending node.
    pub from: String,
    /// Receiving node.
    pub to: String,
    /// Its settings.
    #[serde(flatten)]
    pub link: Link,
    /// What it has carried.
    pub passed: Passed,
}

/// What is in force.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// All nodes.
    pub nodes: Vec<NodeStatus>,
    /// Links that are not healthy.
    pub links: Vec<LinkStatus>,
    /// What all links together have carried.
    pub passed: Passed,
    /// Seed of the WAN's chance.
    pub seed: u64,
}

impl Lab {
    /// Makes hosts and WAN, founds the deployment and starts its nodes; returns when every door serves.
    ///
    /// # Errors
    /// What could not be made; what was made is taken down again.
    pub fn up(topology: Topology, options: Options) -> Result<Self, LabError> {
        let lab = Self::wired(topology, options)?;
        lab.power_on()?;
        Ok(lab)
    }

    /// Makes hosts and WAN and founds the deployment; every node is off until [`Lab::power_on`].
    ///
    /// # Errors
    /// What could not be made; what was made is taken down again.
    pub fn wired(topology: Topology, options: Options) -> Result<Self, LabError> {
        if !rustix::process::geteuid().is_root() {
            return Err(LabError::NotRoot);
        }
        namespace::sweep();
        let dir = &options.dir;
        std::fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let shim = match shim::build(dir) {
            Ok(library) => Some(library),
            // No compiler: everything but faults of disk and clock still works.
            Err(LabError::Io { .. }) => None,
            Err(other) => return Err(other),
        };
        let program = Program {
            binary: options.binary.clone(),
            data: options.dir.join("data"),
            shim,
        };
        prepare(&topology, &program, dir)?;
        // From here on dropping `lab` takes down what is there.
        let mut lab = Self {
            topology,
            options,
            nodes: Arc::default(),
            keeper: Keeper::default(),
            emulator: None,
            doors: None,
            namespaces: Vec::new(),
        };
        lab.connect(&program)?;
        lab.keeper.keep(Arc::clone(&lab.nodes))?;
        Ok(lab)
    }

    /// Starts every node; returns when every door serves.
    ///
    /// # Errors
    /// A process that does not start, a door that does not serve in time.
    pub fn power_on(&self) -> Result<(), LabError> {
        for node in self.nodes().iter_mut() {
            node.start()?;
        }
        self.wait_ready()
    }

    /// A program on a host, or on a guest's.
    ///
    /// # Errors
    /// A name that is none.
    pub fn command_at(&self, host: &str, program: &Path) -> Result<Command, LabError> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace(host)?.name()]);
        command.arg(program);
        Ok(command)
    }

    /// Runs `work` on a thread in a host's network: sockets that it opens are that host's.
    ///
    /// # Errors
    /// A name that is none; a thread that panicked.
    pub fn visit<T: Send>(
        &self,
        host: &str,
        work: impl FnOnce() -> T + Send,
    ) -> Result<T, LabError> {
        self.namespace(host)?.visit(work)
    }

    /// The hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.topology.hosts
    }

    /// The deployment's data directory, for the product's commands.
    pub fn data(&self) -> PathBuf {
        self.options.dir.join("data")
    }

    /// A command of the product on this deployment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.options.binary);
        command.args(arguments).arg("--data").arg(self.data());
        command
    }

    /// Doors of the edges.
    pub fn edges(&self) -> impl Iterator<Item = &Host> {
        self.hosts().iter().filter(|host| host.is_edge)
    }

    /// Cuts a link named like `A1-A2` or `a1-1`, from left to right only when `one_way`.
    ///
    /// # Errors
    /// A name that is none.
    pub fn cut(&self, link: &str, one_way: bool) -> Result<(), LabError> {
        self.change(link, one_way, |link| link.cut = true)
    }

    /// Makes a link, or all, as healthy as it was at first.
    ///
    /// # Errors
    /// A name that is none.
    pub fn heal(&self, link: Option<&str>) -> Result<(), LabError> {
        let pairs = match link {
            Some(link) => self.pairs(link, false)?,
            None => self.all_pairs(),
        };
        let mut wan = self.emulator()?.wan();
        for (from, to) in pairs {
            wan.set(from, to, self.topology.healthy(from, to));
        }
        Ok(())
    }

    /// Changes the settings of a link.
    ///
    /// # Errors
    /// A name that is none, a delay over [`DELAY_MAX`].
    pub fn change(
        &self,
        link: &str,
        one_way: bool,
        change: impl Fn(&mut Link),
    ) -> Result<(), LabError> {
        let pairs = self.pairs(link, one_way)?;
        let mut wan = self.emulator()?.wan();
        for (from, to) in pairs {
            let Some(mut link) = wan.link(from, to) else {
                continue;
            };
            change(&mut link);
            if u128::from(link.delay_us.saturating_add(link.jitter_us)) > DELAY_MAX.as_micros() {
                let limit = DELAY_MAX.as_secs();
                return Err(LabError::Refused(format!("a delay is at most {limit} s")));
            }
            wan.set(from, to, link);
        }
        Ok(())
    }

    /// Switches off the nodes of a node, centre or city, as a power failure does to their machines:
    /// what they wrote to their disks' caches stays, which a power cut would not grant.
    ///
    /// # Errors
    /// A name that is none.
    pub fn kill(&self, name: &str) -> Result<(), LabError> {
        self.each(name, |node| {
            node.kill();
            Ok(())
        })
    }

    /// Switches them on again.
    ///
    /// # Errors
    /// A name that is none; a process that does not start.
    pub fn start(&self, name: &str) -> Result<(), LabError> {
        self.each(name, Node::start)
    }

    /// Freezes their processes.
    ///
    /// # Errors
    /// A name that is none.
    pub fn pause(&self, name: &str) -> Result<(), LabError> {
        self.each(name, |node| {
            node.pause();
            Ok(())
        })
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// A name that is none.
    pub fn resume(&self, name: &str) -> Result<(), LabError> {
        self.each(name, |node| {
            node.resume();
            Ok(())
        })
    }

    /// Changes the faults of their disks and clocks.
    ///
    /// # Errors
    /// A name that is none; no C compiler to build the shim with.
    pub fn hurt(&self, name: &str, change: impl Fn(&mut Faults)) -> Result<(), LabError> {
        self.each(name, |node| {
            let mut faults = node.faults();
            change(&mut faults);
            node.set_faults(faults)
        })
    }

    /// The shortest of a few round trips between two hosts, measured with datagrams; `None` when none
    /// came back.
    ///
    /// # Errors
    /// A name that is none; sockets that cannot be opened.
    pub fn round_trip(&self, from: &str, to: &str) -> Result<Option<Duration>, LabError> {
        let here = self.probe_socket(from)?;
        let there = self.probe_socket(to)?;
        let broken = |source| io_error("send a probe from", from)(source);
        let target = there.local_addr().map_err(broken)?;
        let mut best: Option<Duration> = None;
        let mut buffer = [0; 64];
        for probe in 0..PROBES {
            let sent = Instant::now();
            let mark = probe.to_le_bytes();
            here.send_to(&mark, target).map_err(broken)?;
            let Ok((_, back)) = there.recv_from(&mut buffer) else {
                continue;
            };
            drop(there.send_to(&mark, back));
            if here.recv_from(&mut buffer).is_ok() {
                let trip = sent.elapsed();
                best = Some(best.map_or(trip, |best| best.min(trip)));
            }
        }
        Ok(best)
    }

    /// What is in force.
    ///
    /// # Errors
    /// Only when the laboratory is not up.
    pub fn status(&self) -> Result<Status, LabError> {
        let nodes = self.nodes();
        let nodes = self
            .hosts()
            .iter()
            .zip(nodes.iter())
            .map(|(host, node)| NodeStatus {
                node: host.node.clone(),
                centre: host.centre.clone(),
                state: node.state(),
                pid: node.pid(),
                restarts: node.restarts(),
                wan: host.wan.to_string(),
                door: host.door.to_string(),
                faults: node.faults(),
            });
        let wan = self.emulator()?.wan();
        let mut links = Vec::new();
        let mut passed = Passed::default();
        for (from, to) in self.all_pairs() {
            let (link, one) = (wan.link(from, to), wan.passed(from, to));
            passed.packets += one.packets;
            passed.bytes += one.bytes;
            passed.dropped += one.dropped;
            if let Some(link) = link.filter(|link| *link != self.topology.healthy(from, to)) {
                let name = |host: usize| self.hosts().get(host).map(|host| host.node.clone());
                links.push(LinkStatus {
                    from: name(from).unwrap_or_default(),
                    to: name(to).unwrap_or_default(),
                    link,
                    passed: one,
                });
            }
        }
        Ok(Status {
            nodes: nodes.collect(),
            links,
            passed,
            seed: self.options.seed,
        })
    }

    /// The way into a host's network.
    pub(crate) fn inside(&self, node: &str) -> Result<Inside, LabError> {
        let inside = self.namespace(node)?.inside();
        inside.cloned().ok_or(LabError::NotRoot)
    }

    fn namespace(&self, node: &str) -> Result<&Namespace, LabError> {
        let index = self.topology.select(node)?.first().copied();
        let namespace = index.and_then(|index| self.namespaces.get(index));
        namespace.ok_or_else(|| LabError::Refused(format!("{node} is not up")))
    }

    fn connect(&mut self, program: &Program) -> Result<(), LabError> {
        let mut tuns = Vec::new();
        let hosts = self.topology.hosts.clone();
        let guests = self.topology.guests.clone();
        let nodes = hosts.iter().map(|host| (host.node.as_str(), host.wan));
        let all = nodes.chain(guests.iter().map(|guest| (guest.name, guest.wan)));
        let all: Vec<_> = all.collect();
        for (name, wan) in &all {
            let (namespace, tun) = Namespace::create(name, *wan)?;
            self.namespaces.push(namespace);
            tuns.push(tun);
        }
        for (host, namespace) in hosts.iter().zip(&self.namespaces) {
            if let Some(inside) = namespace.inside() {
                let node = Node::new(&host.node, program.clone(), inside.clone())?;
                self.nodes().push(node);
            }
        }
        let addresses: Vec<_> = all.iter().map(|(_, wan)| *wan).collect();
        let healthy = |from, to| self.topology.healthy(from, to);
        let wan = Wan::new(&addresses, self.options.seed, healthy);
        self.emulator = Some(Emulator::start(tuns, wan)?);
        self.doors = Some(Doors::open(self.ways()?)?);
        Ok(())
    }

    /// How doors are reached.
    fn ways(&self) -> Result<Vec<Way>, LabError> {
        let mut ways = Vec::new();
        if self.topology.guests.is_empty() {
            for host in self.hosts() {
                ways.push(Way {
                    at: host.door,
                    entry: None,
                    inside: self.inside(&host.node)?,
                    to: host.door,
                    tls: Tls::Plain,
                });
            }
            return Ok(ways);
        }
        let gateways = self.hosts().iter().map(|host| host.wan.to_string());
        let (ends, begins) = gateway::pair(&gateways.collect::<Vec<_>>())?;
        for host in self.hosts() {
            let gateway = SocketAddr::from((host.wan, host.door.port()));
            let (here, operator) = (self.inside(&host.node)?, self.inside(OPERATOR)?);
            let person = self.inside(if host.is_edge { CUSTOMER } else { AGENT })?;
            ways.push(Way {
                at: gateway,
                entry: Some(here.clone()),
                inside: here,
                to: host.door,
                tls: Tls::Ends(ends.clone()),
            });
            for (entry, inside) in [(None, person), (Some(operator.clone()), operator)] {
                let tls = Tls::Begins(begins.clone());
                ways.push(Way {
                    at: host.door,
                    entry,
                    inside,
                    to: gateway,
                    tls,
                });
            }
        }
        Ok(ways)
    }

    /// Every door serves: inner ones answer, and through every edge the catalogue comes from a core.
    fn wait_ready(&self) -> Result<(), LabError> {
        let began = Instant::now();
        for host in self.hosts() {
            let path = if host.is_edge {
                "/api/v1/catalogue"
            } else {
                "/healthz"
            };
            while ask(host.door, "GET", path, "", "").0 != 200 {
                if began.elapsed() > READY_MAX {
                    return Err(LabError::NotReady {
                        what: format!("{} at {}{path}", host.node, host.door),
                        seconds: READY_MAX.as_secs(),
                        log: self
                            .data()
                            .join(&host.node)
                            .join("node.log")
                            .display()
                            .to_string(),
                    });
                }
                std::thread::sleep(KEEP_EVERY);
            }
        }
        Ok(())
    }

    fn each(
        &self,
        name: &str,
        mut act: impl FnMut(&mut Node) -> Result<(), LabError>,
    ) -> Result<(), LabError> {
        let chosen = self.topology.select(name)?;
        let mut nodes = self.nodes();
        for index in chosen {
            if let Some(node) = nodes.get_mut(index) {
                act(node)?;
            }
        }
        Ok(())
    }

    fn pairs(&self, link: &str, one_way: bool) -> Result<Vec<(usize, usize)>, LabError> {
        let (left, right) = self.topology.sides(link)?;
        let there = left
            .iter()
            .flat_map(|from| right.iter().map(|to| (*from, *to)));
        let mut pairs: Vec<_> = there.collect();
        if !one_way {
            let back: Vec<_> = pairs.iter().map(|(from, to)| (*to, *from)).collect();
            pairs.extend(back);
        }
        Ok(pairs)
    }

    fn all_pairs(&self) -> Vec<(usize, usize)> {
        let count = self.hosts().len();
        (0..count)
            .flat_map(|from| (0..count).map(move |to| (from, to)))
            .collect()
    }

    fn probe_socket(&self, node: &str) -> Result<UdpSocket, LabError> {
        let index = self.topology.select(node)?;
        let index = index.first().copied().unwrap_or_default();
        let (Some(host), Some(namespace)) = (self.hosts().get(index), self.namespaces.get(index))
        else {
            return Err(LabError::Refused(format!("{node} is not up")));
        };
        let wan = host.wan;
        let open = move || {
            let socket = UdpSocket::bind((wan, 0))?;
            socket.set_read_timeout(Some(PROBE_MAX))?;
            Ok(socket)
        };
        let inside = namespace.inside().ok_or(LabError::NotRoot)?;
        inside
            .run(open)?
            .map_err(io_error("open a socket of", node))
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emulator(&self) -> Result<&Emulator, LabError> {
        let gone = || LabError::Refused("the laboratory is not up".to_owned());
        self.emulator.as_ref().ok_or_else(gone)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.keeper.end();
        self.nodes().iter_mut().for_each(Node::ask_to_stop);
        self.nodes().iter_mut().for_each(Node::stopped);
        self.nodes().clear();
        drop(self.doors.take());
        drop(self.emulator.take());
        self.namespaces.clear();
        if !self.options.keep {
            drop(std::fs::remove_dir_all(&self.options.dir));
        }
    }
}

/// Starts again what ended by itself, ten times a second.
#[derive(Debug, Default)]
struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Keeper {
    fn keep(&mut self, nodes: Arc<Mutex<Vec<Node>>>) -> Result<(), LabError> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new().name("lab-keeper".to_owned());
        let thread = thread.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
                nodes.iter_mut().for_each(Node::keep);
                drop(nodes);
                std::thread::sleep(KEEP_EVERY);
            }
        });
        self.thread = Some(thread.map_err(io_error("start", "the keeper of the nodes"))?);
        Ok(())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Founds the deployment with the product's own command.
fn prepare(topology: &Topology, program: &Program, dir: &Path) -> Result<(), LabError> {
    let profile = dir.join("profile.toml");
    std::fs::write(&profile, &topology.profile).map_err(io_error("write", &profile))?;
    let output = Command::new(&program.binary)
        .args(["up", "--prepare", "--json", "--profile"])
        .arg(&profile)
        .arg("--data")
        .arg(&program.data)
        .stdin(Stdio::null())
        .output()
        .map_err(io_error("run", &program.binary))?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Tool {
        line: "guitai up --prepare".to_owned(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Counts what is in force in words, for a person.
pub(crate) fn words(status: &Status) -> BTreeMap<String, String> {
    let mut faults = BTreeMap::new();
    for node in &status.nodes {
        let mut parts = Vec::new();
        let is = node.faults;
        if node.state != State::Running {
            parts.push(format!("{:?}", node.state).to_lowercase());
        }
        if is.clock_ms != 0 {
            parts.push(format!("clock {:+} ms", is.clock_ms));
        }
        if is.drift_ppm != 0 {
            parts.push(format!("drift {:+} ppm", is.drift_ppm));
        }
        if let Some(after) = is.fail_sync_after {
            parts.push(format!("syncs fail after {after}"));
        }
        if is.slow_ms > 0 {
            parts.push(format!("syncs take {} ms more", is.slow_ms));
        }
        if is.full {
            parts.push("disk full".to_owned());
        }
        if !parts.is_empty() {
            faults.insert(node.node.clone(), parts.join(", "));
        }
    }
    faults
}
