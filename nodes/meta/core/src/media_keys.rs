//! Who holds the media key of a session. Whenever that changes there is a next epoch, with a key that
//! those who left never see; this file says who gets it, and takes it only from a proposer who wrapped
//! it to exactly them. The key itself is drawn by the proposer and never comes here.

use std::collections::{BTreeMap, BTreeSet};

use guitai_types::{
    Hex, NodeName, Problem, Role, SessionId, StaffRef, TicketId,
    command::Reply,
    limits::{ASSIGNMENTS_MAX, KEY_EPOCHS_MAX, KEYS_PAST_KEPT, SESSION_EVENTS_MAX},
    media::{HolderView, KeyChange, KeyHolder, KeyView, PastKeys},
    record::{Participant, Presence, Session, TicketState, WrappedKey},
    view::StaffView,
};

use crate::{
    State,
    apply::Turn,
    check,
    index::serves,
    limits::{CLOSING_EVENTS_RESERVED, WRAPPED_BYTES_MAX},
};

/// The next media key of a session: which epoch, and who is to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKeys {
    /// Its epoch.
    pub epoch: u32,
    /// To whom it must be wrapped.
    pub holders: Vec<KeyHolder>,
}

/// Who takes part in a session, before or after a change.
struct Parties {
    customer: Hex,
    agent: Hex,
    recorders: Vec<(NodeName, Hex)>,
}

impl Parties {
    fn holders(self) -> Vec<KeyHolder> {
        let recorders = self.recorders.into_iter();
        let recorders = recorders.map(|(node, key)| (Participant::Recorder { node }, key));
        [
            (Participant::Customer, self.customer),
            (Participant::Agent, self.agent),
        ]
        .into_iter()
        .chain(recorders)
        // Without a key pair nobody is there: the page is gone, or the node.
        .filter(|(_, public_key)| !public_key.0.is_empty())
        .map(|(participant, public_key)| KeyHolder {
            participant,
            public_key,
        })
        .collect()
    }
}

impl State {
    /// The next media key that a running session needs for a change; `None` when the change changes
    /// nothing, so that asking twice is no fault.
    pub fn next_keys(
        &self,
        session: &SessionId,
        change: &KeyChange,
    ) -> Result<Option<NextKeys>, Problem> {
        let session = self
            .session(session)
            .ok_or_else(|| check::missing("session"))?;
        if session.ended_at.is_some() {
            return Err(check::wrong("the session has ended"));
        }
        let holders = self.parties_after(session, change)?.holders();
        if holders == session.key_holders {
            return Ok(None);
        }
        if session.key_epoch >= KEY_EPOCHS_MAX {
            let detail = format!(
                "media keys of session {}: the limit KEY_EPOCHS_MAX is {KEY_EPOCHS_MAX}",
                session.id
            );
            return Err(Problem::new(guitai_types::Code::TooMany, detail));
        }
        Ok(Some(NextKeys {
            epoch: session.key_epoch + 1,
            holders,
        }))
    }

    /// The call that a ticket is in, with its customer's page.
    pub fn call_of_ticket(&self, ticket: &TicketId) -> Option<SessionId> {
        match &self.ticket(ticket)?.state {
            TicketState::InSession { session } => Some(session.clone()),
            _ => None,
        }
    }

    /// Running sessions whose recorder has another key pair than the media key was wrapped to.
    pub fn sessions_to_rekey(&self) -> Vec<SessionId> {
        let stale = |session: &&Session| {
            matches!(
                self.next_keys(&session.id, &KeyChange::Recorders),
                Ok(Some(_))
            )
        };
        self.sessions_running()
            .filter(stale)
            .map(|session| session.id.clone())
            .collect()
    }

    pub(crate) fn holders(
        &self,
        ticket: &TicketId,
        agent: &StaffRef,
        recorders: &[NodeName],
    ) -> Vec<KeyHolder> {
        self.parties(ticket, agent, recorders).holders()
    }

    fn parties(&self, ticket: &TicketId, agent: &StaffRef, recorders: &[NodeName]) -> Parties {
        let key_of = |node: &NodeName| self.member(node).map(|member| member.public_key.clone());
        Parties {
            customer: self
                .ticket(ticket)
                .map(|ticket| ticket.media_key.clone())
                .unwrap_or_default(),
            agent: self
                .desk(agent)
                .map(|desk| desk.media_key.clone())
                .unwrap_or_default(),
            recorders: recorders
                .iter()
                .map(|node| (node.clone(), key_of(node).unwrap_or_default()))
                .collect(),
        }
    }

    fn parties_after(&self, session: &Session, change: &KeyChange) -> Result<Parties, Problem> {
        let mut parties = self.parties(&session.ticket, &session.agent, &session.recorders);
        match change {
            KeyChange::Joined {
                participant,
                media_key,
            } => {
                check::point("media key", media_key)?;
                *parties.page(participant)? = media_key.clone();
            }
            KeyChange::Left {
                participant,
                media_key,
            } => {
                let page = parties.page(participant)?;
                if page == media_key {
                    *page = Hex::default();
                }
            }
            KeyChange::Transferred { to } => parties.agent = self.heir(session, to)?,
            KeyChange::Recorders => {}
            KeyChange::HandOver { from, to, cause } => {
                check::word("cause", cause)?;
                let key = self.next_recorder(session, from.as_ref(), to)?;
                let stays = |(node, _): &(NodeName, Hex)| Some(node) != from.as_ref();
                parties.recorders.retain(stays);
                parties.recorders.push((to.clone(), key));
            }
        }
        Ok(parties)
    }

    /// The public key of a recorder that can take over from another, or join.
    fn next_recorder(
        &self,
        session: &Session,
        from: Option<&NodeName>,
        to: &NodeName,
    ) -> Result<Hex, Problem> {
        if from.is_some_and(|node| session.assignment_of(node).is_none()) {
            return Err(check::wrong(
                "the recorder to be replaced records no longer",
            ));
        }
        if session.assignment_of(to).is_some() {
            return Err(check::wrong(format!(
                "node {to} records the session already"
            )));
        }
        check::room(
            "turns at recording the session",
            session.assignments.len(),
            "ASSIGNMENTS_MAX",
            ASSIGNMENTS_MAX,
        )?;
        let member = self.member(to).filter(|member| member.has(Role::Recorder));
        let member = member.ok_or_else(|| check::missing("recorder"))?;
        Ok(member.public_key.clone())
    }

    /// Agents who can take over a session now, by name: ready, of its institution, serving its queue.
    pub fn colleagues(&self, session: &Session) -> Vec<StaffView> {
        let desks = self.desks().filter(|desk| desk.staff != session.agent);
        desks
            .filter(|desk| self.heir(session, &desk.staff).is_ok())
            .filter_map(|desk| self.staff_view(&desk.staff))
            .collect()
    }

    /// The public key of an agent who can take over a session.
    fn heir(&self, session: &Session, to: &StaffRef) -> Result<Hex, Problem> {
        let account = self
            .staff(to)
            .filter(|_| to.institution == session.institution)
            .ok_or_else(|| check::missing("staff account"))?;
        let institution = self.institution(&session.institution);
        let queue = institution.and_then(|it| it.queues.iter().find(|it| it.id == session.queue));
        if !queue.is_some_and(|queue| serves(account, queue)) {
            return Err(check::bad(format!(
                "{to} does not serve the queue of the session"
            )));
        }
        match self.desk(to) {
            Some(desk) if desk.presence == Presence::Ready && !desk.media_key.0.is_empty() => {
                Ok(desk.media_key.clone())
            }
            _ => Err(check::wrong(format!("{to} is not ready"))),
        }
    }

    /// Who can open the media of a session, for people.
    pub(crate) fn key_view(&self, session: &Session) -> KeyView {
        let display = |participant: &Participant| match participant {
            Participant::Customer => session.customer.clone(),
            Participant::Agent => session.agent_display.clone(),
            Participant::Recorder { node } => node.to_string(),
        };
        let wrapped = session.keys.iter();
        KeyView {
            epoch: session.key_epoch,
            since: session.key_since,
            audio_suite: session.audio_suite,
            holders: wrapped
                .map(|key| HolderView {
                    participant: key.recipient.clone(),
                    display: display(&key.recipient),
                })
                .collect(),
        }
    }
}

impl Parties {
    fn page(&mut self, participant: &Participant) -> Result<&mut Hex, Problem> {
        match participant {
            Participant::Customer => Ok(&mut self.customer),
            Participant::Agent => Ok(&mut self.agent),
            Participant::Recorder { .. } => Err(check::bad("a recorder has no page")),
        }
    }
}

impl Turn<'_> {
    pub(crate) fn rekey(
        &mut self,
        id: &SessionId,
        epoch: u32,
        change: &KeyChange,
        keys: &[WrappedKey],
    ) -> Result<Reply, Problem> {
        let mut session = self.running(id)?;
        let Some(next) = self.state.next_keys(id, change)? else {
            return Ok(Reply::Done);
        };
        if epoch != next.epoch {
            let detail = format!("media key {epoch} is not the next one, {}", next.epoch);
            return Err(check::wrong(detail));
        }
        let keys = self.keys_of(&next.holders, keys)?;
        let most = SESSION_EVENTS_MAX - CLOSING_EVENTS_RESERVED;
        check::room(
            "events of the session",
            session.events.len(),
            "SESSION_EVENTS_MAX",
            most,
        )?;

        self.change_parties(&mut session, change);
        let is_recorder = |key: &WrappedKey| matches!(key.recipient, Participant::Recorder { .. });
        session.keys_past.push(PastKeys {
            epoch: session.key_epoch,
            until: self.now,
            keys: session.keys.drain(..).filter(is_recorder).collect(),
        });
        while session.keys_past.len() > KEYS_PAST_KEPT {
            session.keys_past.remove(0);
        }
        session.key_epoch = next.epoch;
        session.key_since = self.now;
        session.key_holders = next.holders;
        session.keys = keys;
        let details = BTreeMap::from([
            ("epoch".to_owned(), next.epoch.to_string()),
            ("cause".to_owned(), change.word().to_owned()),
        ]);
        self.note(&mut session, "system", "rekeyed", details);
        self.put_session(session);
        Ok(Reply::Done)
    }

    /// The keys in the holders' order, if they are wrapped to exactly those.
    fn keys_of(
        &self,
        holders: &[KeyHolder],
        keys: &[WrappedKey],
    ) -> Result<Vec<WrappedKey>, Problem> {
        if !self.state.head.policy.media_sealed {
            return Ok(Vec::new());
        }
        let wanted: BTreeSet<_> = holders.iter().map(|holder| &holder.participant).collect();
        let given: BTreeSet<_> = keys.iter().map(|key| &key.recipient).collect();
        if wanted != given || keys.len() != given.len() {
            return Err(check::wrong(
                "the media key is not wrapped to exactly those who take part",
            ));
        }
        for key in keys {
            let size = key.wrapped.0.len();
            check::at_most("wrapped key", size, "WRAPPED_BYTES_MAX", WRAPPED_BYTES_MAX)?;
        }
        let mut keys = keys.to_vec();
        keys.sort_by(|one, other| one.recipient.cmp(&other.recipient));
        Ok(keys)
    }

    fn change_parties(&mut self, session: &mut Session, change: &KeyChange) {
        match change {
            KeyChange::Joined {
                participant,
                media_key,
            } => self.set_page(session, participant, media_key.clone()),
            KeyChange::Left { participant, .. } => {
                self.set_page(session, participant, Hex::default());
            }
            KeyChange::Transferred { to } => self.hand_to(session, to),
            KeyChange::Recorders => {}
            KeyChange::HandOver { from, to, cause } => {
                self.hand_over_recording(session, from.as_ref(), to, cause);
            }
        }
    }

    fn set_page(&mut self, session: &Session, participant: &Participant, media_key: Hex) {
        if *participant == Participant::Agent {
            let mut desk = self.desk(&session.agent);
            desk.media_key = media_key;
            self.put_desk(desk);
        } else if let Some(mut ticket) = self.state.tickets.get(&session.ticket).cloned() {
            ticket.media_key = media_key;
            self.keep_ticket(ticket);
        }
    }

    fn hand_to(&mut self, session: &mut Session, to: &StaffRef) {
        let mut before = self.desk(&session.agent);
        before.presence = Presence::WrapUp;
        before.since = self.now;
        before.session = None;
        self.put_desk(before);
        let mut after = self.desk(to);
        after.presence = Presence::Busy;
        after.since = self.now;
        after.session = Some(session.id.clone());
        self.put_desk(after);
        let shown = self.shown(to);
        let details = BTreeMap::from([
            ("from".to_owned(), session.agent_display.clone()),
            ("to".to_owned(), shown.clone()),
        ]);
        self.note(session, "agent", "transferred", details);
        session.agent = to.clone();
        session.agent_display = shown;
    }

    /// An agent's display name and work number.
    pub(crate) fn shown(&self, agent: &StaffRef) -> String {
        let account = self.state.staff.get(agent);
        let shown = account.map(|staff| format!("{} · {}", staff.display, staff.number));
        shown.unwrap_or_default()
    }
}
