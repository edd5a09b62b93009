//! The handle: plan, propose, approve, abort.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use guitai_crypto::{sm3, x509};
use guitai_evidence::drill;
use guitai_host::{Clock, Disk, Entropy, random_id};
use guitai_meta::{Meta, WriteError};
use guitai_net::{Calls, Mesh};
use guitai_relay::Relay;
use guitai_types::{
    Epoch, Hex, Member, Problem, RunId, StaffRef, UnixMillis, Voice,
    command::{Command, Reply},
    dr::{Aim, Approval, Kind, Order, Plan, Report, Run},
    lineage::TakeoverOrder,
    live::LaneLive,
    problem::Code,
    profile::Raft,
    record::{Participant, WrappedKey},
};
use tokio::sync::OnceCell;

use crate::{
    PlanError,
    city::City,
    facts,
    lag::Heads,
    live,
    plan::{NO_QUORUM, plan},
    probe::Watched,
    runner,
};

/// What a node tells of itself.
#[derive(Clone)]
pub struct Config {
    /// This node.
    pub member: Member,
    /// The timers consensus runs with.
    pub raft: Raft,
    /// The running binary, whose SM3 goes into every plan.
    pub binary: PathBuf,
    /// The release.
    pub version: &'static str,
    /// Signs reports.
    pub identity: x509::Identity,
    /// The root its certificate leads to, DER.
    pub root: Vec<u8>,
    /// The relay in this process, if it has one: media is probed through it.
    pub relay: Option<Relay>,
    /// Draws a media key and wraps it, as for any call.
    pub wrap: Wrap,
}

/// Draws a media key and wraps it to each participant's public key.
pub type Wrap =
    Arc<dyn Fn(Vec<(Participant, Hex)>) -> Result<Vec<WrappedKey>, Problem> + Send + Sync>;

/// Disaster recovery on one core node. Cheap to clone.
#[derive(Clone)]
pub struct Recovery(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) member: Member,
    pub(crate) raft: Raft,
    binary: PathBuf,
    version: &'static str,
    identity: x509::Identity,
    root: Vec<u8>,
    pub(crate) relay: Option<Relay>,
    pub(crate) wrap: Wrap,
    binary_sm3: OnceCell<Hex>,
    pub(crate) meta: Meta,
    pub(crate) mesh: Mesh,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) city: City,
    heads: Mutex<Heads>,
    watched: Mutex<Option<Watched>>,
}

/// Why nothing was planned, begun or approved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// There is no such plan.
    #[error("no plan")]
    Plan(#[source] PlanError),
    /// The rules refused.
    #[error("refused")]
    Refused(#[source] Problem),
    /// It could not be agreed on.
    #[error("not agreed on")]
    Write(#[source] WriteError),
    /// The plan has no canonical form.
    #[error("the plan cannot be written down")]
    Canonical(#[source] guitai_evidence::canonical::CanonicalError),
    /// The report cannot be signed.
    #[error("the report cannot be signed")]
    Sign(#[source] drill::SignError),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
    /// The officer's signature does not verify.
    #[error("the signature of {officer} does not verify over this run's plan")]
    Signature {
        /// Who.
        officer: StaffRef,
    },
}

impl RecoveryError {
    /// As people should see it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Plan(error) => Problem::new(Code::BadRequest, error.to_string()),
            Self::Refused(problem) => problem.clone(),
            Self::Write(error) => error.problem(),
            Self::Canonical(_) | Self::Sign(_) => Problem::new(Code::Internal, self.to_string()),
            Self::NoRun(_) => Problem::new(Code::NotFound, self.to_string()),
            Self::Signature { .. } => Problem::new(Code::Forbidden, self.to_string()),
        }
    }
}

impl Recovery {
    /// Makes the handle and answers what planners of other nodes ask (`questions`).
    pub fn new(
        config: Config,
        meta: Meta,
        mesh: Mesh,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        questions: &Calls,
    ) -> Self {
        let inner = Arc::new(Inner {
            member: config.member,
            raft: config.raft,
            binary: config.binary,
            version: config.version,
            identity: config.identity,
            root: config.root,
            relay: config.relay,
            wrap: config.wrap,
            binary_sm3: OnceCell::new(),
            meta,
            mesh,
            disk,
            clock,
            entropy,
            city: City::default(),
            heads: Mutex::default(),
            watched: Mutex::default(),
        });
        inner.load_city();
        facts::register(questions, &inner);
        live::register(questions, &inner);
        Self(inner)
    }

    /// Carries out this node's share of every run: holds apart, probes, and as leader goes from step to
    /// step. Runs until it is dropped.
    pub async fn run(self) {
        runner::run(self.0).await;
    }

    /// What would be done now.
    ///
    /// # Errors
    /// When the aim names what is not there.
    pub async fn plan(&self, aim: Aim) -> Result<Plan, RecoveryError> {
        let meta = &self.0.meta;
        let is_here = matches!(&aim, Aim::City { on, .. } if on == &self.0.member.name);
        let refused = async {
            // By the very checks of the takeover itself.
            let order = TakeoverOrder {
                epoch: Some(Epoch(meta.peek(|state| state.epoch()).0 + 1)),
                survivors: Vec::new(),
                reason: "plan".to_owned(),
            };
            let refused = meta.check_takeover(order, String::new()).await.err();
            refused.map(|error| error.to_string())
        };
        // Both wait for the same dead nodes, so at the same time.
        let (mut facts, refused) = if is_here {
            futures::join!(facts::gather(&self.0), refused)
        } else {
            (facts::gather(&self.0).await, None)
        };
        facts.takeover_refused = refused;
        plan(&facts, aim).map_err(RecoveryError::Plan)
    }

    /// Plans and proposes a run. A rehearsal begins at once; a real run waits for its officers.
    ///
    /// # Errors
    /// When a margin is missing, another run is not over, or it could not be agreed on.
    pub async fn propose(
        &self,
        aim: Aim,
        kind: Kind,
        by: StaffRef,
        inject_loss: bool,
    ) -> Result<Run, RecoveryError> {
        let mut plan = self.plan(aim).await?;
        let run = random_id(&*self.0.entropy, RunId::from_random);
        if plan.is_takeover(kind) {
            let hash = drill::plan_hash(&plan).map_err(RecoveryError::Canonical)?;
            let kept = self.0.propose_city(run.clone(), plan, hash, by);
            kept.map_err(RecoveryError::Refused)?;
            return self.find(&run).await;
        }
        if kind == Kind::Rehearsal {
            // What only a real takeover needs would forbid to rehearse one.
            plan.checks.retain(|check| check.id != NO_QUORUM);
        }
        let order = Order::Propose {
            run: run.clone(),
            kind,
            plan_hash: drill::plan_hash(&plan).map_err(RecoveryError::Canonical)?,
            plan: Box::new(plan),
            by,
            inject_loss,
        };
        self.0.order(order).await?;
        self.find(&run).await
    }

    /// An officer's approval, checked against the run it is for.
    ///
    /// # Errors
    /// When the signature does not verify, or the rules refuse it (the same officer, an old plan).
    pub async fn approve(&self, run: &RunId, approval: Approval) -> Result<Run, RecoveryError> {
        let present = self.find(run).await?;
        if !drill::is_signed(&present, &approval) {
            let officer = approval.officer;
            return Err(RecoveryError::Signature { officer });
        }
        if self.is_city(run) {
            let approved = self.0.approve_city(approval);
            approved.map_err(RecoveryError::Refused)?;
            return self.find(run).await;
        }
        let order = Order::Approve {
            run: run.clone(),
            approval,
        };
        self.0.order(order).await?;
        self.find(run).await
    }

    /// Stops a run and has what was done undone.
    ///
    /// # Errors
    /// When it is over, or at a step that cannot be undone.
    pub async fn abort(
        &self,
        run: &RunId,
        by: StaffRef,
        why: String,
    ) -> Result<Run, RecoveryError> {
        if self.is_city(run) {
            let aborted = self.0.abort_city(&format!("{by}: {why}"));
            aborted.map_err(RecoveryError::Refused)?;
            return self.find(run).await;
        }
        let order = Order::Abort {
            run: run.clone(),
            by,
            why,
        };
        self.0.order(order).await?;
        self.find(run).await
    }

    /// A run, read after everything acknowledged before; where no leader answers, as this node knows it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn find(&self, run: &RunId) -> Result<Run, RecoveryError> {
        if let Some(city) = self.0.city.run().filter(|city| &city.id == run) {
            return Ok(city);
        }
        let meta = &self.0.meta;
        let read = meta.read(|state| state.run(run).cloned()).await;
        let found = read.unwrap_or_else(|_| meta.peek(|state| state.run(run).cloned()));
        found.ok_or_else(|| RecoveryError::NoRun(run.clone()))
    }

    /// All runs that are kept, the newest first.
    pub fn runs(&self) -> Vec<Run> {
        let meta = &self.0.meta;
        let agreed = meta.peek(|state| state.runs().rev().cloned().collect::<Vec<_>>());
        self.0.city.run().into_iter().chain(agreed).collect()
    }

    /// Whether the run is the takeover that this node keeps.
    fn is_city(&self, run: &RunId) -> bool {
        self.0.city.run().is_some_and(|city| &city.id == run)
    }

    /// The signed report of a run: what happened, what was measured, and what the cluster holds now of
    /// what was acknowledged. What was there when it was judged is kept with it.
    ///
    /// # Errors
    /// When there is no such run, or this node cannot sign.
    pub async fn report(&self, id: &RunId) -> Result<Report, RecoveryError> {
        self.signed(&self.statement(id).await?)
    }

    fn signed(&self, statement: &drill::Statement) -> Result<Report, RecoveryError> {
        let inner = &self.0;
        drill::sign(statement, &inner.identity, &inner.root).map_err(RecoveryError::Sign)
    }

    async fn statement(&self, id: &RunId) -> Result<drill::Statement, RecoveryError> {
        let run = self.find(id).await?;
        let inner = &self.0;
        let (nodes, present) = inner.meta.peek(|state| {
            let members = state.members();
            let nodes = members.map(|member| drill::Node {
                name: member.name.clone(),
                centre: member.centre.clone(),
                votes: member.voice == Voice::Voter,
            });
            let lanes = run.lanes.iter().filter_map(|report| {
                // A run that was judged has its own count; of one that was not, what is there now.
                let held = report.held.as_ref().or_else(|| state.probed(&report.lane));
                Some(drill::Present {
                    lane: report.lane.clone(),
                    serials: held?.clone(),
                })
            });
            (nodes.collect(), lanes.collect())
        });
        Ok(drill::Statement {
            format: drill::FORMAT.to_owned(),
            made_at: inner.clock.wall(),
            made_by: inner.member.name.clone(),
            version: inner.version.to_owned(),
            nodes,
            present,
            control_at: self.control_at(),
            clauses: drill::clauses(),
            run,
        })
    }

    /// The report as a page to print, with what checking it found. It can be checked offline in the form of
    /// [`Recovery::report`]; the page is for people.
    ///
    /// # Errors
    /// As [`Recovery::report`].
    pub async fn report_page(&self, id: &RunId) -> Result<String, RecoveryError> {
        let statement = self.statement(id).await?;
        let verified = drill::verify(&self.signed(&statement)?, None);
        Ok(drill::page(&statement, &verified))
    }

    /// When a negative control last turned red, as it must.
    pub fn control_at(&self) -> Option<UnixMillis> {
        let meta = &self.0.meta;
        meta.peek(|state| {
            let mut runs = state.runs().rev();
            let red = runs.find(|run| {
                run.inject_loss && run.verdict.as_ref().is_some_and(|verdict| !verdict.green)
            });
            red.map(|run| run.at)
        })
    }
}

impl Inner {
    /// Has an order agreed on.
    pub(crate) async fn order(&self, order: Order) -> Result<(), RecoveryError> {
        match self.meta.write(Command::Dr { order }).await {
            Ok(Reply::Refused { problem }) => Err(RecoveryError::Refused(problem)),
            Ok(_) => Ok(()),
            Err(error) => Err(RecoveryError::Write(error)),
        }
    }

    /// With what the leader's log was when.
    pub(crate) fn heads<T>(&self, with: impl FnOnce(&mut Heads) -> T) -> T {
        // Nothing that can panic runs under it; a poisoned one is as good as before.
        with(&mut self.heads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Which probers can be looked at from now on.
    pub(crate) fn watch(&self, watched: Option<Watched>) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = watched;
    }

    /// What this node's probers see at `now`.
    pub(crate) fn lanes_live(&self, now: Duration) -> Vec<LaneLive> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map_or_else(Vec::new, |it| it.look(now))
    }

    /// SM3 of the running binary, computed once; empty when the file is gone.
    pub(crate) async fn binary(&self) -> Hex {
        let path = self.binary.clone();
        let hash = || async move {
            let hashed = tokio::task::spawn_blocking(move || hash_file(&path)).await;
            hashed.ok().and_then(Result::ok).unwrap_or_default()
        };
        self.binary_sm3.get_or_init(hash).await.clone()
    }
}

fn hash_file(path: &std::path::Path) -> std::io::Result<Hex> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let mut hasher = sm3::Hasher::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut piece)?;
        let Some(data) = piece.get(..read).filter(|data| !data.is_empty()) else {
            return Ok(Hex(hasher.finish().to_vec()));
        };
        hasher.update(data);
    }
}
