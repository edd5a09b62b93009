//! Sessions: lists, one of them, its business steps, its end; and the index of recordings.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use guitai_relay::guard;
use guitai_types::{
    Code, MessageId, SessionId, StaffName, StaffRef,
    command::Command,
    media::KeyChange,
    message::{Message, Sender},
    passed::Passed,
    record::{Business, Duty, EndReason, RecordingState},
    view::{SessionView, StaffView},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState, search::Search, view};
use crate::{
    extract::{Json, Path, Query},
    gate::StaffBearer,
    inventory,
    messages::{Named, Say, Since, declared, handed_out},
    problem::{ProblemBody, Refusal},
};

/// Most sessions in one list; the newest come first.
pub const SESSIONS_LISTED_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(sessions))
        .routes(routes!(session))
        .routes(routes!(passed))
        .routes(routes!(add_step))
        .routes(routes!(put_business))
        .routes(routes!(say, messages))
        .routes(routes!(colleagues))
        .routes(routes!(transfer))
        .routes(routes!(hang_up))
        .routes(routes!(recordings))
}

/// Those whose bodies are files.
pub(super) fn file_routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(send_file))
        .routes(routes!(file))
}

/// Which sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// Going on.
    Running,
    /// Over.
    Ended,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Filter {
    /// Only sessions in this state; both without it, running ones first.
    state: Option<Which>,
}

/// Body of `POST /api/v1/sessions/{session}/steps`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddStep {
    /// Step id.
    pub step: String,
    /// Details, short texts by name.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}

/// Sessions of one's own institution, newest first, without their events; an agent sees the own ones.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", security(("staff" = [])),
    params(Filter),
    responses((status = 200, body = Vec<SessionView>), (status = "default", body = ProblemBody)))]
async fn sessions(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<SessionView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    let running = filter.state != Some(Which::Ended);
    let ended = filter.state != Some(Which::Running);
    Ok(Json(core.list(&bearer, running, ended, |_| true)))
}

/// One session with its events.
#[utoipa::path(get, path = "/api/v1/sessions/{session}", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = SessionView), (status = "default", body = ProblemBody)))]
async fn session(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<SessionView>, Refusal> {
    let bearer = core.staff(&headers)?;
    core.session(&bearer, &session).await.map(Json)
}

/// What passed the relays of one session, by connection, as each node counts it since it started.
#[utoipa::path(get, path = "/api/v1/sessions/{session}/passed", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = Passed), (status = "default", body = ProblemBody)))]
async fn passed(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<Passed>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    core.session(&bearer, &session).await?;
    let (own, at) = (core.passed.as_ref(), core.clock.wall());
    let passed = inventory::passed(&core.mesh, own, core.members(), &session, at).await;
    Ok(Json(passed))
}

/// Adds a business step; refused while the recording does not run.
#[utoipa::path(post, path = "/api/v1/sessions/{session}/steps", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = AddStep,
    responses((status = 200, body = SessionView), (status = "default", body = ProblemBody)))]
async fn add_step(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(AddStep { step, details }): Json<AddStep>,
) -> Result<Json<SessionView>, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.session(&bearer, &session).await?;
    if view.agent != bearer.staff {
        return Err(Refusal::new(
            Code::Forbidden,
            "only the agent of the session adds steps",
        ));
    }
    let actor = "agent".to_owned();
    core.write(Command::AddStep {
        session: session.clone(),
        actor,
        step,
        details,
    })
    .await?;
    core.session(&bearer, &session).await.map(Json)
}

/// Says what a call is about in the bank's own systems, while it runs or until it is written up. What is said while
/// it runs goes into its evidence as the event `business`.
#[utoipa::path(put, path = "/api/v1/sessions/{session}/business", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = Business,
    responses((status = 200, body = SessionView), (status = "default", body = ProblemBody)))]
async fn put_business(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(business): Json<Business>,
) -> Result<Json<SessionView>, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.session(&bearer, &session).await?;
    if view.agent != bearer.staff {
        return Err(Refusal::new(
            Code::Forbidden,
            "only the agent of the session says what it is about",
        ));
    }
    core.write(Command::PutBusiness {
        session: session.clone(),
        staff: bearer.staff.clone(),
        business,
    })
    .await?;
    core.session(&bearer, &session).await.map(Json)
}

/// Says something to the customer.
#[utoipa::path(post, path = "/api/v1/sessions/{session}/messages", tag = "session", operation_id = "say_as_agent",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = Say,
    responses((status = 200, body = Message), (status = "default", body = ProblemBody)))]
async fn say(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(Say { text }): Json<Say>,
) -> Result<Json<Message>, Refusal> {
    core.own_session(&headers, &session).await?;
    guard::check_said(&text).map_err(|refusal| refusal.problem())?;
    let said = core
        .exchange
        .say(&session, Sender::Agent, &text, Vec::new());
    Ok(Json(said.await?))
}

/// What the parties of the call have said to each other, by number. For its agent alone: others see it in its
/// evidence, by a way that is logged.
#[utoipa::path(get, path = "/api/v1/sessions/{session}/messages", tag = "session", operation_id = "messages_as_agent",
    params(("session" = SessionId, Path), Since), security(("staff" = [])),
    responses((status = 200, body = Vec<Message>), (status = "default", body = ProblemBody)))]
async fn messages(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Query(Since { after }): Query<Since>,
) -> Result<Json<Vec<Message>>, Refusal> {
    core.own_session(&headers, &session).await?;
    Ok(Json(core.exchange.since(&session, after).await?))
}

/// Sends the customer a file: a JPEG, a PNG or a PDF, made anew.
#[utoipa::path(post, path = "/api/v1/sessions/{session}/files", tag = "session", operation_id = "send_file_as_agent",
    params(("session" = SessionId, Path), Named), security(("staff" = [])),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Message), (status = "default", body = ProblemBody)))]
async fn send_file(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    Query(Named { name }): Query<Named>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Message>, Refusal> {
    core.own_session(&headers, &session).await?;
    let (body, _permit) = core.exchange.rules.receive(body).await?;
    let named = (name, declared(&headers));
    let sent = core.exchange.send(&session, Sender::Agent, named, body);
    Ok(Json(sent.await?))
}

/// A file that was sent in the call. For its agent alone.
#[utoipa::path(get, path = "/api/v1/sessions/{session}/files/{message}", tag = "session", operation_id = "file_as_agent",
    params(("session" = SessionId, Path), ("message" = MessageId, Path)), security(("staff" = [])),
    responses((status = 200, content_type = "application/octet-stream"), (status = "default", body = ProblemBody)))]
async fn file(
    State(core): State<CoreState>,
    Path((session, message)): Path<(SessionId, MessageId)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    core.own_session(&headers, &session).await?;
    let (file, bytes) = core.exchange.file(&session, &message).await?;
    Ok(handed_out(&file, bytes))
}

/// Body of `POST /api/v1/sessions/{session}/transfer`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Login name of an agent of the same institution who is ready and serves the queue.
    pub to: StaffName,
}

/// Who can take over a call now: agents of its institution who are ready and serve its queue.
#[utoipa::path(get, path = "/api/v1/sessions/{session}/colleagues", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = Vec<StaffView>), (status = "default", body = ProblemBody)))]
async fn colleagues(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<Vec<StaffView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.session(&bearer, &session).await?;
    if view.agent != bearer.staff {
        bearer.must_have(&[Duty::Operator])?;
    }
    let colleagues = core.read(|state| {
        let running = state.session(&session);
        running.map(|session| state.colleagues(session))
    });
    Ok(Json(colleagues.await?.unwrap_or_default()))
}

/// Hands a call to another agent, who must be ready; the former one can open nothing more of it.
#[utoipa::path(post, path = "/api/v1/sessions/{session}/transfer", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = Transfer,
    responses((status = 204), (status = "default", body = ProblemBody)))]
async fn transfer(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(Transfer { to }): Json<Transfer>,
) -> Result<StatusCode, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.session(&bearer, &session).await?;
    if view.agent != bearer.staff {
        bearer.must_have(&[Duty::Operator])?;
    }
    let to = StaffRef {
        institution: view.institution,
        name: to,
    };
    core.rekey(&session, &KeyChange::Transferred { to }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a session: its agent hangs up, or an operator ends it.
#[utoipa::path(post, path = "/api/v1/sessions/{session}/hangup", tag = "session",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = SessionView), (status = "default", body = ProblemBody)))]
async fn hang_up(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<SessionView>, Refusal> {
    let bearer = core.staff(&headers)?;
    let view = core.session(&bearer, &session).await?;
    let (actor, reason) = if view.agent == bearer.staff {
        ("agent".to_owned(), EndReason::AgentHungUp)
    } else {
        bearer.must_have(&[Duty::Operator])?;
        (
            format!("operator:{}", bearer.staff.name),
            EndReason::OperatorEnded,
        )
    };
    core.write(Command::EndSession {
        session: session.clone(),
        actor,
        reason,
    })
    .await?;
    core.session(&bearer, &session).await.map(Json)
}

/// Ended sessions whose recording began, newest first, at most 500 of those that are looked for.
#[utoipa::path(get, path = "/api/v1/recordings", tag = "session", params(Search), security(("staff" = [])),
    responses((status = 200, body = Vec<SessionView>), (status = "default", body = ProblemBody)))]
async fn recordings(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(search): Query<Search>,
) -> Result<Json<Vec<SessionView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let search = search.checked()?;
    let wanted = |session: &SessionView| {
        session.recording != RecordingState::Starting && search.finds(session)
    };
    Ok(Json(core.list(&bearer, false, true, wanted)))
}

impl Core {
    /// Refuses whoever is not the agent of a session.
    async fn own_session(&self, headers: &HeaderMap, session: &SessionId) -> Result<(), Refusal> {
        let bearer = self.staff(headers)?;
        let view = self.session(&bearer, session).await?;
        if view.agent != bearer.staff {
            let detail = "only the agent of the session takes part in it";
            return Err(Refusal::new(Code::Forbidden, detail));
        }
        Ok(())
    }

    fn list(
        &self,
        bearer: &StaffBearer,
        running: bool,
        ended: bool,
        wanted: impl Fn(&SessionView) -> bool,
    ) -> Vec<SessionView> {
        let all = bearer.has(&[Duty::Operator, Duty::Auditor]);
        let visible = |session: &SessionView| {
            session.institution == bearer.staff.institution
                && (all || session.agent == bearer.staff)
        };
        let mut views = Vec::new();
        if running {
            views.extend(self.meta.peek(|state| state.sessions_running_views()));
            views.sort_by_key(|view: &SessionView| std::cmp::Reverse(view.started_at));
        }
        if ended {
            // The core's list is of all institutions: take enough of it, then what is ours.
            let kept = guitai_types::limits::SESSIONS_ENDED_KEPT;
            views.extend(self.meta.peek(|state| state.sessions_ended_views(kept)));
        }
        views.retain(|view| visible(view) && wanted(view));
        views.truncate(SESSIONS_LISTED_MAX);
        views
    }

    /// A session that the bearer may see, with its events.
    pub(super) async fn session(
        &self,
        bearer: &StaffBearer,
        session: &SessionId,
    ) -> Result<SessionView, Refusal> {
        let view = self
            .read(|state| state.session_view(session))
            .await?
            .ok_or_else(view::gone)?;
        bearer.must_belong_to(&view.institution)?;
        if view.agent != bearer.staff {
            bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
        }
        Ok(view)
    }
}
