//! A node that was left behind comes back: what only it has is exported as evidence, its log is set
//! aside, and it joins the new lineage with nothing, as a learner. Nothing of the old lineage is ever
//! merged into the new one.

use std::{io, path::PathBuf};

use guitai_store::HashChain;
use guitai_types::{
    Code, Epoch, Hex, NodeName, Problem, UnixMillis,
    lineage::{LogPlace, Rejoined, Tombstone},
};
use serde::Serialize;

use crate::{
    log::LogStore,
    meta::Meta,
    raft::Entry,
    takeover::{holds, join_lineage, place},
};

/// Directory of what is exported, below the node's data.
const EVIDENCE: &str = "evidence";
/// Entries read at once.
const CHUNK: u64 = 512;

/// Why a node does not rejoin; nothing was changed but an export that may be there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RejoinError {
    /// The node is where it belongs.
    #[error("this node is not in quarantine: nobody told it of an epoch above its own, {own}", own = .own.0)]
    NotQuarantined {
        /// Its epoch.
        own: Epoch,
    },
    /// The epoch asked for is not above this node's.
    #[error("epoch {asked} is not above this node's, {own}: a node never goes back", asked = .asked.0, own = .own.0)]
    NotAbove {
        /// As asked.
        asked: Epoch,
        /// As it is.
        own: Epoch,
    },
    /// The new lineage does not answer.
    #[error("no node of epoch {asked} answers; it can only be joined while it does", asked = .asked.0)]
    Nobody {
        /// As asked.
        asked: Epoch,
    },
    /// The divergent entries could not be read or written.
    #[error("the divergent entries were not exported")]
    Export(#[source] io::Error),
    /// The lineage could not be changed.
    #[error("the lineage was not changed")]
    Keep(#[source] io::Error),
}

impl RejoinError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Export(_) | Self::Keep(_) => Code::Internal,
            _ => Code::RejoinRefused,
        };
        Problem::new(code, self.to_string())
    }
}

/// First line of an export.
#[derive(Serialize)]
struct Head<'a> {
    v: u16,
    what: &'static str,
    node: &'a NodeName,
    epoch_old: Epoch,
    epoch: Epoch,
    /// The last entry that the new lineage has, too; `null` when that lies before what is kept here.
    common: Option<LogPlace>,
    first: u64,
    last: LogPlace,
    ordered_by: &'a str,
    at: UnixMillis,
}

/// One entry of it.
#[derive(Serialize)]
struct Line<'a> {
    log: LogPlace,
    entry: &'a Entry,
}

/// Last line: the chain's end over every line before, signed.
#[derive(Serialize)]
struct End {
    entries: u64,
    chain: Hex,
    public_key: Hex,
    signature: Hex,
}

impl Meta {
    /// Leaves the old lineage for the new one: exports what the new one does not have, sets log and
    /// snapshots aside, and asks for a new start of the process (see [`Meta::restart_wanted`]), after
    /// which the node waits to be taken in as a learner. `ordered_by` is `institution/name`.
    pub async fn rejoin(
        &self,
        epoch: Option<Epoch>,
        ordered_by: String,
    ) -> Result<Rejoined, RejoinError> {
        let own = self.lineage().epoch().unwrap_or_default();
        if let Some(asked) = epoch.filter(|asked| *asked <= own) {
            return Err(RejoinError::NotAbove { asked, own });
        }
        let quarantine = self.lineage().quarantine();
        let quarantine = quarantine.ok_or(RejoinError::NotQuarantined { own })?;
        let asked = epoch.unwrap_or(quarantine.heard);
        let tombstone = self
            .tombstone_of(asked)
            .await
            .ok_or(RejoinError::Nobody { asked })?;
        self.lineage().leave();
        let tail = Tail {
            meta: self,
            tombstone: &tombstone,
            own,
            ordered_by: &ordered_by,
        };
        let exported = tail.export().map_err(RejoinError::Export);
        let (divergent, file) = match exported {
            Ok(exported) => exported,
            Err(error) => {
                // It stays in quarantine; the new start clears that it was about to leave.
                self.lineage().want_restart();
                return Err(error);
            }
        };
        let epoch = tombstone.epoch;
        let joined = join_lineage(self.lineage(), tombstone);
        self.lineage().want_restart();
        joined.map_err(RejoinError::Keep)?;
        tracing::warn!(
            epoch = epoch.0,
            divergent,
            ordered_by,
            "left the old lineage; starting anew"
        );
        Ok(Rejoined {
            epoch_old: own,
            epoch,
            divergent,
            file: file.map(|file| file.display().to_string()),
        })
    }

    /// The takeover that began an epoch, from any node of it.
    async fn tombstone_of(&self, epoch: Epoch) -> Option<Tombstone> {
        for member in self.directory().others(self.id()) {
            let stand = self.ask_stand(&member).await;
            let stand = stand.filter(|stand| stand.epoch == Some(epoch) && !stand.quarantined);
            if let Some(tombstone) = stand.and_then(|stand| stand.tombstone) {
                return Some(tombstone);
            }
        }
        None
    }
}

struct Tail<'a> {
    meta: &'a Meta,
    tombstone: &'a Tombstone,
    own: Epoch,
    ordered_by: &'a str,
}

impl Tail<'_> {
    /// Writes the entries the new lineage does not have; how many, and where.
    fn export(&self) -> io::Result<(u64, Option<PathBuf>)> {
        let log = self.meta.log();
        let common = common(log, self.tombstone)?;
        let range = log.range();
        let first = common.map_or(range.start, |common| common.index.saturating_add(1));
        let first = first.max(range.start);
        let Some(last) = log.last()?.filter(|last| last.index >= first) else {
            return Ok((0, None));
        };
        let (own, new) = (self.own, self.tombstone.epoch);
        let head = Head {
            v: 1,
            what: "guitai-divergent-tail",
            node: self.meta.name(),
            epoch_old: own,
            epoch: new,
            common,
            first,
            last: place(&last),
            ordered_by: self.ordered_by,
            at: self.meta.wall(),
        };
        let mut chain = HashChain::new();
        let mut text = Vec::new();
        line(&mut text, &mut chain, &head)?;
        let mut entries = 0;
        let mut next = first;
        while next < range.end {
            let end = range.end.min(next.saturating_add(CHUNK));
            for entry in &log.read(next, end)? {
                let log = place(&entry.log_id);
                line(&mut text, &mut chain, &Line { log, entry })?;
                entries += 1;
            }
            next = end;
        }
        let digest = chain.end();
        let seal = self.meta.seal();
        let end = End {
            entries,
            chain: Hex(digest.to_vec()),
            public_key: seal.map_or_else(|| Hex(Vec::new()), |seal| seal.public_key.clone()),
            signature: seal.map_or_else(|| Hex(Vec::new()), |seal| Hex((seal.sign)(&digest))),
        };
        serde_json::to_writer(&mut text, &end).map_err(io::Error::other)?;
        text.push(b'\n');
        let disk = self.meta.lineage().disk();
        let dir = PathBuf::from(EVIDENCE);
        disk.create_dir(&dir)?;
        let name = format!("divergent-{}-e{}-e{}.jsonl", self.meta.name(), own.0, new.0);
        let path = dir.join(name);
        disk.write_whole(&path, &text)?;
        Ok((entries, Some(path)))
    }
}

/// The last entry of the log that the new lineage has, too.
fn common(log: &LogStore, tombstone: &Tombstone) -> io::Result<Option<LogPlace>> {
    let range = log.range();
    // Once an entry differs, all after it do: the border is found by halving.
    let (mut held, mut lost) = (range.start, range.end);
    let mut last = None;
    while held < lost {
        let middle = held + (lost - held) / 2;
        let entry = log.read(middle, middle + 1)?.pop();
        let here = entry.map(|entry| place(&entry.log_id));
        match here.filter(|here| holds(&tombstone.runs, here)) {
            Some(here) => {
                last = Some(here);
                held = middle + 1;
            }
            None => lost = middle,
        }
    }
    Ok(last)
}

fn line(text: &mut Vec<u8>, chain: &mut HashChain, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    chain.add(&bytes);
    text.extend_from_slice(&bytes);
    text.push(b'\n');
    Ok(())
}
