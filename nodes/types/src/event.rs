//! Numbered, replayable events of the cluster: what subscribers (pages, recorders, relays, sinks) see.

use serde::{Deserialize, Serialize};

use crate::{InstitutionId, NodeName, RunId, SessionId, StaffRef, TicketId, UnixMillis};

/// One event. Numbers rise by one, without gap or repeat, through any failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Number, from 1.
    pub number: u64,
    /// When, by the proposer's clock.
    pub at: UnixMillis,
    /// Whom it concerns; `None` is the whole cluster.
    pub institution: Option<InstitutionId>,
    /// What.
    pub change: Change,
}

/// What changed. Carries ids, not contents: a reader asks for the view it may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Change {
    /// Members, staff, policy or epoch changed.
    Cluster,
    /// A disaster recovery run went on.
    Dr {
        /// Which.
        run: RunId,
    },
    /// A ticket changed (opened, rings, served, ended) or its place in the queue moved.
    Ticket {
        /// Which.
        ticket: TicketId,
    },
    /// The queue of an institution moved.
    Queue,
    /// A desk changed.
    Desk {
        /// Whose.
        staff: StaffRef,
    },
    /// A session started.
    SessionStarted {
        /// Which.
        session: SessionId,
        /// Recorders that must take it, first is primary.
        recorders: Vec<NodeName>,
    },
    /// Another node records a session from now on.
    Recorders {
        /// Which.
        session: SessionId,
        /// Nodes that must record it now.
        recorders: Vec<NodeName>,
    },
    /// Something in a session changed (step, recording state).
    Session {
        /// Which.
        session: SessionId,
    },
    /// A session ended; its media tokens are void.
    SessionEnded {
        /// Which.
        session: SessionId,
        /// Its ticket.
        ticket: TicketId,
    },
    /// Sync writes wait for the guard city from now on, or do so no longer.
    SyncMode {
        /// The number of the change.
        counter: u64,
        /// They wait.
        guarded: bool,
    },
    /// A recording was sealed.
    RecordingSealed {
        /// Which.
        session: SessionId,
    },
    /// A film was ordered, went on or is finished.
    Film {
        /// The call.
        session: SessionId,
        /// Its number.
        film: u32,
    },
    /// How long a recording is kept changed: its classes, its holds, or its end.
    Keeping {
        /// Which; `None` is the matrix, and so all of them.
        session: Option<SessionId>,
    },
}
