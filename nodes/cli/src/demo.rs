//! `guitai demo`: complete calls through the doors that browsers use, each checked to the last byte.
//!
//! A customer at an edge and an agent at an inner node, in one process: they publish real media sealed end
//! to end, watch each other, walk through the business steps, hang up, rate; then the recording is fetched
//! and verified offline. Nothing here has a way in that a browser has not.

mod call;
mod media;
mod parties;
mod proof;
mod report;
mod sample;
mod stage;
mod witness;

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _};
use guitai_host::Clock;
use guitai_types::record::Duty;

pub use self::{
    report::{CallReport, DemoReport, Side, StageFailure},
    witness::{FRAMES_MAX, SealedFrame, Witness, Witnessed},
};
use crate::{Account, Cluster, LoginFile, failure::Failure};

/// What to make calls with.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The doors.
    pub cluster: Cluster,
    /// Agents, and somebody who may fetch evidence.
    pub logins: LoginFile,
    /// SM3 fingerprint of the root that evidence must lead to, if known.
    pub expected_root: Option<[u8; 32]>,
    /// Where packages stay; without it they are removed after the check.
    pub keep_package: Option<PathBuf>,
    /// How long both sides talk once the recording runs.
    pub talk: Duration,
    /// Who looks over the shoulder of both sides; nobody unless a test does.
    pub witness: Option<Witness>,
}

/// Unless somebody says otherwise: several segments of at most 2 s.
const TALK: Duration = Duration::from_secs(4);

impl Setting {
    /// Reads what `guitai up` wrote to its data directory.
    pub fn read(data: &Path, keep_package: Option<PathBuf>) -> Result<Self, Failure> {
        let unreadable = |error: &dyn std::error::Error| {
            Failure::usage(
                crate::failure::chain(error),
                "用 --data 指定 guitai up 的数据目录",
                "Name the data directory of guitai up by --data",
            )
        };
        let cluster = Cluster::read(data).map_err(|error| unreadable(&error))?;
        let logins = cluster
            .read_logins(data)
            .map_err(|error| unreadable(&error))?;
        let logins = logins.ok_or_else(|| {
            Failure::usage(
                "the cluster has no login file",
                "演示只用于 guitai up 建立的集群",
                "Demo calls are for clusters made by guitai up",
            )
        })?;
        let root = data.join("pki").join("root.pem");
        let expected_root = if root.is_file() {
            Some(crate::evidence::read_root(&root)?)
        } else {
            None
        };
        Ok(Self {
            cluster,
            logins,
            expected_root,
            keep_package,
            talk: TALK,
            witness: None,
        })
    }

    fn agents(&self) -> Vec<&Account> {
        let agents = self.logins.accounts.iter();
        agents
            .filter(|account| account.duties.contains(&Duty::Agent))
            .collect()
    }

    /// Who fetches the evidence of an institution.
    fn auditor(&self, agent: &Account) -> Option<&Account> {
        self.logins.accounts.iter().find(|account| {
            account.institution == agent.institution
                && (account.duties.contains(&Duty::Operator)
                    || account.duties.contains(&Duty::Auditor))
        })
    }
}

/// Makes `calls` calls, `at_once` of them at a time, over the doors and agents in turn.
pub async fn run(
    setting: &Setting,
    calls: u16,
    at_once: u16,
    clock: &dyn Clock,
) -> Result<DemoReport, Failure> {
    let nothing = |what: &str| {
        Failure::usage(
            format!("the cluster names no {what}"),
            "演示只用于 guitai up 建立的集群",
            "Demo calls are for clusters made by guitai up",
        )
    };
    let agents = setting.agents();
    let (edges, cores) = (&setting.cluster.edges, &setting.cluster.cores);
    if edges.is_empty() {
        return Err(nothing("edge"));
    }
    if cores.is_empty() {
        return Err(nothing("inner node"));
    }
    if agents.is_empty() {
        return Err(nothing("agent"));
    }
    if agents.len() < usize::from(at_once) {
        return Err(Failure::usage(
            format!("{at_once} calls at once, and {} agents", agents.len()),
            "同时通话数不得超过坐席数;在部署配置中增加坐席",
            "No more calls at once than agents; name more of them in the profile",
        ));
    }
    let samples = sample::Samples::load(setting.talk)?;
    let free = Mutex::new(agents.iter().rev().copied().collect::<Vec<_>>());
    let ringing = tokio::sync::Mutex::new(());
    let call = |number: usize| {
        let (samples, free, ringing) = (&samples, &free, &ringing);
        async move {
            // As many calls as agents at the most: one is always free.
            let agent = lock(free).pop().ok_or_else(|| nothing("free agent"))?;
            let turn = |length: usize| number % length;
            let (Some(edge), Some(core)) =
                (edges.get(turn(edges.len())), cores.get(turn(cores.len())))
            else {
                return Err(nothing("door"));
            };
            let auditor = setting.auditor(agent);
            let plan = call::Plan {
                number: number + 1,
                edge,
                core,
                agent,
                auditor: auditor.ok_or_else(|| nothing("operator or auditor"))?,
                setting,
                ringing,
            };
            let report = call::make(&plan, samples, clock).await;
            lock(free).insert(0, agent);
            Ok(report)
        }
    };
    let calls = futures::stream::iter((0..usize::from(calls)).map(call));
    let calls = calls.buffered(usize::from(at_once));
    let reports: Vec<CallReport> = calls.try_collect().await?;
    Ok(DemoReport::new(reports))
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
