//! The door: WebTransport and raw MoQ on one UDP port, and qmux over WebSocket, for whoever has a
//! token.

use futures::{Sink, Stream};
use guitai_net::Arrived;
use http::StatusCode;
use moq_net::Server;
use tokio::sync::OwnedSemaphorePermit;
use web_transport_quinn::{Request, proto::ConnectResponse};

use crate::{
    admission::{Admission, Refused},
    origin::media_now,
    relay::{Relay, linger, refused_handshake},
    table::Transport,
    websocket::{self, Message},
};

impl Relay {
    /// ALPNs a door must offer for [`Relay::serve_door`].
    pub fn door_alpns() -> Vec<&'static str> {
        let mut alpns = vec![web_transport_quinn::ALPN];
        alpns.extend(moq_net::ALPNS);
        alpns
    }

    /// Serves one connection of the door until it ends, in a task of its own. What it says decides
    /// nothing but its own fate. Until it has shown a token it is a stranger, whose place a newcomer may take.
    pub async fn serve_door(&self, arrived: Arrived) {
        let relay = self.clone();
        let serving = async move {
            let raw = web_transport_quinn::Session::raw(arrived.connection.clone());
            let is_web = raw.protocol() == Some(web_transport_quinn::ALPN);
            let serving = async {
                match is_web {
                    true => relay.serve_webtransport(&arrived).await,
                    false => relay.serve_quic(&arrived, raw).await,
                }
            };
            tokio::select! {
                served = serving => served,
                () = arrived.displaced() => Err(Refused::Full),
            }
        };
        self.contain("door", serving).await;
    }

    /// What a connection's token lets it do, and its place among those that may.
    fn take_in(
        &self,
        arrived: &Arrived,
        path_and_query: &str,
    ) -> Result<(OwnedSemaphorePermit, Admission), Refused> {
        let admission = self.admit(path_and_query)?;
        let place = self.door_place()?;
        let kept = arrived.served(&admission.ticket.to_string());
        kept.map_err(|_| Refused::Full)?;
        Ok((place, admission))
    }

    /// Serves one upgraded WebSocket until it ends, in a task of its own. `protocol` is what
    /// [`websocket::choose`] picked.
    pub async fn serve_websocket<S, In, Out>(&self, path_and_query: &str, protocol: &str, socket: S)
    where
        S: Stream<Item = Result<Message, In>> + Sink<Message, Error = Out> + Send + Unpin + 'static,
        In: std::error::Error + Send + Sync + 'static,
        Out: std::error::Error + Send + Sync + 'static,
    {
        let relay = self.clone();
        let path_and_query = path_and_query.to_owned();
        let protocol = protocol.to_owned();
        let serving = async move {
            let place = relay.door_place()?;
            let transport = websocket::accept(socket, &protocol);
            let admission = relay.admit(&path_and_query);
            let server = Server::new();
            let handshake = relay.within_deadline(async {
                let handshake = server.accept_request(media_now(), transport).await;
                handshake.map_err(refused_handshake)
            });
            let handshake = handshake.await?;
            let admission = match admission {
                Ok(admission) => admission,
                Err(refused) => {
                    handshake.close(moq_net::Error::Unauthorized);
                    return Err(refused);
                }
            };
            let served = relay.serve_admitted(handshake, admission, Transport::WebSocket);
            let served = served.await;
            drop(place);
            served
        };
        self.contain("websocket", serving).await;
    }

    /// The path and token come in the HTTP request, and a refusal is its status.
    async fn serve_webtransport(&self, arrived: &Arrived) -> Result<(), Refused> {
        let connection = arrived.connection.clone();
        let request = self.within_deadline(async {
            let request = Request::accept(connection.clone()).await;
            request.map_err(|error| Refused::Handshake(error.to_string()))
        });
        let request = request.await?;
        let url = &request.url;
        let path_and_query = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let decided = async {
            let protocol = choose_protocol(&request.protocols)?;
            Ok((protocol, self.take_in(arrived, &path_and_query)?))
        };
        let (protocol, (place, admission)) = match decided.await {
            Ok(decided) => decided,
            Err(refused) => {
                let refused: Refused = refused;
                let status = StatusCode::from_u16(refused.status());
                let status = status.unwrap_or(StatusCode::BAD_REQUEST);
                if let Err(error) = request.reject(status).await {
                    tracing::trace!(%error, "a refusal was not delivered");
                }
                linger(connection.closed()).await;
                return Err(refused);
            }
        };
        let mut response = ConnectResponse::OK;
        if let Some(protocol) = protocol {
            response = response.with_protocol(protocol);
        }
        let server = Server::new();
        let handshake = self.within_deadline(async {
            let transport = request.respond(response).await;
            let transport = transport.map_err(|error| Refused::Handshake(error.to_string()))?;
            let handshake = server.accept_request(media_now(), transport).await;
            handshake.map_err(refused_handshake)
        });
        let handshake = handshake.await?;
        let served = self.serve_admitted(handshake, admission, Transport::WebTransport);
        let served = served.await;
        drop(place);
        served
    }

    /// The path and token come in the MoQ SETUP, and a refusal closes the session.
    async fn serve_quic(
        &self,
        arrived: &Arrived,
        transport: web_transport_quinn::Session,
    ) -> Result<(), Refused> {
        let connection = transport.clone();
        let server = Server::new();
        let handshake = self.within_deadline(async {
            let handshake = server.accept_request(media_now(), transport).await;
            handshake.map_err(refused_handshake)
        });
        let handshake = handshake.await?;
        match self.take_in(arrived, handshake.path()) {
            Ok((place, admission)) => {
                let served = self.serve_admitted(handshake, admission, Transport::Quic);
                let served = served.await;
                drop(place);
                served
            }
            Err(refused) => {
                handshake.close(moq_net::Error::Unauthorized);
                linger(connection.closed()).await;
                Err(refused)
            }
        }
    }
}

/// The newest MoQ version both sides know. A browser that cannot offer any negotiates inside.
fn choose_protocol(offered: &[String]) -> Result<Option<&'static str>, Refused> {
    if offered.is_empty() {
        return Ok(None);
    }
    let mut ours = moq_net::ALPNS.iter().copied();
    let common = ours.find(|ours| offered.iter().any(|theirs| theirs == ours));
    let nothing = || Refused::Handshake("no MoQ version in common".to_owned());
    common.map(Some).ok_or_else(nothing)
}
