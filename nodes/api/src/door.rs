//! What both doors answer: is the node fit, where does media connect, its numbers, and media over
//! WebSocket.

use std::sync::Arc;

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{self, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, Uri, header},
    response::Response,
};
use futures::{SinkExt as _, StreamExt as _, future::BoxFuture};
use guitai_relay::{Refused, Relay, websocket};
use guitai_types::{
    Code, InstitutionId, NodeName, SessionId,
    view::{DoorView, DoorsView},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    extract::{Json, Path},
    metrics::Metrics,
    problem::{ProblemBody, Refusal},
};

/// Longest WebSocket message in bytes: a record of the media protocol is no larger than a frame.
const MESSAGE_BYTES_MAX: usize = 2 * guitai_types::limits::FRAME_BYTES_MAX;

/// Gives the node's own door; asked for each answer, since its certificates rotate.
pub type DoorSource = Arc<dyn Fn() -> DoorView + Send + Sync>;

/// What the common routes ask of a door.
pub(crate) trait Doorway: Send + Sync {
    /// Who answers.
    fn node(&self) -> NodeName;
    /// Refuses while callers should go to another node.
    fn fit(&self) -> Result<(), Refusal>;
    /// Where media connects.
    fn media_door(&self) -> BoxFuture<'_, Result<DoorView, Refusal>>;
    /// The doors a page may use.
    fn doors(&self) -> DoorsView;
    /// The media relay of this node, if it has one.
    fn relay(&self) -> Option<&Relay>;
    /// The numbers of this node.
    fn metrics(&self) -> Metrics;
}

pub(crate) type DoorState = Arc<dyn Doorway>;

/// Answer of a node that is fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Which node.
    pub node: NodeName,
    /// Product version.
    pub version: String,
}

/// The common routes.
pub(crate) fn routes() -> OpenApiRouter<DoorState> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(door))
        .routes(routes!(doors))
        .route("/{institution}/{session}", axum::routing::get(media))
}

/// Whether callers may be sent here: a core node knows a leader, an edge has a tunnel.
#[utoipa::path(get, path = "/healthz", tag = "door",
    responses((status = 200, body = Health), (status = 503, body = ProblemBody)))]
async fn health(State(door): State<DoorState>) -> Result<Json<Health>, Refusal> {
    door.fit()?;
    Ok(Json(Health {
        node: door.node(),
        version: crate::VERSION.to_owned(),
    }))
}

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "door",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(door): State<DoorState>) -> Response {
    door.metrics().into_response()
}

/// Where media connects, and the certificates to expect there.
#[utoipa::path(get, path = "/api/v1/door", tag = "door",
    responses((status = 200, body = DoorView), (status = "default", body = ProblemBody)))]
async fn door(State(door): State<DoorState>) -> Result<Json<DoorView>, Refusal> {
    door.media_door().await.map(Json)
}

/// The doors a page may use when this one is gone: an edge names edges, an inner node inner nodes.
#[utoipa::path(get, path = "/api/v1/doors", tag = "door",
    responses((status = 200, body = DoorsView), (status = "default", body = ProblemBody)))]
async fn doors(State(door): State<DoorState>) -> Json<DoorsView> {
    Json(door.doors())
}

/// Media over WebSocket, for networks without UDP: `/<institution>/<session>?jwt=<media token>`.
async fn media(
    State(door): State<DoorState>,
    Path((_institution, _session)): Path<(InstitutionId, SessionId)>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade =
        upgrade.map_err(|_| Refusal::new(Code::NotFound, "only a WebSocket leads there"))?;
    let Some(relay) = door.relay().cloned() else {
        return Err(Refusal::new(Code::NotFound, "this node relays no media"));
    };
    let offered = offered_protocols(&headers);
    let protocol = websocket::choose(&offered)
        .ok_or_else(|| Refusal::new(Code::BadRequest, "no media subprotocol in common"))?;
    let path = uri
        .path_and_query()
        .map(ToString::to_string)
        .unwrap_or_default();
    relay.check(&path).map_err(|error| refuse_media(&error))?;
    let upgrade = upgrade
        .protocols([protocol])
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        let socket = socket
            .filter_map(|message| std::future::ready(message.map(from_axum).transpose()))
            .with(|message| std::future::ready(Ok::<_, axum::Error>(to_axum(message))));
        relay.serve_websocket(&path, protocol, socket).await;
    }))
}

fn refuse_media(refused: &Refused) -> Refusal {
    let code = match refused {
        Refused::NoPermit => Code::NoPermit,
        Refused::Full | Refused::TooFast { .. } => Code::TooMany,
        Refused::Deadline | Refused::Handshake(_) => Code::BadRequest,
        Refused::Path | Refused::Token(_) | Refused::Room | Refused::Revoked | Refused::Node => {
            Code::BadToken
        }
    };
    Refusal::new(code, refused.to_string())
}

fn offered_protocols(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Text is nothing we speak: it is skipped.
fn from_axum(message: ws::Message) -> Option<websocket::Message> {
    Some(match message {
        ws::Message::Binary(bytes) => websocket::Message::Binary(bytes),
        ws::Message::Ping(bytes) => websocket::Message::Ping(bytes),
        ws::Message::Pong(bytes) => websocket::Message::Pong(bytes),
        ws::Message::Close(_) => websocket::Message::Close,
        ws::Message::Text(_) => return None,
    })
}

fn to_axum(message: websocket::Message) -> ws::Message {
    match message {
        websocket::Message::Binary(bytes) => ws::Message::Binary(bytes),
        websocket::Message::Ping(bytes) => ws::Message::Ping(bytes),
        websocket::Message::Pong(bytes) => ws::Message::Pong(bytes),
        websocket::Message::Close => ws::Message::Close(None),
    }
}
