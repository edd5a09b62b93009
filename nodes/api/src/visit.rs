//! What the door has to do with a request: whether its connection may ask now, and whether it has shown a ticket by it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse as _, Response},
};
use guitai_net::{Guest, Why};
use guitai_types::Code;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::problem::Refusal;

/// Where a gateway says for whom it asks; the last one is what it saw itself.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Route by which tickets are opened.
const TICKETS: &str = "/api/v1/tickets";
/// Routes that lead on only with the ticket that they name.
const OF_A_TICKET: &str = "/api/v1/tickets/{ticket}";
/// Route of media over WebSocket, which leads on only with a token for the call that it names.
const OF_A_CALL: &str = "/{institution}/{session}";
/// Parts of a path before the ticket's id, and before the call's.
const BEFORE_TICKET: usize = 4;
const BEFORE_CALL: usize = 2;

/// The connection by which a request came; requests know it by their extensions.
#[derive(Clone)]
pub(crate) struct Visit(Arc<Inner>);

struct Inner {
    guest: Guest,
    /// Bytes of a head have come, and no whole request after them.
    began: AtomicBool,
}

impl Visit {
    pub(crate) fn of(guest: Guest) -> Self {
        let began = AtomicBool::new(false);
        Self(Arc::new(Inner { guest, began }))
    }

    pub(crate) fn guest(&self) -> &Guest {
        &self.0.guest
    }

    /// Something was read.
    pub(crate) fn heard(&self) {
        self.0.began.store(true, Ordering::Relaxed);
    }

    /// A request is whole.
    pub(crate) fn asks(&self) {
        self.0.began.store(false, Ordering::Relaxed);
    }

    /// Whether it has begun a request and not ended it: whoever is idle only is not slow.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.began.load(Ordering::Relaxed)
    }
}

/// A request that was let in, and what its success will show.
pub(crate) struct Asked {
    visit: Option<Visit>,
    /// The ticket or call that it names.
    names: Option<String>,
}

impl Asked {
    /// Whether the request may be served at all; a request that came by no connection (in tests) may.
    pub(crate) fn begin(request: &Request) -> Result<Self, Response> {
        let Some(visit) = request.extensions().get::<Visit>() else {
            return Ok(Self {
                visit: None,
                names: None,
            });
        };
        let guest = visit.guest();
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("", MatchedPath::as_str);
        let on_behalf = on_behalf(request.headers());
        guest.ask(on_behalf).map_err(refuse)?;
        if route == TICKETS && request.method() == Method::POST {
            guest.ticket(on_behalf).map_err(refuse)?;
        }
        let part = |number| request.uri().path().split('/').nth(number);
        let names = match route {
            OF_A_CALL => part(BEFORE_CALL),
            _ if route.starts_with(OF_A_TICKET) => part(BEFORE_TICKET),
            _ => None,
        };
        Ok(Self {
            visit: Some(visit.clone()),
            names: names.map(str::to_owned),
        })
    }

    /// What was answered. Whoever was served by a route that asks for a ticket has shown it.
    pub(crate) fn answered(self, response: &Response) {
        let (Some(visit), status) = (self.visit, response.status()) else {
            return;
        };
        let guest = visit.guest();
        let is_served = status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS;
        if let Some(bearer) = self.names.filter(|_| is_served) {
            // One that may not keep its place is served all the same, for as long as there is room.
            if let Err(why) = guest.served(&bearer) {
                tracing::debug!(why = why.as_str(), "it stays a stranger");
            }
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            guest.refused(Why::BodyTooLarge);
        }
    }
}

/// Whom a gateway asks for, as it says.
fn on_behalf(headers: &HeaderMap) -> Option<IpAddr> {
    let named = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let last = named.to_str().ok()?.rsplit(',').next()?;
    last.trim().parse().ok()
}

/// Whoever asks too much is told so once and has to come again.
fn refuse(why: Why) -> Response {
    let detail = format!("too many requests at once ({})", why.as_str());
    let mut response = Refusal::new(Code::TooMany, detail).into_response();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_is_the_one_that_the_gateway_saw() {
        let mut headers = HeaderMap::new();
        assert_eq!(on_behalf(&headers), None);
        for value in ["10.0.0.1", "10.0.0.2, 2001:db8::7"] {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        assert_eq!(on_behalf(&headers), "2001:db8::7".parse().ok());
        headers.append(FORWARDED_FOR, HeaderValue::from_static("unknown"));
        assert_eq!(on_behalf(&headers), None);
    }
}
