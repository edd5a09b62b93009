//! A MoQ client for the demo, the recorder and tests: one connection to one room.
//!
//! It speaks what any MoQ client speaks; the relay knows nothing of it.

mod pin;
mod publisher;
mod room;
mod subscriber;

use std::time::Duration;

use guitai_net::{Mesh, Target};
use moq_net::{Hop, origin};
use url::Url;
use web_transport_quinn::proto::ConnectRequest;

pub use self::{
    pin::PinError,
    publisher::{GROUP_AGE_MAX, PublishError, Publisher, WriteError},
    room::{Announced, Announcement, Room, SUBSCRIBE_DEADLINE},
    subscriber::{End, Event, Frame, SubscribeError, Subscriber},
};
use crate::{hang::Catalog, origin::spawn_origin, websocket};

/// How long connecting may take, from the first packet to the end of the MoQ handshake.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// A connection to a room. Keep it for as long as its publishers and subscribers are used; dropping
/// it closes it.
pub struct Connection {
    session: moq_net::Session,
    published: origin::Producer,
    room: Room,
    _hold: Option<guitai_net::mesh::Hold>,
}

impl Connection {
    /// Connects as a browser does, over WebTransport: `url` is
    /// `https://<door>/<institution>/<session>?jwt=<token>`, `pins` the hashes the door's own
    /// `/api/v1/door` names.
    pub async fn connect_webtransport(url: &Url, pins: &[[u8; 32]]) -> Result<Self, ConnectError> {
        within_deadline(async {
            let v6 = matches!(url.host(), Some(url::Host::Ipv6(_)));
            let protocols = moq_net::ALPNS.iter().map(|&name| name.to_owned());
            let request = ConnectRequest::new(url.clone()).with_protocols(protocols);
            let transport = pin::client(v6, pins)?.connect(request).await;
            let transport = transport.map_err(|error| ConnectError::WebTransport(error.into()))?;
            Self::start(moq_net::Client::new(), transport).await
        })
        .await
    }

    /// Connects as a browser without WebTransport does: `url` is
    /// `ws://<door>/<institution>/<session>?jwt=<token>`.
    pub async fn connect_websocket(url: &Url) -> Result<Self, ConnectError> {
        within_deadline(async {
            let transport = websocket::connect(url).await;
            let transport = transport.map_err(|error| ConnectError::WebSocket(error.into()))?;
            Self::start(moq_net::Client::new(), transport).await
        })
        .await
    }

    /// Connects over the mesh, authorised by our node certificate: an inner node may subscribe to
    /// the room `/<institution>/<session>`, and no more.
    pub async fn connect_mesh(
        mesh: &Mesh,
        target: &Target,
        room: &str,
    ) -> Result<Self, ConnectError> {
        within_deadline(async {
            let link = mesh.dial(crate::mesh::ALPN, target).await;
            let link = link.map_err(|error| ConnectError::Mesh(error.into()))?;
            let transport = web_transport_quinn::Session::raw(link.conn);
            let client = moq_net::Client::new().with_path(room);
            let mut connection = Self::start(client, transport).await?;
            connection._hold = Some(link.hold);
            Ok(connection)
        })
        .await
    }

    async fn start<S>(client: moq_net::Client, transport: S) -> Result<Self, ConnectError>
    where
        S: moq_net::transport::poll::Boxable,
        S::SendStream: moq_net::web_transport_trait::MaybeSync,
        S::RecvStream: moq_net::web_transport_trait::MaybeSync,
    {
        // Two origins, or our own broadcasts would be announced to ourselves.
        let published = spawn_origin(origin::Config::new(Hop::random()));
        let received = spawn_origin(origin::Config::new(Hop::random()));
        let client = client
            .with_publisher(&published)
            .with_subscriber(received.clone());
        let now = crate::origin::media_now();
        let (session, driver) = client.connect(now, transport).await?;
        tokio::spawn(moq_net::time::run(driver));
        Ok(Self {
            session,
            published,
            room: Room::new(received.consume()),
            _hold: None,
        })
    }

    /// The room this connection leads to.
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// Publishes a broadcast, for example `customer/5e1f….hang`. Its tracks are those the catalog
    /// names `video` and `audio`. A name is used once: a publisher that comes back takes another.
    pub fn publish(&self, name: &str, catalog: &Catalog) -> Result<Publisher, PublishError> {
        Publisher::new(&self.published, name, catalog)
    }

    /// Wire version that was negotiated, for example `moq-lite-06`.
    pub fn version(&self) -> String {
        self.session.version().to_string()
    }

    /// Waits until the connection is closed by the other side and says why; a relay that revokes
    /// it says [`Closed::Unauthorized`]. Over a WebSocket the end of the socket may overtake the
    /// reason; connecting again then tells.
    pub async fn closed(&self) -> Closed {
        Closed::from(self.session.closed().await)
    }

    /// Closes after what is queued has been delivered, within a second.
    pub async fn close(self) {
        if let Err(error) = self.session.close().await {
            tracing::debug!(%error, "a connection was closed before everything was delivered");
        }
    }
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The token is wrong, expired or was revoked.
    #[error("the relay refused the token or revoked it")]
    Unauthorized,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<moq_net::Error> for Closed {
    fn from(error: moq_net::Error) -> Self {
        let unauthorized = moq_net::SessionError::Unauthorized;
        match &error {
            moq_net::Error::Unauthorized => Self::Unauthorized,
            moq_net::Error::Session(code) if *code == unauthorized => Self::Unauthorized,
            // On raw QUIC the transport hands the code on in words only.
            moq_net::Error::Transport(text)
                if text.ends_with(&format!("(code {})", unauthorized.to_code())) =>
            {
                Self::Unauthorized
            }
            other => Self::Other(other.to_string()),
        }
    }
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Too slow.
    #[error("connecting took longer than {CONNECT_DEADLINE:?}")]
    Deadline,
    /// No endpoint of our own.
    #[error("no endpoint to connect from")]
    Endpoint(#[from] PinError),
    /// WebTransport; a wrong token is HTTP status 401 here.
    #[error("the WebTransport connection failed")]
    WebTransport(#[source] Box<web_transport_quinn::ClientError>),
    /// WebSocket; a wrong token is HTTP status 401 here.
    #[error("the WebSocket connection failed")]
    WebSocket(#[source] Box<qmux::Error>),
    /// The mesh.
    #[error("the mesh could not be dialled")]
    Mesh(#[source] Box<guitai_net::mesh::DialError>),
    /// MoQ.
    #[error("the MoQ handshake failed")]
    Media(#[from] moq_net::Error),
}

async fn within_deadline(
    connecting: impl Future<Output = Result<Connection, ConnectError>>,
) -> Result<Connection, ConnectError> {
    let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
    connected.map_err(|_| ConnectError::Deadline)?
}
