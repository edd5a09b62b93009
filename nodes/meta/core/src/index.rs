//! What can be computed from the records, kept so that no rule has to scan.
//!
//! Every entry is put in and taken out by the same function of one record, so an index built from
//! the records alone equals the one kept up to date; the simulator compares them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use guitai_types::{
    InstitutionId, NodeName, QueueId, RequestId, ReservationId, SessionId, StaffName, TicketId,
    UnixMillis,
    film::{Film, FilmStage},
    limits::{FILM_KEPT_MS, FILM_SILENT_MS},
    record::{
        Desk, Duty, Institution, Policy, Presence, Queue, RecordingState, Reservation, Session,
        Staff, Ticket, TicketState,
    },
    retention::{Health, Recording, Retention, Stage},
};

use crate::{State, keeping, limits::TICKET_ENDED_KEPT_MS};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) lines: BTreeMap<InstitutionId, BTreeMap<QueueId, Line>>,
    /// What happens when, if nothing happens before.
    pub(crate) due: BTreeSet<(UnixMillis, Due)>,
    pub(crate) running: BTreeSet<SessionId>,
    pub(crate) sessions_ended: BTreeSet<(UnixMillis, SessionId)>,
    pub(crate) tickets_ended: BTreeSet<(UnixMillis, TicketId)>,
    /// Kept recordings by the nodes that have a whole copy: many recordings, few groups, whose centres are asked
    /// for as the members are now.
    pub(crate) whole: BTreeMap<BTreeSet<NodeName>, BTreeSet<SessionId>>,
    /// Replicas that a node is to get.
    pub(crate) ordered: BTreeMap<NodeName, BTreeSet<SessionId>>,
    /// Damaged copies of kept recordings.
    pub(crate) damaged: BTreeSet<(NodeName, SessionId)>,
    /// Recordings that recorders are to erase.
    pub(crate) erasing: BTreeSet<SessionId>,
    /// Recordings that are erased.
    pub(crate) erased: BTreeSet<(UnixMillis, SessionId)>,
    /// Films by the call that they are of.
    pub(crate) films_of: BTreeMap<SessionId, BTreeSet<u32>>,
    /// Films that wait, in the order in which they were asked for.
    pub(crate) films_waiting: BTreeSet<u32>,
    /// Films that a node makes.
    pub(crate) films_making: BTreeSet<(NodeName, u32)>,
    /// Films that are done, failed or cancelled.
    pub(crate) films_finished: BTreeSet<(UnixMillis, u32)>,
    /// Asked for every entry, and never in an order.
    pub(crate) requests: HashMap<RequestId, u64>,
}

/// One queue: who waits, and who could serve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// By serial.
    pub(crate) waiting: BTreeMap<u64, TicketId>,
    /// Agents with all skills of the queue that are ready, longest idle first.
    pub(crate) ready: BTreeSet<(UnixMillis, StaffName)>,
    /// Agents with all skills of the queue that are logged in.
    pub(crate) online: BTreeSet<StaffName>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    RingOver(ReservationId),
    CustomerAway(TicketId),
    Unrecorded(SessionId),
    Forget(TicketId),
    /// A recording's time is over.
    Expire(SessionId),
    /// A node that makes a film has not been heard of.
    FilmSilent(u32),
    /// A film is finished since long.
    FilmOver(u32),
}

/// Whether an entry is put in or taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    In,
    Out,
}

impl Index {
    /// The index of a state's tables.
    pub(crate) fn build(state: &State) -> Self {
        let mut index = Self::default();
        state
            .institutions
            .values()
            .for_each(|record| index.institution(record));
        for desk in state.desks.values() {
            let institution = state.institutions.get(&desk.staff.institution);
            index.desk(Put::In, desk, state.staff.get(&desk.staff), institution);
        }
        let policy = &state.head.policy;
        state
            .tickets
            .values()
            .for_each(|record| index.ticket(Put::In, record, policy));
        state
            .reservations
            .values()
            .for_each(|record| index.reservation(Put::In, record));
        state
            .sessions
            .values()
            .for_each(|record| index.session(Put::In, record, policy));
        for recording in state.recordings.values() {
            index.recording(Put::In, recording, state.retention.as_ref());
        }
        let films = state.films.values();
        films.for_each(|film| index.film(Put::In, film));
        let requests = state.requests.iter();
        index.requests = requests
            .map(|(number, it)| (it.request.clone(), *number))
            .collect();
        index
    }

    pub(crate) fn institution(&mut self, institution: &Institution) {
        let lines = self.lines.entry(institution.id.clone()).or_default();
        for queue in &institution.queues {
            lines.entry(queue.id.clone()).or_default();
        }
    }

    pub(crate) fn desk(
        &mut self,
        put: Put,
        desk: &Desk,
        staff: Option<&Staff>,
        institution: Option<&Institution>,
    ) {
        let (Some(staff), Some(institution)) = (staff, institution) else {
            return;
        };
        let Some(lines) = self.lines.get_mut(&institution.id) else {
            return;
        };
        let served = institution
            .queues
            .iter()
            .filter(|queue| serves(staff, queue));
        for queue in served {
            let Some(line) = lines.get_mut(&queue.id) else {
                continue;
            };
            if desk.presence == Presence::Ready {
                set(&mut line.ready, put, (desk.since, desk.staff.name.clone()));
            }
            if desk.presence != Presence::Offline {
                set(&mut line.online, put, desk.staff.name.clone());
            }
        }
    }

    pub(crate) fn ticket(&mut self, put: Put, ticket: &Ticket, policy: &Policy) {
        if let TicketState::Ended { .. } = ticket.state {
            set(
                &mut self.tickets_ended,
                put,
                (ticket.seen_at, ticket.id.clone()),
            );
            let forget_at = ticket.seen_at.plus(TICKET_ENDED_KEPT_MS);
            set(
                &mut self.due,
                put,
                (forget_at, Due::Forget(ticket.id.clone())),
            );
            return;
        }
        let away_at = ticket.seen_at.plus(policy.away_ms);
        set(
            &mut self.due,
            put,
            (away_at, Due::CustomerAway(ticket.id.clone())),
        );
        if ticket.state != TicketState::Waiting {
            return;
        }
        let lines = self.lines.get_mut(&ticket.institution);
        if let Some(line) = lines.and_then(|lines| lines.get_mut(&ticket.queue)) {
            match put {
                Put::In => line.waiting.insert(ticket.serial, ticket.id.clone()),
                Put::Out => line.waiting.remove(&ticket.serial),
            };
        }
    }

    pub(crate) fn reservation(&mut self, put: Put, reservation: &Reservation) {
        let due = Due::RingOver(reservation.id.clone());
        set(&mut self.due, put, (reservation.due_at, due));
    }

    pub(crate) fn session(&mut self, put: Put, session: &Session, policy: &Policy) {
        if let Some(ended_at) = session.ended_at {
            set(
                &mut self.sessions_ended,
                put,
                (ended_at, session.id.clone()),
            );
            return;
        }
        set(&mut self.running, put, session.id.clone());
        if let RecordingState::Lost { at, .. } = session.recording {
            let due = Due::Unrecorded(session.id.clone());
            set(&mut self.due, put, (at.plus(policy.unrecorded_ms), due));
        }
    }
}

impl Index {
    pub(crate) fn recording(
        &mut self,
        put: Put,
        recording: &Recording,
        retention: Option<&Retention>,
    ) {
        let id = &recording.session;
        match &recording.stage {
            Stage::Kept => {
                self.copies(put, recording);
                let due = retention.and_then(|retention| keeping::due(recording, retention));
                // A hold stops the clock; it goes on from where it stands when the last one is released.
                if let Some(erasure) = due.filter(|_| recording.holds.is_empty()) {
                    let due = (erasure.until.over(), Due::Expire(id.clone()));
                    set(&mut self.due, put, due);
                }
            }
            Stage::Erasing { .. } => set(&mut self.erasing, put, id.clone()),
            Stage::Erased { at, .. } => set(&mut self.erased, put, (*at, id.clone())),
        }
    }

    fn copies(&mut self, put: Put, recording: &Recording) {
        let id = &recording.session;
        for (node, copy) in &recording.copies {
            match copy.health {
                Health::Ordered { .. } => group(&mut self.ordered, put, node.clone(), id.clone()),
                Health::Damaged { .. } => set(&mut self.damaged, put, (node.clone(), id.clone())),
                Health::Unsealed | Health::Whole | Health::Replica { .. } => {}
            }
        }
        let whole = recording.whole().map(|(node, _)| node.clone());
        group(&mut self.whole, put, whole.collect(), id.clone());
    }
}

impl Index {
    pub(crate) fn film(&mut self, put: Put, film: &Film) {
        let number = film.number;
        group(&mut self.films_of, put, film.session.clone(), number);
        match &film.stage {
            FilmStage::Waiting { .. } => set(&mut self.films_waiting, put, number),
            FilmStage::Making { node, heard_at, .. } => {
                set(&mut self.films_making, put, (node.clone(), number));
                let due = (heard_at.plus(FILM_SILENT_MS), Due::FilmSilent(number));
                set(&mut self.due, put, due);
            }
            FilmStage::Done { at, .. }
            | FilmStage::Failed { at, .. }
            | FilmStage::Cancelled { at, .. } => {
                set(&mut self.films_finished, put, (*at, number));
                let due = (at.plus(FILM_KEPT_MS), Due::FilmOver(number));
                set(&mut self.due, put, due);
            }
        }
    }
}

/// An agent serves a queue when it has every skill the queue asks for.
pub(crate) fn serves(staff: &Staff, queue: &Queue) -> bool {
    staff.duties.contains(&Duty::Agent)
        && queue
            .skills
            .iter()
            .all(|skill| staff.skills.contains(skill))
}

fn set<T: Ord>(all: &mut BTreeSet<T>, put: Put, one: T) {
    match put {
        Put::In => all.insert(one),
        Put::Out => all.remove(&one),
    };
}

/// As [`set`], in a set that is there only while it has something.
fn group<K: Ord, T: Ord>(all: &mut BTreeMap<K, BTreeSet<T>>, put: Put, key: K, one: T) {
    match put {
        Put::In => {
            all.entry(key).or_default().insert(one);
        }
        Put::Out => {
            let Some(group) = all.get_mut(&key) else {
                return;
            };
            group.remove(&one);
            if group.is_empty() {
                all.remove(&key);
            }
        }
    }
}
