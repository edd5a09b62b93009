//! What a package takes along of the log: which entries, and what they are as files of the package.

use std::{collections::BTreeMap, ops::ControlFlow};

use guitai_evidence::{
    Manifest,
    attach::{self, Extra, What},
    canonical, layout,
    log::{InclusionProof, Policy, note::Note},
    roots::RootLine,
};
use guitai_meta::{Included, Pick, Proofs};
use guitai_types::{Hex, NodeName, SessionId, UnixMillis, tlog::Record};

/// How far the clock of the leader, by which entries are dated, may be behind a recorder's, in milliseconds.
const CLOCKS_APART_MS_MAX: u64 = 60_000;
/// Entries read after the seal's for roots that are still missing; a root is told before its seal, unless the
/// cluster did not answer then.
const AFTER_SEAL_MAX: usize = 65_536;

/// The entries that a package wants.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) node: NodeName,
    pub(crate) session: SessionId,
    /// The package's root; taken out once its seal was found.
    pub(crate) seal: Option<Hex>,
    /// Roots by second that were not found yet.
    pub(crate) roots: BTreeMap<u64, Hex>,
    /// Not made before this.
    pub(crate) since: UnixMillis,
    /// Entries that may still be read once the seal was found.
    left: usize,
}

impl Wanted {
    pub(crate) fn of(manifest: &Manifest, lines: &[RootLine]) -> Self {
        let roots = lines.iter().map(|line| (line.second, line.root.clone()));
        let since = manifest.started_at.0.saturating_sub(CLOCKS_APART_MS_MAX);
        Self {
            node: manifest.recorder.clone(),
            session: manifest.session.id.clone(),
            seal: Some(manifest.root.clone()),
            roots: roots.collect(),
            since: UnixMillis(since),
            left: AFTER_SEAL_MAX,
        }
    }

    /// Takes an entry that is wanted, as the path of its proof.
    pub(crate) fn pick(&mut self, record: &Record) -> Pick<String> {
        let taken = self.taken(record);
        if self.seal.is_none() {
            self.left -= 1;
            if self.roots.is_empty() || self.left == 0 {
                return ControlFlow::Break(taken);
            }
        }
        ControlFlow::Continue(taken)
    }

    fn taken(&mut self, record: &Record) -> Option<String> {
        match record {
            Record::RecordingSealed {
                session, summary, ..
            } if *session == self.session && summary.node == self.node => {
                self.seal.take_if(|root| *root == summary.root)?;
                Some(layout::SEAL_PROOF.to_owned())
            }
            Record::RecorderRoot { root } if root.node == self.node => {
                if self.roots.get(&root.second) != Some(&root.root) {
                    return None;
                }
                self.roots.remove(&root.second);
                Some(layout::root_proof(root.second))
            }
            _ => None,
        }
    }
}

/// What is attached of the log, and what is not there and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attachable {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) missing: Vec<(What, &'static str)>,
}

impl Attachable {
    /// Nothing, for one reason.
    pub(crate) fn nothing(cause: &'static str) -> Self {
        let all = [What::SealProof, What::RootProofs, What::Consistency];
        Self {
            files: Vec::new(),
            missing: all.map(|what| (what, cause)).to_vec(),
        }
    }
}

/// The files of a package that these proofs make; `roots` is how many of roots by second it has, `older` the
/// checkpoint that it kept from before its seal.
pub(crate) fn attachable(proofs: &Proofs<String>, roots: usize, older: Option<&str>) -> Attachable {
    let policy = Policy::parse(&proofs.policy).ok();
    let is_believed = |note: &str| {
        let believed = policy
            .as_ref()
            .map(|policy| attach::believed(policy, note.as_bytes()));
        believed.is_some_and(|believed| believed.is_ok())
    };
    let checkpoint = Note::parse(proofs.checkpoint.as_bytes());
    let Some(checkpoint) = checkpoint.ok().filter(|_| is_believed(&proofs.checkpoint)) else {
        // Its witnesses were changed since, and none of the new ones has signed yet.
        return Attachable::nothing("refused");
    };
    let mut out = Attachable::default();
    let mut put = |path: &str, content: &str| {
        let content = content.as_bytes().to_vec();
        out.files.push((path.to_owned(), content));
    };
    put(layout::LOG_POLICY, &proofs.policy);
    put(layout::CHECKPOINT, &proofs.checkpoint);
    for (path, included) in &proofs.picked {
        put(path, &text(included, &checkpoint));
    }
    let consistency = match (older, &proofs.consistency) {
        (None, _) | (_, None) => Err("not-logged"),
        (Some(older), _) if !is_believed(older) => Err("refused"),
        (Some(older), Some(hashes)) => Ok((older, hashes)),
    };
    match consistency {
        Ok((older, hashes)) => {
            put(layout::CHECKPOINT_OLD, older);
            put(layout::CONSISTENCY, &attach::consistency(hashes));
        }
        Err(cause) => out.missing.push((What::Consistency, cause)),
    }
    let is_sealed = |(path, _): &(String, Included)| path == layout::SEAL_PROOF;
    let seals = proofs.picked.iter().filter(|it| is_sealed(it)).count();
    if seals == 0 {
        out.missing.push((What::SealProof, "not-logged"));
    }
    if proofs.picked.len() - seals < roots {
        out.missing.push((What::RootProofs, "not-logged"));
    }
    out
}

fn text(included: &Included, checkpoint: &Note) -> String {
    let extra = Extra {
        entry: included.entry.clone(),
        record: included.opening.record.clone(),
        salt: included.opening.salt.clone(),
    };
    let proof = InclusionProof {
        // Texts and hex digits have a canonical form.
        extra: Some(canonical::to_bytes(&extra).unwrap_or_default()),
        index: included.index,
        hashes: included.hashes.clone(),
        checkpoint: checkpoint.clone(),
    };
    proof.to_string()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow::{Break, Continue};

    use guitai_crypto::sm2::SecretKey;
    use guitai_evidence::log::{
        Checkpoint,
        check::Head,
        note::{Kind, Line, VerifierKey},
        policy,
    };
    use guitai_types::{
        record::RecordingSummary,
        tlog::{Opening, RecorderRoot},
    };

    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            node: "a1-2".parse().unwrap(),
            session: "5e55".parse().unwrap(),
            seal: Some(Hex(vec![9; 32])),
            roots: [5, 6]
                .map(|second| (second, Hex(vec![second as u8; 32])))
                .into(),
            since: UnixMillis(0),
            left: 3,
        }
    }

    fn root(node: &str, second: u64, root: u8) -> Record {
        let root = RecorderRoot {
            node: node.parse().unwrap(),
            second,
            count: 1,
            root: Hex(vec![root; 32]),
            signature: Hex(vec![1]),
        };
        Record::RecorderRoot { root }
    }

    fn seal(session: &str, node: &str, root: u8) -> Record {
        let summary = RecordingSummary {
            node: node.parse().unwrap(),
            root: Hex(vec![root; 32]),
            duration_ms: 1,
            bytes: 1,
            segments: 1,
            frames: 1,
            gaps: 0,
            at: UnixMillis(1),
        };
        Record::RecordingSealed {
            session: session.parse().unwrap(),
            assignment: 1,
            summary,
        }
    }

    #[test]
    fn what_is_wanted_is_taken_once_and_the_search_ends_with_the_last_of_it() {
        let mut wanted = wanted();
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(wanted.pick(&root("a2-2", 5, 5)), Continue(None));
        assert_eq!(wanted.pick(&root("a1-2", 5, 6)), Continue(None));
        let taken = wanted.pick(&root("a1-2", 5, 5));
        assert_eq!(taken, Continue(path("log/roots/5.tlog-proof")));
        assert_eq!(wanted.pick(&root("a1-2", 5, 5)), Continue(None));
        for other in [
            seal("71c4", "a1-2", 9),
            seal("5e55", "a2-2", 9),
            seal("5e55", "a1-2", 8),
        ] {
            assert_eq!(wanted.pick(&other), Continue(None));
        }
        let taken = wanted.pick(&seal("5e55", "a1-2", 9));
        assert_eq!(taken, Continue(path("log/seal.tlog-proof")));
        let taken = wanted.pick(&root("a1-2", 6, 6));
        assert_eq!(taken, Break(path("log/roots/6.tlog-proof")));
    }

    #[test]
    fn a_root_that_never_comes_is_not_looked_for_for_ever() {
        let mut wanted = wanted();
        for _ in 0..100 {
            assert_eq!(wanted.pick(&root("a2-2", 5, 5)), Continue(None));
        }
        assert!(wanted.pick(&seal("5e55", "a1-2", 9)).is_continue());
        assert_eq!(wanted.pick(&root("a2-2", 5, 5)), Continue(None));
        assert_eq!(wanted.pick(&root("a2-2", 5, 5)), Break(None));
    }

    #[test]
    fn what_the_log_does_not_give_is_named_as_missing_and_what_a_verifier_would_refuse_is_not_attached()
     {
        let key = |name: &str| {
            let secret = SecretKey::generate();
            let key = VerifierKey::new(name, Kind::Sm2, &secret.public().to_point()).unwrap();
            (key, secret)
        };
        let (log, secret) = key("log.test/sm3");
        let note = |log: &VerifierKey, secret: &SecretKey, size: u64| {
            let origin = "log.test/sm3".to_owned();
            let head = Head {
                size,
                root: [size as u8; 32],
            };
            let mut note = Note::new(Checkpoint { origin, head }.to_string()).unwrap();
            let text = note.text().to_owned();
            let line = Line::sign(log, &|message: &[u8]| secret.sign(message), &text, 0);
            note.add(line).unwrap();
            note.to_string()
        };
        let included = Included {
            index: 3,
            entry: "{}".to_owned(),
            opening: Opening {
                record: "{}".to_owned(),
                salt: Hex(vec![1; 32]),
            },
            hashes: vec![[2; 32]],
        };
        let proofs = |picked: &[&str]| Proofs {
            policy: policy::text(&log, &[], 0),
            checkpoint: note(&log, &secret, 9),
            picked: picked
                .iter()
                .map(|path| ((*path).to_owned(), included.clone()))
                .collect(),
            consistency: Some(vec![[3; 32]]),
        };
        let older = note(&log, &secret, 5);
        let all = ["log/roots/5.tlog-proof", "log/seal.tlog-proof"];
        let made = attachable(&proofs(&all), 1, Some(&older));
        assert_eq!(made.missing, []);
        let paths: Vec<&str> = made.files.iter().map(|(path, _)| path.as_str()).collect();
        let fixed = ["log/policy", "log/checkpoint"];
        let last = ["log/checkpoint.old", "log/consistency"];
        assert_eq!(paths, [&fixed[..], &all, &last].concat());
        let proof = String::from_utf8(made.files[3].1.clone()).unwrap();
        let proof = InclusionProof::parse(&proof).unwrap();
        let extra: Extra = canonical::from_bytes(&proof.extra.unwrap()).unwrap();
        assert_eq!((proof.index, extra.salt.0.len()), (3, 32));

        let missing =
            |proofs: &Proofs<String>, roots, older| attachable(proofs, roots, older).missing;
        let lacks = [
            (What::SealProof, "not-logged"),
            (What::RootProofs, "not-logged"),
        ];
        assert_eq!(missing(&proofs(&[]), 1, Some(&older)), lacks);
        assert_eq!(missing(&proofs(&all), 2, Some(&older)), lacks[1..]);
        assert_eq!(
            missing(&proofs(&all), 1, None),
            [(What::Consistency, "not-logged")]
        );
        // Signed by somebody who counts no more.
        let (stranger, foreign) = key("log.test/sm3");
        let former = note(&stranger, &foreign, 5);
        let refused = [(What::Consistency, "refused")];
        assert_eq!(missing(&proofs(&all), 1, Some(&former)), refused);
        let mut unsigned = proofs(&all);
        unsigned.checkpoint = note(&stranger, &foreign, 9);
        assert_eq!(
            attachable(&unsigned, 1, Some(&older)),
            Attachable::nothing("refused")
        );
    }
}
