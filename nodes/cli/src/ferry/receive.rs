//! Receiving: each file in the drop folder is read whole, judged, and taken, left to wait, or set aside. Items that are
//! whole are inspected; what was accepted is put in its place after that is written down, and again if a crash came
//! between.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use guitai_ferry::{
    Judged, Kept, Shelf,
    bundle::{FILE_BYTES_MAX, open, seal_answer},
    manifest::{Item, WhyFile, WhyItem, detail},
    name::{Hash, Kind, number_of},
    record::{Outcome, Record},
};
use guitai_types::UnixMillis;
use serde::Serialize;

use super::{
    inspect, logs, send,
    state::{State, local},
};
use crate::{failure::Failure, files::failed};

/// Most files of the drop folder that one run looks at; the rest is for the next.
const FILES_MAX: usize = 10_000;
/// Most refused files that are kept to be looked at; further ones are only written down.
const REFUSED_MAX: usize = 64;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub(super) struct Received {
    /// Bundles that were taken.
    pub(super) taken: Vec<u64>,
    /// Bundles that had been taken before.
    pub(super) duplicates: Vec<u64>,
    /// Bundles that wait for one before them.
    pub(super) waiting: Vec<u64>,
    /// Numbers that are missing.
    pub(super) missing: Vec<u64>,
    /// Items that were accepted.
    pub(super) kept: Vec<Ended>,
    /// Items that were refused.
    pub(super) refused: Vec<Ended>,
    /// Files that were no bundles.
    pub(super) files: Vec<Bad>,
    /// Files that were not at rest yet.
    pub(super) unsettled: usize,
}

/// An item and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Ended {
    pub(super) item: Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<WhyItem>,
    pub(super) inspection: String,
}

/// A file that was no bundle.
#[derive(Debug, Serialize)]
pub(super) struct Bad {
    pub(super) file: String,
    pub(super) why: WhyFile,
    pub(super) detail: String,
}

pub(super) fn receive(
    state: &mut State,
    answer_out: Option<&Path>,
    now: UnixMillis,
) -> Result<Received, Failure> {
    let mut received = Received::default();
    // Before anything new: what was accepted and not put in its place.
    place(state)?;
    loop {
        let before = state.side.into.received();
        received.waiting.clear();
        for path in found(state, now, &mut received)? {
            take(state, &path, now, &mut received)?;
        }
        // A bundle may have another name than its own, and so be found after those that wait for it.
        let next = state.side.into.received() + 1;
        if state.side.into.received() == before || !received.waiting.contains(&next) {
            break;
        }
    }
    received.waiting.sort_unstable();
    received.waiting.dedup();
    if !received.waiting.iter().eq(state.side.into.waiting()) {
        let numbers = received.waiting.clone();
        state.happened(Record::Waiting { at: now, numbers })?;
    }
    send::tidy(state)?;
    received.missing = state.side.into.missing().into_iter().collect();
    if let Some(path) = answer_out {
        let answer = state.side.answer(now);
        let text = seal_answer(&answer, &state.signer()?);
        let text = text.map_err(|error| Failure::local("signing the answer", &error))?;
        let written = state.disk.publish(path, text.as_bytes());
        written.map_err(|error| local(&error))?;
    }
    Ok(received)
}

/// The files in the drop folder that are at rest, by name: bundles in the order of their numbers.
fn found(state: &State, now: UnixMillis, received: &mut Received) -> Result<Vec<PathBuf>, Failure> {
    let dir = &state.config.drop_in;
    let entries = fs::read_dir(dir).map_err(|error| local(&failed(dir, error)))?;
    let mut paths = Vec::new();
    received.unsettled = 0;
    for entry in entries.take(FILES_MAX) {
        let entry = entry.map_err(|error| local(&failed(dir, error)))?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(entry.path()) else {
            continue;
        };
        let modified = meta.modified().ok();
        let modified = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let rested = Duration::from_millis(now.0).saturating_sub(modified.unwrap_or_default());
        if state.config.settle_ms > 0 && rested.as_millis() < u128::from(state.config.settle_ms) {
            received.unsettled += 1;
            continue;
        }
        paths.push(entry.path());
    }
    paths.sort();
    Ok(paths)
}

/// Deals with one file.
fn take(
    state: &mut State,
    path: &Path,
    now: UnixMillis,
    received: &mut Received,
) -> Result<(), Failure> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let (ferry, peer) = (&state.side.terms.ferry, &state.side.terms.peer);
    let meta = fs::symlink_metadata(path).map_err(|error| local(&failed(path, error)))?;
    let mut bad = Refusal {
        path,
        name: &name,
        bytes: meta.len(),
        sm3: None,
        now,
    };
    if number_of(&name, ferry, peer).is_none() || !meta.is_file() {
        return bad.set_aside(
            state,
            WhyFile::Stray,
            "no name of a bundle of the other side",
            received,
        );
    }
    if meta.len() > FILE_BYTES_MAX {
        let detail = format!(
            "{} bytes; a bundle has at most {FILE_BYTES_MAX}",
            meta.len()
        );
        return bad.set_aside(state, WhyFile::TooLarge, &detail, received);
    }
    let bytes = fs::read(path).map_err(|error| local(&failed(path, error)))?;
    bad.bytes = bytes.len() as u64;
    bad.sm3 = Some(Hash(guitai_crypto::sm3::hash(&bytes)));
    let opened = match open(&bytes, &state.peer()?) {
        Ok(opened) => opened,
        Err(refused) => return bad.set_aside(state, refused.why, &refused.detail, received),
    };
    let number = opened.manifest.number;
    match state.side.judge(&opened.manifest, opened.statement) {
        Judged::Ahead => {
            received.waiting.push(number);
            return Ok(());
        }
        Judged::Refused(why, detail) => return bad.set_aside(state, why, &detail, received),
        Judged::Duplicate => {
            state.happened(Record::Duplicate { at: now, number })?;
            received.duplicates.push(number);
        }
        Judged::Take => {
            let record = state.side.take(&opened, now, &mut Partial(state))?;
            if let Record::Received {
                parts, outcomes, ..
            } = &record
            {
                for outcome in outcomes {
                    let part = parts.iter().find(|part| part.item.number == outcome.item);
                    let Some(part) = part else { continue };
                    let Outcome {
                        refused,
                        inspection,
                        ..
                    } = outcome;
                    let ended = Ended {
                        item: part.item.clone(),
                        why: *refused,
                        inspection: inspection.clone(),
                    };
                    if refused.is_none() {
                        received.kept.push(ended);
                    } else {
                        received.refused.push(ended);
                    }
                }
            }
            state.happened(record)?;
            place(state)?;
            received.taken.push(number);
        }
    }
    state.disk.remove(path).map_err(|error| local(&error))
}

/// A file that is about to be refused.
struct Refusal<'a> {
    path: &'a Path,
    name: &'a str,
    bytes: u64,
    sm3: Option<Hash>,
    now: UnixMillis,
}

impl Refusal<'_> {
    /// Writes it down and takes the file out of the drop folder.
    fn set_aside(
        &self,
        state: &mut State,
        why: WhyFile,
        text: &str,
        received: &mut Received,
    ) -> Result<(), Failure> {
        let file = detail(self.name);
        state.happened(Record::FileRefused {
            at: self.now,
            file: file.clone(),
            bytes: self.bytes,
            sm3: self.sm3,
            why,
            detail: detail(text),
        })?;
        let dir = state.dir.join("refused");
        let kept = fs::read_dir(&dir).map_err(|error| local(&failed(&dir, error)))?;
        let is_dir = self.path.is_dir() && !self.path.is_symlink();
        if kept.count() < REFUSED_MAX || is_dir {
            // The journal's number tells two of one name apart; the name stays out of it, whatever it is.
            let to = dir.join(state.end.length.to_string());
            state
                .disk
                .rename(self.path, &to)
                .map_err(|error| local(&error))?;
        } else {
            state
                .disk
                .remove(self.path)
                .map_err(|error| local(&error))?;
        }
        received.files.push(Bad {
            file,
            why,
            detail: detail(text),
        });
        Ok(())
    }
}

/// Puts accepted items in their place, and forgets what is left of others. What is there already is the same.
fn place(state: &State) -> Result<(), Failure> {
    let dir = state.dir.join("partial");
    let entries = fs::read_dir(&dir).map_err(|error| local(&failed(&dir, error)))?;
    for entry in entries {
        let entry = entry.map_err(|error| local(&failed(&dir, error)))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(number) = name.parse::<u64>() else {
            // Where a log was unpacked when a crash came.
            fs::remove_dir_all(entry.path()).map_err(|error| local(&failed(&dir, error)))?;
            continue;
        };
        if number > state.side.into.items() {
            continue;
        }
        match ended(state, number) {
            Some((item, folder)) => {
                let to = state.config.into.join(folder);
                fs::create_dir_all(&to).map_err(|error| local(&failed(&to, error)))?;
                let to = to.join(format!("{number:06}-{}", item.name));
                let placed = state.disk.rename(&entry.path(), &to);
                placed.map_err(|error| local(&error))?;
            }
            None => state
                .disk
                .remove(&entry.path())
                .map_err(|error| local(&error))?,
        }
    }
    Ok(())
}

/// An item that was accepted as a file, and the folder for its kind.
fn ended(state: &State, number: u64) -> Option<(&Item, &'static str)> {
    let of = |record: &'_ Record| match record {
        Record::Received { outcomes, .. } => outcomes.iter().any(|it| it.item == number),
        _ => false,
    };
    let record = state.records.iter().rev().find(|record| of(record))?;
    let Record::Received {
        parts, outcomes, ..
    } = record
    else {
        return None;
    };
    let is_refused = outcomes
        .iter()
        .any(|it| it.item == number && it.refused.is_some());
    let part = parts.iter().find(|part| part.item.number == number)?;
    match part.item.kind.known() {
        Some(Kind::Recording) if !is_refused => Some((&part.item, "recordings")),
        Some(Kind::Report) if !is_refused => Some((&part.item, "reports")),
        // A log is in its copy already.
        _ => None,
    }
}

/// Items that came, until they are whole.
struct Partial<'a>(&'a State);

impl Partial<'_> {
    fn path(&self, item: &Item) -> PathBuf {
        self.0.dir.join("partial").join(item.number.to_string())
    }
}

impl Shelf for Partial<'_> {
    type Error = Failure;

    fn append(&mut self, item: &Item, offset: u64, content: &[u8]) -> Result<(), Failure> {
        let written = self.0.disk.write_from(&self.path(item), offset, content);
        written.map_err(|error| local(&error))
    }

    fn finish(&mut self, item: &Item, kind: Kind) -> Result<Kept, Failure> {
        let (state, path) = (self.0, self.path(item));
        if let Some(refused) = inspect::whole(&path, item)? {
            return Ok(refused);
        }
        let inspector = state.config.inspector.as_deref();
        match kind {
            Kind::Recording => inspect::asked(inspector, &path, inspect::recording(state, &path)),
            Kind::Report => inspect::asked(inspector, &path, inspect::report(&path, item)?),
            Kind::Log => {
                let scanned = Kept::Accepted(String::new());
                match inspect::asked(inspector, &path, scanned)? {
                    Kept::Accepted(_) => logs::keep(state, &path),
                    refused @ Kept::Refused(..) => Ok(refused),
                }
            }
        }
    }

    fn discard(&mut self, item: &Item) -> Result<(), Failure> {
        let removed = self.0.disk.remove(&self.path(item));
        removed.map_err(|error| local(&error))
    }
}
