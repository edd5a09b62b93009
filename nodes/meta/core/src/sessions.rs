//! A call from its start to its end, and its recording, without which no business is done.

use std::collections::BTreeMap;

use guitai_types::{
    NodeName, Problem, SessionId, StaffRef,
    command::Reply,
    event::Change,
    limits::{SESSION_EVENTS_MAX, SESSIONS_ENDED_KEPT},
    media::KEY_EPOCH_FIRST,
    problem::Code,
    record::{
        Business, EndReason, Presence, RecordingState, Session, SessionEvent, Ticket, TicketState,
        WrappedKey,
    },
};

use crate::{
    apply::Turn,
    check,
    limits::{DETAILS_MAX, SYSTEM_EVENTS_RESERVED},
};

impl Turn<'_> {
    pub(crate) fn start_session(
        &mut self,
        id: &SessionId,
        mut ticket: Ticket,
        agent: &StaffRef,
        recorders: Vec<NodeName>,
        recorders_wanted: u8,
        keys: Vec<WrappedKey>,
    ) {
        let agent_display = self.shown(agent);
        let key_holders = self.state.holders(&ticket.id, agent, &recorders);
        let mut session = Session {
            id: id.clone(),
            institution: ticket.institution.clone(),
            queue: ticket.queue.clone(),
            ticket: ticket.id.clone(),
            customer: ticket.customer.clone(),
            agent: agent.clone(),
            agent_display: agent_display.clone(),
            branch: self.state.staff(agent).map(|it| it.branch.clone()),
            business: Business::default(),
            edge: ticket.edge.clone(),
            recorders: recorders.clone(),
            recorders_wanted,
            assignments: self.first_turns(&recorders),
            epoch: self.state.head.epoch,
            keys,
            key_epoch: KEY_EPOCH_FIRST,
            key_since: self.now,
            key_holders,
            keys_past: Vec::new(),
            audio_suite: self.state.head.policy.media_suite,
            started_at: self.now,
            ended_at: None,
            end_reason: None,
            recording: RecordingState::Starting,
            events: Vec::new(),
            stars: None,
        };
        let consent = BTreeMap::from([
            ("wording".to_owned(), ticket.consent.wording.clone()),
            ("agreed-at".to_owned(), ticket.consent.at.to_string()),
        ]);
        self.note(&mut session, "customer", "consent", consent);
        let accepted = BTreeMap::from([("agent".to_owned(), agent_display)]);
        self.note(&mut session, "agent", "accepted", accepted);

        let institution = session.institution.clone();
        let change = Change::SessionStarted {
            session: id.clone(),
            recorders,
        };
        self.emit(Some(&institution), change);
        self.keep_session(session);
        ticket.state = TicketState::InSession {
            session: id.clone(),
        };
        self.put_ticket(ticket);
        let mut desk = self.desk(agent);
        desk.presence = Presence::Busy;
        desk.since = self.now;
        desk.reservation = None;
        desk.session = Some(id.clone());
        self.put_desk(desk);
    }

    pub(crate) fn add_step(
        &mut self,
        id: &SessionId,
        actor: &str,
        step: &str,
        details: &BTreeMap<String, String>,
    ) -> Result<Reply, Problem> {
        let mut session = self.running(id)?;
        check::word("actor", actor)?;
        check::word("step", step)?;
        check::at_most(
            "details of a step",
            details.len(),
            "DETAILS_MAX",
            DETAILS_MAX,
        )?;
        for (name, text) in details {
            check::word("name of a detail", name)?;
            check::note("detail", text)?;
        }
        if !matches!(session.recording, RecordingState::Running { .. }) {
            let detail = format!("the recording of session {id} does not run");
            return Err(Problem::new(Code::NotRecording, detail));
        }
        let most = SESSION_EVENTS_MAX - SYSTEM_EVENTS_RESERVED;
        check::room(
            "events of the session",
            session.events.len(),
            "SESSION_EVENTS_MAX",
            most,
        )?;
        let kind = if actor == "customer" {
            "confirmed"
        } else {
            "step"
        };
        let mut details = details.clone();
        details.insert("step".to_owned(), step.to_owned());
        self.note(&mut session, actor, kind, details);
        self.put_session(session);
        Ok(Reply::Done)
    }

    pub(crate) fn put_business(
        &mut self,
        id: &SessionId,
        staff: &StaffRef,
        business: &Business,
    ) -> Result<Reply, Problem> {
        let session = self.state.sessions.get(id).cloned();
        let mut session = session.ok_or_else(|| check::missing("session"))?;
        if session.agent != *staff {
            return Err(check::wrong("it is another agent's session"));
        }
        let desk = self.desk(staff);
        // The desk writes up the call that ended when it began to.
        let is_written_up = desk.presence != Presence::WrapUp;
        if session
            .ended_at
            .is_some_and(|at| is_written_up || at != desk.since)
        {
            return Err(check::wrong("the session is over and written up"));
        }
        check::number("number of the business", &business.number)?;
        check::number("number of the customer", &business.customer)?;
        if session.business == *business {
            return Ok(Reply::Done);
        }
        check::room(
            "events of the session",
            session.events.len(),
            "SESSION_EVENTS_MAX",
            SESSION_EVENTS_MAX - SYSTEM_EVENTS_RESERVED,
        )?;
        let said = [
            ("number", &business.number),
            ("customer", &business.customer),
        ];
        let details = said
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(name, text)| (name.to_owned(), text.clone()))
            .collect();
        self.note(&mut session, "agent", "business", details);
        session.business = business.clone();
        self.put_session(session);
        Ok(Reply::Done)
    }

    pub(crate) fn end_session_by(
        &mut self,
        id: &SessionId,
        actor: &str,
        reason: EndReason,
    ) -> Result<Reply, Problem> {
        check::word("actor", actor)?;
        if reason == EndReason::CustomerLeft {
            return Err(check::bad("a customer leaves a queue, not a call"));
        }
        let session = self.running(id)?;
        self.end_session(session, actor, reason);
        Ok(Reply::Done)
    }

    pub(crate) fn end_session(&mut self, mut session: Session, actor: &str, reason: EndReason) {
        let kind = match reason {
            EndReason::CustomerHungUp | EndReason::AgentHungUp => "hung-up",
            _ => "ended",
        };
        let details = BTreeMap::from([("reason".to_owned(), reason_word(reason).to_owned())]);
        self.note(&mut session, actor, kind, details);
        session.ended_at = Some(self.now);
        session.end_reason = Some(reason);
        let (id, institution) = (session.id.clone(), session.institution.clone());
        let (ticket, agent) = (session.ticket.clone(), session.agent.clone());
        let change = Change::SessionEnded {
            session: id.clone(),
            ticket: ticket.clone(),
        };
        self.emit(Some(&institution), change);
        self.keep_session(session);

        let mut desk = self.desk(&agent);
        desk.presence = Presence::WrapUp;
        desk.since = self.now;
        desk.session = None;
        self.put_desk(desk);
        if let Some(mut ticket) = self.state.tickets.get(&ticket).cloned() {
            ticket.seen_at = self.now;
            ticket.state = TicketState::Ended {
                reason,
                session: Some(id),
            };
            self.put_ticket(ticket);
        }
        self.trim_tickets();
        self.trim_sessions();
    }

    fn trim_sessions(&mut self) {
        while self.state.index.sessions_ended.len() > SESSIONS_ENDED_KEPT {
            let Some((_, oldest)) = self.state.index.sessions_ended.first().cloned() else {
                break;
            };
            self.forget_session(&oldest);
        }
    }

    pub(crate) fn unrecorded(&mut self, id: &SessionId) {
        if let Some(session) = self.state.sessions.get(id).cloned() {
            self.end_session(session, "system", EndReason::RecordingLost);
        }
    }

    /// Appends a business event; numbers rise by one.
    pub(crate) fn note(
        &mut self,
        session: &mut Session,
        actor: &str,
        kind: &str,
        details: BTreeMap<String, String>,
    ) {
        session.events.push(SessionEvent {
            number: session.events.last().map_or(1, |event| event.number + 1),
            at: self.now,
            actor: actor.to_owned(),
            kind: kind.to_owned(),
            details,
        });
    }

    /// Writes a session that changed, and tells those who show it: both parties see the recording
    /// state and the steps done.
    pub(crate) fn put_session(&mut self, session: Session) {
        let institution = session.institution.clone();
        self.tell_session(&institution, &session.id);
        self.emit(
            Some(&institution),
            Change::Ticket {
                ticket: session.ticket.clone(),
            },
        );
        self.emit(
            Some(&institution),
            Change::Desk {
                staff: session.agent.clone(),
            },
        );
        self.keep_session(session);
    }

    pub(crate) fn running(&self, id: &SessionId) -> Result<Session, Problem> {
        let session = self.state.sessions.get(id).cloned();
        let session = session.ok_or_else(|| check::missing("session"))?;
        match session.ended_at {
            Some(_) => Err(check::wrong("the session has ended")),
            None => Ok(session),
        }
    }
}

/// The reason as it stands in a package; the same word as in JSON.
fn reason_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::CustomerLeft => "customer-left",
        EndReason::CustomerAway => "customer-away",
        EndReason::CustomerHungUp => "customer-hung-up",
        EndReason::AgentHungUp => "agent-hung-up",
        EndReason::OperatorEnded => "operator-ended",
        EndReason::RecordingLost => "recording-lost",
    }
}
