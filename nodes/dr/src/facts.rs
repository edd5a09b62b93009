//! How the cluster is now, gathered for the planner: what consensus says, what each node answers about
//! itself, how long the lines take.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use guitai_net::{Calls, Mesh, Target};
use guitai_types::{
    Centre, City, ClusterId, Epoch, Hex, Member, NodeId, NodeName, Role, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::recovery::Inner;

/// Name of the question.
const KIND: &str = "dr.vitals";
/// How long a node is given to answer, in milliseconds.
const ANSWER_MS: u64 = 1_000;
/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// What the planner looks at.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The cluster; `None` before it is founded.
    pub cluster: Option<ClusterId>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The present time.
    pub now: UnixMillis,
    /// Cities.
    pub cities: Vec<City>,
    /// Centres.
    pub centres: Vec<Centre>,
    /// Nodes.
    pub members: Vec<Member>,
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// Who votes.
    pub voters: BTreeSet<NodeId>,
    /// How far each node's log is, as the leader sees it.
    pub matched: BTreeMap<NodeId, u64>,
    /// How long ago each was heard, in milliseconds.
    pub heard_ms: BTreeMap<NodeId, u64>,
    /// Round trips in microseconds, from the node that plans.
    pub round_trips_us: BTreeMap<NodeName, u64>,
    /// What the nodes said of themselves; those that did not answer are missing.
    pub vitals: BTreeMap<NodeName, Vitals>,
    /// The leader's heartbeat in milliseconds.
    pub heartbeat_ms: u64,
    /// Bounds of the election timeout of those who may lead, in milliseconds.
    pub election_ms: (u64, u64),
    /// SM3 of the running binary.
    pub binary: Hex,
    /// Why this node would refuse to take over, asked only when that is planned on it.
    pub takeover_refused: Option<String>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vitals {
    /// How far its clock is from the asker's, in milliseconds, half the round trip allowed for.
    pub clock_off_ms: u64,
    /// Free bytes where it keeps its data.
    pub disk_free: u64,
    /// Days until its certificate ends.
    pub certificate_days: u64,
}

/// The same on the wire.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    wall: UnixMillis,
    disk_free: u64,
    certificate_ends_unix: u64,
}

/// Answers the question on this node.
pub(crate) fn register(calls: &Calls, inner: &Arc<Inner>) {
    let inner = inner.clone();
    calls.register(
        KIND,
        Arc::new(move |_, _| {
            let inner = inner.clone();
            Box::pin(async move {
                let answer = own(&inner);
                serde_json::to_vec(&answer).map_err(|error| error.to_string())
            })
        }),
    );
}

fn own(inner: &Inner) -> Answer {
    Answer {
        wall: inner.clock.wall(),
        disk_free: inner.disk.free_bytes().unwrap_or(0),
        certificate_ends_unix: inner.mesh.certificate_stats().not_after,
    }
}

/// Asks everybody and puts it together.
pub(crate) async fn gather(inner: &Inner) -> Facts {
    let status = inner.meta.leader_status().await;
    let (cluster, epoch, cities, centres, members) = inner.meta.peek(|state| {
        (
            state.cluster().cloned(),
            state.epoch(),
            state.cities().to_vec(),
            state.centres().to_vec(),
            state.members().cloned().collect::<Vec<Member>>(),
        )
    });
    let leader = inner.meta.leader_heard();
    let mut matched = status.matched;
    if let Some(leader) = leader {
        // What the leader has, it does not replicate to itself.
        let newest = matched.values().copied().max().unwrap_or(0);
        let own = matched.entry(leader).or_default();
        *own = newest.max(*own);
    }
    let cores = members.iter().filter(|member| member.has(Role::Core));
    let asked = cores.map(|member| vitals(inner, member));
    let vitals = join_all(asked).await.into_iter().flatten().collect();
    // After the questions every line has carried something.
    let round_trips_us = round_trips(&inner.mesh, &members);
    Facts {
        cluster,
        epoch,
        now: inner.clock.wall(),
        cities,
        centres,
        members,
        leader,
        voters: status.voters.iter().copied().collect(),
        matched,
        heard_ms: status.heard_ms,
        round_trips_us,
        vitals,
        heartbeat_ms: inner.raft.heartbeat_ms,
        election_ms: (inner.raft.election_min_ms, inner.raft.election_max_ms),
        binary: inner.binary().await,
        takeover_refused: None,
    }
}

pub(crate) fn round_trips(mesh: &Mesh, members: &[Member]) -> BTreeMap<NodeName, u64> {
    let measured = mesh.round_trips();
    let known = members.iter().filter_map(|member| {
        let peer = Target::from(member).peer();
        let us = u64::try_from(measured.get(&peer)?.as_micros()).unwrap_or(u64::MAX);
        Some((member.name.clone(), us))
    });
    known.collect()
}

async fn vitals(inner: &Inner, member: &Member) -> Option<(NodeName, Vitals)> {
    let now_unix = inner.clock.wall().0 / 1000;
    let (answer, off_ms) = if member.id == inner.member.id {
        (own(inner), 0)
    } else {
        let (begin, began) = (inner.clock.monotonic(), inner.clock.wall());
        let within = Duration::from_millis(ANSWER_MS);
        let target = Target::from(member);
        let asked = inner.mesh.question(&target, KIND, Vec::new(), within).await;
        let answer: Answer = serde_json::from_slice(&asked.ok()?).ok()?;
        let took = inner.clock.monotonic().saturating_sub(begin);
        let half_ms = u64::try_from(took.as_millis() / 2).unwrap_or(u64::MAX);
        let off = answer.wall.0.abs_diff(began.plus(half_ms).0);
        // Where in the round trip the answer was written is not known.
        (answer, off.saturating_sub(half_ms))
    };
    let left_s = answer.certificate_ends_unix.saturating_sub(now_unix);
    let vitals = Vitals {
        clock_off_ms: off_ms,
        disk_free: answer.disk_free,
        certificate_days: left_s / DAY_S,
    };
    Some((member.name.clone(), vitals))
}
