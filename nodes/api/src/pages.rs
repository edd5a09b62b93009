//! The pages, embedded by `console`: which door shows which.

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{IntoResponse as _, Redirect, Response},
    routing::{MethodRouter, get},
};
use guitai_types::{Code, view::DoorsView};
use http::{HeaderValue, header};

use crate::{doors::DoorList, problem::Refusal};

/// A file whose name changes with its content may be kept for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A page names such files, so it is asked for again each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// Where the list of doors goes: the end of a page's head, which every page has once.
const HEAD_END: &str = "</head>";

/// An edge shows the customer's page.
pub(crate) fn customer(doors: &DoorList) -> Router {
    Router::new()
        .route("/", shown("customer.html", doors))
        .merge(assets())
}

/// An inner node shows the desk and the console.
pub(crate) fn staff(doors: &DoorList) -> Router {
    Router::new()
        .route("/", get(async || Redirect::temporary("/desk")))
        .route("/desk", shown("desk.html", doors))
        .route("/console", shown("console.html", doors))
        .route("/console/dr", shown("console.html", doors))
        .route("/console/flows", shown("console.html", doors))
        .merge(assets())
}

/// A page, with the doors that there are now: whoever has the page can do without the door it came from.
fn shown(name: &'static str, doors: &DoorList) -> MethodRouter {
    let doors = doors.clone();
    get(move || {
        let page = with_doors(name, &doors.view());
        std::future::ready(page)
    })
}

fn with_doors(name: &str, doors: &DoorsView) -> Response {
    let whole = guitai_console::asset(name).and_then(|(_, bytes, _)| str::from_utf8(bytes).ok());
    let Some((head, rest)) = whole.and_then(|page| page.split_once(HEAD_END)) else {
        // A checkout without built pages has one that says how to build them.
        return page(name);
    };
    // No name in it can end the element: a `<` is written as JSON allows.
    let list = serde_json::to_string(doors).unwrap_or_default();
    let list = list.replace('<', "\\u003c");
    let text = format!(
        "{head}<script type=\"application/json\" id=\"doors\">{list}</script>{HEAD_END}{rest}"
    );
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (headers, Body::from(text)).into_response()
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
    use guitai_types::view::DoorEntry;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(router: Router, path: &str) -> Result<Response, Box<dyn std::error::Error>> {
        Ok(router
            .oneshot(Request::get(path).body(Body::empty())?)
            .await?)
    }

    fn doors() -> Result<DoorList, Box<dyn std::error::Error>> {
        let door = DoorEntry {
            node: "edge-a1".parse()?,
            centre: "a1".parse()?,
            http: "http://127.1.1.1:4443</script>".to_owned(),
            webtransport: String::new(),
            websocket: String::new(),
            certificate_hashes: Vec::new(),
            alive: true,
        };
        let (_, doors) = tokio::sync::watch::channel(vec![door]);
        let node = "edge-a1".parse()?;
        Ok(DoorList { node, doors })
    }

    #[tokio::test]
    async fn each_door_shows_its_own_pages() -> Result<(), Box<dyn std::error::Error>> {
        let doors = doors()?;
        let (customer, staff) = (|| customer(&doors), || staff(&doors));
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

    #[tokio::test]
    async fn a_page_brings_the_list_of_doors_and_nothing_in_it_is_a_tag()
    -> Result<(), Box<dyn std::error::Error>> {
        let response = ask(customer(&doors()?), "/").await?;
        let body = axum::body::to_bytes(response.into_body(), 1_000_000).await?;
        let text = std::str::from_utf8(&body)?;
        let (_, list) = text
            .split_once(r#"<script type="application/json" id="doors">"#)
            .ok_or("no list")?;
        let (list, _) = list.split_once("</script></head>").ok_or("no end")?;
        let view: DoorsView = serde_json::from_str(list)?;
        assert_eq!(view.doors.len(), 1);
        assert_eq!(view.doors[0].http, "http://127.1.1.1:4443</script>");
        Ok(())
    }
}
