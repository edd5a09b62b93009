//! A small transparency log with three witnesses, and a recorder's roots by the second, for packages.

use guitai_crypto::sm2;
use guitai_evidence::{
    Manifest,
    attach::{self, Extra, Missing, What},
    canonical, layout,
    log::{
        Checkpoint, Digest, Hash, InclusionProof,
        check::Head,
        note::{Kind, Line, Note, VerifierKey},
        policy,
    },
    manifest::Track,
    roots::{self, RootLine},
    tree,
};
use guitai_types::{Hex, tlog::RecorderRoot};

use crate::consistency;

pub(crate) const ORIGIN: &str = "log.demo.guitai/sm3";

/// Keys of a log and its witnesses, and what stands in it.
pub(crate) struct Log {
    keys: Vec<(VerifierKey, sm2::SecretKey)>,
    pub(crate) entries: Vec<String>,
}

impl Log {
    /// A log with some entries of others.
    pub(crate) fn new() -> Self {
        let key = |(name, kind): (&str, Kind)| {
            let secret = sm2::SecretKey::generate();
            let point = secret.public().to_point();
            (VerifierKey::new(name, kind, &point).unwrap(), secret)
        };
        let keys = [
            (ORIGIN, Kind::Sm2),
            ("witness.a1", Kind::Sm2Cosignature),
            ("witness.a2", Kind::Sm2Cosignature),
            ("witness.b", Kind::Sm2Cosignature),
        ];
        Self {
            keys: keys.map(key).into_iter().collect(),
            entries: (0..7).map(|n| format!("entry {n}")).collect(),
        }
    }

    /// Two of three witnesses.
    pub(crate) fn policy(&self) -> String {
        let keys: Vec<VerifierKey> = self.keys.iter().map(|(key, _)| key.clone()).collect();
        policy::text(&keys[0], &keys[1..], 2)
    }

    /// Adds an entry about a record; gives its number and what goes along with its proof.
    pub(crate) fn add(&mut self, record: &serde_json::Value) -> (u64, Extra) {
        let record = String::from_utf8(canonical::to_bytes(record).unwrap()).unwrap();
        let kind = serde_json::from_str::<serde_json::Value>(&record).unwrap()["kind"].clone();
        let salt = [0x5a; roots::SALT_BYTES];
        let digest = Hex(Digest::Sm3.of(&[&salt, record.as_bytes()]).to_vec());
        let entry = format!(r#"{{"at":1795000071000,"digest":"{digest}","kind":{kind},"v":1}}"#);
        self.entries.push(entry.clone());
        let salt = Hex(salt.to_vec());
        let extra = Extra {
            entry,
            record,
            salt,
        };
        (self.entries.len() as u64 - 1, extra)
    }

    fn leaves(&self, size: usize) -> Vec<Hash> {
        Digest::Sm3.leaves(self.entries[..size].iter().map(String::as_bytes))
    }

    /// The checkpoint of so many entries, signed by the log and some of its witnesses.
    pub(crate) fn checkpoint(&self, size: usize, witnesses: &[usize]) -> Note {
        let head = Head {
            size: size as u64,
            root: Digest::Sm3.root(&self.leaves(size)),
        };
        self.signed(head, witnesses)
    }

    /// A checkpoint of whatever is said.
    pub(crate) fn signed(&self, head: Head, witnesses: &[usize]) -> Note {
        let origin = ORIGIN.to_owned();
        let text = Checkpoint { origin, head }.to_string();
        let mut note = Note::new(text.clone()).unwrap();
        for at in std::iter::once(0).chain(witnesses.iter().copied()) {
            let (key, secret) = &self.keys[at];
            note.add(Line::sign(
                key,
                &|bytes| secret.sign(bytes),
                &text,
                1_795_000_072,
            ))
            .unwrap();
        }
        note
    }

    /// The proof of an entry under a checkpoint over everything.
    pub(crate) fn proof(&self, index: u64, extra: &Extra, checkpoint: &Note) -> String {
        let leaves = self.leaves(self.entries.len());
        let proof = InclusionProof {
            extra: Some(canonical::to_bytes(extra).unwrap()),
            index,
            hashes: tree::path(&leaves, index as usize),
            checkpoint: checkpoint.clone(),
        };
        proof.to_string()
    }

    /// The proof that everything continues the first `old` entries (RFC 6962, 2.1.2).
    pub(crate) fn consistency(&self, old: usize) -> String {
        let leaves = self.leaves(self.entries.len());
        attach::consistency(&consistency::proof(&leaves, old))
    }
}

/// Everything about the log that is attached to a package.
pub(crate) fn attachments(
    log: &mut Log,
    manifest: &Manifest,
    lines: &[RootLine],
) -> (Vec<(String, Vec<u8>)>, Vec<Missing>) {
    let old = log.entries.len();
    let mut proofs = Vec::new();
    for line in lines {
        let root = serde_json::json!({ "node": line.node, "second": line.second, "count": line.count,
            "root": line.root, "signature": line.signature });
        let added = log.add(&serde_json::json!({ "kind": "recorder-root", "root": root }));
        proofs.push((layout::root_proof(line.second), added));
    }
    let summary =
        serde_json::json!({ "node": manifest.recorder, "root": manifest.root, "frames": 9 });
    let record = serde_json::json!({ "kind": "recording-sealed", "session": manifest.session.id,
        "assignment": 2, "summary": summary });
    proofs.push((layout::SEAL_PROOF.to_owned(), log.add(&record)));
    let checkpoint = log.checkpoint(log.entries.len(), &[1, 3]);
    let mut files: Vec<(String, Vec<u8>)> = proofs
        .into_iter()
        .map(|(path, (index, extra))| (path, log.proof(index, &extra, &checkpoint).into_bytes()))
        .collect();
    for (path, content) in [
        (layout::LOG_POLICY, log.policy()),
        (layout::CHECKPOINT, checkpoint.to_string()),
        (
            layout::CHECKPOINT_OLD,
            log.checkpoint(old, &[1, 2]).to_string(),
        ),
        (layout::CONSISTENCY, log.consistency(old)),
    ] {
        files.push((path.to_owned(), content.into_bytes()));
    }
    let missing = vec![Missing {
        what: What::Timestamp,
        cause: "no-authority".to_owned(),
    }];
    (files, missing)
}

/// Lines over the segments of all tracks: those of one number are in one second, between segments of
/// another session.
pub(crate) fn lines(
    key: &sm2::SecretKey,
    node: &str,
    tracks: &[Track],
    digest: impl Fn(u32, u32) -> Hash,
) -> Vec<RootLine> {
    let count = tracks[0].segments.len() as u32;
    let line = |number: u32| {
        let other = roots::leaf(&[1; 32], &[number as u8; 32]);
        let mut leaves = vec![other];
        let mut places = Vec::new();
        for track in tracks {
            let salt = [(track.number + 10 * number) as u8; 32];
            places.push((leaves.len() as u32, track.number, number, salt));
            leaves.push(roots::leaf(&salt, &digest(track.number, number)));
            leaves.push(other);
        }
        let node = node.parse().unwrap();
        let root = Hex(Digest::Sm3.root(&leaves).to_vec());
        let (second, count) = (1_795_000_001 + u64::from(number), leaves.len() as u32);
        let text = RecorderRoot::text(&node, second, count, &root);
        RootLine {
            node,
            second,
            count,
            root,
            signature: Hex(key.sign(text.as_bytes())),
            signer: 1,
            segments: roots::places(&leaves, &places),
        }
    };
    (1..=count).map(line).collect()
}
