//! What people see: the shapes the pages and the CLI read.

use serde::{Deserialize, Serialize};

use crate::{
    BranchId, CentreId, City, ClusterId, Epoch, InstitutionId, Member, NodeId, NodeName, QueueId,
    ReservationId, RunId, SessionId, StaffRef, TicketId, UnixMillis,
    dr::{Aim, Kind, Run, RunState, Verdict},
    media::{KeyView, MediaSuite},
    place::{Centre, Text},
    record::{
        Assignment, Business, Duty, EndReason, Participant, Presence, RecordingState, SessionEvent,
        Step, WrappedKey,
    },
    sync::SyncView,
};

/// A ticket as its customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketView {
    /// Which.
    pub ticket: TicketId,
    /// Institution.
    pub institution: InstitutionId,
    /// Queue.
    pub queue: QueueId,
    /// Number of the newest event seen; the id of the server-sent event.
    pub number: u64,
    /// Opened at.
    pub opened_at: UnixMillis,
    /// Where it is.
    pub phase: TicketPhase,
}

/// Where a ticket is, with what the customer needs there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "phase", deny_unknown_fields)]
pub enum TicketPhase {
    /// In the queue.
    Waiting {
        /// 1 is next.
        position: u64,
        /// Agents of the queue that are logged in.
        agents: u64,
    },
    /// An agent is being rung.
    Ringing,
    /// In a call.
    InSession {
        /// The call.
        call: Box<CallView>,
    },
    /// Over.
    Ended {
        /// Why.
        reason: EndReason,
        /// The session, if it came to one: it may be rated.
        session: Option<SessionId>,
        /// Rating already given.
        stars: Option<u8>,
    },
}

/// A running call as one of its parties sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallView {
    /// Session.
    pub session: SessionId,
    /// The other party's display name.
    pub peer: String,
    /// Everybody in the room, recorders included: they are shown.
    pub participants: Vec<Participant>,
    /// Recording.
    pub recording: RecordingState,
    /// Started at.
    pub started_at: UnixMillis,
    /// Business steps of the flow.
    pub steps: Vec<Step>,
    /// Ids of steps already done.
    pub done: Vec<String>,
    /// Ids of steps that the customer has confirmed, for the agent. The customer's own view carries none:
    /// that page knows, and what crosses the guard stays as edges of the release before read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<String>,
    /// Number of the newest text or file between the parties, for the agent; 0 without any. The customer's own view
    /// carries none, for the same reason: that page asks whenever it is shown a view.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub message: u64,
    /// What it is about in the bank's own systems, for the agent alone.
    #[serde(default, skip_serializing_if = "Business::is_empty")]
    pub business: Business,
    /// How to get the media.
    pub media: MediaAccess,
    /// Who can open it.
    pub key: KeyView,
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How a party gets at the media of its call. Where to connect, the page asks its own door
/// (`GET /api/v1/door`): an edge's address is nothing the core tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MediaAccess {
    /// Path of the room: connect to `<door><room>?jwt=<token>`.
    pub room: String,
    /// Media token.
    pub token: String,
    /// Prefix to publish under: broadcasts are `<prefix>/<random>.hang`.
    pub publish: String,
    /// Prefix of the other party's broadcasts.
    pub watch: String,
    /// Frames are sealed end to end (SM4-GCM, see `docs/reference/media.md`).
    pub sealed: bool,
    /// The media key wrapped to this party; empty when this party's page is gone.
    pub key: WrappedKey,
    /// Epoch of that key.
    pub epoch: u32,
    /// With what sound is sealed.
    pub audio_suite: MediaSuite,
}

/// Where a page connects for media, and whether to trust it; `GET /api/v1/door`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorView {
    /// This node.
    pub node: NodeName,
    /// Its centre.
    pub centre: CentreId,
    /// `https://host:port` for WebTransport.
    pub webtransport: String,
    /// `ws://host:port` or `wss://…` for MoQ over WebSocket, same port number on TCP.
    pub websocket: String,
    /// SHA-256 of the browser certificates in use now and next, lower-case hex. Empty under the
    /// strict policy: the UDP door then speaks national TLS, and browsers take the WebSocket.
    pub certificate_hashes: Vec<String>,
    /// Product version.
    pub version: String,
}

/// The doors a page may use, so that it can move by itself when its own is gone; `GET /api/v1/doors`
/// and the event `doors` of a stream. Edges tell of edges only, inner nodes of inner nodes only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorsView {
    /// The node that answers.
    pub node: NodeName,
    /// At most [`crate::limits::DOORS_MAX`], by name.
    pub doors: Vec<DoorEntry>,
}

/// One door of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DoorEntry {
    /// Its node.
    pub node: NodeName,
    /// The centre it stands in.
    pub centre: CentreId,
    /// Origin of pages and API, `http://host:port` or `https://…`.
    pub http: String,
    /// `https://host:port` for WebTransport; empty where no media is relayed.
    pub webtransport: String,
    /// `ws://host:port` or `wss://…` for MoQ over WebSocket; empty where no media is relayed.
    pub websocket: String,
    /// SHA-256 of the browser certificates in use now and next, lower-case hex; empty as long as the
    /// door has not said them.
    pub certificate_hashes: Vec<String>,
    /// Answered a core node within the last two seconds, and could serve a page.
    pub alive: bool,
}

/// An agent's desk as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeskView {
    /// Who.
    pub staff: StaffRef,
    /// Display name.
    pub display: String,
    /// Presence.
    pub presence: Presence,
    /// Since.
    pub since: UnixMillis,
    /// Number of the newest event seen.
    pub number: u64,
    /// Customers waiting in queues this agent serves.
    pub waiting: u64,
    /// What rings.
    pub ring: Option<RingView>,
    /// The call.
    pub call: Option<CallView>,
}

/// What rings at a desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RingView {
    /// The reservation.
    pub reservation: ReservationId,
    /// Customer's display name.
    pub customer: String,
    /// Queue.
    pub queue: QueueId,
    /// Queue's name.
    pub queue_name: Text,
    /// Waited since.
    pub opened_at: UnixMillis,
    /// Times out at.
    pub due_at: UnixMillis,
}

/// A member of staff as pages see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StaffView {
    /// Who.
    pub id: StaffRef,
    /// Display name.
    pub display: String,
    /// Work number.
    pub number: String,
    /// Rights.
    pub duties: Vec<Duty>,
    /// Presence.
    pub presence: Presence,
}

/// A node and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeView {
    /// The node.
    pub member: Member,
    /// Reachable from the node that answers.
    pub up: bool,
    /// Is the raft leader.
    pub leader: bool,
    /// Last log index known to be on it, for core nodes, as the leader sees it.
    pub matched: Option<u64>,
    /// Last time heard of, milliseconds ago; `None` if never.
    pub heard_ms: Option<u64>,
    /// Whether it takes new calls; `None` where no media is relayed, or when it is not heard of.
    #[serde(default)]
    pub permit: Option<crate::permit::PermitView>,
    /// How its sandbox stands, in one word (`GET /api/v1/sandbox` has the rows); `None` when it is not heard of.
    #[serde(default)]
    pub sandbox: Option<crate::sandbox::SandboxState>,
}

/// One queue as the console sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueView {
    /// Institution.
    pub institution: InstitutionId,
    /// Queue.
    pub queue: QueueId,
    /// Name.
    pub name: Text,
    /// Waiting customers.
    pub waiting: u64,
    /// Longest wait, milliseconds.
    pub longest_wait_ms: u64,
    /// Ready agents.
    pub ready: u64,
    /// Agents in a call.
    pub busy: u64,
}

/// The whole cluster at a glance; `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusView {
    /// Cluster.
    pub cluster: ClusterId,
    /// Product version.
    pub version: String,
    /// The node that answers.
    pub node: NodeName,
    /// Raft leader, if known.
    pub leader: Option<NodeId>,
    /// Raft term.
    pub term: u64,
    /// Last applied log index on this node.
    pub applied: u64,
    /// Epoch.
    pub epoch: Epoch,
    /// Set when the node that answers was left behind on an old epoch: it is read-only, and what it
    /// shows is old.
    #[serde(default)]
    pub quarantine: Option<crate::lineage::Quarantine>,
    /// Voters up, and needed for a quorum.
    pub quorum: QuorumView,
    /// Cities.
    pub cities: Vec<City>,
    /// Centres.
    pub centres: Vec<Centre>,
    /// Nodes.
    pub nodes: Vec<NodeView>,
    /// Queues.
    pub queues: Vec<QueueView>,
    /// Sessions running.
    pub sessions_running: u64,
    /// Recordings sealed.
    pub recordings: u64,
    /// Number of the newest event.
    pub event_number: u64,
    /// Whether sync writes wait for the guard city, and what that city can prove.
    #[serde(default)]
    pub sync: SyncView,
    /// Witnesses of the transparency log that were shown two trees: somebody must find out why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_alarms: Vec<crate::tlog::RaisedAlarm>,
}

/// How the quorum stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuorumView {
    /// Voters.
    pub voters: u64,
    /// Voters reachable.
    pub up: u64,
    /// Voters needed.
    pub needed: u64,
}

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionView {
    /// Session.
    pub id: SessionId,
    /// Institution.
    pub institution: InstitutionId,
    /// Queue.
    pub queue: QueueId,
    /// Customer's display name.
    pub customer: String,
    /// Agent.
    pub agent: StaffRef,
    /// Agent's display name.
    pub agent_display: String,
    /// Agent's branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchId>,
    /// What it is about in the bank's own systems.
    #[serde(default, skip_serializing_if = "Business::is_empty")]
    pub business: Business,
    /// Edge.
    pub edge: NodeName,
    /// Nodes that record, or did at the end.
    pub recorders: Vec<NodeName>,
    /// Who was to record when, each with its own recording.
    #[serde(default)]
    pub assignments: Vec<Assignment>,
    /// Started.
    pub started_at: UnixMillis,
    /// Ended.
    pub ended_at: Option<UnixMillis>,
    /// Why.
    pub end_reason: Option<EndReason>,
    /// Recording.
    pub recording: RecordingState,
    /// Stars.
    pub stars: Option<u8>,
    /// Who can open its media.
    pub key: KeyView,
    /// Business events; empty in lists, filled in `GET /api/v1/sessions/{id}`.
    #[serde(default)]
    pub events: Vec<SessionEvent>,
}

/// A disaster recovery run in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunView {
    /// Which.
    pub id: RunId,
    /// Meant or not.
    pub kind: Kind,
    /// What for.
    pub aim: Aim,
    /// Who asked.
    pub by: StaffRef,
    /// When.
    pub at: UnixMillis,
    /// A negative control.
    pub inject_loss: bool,
    /// Who approved.
    pub approved_by: Vec<StaffRef>,
    /// Where it is.
    pub state: RunState,
    /// How many steps its plan has.
    pub steps: usize,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

impl RunView {
    /// The run without its plan and measurements.
    pub fn of(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            kind: run.kind,
            aim: run.plan.aim.clone(),
            by: run.by.clone(),
            at: run.at,
            inject_loss: run.inject_loss,
            approved_by: run.approvals.iter().map(|it| it.officer.clone()).collect(),
            state: run.state.clone(),
            steps: run.plan.steps.len(),
            verdict: run.verdict.clone(),
        }
    }
}
