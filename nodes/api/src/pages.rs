//! The pages, embedded by `console`: which door shows which.

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use guitai_types::Code;
use http::{HeaderValue, header};

use crate::problem::Refusal;

/// A file whose name changes with its content may be kept for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A page names such files, so it is asked for again each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// An edge shows the customer's page.
pub(crate) fn customer() -> Router {
    Router::new()
        .route("/", get(async || page("customer.html")))
        .merge(assets())
}

/// An inner node shows the desk and the console.
pub(crate) fn staff() -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/desk")))
        .route("/desk", get(async || page("desk.html")))
        .route("/console", get(async || page("console.html")))
        .route("/console/dr", get(async || page("console.html")))
        .route("/console/flows", get(async || page("console.html")))
        .merge(assets())
}

fn assets() -> Router {
    let asset = async |Path(path): Path<String>| page(&format!("assets/{path}"));
    Router::new().route("/assets/{*path}", get(asset))
}

fn page(path: &str) -> Response {
    let Some((kind, bytes, immutable)) = guitai_console::asset(path) else {
        return Refusal::new(Code::NotFound, "no such page").into_response();
    };
    let kind = HeaderValue::from_static(kind);
    let cache = if immutable { FOR_EVER } else { ASK_AGAIN };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)];
    (headers, Body::from(bytes)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: Router, path: &str) -> Result<Response, Box<dyn std::error::Error>> {
        Ok(router
            .oneshot(Request::get(path).body(Body::empty())?)
            .await?)
    }

    #[tokio::test]
    async fn each_door_shows_its_own_pages() -> Result<(), Box<dyn std::error::Error>> {
        for (router, path) in [
            (customer(), "/"),
            (staff(), "/desk"),
            (staff(), "/console"),
            (staff(), "/console/dr"),
            (staff(), "/console/flows"),
        ] {
            let response = ask(router, path).await?;
            assert_eq!(response.status(), 200, "{path}");
            assert_eq!(
                response.headers()["content-type"],
                "text/html; charset=utf-8"
            );
            assert_eq!(response.headers()["cache-control"], "no-cache");
        }
        assert_eq!(ask(customer(), "/desk").await?.status(), 404);
        assert_eq!(ask(customer(), "/console/dr").await?.status(), 404);
        assert_eq!(ask(staff(), "/").await?.headers()["location"], "/desk");
        assert_eq!(
            ask(customer(), "/assets/../Cargo.toml").await?.status(),
            404
        );
        Ok(())
    }
}
