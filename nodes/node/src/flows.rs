//! The flow matrix at work: what this node listens on and whom it speaks with is held against it.
//!
//! A row whose last day is over still lets through, loudly: that a date passes in the night must not take the counter
//! down. `guitai flow check` finds it before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use guitai_flow::{
    Diff, End, Finding, Matrix, ParseError, Protocol, Role, Sentence, Standing, Transport, Verdict,
    Word as _, deployment, standing,
};
use guitai_host::{Carrier, Clock, Disk as _, OwnSocket, SystemDisk};
use guitai_net::{FlowKey, Gate, Peer};
use guitai_types::{
    Code, Date, Hex, Member, NodeName, Zone,
    flows::{FlowChange, FlowPlan},
    observed::{FlowStanding, FlowWay},
    profile::{Node, Profile},
    sink::Sink,
};

use crate::exit::Failure;

mod weigh;

/// The file of a node's directory.
pub(crate) const FILE: &str = "flows.toml";
/// What was said once is not said again, up to so many kinds; then all may be said once more.
const KINDS_SAID_MAX: usize = 1_024;

/// The matrix of a deployment, read and whole.
pub(crate) struct Flows {
    matrix: Matrix,
    /// As it was written.
    pub(crate) text: String,
}

impl Flows {
    /// Reads a file, or takes the matrix that ships with the product.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let bad = |why: String| Failure::new(Code::BadProfile, why);
        let (text, name) = match path {
            None => (
                guitai_flow::SHIPPED.to_owned(),
                "the matrix that ships".to_owned(),
            ),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path);
                (text.map_err(|error| bad(format!("{name}: {error}")))?, name)
            }
        };
        let matrix = Matrix::parse(&text).map_err(|error| bad(format!("{name}: {error}")))?;
        Ok(Self { matrix, text })
    }

    /// Refuses a deployment that would do what no row allows.
    pub(crate) fn cover(&self, profile: &Profile, on: Date) -> Result<(), Failure> {
        covers(&self.matrix, &profile.nodes, profile.sink.as_ref(), on)
            .map_err(|why| Failure::new(Code::FlowUndeclared, why))
    }

    /// Refuses to listen where no row lets any role of this node listen.
    pub(crate) fn listeners(&self, member: &Member, on: Date) -> Result<(), Failure> {
        may_listen(&self.matrix, member, on).map_err(|why| {
            let detail = format!("node {} may not listen: {why}", member.name);
            Failure::new(Code::FlowUndeclared, detail)
        })
    }

    /// Refuses a sink that no row lets a recorder open connections to.
    pub(crate) fn sink(&self, sink: &Sink, on: Date) -> Result<(), Failure> {
        may_sink(&self.matrix, sink, on).map_err(|why| Failure::new(Code::FlowUndeclared, why))
    }

    /// What is said of it when a node starts.
    pub(crate) fn say(&self) {
        say(&self.matrix);
    }

    /// The gate of this node's mesh; a matrix that is agreed on later is kept in `file`.
    pub(crate) fn gate(
        self,
        me: &Member,
        peers: &[Member],
        sink: Option<Sink>,
        file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Door> {
        let door = Door {
            present: RwLock::new(self),
            me: me.clone(),
            sink,
            file,
            known: RwLock::default(),
            said: Mutex::default(),
            paces: weigh::Paces::default(),
            clock,
        };
        door.learn(peers);
        Arc::new(door)
    }
}

/// Whether a matrix allows everything that these nodes do; else the first thing that it does not, and how many.
fn covers(matrix: &Matrix, nodes: &[Node], sink: Option<&Sink>, on: Date) -> Result<(), String> {
    let gaps = deployment::gaps(matrix, nodes, sink, on);
    let undeclared: Vec<String> = gaps
        .into_iter()
        .filter(|gap| !gap.has_run_out())
        .map(|gap| Finding::Gap(gap).words().en)
        .collect();
    match undeclared.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(format!("{first} ({} in all)", undeclared.len())),
    }
}

fn may_listen(matrix: &Matrix, member: &Member, on: Date) -> Result<(), String> {
    for listener in deployment::sockets(member.mesh, member.door) {
        let what = format!("{} at {}", listener.what, listener.address);
        match deployment::admitted(matrix, member.zone, &member.roles, &listener, on) {
            Standing::Admitted => {}
            Standing::RunOut { row, since } => {
                tracing::warn!(%row, %since, what, "a row of the flow matrix has run out; it still lets through");
            }
            Standing::Refused(refusal) => return Err(format!("{what}: {}", refusal.words().en)),
        }
    }
    Ok(())
}

fn may_sink(matrix: &Matrix, sink: &Sink, on: Date) -> Result<(), String> {
    let what = format!("s3 to {}", sink.endpoint);
    match standing([deployment::sink_admitted(matrix, sink, on)]) {
        Standing::Admitted => Ok(()),
        Standing::RunOut { row, since } => {
            tracing::warn!(%row, %since, what, "a row of the flow matrix has run out; it still lets through");
            Ok(())
        }
        Standing::Refused(refusal) => {
            let why = refusal.words().en;
            Err(format!("recorders may not open {what}: {why}"))
        }
    }
}

fn say(matrix: &Matrix) {
    let (name, version, sm3) = (matrix.name(), matrix.version(), digest(matrix));
    tracing::info!(name, version, %sm3, "flow matrix");
}

/// A matrix that was read has a canonical form.
fn digest(matrix: &Matrix) -> Hex {
    matrix.digest().unwrap_or_default()
}

/// The node behind a member, as a profile has it.
fn node(member: &Member) -> Node {
    Node {
        id: member.id,
        name: member.name.clone(),
        centre: member.centre.clone(),
        zone: member.zone,
        roles: member.roles.clone(),
        voice: member.voice,
        mesh: member.mesh,
        door: member.door,
        tls: None,
    }
}

/// How the matrix has the connections of one kind.
pub(crate) struct Found {
    /// As the matrix names it.
    pub(crate) protocol: String,
    /// Rows that allow them, ordered.
    pub(crate) rows: Vec<String>,
    pub(crate) standing: FlowStanding,
    /// Why none does.
    pub(crate) why: Option<String>,
}

/// What a connection of a node is held against.
pub(crate) struct Door {
    present: RwLock<Flows>,
    me: Member,
    /// Where its recordings go besides.
    sink: Option<Sink>,
    /// Where the present one is kept for the next start.
    file: Option<PathBuf>,
    /// Roles of the nodes that are known; an edge knows none.
    known: RwLock<BTreeMap<NodeName, Vec<Role>>>,
    said: Mutex<BTreeSet<String>>,
    paces: weigh::Paces,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// Takes the member list as it is now.
    pub(crate) fn learn(&self, members: &[Member]) {
        let roles = |member: &Member| member.roles.iter().map(|role| Role::from(*role)).collect();
        let known = members.iter().map(|it| (it.name.clone(), roles(it)));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
    }

    /// What a matrix would change for these nodes, beside the one that is obeyed. Only this node's own sink is known.
    pub(crate) fn planned(&self, text: &str, members: &[Member]) -> FlowPlan {
        let wrong = |faults| FlowPlan {
            sm3: None,
            faults,
            widens: false,
            changes: Vec::new(),
        };
        let matrix = match Matrix::parse(text) {
            Ok(matrix) => matrix,
            Err(ParseError::Faults(faults)) => {
                return wrong(faults.iter().map(ToString::to_string).collect());
            }
            Err(error) => return wrong(vec![error.to_string()]),
        };
        let nodes: Vec<Node> = members.iter().map(node).collect();
        let on = Date::of(self.clock.wall());
        let lacks = covers(&matrix, &nodes, self.sink.as_ref(), on);
        let sm3 = lacks.and_then(|()| matrix.digest().map_err(|error| error.to_string()));
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let diff = Diff::between(&present.matrix, &matrix);
        let change = |it: Sentence| FlowChange {
            row: it.row.map(|row| row.to_string()).unwrap_or_default(),
            effect: it.effect.name().to_owned(),
            words: it.words,
        };
        let changes = diff.sentences(&present.matrix).into_iter().map(change);
        let (sm3, faults) = match sm3 {
            Ok(sm3) => (Some(sm3), Vec::new()),
            Err(why) => (None, vec![why]),
        };
        FlowPlan {
            sm3,
            faults,
            widens: diff.widens(),
            changes: changes.collect(),
        }
    }

    /// Digest and text of the matrix that is obeyed.
    pub(crate) fn present(&self) -> (Hex, String) {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        (digest(&present.matrix), present.text.clone())
    }

    /// Obeys another matrix from now on, and after the next start. Connections that are open are asked about anew by
    /// whoever holds the mesh.
    ///
    /// # Errors
    /// When it cannot be read, or this node might not even listen or reach its sink; then the one before is obeyed.
    pub(crate) fn take(&self, text: &str) -> Result<(), String> {
        let matrix = Matrix::parse(text).map_err(|error| error.to_string())?;
        let on = Date::of(self.clock.wall());
        may_listen(&matrix, &self.me, on)?;
        if let Some(sink) = &self.sink {
            may_sink(&matrix, sink, on)?;
        }
        if let Some(file) = &self.file {
            // A node that starts again before it hears of the cluster starts with this one.
            keep(file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        say(&matrix);
        let text = text.to_owned();
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Flows { matrix, text };
        lock(&self.said).clear();
        Ok(())
    }

    /// The ends that a node may be: by its roles where they are known, else any of its zone.
    fn ends(&self, matrix: &Matrix, peer: &Peer) -> Vec<End> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let zone = peer.zone;
        match known.get(&peer.name) {
            Some(roles) => roles.iter().map(|role| End { zone, role: *role }).collect(),
            None => {
                let roles = matrix.roles().iter();
                let there = roles.filter(|role| role.zone == zone);
                there
                    .map(|role| End {
                        zone,
                        role: role.id,
                    })
                    .collect()
            }
        }
    }

    fn own(&self) -> Vec<End> {
        let zone: Zone = self.me.zone;
        let roles = self.me.roles.iter();
        roles
            .map(|role| End {
                zone,
                role: Role::from(*role),
            })
            .collect()
    }

    fn judge(&self, alpn: &str, peer: &Peer, dials: bool) -> Result<(), String> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let matrix = &present.matrix;
        let (own, other) = (self.own(), self.ends(matrix, peer));
        let (from, to) = if dials { (own, other) } else { (other, own) };
        let (protocol, on) = (protocol_of(alpn), Date::of(self.clock.wall()));
        let pairs = from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let verdicts = pairs.map(|(from, to)| matrix.admit_dial(from, to, protocol, on));
        let way = if dials { "to" } else { "from" };
        let what = format!("{alpn} {way} {peer}");
        match standing(verdicts) {
            Standing::Admitted => Ok(()),
            Standing::RunOut { row, since } => {
                if self.is_news(&what) {
                    tracing::warn!(%row, %since, what, "a row of the flow matrix has run out; it still lets through");
                }
                Ok(())
            }
            Standing::Refused(refusal) => {
                let why = refusal.words().en;
                if self.is_news(&what) {
                    tracing::warn!(
                        what,
                        why,
                        "the flow matrix does not declare this connection"
                    );
                }
                Err(why)
            }
        }
    }

    /// How the matrix has the connections of one kind.
    pub(crate) fn found(&self, flow: &FlowKey) -> Found {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let matrix = &present.matrix;
        let own = self.own();
        let (protocol, other) = match flow.zone {
            // A certificate names nodes only, a door takes whoever comes.
            Some(zone) => match flow.party.parse() {
                Ok(name) if protocol_at_door(&flow.protocol).is_none() => {
                    let peer = Peer { name, zone };
                    (protocol_of(&flow.protocol), self.ends(matrix, &peer))
                }
                _ => {
                    let protocol = protocol_at_door(&flow.protocol);
                    (protocol.unwrap_or(Protocol::Http), people(matrix))
                }
            },
            // Refused before it was known who, or what would have been spoken.
            None => {
                return Found {
                    protocol: flow.protocol.clone(),
                    rows: Vec::new(),
                    standing: FlowStanding::Undeclared,
                    why: None,
                };
            }
        };
        let (from, to) = match flow.way {
            FlowWay::Opened => (own, other),
            FlowWay::Accepted => (other, own),
        };
        let on = Date::of(self.clock.wall());
        let pairs = from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let verdicts: Vec<Verdict> = pairs
            .map(|(from, to)| matrix.admit_dial(from, to, protocol, on))
            .collect();
        let mut rows: Vec<String> = Vec::new();
        for verdict in &verdicts {
            if let Verdict::Admitted(admitted) = verdict {
                rows.extend(admitted.iter().map(ToString::to_string));
            }
        }
        rows.sort();
        rows.dedup();
        let (standing, why) = match standing(verdicts) {
            Standing::Admitted => (FlowStanding::Declared, None),
            Standing::RunOut { row, since } => {
                rows.push(row.to_string());
                (FlowStanding::RunOut, Some(format!("held until {since}")))
            }
            Standing::Refused(refusal) => (FlowStanding::Undeclared, Some(refusal.words().en)),
        };
        Found {
            protocol: protocol.word().to_owned(),
            rows,
            standing,
            why,
        }
    }

    /// How the matrix has a socket of this process; nothing of the connections that its door took, which are accounted.
    pub(crate) fn socket(&self, socket: &OwnSocket) -> Option<(FlowStanding, String)> {
        let present = self.present.read().unwrap_or_else(PoisonError::into_inner);
        let matrix = &present.matrix;
        let on = Date::of(self.clock.wall());
        let transport = match socket.carrier {
            Carrier::Tcp => Transport::Tcp,
            Carrier::Udp => Transport::Udp,
        };
        let own = deployment::sockets(self.me.mesh, self.me.door);
        let here = own
            .into_iter()
            .find(|it| it.transport == transport && it.address == socket.local);
        match (here, socket.remote) {
            (Some(listener), None) => {
                let roles = &self.me.roles;
                let standing = deployment::admitted(matrix, self.me.zone, roles, &listener, on);
                Some(of_socket(standing, listener.what))
            }
            (Some(_), Some(_)) => None,
            (None, Some(remote)) => {
                let sink = self.sink.as_ref();
                let port = |sink: &Sink| sink.endpoint().ok().map(|it| it.port);
                let sink = sink
                    .filter(|it| transport == Transport::Tcp && port(it) == Some(remote.port()));
                let Some(sink) = sink else {
                    let why = format!("no row lets this node open {transport} to {remote}");
                    return Some((FlowStanding::Undeclared, why));
                };
                let verdict = deployment::sink_admitted(matrix, sink, on);
                Some(of_socket(standing([verdict]), "object store"))
            }
            (None, None) => {
                let what = if socket.listens {
                    "no row lets this node listen there"
                } else {
                    "bound, and no row is about it"
                };
                Some((FlowStanding::Undeclared, what.to_owned()))
            }
        }
    }

    /// Whether it was not said yet.
    fn is_news(&self, what: &str) -> bool {
        let mut said = lock(&self.said);
        if said.len() >= KINDS_SAID_MAX {
            said.clear();
        }
        said.insert(what.to_owned())
    }
}

impl Gate for Door {
    fn may_dial(&self, alpn: &str, to: &Peer) -> Result<(), String> {
        self.judge(alpn, to, true)
    }

    fn may_enter(&self, alpn: &str, from: &Peer) -> Result<(), String> {
        self.judge(alpn, from, false)
    }

    fn may_call(&self, alpn: &str, from: &Peer, kind: &str, bytes: usize) -> Result<(), String> {
        self.weigh_call(protocol_of(alpn), from, kind, bytes)
    }
}

fn of_socket(standing: Standing, what: &str) -> (FlowStanding, String) {
    match standing {
        Standing::Admitted => (FlowStanding::Declared, what.to_owned()),
        Standing::RunOut { row, since } => (
            FlowStanding::RunOut,
            format!("{what}: {row} held until {since}"),
        ),
        Standing::Refused(refusal) => (
            FlowStanding::Undeclared,
            format!("{what}: {}", refusal.words().en),
        ),
    }
}

/// Everybody that is no node.
fn people(matrix: &Matrix) -> Vec<End> {
    let roles = matrix.roles().iter().filter(|role| !role.id.is_node());
    roles
        .map(|role| End {
            zone: role.zone,
            role: role.id,
        })
        .collect()
}

/// What is spoken at a door, by its name in the matrix.
fn protocol_at_door(name: &str) -> Option<Protocol> {
    let doors = [
        Protocol::Http,
        Protocol::WebSocket,
        Protocol::WebTransport,
        Protocol::MoqDoor,
    ];
    doors.into_iter().find(|it| it.word() == name)
}

/// Replaces the file, whole or not at all.
fn keep(file: &Path, text: &str) -> std::io::Result<()> {
    let dir = file.parent().unwrap_or_else(|| Path::new("."));
    let name = Path::new(file.file_name().unwrap_or_else(|| FILE.as_ref()));
    SystemDisk::new(dir)?.write_whole(name, text.as_bytes())
}

/// Every wire version that is not one of ours is MoQ's.
fn protocol_of(alpn: &str) -> Protocol {
    let ours = Protocol::ALL.iter().find(|it| it.alpn() == Some(alpn));
    ours.copied().unwrap_or(Protocol::MoqMesh)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
