//! Texts between the parties of a call: held to the rules, kept with the recorders, noted as an event. Both doors
//! of the inner zone come here; an edge holds what comes in to the same rules before.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use futures::future::{BoxFuture, join_all};
use guitai_crypto::sm3;
use guitai_host::{Clock, Entropy, draw16};
use guitai_inspect::{FileError, Files, PatternError, Texts};
use guitai_meta::{Meta, Noted, State};
use guitai_net::{Mesh, Target};
use guitai_recorder::{Letter, Recorder, Wanted, keep_message_on, messages_on};
use guitai_relay::guard;
use guitai_types::{
    Code, Hex, MessageId, NodeName, Problem, SessionId, TicketId,
    command::{Command, Reply},
    limits::{CONTROL_BYTES_MAX, FILE_BYTES_MAX, FILES_PER_MINUTE_MAX, TEXTS_PER_MINUTE_MAX},
    message::{Action, FileHead, FileType, Found, Message, MessageBody, MessageRules, Sender},
    problem::chain,
};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// Bytes of messages in one list: with their frame they fit into one control message.
const LIST_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2 * 1024;
/// Files that one node holds at once while they arrive and are passed on.
const FILES_UNDER_WAY_MAX: usize = 32;
/// Files that one node makes anew at once: each takes up to four bytes for every point of a picture, twice.
const FILES_AT_ONCE_MAX: usize = 4;
/// Parties whose pace an edge remembers; past it the oldest minute is forgotten first.
const PACES_MAX: usize = 20_000;
/// How long a pace is counted together.
const PACE: Duration = Duration::from_secs(60);

/// Body of `POST …/messages`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// What, at most [`guitai_types::limits::MESSAGE_CHARS_MAX`] characters.
    pub text: String,
}

/// Query of `GET …/messages`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Since {
    /// Number of the last message that the page has; all without it. An answer holds as many as fit: ask again until
    /// it is empty.
    #[serde(default)]
    pub(crate) after: u64,
}

/// Query of `POST …/files`; the body is the file, its `Content-Type` what it is said to be.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// The file's name, without a path, at most [`guitai_types::limits::FILE_NAME_CHARS_MAX`] characters.
    pub(crate) name: String,
}

/// What a request says that its file is.
pub(crate) fn declared(headers: &HeaderMap) -> Option<FileType> {
    let declared = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    FileType::of_media_type(declared)
}

/// A file on its way to a page. It is saved and not shown by the browser: what a reader's program does with it is not
/// the page's affair.
pub(crate) fn handed_out(file: &FileHead, bytes: Vec<u8>) -> Response {
    let kind = HeaderValue::from_static(file.kind.media_type());
    let saved = HeaderValue::from_static("attachment");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, saved),
    ];
    (headers, bytes).into_response()
}

/// The rules of a deployment, ready for use, with what they found so far. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    inner: Arc<Inner>,
}

struct Inner {
    texts: Texts,
    files: Files,
    receiving: Arc<Semaphore>,
    working: Arc<Semaphore>,
    found: Mutex<BTreeMap<(String, Action), u64>>,
    /// By kind and what became of it.
    messages: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Rules {
    /// Makes the rules of a profile ready.
    ///
    /// # Errors
    /// A pattern that is none, or costs too much.
    pub fn new(rules: &MessageRules) -> Result<Self, PatternError> {
        let inner = Inner {
            texts: Texts::new(&rules.text)?,
            files: Files::new(rules.files.clone()),
            receiving: Arc::new(Semaphore::new(FILES_UNDER_WAY_MAX)),
            working: Arc::new(Semaphore::new(FILES_AT_ONCE_MAX)),
            found: Mutex::default(),
            messages: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A text as it may go through, with what was found in it.
    ///
    /// # Errors
    /// It may not: the problem says how much of what was found, and nothing of the text.
    pub(crate) fn text(&self, text: &str) -> Result<(String, Vec<Found>), Problem> {
        let verdict = self.inner.texts.inspect(text);
        let mut counts = lock(&self.inner.found);
        for it in &verdict.found {
            let count = counts.entry((it.rule.clone(), it.action)).or_default();
            *count += u64::from(it.count);
        }
        drop(counts);
        let blocked = verdict.blocked();
        let Some(shown) = verdict.text else {
            self.count("text", "blocked");
            return Err(Problem::new(Code::TextRefused, blocked));
        };
        self.count("text", if shown == text { "passed" } else { "masked" });
        Ok((shown, verdict.found))
    }

    /// The body of a request as a file, read when it is known whose it is. Some at once and no more: each takes as much
    /// memory as it is long until the permit goes.
    ///
    /// # Errors
    /// It is too long, does not arrive, or too many others are under way.
    pub(crate) async fn receive(
        &self,
        body: Body,
    ) -> Result<(Vec<u8>, OwnedSemaphorePermit), Problem> {
        let Ok(permit) = self.inner.receiving.clone().try_acquire_owned() else {
            let detail =
                format!("files under way: the limit FILES_UNDER_WAY_MAX is {FILES_UNDER_WAY_MAX}");
            return Err(Problem::new(Code::TooMany, detail));
        };
        match axum::body::to_bytes(body, FILE_BYTES_MAX).await {
            Ok(bytes) => Ok((bytes.into(), permit)),
            Err(_) => {
                let detail = format!(
                    "not whole, or over the limit FILE_BYTES_MAX of {FILE_BYTES_MAX} bytes"
                );
                Err(Problem::new(Code::TooLarge, detail))
            }
        }
    }

    /// A file made anew, with what there is to say of it. Some at once and no more: each takes memory for its points.
    ///
    /// # Errors
    /// It may not go through; the problem says why.
    pub(crate) async fn file(
        &self,
        name: String,
        declared: Option<FileType>,
        bytes: Vec<u8>,
    ) -> Result<(FileHead, Vec<u8>), Problem> {
        let Ok(permit) = self.inner.working.clone().try_acquire_owned() else {
            let detail =
                format!("files looked at: the limit FILES_AT_ONCE_MAX is {FILES_AT_ONCE_MAX}");
            return Err(Problem::new(Code::TooMany, detail));
        };
        let rules = self.clone();
        let work = move || {
            let _permit = permit;
            let declared = declared.ok_or(FileError::UnknownType)?;
            let remade = rules.inner.files.remake(declared, &bytes)?;
            let digest = sm3::hash(&remade.bytes).to_vec();
            Ok::<_, FileError>((remade, Hex(digest)))
        };
        // A decoder that panics ends the request and nothing else.
        let worked = tokio::task::spawn_blocking(work).await;
        let kind = declared.map_or("file", FileType::as_str);
        let worked = worked.map_err(|_| {
            self.count(kind, "broken");
            Problem::new(Code::FileRefused, "it cannot be read")
        })?;
        let (remade, sm3) = worked.map_err(|error| {
            self.count(kind, error.verdict());
            let code = match error {
                FileError::TooLarge { .. } => Code::TooLarge,
                _ => Code::FileRefused,
            };
            Problem::new(code, error.to_string())
        })?;
        let file = FileHead {
            name,
            kind: remade.kind,
            bytes: remade.bytes.len() as u64,
            sm3,
        };
        guard::check_file(&file).map_err(|refusal| refusal.problem())?;
        self.count(kind, "passed");
        Ok((file, remade.bytes))
    }

    /// Counts a message by what became of it.
    pub(crate) fn count(&self, kind: &'static str, verdict: &'static str) {
        *lock(&self.inner.messages)
            .entry((kind, verdict))
            .or_default() += 1;
    }

    /// What was looked at and what was found, for the door's metrics.
    pub(crate) fn metrics(&self, metrics: &mut Metrics) {
        let name = "guard_messages_total";
        let help = "Texts and files looked at, by kind and what became of them.";
        metrics.family(name, "counter", help);
        for ((kind, verdict), count) in &*lock(&self.inner.messages) {
            metrics.sample(name, &[("kind", kind), ("verdict", verdict)], count);
        }
        let name = "guard_found_total";
        let help = "What rules found in texts, by rule and what was done; never what it said.";
        metrics.family(name, "counter", help);
        for ((rule, action), count) in &*lock(&self.inner.found) {
            let labels = [("rule", rule.as_str()), ("action", action.as_str())];
            metrics.sample(name, &labels, count);
        }
    }
}

/// How much each ticket has sent within a minute, at an edge: what is too much crosses nothing. Inside it is counted
/// again from the session's events, for all doors together.
#[derive(Default)]
pub(crate) struct Paces {
    paces: Mutex<BTreeMap<TicketId, (Duration, usize)>>,
}

impl Paces {
    /// Takes one more of a ticket, or refuses it.
    pub(crate) fn take(&self, ticket: &TicketId, now: Duration, max: usize) -> Result<(), Problem> {
        let mut paces = lock(&self.paces);
        if paces.len() >= PACES_MAX && !paces.contains_key(ticket) {
            paces.retain(|_, (since, _)| now.saturating_sub(*since) < PACE);
            if paces.len() >= PACES_MAX {
                let detail = format!("the limit PACES_MAX is {PACES_MAX}");
                return Err(Problem::new(Code::TooMany, detail));
            }
        }
        let (since, count) = paces.entry(ticket.clone()).or_insert((now, 0));
        if now.saturating_sub(*since) >= PACE {
            (*since, *count) = (now, 0);
        }
        if *count >= max {
            let detail = format!("messages within a minute: {count}, the limit is {max}");
            return Err(Problem::new(Code::TooMany, detail));
        }
        *count += 1;
        Ok(())
    }

    /// As [`Self::take`], for a text.
    pub(crate) fn text(&self, ticket: &TicketId, now: Duration) -> Result<(), Problem> {
        self.take(ticket, now, TEXTS_PER_MINUTE_MAX)
    }

    /// As [`Self::take`], for a file.
    pub(crate) fn file(&self, ticket: &TicketId, now: Duration) -> Result<(), Problem> {
        self.take(ticket, now, FILES_PER_MINUTE_MAX)
    }
}

/// Where messages are kept. The recorders of the cluster in a node, memory in the tests.
pub trait Shelves: Send + Sync {
    /// Has these nodes keep a message; how many of them have it durably.
    fn keep<'a>(
        &'a self,
        nodes: &'a [NodeName],
        letter: &'a Letter,
        file: &'a [u8],
    ) -> BoxFuture<'a, u32>;
    /// What is wanted, from one of these nodes; each is asked until one has it.
    fn messages<'a>(
        &'a self,
        nodes: &'a [NodeName],
        session: &'a SessionId,
        ids: &'a [MessageId],
    ) -> BoxFuture<'a, Vec<Message>>;
    /// The bytes of a file, from the first of these nodes that has it.
    fn file<'a>(
        &'a self,
        nodes: &'a [NodeName],
        session: &'a SessionId,
        id: &'a MessageId,
    ) -> BoxFuture<'a, Option<Vec<u8>>>;
}

/// The recorders of the cluster.
pub struct Recorders {
    /// This node.
    pub me: NodeName,
    /// The member list.
    pub meta: Meta,
    /// The way to the others.
    pub mesh: Mesh,
    /// This node's own, if it has one.
    pub own: Option<Recorder>,
}

impl Recorders {
    async fn keep_on(&self, node: &NodeName, letter: &Letter, file: &[u8]) -> bool {
        let kept = if *node == self.me {
            let Some(own) = &self.own else { return false };
            let kept = own.keep_message(letter.clone(), file.to_vec()).await;
            kept.map_err(|error| chain(&error))
        } else {
            let target = self.meta.peek(|state| state.member(node).map(Target::from));
            let Some(target) = target else { return false };
            let kept = keep_message_on(&self.mesh, &target, letter, file).await;
            kept.map_err(|error| chain(&error))
        };
        if let Err(chain) = &kept {
            tracing::warn!(session = %letter.session, %node, chain, "a message was not kept");
        }
        kept.is_ok()
    }

    async fn list_of(
        &self,
        node: &NodeName,
        session: &SessionId,
        ids: &[MessageId],
    ) -> Vec<Message> {
        let listed = if *node == self.me {
            let Some(own) = &self.own else {
                return Vec::new();
            };
            let listed = own.messages(session, ids.to_vec()).await;
            listed.map_err(|error| chain(&error))
        } else {
            let target = self.meta.peek(|state| state.member(node).map(Target::from));
            let Some(target) = target else {
                return Vec::new();
            };
            let (session, ids) = (session.clone(), ids.to_vec());
            let listed = messages_on(&self.mesh, &target, &Wanted::List { session, ids }).await;
            let listed = listed.map_err(|error| chain(&error));
            listed.and_then(|json| serde_json::from_slice(&json).map_err(|error| chain(&error)))
        };
        listed.unwrap_or_else(|chain| {
            tracing::warn!(%session, %node, chain, "messages were not read");
            Vec::new()
        })
    }
}

impl Recorders {
    async fn file_of(
        &self,
        node: &NodeName,
        session: &SessionId,
        id: &MessageId,
    ) -> Option<Vec<u8>> {
        let found = if *node == self.me {
            let found = self.own.as_ref()?.message_file(session, id).await;
            found.map_err(|error| chain(&error))
        } else {
            let target = self
                .meta
                .peek(|state| state.member(node).map(Target::from))?;
            let (session, id) = (session.clone(), id.clone());
            let found = messages_on(&self.mesh, &target, &Wanted::File { session, id }).await;
            found.map(Some).map_err(|error| chain(&error))
        };
        found.unwrap_or_else(|chain| {
            tracing::warn!(%session, %node, chain, "a file was not read");
            None
        })
    }
}

impl Shelves for Recorders {
    fn file<'a>(
        &'a self,
        nodes: &'a [NodeName],
        session: &'a SessionId,
        id: &'a MessageId,
    ) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            for node in nodes {
                if let Some(file) = self.file_of(node, session, id).await {
                    return Some(file);
                }
            }
            None
        })
    }

    fn keep<'a>(
        &'a self,
        nodes: &'a [NodeName],
        letter: &'a Letter,
        file: &'a [u8],
    ) -> BoxFuture<'a, u32> {
        Box::pin(async move {
            let kept = nodes.iter().map(|node| self.keep_on(node, letter, file));
            join_all(kept).await.into_iter().map(u32::from).sum()
        })
    }

    fn messages<'a>(
        &'a self,
        nodes: &'a [NodeName],
        session: &'a SessionId,
        ids: &'a [MessageId],
    ) -> BoxFuture<'a, Vec<Message>> {
        Box::pin(async move {
            let mut found: Vec<Message> = Vec::new();
            let mut missing = ids.to_vec();
            // The one on this node first: it is asked without a way.
            let (own, others): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| **node == self.me);
            for node in own.into_iter().chain(others) {
                if missing.is_empty() {
                    break;
                }
                found.extend(self.list_of(node, session, &missing).await);
                missing.retain(|id| !found.iter().any(|message| message.id == *id));
            }
            found
        })
    }
}

/// What the parties of calls say to each other, in the inner zone. Cheap to clone.
#[derive(Clone)]
pub struct Exchange {
    /// The cluster's metadata.
    pub meta: Meta,
    /// Where what is said is kept.
    pub shelves: Arc<dyn Shelves>,
    /// What it is held to.
    pub rules: Rules,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub entropy: Arc<dyn Entropy>,
}

impl Exchange {
    /// A party of a call says something. `before` is what an edge says that its rules found.
    pub(crate) async fn say(
        &self,
        session: &SessionId,
        from: Sender,
        text: &str,
        before: Vec<Found>,
    ) -> Result<Message, Problem> {
        let (text, found) = self.rules.text(text)?;
        let digest = Hex(sm3::hash(text.as_bytes()).to_vec());
        let mut message = Message {
            id: MessageId::from_random(draw16(self.entropy.as_ref())),
            number: 0,
            at: self.clock.wall(),
            from,
            body: MessageBody::Text { text },
            found: together(before, found),
        };
        message.number = self.take(session, &message, digest, &[]).await?;
        Ok(message)
    }

    /// A party of a call sends a file: whatever was done to it before, it is made anew here.
    pub(crate) async fn send(
        &self,
        session: &SessionId,
        from: Sender,
        (name, declared): (String, Option<FileType>),
        bytes: Vec<u8>,
    ) -> Result<Message, Problem> {
        let (file, bytes) = self.rules.file(name, declared, bytes).await?;
        let digest = file.sm3.clone();
        let mut message = Message {
            id: MessageId::from_random(draw16(self.entropy.as_ref())),
            number: 0,
            at: self.clock.wall(),
            from,
            body: MessageBody::File { file },
            found: Vec::new(),
        };
        message.number = self.take(session, &message, digest, &bytes).await?;
        Ok(message)
    }

    /// A file that was sent in a call, with its bytes; they are the ones its event has the digest of.
    pub(crate) async fn file(
        &self,
        session: &SessionId,
        id: &MessageId,
    ) -> Result<(FileHead, Vec<u8>), Problem> {
        let gone = || Problem::new(Code::NotFound, "no such file in this call");
        let look = |state: &State| Some((state.messages(session, 0)?, kept_on(state, session)));
        let known = self
            .meta
            .read(look)
            .await
            .map_err(|error| error.problem())?;
        let (noted, nodes) = known.ok_or_else(gone)?;
        if !noted.iter().any(|noted| noted.id == *id) {
            return Err(gone());
        }
        let kept = self
            .shelves
            .messages(&nodes, session, std::slice::from_ref(id))
            .await;
        let file = kept.into_iter().find_map(|message| match message.body {
            MessageBody::File { file } => Some(file),
            MessageBody::Text { .. } => None,
        });
        let file = file.ok_or_else(gone)?;
        let bytes = self
            .shelves
            .file(&nodes, session, id)
            .await
            .ok_or_else(gone)?;
        if sm3::hash(&bytes)[..] != file.sm3.0[..] {
            return Err(Problem::new(Code::Internal, "a file is not what was kept"));
        }
        Ok((file, bytes))
    }

    /// Keeps a message and notes it; the number of its event.
    async fn take(
        &self,
        session: &SessionId,
        message: &Message,
        digest: Hex,
        file: &[u8],
    ) -> Result<u64, Problem> {
        let note = message.note(digest.clone(), 0);
        let look = |state: &State| {
            state.may_note(session, &note, message.at)?;
            Ok::<_, Problem>(recorders_of(state, session))
        };
        let nodes = self
            .meta
            .read(look)
            .await
            .map_err(|error| error.problem())??;
        let letter = Letter {
            session: session.clone(),
            message: message.clone(),
        };
        let copies = self.shelves.keep(&nodes, &letter, file).await;
        if copies == 0 {
            let detail = format!("none of {} recorders has it", nodes.len());
            return Err(Problem::new(Code::NotKept, detail));
        }
        let noted = self.meta.write(Command::NoteMessage {
            session: session.clone(),
            message: message.note(digest, copies),
        });
        match noted.await {
            Ok(Reply::Refused { problem }) => return Err(problem),
            Ok(_) => {}
            Err(error) => return Err(error.problem()),
        }
        let number = |state: &State| {
            let noted = state.messages(session, 0)?;
            noted.into_iter().find(|noted| noted.id == message.id)
        };
        let noted = self
            .meta
            .read(number)
            .await
            .map_err(|error| error.problem())?;
        Ok(noted.map_or(0, |noted| noted.number))
    }

    /// The messages of a call after a number, as many as one answer holds.
    pub(crate) async fn since(
        &self,
        session: &SessionId,
        after: u64,
    ) -> Result<Vec<Message>, Problem> {
        let look = |state: &State| Some((state.messages(session, after)?, kept_on(state, session)));
        let known = self
            .meta
            .read(look)
            .await
            .map_err(|error| error.problem())?;
        let (noted, nodes) =
            known.ok_or_else(|| Problem::new(Code::NotFound, "no such session"))?;
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<MessageId> = noted.iter().map(|noted| noted.id.clone()).collect();
        let kept = self.shelves.messages(&nodes, session, &ids).await;
        Ok(in_order(&noted, kept))
    }
}

/// Messages as their events have them, as many as fit. One that no recorder has ends the list: the page asks again.
fn in_order(noted: &[Noted], kept: Vec<Message>) -> Vec<Message> {
    let mut kept: BTreeMap<MessageId, Message> = kept
        .into_iter()
        .map(|message| (message.id.clone(), message))
        .collect();
    let mut room = LIST_BYTES_MAX;
    let mut messages = Vec::new();
    for Noted { number, at, id } in noted {
        let Some(message) = kept.remove(id) else {
            continue;
        };
        let (number, at) = (*number, *at);
        let message = Message {
            number,
            at,
            ..message
        };
        let bytes = serde_json::to_vec(&message).map_or(usize::MAX, |json| json.len());
        let Some(left) = room.checked_sub(bytes) else {
            break;
        };
        room = left;
        messages.push(message);
    }
    messages
}

fn recorders_of(state: &State, session: &SessionId) -> Vec<NodeName> {
    let session = state.session(session);
    session
        .map(|session| session.recorders.clone())
        .unwrap_or_default()
}

/// Who may have something of a call: those who record now, then those who did.
fn kept_on(state: &State, session: &SessionId) -> Vec<NodeName> {
    let mut nodes = recorders_of(state, session);
    let turns = state
        .session(session)
        .map(|session| session.assignments.clone());
    for turn in turns.unwrap_or_default() {
        if !nodes.contains(&turn.node) {
            nodes.push(turn.node);
        }
    }
    nodes
}

/// What was found at the edge and inside. What the edge has masked is not there any more; what it has counted is
/// found again.
fn together(before: Vec<Found>, inside: Vec<Found>) -> Vec<Found> {
    let mut all: BTreeMap<(String, Action), u32> = BTreeMap::new();
    for it in before {
        let count = all.entry((it.rule, it.action)).or_default();
        *count = count.saturating_add(it.count);
    }
    for it in inside {
        let count = all.entry((it.rule, it.action)).or_default();
        *count = match it.action {
            Action::Mask => count.saturating_add(it.count),
            Action::Count | Action::Block => it.count.max(*count),
        };
    }
    let found = all.into_iter().map(|((rule, action), count)| Found {
        rule,
        action,
        count,
    });
    found.collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_has_its_pace_and_another_one_its_own() {
        let (paces, now) = (Paces::default(), Duration::from_secs(100));
        let (one, two): (TicketId, TicketId) = ("t-1".parse().unwrap(), "t-2".parse().unwrap());
        for _ in 0..3 {
            assert!(paces.take(&one, now, 3).is_ok());
        }
        let refused = paces.take(&one, now, 3).unwrap_err();
        assert_eq!(refused.code, Code::TooMany);
        assert!(paces.take(&two, now, 3).is_ok());
        assert!(paces.take(&one, now + PACE, 3).is_ok());
    }

    #[test]
    fn what_the_edge_masked_is_not_forgotten_and_what_it_counted_not_doubled() {
        let found = |rule: &str, action, count| Found {
            rule: rule.to_owned(),
            action,
            count,
        };
        let before = vec![
            found("id-card", Action::Mask, 1),
            found("phone", Action::Count, 2),
        ];
        let inside = vec![
            found("id-card", Action::Mask, 1),
            found("phone", Action::Count, 2),
        ];
        let all = together(before, inside);
        assert_eq!(
            all,
            [
                found("id-card", Action::Mask, 2),
                found("phone", Action::Count, 2)
            ]
        );
    }
}
