//! `log consistency`: whether the log still continues the tree that somebody was shown before.

use std::path::PathBuf;

use clap::Args;
use guitai_evidence::log::{
    Hash,
    check::continues,
    note::{NOTE_BYTES_MAX, Note},
};
use guitai_types::{Code, Hex};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{not_verified, policy, read_text, shown, words};
use crate::{Language, args::Asked, failure::Failure, show, staff};

/// Longest answer that a checkpoint is taken out of, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Arguments of `log consistency`.
#[derive(Debug, Args)]
pub struct Consistency {
    /// 旧检查点,或载有检查点的任一 --json 应答 / The older checkpoint, or any --json answer that carries one
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// 信任谁(c2sp.org/tlog-policy),上次检查时留存 / Whom to believe (c2sp.org/tlog-policy), kept since the last visit
    #[arg(long)]
    pub policy: PathBuf,
    /// Which cluster, as whom, and how to show it.
    #[command(flatten)]
    pub asked: Asked,
}

#[derive(Deserialize)]
struct Continues {
    checkpoint: String,
    hashes: Vec<Hex>,
}

/// The log does not continue what was shown before.
#[derive(Debug, thiserror::Error)]
#[error("the tree of {size} entries does not continue that of {older}: the log was rewritten")]
struct Rewritten {
    older: u64,
    size: u64,
}

/// A checkpoint, or what of an answer is one.
fn checkpoint_of(text: String) -> String {
    let value: Option<Value> = serde_json::from_str(&text).ok();
    let within = value
        .as_ref()
        .and_then(|value| value.get("checkpoint")?.as_str());
    within.map(str::to_owned).unwrap_or(text)
}

pub(super) async fn check(arguments: &Consistency, lang: Language) -> Result<String, Failure> {
    let policy = policy(&arguments.policy)?;
    let older = checkpoint_of(read_text(&arguments.from, ANSWER_BYTES_MAX)?);
    if older.len() > NOTE_BYTES_MAX {
        let detail = format!("the checkpoint is longer than {NOTE_BYTES_MAX} bytes");
        return Err(Failure::new(Code::TooLarge, detail));
    }
    let note = |text: &str| Note::parse(text.as_bytes()).map_err(|error| not_verified(&error));
    let older = note(&older)?;
    let older = policy
        .believe(&older)
        .map_err(|error| not_verified(&error))?;
    let head = older.checkpoint.head;
    let door = staff::enter(&arguments.asked.access, super::online::READERS).await?;
    let path = format!("/api/v1/log/consistency?from={}", head.size);
    let told: Continues = door.get(&path).await?;
    let newer = note(&told.checkpoint)?;
    let newer = policy
        .believe(&newer)
        .map_err(|error| not_verified(&error))?;
    let hashes: Option<Vec<Hash>> = told
        .hashes
        .iter()
        .map(|hash| hash.0.as_slice().try_into().ok())
        .collect();
    let is_same =
        older.digest == newer.digest && older.checkpoint.origin == newer.checkpoint.origin;
    let proof = hashes.filter(|_| is_same).unwrap_or_default();
    let new = newer.checkpoint.head;
    if !is_same || !continues(older.digest, &head, &new, &proof) {
        return Err(not_verified(&Rewritten {
            older: head.size,
            size: new.size,
        }));
    }
    if arguments.asked.output.json {
        return show::json(&json!({
            "ok": true, "from": shown(&older), "to": shown(&newer), "checkpoint": told.checkpoint,
        }));
    }
    let (before, after) = (head.size, new.size);
    let line = match lang {
        Language::Zh => format!("{after} 个条目由上次的 {before} 个延续而来,未曾断裂或改写\n"),
        Language::En => {
            format!("the {after} entries continue the {before} that were there then, unbroken\n")
        }
    };
    Ok(line + &words(&newer, lang))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_taken_out_of_an_answer_or_is_one() {
        let note = "log\n3\nroot\n\n— log sig\n".to_owned();
        let answer = json!({ "at": 1, "checkpoint": note }).to_string();
        assert_eq!(checkpoint_of(answer), note);
        assert_eq!(checkpoint_of(note.clone()), note);
        let none = json!({ "checkpoint": null }).to_string();
        assert_eq!(checkpoint_of(none.clone()), none);
    }
}
