//! The log is published, survives power cuts, and reaches a node that was away; a witness that is shown two
//! trees refuses and everybody hears of it.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use guitai_crypto::sm2;
use guitai_tlog::{
    Digest, Party, Policy, Signer, Submission, audit,
    note::Note,
    tiles::{Resource, Tiles},
};
use guitai_types::{
    UnixMillis,
    tlog::{Access, AccessKind, Entry, LogTrust, LogWitness, Record, TreeKeys, TreeName},
};

use super::*;
use crate::{
    LogFile, LogKeys,
    tlog::{Answer, Ask, Cosigned},
};

const CENTRES: [&str; 3] = ["a1", "a2", "b"];

/// Three nodes in three centres, each with the log's key and a witness.
async fn cluster(snapshot_every: u64) -> Cluster {
    let members: Vec<Member> = (1..=3)
        .zip(CENTRES)
        .map(|(number, centre)| Member {
            centre: id(centre),
            ..member(number)
        })
        .collect();
    let signer = |party, name: &str| {
        let key = sm2::SecretKey::generate();
        Arc::new(Signer::new(party, name, key).unwrap())
    };
    let log = signer(Party::Log, "log.test");
    let witnesses = CENTRES.map(|centre| signer(Party::Witness, centre));
    let keys = |signer: &Signer| TreeKeys {
        sm3: signer.key(Digest::Sm3).to_string(),
        sha256: signer.key(Digest::Sha256).to_string(),
    };
    let trust = LogTrust {
        log: keys(&log),
        witnesses: members
            .iter()
            .zip(&witnesses)
            .map(|(member, signer)| LogWitness {
                node: member.name.clone(),
                centre: member.centre.clone(),
                keys: keys(signer),
            })
            .collect(),
    };
    let mut cluster = Cluster::of(members, snapshot_every, Vec::new()).await;
    for (seat, witness) in witnesses.into_iter().enumerate() {
        let keys = LogKeys {
            log: log.clone(),
            witness: Some(witness),
            trust: trust.clone(),
        };
        cluster.log_keys.insert(cluster.seats[seat].member.id, keys);
        // It starts anew, with its keys.
        cluster.crash(seat, 7).await;
        cluster.start(seat).await;
    }
    eventually(|| size(cluster.meta(0)) > 0).await;
    cluster
}

async fn eventually(holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

fn size(meta: &Meta) -> u64 {
    meta.log_status().map_or(0, |status| status.size)
}

fn published(meta: &Meta) -> u64 {
    meta.log_status().map_or(0, |status| status.published)
}

async fn see(meta: &Meta, reason: &str) {
    let access = Access {
        who: staff(),
        session: id("s1"),
        what: AccessKind::Play,
        reason: reason.to_owned(),
    };
    let reply = meta.write(Command::LogAccess { access }).await;
    assert_eq!(reply.unwrap(), Reply::Done);
}

/// All files of one tree, as a reader copies them.
struct Mirror(BTreeMap<Resource, Vec<u8>>);

impl Tiles for Mirror {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        let found = self.0.get(&resource).cloned();
        found.ok_or_else(|| "not copied".to_owned())
    }
}

async fn mirror(meta: &Meta, tree: &str) -> (Mirror, Policy) {
    let text = |file| match file {
        LogFile::Text(text) => text,
        LogFile::Bytes(_) => panic!("no text"),
    };
    let policy = text(meta.log_file(&format!("{tree}/policy")).await.unwrap());
    let note = text(meta.log_file(&format!("{tree}/checkpoint")).await.unwrap());
    let size = note.lines().nth(1).unwrap().parse().unwrap();
    let mut files = BTreeMap::from([(Resource::Checkpoint, note.into_bytes())]);
    for resource in Resource::of_tree(size) {
        let file = meta.log_file(&format!("{tree}/{resource}")).await.unwrap();
        let LogFile::Bytes(bytes) = file else {
            panic!("no bytes")
        };
        files.insert(resource, bytes);
    }
    (Mirror(files), Policy::parse(&policy).unwrap())
}

async fn assert_whole(meta: &Meta, at_least: u64) {
    for tree in ["sm3", "sha256"] {
        let (mirror, policy) = mirror(meta, tree).await;
        let audited = audit(&mirror, &policy, None, |_| {}).unwrap();
        assert!(audited.believed.checkpoint.head.size >= at_least);
        assert!(audited.believed.witnesses.len() >= 2);
    }
    // The policy for both is believed for each.
    let both = meta.log_file("policy").await.unwrap();
    let LogFile::Text(both) = both else {
        panic!("no text")
    };
    let (mirror, _) = mirror(meta, "sha256").await;
    audit(&mirror, &Policy::parse(&both).unwrap(), None, |_| {}).unwrap();
}

#[tokio::test]
async fn what_was_logged_survives_power_cuts_and_reaches_who_was_away() {
    let mut cluster = cluster(200).await;
    let leader = cluster.leader().await;
    let away = (0..3).find(|seat| *seat != leader).unwrap();
    cluster.board.cut(&cluster.seats[away].member.name);
    for number in 0..600 {
        see(cluster.meta(leader), &format!("{number}")).await;
    }
    let logged = size(cluster.meta(leader));
    assert!(logged >= 601, "{logged}");
    let other = (0..3).find(|seat| ![leader, away].contains(seat)).unwrap();
    cluster.crash(leader, 1).await;
    cluster.crash(other, 2).await;
    cluster.start(leader).await;
    cluster.start(other).await;
    eventually(|| published(cluster.meta(leader)) >= logged).await;
    assert_whole(cluster.meta(leader), logged).await;
    assert_whole(cluster.meta(other), logged).await;
    // The log before was purged: it gets a snapshot, and fetches the rest.
    let name = cluster.seats[away].member.name.clone();
    cluster.board.mend(&name);
    let is_whole = |meta: &Meta| {
        let status = meta.log_status();
        status.is_some_and(|it| it.published >= logged && it.missing == 0)
    };
    eventually(|| is_whole(cluster.meta(away))).await;
    let fetched = async {
        while cluster
            .meta(away)
            .log_file("sm3/tile/entries/000")
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while cluster
            .meta(away)
            .log_file("sm3/tile/entries/001")
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, fetched).await.unwrap();
    assert_whole(cluster.meta(away), logged).await;
    let proven = cluster.meta(away).log_proof(300).await.unwrap();
    assert!(proven.opening.record.contains("\"kind\":\"access\""));
    let found = cluster.meta(away).log_find(1, |_, record| {
        matches!(record, Record::Trust { .. }).then_some("trust")
    });
    assert_eq!(found.await.unwrap(), [(0, "trust")]);
}

#[tokio::test]
async fn many_entries_are_proven_under_one_checkpoint_that_continues_an_older_one() {
    let cluster = cluster(10_000).await;
    let meta = cluster.meta(cluster.leader().await);
    let checkpoint = |note: &str| {
        let note = Note::parse(note.as_bytes()).unwrap();
        guitai_tlog::Checkpoint::of(&note).unwrap()
    };
    eventually(|| published(meta) > 0).await;
    let older = checkpoint(&meta.log_checkpoint().unwrap());
    // Bundles on disk, and one that is open.
    for number in 0..600 {
        see(meta, &format!("{number}")).await;
    }
    eventually(|| published(meta) > 600).await;
    let wanted = |record: &Record| match record {
        Record::Access { access } if access.reason.ends_with('7') => Some(access.reason.clone()),
        _ => None,
    };
    let all = move |record: &Record| ControlFlow::Continue(wanted(record));
    let size = older.head.size;
    let proofs = meta.log_proofs(UnixMillis(0), Some(size), all).await;
    let proofs = proofs.unwrap().unwrap();
    assert_eq!(proofs.picked.len(), 60);
    let policy = Policy::parse(&proofs.policy).unwrap();
    let note = Note::parse(proofs.checkpoint.as_bytes()).unwrap();
    let newer = policy.believe(&note).unwrap().checkpoint;
    let consistency = proofs.consistency.unwrap();
    let (sm3, old, new) = (Digest::Sm3, &older.head, &newer.head);
    assert!(guitai_tlog::check::continues(sm3, old, new, &consistency));
    for (reason, included) in &proofs.picked {
        assert!(included.opening.record.contains(&format!("\"{reason}\"")));
        let leaf = sm3.leaf(included.entry.as_bytes());
        let (index, hashes) = (included.index, &included.hashes);
        let holds = guitai_tlog::check::includes(sm3, &leaf, index, new.size, hashes, &new.root);
        assert!(holds, "entry {index}");
    }
    // From the moment of any entry on, that entry is found, and nothing is read after the last that is wanted.
    for (reason, included) in &proofs.picked {
        let at = Entry::parse(included.entry.as_bytes()).unwrap().at;
        let reason = reason.clone();
        let first = move |record: &Record| match wanted(record) {
            Some(found) if found == reason => ControlFlow::Break(Some(found)),
            _ => ControlFlow::Continue(None),
        };
        let found = meta.log_proofs(at, None, first).await.unwrap().unwrap();
        assert_eq!(found.picked[0].1, *included);
        assert_eq!(found.consistency, None);
    }
    let past = UnixMillis(u64::MAX);
    let never = |record: &Record| match record {
        Record::Trust { .. } => panic!("read from the beginning"),
        _ => ControlFlow::<Option<()>, _>::Continue(None),
    };
    assert!(meta.log_proofs(past, None, never).await.unwrap().is_some());
}

#[tokio::test]
async fn a_witness_that_is_shown_two_trees_refuses_and_everybody_hears_of_it() {
    let cluster = cluster(10_000).await;
    see(cluster.meta(0), "x").await;
    eventually(|| published(cluster.meta(1)) >= 2).await;
    let witness = cluster.meta(1);
    eventually(|| size(witness) >= 2).await;
    // A head that the log signed, of a tree that nobody has.
    let keys = &cluster.log_keys[&NodeId(1)];
    let size = size(witness);
    let forged = |digest: Digest, root: [u8; 32], old: u64| {
        let origin = keys.log.key(digest).name().to_owned();
        let head = guitai_tlog::check::Head { size, root };
        let text = guitai_tlog::Checkpoint { origin, head }.to_string();
        let mut note = Note::new(text.clone()).unwrap();
        note.add(keys.log.sign(digest, &text, 0)).unwrap();
        let reading = witness.reading().unwrap();
        let view = reading.of(digest);
        let proof = reading.tree(&view, size).consistency(old).unwrap();
        Submission { old, proof, note }.to_string()
    };
    let honest = |digest| witness.peek(|state| state.log().unwrap().edge(digest).root());
    let ask = async |old: u64| {
        let ask = Ask::Cosign {
            sm3: forged(Digest::Sm3, honest(Digest::Sm3), old),
            sha256: forged(Digest::Sha256, [9; 32], old),
        };
        let Answer::Cosigned { sm3, sha256 } = witness.answer_log(ask).await else {
            panic!("no answer of a witness")
        };
        (sm3, sha256)
    };
    // The two others may have been enough without it.
    let (sm3, sha256) = match ask(size).await {
        (Cosigned::Conflict { size }, _) => ask(size).await,
        answers => answers,
    };
    assert!(matches!(sm3, Cosigned::Line { .. }), "{sm3:?}");
    assert!(
        matches!(sha256, Cosigned::Refused { status: 422, .. }),
        "{sha256:?}"
    );
    let alarms = |meta: &Meta| meta.log_status().unwrap().alarms;
    for seat in 0..3 {
        eventually(|| !alarms(cluster.meta(seat)).is_empty()).await;
        let alarm = &alarms(cluster.meta(seat))[0].alarm;
        assert_eq!(alarm.witness, cluster.seats[1].member.name);
        assert_eq!((alarm.tree, alarm.size), (TreeName::Sha256, size));
    }
    // An honest head is signed all the same.
    let before = published(cluster.meta(0));
    eventually(|| published(cluster.meta(0)) > before).await;
}
