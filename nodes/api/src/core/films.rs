//! Films of recordings: asked for, watched while they are made, cancelled, handed out with a reason.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use guitai_net::CallError;
use guitai_recorder::{ExportError, FilmPart, Pieces, fetch_film};
use guitai_types::{
    Code, NodeName, SessionId,
    command::{Command, Reply},
    film::{Film, FilmLayout, FilmMaker, FilmOrder, FilmStage, FilmView},
    limits::FILMS_LISTED_MAX,
    record::Duty,
    tlog::{Access, AccessKind},
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

/// Who may ask for films, see how far they are, and cancel them.
const ASKERS: &[Duty] = &[Duty::Operator, Duty::Officer, Duty::Auditor];
/// Who may have one: whoever may have the evidence.
const VIEWERS: &[Duty] = &[Duty::Operator, Duty::Auditor];
/// Films sent at once by one node.
const FILMS_SENT_MAX: usize = 8;

static PLACES: Semaphore = Semaphore::const_new(FILMS_SENT_MAX);

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(of_recording, order))
        .routes(routes!(films))
        .routes(routes!(film, cancel))
        .routes(routes!(file))
        .routes(routes!(description))
}

/// Body of `POST /api/v1/recordings/{session}/films`.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderFilm {
    /// How the panes are arranged.
    #[serde(default)]
    pub(super) layout: FilmLayout,
    /// Text burnt in beside institution and session, 1 to 60 characters; without it the number of the business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) watermark: Option<String>,
    /// What for, one line of at most 200 bytes; may be left out.
    #[serde(default)]
    pub(super) reason: String,
}

/// Films, and who can make them.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FilmList {
    /// Newest first, at most FILMS_LISTED_MAX.
    pub(super) films: Vec<FilmView>,
    /// What the recorders said about making films.
    pub(super) makers: Vec<FilmMaker>,
}

/// Why it is wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Why {
    /// In the person's own words: one line, at most 200 bytes. It goes into the transparency log before the first
    /// byte of the film is sent; what the log does not take is not sent.
    #[param(value_type = String)]
    reason: Option<String>,
}

/// Asks for a film of a recording; a node makes it in the background. The same film, if it waits, is made or is
/// there, is not made twice. Nothing is handed out by this.
#[utoipa::path(post, path = "/api/v1/recordings/{session}/films", tag = "films",
    params(("session" = SessionId, Path)), security(("staff" = [])), request_body = OrderFilm,
    responses((status = 200, body = FilmView), (status = "default", body = ProblemBody)))]
async fn order(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
    Json(OrderFilm {
        layout,
        watermark,
        reason,
    }): Json<OrderFilm>,
) -> Result<Json<FilmView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    core.kept_of(&bearer, &session).await?;
    let order = Box::new(FilmOrder::Make {
        session,
        layout,
        watermark,
        by: bearer.staff.clone(),
        reason,
    });
    let Reply::Film { film, .. } = core.write(Command::Film { order }).await? else {
        return Err(Refusal::new(Code::Internal, "the order was not numbered"));
    };
    core.film_of(&bearer, film).await.map(Json)
}

/// Films of one recording.
#[utoipa::path(get, path = "/api/v1/recordings/{session}/films", tag = "films",
    params(("session" = SessionId, Path)), security(("staff" = [])),
    responses((status = 200, body = FilmList), (status = "default", body = ProblemBody)))]
async fn of_recording(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    headers: HeaderMap,
) -> Result<Json<FilmList>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    core.kept_of(&bearer, &session).await?;
    core.list_films(&bearer, |film| film.session == session)
        .await
        .map(Json)
}

/// Films of one's own institution.
#[utoipa::path(get, path = "/api/v1/films", tag = "films", security(("staff" = [])),
    responses((status = 200, body = FilmList), (status = "default", body = ProblemBody)))]
async fn films(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<FilmList>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    core.list_films(&bearer, |_| true).await.map(Json)
}

/// One film: where it stands, and what was made.
#[utoipa::path(get, path = "/api/v1/films/{film}", tag = "films",
    params(("film" = u32, Path)), security(("staff" = [])),
    responses((status = 200, body = FilmView), (status = "default", body = ProblemBody)))]
async fn film(
    State(core): State<CoreState>,
    Path(film): Path<u32>,
    headers: HeaderMap,
) -> Result<Json<FilmView>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    core.film_of(&bearer, film).await.map(Json)
}

/// Cancels a film that waits or is made; removes one that is finished. It can be asked for again.
#[utoipa::path(delete, path = "/api/v1/films/{film}", tag = "films",
    params(("film" = u32, Path)), security(("staff" = [])),
    responses((status = 204), (status = "default", body = ProblemBody)))]
async fn cancel(
    State(core): State<CoreState>,
    Path(film): Path<u32>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    core.film_of(&bearer, film).await?;
    let by = bearer.staff.clone();
    let order = Box::new(FilmOrder::Cancel { film, by });
    core.write(Command::Film { order }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The film. A connection that breaks off means that it is not complete. Who had it, and why, is in the
/// transparency log.
#[utoipa::path(get, path = "/api/v1/films/{film}/file", tag = "films",
    params(("film" = u32, Path), Why), security(("staff" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "video/mp4"),
        (status = "default", body = ProblemBody)))]
async fn file(
    State(core): State<CoreState>,
    Path(film): Path<u32>,
    Query(Why { reason }): Query<Why>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(VIEWERS)?;
    let (film, node) = core.finished(&bearer, film).await?;
    let Ok(place) = PLACES.try_acquire() else {
        let limit = format!("the limit FILMS_SENT_MAX is {FILMS_SENT_MAX} films at once");
        return Err(Refusal::new(Code::TooMany, limit));
    };
    let access = Access {
        who: bearer.staff.clone(),
        session: film.session.clone(),
        what: AccessKind::Film,
        reason: reason.unwrap_or_default(),
    };
    core.note_access(access).await?;
    let pieces = core.film_pieces(&node, &film, FilmPart::Film).await?;
    let (session, number) = (&film.session, film.number);
    tracing::info!(%session, film = number, staff = %bearer.staff, "film handed out");
    let held = pieces.inspect(move |_| {
        let _ = &place;
    });
    let headers = download("video/mp4", &format!("guitai-{session}-{number}.mp4"));
    Ok((headers, Body::from_stream(held)).into_response())
}

/// What a film is made of, and the digest of each of its minutes: what `guitai evidence composite verify` reads
/// beside it. Shows nobody's face or voice, so no reason is asked.
#[utoipa::path(get, path = "/api/v1/films/{film}/description", tag = "films",
    params(("film" = u32, Path)), security(("staff" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "application/json"),
        (status = "default", body = ProblemBody)))]
async fn description(
    State(core): State<CoreState>,
    Path(film): Path<u32>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(ASKERS)?;
    let (film, node) = core.finished(&bearer, film).await?;
    let pieces = core.film_pieces(&node, &film, FilmPart::Description);
    let pieces = pieces.await?;
    let (session, number) = (&film.session, film.number);
    let name = format!("guitai-{session}-{number}.composite.json");
    Ok((
        download("application/json", &name),
        Body::from_stream(pieces),
    )
        .into_response())
}

fn download(kind: &'static str, name: &str) -> HeaderMap {
    let name = format!("attachment; filename=\"{name}\"");
    // An id has only letters that a header value may have.
    let name = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("attachment"));
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, name),
    ])
}

impl Core {
    async fn list_films(
        &self,
        bearer: &StaffBearer,
        wanted: impl Fn(&Film) -> bool,
    ) -> Result<FilmList, Refusal> {
        let ours = |film: &&Film| film.institution == bearer.staff.institution && wanted(film);
        self.read(|state| FilmList {
            films: state
                .films()
                .filter(ours)
                .take(FILMS_LISTED_MAX)
                .map(|film| state.film_view(film))
                .collect(),
            makers: state.film_makers().cloned().collect(),
        })
        .await
    }

    async fn film_of(&self, bearer: &StaffBearer, number: u32) -> Result<FilmView, Refusal> {
        let view = self
            .read(|state| Some(state.film_view(state.film(number)?)))
            .await?;
        let none = || Refusal::new(Code::NotFound, format!("there is no film {number}"));
        let view = view.ok_or_else(none)?;
        bearer.must_belong_to(&view.film.institution)?;
        Ok(view)
    }

    /// A film that can be had, and the node that has it.
    async fn finished(
        &self,
        bearer: &StaffBearer,
        number: u32,
    ) -> Result<(Film, NodeName), Refusal> {
        let film = self.film_of(bearer, number).await?.film;
        self.refuse_erased(bearer, &film.session).await?;
        match &film.stage {
            FilmStage::Done { node, .. } => {
                let node = node.clone();
                Ok((film, node))
            }
            _ => Err(Refusal::new(
                Code::WrongState,
                format!("film {number} is not made"),
            )),
        }
    }

    async fn film_pieces(
        &self,
        node: &NodeName,
        film: &Film,
        part: FilmPart,
    ) -> Result<Pieces, Refusal> {
        let (session, number) = (&film.session, film.number);
        if let Some(recorder) = self.recorder.as_ref().filter(|_| *node == self.member.name) {
            let pieces = recorder.film(session, number, part).await;
            let pieces = pieces.map_err(|error| match error {
                ExportError::NoFilm(..) => Refusal::new(
                    Code::NotFound,
                    format!("{error}; cancel it and ask for it again"),
                ),
                error => Refusal::internal("handing a film out", &error),
            })?;
            return Ok(pieces.boxed());
        }
        let member = self.meta.peek(|state| state.member(node).cloned());
        let member = member.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                format!("node {node}, which has it, is no member; cancel it and ask for it again"),
            )
        })?;
        let target = between::target(&member);
        let asked = fetch_film(&self.mesh, &target, session, number, part).await;
        asked.map_err(|error| match error {
            CallError::Refused { .. } | CallError::NoAnswer { .. } => {
                Refusal::internal("handing a film out", &error)
            }
            error => {
                tracing::warn!(%session, film = number, %error, "a node was not asked for its film");
                Refusal::new(
                    Code::NodeUnreachable,
                    format!("{error}; another node makes it when it is cancelled and asked for again"),
                )
            }
        })
    }
}
