//! While this node leads, it signs the heads of both trees when they have grown, has them cosigned by the
//! witnesses, and has them published once enough did.

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use guitai_host::random_id;
use guitai_tlog::{
    Digest, Submission,
    note::{Line, Note},
};
use guitai_types::{NodeName, RequestId, command::Command};
use tokio::sync::watch;

use super::{
    Answer, Ask, LogKeys,
    serve::{Reading, checkpoint},
    witness::Cosigned,
};
use crate::{leader::ATTEMPT_MS, meta::Meta, transport::Topic};

/// How often heads are signed at most, in milliseconds.
const PUBLISH_MS: u64 = 1_000;
/// How long a witness may take, in milliseconds.
const WITNESS_MS: u64 = 1_500;
/// Submissions to one witness for one head: it says once what it has seen last.
const SUBMISSIONS_MAX: usize = 2;

/// Runs until the node stops.
pub(crate) async fn run(meta: Meta, keys: LogKeys, mut stopped: watch::Receiver<bool>) {
    let mut pace = tokio::time::interval(Duration::from_millis(PUBLISH_MS));
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = pace.tick() => {}
        }
        if meta.leading().is_none() {
            continue;
        }
        let (is_founded, has_log) =
            meta.peek(|state| (state.cluster().is_some(), state.log().is_some()));
        if is_founded && !has_log {
            let trust = Box::new(keys.trust.clone());
            let request = random_id(meta.entropy(), RequestId::from_random);
            meta.apply_here(request, &Command::TrustLog { trust }).await;
        } else if let Some(command) = next(&meta, &keys).await {
            let request = random_id(meta.entropy(), RequestId::from_random);
            meta.apply_here(request, &command).await;
        }
    }
}

/// The next heads to publish, if there are new ones and enough witnesses cosign them.
async fn next(meta: &Meta, keys: &LogKeys) -> Option<Command> {
    let last = meta.applied().look(|base| base.last)?;
    let reading = meta.reading()?;
    let published = reading.log.published().map_or(0, |it| it.size);
    if reading.log.size() <= published {
        return None;
    }
    // What is published must not be lost with this city, or the log would go on as another tree.
    let guarded = meta.is_guarded(&last);
    let within = Duration::from_millis(ATTEMPT_MS);
    tokio::time::timeout(within, guarded).await.ok()?;
    let notes = [Digest::Sm3, Digest::Sha256].map(|digest| head(&reading, keys, digest));
    let [Some(mut sm3), Some(mut sha256)] = notes else {
        return None;
    };
    let trust = reading.log.trust();
    let nodes = trust.witnesses.iter().map(|witness| &witness.node);
    let mut asked: FuturesUnordered<_> = nodes
        .map(|node| {
            cosigned(
                meta,
                &reading,
                node,
                published,
                [sm3.clone(), sha256.clone()],
            )
        })
        .collect();
    let mut count = 0;
    while count < trust.needed() {
        // Nobody is left to ask.
        let answer = asked.next().await?;
        // A centre that is gone does not keep the others from being enough.
        if let Some([one, twin]) = answer {
            sm3.add(one).ok()?;
            sha256.add(twin).ok()?;
            count += 1;
        }
    }
    drop(asked);
    Some(Command::PutCheckpoint {
        sm3: sm3.to_string(),
        sha256: sha256.to_string(),
    })
}

/// A tree's head, signed by the log.
fn head(reading: &Reading, keys: &LogKeys, digest: Digest) -> Option<Note> {
    let key = keys.log.key(digest);
    let size = reading.log.size();
    let text = checkpoint(key.name(), size, reading.log.edge(digest).root());
    let mut note = Note::new(text.clone()).ok()?;
    note.add(keys.log.sign(digest, &text, 0)).ok()?;
    Some(note)
}

/// What a witness adds to both notes.
async fn cosigned(
    meta: &Meta,
    reading: &Reading,
    node: &NodeName,
    published: u64,
    notes: [Note; 2],
) -> Option<[Line; 2]> {
    let mut old = [published; 2];
    for _ in 0..SUBMISSIONS_MAX {
        let mut bodies = Vec::new();
        let parts = notes.iter().zip(old).zip([Digest::Sm3, Digest::Sha256]);
        for ((note, old), digest) in parts {
            let view = reading.of(digest);
            let proof = reading.tree(&view, reading.log.size()).consistency(old);
            let submission = Submission {
                old,
                proof: proof.ok()?,
                note: note.clone(),
            };
            bodies.push(submission.to_string());
        }
        let sha256 = bodies.pop()?;
        let sm3 = bodies.pop()?;
        let answers = ask(meta, node, sm3, sha256).await?;
        let lines = answers.iter().map(|answer| match answer {
            Cosigned::Line { line } => Line::parse(line).ok(),
            Cosigned::Conflict { .. } | Cosigned::Refused { .. } => None,
        });
        let lines: Option<Vec<Line>> = lines.collect();
        if let Some(lines) = lines {
            return lines.try_into().ok();
        }
        for (old, answer) in old.iter_mut().zip(&answers) {
            match answer {
                Cosigned::Conflict { size } => *old = *size,
                // It has signed this one before, so that is what it has seen last.
                Cosigned::Line { .. } => *old = reading.log.size(),
                Cosigned::Refused { status, why } => {
                    tracing::warn!(%node, status, why, "a witness does not sign");
                    return None;
                }
            }
        }
    }
    None
}

async fn ask(meta: &Meta, node: &NodeName, sm3: String, sha256: String) -> Option<[Cosigned; 2]> {
    if node == meta.name() {
        return Some(meta.watch()?.cosign(meta, &sm3, &sha256).await);
    }
    let member = meta.directory().core(node)?;
    let request = serde_json::to_vec(&Ask::Cosign { sm3, sha256 }).ok()?;
    match meta.ask(member.id, Topic::Log, request, WITNESS_MS).await? {
        Answer::Cosigned { sm3, sha256 } => Some([sm3, sha256]),
        Answer::File { .. } | Answer::Absent => None,
    }
}
