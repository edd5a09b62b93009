//! The offline verifier. Reads a directory, trusts nothing in it but a signature that leads to the
//! root, and names every file that is not what it should be.

mod attached;
mod composite;
mod events;
mod files;
mod logged;
mod media;
mod roots;
mod timestamp;
mod tracks;
mod trust;
mod turns;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use guitai_types::Hex;

pub use timestamp::{BEFORE_SEAL_MS_MAX, is_after_seal};

use crate::{
    builder, canonical,
    container::{Archive, Part},
    layout,
    log::Policy,
    manifest::{self, Manifest},
    report::{Check, Facts, Findings, Report},
    tree::Hash,
};

/// What the caller knows from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// SM3 fingerprint of the root ([`crate::fingerprint`]). Without it the report proves only that
    /// the package agrees with itself, and states the fingerprint to compare.
    pub expected_root: Option<Hash>,
    /// Whose signatures on the log's checkpoints count. Without it the package's own word is taken, and
    /// the report says so.
    pub policy: Option<Policy>,
    /// A composite of the package, to be checked with it: the film; its description is beside it.
    pub composite: Option<PathBuf>,
}

/// Checks the package at `path`, a directory or a `.vcep` file. Faults are findings, never errors: whatever
/// is there, there is a report.
#[must_use]
pub fn verify(path: &Path, options: &Options) -> Report {
    let mut findings = Findings::default();
    let package = Package::open_at(path, &mut findings);
    let Some((bytes, manifest)) = read_manifest(&package, &mut findings) else {
        return findings.into_report(None);
    };
    let trust = trust::check(&package, &bytes, &manifest, options, &mut findings);
    let attached = attached::check(&package, &bytes, &manifest, &trust, &mut findings);
    files::check(&package, &manifest, attached.files(), &mut findings);
    check_sums(&package, &manifest, &mut findings);
    tracks::check(&package, &manifest, &mut findings);
    turns::check(&package, &manifest, &mut findings);
    let roots = roots::check(&package, &manifest, &trust, &mut findings);
    events::check(&package, &manifest, &mut findings);
    timestamp::check(&package, &manifest, &attached, &trust, &mut findings);
    logged::check(
        &package,
        &manifest,
        &attached,
        roots.as_deref(),
        options,
        &mut findings,
    );
    attached.conclude(&mut findings);
    let film = options.composite.as_deref();
    composite::check(film, &bytes, &manifest, &mut findings);
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
    let known = [
        manifest::FORMAT,
        manifest::FORMAT_4,
        manifest::FORMAT_2,
        manifest::FORMAT_1,
    ];
    if !known.contains(&manifest.format.as_str()) {
        return Err(format!("unknown format {:?}", manifest.format));
    }
    if manifest.files.len() > layout::FILES_MAX {
        return Err(format!("more than {} files", layout::FILES_MAX));
    }
    if !manifest.files.is_sorted_by(|a, b| a.path < b.path) {
        return Err("files are not listed once each, ordered by path".to_owned());
    }
    for file in &manifest.files {
        let is_no_part = layout::unlisted(manifest).contains(&file.path.as_str())
            || layout::is_attached(&file.path) && manifest.has_attachments();
        if !layout::path_is_safe(&file.path) || is_no_part {
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
    let since_3 = [layout::ROOTS, layout::VIEW];
    let since_3 = since_3.into_iter().filter(|_| manifest.has_attachments());
    match required
        .into_iter()
        .chain(since_3)
        .find(|path| !listed(path))
    {
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

/// A document of lines; cut as they are read, since a hostile one may be nothing but line ends.
struct Lines(Vec<u8>);

impl Lines {
    /// Each line without its LF.
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.0.split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line))
    }
}

/// The package under examination.
pub(crate) enum Package {
    Dir(PathBuf),
    Archive(Archive),
    /// There is nothing that could be read.
    Nothing,
}

impl Package {
    pub(crate) fn open_at(path: &Path, findings: &mut Findings) -> Self {
        if path.is_dir() {
            return Self::Dir(path.to_path_buf());
        }
        let (archive, read) = Archive::open(path);
        match read {
            Ok(()) => findings.holds(Check::Container, "one file in its one form"),
            Err(fault) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                findings.fault(Check::Container, &name, fault);
            }
        }
        archive.map_or(Self::Nothing, Self::Archive)
    }

    /// A document, bounded by [`layout::DOCUMENT_BYTES_MAX`].
    pub(crate) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
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

    /// A document of lines, the last one ended as well.
    fn lines(&self, path: &str) -> Result<Lines, String> {
        let bytes = self.read(path).map_err(|error| error.to_string())?;
        match bytes.last() {
            Some(last) if *last != b'\n' => Err("its last line is cut".to_owned()),
            _ => Ok(Lines(bytes)),
        }
    }

    /// A regular file and its size. A link is refused: it would lead out of the package.
    fn open(&self, path: &str) -> io::Result<(Part, u64)> {
        let dir = match self {
            Self::Dir(dir) => dir,
            Self::Archive(archive) => return archive.part(path),
            Self::Nothing => return Err(io::ErrorKind::NotFound.into()),
        };
        let mut at = dir.clone();
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
        let file = Arc::new(fs::File::open(&at)?);
        Ok((Part::new(file, 0, meta.len()), meta.len()))
    }
}
