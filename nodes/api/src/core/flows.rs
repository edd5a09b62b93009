//! The flow matrix: which version is in force, and how another comes into force: proposed by one, approved by two
//! officers with their own keys.

use axum::extract::State;
use guitai_crypto::sm2;
use guitai_types::{
    Code, Hex,
    command::Command,
    flows::{FlowOrder, FlowVersion, Flows},
    observed::{FlowsSeen, findings},
    officer::OfficerWord,
    record::Duty,
};
use http::HeaderMap;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    extract::{Json, Path},
    inventory,
    problem::{ProblemBody, Refusal},
};

/// What is wrong with a matrix, in words, or SM3 of its canonical form. Asked before one is proposed.
pub type FlowJudge = std::sync::Arc<dyn Fn(&str) -> Result<Hex, String> + Send + Sync>;

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
        .routes(routes!(propose))
        .routes(routes!(approve, withdraw))
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
    let (matrix, log_size) = core.meta.peek(|state| {
        let matrix = state.flows().map(|flows| flows.present.sm3.clone());
        (matrix, state.log().map(|log| log.size()))
    });
    let (nodes, silent) =
        inventory::connections(&core.mesh, &core.connections, core.members()).await;
    let findings = findings(&nodes, &silent, matrix.as_ref());
    Ok(Json(FlowsSeen {
        at,
        matrix,
        log_size,
        nodes,
        silent,
        findings,
    }))
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
    let sm3 = (core.judge)(&matrix).map_err(|why| Refusal::new(Code::BadRequest, why))?;
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
