//! Disaster recovery as data: what a failover aims at, its plan, who approved it, how it went and what
//! the probes saw. Decided in `meta/core`, planned and carried out by `dr` (see `docs/operating/dr.md`).

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    CentreId, CityId, ClusterId, Epoch, Hex, NodeName, RunId, StaffRef, UnixMillis, Voice,
    place::Text,
};

/// Version of [`Plan`] written by this release.
pub const PLAN_VERSION: u16 = 1;
/// Officers who must approve a run that is no rehearsal; two, so that nobody moves a bank alone.
pub const OFFICERS_NEEDED: usize = 2;
/// How long a plan and an approval are good for, in milliseconds: the state they were made for changes.
pub const APPROVAL_LIFE_MS: u64 = 15 * 60 * 1000;
/// How long a run waits before an irreversible step for somebody to abort it, in milliseconds.
pub const ABORT_POINT_MS: u64 = 3_000;
/// Steps of one plan.
pub const STEPS_MAX: usize = 32;
/// Margins of one plan.
pub const CHECKS_MAX: usize = 64;
/// Lines of one run's journal.
pub const JOURNAL_MAX: usize = 500;
/// Runs kept; the oldest that is over goes first.
pub const RUNS_KEPT: usize = 200;
/// Probe lanes of one run: centres times services.
pub const LANES_MAX: usize = 64;
/// Shortest and longest time something is held apart in a drill, in milliseconds.
pub const HOLD_MS: std::ops::RangeInclusive<u64> = 1_000..=600_000;
/// Ranges of serials one lane may fall into; a lane that is torn into more is not believed.
pub const SERIAL_RANGES_MAX: usize = 4_096;
/// A service without a good answer for this long when a run is judged is still out, in milliseconds.
pub const STILL_OUT_MS: u64 = 2_000;
/// Pause between two questions of most probers, in milliseconds.
pub const PROBE_CADENCE_MS: u64 = 20;
/// The serial that the negative control acknowledges and then forgets.
pub const INJECTED_SERIAL: u64 = 25;

/// What a failover is about.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// One node is held apart.
    Node,
    /// A whole centre is held apart.
    Centre,
    /// The link between two centres is cut.
    Link,
    /// The other city takes over by force: nobody there answers any more.
    City,
    /// A planned move: another centre leads.
    Switch,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Centre => "centre",
            Self::Link => "link",
            Self::City => "city",
            Self::Switch => "switch",
        })
    }
}

/// A scenario with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "scenario", deny_unknown_fields)]
pub enum Aim {
    /// One node speaks to nobody for a time.
    Node {
        /// Which.
        node: NodeName,
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// A centre speaks to no other for a time.
    Centre {
        /// Which.
        centre: CentreId,
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// Two centres do not hear each other for a time.
    Link {
        /// One end; with `one_way` the end that is not heard.
        from: CentreId,
        /// The other.
        to: CentreId,
        /// Only what `from` sends to `to` is lost.
        #[serde(default)]
        one_way: bool,
        /// How long, in milliseconds.
        hold_ms: u64,
    },
    /// A city is lost; the other takes over.
    City {
        /// The lost one.
        lost: CityId,
        /// The node that takes over.
        on: NodeName,
    },
    /// Leadership moves to a centre and stays there.
    Switch {
        /// Where to.
        to: CentreId,
    },
}

impl Aim {
    /// Its scenario.
    pub const fn scenario(&self) -> Scenario {
        match self {
            Self::Node { .. } => Scenario::Node,
            Self::Centre { .. } => Scenario::Centre,
            Self::Link { .. } => Scenario::Link,
            Self::City { .. } => Scenario::City,
            Self::Switch { .. } => Scenario::Switch,
        }
    }
}

/// What a drill holds apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "cut", deny_unknown_fields)]
pub enum Cut {
    /// A node from everybody.
    Node {
        /// Which.
        node: NodeName,
    },
    /// A centre from the others.
    Centre {
        /// Which.
        centre: CentreId,
    },
    /// Two centres from each other.
    Link {
        /// One end.
        from: CentreId,
        /// The other.
        to: CentreId,
        /// Only what `from` sends is lost.
        one_way: bool,
    },
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "act", deny_unknown_fields)]
pub enum Act {
    /// Nothing changes; the probes run, for a base line before and a proof after.
    Measure {
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Something is held apart; it ends by itself, also when everybody who could end it is gone.
    Isolate {
        /// What.
        cut: Cut,
        /// How long, in milliseconds.
        ms: u64,
    },
    /// Another centre should lead from now on; `None` is what the profile says.
    Prefer {
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        centre: Option<CentreId>,
    },
    /// Changes who votes, so that the place to lead has a quorum before it leads.
    Voices {
        /// The voices afterwards, of those that change.
        voices: BTreeMap<NodeName, Voice>,
        /// Their voices before, to undo it.
        before: BTreeMap<NodeName, Voice>,
    },
    /// Leadership moves to a node of that centre, which has caught up.
    Lead {
        /// Where to.
        centre: CentreId,
    },
    /// By force: this node's copy becomes the cluster, under a new epoch.
    TakeOver {
        /// Which node.
        on: NodeName,
        /// The new epoch.
        epoch: Epoch,
    },
    /// Every core node of the cluster is heard and has caught up.
    Settle,
    /// The serials of the probes are compared with what the cluster holds.
    Judge,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Short name, unique in the plan.
    pub id: String,
    /// What is done.
    pub act: Act,
    /// For people.
    pub title: Text,
    /// What must hold before.
    pub precondition: Text,
    /// What it changes.
    pub effect: Text,
    /// How it is undone.
    pub rollback: Text,
    /// Cannot be undone by a command; the run stops before it for a moment.
    pub irreversible: bool,
    /// Past this the step has failed, in milliseconds.
    pub within_ms: u64,
}

/// A margin that was looked at before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Short name, for example `guard-lag`.
    pub id: String,
    /// For people.
    pub title: Text,
    /// Enough.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What is needed.
    pub need: String,
}

/// How much may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rpo {
    /// No acknowledged write.
    Zero,
    /// No write of the sync class; of the fast class at most what was on its way.
    SyncZero,
    /// Not proven from the moment the guard city was no longer asked.
    Unproven,
}

/// What the planner expects, from the timers and the measured round trips.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Longest time without an acknowledged write, in milliseconds: the 50th of 100 model runs.
    pub rto_ms_p50: u64,
    /// The same, the 99th of 100.
    pub rto_ms_p99: u64,
    /// What may be lost.
    pub rpo: Rpo,
    /// Longest time without a good answer, per service that is probed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<Service, ExpectedGap>,
}

/// What is expected of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExpectedGap {
    /// In milliseconds: the 50th of 100 model runs.
    pub p50_ms: u64,
    /// The 99th.
    pub p99_ms: u64,
}

/// A plan: what would be done now, step by step, and whether it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Format version, [`PLAN_VERSION`].
    pub v: u16,
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Made in this epoch.
    pub epoch: Epoch,
    /// When.
    pub made_at: UnixMillis,
    /// What for.
    pub aim: Aim,
    /// Margins; the plan is refused when one is missing.
    pub checks: Vec<Check>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What to expect.
    pub expected: Expected,
    /// Measured round trips from the leader to each core node, in microseconds.
    pub round_trips_us: BTreeMap<NodeName, u64>,
    /// SM3 of the running binary.
    pub binary: Hex,
}

impl Plan {
    /// The margins that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.ok)
    }

    /// Whether a run of this kind takes over by force, where no quorum can agree on it.
    pub fn is_takeover(&self, kind: Kind) -> bool {
        kind == Kind::Real && matches!(self.aim, Aim::City { .. })
    }
}

/// Whether a run is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The same steps with the same code, but nothing is held apart and nothing taken over.
    Rehearsal,
    /// Meant.
    Real,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rehearsal => "rehearsal",
            Self::Real => "real",
        })
    }
}

/// An officer's word, signed with the officer's own key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Who.
    pub officer: StaffRef,
    /// When, by the officer's machine.
    pub at: UnixMillis,
    /// Since when the lost side is known to be powered or cut off; only for a lost city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_since: Option<UnixMillis>,
    /// The officer's SM2 public key, 65 bytes.
    pub key: Hex,
    /// SM2 signature (GB/T 32918.2, DER) over [`Approval::text`].
    pub signature: Hex,
}

impl Approval {
    /// What is signed: the run, the hash of its plan, whether it is meant, and what is attested.
    pub fn text(
        run: &RunId,
        plan_hash: &Hex,
        kind: Kind,
        at: UnixMillis,
        off_since: Option<UnixMillis>,
    ) -> String {
        let off = off_since.map_or_else(|| "-".to_owned(), |at| at.to_string());
        format!("guitai-dr-approval/1\n{run}\n{plan_hash}\n{kind}\n{at}\n{off}\n")
    }
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "is", deny_unknown_fields)]
pub enum StepOutcome {
    /// Done.
    Done {
        /// What was seen.
        note: String,
    },
    /// Not done; what was done before is undone.
    Failed {
        /// Why.
        why: String,
    },
}

/// Where a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "state", deny_unknown_fields)]
pub enum RunState {
    /// Waits for approvals.
    Proposed,
    /// A step is carried out.
    Running {
        /// Its index in the plan.
        step: usize,
        /// Since when.
        since: UnixMillis,
    },
    /// Stands before an irreversible step.
    AbortPoint {
        /// Index of that step.
        step: usize,
        /// Goes on by itself at.
        until: UnixMillis,
    },
    /// Steps are undone, from this one backwards.
    Undoing {
        /// Index of the step being undone.
        step: usize,
        /// Why.
        why: String,
    },
    /// Undone, or never begun.
    Aborted {
        /// Why.
        why: String,
    },
    /// All steps done, and judged.
    Done,
}

impl RunState {
    /// Nothing will happen any more.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Aborted { .. } | Self::Done)
    }
}

/// One line of what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalLine {
    /// When, by the leader's clock.
    pub at: UnixMillis,
    /// The step, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// `proposed`, `approved`, `begun`, `done`, `failed`, `undone`, `abort`, `measured`, `judged`.
    pub what: String,
    /// Details.
    pub note: String,
}

/// What a probe asks for again and again.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// A write of the sync class: the log, evidence, consent.
    Log,
    /// A write of the fast class: queue and presence.
    Queue,
    /// A linearizable read, as every login and page makes.
    Login,
    /// A frame from a relay of the prober's centre to a relay of another.
    Media,
    /// A call of the canary tenant, from ticket to accepted.
    Call,
    /// A frame that a recorder holds durably.
    Recording,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Log,
        Self::Queue,
        Self::Login,
        Self::Media,
        Self::Call,
        Self::Recording,
    ];

    /// Pause between two questions of one prober, in milliseconds. A call is set up by four writes one
    /// after the other; asked for more often, the probers would be most of a bank's load.
    pub const fn cadence_ms(self) -> u64 {
        match self {
            Self::Call => 250,
            _ => PROBE_CADENCE_MS,
        }
    }

    /// Whether what was acknowledged must be there afterwards, serial by serial.
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Log | Self::Queue | Self::Recording)
    }

    /// The word in a lane's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Queue => "queue",
            Self::Login => "login",
            Self::Media => "media",
            Self::Call => "call",
            Self::Recording => "recording",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A prober: where it stands and what it asks for.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// The probing node.
    pub node: NodeName,
    /// What it asks for.
    pub service: Service,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.service)
    }
}

/// Serials as inclusive ranges in rising order, apart from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
pub struct Serials(pub Vec<(u64, u64)>);

impl Serials {
    /// Adds one; serials mostly arrive in order, so this mostly lengthens the last range.
    pub fn insert(&mut self, serial: u64) {
        let at = self.0.partition_point(|(_, last)| *last < serial);
        if let Some((first, _)) = self.0.get(at)
            && *first <= serial
        {
            return;
        }
        let joins_before = at > 0
            && self
                .0
                .get(at - 1)
                .is_some_and(|(_, last)| last + 1 == serial);
        let joins_after = self
            .0
            .get(at)
            .is_some_and(|(first, _)| serial + 1 == *first);
        match (joins_before, joins_after) {
            (true, true) => {
                let (_, end) = self.0.remove(at);
                if let Some(before) = self.0.get_mut(at - 1) {
                    before.1 = end;
                }
            }
            (true, false) => {
                if let Some(before) = self.0.get_mut(at - 1) {
                    before.1 = serial;
                }
            }
            (false, true) => {
                if let Some(after) = self.0.get_mut(at) {
                    after.0 = serial;
                }
            }
            (false, false) => self.0.insert(at, (serial, serial)),
        }
    }

    /// Adds all of another.
    pub fn insert_all(&mut self, other: &Self) {
        other
            .0
            .iter()
            .flat_map(|(first, last)| *first..=*last)
            .for_each(|serial| self.insert(serial));
    }

    /// Whether it holds one.
    pub fn contains(&self, serial: u64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < serial);
        self.0.get(at).is_some_and(|(first, _)| *first <= serial)
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Those that `other` lacks, the first `at_most`.
    pub fn missing_in(&self, other: &Self, at_most: usize) -> Vec<u64> {
        let all = self.0.iter().flat_map(|(first, last)| *first..=*last);
        all.filter(|serial| !other.contains(*serial))
            .take(at_most)
            .collect()
    }
}

/// How long answers took: counts by upper bound in milliseconds, the last without bound.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// One count per bound of [`Histogram::BOUNDS_MS`], and one for what is above.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Upper bounds in milliseconds.
    pub const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

    /// Counts an answer.
    pub fn add(&mut self, ms: u64) {
        self.counts.resize(Self::BOUNDS_MS.len() + 1, 0);
        let at = Self::BOUNDS_MS.partition_point(|bound| *bound < ms);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
    }
}

/// What one prober saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LaneReport {
    /// Which.
    pub lane: Lane,
    /// Its centre.
    pub centre: CentreId,
    /// From when to when, by this node's clock.
    pub from: UnixMillis,
    /// See `from`.
    pub to: UnixMillis,
    /// Asked.
    pub sent: u64,
    /// Answered well.
    pub acked: u64,
    /// Longest time between two good answers, or between one and an end, in milliseconds.
    pub gap_ms: u64,
    /// When that began.
    pub gap_from: UnixMillis,
    /// How long good answers took.
    pub latency: Histogram,
    /// Serials that were acknowledged.
    pub serials: Serials,
    /// When the last good answer came; left out if none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<UnixMillis>,
    /// Pause between two questions, in milliseconds: what a gap may be off by.
    #[serde(default = "probe_cadence")]
    pub cadence_ms: u64,
    /// The acknowledged serials that were there when the run was judged; later runs take nothing away
    /// from it. Left out for services whose answers leave nothing behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Serials>,
}

const fn probe_cadence() -> u64 {
    PROBE_CADENCE_MS
}

impl LaneReport {
    /// Whether the service answered this prober when the run was judged. Reports of the release before
    /// do not say, and are believed.
    pub fn answered_at_the_end(&self) -> bool {
        match self.last_good {
            Some(last) => self.to.since(last) <= STILL_OUT_MS,
            None => self.acked > 0,
        }
    }
}

/// What is compared and counted at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Acknowledged serials over all lanes that write.
    pub acked: u64,
    /// Acknowledged and not there: the counted RPO.
    pub lost: u64,
    /// The first of them, as `lane:serial`.
    pub lost_first: Vec<String>,
    /// Longest gap per service over the lanes that were not held apart, in milliseconds: the RTO.
    pub rto_ms: BTreeMap<Service, u64>,
    /// Nothing was lost, and every service answered at the end.
    pub green: bool,
}

/// A run of a plan, from the proposal to the verdict. Kept in the replicated state: it survives the
/// operator's laptop and the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// Meant or not.
    pub kind: Kind,
    /// What.
    pub plan: Plan,
    /// SM3 over the plan's canonical JSON (RFC 8785): what officers approve.
    pub plan_hash: Hex,
    /// Who asked.
    pub by: StaffRef,
    /// When.
    pub at: UnixMillis,
    /// One acknowledged write is lost on purpose: the verdict must be red.
    #[serde(default)]
    pub inject_loss: bool,
    /// Who approved.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// Where it is.
    pub state: RunState,
    /// What happened.
    #[serde(default)]
    pub journal: Vec<JournalLine>,
    /// What the probes saw.
    #[serde(default)]
    pub lanes: Vec<LaneReport>,
    /// How it ended; only of a run that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// For a lost city: what the node that took over could prove, as said before it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// What may be asked of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order")]
pub enum Order {
    /// A run is proposed; a rehearsal begins at once.
    Propose {
        /// Which.
        run: RunId,
        /// Meant or not.
        kind: Kind,
        /// What.
        plan: Box<Plan>,
        /// Its hash; the core takes it as it is, whoever proposes has computed it.
        plan_hash: Hex,
        /// Who asks.
        by: StaffRef,
        /// The negative control.
        inject_loss: bool,
    },
    /// An officer approves; the proposer has verified the signature. With the second, it begins.
    Approve {
        /// Which.
        run: RunId,
        /// The approval.
        approval: Approval,
    },
    /// A step has ended, or an abort point is over (`Done` for the step that waits).
    Advance {
        /// Which.
        run: RunId,
        /// Index of the step.
        step: usize,
        /// How it went.
        outcome: StepOutcome,
    },
    /// Stop and undo.
    Abort {
        /// Which.
        run: RunId,
        /// Who.
        by: StaffRef,
        /// Why.
        why: String,
    },
    /// Probers of one node report; a later report of the same lane takes the place of the former.
    Measured {
        /// Which.
        run: RunId,
        /// What they saw.
        lanes: Vec<LaneReport>,
    },
    /// A takeover that was carried out without a quorum is entered as it went.
    Enter {
        /// The whole run.
        run: Box<Run>,
    },
}

/// Body of `POST /api/v1/dr/runs`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// What for.
    pub aim: Aim,
    /// Meant or not.
    pub kind: Kind,
    /// The negative control: one acknowledged write is lost on purpose, and the verdict must be red.
    #[serde(default)]
    pub inject_loss: bool,
}

/// Body of `POST /api/v1/dr/runs/{run}/abort`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// Why.
    #[serde(default)]
    pub why: String,
}

/// Body of `PUT /api/v1/account/approval-key`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalKey {
    /// SM2 public key, an uncompressed point of 65 bytes.
    pub key: Hex,
}

/// The signed report of a run, as a node hands it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Canonical bytes of the statement (`guitai_evidence::drill::Statement`).
    pub statement: Hex,
    /// SignedData over them, detached.
    pub signature: Hex,
    /// The root that the signer's certificate leads to, DER.
    pub root: Hex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_join_wherever_they_meet() {
        let mut serials = Serials::default();
        for serial in [5, 1, 3, 2, 2, 9, 4] {
            serials.insert(serial);
        }
        assert_eq!(serials.0, [(1, 5), (9, 9)]);
        assert_eq!(serials.count(), 6);
        assert!(serials.contains(3) && !serials.contains(6) && !serials.contains(0));
        let present = Serials(vec![(1, 2), (4, 5)]);
        assert_eq!(serials.missing_in(&present, 10), [3, 9]);
        assert_eq!(serials.missing_in(&present, 1), [3]);
    }

    #[test]
    fn an_answer_is_counted_once_under_its_bound() {
        let mut histogram = Histogram::default();
        for ms in [0, 1, 2, 3, 9_999] {
            histogram.add(ms);
        }
        assert_eq!(histogram.counts, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn what_an_officer_signs_is_frozen() {
        let run: RunId = "r1".parse().unwrap();
        let hash = Hex(vec![0xab]);
        let text = Approval::text(&run, &hash, Kind::Real, UnixMillis(7), Some(UnixMillis(3)));
        assert_eq!(text, "guitai-dr-approval/1\nr1\nab\nreal\n7\n3\n");
    }
}
