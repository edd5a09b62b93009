//! Each node's share of a run. Every node looks at the replicated state many times a second: what is to
//! be held apart it holds apart, a prober probes, and the leader carries out the present step and says
//! how it went. Nothing is remembered here that the next leader would need.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use guitai_net::Apart;
use guitai_types::{
    CentreId, Member, NodeId, NodeName, Role, RunId, Voice,
    dr::{Act, Aim, Cut, Kind, LaneReport, Order, Run, RunState, Step, StepOutcome},
};

use crate::{
    apart::apart,
    lag::Heads,
    plan::probers,
    probe::Probers,
    recovery::{Inner, RecoveryError},
};

/// Pause between two looks, in milliseconds.
const LOOK_MS: u64 = 50;
/// How long the judge waits for probers that are heard to report, in milliseconds.
const REPORTS_MS: u64 = 8_000;
/// A hand-over that did not happen is asked for again after this, in milliseconds.
const HAND_OVER_AGAIN_MS: u64 = 2_000;

pub(crate) async fn run(inner: Arc<Inner>) {
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut runner = Runner {
        inner,
        holding: None,
        probing: None,
        leading: None,
    };
    loop {
        look.tick().await;
        runner.hold();
        runner.inner.drive_city().await;
        runner.probe().await;
        runner.lead().await;
    }
}

struct Runner {
    inner: Arc<Inner>,
    holding: Option<Holding>,
    probing: Option<Probing>,
    leading: Option<Leading>,
}

/// Something is held apart here since, until.
struct Holding {
    run: RunId,
    step: usize,
    until: Duration,
    over: bool,
}

struct Probing {
    run: RunId,
    probers: Option<Probers>,
    /// Reports that the leader has not taken yet.
    reports: Vec<LaneReport>,
}

/// What the leader must know of the run; the rest of it is not copied many times a second.
struct Present {
    id: RunId,
    kind: Kind,
    state: RunState,
    aim: Aim,
    step: Option<Step>,
    /// Nodes whose probers have reported.
    reported: BTreeSet<NodeName>,
}

impl Present {
    fn of(run: &Run) -> Self {
        let step = match run.state {
            RunState::Running { step, .. } | RunState::Undoing { step, .. } => Some(step),
            _ => None,
        };
        let lanes = run.lanes.iter();
        Self {
            id: run.id.clone(),
            kind: run.kind,
            state: run.state.clone(),
            aim: run.plan.aim.clone(),
            step: step.and_then(|step| run.plan.steps.get(step).cloned()),
            reported: lanes.map(|it| it.lane.node.clone()).collect(),
        }
    }
}

/// The step this node, leading, works at.
struct Leading {
    run: RunId,
    state: RunState,
    since: Duration,
    asked: Option<Duration>,
}

impl Runner {
    /// Drops what a drill says is not heard. The end comes by this node's own clock, so that a node
    /// that hears nobody comes back too.
    fn hold(&mut self) {
        let now = self.inner.clock.monotonic();
        if let Some(holding) = &mut self.holding
            && !holding.over
            && now >= holding.until
        {
            holding.over = true;
            self.inner.mesh.hold_apart(Apart::default());
            tracing::info!(run = %holding.run, "held apart no longer");
        }
        let meta = &self.inner.meta;
        let ordered = meta.peek(|state| {
            let (run, cut, ms) = state.held_apart()?;
            let RunState::Running { step, .. } = run.state else {
                return None;
            };
            let members: Vec<Member> = state.members().cloned().collect();
            Some((run.id.clone(), step, cut.clone(), ms, members))
        });
        match ordered {
            Some((run, step, cut, ms, members)) => {
                let same = |holding: &Holding| holding.run == run && holding.step == step;
                if self.holding.as_ref().is_some_and(same) {
                    return;
                }
                tracing::warn!(%run, ?cut, ms, "a drill holds nodes apart");
                let apart = apart(&cut, &self.inner.member, &members);
                self.inner.mesh.hold_apart(apart);
                let until = now + Duration::from_millis(ms);
                self.holding = Some(Holding {
                    run,
                    step,
                    until,
                    over: false,
                });
            }
            // Aborted, or over: whoever still hears of it need not wait.
            None => {
                if let Some(holding) = self.holding.take()
                    && !holding.over
                {
                    self.inner.mesh.hold_apart(Apart::default());
                }
            }
        }
    }

    async fn probe(&mut self) {
        let run = self.inner.meta.peek(|state| {
            let run = state.run_under_way()?;
            let members: Vec<Member> = state.members().cloned().collect();
            let mine = probers(&members, &run.plan.aim);
            let probes = mine.get(&self.inner.member.centre) == Some(&self.inner.member.name);
            probes.then(|| (run.id.clone(), run.plan.aim.clone(), is_judged(run)))
        });
        let Some((run, aim, judged)) = run else {
            self.probing = None;
            self.inner.watch(None);
            return;
        };
        if self.probing.as_ref().is_none_or(|it| it.run != run) {
            let probers = Probers::begin(&self.inner, &run, &aim);
            let centre = &self.inner.member.centre;
            self.inner.watch(Some(probers.watched(&run, centre)));
            self.probing = Some(Probing {
                run: run.clone(),
                probers: Some(probers),
                reports: Vec::new(),
            });
        }
        let Some(probing) = self.probing.as_mut().filter(|_| judged) else {
            return;
        };
        if let Some(probers) = probing.probers.take() {
            self.inner.watch(None);
            probing.reports = probers.end(&self.inner).await;
        }
        if !probing.reports.is_empty() {
            let lanes = probing.reports.clone();
            match self.inner.order(Order::Measured { run, lanes }).await {
                // Refused: it is over, or too much; asking again changes nothing.
                Ok(()) | Err(RecoveryError::Refused(_)) => probing.reports.clear(),
                Err(error) => tracing::warn!(%error, "probes are not reported yet"),
            }
        }
    }

    /// The leader's share.
    async fn lead(&mut self) {
        let inner = &self.inner;
        let status = inner.meta.status();
        if status.leader != Some(inner.member.id) {
            self.leading = None;
            inner.heads(Heads::forget);
            return;
        }
        let newest = status.matched.values().copied().max().unwrap_or(0);
        let newest = newest.max(status.applied);
        inner.heads(|heads| heads.note(inner.clock.monotonic(), newest));
        let run = inner
            .meta
            .peek(|state| state.run_under_way().map(Present::of));
        let Some(run) = run else {
            self.leading = None;
            return;
        };
        let now = inner.clock.monotonic();
        let same = |it: &Leading| it.run == run.id && it.state == run.state;
        if !self.leading.as_ref().is_some_and(same) {
            self.leading = Some(Leading {
                run: run.id.clone(),
                state: run.state.clone(),
                since: now,
                asked: None,
            });
        }
        let Some(leading) = &mut self.leading else {
            return;
        };
        let at = Attempt {
            inner,
            run: &run,
            age_ms: u64::try_from((now - leading.since).as_millis()).unwrap_or(u64::MAX),
        };
        let outcome = match run.state {
            RunState::Running { step, .. } => at.step(leading, now).await.map(|it| (step, it)),
            RunState::AbortPoint { step, until } => {
                let over = inner.clock.wall() >= until;
                over.then(|| (step, done("the abort point is over")))
            }
            RunState::Undoing { step, .. } => at.undo().await.map(|it| (step, it)),
            RunState::Proposed | RunState::Aborted { .. } | RunState::Done => None,
        };
        if let Some((step, outcome)) = outcome {
            let run = run.id;
            let order = Order::Advance { run, step, outcome };
            if let Err(error) = inner.order(order).await {
                tracing::debug!(%error, "the step was not closed; the next look tries again");
            }
        }
    }
}

/// One look at the present step, as leader.
struct Attempt<'a> {
    inner: &'a Inner,
    run: &'a Present,
    age_ms: u64,
}

impl Attempt<'_> {
    /// `None` while it is not over.
    async fn step(&self, leading: &mut Leading, now: Duration) -> Option<StepOutcome> {
        let step = self.run.step.as_ref()?;
        let is_real = self.run.kind == Kind::Real;
        let outcome = match &step.act {
            Act::Measure { ms } => (self.age_ms >= *ms).then(|| done("measured")),
            Act::Isolate { .. } if !is_real => Some(done("rehearsed: nothing was held apart")),
            Act::Isolate { cut, ms } => (self.age_ms >= *ms).then(|| done(&held(cut, *ms))),
            Act::Prefer { .. } => Some(done("agreed on")),
            Act::Voices { .. } if !is_real => Some(done("rehearsed: nobody's voice was changed")),
            Act::Voices { voices, .. } => self.inner.change_voices(voices).await,
            Act::Lead { .. } if !is_real => Some(done("rehearsed: leadership stayed")),
            Act::Lead { centre } => self.hand_over(centre, leading, now).await,
            Act::Settle => self.settled(),
            Act::Judge => self.reported(),
            Act::TakeOver { on, .. } if !is_real => {
                Some(done(&format!("rehearsed: {on} did not take over")))
            }
            Act::TakeOver { .. } => Some(failed(
                "a takeover is carried out where no quorum is; this cluster has one",
            )),
        };
        outcome.or_else(|| self.too_late(step))
    }

    fn too_late(&self, step: &Step) -> Option<StepOutcome> {
        let ms = step.within_ms;
        (self.age_ms > ms).then(|| failed(&format!("not done within {ms} ms")))
    }

    /// Steps are undone as far as the leader must act; what the state did, the rules undid.
    async fn undo(&self) -> Option<StepOutcome> {
        let step = self.run.step.as_ref()?;
        match &step.act {
            Act::Voices { before, .. } if self.run.kind == Kind::Real => {
                let changed = self.inner.change_voices(before).await;
                changed.or_else(|| self.too_late(step))
            }
            Act::Lead { .. } => Some(done("leadership returns by preference")),
            _ => Some(done("nothing to undo")),
        }
    }

    async fn hand_over(
        &self,
        centre: &CentreId,
        leading: &mut Leading,
        now: Duration,
    ) -> Option<StepOutcome> {
        if &self.inner.member.centre == centre {
            return Some(done(&format!("{} leads", self.inner.member.name)));
        }
        let again = Duration::from_millis(HAND_OVER_AGAIN_MS);
        if leading.asked.is_none_or(|asked| now >= asked + again) {
            leading.asked = Some(now);
            if let Err(why) = self.inner.meta.hand_over_to(centre).await {
                tracing::warn!(%centre, %why, "leadership was not handed over yet");
            }
        }
        None
    }

    fn settled(&self) -> Option<StepOutcome> {
        let cores = self.inner.cores();
        let status = self.inner.meta.status();
        let is_back = |id: &NodeId| *id == self.inner.member.id || status.is_ready(*id);
        cores
            .iter()
            .all(|member| is_back(&member.id))
            .then(|| done(&format!("{} core nodes heard and caught up", cores.len())))
    }

    fn reported(&self) -> Option<StepOutcome> {
        let asked = probers(&self.inner.members(), &self.run.aim);
        let missing: Vec<&str> = asked
            .values()
            .filter(|node| !self.run.reported.contains(*node))
            .map(|node| node.as_str())
            .collect();
        if missing.is_empty() {
            return Some(done(&format!("{} probers reported", asked.len())));
        }
        let late = self.age_ms >= REPORTS_MS;
        late.then(|| done(&format!("without the report of {}", missing.join(" "))))
    }
}

impl Inner {
    /// `None` when it was not agreed on: the lead may have moved in the middle, or a node lagged for a
    /// moment. Asked for again it changes only what is not so yet; the step's own time ends that.
    async fn change_voices(&self, voices: &BTreeMap<NodeName, Voice>) -> Option<StepOutcome> {
        let members = self.members().into_iter();
        let named = members.filter_map(|it| Some((it.id, *voices.get(&it.name)?)));
        match self.meta.set_voices(&named.collect()).await {
            Ok(()) => Some(done(&format!("{} voices changed", voices.len()))),
            Err(error) => {
                tracing::warn!(%error, "who votes was not changed yet");
                None
            }
        }
    }

    fn members(&self) -> Vec<Member> {
        self.meta.peek(|state| state.members().cloned().collect())
    }

    fn cores(&self) -> Vec<Member> {
        let mut members = self.members();
        members.retain(|member| member.has(Role::Core));
        members
    }
}

fn is_judged(run: &Run) -> bool {
    let RunState::Running { step, .. } = run.state else {
        return false;
    };
    let step = run.plan.steps.get(step);
    step.is_some_and(|step| step.act == Act::Judge)
}

fn held(cut: &Cut, ms: u64) -> String {
    match cut {
        Cut::Node { node } => format!("{node} was held apart for {ms} ms"),
        Cut::Centre { centre } => format!("{centre} was held apart for {ms} ms"),
        Cut::Link { from, to, .. } => format!("{from} and {to} were held apart for {ms} ms"),
    }
}

fn done(note: &str) -> StepOutcome {
    StepOutcome::Done {
        note: note.to_owned(),
    }
}

fn failed(why: &str) -> StepOutcome {
    StepOutcome::Failed {
        why: why.to_owned(),
    }
}
