//! Calls over kept connections.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use guitai_net::{
    Apart, CALL_ALPN, CallError, Calls, Gate, Mesh, Peer, calls::OnStream, frame::write_frame,
};
use guitai_types::limits::RPC_BYTES_MAX;
use tokio::io::AsyncWriteExt as _;

use crate::{Cluster, target, unknown};

fn echo() -> Calls {
    let calls = Calls::new();
    calls.register(
        "test.echo",
        Arc::new(|peer, body| {
            Box::pin(async move { Ok([peer.name.as_str().as_bytes(), b":", &body].concat()) })
        }),
    );
    calls.register(
        "test.refuse",
        Arc::new(|_, _| Box::pin(async { Err("not today".to_owned()) })),
    );
    calls.register(
        "test.panic",
        Arc::new(|_, _| Box::pin(async { panic!("on purpose") })),
    );
    calls.register(
        "test.never",
        Arc::new(|_, _| Box::pin(std::future::pending())),
    );
    let stream: OnStream = Arc::new(|_, body| {
        Box::pin(async move {
            if body.is_empty() {
                return Err("nothing to count".to_owned());
            }
            let write: guitai_net::calls::StreamWriter = Box::new(move |mut send| {
                Box::pin(async move {
                    for _ in 0..1000 {
                        send.write_all(&body).await.unwrap();
                    }
                    send.shutdown().await.unwrap();
                })
            });
            Ok(write)
        })
    });
    calls.register_stream("test.stream", stream);
    calls
}

fn pair(a: &str, b: &str) -> (Mesh, Mesh) {
    let cluster = Cluster::new();
    let (a, b) = (cluster.node("a1-1", a), cluster.node("a1-2", b));
    echo().attach(&b);
    (a, b)
}

#[tokio::test]
async fn a_call_is_answered_and_a_refusal_has_its_reason() {
    let (a, b) = pair("127.72.1.1", "127.72.1.2");
    let to = target(&b);
    let answer = a.call_kind(&to, "test.echo", b"hello".to_vec()).await;
    assert_eq!(answer.unwrap(), b"a1-1:hello");
    for (kind, said) in [("test.refuse", "not today"), ("test.none", "unknown kind")] {
        let refused = a.call_kind(&to, kind, Vec::new()).await.unwrap_err();
        assert!(matches!(&refused, CallError::Refused { reason, .. } if reason == said));
    }
    let nothing = a.call_kind(&to, "test.panic", Vec::new()).await;
    let nothing = nothing.unwrap_err();
    assert!(nothing.may_have_arrived(), "{nothing:?}");
    // The panic ended one stream; the connection and its other calls go on.
    let answer = a.call_kind(&to, "test.echo", Vec::new()).await;
    assert_eq!(answer.unwrap(), b"a1-1:");
}

/// Lets in what is called `test.echo` and has no more than four bytes.
struct Short;

impl Gate for Short {
    fn may_dial(&self, _: &str, _: &Peer) -> Result<(), String> {
        Ok(())
    }

    fn may_enter(&self, _: &str, _: &Peer) -> Result<(), String> {
        Ok(())
    }

    fn may_call(&self, alpn: &str, _: &Peer, kind: &str, bytes: usize) -> Result<(), String> {
        let lets = (alpn, kind) == (CALL_ALPN, "test.echo") && bytes <= 4;
        lets.then_some(()).ok_or_else(|| "not declared".to_owned())
    }
}

#[tokio::test]
async fn the_gate_is_asked_about_each_call_and_what_it_refuses_is_accounted() {
    let cluster = Cluster::new();
    let (a, b) = (
        cluster.node("a1-1", "127.72.9.1"),
        cluster.node("a1-2", "127.72.9.2"),
    );
    b.guard(Arc::new(Short));
    echo().attach(&b);
    let to = target(&b);
    let answer = a.call_kind(&to, "test.echo", b"four".to_vec()).await;
    assert_eq!(answer.unwrap(), b"a1-1:four");
    for (kind, body) in [("test.echo", &b"fives"[..]), ("test.refuse", b"")] {
        let refused = a.call_kind(&to, kind, body.to_vec()).await.unwrap_err();
        let CallError::Refused { reason, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(reason, "not declared");
    }
    let refused = a.call_stream(&to, "test.stream", b"x".to_vec()).await;
    assert!(matches!(refused, Err(CallError::Refused { .. })));
    let (seen, _) = b.ledger().seen();
    let refused: u64 = seen.values().map(|tally| tally.refused).sum();
    assert_eq!(refused, 3);
}

#[tokio::test]
async fn a_request_over_the_limit_is_not_sent() {
    let (a, b) = pair("127.72.2.1", "127.72.2.2");
    let huge = vec![0; RPC_BYTES_MAX];
    let refused = a.call_kind(&target(&b), "test.echo", huge).await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, CallError::TooLarge { .. }));
    assert!(!refused.may_have_arrived());
}

#[tokio::test]
async fn a_deadline_ends_a_call_but_not_its_neighbours() {
    let (a, b) = pair("127.72.3.1", "127.72.3.2");
    let to = target(&b);
    let short = Duration::from_millis(300);
    let silent = a.call_kind_within(&to, "test.never", Vec::new(), short);
    let (silent, echoed) = tokio::join!(silent, async {
        a.call_kind(&to, "test.echo", b"x".to_vec()).await
    });
    assert!(matches!(silent, Err(CallError::Silent { ms: 300, .. })));
    assert_eq!(echoed.unwrap(), b"a1-1:x");
}

#[tokio::test]
async fn a_stream_brings_all_its_bytes() {
    let (a, b) = pair("127.72.4.1", "127.72.4.2");
    let to = target(&b);
    let mut stream = a
        .call_stream(&to, "test.stream", vec![7; 1000])
        .await
        .unwrap();
    let bytes = stream.read_to_end(2_000_000).await.unwrap();
    assert_eq!(bytes, vec![7; 1_000_000]);
    let refused = a.call_stream(&to, "test.stream", Vec::new()).await;
    assert!(matches!(refused, Err(CallError::Refused { .. })));
}

#[tokio::test]
async fn garbage_streams_leave_the_connection_serving() {
    let (a, b) = pair("127.72.5.1", "127.72.5.2");
    let to = target(&b);
    let link = a.dial(CALL_ALPN, &to).await.unwrap();
    for garbage in [
        &[][..],
        &[0xff; 64],
        &[0, 0, 0, 9, 1],
        &[0, 0, 0, 1, 200],
        &[0, 0, 0, 3, 2, 0xff, 0xfe],
    ] {
        let (mut send, mut receive) = link.conn.open_bi().await.unwrap();
        send.write_all(garbage).await.unwrap();
        send.finish().unwrap();
        // Answered with a refusal, or ended without an answer; never with success.
        let answer = receive.read_to_end(1024).await.unwrap_or_default();
        assert_ne!(answer.get(4), Some(&0), "{garbage:?}");
    }
    let (mut send, mut receive) = link.conn.open_bi().await.unwrap();
    write_frame(&mut send, b"\x09test.echoyes").await.unwrap();
    send.finish().unwrap();
    let answer = receive.read_to_end(1024).await.unwrap();
    assert_eq!(&answer[5..], b"a1-1:yes");
}

#[tokio::test]
async fn a_dead_peer_costs_each_caller_its_own_deadline() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.72.6.1");
    let nobody = unknown("127.72.6.9:7443".parse().unwrap(), "a1-9");
    let short = Duration::from_millis(200);
    let calls = (0..10).map(|_| a.call_kind_within(&nobody, "test.echo", Vec::new(), short));
    for call in calls {
        let error = call.await.unwrap_err();
        assert!(!error.may_have_arrived(), "{error:?}");
    }
}

#[test]
fn calls_go_on_after_the_peer_was_killed() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let cluster = Cluster::new();
    let identity = cluster.identity("a1-2", "inner");
    let bind = |addr: &str| {
        let clock = cluster.clock.clone();
        let b = Mesh::bind(addr.parse().unwrap(), &identity, &cluster.roots(), clock).unwrap();
        echo().attach(&b);
        b
    };
    let here = runtime();
    let a = here.block_on(async { cluster.node("a1-1", "127.72.7.1") });
    let killed = runtime();
    let b = killed.block_on(async { bind("127.72.7.2:0") });
    let to = target(&b);
    let call = || here.block_on(a.call_kind(&to, "test.echo", b"x".to_vec()));
    assert_eq!(call().unwrap(), b"a1-1:x");

    // Its runtime stops at once: no closing word is sent, as when a process is killed.
    killed.shutdown_timeout(Duration::from_secs(5));
    drop(b);
    let again = runtime();
    let _b = again.block_on(async { bind(&to.addr.to_string()) });
    // The first call meets the old connection, which the restarted node resets at once; the
    // second finds a new one. Neither waits for the idle timeout.
    let start = cluster.clock.monotonic();
    let calls = AtomicUsize::new(0);
    while call().is_err() {
        assert!(
            calls.fetch_add(1, Ordering::Relaxed) < 1,
            "one lost call at most"
        );
    }
    let took = cluster.clock.monotonic() - start;
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn who_is_held_apart_hears_nothing_until_it_ends() {
    let (a, b) = pair("127.72.9.1", "127.72.9.2");
    let to = target(&b);
    let within = Duration::from_millis(400);
    let ask = || a.call_kind_within(&to, "test.echo", b"x".to_vec(), within);
    ask().await.unwrap();
    assert!(a.round_trips().contains_key(b.me()));

    let address = [to.addr];
    let mute = Apart {
        mute_to: address.into(),
        ..Apart::default()
    };
    let deaf = Apart {
        deaf_to: address.into(),
        ..Apart::default()
    };
    for apart in [mute, deaf] {
        a.hold_apart(apart.clone());
        assert_eq!(a.held_apart(), apart);
        assert!(ask().await.is_err(), "{apart:?}");
        a.hold_apart(Apart::default());
        let within = Duration::from_secs(10);
        let answer = a.call_kind_within(&to, "test.echo", b"y".to_vec(), within);
        assert_eq!(answer.await.unwrap(), b"a1-1:y");
    }
    // The other way round, who is not named is not touched.
    b.hold_apart(Apart {
        mute_to: ["127.72.9.9:1".parse().unwrap()].into(),
        deaf_to: ["127.72.9.9:1".parse().unwrap()].into(),
    });
    ask().await.unwrap();
}

#[tokio::test]
async fn a_call_given_up_on_a_mute_connection_takes_it_along() {
    let (a, b) = pair("127.72.10.1", "127.72.10.2");
    let to = target(&b);
    let within = Duration::from_secs(10);
    let ask = || a.call_kind_within(&to, "test.echo", b"x".to_vec(), within);
    ask().await.unwrap();
    a.hold_apart(Apart {
        mute_to: [to.addr].into(),
        deaf_to: [to.addr].into(),
    });
    // One that was impatient says nothing about the connection.
    let given_up = tokio::time::timeout(Duration::from_millis(50), ask()).await;
    assert!(given_up.is_err());
    assert!(a.round_trips().contains_key(b.me()));
    let given_up = tokio::time::timeout(Duration::from_millis(700), ask()).await;
    assert!(given_up.is_err());
    assert!(!a.round_trips().contains_key(b.me()));
    a.hold_apart(Apart::default());
    ask().await.unwrap();
}

#[tokio::test]
async fn who_does_not_answer_a_handshake_is_sent_another_beside_it() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.72.11.1");
    let silent = tokio::net::UdpSocket::bind("127.72.11.2:0").await.unwrap();
    let to = unknown(silent.local_addr().unwrap(), "a2-1");
    let within = Duration::from_secs(20);
    let ask = a.call_kind_within(&to, "test.echo", b"x".to_vec(), within);
    let count = async {
        let mut begun = BTreeSet::new();
        let mut packet = [0; 2048];
        while begun.len() < 3 {
            let length = silent.recv(&mut packet).await.unwrap();
            // RFC 8999, 5.1: five bytes, then the length of the destination's connection id and the id. Who has heard
            // nothing keeps to the id that it drew for the handshake.
            let id = packet[..length].get(6..14).unwrap();
            begun.insert(id.to_owned());
        }
    };
    tokio::select! {
        answer = ask => panic!("nobody answers, but {answer:?}"),
        () = count => {}
    }
}
