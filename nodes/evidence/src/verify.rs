//! The offline verifier. Reads a directory, trusts nothing in it but a signature that leads to the
//! root, and names every file that is not what it should be.

mod events;
mod files;
mod tracks;
mod trust;
mod turns;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use guitai_types::Hex;

use crate::{
    builder, canonical, layout,
    manifest::{self, Manifest},
    report::{Check, Facts, Findings, Report},
    tree::Hash,
};

/// What the caller knows from elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// SM3 fingerprint of the root ([`crate::fingerprint`]). Without it the report proves only that
    /// the package agrees with itself, and states the fingerprint to compare.
    pub expected_root: Option<Hash>,
}

/// Checks the package in `dir`. Faults are findings, never errors: whatever the directory holds,
/// there is a report.
#[must_use]
pub fn verify(dir: &Path, options: Options) -> Report {
    let package = Package {
        dir: dir.to_path_buf(),
    };
    let mut findings = Findings::default();
    let Some((bytes, manifest)) = read_manifest(&package, &mut findings) else {
        return findings.into_report(None);
    };
    let trust = trust::check(&package, &bytes, &manifest, options, &mut findings);
    files::check(&package, &manifest, &mut findings);
    check_sums(&package, &manifest, &mut findings);
    tracks::check(&package, &manifest, &mut findings);
    turns::check(&package, &manifest, &mut findings);
    events::check(&package, &manifest, &mut findings);
    let facts = facts(&manifest, &trust);
    findings.into_report(Some(facts))
}

fn read_manifest(package: &Package, findings: &mut Findings) -> Option<(Vec<u8>, Manifest)> {
    let read = package
        .read(layout::MANIFEST)
        .map_err(|error| error.to_string());
    let parsed = read.and_then(|bytes| {
        let manifest: Manifest = canonical::from_bytes(&bytes).map_err(|error| {
            let cause = std::error::Error::source(&error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        })?;
        match plausible(&manifest) {
            Ok(()) => Ok((bytes, manifest)),
            Err(fault) => Err(fault),
        }
    });
    match parsed {
        Ok((bytes, manifest)) => {
            findings.holds(
                Check::Manifest,
                format!("{} bytes, {}", bytes.len(), manifest.format),
            );
            Some((bytes, manifest))
        }
        Err(fault) => {
            findings.fault(Check::Manifest, layout::MANIFEST, fault);
            None
        }
    }
}

/// What must hold before the manifest's names may be used as paths.
fn plausible(manifest: &Manifest) -> Result<(), String> {
    if ![manifest::FORMAT, manifest::FORMAT_1].contains(&manifest.format.as_str()) {
        return Err(format!("unknown format {:?}", manifest.format));
    }
    if manifest.files.len() > layout::FILES_MAX {
        return Err(format!("more than {} files", layout::FILES_MAX));
    }
    if !manifest.files.is_sorted_by(|a, b| a.path < b.path) {
        return Err("files are not listed once each, ordered by path".to_owned());
    }
    for file in &manifest.files {
        if !layout::path_is_safe(&file.path) || layout::UNLISTED.contains(&file.path.as_str()) {
            return Err(format!(
                "lists {:?}, which is no file of a package",
                file.path
            ));
        }
        if file.size > layout::FILE_BYTES_MAX || layout::digest(&file.sm3).is_none() {
            return Err(format!(
                "states an impossible size or SM3 for {}",
                file.path
            ));
        }
    }
    let listed = |path: &str| manifest.files.iter().any(|file| file.path == path);
    let required = [
        layout::EVENTS,
        layout::GAPS,
        layout::CHAIN,
        layout::ROOT,
        layout::README,
    ];
    match required.into_iter().find(|path| !listed(path)) {
        Some(path) => Err(format!("does not list {path}")),
        None => Ok(()),
    }
}

fn check_sums(package: &Package, manifest: &Manifest, findings: &mut Findings) {
    if layout::digest(&manifest.root) != Some(builder::sums_root(&manifest.files)) {
        findings.fault(
            Check::Sums,
            layout::MANIFEST,
            "its root is not that of its files",
        );
    }
    match package.read(layout::SUMS) {
        Ok(bytes) if bytes == builder::sums(&manifest.files).as_bytes() => {}
        Ok(_) => findings.fault(Check::Sums, layout::SUMS, "is not the list of the manifest"),
        Err(error) => findings.fault(Check::Sums, layout::SUMS, error.to_string()),
    }
    findings.holds_unless_faulty(Check::Sums, format!("root {}", manifest.root));
}

fn facts(manifest: &Manifest, trust: &trust::Trust) -> Facts {
    let missing = manifest
        .steps
        .iter()
        .filter(|step| step.required && step.done_at.is_none());
    Facts {
        session: manifest.session.id.clone(),
        signer: trust.signer.clone(),
        root_fingerprint: Hex(trust.fingerprint.map(Vec::from).unwrap_or_default()),
        root_expected: trust.expected,
        root: manifest.root.clone(),
        sealed_at: manifest.sealed_at,
        duration_ms: manifest
            .tracks
            .iter()
            .map(|track| track.duration_ms)
            .max()
            .unwrap_or(0),
        files: manifest.files.len() as u64,
        bytes: manifest
            .files
            .iter()
            .map(|file| file.size)
            .fold(0, u64::saturating_add),
        tracks: manifest.tracks.len() as u64,
        gaps: manifest.gaps.len() as u64,
        segments_disowned: manifest
            .disowned
            .iter()
            .map(|it| u64::from(it.to.saturating_sub(it.from)) + 1)
            .fold(0, u64::saturating_add),
        steps_missing: missing.map(|step| step.id.clone()).collect(),
    }
}

/// The directory under examination.
struct Package {
    dir: PathBuf,
}

impl Package {
    /// A document, bounded by [`layout::DOCUMENT_BYTES_MAX`].
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let (mut file, size) = self.open(path)?;
        if size > layout::DOCUMENT_BYTES_MAX {
            let text = format!(
                "has {size} bytes, a document has at most {}",
                layout::DOCUMENT_BYTES_MAX
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let mut bytes = Vec::new();
        file.by_ref().take(size).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A regular file and its size. A link is refused: it would lead out of the package.
    fn open(&self, path: &str) -> io::Result<(fs::File, u64)> {
        let mut at = self.dir.clone();
        for part in path.split('/') {
            at.push(part);
            if fs::symlink_metadata(&at)?.is_symlink() {
                return Err(io::Error::other("is a link, not a file"));
            }
        }
        let meta = fs::symlink_metadata(&at)?;
        if !meta.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        Ok((fs::File::open(&at)?, meta.len()))
    }
}
