//! What people see, as functions of the state.
use guitai_types::{*, claims::Grant, control::Catalogue, view::*};
use crate::State;
impl State {
    /// A ticket as its customer sees it.
    pub fn ticket_view(&self, _ticket: &TicketId, _issue: &dyn Fn(&Grant) -> String) -> Option<TicketView> { unimplemented!() }
    /// A desk as its owner sees it.
    pub fn desk_view(&self, _staff: &StaffRef, _issue: &dyn Fn(&Grant) -> String) -> Option<DeskView> { unimplemented!() }
    /// A member of staff.
    pub fn staff_view(&self, _staff: &StaffRef) -> Option<StaffView> { unimplemented!() }
    /// All queues.
    pub fn queue_views(&self) -> Vec<QueueView> { unimplemented!() }
    /// A session with its events.
    pub fn session_view(&self, _session: &SessionId) -> Option<SessionView> { unimplemented!() }
    /// Running sessions, without their events.
    pub fn sessions_running_views(&self) -> Vec<SessionView> { unimplemented!() }
    /// Ended sessions, newest first, at most `limit`, without their events.
    pub fn sessions_ended_views(&self, _limit: usize) -> Vec<SessionView> { unimplemented!() }
    /// What customers may choose from.
    pub fn catalogue(&self) -> Catalogue { unimplemented!() }
}
