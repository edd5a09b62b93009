//! A forced takeover: the surviving side goes on without a quorum of the lost one.
//!
//! [`Meta::check_takeover`] finds out that nothing of the old lineage can still be agreed on;
//! [`Meta::takeover`] keeps the order durably and asks the process to start anew. The next start rebuilds ([`rebuild`]): every entry of
//! the log is applied, known to be committed or not, since one of them may have been acknowledged;
//! the result becomes the snapshot of a new generation whose only voter is this node; and one small
//! file says that this generation counts. Whatever is interrupted is done again from the order.
//!
//! Another city's people decide that the lost side is off. This module cannot know it: it refuses
//! only what it can see.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use futures::future::join_all;
use guitai_types::{
    Code, Epoch, Hex, Member, NodeId, NodeName, Problem, Role, UnixMillis, Zone,
    lineage::{
        EPOCH_FIRST, LineageView, LogPlace, LogRun, REASON_CHARS_MAX, RUNS_MAX, TakeoverOrder,
        Tombstone,
    },
};
use openraft::{BasicNode, ServerState, async_runtime::WatchReceiver as _};
use serde::{Deserialize, Serialize};

use crate::{
    Config, StartError,
    applied::Base,
    lineage::{Lineage, Record, empty_dir, log_dir, snapshot_dir},
    log::LogStore,
    machine,
    meta::Meta,
    raft::{LogId, Membership, Vote},
    storage,
    talk::{Ask, Stand, Told},
    tlog::Files,
    transport::Topic,
    wire::parse,
};

/// The order, until the new generation counts.
const ORDER: &str = "raft-takeover.json";
const ORDER_BYTES_MAX: u64 = 64 * 1024;
/// How long the other nodes have to answer before they count as lost, in milliseconds.
const ASK_MS: u64 = 1_500;
/// A leader that was heard of within this, in milliseconds, lives: several election timeouts.
const LEADER_HEARD_MS: u64 = 3_000;
/// How long a check of a takeover lasts, in milliseconds. It takes up to [`TAKEOVER_CHECK_MS`]: the dead are given
/// that long to answer.
const CHECKED_MS: u64 = 5_000;
/// What checking a takeover takes at most, in milliseconds, so that one can begin to while it still may be aborted.
pub const TAKEOVER_CHECK_MS: u64 = ASK_MS;
/// Entries read at once.
const CHUNK: u64 = 512;

/// A takeover that nothing stood against a moment ago.
#[derive(Debug, Clone)]
pub struct CheckedTakeover {
    kept: Kept,
    /// When the check began, by the monotonic clock.
    since: Duration,
}

/// What is kept between the order and the rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    v: u16,
    epoch: Epoch,
    ordered_by: String,
    reason: String,
    at: UnixMillis,
    survivors: Vec<NodeName>,
    answered: Vec<NodeName>,
    /// The highest term any of them has seen.
    term: u64,
}

/// Why a takeover is refused; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeoverError {
    /// This node is itself of an old lineage.
    #[error("this node is in quarantine: epoch {heard} exists", heard = .heard.0)]
    Quarantined {
        /// The epoch it heard of.
        heard: Epoch,
    },
    /// The order's epoch is not new.
    #[error("epoch {asked} is not above the present one, {present}", asked = .asked.0, present = .present.0)]
    EpochNotAbove {
        /// As ordered.
        asked: Epoch,
        /// As it is.
        present: Epoch,
    },
    /// The node has no part in any cluster.
    #[error("this node has no log to take over with")]
    Empty,
    /// Named to survive, but no core node.
    #[error("{node} is no core node of this cluster")]
    Unknown {
        /// The name.
        node: NodeName,
    },
    /// The order does not count this node among the survivors.
    #[error("this node is not among the survivors of the order")]
    NotSurvivor,
    /// The reason is empty or too long.
    #[error("a reason has 1 to {REASON_CHARS_MAX} characters")]
    Reason,
    /// A node that should be lost answers.
    #[error("{node} answers: the other side is not lost; switch it off, or name it a survivor")]
    Reachable {
        /// Which.
        node: NodeName,
    },
    /// It was checked too long ago.
    #[error(
        "what was checked {age_ms} ms ago may be otherwise by now, at most {CHECKED_MS} ms count: check again"
    )]
    Stale {
        /// Since the check began, in milliseconds.
        age_ms: u64,
    },
    /// There is a leader.
    #[error("{node} hears of the leader {leader}: the cluster can agree without a takeover")]
    LeaderKnown {
        /// Who hears it.
        node: NodeName,
        /// Whom.
        leader: NodeId,
    },
    /// Another survivor has more.
    #[error("{node} has entries up to {there}, this node only up to {here}: take over there")]
    Behind {
        /// The better candidate.
        node: NodeName,
        /// Index of its last entry.
        there: u64,
        /// Index of the last entry here.
        here: u64,
    },
    /// A survivor is of another lineage.
    #[error("{node} is of epoch {epoch}", epoch = .epoch.0)]
    OtherEpoch {
        /// Which.
        node: NodeName,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The order could not be kept.
    #[error("the order was not kept")]
    Keep(#[source] io::Error),
}

impl TakeoverError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        let code = match self {
            Self::Quarantined { .. } => Code::Quarantined,
            Self::Keep(_) => Code::Internal,
            _ => Code::TakeoverRefused,
        };
        Problem::new(code, self.to_string())
    }
}

impl Meta {
    /// Whether this node may take over, asked of every core node; nothing is kept. `ordered_by` is `institution/name`
    /// of whoever the caller has checked.
    ///
    /// # Errors
    /// When it may not, with the reason.
    pub async fn check_takeover(
        &self,
        order: TakeoverOrder,
        ordered_by: String,
    ) -> Result<CheckedTakeover, TakeoverError> {
        let since = self.now();
        let kept = self.check_order(order, ordered_by).await?;
        Ok(CheckedTakeover { kept, since })
    }

    /// Takes over on this node: looks once more at what it knows itself, keeps the order, and asks for a new start
    /// of the process (see [`Meta::restart_wanted`]), which rebuilds. Gives the epoch that will count.
    ///
    /// After the order is kept this node answers no other and proposes nothing.
    ///
    /// # Errors
    /// When the check has grown old, a leader has been heard since, or the order could not be kept.
    pub fn takeover(&self, checked: CheckedTakeover) -> Result<Epoch, TakeoverError> {
        let CheckedTakeover { kept, since } = checked;
        let age = self.now().saturating_sub(since).as_millis();
        let age_ms = u64::try_from(age).unwrap_or(u64::MAX);
        if age_ms > CHECKED_MS {
            return Err(TakeoverError::Stale { age_ms });
        }
        self.is_above(kept.epoch)?;
        self.unled()?;
        self.lineage().leave();
        let bytes = serde_json::to_vec(&kept).unwrap_or_default();
        let written = self.lineage().disk().write_whole(Path::new(ORDER), &bytes);
        if let Err(error) = written {
            // Whether it is there is not known; the next start finds out.
            self.lineage().want_restart();
            return Err(TakeoverError::Keep(error));
        }
        tracing::warn!(
            epoch = kept.epoch.0,
            ordered_by = kept.ordered_by,
            "taking over; starting anew"
        );
        self.lineage().want_restart();
        Ok(kept.epoch)
    }

    /// Whether that epoch would be new here; gives the present one.
    fn is_above(&self, asked: Epoch) -> Result<Epoch, TakeoverError> {
        if let Some(quarantine) = self.lineage().quarantine() {
            let heard = quarantine.heard;
            return Err(TakeoverError::Quarantined { heard });
        }
        let present = self.lineage().epoch().ok_or(TakeoverError::Empty)?;
        if asked <= present {
            return Err(TakeoverError::EpochNotAbove { asked, present });
        }
        Ok(present)
    }

    /// How this node stands, unless it hears of a leader.
    fn unled(&self) -> Result<Stand, TakeoverError> {
        let own = self.stand();
        match own.leader {
            None => Ok(own),
            Some(leader) => {
                let node = self.name().clone();
                Err(TakeoverError::LeaderKnown { node, leader })
            }
        }
    }

    /// Which line of history this node belongs to.
    pub fn lineage_view(&self) -> LineageView {
        self.lineage().view()
    }

    /// The highest epoch this node knows of, its own or one it heard of in quarantine.
    pub fn epoch(&self) -> Epoch {
        let heard = self.lineage().quarantine().map(|it| it.heard);
        let own = self.lineage().epoch().unwrap_or_default();
        own.max(heard.unwrap_or_default())
    }

    /// Resolves when this node was left behind on an old lineage, at once if it was before.
    pub async fn quarantined(&self) {
        self.lineage().quarantined().await;
    }

    /// Resolves when the process must end and start again to go on in another lineage.
    pub async fn restart_wanted(&self) {
        self.lineage().restart_wanted().await;
    }

    async fn check_order(
        &self,
        order: TakeoverOrder,
        ordered_by: String,
    ) -> Result<Kept, TakeoverError> {
        let TakeoverOrder {
            epoch,
            survivors,
            reason,
        } = order;
        let next = || {
            Epoch(
                self.lineage()
                    .epoch()
                    .unwrap_or_default()
                    .0
                    .saturating_add(1),
            )
        };
        let epoch = epoch.unwrap_or_else(next);
        let present = self.is_above(epoch)?;
        if reason.trim().is_empty() || reason.chars().count() > REASON_CHARS_MAX {
            return Err(TakeoverError::Reason);
        }
        let cores = self.cores();
        let survivors = self.survivors(&cores, survivors)?;
        let own = self.unled()?;
        let here = own.last.ok_or(TakeoverError::Empty)?;

        let others: Vec<&Member> = cores.iter().filter(|it| it.id != self.id()).collect();
        let asked = others.iter().map(|member| self.ask_stand(member));
        let stands = join_all(asked).await;
        let mut answered = vec![self.name().clone()];
        let mut term = own.term;
        for (member, stand) in others.into_iter().zip(stands) {
            let Some(stand) = stand else { continue };
            let node = member.name.clone();
            let there = stand.epoch.unwrap_or(present);
            if !survivors.contains(&node) {
                // One that was left behind by an earlier takeover has no voice any more.
                if stand.quarantined || there < present {
                    continue;
                }
                return Err(TakeoverError::Reachable { node });
            }
            if there != present {
                let epoch = there;
                return Err(TakeoverError::OtherEpoch { node, epoch });
            }
            if let Some(leader) = stand.leader {
                return Err(TakeoverError::LeaderKnown { node, leader });
            }
            if stand.last > Some(here) {
                let there = stand.last.unwrap_or_default().index;
                let here = here.index;
                return Err(TakeoverError::Behind { node, there, here });
            }
            term = term.max(stand.term);
            answered.push(node);
        }
        Ok(Kept {
            v: 1,
            epoch,
            ordered_by,
            reason,
            at: self.wall(),
            survivors,
            answered,
            term,
        })
    }

    /// Core nodes, as far as this node knows.
    pub(crate) fn cores(&self) -> Vec<Member> {
        let is_core = |member: &&Member| member.has(Role::Core) && member.zone == Zone::Inner;
        self.peek(|state| state.members().filter(is_core).cloned().collect())
    }

    fn survivors(
        &self,
        cores: &[Member],
        named: Vec<NodeName>,
    ) -> Result<Vec<NodeName>, TakeoverError> {
        if named.is_empty() {
            let city = |member: &Member| {
                self.peek(|state| state.centre(&member.centre).map(|it| it.city.clone()))
            };
            let own = cores.iter().find(|it| it.id == self.id()).map(city);
            let own = own.ok_or(TakeoverError::NotSurvivor)?;
            let same = cores.iter().filter(|member| city(member) == own);
            return Ok(same.map(|member| member.name.clone()).collect());
        }
        for name in &named {
            if !cores.iter().any(|member| &member.name == name) {
                let node = name.clone();
                return Err(TakeoverError::Unknown { node });
            }
        }
        if !named.contains(self.name()) {
            return Err(TakeoverError::NotSurvivor);
        }
        let once: BTreeSet<NodeName> = named.into_iter().collect();
        Ok(once.into_iter().collect())
    }

    /// How this node stands, for one that thinks of taking over or of joining.
    pub(crate) fn stand(&self) -> Stand {
        let record = self.lineage().record();
        let leader = self.leader_heard();
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        Stand {
            epoch: record.epoch,
            quarantined: record.quarantine.is_some(),
            last: self.log_last().ok().flatten().map(|id| place(&id)),
            term: metrics.current_term,
            leader,
            tombstone: record.tombstone,
        }
    }

    /// The leader, if there are signs of its life: consensus goes on naming the last one when nobody can be
    /// elected. Nobody in quarantine.
    pub fn leader_heard(&self) -> Option<NodeId> {
        if self.lineage().is_quarantined() {
            return None;
        }
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.map(NodeId)?;
        if leader != self.id() {
            let heard = self.directory().heard_ms(self.now());
            let heard = heard.get(&leader).copied();
            return heard
                .is_some_and(|ms| ms <= LEADER_HEARD_MS)
                .then_some(leader);
        }
        // One that lost its quorum still calls itself leader.
        let alone = metrics.membership_config.voter_ids().count() == 1;
        let acked = metrics
            .last_quorum_acked
            .as_ref()
            .map(|acked| openraft::Instant::elapsed(&**acked));
        let recent = acked.is_some_and(|ago| ago <= Duration::from_millis(LEADER_HEARD_MS));
        (metrics.state == ServerState::Leader && (alone || recent)).then_some(leader)
    }

    pub(crate) async fn ask_stand(&self, member: &Member) -> Option<Stand> {
        match self.ask_lineage(member, &Ask::Stand).await? {
            Told::Stand(stand) => Some(*stand),
            _ => None,
        }
    }

    pub(crate) async fn ask_lineage(&self, member: &Member, ask: &Ask) -> Option<Told> {
        self.ask_lineage_within(member, ask, ASK_MS).await
    }

    pub(crate) async fn ask_lineage_within(
        &self,
        member: &Member,
        ask: &Ask,
        within_ms: u64,
    ) -> Option<Told> {
        let request = serde_json::to_vec(ask).ok()?;
        let within = Duration::from_millis(within_ms);
        let answer = self
            .transport()
            .ask(member, Topic::Lineage, request, within);
        parse(&answer.await.ok()?)
    }

    /// Answers another core node about lineages.
    pub(crate) async fn answer_lineage(&self, from: &Member, ask: Ask) -> Told {
        match ask {
            Ask::Stand => Told::Stand(Box::new(self.stand())),
            Ask::Follow(tombstone) => self.follow(from, *tombstone),
            Ask::Join => self.take_in(from).await,
            Ask::Voices { epoch, .. } if self.lineage().epoch() != Some(epoch) => Told::NotLeader,
            Ask::Voices { order, .. } => self.change_voices_here(order).await,
        }
    }

    /// Follows a takeover that counts this node among the survivors: its own log is set aside, and it
    /// waits to be taken in. Refused when that would lose an entry the new lineage does not have.
    fn follow(&self, from: &Member, tombstone: Tombstone) -> Told {
        let own = self.lineage().epoch();
        if own >= Some(tombstone.epoch) {
            return Told::Done;
        }
        let named = tombstone.node == from.name && tombstone.survivors.contains(self.name());
        if !named {
            return Told::Refused("not a survivor of that takeover".to_owned());
        }
        let last = match self.log_last() {
            Ok(last) => last.map(|id| place(&id)),
            Err(error) => return Told::Refused(error.to_string()),
        };
        if last.is_some_and(|last| !holds(&tombstone.runs, &last)) {
            return Told::Refused("it has entries that the new lineage does not".to_owned());
        }
        self.lineage().leave();
        let epoch = tombstone.epoch;
        let moved = join_lineage(self.lineage(), tombstone);
        self.lineage().want_restart();
        match moved {
            Ok(()) => {
                tracing::warn!(epoch = epoch.0, "following the takeover; starting anew");
                Told::Done
            }
            Err(error) => Told::Refused(error.to_string()),
        }
    }
}

/// Turns to another lineage with nothing: the log, snapshots and view of the old one stay beside.
pub(crate) fn join_lineage(lineage: &Lineage, tombstone: Tombstone) -> io::Result<()> {
    let epoch = tombstone.epoch;
    let disk = lineage.disk();
    empty_dir(&*disk, &log_dir(epoch.0))?;
    empty_dir(&*disk, &snapshot_dir(epoch.0))?;
    lineage.change(|record| {
        *record = Record {
            v: 1,
            epoch: Some(epoch),
            generation: epoch.0,
            quarantine: None,
            tombstone: Some(tombstone),
            joining: true,
        };
    })
}

/// Carries out an order that was kept, if there is one. Done again from the start after any
/// interruption, until the new generation counts.
pub(crate) fn rebuild(config: &Config, lineage: &Lineage) -> Result<(), StartError> {
    let disk = &*config.disk;
    let path = Path::new(ORDER);
    if !disk.exists(path).map_err(StartError::Lineage)? {
        return Ok(());
    }
    let bytes = disk
        .read(path, ORDER_BYTES_MAX)
        .map_err(StartError::Lineage)?;
    let order: Kept = serde_json::from_slice(&bytes)
        .map_err(|error| StartError::Lineage(io::Error::other(error)))?;
    let present = lineage.epoch().unwrap_or(EPOCH_FIRST);
    if order.epoch > present && !lineage.is_quarantined() {
        begin_generation(config, lineage, order, present)?;
    }
    let done = disk
        .remove(path)
        .and_then(|()| disk.sync_dir(Path::new("")));
    done.map_err(StartError::Lineage)
}

fn begin_generation(
    config: &Config,
    lineage: &Lineage,
    order: Kept,
    present: Epoch,
) -> Result<(), StartError> {
    let (log, old) = storage::open(
        config,
        lineage.generation(),
        storage::open_log(config.disk.clone()),
    )?;
    let mut base = old.applied.look(Clone::clone);
    let known = log.committed().map_err(StartError::Log)?;
    let known = known.max(base.last);
    let runs = apply_all(&log, &mut base, &old.files).map_err(StartError::Log)?;
    // Before the state that has forgotten them is saved.
    old.files.flush().map_err(StartError::Log)?;
    let Some(last) = base.last else {
        let empty = io::Error::other("an order to take over with an empty log");
        return Err(StartError::Lineage(empty));
    };
    let voted = log.vote().map_err(StartError::Log)?;
    let term = voted.map_or(0, |vote| vote.leader_id.term);
    let term = term
        .max(order.term)
        .max(last.leader_id.term)
        .saturating_add(1);
    let me = config.node.id.0;
    let nodes = [(me, BasicNode::new(&config.node.name))];
    let voters = vec![[me].into()];
    let alone = openraft::Membership::new(voters, std::collections::BTreeMap::from(nodes));
    let alone = alone.map_err(|error| StartError::Raft(error.to_string()))?;
    base.membership = Membership::new(Some(last), alone);
    drop((log, old));

    let generation = order.epoch.0;
    let disk = &*config.disk;
    let emptied = empty_dir(disk, &log_dir(generation))
        .and_then(|()| empty_dir(disk, &snapshot_dir(generation)));
    emptied.map_err(StartError::Lineage)?;
    machine::save(&storage::snapshots(config, generation)?, &base).map_err(StartError::Snapshot)?;
    let (log, _) = guitai_store::Wal::open(
        config.disk.clone(),
        guitai_store::wal::Config::new(log_dir(generation)),
    )?;
    LogStore::new(log)
        .begin_after(&Vote::new(term, me), &last)
        .map_err(StartError::Log)?;

    let tombstone = signed(
        config,
        Tombstone {
            v: 1,
            epoch_old: present,
            epoch: order.epoch,
            node: config.node.name.clone(),
            last: place(&last),
            committed: known.as_ref().map(place),
            runs,
            ordered_by: order.ordered_by,
            reason: order.reason,
            at: order.at,
            survivors: order.survivors,
            answered: order.answered,
            public_key: Hex(Vec::new()),
            signature: Hex(Vec::new()),
        },
    );
    let record = Record {
        v: 1,
        epoch: Some(order.epoch),
        generation,
        quarantine: None,
        tombstone: Some(tombstone),
        joining: false,
    };
    // From here on the new generation counts.
    lineage
        .change(|present| *present = record)
        .map_err(StartError::Lineage)?;
    tracing::warn!(
        epoch = order.epoch.0,
        last = last.index,
        "took over: this node is the one voter of a new lineage"
    );
    Ok(())
}

/// Applies what is in the log after the state, committed or not, and says which terms it saw. What
/// was purged before lies under the snapshot and counts as one run.
fn apply_all(log: &LogStore, base: &mut Base, files: &Files) -> io::Result<Vec<LogRun>> {
    let mut runs: Vec<LogRun> = Vec::new();
    if let Some(purged) = log.purged()? {
        note(&mut runs, &purged);
    }
    let range = log.range();
    let mut next = range.start;
    while next < range.end {
        let end = range.end.min(next.saturating_add(CHUNK));
        for entry in log.read(next, end)? {
            note(&mut runs, &entry.log_id);
            if Some(entry.log_id) > base.last {
                files.note(base.step(entry).full);
            }
        }
        next = end;
    }
    // A state ahead of the log lies in a snapshot: its end is known all the same.
    if let Some(last) = base
        .last
        .filter(|last| Some(place(last)) > runs.last().map(|it| it.last))
    {
        note(&mut runs, &last);
    }
    let surplus = runs.len().saturating_sub(RUNS_MAX);
    runs.drain(..surplus);
    Ok(runs)
}

fn note(runs: &mut Vec<LogRun>, id: &LogId) {
    let place = place(id);
    match runs.last_mut() {
        Some(run) if (run.last.term, run.last.leader) == (place.term, place.leader) => {
            run.last = place;
        }
        _ => runs.push(LogRun {
            first: place.index,
            last: place,
        }),
    }
}

/// Whether a log of these runs has the entry.
pub(crate) fn holds(runs: &[LogRun], entry: &LogPlace) -> bool {
    runs.iter().any(|run| {
        (run.last.term, run.last.leader) == (entry.term, entry.leader)
            && (run.first..=run.last.index).contains(&entry.index)
    })
}

pub(crate) fn place(id: &LogId) -> LogPlace {
    LogPlace {
        term: id.leader_id.term,
        leader: id.leader_id.node_id,
        index: id.index,
    }
}

fn signed(config: &Config, mut tombstone: Tombstone) -> Tombstone {
    if let Some(seal) = &config.seal {
        tombstone.public_key = seal.public_key.clone();
        let bytes = serde_json::to_vec(&tombstone).unwrap_or_default();
        tombstone.signature = Hex((seal.sign)(&bytes));
    }
    tombstone
}
