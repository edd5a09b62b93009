//! How long recordings are kept, and how they end.
//!
//! A recording takes the longest of its classes, each as long as it was ever promised since the recording
//! exists; one without a class, or with a class whose end nobody has named, is kept for ever. When its last
//! day in Beijing is over and no hold is on it, a tick says that it is to be erased, and every recorder that
//! has it destroys its key and says so.
//!
//! Nothing is kept track of before the first matrix: what a log of the release before means stays the same.

use std::collections::BTreeMap;

use guitai_types::{
    ClassId, Date, NodeName, Problem, SessionId, StaffRef, UnixMillis,
    command::Reply,
    event::Change,
    limits::{
        CLASSES_MAX, HOLDS_MAX, REASON_BYTES_MAX, RECORDINGS_KEPT_MAX, RETENTION_VERSIONS_MAX,
    },
    officer::OfficerWord,
    problem::Code,
    record::{Duty, RecordingState, Session},
    retention::{
        ClassView, Classing, CopyView, Ends, Erasure, Health, Hold, KeepOrder, KeptCopy, KeptView,
        Matrix, Noted, Period, Promise, Recording, Retention, Rule, Stage, StartsAt,
    },
    tlog::Record,
};

use crate::{RecordKey, State, apply::Turn, check, limits::RETENTION_MONTHS_MIN, officers};

#[cfg(test)]
mod tests;

impl State {
    /// The retention matrix and what it promised; `None` until it was said for the first time.
    pub fn retention(&self) -> Option<&Retention> {
        self.retention.as_ref()
    }

    /// A recording's keeping.
    pub fn recording(&self, session: &SessionId) -> Option<&Recording> {
        self.recordings.get(session)
    }

    /// All recordings that are kept or were erased not too long ago, by session.
    pub fn recordings(&self) -> impl Iterator<Item = &Recording> {
        self.recordings.values()
    }

    /// Recordings whose key `node` is to destroy, with what allows it.
    pub fn erasures_of<'a>(
        &'a self,
        node: &'a NodeName,
    ) -> impl Iterator<Item = (&'a SessionId, &'a Erasure)> {
        let erasing = self.index.erasing.iter();
        erasing.filter_map(move |session| {
            let recording = self.recordings.get(session)?;
            let Stage::Erasing { erasure, .. } = &recording.stage else {
                return None;
            };
            let copy = recording.copies.get(node);
            let is_there = copy.is_some_and(|copy| copy.erased_at.is_none());
            is_there.then_some((session, erasure))
        })
    }

    /// The last day on which a recording must be kept, if it is known, and whether somebody holds it.
    pub fn promise_of(&self, recording: &Recording) -> (Option<Date>, bool) {
        let retention = self.retention.as_ref();
        let due = retention.and_then(|retention| due(recording, retention));
        (due.map(|due| due.until), !recording.holds.is_empty())
    }

    /// A recording's keeping as people see it.
    pub fn kept_view(&self, recording: &Recording) -> KeptView {
        let retention = self.retention.as_ref();
        let classes = recording.classes.iter().filter_map(|(class, dates)| {
            let retention = retention?;
            let bound = bound(recording, class, *dates, retention)?;
            Some(ClassView {
                class: class.clone(),
                name: retention.matrix.rule(class)?.name.clone(),
                minimum: bound.minimum,
                version: bound.version,
                dates: *dates,
                until: bound.until,
            })
        });
        let copies = recording.copies.iter().map(|(node, copy)| CopyView {
            node: node.clone(),
            centre: self.member(node).map(|member| member.centre.clone()),
            health: copy.health.clone(),
            read_at: copy.read_at,
            erased_at: copy.erased_at,
            sink: copy.sink.clone(),
        });
        KeptView {
            session: recording.session.clone(),
            institution: recording.institution.clone(),
            ended_at: recording.ended_at,
            copies: copies.collect(),
            classes: classes.collect(),
            holds: recording.holds.clone(),
            due: retention.and_then(|retention| due(recording, retention)),
            stage: recording.stage.clone(),
            centres: self.centres_whole(recording, &[]).into_iter().collect(),
            centres_wanted: u32::try_from(self.centres_wanted()).unwrap_or(u32::MAX),
        }
    }
}

/// The last day on which a recording must be kept, and the rule that says so: the latest of its classes.
/// `None` when it has no class, or one whose end is not known or never comes.
pub(crate) fn due(recording: &Recording, retention: &Retention) -> Option<Erasure> {
    let mut latest: Option<Erasure> = None;
    for (class, dates) in &recording.classes {
        let bound = bound(recording, class, *dates, retention)?;
        let until = bound.until?;
        if latest.as_ref().is_none_or(|latest| latest.until < until) {
            latest = Some(Erasure {
                until,
                class: class.clone(),
                version: bound.version,
            });
        }
    }
    latest
}

/// What one class demands of a recording.
struct Bound {
    minimum: Period,
    version: u32,
    until: Option<Date>,
}

fn bound(
    recording: &Recording,
    class: &ClassId,
    dates: Ends,
    retention: &Retention,
) -> Option<Bound> {
    let rule = retention.matrix.rule(class)?;
    let promises = retention.promises.get(class)?;
    // In force at some time since the recording exists: until the next one, or still.
    let ends = promises.iter().skip(1).map(|next| Some(next.since));
    let in_force = promises.iter().zip(ends.chain([None]));
    let concerns = |(promise, until): (&'_ Promise, Option<UnixMillis>)| {
        let is_later = until.is_none_or(|until| until >= recording.started_at);
        is_later.then(|| promise.clone())
    };
    let in_force: Vec<Promise> = in_force.filter_map(concerns).collect();
    // Of equal ones the first: it is the one that was given.
    let longest = in_force
        .iter()
        .rev()
        .max_by_key(|promise| promise.minimum)?;
    let dispute = in_force.iter().map(|promise| promise.dispute).max()?;
    let begins = match rule.starts {
        StartsAt::Recorded => Some(Date::of(recording.ended_at)),
        StartsAt::ProductEnd | StartsAt::ContractEnd | StartsAt::RelationshipEnd => dates.ends,
    };
    let by_rule = begins.and_then(|begins| begins.plus(longest.minimum));
    let until = match dates.dispute_ended {
        None => by_rule,
        Some(ended) => by_rule
            .zip(ended.plus(dispute))
            .map(|(one, other)| one.max(other)),
    };
    Some(Bound {
        minimum: longest.minimum,
        version: longest.version,
        until,
    })
}

impl Turn<'_> {
    pub(crate) fn keep(&mut self, order: &KeepOrder) -> Result<Reply, Problem> {
        match order {
            KeepOrder::Matrix { matrix, by } => self.put_matrix(matrix, by.as_ref())?,
            KeepOrder::Class {
                session,
                by,
                classes,
            } => self.classify(session, by, classes)?,
            KeepOrder::Hold {
                session,
                by,
                reason,
            } => self.hold(session, by, reason)?,
            KeepOrder::Release {
                session,
                hold,
                release,
            } => self.release_hold(session, *hold, release)?,
            KeepOrder::Erased { session, node } => self.erased(session, node)?,
            KeepOrder::Read {
                session,
                node,
                damage,
            } => self.copy_read(session, node, damage.as_deref())?,
            KeepOrder::Replicate {
                session,
                node,
                from,
            } => self.replicate(session, node, from)?,
            KeepOrder::Sink {
                session,
                node,
                copy,
            } => self.copied_to_sink(session, node, copy.as_ref())?,
            KeepOrder::Replicated {
                session,
                node,
                from,
            } => self.replicated(session, node, from)?,
        }
        Ok(Reply::Done)
    }

    fn put_matrix(&mut self, matrix: &Matrix, by: Option<&StaffRef>) -> Result<(), Problem> {
        if let Some(by) = by {
            self.must_be_officer(by)?;
        }
        let present = self.state.retention.clone();
        // The leader begins; two leaders may say so one after the other.
        if by.is_none() && present.is_some() {
            return Ok(());
        }
        check_matrix(matrix, present.as_ref())?;
        let begins = present.is_none();
        let mut promises = present
            .as_ref()
            .map(|it| it.promises.clone())
            .unwrap_or_default();
        for rule in &matrix.classes {
            let given = promises.entry(rule.id.clone()).or_default();
            let says =
                |last: &Promise| (last.minimum, last.dispute) == (rule.minimum, rule.dispute);
            if !given.last().is_some_and(says) {
                given.push(Promise {
                    version: matrix.version,
                    since: self.now,
                    minimum: rule.minimum,
                    dispute: rule.dispute,
                });
            }
        }
        self.state.retention = Some(Retention {
            matrix: matrix.clone(),
            at: self.now,
            by: by.cloned(),
            promises,
            untracked: present.map_or(0, |it| it.untracked),
        });
        self.changed(RecordKey::Retention);
        self.log(Record::Retention {
            matrix: matrix.clone(),
            by: by.cloned(),
        });
        self.emit(None, Change::Keeping { session: None });
        // Every date may have moved, of what is ordered too: a clock that is ahead may have ordered it early.
        let erasing: Vec<SessionId> = self.state.index.erasing.iter().cloned().collect();
        for session in erasing {
            if let Some(mut recording) = self.state.recordings.get(&session).cloned()
                && take_back(&mut recording)
            {
                self.tell_keeping(&recording);
                self.keep_recording(recording);
            }
        }
        self.reindex();
        if begins {
            let ended: Vec<Session> = self.state.sessions_ended().cloned().collect();
            let is_sealed = |session: &&Session| {
                let mut turns = session.assignments.iter();
                turns.any(|turn| matches!(turn.recording, RecordingState::Sealed { .. }))
            };
            for session in ended.iter().filter(is_sealed) {
                self.begin_keeping(session);
            }
        }
        Ok(())
    }

    /// A recording was sealed: from now on it is kept track of. Nodes that were to record it may have some
    /// of it even when they have not said so.
    pub(crate) fn begin_keeping(&mut self, session: &Session) {
        if self.state.retention.is_none() {
            return;
        }
        let mut healths: BTreeMap<NodeName, Health> = BTreeMap::new();
        for turn in &session.assignments {
            let health = healths.entry(turn.node.clone()).or_insert(Health::Unsealed);
            if matches!(turn.recording, RecordingState::Sealed { .. }) {
                *health = Health::Whole;
            }
        }
        if let Some(mut recording) = self.state.recordings.get(&session.id).cloned() {
            let before = recording.clone();
            for (node, health) in healths {
                let copy = recording.copies.entry(node);
                let copy = copy.or_insert(KeptCopy::new(Health::Unsealed));
                if copy.health == Health::Unsealed {
                    copy.health = health;
                }
            }
            if recording != before {
                self.keep_recording(recording);
            }
            return;
        }
        if self.state.recordings.len() >= RECORDINGS_KEPT_MAX {
            match self.state.index.erased.first().cloned() {
                // The log still has it.
                Some((_, oldest)) => self.forget_recording(&oldest),
                None => {
                    if let Some(retention) = &mut self.state.retention {
                        retention.untracked += 1;
                    }
                    self.changed(RecordKey::Retention);
                    return;
                }
            }
        }
        let copies = healths.into_iter();
        let copies = copies.map(|(node, health)| (node, KeptCopy::new(health)));
        self.keep_recording(Recording {
            session: session.id.clone(),
            institution: session.institution.clone(),
            started_at: session.started_at,
            ended_at: session.ended_at.unwrap_or(self.now),
            copies: copies.collect(),
            classes: BTreeMap::new(),
            holds: Vec::new(),
            holds_placed: 0,
            stage: Stage::Kept,
        });
    }

    fn classify(
        &mut self,
        session: &SessionId,
        by: &StaffRef,
        classes: &[Classing],
    ) -> Result<(), Problem> {
        let mut recording = self.kept(session)?;
        check_classes(classes, &recording, self.state.retention.as_ref())?;
        for it in classes {
            let present = recording.classes.entry(it.class.clone()).or_default();
            present.ends = it.ends.or(present.ends);
            present.dispute_ended = it.dispute_ended.or(present.dispute_ended);
        }
        let noted = Noted::Classed {
            classes: classes.to_vec(),
        };
        self.note_kept(recording, by, [noted]);
        Ok(())
    }

    fn hold(&mut self, session: &SessionId, by: &StaffRef, reason: &str) -> Result<(), Problem> {
        self.must_be_officer(by)?;
        if reason.trim().is_empty() || reason.chars().any(char::is_control) {
            return Err(check::bad("the reason is empty or not one line"));
        }
        check::at_most("reason", reason.len(), "REASON_BYTES_MAX", REASON_BYTES_MAX)?;
        let mut recording = self.kept(session)?;
        check::room("holds", recording.holds.len(), "HOLDS_MAX", HOLDS_MAX)?;
        recording.holds_placed += 1;
        let number = recording.holds_placed;
        recording.holds.push(Hold {
            number,
            by: by.clone(),
            at: self.now,
            reason: reason.to_owned(),
            releases: Vec::new(),
        });
        let noted = Noted::Held {
            hold: number,
            reason: reason.to_owned(),
        };
        self.note_kept(recording, by, [noted]);
        Ok(())
    }

    fn release_hold(
        &mut self,
        session: &SessionId,
        number: u32,
        release: &OfficerWord,
    ) -> Result<(), Problem> {
        let mut recording = self.kept(session)?;
        let now = self.now;
        let found = recording.holds.iter_mut().find(|it| it.number == number);
        let hold = found.ok_or_else(|| check::missing("hold"))?;
        let account = self.state.staff.get(&release.officer);
        let enough = officers::count(&mut hold.releases, account, release, now)?;
        let mut noted = vec![Noted::ReleaseApproved {
            hold: number,
            release: release.clone(),
        }];
        if enough {
            recording.holds.retain(|it| it.number != number);
            noted.push(Noted::Released { hold: number });
        }
        self.note_kept(recording, &release.officer, noted);
        Ok(())
    }

    /// A recording's last day is over and nothing holds it.
    pub(crate) fn expire(&mut self, session: &SessionId) {
        let Some(mut recording) = self.state.recordings.get(session).cloned() else {
            return;
        };
        let retention = self.state.retention.as_ref();
        let Some(erasure) = retention.and_then(|retention| due(&recording, retention)) else {
            return;
        };
        recording.stage = Stage::Erasing {
            since: self.now,
            erasure,
        };
        self.tell_keeping(&recording);
        self.keep_recording(recording);
        // Films are made again when it is kept after all; no film outlives what it is of.
        self.forget_films_of(session);
    }

    fn erased(&mut self, session: &SessionId, node: &NodeName) -> Result<(), Problem> {
        let mut recording = self.recorded(session)?;
        let now = self.now;
        let retention = self.state.retention.as_ref();
        let over = retention.and_then(|retention| due(&recording, retention));
        let over = over.filter(|erasure| erasure.until.over() <= now);
        let copy = recording.copies.get_mut(node);
        let copy = copy.ok_or_else(|| check::missing("copy of the recording on that node"))?;
        if copy.erased_at.is_some() {
            return Ok(());
        }
        // A hold that came while a recorder was at it came too late for this copy, and the log must say so.
        let erasure = match &recording.stage {
            Stage::Erasing { erasure, .. } | Stage::Erased { erasure, .. } => Some(erasure.clone()),
            Stage::Kept => over,
        };
        let never = || check::wrong("nobody has said that it is to be erased");
        let erasure = erasure.ok_or_else(never)?;
        copy.erased_at = Some(now);
        let copies = recording.copies.iter();
        let (gone, awaited): (Vec<_>, Vec<_>) =
            copies.partition(|(_, copy)| copy.erased_at.is_some());
        let names = |copies: Vec<(&NodeName, &KeptCopy)>| -> Vec<NodeName> {
            copies.into_iter().map(|(node, _)| node.clone()).collect()
        };
        let (nodes, awaited) = (names(gone), names(awaited));
        if awaited.is_empty() {
            let log = self.state.log.as_ref();
            recording.stage = Stage::Erased {
                at: now,
                erasure: erasure.clone(),
                entry: log.map(|log| log.size() + self.logged.len() as u64),
            };
        }
        self.log(Record::RecordingErased {
            session: session.clone(),
            nodes,
            awaited,
            erasure,
        });
        self.tell_keeping(&recording);
        self.keep_recording(recording);
        Ok(())
    }

    /// Refuses what needs a recording that is not there any more, or of which a copy is gone.
    pub(crate) fn refuse_erased(&self, session: &SessionId) -> Result<(), Problem> {
        match self.state.recordings.get(session) {
            Some(recording) if is_begun(recording) => Err(gone(session)),
            _ => Ok(()),
        }
    }

    pub(crate) fn recorded(&self, session: &SessionId) -> Result<Recording, Problem> {
        let recording = self.state.recordings.get(session).cloned();
        recording.ok_or_else(|| check::missing("recording"))
    }

    /// A recording of which every copy is there: an order to erase it that nobody has carried out is taken
    /// back, since what is about to be said of it may give it another date.
    fn kept(&self, session: &SessionId) -> Result<Recording, Problem> {
        let mut recording = self.recorded(session)?;
        if recording.stage == Stage::Kept || take_back(&mut recording) {
            return Ok(recording);
        }
        Err(gone(session))
    }

    fn must_be_officer(&self, who: &StaffRef) -> Result<(), Problem> {
        let account = self.state.staff(who);
        let account = account.ok_or_else(|| check::missing("officer"))?;
        if account.duties.contains(&Duty::Officer) {
            return Ok(());
        }
        let detail = format!("{who} is no officer");
        Err(Problem::new(Code::Forbidden, detail))
    }

    fn note_kept(
        &mut self,
        recording: Recording,
        by: &StaffRef,
        noted: impl IntoIterator<Item = Noted>,
    ) {
        for noted in noted {
            self.log(Record::RecordingKept {
                session: recording.session.clone(),
                by: by.clone(),
                noted,
            });
        }
        self.tell_keeping(&recording);
        self.keep_recording(recording);
    }

    pub(crate) fn tell_keeping(&mut self, recording: &Recording) {
        let session = Some(recording.session.clone());
        self.emit(Some(&recording.institution), Change::Keeping { session });
    }
}

/// Whether a copy is gone.
fn is_begun(recording: &Recording) -> bool {
    let mut copies = recording.copies.values();
    copies.any(|copy| copy.erased_at.is_some())
}

/// Takes back an order to erase that nobody has carried out. When its time is over all the same, the next tick
/// gives it again, by the date as it is then.
fn take_back(recording: &mut Recording) -> bool {
    let is_ordered = matches!(recording.stage, Stage::Erasing { .. }) && !is_begun(recording);
    if is_ordered {
        recording.stage = Stage::Kept;
    }
    is_ordered
}

fn check_matrix(matrix: &Matrix, present: Option<&Retention>) -> Result<(), Problem> {
    let next = present.map_or(1, |it| it.matrix.version.saturating_add(1));
    if matrix.version != next {
        let detail = format!(
            "version {} of the matrix, the next is {next}",
            matrix.version
        );
        return Err(check::wrong(detail));
    }
    let versions = usize::try_from(next).unwrap_or(usize::MAX);
    let most = RETENTION_VERSIONS_MAX as usize;
    check::at_most("versions", versions, "RETENTION_VERSIONS_MAX", most)?;
    check::at_most("classes", matrix.classes.len(), "CLASSES_MAX", CLASSES_MAX)?;
    for (number, rule) in matrix.classes.iter().enumerate() {
        check::name("name of a class", &rule.name.zh)?;
        check::name("name of a class", &rule.name.en)?;
        check::note("clause", &rule.clause)?;
        check::at_most(
            "clause",
            rule.clause.len(),
            "REASON_BYTES_MAX",
            REASON_BYTES_MAX,
        )?;
        if rule.clause.trim().is_empty() {
            return Err(check::bad(format!("class {} names no clause", rule.id)));
        }
        if rule.minimum < Period::Months(RETENTION_MONTHS_MIN) {
            let (id, minimum) = (&rule.id, rule.minimum);
            let detail =
                format!("class {id} has {minimum}, RETENTION_MONTHS_MIN is {RETENTION_MONTHS_MIN}");
            return Err(check::bad(detail));
        }
        let mut before = matrix.classes.iter().take(number);
        if before.any(|other| other.id == rule.id) {
            return Err(check::bad(format!("class {} stands twice", rule.id)));
        }
    }
    let present = present.map(|it| it.matrix.classes.as_slice());
    for before in present.unwrap_or_default() {
        check_lock(before, matrix.rule(&before.id))?;
    }
    Ok(())
}

/// What was promised stays: a class is not taken away, does not begin with something else, and one that is
/// locked is neither shortened nor unlocked.
fn check_lock(before: &Rule, after: Option<&Rule>) -> Result<(), Problem> {
    let id = &before.id;
    let locked = |detail: String| Err(Problem::new(Code::RetentionLocked, detail));
    let Some(after) = after else {
        return locked(format!(
            "class {id} is missing; a class is never taken away"
        ));
    };
    if after.starts != before.starts {
        return locked(format!("class {id} would begin with something else"));
    }
    if !before.locked {
        return Ok(());
    }
    if !after.locked {
        return locked(format!("class {id} is locked and stays so"));
    }
    if after.minimum < before.minimum || after.dispute < before.dispute {
        let (one, other) = (before.minimum, after.minimum);
        return locked(format!("class {id} is locked: {one} cannot become {other}"));
    }
    Ok(())
}

fn check_classes(
    classes: &[Classing],
    recording: &Recording,
    retention: Option<&Retention>,
) -> Result<(), Problem> {
    let retention = retention.ok_or_else(|| check::wrong("there is no retention matrix yet"))?;
    if classes.is_empty() {
        return Err(check::bad("no class is named"));
    }
    check::at_most("classes", classes.len(), "CLASSES_MAX", CLASSES_MAX)?;
    for it in classes {
        let rule = retention.matrix.rule(&it.class);
        let rule = rule.ok_or_else(|| check::bad(format!("there is no class {}", it.class)))?;
        if rule.starts == StartsAt::Recorded && it.ends.is_some() {
            let detail = format!("class {} begins with the recording itself", it.class);
            return Err(check::bad(detail));
        }
        // What is talked about is not over before the talk. A wrong year must not have evidence destroyed today.
        let recorded = Date::of(recording.started_at);
        let days = it.ends.into_iter().chain(it.dispute_ended);
        if let Some(day) = days.min().filter(|day| *day < recorded) {
            let detail = format!("{day} is before the recording of {recorded}");
            return Err(check::bad(detail));
        }
    }
    Ok(())
}

fn gone(session: &SessionId) -> Problem {
    let detail = format!("the recording of session {session} is erased, or being erased");
    Problem::new(Code::RecordingErased, detail)
}
