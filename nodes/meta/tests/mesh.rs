//! Three nodes over the real mesh: QUIC with mutual SM TLS on loopback, logs on simulated disks.

use std::{fmt::Debug, str::FromStr, sync::Arc, time::Duration};

use futures::StreamExt;
use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_host::{Clock, MemoryKv, SimDisk, SystemClock, SystemEntropy};
use guitai_meta::{Config, Meta, Timing};
use guitai_net::{Calls, Mesh};
use guitai_types::{
    Centre, City, Hex, Member, NodeId, Role, TicketId, UnixMillis, Voice, Zone,
    command::{Command, Reply},
    place::Text,
    record::{Consent, Institution, Policy, Queue},
};

/// Slower than in production: the test machine compiles while it elects.
const TIMING: Timing = Timing {
    heartbeat_ms: 100,
    election_min_ms: 500,
    election_max_ms: 1_000,
};
const PATIENCE: Duration = Duration::from_secs(30);

struct Node {
    member: Member,
    meta: Meta,
    mesh: Mesh,
}

fn id<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn identity(authority: &Authority, name: &str, now_unix: u64) -> Identity {
    let key = sm2::SecretKey::generate();
    let subject = Subject {
        common_name: name.to_owned(),
        organization: "test".to_owned(),
        dns_names: vec![format!("{name}.inner.guitai.internal")],
    };
    let leaf = authority
        .issue(&subject, &key.public(), Usage::Tls, 30, now_unix)
        .unwrap();
    Identity {
        chain: vec![leaf],
        key,
    }
}

async fn nodes(count: u64) -> Vec<Node> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let now_unix = clock.wall().0 / 1000;
    let authority = Authority::create("test root", "test", 30, now_unix).unwrap();
    let roots = [authority.certificate_der().to_vec()];
    let bound: Vec<(Member, Mesh)> = (1..=count)
        .map(|number| {
            let name = format!("n-{number}");
            let identity = identity(&authority, &name, now_unix);
            let address = format!("127.0.9.{number}:0").parse().unwrap();
            let mesh = Mesh::bind(address, &identity, &roots, clock.clone()).unwrap();
            let address = mesh.local_addr().unwrap();
            let member = Member {
                id: NodeId(number),
                name: id(&name),
                centre: id("a1"),
                zone: Zone::Inner,
                roles: vec![Role::Core],
                voice: Voice::Voter,
                mesh: address,
                door: address,
                public_key: Hex(identity.key.public().to_point().to_vec()),
            };
            (member, mesh)
        })
        .collect();
    let members: Vec<Member> = bound.iter().map(|(member, _)| member.clone()).collect();
    let mut nodes = Vec::new();
    for (member, mesh) in bound {
        let (disk, view) = (Arc::new(SimDisk::new()), Arc::new(MemoryKv::new()));
        let config = Config::new(member.clone(), members.clone(), disk, view);
        let config = Config {
            timing: TIMING,
            ..config
        };
        let calls = Calls::new();
        let entropy = Arc::new(SystemEntropy);
        let meta = Meta::start(config, &mesh, &calls, clock.clone(), entropy)
            .await
            .unwrap();
        calls.attach(&mesh);
        nodes.push(Node { member, meta, mesh });
    }
    let found = Command::Found {
        cluster: id("test"),
        cities: vec![City {
            id: id("a"),
            name: Text::default(),
        }],
        centres: vec![Centre {
            id: id("a1"),
            city: id("a"),
            name: Text::default(),
        }],
        members,
        institutions: vec![Institution {
            id: id("bank"),
            name: Text::default(),
            branches: Vec::new(),
            queues: vec![Queue {
                id: id("retail"),
                name: Text::default(),
                skills: Vec::new(),
                steps: Vec::new(),
            }],
        }],
        staff: Vec::new(),
        policy: Policy::default(),
    };
    assert!(!nodes[0].meta.is_founded().await);
    assert_eq!(
        nodes[0].meta.found(found.clone()).await.unwrap(),
        Reply::Done
    );
    assert_eq!(
        nodes[0].meta.found(found).await.unwrap(),
        Reply::Done,
        "founding again"
    );
    nodes
}

fn open(ticket: &str) -> Command {
    Command::OpenTicket {
        ticket: id(ticket),
        institution: id("bank"),
        queue: id("retail"),
        edge: id("n-1"),
        customer: "张三".to_owned(),
        consent: Consent {
            recording: true,
            wording: "1".to_owned(),
            at: UnixMillis(0),
        },
        media_key: Hex([&[4], &[7; 64][..]].concat()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_quic_a_follower_forwards_reads_its_own_write_and_outlives_the_leader() {
    let mut nodes = nodes(3).await;
    for (number, node) in nodes.iter().enumerate() {
        let ticket = format!("t-{number}");
        let reply = node.meta.write(open(&ticket)).await.unwrap();
        assert!(matches!(reply, Reply::Ticket { .. }), "{reply:?}");
        let ticket: TicketId = id(&ticket);
        let seen = node
            .meta
            .read(|state| state.ticket(&ticket).is_some())
            .await
            .unwrap();
        assert!(seen, "node {number} reads its own write");
    }
    let leader = nodes[0].meta.leader_status().await.leader.unwrap();
    let at = nodes
        .iter()
        .position(|node| node.member.id == leader)
        .unwrap();
    let gone = nodes.remove(at);
    let survivor = nodes[0].meta.clone();
    let write = tokio::spawn(async move { survivor.write(open("t-during")).await });
    gone.meta.shutdown().await;
    gone.mesh.close().await;
    let reply = tokio::time::timeout(PATIENCE, write)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(reply, Ok(Reply::Ticket { .. })), "{reply:?}");

    let ticket: TicketId = id("t-during");
    let seen = nodes[1]
        .meta
        .read(|state| state.ticket(&ticket).is_some())
        .await
        .unwrap();
    assert!(seen);
    let newest = nodes[1].meta.peek(|state| state.event_number());
    let numbers = nodes[1]
        .meta
        .events(1)
        .map(|event| event.number)
        .take(newest as usize);
    let numbers = tokio::time::timeout(PATIENCE, numbers.collect::<Vec<_>>())
        .await
        .unwrap();
    assert!(
        numbers.into_iter().eq(1..=newest),
        "events through the change of leader"
    );
}
