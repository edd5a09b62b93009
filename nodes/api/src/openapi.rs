//! The description of the HTTP interface, made from the routes themselves.
//!
//! `docs/reference/openapi.json` is this document; a test keeps the two the same. To write it anew:
//! `GUITAI_BLESS=1 cargo nextest run -p guitai-api openapi`.

use std::sync::LazyLock;

use axum::{Router, routing::get};
use http::{HeaderValue, header};
use utoipa::{
    OpenApi as _,
    openapi::{
        OpenApi,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::{core, door, edge};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Guitai", description = "柜台 HTTP 接口 / HTTP interface of Guitai. \
        Edges serve the tags `door` and `customer`, inner nodes `door` and the others. \
        Every error is application/problem+json with a code, a cause and a next step in zh and en.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")),
    tags(
        (name = "door", description = "两类入口都有 / Both doors"),
        (name = "customer", description = "客户(缓冲区入口) / Customers, at an edge"),
        (name = "account", description = "登录 / Login"),
        (name = "desk", description = "坐席 / Agents"),
        (name = "session", description = "会话与录制 / Sessions and recordings"),
        (name = "films", description = "合成录像 / Films of recordings"),
        (name = "cluster", description = "集群 / The cluster"),
        (name = "dr", description = "灾备 / Disaster recovery"),
        (name = "flows", description = "流转矩阵 / The flow matrix"),
        (name = "audit", description = "审计报告 / Reports for auditors"),
    )
)]
struct Document;

/// The document; the same bytes on every node of a release.
pub static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = document().to_pretty_json().unwrap_or_default();
    document.push('\n');
    document
});

fn document() -> OpenApi {
    let mut document = Document::openapi();
    for part in [
        door::routes().into_openapi(),
        edge::routes().into_openapi(),
        edge::file_routes().into_openapi(),
        core::routes().into_openapi(),
        core::file_routes().into_openapi(),
    ] {
        document.merge(part);
    }
    let bearer = |what: &str| {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(what));
        SecurityScheme::Http(scheme.build())
    };
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("ticket", bearer("Ticket token, from POST /api/v1/tickets"));
    components.add_security_scheme("staff", bearer("Staff token, from POST /api/v1/login"));
    document
}

/// `GET /api/v1/openapi.json`.
pub(crate) fn route() -> Router {
    let json = HeaderValue::from_static("application/json");
    let answer = async || ([(header::CONTENT_TYPE, json)], DOCUMENT.as_str());
    Router::new().route("/api/v1/openapi.json", get(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/openapi.json"
    );

    #[test]
    fn the_committed_document_is_what_is_served() -> Result<(), Box<dyn std::error::Error>> {
        if std::env::var_os("GUITAI_BLESS").is_some() {
            std::fs::write(COMMITTED, DOCUMENT.as_str())?;
        }
        let committed = std::fs::read_to_string(COMMITTED)?;
        assert!(
            committed == *DOCUMENT,
            "docs/reference/openapi.json is old; see the head of api/src/openapi.rs"
        );
        Ok(())
    }

    #[test]
    fn every_documented_route_says_who_may_ask() {
        let open = [
            // Nothing in it is about anybody.
            "/log/{*path}",
            "/healthz",
            "/metrics",
            "/api/v1/door",
            "/api/v1/doors",
            "/api/v1/catalogue",
            "/api/v1/login",
        ];
        for (path, item) in document().paths.paths {
            let secured = [&item.get, &item.post, &item.put]
                .into_iter()
                .flatten()
                .all(|operation| operation.security.as_ref().is_some_and(|s| !s.is_empty()));
            let opens = open.contains(&path.as_str()) || path == "/api/v1/tickets";
            assert_eq!(secured, !opens, "{path}");
        }
    }
}
