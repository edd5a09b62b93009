//! Who serves whom: the ticket with the lowest serial that any ready agent can serve gets, of the
//! agents with all skills of its queue, the one that has been idle longest.

use guitai_types::{
    InstitutionId, Problem, ReservationId, SessionId, StaffName, StaffRef, TicketId,
    command::Reply,
    event::Change,
    limits::{MEMBERS_MAX, SESSIONS_RUNNING_MAX},
    problem::Code,
    record::{Participant, Presence, Reservation, TicketState, WrappedKey},
};

use crate::{State, apply::Turn, check, limits::WRAPPED_BYTES_MAX};

impl State {
    /// No room for another session, those about to start included.
    pub(crate) fn is_full(&self) -> bool {
        self.index.running.len() + self.reservations.len() >= SESSIONS_RUNNING_MAX
    }

    fn next_match(&self, institution: &InstitutionId) -> Option<(TicketId, StaffRef)> {
        if self.is_full() {
            return None;
        }
        let heads = self
            .index
            .lines
            .get(institution)?
            .values()
            .filter_map(|line| {
                let (serial, ticket) = line.waiting.first_key_value()?;
                let (_, agent) = line.ready.first()?;
                Some((serial, ticket, agent))
            });
        let (_, ticket, agent): (&u64, &TicketId, &StaffName) = heads.min()?;
        let staff = StaffRef {
            institution: institution.clone(),
            name: agent.clone(),
        };
        Some((ticket.clone(), staff))
    }
}

impl Turn<'_> {
    /// Matches until nobody who waits can be served. Only institutions where something moved can
    /// have a match, unless there was no room for another session before.
    pub(crate) fn route(&mut self) {
        let institutions: Vec<InstitutionId> = if self.was_full {
            self.state.institutions.keys().cloned().collect()
        } else {
            self.moved.iter().cloned().collect()
        };
        for institution in institutions {
            while let Some((ticket, staff)) = self.state.next_match(&institution) {
                if self.reserve(&ticket, &staff).is_none() {
                    break;
                }
            }
        }
    }

    fn reserve(&mut self, ticket: &TicketId, staff: &StaffRef) -> Option<()> {
        let mut ticket = self.state.tickets.get(ticket)?.clone();
        let mut desk = self.state.desks.get(staff)?.clone();
        self.state.head.reservations += 1;
        let id = format!("r{}-{}", ticket.serial, self.state.head.reservations);
        let reservation = Reservation {
            id: ReservationId::try_from(id).ok()?,
            ticket: ticket.id.clone(),
            staff: staff.clone(),
            made_at: self.now,
            due_at: self.now.plus(self.state.head.policy.ring_ms),
        };
        ticket.state = TicketState::Ringing {
            reservation: reservation.id.clone(),
        };
        desk.presence = Presence::Ringing;
        desk.since = self.now;
        desk.reservation = Some(reservation.id.clone());
        self.put_reservation(reservation);
        self.put_ticket(ticket);
        self.put_desk(desk);
        Some(())
    }

    /// Takes a reservation off its desk; what becomes of the ticket is the caller's.
    pub(crate) fn release(&mut self, reservation: &Reservation, presence: Presence) {
        self.remove_reservation(reservation);
        let mut desk = self.desk(&reservation.staff);
        desk.reservation = None;
        desk.presence = presence;
        desk.since = self.now;
        self.put_desk(desk);
    }

    /// Takes a reservation off its desk and puts the ticket back in its place.
    pub(crate) fn give_back(&mut self, reservation: &Reservation, presence: Presence) {
        self.release(reservation, presence);
        if let Some(mut ticket) = self.state.tickets.get(&reservation.ticket).cloned() {
            ticket.state = TicketState::Waiting;
            self.put_ticket(ticket);
        }
    }

    pub(crate) fn reject(
        &mut self,
        reservation: &ReservationId,
        staff: &StaffRef,
    ) -> Result<Reply, Problem> {
        let reservation = self.reserved(reservation, staff)?;
        self.give_back(&reservation, Presence::Break);
        Ok(Reply::Done)
    }

    pub(crate) fn accept(
        &mut self,
        reservation: &ReservationId,
        staff: &StaffRef,
        session: &SessionId,
        keys: &[WrappedKey],
        silent: &[guitai_types::NodeName],
        recorders_wanted: u8,
    ) -> Result<Reply, Problem> {
        let reservation = self.reserved(reservation, staff)?;
        if self.state.sessions.contains_key(session) {
            return Err(check::wrong("a session with that id is there"));
        }
        let running = self.state.index.running.len();
        let limit = "SESSIONS_RUNNING_MAX";
        check::room("sessions running", running, limit, SESSIONS_RUNNING_MAX)?;
        check::at_most("wrapped keys", keys.len(), "MEMBERS_MAX", MEMBERS_MAX + 2)?;
        for key in keys {
            let size = key.wrapped.0.len();
            check::at_most("wrapped key", size, "WRAPPED_BYTES_MAX", WRAPPED_BYTES_MAX)?;
        }
        let ticket = self.state.tickets.get(&reservation.ticket).cloned();
        let ticket = ticket.ok_or_else(|| check::missing("ticket"))?;
        let count = usize::from(recorders_wanted);
        check::at_most("recorders", count, "MEMBERS_MAX", MEMBERS_MAX)?;
        let recorders = self.choose_recorders(&ticket.edge, silent, recorders_wanted);
        if recorders.is_empty() {
            let detail = "no node of the cluster has the role recorder";
            return Err(Problem::new(Code::NotRecording, detail));
        }
        let keys = self.keys_for(&recorders, keys)?;

        self.remove_reservation(&reservation);
        self.start_session(session, ticket, staff, recorders, recorders_wanted, keys);
        Ok(Reply::Session {
            session: session.clone(),
        })
    }

    /// Of the wrapped keys, those of the participants. The proposer wraps to every recorder, since
    /// only here is it decided which ones take part; the others never see theirs.
    fn keys_for(
        &self,
        recorders: &[guitai_types::NodeName],
        keys: &[WrappedKey],
    ) -> Result<Vec<WrappedKey>, Problem> {
        let recorders = recorders
            .iter()
            .map(|node| Participant::Recorder { node: node.clone() });
        let all = [Participant::Customer, Participant::Agent]
            .into_iter()
            .chain(recorders);
        let mut chosen = Vec::new();
        for recipient in all {
            let key = keys.iter().find(|key| key.recipient == recipient);
            match key {
                Some(key) => chosen.push(key.clone()),
                None if !self.state.head.policy.media_sealed => {}
                None => return Err(check::bad(format!("no media key for {recipient:?}"))),
            }
        }
        Ok(chosen)
    }

    fn reserved(&self, id: &ReservationId, staff: &StaffRef) -> Result<Reservation, Problem> {
        let reservation = self.state.reservations.get(id).cloned();
        let reservation = reservation.ok_or_else(|| check::missing("reservation"))?;
        if &reservation.staff != staff {
            let detail = "another agent is reserved";
            return Err(Problem::new(Code::Forbidden, detail));
        }
        Ok(reservation)
    }

    pub(crate) fn ring_over(&mut self, id: &ReservationId) {
        if let Some(reservation) = self.state.reservations.get(id).cloned() {
            self.give_back(&reservation, Presence::Break);
        }
    }

    pub(crate) fn tell_session(&mut self, institution: &InstitutionId, session: &SessionId) {
        self.emit(
            Some(institution),
            Change::Session {
                session: session.clone(),
            },
        );
    }
}
