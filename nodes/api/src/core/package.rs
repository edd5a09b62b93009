//! The evidence package of a session, from whichever node keeps it.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use guitai_net::CallError;
use guitai_recorder::Pieces;
use guitai_types::{
    Code, Member, NodeName, SessionId,
    command::Command,
    record::{Duty, RecordingState},
    tlog::{Access, AccessKind},
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    between,
    extract::{Path, Query},
    problem::{ProblemBody, Refusal},
};

/// Packages sent at once by one node: each reads a recording from disk and opens its seal.
pub const PACKAGES_MAX: usize = 8;

static PLACES: Semaphore = Semaphore::const_new(PACKAGES_MAX);

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new().routes(routes!(package))
}

/// Which of a session's recordings.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// The node that made it; without it the one that has most of the call. A session may have several:
    /// two nodes record it, and one that was replaced keeps what it has.
    #[param(value_type = Option<String>)]
    recorder: Option<NodeName>,
    /// Why it is wanted, in the person's own words: one line, at most 200 bytes. It goes into the transparency
    /// log before the first byte of the package is sent; what the log does not take is not sent.
    #[param(value_type = String)]
    reason: Option<String>,
    /// What it is wanted for: `export` without it; `play` for looking at it, `copy` for keeping it elsewhere.
    what: Option<AccessKind>,
}

/// The evidence package as a tar stream. A connection that breaks off means that it is not complete.
#[utoipa::path(get, path = "/api/v1/recordings/{session}/package", tag = "session",
    params(("session" = SessionId, Path), Which), security(("staff" = [])),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"),
        (status = "default", body = ProblemBody)))]
async fn package(
    State(core): State<CoreState>,
    Path(session): Path<SessionId>,
    Query(which): Query<Which>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Which {
        recorder,
        reason,
        what,
    } = which;
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    if what == Some(AccessKind::Film) {
        let detail = "a package is no film: see /api/v1/films";
        return Err(Refusal::new(Code::BadRequest, detail));
    }
    core.refuse_erased(&bearer, &session).await?;
    let view = core.session(&bearer, &session).await?;
    let mut turns = view.assignments.into_iter().rev();
    let recording = match &recorder {
        None => view.recording,
        Some(node) => match turns.find(|turn| turn.node == *node) {
            Some(turn) => turn.recording,
            None => {
                let detail = format!("node {node} had no part in recording session {session}");
                return Err(Refusal::new(Code::NotFound, detail));
            }
        },
    };
    let RecordingState::Sealed { summary } = recording else {
        return Err(Refusal::new(
            Code::WrongState,
            "the recording is not sealed yet",
        ));
    };
    let Ok(place) = PLACES.try_acquire() else {
        let limit = format!("the limit PACKAGES_MAX is {PACKAGES_MAX} packages at once");
        return Err(Refusal::new(Code::TooMany, limit));
    };
    let access = Access {
        who: bearer.staff.clone(),
        session: session.clone(),
        what: what.unwrap_or(AccessKind::Export),
        reason: reason.unwrap_or_default(),
    };
    core.note_access(access).await?;
    let node = match recorder {
        Some(node) => node,
        None => core.with_a_whole_copy(summary.node, &session).await?,
    };
    let pieces = core.pieces(&node, &session).await?;
    tracing::info!(%session, staff = %bearer.staff, "evidence package handed out");
    let held = pieces.inspect(move |_| {
        let _ = &place;
    });
    Ok((download_headers(&session), Body::from_stream(held)).into_response())
}

fn download_headers(session: &SessionId) -> HeaderMap {
    let name = format!("attachment; filename=\"guitai-{session}.tar\"");
    // An id has only letters that a header value may have.
    let name = HeaderValue::from_str(&name).unwrap_or(HeaderValue::from_static("attachment"));
    let kind = HeaderValue::from_static("application/x-tar");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, name),
    ])
}

impl Core {
    /// Has an access written into the log; whoever is not written down gets nothing.
    pub(super) async fn note_access(&self, access: Access) -> Result<(), Refusal> {
        let (session, staff) = (access.session.clone(), access.who.clone());
        let noted = self.write(Command::LogAccess { access }).await;
        let has_log = self.meta.log_status().is_some();
        match noted {
            // Founded by a release without one: there is nothing to write into.
            Err(Refusal(problem)) if problem.code == Code::WrongState && !has_log => {
                tracing::warn!(%session, %staff, "handed out by a cluster without a log");
                Ok(())
            }
            noted => noted.map(drop),
        }
    }

    async fn pieces(&self, node: &NodeName, session: &SessionId) -> Result<Pieces, Refusal> {
        if let Some(recorder) = self.recorder.as_ref().filter(|_| *node == self.member.name) {
            let package = recorder.export(session).await;
            let package = package.map_err(|error| Refusal::internal("exporting", &error))?;
            return Ok(package.boxed());
        }
        let member: Option<Member> = self.meta.peek(|state| state.member(node).cloned());
        let member = member.ok_or_else(|| {
            Refusal::new(
                Code::NotFound,
                format!("node {node}, which keeps it, is no member"),
            )
        })?;
        let asked = guitai_recorder::fetch(&self.mesh, &between::target(&member), session).await;
        asked.map_err(|error| match error {
            CallError::Refused { .. } | CallError::NoAnswer { .. } => {
                Refusal::internal("exporting", &error)
            }
            error => {
                tracing::warn!(%session, %error, "a recorder was not asked for its package");
                Refusal::new(Code::NodeUnreachable, error.to_string())
            }
        })
    }

    /// The node to ask when nobody was named: the one with most of the call, or another one when its copy is known
    /// to be damaged.
    async fn with_a_whole_copy(
        &self,
        best: NodeName,
        session: &SessionId,
    ) -> Result<NodeName, Refusal> {
        let recording = self.read(|state| state.recording(session).cloned()).await?;
        let Some(recording) = recording else {
            return Ok(best);
        };
        let copy = recording.copies.get(&best);
        let is_damaged = copy.is_some_and(|copy| !copy.is_whole());
        let whole = recording.whole().next();
        Ok(match whole {
            Some((node, _)) if is_damaged => node.clone(),
            _ => best,
        })
    }
}
