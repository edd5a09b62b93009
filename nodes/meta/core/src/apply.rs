//! One proposal: exactly once, at a time that never goes back, then the agents that became free are
//! matched with the customers that wait.

use std::collections::BTreeSet;

use guitai_types::{
    InstitutionId, Problem, RequestId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    event::{Change, Event},
    film::{Film, FilmOrder},
    limits::{EVENTS_KEPT, REQUESTS_REMEMBERED},
    record::{Desk, Reservation, Session, Ticket},
    retention::Recording,
    tlog::Record,
};

use crate::{
    Outcome, RecordKey, State, check,
    index::{Index, Put},
    state::Remembered,
    tlog::Full,
};

impl State {
    /// Applies one proposal. A proposal whose request was answered before changes nothing and gets
    /// the first answer again; a refused one changes nothing but clock and memory of requests.
    pub fn apply(&mut self, proposal: &Proposal) -> Outcome {
        if let Some(reply) = self.answered(&proposal.request) {
            return Outcome {
                reply,
                events: Vec::new(),
                changed: Vec::new(),
                full: Vec::new(),
            };
        }
        let mut turn = Turn::begin(self, proposal.at);
        let reply = turn.decide(proposal).unwrap_or_else(|problem| {
            turn.logged.clear();
            Reply::Refused { problem }
        });
        turn.route();
        if is_remembered(&proposal.command) {
            turn.remember(&proposal.request, &reply);
        }
        let full = turn.append(proposal);
        turn.end(reply, full)
    }

    /// When a tick should be proposed: the earliest thing that happens by itself.
    pub fn next_due(&self) -> Option<UnixMillis> {
        self.index.due.first().map(|(at, _)| *at)
    }

    fn answered(&self, request: &RequestId) -> Option<Reply> {
        let number = self.index.requests.get(request)?;
        self.requests
            .get(number)
            .map(|remembered| remembered.reply.clone())
    }
}

/// Touches, ticks, probes, a recorder's root of a second and checkpoints are harmless when repeated (a canary remembers for itself) and by far the most frequent: remembering them
/// would only push out what must be remembered.
fn is_remembered(command: &Command) -> bool {
    if let Command::Film { order } = command {
        return !matches!(**order, FilmOrder::Progress { .. });
    }
    !matches!(
        command,
        Command::TouchTicket { .. }
            | Command::Probe { .. }
            | Command::Canary { .. }
            | Command::AppendRoot { .. }
            | Command::PutCheckpoint { .. }
            | Command::Tick
    )
}

/// The state while one proposal is applied, and what comes out of it. A rule checks everything
/// before its first change, so that a refusal changes nothing.
pub(crate) struct Turn<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) now: UnixMillis,
    events: Vec<Event>,
    changed: BTreeSet<RecordKey>,
    /// What goes into the transparency log when the turn ends.
    pub(crate) logged: Vec<Record>,
    /// Institutions where a customer began or ceased to wait, or an agent became ready or not.
    pub(crate) moved: BTreeSet<InstitutionId>,
    /// There was no room for another session when the turn began: others than the ones moved may
    /// wait for it.
    pub(crate) was_full: bool,
    head_before: crate::state::Head,
}

impl<'a> Turn<'a> {
    fn begin(state: &'a mut State, at: UnixMillis) -> Self {
        let head_before = state.head.clone();
        state.head.clock = state.head.clock.max(at);
        let now = state.head.clock;
        let was_full = state.is_full();
        Self {
            state,
            now,
            events: Vec::new(),
            changed: BTreeSet::new(),
            logged: Vec::new(),
            moved: BTreeSet::new(),
            was_full,
            head_before,
        }
    }

    fn decide(&mut self, proposal: &Proposal) -> Result<Reply, Problem> {
        if proposal.v != PROPOSAL_VERSION {
            let detail = format!("version {} of a proposal is not known here", proposal.v);
            return Err(check::bad(detail));
        }
        let command = &proposal.command;
        let founded = self.state.head.cluster.is_some();
        if !founded && !matches!(command, Command::Found { .. } | Command::Tick) {
            return Err(check::wrong("the cluster is not founded"));
        }
        match command {
            Command::Found { .. } => self.found(command),
            Command::PutMember { member } => self.put_member(member),
            Command::PutStaff { staff } => self.put_staff(staff),
            Command::PutPolicy { policy } => self.put_policy(policy),
            Command::RaiseEpoch { epoch } => self.raise_epoch(*epoch),
            Command::OpenTicket { .. } => self.open_ticket(command),
            Command::TouchTicket { ticket } => self.touch_ticket(ticket),
            Command::MoveTicket { ticket, edge } => self.move_ticket(ticket, edge),
            Command::CloseTicket { ticket, reason } => self.close_ticket(ticket, *reason),
            Command::SetPresence {
                staff,
                presence,
                media_key,
            } => self.set_presence(staff, *presence, media_key),
            Command::Accept {
                reservation,
                staff,
                session,
                keys,
                silent,
                recorders,
            } => self.accept(reservation, staff, session, keys, silent, *recorders),
            Command::Rekey {
                session,
                epoch,
                change,
                keys,
            } => self.rekey(session, *epoch, change, keys),
            Command::Reject { reservation, staff } => self.reject(reservation, staff),
            Command::AddStep {
                session,
                actor,
                step,
                details,
            } => self.add_step(session, actor, step, details),
            Command::NoteMessage { session, message } => self.note_message(session, message),
            Command::PutBusiness {
                session,
                staff,
                business,
            } => self.put_business(session, staff, business),
            Command::EndSession {
                session,
                actor,
                reason,
            } => self.end_session_by(session, actor, *reason),
            Command::FinishWrapUp { staff } => self.finish_wrap_up(staff),
            Command::Rate {
                ticket,
                stars,
                comment,
            } => self.rate(ticket, *stars, comment),
            Command::ReportRecording {
                session,
                node,
                assignment,
                report,
            } => self.report_recording(session, node, *assignment, report),
            Command::Dr { order } => self.dr(order),
            Command::Probe { lane, serial } => self.probe(lane, *serial),
            Command::PutMark { mark, value, .. } => self.put_mark(mark, value),
            Command::Canary { node, step } => self.canary(&proposal.request, node, step),
            Command::SetSyncMode { counter, mode } => self.set_sync_mode(*counter, mode),
            Command::TrustLog { trust } => self.trust_log(trust),
            Command::AppendRoot { root } => self.append_root(root),
            Command::LogAccess { access } => self.log_access(access),
            Command::LogLogin { login } => self.log_login(login),
            Command::AlarmLog { alarm } => self.alarm_log(alarm),
            Command::PutCheckpoint { sm3, sha256 } => self.put_checkpoint(sm3, sha256),
            Command::Keep { order } => self.keep(order),
            Command::Flow { order } => self.flow(order),
            Command::PutHolding { node, by, holding } => self.put_holding(node, by, holding),
            Command::Film { order } => self.film(order),
            Command::Tick => Ok(self.tick()),
        }
    }

    fn remember(&mut self, request: &RequestId, reply: &Reply) {
        self.state.head.request += 1;
        let number = self.state.head.request;
        let remembered = Remembered {
            request: request.clone(),
            reply: reply.clone(),
        };
        self.state.index.requests.insert(request.clone(), number);
        self.state.requests.insert(number, remembered);
        self.changed.insert(RecordKey::of_request(number));
        while self.state.requests.len() > REQUESTS_REMEMBERED {
            let Some((number, forgotten)) = self.state.requests.pop_first() else {
                break;
            };
            self.state.index.requests.remove(&forgotten.request);
            self.changed.insert(RecordKey::of_request(number));
        }
    }

    fn end(mut self, reply: Reply, full: Vec<Full>) -> Outcome {
        for institution in std::mem::take(&mut self.moved) {
            self.emit(Some(&institution), Change::Queue);
        }
        if self.state.head != self.head_before {
            self.changed.insert(RecordKey::Head);
        }
        let changed = self.changed.into_iter().collect();
        Outcome {
            reply,
            events: self.events,
            changed,
            full,
        }
    }

    pub(crate) fn emit(&mut self, institution: Option<&InstitutionId>, change: Change) {
        self.state.head.event += 1;
        let number = self.state.head.event;
        let event = Event {
            number,
            at: self.now,
            institution: institution.cloned(),
            change,
        };
        self.events.push(event.clone());
        self.state.events.insert(number, event);
        self.changed.insert(RecordKey::Event(number));
        while self.state.events.len() > EVENTS_KEPT {
            let Some((number, _)) = self.state.events.pop_first() else {
                break;
            };
            self.changed.insert(RecordKey::Event(number));
        }
    }

    pub(crate) fn changed(&mut self, key: RecordKey) {
        self.changed.insert(key);
    }

    /// Builds the index anew, after a change that concerns all of it.
    pub(crate) fn reindex(&mut self) {
        self.state.index = Index::build(self.state);
    }

    /// Writes a ticket without telling anybody.
    pub(crate) fn keep_ticket(&mut self, ticket: Ticket) {
        let State {
            tickets,
            index,
            head,
            ..
        } = &mut *self.state;
        if let Some(before) = tickets.get(&ticket.id) {
            index.ticket(Put::Out, before, &head.policy);
        }
        index.ticket(Put::In, &ticket, &head.policy);
        self.changed.insert(RecordKey::Ticket(ticket.id.clone()));
        tickets.insert(ticket.id.clone(), ticket);
    }

    /// Writes a ticket that moved, and says so.
    pub(crate) fn put_ticket(&mut self, ticket: Ticket) {
        self.moved.insert(ticket.institution.clone());
        let change = Change::Ticket {
            ticket: ticket.id.clone(),
        };
        self.emit(Some(&ticket.institution.clone()), change);
        self.keep_ticket(ticket);
    }

    pub(crate) fn forget_ticket(&mut self, id: &guitai_types::TicketId) {
        let State {
            tickets,
            index,
            head,
            ..
        } = &mut *self.state;
        if let Some(ticket) = tickets.remove(id) {
            index.ticket(Put::Out, &ticket, &head.policy);
            self.changed.insert(RecordKey::Ticket(ticket.id));
        }
    }

    pub(crate) fn put_desk(&mut self, desk: Desk) {
        let State {
            desks,
            index,
            staff,
            institutions,
            ..
        } = &mut *self.state;
        let account = staff.get(&desk.staff);
        let institution = institutions.get(&desk.staff.institution);
        if let Some(before) = desks.get(&desk.staff) {
            index.desk(Put::Out, before, account, institution);
        }
        index.desk(Put::In, &desk, account, institution);
        let staff = desk.staff.clone();
        desks.insert(staff.clone(), desk);
        self.changed.insert(RecordKey::Desk(staff.clone()));
        self.moved.insert(staff.institution.clone());
        self.emit(Some(&staff.institution.clone()), Change::Desk { staff });
    }

    pub(crate) fn put_reservation(&mut self, reservation: Reservation) {
        self.state.index.reservation(Put::In, &reservation);
        self.changed
            .insert(RecordKey::Reservation(reservation.id.clone()));
        self.state
            .reservations
            .insert(reservation.id.clone(), reservation);
    }

    pub(crate) fn remove_reservation(&mut self, reservation: &Reservation) {
        self.state.index.reservation(Put::Out, reservation);
        self.state.reservations.remove(&reservation.id);
        self.changed
            .insert(RecordKey::Reservation(reservation.id.clone()));
    }

    pub(crate) fn keep_session(&mut self, session: Session) {
        let State {
            sessions,
            index,
            head,
            ..
        } = &mut *self.state;
        if let Some(before) = sessions.get(&session.id) {
            index.session(Put::Out, before, &head.policy);
        }
        index.session(Put::In, &session, &head.policy);
        self.changed.insert(RecordKey::Session(session.id.clone()));
        sessions.insert(session.id.clone(), session);
    }

    pub(crate) fn keep_recording(&mut self, recording: Recording) {
        let State {
            recordings,
            index,
            retention,
            ..
        } = &mut *self.state;
        if let Some(before) = recordings.get(&recording.session) {
            index.recording(Put::Out, before, retention.as_ref());
        }
        index.recording(Put::In, &recording, retention.as_ref());
        let session = recording.session.clone();
        recordings.insert(session.clone(), recording);
        self.changed.insert(RecordKey::Recording(session));
    }

    pub(crate) fn forget_recording(&mut self, id: &guitai_types::SessionId) {
        let State {
            recordings,
            index,
            retention,
            ..
        } = &mut *self.state;
        if let Some(recording) = recordings.remove(id) {
            index.recording(Put::Out, &recording, retention.as_ref());
            self.changed.insert(RecordKey::Recording(recording.session));
        }
    }

    pub(crate) fn keep_film(&mut self, film: Film) {
        let State { films, index, .. } = &mut *self.state;
        if let Some(before) = films.get(&film.number) {
            index.film(Put::Out, before);
        }
        index.film(Put::In, &film);
        self.changed.insert(RecordKey::Film(film.number));
        films.insert(film.number, film);
    }

    pub(crate) fn forget_film(&mut self, number: u32) {
        let State { films, index, .. } = &mut *self.state;
        if let Some(film) = films.remove(&number) {
            index.film(Put::Out, &film);
            self.changed.insert(RecordKey::Film(number));
            self.tell_film(&film);
        }
    }

    pub(crate) fn forget_session(&mut self, id: &guitai_types::SessionId) {
        let State {
            sessions,
            index,
            head,
            ..
        } = &mut *self.state;
        if let Some(session) = sessions.remove(id) {
            index.session(Put::Out, &session, &head.policy);
            self.changed.insert(RecordKey::Session(session.id));
        }
    }
}
