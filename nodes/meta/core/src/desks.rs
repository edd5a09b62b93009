//! An agent's desk: presence, and the end of writing up.

use guitai_types::{
    Hex, Problem, StaffRef,
    command::Reply,
    record::{Desk, Duty, Presence},
};

use crate::{apply::Turn, check};

impl Turn<'_> {
    pub(crate) fn set_presence(
        &mut self,
        staff: &StaffRef,
        presence: Presence,
        media_key: &Hex,
    ) -> Result<Reply, Problem> {
        let account = self
            .state
            .staff
            .get(staff)
            .ok_or_else(|| check::missing("staff account"))?;
        if !account.duties.contains(&Duty::Agent) {
            return Err(check::bad("only an agent has a desk"));
        }
        let mut desk = self.desk(staff);
        match presence {
            Presence::Ready => check::point("media key", media_key)?,
            Presence::Break | Presence::Offline if media_key.0.is_empty() => {}
            Presence::Break | Presence::Offline => check::point("media key", media_key)?,
            _ => return Err(check::bad("only offline, break and ready can be set")),
        }
        if desk.presence == Presence::Busy {
            return Err(check::wrong("the agent is in a call"));
        }
        if let Some(reservation) = desk.reservation.clone() {
            if presence == Presence::Ready {
                // The page was loaded again while it rings: only its key is new.
                desk.media_key = media_key.clone();
                self.put_desk(desk);
                return Ok(Reply::Done);
            }
            if let Some(reservation) = self.state.reservations.get(&reservation).cloned() {
                self.give_back(&reservation, presence);
                desk = self.desk(staff);
            }
        }
        if !media_key.0.is_empty() {
            desk.media_key = media_key.clone();
        }
        // Being ready twice does not lose the place among the idle.
        if desk.presence != presence {
            desk.since = self.now;
            desk.presence = presence;
        }
        self.put_desk(desk);
        Ok(Reply::Done)
    }

    pub(crate) fn finish_wrap_up(&mut self, staff: &StaffRef) -> Result<Reply, Problem> {
        let mut desk = self.desk(staff);
        if desk.presence != Presence::WrapUp {
            return Err(check::wrong("the agent is not writing up"));
        }
        // Without a page nobody could be called.
        desk.presence = if desk.media_key.0.is_empty() {
            Presence::Break
        } else {
            Presence::Ready
        };
        desk.since = self.now;
        self.put_desk(desk);
        Ok(Reply::Done)
    }

    /// The desk, or a fresh one that is offline.
    pub(crate) fn desk(&self, staff: &StaffRef) -> Desk {
        let fresh = || Desk {
            staff: staff.clone(),
            presence: Presence::Offline,
            since: self.now,
            media_key: Hex::default(),
            reservation: None,
            session: None,
        };
        self.state.desks.get(staff).cloned().unwrap_or_else(fresh)
    }
}
