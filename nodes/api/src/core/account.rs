//! Login, and who am I.

use axum::{extract::State, http::HeaderMap};
use guitai_types::{
    Code, InstitutionId, StaffName, StaffRef, UnixMillis,
    claims::{Claims, Grant},
    limits::LOGIN_LIFE_MS,
    record::Duty,
    view::StaffView,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{CoreState, view};
use crate::{
    extract::Json,
    problem::{ProblemBody, Refusal},
};

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(me))
}

/// Body of `POST /api/v1/login`.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Institution.
    pub institution: InstitutionId,
    /// Login name.
    pub name: StaffName,
    /// Password.
    pub password: String,
}

/// Answer to a login.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggedIn {
    /// The token: `Authorization: Bearer <token>`.
    pub token: String,
    /// Who.
    pub staff: StaffView,
    /// The token is void from here on.
    pub expires_at: UnixMillis,
}

/// Logs in with a local account.
#[utoipa::path(post, path = "/api/v1/login", tag = "account", request_body = Login,
    responses((status = 200, body = LoggedIn), (status = "default", body = ProblemBody)))]
async fn login(
    State(core): State<CoreState>,
    Json(body): Json<Login>,
) -> Result<Json<LoggedIn>, Refusal> {
    let staff = StaffRef {
        institution: body.institution,
        name: body.name,
    };
    // Without a leader, operators and officers still get in, by the accounts this node has applied: taking over and
    // rejoining begin there. Everybody else waits.
    let look = |state: &guitai_meta::State| {
        let view = state.staff_view(&staff);
        (state.staff(&staff).cloned(), state.epoch(), view)
    };
    let operates = |state: &guitai_meta::State| {
        let lets_in = [Duty::Operator, Duty::Officer];
        let account = state.staff(&staff);
        account.is_some_and(|account| account.duties.iter().any(|duty| lets_in.contains(duty)))
    };
    let (account, epoch, view) = if core.meta.peek(operates) {
        core.read_or_here(look).await
    } else {
        core.read(look).await?
    };
    let phc = account.as_ref().map(|account| account.password_phc.clone());
    core.logins.check(&staff, phc, body.password).await?;
    let Some(account) = account else {
        return Err(Refusal::new(Code::BadLogin, "the login does not fit"));
    };
    let view = view.ok_or_else(view::gone)?;
    let expires_at = core.clock.wall().plus(LOGIN_LIFE_MS);
    let grant = Grant::Staff {
        staff,
        duties: account.duties,
    };
    let token = core.signer.sign(&Claims {
        v: 1,
        expires_at,
        epoch,
        grant,
    });
    Ok(Json(LoggedIn {
        token,
        staff: view,
        expires_at,
    }))
}

/// Who the token belongs to.
#[utoipa::path(get, path = "/api/v1/me", tag = "account", security(("staff" = [])),
    responses((status = 200, body = StaffView), (status = "default", body = ProblemBody)))]
async fn me(State(core): State<CoreState>, headers: HeaderMap) -> Result<Json<StaffView>, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.read(|state| state.staff_view(&bearer.staff)).await?;
    view.map(Json).ok_or_else(view::gone)
}
