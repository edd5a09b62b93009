//! Texts and files between the parties of a call: an event each, and never what they say.

use std::collections::BTreeMap;

use guitai_types::{
    MessageId, Problem, SessionId, UnixMillis,
    command::Reply,
    limits::{
        FILES_MAX, FILES_PER_MINUTE_MAX, MESSAGES_MAX, SESSION_EVENTS_MAX, TEXTS_PER_MINUTE_MAX,
    },
    message::MessageNote,
    problem::Code,
    record::{RecordingState, Session, SessionEvent},
};

use crate::{State, apply::Turn, check, limits::SYSTEM_EVENTS_RESERVED};

/// Kind of the event of a text.
const TEXT: &str = "message";
/// Kind of the event of a file.
const FILE: &str = "file";
/// Name of the detail with the message's id.
const ID: &str = "id";
/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;
/// An SM3 in bytes.
const SM3_BYTES: usize = 32;

/// A message as the events of its session name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Number of its event.
    pub number: u64,
    /// When it was taken.
    pub at: UnixMillis,
    /// Its id.
    pub id: MessageId,
}

impl State {
    /// The messages of a session after a number, by number; `None` when there is no such session.
    pub fn messages(&self, session: &SessionId, after: u64) -> Option<Vec<Noted>> {
        let events = self.session(session)?.events.iter();
        let noted = events.filter(|event| is_message(event) && event.number > after);
        let noted = noted.filter_map(|event| {
            Some(Noted {
                number: event.number,
                at: event.at,
                id: event.details.get(ID)?.parse().ok()?,
            })
        });
        Some(noted.collect())
    }

    /// Number of the newest message of a session; 0 without any.
    pub fn newest_message(&self, session: &SessionId) -> Option<u64> {
        self.session(session).map(newest)
    }

    /// Whether a message would be taken now, as far as this node knows: asked before its content goes to the
    /// recorders, so that what is refused is not kept either.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn may_note(
        &self,
        session: &SessionId,
        message: &MessageNote,
        now: UnixMillis,
    ) -> Result<(), Problem> {
        let session = self
            .session(session)
            .ok_or_else(|| check::missing("session"))?;
        if session.ended_at.is_some() {
            return Err(check::wrong("the session has ended"));
        }
        may_note(session, message, now.max(self.clock()))
    }
}

/// Number of the newest message of a session; 0 without any.
pub(crate) fn newest(session: &Session) -> u64 {
    let newest = session.events.iter().rev().find(|event| is_message(event));
    newest.map_or(0, |event| event.number)
}

impl Turn<'_> {
    pub(crate) fn note_message(
        &mut self,
        id: &SessionId,
        message: &MessageNote,
    ) -> Result<Reply, Problem> {
        let mut session = self.running(id)?;
        if message.sm3.0.len() != SM3_BYTES {
            return Err(check::bad("the digest of a message is 32 bytes"));
        }
        check::integer("length of a message", message.bytes)?;
        may_note(&session, message, self.now)?;
        let mut details = BTreeMap::from([
            (ID.to_owned(), message.id.to_string()),
            ("bytes".to_owned(), message.bytes.to_string()),
            ("sm3".to_owned(), message.sm3.to_string()),
            ("copies".to_owned(), message.copies.to_string()),
        ]);
        if let Some(kind) = message.kind {
            details.insert("type".to_owned(), kind.as_str().to_owned());
        }
        if !message.found.is_empty() {
            let words = message.found.iter();
            let words = words.map(|it| format!("{}:{}={}", it.rule, it.action.as_str(), it.count));
            let found = words.collect::<Vec<_>>().join(" ");
            check::note("what was found", &found)?;
            details.insert("found".to_owned(), found);
        }
        self.note(
            &mut session,
            message.from.as_str(),
            kind_of(message),
            details,
        );
        self.put_session(session);
        Ok(Reply::Done)
    }
}

fn may_note(session: &Session, message: &MessageNote, now: UnixMillis) -> Result<(), Problem> {
    if !matches!(session.recording, RecordingState::Running { .. }) {
        let detail = format!("the recording of session {} does not run", session.id);
        return Err(Problem::new(Code::NotRecording, detail));
    }
    let most = SESSION_EVENTS_MAX - SYSTEM_EVENTS_RESERVED;
    let (events, kind) = (&session.events, kind_of(message));
    check::room(
        "events of the session",
        events.len(),
        "SESSION_EVENTS_MAX",
        most,
    )?;
    let all = events.iter().filter(|event| is_message(event)).count();
    check::room("messages of the session", all, "MESSAGES_MAX", MESSAGES_MAX)?;
    let (limit, per_minute) = if kind == FILE {
        let files = events.iter().filter(|event| event.kind == FILE).count();
        check::room("files of the session", files, "FILES_MAX", FILES_MAX)?;
        ("FILES_PER_MINUTE_MAX", FILES_PER_MINUTE_MAX)
    } else {
        ("TEXTS_PER_MINUTE_MAX", TEXTS_PER_MINUTE_MAX)
    };
    let lately = |event: &&SessionEvent| {
        event.kind == kind
            && event.actor == message.from.as_str()
            && now.since(event.at) < MINUTE_MS
    };
    let lately = events.iter().filter(lately).count();
    check::room("messages within a minute", lately, limit, per_minute)
}

const fn kind_of(message: &MessageNote) -> &'static str {
    if message.kind.is_some() { FILE } else { TEXT }
}

fn is_message(event: &SessionEvent) -> bool {
    (event.kind == TEXT || event.kind == FILE) && event.details.contains_key(ID)
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        Hex,
        message::{Action, FileType, Found, Sender},
    };
    use serde_json::json;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn session(recording: serde_json::Value) -> Session {
        let session = json!({
            "id": "s-1", "institution": "bank", "queue": "loans", "ticket": "t-1", "customer": "王",
            "agent": { "institution": "bank", "name": "li" }, "agent_display": "李", "edge": "edge-a1",
            "recorders": ["a1-2"], "epoch": 1, "keys": [], "started_at": 1, "ended_at": null,
            "end_reason": null, "recording": recording, "events": [], "stars": null,
        });
        serde_json::from_value(session).unwrap()
    }

    fn running() -> Session {
        session(json!({ "state": "running", "since": 1 }))
    }

    fn note(from: Sender, kind: Option<FileType>) -> MessageNote {
        MessageNote {
            id: "m-1".parse().unwrap(),
            from,
            kind,
            bytes: 7,
            sm3: Hex(vec![0; SM3_BYTES]),
            found: vec![Found {
                rule: "phone".to_owned(),
                action: Action::Count,
                count: 1,
            }],
            copies: 2,
        }
    }

    fn event(session: &mut Session, message: &MessageNote, at: UnixMillis) {
        session.events.push(SessionEvent {
            number: session.events.len() as u64 + 1,
            at,
            actor: message.from.as_str().to_owned(),
            kind: kind_of(message).to_owned(),
            details: BTreeMap::from([(ID.to_owned(), "m-1".to_owned())]),
        });
    }

    fn refusal(session: &Session, message: &MessageNote) -> Option<Code> {
        may_note(session, message, NOW)
            .err()
            .map(|problem| problem.code)
    }

    #[test]
    fn nothing_is_said_while_the_recording_does_not_run() {
        let text = note(Sender::Customer, None);
        assert_eq!(refusal(&running(), &text), None);
        assert_eq!(
            refusal(&session(json!({ "state": "starting" })), &text),
            Some(Code::NotRecording)
        );
        let lost = json!({ "state": "lost", "cause": "disk-full", "at": 1 });
        assert_eq!(refusal(&session(lost), &text), Some(Code::NotRecording));
    }

    #[test]
    fn each_party_has_its_pace_and_the_call_its_number() {
        let (text, file) = (
            note(Sender::Customer, None),
            note(Sender::Customer, Some(FileType::Pdf)),
        );
        let mut session = running();
        for _ in 0..TEXTS_PER_MINUTE_MAX {
            assert_eq!(refusal(&session, &text), None);
            event(&mut session, &text, NOW);
        }
        assert_eq!(refusal(&session, &text), Some(Code::TooMany));
        assert_eq!(
            refusal(&session, &note(Sender::Agent, None)),
            None,
            "another party"
        );
        assert_eq!(refusal(&session, &file), None, "another kind");
        let later = UnixMillis(NOW.0 + MINUTE_MS);
        assert!(may_note(&session, &text, later).is_ok());
        assert_eq!(newest(&session), TEXTS_PER_MINUTE_MAX as u64);

        let mut full = running();
        for _ in 0..MESSAGES_MAX {
            event(&mut full, &text, UnixMillis(1));
        }
        assert_eq!(refusal(&full, &text), Some(Code::TooMany));
    }
}
