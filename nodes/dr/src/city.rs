//! A takeover by force. No quorum can agree on it, so this one run is kept by the node that would take
//! over: proposed there, approved there by two officers (their keys are known from the state applied
//! here), with the same abort point as any irreversible step. The file survives the new start that a
//! takeover is; afterwards the run is entered into the new lineage's state and goes on like any other.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_meta::{CheckedTakeover, TAKEOVER_CHECK_MS, TakeoverError, may_approve};
use guitai_types::{
    Epoch, Problem, RunId, StaffRef, UnixMillis,
    dr::{
        ABORT_POINT_MS, Act, Aim, Approval, JournalLine, Kind, OFFICERS_NEEDED, Order, Plan, Run,
        RunState,
    },
    lineage::TakeoverOrder,
    problem::Code,
    sync::SyncMode,
};

use crate::recovery::Inner;

/// Where the run is kept, below the node's metadata.
const FILE: &str = "dr-city.json";
/// Largest such file in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The takeover this node keeps, if there is one.
#[derive(Default)]
pub(crate) struct City(Mutex<Option<Run>>);

impl City {
    fn lock(&self) -> MutexGuard<'_, Option<Run>> {
        // Nothing that can panic runs under it; a poisoned one is as good as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn run(&self) -> Option<Run> {
        self.lock().clone()
    }
}

impl Inner {
    /// Reads what was kept before a new start.
    pub(crate) fn load_city(&self) {
        let path = Path::new(FILE);
        if !self.disk.exists(path).unwrap_or(false) {
            return;
        }
        let read = self.disk.read(path, FILE_BYTES_MAX).ok();
        match read.and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(run) => *self.city.lock() = Some(run),
            None => tracing::error!(file = FILE, "the takeover that was kept cannot be read"),
        }
    }

    pub(crate) fn propose_city(
        &self,
        run: RunId,
        plan: Plan,
        plan_hash: guitai_types::Hex,
        by: StaffRef,
    ) -> Result<(), Problem> {
        if let Aim::City { on, .. } = &plan.aim
            && on != &self.member.name
        {
            return Err(wrong(format!(
                "ask {on} itself; this is {}",
                self.member.name
            )));
        }
        if let Some(missing) = plan.missing().next() {
            let detail = format!(
                "margin {} is missing: found {}, needed {}",
                missing.id, missing.found, missing.need
            );
            return Err(wrong(detail));
        }
        let mut held = self.city.lock();
        if let Some(open) = held.as_ref().filter(|open| !open.state.is_over()) {
            return Err(wrong(format!(
                "run {} is not over; abort it first",
                open.id
            )));
        }
        let mut made = Run {
            id: run,
            kind: Kind::Real,
            plan,
            plan_hash,
            by: by.clone(),
            at: self.clock.wall(),
            inject_loss: false,
            approvals: Vec::new(),
            state: RunState::Proposed,
            journal: Vec::new(),
            lanes: Vec::new(),
            verdict: None,
            proof: None,
        };
        self.note(
            &mut made,
            None,
            "proposed",
            &format!("{by}, {}", Kind::Real),
        );
        self.keep(&mut held, made)
    }

    pub(crate) fn approve_city(&self, approval: Approval) -> Result<(), Problem> {
        let mut held = self.city.lock();
        let mut run = held
            .clone()
            .ok_or_else(|| wrong("no takeover is proposed here"))?;
        let (now, officer) = (self.clock.wall(), approval.officer.clone());
        // By the accounts this node has applied.
        let account = self.meta.peek(|state| state.staff(&officer).cloned());
        may_approve(&run, account.as_ref(), &approval, now)?;
        let officer = officer.to_string();
        run.approvals.push(approval);
        self.note(&mut run, None, "approved", &officer);
        if run.approvals.len() >= OFFICERS_NEEDED {
            let until = self.clock.wall().plus(ABORT_POINT_MS);
            run.proof = Some(self.proof(&run));
            self.note(
                &mut run,
                Some("take-over"),
                "abort-point",
                &until.to_string(),
            );
            run.state = RunState::AbortPoint { step: 0, until };
        }
        self.keep(&mut held, run)
    }

    pub(crate) fn abort_city(&self, why: &str) -> Result<(), Problem> {
        let mut held = self.city.lock();
        let stops =
            |run: &Run| matches!(run.state, RunState::Proposed | RunState::AbortPoint { .. });
        let Some(mut run) = held.clone().filter(stops) else {
            return Err(wrong("the takeover is under way or over"));
        };
        self.note(&mut run, None, "abort", why);
        run.state = RunState::Aborted {
            why: why.to_owned(),
        };
        self.keep(&mut held, run)
    }

    /// What this node alone can say of sync writes, for the record, before it changes anything.
    fn proof(&self, run: &Run) -> String {
        let off = run.approvals.iter().filter_map(|it| it.off_since).max();
        let off = off.unwrap_or(UnixMillis(0));
        let Some(verdict) = self.meta.verdict() else {
            return "this node is no guard: nothing is proven of sync writes".to_owned();
        };
        if let SyncMode::Degraded { guarded_to, .. } = verdict.sync.mode {
            return format!(
                "sync writes after entry {guarded_to} were acknowledged without this city: not proven from there"
            );
        }
        match verdict.proven_until {
            Some(until) if until >= off => format!(
                "RPO 0 of the sync class is proven: every sync write acknowledged before {until} is here, \
                 and the other city is attested to be off since {off}"
            ),
            Some(until) => format!(
                "not proven between {until} and {off}: in that time the other city may have acknowledged \
                 sync writes without this one; before it none is missing"
            ),
            None => "this guard has proven nothing yet".to_owned(),
        }
    }

    /// Goes on when its time has come; called at every look.
    pub(crate) async fn drive_city(&self) {
        let Some(run) = self.city.run() else {
            return;
        };
        match run.state {
            // The dead are asked, and given their time, while it still may be aborted.
            RunState::AbortPoint { until, .. }
                if self.clock.wall().plus(TAKEOVER_CHECK_MS) >= until =>
            {
                let Some(epoch) = epoch_of(&run) else { return };
                let names = run.approvals.iter().map(|it| it.officer.to_string());
                let by = names.collect::<Vec<_>>().join(" + ");
                let order = TakeoverOrder {
                    epoch: Some(epoch),
                    survivors: Vec::new(),
                    reason: format!("disaster recovery run {}", run.id),
                };
                let checked = self.meta.check_takeover(order, by).await;
                let left = until.since(self.clock.wall());
                tokio::time::sleep(Duration::from_millis(left)).await;
                self.take_over(run, checked);
            }
            RunState::Running { step: 0, since } => self.enter_city(run, since).await,
            _ => {}
        }
    }

    /// The abort point is over: what was checked meanwhile is done, or the run ends by it.
    fn take_over(&self, mut run: Run, checked: Result<CheckedTakeover, TakeoverError>) {
        let mut held = self.city.lock();
        // Aborted, or proposed anew, while it was checked.
        if held.as_ref() != Some(&run) {
            return;
        }
        self.note(&mut run, Some("take-over"), "begun", "");
        let since = self.clock.wall();
        run.state = RunState::Running { step: 0, since };
        if self.keep(&mut held, run.clone()).is_err() {
            return;
        }
        if let Err(error) = checked.and_then(|checked| self.meta.takeover(checked)) {
            self.note(&mut run, Some("take-over"), "failed", &error.to_string());
            run.state = RunState::Aborted {
                why: error.to_string(),
            };
            let kept = self.keep(&mut held, run);
            kept.unwrap_or_else(|problem| tracing::error!(%problem, "not kept"));
        }
    }

    /// After the new start: this node leads in the new epoch, so the run can be agreed on.
    async fn enter_city(&self, mut run: Run, since: UnixMillis) {
        let leads = self.meta.status().leader == Some(self.member.id);
        let epoch = self.meta.peek(|state| state.epoch());
        if !leads || Some(epoch) != epoch_of(&run) {
            return;
        }
        let now = self.clock.wall();
        let first = run.approvals.iter().map(|it| it.at).min();
        let asked = first.map_or(0, |at| now.since(at));
        let note = format!(
            "epoch {} is agreed on {} ms after the takeover began, {asked} ms after the first approval",
            epoch.0,
            now.since(since)
        );
        self.note(&mut run, Some("take-over"), "done", &note);
        run.state = RunState::Running {
            step: 1,
            since: now,
        };
        let order = Order::Enter { run: Box::new(run) };
        match self.order(order).await {
            Ok(()) => {
                *self.city.lock() = None;
                if let Err(error) = self.disk.remove(Path::new(FILE)) {
                    tracing::warn!(%error, "the takeover's file stays; entering it again is harmless");
                }
            }
            Err(error) => tracing::debug!(%error, "not entered yet"),
        }
    }

    fn keep(&self, held: &mut MutexGuard<'_, Option<Run>>, run: Run) -> Result<(), Problem> {
        let bytes = serde_json::to_vec(&run).unwrap_or_default();
        let written = self.disk.write_whole(Path::new(FILE), &bytes);
        written.map_err(|error| {
            Problem::new(Code::Internal, format!("the run cannot be kept: {error}"))
        })?;
        **held = Some(run);
        Ok(())
    }

    fn note(&self, run: &mut Run, step: Option<&str>, what: &str, note: &str) {
        run.journal.push(JournalLine {
            at: self.clock.wall(),
            step: step.map(str::to_owned),
            what: what.to_owned(),
            note: note.to_owned(),
        });
    }
}

fn epoch_of(run: &Run) -> Option<Epoch> {
    run.plan.steps.iter().find_map(|step| match &step.act {
        Act::TakeOver { epoch, .. } => Some(*epoch),
        _ => None,
    })
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(Code::WrongState, detail)
}
