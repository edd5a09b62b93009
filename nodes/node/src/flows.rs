//! The flow matrix at work: what this node listens on and whom it speaks with is held against it.
//!
//! A row whose last day is over still lets through, loudly: that a date passes in the night must not take the counter
//! down. `guitai flow check` finds it before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use guitai_flow::{
    End, Finding, Matrix, Protocol, Refusal, Role, Verdict, Word as _,
    deployment::{self, Gap},
};
use guitai_host::Clock;
use guitai_net::{Gate, Peer};
use guitai_types::{Code, Date, Member, NodeName, Zone, profile::Profile, sink::Sink};

use crate::exit::Failure;

/// The file of a node's directory.
pub(crate) const FILE: &str = "flows.toml";
/// A row runs out: said again after this many refusals or passings of the same kind.
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
        let gaps = deployment::gaps(&self.matrix, profile, on);
        let undeclared: Vec<String> = gaps.into_iter().filter_map(unless_expired).collect();
        match undeclared.as_slice() {
            [] => Ok(()),
            [first, ..] => Err(Failure::new(
                Code::FlowUndeclared,
                format!("{first} ({} in all)", undeclared.len()),
            )),
        }
    }

    /// Refuses to listen where no row lets any role of this node listen.
    pub(crate) fn listeners(&self, member: &Member, on: Date) -> Result<(), Failure> {
        for listener in deployment::sockets(member.mesh, member.door) {
            let admit = |role: &guitai_types::Role| {
                let role = Role::from(*role);
                self.matrix
                    .admit_listener(member.zone, role, listener.transport, listener.port, on)
            };
            let what = || format!("{} at {}", listener.what, listener.address);
            judge(member.roles.iter().map(admit), &what).map_err(|why| {
                let detail = format!("node {} may not listen: {}: {why}", member.name, what());
                Failure::new(Code::FlowUndeclared, detail)
            })?;
        }
        Ok(())
    }

    /// Refuses a sink that no row lets a recorder open connections to.
    pub(crate) fn sink(&self, sink: &Sink, on: Date) -> Result<(), Failure> {
        let verdict = deployment::sink_admitted(&self.matrix, sink, on);
        let what = || format!("s3 to {}", sink.endpoint);
        judge(std::iter::once(verdict), &what).map_err(|why| {
            let detail = format!("recorders may not open {}: {why}", what());
            Failure::new(Code::FlowUndeclared, detail)
        })
    }

    /// What is said of it when a node starts.
    pub(crate) fn say(&self) {
        let (name, version, sm3) = (
            self.matrix.name(),
            self.matrix.version(),
            self.matrix.digest(),
        );
        let sm3 = sm3.map(|it| it.to_string()).unwrap_or_default();
        tracing::info!(name, version, sm3, "flow matrix");
    }

    /// The gate of this node's mesh.
    pub(crate) fn gate(self, me: &Member, peers: &[Member], clock: Arc<dyn Clock>) -> Arc<Door> {
        let door = Door {
            matrix: self.matrix,
            zone: me.zone,
            roles: me.roles.iter().map(|role| Role::from(*role)).collect(),
            known: RwLock::default(),
            said: Mutex::default(),
            clock,
        };
        door.learn(peers);
        Arc::new(door)
    }
}

/// What a connection of a node is held against.
pub(crate) struct Door {
    matrix: Matrix,
    zone: Zone,
    roles: Vec<Role>,
    /// Roles of the nodes that are known; an edge knows none.
    known: RwLock<BTreeMap<NodeName, Vec<Role>>>,
    /// What was said once is not said for each connection.
    said: Mutex<BTreeSet<String>>,
    clock: Arc<dyn Clock>,
}

impl Door {
    /// Takes the member list as it is now.
    pub(crate) fn learn(&self, members: &[Member]) {
        let roles = |member: &Member| member.roles.iter().map(|role| Role::from(*role)).collect();
        let known = members.iter().map(|it| (it.name.clone(), roles(it)));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.collect();
    }

    /// The ends that a node may be: by its roles where they are known, else any of its zone.
    fn ends(&self, peer: &Peer) -> Vec<End> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let zone = peer.zone;
        match known.get(&peer.name) {
            Some(roles) => roles.iter().map(|role| End { zone, role: *role }).collect(),
            None => {
                let roles = self.matrix.roles().iter();
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
        let zone = self.zone;
        self.roles
            .iter()
            .map(|role| End { zone, role: *role })
            .collect()
    }

    fn judge(&self, alpn: &str, from: &[End], to: &[End], who: &str) -> Result<(), String> {
        let protocol = protocol_of(alpn);
        let on = Date::of(self.clock.wall());
        let pairs = from
            .iter()
            .flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let verdicts = pairs.map(|(from, to)| self.matrix.admit_dial(from, to, protocol, on));
        let what = || format!("{alpn} {who}");
        let judged = judge(verdicts, &|| self.once(what()));
        if let Err(why) = &judged
            && !self.once(what()).is_empty()
        {
            tracing::warn!(
                alpn,
                who,
                why,
                "the flow matrix does not declare this connection"
            );
        }
        judged
    }

    /// The text the first time, nothing afterwards.
    fn once(&self, what: String) -> String {
        let mut said = lock(&self.said);
        if said.len() >= KINDS_SAID_MAX {
            said.clear();
        }
        if said.insert(what.clone()) {
            what
        } else {
            String::new()
        }
    }
}

impl Gate for Door {
    fn may_dial(&self, alpn: &str, to: &Peer) -> Result<(), String> {
        self.judge(alpn, &self.own(), &self.ends(to), &format!("to {to}"))
    }

    fn may_enter(&self, alpn: &str, from: &Peer) -> Result<(), String> {
        self.judge(alpn, &self.ends(from), &self.own(), &format!("from {from}"))
    }
}

/// Admitted by one is admitted; else by one that has run out, which is said. The reason is the first refusal's.
fn judge(verdicts: impl Iterator<Item = Verdict>, what: &dyn Fn() -> String) -> Result<(), String> {
    let mut refused = None;
    let mut expired = None;
    for verdict in verdicts {
        match verdict {
            Verdict::Admitted(_) => return Ok(()),
            Verdict::Refused(Refusal::Expired { row, since }) => expired = Some((row, since)),
            Verdict::Refused(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    if let Some((row, since)) = expired {
        let what = what();
        if !what.is_empty() {
            tracing::warn!(%row, %since, what, "a row of the flow matrix has run out; it still lets through");
        }
        return Ok(());
    }
    let none = || "a node without a role".to_owned();
    Err(refused.map_or_else(none, |refusal| refusal.words().en))
}

fn unless_expired(gap: Gap) -> Option<String> {
    let has_expired = matches!(gap.refusal(), Refusal::Expired { .. });
    (!has_expired).then(|| Finding::Gap(gap).words().en)
}

/// Every wire version that is not one of ours is MoQ's.
fn protocol_of(alpn: &str) -> Protocol {
    let ours = Protocol::ALL.iter().find(|it| it.alpn() == Some(alpn));
    ours.copied().unwrap_or(Protocol::MoqMesh)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
