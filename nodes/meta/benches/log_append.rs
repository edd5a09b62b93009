//! How many entries a second the transparency log takes: three core nodes over the mesh on loopback, each with a
//! real disk, agree on accesses to recordings; every entry is durable on a quorum and in both trees before it is
//! acknowledged. Beside it, in turn, the same number of clients write marks, which go the same way and are not logged.
//!
//! `cargo bench -p guitai-meta --bench log_append`; `GUITAI_CLIENTS` (default 256), `GUITAI_SECONDS` (a round,
//! default 5) and `GUITAI_ROUNDS` (default 5) by the environment. The directory is `TMPDIR`'s, so name a real disk.

use std::{
    env,
    net::UdpSocket,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use guitai_crypto::{
    sm2,
    x509::{Authority, Identity, Subject, Usage},
};
use guitai_host::{Clock as _, MemoryKv, SystemClock, SystemDisk, SystemEntropy};
use guitai_meta::{Config, LogKeys, Meta};
use guitai_net::{Calls, Mesh};
use guitai_tlog::{Digest, Party, Signer};
use guitai_types::{
    Centre, City, Hex, Member, NodeId, Role, StaffRef, Voice, Zone,
    command::{Command, Reply},
    place::Text,
    record::{Branch, Duty, Institution, Policy, Staff},
    tlog::{Access, AccessKind, LogTrust, LogWitness, TreeKeys},
};

/// Core nodes.
const NODES: [&str; 3] = ["a1", "a2", "b"];
/// How long a cluster may take to answer for the first time.
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    metas: Vec<Meta>,
    dir: PathBuf,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

fn staff() -> StaffRef {
    StaffRef {
        institution: id("bank"),
        name: id("wang"),
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn keys(signer: &Signer) -> TreeKeys {
    TreeKeys {
        sm3: signer.key(Digest::Sm3).to_string(),
        sha256: signer.key(Digest::Sha256).to_string(),
    }
}

fn founding(members: Vec<Member>) -> Command {
    Command::Found {
        cluster: id("bench"),
        cities: vec![City {
            id: id("a"),
            name: Text::default(),
        }],
        centres: NODES
            .map(|centre| Centre {
                id: id(centre),
                city: id("a"),
                name: Text::default(),
            })
            .into(),
        members,
        institutions: vec![Institution {
            id: id("bank"),
            name: Text::default(),
            branches: vec![Branch {
                id: id("main"),
                name: Text::default(),
                teams: Vec::new(),
            }],
            queues: Vec::new(),
        }],
        staff: vec![Staff {
            id: staff(),
            display: "王敏".to_owned(),
            number: "1".to_owned(),
            branch: id("main"),
            team: id("one"),
            skills: Vec::new(),
            duties: vec![Duty::Auditor],
            password_phc: String::new(),
            approval_key: None,
        }],
        policy: Policy::default(),
    }
}

impl World {
    async fn up() -> Self {
        let dir = env::temp_dir().join(format!("guitai-log-append-{}", std::process::id()));
        let now_unix = SystemClock::new().wall().0 / 1000;
        let authority = Authority::create("bench root", "bench", 30, now_unix).unwrap();
        let members: Vec<Member> = (1..)
            .zip(NODES)
            .map(|(number, centre)| {
                let address = ([127, 0, 0, 1], free_port()).into();
                Member {
                    id: NodeId(number),
                    name: id(&format!("{centre}-1")),
                    centre: id(centre),
                    zone: Zone::Inner,
                    roles: vec![Role::Core],
                    voice: Voice::Voter,
                    mesh: address,
                    door: address,
                    public_key: Hex([&[4], &[7; 64][..]].concat()),
                }
            })
            .collect();
        let signer = |party, name: &str| {
            Arc::new(Signer::new(party, name, sm2::SecretKey::generate()).unwrap())
        };
        let log = signer(Party::Log, "log.bench.example");
        let witnesses = NODES.map(|centre| signer(Party::Witness, centre));
        let trust = LogTrust {
            log: keys(&log),
            witnesses: members
                .iter()
                .zip(&witnesses)
                .map(|(member, witness)| LogWitness {
                    node: member.name.clone(),
                    centre: member.centre.clone(),
                    keys: keys(witness),
                })
                .collect(),
        };
        let mut metas = Vec::new();
        for (member, witness) in members.iter().zip(&witnesses) {
            let key = sm2::SecretKey::generate();
            let subject = Subject {
                common_name: member.name.to_string(),
                organization: "bench".into(),
                dns_names: vec![format!("{}.inner.guitai.internal", member.name)],
            };
            let leaf = authority.issue(&subject, &key.public(), Usage::Tls, 30, now_unix);
            let identity = Identity {
                chain: vec![leaf.unwrap()],
                key,
            };
            let roots = [authority.certificate_der().to_vec()];
            let clock = Arc::new(SystemClock::new());
            let mesh = Mesh::bind(member.mesh, &identity, &roots, clock.clone()).unwrap();
            let calls = Calls::new();
            calls.attach(&mesh);
            let place = dir.join(member.name.as_str());
            let disk = Arc::new(SystemDisk::new(&place).unwrap());
            let view = Arc::new(MemoryKv::new());
            let mut config = Config::new(member.clone(), members.clone(), disk, view);
            config.log = Some(LogKeys {
                log: log.clone(),
                witness: Some(witness.clone()),
                trust: trust.clone(),
            });
            let entropy = Arc::new(SystemEntropy);
            let meta = Meta::start(config, &mesh, &calls, clock, entropy).await;
            metas.push(meta.unwrap());
        }
        let found = metas[0].found(founding(members)).await.unwrap();
        assert_eq!(found, Reply::Done);
        let clock = SystemClock::new();
        let begun = clock.monotonic();
        while metas[0].peek(|state| state.log().is_none()) {
            assert!(clock.monotonic() - begun < PATIENCE, "the log begins");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { metas, dir }
    }

    fn entries(&self) -> u64 {
        self.metas[0].peek(|state| state.log().map_or(0, |log| log.size()))
    }

    /// Acknowledged writes a second of so many clients, spread over the nodes, each waiting for its answer.
    async fn load(&self, clients: u64, seconds: u64, command: fn(u64, u64) -> Command) -> f64 {
        let clock = Arc::new(SystemClock::new());
        let begun = clock.monotonic();
        let until = begun + Duration::from_secs(seconds);
        let writers = (0..clients).map(|client| {
            let at = usize::try_from(client).unwrap() % self.metas.len();
            let (meta, clock) = (self.metas[at].clone(), clock.clone());
            tokio::spawn(async move {
                let mut acknowledged = 0_u64;
                while clock.monotonic() < until {
                    let reply = meta.write(command(client, acknowledged)).await.unwrap();
                    assert_eq!(reply, Reply::Done);
                    acknowledged += 1;
                }
                acknowledged
            })
        });
        let mut all = 0;
        for writer in writers.collect::<Vec<_>>() {
            all += writer.await.unwrap();
        }
        all as f64 / (clock.monotonic() - begun).as_secs_f64()
    }
}

fn access(client: u64, number: u64) -> Command {
    Command::LogAccess {
        access: Access {
            who: staff(),
            session: id(&format!("s{client}")),
            what: AccessKind::Play,
            reason: format!("complaint {number}"),
        },
    }
}

fn mark(client: u64, number: u64) -> Command {
    Command::PutMark {
        mark: id(&format!("bench-{client}")),
        value: format!("complaint {number}"),
        sync: true,
    }
}

fn loads() -> String {
    let text = std::fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[tokio::main]
async fn main() {
    let (clients, seconds) = (number("GUITAI_CLIENTS", 256), number("GUITAI_SECONDS", 5));
    let rounds = number("GUITAI_ROUNDS", 5);
    println!("load before {}", loads());
    let world = World::up().await;
    let (mut logged, mut plain) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let before = world.entries();
        logged.push(world.load(clients, seconds, access).await);
        let entries = world.entries() - before;
        plain.push(world.load(clients, seconds, mark).await);
        println!(
            "round {round}: {:.0} appends/s ({entries} entries), {:.0} marks/s",
            logged[logged.len() - 1],
            plain[plain.len() - 1]
        );
    }
    println!(
        "{clients} clients: {:.0} appends/s, {:.0} writes/s without the log (medians of {rounds}), load after {}",
        median(&mut logged),
        median(&mut plain),
        loads()
    );
    for meta in &world.metas {
        meta.shutdown().await;
    }
    std::fs::remove_dir_all(&world.dir).unwrap();
}
