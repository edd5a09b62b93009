//! The path of browsers without UDP: a small HTTP server's worth of upgrade, as `api` does it.

use std::{future::ready, net::SocketAddr};

use futures::{SinkExt, StreamExt};
use guitai_relay::{
    Relay, Transport,
    client::{Closed, Connection, End, Event},
    websocket::{self, Message},
};
use guitai_types::Zone;
use qmux::ws::{
    tokio_tungstenite::accept_hdr_async,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, StatusCode, header::SEC_WEBSOCKET_PROTOCOL},
    },
};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::{
    AGENT, CUSTOMER, RECORDER_AGE, ROOM, World, announced, catalog, connected, frame, soon,
};

async fn listen(relay: &Relay) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let relay = relay.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(upgrade(relay.clone(), stream));
        }
    });
    addr
}

async fn upgrade(relay: Relay, stream: TcpStream) {
    let (mut path, mut protocol) = (String::new(), "");
    let answer = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let refuse = |status: u16| {
            let mut response = ErrorResponse::new(None);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        };
        path = request.uri().path_and_query().unwrap().to_string();
        relay
            .check(&path)
            .map_err(|refused| refuse(refused.status()))?;
        let offered = request.headers().get(SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.and_then(|offered| offered.to_str().ok());
        let chosen = offered.and_then(websocket::choose);
        protocol = chosen.ok_or_else(|| refuse(400))?;
        let header = HeaderValue::from_static(protocol);
        response
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, header);
        Ok(response)
    };
    let Ok(socket) = accept_hdr_async(stream, answer).await else {
        return;
    };
    let socket = socket
        .with(|message| {
            ready(Ok::<_, tungstenite::Error>(match message {
                Message::Binary(bytes) => tungstenite::Message::Binary(bytes),
                Message::Ping(bytes) => tungstenite::Message::Ping(bytes),
                Message::Pong(bytes) => tungstenite::Message::Pong(bytes),
                Message::Close => tungstenite::Message::Close(None),
            }))
        })
        .map(|message| {
            message.map(|message| match message {
                tungstenite::Message::Ping(bytes) => Message::Ping(bytes),
                tungstenite::Message::Pong(bytes) => Message::Pong(bytes),
                tungstenite::Message::Close(_) => Message::Close,
                data => Message::Binary(data.into_data()),
            })
        });
    relay.serve_websocket(&path, protocol, socket).await;
}

fn url(addr: SocketAddr, path: &str) -> Url {
    format!("ws://{addr}{path}").parse().unwrap()
}

#[tokio::test]
async fn a_websocket_and_a_webtransport_client_talk() {
    let world = World::new();
    let node = world.node("edge-a1", Zone::Dmz);
    let addr = listen(&node.relay).await;
    let connecting = url(addr, &world.path(&CUSTOMER));
    let customer = soon("connect", Connection::connect_websocket(&connecting)).await;
    let customer = customer.unwrap();
    connected(&node.relay, 1).await;
    let agent = world.enter(&node, &AGENT).await;
    connected(&node.relay, 2).await;
    let kinds: Vec<_> = node.relay.sessions().iter().map(|s| s.transport).collect();
    assert_eq!(kinds, [Transport::WebSocket, Transport::WebTransport]);

    // More than any window and any chunk, both ways, so that flow control is at work.
    let large = vec![0x5a; 700_000];
    for (from, to, name) in [
        (&customer, &agent, "customer/1.hang"),
        (&agent, &customer, "agent/1.hang"),
    ] {
        let mut publisher = from.publish(name, &catalog()).unwrap();
        announced(to.room(), name).await;
        let subscribing = to.room().subscribe(name, RECORDER_AGE);
        let mut subscriber = soon("subscribe", subscribing).await.unwrap();
        for number in 0..20_u64 {
            publisher.video(number * 100_000, true, &large).unwrap();
            let frame = frame(&mut subscriber).await;
            assert_eq!((frame.group, frame.payload.len()), (number, large.len()));
            assert_eq!(frame.payload, large);
        }
        publisher.finish().unwrap();
        let end = soon("end", subscriber.next()).await;
        assert_eq!(end, Some(Event::Ended(End::Finished)), "{name}");
    }
}

#[tokio::test]
async fn a_websocket_with_a_wrong_token_is_answered_401() {
    let world = World::new();
    let node = world.node("edge-a1", Zone::Dmz);
    let addr = listen(&node.relay).await;
    let connecting = url(addr, &format!("{ROOM}?jwt=x"));
    let error = soon("connect", Connection::connect_websocket(&connecting)).await;
    let error = std::error::Error::source(&error.err().unwrap()).map(ToString::to_string);
    assert!(
        error.as_ref().is_some_and(|error| error.contains("401")),
        "{error:?}"
    );
    assert_eq!(node.relay.stats().refused.get("token"), Some(&1));
}

#[tokio::test]
async fn revocation_ends_a_websocket_too() {
    let world = World::new();
    let node = world.node("edge-a1", Zone::Dmz);
    let addr = listen(&node.relay).await;
    let connecting = url(addr, &world.path(&CUSTOMER));
    let customer = soon("connect", Connection::connect_websocket(&connecting)).await;
    let customer = customer.unwrap();
    connected(&node.relay, 1).await;
    node.relay.revoke_ticket(&"ticket-1".parse().unwrap());
    // The reason is on the wire, but qmux lets the end of the socket overtake it.
    drop::<Closed>(soon("end", customer.closed()).await);
    let again = Connection::connect_websocket(&connecting).await;
    let error = std::error::Error::source(&again.err().unwrap()).map(ToString::to_string);
    assert!(
        error.is_some_and(|error| error.contains("401")),
        "let in again"
    );
}
