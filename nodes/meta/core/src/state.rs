//! The state.
use guitai_types::{command::*, *, event::Event, record::*};
use crate::{LoadError, Outcome, RecordKey};
/// State.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {}
impl State {
    /// Applies one proposal.
    pub fn apply(&mut self, _proposal: &Proposal) -> Outcome { unimplemented!() }
    /// When the leader should propose a tick.
    pub fn next_due(&self) -> Option<UnixMillis> { unimplemented!() }
    /// A record.
    pub fn record(&self, _key: &RecordKey) -> Option<Vec<u8>> { unimplemented!() }
    /// Loads records.
    pub fn load(_records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Self, LoadError> { unimplemented!() }
    /// Cluster id; `None` before the first command.
    pub fn cluster(&self) -> Option<&ClusterId> { unimplemented!() }
    /// Present epoch.
    pub fn epoch(&self) -> Epoch { unimplemented!() }
    /// Greatest time seen.
    pub fn clock(&self) -> UnixMillis { unimplemented!() }
    /// Policy.
    pub fn policy(&self) -> &Policy { unimplemented!() }
    /// Number of the newest event, 0 if there is none.
    pub fn event_number(&self) -> u64 { unimplemented!() }
    /// Events from `number` on, as far as still kept.
    pub fn events_from(&self, _number: u64) -> impl Iterator<Item = &Event> { [].iter() }
    /// Cities.
    pub fn cities(&self) -> &[City] { unimplemented!() }
    /// Centres.
    pub fn centres(&self) -> &[Centre] { unimplemented!() }
    /// Members, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> { [].iter() }
    /// A member by name.
    pub fn member(&self, _name: &NodeName) -> Option<&Member> { unimplemented!() }
    /// Members that record, by id.
    pub fn recorders(&self) -> impl Iterator<Item = &Member> { [].iter() }
    /// Institution.
    pub fn institution(&self, _id: &InstitutionId) -> Option<&Institution> { unimplemented!() }
    /// Staff account.
    pub fn staff(&self, _id: &StaffRef) -> Option<&Staff> { unimplemented!() }
    /// Desk.
    pub fn desk(&self, _id: &StaffRef) -> Option<&Desk> { unimplemented!() }
    /// Ticket.
    pub fn ticket(&self, _id: &TicketId) -> Option<&Ticket> { unimplemented!() }
    /// Reservation.
    pub fn reservation(&self, _id: &ReservationId) -> Option<&Reservation> { unimplemented!() }
    /// Session.
    pub fn session(&self, _id: &SessionId) -> Option<&Session> { unimplemented!() }
    /// Running sessions, by id.
    pub fn sessions_running(&self) -> impl Iterator<Item = &Session> { [].iter() }
    /// Ended sessions still kept, newest first.
    pub fn sessions_ended(&self) -> impl Iterator<Item = &Session> { [].iter() }
    /// Recordings sealed since the cluster was founded.
    pub fn recordings_sealed(&self) -> u64 { unimplemented!() }
}
