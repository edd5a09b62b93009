//! Texts and files between the parties of a call, kept beside its recording and sealed with its key: they end when
//! it ends. What the metadata says of a message is enough to ask for it, and to see that it is still what it was.

use std::{io, sync::Arc, time::Duration};

use guitai_net::{CallError, Calls, Mesh, Peer, Target};
use guitai_types::{
    MessageId, SessionId,
    limits::{FILE_BYTES_MAX, MESSAGES_MAX},
    message::Message,
};
use serde::{Deserialize, Serialize};
use tokio::task;

use crate::{Recorder, vault::Vault};

/// Kind of the call that has a recorder keep a message. Its body is a [`Letter`] as JSON behind its length in four
/// bytes, big-endian, and then the bytes of the file, if it is one; its answer is empty once all is durable.
pub const KEEP_MESSAGE_CALL: &str = "recording.keep-message";
/// Kind of the call for messages; its body is a [`Wanted`] as JSON. The answer to a list of them is JSON, that to
/// a file its bytes.
pub const MESSAGES_CALL: &str = "recording.messages";

/// How long a node may take, in milliseconds: one that hangs is left out before the page has given up.
const KEEP_MS_MAX: u64 = 3_000;

/// A message on its way to a recorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// Whose.
    pub session: SessionId,
    /// What is kept.
    pub message: Message,
}

/// What is wanted of a recorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "want", deny_unknown_fields)]
pub enum Wanted {
    /// Those of these messages that it has.
    List {
        /// Whose.
        session: SessionId,
        /// Which, at most [`MESSAGES_MAX`].
        ids: Vec<MessageId>,
    },
    /// The bytes of a file.
    File {
        /// Whose.
        session: SessionId,
        /// Which.
        id: MessageId,
    },
}

/// Why a recorder does not keep a message, or has none.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Nothing is kept of that call here, so there is no key to seal with.
    #[error("no recording of session {0} on this node")]
    Unknown(SessionId),
    /// Its key is destroyed.
    #[error("the recording of session {0} was erased")]
    Erased(SessionId),
    /// More than a call holds.
    #[error("{found} of {what}, the limit is {max}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The disk, or what lies on it.
    #[error("messages of session {session}")]
    Io {
        /// Which.
        session: SessionId,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Recorder {
    /// Keeps a message and the bytes of its file, if it is one. Both are durable when this returns.
    ///
    /// # Errors
    /// It is not kept, or not all of it; what is kept of it is found by nobody.
    pub async fn keep_message(&self, letter: Letter, file: Vec<u8>) -> Result<(), MessageError> {
        let (found, max) = (file.len(), FILE_BYTES_MAX);
        if found > max {
            let what = "bytes of a file";
            return Err(MessageError::TooMuch { what, found, max });
        }
        let Letter { session, message } = letter;
        self.with(session, move |vault| {
            // The file goes first: a message that is there has all of it.
            if !file.is_empty() {
                vault.put_bytes(&file_name(&message.id), &file)?;
            }
            vault.put_bytes(&name(&message.id), &serde_json::to_vec(&message)?)
        })
        .await
    }

    /// Those of these messages that this node has, in the order of their ids.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub async fn messages(
        &self,
        session: &SessionId,
        ids: Vec<MessageId>,
    ) -> Result<Vec<Message>, MessageError> {
        let (found, max) = (ids.len(), MESSAGES_MAX);
        if found > max {
            let what = "messages of a session";
            return Err(MessageError::TooMuch { what, found, max });
        }
        self.with(session.clone(), move |vault| {
            let mut messages = Vec::new();
            for id in ids {
                if let Some(json) = vault.bytes(&name(&id))? {
                    messages.push(serde_json::from_slice(&json)?);
                }
            }
            Ok(messages)
        })
        .await
    }

    /// The bytes of a file; `None` where this node does not have it.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn message_file(
        &self,
        session: &SessionId,
        id: &MessageId,
    ) -> Result<Option<Vec<u8>>, MessageError> {
        let name = file_name(id);
        self.with(session.clone(), move |vault| vault.bytes(&name))
            .await
    }

    /// Does something with the files of a session on a thread that may block.
    async fn with<T: Send + 'static>(
        &self,
        session: SessionId,
        work: impl FnOnce(&Vault) -> io::Result<T> + Send + 'static,
    ) -> Result<T, MessageError> {
        if self.shared.is_ending(&session) {
            return Err(MessageError::Erased(session));
        }
        let (shelf, id) = (self.shared.shelf.clone(), session.clone());
        let done = task::spawn_blocking(move || match shelf.has(&id) {
            true => work(&shelf.beside_journal(&id)?).map(Some),
            false => Ok(None),
        });
        match done
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok(Some(done)) => Ok(done),
            Ok(None) => Err(MessageError::Unknown(session)),
            Err(source) => Err(MessageError::Io { session, source }),
        }
    }
}

fn name(id: &MessageId) -> String {
    format!("message-{id}")
}

fn file_name(id: &MessageId) -> String {
    format!("attached-{id}")
}

/// Has another node keep a message.
///
/// # Errors
/// It is not reached, or refuses.
pub async fn keep_message_on(
    mesh: &Mesh,
    target: &Target,
    letter: &Letter,
    file: &[u8],
) -> Result<(), CallError> {
    let body = posted(letter, file);
    let within = Duration::from_millis(KEEP_MS_MAX);
    let kept = mesh.call_kind_within(target, KEEP_MESSAGE_CALL, body, within);
    kept.await.map(drop)
}

/// Asks another node for messages, or for the bytes of a file.
///
/// # Errors
/// It is not reached, or refuses.
pub async fn messages_on(
    mesh: &Mesh,
    target: &Target,
    wanted: &Wanted,
) -> Result<Vec<u8>, CallError> {
    let body = serde_json::to_vec(wanted).unwrap_or_default();
    let within = Duration::from_millis(KEEP_MS_MAX);
    mesh.call_kind_within(target, MESSAGES_CALL, body, within)
        .await
}

fn posted(letter: &Letter, file: &[u8]) -> Vec<u8> {
    // A letter has nothing in it that has no JSON form, and is short.
    let json = serde_json::to_vec(letter).unwrap_or_default();
    let length = u32::try_from(json.len()).unwrap_or_default().to_be_bytes();
    [&length[..], &json, file].concat()
}

fn opened(body: &[u8]) -> Option<(Letter, Vec<u8>)> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (json, file) = rest.split_at_checked(length)?;
    Some((serde_json::from_slice(json).ok()?, file.to_vec()))
}

/// Answers both calls. Only inner nodes reach them: the ALPN is closed to other zones.
pub(crate) fn register(calls: &Calls, recorder: &Recorder) {
    // Weak: the router outlives the recorder in some assemblies, and must not keep its disk open.
    let shared = Arc::downgrade(&recorder.shared);
    let keeping = shared.clone();
    calls.register(
        KEEP_MESSAGE_CALL,
        Arc::new(move |_: Peer, body: Vec<u8>| {
            let shared = keeping.clone();
            Box::pin(async move {
                let shared = shared.upgrade().ok_or("the recorder has stopped")?;
                let (letter, file) = opened(&body).ok_or("not a message")?;
                let kept = Recorder { shared }.keep_message(letter, file).await;
                kept.map_err(told)?;
                Ok(Vec::new())
            })
        }),
    );
    calls.register(
        MESSAGES_CALL,
        Arc::new(move |_: Peer, body: Vec<u8>| {
            let shared = shared.clone();
            Box::pin(async move {
                let shared = shared.upgrade().ok_or("the recorder has stopped")?;
                let recorder = Recorder { shared };
                let wanted = serde_json::from_slice(&body).map_err(|_| "not a question")?;
                match wanted {
                    Wanted::List { session, ids } => {
                        let messages = recorder.messages(&session, ids).await.map_err(told)?;
                        serde_json::to_vec(&messages).map_err(|error| error.to_string())
                    }
                    Wanted::File { session, id } => {
                        let file = recorder.message_file(&session, &id).await;
                        let file = file.map_err(told)?;
                        file.ok_or_else(|| "no such file here".to_owned())
                    }
                }
            })
        }),
    );
}

/// A refusal for the caller; its causes are for this node's log.
fn told(error: MessageError) -> String {
    let chain = guitai_types::problem::chain(&error);
    tracing::warn!(chain, "a message was not kept or not found");
    error.to_string()
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        UnixMillis,
        message::{MessageBody, Sender},
    };

    use super::*;

    #[test]
    fn a_letter_arrives_as_it_was_posted_and_nothing_else_is_one() {
        let letter = Letter {
            session: "5e55".parse().unwrap(),
            message: Message {
                id: "a1".parse().unwrap(),
                number: 0,
                at: UnixMillis(7),
                from: Sender::Customer,
                body: MessageBody::Text {
                    text: "你好".to_owned(),
                },
                found: Vec::new(),
            },
        };
        let body = posted(&letter, b"file");
        assert_eq!(opened(&body), Some((letter, b"file".to_vec())));
        for bad in [
            &b""[..],
            b"\0\0\0",
            b"\xff\xff\xff\xff{}",
            b"\0\0\0\x02{}",
            &body[..20],
        ] {
            assert_eq!(opened(bad), None);
        }
    }
}
