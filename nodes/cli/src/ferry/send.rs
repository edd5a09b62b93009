//! Sending: what is named or lies in the spool folder is copied into the state folder, cut into bundles, and put into
//! the drop folder. Every step is written down once it is on the disk, so whatever stops it, the next run goes on.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use guitai_ferry::{
    Plan, Spool,
    bundle::open_answer,
    limits::ITEM_BYTES_MAX,
    manifest::Item,
    name::{ItemName, Kind, file_name},
    record::Record,
};
use guitai_types::UnixMillis;
use serde::Serialize;

use super::{
    args::Send,
    inspect::digests,
    logs::{self, Copy},
    state::{State, local, usage},
};
use crate::{
    failure::Failure,
    files::{PUBLIC, failed},
};

/// Largest acknowledgement that is carried by hand, in bytes: a signed note.
const ANSWER_BYTES_MAX: u64 = 65_536;

/// What was done.
#[derive(Debug, Default, Serialize)]
pub(super) struct Sent {
    /// Items that were queued.
    pub(super) queued: Vec<Item>,
    /// Bundles that were made.
    pub(super) made: Vec<u64>,
    /// Bundles that were put into the drop folder.
    pub(super) sent: Vec<u64>,
    /// Bundles that are not acknowledged.
    pub(super) outstanding: usize,
    /// Items that no bundle has wholly.
    pub(super) waiting: usize,
    /// Too many bundles are unacknowledged: sending has stopped.
    pub(super) full: bool,
    /// What was not queued, and why.
    pub(super) skipped: Vec<Skipped>,
}

/// Something that was not queued.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    pub(super) file: PathBuf,
    pub(super) why: String,
}

pub(super) fn send(state: &mut State, arguments: &Send, now: UnixMillis) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    if let Some(path) = &arguments.answer {
        take_answer(state, path, now)?;
    }
    for path in &arguments.files {
        let queued = queue(state, path, now)?;
        sent.queued.extend(queued);
    }
    if let Some(dir) = &arguments.spool {
        empty(state, dir, now, &mut sent)?;
    }
    make(state, now, &mut sent)?;
    put(state, arguments.again, now, &mut sent)?;
    tidy(state)?;
    sent.outstanding = state.side.out.outstanding().len();
    sent.waiting = state.side.out.waiting().count();
    Ok(sent)
}

fn take_answer(state: &mut State, path: &Path, now: UnixMillis) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| local(&failed(path, error)))?;
    let mut bytes = Vec::new();
    let read = file.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(|error| local(&failed(path, error)))?;
    let refused = |why: &str| usage(&format!("{}: {why}", path.display()));
    let answer = open_answer(&bytes, &state.peer()?);
    let answer = answer.map_err(|error| refused(&format!("{}: {error}", error.why.name())))?;
    let record = state.side.answered(&answer, now);
    let record = record.ok_or_else(|| refused("it acknowledges what was not sent here"))?;
    state.happened(record)
}

/// Queues what a path names.
fn queue(state: &mut State, path: &Path, now: UnixMillis) -> Result<Vec<Item>, Failure> {
    if path.is_dir() {
        let trees = logs::trees(path);
        if trees.is_empty() {
            return Err(usage(&format!(
                "{}: no copy of a log in it",
                path.display()
            )));
        }
        let queued = trees.iter().map(|tree| queue_log(state, tree, now));
        let queued: Vec<Option<Item>> = queued.collect::<Result<_, _>>()?;
        return Ok(queued.into_iter().flatten().collect());
    }
    let (name, kind) = named(path).map_err(|why| usage(&format!("{}: {why}", path.display())))?;
    let spooled = spooled(state);
    fs::copy(path, &spooled)
        .and_then(|_| File::open(&spooled)?.sync_all())
        .map_err(|error| local(&failed(path, error)))?;
    enter(state, &spooled, kind, name, now).map(|item| item.into_iter().collect())
}

/// Queues what a copy of the log has more than the last one that was sent.
fn queue_log(state: &mut State, tree: &Path, now: UnixMillis) -> Result<Option<Item>, Failure> {
    let copy = Copy::open(tree)?;
    let base = copy.base(state);
    if !copy.has_more_than(base) {
        return Ok(None);
    }
    let name = copy.name();
    let name: ItemName = name
        .parse()
        .map_err(|_| usage(&format!("{name}: no name")))?;
    let spooled = spooled(state);
    let written = copy.write(base, &spooled);
    written.map_err(|error| local(&failed(tree, error)))?;
    enter(state, &spooled, Kind::Log, name, now)
}

/// Queues what lies in the spool folder, and takes it out of there.
fn empty(state: &mut State, dir: &Path, now: UnixMillis, sent: &mut Sent) -> Result<(), Failure> {
    let entries = fs::read_dir(dir).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<Result<Vec<_>, _>>()
    });
    let mut paths = entries.map_err(|error| local(&failed(dir, error)))?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Somebody is writing it still.
        if name.starts_with('.') || name.ends_with(".new") || name.ends_with(".tmp") {
            continue;
        }
        if let Err(why) = named(&path) {
            sent.skipped.push(Skipped { file: path, why });
            continue;
        }
        sent.queued.extend(queue(state, &path, now)?);
        state.disk.remove(&path).map_err(|error| local(&error))?;
    }
    Ok(())
}

/// The name and kind of a file, or why it is none that is sent.
fn named(path: &Path) -> Result<(ItemName, Kind), String> {
    let meta = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("no regular file".to_owned());
    }
    if meta.size() > ITEM_BYTES_MAX {
        return Err(format!(
            "{} bytes; at most {ITEM_BYTES_MAX} pass",
            meta.size()
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name: ItemName = name.parse().map_err(|error| format!("{error}"))?;
    let kinds = [Kind::Recording, Kind::Report];
    let kind = kinds.into_iter().find(|kind| kind.may_have(&name));
    kind.map(|kind| (name, kind))
        .ok_or_else(|| "neither a package (.vcep) nor a report (.json .txt .csv .md)".to_owned())
}

/// Where the next item is copied to; what a crash left there is of no item.
fn spooled(state: &State) -> PathBuf {
    let number = state.side.out.next_item();
    state.dir.join("spool").join(number.to_string())
}

/// Enters what was copied; one that is on the way already is not sent twice.
fn enter(
    state: &mut State,
    spooled: &Path,
    kind: Kind,
    name: ItemName,
    now: UnixMillis,
) -> Result<Option<Item>, Failure> {
    let found = digests(spooled).map_err(|error| local(&failed(spooled, error)))?;
    let (bytes, sm3, sha256) = found;
    let out = &state.side.out;
    let same = |item: &Item| item.name == name && item.sm3 == sm3;
    if out.waiting().any(|(item, _)| same(item)) || out.on_the_way().any(|it| same(&it.item)) {
        return Ok(None);
    }
    let item = Item {
        number: out.next_item(),
        kind: kind.into(),
        name,
        bytes,
        sm3,
        sha256,
    };
    state.happened(Record::Queued {
        at: now,
        item: item.clone(),
    })?;
    Ok(Some(item))
}

/// Makes bundles as long as there is something to send or to say.
fn make(state: &mut State, now: UnixMillis, sent: &mut Sent) -> Result<(), Failure> {
    let signer = state.signer()?;
    // What nobody could read would only pile up.
    state.peer()?;
    loop {
        let plan = match state.side.plan() {
            Plan::Nothing => return Ok(()),
            Plan::Full => {
                sent.full = true;
                return Ok(());
            }
            Plan::Bundle(plan) => plan,
        };
        let mut spool = Folder(state.dir.join("spool"));
        let made = state.side.make(&plan, now, &signer, &mut spool);
        let (record, bytes) = made.map_err(|error| Failure::local("making a bundle", &error))?;
        let number = state.side.out.last() + 1;
        let kept = state.disk.write(&outbox(state, number), &bytes, PUBLIC);
        kept.map_err(|error| local(&error))?;
        state.happened(record)?;
        sent.made.push(number);
    }
}

/// Puts into the drop folder what goes there now.
fn put(state: &mut State, every: bool, now: UnixMillis, sent: &mut Sent) -> Result<(), Failure> {
    let terms = &state.side.terms;
    for number in state.side.again(now, every) {
        let name = file_name(&terms.ferry, &terms.me, number);
        let to = state.config.drop_out.join(name);
        let bytes = outbox(state, number);
        let bytes = fs::read(&bytes).map_err(|error| local(&failed(&bytes, error)))?;
        // The gap has not come by yet.
        let lies_there = fs::read(&to).is_ok_and(|there| there == bytes);
        if !lies_there {
            let put = state.disk.publish(&to, &bytes);
            put.map_err(|error| local(&error))?;
        }
        sent.sent.push(number);
    }
    if sent.sent.is_empty() {
        return Ok(());
    }
    let numbers = sent.sent.clone();
    state.happened(Record::Sent { at: now, numbers })
}

/// Removes what is acknowledged or wholly in bundles.
pub(super) fn tidy(state: &State) -> Result<(), Failure> {
    let out = &state.side.out;
    let needed: Vec<String> = out
        .waiting()
        .map(|(item, _)| item.number.to_string())
        .collect();
    let outstanding = out.outstanding().keys();
    let outstanding: Vec<String> = outstanding.map(|number| format!("{number}.tar")).collect();
    for (folder, needed) in [("spool", needed), ("outbox", outstanding)] {
        let dir = state.dir.join(folder);
        let entries = fs::read_dir(&dir).map_err(|error| local(&failed(&dir, error)))?;
        for entry in entries {
            let entry = entry.map_err(|error| local(&failed(&dir, error)))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !needed.contains(&name) {
                let removed = state.disk.remove(&entry.path());
                removed.map_err(|error| local(&error))?;
            }
        }
    }
    Ok(())
}

fn outbox(state: &State, number: u64) -> PathBuf {
    state.dir.join("outbox").join(format!("{number}.tar"))
}

/// Items in the spool folder of the state.
struct Folder(PathBuf);

impl Spool for Folder {
    type Error = std::io::Error;

    fn read(&mut self, item: &Item, offset: u64, bytes: u64) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(self.0.join(item.number.to_string()))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut content = Vec::new();
        file.take(bytes).read_to_end(&mut content)?;
        if content.len() as u64 != bytes {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(content)
    }
}
