//! A node of the buffer area in the hands of somebody else: with its key and from its address he opens one undeclared
//! flow of each kind. Each is refused or seen, and the auditor's questions 2, 3, 4 and 8 show it.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};

use guitai_cluster::{Deployment, deployment::wait_for, http, officers::answer};
use guitai_crypto::{
    keys::{KeyFile, KeyStore, Unlock},
    tls,
    x509::{self, Identity},
};
use guitai_host::SystemClock;
use guitai_net::{CALL_ALPN, Link, Mesh, RAFT_ALPN, TUNNEL_ALPN};
use quinn::crypto::rustls::QuicClientConfig;
use serde_json::{Value, json};

/// Each is shown within a minute.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit code of a command that found something.
const FINDINGS: i32 = 5;
const EDGE: &str = "edge-a1";

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The key of the edge, as somebody reads it who has its directory and its passphrase.
fn stolen(dir: &Path) -> (Identity, Vec<Vec<u8>>) {
    let store = KeyStore::open(&dir.join("keys"), Unlock::File(dir.join("root-passphrase")));
    let store = store.expect("the store of the edge");
    let key = store.read_key_file(&dir.join("identity.key.pem"), "identity");
    let (KeyFile::Wrapped(key) | KeyFile::Plain(key)) = key.expect("its key");
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("a file of the edge");
    let key = String::from_utf8(key.to_vec()).expect("PEM");
    let identity = Identity::from_pem(&read("identity.pem"), &key).expect("an identity");
    let roots = x509::certificates_from_pem(&read("root.pem")).expect("the root");
    (identity, roots)
}

/// Dials an inner node from the edge's address and name. Whether the connection was of any use.
async fn reversed(
    identity: &Identity,
    roots: &[Vec<u8>],
    to: SocketAddr,
    name: &str,
    alpn: &str,
) -> bool {
    let client = tls::client_config(identity, roots, &[alpn.as_bytes()]).expect("a client");
    let quic = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite());
    let config = quinn::ClientConfig::new(Arc::new(quic.expect("such a suite")));
    let endpoint =
        quinn::Endpoint::client("127.1.1.1:0".parse().expect("an address")).expect("a socket");
    let Ok(dialled) = endpoint.connect_with(config, to, name) else {
        return false;
    };
    let conn = match tokio::time::timeout(Duration::from_secs(5), dialled).await {
        Ok(Ok(conn)) => conn,
        other => {
            eprintln!("{alpn}: {other:?}");
            return false;
        }
    };
    // TLS 1.3: the dialling end is through before the other has seen its certificate.
    let used = async {
        let (mut send, mut receive) = conn.open_bi().await.ok()?;
        send.write_all(&[0, 0, 0, 2, b'{', b'}']).await.ok()?;
        receive.read_chunk(1, true).await.ok()?
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), used).await;
    matches!(answer, Ok(Some(_)))
}

/// Messages that no honest edge sends, on a tunnel that the core has opened.
async fn forge(link: Link) {
    let framed = |text: &str| {
        let length = u32::try_from(text.len()).expect("short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let long = "x".repeat(600);
    let messages = [
        framed("\u{0}\u{1}raw bytes"),
        framed(r#"{"ask":"shell"}"#),
        framed(r#"{"ask":"catalogue","more":1}"#),
        framed(&json!({ "ask": "rate", "ticket": "t1", "stars": 5, "comment": long }).to_string()),
        framed(r#"{"order":"hello","epoch":9}"#),
        u32::MAX.to_be_bytes().to_vec(),
    ];
    for message in messages {
        let Ok((mut send, mut receive)) = link.conn.open_bi().await else {
            return;
        };
        if send.write_all(&message).await.is_err() {
            return;
        }
        drop(send.finish());
        drop(tokio::time::timeout(Duration::from_secs(2), receive.read_chunk(1, true)).await);
    }
    std::future::pending::<()>().await;
}

#[test]
fn an_edge_in_other_hands_opens_nothing_and_what_it_tries_is_told() {
    // A new listener, and a way out by DNS, in every process that is started from here: no code of ours opened them.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tunnel = UdpSocket::bind("127.0.0.1:0").expect("a port");
    tunnel.connect("127.0.0.53:53").expect("connected");
    for socket in [
        rustix::fd::AsFd::as_fd(&listener),
        rustix::fd::AsFd::as_fd(&tunnel),
    ] {
        rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).expect("inherited");
    }
    let deployment = Deployment::start();
    let status = deployment.json(&["status"]);
    let mesh_of = |name: &str| -> SocketAddr {
        let nodes = list(&status["nodes"]);
        let node = nodes.iter().find(|it| it["member"]["name"] == name);
        let address = node.expect("a node")["member"]["mesh"].as_str();
        address.expect("its mesh").parse().expect("an address")
    };
    let (identity, roots) = stolen(&deployment.data().join(EDGE));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");

    // Reversed direction, with the edge's own key and from its address.
    let reverse = || {
        for alpn in [RAFT_ALPN, CALL_ALPN, TUNNEL_ALPN] {
            let to = mesh_of("a1-1");
            let name = "a1-1.inner.guitai.internal";
            let used = runtime.block_on(reversed(&identity, &roots, to, name, alpn));
            assert!(!used, "{alpn} was served to an edge");
        }
    };
    reverse();

    // The edge itself, taken over: it answers the core's tunnels with what it likes.
    let taken = tokio::runtime::Runtime::new().expect("a runtime");
    let mesh = wait_for("the edge's place", PATIENCE, || {
        // Its supervisor starts it again after a moment: whoever is there first has the address.
        if deployment.pid(EDGE).is_some() {
            deployment.kill(EDGE);
        }
        let _inside = taken.enter();
        (0..50).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            Mesh::bind(
                mesh_of(EDGE),
                &identity,
                &roots,
                Arc::new(SystemClock::new()),
            )
            .ok()
        })
    });
    mesh.serve(TUNNEL_ALPN, Arc::new(|link| Box::pin(forge(link))));

    // At another edge's door, as any customer may: what is no ticket, and somebody else's.
    let door = deployment.door("127.2.1.1");
    let post = |body: &str| http::ask(door, "POST", "/api/v1/tickets", "", body).0;
    assert!((400..500).contains(&post("\u{0}\u{1}")));
    assert!((400..500).contains(&post(r#"{"institution":"demo-bank","more":1}"#)));
    let wide =
        json!({ "institution": "demo-bank", "queue": "loan", "customer": "x".repeat(100_000) });
    assert!((400..500).contains(&post(&wide.to_string())));
    let (status, _) = http::ask(
        door,
        "GET",
        "/api/v1/tickets/t-of-another-bank",
        "no.token",
        "",
    );
    assert!((400..500).contains(&status));

    // 4: what was refused, of connections and of messages, and by whom.
    let denied = wait_for("refusals", PATIENCE, || {
        // What a node refuses in its first half minute counts for nothing.
        reverse();
        let output = deployment.ask("flow denied");
        let denied: Value = serde_json::from_slice(&output.stdout).ok()?;
        let messages = || {
            list(&denied["nodes"])
                .iter()
                .flat_map(|node| list(&node["messages"]))
        };
        let has = |verdict: &str| {
            messages().any(|it| it["verdict"] == verdict && it["direction"] == "inward")
        };
        let all = [
            "malformed",
            "unknown-type",
            "unknown-field",
            "bad-value",
            "wrong-direction",
            "too-large",
        ];
        let told = all.iter().filter(|verdict| has(verdict)).count();
        let refused = list(&denied["nodes"])
            .iter()
            .flat_map(|node| list(&node["refused"]));
        let from_edge = refused
            .filter(|flow| {
                let peer = flow["peer"].as_str().unwrap_or_default();
                flow["way"] == "accepted" && (peer == EDGE || peer.starts_with("127.1.1.1"))
            })
            .count();
        eprintln!("{told} kinds of refusal, {from_edge} flows from the edge");
        (told == all.len() && from_edge > 0).then(|| {
            assert_eq!(output.status.code(), Some(FINDINGS));
            denied
        })
    });
    // The edge's own process has its place again.
    drop(mesh);
    taken.shutdown_timeout(Duration::from_secs(2));
    let faults: Vec<&str> = list(&denied["findings"])
        .iter()
        .filter_map(|it| it["fault"].as_str())
        .collect();
    assert!(
        faults.contains(&"message") && faults.contains(&"refused"),
        "{denied:#}"
    );

    // 8: the same by kind of message.
    let schema = answer(&deployment.ask("relay schema"));
    assert!(schema["unknown_refused"].as_u64() > Some(0), "{schema:#}");
    let rate = list(&schema["kinds"])
        .iter()
        .find(|it| it["kind"] == "ask.rate");
    assert!(rate.expect("a kind")["refused"].as_u64() > Some(0));

    // 3: who listens, in every process.
    let output = deployment.ask("flow listeners");
    assert_eq!(output.status.code(), Some(FINDINGS));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        told.contains(&listener.local_addr().expect("bound").to_string()),
        "{told}"
    );

    // 2: and all of it in the flow log, once the minute is over.
    wait_for("the flow log", Duration::from_secs(150), || {
        let output = deployment.ask("flow diff --since 15m");
        let told: Value = serde_json::from_slice(&output.stdout).ok()?;
        let differ = list(&told["differ"])
            .iter()
            .any(|it| it["flow"]["peer"] == EDGE);
        let found = told["findings"].to_string();
        let sockets = found.contains("127.0.0.53:53");
        assert!(output.status.code() == Some(FINDINGS) || told["minutes"].as_u64() < Some(2));
        (differ && sockets && found.contains("\"message\"")).then_some(())
    });
}
