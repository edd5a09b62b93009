//! Disaster recovery: plans, runs, approvals.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{Html, IntoResponse as _, Response},
};
use guitai_dr::RecoveryError;
use guitai_types::{
    Code, RunId,
    command::Command,
    dr::{Abort, Aim, Approval, ApprovalKey, Plan, Propose, Report, Run},
    live::LiveView,
    record::Duty,
    view::RunView,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::CoreState;
use crate::{
    extract::{Json, Path},
    problem::{ProblemBody, Refusal},
};

/// Who may look.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may begin and stop.
const ACTORS: &[Duty] = &[Duty::Operator, Duty::Officer];

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(plan))
        .routes(routes!(runs, propose))
        .routes(routes!(run))
        .routes(routes!(approve))
        .routes(routes!(abort))
        .routes(routes!(report))
        .routes(routes!(report_page))
        .routes(routes!(put_approval_key))
}

/// How it looks at this moment: lines, lags, what guards prove, the run that is not over and what its probers
/// see. Every core node is asked; it works without a leader and in quarantine, by what this node knows.
#[utoipa::path(get, path = "/api/v1/dr/live", tag = "dr", security(("staff" = [])),
    responses((status = 200, body = LiveView), (status = "default", body = ProblemBody)))]
async fn live(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<LiveView>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    Ok(Json(core.recovery.live().await))
}

/// What would be done now, step by step, with every margin; one that is missing forbids to run it.
#[utoipa::path(post, path = "/api/v1/dr/plan", tag = "dr", security(("staff" = [])),
    request_body = Aim,
    responses((status = 200, body = Plan), (status = "default", body = ProblemBody)))]
async fn plan(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(aim): Json<Aim>,
) -> Result<Json<Plan>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    Ok(Json(core.recovery.plan(aim).await.map_err(refusal)?))
}

/// Runs, the newest first.
#[utoipa::path(get, path = "/api/v1/dr/runs", tag = "dr", security(("staff" = [])),
    responses((status = 200, body = Vec<RunView>), (status = "default", body = ProblemBody)))]
async fn runs(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<Vec<RunView>>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    let runs = core.recovery.runs();
    Ok(Json(runs.iter().map(RunView::of).collect()))
}

/// Proposes a run of a plan made now. A rehearsal begins at once, a real run with its second approval.
#[utoipa::path(post, path = "/api/v1/dr/runs", tag = "dr", security(("staff" = [])),
    request_body = Propose,
    responses((status = 200, body = Run), (status = "default", body = ProblemBody)))]
async fn propose(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(body): Json<Propose>,
) -> Result<Json<Run>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ACTORS)?;
    let Propose {
        aim,
        kind,
        inject_loss,
    } = body;
    let by = bearer.staff.clone();
    let run = core.recovery.propose(aim, kind, by, inject_loss).await;
    let run = run.map_err(refusal)?;
    tracing::warn!(run = %run.id, by = %bearer.staff, %kind, "a disaster recovery run was proposed");
    Ok(Json(run))
}

/// A run with its plan, journal, measurements and verdict.
#[utoipa::path(get, path = "/api/v1/dr/runs/{run}", tag = "dr", security(("staff" = [])),
    params(("run" = RunId, Path)),
    responses((status = 200, body = Run), (status = "default", body = ProblemBody)))]
async fn run(
    State(core): State<CoreState>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
) -> Result<Json<Run>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    Ok(Json(core.recovery.find(&run).await.map_err(refusal)?))
}

/// An officer approves, with a signature by the officer's own key over run and plan.
#[utoipa::path(post, path = "/api/v1/dr/runs/{run}/approvals", tag = "dr", security(("staff" = [])),
    params(("run" = RunId, Path)), request_body = Approval,
    responses((status = 200, body = Run), (status = "default", body = ProblemBody)))]
async fn approve(
    State(core): State<CoreState>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
    Json(approval): Json<Approval>,
) -> Result<Json<Run>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Officer])?;
    if approval.officer != bearer.staff {
        let detail = "an officer approves for nobody else";
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    let run = core.recovery.approve(&run, approval).await;
    let run = run.map_err(refusal)?;
    tracing::warn!(run = %run.id, officer = %bearer.staff, "a disaster recovery run was approved");
    Ok(Json(run))
}

/// Stops a run; what was done is undone. Refused in the middle of what cannot be undone.
#[utoipa::path(post, path = "/api/v1/dr/runs/{run}/abort", tag = "dr", security(("staff" = [])),
    params(("run" = RunId, Path)), request_body = Abort,
    responses((status = 200, body = Run), (status = "default", body = ProblemBody)))]
async fn abort(
    State(core): State<CoreState>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
    Json(Abort { why }): Json<Abort>,
) -> Result<Json<Run>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ACTORS)?;
    let by = bearer.staff.clone();
    let run = core.recovery.abort(&run, by, why).await;
    Ok(Json(run.map_err(refusal)?))
}

/// The report of a run, signed by the node that is asked.
#[utoipa::path(get, path = "/api/v1/dr/runs/{run}/report", tag = "dr", security(("staff" = [])),
    params(("run" = RunId, Path)),
    responses((status = 200, body = Report), (status = "default", body = ProblemBody)))]
async fn report(
    State(core): State<CoreState>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
) -> Result<Json<Report>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    Ok(Json(core.recovery.report(&run).await.map_err(refusal)?))
}

/// The report of a run as a page to print, with what checking it found.
#[utoipa::path(get, path = "/api/v1/dr/runs/{run}/report/page", tag = "dr", security(("staff" = [])),
    params(("run" = RunId, Path)),
    responses((status = 200, body = String, content_type = "text/html"),
        (status = "default", body = ProblemBody)))]
async fn report_page(
    State(core): State<CoreState>,
    Path(run): Path<RunId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    let page = core.recovery.report_page(&run).await.map_err(refusal)?;
    Ok(Html(page).into_response())
}

/// An officer names the public half of the own key. It takes the place of the one before.
#[utoipa::path(put, path = "/api/v1/account/approval-key", tag = "account", security(("staff" = [])),
    request_body = ApprovalKey,
    responses((status = 204), (status = "default", body = ProblemBody)))]
async fn put_approval_key(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(ApprovalKey { key }): Json<ApprovalKey>,
) -> Result<http::StatusCode, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Officer])?;
    if guitai_crypto::sm2::PublicKey::from_point(&key.0).is_err() {
        let detail = "key is no point of 65 bytes on the curve of SM2";
        return Err(Refusal::new(Code::BadRequest, detail));
    }
    let account = core
        .read(|state| state.staff(&bearer.staff).cloned())
        .await?;
    let missing = || Refusal::new(Code::BadToken, "the account does not exist any more");
    let mut staff = Box::new(account.ok_or_else(missing)?);
    staff.approval_key = Some(key);
    core.write(Command::PutStaff { staff }).await?;
    tracing::warn!(officer = %bearer.staff, "an officer's approval key was replaced");
    Ok(http::StatusCode::NO_CONTENT)
}

fn refusal(error: RecoveryError) -> Refusal {
    Refusal(error.problem())
}
