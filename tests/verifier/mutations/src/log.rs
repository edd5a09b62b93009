//! A small transparency log with three witnesses: what a package says of it can be made, and made wrong.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use guitai_crypto::sm2;
use guitai_evidence::{
    canonical,
    log::{
        Checkpoint, Digest, Hash,
        check::Head,
        note::{Kind, Line, Note, VerifierKey},
        policy,
    },
    tree,
};
use guitai_types::Hex;
use serde_json::{Value, json};

use crate::{
    consistency,
    world::{CLUSTER, SEALED_SECONDS},
};

/// Entries of others before those of a package.
pub(crate) const OTHERS: usize = 7;
/// Who cosigned the older checkpoint, and the newer one: two of three each.
pub(crate) const WITNESSES_OLD: &[usize] = &[1, 2];
/// See [`WITNESSES_OLD`].
pub(crate) const WITNESSES: &[usize] = &[1, 3];

/// Keys of a log and its witnesses.
pub(crate) struct Log {
    pub(crate) keys: Vec<(VerifierKey, sm2::SecretKey)>,
}

/// One proof in parts, each of which can be made wrong.
#[derive(Clone)]
pub(crate) struct Proof {
    pub(crate) index: usize,
    pub(crate) entry: Value,
    pub(crate) record: Value,
    pub(crate) salt: Vec<u8>,
    pub(crate) hashes: Vec<Hash>,
}

impl Proof {
    /// Of a record, not yet at a place.
    pub(crate) fn of(record: Value) -> Self {
        let mut proof = Self {
            index: 0,
            entry: json!({ "at": (SEALED_SECONDS + 1) * 1000, "digest": "", "kind": record["kind"], "v": 1 }),
            record,
            salt: vec![0x5a; 32],
            hashes: vec![],
        };
        proof.digest();
        proof
    }

    /// Makes the entry one of the record and salt as they stand.
    pub(crate) fn digest(&mut self) {
        let digest = Digest::Sm3.of(&[&self.salt, text(&self.record).as_bytes()]);
        self.entry["digest"] = json!(Hex(digest.to_vec()).to_string());
    }

    /// The entry's bytes.
    pub(crate) fn leaf(&self) -> String {
        text(&self.entry)
    }

    /// What goes along with it.
    pub(crate) fn extra(&self) -> Value {
        let salt = Hex(self.salt.clone()).to_string();
        json!({ "entry": self.leaf(), "record": text(&self.record), "salt": salt })
    }

    /// The text, with that note.
    pub(crate) fn text(&self, note: &str) -> String {
        self.text_with(&text(&self.extra()), note)
    }

    /// The same with other extra data.
    pub(crate) fn text_with(&self, extra: &str, note: &str) -> String {
        let extra = STANDARD.encode(extra);
        let hashes = lines(&self.hashes);
        let index = self.index;
        format!("c2sp.org/tlog-proof@v1\nextra {extra}\nindex {index}\n{hashes}\n{note}")
    }
}

/// Canonical text.
pub(crate) fn text(value: &Value) -> String {
    String::from_utf8(canonical::to_bytes(value).expect("it has a form")).expect("JSON is text")
}

/// One line of Base64 for each.
pub(crate) fn lines(hashes: &[Hash]) -> String {
    let line = |hash: &Hash| STANDARD.encode(hash) + "\n";
    hashes.iter().map(line).collect()
}

/// What a package is given of a log, before it is written down.
#[derive(Clone)]
pub(crate) struct Logged {
    /// By path; in the order of their places.
    pub(crate) proofs: Vec<(String, Proof)>,
    pub(crate) leaves: Vec<Hash>,
    pub(crate) old: usize,
}

impl Logged {
    /// The log with these records after the entries of others.
    pub(crate) fn new(records: Vec<(String, Value)>) -> Self {
        let mut entries: Vec<String> = (0..OTHERS).map(|n| format!("entry {n}")).collect();
        let mut proofs = Vec::new();
        for (path, record) in records {
            let mut proof = Proof::of(record);
            proof.index = entries.len();
            entries.push(proof.leaf());
            proofs.push((path, proof));
        }
        let mut logged = Self {
            proofs,
            leaves: leaves(&entries),
            old: OTHERS,
        };
        logged.place();
        logged
    }

    /// The leaves and paths as the entries stand now.
    pub(crate) fn place(&mut self) {
        for (_, proof) in &self.proofs {
            self.leaves[proof.index] = leaves(&[proof.leaf()])[0];
        }
        for (_, proof) in &mut self.proofs {
            proof.hashes = tree::path(&self.leaves, proof.index);
        }
    }

    /// The head over the first so many entries.
    pub(crate) fn head(&self, size: usize) -> Head {
        Head {
            size: size as u64,
            root: Digest::Sm3.root(&self.leaves[..size]),
        }
    }

    /// The proof that everything continues the first `old` entries (RFC 6962, 2.1.2).
    pub(crate) fn consistency(&self, old: usize) -> Vec<Hash> {
        consistency::proof(&self.leaves, old)
    }
}

fn leaves(entries: &[String]) -> Vec<Hash> {
    Digest::Sm3.leaves(entries.iter().map(String::as_bytes))
}

impl Log {
    /// New keys.
    pub(crate) fn new() -> Self {
        let origin = format!("log.{CLUSTER}.guitai.internal/sm3");
        let witness = |centre: &str| format!("{centre}.witness.{CLUSTER}.guitai.internal/sm3");
        let names = [origin, witness("a1"), witness("a2"), witness("b")];
        let key = |(at, name): (usize, String)| {
            let kind = if at == 0 {
                Kind::Sm2
            } else {
                Kind::Sm2Cosignature
            };
            let secret = sm2::SecretKey::generate();
            let key = VerifierKey::new(&name, kind, &secret.public().to_point());
            (key.expect("a name and a point"), secret)
        };
        Self {
            keys: names.into_iter().enumerate().map(key).collect(),
        }
    }

    /// Two of three witnesses.
    pub(crate) fn policy(&self) -> String {
        let keys: Vec<VerifierKey> = self.keys.iter().map(|(key, _)| key.clone()).collect();
        policy::text(&keys[0], &keys[1..], 2)
    }

    /// A checkpoint of whatever is said, signed by the log and those witnesses.
    pub(crate) fn checkpoint(&self, head: Head, witnesses: &[usize]) -> String {
        let signers: Vec<usize> = std::iter::once(0)
            .chain(witnesses.iter().copied())
            .collect();
        self.signed(head, &signers)
    }

    /// The same without the log where it is not among them.
    pub(crate) fn signed(&self, head: Head, signers: &[usize]) -> String {
        let origin = self.keys[0].0.name().to_owned();
        let text = Checkpoint { origin, head }.to_string();
        self.signed_text(&text, signers)
    }

    /// A note over any text.
    pub(crate) fn signed_text(&self, text: &str, signers: &[usize]) -> String {
        let mut note = Note::new(text.to_owned()).expect("a text");
        for at in signers {
            let (key, secret) = &self.keys[*at];
            let sign = |bytes: &[u8]| secret.sign(bytes);
            note.add(Line::sign(key, &sign, text, SEALED_SECONDS + 2))
                .expect("few lines");
        }
        note.to_string()
    }
}
