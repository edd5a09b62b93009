//! Where the copies of a recording are, and what happens when one is lost or rots.
//!
//! Two recorders in two centres each keep a recording of their own of every call. When one of them can no longer be
//! read, or its node stays away, a recorder in a centre that has no whole copy gets a replica of one that is whole:
//! byte for byte what its recorder gives out, under a key of its own. What is damaged is left as it is: it may be
//! evidence of something else.

use std::collections::BTreeSet;

use guitai_types::{
    CentreId, Member, NodeName, Problem, SessionId, UnixMillis,
    limits::DAMAGE_BYTES_MAX,
    retention::{Health, KeptCopy, Recording, SinkCopy, Stage},
    tlog::Record,
};

use crate::{
    State,
    apply::Turn,
    check,
    limits::{PLACEMENT_CENTRES, READ_AGAIN_AFTER_MS, REPLICA_PATIENCE_MS},
};

/// A replica that should be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Of which call's recording.
    pub session: SessionId,
    /// Who gets it.
    pub node: NodeName,
    /// Whose recording.
    pub from: NodeName,
}

impl State {
    /// Replicas that should be made now, at most `limit`. A node in `gone` has been away for so long that nothing
    /// of it counts.
    pub fn repairs(&self, gone: &[NodeName], limit: usize) -> Vec<Repair> {
        let short = self.short(gone);
        let recordings = short.filter_map(|id| self.recording(id));
        let repair = |recording| self.repair(recording, gone);
        recordings.filter_map(repair).take(limit).collect()
    }

    /// Replicas that `node` is to get, and whose.
    pub fn replicas_of<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (&'a SessionId, &'a NodeName)> {
        let ordered = self.index.ordered.get(node).into_iter().flatten();
        ordered.filter_map(move |session| {
            let copy = self.recording(session)?.copies.get(node)?;
            let Health::Ordered { from, .. } = &copy.health else {
                return None;
            };
            Some((session, from))
        })
    }

    /// Copies on `node` that it should have, whether or not it is time to read them.
    pub fn copies_on<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (&'a SessionId, &'a KeptCopy)> {
        let groups = self.index.whole.iter();
        let groups = groups.filter(move |(nodes, _)| nodes.contains(node));
        groups
            .flat_map(|(_, sessions)| sessions)
            .filter_map(|session| {
                let copy = self.recording(session)?.copies.get(node)?;
                Some((session, copy))
            })
    }

    /// Copies on `node` that have not been read through for [`READ_AGAIN_AFTER_MS`], by the clock `now`.
    pub fn copies_to_read<'a>(
        &'a self,
        node: &'a NodeName,
        now: UnixMillis,
    ) -> impl Iterator<Item = &'a SessionId> {
        let on = self.copies_on(node);
        on.filter_map(move |(session, copy)| {
            let recording = self.recording(session)?;
            let from = copy.read_at.unwrap_or(recording.ended_at);
            (now.since(from) >= READ_AGAIN_AFTER_MS).then_some(session)
        })
    }

    /// Recordings with whole copies in too few centres, and copies that are damaged.
    pub fn copies_missing(&self) -> (u64, u64) {
        let short = self.short(&[]).count() as u64;
        (short, self.index.damaged.len() as u64)
    }

    /// Kept recordings whose whole copies are in too few centres.
    fn short<'a>(&'a self, gone: &'a [NodeName]) -> impl Iterator<Item = &'a SessionId> {
        let wanted = self.centres_wanted();
        let groups = self.index.whole.iter();
        let short =
            groups.filter(move |(nodes, _)| self.centres_of(nodes.iter(), gone).len() < wanted);
        short.flat_map(|(_, sessions)| sessions)
    }

    /// Centres with a whole copy.
    pub(crate) fn centres_whole(
        &self,
        recording: &Recording,
        gone: &[NodeName],
    ) -> BTreeSet<CentreId> {
        self.centres_of(recording.whole().map(|(node, _)| node), gone)
    }

    fn centres_of<'a>(
        &self,
        nodes: impl IntoIterator<Item = &'a NodeName>,
        gone: &[NodeName],
    ) -> BTreeSet<CentreId> {
        let there = nodes.into_iter().filter(|node| !gone.contains(node));
        let members = there.filter_map(|node| self.member(node));
        members.map(|member| member.centre.clone()).collect()
    }

    /// In how many centres there should be a whole copy.
    pub(crate) fn centres_wanted(&self) -> usize {
        let centres: BTreeSet<&CentreId> = self.recorders().map(|it| &it.centre).collect();
        centres.len().min(PLACEMENT_CENTRES)
    }

    fn repair(&self, recording: &Recording, gone: &[NodeName]) -> Option<Repair> {
        let centres = self.centres_whole(recording, gone);
        let is_young = |at: UnixMillis| self.clock().since(at) < REPLICA_PATIENCE_MS;
        let is_coming = |(node, copy): (&NodeName, &KeptCopy)| {
            let from = match &copy.health {
                Health::Unsealed => recording.ended_at,
                Health::Ordered { at, .. } => *at,
                Health::Whole | Health::Damaged { .. } | Health::Replica { .. } => return false,
            };
            is_young(from) && !gone.contains(node)
        };
        if recording.copies.iter().any(is_coming) {
            return None;
        }
        let mut whole = recording.whole().map(|(node, _)| node);
        let from = whole.find(|node| !gone.contains(node) && self.member(node).is_some())?;
        let lacks =
            |member: &&Member| !centres.contains(&member.centre) && !gone.contains(&member.name);
        // One that was asked and did not do it is asked again only when there is nobody else.
        let failed = |member: &&Member| {
            let copy = recording.copies.get(&member.name);
            let is_ordered = copy.is_some_and(|it| matches!(it.health, Health::Ordered { .. }));
            (is_ordered, copy.is_none(), member.id)
        };
        let node = self.recorders().filter(lacks).min_by_key(failed)?;
        Some(Repair {
            session: recording.session.clone(),
            node: node.name.clone(),
            from: from.clone(),
        })
    }
}

impl Turn<'_> {
    pub(crate) fn copy_read(
        &mut self,
        session: &SessionId,
        node: &NodeName,
        damage: Option<&str>,
    ) -> Result<(), Problem> {
        if let Some(what) = damage {
            check::at_most("damage", what.len(), "DAMAGE_BYTES_MAX", DAMAGE_BYTES_MAX)?;
            if what.trim().is_empty() || what.chars().any(char::is_control) {
                return Err(check::bad("the damage is empty or not one line"));
            }
        }
        let mut recording = self.recorded(session)?;
        let now = self.now;
        let copy = copy_on(&mut recording, node)?;
        let was = copy.health.clone();
        match (&copy.health, damage) {
            // What was found first is what is remembered.
            (Health::Damaged { .. } | Health::Ordered { .. }, Some(_)) => {}
            (_, Some(what)) => {
                copy.health = Health::Damaged {
                    at: now,
                    what: what.to_owned(),
                };
            }
            (Health::Damaged { .. }, None) => copy.health = Health::Whole,
            (_, None) => {}
        }
        copy.read_at = Some(now);
        self.put_copy(recording, node, &was);
        Ok(())
    }

    pub(crate) fn replicate(
        &mut self,
        session: &SessionId,
        node: &NodeName,
        from: &NodeName,
    ) -> Result<(), Problem> {
        let mut recording = self.recorded(session)?;
        if recording.stage != Stage::Kept {
            return Err(check::wrong("the recording is being erased"));
        }
        let is_recorder = self.state.recorders().any(|member| member.name == *node);
        if !is_recorder {
            return Err(check::missing("recorder"));
        }
        let source = recording.copies.get(from);
        if node == from || !source.is_some_and(KeptCopy::is_whole) {
            return Err(check::wrong(format!("{from} has no whole copy of it")));
        }
        let now = self.now;
        let copy = recording.copies.entry(node.clone());
        let copy = copy.or_insert(KeptCopy::new(Health::Unsealed));
        if copy.is_whole() {
            return Err(check::wrong(format!("{node} has a whole copy of it")));
        }
        copy.health = Health::Ordered {
            at: now,
            from: from.clone(),
        };
        self.tell_keeping(&recording);
        self.keep_recording(recording);
        Ok(())
    }

    pub(crate) fn replicated(
        &mut self,
        session: &SessionId,
        node: &NodeName,
        from: &NodeName,
    ) -> Result<(), Problem> {
        let mut recording = self.recorded(session)?;
        let now = self.now;
        let copy = copy_on(&mut recording, node)?;
        let was = copy.health.clone();
        match &was {
            Health::Ordered { from: ordered, .. } if ordered == from => {
                copy.health = Health::Replica {
                    at: now,
                    from: from.clone(),
                };
                copy.read_at = Some(now);
            }
            // Told again.
            Health::Replica { from: present, .. } if present == from => return Ok(()),
            _ => {
                return Err(check::wrong(format!(
                    "{node} was to get no replica from {from}"
                )));
            }
        }
        self.put_copy(recording, node, &was);
        Ok(())
    }

    /// What a node has in the sink. It may say so of what it has erased: objects stay as long as they are locked.
    pub(crate) fn copied_to_sink(
        &mut self,
        session: &SessionId,
        node: &NodeName,
        sink: Option<&SinkCopy>,
    ) -> Result<(), Problem> {
        let mut recording = self.recorded(session)?;
        let copy = recording.copies.get_mut(node);
        let copy = copy.ok_or_else(|| check::missing("copy of the recording on that node"))?;
        if copy.sink.as_ref() != sink {
            copy.sink = sink.cloned();
            self.tell_keeping(&recording);
            self.keep_recording(recording);
        }
        Ok(())
    }

    /// Writes it, and into the log when the copy is otherwise than it was.
    fn put_copy(&mut self, recording: Recording, node: &NodeName, was: &Health) {
        let health = recording.copies.get(node).map(|copy| copy.health.clone());
        if let Some(health) = health.filter(|health| health != was) {
            self.log(Record::RecordingCopy {
                session: recording.session.clone(),
                node: node.clone(),
                health,
            });
            self.tell_keeping(&recording);
        }
        self.keep_recording(recording);
    }
}

fn copy_on<'a>(recording: &'a mut Recording, node: &NodeName) -> Result<&'a mut KeptCopy, Problem> {
    let copy = recording.copies.get_mut(node);
    let copy = copy.filter(|copy| copy.erased_at.is_none());
    copy.ok_or_else(|| check::missing("copy of the recording on that node"))
}
