//! Two browsers' worth of clients at one door.

use guitai_relay::{
    Transport,
    client::{Announcement, End, Event},
    hang::AUDIO_GROUP_FRAMES,
};
use guitai_types::Zone;

use super::{
    AGENT, Ask, CUSTOMER, RECORDER_AGE, ROOM, WATCHER, World, announced, catalog, connected, frame,
    soon,
};

#[tokio::test]
async fn a_call_passes_through_one_relay() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let agent = world.enter(&node, &AGENT).await;

    let sealed = catalog().sealed_by(1, Default::default());
    let mut publisher = customer.publish("customer/1.hang", &sealed).unwrap();
    assert!(
        publisher.video(0, false, b"delta").is_err(),
        "no key frame yet"
    );
    publisher.video(1_000, true, b"key 0").unwrap();
    publisher.video(67_667, false, b"delta 0").unwrap();
    publisher.video(2_001_000, true, b"key 1").unwrap();

    announced(agent.room(), "customer/1.hang").await;
    let subscribing = agent.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    assert_eq!(*subscriber.catalog(), sealed);

    let mut video = Vec::new();
    for _ in 0..3 {
        let frame = frame(&mut subscriber).await;
        assert_eq!(&*frame.track, "video");
        video.push((
            frame.group,
            frame.first_in_group,
            frame.timestamp_us,
            frame.payload,
        ));
    }
    assert_eq!(video[0], (0, true, 1_000, "key 0".into()));
    assert_eq!(video[1], (0, false, 67_667, "delta 0".into()));
    assert_eq!(video[2], (1, true, 2_001_000, "key 1".into()));

    for packet in 0..=AUDIO_GROUP_FRAMES as u64 {
        publisher
            .audio(packet * 20_000, &packet.to_be_bytes())
            .unwrap();
        let frame = frame(&mut subscriber).await;
        let group = packet / AUDIO_GROUP_FRAMES as u64;
        assert_eq!((&*frame.track, frame.group), ("audio", group));
        assert_eq!(
            frame.first_in_group,
            packet % AUDIO_GROUP_FRAMES as u64 == 0
        );
        assert_eq!(&frame.payload[..], packet.to_be_bytes());
    }

    let changed = catalog();
    publisher.update_catalog(&changed).unwrap();
    assert_eq!(
        soon("catalog", subscriber.next()).await,
        Some(Event::Catalog(changed))
    );

    publisher.finish().unwrap();
    assert_eq!(
        soon("end", subscriber.next()).await,
        Some(Event::Ended(End::Finished))
    );
    assert_eq!(subscriber.next().await, None);
}

#[tokio::test]
async fn a_publisher_that_vanishes_is_a_loss() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let agent = world.enter(&node, &AGENT).await;
    let mut publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    publisher.video(0, true, b"key").unwrap();

    let mut announced = agent.room().announced("customer");
    let started = Announcement::Started("customer/1.hang".to_owned());
    assert_eq!(soon("start", announced.next()).await, Some(started));
    let subscribing = agent.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    assert_eq!(&frame(&mut subscriber).await.payload[..], b"key");

    drop((publisher, customer));
    let ended = Announcement::Ended("customer/1.hang".to_owned());
    assert_eq!(soon("retraction", announced.next()).await, Some(ended));
    let end = soon("end", async {
        loop {
            match subscriber.next().await {
                Some(Event::Skipped { .. }) => {}
                other => break other,
            }
        }
    });
    assert!(matches!(end.await, Some(Event::Ended(End::Lost(_)))));
}

#[tokio::test]
async fn a_token_reaches_exactly_what_it_names() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let watcher = world.enter(&node, &WATCHER).await;
    let elsewhere = Ask {
        room: "/demo-bank/session-2",
        subscribe: &[""],
        ..WATCHER
    };
    let elsewhere = world.enter(&node, &elsewhere).await;

    // Announcements of one connection keep their order: had the first two passed, they would come
    // first.
    let _as_agent = customer.publish("agent/1.hang", &catalog()).unwrap();
    let _beside = customer.publish("customer2/1.hang", &catalog()).unwrap();
    let _right = customer.publish("customer/1.hang", &catalog()).unwrap();
    let mut seen = watcher.room().announced("");
    let right = Announcement::Started("customer/1.hang".to_owned());
    assert_eq!(soon("start", seen.next()).await, Some(right));

    // A customer does not see customers, nor does another room; an agent's broadcast arrives at
    // the one and not at the other.
    let agent = world.enter(&node, &AGENT).await;
    let mut seen = customer.room().announced("");
    let _agents = agent.publish("agent/2.hang", &catalog()).unwrap();
    let agents = Announcement::Started("agent/2.hang".to_owned());
    assert_eq!(soon("start", seen.next()).await, Some(agents));
    announced(watcher.room(), "agent/2.hang").await;
    let mut seen = elsewhere.room().announced("");
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(300), seen.next());
    assert!(nothing.await.is_err(), "another room was visible");
}

#[tokio::test]
async fn the_operator_sees_who_is_connected_and_what_flowed() {
    let world = World::new();
    let node = world.node("a1-1", Zone::Inner);
    let customer = world.enter(&node, &CUSTOMER).await;
    let agent = world.enter(&node, &AGENT).await;
    let mut publisher = customer.publish("customer/1.hang", &catalog()).unwrap();
    publisher.video(0, true, &[7; 1000]).unwrap();
    announced(agent.room(), "customer/1.hang").await;
    let subscribing = agent.room().subscribe("customer/1.hang", RECORDER_AGE);
    let mut subscriber = soon("subscribe", subscribing).await.unwrap();
    frame(&mut subscriber).await;

    let sessions = node.relay.sessions();
    assert_eq!(sessions.len(), 2);
    for session in &sessions {
        assert_eq!(session.who, "ticket:ticket-1");
        assert_eq!(session.room.as_deref(), Some(ROOM));
        assert_eq!(session.transport, Transport::WebTransport);
        assert!(session.bytes_sent.is_some_and(|bytes| bytes > 0));
    }
    let stats = node.relay.stats();
    assert_eq!((stats.sessions, stats.accepted, stats.panics), (2, 2, 0));
    assert!(
        stats.door.bytes_in > 1000 && stats.door.bytes_out > 1000,
        "{stats:?}"
    );
    assert_eq!(stats.mesh.bytes_in, 0);

    customer.close().await;
    connected(&node.relay, 1).await;
}
