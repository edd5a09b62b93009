//! The transparency log: what has happened is added to two trees over the same entries, and what became
//! full goes out in the [`Outcome`](crate::Outcome), for the driver to keep in files.
//!
//! The state holds the right edge only: both edges, the entries of the bundle that is not full with what
//! is behind them, and the checkpoints published last. A log begins with the command that says whom to
//! believe; before it, nothing is logged.

use std::collections::BTreeMap;

use guitai_tlog::{
    Digest, Edge, Hash, Policy, Written,
    note::{Kind, Note, VerifierKey},
    tiles::{Resource, TILE_WIDTH},
};
use guitai_types::{
    Hex, NodeName, Problem, RequestId, Role, UnixMillis,
    command::{Proposal, Reply},
    event::Change,
    limits::{
        CHECKPOINT_BYTES_MAX, LOG_ALARMS_KEPT, REASON_BYTES_MAX, SIGNATURE_BYTES_MAX,
        VERIFIER_KEY_BYTES_MAX, WITNESSES_MAX,
    },
    tlog::{
        Access, ENTRY_VERSION, Entry, LogAlarm, LogTrust, Login, Opening, RaisedAlarm, Record,
        RecorderRoot, SALT_BYTES, TreeKeys,
    },
};
use serde::{Deserialize, Serialize};

use crate::{RecordKey, State, apply::Turn, check};

#[cfg(test)]
mod tests;

/// Parts a salt is made of besides the proposal's: keeps it apart from every other use of the hash.
const SALT_LABEL: &[u8] = b"guitai-log-salt/1";
/// Bytes of a recorder's root.
const ROOT_BYTES: usize = 32;

/// The log, as far as it is not in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub(crate) head: LogHead,
    pub(crate) sm3: Edge,
    pub(crate) sha256: Edge,
    /// Entries of the bundle that is not full; at most 255.
    pub(crate) open: Vec<Kept>,
}

/// What changes with entries and checkpoints: one small record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogHead {
    pub(crate) trust: LogTrust,
    /// Entries of both trees.
    pub(crate) size: u64,
    /// The last root of each recorder.
    #[serde(default)]
    pub(crate) roots: BTreeMap<NodeName, LastRoot>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) published: Option<Published>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alarms: Vec<RaisedAlarm>,
}

/// A recorder's last root: the next must be of a later second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastRoot {
    pub(crate) second: u64,
    pub(crate) root: Hex,
}

/// Heads of both trees that the log signed and enough witnesses cosigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Entries under both.
    pub size: u64,
    /// Since when.
    pub at: UnixMillis,
    /// Note of the SM3 tree.
    pub sm3: String,
    /// Note of its twin.
    pub sha256: String,
}

/// An entry and what is behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The bytes that both trees are over.
    pub entry: String,
    /// What is behind it.
    pub opening: Opening,
}

impl Kept {
    /// Whether the entry was made of the opening.
    pub fn is_whole(&self) -> bool {
        let entry = Entry::parse(self.entry.as_bytes());
        let Opening { record, salt } = &self.opening;
        let digest = Digest::Sm3.of(&[&salt.0, record.as_bytes()]);
        entry.is_some_and(|entry| entry.digest.0 == digest)
    }
}

/// The right edge of both trees above the leaves, lowest level first; the leaves follow from the entries.
#[derive(Serialize, Deserialize)]
pub(crate) struct LogTiles {
    sm3: Vec<Vec<Hex>>,
    sha256: Vec<Vec<Hex>>,
}

/// What became full and is in the state no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Full {
    /// 256 entries.
    Bundle {
        /// Its number.
        index: u64,
        /// The entries, in order.
        entries: Vec<Kept>,
    },
    /// 256 hashes of one level, of each tree.
    Tile {
        /// Level of tiles; the leaves' hashes are level 0.
        level: u8,
        /// Its number in the level.
        index: u64,
        /// Of the SM3 tree.
        sm3: Vec<u8>,
        /// Of its twin.
        sha256: Vec<u8>,
    },
}

impl Log {
    fn new(trust: LogTrust) -> Self {
        Self {
            head: LogHead {
                trust,
                size: 0,
                roots: BTreeMap::new(),
                published: None,
                alarms: Vec::new(),
            },
            sm3: Edge::new(Digest::Sm3),
            sha256: Edge::new(Digest::Sha256),
            open: Vec::new(),
        }
    }

    /// The log that these records are of; nothing when they do not belong together.
    pub(crate) fn load(head: LogHead, tiles: &LogTiles, open: Vec<Kept>) -> Option<Self> {
        let edge = |digest: Digest, above: &[Vec<Hex>]| {
            let leaves = digest.leaves(open.iter().map(|kept| kept.entry.as_bytes()));
            let above: Option<Vec<Vec<Hash>>> = above.iter().map(|level| hashes(level)).collect();
            let mut levels = above?;
            if head.size > 0 {
                levels.insert(0, leaves);
            }
            Edge::resume(digest, head.size, levels)
        };
        let sm3 = edge(Digest::Sm3, &tiles.sm3)?;
        let sha256 = edge(Digest::Sha256, &tiles.sha256)?;
        Some(Self {
            head,
            sm3,
            sha256,
            open,
        })
    }

    pub(crate) fn tiles(&self) -> LogTiles {
        let above = |edge: &Edge| -> Vec<Vec<Hex>> {
            let levels = edge.levels().iter().skip(1);
            let level = |hashes: &Vec<Hash>| hashes.iter().map(|it| Hex(it.to_vec())).collect();
            levels.map(level).collect()
        };
        LogTiles {
            sm3: above(&self.sm3),
            sha256: above(&self.sha256),
        }
    }

    /// Number of the first entry that is not in a full bundle.
    pub(crate) fn first_open(&self) -> u64 {
        self.head.size - self.open.len() as u64
    }

    /// Whom a reader believes.
    pub fn trust(&self) -> &LogTrust {
        &self.head.trust
    }

    /// How many entries there are.
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// The right edge of a tree.
    pub fn edge(&self, digest: Digest) -> &Edge {
        match digest {
            Digest::Sm3 => &self.sm3,
            Digest::Sha256 => &self.sha256,
        }
    }

    /// Entries of the bundle that is not full.
    pub fn open(&self) -> &[Kept] {
        &self.open
    }

    /// The checkpoints published last.
    pub fn published(&self) -> Option<&Published> {
        self.head.published.as_ref()
    }

    /// What witnesses saw, oldest first.
    pub fn alarms(&self) -> &[RaisedAlarm] {
        &self.head.alarms
    }

    /// Adds an entry; gives what became full by it.
    fn push(&mut self, kept: Kept) -> Vec<Full> {
        let entry = kept.entry.as_bytes();
        let sm3 = self.sm3.push(Digest::Sm3.leaf(entry));
        let sha256 = self.sha256.push(Digest::Sha256.leaf(entry));
        self.open.push(kept);
        self.head.size += 1;
        // The trees have the same size, so the same tiles become full.
        let tiles = sm3.into_iter().zip(sha256);
        let mut full: Vec<Full> = tiles
            .filter_map(|(sm3, sha256)| tile(sm3, sha256))
            .collect();
        if self.open.len() == TILE_WIDTH {
            let index = self.head.size / TILE_WIDTH as u64 - 1;
            let entries = std::mem::take(&mut self.open);
            full.push(Full::Bundle { index, entries });
        }
        full
    }
}

fn tile(sm3: Written, sha256: Written) -> Option<Full> {
    let Resource::Tile { level, index, .. } = sm3.resource else {
        return None;
    };
    Some(Full::Tile {
        level,
        index,
        sm3: sm3.bytes,
        sha256: sha256.bytes,
    })
}

fn hashes(level: &[Hex]) -> Option<Vec<Hash>> {
    let hash = |hex: &Hex| hex.0.as_slice().try_into().ok();
    level.iter().map(hash).collect()
}

impl State {
    /// The transparency log, once there is one.
    pub fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }
}

impl Turn<'_> {
    /// Notes what happened; it is added at the end of the turn, if nothing was refused.
    pub(crate) fn log(&mut self, record: Record) {
        if self.state.log.is_some() {
            self.logged.push(record);
        }
    }

    /// Adds what was noted; gives what became full by it.
    pub(crate) fn append(&mut self, proposal: &Proposal) -> Vec<Full> {
        let mut full = Vec::new();
        let records = std::mem::take(&mut self.logged);
        let Some(log) = self.state.log.as_mut().filter(|_| !records.is_empty()) else {
            return full;
        };
        let mut changed = vec![RecordKey::Log];
        for (number, record) in (0_u32..).zip(&records) {
            let index = log.head.size;
            let salt = salt(proposal.salt.as_ref(), &proposal.request, number);
            full.extend(log.push(kept(record, &salt, self.now)));
            changed.push(RecordKey::LogEntry(index));
        }
        for part in &full {
            match part {
                Full::Bundle { index, entries } => {
                    let first = index * TILE_WIDTH as u64;
                    let gone = first..first + entries.len() as u64;
                    changed.extend(gone.map(RecordKey::LogEntry));
                }
                Full::Tile { .. } => changed.push(RecordKey::LogTiles),
            }
        }
        changed.into_iter().for_each(|key| self.changed(key));
        full
    }

    pub(crate) fn trust_log(&mut self, trust: &LogTrust) -> Result<Reply, Problem> {
        check_trust(self.state, trust)?;
        match &mut self.state.log {
            Some(log) => {
                if log.head.trust == *trust {
                    return Ok(Reply::Done);
                }
                if origins(&log.head.trust.log) != origins(&trust.log) {
                    return Err(check::wrong("a log keeps its name"));
                }
                log.head.trust = trust.clone();
            }
            none => *none = Some(Log::new(trust.clone())),
        }
        self.changed(RecordKey::Log);
        self.changed(RecordKey::LogTiles);
        let cluster = self.state.head.cluster.clone();
        self.log(Record::Trust {
            // Nothing but founding is decided before a cluster is founded.
            cluster: cluster.ok_or_else(|| check::wrong("the cluster is not founded"))?,
            epoch: self.state.head.epoch,
            trust: Box::new(trust.clone()),
            policy: self.state.head.policy.clone(),
            members: self.state.members.values().cloned().collect(),
        });
        Ok(Reply::Done)
    }

    pub(crate) fn append_root(&mut self, root: &RecorderRoot) -> Result<Reply, Problem> {
        let recorder = self.state.member(&root.node);
        if !recorder.is_some_and(|member| member.has(Role::Recorder)) {
            return Err(check::bad(format!("{} is no recorder", root.node)));
        }
        if root.root.0.len() != ROOT_BYTES || root.count == 0 {
            return Err(check::bad("a root has 32 bytes, over one segment at least"));
        }
        let bytes = root.signature.0.len();
        check::at_most(
            "signature",
            bytes,
            "SIGNATURE_BYTES_MAX",
            SIGNATURE_BYTES_MAX,
        )?;
        if bytes == 0 {
            return Err(check::bad("a root without a signature"));
        }
        check::integer("second", root.second)?;
        let Some(log) = &mut self.state.log else {
            return Err(no_log());
        };
        let last = log.head.roots.get(&root.node);
        if let Some(last) = last.filter(|last| last.second >= root.second) {
            if last.second == root.second && last.root == root.root {
                return Ok(Reply::Done);
            }
            let detail = format!(
                "the root of second {} does not follow that of second {}",
                root.second, last.second
            );
            return Err(check::wrong(detail));
        }
        let last = LastRoot {
            second: root.second,
            root: root.root.clone(),
        };
        log.head.roots.insert(root.node.clone(), last);
        self.log(Record::RecorderRoot { root: root.clone() });
        Ok(Reply::Done)
    }

    pub(crate) fn log_access(&mut self, access: &Access) -> Result<Reply, Problem> {
        let Access { who, reason, .. } = access;
        if self.state.staff(who).is_none() {
            return Err(check::missing("staff account"));
        }
        if reason.trim().is_empty() || reason.chars().any(char::is_control) {
            return Err(check::bad("the reason is empty or not one line"));
        }
        check::at_most("reason", reason.len(), "REASON_BYTES_MAX", REASON_BYTES_MAX)?;
        self.refuse_erased(&access.session)?;
        if self.state.log.is_none() {
            return Err(no_log());
        }
        self.log(Record::Access {
            access: access.clone(),
        });
        Ok(Reply::Done)
    }

    pub(crate) fn log_login(&mut self, login: &Login) -> Result<Reply, Problem> {
        if self.state.staff(&login.who).is_none() {
            return Err(check::missing("staff account"));
        }
        if self.state.member(&login.door).is_none() {
            return Err(check::missing("node"));
        }
        if self.state.log.is_none() {
            return Err(no_log());
        }
        self.log(Record::Login {
            login: login.clone(),
        });
        Ok(Reply::Done)
    }

    pub(crate) fn alarm_log(&mut self, alarm: &LogAlarm) -> Result<Reply, Problem> {
        let at = self.now;
        let Some(log) = &mut self.state.log else {
            return Err(no_log());
        };
        let mut witnesses = log.head.trust.witnesses.iter();
        if !witnesses.any(|witness| witness.node == alarm.witness) {
            return Err(check::bad(format!("{} is no witness", alarm.witness)));
        }
        let roots = [&alarm.known, &alarm.shown];
        if roots.iter().any(|root| root.0.len() != ROOT_BYTES) || alarm.known == alarm.shown {
            return Err(check::bad("two different roots of 32 bytes make an alarm"));
        }
        check::integer("size", alarm.size)?;
        let is_same = |raised: &RaisedAlarm| {
            let (one, other) = (&raised.alarm, alarm);
            one.witness == other.witness && one.tree == other.tree && one.size == other.size
        };
        if log.head.alarms.iter().any(is_same) || log.head.alarms.len() == LOG_ALARMS_KEPT {
            return Ok(Reply::Done);
        }
        log.head.alarms.push(RaisedAlarm {
            at,
            alarm: alarm.clone(),
        });
        self.log(Record::Alarm {
            alarm: alarm.clone(),
        });
        self.emit(None, Change::Cluster);
        Ok(Reply::Done)
    }

    /// Takes heads that are believed, and that are of this very log where it can be seen here.
    pub(crate) fn put_checkpoint(&mut self, sm3: &str, sha256: &str) -> Result<Reply, Problem> {
        let now = self.now;
        let Some(log) = &mut self.state.log else {
            return Err(no_log());
        };
        let mut size = None;
        for (digest, text) in [(Digest::Sm3, sm3), (Digest::Sha256, sha256)] {
            let bytes = text.len();
            let limit = "CHECKPOINT_BYTES_MAX";
            check::at_most("checkpoint", bytes, limit, CHECKPOINT_BYTES_MAX)?;
            let bad = |why: String| check::bad(format!("the {} checkpoint: {why}", digest.name()));
            let policy = policy(&log.head.trust, digest).map_err(&bad)?;
            let note = Note::parse(text.as_bytes()).map_err(|error| bad(error.to_string()))?;
            let believed = policy
                .believe(&note)
                .map_err(|error| bad(error.to_string()))?;
            let head = believed.checkpoint.head;
            if *size.get_or_insert(head.size) != head.size {
                return Err(bad(format!(
                    "{} entries, the other has another size",
                    head.size
                )));
            }
            let edge = log.edge(digest);
            if head.size > edge.size() || head.size == edge.size() && head.root != edge.root() {
                return Err(bad(format!("{} entries, of another tree", head.size)));
            }
        }
        let size = size.unwrap_or_default();
        let last = log.head.published.as_ref().map_or(0, |last| last.size);
        if size < last {
            let detail = format!("a checkpoint of {size} entries after one of {last}");
            return Err(check::wrong(detail));
        }
        log.head.published = Some(Published {
            size,
            at: now,
            sm3: sm3.to_owned(),
            sha256: sha256.to_owned(),
        });
        self.changed(RecordKey::Log);
        Ok(Reply::Done)
    }
}

/// An entry over a record.
fn kept(record: &Record, salt: &Hash, at: UnixMillis) -> Kept {
    // What is logged was checked to have only numbers that every reader keeps exact; were it not so, its
    // plain form is hashed, the same on every node.
    let text = record.to_text();
    let text = text.unwrap_or_else(|_| serde_json::to_string(record).unwrap_or_default());
    let entry = Entry {
        at,
        digest: Hex(Digest::Sm3.of(&[salt, text.as_bytes()]).to_vec()),
        kind: record.kind(),
        v: ENTRY_VERSION,
    };
    Kept {
        entry: entry.to_text(),
        opening: Opening {
            record: text,
            salt: Hex(salt.to_vec()),
        },
    }
}

/// The salt of one record of a proposal: none tells another. A proposal of a release that drew none is
/// salted by its request id, which is random and never public.
fn salt(drawn: Option<&Hex>, request: &RequestId, number: u32) -> Hash {
    let drawn = drawn.filter(|drawn| drawn.0.len() == SALT_BYTES);
    let secret = drawn.map_or(request.as_str().as_bytes(), |drawn| &drawn.0);
    Digest::Sm3.of(&[SALT_LABEL, secret, &number.to_be_bytes()])
}

/// Whom a reader of one of the trees believes.
///
/// # Errors
/// When a key of the trust cannot be read.
pub fn policy(trust: &LogTrust, digest: Digest) -> Result<Policy, String> {
    let pick = |keys: &TreeKeys| match digest {
        Digest::Sm3 => VerifierKey::parse(&keys.sm3),
        Digest::Sha256 => VerifierKey::parse(&keys.sha256),
    };
    let log = pick(&trust.log).map_err(|error| error.to_string())?;
    let witnesses: Result<Vec<VerifierKey>, _> =
        trust.witnesses.iter().map(|it| pick(&it.keys)).collect();
    let witnesses = witnesses.map_err(|error| error.to_string())?;
    Policy::of(&log, &witnesses, trust.needed()).map_err(|error| error.to_string())
}

fn check_trust(state: &State, trust: &LogTrust) -> Result<(), Problem> {
    let witnesses = &trust.witnesses;
    check::at_most("witnesses", witnesses.len(), "WITNESSES_MAX", WITNESSES_MAX)?;
    check_keys(&trust.log, Kind::Sm2, Kind::Ed25519)?;
    for (keys, digest) in [
        (&trust.log.sm3, Digest::Sm3),
        (&trust.log.sha256, Digest::Sha256),
    ] {
        // A tree's name says what it is made of.
        let ending = format!("/{}", digest.name());
        if !name(keys).ends_with(&ending) {
            return Err(check::bad(format!(
                "the log's name does not end in {ending}"
            )));
        }
    }
    for witness in witnesses {
        let node = state.member(&witness.node);
        let is_there = |member: &guitai_types::Member| {
            member.has(Role::Core) && member.centre == witness.centre
        };
        if !node.is_some_and(is_there) {
            let detail = format!("{} is no core node of {}", witness.node, witness.centre);
            return Err(check::bad(detail));
        }
        check_keys(
            &witness.keys,
            Kind::Sm2Cosignature,
            Kind::Ed25519Cosignature,
        )?;
        let same = |other: &&guitai_types::tlog::LogWitness| other.centre == witness.centre;
        if witnesses.iter().filter(same).count() > 1 {
            return Err(check::bad(format!("{} has two witnesses", witness.centre)));
        }
    }
    for digest in [Digest::Sm3, Digest::Sha256] {
        policy(trust, digest).map_err(check::bad)?;
    }
    Ok(())
}

fn check_keys(keys: &TreeKeys, sm3: Kind, sha256: Kind) -> Result<(), Problem> {
    for (text, kind) in [(&keys.sm3, sm3), (&keys.sha256, sha256)] {
        let limit = "VERIFIER_KEY_BYTES_MAX";
        check::at_most("verifier key", text.len(), limit, VERIFIER_KEY_BYTES_MAX)?;
        let key = VerifierKey::parse(text).map_err(|error| check::bad(error.to_string()))?;
        if key.kind() != kind {
            return Err(check::bad(format!(
                "{} is a key of another kind",
                key.name()
            )));
        }
    }
    Ok(())
}

/// What both trees are called.
fn origins(keys: &TreeKeys) -> [&str; 2] {
    [name(&keys.sm3), name(&keys.sha256)]
}

/// The name in a verifier key.
fn name(key: &str) -> &str {
    key.split_once('+').map_or(key, |(name, _)| name)
}

pub(crate) fn no_log() -> Problem {
    check::wrong("this cluster keeps no transparency log")
}
