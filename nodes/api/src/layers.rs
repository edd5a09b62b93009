//! What every request passes: a time limit, a size limit, a guard against panics, the headers that
//! keep a page to itself, and one line in the log that names the route and never the request.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures::FutureExt as _;
use guitai_host::Clock;
use guitai_types::{Code, limits::BODY_BYTES_MAX};
use http::{HeaderName, HeaderValue, Method, header};
use tower_http::limit::RequestBodyLimitLayer;

use crate::{
    origins::{self, Origins},
    problem::Refusal,
    visit::Asked,
};

/// Longest time a handler may take to answer, in milliseconds; a write waits for a leader less long.
/// The body of an event stream or a package is not meant.
pub const REQUEST_MS_MAX: u64 = 15_000;

/// Only our own files run and are shown; `connect-src`, added to it, lets the page reach the other doors.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self' blob:; \
     style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; \
     font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Cross-origin isolation gives the player its shared audio buffer; the rest keeps pages to themselves.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-embedder-policy"),
        "require-corp",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(self), microphone=(self), geolocation=()",
    ),
];

/// What a request is let through with.
#[derive(Clone)]
struct Passage {
    clock: Arc<dyn Clock>,
    origins: Origins,
}

/// Puts the layers around all routes of `router`, and of `files`, whose handlers
/// read their bodies themselves, up to a limit and only from whom they know. They are one function and not a layer each: every layer of
/// its own copies all those within it for every request, which cost a third of the processor under load.
pub(crate) fn wrap(
    router: Router,
    files: Router,
    clock: Arc<dyn Clock>,
    origins: Origins,
) -> Router {
    let passage = Passage { clock, origins };
    router
        .fallback(async || Refusal::new(Code::NotFound, "no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::new(Code::BadRequest, "the route does not have this method")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .merge(files)
        .layer(middleware::from_fn_with_state(passage, pass))
}

async fn pass(State(passage): State<Passage>, request: Request, next: Next) -> Response {
    let served = Served::begin(&passage, &request);
    let answer = match Asked::begin(&request) {
        Ok(asked) => {
            let answer = |request| guarded(next, request);
            let answer = origins::allow(&passage.origins, request, answer).await;
            asked.answered(&answer);
            answer
        }
        Err(refusal) => refusal,
    };
    let response = add_headers(&passage.origins, answer);
    served.log(&passage, &response);
    response
}

/// A handler's answer, or why there is none.
async fn guarded(next: Next, request: Request) -> Response {
    let limit = Duration::from_millis(REQUEST_MS_MAX);
    // What a handler shares is under locks that survive a panic.
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => answer_panic(&*panic),
        Err(_late) => {
            let detail = format!("no answer within REQUEST_MS_MAX, {REQUEST_MS_MAX} ms");
            Refusal::new(Code::NoLeader, detail).into_response()
        }
    }
}

/// The panic's message goes to the log alone: it may hold what the request held.
fn answer_panic(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        message = message.unwrap_or("not a text"),
        "a handler panicked"
    );
    Refusal::new(Code::Internal, "the request could not be served").into_response()
}

fn add_headers(origins: &Origins, mut response: Response) -> Response {
    let policy = format!("{CONTENT_SECURITY_POLICY}; {}", origins.connect_sources());
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        let name = header::CONTENT_SECURITY_POLICY;
        response.headers_mut().insert(name, policy);
    }
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(no_store);
    response
}

/// Method, route template, status, time. Paths and queries hold tokens and ids: they are not logged.
struct Served {
    method: Method,
    route: Option<MatchedPath>,
    started: Duration,
}

impl Served {
    fn begin(passage: &Passage, request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            route: request.extensions().get::<MatchedPath>().cloned(),
            started: passage.clock.monotonic(),
        }
    }

    fn log(self, passage: &Passage, response: &Response) {
        let Self {
            method,
            route,
            started,
        } = self;
        let ms = passage
            .clock
            .monotonic()
            .saturating_sub(started)
            .as_millis() as u64;
        let route = route.as_ref().map_or("-", MatchedPath::as_str);
        let status = response.status().as_u16();
        if status >= 500 {
            tracing::warn!(%method, route, status, ms, "served");
        } else {
            tracing::debug!(%method, route, status, ms, "served");
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use guitai_host::SystemClock;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str) -> Result<Response, Box<dyn std::error::Error>> {
        let router = Router::new().route("/fine", get(async || "fine")).route(
            "/panics",
            get(async || -> &'static str { panic!("a secret") }),
        );
        let (_keep, doors) = tokio::sync::watch::channel(Vec::new());
        let node = "a1-1".parse()?;
        let origins = Arc::new(crate::doors::DoorList { node, doors });
        let router = wrap(router, Router::new(), Arc::new(SystemClock), origins);
        Ok(router
            .oneshot(Request::get(path).body(Body::empty())?)
            .await?)
    }

    #[tokio::test]
    async fn every_answer_has_the_headers_errors_too() -> Result<(), Box<dyn std::error::Error>> {
        for path in ["/fine", "/nothing", "/panics"] {
            let response = ask(path).await?;
            for (name, value) in HEADERS {
                assert_eq!(response.headers()[&name], value, "{path}");
            }
            assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
            let policy = response.headers()["content-security-policy"].to_str()?;
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            assert!(
                policy.ends_with("connect-src 'self' https: ws: wss:"),
                "{policy}"
            );
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_says_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let response = ask("/panics").await?;
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await?;
        let text = String::from_utf8(body.to_vec())?;
        assert!(
            text.contains("GT-0500") && !text.contains("a secret"),
            "{text}"
        );
        Ok(())
    }
}
