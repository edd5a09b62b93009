//! A profile: one complete deployment as a file. Pure data and its rules; reading the file is done by
//! whoever has one (`node`, `installer`). Unknown keys are errors; a profile that passes
//! [`Profile::check`] can be started.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    BranchId, Centre, CentreId, City, InstitutionId, NodeId, NodeName, Role, Skill, StaffName,
    TeamId, Voice, Zone,
    door::{DoorLimits, DoorLimitsError},
    inventory::CryptoPolicy,
    limits::{MEMBERS_MAX, NAME_CHARS_MAX},
    message::{MessageRules, MessageRulesError},
    origin::Origin,
    record::{Duty, Institution, Policy},
    sandbox::SandboxMode,
    sink::{Sink, SinkError},
};

/// The schema this release writes and reads.
pub const SCHEMA: u32 = 1;

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Format version, [`SCHEMA`].
    pub schema: u32,
    /// Name of the deployment, for people.
    pub name: String,
    /// File with the flow matrix, relative to the profile's; the one that ships with the product without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_matrix: Option<PathBuf>,
    /// Whether nodes are held to what their role does by the kernel.
    #[serde(default, skip_serializing_if = "SandboxMode::is_default")]
    pub sandbox: SandboxMode,
    /// Where recorders put copies of sealed recordings besides their disks; nowhere without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Cities.
    pub cities: Vec<City>,
    /// Centres.
    pub centres: Vec<Centre>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Raft timers.
    #[serde(default)]
    pub raft: Raft,
    /// What the deployment demands of its cryptography.
    #[serde(default)]
    pub crypto: Crypto,
    /// Where recorders make films, and with what.
    #[serde(default)]
    pub films: Films,
    /// What texts and files between customer and agent are held to.
    #[serde(default)]
    pub guard: MessageRules,
    /// How much an edge's door takes from strangers.
    #[serde(default, skip_serializing_if = "DoorLimits::is_default")]
    pub door_limits: DoorLimits,
    /// Agreed settings at foundation.
    #[serde(default)]
    pub policy: Policy,
    /// Legal persons at foundation.
    pub institutions: Vec<Institution>,
    /// Staff accounts at foundation; passwords are drawn at first start and printed once.
    #[serde(default)]
    pub staff: Vec<StaffSeed>,
}

/// Where recorders make films, and with what. ffmpeg is looked for in the `PATH` of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Films {
    /// Directory in which films lie in plain while they are made, each node in one of its own name; absolute, and
    /// the node's data directory without it. A memory file system keeps them off every disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<PathBuf>,
    /// Font file with Chinese characters; the usual places are searched without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub font: Option<PathBuf>,
}

/// One node of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Raft id, unique for ever.
    pub id: NodeId,
    /// Name.
    pub name: NodeName,
    /// Centre.
    pub centre: CentreId,
    /// Zone.
    pub zone: Zone,
    /// Roles.
    pub roles: Vec<Role>,
    /// Part in consensus.
    #[serde(default = "no_voice")]
    pub voice: Voice,
    /// Node-to-node address (UDP).
    pub mesh: SocketAddr,
    /// Browser address (TCP and UDP); 443 on both is what networks let through most.
    pub door: SocketAddr,
    /// TLS of the door's TCP port; without it pages are served in plain, on a loopback address only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<DoorTls>,
}

/// TLS of a door's TCP port with a certificate that browsers trust already, usually the bank's. WebTransport, on UDP,
/// has a pinned certificate of the node's own making all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorTls {
    /// What browsers call the door; the certificate is for this host.
    pub origin: Origin,
    /// File with the certificate chain in PEM, leaf first; relative to the profile's. Looked at while the node runs.
    pub certificate: PathBuf,
    /// File with its private key in PEM, mode 600.
    pub key: PathBuf,
}

const fn no_voice() -> Voice {
    Voice::None
}

/// Raft timers in milliseconds. A follower stands for election after `election_max` plus a draw from
/// `election_min..election_max`; heartbeat below a third of `election_min`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Raft {
    /// Leader's heartbeat.
    pub heartbeat_ms: u64,
    /// Shortest election timeout in centres that should lead.
    pub election_min_ms: u64,
    /// Longest election timeout in centres that should lead.
    pub election_max_ms: u64,
    /// Centres that should lead only when no other can: a preference is a delay, never a ban.
    pub reluctant: Vec<CentreId>,
    /// Shortest election timeout in reluctant centres.
    pub reluctant_min_ms: u64,
    /// Longest election timeout in reluctant centres.
    pub reluctant_max_ms: u64,
    /// How long the voters of the reluctant centres, the guard city, promise at a time that no sync
    /// write is acknowledged without them, [`SYNC_LEASE_MS_MIN`] to [`SYNC_LEASE_MS_MAX`]. When they
    /// are lost, sync writes stall for this and a tenth more.
    pub sync_lease_ms: u64,
    /// A voter silent for so long gives its voice to a learner that has caught up and becomes a learner
    /// itself, [`REPLACE_VOTER_MS_MIN`] to [`REPLACE_VOTER_MS_MAX`]; 0: only `guitai node replace` does it.
    pub replace_voter_after_ms: u64,
}

/// Shortest silence after which a voter is replaced, in milliseconds: a node that restarts is no loss.
pub const REPLACE_VOTER_MS_MIN: u64 = 5_000;
/// Longest, in milliseconds: a day.
pub const REPLACE_VOTER_MS_MAX: u64 = 86_400_000;

/// Shortest sync lease in milliseconds: some round trips between cities, and a busy disk.
pub const SYNC_LEASE_MS_MIN: u64 = 200;
/// Longest sync lease in milliseconds: a caller waits ten seconds for a write and no longer.
pub const SYNC_LEASE_MS_MAX: u64 = 5_000;
/// The usual one: with a tenth more and the agreement on it, losing the guard city stalls sync writes
/// for 1.2 s, within promise P3's 1.5 s.
pub const SYNC_LEASE_MS: u64 = 1_000;

impl Default for Raft {
    /// Tuned for 30 ms between cities and a disk that syncs in 20 ms (see `docs/decisions`).
    fn default() -> Self {
        Self {
            heartbeat_ms: 50,
            election_min_ms: 200,
            election_max_ms: 400,
            reluctant: Vec::new(),
            reluctant_min_ms: 500,
            reluctant_max_ms: 550,
            sync_lease_ms: SYNC_LEASE_MS,
            replace_voter_after_ms: 0,
        }
    }
}

/// What the deployment demands of its cryptography.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crypto {
    /// Which algorithms are allowed where.
    pub policy: CryptoPolicy,
    /// Life of a node's certificate in days, 1 to [`NODE_CERTIFICATE_DAYS_MAX`]; it is renewed at two
    /// thirds of it. A stolen key is worth something for so long where nobody revokes it.
    pub node_certificate_days: u32,
}

/// Longest life of a node's certificate in days: past it nobody remembers how to renew one.
pub const NODE_CERTIFICATE_DAYS_MAX: u32 = 825;

impl Default for Crypto {
    fn default() -> Self {
        Self {
            policy: CryptoPolicy::default(),
            node_certificate_days: 90,
        }
    }
}

/// A staff account to be made at foundation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaffSeed {
    /// Institution.
    pub institution: InstitutionId,
    /// Login name.
    pub name: StaffName,
    /// Shown to customers.
    pub display: String,
    /// Work number.
    pub number: String,
    /// Branch.
    pub branch: BranchId,
    /// Team.
    pub team: TeamId,
    /// Skills.
    #[serde(default)]
    pub skills: Vec<Skill>,
    /// Rights.
    pub duties: Vec<Duty>,
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Another release's format.
    #[error("schema {found} is not {SCHEMA}, the one this release reads")]
    Schema {
        /// What the file says.
        found: u32,
    },
    /// The same value twice where it must be unique.
    #[error("{what} {value} is used twice")]
    Twice {
        /// What, for example `node id`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// A name that is nowhere declared.
    #[error("{owner} names {what} {value}, which the profile does not declare")]
    Unknown {
        /// Who names it.
        owner: String,
        /// What, for example `centre`.
        what: &'static str,
        /// The value.
        value: String,
    },
    /// Roles, zone and voice of a node contradict each other.
    #[error("node {node}: {why}")]
    Node {
        /// Which.
        node: NodeName,
        /// What is wrong.
        why: &'static str,
    },
    /// The sink of recordings.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The rules for texts and files.
    #[error(transparent)]
    Messages(#[from] MessageRulesError),
    /// The limits of the doors.
    #[error(transparent)]
    DoorLimits(#[from] DoorLimitsError),
    /// The deployment as a whole lacks something.
    #[error("{0}")]
    Whole(&'static str),
    /// Too much of something.
    #[error("{what}: {found} is over the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// How much.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl Profile {
    /// Checks every rule that one file can show; addresses are not probed.
    ///
    /// # Errors
    /// The first broken rule, naming the thing.
    pub fn check(&self) -> Result<(), ProfileError> {
        if self.schema != SCHEMA {
            return Err(ProfileError::Schema { found: self.schema });
        }
        self.check_places()?;
        self.nodes.iter().try_for_each(check_node)?;
        self.check_whole()?;
        self.check_raft()?;
        self.check_crypto()?;
        if let Some(sink) = &self.sink {
            sink.check()?;
        }
        self.check_films()?;
        self.guard.check()?;
        self.door_limits.check()?;
        self.check_people()
    }

    fn check_films(&self) -> Result<(), ProfileError> {
        let mut paths = self.films.work.iter().chain(&self.films.font);
        match paths.all(|path| path.is_absolute()) {
            true => Ok(()),
            false => Err(ProfileError::Whole(
                "films.work and films.font are absolute",
            )),
        }
    }

    fn check_places(&self) -> Result<(), ProfileError> {
        unique("city", self.cities.iter().map(|city| city.id.to_string()))?;
        unique(
            "centre",
            self.centres.iter().map(|centre| centre.id.to_string()),
        )?;
        for centre in &self.centres {
            known(
                "city",
                &centre.id,
                &centre.city,
                self.cities.iter().map(|city| &city.id),
            )?;
        }
        for node in &self.nodes {
            known(
                "centre",
                &node.name,
                &node.centre,
                self.centres.iter().map(|c| &c.id),
            )?;
        }
        for centre in &self.raft.reluctant {
            known(
                "centre",
                &"raft.reluctant",
                centre,
                self.centres.iter().map(|c| &c.id),
            )?;
        }
        unique("node id", self.nodes.iter().map(|node| node.id.to_string()))?;
        unique(
            "node name",
            self.nodes.iter().map(|node| node.name.to_string()),
        )?;
        unique(
            "UDP address",
            self.nodes
                .iter()
                .flat_map(|n| [n.mesh.to_string(), n.door.to_string()]),
        )?;
        let tls = self.nodes.iter().filter_map(|node| node.tls.as_ref());
        unique("door's origin", tls.map(|tls| tls.origin.to_string()))
    }

    fn check_whole(&self) -> Result<(), ProfileError> {
        limit("nodes", self.nodes.len(), MEMBERS_MAX)?;
        let count = |wanted: fn(&Node) -> bool| self.nodes.iter().filter(|n| wanted(n)).count();
        if count(|node| node.voice == Voice::Voter) % 2 == 0 {
            return Err(ProfileError::Whole(
                "the number of voters must be odd, and at least 1",
            ));
        }
        let needed = [
            (Role::Edge, "there is no edge: customers have no way in"),
            (Role::Relay, "there is no inner relay: media has no way in"),
            (
                Role::Recorder,
                "there is no recorder: no business step could ever start",
            ),
        ];
        for (role, why) in needed {
            if !self.nodes.iter().any(|node| node.roles.contains(&role)) {
                return Err(ProfileError::Whole(why));
            }
        }
        Ok(())
    }

    fn check_raft(&self) -> Result<(), ProfileError> {
        let raft = &self.raft;
        let ordered = raft.election_min_ms < raft.election_max_ms
            && raft.reluctant_min_ms < raft.reluctant_max_ms
            && raft.heartbeat_ms.saturating_mul(2) < raft.election_min_ms;
        if !(SYNC_LEASE_MS_MIN..=SYNC_LEASE_MS_MAX).contains(&raft.sync_lease_ms) {
            return Err(ProfileError::Whole("raft: sync_lease_ms is 200 to 5000"));
        }
        let replaced = raft.replace_voter_after_ms;
        if replaced != 0 && !(REPLACE_VOTER_MS_MIN..=REPLACE_VOTER_MS_MAX).contains(&replaced) {
            return Err(ProfileError::Whole(
                "raft: replace_voter_after_ms is 0, or 5000 to 86400000",
            ));
        }
        if ordered && raft.heartbeat_ms > 0 {
            return Ok(());
        }
        Err(ProfileError::Whole(
            "raft: 0 < heartbeat_ms, 2 x heartbeat_ms < election_min_ms < election_max_ms, reluctant_min_ms < reluctant_max_ms",
        ))
    }

    const fn check_crypto(&self) -> Result<(), ProfileError> {
        match self.crypto.node_certificate_days {
            1..=NODE_CERTIFICATE_DAYS_MAX => Ok(()),
            _ => Err(ProfileError::Whole(
                "crypto: node_certificate_days is 1 to 825",
            )),
        }
    }

    fn check_people(&self) -> Result<(), ProfileError> {
        unique(
            "institution",
            self.institutions.iter().map(|i| i.id.to_string()),
        )?;
        if self.institutions.is_empty() {
            return Err(ProfileError::Whole("there is no institution to serve"));
        }
        for institution in &self.institutions {
            unique(
                "queue",
                institution.queues.iter().map(|queue| queue.id.to_string()),
            )?;
        }
        unique(
            "staff account",
            self.staff
                .iter()
                .map(|s| format!("{}/{}", s.institution, s.name)),
        )?;
        for staff in &self.staff {
            let institutions = self.institutions.iter().map(|i| &i.id);
            known("institution", &staff.name, &staff.institution, institutions)?;
            let branches = self
                .institutions
                .iter()
                .filter(|i| i.id == staff.institution);
            known(
                "branch",
                &staff.name,
                &staff.branch,
                branches.flat_map(|i| &i.branches).map(|b| &b.id),
            )?;
            limit(
                "characters in a display name",
                staff.display.chars().count(),
                NAME_CHARS_MAX,
            )?;
        }
        Ok(())
    }
}

fn check_node(node: &Node) -> Result<(), ProfileError> {
    let has = |role| node.roles.contains(&role);
    let inner_role = has(Role::Core) || has(Role::Relay) || has(Role::Recorder);
    let why = match node.zone {
        Zone::Outer => "a node stands in the dmz or the inner zone",
        Zone::Dmz if inner_role => "a node in the dmz is an edge and nothing else",
        Zone::Dmz if !has(Role::Edge) => "a node in the dmz has the role edge",
        Zone::Inner if has(Role::Edge) => "an edge stands in the dmz",
        Zone::Inner if !inner_role => "an inner node has at least one role",
        _ if has(Role::Core) == (node.voice == Voice::None) => {
            "voice is voter or learner for a core node, and none for every other"
        }
        Zone::Inner if !has(Role::Core) => {
            "relay and recorder stand on a core node in this release"
        }
        _ => return Ok(()),
    };
    Err(ProfileError::Node {
        node: node.name.clone(),
        why,
    })
}

fn unique(what: &'static str, values: impl Iterator<Item = String>) -> Result<(), ProfileError> {
    let mut seen = BTreeSet::new();
    for value in values {
        if !seen.insert(value.clone()) {
            return Err(ProfileError::Twice { what, value });
        }
    }
    Ok(())
}

fn known<'a, T: PartialEq + std::fmt::Display + 'a>(
    what: &'static str,
    owner: &impl std::fmt::Display,
    value: &T,
    mut declared: impl Iterator<Item = &'a T>,
) -> Result<(), ProfileError> {
    if declared.any(|one| one == value) {
        return Ok(());
    }
    Err(ProfileError::Unknown {
        owner: owner.to_string(),
        what,
        value: value.to_string(),
    })
}

const fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), ProfileError> {
    if found <= limit {
        Ok(())
    } else {
        Err(ProfileError::Limit { what, found, limit })
    }
}
