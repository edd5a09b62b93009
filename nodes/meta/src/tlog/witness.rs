//! The witness of a centre: it remembers the last head of each tree that it cosigned, durably before it
//! answers, and cosigns another only when it continues that one and is of the tree that this very node has
//! applied. What does not fit raises an alarm that everybody sees.

use std::{io, path::Path, sync::Arc, time::Duration};

use guitai_host::Disk;
use guitai_tlog::{
    Answer, Checkpoint, Digest, Seen, Signer, Submission, Witness, check::Head, note::VerifierKey,
};
use guitai_types::{
    Hex,
    command::Command,
    tlog::{LogAlarm, TreeName},
};
use serde::{Deserialize, Serialize};

use super::serve::Reading;
use crate::{meta::Meta, runtime, runtime::blocking};

/// The file with what was seen.
const FILE: &str = "tlog-witness.json";
/// Longest such file.
const FILE_BYTES_MAX: u64 = 4 * 1024;
/// How long a witness waits for its own node to apply what the head is over, in milliseconds.
const APPLY_MS: u64 = 500;
/// How often it looks meanwhile, in milliseconds.
const LOOK_MS: u64 = 10;

/// What a witness says to a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(crate) enum Cosigned {
    /// The signature line of a note, without its end.
    Line { line: String },
    /// It has seen another size last.
    Conflict { size: u64 },
    /// It does not sign; the status of tlog-witness, and why.
    Refused { status: u16, why: String },
}

/// What a witness remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// Format version, 1.
    v: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sm3: Option<Remembered>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Remembered>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    size: u64,
    root: Hex,
}

/// This node's witness.
pub(crate) struct Watch {
    signer: Arc<Signer>,
    disk: Arc<dyn Disk>,
    /// Held from reading until what was seen is durable, or two answers could roll each other back.
    memory: tokio::sync::Mutex<Memory>,
}

impl Watch {
    pub(crate) fn open(signer: Arc<Signer>, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let path = Path::new(FILE);
        let memory = if disk.exists(path)? {
            let bytes = disk.read(path, FILE_BYTES_MAX)?;
            serde_json::from_slice(&bytes).map_err(io::Error::other)?
        } else {
            Memory::default()
        };
        Ok(Self {
            signer,
            disk,
            memory: tokio::sync::Mutex::new(memory),
        })
    }

    /// Judges a head of each tree, remembers what it signs, and signs.
    pub(crate) async fn cosign(&self, meta: &Meta, sm3: &str, sha256: &str) -> [Cosigned; 2] {
        let mut memory = self.memory.lock().await;
        let asked = [(Digest::Sm3, sm3), (Digest::Sha256, sha256)];
        let asked = asked.map(|(digest, text)| (digest, Asked::read(text)));
        let sizes = asked.iter().flat_map(|(_, asked)| asked.as_ref().ok());
        let size = sizes.map(|asked| asked.head.size).max().unwrap_or(0);
        let Some(reading) = applied(meta, size).await else {
            let why = "this node has not applied so much";
            return [(); 2].map(|()| refused(503, why));
        };
        let reading = Arc::new(reading);
        let mut next = memory.clone();
        let mut answers = Vec::new();
        for (digest, asked) in asked {
            answers.push(match asked {
                Ok(asked) => {
                    let seen = next.seen(digest);
                    let judged = judge(&reading, digest, asked, seen, meta).await;
                    judged.inspect(|head| next.remember(digest, *head))
                }
                Err(why) => Err(refused(400, &why)),
            });
        }
        if next != *memory {
            next.v = 1;
            let (disk, bytes) = (self.disk.clone(), serde_json::to_vec(&next));
            let written = blocking(move || {
                let bytes = bytes.map_err(io::Error::other)?;
                disk.write_whole(Path::new(FILE), &bytes)
            });
            if let Err(error) = written.await {
                tracing::error!(%error, "what the witness saw was not kept; it does not sign");
                return [(); 2].map(|()| refused(500, "the witness cannot keep what it saw"));
            }
            *memory = next;
        }
        let at = meta.wall().0 / 1_000;
        let mut signed = answers.into_iter().zip([Digest::Sm3, Digest::Sha256]);
        [(); 2].map(|()| match signed.next() {
            Some((Ok(head), digest)) => {
                let origin = origin(&reading, digest);
                let text = super::serve::checkpoint(&origin, head.size, head.root);
                let line = self.signer.sign(digest, &text, at).to_string();
                Cosigned::Line {
                    line: line.trim_end().to_owned(),
                }
            }
            Some((Err(refusal), _)) => refusal,
            None => refused(500, "not judged"),
        })
    }
}

/// A submission that can be read.
struct Asked {
    submission: Submission,
    head: Head,
}

impl Asked {
    fn read(text: &str) -> Result<Self, String> {
        let submission = Submission::parse(text.as_bytes()).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::of(&submission.note).map_err(|error| error.to_string())?;
        Ok(Self {
            submission,
            head: checkpoint.head,
        })
    }
}

/// What this node has applied, once that is so much.
async fn applied(meta: &Meta, size: u64) -> Option<Reading> {
    for _ in 0..APPLY_MS / LOOK_MS {
        if meta.peek(|state| state.log().is_some_and(|log| log.size() >= size)) {
            return meta.reading();
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    None
}

/// The head to sign, or what to answer instead.
async fn judge(
    reading: &Arc<Reading>,
    digest: Digest,
    asked: Asked,
    seen: Option<Head>,
    meta: &Meta,
) -> Result<Head, Cosigned> {
    let key = log_key(reading, digest).ok_or_else(|| refused(404, "not a log of this cluster"))?;
    let witness = Witness {
        origin: key.name().to_owned(),
        digest,
        keys: vec![key],
    };
    let judged = witness.judge(&asked.submission, seen.map(Seen));
    let judged = judged.map_err(|error| refused(400, &error.to_string()))?;
    match judged {
        Answer::Conflict { size } => {
            check_memory(reading, digest, seen, meta).await?;
            return Err(Cosigned::Conflict { size });
        }
        Answer::UnknownLog | Answer::Untrusted | Answer::Backwards => {
            return Err(refused(judged.status(), "the log did not sign that"));
        }
        Answer::Cosign(_) | Answer::Inconsistent { .. } => {}
    }
    // The log signed it, so it must be of the tree that is here.
    let shown = asked.head;
    let known = root(reading, digest, shown.size).await?;
    if known != shown.root {
        alarm(meta, digest, shown.size, known, shown.root);
        return Err(refused(422, "two trees: this node has another one"));
    }
    check_memory(reading, digest, seen, meta).await?;
    match judged {
        Answer::Cosign(Seen(head)) => Ok(head),
        other => Err(refused(other.status(), "the proof does not lead there")),
    }
}

/// What was signed before must be of the tree that is here, too.
async fn check_memory(
    reading: &Arc<Reading>,
    digest: Digest,
    seen: Option<Head>,
    meta: &Meta,
) -> Result<(), Cosigned> {
    let Some(seen) = seen.filter(|seen| seen.size <= reading.log.size()) else {
        return Ok(());
    };
    let present = root(reading, digest, seen.size).await?;
    if present == seen.root {
        return Ok(());
    }
    alarm(meta, digest, seen.size, seen.root, present);
    Err(refused(422, "two trees: the witness signed another one"))
}

async fn root(reading: &Arc<Reading>, digest: Digest, size: u64) -> Result<[u8; 32], Cosigned> {
    let reading = reading.clone();
    let read = blocking(move || reading.root(digest, size).map_err(io::Error::other));
    let root = read.await;
    root.map_err(|error| refused(503, &error.to_string()))
}

/// Tells everybody. The answer does not wait for it.
fn alarm(meta: &Meta, digest: Digest, size: u64, known: [u8; 32], shown: [u8; 32]) {
    tracing::error!(
        tree = digest.name(),
        size,
        "the transparency log shows two trees; the witness refuses"
    );
    let alarm = LogAlarm {
        witness: meta.name().clone(),
        tree: match digest {
            Digest::Sm3 => TreeName::Sm3,
            Digest::Sha256 => TreeName::Sha256,
        },
        size,
        known: Hex(known.to_vec()),
        shown: Hex(shown.to_vec()),
    };
    let meta = meta.clone();
    runtime::spawn(async move {
        if let Err(error) = meta.write(Command::AlarmLog { alarm }).await {
            tracing::error!(%error, "the witness' alarm was not agreed on");
        }
    });
}

fn log_key(reading: &Reading, digest: Digest) -> Option<VerifierKey> {
    let keys = &reading.log.trust().log;
    let text = match digest {
        Digest::Sm3 => &keys.sm3,
        Digest::Sha256 => &keys.sha256,
    };
    VerifierKey::parse(text).ok()
}

fn origin(reading: &Reading, digest: Digest) -> String {
    let key = log_key(reading, digest);
    key.map(|key| key.name().to_owned()).unwrap_or_default()
}

fn refused(status: u16, why: &str) -> Cosigned {
    Cosigned::Refused {
        status,
        why: why.to_owned(),
    }
}

impl Memory {
    fn seen(&self, digest: Digest) -> Option<Head> {
        let seen = match digest {
            Digest::Sm3 => &self.sm3,
            Digest::Sha256 => &self.sha256,
        };
        let seen = seen.as_ref()?;
        let root = seen.root.0.as_slice().try_into().ok()?;
        let size = seen.size;
        Some(Head { size, root })
    }

    fn remember(&mut self, digest: Digest, head: Head) {
        let seen = Some(Remembered {
            size: head.size,
            root: Hex(head.root.to_vec()),
        });
        match digest {
            Digest::Sm3 => self.sm3 = seen,
            Digest::Sha256 => self.sha256 = seen,
        }
    }
}
