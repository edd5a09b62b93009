//! The cluster at a glance, its nodes, its queues, and its events.

use axum::{extract::State, http::HeaderMap, response::Response};
use futures::StreamExt as _;
use guitai_meta::State as MetaState;
use guitai_types::{
    Code, Member, NodeName, Voice,
    attest::Measures,
    event::Event,
    inventory::InventoryView,
    keys::KeysView,
    record::Duty,
    sandbox::SandboxView,
    sync::SyncView,
    view::{NodeView, QueueView, QuorumView, StatusView},
};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    between::{self, Consensus},
    extract::{Json, Query},
    gate::StaffBearer,
    inventory,
    problem::{ProblemBody, Refusal},
    streams::{last_seen, newer_than},
};

/// A node not heard of for longer than this counts as down, in milliseconds: some lost heartbeats.
pub const HEARD_MS_MAX: u64 = 3_000;

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(nodes))
        .routes(routes!(queues))
        .routes(routes!(crypto))
        .routes(routes!(keys))
        .routes(routes!(sandbox))
        .routes(routes!(measures))
        .routes(routes!(events))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct From {
    /// Number of the first event wanted, as far as it is still kept; only new ones without it.
    from: Option<u64>,
}

/// The cluster at a glance.
#[utoipa::path(get, path = "/api/v1/status", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = StatusView), (status = "default", body = ProblemBody)))]
async fn status(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<StatusView>, Refusal> {
    let bearer = core.staff(&headers)?;
    core.status(&bearer).await.map(Json)
}

/// The nodes and how they are.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = Vec<NodeView>), (status = "default", body = ProblemBody)))]
async fn nodes(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<Vec<NodeView>>, Refusal> {
    core.staff(&headers)?;
    let consensus = core.consensus().await;
    Ok(Json(core.nodes(&consensus)))
}

/// What protects every hop and every store of every node, judged by the deployment's policy.
#[utoipa::path(get, path = "/api/v1/crypto", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = InventoryView), (status = "default", body = ProblemBody)))]
async fn crypto(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<InventoryView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let members = core.members();
    let now = core.clock.wall();
    let view = inventory::take(&core.mesh, &core.inventory, core.policy, members, now).await;
    Ok(Json(view))
}

/// Which key lives where: every node asked which keys it holds, what each is wrapped by, its generation,
/// and the zone that can use it. No key is part of any answer.
#[utoipa::path(get, path = "/api/v1/keys", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = KeysView), (status = "default", body = ProblemBody)))]
async fn keys(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<KeysView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let now = core.clock.wall();
    let view = inventory::whereabouts(&core.mesh, &core.keys, core.members(), now).await;
    Ok(Json(view))
}

/// What holds each node's process even when its code is replaced, row by row, as the nodes say it of themselves.
#[utoipa::path(get, path = "/api/v1/sandbox", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = SandboxView), (status = "default", body = ProblemBody)))]
async fn sandbox(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<SandboxView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let now = core.clock.wall();
    let view = inventory::sandboxes(&core.mesh, &core.sandbox, core.members(), now).await;
    Ok(Json(view))
}

/// What each node was started from: digests of its program, libraries, configuration and unit, as the nodes say it of
/// themselves. Asked for the first time they read their files, and may need another question.
#[utoipa::path(get, path = "/api/v1/measures", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = Measures), (status = "default", body = ProblemBody)))]
async fn measures(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<Measures>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let (at, (matrix, _)) = (core.clock.wall(), core.flows_as_of());
    let (mesh, own) = (&core.mesh, &core.measure);
    let view = inventory::measures(mesh, own, core.members(), matrix, at).await;
    Ok(Json(view))
}

/// The queues of one's own institution.
#[utoipa::path(get, path = "/api/v1/queues", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = Vec<QueueView>), (status = "default", body = ProblemBody)))]
async fn queues(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<Vec<QueueView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    Ok(Json(core.queues(&bearer)))
}

/// Everything that happens in one's own institution and the cluster: events `event`, numbered, replayable
/// by `from` or `Last-Event-ID`; and `doors`, not numbered, content DoorsView.
#[utoipa::path(get, path = "/api/v1/events", tag = "cluster", security(("staff" = [])),
    params(From),
    responses((status = 200, body = Event, content_type = "text/event-stream"),
        (status = "default", body = ProblemBody)))]
async fn events(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(From { from }): Query<From>,
) -> Result<Response, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let seen = last_seen(&headers);
    let begin = match (seen, from) {
        (0, Some(from)) => from,
        (0, None) => core.meta.peek(MetaState::event_number) + 1,
        (seen, _) => seen + 1,
    };
    let institution = bearer.staff.institution.clone();
    let events = core.meta.events(begin).filter(move |event| {
        let visible = event
            .institution
            .as_ref()
            .is_none_or(|of| *of == institution);
        std::future::ready(visible)
    });
    let events = newer_than(
        seen,
        bearer.expires_in_ms,
        events.map(|event| (event.number, event)),
    );
    core.streams.answer(
        format!("events/{}", bearer.staff),
        "event",
        events,
        &core.doors,
    )
}

impl Core {
    pub(super) fn members(&self) -> Vec<Member> {
        self.meta.peek(|state| state.members().cloned().collect())
    }

    async fn status(&self, bearer: &StaffBearer) -> Result<StatusView, Refusal> {
        let consensus = self.consensus().await;
        let nodes = self.nodes(&consensus);
        let voters = nodes
            .iter()
            .filter(|node| node.member.voice == Voice::Voter);
        let quorum = QuorumView {
            voters: voters.clone().count() as u64,
            up: voters.clone().filter(|node| node.up).count() as u64,
            needed: voters.count() as u64 / 2 + 1,
        };
        let queues = self.queues(bearer);
        let raft = self.meta.status();
        let quarantine = self.meta.lineage_view().quarantine;
        let node = self.member.name.clone();
        let verdict = self.meta.verdict();
        let view = self.meta.peek(move |state| {
            Some(StatusView {
                cluster: state.cluster()?.clone(),
                version: crate::VERSION.to_owned(),
                node,
                leader: raft.leader,
                term: raft.term,
                applied: raft.applied,
                epoch: state.epoch(),
                quarantine,
                quorum,
                cities: state.cities().to_vec(),
                centres: state.centres().to_vec(),
                nodes,
                queues,
                sessions_running: state.sessions_running().count() as u64,
                recordings: state.recordings_sealed(),
                event_number: state.event_number(),
                sync: SyncView {
                    state: state.sync().clone(),
                    guards: consensus.guards,
                    verdict,
                },
                log_alarms: state
                    .log()
                    .map(|log| log.alarms().to_vec())
                    .unwrap_or_default(),
            })
        });
        view.ok_or_else(|| Refusal::new(Code::NoLeader, "the cluster is not founded yet"))
    }

    fn queues(&self, bearer: &StaffBearer) -> Vec<QueueView> {
        let mut queues = self.meta.peek(MetaState::queue_views);
        queues.retain(|queue| queue.institution == bearer.staff.institution);
        queues
    }

    /// What the leader knows of the others; without a leader, what this node knows.
    async fn consensus(&self) -> Consensus {
        let own = Consensus::of(self.member.name.clone(), self.meta.status());
        let Some(leader) = own.leader.filter(|leader| *leader != self.member.id) else {
            return own;
        };
        let leader: Option<Member> = self
            .meta
            .peek(|state| state.members().find(|member| member.id == leader).cloned());
        let Some(leader) = leader else { return own };
        match between::ask_consensus(&self.mesh, &leader).await {
            Ok(consensus) => consensus,
            Err(error) => {
                tracing::debug!(leader = %leader.name, %error, "no status from the leader");
                own
            }
        }
    }

    fn nodes(&self, consensus: &Consensus) -> Vec<NodeView> {
        let edges: Vec<NodeName> = self.tunnels.up();
        let members: Vec<Member> = self.meta.peek(|state| state.members().cloned().collect());
        let view = |member: Member| {
            let leader = consensus.leader == Some(member.id);
            // This node, the leader that just answered, and edges at the end of a tunnel: now.
            let present = member.id == self.member.id
                || member.name == consensus.said_by
                || edges.contains(&member.name);
            let heard = consensus.heard_ms.get(&member.id).copied();
            let heard_ms = if present { Some(0) } else { heard };
            NodeView {
                up: heard_ms.is_some_and(|ms| ms <= HEARD_MS_MAX),
                leader,
                matched: consensus.matched.get(&member.id).copied(),
                heard_ms,
                permit: self.known.permit(&member.name),
                sandbox: self.known.sandbox(&member.name),
                member,
            }
        };
        members.into_iter().map(view).collect()
    }
}
