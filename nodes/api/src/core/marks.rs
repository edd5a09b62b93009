//! Marks: how a monitor or a drill writes through the whole of the core and reads back.

use axum::extract::State;
use guitai_types::{
    Code, MarkName, command::Command, limits::MARKS_LISTED_MAX, mark::MarkView, record::Duty,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::CoreState;
use crate::{
    extract::{Json, Path, Query},
    problem::{ProblemBody, Refusal},
};

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(put_mark))
        .routes(routes!(mark))
        .routes(routes!(marks))
}

/// Body of `PUT /api/v1/marks/{mark}`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutMark {
    /// The value, at most MARK_BYTES_MAX bytes; an empty one removes the mark.
    pub(super) value: String,
    /// Whether the answer waits for the guard city, as that of a consent does. Else a quorum is enough.
    #[serde(default)]
    pub(super) sync: bool,
}

/// Query of `GET /api/v1/marks`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Which {
    /// Names that begin so.
    prefix: String,
    /// Names after this one; the last of an answer that was full.
    after: String,
}

/// Sets a mark: a value without meaning to the product, for monitors and drills. Answered when it is as
/// durable as its class asks for. Operators only.
#[utoipa::path(put, path = "/api/v1/marks/{mark}", tag = "cluster", request_body = PutMark,
    params(("mark" = MarkName, Path)), security(("staff" = [])),
    responses((status = 204), (status = "default", body = ProblemBody)))]
async fn put_mark(
    State(core): State<CoreState>,
    Path(mark): Path<MarkName>,
    headers: HeaderMap,
    Json(PutMark { value, sync }): Json<PutMark>,
) -> Result<StatusCode, Refusal> {
    core.staff(&headers)?.must_have(&[Duty::Operator])?;
    core.write(Command::PutMark { mark, value, sync }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A mark, as it is after everything acknowledged before. Operators only.
#[utoipa::path(get, path = "/api/v1/marks/{mark}", tag = "cluster",
    params(("mark" = MarkName, Path)), security(("staff" = [])),
    responses((status = 200, body = MarkView), (status = "default", body = ProblemBody)))]
async fn mark(
    State(core): State<CoreState>,
    Path(name): Path<MarkName>,
    headers: HeaderMap,
) -> Result<Json<MarkView>, Refusal> {
    core.staff(&headers)?.must_have(&[Duty::Operator])?;
    let mark = core.read(|state| state.mark(&name).cloned()).await?;
    let mark = mark.ok_or_else(|| Refusal::new(Code::NotFound, "no such mark"))?;
    Ok(Json(MarkView { name, mark }))
}

/// Marks in order of their names, at most MARKS_LISTED_MAX at once, as they are after everything
/// acknowledged before. Operators only.
#[utoipa::path(get, path = "/api/v1/marks", tag = "cluster", params(Which), security(("staff" = [])),
    responses((status = 200, body = Vec<MarkView>), (status = "default", body = ProblemBody)))]
async fn marks(
    State(core): State<CoreState>,
    Query(Which { prefix, after }): Query<Which>,
    headers: HeaderMap,
) -> Result<Json<Vec<MarkView>>, Refusal> {
    core.staff(&headers)?.must_have(&[Duty::Operator])?;
    let listed = core.read(|state| {
        let all = state.marks(&prefix);
        let later = all.filter(|(name, _)| name.as_str() > after.as_str());
        let view = later.map(|(name, mark)| MarkView {
            name: name.clone(),
            mark: mark.clone(),
        });
        view.take(MARKS_LISTED_MAX).collect()
    });
    Ok(Json(listed.await?))
}
