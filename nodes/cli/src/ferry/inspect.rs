//! What is inside what came: a package is run through the evidence verifier, a log through its audit, a report is
//! read as what its name says. What cannot be checked, for want of a root or a policy, does not pass.

use std::{fs, io::Read as _, path::Path, process::Command};

use guitai_crypto::{sm3, twin};
use guitai_evidence::{Options, log::Digest, verify};
use guitai_ferry::{
    Kept, inspect,
    manifest::{Item, WhyItem},
    name::Hash,
};
use guitai_types::Hex;

use super::state::State;
use crate::failure::Failure;

/// Bytes read at once.
const CHUNK: usize = 1024 * 1024;

/// Length and both digests of a file.
pub(super) fn digests(path: &Path) -> std::io::Result<(u64, Hash, Hash)> {
    let mut file = fs::File::open(path)?;
    let (mut sm3, mut sha256) = (sm3::Hasher::new(), twin::Sha256::default());
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk)?;
        let piece = chunk.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok((bytes, Hash(sm3.finish()), Hash(sha256.finish())));
        }
        sm3.update(piece);
        sha256.update(piece);
        bytes += read as u64;
    }
}

/// Why a whole file is not the item that was announced.
pub(super) fn whole(path: &Path, item: &Item) -> Result<Option<Kept>, Failure> {
    let found = digests(path).map_err(|error| Failure::local("reading an item", &error))?;
    let is_whole = found == (item.bytes, item.sm3, item.sha256);
    let refused = || Kept::Refused(WhyItem::Digest, format!("the whole has SM3 {}", found.1));
    Ok((!is_whole).then(refused))
}

/// An evidence package.
pub(super) fn recording(state: &State, path: &Path) -> Kept {
    let Some(Hex(root)) = &state.config.root else {
        return refused("no root certificate is pinned for recordings");
    };
    // The package's proofs are of the SM3 tree.
    let of_sm3 = |policy: &&guitai_evidence::log::Policy| {
        let mut logs = policy.logs().iter();
        logs.any(|log| log.kind().digest() == Digest::Sm3)
    };
    let options = Options {
        expected_root: root.as_slice().try_into().ok(),
        policy: state.policies.iter().find(of_sm3).cloned(),
        composite: None,
    };
    let report = verify(path, &options);
    let faults = report.faults().count();
    if !report.ok {
        let mut first = report.faults();
        let first = first.next();
        let first = first
            .map(|it| format!(": {}", it.detail))
            .unwrap_or_default();
        return refused(&format!(
            "the package does not verify, {faults} fault(s){first}"
        ));
    }
    let complete = if report.complete {
        "complete"
    } else {
        "verified, not complete"
    };
    let session = report.facts.map(|facts| facts.session.to_string());
    Kept::Accepted(format!(
        "package of {}, {complete}",
        session.unwrap_or_default()
    ))
}

/// A report.
pub(super) fn report(path: &Path, item: &Item) -> Result<Kept, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::local("reading a report", &error))?;
    Ok(match inspect::report(item.name.as_str(), &bytes) {
        Ok(what) => Kept::Accepted(what.to_owned()),
        Err(error) => refused(&error.to_string()),
    })
}

/// Asks the program that inspects beside us; one that cannot be run is an error, so that nothing is decided.
pub(super) fn asked(program: Option<&Path>, path: &Path, kept: Kept) -> Result<Kept, Failure> {
    let (Some(program), Kept::Accepted(inspection)) = (program, &kept) else {
        return Ok(kept);
    };
    let ran = Command::new(program).arg(path).output();
    let ran = ran.map_err(|error| Failure::local(&program.display().to_string(), &error))?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Ok(if ran.status.success() {
        Kept::Accepted(format!("{inspection}; {name}: passed"))
    } else {
        let said = String::from_utf8_lossy(&ran.stdout);
        let said = said.lines().next().unwrap_or_default();
        refused(&format!("{name}: {}, {said}", ran.status))
    })
}

pub(super) fn refused(why: &str) -> Kept {
    Kept::Refused(WhyItem::Inspection, why.to_owned())
}
