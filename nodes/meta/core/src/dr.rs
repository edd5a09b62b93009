//! Disaster recovery runs: who may begin one, what comes next, and which acknowledged serials are
//! there. Carrying out a step is the leader's driver's; it says how it went and the rules here say what
//! follows. The state holds the run, so it goes on under the next leader.

use guitai_types::{
    CentreId, Problem, RunId, UnixMillis,
    command::Reply,
    dr::{
        ABORT_POINT_MS, APPROVAL_LIFE_MS, Act, Approval, CHECKS_MAX, Cut, HOLD_MS, INJECTED_SERIAL,
        JOURNAL_MAX, JournalLine, Kind, LANES_MAX, Lane, LaneReport, OFFICERS_NEEDED, Order,
        PLAN_VERSION, Plan, RUNS_KEPT, Run, RunState, SERIAL_RANGES_MAX, STEPS_MAX, Serials,
        Service, StepOutcome, Verdict,
    },
    event::Change,
    problem::Code,
    record::{Duty, Staff},
    tlog::Record,
};

use crate::{RecordKey, State, apply::Turn, check};

/// Lost serials named in a verdict; the count is exact.
const LOST_NAMED_MAX: usize = 20;

impl State {
    /// Runs, the newest last.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// A run.
    pub fn run(&self, id: &RunId) -> Option<&Run> {
        self.runs.values().find(|run| &run.id == id)
    }

    /// The run that is not over, if there is one; there is never more than one.
    pub fn run_open(&self) -> Option<&Run> {
        self.runs.values().rev().find(|run| !run.state.is_over())
    }

    /// The run whose probes are to go, with its present step.
    pub fn run_under_way(&self) -> Option<&Run> {
        self.run_open()
            .filter(|run| !matches!(run.state, RunState::Proposed))
    }

    /// What is to be held apart now, and for how long since the step began, in milliseconds.
    pub fn held_apart(&self) -> Option<(&Run, &Cut, u64)> {
        let run = self.run_open()?;
        let RunState::Running { step, .. } = run.state else {
            return None;
        };
        match (&run.plan.steps.get(step)?.act, run.kind) {
            (Act::Isolate { cut, ms }, Kind::Real) => Some((run, cut, *ms)),
            _ => None,
        }
    }

    /// The centre that should lead, if a run has said so; else it is as the profile says.
    pub fn preferred(&self) -> Option<&CentreId> {
        self.head.preferred.as_ref()
    }

    /// Serials that a prober left in the present run.
    pub fn probed(&self, lane: &Lane) -> Option<&Serials> {
        self.probes.get(lane)
    }
}

impl Turn<'_> {
    pub(crate) fn dr(&mut self, order: &Order) -> Result<Reply, Problem> {
        match order {
            Order::Propose { .. } => self.propose(order)?,
            Order::Approve { run, approval } => self.approve(run, approval)?,
            Order::Advance { run, step, outcome } => self.advance(run, *step, outcome)?,
            Order::Abort { run, by, why } => {
                check::note("why", why)?;
                self.abort(run, &format!("{by}: {why}"))?;
            }
            Order::Measured { run, lanes } => self.measured(run, lanes)?,
            Order::Enter { run } => self.enter(run)?,
        }
        Ok(Reply::Done)
    }

    /// A serial of a running prober. The negative control acknowledges one and forgets it.
    pub(crate) fn probe(&mut self, lane: &Lane, serial: u64) -> Result<Reply, Problem> {
        let run = self.state.run_under_way();
        let run = run.ok_or_else(|| check::wrong("no run is under way, so nobody probes"))?;
        let forget = run.inject_loss && serial == INJECTED_SERIAL && lane.service == Service::Log;
        if !self.state.probes.contains_key(lane) {
            let present = self.state.probes.len();
            check::room("probe lanes", present, "LANES_MAX", LANES_MAX)?;
        }
        let serials = self.state.probes.entry(lane.clone()).or_default();
        if serials.0.len() >= SERIAL_RANGES_MAX {
            let detail = format!("{lane}: the limit SERIAL_RANGES_MAX is {SERIAL_RANGES_MAX}");
            return Err(Problem::new(Code::TooMany, detail));
        }
        if !forget {
            serials.insert(serial);
        }
        self.changed(RecordKey::Probe(lane.clone()));
        Ok(Reply::Done)
    }

    fn propose(&mut self, order: &Order) -> Result<(), Problem> {
        let Order::Propose {
            run: id,
            kind,
            plan,
            plan_hash,
            by,
            inject_loss,
        } = order
        else {
            return Err(check::bad("not a proposal"));
        };
        if let Some(open) = self.state.run_open() {
            let detail = format!("run {} is not over; abort it first", open.id);
            return Err(check::wrong(detail));
        }
        self.check_plan(plan)?;
        if self.state.run(id).is_some() {
            return Err(check::wrong("a run with that id is there"));
        }
        let mut run = Run {
            id: id.clone(),
            kind: *kind,
            plan: (**plan).clone(),
            plan_hash: plan_hash.clone(),
            by: by.clone(),
            at: self.now,
            inject_loss: *inject_loss,
            approvals: Vec::new(),
            state: RunState::Proposed,
            journal: Vec::new(),
            lanes: Vec::new(),
            verdict: None,
            proof: None,
        };
        self.log_run(&run, None, "plan", &run.plan_hash.to_string());
        self.note_run(&mut run, None, "proposed", &format!("{by}, {kind}"));
        self.state.head.runs += 1;
        if *kind == Kind::Rehearsal {
            self.begin_run(&mut run);
        }
        self.put_run(self.state.head.runs, run);
        self.trim_runs();
        Ok(())
    }

    fn check_plan(&self, plan: &Plan) -> Result<(), Problem> {
        if plan.v != PLAN_VERSION {
            return Err(check::bad(format!("a plan of version {}", plan.v)));
        }
        if Some(&plan.cluster) != self.state.cluster() {
            return Err(check::wrong("the plan is of another cluster"));
        }
        if plan.epoch != self.state.epoch() {
            let (found, present) = (plan.epoch.0, self.state.epoch().0);
            let detail = format!("the plan is of epoch {found}, present is {present}");
            return Err(check::wrong(detail));
        }
        if self.now.since(plan.made_at) > APPROVAL_LIFE_MS {
            let detail = format!("the plan is older than APPROVAL_LIFE_MS, {APPROVAL_LIFE_MS} ms");
            return Err(check::wrong(detail));
        }
        check::at_most("steps", plan.steps.len(), "STEPS_MAX", STEPS_MAX)?;
        check::at_most("checks", plan.checks.len(), "CHECKS_MAX", CHECKS_MAX)?;
        if plan.steps.is_empty() {
            return Err(check::bad("the plan has no steps"));
        }
        for step in &plan.steps {
            if let Act::Isolate { ms, .. } = step.act
                && !HOLD_MS.contains(&ms)
            {
                let detail = format!("{ms} ms held apart; HOLD_MS is {HOLD_MS:?}");
                return Err(check::bad(detail));
            }
        }
        match plan.missing().next() {
            None => Ok(()),
            Some(missing) => {
                let detail = format!(
                    "margin {} is missing: found {}, needed {}",
                    missing.id, missing.found, missing.need
                );
                Err(check::wrong(detail))
            }
        }
    }

    fn approve(&mut self, id: &RunId, approval: &Approval) -> Result<(), Problem> {
        let (number, mut run) = self.open_run(id)?;
        let officer = &approval.officer;
        may_approve(&run, self.state.staff.get(officer), approval, self.now)?;
        run.approvals.push(approval.clone());
        self.note_run(&mut run, None, "approved", &officer.to_string());
        if run.approvals.len() >= OFFICERS_NEEDED {
            self.begin_run(&mut run);
        }
        self.put_run(number, run);
        Ok(())
    }

    fn begin_run(&mut self, run: &mut Run) {
        for lane in std::mem::take(&mut self.state.probes).into_keys() {
            self.changed(RecordKey::Probe(lane));
        }
        self.forget_canaries();
        self.enter_step(run, 0);
    }

    /// Goes to a step, by way of the abort point where it cannot be undone.
    fn enter_step(&mut self, run: &mut Run, step: usize) {
        let Some(next) = run.plan.steps.get(step).cloned() else {
            let verdict = self.judge(run);
            let what = if verdict.green { "green" } else { "red" };
            self.note_run(run, None, "judged", what);
            run.verdict = Some(verdict);
            run.state = RunState::Done;
            return;
        };
        let waits = next.irreversible
            && run.kind == Kind::Real
            && !matches!(run.state, RunState::AbortPoint { .. });
        if waits {
            let until = self.now.plus(ABORT_POINT_MS);
            self.note_run(run, Some(&next.id), "abort-point", &until.to_string());
            run.state = RunState::AbortPoint { step, until };
            return;
        }
        self.note_run(run, Some(&next.id), "begun", "");
        run.state = RunState::Running {
            step,
            since: self.now,
        };
        // What only the state can do happens at once; the driver does the rest.
        if run.kind == Kind::Real
            && let Act::Prefer { centre } = next.act
        {
            self.state.head.preferred = centre;
        }
    }

    fn advance(&mut self, id: &RunId, at: usize, outcome: &StepOutcome) -> Result<(), Problem> {
        let (number, mut run) = self.open_run(id)?;
        let name = run.plan.steps.get(at).map(|step| step.id.clone());
        let stale = || check::wrong(format!("the run is not at step {at}"));
        match (&run.state, outcome) {
            (RunState::Running { step, .. }, StepOutcome::Done { note }) if *step == at => {
                self.note_run(&mut run, name.as_deref(), "done", note);
                self.enter_step(&mut run, at + 1);
            }
            (RunState::Running { step, .. }, StepOutcome::Failed { why }) if *step == at => {
                self.note_run(&mut run, name.as_deref(), "failed", why);
                self.undo_from(&mut run, at, why);
            }
            (RunState::AbortPoint { step, until }, StepOutcome::Done { .. }) if *step == at => {
                if self.now < *until {
                    return Err(check::wrong("the abort point is not over"));
                }
                self.enter_step(&mut run, at);
            }
            (RunState::Undoing { step, why }, _) if *step == at => {
                let (why, note) = (why.clone(), outcome_text(outcome));
                self.note_run(&mut run, name.as_deref(), "undone", &note);
                match at.checked_sub(1) {
                    Some(before) => self.undo_from(&mut run, before, &why),
                    None => run.state = RunState::Aborted { why },
                }
            }
            _ => return Err(stale()),
        }
        self.put_run(number, run);
        Ok(())
    }

    fn abort(&mut self, id: &RunId, why: &str) -> Result<(), Problem> {
        let (number, mut run) = self.open_run(id)?;
        self.note_run(&mut run, None, "abort", why);
        match run.state {
            RunState::Proposed => {
                let why = why.to_owned();
                run.state = RunState::Aborted { why };
            }
            RunState::Running { step, .. } => {
                if run
                    .plan
                    .steps
                    .get(step)
                    .is_some_and(|step| step.irreversible)
                {
                    return Err(check::wrong("this step cannot be undone; wait for its end"));
                }
                self.undo_from(&mut run, step, why);
            }
            RunState::AbortPoint { step, .. } => match step.checked_sub(1) {
                Some(before) => self.undo_from(&mut run, before, why),
                None => {
                    let why = why.to_owned();
                    run.state = RunState::Aborted { why };
                }
            },
            RunState::Undoing { .. } | RunState::Aborted { .. } | RunState::Done => {
                return Err(check::wrong("the run is being undone or over"));
            }
        }
        self.put_run(number, run);
        Ok(())
    }

    /// Undoes a step that was begun: what the state did at once, the rest by the driver.
    fn undo_from(&mut self, run: &mut Run, step: usize, why: &str) {
        let act = run.plan.steps.get(step).map(|step| &step.act);
        if run.kind == Kind::Real && matches!(act, Some(Act::Prefer { .. })) {
            self.state.head.preferred = None;
        }
        run.state = RunState::Undoing {
            step,
            why: why.to_owned(),
        };
    }

    fn measured(&mut self, id: &RunId, lanes: &[LaneReport]) -> Result<(), Problem> {
        let (number, mut run) = self.open_run(id)?;
        for report in lanes {
            let ranges = report.serials.0.len();
            check::at_most(
                "ranges of serials",
                ranges,
                "SERIAL_RANGES_MAX",
                SERIAL_RANGES_MAX,
            )?;
            run.lanes.retain(|present| present.lane != report.lane);
            check::room("probe lanes", run.lanes.len(), "LANES_MAX", LANES_MAX)?;
            run.lanes.push(report.clone());
        }
        run.lanes.sort_by(|a, b| a.lane.cmp(&b.lane));
        if let Some(first) = lanes.first() {
            self.note_run(&mut run, None, "measured", first.lane.node.as_str());
        }
        self.put_run(number, run);
        Ok(())
    }

    /// Compares what was acknowledged with what is there, and keeps what is there with the run: the next
    /// run begins anew, and this one must still be counted by a stranger.
    fn judge(&self, run: &mut Run) -> Verdict {
        let mut verdict = Verdict {
            acked: 0,
            lost: 0,
            lost_first: Vec::new(),
            rto_ms: std::collections::BTreeMap::new(),
            green: false,
        };
        for report in &mut run.lanes {
            // What a prober wrote here is here; of what it left elsewhere, it says what it found again.
            if matches!(report.lane.service, Service::Log | Service::Queue) {
                let present = self.state.probes.get(&report.lane);
                report.held = Some(present.cloned().unwrap_or_default());
            }
        }
        let none = Serials::default();
        let mut still_out = false;
        for report in &run.lanes {
            if report.lane.service.is_counted() {
                let present = report.held.as_ref().unwrap_or(&none);
                let lost = report.serials.missing_in(present, usize::MAX);
                verdict.acked += report.serials.count();
                verdict.lost += lost.len() as u64;
                let named = lost
                    .iter()
                    .map(|serial| format!("{}:{serial}", report.lane));
                verdict.lost_first.extend(named);
            }
            if !self.was_apart(run, report) {
                let rto = verdict.rto_ms.entry(report.lane.service).or_default();
                *rto = report.gap_ms.max(*rto);
                still_out |= !report.answered_at_the_end();
            }
        }
        verdict.lost_first.truncate(LOST_NAMED_MAX);
        let measured = verdict.acked > 0 && !verdict.rto_ms.is_empty();
        verdict.green = verdict.lost == 0 && measured && !still_out;
        verdict
    }

    /// Whether the prober stood where the drill let nobody speak: its silence is no outage.
    fn was_apart(&self, run: &Run, report: &LaneReport) -> bool {
        run.kind == Kind::Real
            && run.plan.steps.iter().any(|step| match &step.act {
                Act::Isolate { cut, .. } => match cut {
                    Cut::Node { node } => node == &report.lane.node,
                    Cut::Centre { centre } => centre == &report.centre,
                    Cut::Link { .. } => false,
                },
                _ => false,
            })
    }

    /// A takeover went on without a quorum; its story is entered afterwards, once.
    fn enter(&mut self, run: &Run) -> Result<(), Problem> {
        if self.state.run(&run.id).is_some() {
            return Ok(());
        }
        check::at_most("steps", run.plan.steps.len(), "STEPS_MAX", STEPS_MAX)?;
        check::at_most("journal", run.journal.len(), "JOURNAL_MAX", JOURNAL_MAX)?;
        if run.approvals.len() < OFFICERS_NEEDED {
            return Err(check::bad("a takeover without its approvals"));
        }
        // Whatever was open belongs to a city that is gone.
        let open = self.state.run_open().map(|open| open.id.clone());
        if let Some(open) = open {
            let (number, mut open) = self.open_run(&open)?;
            open.state = RunState::Aborted {
                why: format!("the takeover {} came between", run.id),
            };
            self.put_run(number, open);
        }
        self.log_run(run, None, "plan", &run.plan_hash.to_string());
        self.log_run(run, None, "entered", &run.by.to_string());
        self.state.head.runs += 1;
        self.put_run(self.state.head.runs, run.clone());
        self.trim_runs();
        Ok(())
    }

    fn open_run(&self, id: &RunId) -> Result<(u64, Run), Problem> {
        let found = self.state.runs.iter().find(|(_, run)| &run.id == id);
        let (number, run) = found.ok_or_else(|| check::missing("run"))?;
        if run.state.is_over() {
            return Err(check::wrong("the run is over"));
        }
        Ok((*number, run.clone()))
    }

    fn note_run(&mut self, run: &mut Run, step: Option<&str>, what: &str, note: &str) {
        self.log_run(run, step, what, note);
        if run.journal.len() < JOURNAL_MAX {
            run.journal.push(JournalLine {
                at: self.now,
                step: step.map(str::to_owned),
                what: what.to_owned(),
                note: note.to_owned(),
            });
        }
    }

    fn log_run(&mut self, run: &Run, step: Option<&str>, what: &str, note: &str) {
        self.log(Record::Dr {
            run: run.id.clone(),
            step: step.map(str::to_owned),
            what: what.to_owned(),
            note: note.to_owned(),
        });
    }

    fn put_run(&mut self, number: u64, run: Run) {
        if run.state.is_over() {
            self.forget_canaries();
        }
        self.emit(
            None,
            Change::Dr {
                run: run.id.clone(),
            },
        );
        self.changed(RecordKey::Dr(number));
        self.state.runs.insert(number, run);
    }

    fn trim_runs(&mut self) {
        while self.state.runs.len() > RUNS_KEPT {
            let Some((number, _)) = self.state.runs.pop_first() else {
                break;
            };
            self.changed(RecordKey::Dr(number));
        }
    }
}

/// Whether an approval may be added to a run: of the officer's own account and key, not twice, not of a
/// plan that has grown old; for a takeover with the time since when the lost city is off. Its signature
/// is another question (`guitai_evidence::drill::is_signed`).
///
/// # Errors
/// When it may not, with the reason.
pub fn may_approve(
    run: &Run,
    account: Option<&Staff>,
    approval: &Approval,
    now: UnixMillis,
) -> Result<(), Problem> {
    if run.state != RunState::Proposed {
        return Err(check::wrong("the run does not wait for approvals"));
    }
    let officer = &approval.officer;
    let account = account.ok_or_else(|| check::missing("officer"))?;
    if !account.duties.contains(&Duty::Officer) {
        let detail = format!("{officer} is no officer");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    if account.approval_key.as_ref() != Some(&approval.key) {
        let detail = format!("that is not the key {officer} registered");
        return Err(Problem::new(Code::Forbidden, detail));
    }
    let present = &run.approvals;
    if present.iter().any(|it| &it.officer == officer) {
        let detail = format!("{officer} has approved; another officer must");
        return Err(check::wrong(detail));
    }
    if present.iter().any(|it| it.key == approval.key) {
        return Err(check::wrong("that key has approved; another officer must"));
    }
    let age = now.since(run.plan.made_at.min(approval.at));
    if age > APPROVAL_LIFE_MS {
        let detail =
            format!("plan or approval is {age} ms old, APPROVAL_LIFE_MS is {APPROVAL_LIFE_MS}");
        return Err(check::wrong(detail));
    }
    if run.plan.is_takeover(run.kind) && approval.off_since.is_none() {
        return Err(check::bad(
            "say since when the lost city is off (--off-since): it must be powered or cut off, or two \
             cities would serve",
        ));
    }
    Ok(())
}

fn outcome_text(outcome: &StepOutcome) -> String {
    match outcome {
        StepOutcome::Done { note } => note.clone(),
        StepOutcome::Failed { why } => format!("not undone: {why}"),
    }
}
