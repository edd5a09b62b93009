//! What is logged, and that the same tree comes out however often a node is restored on the way.

use std::collections::BTreeMap;

use guitai_crypto::sm2;
use guitai_tlog::{Checkpoint, Digest, Edge, Party, Signer, note::Note};
use guitai_types::{
    Centre, City, Hex, Member, NodeId, RequestId, Role, StaffRef, UnixMillis, Voice, Zone,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    custody::{CERTIFICATES_HELD_MAX, CertificateUse, HeldCertificate, HeldKey, Holding},
    place::Text,
    problem::Code,
    record::{Branch, Institution, Policy, Staff},
    tlog::{
        Access, AccessKind, Entry, LogAlarm, LogTrust, LogWitness, Record, RecorderRoot, TreeKeys,
        TreeName,
    },
};

use crate::{Full, Kept, Outcome, State};

const PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

/// A founded cluster of three centres, and who signs its log.
struct World {
    state: State,
    log: Signer,
    witnesses: Vec<Signer>,
    requests: u8,
    serial: u64,
    kept: Vec<Kept>,
    tiles: BTreeMap<(u8, u64), (Vec<u8>, Vec<u8>)>,
}

fn text() -> Text {
    Text {
        zh: "中".to_owned(),
        en: "x".to_owned(),
    }
}

fn member(id: u64, centre: &str) -> Member {
    Member {
        id: NodeId(id),
        name: format!("{centre}-1").parse().unwrap(),
        centre: centre.parse().unwrap(),
        zone: Zone::Inner,
        roles: vec![Role::Core, Role::Relay, Role::Recorder],
        voice: Voice::Voter,
        mesh: "127.0.0.1:7443".parse().unwrap(),
        door: "127.0.0.1:4443".parse().unwrap(),
        public_key: Hex(vec![4; 65]),
    }
}

fn staff() -> Staff {
    Staff {
        id: wang(),
        display: "王小明".to_owned(),
        number: "10086".to_owned(),
        branch: "main".parse().unwrap(),
        team: "video".parse().unwrap(),
        skills: Vec::new(),
        duties: Vec::new(),
        password_phc: PASSWORD.to_owned(),
        approval_key: None,
    }
}

fn wang() -> StaffRef {
    StaffRef {
        institution: "bank".parse().unwrap(),
        name: "wang".parse().unwrap(),
    }
}

fn keys(signer: &Signer) -> TreeKeys {
    TreeKeys {
        sm3: signer.key(Digest::Sm3).to_string(),
        sha256: signer.key(Digest::Sha256).to_string(),
    }
}

impl World {
    fn new() -> Self {
        let signer =
            |party, name: &str| Signer::new(party, name, sm2::SecretKey::generate()).unwrap();
        let centres = ["a1", "a2", "b"];
        let mut world = Self {
            state: State::default(),
            log: signer(Party::Log, "log.c1.example"),
            witnesses: centres.map(|it| signer(Party::Witness, it)).into(),
            requests: 0,
            serial: 0,
            kept: Vec::new(),
            tiles: BTreeMap::new(),
        };
        let found = Command::Found {
            cluster: "c1".parse().unwrap(),
            cities: vec![City {
                id: "a".parse().unwrap(),
                name: text(),
            }],
            centres: centres
                .map(|id| Centre {
                    id: id.parse().unwrap(),
                    city: "a".parse().unwrap(),
                    name: text(),
                })
                .into(),
            members: (1..).zip(centres).map(|(id, it)| member(id, it)).collect(),
            institutions: vec![Institution {
                id: "bank".parse().unwrap(),
                name: text(),
                branches: vec![Branch {
                    id: "main".parse().unwrap(),
                    name: text(),
                    teams: Vec::new(),
                }],
                queues: Vec::new(),
            }],
            staff: vec![staff()],
            policy: Policy::default(),
        };
        assert_eq!(world.done(found).reply, Reply::Done);
        world
    }

    fn founded() -> Self {
        let mut world = Self::new();
        let trust = Box::new(world.trust());
        assert_eq!(world.done(Command::TrustLog { trust }).reply, Reply::Done);
        world
    }

    fn trust(&self) -> LogTrust {
        let witnesses = ["a1", "a2", "b"].into_iter().zip(&self.witnesses);
        LogTrust {
            log: keys(&self.log),
            witnesses: witnesses
                .map(|(centre, signer)| LogWitness {
                    node: format!("{centre}-1").parse().unwrap(),
                    centre: centre.parse().unwrap(),
                    keys: keys(signer),
                })
                .collect(),
        }
    }

    /// Applies a command; keeps what became full, and all entries.
    fn done(&mut self, command: Command) -> Outcome {
        self.serial += 1;
        let mut request = [0; 16];
        request[..8].copy_from_slice(&self.serial.to_be_bytes());
        self.requests = self.requests.wrapping_add(1);
        let outcome = self.state.apply(&Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random(request),
            at: UnixMillis(1_764_000_000_000 + self.serial),
            salt: command.is_logged().then(|| Hex(vec![self.requests; 32])),
            command,
        });
        for part in &outcome.full {
            match part {
                Full::Bundle { index, entries } => {
                    assert_eq!(*index * 256, self.kept.len() as u64);
                    self.kept.extend(entries.iter().cloned());
                }
                Full::Tile {
                    level,
                    index,
                    sm3,
                    sha256,
                } => {
                    let tile = (sm3.clone(), sha256.clone());
                    assert!(self.tiles.insert((*level, *index), tile).is_none());
                }
            }
        }
        outcome
    }

    fn refused(&mut self, command: Command) -> Code {
        let size = self.size();
        match self.done(command).reply {
            Reply::Refused { problem } => {
                assert_eq!(self.size(), size, "a refusal logs nothing");
                problem.code
            }
            reply => panic!("not refused: {reply:?}"),
        }
    }

    fn size(&self) -> u64 {
        self.state.log().map_or(0, |log| log.size())
    }

    /// All entries there are.
    fn entries(&self) -> Vec<Kept> {
        let open = self.state.log().unwrap().open();
        self.kept.iter().chain(open).cloned().collect()
    }

    fn root(second: u64) -> Command {
        Command::AppendRoot {
            root: RecorderRoot {
                node: "a1-1".parse().unwrap(),
                second,
                count: 2,
                root: Hex(vec![second as u8; 32]),
                signature: Hex(vec![1; 70]),
            },
        }
    }

    fn access(reason: &str) -> Command {
        Command::LogAccess {
            access: Access {
                who: wang(),
                session: "s1".parse().unwrap(),
                what: AccessKind::Export,
                reason: reason.to_owned(),
            },
        }
    }

    /// Both heads of the present size, cosigned by the first so many witnesses.
    fn checkpoint(&self, cosigned: usize) -> Command {
        let note = |digest: Digest| {
            let log = self.state.log().unwrap();
            let head = guitai_tlog::check::Head {
                size: log.size(),
                root: log.edge(digest).root(),
            };
            self.note(digest, head, cosigned)
        };
        Command::PutCheckpoint {
            sm3: note(Digest::Sm3),
            sha256: note(Digest::Sha256),
        }
    }

    fn note(&self, digest: Digest, head: guitai_tlog::check::Head, cosigned: usize) -> String {
        let origin = self.log.key(digest).name().to_owned();
        let text = Checkpoint { origin, head }.to_string();
        let mut note = Note::new(text.clone()).unwrap();
        note.add(self.log.sign(digest, &text, 0)).unwrap();
        for witness in self.witnesses.iter().take(cosigned) {
            note.add(witness.sign(digest, &text, 1_764_000_000))
                .unwrap();
        }
        note.to_string()
    }
}

#[test]
fn the_same_tree_comes_out_however_often_the_state_is_restored() {
    let mut world = World::founded();
    for second in 1..700 {
        world.done(World::root(second));
        // Around every edge of a bundle, and now and then.
        if second % 37 == 0 || (second + 3) % 256 < 6 {
            let snapshot = world.state.to_snapshot();
            let restored = State::from_snapshot(&snapshot).unwrap();
            assert_eq!(restored, world.state, "second {second}");
            assert_eq!(restored.to_snapshot(), snapshot);
            world.state = restored;
        }
    }
    let entries = world.entries();
    assert_eq!(entries.len() as u64, world.size());
    for digest in [Digest::Sm3, Digest::Sha256] {
        let mut edge = Edge::new(digest);
        for kept in &entries {
            for full in edge.push(digest.leaf(kept.entry.as_bytes())) {
                let guitai_tlog::tiles::Resource::Tile { level, index, .. } = full.resource else {
                    panic!("no tile");
                };
                let (sm3, sha256) = &world.tiles[&(level, index)];
                let tile = if digest == Digest::Sm3 { sm3 } else { sha256 };
                assert_eq!(&full.bytes, tile);
            }
        }
        assert_eq!(&edge, world.state.log().unwrap().edge(digest));
    }
    assert_eq!(world.tiles.len(), 2);
}

#[test]
fn a_view_that_is_written_record_by_record_is_the_state() {
    let mut world = World::founded();
    let mut view: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for key in world.state.record_keys() {
        view.insert(key.to_string(), world.state.record(&key).unwrap());
    }
    for second in 1..600 {
        let outcome = world.done(World::root(second));
        for key in outcome.changed {
            match world.state.record(&key) {
                Some(record) => drop(view.insert(key.to_string(), record)),
                None => drop(view.remove(&key.to_string())),
            }
        }
        if second % 50 == 0 {
            assert_eq!(State::load(&view).unwrap(), world.state);
        }
    }
    let entries = view.keys().filter(|key| key.starts_with("log-entry/"));
    assert_eq!(entries.count(), 600 % 256, "only the open bundle stays");
}

#[test]
fn entries_are_salted_and_say_nothing_of_anybody() {
    let mut world = World::founded();
    world.done(World::access("投诉 王小明"));
    world.done(World::access("投诉 王小明"));
    let staff = Box::new(staff());
    world.done(Command::PutStaff { staff });
    let entries = world.entries();
    let kinds: Vec<String> = entries
        .iter()
        .map(|kept| {
            let entry = Entry::parse(kept.entry.as_bytes()).unwrap();
            assert!(kept.is_whole(), "the opening is what was hashed");
            entry.kind.as_str().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["trust", "access", "access", "staff"]);
    let public: String = entries.iter().map(|kept| kept.entry.as_str()).collect();
    for secret in ["wang", "王小明", "投诉", "s1\"", "argon2"] {
        assert!(!public.contains(secret), "{secret}");
    }
    // The same happened twice, and nobody can tell.
    let [_, one, other, account] = &entries[..] else {
        panic!("four entries")
    };
    assert_eq!(one.opening.record, other.opening.record);
    let digest = |kept: &Kept| Entry::parse(kept.entry.as_bytes()).unwrap().digest;
    assert_ne!(digest(one), digest(other));
    assert!(account.opening.record.contains("王小明"));
    assert!(!account.opening.record.contains(PASSWORD));
    let record: Record = serde_json::from_str(&account.opening.record).unwrap();
    assert!(matches!(record, Record::Staff { .. }));
    // Another opening does not fit the entry.
    let mut forged = one.clone();
    forged.opening.record = forged.opening.record.replace("export", "play");
    assert!(!forged.is_whole());
}

#[test]
fn before_somebody_says_whom_to_believe_nothing_is_logged() {
    let mut world = World::new();
    let staff = Box::new(staff());
    world.done(Command::PutStaff { staff });
    assert_eq!(world.state.log(), None);
    assert_eq!(world.refused(World::root(1)), Code::WrongState);
    assert_eq!(world.refused(World::access("x")), Code::WrongState);
    let mut trust = world.trust();
    trust.witnesses[0].centre = "b".parse().unwrap();
    let trust = Box::new(trust);
    assert_eq!(world.refused(Command::TrustLog { trust }), Code::BadRequest);
    let mut trust = world.trust();
    std::mem::swap(&mut trust.log.sm3, &mut trust.log.sha256);
    let trust = Box::new(trust);
    assert_eq!(world.refused(Command::TrustLog { trust }), Code::BadRequest);
    let trust = Box::new(world.trust());
    world.done(Command::TrustLog {
        trust: trust.clone(),
    });
    assert_eq!(world.size(), 1);
    world.done(Command::TrustLog { trust });
    assert_eq!(world.size(), 1, "said again");
}

#[test]
fn a_recorders_roots_rise_and_reasons_are_given() {
    let mut world = World::founded();
    world.done(World::root(7));
    assert_eq!(world.size(), 2);
    assert_eq!(world.done(World::root(7)).reply, Reply::Done);
    assert_eq!(world.size(), 2, "the same again");
    assert_eq!(world.refused(World::root(6)), Code::WrongState);
    let Command::AppendRoot { root } = World::root(8) else {
        panic!("no root")
    };
    for wrong in [
        RecorderRoot {
            node: "b-9".parse().unwrap(),
            ..root.clone()
        },
        RecorderRoot {
            root: Hex(vec![1; 31]),
            ..root.clone()
        },
        RecorderRoot {
            count: 0,
            ..root.clone()
        },
        RecorderRoot {
            signature: Hex::default(),
            ..root.clone()
        },
        RecorderRoot {
            second: u64::MAX,
            ..root.clone()
        },
    ] {
        let code = world.refused(Command::AppendRoot { root: wrong });
        assert_eq!(code, Code::BadRequest);
    }
    assert_eq!(world.refused(World::access(" ")), Code::BadRequest);
    let long = "因".repeat(67);
    assert_eq!(world.refused(World::access(&long)), Code::TooLarge);
    assert_eq!(world.done(World::access(&long[3..])).reply, Reply::Done);
}

#[test]
fn a_witness_alarm_is_taken_down_once() {
    let mut world = World::founded();
    let alarm = LogAlarm {
        witness: "b-1".parse().unwrap(),
        tree: TreeName::Sm3,
        size: 9,
        known: Hex(vec![1; 32]),
        shown: Hex(vec![2; 32]),
    };
    let alarmed = |alarm: &LogAlarm| Command::AlarmLog {
        alarm: alarm.clone(),
    };
    world.done(alarmed(&alarm));
    world.done(alarmed(&alarm));
    assert_eq!(world.size(), 2);
    assert_eq!(world.state.log().unwrap().alarms().len(), 1);
    let restored = State::from_snapshot(&world.state.to_snapshot()).unwrap();
    assert_eq!(restored, world.state);
    let same = LogAlarm {
        shown: alarm.known.clone(),
        ..alarm.clone()
    };
    assert_eq!(world.refused(alarmed(&same)), Code::BadRequest);
    let stranger = LogAlarm {
        witness: "c-1".parse().unwrap(),
        ..alarm
    };
    assert_eq!(world.refused(alarmed(&stranger)), Code::BadRequest);
}

#[test]
fn a_checkpoint_needs_its_witnesses_and_this_very_tree() {
    let mut world = World::founded();
    world.done(World::root(1));
    let one = world.checkpoint(1);
    assert_eq!(world.refused(one), Code::BadRequest, "one of three");
    let first = world.checkpoint(2);
    assert_eq!(world.done(first.clone()).reply, Reply::Done);
    let published = |world: &World| world.state.log().unwrap().published().unwrap().size;
    assert_eq!(published(&world), 2);
    // Signed by everybody, and of no tree that was here.
    let head = guitai_tlog::check::Head {
        size: 2,
        root: [9; 32],
    };
    let forged = Command::PutCheckpoint {
        sm3: world.note(Digest::Sm3, head, 3),
        sha256: world.note(Digest::Sha256, head, 3),
    };
    assert_eq!(world.refused(forged), Code::BadRequest);
    world.done(World::root(2));
    assert_eq!(world.done(world.checkpoint(3)).reply, Reply::Done);
    assert_eq!(published(&world), 3);
    assert_eq!(world.refused(first), Code::WrongState, "backwards");
    let (Command::PutCheckpoint { sm3, .. }, Command::PutCheckpoint { sha256, .. }) =
        (world.checkpoint(3), world.checkpoint(3))
    else {
        panic!("no checkpoints")
    };
    let swapped = Command::PutCheckpoint {
        sm3: sha256,
        sha256: sm3,
    };
    assert_eq!(world.refused(swapped), Code::BadRequest);
}

fn certificates(serials: &[u8]) -> Holding {
    let certificates = serials.iter().map(|serial| HeldCertificate {
        usage: CertificateUse::Node,
        serial: Hex(vec![*serial]),
        sm3: Hex(vec![*serial; 32]),
        not_after_unix: 1_800_000_000,
    });
    Holding::Certificates {
        certificates: certificates.collect(),
        lists: Vec::new(),
    }
}

fn kek(generation: u32) -> HeldKey {
    HeldKey {
        id: format!("{generation:032x}"),
        purpose: "recording".to_owned(),
        generation,
        created_unix: 1_764_000_000,
    }
}

fn put(node: &str, by: &str, holding: Holding) -> Command {
    Command::PutHolding {
        node: node.parse().unwrap(),
        by: by.parse().unwrap(),
        holding,
    }
}

#[test]
fn a_certificate_or_key_that_changes_is_logged_once_with_what_came_and_went() {
    let mut world = World::founded();
    world.done(put("a1-1", "a1-1", certificates(&[7])));
    let keys = |generations: &[u32]| Holding::Keys {
        keys: generations.iter().copied().map(kek).collect(),
    };
    world.done(put("a1-1", "a1-1", keys(&[1])));
    let size = world.size();
    world.done(put("a1-1", "a1-1", certificates(&[7])));
    world.done(put("a1-1", "a1-1", keys(&[1])));
    assert_eq!(world.size(), size, "nothing new, nothing logged");
    world.done(put("a1-1", "a1-1", certificates(&[8, 9])));
    world.done(put("a1-1", "a1-1", keys(&[2])));
    let records: Vec<Record> = world
        .entries()
        .iter()
        .map(|kept| serde_json::from_str(&kept.opening.record).unwrap())
        .collect();
    let [.., first, second] = records.as_slice() else {
        panic!("entries");
    };
    let Record::Certificate { certificates, .. } = first else {
        panic!("{first:?}");
    };
    let serials = |held: &[HeldCertificate]| -> Vec<u8> {
        held.iter().map(|held| held.serial.0[0]).collect()
    };
    assert_eq!(serials(&certificates.taken), [8, 9]);
    assert_eq!(serials(&certificates.gone), [7]);
    let Record::Key { keys, told } = second else {
        panic!("{second:?}");
    };
    assert_eq!(
        (&keys.taken[..], &keys.gone[..]),
        (&[kek(2)][..], &[kek(1)][..])
    );
    assert_eq!(told.by, told.node);
    // It is known after a restore, too.
    let restored = State::from_snapshot(&world.state.to_snapshot()).unwrap();
    assert_eq!(restored, world.state);
    let node = "a1-1".parse().unwrap();
    assert_eq!(restored.custody(&node).unwrap().keys, [kek(2)]);
}

#[test]
fn what_a_node_has_only_it_says_and_of_an_edge_an_inner_node() {
    let mut world = World::founded();
    let edge = Member {
        zone: Zone::Dmz,
        name: "edge".parse().unwrap(),
        roles: vec![Role::Edge],
        voice: Voice::None,
        ..member(9, "a1")
    };
    world.done(Command::PutMember { member: edge });
    let certificate = || certificates(&[1]);
    assert_eq!(
        world.refused(put("a1-1", "b-1", certificate())),
        Code::BadRequest
    );
    assert_eq!(
        world.refused(put("edge", "edge", certificate())),
        Code::BadRequest
    );
    assert_eq!(
        world.refused(put("nobody", "a1-1", certificate())),
        Code::NotFound
    );
    assert_eq!(
        world.done(put("edge", "b-1", certificate())).reply,
        Reply::Done
    );
    // Not in order, twice, or more than a node has.
    for serials in [&[2, 1][..], &[1, 1], &[7; CERTIFICATES_HELD_MAX + 1]] {
        assert_ne!(
            world.refused(put("a1-1", "a1-1", certificates(serials))),
            Code::Internal
        );
    }
}
