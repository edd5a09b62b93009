//! What follows from a matrix: verdicts, findings, reach, rules of a firewall, the picture.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use guitai_types::{Date, Zone};

use super::{demo, shipped, today};
use crate::{
    End, Finding, Matrix, Port, PortName, Protocol, Refusal, Role, SHIPPED, Standing, Transport,
    Verdict, Word as _, addresses::Addresses, check, deployment, firewall::firewall, picture,
    probe::probes,
};

const DOOR: Port = Port::Named(PortName::Door);
const MESH: Port = Port::Named(PortName::Mesh);

fn end(text: &str) -> End {
    text.parse().unwrap()
}

fn ends(roles: &[Role]) -> BTreeSet<End> {
    roles.iter().copied().map(End::of).collect()
}

#[test]
fn nothing_is_admitted_that_no_row_names() {
    let matrix = shipped();
    let admitted = |verdict: Verdict| match verdict {
        Verdict::Admitted(rows) => rows.iter().map(ToString::to_string).collect(),
        Verdict::Refused(refusal) => vec![refusal.words().en],
    };
    let listen = |role: Role, transport, port| {
        admitted(matrix.admit_listener(role.zone(), role, transport, port, today()))
    };
    assert_eq!(
        listen(Role::Edge, Transport::Udp, MESH),
        [
            "edge-control",
            "edge-media",
            "edge-questions",
            "edge-revocation"
        ]
    );
    assert_eq!(
        listen(Role::Edge, Transport::Tcp, DOOR),
        ["customer-pages", "customer-websocket", "edge-watch"]
    );
    let dns = matrix.admit_listener(
        Zone::Dmz,
        Role::Edge,
        Transport::Udp,
        Port::Number(53),
        today(),
    );
    assert!(matches!(dns, Verdict::Refused(Refusal::OtherPort { .. })));
    let nowhere = matrix.admit_listener(Zone::Inner, Role::Edge, Transport::Udp, MESH, today());
    assert!(matches!(nowhere, Verdict::Refused(Refusal::Undeclared(_))));

    let dial =
        |from: &str, to: &str, protocol| matrix.admit_dial(end(from), end(to), protocol, today());
    let tunnel = dial("inner/core", "dmz/edge", Protocol::Tunnel);
    assert_eq!(
        tunnel,
        Verdict::Admitted(vec!["edge-control".parse().unwrap()])
    );
    let reversed = dial("dmz/edge", "inner/core", Protocol::Tunnel);
    assert!(matches!(
        reversed,
        Verdict::Refused(Refusal::OtherSideOpens { .. })
    ));
    let raft = dial("inner/core", "dmz/edge", Protocol::Raft);
    assert!(matches!(
        raft,
        Verdict::Refused(Refusal::OtherProtocol { .. })
    ));
    let through = dial("outer/customer", "inner/core", Protocol::Http);
    assert_eq!(through, Verdict::Refused(Refusal::NoRow));
}

#[test]
fn the_dmz_may_open_nothing_whatever_is_asked() {
    let matrix = shipped();
    for to in Role::ALL {
        for protocol in Protocol::ALL {
            let verdict = matrix.admit_dial(end("dmz/edge"), End::of(*to), *protocol, today());
            assert!(!verdict.is_admitted(), "{to} {protocol}");
        }
    }
}

#[test]
fn a_row_holds_until_its_last_day_and_not_after() {
    let matrix = shipped();
    let ask = |day: &str| {
        let on: Date = day.parse().unwrap();
        matrix.admit_dial(end("inner/core"), end("inner/core"), Protocol::Raft, on)
    };
    assert!(ask("2028-12-31").is_admitted());
    let since: Date = "2028-12-31".parse().unwrap();
    let row = "raft".parse().unwrap();
    let expired = Verdict::Refused(Refusal::Expired { row, since });
    assert_eq!(ask("2029-01-01"), expired);

    let count = |day: &str| {
        let found = check(&matrix, None, day.parse().unwrap());
        let remarks = found.iter().filter(|it| it.is_remark()).count();
        (found.len(), remarks)
    };
    let all = matrix.rows().len();
    assert_eq!(count("2026-11-23"), (0, 0));
    assert_eq!(count("2028-12-01"), (0, 0));
    assert_eq!(count("2028-12-02"), (all, all));
    assert_eq!(count("2029-01-01"), (all, 0));
}

#[test]
fn the_shipped_matrix_covers_the_demonstration_and_nothing_besides() {
    assert_eq!(check(&shipped(), Some(&demo()), today()), []);
    // Without any one of the rows between nodes the deployment does what is not declared.
    for row in shipped().rows() {
        if !(row.opener().role.is_node() && row.listener().role.is_node()) {
            continue;
        }
        let mut less = shipped();
        less.rows.retain(|it| it.id != row.id);
        let found = check(&less, Some(&demo()), today());
        assert!(!found.is_empty(), "{} is needed by nobody", row.id);
    }
    let mut small = demo();
    small.nodes.retain(|node| node.zone == Zone::Inner);
    let found = check(&shipped(), Some(&small), today());
    assert!(found.iter().all(|it| matches!(it, Finding::Unused { .. })));
    assert_eq!(found.len(), 9, "{found:?}");
}

#[test]
fn a_sink_needs_a_row_of_its_own_with_its_port() {
    let sink = |endpoint: &str| guitai_types::sink::Sink {
        endpoint: endpoint.to_owned(),
        bucket: "recordings".to_owned(),
        region: "us-east-1".to_owned(),
        prefix: String::new(),
        path_style: true,
        ca_file: Some("ca.pem".into()),
        credentials_file: "credentials.toml".into(),
        lock: guitai_types::sink::LockMode::Compliance,
        allow_http: false,
    };
    let mut profile = demo();
    profile.sink = Some(sink("https://s3.bank.example:9000"));
    let kinds = |matrix: &Matrix, profile: &_, day: &str| -> Vec<&'static str> {
        let found = check(matrix, Some(profile), day.parse().unwrap());
        found.iter().map(Finding::kind).collect()
    };
    assert_eq!(
        kinds(&shipped(), &profile, "2026-11-23"),
        ["undeclared-connection"]
    );
    let fragment = include_str!("../../../../docs/operating/sink.flows.toml");
    let matrix = Matrix::parse(&format!("{SHIPPED}\n{fragment}")).unwrap();
    assert_eq!(check(&matrix, Some(&profile), today()), []);
    // At another port, and where nothing is to go there.
    profile.sink = Some(sink("https://s3.bank.example"));
    assert_eq!(
        kinds(&matrix, &profile, "2026-11-23"),
        ["undeclared-connection"]
    );
    assert_eq!(kinds(&matrix, &demo(), "2026-11-23"), ["unused"]);
    // What is there is sealed: who took the store over reads nothing of it, and opens nothing.
    let reach = matrix.reach(end("inner/object-store"), today()).unwrap();
    assert!(reach.opens.is_empty() && reach.reads.is_empty() && !reach.passes.is_empty());
    let svg = picture::svg(&matrix, false, today());
    assert!(svg.contains("<title>recordings-sink:") && svg.contains("object-store"));
}

#[test]
fn an_undeclared_socket_is_found() {
    let (matrix, demo) = (shipped(), demo());
    for node in &demo.nodes {
        for listener in deployment::listeners(node) {
            let verdict = deployment::admitted(&matrix, node.zone, &node.roles, &listener, today());
            assert_eq!(
                verdict,
                Standing::Admitted,
                "{} {}",
                node.name,
                listener.what
            );
        }
        let undeclared = deployment::Listener {
            what: "debug, TCP",
            transport: Transport::Tcp,
            port: Port::Number(6060),
            address: "127.0.0.1:6060".parse().unwrap(),
        };
        let verdict = deployment::admitted(&matrix, node.zone, &node.roles, &undeclared, today());
        assert!(matches!(verdict, Standing::Refused(_)), "{}", node.name);
    }
}

#[test]
fn a_taken_over_edge_opens_nothing_and_reads_no_media() {
    let reach = shipped().reach(end("dmz/edge"), today()).unwrap();
    assert!(reach.opens.is_empty());
    assert_eq!(reach.answers.len(), 9);
    assert_eq!(reach.cannot.open_to.len(), shipped().roles().len());
    let unread: BTreeSet<String> = ["broadcast.agent", "broadcast.customer"]
        .map(str::to_owned)
        .into();
    assert_eq!(reach.messages_passed, unread);
    assert!(reach.messages_sent.iter().all(|it| it.starts_with("ask.")));
    for kind in [
        "answer.done",
        "order.revoke-ticket",
        "meta.write",
        "raft.vote",
    ] {
        assert!(reach.cannot.send.contains(kind), "{kind}");
    }
    let unmet: Vec<String> = reach.cannot.meet.iter().map(ToString::to_string).collect();
    assert_eq!(unmet, ["inner/recorder", "inner/agent"]);
    assert!(reach.cannot.speak.contains(&Protocol::Raft));

    let recorder = shipped().reach(end("inner/recorder"), today()).unwrap();
    assert!(
        recorder.messages_read.contains("broadcast.customer"),
        "it has the key"
    );
    assert_eq!(shipped().reach(end("outer/edge"), today()), None);
}

#[test]
fn rules_of_an_edge_let_it_open_nothing() {
    let addresses = Addresses::of_profile(&demo());
    let rules = firewall(&shipped(), &ends(&[Role::Edge]), &addresses, today()).unwrap();
    let again = firewall(&shipped(), &ends(&[Role::Edge]), &addresses, today()).unwrap();
    assert_eq!(rules, again, "the same bytes");
    let (_, output) = rules.split_once("chain output").unwrap();
    let (output, _) = output.split_once("chain forward").unwrap();
    assert!(output.contains("policy drop"));
    assert!(!output.contains("dport"), "{output}");
    assert!(rules.contains("counter row-edge-control"));
    assert!(rules.contains("# outer/customer: no addresses, nothing is let through"));
    let nobody = firewall(&shipped(), &ends(&[Role::Agent]), &addresses, today());
    assert!(nobody.is_err());
}

/// Elements of every set of a text of rules, by its name.
fn sets(rules: &str) -> std::collections::BTreeMap<String, BTreeSet<String>> {
    let parts = rules.split("\tset ").skip(1);
    let one = |part: &str| {
        let (name, rest) = part.split_once(" {").unwrap();
        let (_, elements) = rest.split_once("elements = {").unwrap();
        let (elements, _) = elements.split_once('}').unwrap();
        let elements = elements.split(',').map(|it| it.trim().to_owned());
        (name.to_owned(), elements.collect())
    };
    parts.map(one).collect()
}

/// The hosts of the demonstration have two roles each: a rule by role would stand before another that lets the same
/// packet through, which then counts nothing and is missed by nobody.
#[test]
fn no_packet_fits_two_rules_of_a_chain() {
    let addresses = Addresses::of_profile(&demo());
    for roles in [
        &[Role::Core, Role::Relay][..],
        &[Role::Core, Role::Recorder],
        &[Role::Edge],
    ] {
        let rules = firewall(&shipped(), &ends(roles), &addresses, today()).unwrap();
        let sets = sets(&rules);
        for way in ["in-udp-mesh", "out-udp-mesh"] {
            let ours: Vec<_> = sets
                .iter()
                .filter(|(name, _)| name.starts_with(way))
                .collect();
            assert!(
                roles == [Role::Edge] || ours.len() > 1,
                "{roles:?} {way}: {sets:?}"
            );
            for (name, elements) in &ours {
                let others = ours.iter().filter(|(other, _)| other != name);
                for (other, more) in others {
                    assert!(elements.is_disjoint(more), "{roles:?}: {name} and {other}");
                }
            }
        }
        // Each row is counted by every rule whose peers it is for, and by no other.
        let both = "row-core-recordings\" counter name \"row-core-revocation\"";
        assert_eq!(rules.contains(both), roles != [Role::Edge], "{rules}");
    }
}

#[test]
fn a_network_inside_another_is_of_both_parties() {
    let people = "format = \"guitai-flow-addresses/1\"\n\
        [[parties]]\nzone = \"outer\"\nrole = \"customer\"\nnetworks = [\"0.0.0.0/0\"]\n\
        [[parties]]\nzone = \"inner\"\nrole = \"operator\"\nnetworks = [\"10.8.0.0/24\", \"10.8.0.7\"]\n";
    let mut addresses = Addresses::of_profile(&demo());
    addresses.add(Addresses::parse(people).unwrap());
    let rules = firewall(&shipped(), &ends(&[Role::Edge]), &addresses, today()).unwrap();
    let sets = sets(&rules);
    assert_eq!(
        sets["in-tcp-door-customer-operator-4"],
        BTreeSet::from(["10.8.0.0/24".to_owned()])
    );
    assert_eq!(
        sets["in-tcp-door-customer-4"],
        BTreeSet::from(["0.0.0.0/0".to_owned()])
    );
    let of = |set: &str| rules.find(&format!("ip saddr @{set} ")).unwrap();
    assert!(of("in-tcp-door-customer-operator-4") < of("in-tcp-door-customer-4"));
}

#[test]
fn whoever_stands_somewhere_tries_every_socket() {
    let gateways = "format = \"guitai-flow-addresses/1\"\n\
        [[parties]]\nzone = \"dmz\"\nrole = \"edge\"\nnetworks = [\"10.1.1.1\"]\ndoor = 443\n";
    let mut addresses = Addresses::of_profile(&demo());
    addresses.add(Addresses::parse(gateways).unwrap());
    let tried = |role| probes(&shipped(), &ends(&[role]), &addresses, today());
    for role in [
        Role::Edge,
        Role::Customer,
        Role::Core,
        Role::Recorder,
        Role::Agent,
    ] {
        let probes = tried(role).probes;
        let doors: Vec<_> = probes.iter().filter(|it| it.at.port() == 443).collect();
        assert_eq!(doors.len(), 2, "TCP and UDP, of the gateway alone");
        assert!(
            probes
                .iter()
                .all(|it| it.at.port() != 4443 || it.to != ends(&[Role::Edge]))
        );
        assert_eq!(
            probes.iter().all(|it| it.rows.is_empty()),
            role == Role::Edge,
            "{role}"
        );
        let is_open = doors.iter().any(|it| !it.rows.is_empty());
        assert_eq!(is_open, role == Role::Customer, "{role}");
    }
    let recorder = tried(Role::Recorder);
    let at: std::net::SocketAddr = "127.1.2.1:7443".parse().unwrap();
    let relay = recorder.probes.iter().find(|it| it.at == at).unwrap();
    assert_eq!(relay.to, ends(&[Role::Core, Role::Relay]));
    let rows: Vec<String> = relay.rows.iter().map(ToString::to_string).collect();
    assert_eq!(rows, ["recorder-media", "recorder-stamps"]);
    assert_eq!(recorder.untried, []);
    let nobody = probes(
        &shipped(),
        &ends(&[Role::Operator]),
        &Addresses::default(),
        today(),
    );
    assert_eq!((nobody.probes.len(), nobody.untried.len()), (0, 2));
}

#[test]
fn nft_takes_the_rules() {
    let people = "format = \"guitai-flow-addresses/1\"\n\
        [[parties]]\nzone = \"outer\"\nrole = \"customer\"\nnetworks = [\"0.0.0.0/0\", \"10.0.0.0/8\", \"::/0\"]\n\
        [[parties]]\nzone = \"inner\"\nrole = \"agent\"\nnetworks = [\"10.9.0.0/16\"]\n\
        [[parties]]\nzone = \"inner\"\nrole = \"operator\"\nnetworks = [\"10.8.0.0/24\", \"10.8.0.7\"]\n\
        [[parties]]\nzone = \"dmz\"\nrole = \"edge\"\nnetworks = [\"2001:db8::1\"]\ndoor = 4443\nmesh = 7443\n";
    let mut addresses = Addresses::of_profile(&demo());
    addresses.add(Addresses::parse(people).unwrap());
    // A number for a port, a name that is a word of nft's, and a purpose that would end a comment.
    let text = SHIPPED
        .replacen("id = \"raft\"", "id = \"log\"", 1)
        .replacen("Revocation lists", "Revocation \\\"lists\\\" \\\\", 2)
        .replacen("port = \"door\"", "port = 8443", 1);
    let matrix = Matrix::parse(&text).unwrap();
    let hosts: [&[Role]; 4] = [
        &[Role::Edge],
        &[Role::Core, Role::Relay],
        &[Role::Core, Role::Recorder],
        &[Role::Relay],
    ];
    for roles in hosts {
        for matrix in [&shipped(), &matrix] {
            let rules = firewall(matrix, &ends(roles), &addresses, today()).unwrap();
            match nft(&rules) {
                Ok(()) => {}
                Err(Nft::Missing) => {
                    return eprintln!("SKIPPED: nft is not here, or may not be used");
                }
                Err(Nft::Refused(words)) => panic!("{roles:?}: {words}\n{rules}"),
            }
        }
    }
    // What nft cannot take is refused, or the check above says nothing.
    assert!(matches!(
        nft("table inet x {\n rule\n}\n"),
        Err(Nft::Refused(_))
    ));
}

enum Nft {
    Missing,
    Refused(String),
}

/// `nft --check`, which loads nothing.
fn nft(rules: &str) -> Result<(), Nft> {
    let names = ["nft", "/usr/sbin/nft", "/sbin/nft"];
    let started = names.iter().find_map(|name| {
        let mut nft = Command::new(name);
        nft.args(["--check", "--file", "-"]);
        nft.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        nft.spawn().ok()
    });
    let mut nft = started.ok_or(Nft::Missing)?;
    let mut stdin = nft.stdin.take().ok_or(Nft::Missing)?;
    stdin
        .write_all(rules.as_bytes())
        .map_err(|_| Nft::Missing)?;
    drop(stdin);
    let ended = nft.wait_with_output().map_err(|_| Nft::Missing)?;
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    match ended.status.success() {
        true => Ok(()),
        false if words.contains("Operation not permitted") => Err(Nft::Missing),
        false => Err(Nft::Refused(words)),
    }
}

#[test]
fn the_picture_has_every_role_and_every_row() {
    let matrix = shipped();
    for chinese in [true, false] {
        let picture = picture::svg(&matrix, chinese, today());
        assert_eq!(picture, picture::svg(&matrix, chinese, today()));
        for row in matrix.rows() {
            assert!(
                picture.contains(&format!("<title>{}:", row.id)),
                "{}",
                row.id
            );
        }
        for role in matrix.roles() {
            let name = if chinese {
                &role.name.zh
            } else {
                &role.name.en
            };
            assert!(picture.contains(&format!(">{name}<")), "{name}");
        }
        assert_eq!(
            picture.matches("<g").count(),
            picture.matches("</g>").count()
        );
    }
    // A name cannot bring its own marks.
    let text = SHIPPED.replacen("\"Outside\"", "\"<script>&\"", 1);
    let picture = picture::svg(&Matrix::parse(&text).unwrap(), false, today());
    assert!(picture.contains("&lt;script&gt;&amp;"));
}
