//! Three relays in a row, recorders, and what a captured edge cannot do.

use guitai_relay::{
    RoomName,
    client::{Announcement, Closed, Connection},
};
use guitai_types::Zone;

use super::{
    AGENT, Ask, CUSTOMER, RECORDER_AGE, ROOM, WATCHER, World, announced, catalog, frame, soon,
};

#[tokio::test]
async fn a_call_passes_from_the_edge_through_two_inner_relays() {
    let world = World::new();
    let edge = world.node("edge-a1", Zone::Dmz);
    let near = world.node("a1-1", Zone::Inner);
    let far = world.node("a2-1", Zone::Inner);
    let _inward = near.relay.dial_peer(near.mesh.clone(), edge.target());
    let _across = far.relay.dial_peer(far.mesh.clone(), near.target());

    let customer = world.enter(&edge, &CUSTOMER).await;
    let agent = world.enter(&far, &AGENT).await;
    let mut from_customer = customer.publish("customer/1.hang", &catalog()).unwrap();
    let mut from_agent = agent.publish("agent/1.hang", &catalog()).unwrap();
    announced(agent.room(), "customer/1.hang").await;
    announced(customer.room(), "agent/1.hang").await;

    let subscribing = agent.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut at_agent = soon("subscribe", subscribing).await.unwrap();
    let subscribing = customer.room().subscribe("agent/1.hang", RECORDER_AGE);
    let mut at_customer = soon("subscribe", subscribing).await.unwrap();
    for number in 0..30_u64 {
        from_customer
            .video(number * 66_667, number % 10 == 0, b"from customer")
            .unwrap();
        from_agent.audio(number * 20_000, b"from agent").unwrap();
        let seen = frame(&mut at_agent).await;
        assert_eq!(
            (seen.timestamp_us, &seen.payload[..]),
            (number * 66_667, &b"from customer"[..])
        );
        let heard = frame(&mut at_customer).await;
        assert_eq!(
            (heard.timestamp_us, &heard.payload[..]),
            (number * 20_000, &b"from agent"[..])
        );
    }
    assert!(near.relay.stats().mesh.frames_in >= 60);
    assert!(
        near.relay
            .sessions()
            .iter()
            .any(|s| s.who == "node:edge-a1")
    );
}

#[tokio::test]
async fn a_recorder_hears_the_room_and_says_nothing() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let recorder = world.node("a1-2", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let mut publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    publisher.video(0, true, b"before").unwrap();

    let target = node.target();
    let connecting = Connection::connect_mesh(&recorder.mesh, &target, ROOM);
    let recording = soon("connect", connecting).await.unwrap();
    announced(recording.room(), "customer/1.hang").await;
    let subscribing = recording.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    assert_eq!(&frame(&mut subscriber).await.payload[..], b"before");

    // In the same process, without a connection.
    let room = RoomName::parse(ROOM).unwrap();
    let local = node.relay.consume(&room).unwrap();
    announced(&local, "customer/1.hang").await;
    let subscribing = local.subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    assert_eq!(&frame(&mut subscriber).await.payload[..], b"before");

    let _unheard = recording.publish("agent/9.hang", &catalog()).unwrap();
    let agent = world.enter(&node, &AGENT).await;
    let _heard = agent.publish("agent/1.hang", &catalog()).unwrap();
    let mut seen = customer.room().announced("");
    let agents = Announcement::Started("agent/1.hang".to_owned());
    assert_eq!(soon("start", seen.next()).await, Some(agents));

    // A path that is no room is refused, even to a node.
    let connecting = Connection::connect_mesh(&recorder.mesh, &target, "/demo-bank");
    let connection = soon("connect", connecting).await;
    if let Ok(connection) = connection {
        assert_eq!(
            soon("refusal", connection.closed()).await,
            Closed::Unauthorized
        );
    }
}

#[tokio::test]
async fn a_captured_edge_neither_speaks_as_an_agent_nor_hears_customers() {
    let world = World::new();
    let edge = world.node("edge-a1", Zone::Dmz);
    let inner = world.node("a1-1", Zone::Inner);
    let _link = inner.relay.dial_peer(inner.mesh.clone(), edge.target());

    // Whatever tokens it forges for itself, it can only push through the link.
    let captor = Ask {
        publish: &["", "agent", "customer"],
        subscribe: &[""],
        ..CUSTOMER
    };
    let captor = world.enter(&edge, &captor).await;
    let watcher = world.enter(&inner, &WATCHER).await;
    let _as_agent = captor.publish("agent/1.hang", &catalog()).unwrap();
    let _as_customer = captor.publish("customer/1.hang", &catalog()).unwrap();
    let mut seen = watcher.room().announced("");
    let customers = Announcement::Started("customer/1.hang".to_owned());
    assert_eq!(soon("start", seen.next()).await, Some(customers));

    let inside = Ask {
        publish: &["customer", "agent"],
        ..CUSTOMER
    };
    let inside = world.enter(&inner, &inside).await;
    let mut seen = captor.room().announced("");
    let _customers = inside.publish("customer/2.hang", &catalog()).unwrap();
    let _agents = inside.publish("agent/2.hang", &catalog()).unwrap();
    let agents = Announcement::Started("agent/2.hang".to_owned());
    soon("agents", async {
        loop {
            let next = seen.next().await;
            assert_ne!(
                next,
                Some(Announcement::Started("customer/2.hang".to_owned()))
            );
            if next == Some(agents.clone()) {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_link_comes_back() {
    let world = World::new();
    let edge = world.node("edge-a1", Zone::Dmz);
    let inner = world.node("a1-1", Zone::Inner);
    let link = inner.relay.dial_peer(inner.mesh.clone(), edge.target());
    let customer = world.enter(&edge, &CUSTOMER).await;
    let agent = world.enter(&inner, &AGENT).await;
    let _first = customer.publish("customer/1.hang", &catalog()).unwrap();
    announced(agent.room(), "customer/1.hang").await;

    drop(link);
    let mut seen = agent.room().announced("");
    soon("retraction", async {
        let gone = Announcement::Ended("customer/1.hang".to_owned());
        while seen.next().await != Some(gone.clone()) {}
    })
    .await;
    let _link = inner.relay.dial_peer(inner.mesh.clone(), edge.target());
    soon("return", async {
        let back = Announcement::Started("customer/1.hang".to_owned());
        while seen.next().await != Some(back.clone()) {}
    })
    .await;
}
