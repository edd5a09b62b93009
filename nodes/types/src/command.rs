//! What is written to the raft log. A command is never edited, only added to: a release reads every
//! log of the release before. Time and chance are drawn by the proposer and travel inside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Centre, City, ClusterId, Epoch, Hex, InstitutionId, MarkName, Member, NodeName, QueueId,
    RequestId, ReservationId, SessionId, StaffRef, TicketId, UnixMillis,
    custody::Holding,
    dr::{Lane, Order},
    film::FilmOrder,
    flows::FlowOrder,
    media::KeyChange,
    message::MessageNote,
    problem::Problem,
    record::{
        Business, Consent, EndReason, Institution, Policy, Presence, RecordingSummary, Staff,
        WrappedKey,
    },
    retention::KeepOrder,
    sync::SyncMode,
    tlog::{Access, LogAlarm, LogTrust, Login, RecorderRoot},
};

/// Version of [`Proposal`] written by this release.
pub const PROPOSAL_VERSION: u16 = 1;

/// One entry of the log: a command, with who, when and an id that makes a retry harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Format version, [`PROPOSAL_VERSION`].
    pub v: u16,
    /// Retrying with the same id returns the first answer.
    pub request: RequestId,
    /// Proposer's wall clock. The core takes it as now, never going backwards.
    pub at: UnixMillis,
    /// What to do.
    pub command: Command,
    /// 32 random bytes that the leader draws for a command that [`Command::is_logged`]: they hide what an
    /// entry of the transparency log is about. Left out by the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Hex>,
}

/// What may be asked of the metadata.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Command {
    /// First entry of a cluster. Refused when the cluster exists under another id.
    Found {
        /// Cluster id.
        cluster: ClusterId,
        /// Cities.
        cities: Vec<City>,
        /// Centres.
        centres: Vec<Centre>,
        /// Nodes.
        members: Vec<Member>,
        /// Institutions.
        institutions: Vec<Institution>,
        /// First staff accounts.
        staff: Vec<Staff>,
        /// Policy.
        policy: Policy,
    },
    /// Adds or changes a node.
    PutMember {
        /// The node.
        member: Member,
    },
    /// Adds or changes a staff account.
    PutStaff {
        /// The account.
        staff: Box<Staff>,
    },
    /// Changes the policy.
    PutPolicy {
        /// The policy.
        policy: Policy,
    },
    /// Raises the cluster epoch.
    RaiseEpoch {
        /// Must be greater than the present one.
        epoch: Epoch,
    },
    /// A customer enters a queue.
    OpenTicket {
        /// Random id.
        ticket: TicketId,
        /// Institution.
        institution: InstitutionId,
        /// Queue.
        queue: QueueId,
        /// Edge.
        edge: NodeName,
        /// Display name.
        customer: String,
        /// Consent; without it no ticket is opened.
        consent: Consent,
        /// SM2 public key of the page.
        media_key: Hex,
    },
    /// The customer's page is alive.
    TouchTicket {
        /// The ticket.
        ticket: TicketId,
    },
    /// The customer's page goes on through another edge; a sign of life too.
    MoveTicket {
        /// The ticket.
        ticket: TicketId,
        /// The edge it now comes through.
        edge: NodeName,
    },
    /// The customer leaves: out of the queue, or out of the call.
    CloseTicket {
        /// The ticket.
        ticket: TicketId,
        /// `CustomerLeft`, `CustomerHungUp` or `CustomerAway`.
        reason: EndReason,
    },
    /// An agent's presence: `Offline`, `Break` or `Ready`.
    SetPresence {
        /// Who.
        staff: StaffRef,
        /// What.
        presence: Presence,
        /// SM2 public key of the agent's page; needed with `Ready`.
        media_key: Hex,
    },
    /// An agent accepts: the reservation becomes a session.
    Accept {
        /// The reservation.
        reservation: ReservationId,
        /// Who accepts; must be the reserved agent.
        staff: StaffRef,
        /// Random id for the session.
        session: SessionId,
        /// Media key wrapped to customer, agent and every recorder of the cluster.
        keys: Vec<WrappedKey>,
        /// Nodes the leader did not hear of when this was proposed: none of them becomes a recorder
        /// while there is another.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        silent: Vec<NodeName>,
        /// How many nodes are to record, where there are as many; the release before said nothing and
        /// meant one.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        recorders: u8,
    },
    /// Who takes part in a session changes, and with that its media key. Refused unless the keys are
    /// of the epoch after the present one and wrapped to exactly those who then take part.
    Rekey {
        /// The session.
        session: SessionId,
        /// The epoch of these keys.
        epoch: u32,
        /// What changes.
        change: KeyChange,
        /// The new media key wrapped to everybody who then takes part.
        keys: Vec<WrappedKey>,
    },
    /// An agent rejects; the ticket keeps its place, the agent goes to `Break`.
    Reject {
        /// The reservation.
        reservation: ReservationId,
        /// Who rejects.
        staff: StaffRef,
    },
    /// A business step or another event of a session. Refused while the recording does not run.
    AddStep {
        /// The session.
        session: SessionId,
        /// `customer`, `agent`, `operator:…`.
        actor: String,
        /// Step id.
        step: String,
        /// Details.
        details: BTreeMap<String, String>,
    },
    /// A party of a call has sent a text or a file; what it says is with the recorders. Refused while the recording
    /// does not run, and past the limits on how many.
    NoteMessage {
        /// The session.
        session: SessionId,
        /// What is known of it.
        message: MessageNote,
    },
    /// The agent says what a call is about in the bank's own systems, while it runs or until it is written up.
    PutBusiness {
        /// The session.
        session: SessionId,
        /// Who says so; must be the session's agent.
        staff: StaffRef,
        /// What; replaces what was said before.
        business: Business,
    },
    /// Ends a session.
    EndSession {
        /// The session.
        session: SessionId,
        /// Who.
        actor: String,
        /// Why.
        reason: EndReason,
    },
    /// The agent has finished writing up and goes to `Ready`.
    FinishWrapUp {
        /// Who.
        staff: StaffRef,
    },
    /// The customer rates an ended session.
    Rate {
        /// By ticket, since that is what the customer holds.
        ticket: TicketId,
        /// 1 to 5.
        stars: u8,
        /// Optional comment.
        comment: String,
    },
    /// A recorder says how it goes.
    ReportRecording {
        /// The session.
        session: SessionId,
        /// Recorder.
        node: NodeName,
        /// The turn it speaks of, [`crate::record::Assignment::number`]; 0, as the release before wrote
        /// it, is the one that is not over.
        #[serde(default, skip_serializing_if = "is_zero")]
        assignment: u32,
        /// What happened.
        report: RecordingReport,
    },
    /// A disaster recovery run: proposed, approved, carried on, aborted, measured.
    Dr {
        /// What.
        order: Order,
    },
    /// A prober of a running run leaves its next serial.
    Probe {
        /// Which prober.
        lane: Lane,
        /// From 1, without gap; sent again it changes nothing.
        serial: u64,
    },
    /// Sets a mark, or removes it with an empty value.
    PutMark {
        /// Which.
        mark: MarkName,
        /// Its value; at most `MARK_BYTES_MAX` bytes.
        value: String,
        /// Acknowledged only when the guard city has it.
        #[serde(default)]
        sync: bool,
    },
    /// A step of a call of the canary tenant, which a prober makes. The tenant is a state of its own:
    /// nothing that counts, lists, records or proves calls sees it.
    Canary {
        /// The prober's node, each of which has a tenant of its own.
        node: NodeName,
        /// What to do.
        step: CanaryStep,
    },
    /// Whether sync writes wait for the guard city. Proposed by the leader alone, as the sync lease
    /// allows.
    SetSyncMode {
        /// The number of this change: refused unless it is the one after the present one.
        counter: u64,
        /// The mode.
        mode: SyncMode,
    },
    /// The transparency log begins, or its keys and witnesses change.
    TrustLog {
        /// Whom a reader of the log believes.
        trust: Box<LogTrust>,
    },
    /// A recorder's root over the segments that it closed within one second goes into the log.
    AppendRoot {
        /// The root, signed by the recorder.
        root: RecorderRoot,
    },
    /// Somebody has logged in, or was locked out.
    LogLogin {
        /// Who, where, with what right.
        login: Login,
    },
    /// Somebody is about to see a recording, or has asked to; agreed on before anything is given out.
    LogAccess {
        /// Who, what and why.
        access: Access,
    },
    /// Both trees' heads of one size, signed by the log and cosigned by enough witnesses, are published.
    PutCheckpoint {
        /// Note of the SM3 tree.
        sm3: String,
        /// Note of its twin.
        sha256: String,
    },
    /// A witness was shown two trees.
    AlarmLog {
        /// Which witness, and what it saw.
        alarm: LogAlarm,
    },
    /// The flow matrix: proposed, approved, in force, taken back.
    Flow {
        /// What.
        order: Box<FlowOrder>,
    },
    /// What a node has of certificates or keys is other than it was.
    PutHolding {
        /// Whose.
        node: NodeName,
        /// Who says so: the node itself, or for a node of the DMZ the inner node it showed its certificate to.
        by: NodeName,
        /// All of one sort.
        holding: Holding,
    },
    /// How long recordings are kept: the matrix, classes, holds, and what recorders have erased.
    Keep {
        /// What.
        order: Box<KeepOrder>,
    },
    /// Films of recordings: asked for, taken up, made, cancelled.
    Film {
        /// What.
        order: Box<FilmOrder>,
    },
    /// Time passes: recordings whose time is over are to be erased, reservations time out, silent customers are abandoned, unrecorded calls end.
    /// Proposed by the leader when [`crate::view`] says that something is due.
    Tick,
}

impl Command {
    /// Whether applying it may add to the transparency log; a superset, since a refused one adds nothing.
    pub fn is_logged(&self) -> bool {
        matches!(
            self,
            Self::PutMember { .. }
                | Self::PutStaff { .. }
                | Self::PutPolicy { .. }
                | Self::RaiseEpoch { .. }
                | Self::Dr { .. }
                | Self::SetSyncMode { .. }
                | Self::TrustLog { .. }
                | Self::AppendRoot { .. }
                | Self::LogAccess { .. }
                | Self::AlarmLog { .. }
                | Self::Keep { .. }
                | Self::PutHolding { .. }
                | Self::Flow { .. }
                | Self::ReportRecording {
                    report: RecordingReport::Sealed { .. },
                    ..
                }
        )
    }
}

fn one() -> u8 {
    1
}

fn is_one(count: &u8) -> bool {
    *count == 1
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A step of a canary's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum CanaryStep {
    /// The tenant begins anew, with one queue and one agent, and what the call before left is gone.
    Begin,
    /// An order of a call, decided as for any other tenant.
    Order {
        /// `SetPresence`, `OpenTicket` or `Accept`.
        command: Box<Command>,
    },
}

/// What a recorder reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum RecordingReport {
    /// Every required track has a durable segment.
    Running,
    /// Cannot record.
    Lost {
        /// `disk-full`, `recorder-gone`, `no-media`, `io-error`.
        cause: String,
    },
    /// Sealed.
    Sealed {
        /// For the index.
        summary: RecordingSummary,
    },
}

/// What the core answers to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Reply {
    /// Done.
    Done,
    /// A ticket was opened.
    Ticket {
        /// Its place in the order of arrival.
        serial: u64,
    },
    /// A session was started.
    Session {
        /// Its id.
        session: SessionId,
    },
    /// A film was ordered or taken up.
    Film {
        /// Its number.
        film: u32,
        /// The turn at it, [`crate::film::Film::turns`].
        turn: u32,
    },
    /// Refused; nothing changed.
    Refused {
        /// Why.
        problem: Problem,
    },
}
