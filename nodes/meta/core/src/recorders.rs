//! Who records a session, and how that goes. Nodes are chosen when it starts, and another is put in the
//! place of one that no longer can; each has a numbered turn, and what it says under a turn that is over
//! does not count. Who was heard of is the proposer's word: here is no clock.

use std::{cmp::Reverse, collections::BTreeMap};

use guitai_types::{
    Member, NodeName, Problem, SessionId,
    command::{RecordingReport, Reply},
    event::Change,
    limits::{ASSIGNMENTS_MAX, KEY_EPOCHS_MAX, SESSION_EVENTS_MAX},
    media::KeyChange,
    problem::Code,
    record::{Assignment, EndReason, RecordingState, RecordingSummary, Session},
    tlog::Record,
};

use crate::{State, apply::Turn, check, limits::CLOSING_EVENTS_RESERVED};

/// What a recorder says of itself when it is no use to go on with it. `no-media` is not among them:
/// another one would get no media either.
const OWN_FAULTS: [&str; 2] = ["disk-full", "io-error"];
/// Said of a recorder that nobody hears.
const GONE: &str = "recorder-gone";
/// Said when a place was empty.
const JOINED: &str = "joined";
/// Most events of a session that are written about its recording: the end must still find room.
const EVENTS_MAX: usize = SESSION_EVENTS_MAX - CLOSING_EVENTS_RESERVED;

/// Which recorders a leader hears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Not heard of for so long that they count as gone: nobody waits for them.
    pub gone: Vec<NodeName>,
    /// Not heard of, those among them that a new leader has not waited for long enough: nothing is
    /// given to them.
    pub unheard: Vec<NodeName>,
}

impl State {
    /// Hand-overs that running sessions need by what the leader hears, one a session, at most `limit`.
    pub fn hand_overs(&self, hearing: &Hearing, limit: usize) -> Vec<(SessionId, KeyChange)> {
        let due = self.sessions_running().filter_map(|session| {
            let change = self.hand_over(session, hearing)?;
            Some((session.id.clone(), change))
        });
        due.take(limit).collect()
    }

    /// The hand-over a session needs; `None` when nothing is amiss, nobody can take over, or a limit of
    /// the session is reached.
    fn hand_over(&self, session: &Session, hearing: &Hearing) -> Option<KeyChange> {
        let has_room = session.assignments.len() < ASSIGNMENTS_MAX
            && session.key_epoch < KEY_EPOCHS_MAX
            && session.events.len() + 2 < EVENTS_MAX;
        let mut open = session.assignments.iter().filter(|it| it.until.is_none());
        let failed = open.find_map(|turn| Some((turn, failure(turn, &hearing.gone)?)));
        let is_short = session.recorders.len() < usize::from(session.recorders_wanted);
        if !has_room || (failed.is_none() && !is_short) {
            return None;
        }
        let from = failed.map(|(turn, _)| turn.node.clone());
        let stays = |node: &&NodeName| Some(*node) != from.as_ref();
        let others: Vec<&NodeName> = session.recorders.iter().filter(stays).collect();
        let can = |member: &&Member| {
            let mut turns = session.assignments.iter().rev();
            let last = turns.find(|turn| turn.node == member.name);
            !hearing.unheard.contains(&member.name)
                && last.is_none_or(|turn| turn.until.is_some() && !is_own_fault(turn))
        };
        let to = self.best(self.recorders().filter(can), &session.edge, &others)?;
        Some(KeyChange::HandOver {
            from,
            to: to.name.clone(),
            cause: failed.map_or(JOINED, |(_, cause)| cause).to_owned(),
        })
    }

    /// Of some recorders the best: in a centre where none of the others is, then in the edge's, then the
    /// one with the lowest id.
    fn best<'a>(
        &self,
        among: impl Iterator<Item = &'a Member>,
        edge: &NodeName,
        others: &[&NodeName],
    ) -> Option<&'a Member> {
        let centre_of = |node: &NodeName| self.member(node).map(|member| &member.centre);
        let edge = centre_of(edge);
        let taken: Vec<_> = others.iter().filter_map(|node| centre_of(node)).collect();
        among.min_by_key(|member| {
            let centre = &member.centre;
            (taken.contains(&centre), Some(centre) != edge, member.id)
        })
    }
}

/// Why a turn should be over, if it should.
fn failure(turn: &Assignment, gone: &[NodeName]) -> Option<&'static str> {
    if gone.contains(&turn.node) {
        return Some(GONE);
    }
    let RecordingState::Lost { cause, .. } = &turn.recording else {
        return None;
    };
    OWN_FAULTS.into_iter().find(|fault| fault == cause)
}

fn is_own_fault(turn: &Assignment) -> bool {
    let cause = turn.cause.as_deref();
    cause.is_some_and(|cause| OWN_FAULTS.contains(&cause))
}

impl Turn<'_> {
    /// Of the recorders that were heard of, as many as wanted, in different centres where that can be;
    /// should all be silent, one of them all the same.
    pub(crate) fn choose_recorders(
        &self,
        edge: &NodeName,
        silent: &[NodeName],
        wanted: u8,
    ) -> Vec<NodeName> {
        let mut chosen: Vec<&NodeName> = Vec::new();
        while chosen.len() < usize::from(wanted.max(1)) {
            let free = self.state.recorders();
            let free = free.filter(|it| !chosen.contains(&&it.name) && !silent.contains(&it.name));
            match self.state.best(free, edge, &chosen) {
                Some(next) => chosen.push(&next.name),
                None => break,
            }
        }
        if chosen.is_empty() {
            let any = self.state.best(self.state.recorders(), edge, &[]);
            chosen.extend(any.map(|member| &member.name));
        }
        chosen.into_iter().cloned().collect()
    }

    /// First turns of a session that starts.
    pub(crate) fn first_turns(&self, recorders: &[NodeName]) -> Vec<Assignment> {
        let turns = (1..).zip(recorders);
        turns
            .map(|(number, node)| self.turn_of(number, node))
            .collect()
    }

    fn turn_of(&self, number: u32, node: &NodeName) -> Assignment {
        Assignment {
            number,
            node: node.clone(),
            epoch: self.state.head.epoch,
            since: self.now,
            until: None,
            cause: None,
            recording: RecordingState::Starting,
        }
    }

    /// Ends one node's turn and begins another's. The change was checked with the keys that go with it.
    pub(crate) fn hand_over_recording(
        &mut self,
        session: &mut Session,
        from: Option<&NodeName>,
        to: &NodeName,
        cause: &str,
    ) {
        let now = self.now;
        for turn in &mut session.assignments {
            if turn.until.is_none() && Some(&turn.node) == from {
                turn.until = Some(now);
                turn.cause = Some(cause.to_owned());
                if !matches!(turn.recording, RecordingState::Lost { .. }) {
                    turn.recording = lost(cause, now);
                }
            }
        }
        let number = session.assignments.last().map_or(1, |turn| turn.number + 1);
        let turn = self.turn_of(number, to);
        let mut details = BTreeMap::from([
            ("to".to_owned(), to.to_string()),
            ("cause".to_owned(), cause.to_owned()),
            ("assignment".to_owned(), number.to_string()),
            ("epoch".to_owned(), turn.epoch.0.to_string()),
        ]);
        details.extend(from.map(|node| ("from".to_owned(), node.to_string())));
        session.assignments.push(turn);
        let open = session.assignments.iter().filter(|it| it.until.is_none());
        session.recorders = open.map(|turn| turn.node.clone()).collect();
        session.recording = self.recording_of(session, cause);
        let kind = match from {
            Some(_) => "recorder-replaced",
            None => "recorder-joined",
        };
        self.note(session, "system", kind, details);
        let institution = session.institution.clone();
        let change = Change::Recorders {
            session: session.id.clone(),
            recorders: session.recorders.clone(),
        };
        self.emit(Some(&institution), change);
    }

    /// How the session as a whole is recorded: it is as long as one node does it.
    fn recording_of(&self, session: &Session, cause: &str) -> RecordingState {
        let open = session.assignments.iter().filter(|it| it.until.is_none());
        let states: Vec<_> = open.map(|turn| &turn.recording).collect();
        let runs = |state: &&RecordingState| matches!(state, RecordingState::Running { .. });
        let starts = states.contains(&&RecordingState::Starting);
        match (&session.recording, states.iter().any(runs)) {
            (same @ RecordingState::Sealed { .. }, _)
            | (same @ RecordingState::Running { .. }, true)
            | (same @ RecordingState::Lost { .. }, false) => same.clone(),
            (_, true) => RecordingState::Running { since: self.now },
            (RecordingState::Starting, false) if starts => RecordingState::Starting,
            (_, false) => lost(cause, self.now),
        }
    }

    pub(crate) fn report_recording(
        &mut self,
        id: &SessionId,
        node: &NodeName,
        number: u32,
        report: &RecordingReport,
    ) -> Result<Reply, Problem> {
        let session = self.state.sessions.get(id).cloned();
        let session = session.ok_or_else(|| check::missing("session"))?;
        let is_seal = matches!(report, RecordingReport::Sealed { .. });
        let means = |turn: &Assignment| {
            let is_open = turn.until.is_none();
            turn.node == *node && (turn.number == number || number == 0 && (is_open || is_seal))
        };
        // The newest: a node may have had several turns, and seals what it has of all of them at once.
        let found = session.assignments.iter().rposition(means);
        let Some(place) = found else {
            let detail = format!("node {node} has no such turn at recording session {id}");
            return Err(Problem::new(Code::Forbidden, detail));
        };
        match report {
            RecordingReport::Running => self.recording_running(session, place),
            RecordingReport::Lost { cause } => self.recording_lost(session, place, cause),
            RecordingReport::Sealed { summary } => self.recording_sealed(session, place, summary),
        }
    }

    fn recording_running(&mut self, mut session: Session, place: usize) -> Result<Reply, Problem> {
        if session.ended_at.is_some() {
            return Err(check::wrong("the session has ended"));
        }
        let turn = open_turn(&mut session, place)?;
        match turn.recording {
            RecordingState::Running { .. } => return Ok(Reply::Done),
            RecordingState::Starting | RecordingState::Lost { .. } => {}
            RecordingState::Sealed { .. } => return Err(check::wrong("the recording is sealed")),
        }
        turn.recording = RecordingState::Running { since: self.now };
        let actor = format!("recorder:{}", turn.node);
        check::room(
            "events of the session",
            session.events.len(),
            "SESSION_EVENTS_MAX",
            EVENTS_MAX,
        )?;
        let kind = match session.recording {
            RecordingState::Starting => "recording-started",
            RecordingState::Lost { .. } => "recording-resumed",
            // Another node records as well.
            _ => "recorder-running",
        };
        session.recording = self.recording_of(&session, "");
        self.note(&mut session, &actor, kind, BTreeMap::new());
        self.put_session(session);
        Ok(Reply::Done)
    }

    fn recording_lost(
        &mut self,
        mut session: Session,
        place: usize,
        cause: &str,
    ) -> Result<Reply, Problem> {
        check::word("cause", cause)?;
        let now = self.now;
        let turn = open_turn(&mut session, place)?;
        match turn.recording {
            RecordingState::Starting | RecordingState::Running { .. } => {}
            RecordingState::Lost { .. } => return Ok(Reply::Done),
            RecordingState::Sealed { .. } => return Err(check::wrong("the recording is sealed")),
        }
        turn.recording = lost(cause, now);
        let actor = format!("recorder:{}", turn.node);
        session.recording = self.recording_of(&session, cause);
        let is_lost = matches!(session.recording, RecordingState::Lost { .. });
        // A recorder that comes and goes for ever must not make a session without bound.
        let is_full = session.events.len() >= EVENTS_MAX;
        if !is_full {
            let kind = if is_lost {
                "recording-lost"
            } else {
                "recorder-lost"
            };
            let details = BTreeMap::from([("cause".to_owned(), cause.to_owned())]);
            self.note(&mut session, &actor, kind, details);
        }
        if is_full && is_lost && session.ended_at.is_none() {
            self.end_session(session, "system", EndReason::RecordingLost);
        } else {
            self.put_session(session);
        }
        Ok(Reply::Done)
    }

    /// A node sealed what it has, after the session's end. The index shows the recording that has the
    /// most of the call, and of two that have as much the one with fewer gaps; the others stay with
    /// their turns.
    fn recording_sealed(
        &mut self,
        mut session: Session,
        place: usize,
        summary: &RecordingSummary,
    ) -> Result<Reply, Problem> {
        if session.ended_at.is_none() {
            return Err(check::wrong("the session still runs"));
        }
        let sealed = RecordingState::Sealed {
            summary: summary.clone(),
        };
        // `report_recording` found the place in this very session.
        let turn = turn_at(&mut session, place)?;
        if let RecordingState::Sealed { summary: present } = &turn.recording {
            return if present == summary {
                Ok(Reply::Done)
            } else {
                Err(check::wrong("the recording was sealed before, otherwise"))
            };
        }
        turn.recording = sealed.clone();
        let assignment = turn.number;
        self.log(Record::RecordingSealed {
            session: session.id.clone(),
            assignment,
            summary: summary.clone(),
        });
        match &session.recording {
            RecordingState::Sealed { summary: best } if !has_more(summary, best) => {}
            RecordingState::Sealed { .. } => session.recording = sealed,
            _ => {
                session.recording = sealed;
                self.state.head.sealed += 1;
            }
        }
        let institution = session.institution.clone();
        let change = Change::RecordingSealed {
            session: session.id.clone(),
        };
        self.emit(Some(&institution), change);
        self.begin_keeping(&session);
        self.keep_session(session);
        Ok(Reply::Done)
    }
}

/// Whether one recording of a session has more of it than another: more frames, or as many with fewer gaps.
/// The first to be sealed stays when nothing else decides.
fn has_more(one: &RecordingSummary, other: &RecordingSummary) -> bool {
    (one.frames, Reverse(one.gaps)) > (other.frames, Reverse(other.gaps))
}

fn turn_at(session: &mut Session, place: usize) -> Result<&mut Assignment, Problem> {
    let turn = session.assignments.get_mut(place);
    turn.ok_or_else(|| check::missing("assignment"))
}

/// The turn, if it is not over.
fn open_turn(session: &mut Session, place: usize) -> Result<&mut Assignment, Problem> {
    let turn = turn_at(session, place)?;
    match turn.until {
        None => Ok(turn),
        Some(_) => {
            let (node, number) = (&turn.node, turn.number);
            let detail = format!("turn {number} of node {node} at recording is over");
            Err(Problem::new(Code::Forbidden, detail))
        }
    }
}

fn lost(cause: &str, at: guitai_types::UnixMillis) -> RecordingState {
    RecordingState::Lost {
        cause: cause.to_owned(),
        at,
    }
}
