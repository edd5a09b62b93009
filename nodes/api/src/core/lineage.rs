//! Lineages: which one this node is of, taking over, and coming back from an old one. All of it is about
//! the node that is asked, so it works without a leader and in quarantine.

use axum::{extract::State, http::HeaderMap};
use guitai_types::{
    Epoch,
    lineage::{LineageView, Rejoined, VoiceOrder},
    record::Duty,
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::CoreState;
use crate::{
    extract::Json,
    problem::{ProblemBody, Refusal},
};

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(lineage))
        .routes(routes!(rejoin))
        .routes(routes!(voices))
}

/// Body of `POST /api/v1/node/rejoin`.
#[derive(Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rejoin {
    /// The epoch to join; the highest this node has heard of unless given.
    #[serde(default)]
    pub(super) epoch: Option<Epoch>,
}

/// Which lineage this node is of, and the takeover that began it.
#[utoipa::path(get, path = "/api/v1/node/lineage", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = LineageView), (status = "default", body = ProblemBody)))]
async fn lineage(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<LineageView>, Refusal> {
    core.staff(&headers)?;
    Ok(Json(core.meta.lineage_view()))
}

/// Has this node, left behind on an old lineage, set its log aside and come back as a learner. Entries
/// that the new lineage does not have are exported first. Operators only, by the accounts it has applied.
#[utoipa::path(post, path = "/api/v1/node/rejoin", tag = "cluster", request_body = Rejoin,
    security(("staff" = [])),
    responses((status = 200, body = Rejoined), (status = "default", body = ProblemBody)))]
async fn rejoin(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(Rejoin { epoch }): Json<Rejoin>,
) -> Result<Json<Rejoined>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator])?;
    let rejoined = core.meta.rejoin(epoch, bearer.staff.to_string()).await;
    rejoined.map(Json).map_err(|error| Refusal(error.problem()))
}

/// Changes who votes, by joint consensus; done when it is agreed on. Operators only; refused while a
/// margin is missing, which the detail names.
#[utoipa::path(post, path = "/api/v1/voices", tag = "cluster", request_body = VoiceOrder,
    security(("staff" = [])),
    responses((status = 200, body = VoiceOrder), (status = "default", body = ProblemBody)))]
async fn voices(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(order): Json<VoiceOrder>,
) -> Result<Json<VoiceOrder>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator])?;
    let changed = core.meta.change_voices(order.clone()).await;
    changed.map_err(|error| Refusal(error.problem()))?;
    Ok(Json(order))
}
