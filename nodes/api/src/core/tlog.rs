//! The transparency log: its files for everybody who reaches the door (they say nothing of anybody), how it
//! stands, and proofs; what is behind an entry only for those who may see it.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use guitai_meta::{LogFile, LogReadError};
use guitai_types::{
    Code, SessionId, UnixMillis,
    record::Duty,
    tlog::{Access, EntryKind, LogStatus, Opening, Record},
};
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    extract::{Json, Path, Query},
    gate::StaffBearer,
    problem::{ProblemBody, Refusal},
};

/// Entries found in one answer.
const FOUND_MAX: usize = 256;
/// A full tile never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new()
        .routes(routes!(file))
        .routes(routes!(status))
        .routes(routes!(found))
        .routes(routes!(accesses))
        .routes(routes!(records))
        .routes(routes!(proof))
        .routes(routes!(continues))
}

/// An entry with its proofs.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofView {
    /// Its number, from 0.
    index: u64,
    /// The bytes that both trees are over.
    entry: String,
    /// A tlog-proof of it in the SM3 tree.
    sm3: String,
    /// A tlog-proof of it in the twin.
    sha256: String,
    /// What is behind it, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    opening: Option<Opening>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    /// With what is behind it.
    opening: bool,
}

/// Somebody was given a recording.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct AccessView {
    /// Number of the entry in the log.
    index: u64,
    /// When, in milliseconds since 1970.
    at: UnixMillis,
    /// Who, what and why.
    access: Access,
}

/// An entry and the record behind it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct RecordView {
    /// Number of the entry in the log.
    index: u64,
    /// When, in milliseconds since 1970.
    at: UnixMillis,
    /// What it is about.
    kind: EntryKind,
    /// The record, as docs/reference/transparency-log.md has it.
    #[schema(value_type = Object)]
    record: Record,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
struct OfKind {
    /// What they are about; without it everything but what nodes enter by the clock: `recorder-root` and `flow-log`.
    #[param(value_type = Option<String>)]
    kind: Option<EntryKind>,
    /// Made at this time or after it, in milliseconds since 1970.
    #[param(value_type = Option<u64>)]
    since: Option<UnixMillis>,
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
struct OfAny {
    /// The call; without it all of the institution.
    #[param(value_type = Option<String>)]
    session: Option<SessionId>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Of {
    /// The call that entries are wanted of.
    session: SessionId,
    /// What they are about: `recording-sealed` or `access`; without it both.
    #[serde(default)]
    kind: Option<EntryKind>,
}

/// A file of the log: `policy`, and below `sm3` and `sha256` each `policy`, `checkpoint` and the tiles as
/// c2sp.org/tlog-tiles says. No login: no file holds anything about a person.
#[utoipa::path(get, path = "/log/{*path}", tag = "cluster", params(("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", body = ProblemBody)))]
async fn file(
    State(core): State<CoreState>,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    let file = core.meta.log_file(&path).await.map_err(refusal)?;
    let (kind, cache, body) = match file {
        LogFile::Text(text) => (TEXT, ASK_AGAIN, text.into_bytes()),
        LogFile::Bytes(bytes) => (BYTES, FOR_EVER, bytes),
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)];
    Ok((headers, body).into_response())
}

/// How the transparency log stands on this node.
#[utoipa::path(get, path = "/api/v1/log", tag = "cluster", security(("staff" = [])),
    responses((status = 200, body = LogStatus), (status = "default", body = ProblemBody)))]
async fn status(
    State(core): State<CoreState>,
    headers: HeaderMap,
) -> Result<Json<LogStatus>, Refusal> {
    core.staff(&headers)?;
    let status = core.meta.log_status();
    let none = || Refusal::new(Code::NotFound, "this cluster keeps no transparency log");
    status.map(Json).ok_or_else(none)
}

/// Numbers of the entries that are about a call, newest first, at most 256. Operators and auditors only.
#[utoipa::path(get, path = "/api/v1/log/entries", tag = "cluster", params(Of), security(("staff" = [])),
    responses((status = 200, body = Vec<u64>), (status = "default", body = ProblemBody)))]
async fn found(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(Of { session, kind }): Query<Of>,
) -> Result<Json<Vec<u64>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    if !core.is_of(&session, &bearer) {
        return Err(Refusal::new(Code::NotFound, "no such session"));
    }
    let about = move |_, record: Record| {
        let is_wanted = kind.is_none_or(|kind| kind == record.kind());
        let of = match record {
            Record::RecordingSealed { session, .. } => session,
            Record::Access { access } => access.session,
            Record::RecordingKept { session, .. }
            | Record::RecordingCopy { session, .. }
            | Record::RecordingErased { session, .. } => session,
            _ => return None,
        };
        (is_wanted && of == session).then_some(())
    };
    let found = core.meta.log_find(FOUND_MAX, about).await;
    let found = found.map_err(refusal)?;
    Ok(Json(found.into_iter().map(|(index, ())| index).collect()))
}

/// Who was given recordings, when and why, newest first, at most 256; of one call or of all of the institution.
/// Operators and auditors only.
#[utoipa::path(get, path = "/api/v1/log/accesses", tag = "cluster", params(OfAny),
    security(("staff" = [])), responses((status = 200, body = Vec<AccessView>),
        (status = "default", body = ProblemBody)))]
async fn accesses(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(OfAny { session }): Query<OfAny>,
) -> Result<Json<Vec<AccessView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let own = bearer.staff.institution;
    let of = move |at, record| match record {
        Record::Access { access } if access.who.institution == own => session
            .as_ref()
            .is_none_or(|session| access.session == *session)
            .then_some((at, access)),
        _ => None,
    };
    let found = core.meta.log_find(FOUND_MAX, of).await.map_err(refusal)?;
    let view = |(index, (at, access))| AccessView { index, at, access };
    Ok(Json(found.into_iter().map(view).collect()))
}

/// Entries with what is behind them, newest first, at most 256; of the cluster and of the own institution. Operators
/// and auditors only.
#[utoipa::path(get, path = "/api/v1/log/records", tag = "cluster", params(OfKind),
    security(("staff" = [])), responses((status = 200, body = Vec<RecordView>),
        (status = "default", body = ProblemBody)))]
async fn records(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(OfKind { kind, since }): Query<OfKind>,
) -> Result<Json<Vec<RecordView>>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
    let asked = core.clone();
    let of = move |at: UnixMillis, record: Record| {
        let is_kind = match kind {
            Some(kind) => kind == record.kind(),
            None => !record.kind().is_of_the_clock(),
        };
        let is_wanted = is_kind && since.is_none_or(|since| at >= since);
        (is_wanted && asked.may_see(&record, &bearer)).then_some((at, record))
    };
    let found = core.meta.log_find(FOUND_MAX, of).await.map_err(refusal)?;
    let view = |(index, (at, record)): (u64, (UnixMillis, Record))| RecordView {
        index,
        at,
        kind: record.kind(),
        record,
    };
    Ok(Json(found.into_iter().map(view).collect()))
}

/// An entry with its proofs under the checkpoints published last; what is behind it only for operators and
/// auditors of its institution.
#[utoipa::path(get, path = "/api/v1/log/entries/{index}", tag = "cluster",
    params(("index" = u64, Path), Wanted), security(("staff" = [])),
    responses((status = 200, body = ProofView), (status = "default", body = ProblemBody)))]
async fn proof(
    State(core): State<CoreState>,
    Path(index): Path<u64>,
    Query(Wanted { opening }): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Json<ProofView>, Refusal> {
    let bearer = core.staff(&headers)?;
    let proven = core.meta.log_proof(index).await.map_err(refusal)?;
    if opening {
        bearer.must_have(&[Duty::Operator, Duty::Auditor])?;
        if !core.may_open(&proven.opening, &bearer) {
            return Err(Refusal::new(
                Code::Forbidden,
                "it is of another institution",
            ));
        }
    }
    Ok(Json(ProofView {
        index: proven.index,
        entry: proven.entry,
        sm3: proven.sm3,
        sha256: proven.sha256,
        opening: opening.then_some(proven.opening),
    }))
}

/// That the newest checkpoint continues the tree of so many entries.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Continues {
    /// The newest checkpoint of the SM3 tree, a signed note.
    checkpoint: String,
    /// Hashes of the proof (RFC 9162, 2.1.4), in hexadecimal.
    hashes: Vec<guitai_types::Hex>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct Older {
    /// Entries of the older tree.
    from: u64,
}

/// Proves that the SM3 tree continues an older one.
#[utoipa::path(get, path = "/api/v1/log/consistency", tag = "cluster", params(Older), security(("staff" = [])),
    responses((status = 200, body = Continues), (status = "default", body = ProblemBody)))]
async fn continues(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Query(Older { from }): Query<Older>,
) -> Result<Json<Continues>, Refusal> {
    core.staff(&headers)?;
    // Nothing is picked: from the end of time on there is no entry.
    let nothing = |_: &Record| std::ops::ControlFlow::<Option<()>, Option<()>>::Break(None);
    let end = UnixMillis(u64::MAX);
    let proofs = core.meta.log_proofs(end, Some(from), nothing).await;
    let none = || Refusal::new(Code::NotFound, "no checkpoint is published yet");
    let proofs = proofs.map_err(refusal)?.ok_or_else(none)?;
    let longer = || {
        let detail = format!("the log has published fewer than {from} entries");
        Refusal::new(Code::BadRequest, detail)
    };
    let hashes = proofs.consistency.ok_or_else(longer)?;
    Ok(Json(Continues {
        checkpoint: proofs.checkpoint,
        hashes: hashes
            .iter()
            .map(|hash| guitai_types::Hex(hash.to_vec()))
            .collect(),
    }))
}

impl Core {
    fn is_of(&self, session: &SessionId, bearer: &StaffBearer) -> bool {
        let institution = self.meta.peek(|state| {
            // A call is forgotten long before its recording is.
            let call = state.session(session).map(|it| &it.institution);
            let kept = || state.recording(session).map(|it| &it.institution);
            call.or_else(kept).cloned()
        });
        institution.is_some_and(|of| of == bearer.staff.institution)
    }

    /// Records of persons and calls stay with their institution; those of the cluster are for all that run it.
    fn may_see(&self, record: &Record, bearer: &StaffBearer) -> bool {
        let own = &bearer.staff.institution;
        match record {
            Record::RecordingSealed { session, .. }
            | Record::RecordingKept { session, .. }
            | Record::RecordingCopy { session, .. }
            | Record::RecordingErased { session, .. } => self.is_of(session, bearer),
            Record::Access { access } => access.who.institution == *own,
            Record::Login { login } => login.who.institution == *own,
            Record::Staff { account } => account.id.institution == *own,
            _ => true,
        }
    }

    fn may_open(&self, opening: &Opening, bearer: &StaffBearer) -> bool {
        let record = serde_json::from_str(&opening.record);
        record.is_ok_and(|record| self.may_see(&record, bearer))
    }
}

pub(super) fn refusal(error: LogReadError) -> Refusal {
    match error {
        LogReadError::Absent(why) => Refusal::new(Code::NotFound, why),
        error => {
            tracing::error!(error = %error, "the transparency log cannot be read");
            Refusal::new(Code::Internal, error.to_string())
        }
    }
}
