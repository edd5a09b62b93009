//! Certificates that change under open connections: renewal drops none, revocation ends its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use guitai_crypto::{
    sm2,
    x509::{self, CrlError, Identity, Reason, Revoked, Subject, Usage},
};
use guitai_net::{
    CRL_ALPN, ConnectionError, Link, Mesh,
    mesh::{DialError, Handler, RenewError},
    revocation::CODE_REVOKED,
};

use crate::{Cluster, target};

const ALPN: &str = "guitai-test/1";
const DAY: u64 = 86_400;

/// Keeps what it accepts open.
fn holding() -> Handler {
    Arc::new(|link: Link| Box::pin(async move { drop(link.conn.closed().await) }))
}

fn now(cluster: &Cluster) -> u64 {
    cluster.clock.wall().0 / 1000
}

/// A list with the leaves of these identities.
fn list(cluster: &Cluster, number: u64, revoked: &[&Identity]) -> Vec<u8> {
    let now = now(cluster);
    let entry = Revoked {
        at_unix: now,
        reason: Reason::KeyCompromise,
    };
    let entries: BTreeMap<_, _> = revoked
        .iter()
        .map(|identity| (x509::identify(&identity.chain[0]).unwrap().serial, entry))
        .collect();
    let authority = &cluster.authority;
    authority
        .issue_crl(number, &entries, now, now + 7 * DAY)
        .unwrap()
}

fn bind(cluster: &Cluster, identity: &Identity, ip: &str) -> Mesh {
    let addr = format!("{ip}:0").parse().unwrap();
    Mesh::bind(addr, identity, &cluster.roots(), cluster.clock.clone()).unwrap()
}

fn revoked_by_peer(closed: &ConnectionError) -> bool {
    matches!(closed, ConnectionError::ApplicationClosed(close)
        if close.error_code == CODE_REVOKED && close.reason.as_ref() == b"certificate revoked")
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_peers_and_old_connections_go_on() {
    let cluster = Cluster::new();
    let (a, b) = (
        cluster.node("a1-1", "127.71.21.1"),
        cluster.node("a1-2", "127.71.21.2"),
    );
    a.serve(ALPN, holding());
    b.serve(ALPN, holding());
    let (there, back) = (
        a.dial(ALPN, &target(&b)).await.unwrap(),
        b.dial(ALPN, &target(&a)).await.unwrap(),
    );
    let new = cluster.identity("a1-2", "inner");
    b.renew(&new).unwrap();
    assert_eq!(b.certificate_stats().renewals, 1);
    let again = a.dial(ALPN, &target(&b)).await.unwrap();
    let shown = again.conn.peer_identity().unwrap();
    let shown = shown
        .downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>()
        .unwrap();
    assert_eq!(shown[0].as_ref(), new.chain[0], "the new one is shown");
    b.dial(ALPN, &target(&a)).await.unwrap();
    for old in [&there, &back] {
        assert!(old.conn.close_reason().is_none());
        old.conn.open_bi().await.unwrap();
    }

    let stranger = cluster.identity("a1-3", "inner");
    let refused = b.renew(&stranger);
    assert!(matches!(refused, Err(RenewError::Stranger { .. })));
    let foreign = Cluster::new().identity("a1-2", "inner");
    let refused = b.renew(&foreign);
    assert!(matches!(refused, Err(RenewError::Chain(_))));
    a.dial(ALPN, &target(&b)).await.unwrap();
}

#[tokio::test]
async fn a_revoked_peer_is_thrown_out_at_both_ends_and_comes_back_with_a_new_certificate() {
    let cluster = Cluster::new();
    let bad = cluster.identity("a1-2", "inner");
    let (a, b) = (
        cluster.node("a1-1", "127.71.22.1"),
        bind(&cluster, &bad, "127.71.22.2"),
    );
    let c = cluster.node("a1-3", "127.71.22.3");
    for mesh in [&a, &b, &c] {
        mesh.serve(ALPN, holding());
    }
    let there = a.dial(ALPN, &target(&b)).await.unwrap();
    let back = b.dial(ALPN, &target(&a)).await.unwrap();
    let other = a.dial(ALPN, &target(&c)).await.unwrap();

    assert!(a.take_list(&list(&cluster, 5, &[&bad])).unwrap());
    // At our end both are closed at once; the peer reads why.
    assert!(there.conn.close_reason().is_some());
    assert!(revoked_by_peer(&back.conn.closed().await));
    assert!(other.conn.close_reason().is_none(), "nobody else's ends");
    assert_eq!(a.certificate_stats().closed_revoked, 2);
    // Nor does it come back, dialled or dialling; sessions that could be resumed help nothing.
    for _ in 0..2 {
        let refused = a.dial(ALPN, &target(&b)).await;
        assert!(matches!(refused, Err(DialError::Certificate { .. })));
        match b.dial(ALPN, &target(&a)).await {
            Ok(link) => assert!(revoked_by_peer(&link.conn.closed().await)),
            Err(DialError::Handshake { source, .. }) => assert!(revoked_by_peer(&source)),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(a.certificate_stats().refused_revoked, 4);
    // Who has not heard of it lets it in.
    c.dial(ALPN, &target(&b)).await.unwrap();

    b.renew(&cluster.identity("a1-2", "inner")).unwrap();
    let back = b.dial(ALPN, &target(&a)).await.unwrap();
    a.dial(ALPN, &target(&b)).await.unwrap();
    assert!(back.conn.close_reason().is_none());
}

#[tokio::test]
async fn a_list_that_is_older_foreign_or_altered_is_not_taken() {
    let cluster = Cluster::new();
    let (bad, a) = (
        cluster.identity("a1-2", "inner"),
        cluster.node("a1-1", "127.71.23.1"),
    );
    let five = list(&cluster, 5, &[&bad]);
    assert!(a.take_list(&five).unwrap());
    assert!(!a.take_list(&five).unwrap(), "held already");
    let older = a.take_list(&list(&cluster, 4, &[]));
    assert!(matches!(older, Err(CrlError::Rollback { .. })));
    let same = a.take_list(&list(&cluster, 5, &[]));
    assert!(matches!(same, Err(CrlError::Rollback { .. })));
    let foreign = a.take_list(&list(&Cluster::new(), 9, &[]));
    assert!(matches!(foreign, Err(CrlError::Signature(_))));
    let mut altered = list(&cluster, 9, &[]);
    *altered.last_mut().unwrap() ^= 1;
    let altered = a.take_list(&altered);
    assert!(matches!(altered, Err(CrlError::Signature(_))));
    a.take_list(b"").unwrap_err();
    assert_eq!(a.lists()[0].number().to_string(), "5");
}

#[tokio::test]
async fn lists_travel_both_ways_between_inner_nodes_and_out_to_edges() {
    let cluster = Cluster::new();
    let a = cluster.node("a1-1", "127.71.24.1");
    let b = cluster.node("a1-2", "127.71.24.2");
    let edge = cluster.node_in("edge-a1", "dmz", "127.71.24.3:0");
    for mesh in [&a, &b, &edge] {
        mesh.serve_lists();
    }
    let number = |mesh: &Mesh| mesh.lists().first().map(|list| list.number().to_string());
    a.take_list(&list(&cluster, 1, &[])).unwrap();
    a.compare_lists(&target(&edge)).await.unwrap();
    assert_eq!(number(&edge).as_deref(), Some("1"));
    b.take_list(&list(&cluster, 2, &[])).unwrap();
    // The one asked has the newer one.
    a.compare_lists(&target(&b)).await.unwrap();
    assert_eq!(number(&a).as_deref(), Some("2"));
    a.compare_lists(&target(&edge)).await.unwrap();
    assert_eq!(number(&edge).as_deref(), Some("2"));
    // An edge opens nothing, this neither.
    let refused = edge.dial(CRL_ALPN, &target(&a)).await;
    assert!(matches!(refused, Err(DialError::Forbidden { .. })));
    // What an inner node sends is checked as a file is.
    for request in [vec![], vec![0; 10], vec![1, 2, 3], vec![9]] {
        let answer = a.call(&target(&edge), CRL_ALPN, request).await.unwrap();
        assert_eq!(answer.first(), Some(&3), "refused");
    }
}

#[tokio::test]
async fn the_encrypting_half_of_a_pair_opens_no_connection() {
    let cluster = Cluster::new();
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: "a1-2".to_owned(),
        organization: "test".to_owned(),
        dns_names: vec!["a1-2.inner.guitai.internal".to_owned()],
    };
    let leaf = cluster
        .authority
        .issue(
            &subject,
            &key.public(),
            Usage::Encryption,
            30,
            now(&cluster),
        )
        .unwrap();
    let identity = Identity {
        chain: vec![leaf],
        key,
    };
    let addr = "127.71.25.2:0".parse().unwrap();
    let refused = Mesh::bind(addr, &identity, &cluster.roots(), cluster.clock.clone());
    assert!(refused.is_err(), "not even its own node takes it");
    // Somebody else's program would not ask.
    let a = cluster.node("a1-1", "127.71.25.1");
    a.serve(ALPN, holding());
    let mut client = guitai_crypto::tls::client_config(&identity, &cluster.roots(), &[]).unwrap();
    client.alpn_protocols = vec![ALPN.as_bytes().to_vec()];
    let initial = guitai_crypto::tls::initial_suite();
    let quic =
        quinn::crypto::rustls::QuicClientConfig::with_initial(Arc::new(client), initial).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(quic));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let (addr, name) = (a.local_addr().unwrap(), a.me().dns_name());
    let conn = endpoint.connect_with(config, addr, &name).unwrap().await;
    if let Ok(conn) = conn {
        let closed = tokio::time::timeout(Duration::from_secs(20), conn.closed()).await;
        let closed = closed.expect("refused");
        assert!(matches!(closed, ConnectionError::ApplicationClosed(_)));
    }
    assert_eq!(a.certificate_stats().open, 0);
}
