//! What the cluster remembers: the records of the metadata state machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    BranchId, Epoch, Hex, InstitutionId, NodeName, QueueId, ReservationId, SessionId, Skill,
    StaffRef, TeamId, TicketId, UnixMillis,
    media::{KEY_EPOCH_FIRST, KeyHolder, MediaSuite, PastKeys},
    place::Text,
};

/// A legal person; its data, keys and pages never mix with another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Institution {
    /// Short id.
    pub id: InstitutionId,
    /// Name for people.
    pub name: Text,
    /// Branches and their teams.
    pub branches: Vec<Branch>,
    /// Queues customers may enter.
    pub queues: Vec<Queue>,
}

/// A branch and its teams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// Short id.
    pub id: BranchId,
    /// Name for people.
    pub name: Text,
    /// Teams of the branch.
    pub teams: Vec<TeamId>,
}

/// A queue; its steps are the business flow of a call, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Short id.
    pub id: QueueId,
    /// Name for people.
    pub name: Text,
    /// An agent needs all of these.
    pub skills: Vec<Skill>,
    /// Business steps the agent walks through.
    pub steps: Vec<Step>,
}

/// One step of a business flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Short id, for example `identity`.
    pub id: String,
    /// Name for people.
    pub name: Text,
    /// The wording the agent reads, where the law wants one.
    #[serde(default)]
    pub wording: Text,
    /// A call without it is not complete.
    pub required: bool,
}

/// What a staff account may do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// Serves customers.
    Agent,
    /// Sees the console, exports evidence.
    Operator,
    /// Reads everything, changes nothing.
    Auditor,
    /// Approves disaster recovery, with a key of the officer's own.
    Officer,
}

/// A staff account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staff {
    /// Institution and login name.
    pub id: StaffRef,
    /// Shown to customers and colleagues.
    pub display: String,
    /// Shown to the customer as the seller's work number.
    pub number: String,
    /// Branch and team.
    pub branch: BranchId,
    /// Team inside the branch.
    pub team: TeamId,
    /// Skills for routing.
    pub skills: Vec<Skill>,
    /// Rights.
    pub duties: Vec<Duty>,
    /// Password hash in PHC string format (Argon2id); never leaves the core.
    pub password_phc: String,
    /// SM2 public key (65 bytes) by which an officer approves; the private half is the officer's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_key: Option<Hex>,
}

impl std::fmt::Debug for Staff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staff({})", self.id)
    }
}

/// Whether an agent takes calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Not logged in.
    #[default]
    Offline,
    /// Logged in, takes no calls.
    Break,
    /// Takes calls.
    Ready,
    /// A reservation rings.
    Ringing,
    /// In a session.
    Busy,
    /// After a session, writing up.
    WrapUp,
}

/// An agent's desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Desk {
    /// Whose.
    pub staff: StaffRef,
    /// Takes calls?
    pub presence: Presence,
    /// Since when in this presence; the longest idle ready agent is served first.
    pub since: UnixMillis,
    /// SM2 public key (65 bytes) of the agent's page; media keys are wrapped to it.
    pub media_key: Hex,
    /// What rings, if anything.
    pub reservation: Option<ReservationId>,
    /// What runs, if anything.
    pub session: Option<SessionId>,
}

/// Why a ticket or a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The customer left the queue by pressing the button.
    CustomerLeft,
    /// The customer's page went away and did not come back in time.
    CustomerAway,
    /// The customer hung up.
    CustomerHungUp,
    /// The agent hung up or finished.
    AgentHungUp,
    /// An operator ended it.
    OperatorEnded,
    /// The recorder stopped and the call may not go on unrecorded.
    RecordingLost,
}

/// Where a ticket is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "state", deny_unknown_fields)]
pub enum TicketState {
    /// In the queue.
    Waiting,
    /// An agent's desk rings.
    Ringing {
        /// The reservation.
        reservation: ReservationId,
    },
    /// Served.
    InSession {
        /// The session.
        session: SessionId,
    },
    /// Over.
    Ended {
        /// Why.
        reason: EndReason,
        /// The session it led to, if any.
        session: Option<SessionId>,
    },
}

/// A customer's consent to being recorded, given before the ticket is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// Agreed to audio and video recording.
    pub recording: bool,
    /// Version of the wording shown, for example `2026-11`.
    pub wording: String,
    /// When the customer pressed agree, by the page's clock.
    pub at: UnixMillis,
}

/// A customer's ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Random id.
    pub id: TicketId,
    /// Institution.
    pub institution: InstitutionId,
    /// Queue entered.
    pub queue: QueueId,
    /// Edge the customer came through.
    pub edge: NodeName,
    /// Display name as given by the customer.
    pub customer: String,
    /// Consent.
    pub consent: Consent,
    /// SM2 public key (65 bytes) of the customer's page.
    pub media_key: Hex,
    /// Position in the order of arrival, unique in the cluster; keeps queue order through failover.
    pub serial: u64,
    /// Opened at.
    pub opened_at: UnixMillis,
    /// Last sign of life of the customer's page.
    pub seen_at: UnixMillis,
    /// Where it is.
    pub state: TicketState,
}

/// An agent reserved for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Id, derived from ticket and attempt.
    pub id: ReservationId,
    /// For whom.
    pub ticket: TicketId,
    /// Who.
    pub staff: StaffRef,
    /// Rings since.
    pub made_at: UnixMillis,
    /// Times out at.
    pub due_at: UnixMillis,
}

/// Who takes part in a session.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case", tag = "role", deny_unknown_fields)]
pub enum Participant {
    /// The customer.
    Customer,
    /// The agent.
    Agent,
    /// A recorder, named and shown.
    Recorder {
        /// Its node.
        node: NodeName,
    },
}

/// A session's media key wrapped by SM2 (GB/T 32918.4, C1‖C3‖C2) to one participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// For whom.
    pub recipient: Participant,
    /// The ciphertext.
    pub wrapped: Hex,
}

/// The state of a session's recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "state", deny_unknown_fields)]
pub enum RecordingState {
    /// No durable segment yet; no business step may start.
    Starting,
    /// Every required track has a durable segment.
    Running {
        /// First durable segment at.
        since: UnixMillis,
    },
    /// Stopped although the session runs: the flow stops.
    Lost {
        /// Cause: `disk-full`, `recorder-gone`, `no-media`, `io-error`.
        cause: String,
        /// When.
        at: UnixMillis,
    },
    /// Finished and sealed.
    Sealed {
        /// Summary for the index.
        summary: RecordingSummary,
    },
}

/// What the index knows of a sealed recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingSummary {
    /// Node that keeps it.
    pub node: NodeName,
    /// SM3 Merkle root over everything in the package but the manifest itself.
    pub root: Hex,
    /// Media duration in milliseconds, longest track.
    pub duration_ms: u64,
    /// Bytes of media segments.
    pub bytes: u64,
    /// Closed segments over all tracks.
    pub segments: u64,
    /// Frames over all tracks.
    pub frames: u64,
    /// Declared gaps.
    pub gaps: u32,
    /// Sealed at.
    pub at: UnixMillis,
}

/// One business event of a session; all of them go into the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionEvent {
    /// Number in the session, from 1, without gaps.
    pub number: u64,
    /// When, by the clock of the node that proposed it.
    pub at: UnixMillis,
    /// Who did it: `customer`, `agent`, `recorder:a1-2`, `system`, `operator:name`.
    pub actor: String,
    /// What: `consent`, `accepted`, `recording-started`, `step`, `recording-lost`, `hung-up`, `rated`, …
    pub kind: String,
    /// Details, short texts by name; ordered, so that the package is deterministic.
    pub details: BTreeMap<String, String>,
}

/// What a call is about in the bank's own systems, as the agent wrote it down. Either text may be empty.
#[derive(
    Debug,
    Clone,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    utoipa::IntoParams,
)]
#[serde(deny_unknown_fields)]
pub struct Business {
    /// Number of the application, order or contract, at most [`crate::limits::BUSINESS_CHARS_MAX`] characters.
    #[serde(default)]
    pub number: String,
    /// The customer's number at the bank, as long at most.
    #[serde(default)]
    pub customer: String,
}

impl Business {
    /// Whether nothing is known.
    pub const fn is_empty(&self) -> bool {
        self.number.is_empty() && self.customer.is_empty()
    }
}

/// One served call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Random id.
    pub id: SessionId,
    /// Institution.
    pub institution: InstitutionId,
    /// Queue.
    pub queue: QueueId,
    /// The ticket it came from.
    pub ticket: TicketId,
    /// Customer's display name.
    pub customer: String,
    /// The agent.
    pub agent: StaffRef,
    /// Agent's display name and work number as shown to the customer.
    pub agent_display: String,
    /// The agent's branch; unknown of calls that began under the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchId>,
    /// What it is about in the bank's own systems.
    #[serde(default, skip_serializing_if = "Business::is_empty")]
    pub business: Business,
    /// Edge of the customer.
    pub edge: NodeName,
    /// Nodes that record now: those whose assignment is not over, in the order they were assigned.
    pub recorders: Vec<NodeName>,
    /// How many nodes should record at once, as far as there are as many.
    #[serde(default = "one_recorder")]
    pub recorders_wanted: u8,
    /// Who was to record when, in order; at most [`crate::limits::ASSIGNMENTS_MAX`].
    #[serde(default)]
    pub assignments: Vec<Assignment>,
    /// Cluster epoch it was started in.
    pub epoch: Epoch,
    /// The present media key, wrapped to everybody who holds it.
    pub keys: Vec<WrappedKey>,
    /// Epoch of the present media key.
    #[serde(default = "first_epoch")]
    pub key_epoch: u32,
    /// Since when it is the present one.
    #[serde(default)]
    pub key_since: UnixMillis,
    /// Who holds it, by which key pair.
    #[serde(default)]
    pub key_holders: Vec<KeyHolder>,
    /// Epochs that are over, oldest first, at most [`crate::limits::KEYS_PAST_KEPT`].
    #[serde(default)]
    pub keys_past: Vec<PastKeys>,
    /// With what sound is sealed; agreed when the session began.
    #[serde(default)]
    pub audio_suite: MediaSuite,
    /// Started at.
    pub started_at: UnixMillis,
    /// Ended at.
    pub ended_at: Option<UnixMillis>,
    /// Why it ended.
    pub end_reason: Option<EndReason>,
    /// Recording.
    pub recording: RecordingState,
    /// Business events in order.
    pub events: Vec<SessionEvent>,
    /// 1 to 5, given by the customer at the end.
    pub stars: Option<u8>,
}

fn first_epoch() -> u32 {
    KEY_EPOCH_FIRST
}

/// Sessions of the release before had one recorder.
fn one_recorder() -> u8 {
    1
}

/// One node's turn at recording a session. Its number is the fence: what a node says under a turn that
/// is over, or of a lower epoch than its turn, does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// From 1, without gap in a session.
    pub number: u32,
    /// Who records.
    pub node: NodeName,
    /// Cluster epoch it was assigned in.
    pub epoch: Epoch,
    /// Assigned at.
    pub since: UnixMillis,
    /// Over since; unset while the node is to record, and when it did so to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// Why it is over: `recorder-gone`, `disk-full`, `io-error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How the node's own recording stands.
    pub recording: RecordingState,
}

impl Session {
    /// The turn of a node that is not over.
    pub fn assignment_of(&self, node: &NodeName) -> Option<&Assignment> {
        let mut open = self.assignments.iter().filter(|it| it.until.is_none());
        open.find(|assignment| assignment.node == *node)
    }

    /// Gives a session that was written before there were assignments the ones it would have.
    pub fn fill_assignments(&mut self) {
        if !self.assignments.is_empty() {
            return;
        }
        // Only the first of them reported.
        let states = std::iter::once(self.recording.clone());
        let states = states.chain(std::iter::repeat(RecordingState::Starting));
        let turns = (1..).zip(&self.recorders).zip(states);
        let assignments = turns.map(|((number, node), recording)| Assignment {
            number,
            node: node.clone(),
            epoch: self.epoch,
            since: self.started_at,
            until: None,
            cause: None,
            recording,
        });
        self.assignments = assignments.collect();
    }

    /// Root path of the session's MoQ room: `/<institution>/<session>`.
    pub fn room(&self) -> String {
        format!("/{}/{}", self.institution, self.id)
    }
}

/// Cluster-wide settings that are agreed, not configured per node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How long a desk rings, in milliseconds.
    pub ring_ms: u64,
    /// How long a customer's page may be silent, in milliseconds.
    pub away_ms: u64,
    /// How long after the last recording loss a call may go on, in milliseconds; then it is ended.
    pub unrecorded_ms: u64,
    /// Media frames between customer, agent and recorder are sealed end to end.
    pub media_sealed: bool,
    /// With what sound is sealed in sessions that begin from now on. Left out where it is the default, so
    /// that the manifests of packages made before there was a choice keep their bytes.
    #[serde(default, skip_serializing_if = "MediaSuite::is_default")]
    pub media_suite: MediaSuite,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            ring_ms: crate::limits::RING_MS,
            away_ms: crate::limits::AWAY_MS,
            unrecorded_ms: 30_000,
            media_sealed: true,
            media_suite: MediaSuite::default(),
        }
    }
}
