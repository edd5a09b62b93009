//! How long recordings are kept: the matrix, classes, holds, and what is erased.

use axum::{extract::State, http::HeaderMap};
use guitai_crypto::sm2;
use guitai_recorder::READ_CALL;
use guitai_types::{
    ClassId, Code, Date, NodeName, SessionId,
    command::Command,
    limits::RECORDINGS_LISTED_MAX,
    officer::OfficerWord,
    record::Duty,
    retention::{
        Classing, CopyView, Found, Health, Hold, KeepOrder, KeptView, Matrix, Reading, Retention,
        Stage,
    },
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    between,
    extract::{Json, Path, Query},
    gate::StaffBearer,
    problem::{ProblemBody, Refusal},
};

/// Who may look.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may say what a recording is and when its contract ended.
const CLERKS: &[Duty] = &[Duty::Operator, Duty::Officer];
/// Who may hold, release, and change the matrix.
const OFFICERS: &[Duty] = &[Duty::Officer];

/// Recordings that are read through at once because somebody asked this node.
const SCRUBS_MAX: usize = 4;
/// Longest answer of a node about one copy, in bytes.
const READING_BYTES_MAX: usize = 4096;

static SCRUBS: Semaphore = Semaphore::const_new(SCRUBS_MAX);

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(retention, put_retention))
        .routes(routes!(kept))
        .routes(routes!(keeping))
        .routes(routes!(classify))
        .routes(routes!(hold))
        .routes(routes!(release))
        .routes(routes!(scrub))
}

/// How far a recording is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Is {
    /// Kept.
    Kept,
    /// To be erased, and not everywhere erased.
    Erasing,
    /// Erased.
    Erased,
}

/// Which recordings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only those of this class.
    #[param(value_type = Option<String>)]
    class: Option<ClassId>,
    /// Only those with a hold on them, or without.
    held: Option<bool>,
    /// Only those whose last day is before this one, YYYY-MM-DD in Beijing.
    #[param(value_type = Option<String>)]
    due_before: Option<Date>,
    /// Only those that are so far.
    state: Option<Is>,
}

/// Body of `PUT /api/v1/recordings/{session}/classes`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Classes {
    /// Classes to add; one that is there gets the dates that are given.
    pub(super) classes: Vec<Classing>,
}

/// Body of `POST /api/v1/recordings/{session}/holds`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceHold {
    /// Why, one line of at most 200 bytes; it goes into the transparency log.
    pub(super) reason: String,
}

/// The retention matrix in force, and whatever each class promised before.
#[utoipa::path(get, path = "/api/v1/retention", tag = "keeping", security(("staff" = [])),
    responses((status = 200, body = Retention), (status = "default", body = ProblemBody)))]
async fn retention(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<Retention>, Refusal> {
    core.staff(&headers)?.must_have(VIEWERS)?;
    let retention = core.read(|state| state.retention().cloned()).await?;
    let none = || Refusal::new(Code::NotFound, "there is no retention matrix yet");
    Ok(Json(retention.ok_or_else(none)?))
}

/// Sets the next version of the matrix. Recordings that exist keep the longest they were ever promised; a class
/// that is locked is not shortened at all. Officers only; it goes into the transparency log.
#[utoipa::path(put, path = "/api/v1/retention", tag = "keeping", security(("staff" = [])),
    request_body = Matrix,
    responses((status = 200, body = Retention), (status = "default", body = ProblemBody)))]
async fn put_retention(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(matrix): Json<Matrix>,
) -> Result<Json<Retention>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(OFFICERS)?;
    let (version, by) = (matrix.version, bearer.staff.clone());
    core.keep(KeepOrder::Matrix {
        matrix,
        by: Some(by),
    })
    .await?;
    tracing::warn!(version, by = %bearer.staff, "the retention matrix was changed");
    let retention = core.read(|state| state.retention().cloned()).await?;
    let none = || Refusal::new(Code::NotFound, "there is no retention matrix yet");
    Ok(Json(retention.ok_or_else(none)?))
}

/// Recordings of one's own institution as they are kept, those that end first at the top, at most
/// RECORDINGS_LISTED_MAX.
#[utoipa::path(get, path = "/api/v1/recordings/kept", tag = "keeping", params(Filter),
    security(("staff" = [])),
    responses((status = 200, body = Vec<KeptView>), (status = "default", body = ProblemBody)))]
async fn kept(
    State(core): State<CoreState>,
    Query(filter): Query<Filter>,
    headers: HeaderMap,
) -> Result<Json<Vec<KeptView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(VIEWERS)?;
    let listed = core.read(|state| {
        let all = state.recordings();
        let ours = all.filter(|it| it.institution == bearer.staff.institution);
        let views = ours.map(|it| state.kept_view(it));
        views.filter(|view| filter.takes(view)).collect::<Vec<_>>()
    });
    let mut listed = listed.await?;
    listed.sort_by_key(|view| {
        let until = view.due.as_ref().map(|due| due.until);
        (until.is_none(), until, view.ended_at)
    });
    listed.truncate(RECORDINGS_LISTED_MAX);
    Ok(Json(listed))
}

/// One recording: its classes, holds, last day, and where it stands.
#[utoipa::path(get, path = "/api/v1/recordings/{session}/keeping", tag = "keeping",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = KeptView), (status = "default", body = ProblemBody)))]
async fn keeping(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<KeptView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(VIEWERS)?;
    core.kept_of(&bearer, &session).await.map(Json)
}

/// Says which classes a recording is of, and when product, contract or relationship ended, as the core system
/// knows it. Operators and officers; it goes into the transparency log.
#[utoipa::path(put, path = "/api/v1/recordings/{session}/classes", tag = "keeping",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = Classes,
    responses((status = 200, body = KeptView), (status = "default", body = ProblemBody)))]
async fn classify(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(Classes { classes }): Json<Classes>,
) -> Result<Json<KeptView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(CLERKS)?;
    core.kept_of(&bearer, &session).await?;
    core.keep(KeepOrder::Class {
        session: session.clone(),
        by: bearer.staff.clone(),
        classes,
    })
    .await?;
    core.kept_of(&bearer, &session).await.map(Json)
}

/// Places a hold: from now on the recording is kept whatever its classes say. One officer is enough.
#[utoipa::path(post, path = "/api/v1/recordings/{session}/holds", tag = "keeping",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = PlaceHold,
    responses((status = 200, body = KeptView), (status = "default", body = ProblemBody)))]
async fn hold(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(PlaceHold { reason }): Json<PlaceHold>,
) -> Result<Json<KeptView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(OFFICERS)?;
    core.kept_of(&bearer, &session).await?;
    core.keep(KeepOrder::Hold {
        session: session.clone(),
        by: bearer.staff.clone(),
        reason,
    })
    .await?;
    tracing::warn!(%session, officer = %bearer.staff, "a recording is held");
    core.kept_of(&bearer, &session).await.map(Json)
}

/// An officer approves that a hold ends, with a signature by the officer's own key over session and hold. It
/// ends with the second officer's, within APPROVAL_LIFE_MS of the first.
#[utoipa::path(post, path = "/api/v1/recordings/{session}/holds/{hold}/releases", tag = "keeping",
    params(("session" = SessionId, Path), ("hold" = u32, Path)), security(("staff" = [])),
    request_body = OfficerWord,
    responses((status = 200, body = KeptView), (status = "default", body = ProblemBody)))]
async fn release(
    State(core): State<CoreState>,
    Path((session, hold)): Path<(SessionId, u32)>,
    headers: HeaderMap,
    Json(release): Json<OfficerWord>,
) -> Result<Json<KeptView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(OFFICERS)?;
    core.kept_of(&bearer, &session).await?;
    if release.officer != bearer.staff {
        let detail = "an officer approves for nobody else";
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    let text = Hold::release_text(&session, hold, release.at);
    let key = sm2::PublicKey::from_point(&release.key.0);
    let is_signed = key.is_ok_and(|key| key.verify(text.as_bytes(), &release.signature.0).is_ok());
    if !is_signed {
        let detail = "the approval's signature does not verify";
        return Err(Refusal::new(Code::Forbidden, detail));
    }
    core.keep(KeepOrder::Release {
        session: session.clone(),
        hold,
        release,
    })
    .await?;
    tracing::warn!(%session, hold, officer = %bearer.staff, "the end of a hold was approved");
    core.kept_of(&bearer, &session).await.map(Json)
}

/// Has every node that has a copy of the recording read it through, from the first byte to the last, now. A copy
/// that is damaged is replaced by a replica of a whole one. Takes as long as the slowest node needs.
#[utoipa::path(post, path = "/api/v1/recordings/{session}/scrub", tag = "keeping",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = Vec<Reading>), (status = "default", body = ProblemBody)))]
async fn scrub(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<Vec<Reading>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(CLERKS)?;
    let view = core.kept_of(&bearer, &session).await?;
    if view.stage != Stage::Kept {
        let detail = format!("the recording of session {session} is erased, or being erased");
        return Err(Refusal::new(Code::RecordingErased, detail));
    }
    let Ok(_place) = SCRUBS.try_acquire() else {
        let limit = format!("the limit SCRUBS_MAX is {SCRUBS_MAX} recordings at once");
        return Err(Refusal::new(Code::TooMany, limit));
    };
    let has_something =
        |copy: &&CopyView| !matches!(copy.health, Health::Unsealed | Health::Ordered { .. });
    let copies = view.copies.iter().filter(has_something);
    let read = copies.map(|copy| core.read_copy(&copy.node, &session));
    Ok(Json(futures::future::join_all(read).await))
}

impl Filter {
    fn takes(&self, view: &KeptView) -> bool {
        let class = self.class.as_ref();
        let stage = match view.stage {
            Stage::Kept => Is::Kept,
            Stage::Erasing { .. } => Is::Erasing,
            Stage::Erased { .. } => Is::Erased,
        };
        let until = view.due.as_ref().map(|due| due.until);
        class.is_none_or(|class| view.classes.iter().any(|it| it.class == *class))
            && self.held.is_none_or(|held| held != view.holds.is_empty())
            && self
                .due_before
                .is_none_or(|day| until.is_some_and(|until| until < day))
            && self.state.is_none_or(|state| state == stage)
    }
}

impl Core {
    async fn keep(&self, order: KeepOrder) -> Result<(), Refusal> {
        let order = Box::new(order);
        self.write(Command::Keep { order }).await.map(drop)
    }

    /// Has one node read its copy.
    async fn read_copy(&self, node: &NodeName, session: &SessionId) -> Reading {
        if let Some(recorder) = self.recorder.as_ref().filter(|_| *node == self.member.name) {
            return recorder.read_through(session).await;
        }
        let asked = self.ask_to_read(node, session).await;
        asked.unwrap_or_else(|why| Reading {
            node: node.clone(),
            bytes: 0,
            took_ms: 0,
            found: Found::Unreached { why },
        })
    }

    async fn ask_to_read(&self, node: &NodeName, session: &SessionId) -> Result<Reading, String> {
        let member = self.meta.peek(|state| state.member(node).cloned());
        let target = between::target(&member.ok_or_else(|| format!("{node} is no member"))?);
        let body = session.as_str().as_bytes().to_vec();
        let asked = self.mesh.ask_stream(&target, READ_CALL, body).await;
        let mut answer = asked.map_err(|error| error.to_string())?;
        let answer = answer.read_to_end(READING_BYTES_MAX).await;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }

    pub(super) async fn kept_of(
        &self,
        bearer: &StaffBearer,
        session: &SessionId,
    ) -> Result<KeptView, Refusal> {
        let view = self
            .read(|state| Some(state.kept_view(state.recording(session)?)))
            .await?;
        let none = || Refusal::new(Code::NotFound, "no recording of that session was sealed");
        let view = view.ok_or_else(none)?;
        bearer.must_belong_to(&view.institution)?;
        Ok(view)
    }

    /// Refuses to hand out what is erased, or of which a copy is.
    pub(super) async fn refuse_erased(
        &self,
        bearer: &StaffBearer,
        session: &SessionId,
    ) -> Result<(), Refusal> {
        let recording = self.read(|state| state.recording(session).cloned()).await?;
        match recording {
            Some(it) if it.copies.values().any(|copy| copy.erased_at.is_some()) => {
                bearer.must_belong_to(&it.institution)?;
                let detail =
                    format!("the recording of session {session} is erased, or being erased");
                Err(Refusal::new(Code::RecordingErased, detail))
            }
            _ => Ok(()),
        }
    }
}
