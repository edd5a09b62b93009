//! Server-sent events: numbered, limited, kept alive.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::response::{
    IntoResponse as _, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt as _, stream};
use guitai_types::Code;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use crate::{doors::DoorList, problem::Refusal};

/// Event streams of one node at once; a waiting customer and a logged-in agent hold one each.
pub const STREAMS_MAX: usize = 20_000;
/// Event streams of one ticket or one member of staff at once: some tabs, some reconnects.
pub const STREAMS_PER_BEARER_MAX: usize = 4;
/// A comment is sent after this much silence, in milliseconds, so that proxies keep the stream, and so
/// that a page whose door hangs without a word knows it (`SILENT_MS_MAX` in `shared/sse.ts`).
const KEEP_ALIVE_MS: u64 = 2_000;
/// Name of the events that tell which doors there are.
const DOORS: &str = "doors";

/// Longest that a reader may ask for by `Prefer: wait=…`, in seconds: what takes longer is not asked for this way.
const WAIT_S_MAX: u64 = 30;
/// Asks proxies to pass events on as they come: what a proxy would compress it first collects…
const NOT_CHANGED: HeaderValue = HeaderValue::from_static("no-store, no-transform");
/// … and nginx, with those that learned it there, collects without compressing.
const NOT_BUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);
/// Header of what a reader would like (RFC 7240).
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Header by which a reader says what it has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Number of the newest event the reader has seen; 0 if it says nothing or nonsense.
pub(crate) fn last_seen(headers: &HeaderMap) -> u64 {
    let value = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok());
    value.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// How long an answer lasts, in milliseconds: as long as the reader's token, or as the reader says by
/// `Prefer: wait=<seconds>` (RFC 7240, 4.3). A page does behind a proxy that holds an answer back until it is whole.
pub(crate) fn lasting_ms(headers: &HeaderMap, expires_in_ms: u64) -> u64 {
    let values = headers.get_all(PREFER).iter();
    let wishes = values.filter_map(|value| value.to_str().ok());
    let seconds = wishes
        .flat_map(|wishes| wishes.split(','))
        .find_map(|wish| wish.trim().strip_prefix("wait=")?.parse::<u64>().ok());
    seconds.map_or(expires_in_ms, |seconds| {
        expires_in_ms.min(seconds.clamp(1, WAIT_S_MAX) * 1_000)
    })
}

/// What is newer than the reader has seen, until the reader's token expires: a stream that moves to
/// another node never goes back in time, and nobody listens longer than their token allows.
pub(crate) fn newer_than<T>(
    seen: u64,
    expires_in_ms: u64,
    items: impl Stream<Item = (u64, T)>,
) -> impl Stream<Item = (u64, T)> {
    let expiry = tokio::time::sleep(Duration::from_millis(expires_in_ms));
    let newer = items.filter(move |(number, _)| std::future::ready(*number > seen));
    newer.take_until(expiry)
}

/// Counts the open streams of one node.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_bearer: BTreeMap<String, usize>,
}

/// One open stream; gives its place back when dropped.
struct Place {
    streams: Streams,
    bearer: String,
}

impl Streams {
    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.counts().all
    }

    /// Answers with `items` (number and content), each as an event named `name`, and among them with the
    /// list of `doors` whenever it changes, until the items end.
    pub(crate) fn answer<T: Serialize + 'static>(
        &self,
        bearer: String,
        name: &'static str,
        items: impl Stream<Item = (u64, T)> + Send + 'static,
        doors: &DoorList,
    ) -> Result<Response, Refusal> {
        let place = self.take(bearer)?;
        // What we serialise are our own types: it can only fail for a map with odd keys.
        let items = items.map(move |(number, item)| {
            let event = Event::default().id(number.to_string()).event(name);
            Some(event.json_data(item).unwrap_or_default())
        });
        let items = items.chain(stream::once(std::future::ready(None)));
        // Without a number, so that what a page has seen of the items is not touched.
        let doors = doors.follow().map(|doors| {
            let event = Event::default().event(DOORS);
            Some(event.json_data(doors).unwrap_or_default())
        });
        let events = stream::select(items, doors)
            .take_while(|event| std::future::ready(event.is_some()))
            .filter_map(std::future::ready)
            .map(Ok::<Event, Infallible>);
        let keep_alive = KeepAlive::new().interval(Duration::from_millis(KEEP_ALIVE_MS));
        let events = Held {
            events: Box::pin(events),
            _place: place,
        };
        let events = Sse::new(events).keep_alive(keep_alive.text("keep-alive"));
        let headers = [(header::CACHE_CONTROL, NOT_CHANGED), NOT_BUFFERED];
        Ok((headers, events).into_response())
    }

    fn take(&self, bearer: String) -> Result<Place, Refusal> {
        let mut counts = self.counts();
        if counts.all >= STREAMS_MAX {
            let limit = format!("the limit STREAMS_MAX is {STREAMS_MAX} event streams");
            return Err(Refusal::new(Code::TooMany, limit));
        }
        let of_bearer = counts.by_bearer.entry(bearer.clone()).or_insert(0);
        if *of_bearer >= STREAMS_PER_BEARER_MAX {
            let limit = format!("the limit STREAMS_PER_BEARER_MAX is {STREAMS_PER_BEARER_MAX}");
            return Err(Refusal::new(Code::TooMany, limit));
        }
        *of_bearer += 1;
        counts.all += 1;
        Ok(Place {
            streams: self.clone(),
            bearer,
        })
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.streams.counts();
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_bearer) = counts.by_bearer.get_mut(&self.bearer) {
            *of_bearer = of_bearer.saturating_sub(1);
            if *of_bearer == 0 {
                counts.by_bearer.remove(&self.bearer);
            }
        }
    }
}

/// A stream that holds its place until it is dropped.
struct Held<S> {
    events: Pin<Box<S>>,
    _place: Place,
}

impl<S: Stream> Stream for Held<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.events.as_mut().poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_has_so_many_streams_and_gets_them_back() {
        let streams = Streams::default();
        let bearer = || "ticket/1".to_owned();
        let held: Vec<_> = (0..STREAMS_PER_BEARER_MAX)
            .map(|_| streams.take(bearer()))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(streams.take(bearer()).is_err());
        assert!(streams.take("ticket/2".to_owned()).is_ok());
        drop(held);
        assert_eq!(streams.open(), 0);
        assert!(streams.counts().by_bearer.is_empty());
    }

    #[tokio::test]
    async fn events_have_their_number_and_name() -> Result<(), Box<dyn std::error::Error>> {
        let items = stream::iter([(7_u64, "seven"), (9, "nine")]);
        let (_keep, doors) = tokio::sync::watch::channel(Vec::new());
        let doors = DoorList {
            node: "a1-1".parse()?,
            doors,
        };
        let response = Streams::default()
            .answer("a".to_owned(), "event", items, &doors)
            .map_err(|Refusal(problem)| problem)?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(
            response.headers()["cache-control"],
            "no-store, no-transform"
        );
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await?;
        let text = String::from_utf8(body.to_vec())?;
        let list = "event: doors\ndata: {\"node\":\"a1-1\",\"doors\":[]}\n\n";
        assert!(text.contains(list), "{text}");
        assert_eq!(
            text.replace(list, ""),
            "id: 7\nevent: event\ndata: \"seven\"\n\nid: 9\nevent: event\ndata: \"nine\"\n\n"
        );
        Ok(())
    }

    #[test]
    fn a_reader_may_want_an_answer_that_ends_soon() {
        let mut headers = HeaderMap::new();
        assert_eq!(lasting_ms(&headers, 90_000), 90_000);
        for (wish, lasts) in [
            ("wait=1", 1_000),
            ("respond-async, wait=2", 2_000),
            ("wait=0", 1_000),
            ("wait=3600", 30_000),
            ("wait=x", 90_000),
            ("return=minimal", 90_000),
        ] {
            headers.insert(PREFER, HeaderValue::from_static(wish));
            assert_eq!(lasting_ms(&headers, 90_000), lasts, "{wish}");
        }
        assert_eq!(lasting_ms(&headers, 500), 500);
        headers.insert(PREFER, HeaderValue::from_static("wait=2"));
        assert_eq!(lasting_ms(&headers, 500), 500, "no longer than the token");
    }

    #[test]
    fn a_last_event_id_that_is_nonsense_is_the_beginning() {
        let mut headers = HeaderMap::new();
        assert_eq!(last_seen(&headers), 0);
        for (text, number) in [("12", 12), ("x", 0), ("-1", 0)] {
            headers.insert(LAST_EVENT_ID, HeaderValue::from_static(text));
            assert_eq!(last_seen(&headers), number);
        }
    }
}
