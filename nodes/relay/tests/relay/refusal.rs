//! Who is not let in, who is thrown out, and what noise does: nothing.

use std::time::Duration;

use guitai_relay::{
    Limits,
    client::{Closed, ConnectError, Connection},
};
use guitai_types::{Epoch, Zone};

use super::{
    AGENT, Ask, CUSTOMER, Node, RECORDER_AGE, ROOM, World, announced, catalog, connected, soon,
};

/// The error's whole chain as text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

async fn refused(node: &Node, path: &str) -> String {
    let pins = node.door.certificate_hashes();
    let url = node.url(path);
    match soon("connect", Connection::connect_webtransport(&url, &pins)).await {
        Ok(_) => panic!("{path} was let in"),
        Err(error) => chain(&error),
    }
}

#[tokio::test]
async fn a_wrong_token_is_answered_401() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let foreign = World::new();
    let token = world.token(&CUSTOMER);
    let expired = Ask {
        life_ms: -1,
        ..CUSTOMER
    };
    node.relay.set_epoch(Epoch(1));
    let old = Ask {
        epoch: 0,
        ..CUSTOMER
    };
    for path in [
        ROOM.to_owned(),
        format!("{ROOM}?jwt="),
        format!("{ROOM}?jwt=abc.def"),
        format!("/demo-bank/session-2?jwt={token}"),
        format!("/other-bank/session-1?jwt={token}"),
        format!("/?jwt={token}"),
        format!("{ROOM}/agent?jwt={token}"),
        foreign.path(&CUSTOMER),
        world.path(&expired),
        world.path(&old),
    ] {
        let error = refused(&node, &path).await;
        assert!(error.contains("401"), "{path}: {error}");
    }
    assert_eq!(node.relay.stats().accepted, 0);
    assert!(node.relay.sessions().is_empty());
    world.enter(&node, &CUSTOMER).await;
}

#[tokio::test]
async fn revocation_ends_live_connections_and_refuses_later_ones() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let other = Ask {
        room: "/demo-bank/session-2",
        ticket: "ticket-2",
        ..CUSTOMER
    };
    let (first, second) = (
        world.enter(&node, &CUSTOMER).await,
        world.enter(&node, &other).await,
    );

    connected(&node.relay, 2).await;
    node.relay.revoke_session(&"session-1".parse().unwrap());
    assert_eq!(soon("end", first.closed()).await, Closed::Unauthorized);
    assert!(refused(&node, &world.path(&CUSTOMER)).await.contains("401"));

    node.relay.revoke_ticket(&"ticket-2".parse().unwrap());
    assert_eq!(soon("end", second.closed()).await, Closed::Unauthorized);
    assert!(refused(&node, &world.path(&other)).await.contains("401"));

    let third = Ask {
        room: "/demo-bank/session-3",
        ticket: "ticket-3",
        ..CUSTOMER
    };
    let connection = world.enter(&node, &third).await;
    node.relay.set_epoch(Epoch(2));
    assert_eq!(soon("end", connection.closed()).await, Closed::Unauthorized);
    assert!(refused(&node, &world.path(&third)).await.contains("401"));
    let renewed = Ask { epoch: 2, ..third };
    let connection = world.enter(&node, &renewed).await;
    node.relay.set_epoch(Epoch(1));
    connected(&node.relay, 1).await;
    assert_eq!(connection.version(), "moq-lite-06");
}

#[tokio::test]
async fn a_full_relay_says_so_and_recovers() {
    let world = World::new();
    let limits = Limits {
        door_sessions_max: 1,
        ..Limits::default()
    };
    let node = world.node_with("a1-1", Zone::Inner, limits);
    let only = world.enter(&node, &CUSTOMER).await;
    let error = refused(&node, &world.path(&AGENT)).await;
    assert!(error.contains("429"), "{error}");
    only.close().await;
    connected(&node.relay, 0).await;
    soon("entry", async {
        // The place is given back just after the session has left the table.
        loop {
            let url = node.url(&world.path(&AGENT));
            let pins = node.door.certificate_hashes();
            match Connection::connect_webtransport(&url, &pins).await {
                Ok(_) => break,
                Err(ConnectError::WebTransport(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_sends_more_than_a_call_needs_is_cut_off_and_nobody_else() {
    let world = World::new();
    let limits = Limits {
        door_bytes_per_second: 32 * 1024,
        ..Limits::default()
    };
    let node = world.node_with("a1-1", Zone::Inner, limits);
    let customer = world.enter(&node, &CUSTOMER).await;
    let agent = world.enter(&node, &AGENT).await;
    let mut publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    announced(agent.room(), "customer/1.hang").await;
    let subscribing = agent.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    let flood = async {
        for group in 0_u64.. {
            publisher
                .video(group * 1_000, true, &[7; 16 * 1024])
                .unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reading = async {
        while subscriber.next().await.is_some() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = soon("the cut", customer.closed()) => assert_eq!(end, Closed::Unauthorized),
        () = flood => {}
        () = reading => {}
    }
    connected(&node.relay, 1).await;
    assert_eq!(node.relay.stats().refused.get("too-fast"), Some(&1));
    // What it carried is known, and of the other connection that it is open.
    let session = CUSTOMER.room.rsplit('/').next().unwrap().parse().unwrap();
    let passed = node.relay.passed(&session);
    assert_eq!(passed.len(), 2, "{passed:?}");
    assert!(passed[0].until.is_some() && passed[0].received > Some(256 * 1024));
    assert!(passed[1].until.is_none());
    drop(agent);
}

#[tokio::test]
async fn noise_on_the_door_ends_nothing() {
    let world = World::new();
    let limits = Limits {
        handshake_deadline: Duration::from_millis(500),
        ..Limits::default()
    };
    let node = world.node_with("a1-1", Zone::Inner, limits);
    let customer = world.enter(&node, &CUSTOMER).await;
    let agent = world.enter(&node, &AGENT).await;

    // No QUIC at all.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let door = node.door.local_addr().unwrap();
    for length in [0, 1, 20, 1200, 1400] {
        socket.send_to(&vec![0xc3; length], door).await.unwrap();
    }
    // QUIC and HTTP/3 or MoQ by name, then nonsense, or silence.
    for alpn in ["h3", "moq-lite-06", "moqt-18", "moq-00", "moql"] {
        for nonsense in [&[][..], &[0xff; 64][..], &[0; 4096][..]] {
            let connection = super::stock::quic(&node, alpn).await;
            let (mut bi, _receive) = connection.open_bi().await.unwrap();
            let mut uni = connection.open_uni().await.unwrap();
            // The relay may hang up at any point; that is the point.
            drop((uni.write_all(nonsense).await, bi.write_all(nonsense).await));
            drop((uni.finish(), bi.finish()));
            soon("hanging up", connection.closed()).await;
        }
    }

    let _publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    announced(agent.room(), "customer/1.hang").await;
    let stats = node.relay.stats();
    assert_eq!((stats.sessions, stats.panics), (2, 0), "{stats:?}");
}
