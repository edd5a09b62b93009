//! Pages of one door talk to the others when their own is gone. A browser allows that only where the
//! other door names the page's origin: exactly the doors of this deployment are named, never a wildcard.

use std::sync::Arc;

use axum::{
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::doors::DoorList;

/// How long a browser may remember what it was allowed, in seconds; the list rarely changes.
const REMEMBERED_S: HeaderValue = HeaderValue::from_static("600");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT");
/// What pages send: the token, JSON, the newest event seen, and how long an answer should last.
const FIELDS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, last-event-id, prefer");
/// `connect-src` without the doors: the page's own, and media.
const CONNECT: &str = "connect-src 'self' https: ws: wss:";

/// The origins pages may come from.
pub(crate) type Origins = Arc<DoorList>;

impl DoorList {
    /// The request's origin, if it is a door of ours.
    fn known(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let doors = self.doors.borrow();
        let is_ours = doors
            .iter()
            .any(|door| door.http.as_bytes() == origin.as_bytes());
        is_ours.then(|| origin.clone())
    }

    /// Where a page may connect: doors without TLS are named one by one (a demonstration on loopback).
    pub(crate) fn connect_sources(&self) -> String {
        let doors = self.doors.borrow();
        let plain = doors.iter().filter(|door| door.http.starts_with("http:"));
        plain.fold(CONNECT.to_owned(), |all, door| {
            format!("{all} {}", door.http)
        })
    }
}

/// Answers a browser that asks before it sends, and marks answers that another door's page may read.
pub(crate) async fn allow<F>(
    origins: &Origins,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let Some(origin) = origins.known(request.headers()) else {
        return answer(request).await;
    };
    let asks = HeaderName::from_static("access-control-request-method");
    let mut response =
        if request.method() == Method::OPTIONS && request.headers().contains_key(asks) {
            let allowed = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, FIELDS),
                (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED_S),
            ];
            (StatusCode::NO_CONTENT, allowed).into_response()
        } else {
            answer(request).await
        };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}
