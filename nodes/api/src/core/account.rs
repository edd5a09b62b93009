//! Login, and who am I.

use std::time::Duration;

use axum::{extract::State, http::HeaderMap};
use guitai_types::{
    Code, InstitutionId, StaffName, StaffRef, UnixMillis,
    claims::{Claims, Grant},
    command::{Command, Reply},
    limits::LOGIN_LIFE_MS,
    record::Duty,
    tlog::LoginOutcome,
    view::StaffView,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState, view};
use crate::{
    extract::Json,
    problem::{ProblemBody, Refusal},
};

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(me))
}

/// How often a login is offered to the log; with the pause, ten minutes without a leader.
const LOGIN_ENTERED_TRIES: u32 = 120;
/// Pause between two offers.
const LOGIN_ENTERED_PAUSE: Duration = Duration::from_secs(5);

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
    let known = account.as_ref().map(|account| account.duties.clone());
    if let Err(refusal) = core.logins.check(&staff, phc, body.password).await {
        // The wrong password after which the next ones are refused unseen; those are not entered.
        if let Some(duties) =
            known.filter(|_| refusal.0.code == Code::BadLogin && core.logins.is_locked(&staff))
        {
            core.enter_login(&staff, duties, LoginOutcome::LockedOut);
        }
        return Err(refusal);
    }
    let Some(account) = account else {
        return Err(Refusal::new(Code::BadLogin, "the login does not fit"));
    };
    let view = view.ok_or_else(view::gone)?;
    let expires_at = core.clock.wall().plus(LOGIN_LIFE_MS);
    core.enter_login(&staff, account.duties.clone(), LoginOutcome::Granted);
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

impl Core {
    /// Has a login entered in the transparency log. Nobody waits for it: without a leader operators must get in, and
    /// what they did is entered when there is one again.
    fn enter_login(&self, who: &StaffRef, duties: Vec<Duty>, outcome: LoginOutcome) {
        if self.meta.peek(|state| state.log().is_none()) {
            return;
        }
        let login = guitai_types::tlog::Login {
            who: who.clone(),
            door: self.member.name.clone(),
            duties,
            outcome,
        };
        let meta = self.meta.clone();
        tokio::spawn(async move {
            for _ in 0..LOGIN_ENTERED_TRIES {
                let login = login.clone();
                match meta.write(Command::LogLogin { login }).await {
                    Ok(Reply::Refused { problem }) => {
                        return tracing::error!(%problem, "a login is not in the log");
                    }
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "a login waits for the log"),
                }
                tokio::time::sleep(LOGIN_ENTERED_PAUSE).await;
            }
            tracing::error!(who = %login.who, "a login is not in the log: no leader for too long");
        });
    }
}
