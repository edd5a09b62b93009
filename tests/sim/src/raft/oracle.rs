//! Knows everything that ever happened: who led when, who promised what, what was committed, what the
//! nodes' states were, what events they told. Looks after every change of every node.
//!
//! The invariants are those of openraft's own fuzzer: election safety (here as promises that are kept,
//! see [`Oracle::see_promise`]), log matching, leader completeness, committed on a quorum, and a commit
//! and an applied index that only grow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use guitai_meta::sim::{LeaderId, Promise, Standing};
use guitai_store::Wal;
use guitai_types::{NodeId, command::Proposal, event::Event};
use serde_json::Value;

use super::{
    Figures, clients,
    trace::{Trace, digest},
};
use crate::Violation;

/// Entries before the end of the guard's log that are looked at again after a sync.
const GUARD_AGAIN: u64 = 16;

/// The oracle; clones are the same.
#[derive(Debug, Clone)]
pub struct Oracle {
    trace: Trace,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    violation: Option<Violation>,
    /// The log that each leader was elected with.
    leaders: BTreeMap<LeaderId, Held>,
    /// The highest leader that a node has promised itself to.
    promises: BTreeMap<NodeId, LeaderId>,
    committed: BTreeMap<u64, Entry>,
    /// The latest leader that may have committed an entry: the vote of the node that was first seen to
    /// have applied it. (Its own leader may have failed to.)
    committed_under: BTreeMap<u64, LeaderId>,
    /// Content, and leader of the entry before, by index and leader: the same wherever an entry is.
    entries: BTreeMap<(u64, LeaderId), (u64, Option<LeaderId>)>,
    /// Sets of voters that memberships in any log name, by index.
    voters: BTreeMap<u64, Vec<Voters>>,
    /// How each node stood when it was looked at last in its present life.
    standing: BTreeMap<NodeId, Standing>,
    /// Digest of a node's state, by applied index.
    states: BTreeMap<u64, (u64, NodeId)>,
    /// Digest of an event, by number.
    events: BTreeMap<u64, u64>,
    /// Digests of the sync writes that are or were durable on the guard.
    guarded: BTreeSet<u64>,
    /// Acknowledged while the guard proved, and not in its log: where the log began then.
    unguarded: Vec<(u64, u64)>,
    figures: Figures,
}

/// Voters of a membership; of a joint one each set must agree.
type Voters = Vec<BTreeSet<u64>>;

/// What a log holds.
#[derive(Debug, Default, Clone)]
pub struct Held {
    /// Everything below is in a snapshot.
    first: u64,
    /// Digests of the entries.
    digests: BTreeMap<u64, u64>,
}

impl Held {
    /// What is in this log now.
    pub fn of(wal: &Wal) -> Result<Self, Trouble> {
        let entries = read(wal, 0)?;
        Ok(Self {
            first: wal.range().start,
            digests: entries
                .into_iter()
                .map(|(index, entry)| (index, entry.digest))
                .collect(),
        })
    }

    /// Of a disk that has failed: it may have held anything.
    pub fn unknown() -> Self {
        Self {
            first: u64::MAX,
            digests: BTreeMap::new(),
        }
    }

    /// Whether it is there, in the log or behind it.
    pub fn has(&self, index: u64, digest: u64) -> bool {
        index < self.first || self.digests.get(&index) == Some(&digest)
    }
}

/// An entry of the log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The leader that proposed it.
    pub leader: LeaderId,
    /// Hash of all of it.
    pub digest: u64,
    /// What it proposes, in order; nothing for blanks and memberships.
    pub proposals: Vec<Proposal>,
    /// The voters, where it is a membership.
    voters: Option<Voters>,
}

impl Oracle {
    /// Has seen nothing.
    pub fn new(trace: Trace) -> Self {
        Self {
            trace,
            inner: Arc::default(),
        }
    }

    /// Says that something is broken; the first to say so is heard.
    pub fn accuse(&self, what: impl Into<String>) {
        let what = what.into();
        self.trace.note(format_args!("VIOLATION {what}"));
        self.lock().violation.get_or_insert(what);
    }

    /// What broke first.
    pub fn violation(&self) -> Option<Violation> {
        self.lock().violation.clone()
    }

    /// What was seen, in numbers.
    pub fn figures(&self) -> Figures {
        let inner = self.lock();
        Figures {
            entries: inner.committed.len() as u64,
            leaders: inner.leaders.len() as u64,
            ..inner.figures
        }
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.lock().figures);
    }

    /// What was committed, in order.
    pub fn committed(&self) -> BTreeMap<u64, Entry> {
        self.lock().committed.clone()
    }

    /// State digests by applied index.
    pub fn states(&self) -> BTreeMap<u64, (u64, NodeId)> {
        self.lock().states.clone()
    }

    /// Event digests by number.
    pub fn events(&self) -> BTreeMap<u64, u64> {
        self.lock().events.clone()
    }

    /// The highest leader that a node has promised itself to so far.
    pub fn promised(&self, node: NodeId) -> LeaderId {
        let inner = self.lock();
        inner.promises.get(&node).copied().unwrap_or_default()
    }

    /// A promise leaves a node, for a request that came when it had already made another.
    ///
    /// This is election safety: with openraft's leader ids one term may have two leaders, but no node
    /// may help a lower one after a higher one. A vote that was not durable shows here as soon as it
    /// is given twice, before two leaders of a term commit what contradicts.
    pub fn see_promise(&self, node: NodeId, before: LeaderId, promise: Promise) {
        let to = promise.to;
        if to < before {
            let what = if promise.is_vote {
                "voted"
            } else {
                "took entries"
            };
            self.accuse(format!(
                "election safety: node {node} {what} for leader {to} after it was promised to {before}"
            ));
        }
        let mut inner = self.lock();
        let known = inner.promises.entry(node).or_default();
        *known = to.max(*known);
    }

    /// Looks at a node after a change; gives the last of the entries that are new to be committed.
    /// What the disk of an `excused` node does not give is not looked at.
    pub fn see(
        &self,
        node: NodeId,
        standing: &Standing,
        wal: &Wal,
        excused: bool,
    ) -> Option<(u64, Entry)> {
        self.trace.note(format_args!(
            "node {node} vote {} leads {} committed {} applied {}{}",
            standing.vote,
            standing.leads,
            standing.committed,
            standing.applied,
            standing.stopped.as_deref().unwrap_or_default()
        ));
        let seen = self.see_growth(node, standing).and_then(|applied| {
            self.see_leader(node, standing, wal)?;
            self.see_log(node, applied, standing, wal)
        });
        match seen {
            Ok(newest) => return newest,
            Err(Trouble::Unread(_)) if excused => {}
            Err(Trouble::Unread(what) | Trouble::Broken(what)) => self.accuse(what),
        }
        None
    }

    /// Vote, commit and applied index only grow while a node lives; gives what was applied before.
    fn see_growth(&self, node: NodeId, now: &Standing) -> Result<u64, Trouble> {
        let mut inner = self.lock();
        let before = inner.standing.insert(node, now.clone()).unwrap_or_default();
        for (what, was, is) in [
            ("commit", before.committed, now.committed),
            ("applied", before.applied, now.applied),
        ] {
            if is < was {
                return Err(
                    format!("the {what} index of node {node} fell from {was} to {is}").into(),
                );
            }
        }
        if now.vote < before.vote {
            return Err(format!(
                "the vote of node {node} fell from {} to {}",
                before.vote, now.vote
            )
            .into());
        }
        Ok(before.applied)
    }

    /// Leader completeness, for what is known to be committed when a leader is seen first.
    fn see_leader(&self, node: NodeId, standing: &Standing, wal: &Wal) -> Result<(), Trouble> {
        let leader = standing.vote;
        if !standing.leads || self.lock().leaders.contains_key(&leader) {
            return Ok(());
        }
        if leader.node != node.0 {
            return Err(format!("election safety: node {node} leads as {leader}").into());
        }
        let held = Held::of(wal)?;
        let mut inner = self.lock();
        for (index, entry) in &inner.committed {
            let before = inner.committed_under.get(index);
            let before = before.is_some_and(|under| *under < leader);
            if before && !held.has(*index, entry.digest) {
                return Err(incomplete(leader, *index, entry).into());
            }
        }
        inner.leaders.insert(leader, held);
        Ok(())
    }

    /// Log matching; committed entries stay what they are, and every later leader was elected with
    /// them.
    fn see_log(
        &self,
        node: NodeId,
        seen: u64,
        standing: &Standing,
        wal: &Wal,
    ) -> Result<Option<(u64, Entry)>, Trouble> {
        let (applied, under) = (standing.applied, standing.vote);
        let mut inner = self.lock();
        let inner = &mut *inner;
        let log = read(wal, seen.saturating_add(1))?;
        let mut before: Option<(u64, LeaderId)> = None;
        for (index, entry) in &log {
            let leader_before = before
                .filter(|(at, _)| at + 1 == *index)
                .map(|(_, leader)| leader);
            let known = inner
                .entries
                .entry((*index, entry.leader))
                .or_insert((entry.digest, leader_before));
            let contradicts = known.0 != entry.digest
                || known.1.is_some() && leader_before.is_some() && known.1 != leader_before;
            if contradicts {
                return Err(format!(
                    "log matching: entry {index} of leader {} is not the same on node {node} as elsewhere",
                    entry.leader
                ).into());
            }
            known.1 = known.1.or(leader_before);
            before = Some((*index, entry.leader));
            if let Some(voters) = &entry.voters {
                let known = inner.voters.entry(*index).or_default();
                if !known.contains(voters) {
                    known.push(voters.clone());
                }
            }
        }
        let mut newest = None;
        for (index, entry) in log
            .range(seen..=applied)
            .filter(|(index, _)| **index > seen)
        {
            if let Some(known) = inner.committed.get(index) {
                if known.digest != entry.digest {
                    return Err(format!(
                        "node {node} applied another entry {index} (leader {}) than was committed (leader {})",
                        entry.leader, known.leader
                    ).into());
                }
                continue;
            }
            let later = inner.leaders.range(under..);
            for (leader, held) in later.filter(|(leader, _)| **leader > under) {
                if !held.has(*index, entry.digest) {
                    return Err(incomplete(*leader, *index, entry).into());
                }
            }
            inner.committed_under.insert(*index, under);
            inner.committed.insert(*index, entry.clone());
            newest = Some((*index, entry.clone()));
        }
        Ok(newest)
    }

    /// An entry that was just seen to be committed must be in the logs of a quorum; `holders` have it.
    pub fn see_quorum(&self, index: u64, entry: &Entry, holders: &BTreeSet<u64>) {
        let is_quorum = |voters: &Voters| {
            let agree = |set: &BTreeSet<u64>| set.intersection(holders).count() * 2 > set.len();
            voters.iter().all(agree)
        };
        let is_held = {
            let inner = self.lock();
            // The membership at the entry, or one after it that its leader had already proposed.
            let at = inner.voters.range(..=index).next_back();
            let after = inner.voters.range(index + 1..);
            at.into_iter()
                .chain(after)
                .any(|(_, known)| known.iter().any(is_quorum))
        };
        if !is_held {
            self.accuse(format!(
                "entry {index} of leader {} is applied, but only nodes {holders:?} have it: that is no quorum",
                entry.leader
            ));
        }
    }

    /// A node starts again: how it stood before does not count.
    pub fn forget(&self, node: NodeId) {
        self.lock().standing.remove(&node);
    }

    /// The guard has made everything in its log durable; gives what the next call wants to know.
    pub fn see_guard(&self, wal: &Wal, seen: u64) -> u64 {
        let range = wal.range();
        // What was truncated may have come anew.
        let from = seen.min(range.end).saturating_sub(GUARD_AGAIN);
        let entries = read(wal, from.max(range.start).saturating_add(1)).unwrap_or_default();
        let commands = entries.values().flat_map(|entry| &entry.proposals);
        let marks = commands.filter_map(|proposal| clients::mark(&proposal.command));
        self.lock().guarded.extend(marks);
        range.end
    }

    /// A sync write is acknowledged while the guard says that it would not be missing there.
    pub fn see_proven(&self, mark: u64, wal: &Wal) {
        let mut inner = self.lock();
        inner.figures.proven += 1;
        if !inner.guarded.contains(&mark) {
            // A snapshot may have brought it; where it is in the log is known at the end.
            inner.unguarded.push((mark, wal.range().start));
        }
    }

    /// Writes acknowledged while the guard proved, without being in its log, and where that began.
    pub fn unguarded(&self) -> Vec<(u64, u64)> {
        self.lock().unguarded.clone()
    }

    /// Nodes that applied the same are the same.
    pub fn see_state(&self, node: NodeId, applied: u64, state: u64) {
        let known = *self.lock().states.entry(applied).or_insert((state, node));
        if known.0 != state {
            let other = known.1;
            self.accuse(format!(
                "after entry {applied} nodes {other} and {node} have different states"
            ));
        }
    }

    /// An event told by a node, after the one numbered `last` there.
    pub fn see_event(&self, node: NodeId, last: u64, event: &Event) {
        let number = event.number;
        if number != last + 1 {
            self.accuse(format!("node {node} told event {number} after {last}"));
        }
        let content = digest(serde_json::to_vec(event).unwrap_or_default());
        let known = *self.lock().events.entry(number).or_insert(content);
        if known != content {
            self.accuse(format!("event {number} is another on node {node}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What looking at a node came to, when it did not go well.
#[derive(Debug)]
pub enum Trouble {
    /// Its disk did not give its log.
    Unread(String),
    /// An invariant does not hold.
    Broken(Violation),
}

impl From<Violation> for Trouble {
    fn from(what: Violation) -> Self {
        Self::Broken(what)
    }
}

/// As [`Held::has`], of one entry of a running node's log.
pub fn has(wal: &Wal, index: u64, digest_of_entry: u64) -> bool {
    let range = wal.range();
    if !range.contains(&index) {
        return index < range.start;
    }
    let entry = wal.read(index..index + 1);
    // What a failed disk holds nobody can say, and nobody may be accused of it.
    entry.map_or(true, |entry| {
        entry
            .iter()
            .any(|(_, bytes)| digest(bytes) == digest_of_entry)
    })
}

fn incomplete(leader: LeaderId, index: u64, entry: &Entry) -> Violation {
    format!(
        "leader completeness: leader {leader} was elected without committed entry {index} of leader {}",
        entry.leader
    )
}

/// The entries of a log from an index on.
fn read(wal: &Wal, from: u64) -> Result<BTreeMap<u64, Entry>, Trouble> {
    let range = wal.range();
    let from = from.saturating_sub(1).max(range.start);
    let entries = wal.read(from..range.end.max(from));
    let entries =
        entries.map_err(|error| Trouble::Unread(format!("a log was not read: {error}")))?;
    entries
        .into_iter()
        .map(|(index, bytes)| Ok((index, parse(index, &bytes)?)))
        .collect()
}

fn parse(index: u64, bytes: &[u8]) -> Result<Entry, Violation> {
    let wrong = |what: &str| format!("entry {index} has no {what}");
    let value: Value = serde_json::from_slice(bytes).map_err(|_| wrong("JSON"))?;
    let id = &value["log_id"];
    if id["index"].as_u64() != Some(index) {
        return Err(wrong("index, or another"));
    }
    let leader = &id["leader_id"];
    let leader = leader["term"].as_u64().zip(leader["node_id"].as_u64());
    let (term, node) = leader.ok_or_else(|| wrong("leader"))?;
    // One alone is written as itself, more as a list.
    let proposals = match value["payload"].get("Normal").cloned() {
        Some(list @ Value::Array(_)) => serde_json::from_value(list),
        Some(one) => serde_json::from_value(one).map(|one| vec![one]),
        None => Ok(Vec::new()),
    };
    let membership = value["payload"].get("Membership");
    let voters = membership.map(|membership| serde_json::from_value(membership["configs"].clone()));
    Ok(Entry {
        leader: LeaderId { term, node },
        digest: digest(bytes),
        proposals: proposals.map_err(|_| wrong("proposals we can read"))?,
        voters: voters
            .transpose()
            .map_err(|_| wrong("membership we can read"))?,
    })
}
