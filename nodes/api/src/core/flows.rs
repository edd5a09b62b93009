//! The flow matrix: which version is in force, and how another comes into force: proposed by one, approved by two
//! officers with their own keys.

use std::ops::ControlFlow;

use axum::extract::State;
use guitai_crypto::sm2;
use guitai_flowlog::FlowLogError;
use guitai_types::{
    Code, Hex, NodeName, UnixMillis,
    command::Command,
    flowlog::{
        AgreedMinute, FlowsKept, KEPT_DAYS_ASKED_MAX, MINUTE_MS, MinuteKept, gap_findings,
        minute_begin,
    },
    flows::{FlowOrder, FlowPlan, FlowVersion, Flows},
    observed::{FlowFault, FlowFinding, FlowsSeen, findings},
    officer::OfficerWord,
    place::Text,
    problem::chain,
    record::Duty,
    tlog::Record,
};
use http::HeaderMap;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    extract::{Json, Path, Query},
    inventory,
    problem::{ProblemBody, Refusal},
};

/// What a matrix would change. Asked before one is proposed.
pub type FlowJudge = std::sync::Arc<dyn Fn(&str) -> FlowPlan + Send + Sync>;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Who may see the matrix.
const READERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may propose another.
const PROPOSERS: &[Duty] = &[Duty::Operator, Duty::Officer];
/// Who may approve it.
const OFFICERS: &[Duty] = &[Duty::Officer];

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(flows))
        .routes(routes!(seen))
        .routes(routes!(kept))
        .routes(routes!(minute))
        .routes(routes!(plan))
        .routes(routes!(propose))
        .routes(routes!(approve, withdraw))
}

/// A matrix that somebody thinks of.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Draft {
    /// Its text (TOML).
    matrix: String,
}

/// A matrix that should come into force.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Proposal {
    /// Its text (TOML).
    matrix: String,
    /// Why, one line.
    reason: String,
}

/// The matrix in force, what is proposed, and what was before.
#[utoipa::path(get, path = "/api/v1/flows", tag = "flows", security(("staff" = [])),
    responses((status = 200, body = Flows), (status = "default", body = ProblemBody)))]
async fn flows(State(core): State<CoreState>, headers: HeaderMap) -> Result<Json<Flows>, Refusal> {
    core.staff(&headers)?.must_have(READERS)?;
    core.flows().await.map(Json)
}

/// Every node is asked which connections it opened, took and refused since it started, and which sockets its kernel
/// says it has; what of that no row allows, or only one end knows of, is found. No customer's address is in it.
#[utoipa::path(get, path = "/api/v1/flows/seen", tag = "flows", security(("staff" = [])),
    responses((status = 200, body = FlowsSeen), (status = "default", body = ProblemBody)))]
async fn seen(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<FlowsSeen>, Refusal> {
    core.staff(&headers)?.must_have(READERS)?;
    let at = core.clock.wall();
    let (matrix, checkpoint) = core.flows_as_of();
    let (nodes, silent) =
        inventory::connections(&core.mesh, &core.connections, core.members()).await;
    let findings = findings(&nodes, &silent, matrix.as_ref());
    Ok(Json(FlowsSeen {
        at,
        matrix,
        checkpoint,
        nodes,
        silent,
        findings,
    }))
}

/// Which stretch of time.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Span {
    /// From, in milliseconds since 1970, rounded down to its minute.
    #[param(value_type = u64)]
    from: UnixMillis,
    /// Until, in milliseconds since 1970, rounded down to its minute; the present unless given.
    #[serde(default)]
    #[param(value_type = Option<u64>)]
    to: Option<UnixMillis>,
}

/// What flowed in a stretch of time, added up from the flow log: minutes that the cluster agreed on, kept for 200 days.
/// Of whom nothing is known when is told, and is a finding.
#[utoipa::path(get, path = "/api/v1/flows/kept", tag = "flows", params(Span), security(("staff" = [])),
    responses((status = 200, body = FlowsKept), (status = "default", body = ProblemBody)))]
async fn kept(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(Span { from, to }): Query<Span>,
) -> Result<Json<FlowsKept>, Refusal> {
    core.staff(&headers)?.must_have(READERS)?;
    let to = to.unwrap_or_else(|| core.clock.wall());
    let bad = |why: String| Refusal::new(Code::BadRequest, why);
    if from >= to {
        return Err(bad("it ends before it begins".to_owned()));
    }
    if to.since(from) > KEPT_DAYS_ASKED_MAX * DAY_MS {
        return Err(bad(format!(
            "longer than KEPT_DAYS_ASKED_MAX, {KEPT_DAYS_ASKED_MAX} days"
        )));
    }
    let (matrix, checkpoint) = core.flows_as_of();
    let stretch = core.flow_log.over(from, to).await.map_err(unreadable)?;
    let mut found = findings(&stretch.nodes, &[], None);
    found.extend(gap_findings(&stretch.gaps));
    if stretch.nodes.is_empty() {
        found.push(nothing_kept(&core.member.name));
    }
    Ok(Json(FlowsKept {
        from: stretch.from,
        to: stretch.to,
        minutes: stretch.minutes,
        matrix,
        checkpoint,
        nodes: stretch.nodes,
        gaps: stretch.gaps,
        findings: found,
    }))
}

/// One minute of the flow log as this node keeps it, and the entry of the transparency log that has its root.
#[utoipa::path(get, path = "/api/v1/flows/kept/{minute}", tag = "flows", params(("minute" = u64, Path)),
    security(("staff" = [])), responses((status = 200, body = MinuteKept), (status = "default", body = ProblemBody)))]
async fn minute(
    State(core): State<CoreState>,
    Path(minute): Path<u64>,
    headers: HeaderMap,
) -> Result<Json<MinuteKept>, Refusal> {
    core.staff(&headers)?.must_have(READERS)?;
    let none = || Refusal::new(Code::NotFound, "that minute is not kept here");
    let found = core.flow_log.minute(minute).await.map_err(unreadable)?;
    let (text, computed) = found.ok_or_else(none)?;
    let is_it = move |record: &Record| match record {
        Record::FlowLog { kept } if kept.minute == minute => ControlFlow::Break(Some(kept.clone())),
        Record::FlowLog { kept } if kept.minute > minute => ControlFlow::Break(None),
        _ => ControlFlow::Continue(None),
    };
    // It was entered after it was over.
    let since = minute_begin(minute).plus(MINUTE_MS);
    let proofs = core.meta.log_proofs(since, None, is_it).await;
    let proofs = proofs.map_err(super::tlog::refusal)?;
    let entered: Option<(AgreedMinute, _)> =
        proofs.and_then(|proofs| proofs.picked.into_iter().next());
    Ok(Json(MinuteKept {
        minute,
        lines: text.lines().map(str::to_owned).collect(),
        root: computed.root,
        entry: entered.as_ref().map(|(_, included)| included.index),
        agreed: entered.map(|(agreed, _)| agreed),
    }))
}

/// A stretch of time of which there is nothing proves nothing.
fn nothing_kept(node: &NodeName) -> FlowFinding {
    FlowFinding {
        node: node.clone(),
        fault: FlowFault::Unknown,
        what: Text {
            zh: "该时段没有留存".to_owned(),
            en: "nothing is kept of that time".to_owned(),
        },
    }
}

fn unreadable(error: FlowLogError) -> Refusal {
    tracing::error!(
        error = &error as &dyn std::error::Error,
        "the flow log cannot be read"
    );
    Refusal::new(Code::Internal, chain(&error))
}

/// What a matrix would change, or what is wrong with it; nothing is proposed.
#[utoipa::path(post, path = "/api/v1/flows/plan", tag = "flows", security(("staff" = [])), request_body = Draft,
    responses((status = 200, body = FlowPlan), (status = "default", body = ProblemBody)))]
async fn plan(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(Draft { matrix }): Json<Draft>,
) -> Result<Json<FlowPlan>, Refusal> {
    core.staff(&headers)?.must_have(READERS)?;
    Ok(Json((core.judge)(&matrix)))
}

/// Proposes a matrix. One that has faults, or lacks what the nodes do, is refused with the first of them.
#[utoipa::path(post, path = "/api/v1/flows/proposals", tag = "flows", security(("staff" = [])),
    request_body = Proposal,
    responses((status = 200, body = Flows), (status = "default", body = ProblemBody)))]
async fn propose(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(Proposal { matrix, reason }): Json<Proposal>,
) -> Result<Json<Flows>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(PROPOSERS)?;
    let FlowPlan { sm3, faults, .. } = (core.judge)(&matrix);
    let sm3 = sm3.ok_or_else(|| {
        let first = faults.into_iter().next().unwrap_or_default();
        Refusal::new(Code::BadRequest, first)
    })?;
    let by = bearer.staff.clone();
    let order = FlowOrder::Propose {
        matrix,
        sm3,
        by,
        reason,
    };
    core.order_flows(order).await?;
    tracing::warn!(by = %bearer.staff, "a flow matrix was proposed");
    core.flows().await.map(Json)
}

/// An officer approves the version that is proposed, with a signature by the officer's own key over its number and
/// digest. With the second officer's, within APPROVAL_LIFE_MS of the first, it is in force.
#[utoipa::path(post, path = "/api/v1/flows/proposals/{number}", tag = "flows",
    params(("number" = u32, Path)), security(("staff" = [])), request_body = OfficerWord,
    responses((status = 200, body = Flows), (status = "default", body = ProblemBody)))]
async fn approve(
    State(core): State<CoreState>,
    Path(number): Path<u32>,
    headers: HeaderMap,
    Json(approval): Json<OfficerWord>,
) -> Result<Json<Flows>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(OFFICERS)?;
    if approval.officer != bearer.staff {
        let detail = "an officer approves for nobody else";
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    let known = core.flows().await?;
    let open = known.proposed.filter(|open| open.number == number);
    let open = open.ok_or_else(|| Refusal::new(Code::NotFound, "no such version is proposed"))?;
    let text = FlowVersion::text(number, &open.sm3, approval.at);
    let key = sm2::PublicKey::from_point(&approval.key.0);
    let is_signed = key.is_ok_and(|key| key.verify(text.as_bytes(), &approval.signature.0).is_ok());
    if !is_signed {
        let detail = "the approval's signature does not verify";
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    core.order_flows(FlowOrder::Approve { number, approval })
        .await?;
    tracing::warn!(number, officer = %bearer.staff, "a flow matrix was approved");
    core.flows().await.map(Json)
}

/// Takes a proposal back.
#[utoipa::path(delete, path = "/api/v1/flows/proposals/{number}", tag = "flows",
    params(("number" = u32, Path)), security(("staff" = [])),
    responses((status = 200, body = Flows), (status = "default", body = ProblemBody)))]
async fn withdraw(
    State(core): State<CoreState>,
    Path(number): Path<u32>,
    headers: HeaderMap,
) -> Result<Json<Flows>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(PROPOSERS)?;
    let by = bearer.staff.clone();
    core.order_flows(FlowOrder::Withdraw { number, by }).await?;
    core.flows().await.map(Json)
}

impl Core {
    /// The matrix in force, and the log's newest checkpoint: what an answer is made from.
    pub(super) fn flows_as_of(&self) -> (Option<Hex>, Option<String>) {
        self.meta.peek(|state| {
            let matrix = state.flows().map(|flows| flows.present.sm3.clone());
            let published = state.log().and_then(|log| log.published());
            (matrix, published.map(|it| it.sm3.clone()))
        })
    }

    async fn flows(&self) -> Result<Flows, Refusal> {
        let none = || Refusal::new(Code::NotFound, "no flow matrix is agreed on yet");
        let flows = self.read(|state| state.flows().cloned()).await?;
        flows.ok_or_else(none)
    }

    async fn order_flows(&self, order: FlowOrder) -> Result<(), Refusal> {
        let order = Box::new(order);
        self.write(Command::Flow { order }).await.map(drop)
    }
}
