//! What was attached after the seal: listed, of this seal, signed by the recorder.

use std::collections::BTreeSet;

use guitai_crypto::cms;

use super::{Package, trust::Trust};
use crate::{
    attach::{self, List, What},
    canonical, layout,
    manifest::{File, Manifest},
    report::{Check, Findings},
};

/// Longest cause of something missing, in bytes.
const CAUSE_BYTES_MAX: usize = 64;

/// What the list came to.
#[derive(Default)]
pub(super) struct Found {
    list: Option<List>,
    /// The paths in it: a long call has a proof for each of its seconds.
    paths: BTreeSet<String>,
}

impl Found {
    /// The attached files; none where the list cannot be read.
    pub(super) fn files(&self) -> &[File] {
        self.list.as_ref().map_or(&[], |list| &list.files)
    }

    /// Whether there is a list that can be read.
    pub(super) const fn is_read(&self) -> bool {
        self.list.is_some()
    }

    /// Whether a file is attached.
    pub(super) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Why something is said to be missing.
    fn cause(&self, what: What) -> Option<&str> {
        let missing = &self.list.as_ref()?.missing;
        let found = missing.iter().find(|missing| missing.what == what);
        found.map(|missing| missing.cause.as_str())
    }

    /// Words for what is not there.
    pub(super) fn why_missing(&self, manifest: &Manifest, what: What) -> String {
        match self.cause(what) {
            _ if !manifest.has_attachments() => format!("{} has none", manifest.format),
            Some(cause) => format!("missing: {cause}"),
            None => "missing".to_owned(),
        }
    }

    /// What is there must not be called missing, and what is not there must be.
    pub(super) fn check_missing(&self, what: What, is_there: bool, findings: &mut Findings) {
        let is_missing = self.cause(what).is_some();
        if self.is_read() && is_there == is_missing {
            let fault = if is_there {
                format!("calls {what:?} missing, which is there")
            } else {
                format!("does not say that {what:?} is missing")
            };
            findings.fault(Check::Attached, layout::ATTACHED, fault);
        }
    }

    /// To be called when all that is missing was asked for.
    pub(super) fn conclude(&self, findings: &mut Findings) {
        if let Some(list) = &self.list {
            let (files, missing, at) = (list.files.len(), list.missing.len(), list.at.0 / 1000);
            let detail = format!("{files} files, {missing} missing, signed at {at}");
            findings.holds_unless_faulty(Check::Attached, detail);
        }
    }
}

pub(super) fn check(
    package: &Package,
    manifest_bytes: &[u8],
    manifest: &Manifest,
    trust: &Trust,
    findings: &mut Findings,
) -> Found {
    if !manifest.has_attachments() {
        return Found::default();
    }
    let mut fault = |path: &str, fault: String| findings.fault(Check::Attached, path, fault);
    let bytes = match package.read(layout::ATTACHED) {
        Ok(bytes) => bytes,
        Err(error) => {
            fault(layout::ATTACHED, error.to_string());
            return Found::default();
        }
    };
    let list = match read(package, &bytes, manifest_bytes) {
        Ok(list) => list,
        Err(why) => {
            fault(layout::ATTACHED, why);
            return Found::default();
        }
    };
    if let Err(why) = signed(package, &bytes, &list, manifest, trust) {
        fault(layout::ATTACHED_SIGNED, why);
    }
    let paths = list.files.iter().map(|file| file.path.clone()).collect();
    let list = Some(list);
    Found { list, paths }
}

fn read(package: &Package, bytes: &[u8], manifest: &[u8]) -> Result<List, String> {
    let list: List = canonical::from_bytes(bytes).map_err(|error| error.to_string())?;
    if list.format != attach::FORMAT {
        return Err(format!("unknown format {:?}", list.format));
    }
    let read = |path: &str| {
        package
            .read(path)
            .map_err(|error| format!("{path}: {error}"))
    };
    let (signed_data, signature) = (read(layout::SIGNED_DATA)?, read(layout::SIGNATURE)?);
    if layout::digest(&list.sealed) != Some(attach::digest(manifest, &signed_data, &signature)) {
        return Err("is of another seal".to_owned());
    }
    if list.files.len() > layout::FILES_MAX
        || !list.files.is_sorted_by(|a, b| a.path < b.path)
        || !list.missing.is_sorted_by(|a, b| a.what < b.what)
    {
        return Err("is not ordered, or names something twice".to_owned());
    }
    for file in &list.files {
        let is_known = may_be_attached(&file.path) && layout::path_is_safe(&file.path);
        let fits = file.size <= layout::DOCUMENT_BYTES_MAX && layout::digest(&file.sm3).is_some();
        if !is_known || !fits {
            return Err(format!(
                "lists {:?}, which is not attached to a package",
                file.path
            ));
        }
    }
    let has = |path: &str| list.files.iter().any(|file| file.path == path);
    let has_log = list.files.iter().any(|file| file.path.starts_with("log/"));
    if has_log && !(has(layout::LOG_POLICY) && has(layout::CHECKPOINT)) {
        return Err("lists proofs without policy and checkpoint".to_owned());
    }
    if has(layout::CHECKPOINT_OLD) != has(layout::CONSISTENCY) {
        return Err("lists half a proof of consistency".to_owned());
    }
    let is_long = |cause: &str| cause.is_empty() || cause.len() > CAUSE_BYTES_MAX;
    if list.missing.iter().any(|missing| is_long(&missing.cause)) {
        return Err(format!(
            "a cause has no bytes or more than {CAUSE_BYTES_MAX}"
        ));
    }
    Ok(list)
}

fn may_be_attached(path: &str) -> bool {
    let fixed = [
        layout::TIMESTAMP,
        layout::LOG_POLICY,
        layout::CHECKPOINT,
        layout::CHECKPOINT_OLD,
        layout::CONSISTENCY,
        layout::SEAL_PROOF,
    ];
    fixed.contains(&path) || second_of(path).is_some()
}

/// The second of whose root a path is the proof.
pub(super) fn second_of(path: &str) -> Option<u64> {
    let name = path
        .strip_prefix("log/roots/")?
        .strip_suffix(".tlog-proof")?;
    let second = name.parse().ok()?;
    (layout::root_proof(second) == path).then_some(second)
}

fn signed(
    package: &Package,
    bytes: &[u8],
    list: &List,
    manifest: &Manifest,
    trust: &Trust,
) -> Result<(), String> {
    let der = package.read(layout::ATTACHED_SIGNED);
    let der = der.map_err(|error| error.to_string())?;
    let info = cms::verify_detached(&der, bytes, std::slice::from_ref(&trust.root));
    let info = info.map_err(|error| format!("does not fit {}: {error}", layout::ATTACHED))?;
    if !Trust::is_recorder(&info.leaf, manifest) {
        let (name, cluster) = (&info.leaf.common_name, &info.leaf.organization);
        return Err(format!("is by {name} of {cluster}, not by the recorder"));
    }
    if info.signing_time_unix != list.at.0 / 1000 {
        return Err("its time is not that of the list".to_owned());
    }
    Ok(())
}
