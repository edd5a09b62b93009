//! The recorder's roots by the second: signed, and every segment under one.

use std::collections::{BTreeMap, BTreeSet};

use guitai_crypto::x509;
use guitai_types::tlog::RecorderRoot;

use super::{
    Package,
    trust::{self, Trust},
};
use crate::{
    canonical, layout,
    manifest::Manifest,
    report::{Check, Findings},
    roots::RootLine,
    tree::Hash,
};

/// The lines, to be looked for in the log; nothing when they cannot be read.
pub(super) fn check(
    package: &Package,
    manifest: &Manifest,
    trust: &Trust,
    findings: &mut Findings,
) -> Option<Vec<RootLine>> {
    if !manifest.has_attachments() {
        return Some(Vec::new());
    }
    let lines = match read(package, manifest) {
        Ok(lines) => lines,
        Err(fault) => {
            findings.fault(Check::Roots, layout::ROOTS, fault);
            return None;
        }
    };
    for (path, fault) in signatures(package, manifest, trust, &lines) {
        findings.fault(Check::Roots, &path, fault);
    }
    for (path, fault) in places(manifest, &lines) {
        findings.fault(Check::Roots, &path, fault);
    }
    let segments: usize = lines.iter().map(|line| line.segments.len()).sum();
    let detail = format!("{segments} segments under {} roots", lines.len());
    findings.holds_unless_faulty(Check::Roots, detail);
    Some(lines)
}

fn read(package: &Package, manifest: &Manifest) -> Result<Vec<RootLine>, String> {
    let lines = package.lines(layout::ROOTS)?;
    let line = |(index, line): (usize, &[u8])| {
        canonical::from_bytes(line).map_err(|error| format!("line {}: {error}", index + 1))
    };
    let lines: Vec<RootLine> = lines
        .iter()
        .enumerate()
        .map(line)
        .collect::<Result<_, _>>()?;
    if !lines.is_sorted_by(|a, b| a.second < b.second) {
        return Err("its seconds do not rise".to_owned());
    }
    if let Some(line) = lines.iter().find(|line| line.node != manifest.recorder) {
        return Err(format!("second {} is of {}", line.second, line.node));
    }
    let is_whole = |line: &RootLine| {
        !line.segments.is_empty() && line.segments.is_sorted_by(|a, b| a.index < b.index)
    };
    match lines.iter().find(|line| !is_whole(line)) {
        Some(line) => Err(format!(
            "the segments of second {} are none or not ordered",
            line.second
        )),
        None => Ok(lines),
    }
}

fn signatures(
    package: &Package,
    manifest: &Manifest,
    trust: &Trust,
    lines: &[RootLine],
) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let signers: BTreeSet<u32> = lines.iter().map(|line| line.signer).collect();
    let mut keys = BTreeMap::new();
    for signer in &signers {
        let mine = || lines.iter().filter(|line| line.signer == *signer);
        // Valid in the first and in the last second is valid between them.
        let times = mine().next().into_iter().chain(mine().next_back());
        let path = layout::recorder_chain(*signer);
        for line in times {
            match chain(package, manifest, trust, &path, line.second) {
                Ok(key) => drop(keys.insert(*signer, key)),
                Err(fault) => {
                    faults.push((path.clone(), fault));
                    break;
                }
            }
        }
    }
    let is_chain = |path: &&str| path.starts_with("trust/recorder-");
    let chains = manifest.files.iter().map(|file| file.path.as_str());
    let chains: BTreeSet<String> = chains.filter(is_chain).map(str::to_owned).collect();
    let named = signers.iter().map(|signer| layout::recorder_chain(*signer));
    let numbered = (1..)
        .zip(&signers)
        .all(|(number, signer)| number == *signer);
    if !numbered || named.collect::<BTreeSet<String>>() != chains {
        let fault = "the chains of the recorder are not those that its lines name";
        faults.push((layout::ROOTS.to_owned(), fault.to_owned()));
    }
    for line in lines {
        let text = RecorderRoot::text(&line.node, line.second, line.count, &line.root);
        let key: Option<&guitai_crypto::sm2::PublicKey> = keys.get(&line.signer);
        let fits = key.is_some_and(|key| key.verify(text.as_bytes(), &line.signature.0).is_ok());
        if !fits {
            let fault = format!("the signature of second {} does not fit", line.second);
            faults.push((layout::ROOTS.to_owned(), fault));
        }
    }
    faults
}

fn chain(
    package: &Package,
    manifest: &Manifest,
    trust: &Trust,
    path: &str,
    second: u64,
) -> Result<guitai_crypto::sm2::PublicKey, String> {
    let chain = trust::certificates(package, path)?;
    if chain.contains(&trust.root) {
        return Err("it holds the root itself".to_owned());
    }
    let leaf = x509::verify_chain(&chain, std::slice::from_ref(&trust.root), second);
    let leaf = leaf.map_err(|error| format!("does not lead to the root at {second}: {error}"))?;
    if !Trust::is_recorder(&leaf, manifest) {
        let (name, cluster) = (&leaf.common_name, &leaf.organization);
        return Err(format!("is for {name} of {cluster}, not for the recorder"));
    }
    Ok(leaf.public_key)
}

fn places(manifest: &Manifest, lines: &[RootLine]) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let files = manifest.files.iter();
    let digests: BTreeMap<&str, Option<Hash>> = files
        .map(|file| (file.path.as_str(), layout::digest(&file.sm3)))
        .collect();
    let tracks = manifest.tracks.iter();
    let mut waiting: BTreeSet<String> = tracks
        .flat_map(|track| {
            let segments = track.segments.iter();
            segments.map(|segment| layout::segment(track.number, segment.number))
        })
        .collect();
    for line in lines {
        for rooted in &line.segments {
            let path = layout::segment(rooted.track, rooted.segment);
            let digest = digests.get(path.as_str()).copied().flatten();
            if !waiting.remove(&path) {
                let fault = format!("{path} is under two roots, or no segment of a track");
                faults.push((layout::ROOTS.to_owned(), fault));
            } else if !digest.is_some_and(|digest| line.holds(rooted, &digest)) {
                let fault = format!("is not under the root of second {}", line.second);
                faults.push((path, fault));
            }
        }
    }
    let unrooted = waiting.into_iter();
    faults.extend(unrooted.map(|path| (path, "is under no root".to_owned())));
    faults
}
