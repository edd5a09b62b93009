//! What the cluster remembers.

use std::collections::BTreeMap;

use guitai_types::{
    Centre, CentreId, City, ClusterId, Epoch, InstitutionId, MarkName, Member, NodeId, NodeName,
    RequestId, ReservationId, Role, SessionId, StaffRef, TicketId, UnixMillis,
    command::Reply,
    custody::Custody,
    dr::{Lane, Run, Serials},
    event::Event,
    film::{Film, FilmMaker},
    flowlog::AgreedMinute,
    flows::Flows,
    mark::Mark,
    record::{Desk, Institution, Policy, Queue, Reservation, Session, Staff, Ticket},
    retention::{Recording, Retention},
    sync::SyncState,
};
use serde::{Deserialize, Serialize};

use crate::{
    index::{Index, Line},
    tlog::Log,
};

/// The metadata of the cluster. Changed only by [`State::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub(crate) head: Head,
    pub(crate) places: Places,
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) institutions: BTreeMap<InstitutionId, Institution>,
    pub(crate) staff: BTreeMap<StaffRef, Staff>,
    pub(crate) desks: BTreeMap<StaffRef, Desk>,
    pub(crate) tickets: BTreeMap<TicketId, Ticket>,
    pub(crate) reservations: BTreeMap<ReservationId, Reservation>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) events: BTreeMap<u64, Event>,
    pub(crate) requests: BTreeMap<u64, Remembered>,
    /// Disaster recovery runs, by order of proposal.
    pub(crate) runs: BTreeMap<u64, Run>,
    /// What the probers of the present run left.
    pub(crate) probes: BTreeMap<Lane, Serials>,
    /// What monitors and drills left.
    pub(crate) marks: BTreeMap<MarkName, Mark>,
    /// Tenants in which the probers of the present run set calls up.
    pub(crate) canaries: BTreeMap<NodeName, Self>,
    /// How long recordings are kept, once that was said for the first time.
    pub(crate) retention: Option<Retention>,
    /// Recordings, for as long as they are kept and after.
    pub(crate) recordings: BTreeMap<SessionId, Recording>,
    /// The flow matrix, once the first leader has said with which the cluster begins.
    pub(crate) flows: Option<Flows>,
    /// Minutes of the flow log, oldest first; at most `MINUTES_AGREED_MAX`.
    pub(crate) flow_log: Vec<AgreedMinute>,
    /// What nodes have of certificates and keys.
    pub(crate) custody: BTreeMap<NodeName, Custody>,
    /// Films that were asked for, by number.
    pub(crate) films: BTreeMap<u32, Film>,
    /// Which nodes can make films, as they said.
    pub(crate) film_makers: BTreeMap<NodeName, FilmMaker>,
    /// The transparency log, once somebody has said whom to believe.
    pub(crate) log: Option<Log>,
    /// Computed from the tables above; never written down.
    pub(crate) index: Index,
}

/// Counters and settings: one small record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Head {
    /// `None` until the cluster is founded.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) epoch: Epoch,
    /// Greatest `at` of all proposals.
    pub(crate) clock: UnixMillis,
    pub(crate) policy: Policy,
    /// Serial of the last ticket.
    pub(crate) serial: u64,
    /// Reservations made so far.
    pub(crate) reservations: u64,
    /// Number of the last event.
    pub(crate) event: u64,
    /// Number of the last remembered request.
    pub(crate) request: u64,
    /// Recordings sealed so far.
    pub(crate) sealed: u64,
    /// Number of the last disaster recovery run.
    pub(crate) runs: u64,
    /// Number of the last film.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) films: u32,
    /// The centre that should lead, when a run has moved it.
    pub(crate) preferred: Option<CentreId>,
    /// Whether sync writes wait for the guard city.
    pub(crate) sync: SyncState,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Cities and centres: one record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) cities: Vec<City>,
    pub(crate) centres: Vec<Centre>,
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) request: RequestId,
    pub(crate) reply: Reply,
}

impl State {
    /// The cluster's id; `None` before it is founded.
    pub fn cluster(&self) -> Option<&ClusterId> {
        self.head.cluster.as_ref()
    }

    /// Present epoch.
    pub fn epoch(&self) -> Epoch {
        self.head.epoch
    }

    /// The greatest time any applied proposal carried: the core's now.
    pub fn clock(&self) -> UnixMillis {
        self.head.clock
    }

    /// Settings agreed on.
    pub fn policy(&self) -> &Policy {
        &self.head.policy
    }

    /// Number of the newest event, 0 if there is none.
    pub fn event_number(&self) -> u64 {
        self.head.event
    }

    /// Number of the oldest event still kept, 0 if there is none.
    pub fn event_oldest(&self) -> u64 {
        self.events.keys().next().copied().unwrap_or(0)
    }

    /// Events from `number` on, in order, as far back as they are kept.
    pub fn events_from(&self, number: u64) -> impl Iterator<Item = &Event> {
        self.events.range(number..).map(|(_, event)| event)
    }

    /// Cities.
    pub fn cities(&self) -> &[City] {
        &self.places.cities
    }

    /// Centres.
    pub fn centres(&self) -> &[Centre] {
        &self.places.centres
    }

    /// The centre with that id.
    pub fn centre(&self, id: &CentreId) -> Option<&Centre> {
        self.places.centres.iter().find(|centre| &centre.id == id)
    }

    /// Nodes, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The node with that name.
    pub fn member(&self, name: &NodeName) -> Option<&Member> {
        self.members.values().find(|member| &member.name == name)
    }

    /// Nodes that record, by id. A media key is wrapped to each of them before accepting.
    pub fn recorders(&self) -> impl Iterator<Item = &Member> {
        self.members().filter(|member| member.has(Role::Recorder))
    }

    /// Institutions, by id.
    pub fn institutions(&self) -> impl Iterator<Item = &Institution> {
        self.institutions.values()
    }

    /// The institution with that id.
    pub fn institution(&self, id: &InstitutionId) -> Option<&Institution> {
        self.institutions.get(id)
    }

    /// A staff account.
    pub fn staff(&self, id: &StaffRef) -> Option<&Staff> {
        self.staff.get(id)
    }

    /// An agent's desk; there is one once the agent has logged in for the first time.
    pub fn desk(&self, id: &StaffRef) -> Option<&Desk> {
        self.desks.get(id)
    }

    /// A ticket, waiting, served or ended not long ago.
    pub fn ticket(&self, id: &TicketId) -> Option<&Ticket> {
        self.tickets.get(id)
    }

    /// A reservation that rings.
    pub fn reservation(&self, id: &ReservationId) -> Option<&Reservation> {
        self.reservations.get(id)
    }

    /// A session, running or still kept.
    pub fn session(&self, id: &SessionId) -> Option<&Session> {
        self.sessions.get(id)
    }

    /// Running sessions, by id.
    pub fn sessions_running(&self) -> impl Iterator<Item = &Session> {
        self.pick(self.index.running.iter())
    }

    /// How many sessions run, without looking at each.
    pub fn sessions_running_count(&self) -> usize {
        self.index.running.len()
    }

    /// Ended sessions still kept, newest first.
    pub fn sessions_ended(&self) -> impl Iterator<Item = &Session> {
        self.pick(self.index.sessions_ended.iter().rev().map(|(_, id)| id))
    }

    /// All reservations, desks and tickets, for the simulator's invariants.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.values()
    }

    /// Desks, by staff account.
    pub fn desks(&self) -> impl Iterator<Item = &Desk> {
        self.desks.values()
    }

    /// Tickets, by id.
    pub fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.tickets.values()
    }

    /// Recordings sealed since the cluster was founded.
    pub fn recordings_sealed(&self) -> u64 {
        self.head.sealed
    }

    pub(crate) fn line(&self, ticket: &Ticket) -> Option<&Line> {
        self.index
            .lines
            .get(&ticket.institution)?
            .get(&ticket.queue)
    }

    pub(crate) fn queue(&self, ticket: &Ticket) -> Option<&Queue> {
        let institution = self.institutions.get(&ticket.institution)?;
        institution
            .queues
            .iter()
            .find(|queue| queue.id == ticket.queue)
    }

    fn pick<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a SessionId> + 'a,
    ) -> impl Iterator<Item = &'a Session> + 'a {
        ids.filter_map(|id| self.sessions.get(id))
    }
}
