//! The report for auditors is signed here: the answers it binds together were asked for before, one by one.

use std::collections::BTreeSet;

use axum::extract::State;
use guitai_crypto::cms;
use guitai_types::{
    Code, Hex, UnixMillis,
    audit::{
        FORMAT, REPORT_FILES_MAX, REPORT_NAME_BYTES_MAX, ReportFile, SM3_BYTES, SignedStatement,
        Statement,
    },
    canonical,
    record::Duty,
};
use http::HeaderMap;
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Core, CoreState};
use crate::{
    extract::Json,
    problem::{ProblemBody, Refusal},
};

/// Who may have a report made.
const READERS: &[Duty] = &[Duty::Operator, Duty::Auditor];

pub(super) fn routes() -> OpenApiRouter<CoreState> {
    OpenApiRouter::new().routes(routes!(sign))
}

/// Which files a report consists of.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bound {
    /// From when on it looks back, in milliseconds since 1970.
    #[schema(value_type = u64)]
    since: UnixMillis,
    /// Its files.
    files: Vec<ReportFile>,
}

/// Signs, with this node's certificate, that a report of these files was made now by whoever asks.
#[utoipa::path(post, path = "/api/v1/audit/reports", tag = "audit", security(("staff" = [])), request_body = Bound,
    responses((status = 200, body = SignedStatement), (status = "default", body = ProblemBody)))]
async fn sign(
    State(core): State<CoreState>,
    headers: HeaderMap,
    Json(Bound { since, mut files }): Json<Bound>,
) -> Result<Json<SignedStatement>, Refusal> {
    let bearer = core.staff(&headers)?;
    bearer.must_have(READERS)?;
    check(&files)?;
    files.sort();
    let (_, checkpoint) = core.flows_as_of();
    let cluster = core.meta.peek(|state| state.cluster().cloned());
    let unfounded = || Refusal::new(Code::NotFound, "the cluster is not founded");
    let statement = Statement {
        format: FORMAT.to_owned(),
        cluster: cluster.ok_or_else(unfounded)?,
        made_at: core.clock.wall(),
        made_by: core.member.name.clone(),
        asked_by: bearer.staff.clone(),
        since,
        checkpoint: checkpoint.unwrap_or_default(),
        files,
    };
    core.signed(&statement).map(Json)
}

fn check(files: &[ReportFile]) -> Result<(), Refusal> {
    let bad = |why: String| Refusal::new(Code::BadRequest, why);
    if files.is_empty() || files.len() > REPORT_FILES_MAX {
        let count = files.len();
        return Err(bad(format!(
            "{count} files, 1 to REPORT_FILES_MAX ({REPORT_FILES_MAX}) make a report"
        )));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let mut names = BTreeSet::new();
    for file in files {
        let name = &file.name;
        let fits = !name.is_empty()
            && name.len() <= REPORT_NAME_BYTES_MAX
            && !name.starts_with('.')
            && name.bytes().all(plain);
        if !fits || !names.insert(name) {
            return Err(bad(format!(
                "{name:?} is no name of a file of a report, or is there twice"
            )));
        }
        if file.sm3.0.len() != SM3_BYTES {
            return Err(bad(format!(
                "the digest of {name} does not have {SM3_BYTES} bytes"
            )));
        }
    }
    Ok(())
}

impl Core {
    fn signed(&self, statement: &Statement) -> Result<SignedStatement, Refusal> {
        let bytes = canonical::to_bytes(statement)
            .map_err(|error| Refusal::internal("making the statement", &error))?;
        let at = statement.made_at.0 / 1_000;
        let signature = cms::sign_detached(&self.identity, &bytes, at)
            .map_err(|error| Refusal::internal("signing the statement", &error))?;
        Ok(SignedStatement {
            statement: Hex(bytes),
            signature: Hex(signature),
            root: Hex(self.root.clone()),
        })
    }
}
