//! Trees of every small size against RFC 6962's own definition, files of the shape that the document names,
//! and the examples of the documents.

use std::{cell::RefCell, collections::HashMap};

use guitai_crypto::{sm2, twin::Ed25519};

use super::{
    note::{Kind, Line, Note, NoteError, VerifierKey},
    tiles::{Resource, TILE_WIDTH, TileError, Tiles, Tree, bundle},
    *,
};

/// A log's files in memory.
#[derive(Default)]
struct Files(RefCell<HashMap<String, Vec<u8>>>);

impl Files {
    fn put(&self, Written { resource, bytes }: Written) {
        self.0.borrow_mut().insert(resource.to_string(), bytes);
    }
}

impl Tiles for Files {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        let found = self.0.borrow().get(&resource.to_string()).cloned();
        found.ok_or_else(|| "no such file".to_owned())
    }
}

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

/// A log of so many entries in files, and its edge.
fn log(digest: Digest, size: u64) -> (Files, Edge) {
    let (files, mut edge) = (Files::default(), Edge::new(digest));
    let mut open: Vec<Vec<u8>> = Vec::new();
    for index in 0..size {
        let full = edge.push(digest.leaf(&entry(index)));
        full.into_iter().for_each(|written| files.put(written));
        open.push(entry(index));
        if open.len() == TILE_WIDTH || index + 1 == size {
            let bytes = bundle(open.iter().map(Vec::as_slice)).unwrap();
            let (index, width) = (index / TILE_WIDTH as u64, open.len() as u16);
            let resource = Resource::Entries { index, width };
            files.put(Written { resource, bytes });
            open.clear();
        }
    }
    edge.partial().for_each(|written| files.put(written));
    (files, edge)
}

/// RFC 6962, 2.1, as it is written there.
fn defined(digest: Digest, leaves: &[Hash]) -> Hash {
    match leaves {
        [] => digest.empty(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            digest.node(&defined(digest, left), &defined(digest, right))
        }
    }
}

#[test]
fn roots_and_proofs_of_every_small_tree_are_those_of_the_definition() {
    for digest in [Digest::Sm3, Digest::Sha256] {
        for size in (0..=40).chain([255, 256, 257, 511, 513, 65_536 + 300]) {
            let (files, edge) = log(digest, size);
            let tree = Tree {
                digest,
                size,
                tiles: &files,
            };
            let leaves: Vec<Hash> = (0..size).map(|i| digest.leaf(&entry(i))).collect();
            let root = defined(digest, &leaves);
            assert_eq!(edge.root(), root, "{size}");
            assert_eq!(digest.root(&leaves), root, "{size}");
            assert_eq!(tree.root().unwrap(), root, "{size}");
            let indexes: Vec<u64> = if size > 600 {
                vec![0, 255, 256, 65_535, 65_536, size - 1]
            } else {
                (0..size).collect()
            };
            for index in indexes {
                assert_eq!(tree.entry(index).unwrap(), entry(index));
                let proof = tree.inclusion(index).unwrap();
                let leaf = leaves[index as usize];
                let holds =
                    |at, proof: &[Hash]| check::includes(digest, &leaf, at, size, proof, &root);
                assert!(holds(index, &proof), "{index} of {size}");
                assert!(!holds(index + 1, &proof), "{index} of {size} elsewhere");
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!holds(index, shorter));
                    let mut other = proof.clone();
                    other[0][31] ^= 1;
                    assert!(!holds(index, &other));
                }
            }
            assert!(matches!(tree.inclusion(size), Err(TileError::Past { .. })));
        }
    }
}

#[test]
fn every_small_tree_continues_those_before_it_and_no_other() {
    for digest in [Digest::Sm3, Digest::Sha256] {
        let leaves: Vec<Hash> = (0..34).map(|i| digest.leaf(&entry(i))).collect();
        let head = |size: u64| check::Head {
            size,
            root: defined(digest, &leaves[..size as usize]),
        };
        for size in 0..=34 {
            let (files, _) = log(digest, size);
            let tree = Tree {
                digest,
                size,
                tiles: &files,
            };
            let new = head(size);
            for before in 0..=size {
                let (old, proof) = (head(before), tree.consistency(before).unwrap());
                assert!(
                    check::continues(digest, &old, &new, &proof),
                    "{before} {size}"
                );
                if before > 0 {
                    let mut forked = old;
                    forked.root[0] ^= 1;
                    assert!(!check::continues(digest, &forked, &new, &proof));
                }
                let more = [&proof[..], &[[0; 32]]].concat();
                assert!(!check::continues(digest, &old, &new, &more));
                if !proof.is_empty() {
                    assert!(!check::continues(digest, &old, &new, &proof[1..]));
                    assert!(!check::continues(digest, &new, &old, &proof));
                }
            }
        }
    }
}

#[test]
fn seventy_thousand_entries_lie_in_the_files_that_the_document_names() {
    // tlog-tiles, "Partial Tiles".
    let mut of_level = HashMap::new();
    let mut bundles = Vec::new();
    for resource in Resource::of_tree(70_000) {
        match resource {
            Resource::Tile { level, width, .. } => {
                of_level.entry(level).or_insert_with(Vec::new).push(width);
            }
            Resource::Entries { width, .. } => bundles.push(width),
            Resource::Checkpoint => unreachable!("not part of a tree"),
        }
    }
    let leaves = [vec![256; 273], vec![112]].concat();
    assert_eq!(of_level.remove(&0), Some(leaves.clone()));
    assert_eq!(bundles, leaves);
    assert_eq!(of_level.remove(&1), Some(vec![256, 17]));
    assert_eq!(of_level.remove(&2), Some(vec![1]));
    assert!(of_level.is_empty());

    let (files, edge) = log(Digest::Sha256, 70_000);
    let expected: Vec<String> = Resource::of_tree(70_000).map(|it| it.to_string()).collect();
    let mut found: Vec<String> = files.0.borrow().keys().cloned().collect();
    let mut sorted = expected.clone();
    sorted.sort();
    found.sort();
    assert_eq!(found, sorted);
    let full = files.0.borrow()["tile/0/272"].len();
    assert_eq!(full, 8_192);
    let tree = Tree {
        digest: Digest::Sha256,
        size: 70_000,
        tiles: &files,
    };
    assert_eq!(tree.root().unwrap(), edge.root());
}

#[test]
fn paths_are_those_of_the_document() {
    let tile = |level, index, width| {
        Resource::Tile {
            level,
            index,
            width,
        }
        .to_string()
    };
    assert_eq!(tile(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(tile(1, 0, 17), "tile/1/000.p/17");
    assert_eq!(tile(63, 999, 255), "tile/63/999.p/255");
    let entries = Resource::Entries {
        index: 1_000,
        width: 1,
    };
    assert_eq!(entries.to_string(), "tile/entries/x001/000.p/1");
    assert_eq!(Resource::Checkpoint.to_string(), "checkpoint");
    for resource in Resource::of_tree(70_000).chain([Resource::Checkpoint, entries]) {
        assert_eq!(Resource::parse(&resource.to_string()), Some(resource));
    }
    for wrong in [
        "",
        "tile/0/1",
        "tile/0/0x01/000",
        "tile/8/000",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/entries/x000/000",
        "tile/+1/000",
        "tile/0/000/",
        "tile/../checkpoint",
    ] {
        assert_eq!(Resource::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_bundle_gives_its_entries_back_and_a_broken_one_none() {
    let entries = [&b""[..], b"one", &[7; ENTRY_BYTES_MAX]];
    let bytes = bundle(entries.into_iter()).unwrap();
    assert_eq!(tiles::unbundle(&bytes).unwrap(), entries);
    assert_eq!(tiles::unbundle(&bytes[..bytes.len() - 1]), None);
    assert_eq!(tiles::unbundle(&[0]), None);
    assert_eq!(tiles::unbundle(&[0; 2 * 257]), None);
    let long = vec![0; ENTRY_BYTES_MAX + 1];
    let error = bundle([&long[..]].into_iter()).unwrap_err();
    assert_eq!(error.bytes, 65_536);
}

#[test]
fn a_missing_or_cut_tile_is_named() {
    let (files, _) = log(Digest::Sm3, 300);
    let tree = Tree {
        digest: Digest::Sm3,
        size: 300,
        tiles: &files,
    };
    files
        .0
        .borrow_mut()
        .get_mut("tile/0/001.p/44")
        .unwrap()
        .pop();
    let error = tree.root().unwrap_err().to_string();
    assert_eq!(error, "tile/0/001.p/44 has 1407 bytes, not 1408");
    files.0.borrow_mut().remove("tile/0/001.p/44");
    let error = tree.root().unwrap_err().to_string();
    assert_eq!(error, "tile/0/001.p/44: no such file");
}

#[test]
fn the_documents_own_note_is_verified_and_written_again() {
    // signed-note, "Example".
    let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    let key = VerifierKey::parse(vkey).unwrap();
    assert_eq!(key.to_string(), vkey);
    let text = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.to_string(), text);
    let signed = note.verify(std::slice::from_ref(&key)).unwrap();
    assert_eq!(signed.len(), 1);
    assert_eq!(signed[0].at, None);
    let changed = text.replace("message.", "message!");
    let changed = Note::parse(changed.as_bytes()).unwrap();
    let refused = changed.verify(&[key]).unwrap_err();
    assert_eq!(refused, NoteError::Signature("example.com/foo".to_owned()));
    assert_eq!(note.verify(&[]).unwrap_err(), NoteError::Unsigned);
}

type SignFn = dyn Fn(&[u8]) -> Vec<u8>;

struct Signer {
    key: VerifierKey,
    sign: Box<SignFn>,
}

impl Signer {
    fn ed25519(name: &str, kind: Kind, seed: u8) -> Self {
        let secret = Ed25519::from_seed(&[seed; 32]).unwrap();
        let key = VerifierKey::new(name, kind, &secret.public()).unwrap();
        let sign = Box::new(move |message: &[u8]| secret.sign(message));
        Self { key, sign }
    }

    fn sm2(name: &str, kind: Kind) -> Self {
        let secret = sm2::SecretKey::generate();
        let point = secret.public().to_point();
        let key = VerifierKey::new(name, kind, &point).unwrap();
        let sign = Box::new(move |message: &[u8]| secret.sign(message));
        Self { key, sign }
    }

    fn line(&self, text: &str, at: u64) -> Line {
        Line::sign(&self.key, &*self.sign, text, at)
    }
}

/// A log's key and three witnesses, of one family.
fn people(digest: Digest) -> (Signer, Vec<Signer>) {
    let names = ["w.a1", "w.a2", "w.b"];
    match digest {
        Digest::Sm3 => (
            Signer::sm2("bank/log/sm3", Kind::Sm2),
            names
                .map(|name| Signer::sm2(name, Kind::Sm2Cosignature))
                .into(),
        ),
        Digest::Sha256 => (
            Signer::ed25519("bank/log/sha256", Kind::Ed25519, 1),
            (2..)
                .zip(names)
                .map(|(seed, name)| Signer::ed25519(name, Kind::Ed25519Cosignature, seed))
                .collect(),
        ),
    }
}

/// A whole log in files: signed, and cosigned by so many witnesses; its policy wants two of three.
fn published(digest: Digest, size: u64, cosigned: usize) -> (Files, Policy, Note) {
    let (files, edge) = log(digest, size);
    let (signer, witnesses) = people(digest);
    let head = check::Head {
        size,
        root: edge.root(),
    };
    let origin = signer.key.name().to_owned();
    let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
    let text = note.text().to_owned();
    note.add(signer.line(&text, 0)).unwrap();
    for (at, witness) in (1_795_000_000..).zip(witnesses.iter().take(cosigned)) {
        note.add(witness.line(&text, at)).unwrap();
        // The same witness again counts once.
        note.add(witness.line(&text, at + 1)).unwrap();
    }
    let keys: Vec<VerifierKey> = witnesses.into_iter().map(|it| it.key).collect();
    let policy = Policy::of(&signer.key, &keys, 2).unwrap();
    let resource = Resource::Checkpoint;
    let bytes = note.to_string().into_bytes();
    files.put(Written { resource, bytes });
    (files, policy, note)
}

#[test]
fn a_proof_holds_with_two_of_three_witnesses_and_not_with_fewer() {
    for digest in [Digest::Sm3, Digest::Sha256] {
        let proof = |files: &Files, note: &Note| {
            let tree = Tree {
                digest,
                size: 300,
                tiles: files,
            };
            InclusionProof {
                extra: Some(b"salt".to_vec()),
                index: 7,
                hashes: tree.inclusion(7).unwrap(),
                checkpoint: note.clone(),
            }
        };
        let (files, policy, note) = published(digest, 300, 1);
        let few = proof(&files, &note).verify(&entry(7), &policy);
        let found = "w.a1".to_owned();
        let expected = BadProof::Policy(PolicyError::Quorum { found });
        assert_eq!(few.unwrap_err(), expected);

        let (files, policy, note) = published(digest, 300, 2);
        let proof = proof(&files, &note);
        let read = InclusionProof::parse(&proof.to_string()).unwrap();
        assert_eq!(read, proof);
        let believed = read.verify(&entry(7), &policy).unwrap();
        assert_eq!(believed.checkpoint.head.size, 300);
        assert_eq!(believed.digest, digest);
        let when: Vec<_> = believed.witnesses.iter().map(|it| it.at).collect();
        assert_eq!(when, [Some(1_795_000_000), Some(1_795_000_001)]);
        let other = read.verify(&entry(8), &policy).unwrap_err();
        assert_eq!(
            other,
            BadProof::NotIncluded {
                index: 7,
                size: 300
            }
        );
        // What was signed about another size is not signed about this one.
        let changed = proof.to_string().replace("\n300\n", "\n301\n");
        let changed = InclusionProof::parse(&changed).unwrap();
        let error = changed.verify(&entry(7), &policy).unwrap_err();
        assert!(matches!(
            error,
            BadProof::Policy(PolicyError::Note(NoteError::Signature(_)))
        ));
        // A log's key under another log's name.
        let renamed = proof.to_string().replacen("bank/log", "bank/gol", 1);
        let renamed = InclusionProof::parse(&renamed).unwrap();
        assert!(renamed.verify(&entry(7), &policy).is_err());
    }
}

#[test]
fn a_whole_log_is_read_again_and_any_changed_byte_of_it_is_found() {
    for digest in [Digest::Sm3, Digest::Sha256] {
        let (files, policy, _) = published(digest, 600, 3);
        let mut seen = Vec::new();
        let audited = audit(&files, &policy, None, |entries| seen.push(entries)).unwrap();
        assert_eq!(seen, [256, 512, 600]);
        assert_eq!(audited.tiles, 4);
        assert_eq!(audited.believed.witnesses.len(), 3);
        let paths: Vec<String> = files.0.borrow().keys().cloned().collect();
        assert_eq!(paths.len(), 8);
        for path in paths {
            let length = files.0.borrow()[&path].len();
            for at in [0, length / 2, length - 1] {
                let flip = |files: &Files| {
                    let mut files = files.0.borrow_mut();
                    files.get_mut(&path).unwrap()[at] ^= 1;
                };
                flip(&files);
                let found = audit(&files, &policy, None, |_| ());
                assert!(found.is_err(), "byte {at} of {path}");
                flip(&files);
            }
            let whole = files.0.borrow_mut().remove(&path).unwrap();
            assert!(audit(&files, &policy, None, |_| ()).is_err(), "no {path}");
            files.0.borrow_mut().insert(path, whole);
        }
        assert!(audit(&files, &policy, None, |_| ()).is_ok());
    }
}

#[test]
fn a_log_continues_its_older_checkpoint_or_there_are_two_histories() {
    // Ed25519 keys of these tests are the same in every log.
    let digest = Digest::Sha256;
    let (_, _, older) = published(digest, 300, 2);
    let (files, policy, note) = published(digest, 600, 2);
    let bytes = older.to_string().into_bytes();
    let audited = audit(&files, &policy, Some(&bytes), |_| ()).unwrap();
    assert_eq!(audited.continues, Some(300));
    let (shorter, _, _) = published(digest, 300, 2);
    let newer = note.to_string().into_bytes();
    let fork = audit(&shorter, &policy, Some(&newer), |_| ()).unwrap_err();
    assert_eq!(fork, LogError::Fork { size: 600 });

    let (signer, witnesses) = people(digest);
    let mut head = Checkpoint::of(&older).unwrap();
    head.head.root[5] ^= 1;
    let mut other = Note::new(head.to_string()).unwrap();
    let text = other.text().to_owned();
    other.add(signer.line(&text, 0)).unwrap();
    for witness in &witnesses {
        other.add(witness.line(&text, 5)).unwrap();
    }
    let other = other.to_string().into_bytes();
    let fork = audit(&files, &policy, Some(&other), |_| ()).unwrap_err();
    assert_eq!(fork, LogError::Fork { size: 300 });
}

#[test]
fn a_policy_is_that_of_the_document() {
    let (signer, witnesses) = people(Digest::Sha256);
    let [a, b, c] = [0, 1, 2].map(|at| witnesses[at].key.to_string());
    let log_key = signer.key.to_string();
    let text = format!(
        "# comment\n\tlog {log_key} https://bank.example/log\nwitness A {a}\nwitness B {b}\nwitness C {c}\n\ngroup city any A B\ngroup all-of-it all city C\nquorum all-of-it\n"
    );
    let policy = Policy::parse(&text).unwrap();
    let believes = |signers: &[usize]| {
        let head = check::Head {
            size: 0,
            root: Digest::Sha256.empty(),
        };
        let origin = signer.key.name().to_owned();
        let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
        let body = note.text().to_owned();
        note.add(signer.line(&body, 0)).unwrap();
        for at in signers {
            note.add(witnesses[*at].line(&body, 9)).unwrap();
        }
        policy.believe(&note).is_ok()
    };
    for (signers, enough) in [
        (&[][..], false),
        (&[0], false),
        (&[0, 1], false),
        (&[2], false),
        (&[0, 2], true),
        (&[1, 2], true),
        (&[0, 1, 2], true),
    ] {
        assert_eq!(believes(signers), enough, "{signers:?}");
    }
    let wrong = [
        (format!("log {log_key}\n"), "no quorum"),
        (format!("{text}quorum none\n"), "second quorum"),
        ("quorum A\n".to_owned(), "not named before"),
        (format!("witness A {log_key}\n"), "makes cosignatures"),
        (format!("log {a}\n"), "makes no cosignatures"),
        (format!("witness A {a}\nwitness B {a}\n"), "same key twice"),
        (format!("witness A {a}\nwitness A {b}\n"), "is taken"),
        (format!("witness none {a}\n"), "is taken"),
        (format!("witness A {a}\ngroup G 2 A\n"), "2 of 1 members"),
        (format!("witness A {a}\ngroup G 0 A\n"), "0 of 1 members"),
        (
            format!("witness A {a}\ngroup G any A\ngroup H any A\n"),
            "in a group already",
        ),
        ("tree A\n".to_owned(), "neither log"),
        ("# \u{1}\nquorum none\n".to_owned(), "control character"),
        ("#".repeat(policy::POLICY_BYTES_MAX + 1), "at most 65536"),
    ];
    for (text, why) in wrong {
        let error = Policy::parse(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_witness_signs_what_continues_and_names_a_fork() {
    let digest = Digest::Sm3;
    let (signer, _) = people(digest);
    let witness = Witness {
        origin: "bank/log/sm3".to_owned(),
        digest,
        keys: vec![signer.key.clone()],
    };
    let submission = |old: u64, size: u64, fork: bool| {
        let (files, edge) = log(digest, size);
        let mut root = edge.root();
        root[0] ^= u8::from(fork);
        let origin = witness.origin.clone();
        let checkpoint = Checkpoint {
            origin,
            head: check::Head { size, root },
        };
        let mut note = Note::new(checkpoint.to_string()).unwrap();
        let line = signer.line(note.text(), 0);
        note.add(line).unwrap();
        let tree = Tree {
            digest,
            size,
            tiles: &files,
        };
        let proof = tree.consistency(old.min(size)).unwrap();
        let asked = Submission { old, proof, note };
        assert_eq!(
            Submission::parse(asked.to_string().as_bytes()).unwrap(),
            asked
        );
        asked
    };
    let judge = |asked: &Submission, seen| witness.judge(asked, seen).unwrap();
    let Answer::Cosign(seen) = judge(&submission(0, 5, false), None) else {
        panic!("the first is signed");
    };
    assert_eq!(seen.0.size, 5);
    let seen = Some(seen);
    assert!(matches!(
        judge(&submission(5, 12, false), seen),
        Answer::Cosign(_)
    ));
    assert!(matches!(
        judge(&submission(5, 5, false), seen),
        Answer::Cosign(_)
    ));
    assert_eq!(
        judge(&submission(3, 12, false), seen),
        Answer::Conflict { size: 5 }
    );
    assert_eq!(
        judge(&submission(5, 5, true), seen),
        Answer::Inconsistent { fork: true }
    );
    assert_eq!(
        judge(&submission(5, 12, true), seen),
        Answer::Inconsistent { fork: false }
    );
    assert_eq!(judge(&submission(6, 4, false), seen), Answer::Backwards);
    let stranger = Witness {
        keys: vec![people(digest).0.key],
        ..witness.clone()
    };
    let asked = submission(5, 12, false);
    assert_eq!(stranger.judge(&asked, seen).unwrap(), Answer::Untrusted);
    let other = Witness {
        origin: "else".to_owned(),
        ..witness.clone()
    };
    assert_eq!(other.judge(&asked, seen).unwrap(), Answer::UnknownLog);
    let mut proofless = asked;
    proofless.proof.clear();
    assert_eq!(
        judge(&proofless, seen),
        Answer::Inconsistent { fork: false }
    );
}

#[test]
fn what_is_no_note_key_checkpoint_or_proof_is_refused_with_the_reason() {
    for bad in [
        "",
        "text\n",
        "text\n\n",
        "text\n\n— name\n",
        "text\n\n- name AAAAAAAA\n",
        "text\n\n— a b AAAAAAAA\n",
        "text\n\n— name AAAA\n",
        "te\u{7}xt\n\n— name AAAAAAAA\n",
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::parse(b"\xff\n\n").is_err());
    let large = vec![b'a'; note::NOTE_BYTES_MAX + 1];
    assert!(matches!(
        Note::parse(&large),
        Err(NoteError::TooLarge { .. })
    ));
    let many = format!("t\n\n{}", "— n AAAAAAAA\n".repeat(65));
    assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::TooMany));
    for bad in [
        "",
        "a+b",
        "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "n+00000000+CQ==",
        "n+00000000+AQ==",
        "n+00000000+!",
    ] {
        assert!(VerifierKey::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "",
        "o\n1\n",
        "\n1\nAAAA\n",
        "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAA\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n",
        "o\n18446744073709551616\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ] {
        assert!(Checkpoint::parse(bad).is_err(), "{bad:?}");
    }
    for bad in [
        "",
        "c2sp.org/tlog-proof@v1\n\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
        "c2sp.org/tlog-proof@v2\nindex 1\n\nx",
        "c2sp.org/tlog-proof@v1\nextra !\nindex 1\n\nx",
    ] {
        assert!(InclusionProof::parse(bad).is_err(), "{bad:?}");
        assert!(Submission::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
}
