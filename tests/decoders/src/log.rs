//! The transparency log as witnesses, auditors and verifiers get it from others: notes, checkpoints, proofs, tiles.

use std::{collections::BTreeMap, sync::OnceLock};

use guitai_tlog::{
    Checkpoint, Digest, Edge, Hash, InclusionProof, Party, Policy, Signer, Submission, Witness,
    audit,
    check::{Head, continues, includes},
    note::{Line, Note, VerifierKey},
    policy,
    tiles::{Resource, Tiles, Tree, bundle, unbundle},
};

use crate::{Seed, key};

/// Entries of the honest log: more than one bundle, so that there are two levels of tiles.
const ENTRIES: u64 = 300;
const NAME: &str = "bank.example/log";

/// A log that is what it should be.
struct World {
    files: BTreeMap<String, Vec<u8>>,
    head: Head,
    policy: Policy,
    key: VerifierKey,
}

impl Tiles for World {
    fn get(&self, resource: Resource) -> Result<Vec<u8>, String> {
        let file = self.files.get(&resource.to_string());
        file.cloned().ok_or_else(|| "it is not there".to_owned())
    }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let signer = Signer::new(Party::Log, NAME, key()).expect("a name");
        let entries: Vec<Vec<u8>> = (0..ENTRIES).map(entry).collect();
        let mut edge = Edge::new(Digest::Sm3);
        let mut files = BTreeMap::new();
        for entry in &entries {
            for written in edge.push(Digest::Sm3.leaf(entry)) {
                files.insert(written.resource.to_string(), written.bytes);
            }
        }
        for written in edge.partial() {
            files.insert(written.resource.to_string(), written.bytes);
        }
        for resource in Resource::of_tree(ENTRIES) {
            if let Resource::Entries { index, .. } = resource {
                let first = usize::try_from(index).expect("small") * 256;
                let of_bundle = entries.iter().skip(first).take(256);
                let bytes = bundle(of_bundle.map(Vec::as_slice)).expect("short entries");
                files.insert(resource.to_string(), bytes);
            }
        }
        let head = Head {
            size: edge.size(),
            root: edge.root(),
        };
        let checkpoint = Checkpoint {
            origin: NAME.to_owned(),
            head,
        };
        let key = signer.key(Digest::Sm3).clone();
        let note = signed(&signer, &checkpoint.to_string());
        files.insert("checkpoint".to_owned(), note.to_string().into_bytes());
        let policy = Policy::of(&key, &[], 0).expect("a policy");
        World {
            files,
            head,
            policy,
            key,
        }
    })
}

fn entry(number: u64) -> Vec<u8> {
    format!("entry {number}").into_bytes()
}

fn signed(signer: &Signer, text: &str) -> Note {
    let mut note = Note::new(text.to_owned()).expect("a text");
    note.add(signer.sign(Digest::Sm3, text, 0))
        .expect("the first");
    note
}

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 10 {
        0 => note(bytes),
        1 => proof(bytes),
        2 => submission(bytes),
        5 => entries(bytes),
        6 => damaged(bytes),
        7 => claimed(bytes),
        other => {
            let Ok(text) = std::str::from_utf8(bytes) else {
                return false;
            };
            match other {
                3 => policy_file(text),
                4 => verifier(text),
                8 => resource(text),
                _ => line(text),
            }
        }
    }
}

fn note(bytes: &[u8]) -> bool {
    let Ok(note) = Note::parse(bytes) else {
        return false;
    };
    let again = Note::parse(note.to_string().as_bytes());
    assert_eq!(
        again.as_ref(),
        Ok(&note),
        "another note after it was written"
    );
    if let Ok(checkpoint) = Checkpoint::of(&note) {
        assert_eq!(
            checkpoint.to_string(),
            note.text(),
            "two texts of one checkpoint"
        );
    }
    if let Ok(believed) = world().policy.believe(&note) {
        assert_eq!(
            believed.checkpoint.head,
            world().head,
            "a head that nobody signed"
        );
    }
    true
}

fn proof(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let Ok(proof) = InclusionProof::parse(text) else {
        return false;
    };
    let again = InclusionProof::parse(&proof.to_string());
    assert_eq!(
        again.as_ref(),
        Ok(&proof),
        "another proof after it was written"
    );
    for number in [0, 7, ENTRIES - 1] {
        if proof.verify(&entry(number), &world().policy).is_ok() {
            assert_eq!(proof.index, number, "an entry is proven at another place");
        }
    }
    assert!(
        proof.verify(b"never entered", &world().policy).is_err(),
        "proven and never entered"
    );
    true
}

fn submission(bytes: &[u8]) -> bool {
    let Ok(asked) = Submission::parse(bytes) else {
        return false;
    };
    let again = Submission::parse(asked.to_string().as_bytes());
    assert_eq!(
        again.as_ref(),
        Ok(&asked),
        "another submission after it was written"
    );
    let witness = Witness {
        origin: NAME.to_owned(),
        digest: Digest::Sm3,
        keys: vec![world().key.clone()],
    };
    for seen in [None, Some(guitai_tlog::Seen(world().head))] {
        if let Ok(guitai_tlog::Answer::Cosign(now)) = witness.judge(&asked, seen) {
            assert_eq!(
                now.0,
                world().head,
                "a head is cosigned that the log did not sign"
            );
        }
    }
    true
}

fn policy_file(text: &str) -> bool {
    let Ok(policy) = Policy::parse(text) else {
        return false;
    };
    let checkpoint = &world().files["checkpoint"];
    let note = Note::parse(checkpoint).expect("a note");
    drop(policy.believe(&note));
    true
}

fn verifier(text: &str) -> bool {
    let Ok(key) = VerifierKey::parse(text) else {
        return false;
    };
    assert_eq!(key.to_string(), text, "two texts of one key");
    true
}

fn line(text: &str) -> bool {
    let Ok(line) = Line::parse(text) else {
        return false;
    };
    assert_eq!(
        line.to_string().strip_suffix('\n'),
        Some(text),
        "two texts of one signature"
    );
    true
}

fn resource(text: &str) -> bool {
    let Some(resource) = Resource::parse(text) else {
        return false;
    };
    assert_eq!(resource.to_string(), text, "two names of one file");
    true
}

fn entries(bytes: &[u8]) -> bool {
    let Some(entries) = unbundle(bytes) else {
        return false;
    };
    let again = bundle(entries.iter().map(Vec::as_slice));
    assert_eq!(
        again.as_deref(),
        Ok(bytes),
        "another bundle after it was written"
    );
    true
}

/// A log with one file that is another: which, two bytes say; the rest is the file.
fn damaged(bytes: &[u8]) -> bool {
    let Some((which, content)) = bytes.split_first() else {
        return false;
    };
    let names: Vec<&String> = world().files.keys().collect();
    let name = names[usize::from(*which) % names.len()];
    let mut damaged = World {
        files: world().files.clone(),
        head: world().head,
        policy: world().policy.clone(),
        key: world().key.clone(),
    };
    let is_same = world().files[name] == content;
    damaged.files.insert(name.clone(), content.to_vec());
    let audited = audit(&damaged, &world().policy, None, |_| {});
    // Another signature over the same checkpoint would be another note, and as good.
    assert!(
        is_same || name == "checkpoint" || audited.is_err(),
        "{name} is another and passes"
    );
    let tree = Tree {
        digest: Digest::Sm3,
        size: ENTRIES,
        tiles: &damaged,
    };
    for index in [0, 255, 256, ENTRIES - 1] {
        if let (Ok(proof), Ok(entry)) = (tree.inclusion(index), tree.entry(index)) {
            let leaf = Digest::Sm3.leaf(&entry);
            let root = &world().head.root;
            let proven = includes(Digest::Sm3, &leaf, index, ENTRIES, &proof, root);
            assert!(
                !proven || entry == self::entry(index),
                "a wrong entry {index} is proven"
            );
        }
    }
    drop(tree.consistency(200));
    audited.is_ok()
}

/// Hashes that somebody says are a proof; sizes and a place are the first three bytes.
fn claimed(bytes: &[u8]) -> bool {
    let Some(([index, size, old], rest)) = bytes.split_first_chunk() else {
        return false;
    };
    let proof: Vec<Hash> = rest.as_chunks::<32>().0.to_vec();
    let (index, size, old) = (u64::from(*index), u64::from(*size), u64::from(*old));
    let leaf = Digest::Sm3.leaf(b"never entered");
    let root = world().head.root;
    let proven = includes(Digest::Sm3, &leaf, index, size, &proof, &root);
    assert!(!proven, "proven and never entered");
    let (old, new) = (
        Head {
            size: old,
            root: leaf,
        },
        Head { size, root },
    );
    assert!(
        !continues(Digest::Sm3, &old, &new, &proof),
        "continues what nobody signed"
    );
    true
}

pub(crate) fn seeds() -> Vec<Seed> {
    let world = world();
    let checkpoint = &world.files["checkpoint"];
    let tree = Tree {
        digest: Digest::Sm3,
        size: ENTRIES,
        tiles: world,
    };
    let proof = InclusionProof {
        extra: None,
        index: 7,
        hashes: tree.inclusion(7).expect("it is there"),
        checkpoint: Note::parse(checkpoint).expect("a note"),
    };
    let asked = Submission {
        old: 0,
        proof: Vec::new(),
        note: Note::parse(checkpoint).expect("a note"),
    };
    let text = std::str::from_utf8(checkpoint).expect("text");
    let signature = text.lines().last().expect("a signature");
    vec![
        Seed::new("checkpoint", 0, checkpoint),
        Seed::new("proof", 1, proof.to_string().as_bytes()),
        Seed::new("submission", 2, asked.to_string().as_bytes()),
        Seed::new("policy", 3, policy::text(&world.key, &[], 0).as_bytes()),
        Seed::new("key", 4, world.key.to_string().as_bytes()),
        Seed::new("entries", 5, b"\0\x05hello\0\0"),
        Seed::new("claimed", 7, &[7, 200, 100, 0]),
        Seed::new("path", 8, b"tile/entries/x001/234.p/5"),
        Seed::new("signature", 9, signature.as_bytes()),
    ]
}
