//! The customer's door: everything it answers comes from the core through the guard.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use guitai_host::Clock;
use guitai_relay::{Relay, guard::Guard, token::Verifier};
use guitai_types::{
    Code, Hex, MessageId, NodeName, TicketId,
    control::{Answer, Ask, Catalogue, OpenTicket},
    message::Message,
    view::{DoorView, DoorsView, TicketView},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    door::{self, DoorSource, Doorway},
    doors::DoorList,
    extract::{Json, Path, Query},
    gate::Gate,
    inventory::SandboxSource,
    layers,
    messages::{Named, Paces, Rules, Say, Since, declared, handed_out},
    metrics::{CertificateSource, DoorStatsSource, Metrics},
    openapi, pages,
    problem::{ProblemBody, Refusal},
    streams::{Streams, last_seen, lasting_ms, newer_than},
};

/// What an edge's door needs.
pub struct EdgeDeps {
    /// This node.
    pub node: NodeName,
    /// The way to the core.
    pub guard: Guard,
    /// The media relay of this edge.
    pub relay: Relay,
    /// Checks tickets.
    pub verifier: Verifier,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where media connects.
    pub door: DoorSource,
    /// Numbers about its certificates.
    pub certificates: CertificateSource,
    /// What holds it.
    pub sandbox: SandboxSource,
    /// What texts and files are held to.
    pub rules: Rules,
    /// Numbers about who came to its door.
    pub door_stats: DoorStatsSource,
}

pub(crate) struct Edge {
    node: NodeName,
    guard: Guard,
    relay: Relay,
    door: DoorSource,
    certificates: CertificateSource,
    sandbox: SandboxSource,
    rules: Rules,
    door_stats: DoorStatsSource,
    paces: Paces,
    file_paces: Paces,
    clock: Arc<dyn Clock>,
    gate: Gate,
    streams: Streams,
    doors: DoorList,
}

pub(crate) type EdgeState = Arc<Edge>;

/// Routes of an edge.
pub fn edge_router(deps: EdgeDeps) -> Router {
    let EdgeDeps {
        node,
        guard,
        relay,
        verifier,
        clock,
        door,
        certificates,
        sandbox,
        rules,
        door_stats,
    } = deps;
    let epochs = guard.clone();
    let epoch = Box::new(move || epochs.epoch());
    let gate = Gate {
        verifier,
        clock: clock.clone(),
        epoch,
    };
    let doors = DoorList {
        node: node.clone(),
        doors: guard.doors(),
    };
    let edge = Arc::new(Edge {
        node,
        guard,
        relay,
        door,
        certificates,
        sandbox,
        rules,
        door_stats,
        paces: Paces::default(),
        file_paces: Paces::default(),
        clock: clock.clone(),
        gate,
        streams: Streams::default(),
        doors: doors.clone(),
    });
    let (api, _) = routes().split_for_parts();
    let (common, _) = door::routes().split_for_parts();
    let (files, _) = file_routes().split_for_parts();
    let files = files.with_state(edge.clone());
    let router = api
        .with_state(edge.clone())
        .merge(common.with_state(edge))
        .merge(openapi::route())
        .merge(pages::customer(&doors));
    layers::wrap(router, files, clock, Arc::new(doors))
}

/// The documented routes.
pub(crate) fn routes() -> OpenApiRouter<EdgeState> {
    OpenApiRouter::new()
        .routes(routes!(catalogue))
        .routes(routes!(open_ticket))
        .routes(routes!(ticket))
        .routes(routes!(ticket_events))
        .routes(routes!(close_ticket))
        .routes(routes!(rate))
        .routes(routes!(confirm))
        .routes(routes!(say, messages))
        .routes(routes!(rejoin))
        .routes(routes!(leave))
}

/// Those whose bodies are files.
pub(crate) fn file_routes() -> OpenApiRouter<EdgeState> {
    OpenApiRouter::new()
        .routes(routes!(send_file))
        .routes(routes!(file))
}

/// Answer to a new ticket.
#[derive(Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// The ticket.
    pub ticket: TicketId,
    /// Its token: `Authorization: Bearer <token>`.
    pub token: String,
    /// How it stands.
    pub view: TicketView,
}

/// Body of `POST /api/v1/tickets/{ticket}/close`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseTicket {
    /// `true` hangs up a call, `false` leaves the queue.
    pub hang_up: bool,
}

/// Body of `POST /api/v1/tickets/{ticket}/rating`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// 1 to 5.
    pub stars: u8,
    /// In the customer's words.
    #[serde(default)]
    pub comment: String,
}

/// Body of `POST /api/v1/tickets/{ticket}/confirm`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Step id.
    pub step: String,
}

/// Body of `PUT /api/v1/tickets/{ticket}/key` and `POST /api/v1/tickets/{ticket}/leave`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageKey {
    /// SM2 public key of the page, uncompressed point (65 bytes) in hex.
    pub media_key: Hex,
}

impl Edge {
    fn may_take_calls(&self) -> Result<(), Refusal> {
        if self.relay.accepts_new() {
            return Ok(());
        }
        let detail = "no leader has let this edge take new calls for some seconds";
        Err(Refusal::new(Code::NoPermit, detail))
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, Refusal> {
        self.ask_with(ask, &[]).await.map(|(answer, _)| answer)
    }

    async fn ask_with(&self, ask: Ask, file: &[u8]) -> Result<(Answer, Vec<u8>), Refusal> {
        match self.guard.ask_with(ask, file).await {
            Ok((Answer::Refused { problem }, _)) => Err(Refusal(problem)),
            Ok(answered) => Ok(answered),
            Err(error) => Err(Refusal(error.problem())),
        }
    }

    async fn ask_view(&self, ask: Ask) -> Result<Json<TicketView>, Refusal> {
        match self.ask(ask).await? {
            Answer::Ticket { view } => Ok(Json(*view)),
            _ => Err(unexpected()),
        }
    }

    async fn do_for(&self, ticket: &TicketId, ask: Ask) -> Result<Json<TicketView>, Refusal> {
        match self.ask(ask).await? {
            Answer::Done => {
                self.ask_view(Ask::Ticket {
                    ticket: ticket.clone(),
                })
                .await
            }
            Answer::Ticket { view } => Ok(Json(*view)),
            _ => Err(unexpected()),
        }
    }
}

impl Doorway for Edge {
    fn node(&self) -> NodeName {
        self.node.clone()
    }

    fn fit(&self) -> Result<(), Refusal> {
        if self.guard.tunnels().is_empty() {
            return Err(Refusal::new(
                Code::NoTunnel,
                "no inner node has a tunnel to this edge",
            ));
        }
        self.may_take_calls()
    }

    fn media_door(&self) -> BoxFuture<'_, Result<DoorView, Refusal>> {
        std::future::ready(Ok((self.door)())).boxed()
    }

    fn doors(&self) -> DoorsView {
        self.doors.view()
    }

    fn relay(&self) -> Option<&Relay> {
        Some(&self.relay)
    }

    fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        metrics.about(self.node.as_str());
        metrics.sandbox((self.sandbox)().state());
        let tunnels = self.guard.tunnels().len();
        metrics.gauge("guard_tunnels", "Tunnels from inner nodes.", tunnels);
        metrics.gauge(
            "guard_epoch",
            "Highest epoch told by a core node.",
            self.guard.epoch().0,
        );
        metrics.guard(&self.guard.stats());
        metrics.door(&(self.door_stats)());
        self.rules.metrics(&mut metrics);
        metrics.relay(&self.relay.stats());
        metrics.certificates(&(self.certificates)());
        let streams = self.streams.open();
        metrics.gauge(
            "api_event_streams",
            "Server-sent event streams open.",
            streams,
        );
        metrics
    }
}

fn unexpected() -> Refusal {
    Refusal::new(Code::Internal, "the core gave an answer of another kind")
}

/// Institutions and queues to choose from.
#[utoipa::path(get, path = "/api/v1/catalogue", tag = "customer",
    responses((status = 200, body = Catalogue), (status = "default", body = ProblemBody)))]
async fn catalogue(State(edge): State<EdgeState>) -> Result<Json<Catalogue>, Refusal> {
    match edge.ask(Ask::Catalogue).await? {
        Answer::Catalogue { catalogue } => Ok(Json(catalogue)),
        _ => Err(unexpected()),
    }
}

/// Enters a queue.
#[utoipa::path(post, path = "/api/v1/tickets", tag = "customer", request_body = OpenTicket,
    responses((status = 201, body = Opened), (status = "default", body = ProblemBody)))]
async fn open_ticket(
    State(edge): State<EdgeState>,
    Json(body): Json<OpenTicket>,
) -> Result<Response, Refusal> {
    edge.may_take_calls()?;
    match edge.ask(Ask::OpenTicket(body)).await? {
        Answer::Opened {
            ticket,
            token,
            view,
        } => {
            let opened = Opened {
                ticket,
                token,
                view: *view,
            };
            Ok((StatusCode::CREATED, Json(opened)).into_response())
        }
        _ => Err(unexpected()),
    }
}

/// How the ticket stands.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])),
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn ticket(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
) -> Result<Json<TicketView>, Refusal> {
    let bearer = edge.gate.ticket(&headers, &ticket)?;
    edge.ask_view(Ask::Ticket {
        ticket: bearer.ticket,
    })
    .await
}

/// Says whenever the ticket changes, and keeps it alive: events `ticket`, numbered, content TicketView;
/// and `doors`, not numbered, content DoorsView, whenever the list of doors changes.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/events", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])),
    responses((status = 200, body = TicketView, content_type = "text/event-stream"),
        (status = "default", body = ProblemBody)))]
async fn ticket_events(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bearer = edge.gate.ticket(&headers, &ticket)?;
    let views = edge.guard.watch(ticket.clone()).await;
    let views = views
        .map_err(|error| Refusal(error.problem()))?
        .map(|view| (view.number, view));
    let lasting = lasting_ms(&headers, bearer.expires_in_ms);
    let views = newer_than(last_seen(&headers), lasting, views);
    edge.streams
        .answer(format!("ticket/{ticket}"), "ticket", views, &edge.doors)
}

/// Leaves the queue, or hangs up.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/close", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = CloseTicket,
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn close_ticket(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(body): Json<CloseTicket>,
) -> Result<Json<TicketView>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    let ask = Ask::CloseTicket {
        ticket: ticket.clone(),
        hang_up: body.hang_up,
    };
    edge.do_for(&ticket, ask).await
}

/// Rates the ended call.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/rating", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = Rating,
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn rate(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(Rating { stars, comment }): Json<Rating>,
) -> Result<Json<TicketView>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    edge.do_for(
        &ticket,
        Ask::Rate {
            ticket: ticket.clone(),
            stars,
            comment,
        },
    )
    .await
}

/// Confirms a business step shown on the customer's page.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/confirm", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = Confirmation,
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn confirm(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(Confirmation { step }): Json<Confirmation>,
) -> Result<Json<TicketView>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    edge.do_for(
        &ticket,
        Ask::Confirm {
            ticket: ticket.clone(),
            step,
        },
    )
    .await
}

/// Says something to the agent. What the rules mask is masked before it leaves this node; what they refuse goes no
/// further, and the problem's detail says how much of what was found.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/messages", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = Say,
    responses((status = 200, body = Message), (status = "default", body = ProblemBody)))]
async fn say(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(Say { text }): Json<Say>,
) -> Result<Json<Message>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    edge.paces.text(&ticket, edge.clock.monotonic())?;
    let (text, found) = edge.rules.text(&text)?;
    let ask = Ask::Say {
        ticket,
        text,
        found,
    };
    match edge.ask(ask).await? {
        Answer::Messages { messages } => {
            let taken = messages.into_iter().next().ok_or_else(unexpected)?;
            Ok(Json(taken))
        }
        _ => Err(unexpected()),
    }
}

/// What the parties of the call have said to each other, by number.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/messages", tag = "customer",
    params(("ticket" = TicketId, Path), Since), security(("ticket" = [])),
    responses((status = 200, body = Vec<Message>), (status = "default", body = ProblemBody)))]
async fn messages(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Query(Since { after }): Query<Since>,
) -> Result<Json<Vec<Message>>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    match edge.ask(Ask::Messages { ticket, after }).await? {
        Answer::Messages { messages } => Ok(Json(messages)),
        _ => Err(unexpected()),
    }
}

/// Sends the agent a file: a JPEG, a PNG or a PDF, made anew here before it leaves this node, and once more inside.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/files", tag = "customer",
    params(("ticket" = TicketId, Path), Named), security(("ticket" = [])),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Message), (status = "default", body = ProblemBody)))]
async fn send_file(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    Query(Named { name }): Query<Named>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Message>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    edge.file_paces.file(&ticket, edge.clock.monotonic())?;
    let (body, _permit) = edge.rules.receive(body).await?;
    let (file, bytes) = edge.rules.file(name, declared(&headers), body).await?;
    let ask = Ask::SendFile { ticket, file };
    match edge.ask_with(ask, &bytes).await?.0 {
        Answer::Messages { messages } => {
            let taken = messages.into_iter().next().ok_or_else(unexpected)?;
            Ok(Json(taken))
        }
        _ => Err(unexpected()),
    }
}

/// A file that was sent in the call.
#[utoipa::path(get, path = "/api/v1/tickets/{ticket}/files/{message}", tag = "customer",
    params(("ticket" = TicketId, Path), ("message" = MessageId, Path)), security(("ticket" = [])),
    responses((status = 200, content_type = "application/octet-stream"), (status = "default", body = ProblemBody)))]
async fn file(
    State(edge): State<EdgeState>,
    Path((ticket, message)): Path<(TicketId, MessageId)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    match edge
        .ask_with(Ask::FetchFile { ticket, message }, &[])
        .await?
    {
        (Answer::File { file }, bytes) => Ok(handed_out(&file, bytes)),
        _ => Err(unexpected()),
    }
}

/// A page that was loaded again in a call takes part with its new key pair.
#[utoipa::path(put, path = "/api/v1/tickets/{ticket}/key", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = PageKey,
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn rejoin(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(PageKey { media_key }): Json<PageKey>,
) -> Result<Json<TicketView>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    let ask = Ask::Rejoin {
        ticket: ticket.clone(),
        media_key,
    };
    edge.do_for(&ticket, ask).await
}

/// A page goes away in a call and may come back; its key pair opens nothing new.
#[utoipa::path(post, path = "/api/v1/tickets/{ticket}/leave", tag = "customer",
    params(("ticket" = TicketId, Path)), security(("ticket" = [])), request_body = PageKey,
    responses((status = 200, body = TicketView), (status = "default", body = ProblemBody)))]
async fn leave(
    State(edge): State<EdgeState>,
    Path(ticket): Path<TicketId>,
    headers: HeaderMap,
    Json(PageKey { media_key }): Json<PageKey>,
) -> Result<Json<TicketView>, Refusal> {
    edge.gate.ticket(&headers, &ticket)?;
    let ask = Ask::Leave {
        ticket: ticket.clone(),
        media_key,
    };
    edge.do_for(&ticket, ask).await
}
