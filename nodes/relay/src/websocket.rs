//! MoQ where there is no UDP and in browsers without WebTransport: qmux over a WebSocket.
//!
//! Axum-independent. The HTTP server asks [`crate::Relay::check`] before it upgrades (a bad token
//! is answered 401), picks the subprotocol with [`choose`], and hands over the upgraded socket as a
//! stream and sink of [`Message`]:
//!
//! ```ignore
//! let protocol = websocket::choose(offered)?;               // offered: Sec-WebSocket-Protocol
//! upgrade.protocols([protocol]).on_upgrade(move |socket| {
//!     let socket = socket
//!         .filter_map(|message| ready(from_axum(message)))  // text frames: skipped
//!         .with(|message| ready(Ok(to_axum(message))));
//!     relay.serve_websocket(path_and_query, protocol, socket)
//! })
//! ```

mod polled;

use std::{future::ready, sync::LazyLock, time::Duration};

use bytes::Bytes;
use futures::{Sink, SinkExt, Stream, StreamExt};
use guitai_types::limits::MEDIA_STREAMS_MAX;
use qmux::{
    Version,
    ws::{KeepAlive, Upgraded, tungstenite},
};
use url::Url;

/// How often the other side of a WebSocket is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long a silent WebSocket is kept: as long as a silent QUIC connection.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Unread bytes of one WebSocket session: two seconds of a 720p call.
const WINDOW_BYTES: u64 = 4 * 1024 * 1024;
/// Unread bytes of one stream of it.
const STREAM_WINDOW_BYTES: u64 = 1024 * 1024;
/// qmux drafts under which a MoQ version can be offered, newest first.
const DRAFTS: [Version; 3] = [Version::QMux02, Version::QMux01, Version::QMux00];

/// A WebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Data.
    Binary(Bytes),
    /// Are you there?
    Ping(Bytes),
    /// Yes.
    Pong(Bytes),
    /// Over.
    Close,
}

static PROTOCOLS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let with_moq = moq_net::ALPNS
        .iter()
        .flat_map(|moq| DRAFTS.map(|draft| format!("{}{moq}", draft.prefix())));
    // Without a MoQ version in the name, that is negotiated inside.
    let bare = Version::ALL.iter().map(|draft| draft.alpn().to_owned());
    with_moq.chain(bare).collect()
});

/// Every subprotocol we speak, most wanted first, for `Sec-WebSocket-Protocol`.
pub fn protocols() -> &'static [String] {
    &PROTOCOLS
}

/// Picks a subprotocol out of the value of `Sec-WebSocket-Protocol` (several values joined with
/// commas); `None` means there is none in common and the upgrade is to be refused with 400.
pub fn choose(offered: &str) -> Option<&'static str> {
    let offered: Vec<&str> = offered.split(',').map(str::trim).collect();
    let ours = PROTOCOLS.iter().map(String::as_str);
    ours.into_iter().find(|ours| offered.contains(ours))
}

/// The session behind an upgraded socket, as its server.
pub(crate) fn accept<S, In, Out>(socket: S, protocol: &str) -> polled::Session
where
    S: Stream<Item = Result<Message, In>> + Sink<Message, Error = Out> + Send + Unpin + 'static,
    In: std::error::Error + Send + Sync + 'static,
    Out: std::error::Error + Send + Sync + 'static,
{
    let socket = socket
        .sink_map_err(tungstenite_error)
        .with(|message| ready(Ok(from_tungstenite(message))))
        .map(|message| message.map(to_tungstenite).map_err(tungstenite_error));
    let session = Upgraded::new(socket)
        .with_alpn(protocol)
        .with_keep_alive(KeepAlive::new(PING_INTERVAL, SILENCE_MAX))
        .with_session_config(config())
        .accept();
    polled::Session::new(session)
}

/// Opens a WebSocket and the session on it.
pub(crate) async fn connect(url: &Url) -> Result<polled::Session, qmux::Error> {
    let protocols = moq_net::ALPNS.iter().map(|&moq| (moq, &DRAFTS[..2]));
    let session = qmux::ws::Client::new()
        .with_protocols(protocols)
        .require_protocol()
        .with_keep_alive(KeepAlive::new(PING_INTERVAL, SILENCE_MAX))
        .with_session_config(config())
        .connect(url.as_str())
        .await?;
    Ok(polled::Session::new(session))
}

fn config() -> qmux::Config {
    let mut config = qmux::Config::default();
    config.max_streams_bidi = MEDIA_STREAMS_MAX.into();
    config.max_streams_uni = MEDIA_STREAMS_MAX.into();
    config.max_data = WINDOW_BYTES;
    config.max_stream_data_bidi_local = STREAM_WINDOW_BYTES;
    config.max_stream_data_bidi_remote = STREAM_WINDOW_BYTES;
    config.max_stream_data_uni = STREAM_WINDOW_BYTES;
    config
}

fn to_tungstenite(message: Message) -> tungstenite::Message {
    match message {
        Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
        Message::Ping(bytes) => tungstenite::Message::Ping(bytes),
        Message::Pong(bytes) => tungstenite::Message::Pong(bytes),
        Message::Close => tungstenite::Message::Close(None),
    }
}

fn from_tungstenite(message: tungstenite::Message) -> Message {
    match message {
        tungstenite::Message::Ping(bytes) => Message::Ping(bytes),
        tungstenite::Message::Pong(bytes) => Message::Pong(bytes),
        tungstenite::Message::Close(_) => Message::Close,
        data => Message::Binary(data.into_data()),
    }
}

fn tungstenite_error(error: impl std::error::Error + Send + Sync + 'static) -> tungstenite::Error {
    tungstenite::Error::Io(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_both_sides_know_is_chosen() {
        let browser = "qmux-02.moq-lite-04, qmux-01.moq-lite-05,qmux-02.moq-lite-05, webtransport";
        assert_eq!(choose(browser), Some("qmux-02.moq-lite-05"));
        assert_eq!(choose("webtransport"), Some("webtransport"));
        assert_eq!(choose("chat, moq-lite-05"), None);
        assert_eq!(choose(""), None);
    }
}
