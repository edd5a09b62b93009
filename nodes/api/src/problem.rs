//! What a caller is told when something is refused: RFC 9457 with a cause and a next step in both
//! languages.

use axum::{
    Json,
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    response::{IntoResponse, Response},
};
use guitai_types::{Code, Problem, place::Text, problem::chain};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// A [`Problem`] on its way out of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub Problem);

/// Body of every answer that is no success, `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemBody {
    /// `urn:guitai:error:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The cause in English; the same for every occurrence of the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code; its page is in `docs/reference/errors.md`.
    pub code: Code,
    /// What exactly, in English; no personal data.
    pub detail: String,
    /// Why.
    pub cause: Text,
    /// What to do.
    pub next: Text,
}

impl Refusal {
    /// A refusal with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }

    /// Our own fault: the chain of causes goes to the log, the caller learns the code.
    pub fn internal(doing: &str, error: &dyn std::error::Error) -> Self {
        let chain = chain(error);
        tracing::error!(doing, chain, "request failed");
        Self::new(Code::Internal, format!("{doing} failed"))
    }
}

impl From<&Problem> for ProblemBody {
    fn from(problem: &Problem) -> Self {
        let text = |(zh, en): (&str, &str)| Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        };
        Self {
            kind: format!("urn:guitai:error:{}", problem.code),
            title: problem.code.cause().1.to_owned(),
            status: problem.code.status(),
            code: problem.code,
            detail: problem.detail.clone(),
            cause: text(problem.code.cause()),
            next: text(problem.code.next()),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::BytesRejection(inner) => too_large_or_broken(&inner),
            other => Self::new(Code::BadRequest, other.body_text()),
        }
    }
}

impl From<PathRejection> for Refusal {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::BadRequest, rejection.body_text())
    }
}

impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadRequest, rejection.body_text())
    }
}

fn too_large_or_broken(rejection: &BytesRejection) -> Refusal {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit = guitai_types::limits::BODY_BYTES_MAX;
        return Refusal::new(
            Code::TooLarge,
            format!("the limit BODY_BYTES_MAX is {limit} bytes"),
        );
    }
    Refusal::new(Code::BadRequest, rejection.body_text())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = ProblemBody::from(&self.0);
        let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_status_and_two_languages() {
        for code in Code::ALL {
            let body = ProblemBody::from(&Problem::new(*code, "detail"));
            assert!(StatusCode::from_u16(body.status).is_ok(), "{code}");
            for text in [&body.cause, &body.next] {
                assert!(
                    !text.zh.is_ascii() && !text.en.is_empty(),
                    "{code}: {text:?}"
                );
            }
        }
    }

    #[test]
    fn a_refusal_is_problem_json_and_asks_for_a_bearer() {
        let response = Refusal::new(Code::BadToken, "expired").into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
    }
}
