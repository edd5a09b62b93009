//! The two clusters that are measured: on loopback, or in the namespaces of one laboratory.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;

use crate::{
    Lab, LabError, Options, Topology,
    error::io_error,
    measure::{Place, etcd::Putter, guitai::Operator, load::Target, pulse::Lane},
    namespace::Inside,
};

/// How long a cluster may take until all its nodes take part.
const WHOLE_MAX: Duration = Duration::from_secs(90);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Ports on loopback: doors and mesh of ours, clients and peers of etcd.
const DOOR_PORT: u16 = 24_600;
const MESH_PORT: u16 = 24_601;
const CLIENT_PORT: u16 = 24_602;
const PEER_PORT: u16 = 24_603;
/// The centres of a cluster on loopback, a node in each.
const CENTRES: [&str; 3] = ["a1", "a2", "a3"];
/// Nodes of the demo's profile that vote: 2:2:1.
const VOTERS: [&str; 5] = ["a1-1", "a1-2", "a2-1", "a2-2", "b-1"];
/// An edge, without which a profile is refused.
const EDGE: &str = "edge-a1";

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    /// Ours.
    Guitai,
    /// The peer.
    Etcd,
}

impl System {
    pub(crate) const BOTH: [Self; 2] = [Self::Guitai, Self::Etcd];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Guitai => "guitai",
            Self::Etcd => "etcd",
        }
    }
}

/// How long nodes wait before they elect another leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timers {
    /// What each does unless told otherwise: ours stands after 600 to 800 ms, etcd after 1000 to 2000.
    Default,
    /// etcd 20/200, which stands after 200 to 400 ms; ours 20/41/200, which stands after 241 to 400.
    Equal,
}

impl Timers {
    /// Heartbeat and election timeout of etcd.
    const fn etcd(self) -> (u64, u64) {
        match self {
            Self::Default => (100, 1_000),
            Self::Equal => (20, 200),
        }
    }

    /// Heartbeat, least and most of ours.
    const fn guitai(self) -> (u64, u64, u64) {
        match self {
            Self::Default => (50, 200, 400),
            Self::Equal => (20, 41, 200),
        }
    }
}

/// How a process is started.
#[derive(Debug, Clone)]
struct Launch {
    words: Vec<String>,
    log: PathBuf,
    inside: Option<Inside>,
}

#[derive(Debug)]
enum Power {
    /// A child of this process; ours ends with its standard input.
    Own(Launch, Option<(Child, Option<ChildStdin>)>),
    /// A node of the laboratory.
    Lab,
}

#[derive(Debug)]
struct Node {
    name: String,
    centre: String,
    place: Place,
    power: Power,
}

/// Both clusters.
pub(crate) struct Pair {
    runtime: Runtime,
    operator: Operator,
    data: PathBuf,
    binary: PathBuf,
    guitai: Vec<Node>,
    etcd: Vec<Node>,
    lab: Option<Lab>,
    dir: PathBuf,
}

impl Pair {
    /// Three nodes each on loopback.
    pub(crate) fn local(
        binary: &Path,
        etcd: &Path,
        dir: &Path,
        timers: Timers,
    ) -> Result<Self, LabError> {
        clean(dir)?;
        let profile = dir.join("profile.toml");
        fs::write(&profile, local_profile(timers)?).map_err(io_error("write", &profile))?;
        let data = dir.join("data");
        let output = Command::new(binary)
            .args(["up", "--prepare", "--json", "--profile"])
            .args([&profile, Path::new("--data"), &data])
            .output()
            .map_err(io_error("run", binary))?;
        if !output.status.success() {
            return Err(LabError::Tool {
                line: "guitai up --prepare".to_owned(),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        let node = |(number, centre): (u8, &&str)| {
            let name = format!("{centre}-1");
            let home = data.join(&name);
            let words = ["run", "--supervised", "--config"].map(str::to_owned);
            let config = home.join("node.toml").display().to_string();
            let words = [
                vec![binary.display().to_string()],
                words.to_vec(),
                vec![config],
            ];
            let launch = Launch {
                words: words.concat(),
                log: home.join("node.log"),
                inside: None,
            };
            Node {
                name,
                centre: (*centre).to_owned(),
                place: Place::here(door(number, DOOR_PORT)),
                power: Power::Own(launch, None),
            }
        };
        let guitai = (1..).zip(&CENTRES).map(node).collect();
        let peers: Vec<_> = (1..)
            .zip(&CENTRES)
            .map(|(number, centre)| (format!("{centre}-1"), *centre, address(number), None))
            .collect();
        let etcd = etcd_nodes(etcd, dir, timers, &peers);
        Self::start_all(binary, dir, data, guitai, etcd, None)
    }

    /// Five nodes each, 2:2:1, in the namespaces of one laboratory.
    pub(crate) fn wan(binary: &Path, etcd: &Path, dir: &Path) -> Result<Self, LabError> {
        clean(dir)?;
        let profile = dir.join("voters.toml");
        fs::write(&profile, wan_profile()?).map_err(io_error("write", &profile))?;
        let path = profile.display().to_string();
        let options = Options {
            dir: dir.join("lab"),
            binary: binary.to_owned(),
            seed: 1,
            keep: false,
        };
        let lab = Lab::up(Topology::named(&path, Some(DOOR_PORT))?, options)?;
        let (mut guitai, mut peers) = (Vec::new(), Vec::new());
        for host in lab.hosts().iter().filter(|host| !host.is_edge) {
            let inside = lab.inside(&host.node)?;
            guitai.push(Node {
                name: host.node.clone(),
                centre: host.centre.clone(),
                place: Place {
                    at: host.door,
                    inside: Some(inside.clone()),
                },
                power: Power::Lab,
            });
            peers.push((
                host.node.clone(),
                host.centre.clone(),
                host.wan,
                Some(inside),
            ));
        }
        let peers: Vec<_> = peers
            .iter()
            .map(|(name, centre, wan, inside)| {
                (name.clone(), centre.as_str(), *wan, inside.clone())
            })
            .collect();
        let etcd = etcd_nodes(etcd, dir, Timers::Default, &peers);
        let data = lab.data();
        Self::start_all(binary, dir, data, guitai, etcd, Some(lab))
    }

    fn start_all(
        binary: &Path,
        dir: &Path,
        data: PathBuf,
        guitai: Vec<Node>,
        etcd: Vec<Node>,
        lab: Option<Lab>,
    ) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(io_error("start", "the clients"))?;
        let mut pair = Self {
            runtime,
            operator: Operator::read(&data, "operator")?,
            data,
            binary: binary.to_owned(),
            guitai,
            etcd,
            lab,
            dir: dir.to_owned(),
        };
        for system in System::BOTH {
            for node in 0..pair.nodes(system).len() {
                pair.start(system, node)?;
            }
        }
        for system in System::BOTH {
            pair.wait_whole(system)?;
        }
        Ok(pair)
    }

    /// Runs a client's work to its end.
    pub(crate) fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Which node leads.
    pub(crate) fn leader(&self, system: System) -> Result<usize, LabError> {
        let began = Instant::now();
        while began.elapsed() < WHOLE_MAX {
            if let Some(leader) = self.wait_for(self.look(system)).0 {
                return Ok(leader);
            }
            std::thread::sleep(LOOK);
        }
        Err(self.not_whole(system))
    }

    /// Where clients of that node write.
    pub(crate) fn target(&self, system: System, node: usize) -> Result<Target, LabError> {
        let node = self.nodes(system).get(node);
        let place = node.map(|node| node.place.clone());
        let place = place.ok_or_else(|| LabError::Refused("there is no such node".to_owned()))?;
        Ok(match system {
            System::Guitai => Target::Guitai(place, self.operator.clone()),
            System::Etcd => Target::Etcd(place),
        })
    }

    /// A writer at every node.
    pub(crate) fn lanes(&self, system: System) -> Result<Vec<Lane>, LabError> {
        let nodes = self.nodes(system).iter().enumerate();
        nodes
            .map(|(index, node)| {
                Ok(Lane {
                    name: format!("gap-{}", node.name),
                    targets: vec![self.target(system, index)?],
                    sync: false,
                })
            })
            .collect()
    }

    /// Nodes of the centre of that node.
    pub(crate) fn centre_of(&self, system: System, node: usize) -> Vec<usize> {
        let nodes = self.nodes(system);
        let centre = nodes.get(node).map(|node| node.centre.clone());
        let all = nodes.iter().enumerate();
        all.filter(|(_, node)| Some(&node.centre) == centre.as_ref())
            .map(|(index, _)| index)
            .collect()
    }

    /// Hands over leadership by order, to a node of the next centre.
    pub(crate) fn transfer(&self, system: System, leader: usize) -> Result<(), LabError> {
        let to = (leader + 1) % self.nodes(system).len();
        self.transfer_to(system, leader, to)
    }

    fn transfer_to(&self, system: System, leader: usize, to: usize) -> Result<(), LabError> {
        match system {
            System::Guitai => self.switch(to),
            System::Etcd => self.move_leader(leader, to),
        }
    }

    /// Kills a node's process.
    pub(crate) fn kill(&mut self, system: System, node: usize) -> Result<(), LabError> {
        let lab = self.lab.as_ref();
        let nodes = match system {
            System::Guitai => &mut self.guitai,
            System::Etcd => &mut self.etcd,
        };
        let Some(node) = nodes.get_mut(node) else {
            return Ok(());
        };
        match (&mut node.power, lab) {
            (Power::Own(_, child), _) => {
                end(child);
                Ok(())
            }
            (Power::Lab, Some(lab)) => lab.kill(&node.name),
            (Power::Lab, None) => Ok(()),
        }
    }

    /// Starts it.
    pub(crate) fn start(&mut self, system: System, node: usize) -> Result<(), LabError> {
        let lab = self.lab.as_ref();
        let nodes = match system {
            System::Guitai => &mut self.guitai,
            System::Etcd => &mut self.etcd,
        };
        let Some(node) = nodes.get_mut(node) else {
            return Ok(());
        };
        match (&mut node.power, lab) {
            (Power::Own(launch, child), _) => {
                *child = Some(launch.start()?);
                Ok(())
            }
            (Power::Lab, Some(lab)) => lab.start(&node.name),
            (Power::Lab, None) => Ok(()),
        }
    }

    /// Cuts a link of the laboratory.
    pub(crate) fn cut(&self, link: &str) -> Result<(), LabError> {
        self.lab.as_ref().map_or(Ok(()), |lab| lab.cut(link, false))
    }

    /// Heals all links.
    pub(crate) fn heal(&self) -> Result<(), LabError> {
        self.lab.as_ref().map_or(Ok(()), |lab| lab.heal(None))
    }

    /// Has a node of the first centre lead.
    pub(crate) fn lead_from_first_centre(&self, system: System) -> Result<(), LabError> {
        let began = Instant::now();
        while began.elapsed() < WHOLE_MAX {
            let leader = self.leader(system)?;
            let nodes = self.nodes(system);
            let first = nodes.first().map(|node| &node.centre);
            if nodes.get(leader).map(|node| &node.centre) == first {
                return Ok(());
            }
            // It may lose the lead meanwhile; then it is looked for again.
            drop(self.transfer_to(system, leader, 0));
            std::thread::sleep(LOOK * 4);
        }
        Err(self.not_whole(system))
    }

    /// Waits until all nodes take part and have what the leader has.
    pub(crate) fn wait_whole(&self, system: System) -> Result<(), LabError> {
        let began = Instant::now();
        while began.elapsed() < WHOLE_MAX {
            if let (Some(_), true) = self.wait_for(self.look(system)) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err(self.not_whole(system))
    }

    /// The leader, and whether all nodes take part.
    async fn look(&self, system: System) -> (Option<usize>, bool) {
        let (mut leader, mut up) = (None, 0);
        let nodes = self.nodes(system);
        for (index, node) in nodes.iter().enumerate() {
            match system {
                System::Guitai => {
                    let Some(status) = self.operator.status(&node.place).await else {
                        continue;
                    };
                    up += 1;
                    let named = status["nodes"].as_array().into_iter().flatten();
                    let leads = named.into_iter().find(|node| node["leader"] == true);
                    let name = leads.and_then(|node| node["member"]["name"].as_str());
                    leader = nodes
                        .iter()
                        .position(|node| Some(node.name.as_str()) == name);
                    let caught_up = leader == Some(index) && caught_up(&status);
                    if leader == Some(index) && !caught_up {
                        up = 0;
                    }
                }
                System::Etcd => {
                    let status = async { Putter::connect(&node.place).await?.status().await };
                    if let Some((member, leads)) = status.await {
                        up += usize::from(leads != 0);
                        if member == leads {
                            leader = Some(index);
                        }
                    }
                }
            }
        }
        (leader, up == nodes.len())
    }

    fn move_leader(&self, from: usize, to: usize) -> Result<(), LabError> {
        let nodes = &self.etcd;
        let (Some(from), Some(to)) = (nodes.get(from), nodes.get(to)) else {
            return Ok(());
        };
        let moved = self.wait_for(async {
            let (member, _) = Putter::connect(&to.place).await?.status().await?;
            Putter::connect(&from.place)
                .await?
                .move_leader(member)
                .await
        });
        moved.ok_or_else(|| LabError::Refused("etcd did not hand over".to_owned()))
    }

    /// The product's own planned switch, approved by two officers.
    fn switch(&self, to: usize) -> Result<(), LabError> {
        let centre = self.guitai.get(to).map_or("", |node| &node.centre);
        let run = self.guitai_says(&[
            "dr",
            "run",
            "--scenario",
            "switch",
            "--to",
            centre,
            "--no-wait",
        ])?;
        let id = run["id"].as_str().unwrap_or_default().to_owned();
        for officer in ["chenjing", "liuyang"] {
            self.guitai_says(&["dr", "approve", &id, "--officer", officer])?;
        }
        let run = self.guitai_says(&["dr", "show", &id, "--wait"])?;
        if run["verdict"]["green"] == true {
            return Ok(());
        }
        Err(LabError::Refused(format!("the switch is not green: {run}")))
    }

    fn guitai_says(&self, words: &[&str]) -> Result<serde_json::Value, LabError> {
        let output = Command::new(&self.binary)
            .args(words)
            .arg("--data")
            .args([&self.data, Path::new("--json")])
            .output()
            .map_err(io_error("run", &self.binary))?;
        serde_json::from_slice(&output.stdout).map_err(|_| LabError::Tool {
            line: format!("guitai {}", words.join(" ")),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn nodes(&self, system: System) -> &[Node] {
        match system {
            System::Guitai => &self.guitai,
            System::Etcd => &self.etcd,
        }
    }

    fn not_whole(&self, system: System) -> LabError {
        LabError::NotReady {
            what: system.name().to_owned(),
            seconds: WHOLE_MAX.as_secs(),
            log: self.dir.display().to_string(),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for node in self.guitai.iter_mut().chain(&mut self.etcd) {
            if let Power::Own(_, child) = &mut node.power {
                end(child);
            }
        }
        // They hold doors into the namespaces, and the laboratory waits until those are closed.
        self.guitai.clear();
        self.etcd.clear();
        drop(self.lab.take());
        drop(fs::remove_dir_all(&self.dir));
    }
}

impl Launch {
    fn start(&self) -> Result<(Child, Option<ChildStdin>), LabError> {
        let [program, words @ ..] = self.words.as_slice() else {
            return Err(LabError::Refused("nothing to start".to_owned()));
        };
        let open = File::options().create(true).append(true).open(&self.log);
        let log = open.map_err(io_error("open", &self.log))?;
        let errors = log.try_clone().map_err(io_error("open", &self.log))?;
        let mut command = Command::new(program);
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors);
        let spawned = match &self.inside {
            Some(inside) => inside.run(move || command.spawn())?,
            None => command.spawn(),
        };
        let mut child = spawned.map_err(io_error("start", program))?;
        let input = child.stdin.take();
        Ok((child, input))
    }
}

fn end(child: &mut Option<(Child, Option<ChildStdin>)>) {
    if let Some((mut child, _)) = child.take() {
        drop(child.kill());
        drop(child.wait());
    }
}

/// Every voter has all that the leader has applied.
fn caught_up(status: &serde_json::Value) -> bool {
    let applied = status["applied"].as_u64().unwrap_or(u64::MAX);
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.into_iter().all(|node| {
        node["leader"] == true
            || node["member"]["voice"] == "none"
            || node["matched"]
                .as_u64()
                .is_some_and(|matched| matched + 16 >= applied)
    })
}

fn etcd_nodes(
    program: &Path,
    dir: &Path,
    timers: Timers,
    peers: &[(String, &str, Ipv4Addr, Option<Inside>)],
) -> Vec<Node> {
    let url = |at: Ipv4Addr, port: u16| format!("http://{at}:{port}");
    let all: Vec<String> = peers
        .iter()
        .map(|(name, _, at, _)| format!("{name}={}", url(*at, PEER_PORT)))
        .collect();
    let all = all.join(",");
    let (heartbeat, election) = timers.etcd();
    let node = |(name, centre, at, inside): &(String, &str, Ipv4Addr, Option<Inside>)| {
        let (client, peer) = (url(*at, CLIENT_PORT), url(*at, PEER_PORT));
        let data = dir.join(format!("etcd-{name}")).display().to_string();
        let flags = [
            ("--name", name.clone()),
            ("--data-dir", data),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", all.clone()),
            ("--initial-cluster-state", "new".to_owned()),
            ("--heartbeat-interval", heartbeat.to_string()),
            ("--election-timeout", election.to_string()),
            ("--logger", "zap".to_owned()),
            ("--log-level", "error".to_owned()),
        ];
        let flags = flags
            .into_iter()
            .flat_map(|(flag, value)| [flag.to_owned(), value]);
        let launch = Launch {
            words: [program.display().to_string()]
                .into_iter()
                .chain(flags)
                .collect(),
            log: dir.join(format!("etcd-{name}.log")),
            inside: inside.clone(),
        };
        Node {
            name: name.clone(),
            centre: (*centre).to_owned(),
            place: Place {
                at: SocketAddrV4::new(*at, CLIENT_PORT).into(),
                inside: inside.clone(),
            },
            power: Power::Own(launch, None),
        }
    };
    peers.iter().map(node).collect()
}

const fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, number, 2, 1)
}

fn door(number: u8, port: u16) -> SocketAddr {
    SocketAddrV4::new(address(number), port).into()
}

/// The demo's profile with three nodes in three centres of one city, and these timers.
fn local_profile(timers: Timers) -> Result<String, LabError> {
    let mut profile = demo()?;
    let (heartbeat, least, most) = timers.guitai();
    let raft = format!(
        "heartbeat_ms = {heartbeat}\nelection_min_ms = {least}\nelection_max_ms = {most}\n"
    );
    let mut text = "[[cities]]\nid = \"a\"\nname = { zh = \"甲市\", en = \"City A\" }\n".to_owned();
    let mut nodes = String::new();
    for (number, centre) in (1..).zip(CENTRES) {
        text += &format!(
            "[[centres]]\nid = \"{centre}\"\ncity = \"a\"\nname = {{ zh = \"{centre}\", en = \"{centre}\" }}\n"
        );
        let at = address(number);
        nodes += &format!(
            "[[nodes]]\nid = {number}\nname = \"{centre}-1\"\ncentre = \"{centre}\"\nzone = \"inner\"\n\
             roles = [\"core\", \"relay\", \"recorder\"]\nvoice = \"voter\"\nmesh = \"{at}:{MESH_PORT}\"\ndoor = \"{at}:{DOOR_PORT}\"\n"
        );
    }
    // A profile without an edge is refused; it is not started, as calls are not what is measured.
    nodes += &format!(
        "[[nodes]]\nid = 9\nname = \"edge-a1\"\ncentre = \"a1\"\nzone = \"dmz\"\nroles = [\"edge\"]\n\
         mesh = \"127.1.1.1:{MESH_PORT}\"\ndoor = \"127.1.1.1:{DOOR_PORT}\"\n"
    );
    let parts: toml::Table = parse(&format!("{text}{nodes}[raft]\n{raft}"))?;
    profile.extend(parts);
    print(&profile)
}

/// The demo's profile with its voters and one edge: no learner, since the peer has none.
fn wan_profile() -> Result<String, LabError> {
    let mut profile = demo()?;
    if let Some(toml::Value::Array(nodes)) = profile.get_mut("nodes") {
        nodes.retain(|node| {
            let name = node.get("name").and_then(toml::Value::as_str);
            name.is_some_and(|name| name == EDGE || VOTERS.contains(&name))
        });
    }
    print(&profile)
}

fn demo() -> Result<toml::Table, LabError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/demo.toml");
    parse(&fs::read_to_string(&path).map_err(io_error("read", &path))?)
}

fn parse(text: &str) -> Result<toml::Table, LabError> {
    toml::from_str(text).map_err(|error| LabError::Refused(error.to_string()))
}

fn print(table: &toml::Table) -> Result<String, LabError> {
    toml::to_string(table).map_err(|error| LabError::Refused(error.to_string()))
}

fn clean(dir: &Path) -> Result<(), LabError> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(io_error("remove", dir))?;
    }
    fs::create_dir_all(dir).map_err(io_error("create", dir))
}
