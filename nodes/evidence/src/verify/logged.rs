//! Proofs of the transparency log: that seal and roots are in it, who vouches for its checkpoint, and that
//! it continues an older one.

use std::collections::BTreeMap;

use guitai_types::{Hex, NodeName, SessionId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Options, Package, attached::Found};
use crate::{
    attach::{self, Extra, What},
    canonical, layout,
    log::{Believed, Checkpoint, Digest, Hash, InclusionProof, Policy, check, note::Note},
    manifest::Manifest,
    report::{Check, Findings},
    roots::RootLine,
};

/// An entry of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    at: UnixMillis,
    digest: Hex,
    kind: String,
    v: u16,
}

/// What is read of a record; it may say more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
enum Record {
    RecordingSealed {
        session: SessionId,
        summary: Summary,
    },
    RecorderRoot {
        root: Root,
    },
}

#[derive(Debug, Deserialize)]
struct Summary {
    node: NodeName,
    /// As it is written: [`Hex`] would take upper case for the same.
    root: String,
}

#[derive(Debug, Deserialize)]
struct Root {
    node: NodeName,
    second: u64,
    count: u32,
    root: String,
    signature: String,
}

pub(super) fn check(
    package: &Package,
    manifest: &Manifest,
    attached: &Found,
    roots: Option<&[RootLine]>,
    options: &Options,
    findings: &mut Findings,
) {
    if manifest.has_attachments() {
        // Without the lines nobody knows how many proofs there should be.
        if let Some(roots) = roots {
            let all = proven(attached, roots) == roots.len() && attached.has(layout::CHECKPOINT);
            attached.check_missing(What::RootProofs, all, findings);
        }
        let has = |path| attached.has(path);
        attached.check_missing(What::SealProof, has(layout::SEAL_PROOF), findings);
        attached.check_missing(What::Consistency, has(layout::CONSISTENCY), findings);
        if !attached.is_read() {
            return;
        }
    }
    let why = |what| attached.why_missing(manifest, what);
    if !attached.has(layout::CHECKPOINT) {
        findings.absent(Check::RootsLogged, why(What::RootProofs));
        findings.absent(Check::SealLogged, why(What::SealProof));
        findings.absent(Check::Checkpoint, why(What::SealProof));
        findings.absent(Check::Consistency, why(What::Consistency));
        return;
    }
    let log = match Log::read(package, options) {
        Ok(log) => log,
        Err((path, fault)) => return findings.fault(Check::Checkpoint, path, fault),
    };
    let Some(newer) = log.believe(package, layout::CHECKPOINT, findings) else {
        return;
    };
    if attached.has(layout::CONSISTENCY) {
        if let Some(older) = log.believe(package, layout::CHECKPOINT_OLD, findings) {
            match consistent(package, &older, &newer) {
                Ok(detail) => findings.holds(Check::Consistency, detail),
                Err(fault) => findings.fault(Check::Consistency, layout::CONSISTENCY, fault),
            }
        }
    } else {
        findings.absent(Check::Consistency, why(What::Consistency));
    }
    let whose = if options.policy.is_some() {
        "by the reader's policy"
    } else {
        "by the package's own policy: its word"
    };
    let detail = format!(
        "{} at {} entries, {whose}",
        newer.checkpoint.origin, newer.checkpoint.head.size
    );
    findings.holds_unless_faulty(Check::Checkpoint, detail);

    if attached.has(layout::SEAL_PROOF) {
        match sealed(package, manifest, &log, &newer) {
            Ok(index) => findings.holds(Check::SealLogged, format!("entry {index}")),
            Err(fault) => findings.fault(Check::SealLogged, layout::SEAL_PROOF, fault),
        }
    } else {
        findings.absent(Check::SealLogged, why(What::SealProof));
    }
    if let Some(roots) = roots {
        all_rooted(package, manifest, attached, roots, &log, &newer, findings);
    }
}

/// How many of the roots have a proof, good or bad.
fn proven(attached: &Found, roots: &[RootLine]) -> usize {
    let has_proof = |line: &&RootLine| attached.has(&layout::root_proof(line.second));
    roots.iter().filter(has_proof).count()
}

fn all_rooted(
    package: &Package,
    manifest: &Manifest,
    attached: &Found,
    roots: &[RootLine],
    log: &Log<'_>,
    newer: &Believed<'_>,
    findings: &mut Findings,
) {
    let lines: BTreeMap<u64, &RootLine> = roots.iter().map(|line| (line.second, line)).collect();
    for file in attached.files() {
        let Some(second) = super::attached::second_of(&file.path) else {
            continue;
        };
        let line = lines.get(&second);
        let held = line.map_or_else(
            || Err("is of no line of roots.jsonl".to_owned()),
            |line| rooted(package, &file.path, line, log, newer),
        );
        if let Err(fault) = held {
            findings.fault(Check::RootsLogged, &file.path, fault);
        }
    }
    let count = proven(attached, roots);
    let detail = format!("{count} of {} roots", roots.len());
    if count == roots.len() {
        findings.holds_unless_faulty(Check::RootsLogged, detail);
    } else if findings.faults(Check::RootsLogged) == 0 {
        let why = attached.why_missing(manifest, What::RootProofs);
        findings.absent(Check::RootsLogged, format!("{detail}; {why}"));
    }
}

/// Who is believed, and the checkpoint that every proof must end with.
struct Log<'a> {
    own: Policy,
    readers: Option<&'a Policy>,
    checkpoint: Vec<u8>,
}

impl<'a> Log<'a> {
    fn read(package: &Package, options: &'a Options) -> Result<Self, (&'static str, String)> {
        let read = |path| {
            package
                .read(path)
                .map_err(|error| (path, error.to_string()))
        };
        let policy = String::from_utf8(read(layout::LOG_POLICY)?);
        let policy = policy.map_err(|error| (layout::LOG_POLICY, error.to_string()))?;
        let own = Policy::parse(&policy);
        let own = own.map_err(|error| (layout::LOG_POLICY, error.to_string()))?;
        Ok(Self {
            own,
            readers: options.policy.as_ref(),
            checkpoint: read(layout::CHECKPOINT)?,
        })
    }

    fn believe(
        &self,
        package: &Package,
        path: &str,
        findings: &mut Findings,
    ) -> Option<Believed<'_>> {
        let believed = package
            .read(path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| self.believed(&bytes));
        match believed {
            Ok(believed) => Some(believed),
            Err(fault) => {
                findings.fault(Check::Checkpoint, path, fault);
                None
            }
        }
    }

    fn believed(&self, bytes: &[u8]) -> Result<Believed<'_>, String> {
        let own = attach::believed(&self.own, bytes).map_err(|error| error.to_string())?;
        let Some(policy) = self.readers else {
            return Ok(own);
        };
        let note = Note::parse(bytes).map_err(|error| error.to_string())?;
        let believed = policy.believe(&note).map_err(|error| error.to_string())?;
        if believed.digest != Digest::Sm3 {
            return Err("is of a log that is not made with SM3".to_owned());
        }
        Ok(believed)
    }

    /// The record of an entry that is in the log, and its number.
    fn proven(
        &self,
        package: &Package,
        path: &str,
        newer: &Believed<'_>,
    ) -> Result<(Record, u64), String> {
        let bytes = package.read(path).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let proof = InclusionProof::parse(&text).map_err(|error| error.to_string())?;
        if proof.to_string() != text {
            return Err("is not in its one form".to_owned());
        }
        if proof.checkpoint.to_string().as_bytes() != self.checkpoint {
            return Err(format!("does not lead to {}", layout::CHECKPOINT));
        }
        let extra = proof.extra.as_deref().unwrap_or_default();
        let extra: Extra = canonical::from_bytes(extra).map_err(|error| error.to_string())?;
        let entry: Entry =
            canonical::from_bytes(extra.entry.as_bytes()).map_err(|error| error.to_string())?;
        let digest = Digest::Sm3.of(&[&extra.salt.0, extra.record.as_bytes()]);
        if entry.v != 1 || extra.salt.0.len() != crate::roots::SALT_BYTES {
            return Err("has an entry of an unknown version, or no salt".to_owned());
        }
        if layout::digest(&entry.digest) != Some(digest) {
            return Err("has another record than its entry".to_owned());
        }
        let value: serde_json::Value =
            canonical::from_bytes(extra.record.as_bytes()).map_err(|error| error.to_string())?;
        if value.get("kind").and_then(serde_json::Value::as_str) != Some(entry.kind.as_str()) {
            return Err("has a record of another kind than its entry".to_owned());
        }
        let head = newer.checkpoint.head;
        let leaf = Digest::Sm3.leaf(extra.entry.as_bytes());
        let (index, hashes) = (proof.index, &proof.hashes);
        if !check::includes(Digest::Sm3, &leaf, index, head.size, hashes, &head.root) {
            return Err(format!("entry {index} is not in the tree of {}", head.size));
        }
        let record = serde_json::from_value(value).map_err(|error| error.to_string())?;
        Ok((record, index))
    }
}

fn sealed(
    package: &Package,
    manifest: &Manifest,
    log: &Log<'_>,
    newer: &Believed<'_>,
) -> Result<u64, String> {
    match log.proven(package, layout::SEAL_PROOF, newer)? {
        (Record::RecordingSealed { session, summary }, index)
            if session == manifest.session.id
                && summary.node == manifest.recorder
                && summary.root == manifest.root.to_string() =>
        {
            Ok(index)
        }
        _ => Err("is of something else than this seal".to_owned()),
    }
}

fn rooted(
    package: &Package,
    path: &str,
    line: &RootLine,
    log: &Log<'_>,
    newer: &Believed<'_>,
) -> Result<(), String> {
    match log.proven(package, path, newer)? {
        (Record::RecorderRoot { root }, _)
            if root.node == line.node
                && root.second == line.second
                && root.count == line.count
                && root.root == line.root.to_string()
                && root.signature == line.signature.to_string() =>
        {
            Ok(())
        }
        _ => Err("is of something else than this root".to_owned()),
    }
}

fn consistent(
    package: &Package,
    older: &Believed<'_>,
    newer: &Believed<'_>,
) -> Result<String, String> {
    let hashes: Option<Vec<Hash>> = package
        .lines(layout::CONSISTENCY)?
        .iter()
        .map(hash)
        .collect();
    let hashes = hashes.ok_or("a line is no hash")?;
    let (old, new): (&Checkpoint, &Checkpoint) = (&older.checkpoint, &newer.checkpoint);
    if old.origin != new.origin {
        return Err("the checkpoints are of two logs".to_owned());
    }
    if !check::continues(Digest::Sm3, &old.head, &new.head, &hashes) {
        return Err(format!(
            "the log of {} entries does not continue that of {}",
            new.head.size, old.head.size
        ));
    }
    Ok(format!("{} to {} entries", old.head.size, new.head.size))
}

fn hash(line: &[u8]) -> Option<Hash> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.decode(line).ok()?.try_into().ok()
}
