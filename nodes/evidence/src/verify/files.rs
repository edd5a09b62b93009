//! Every listed file, and nothing else.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::Path,
    thread,
};

use guitai_crypto::sm3;

use super::Package;
use crate::{
    layout,
    manifest::{File, Manifest},
    report::{Check, Findings},
};

/// Bytes read at a time.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
/// Threads that hash: a call's files are few, and a verifier shares its machine.
const THREADS_MAX: usize = 4;

pub(super) fn check(
    package: &Package,
    manifest: &Manifest,
    attached: &[File],
    findings: &mut Findings,
) {
    let files: Vec<&File> = manifest.files.iter().chain(attached).collect();
    for (file, fault) in faulty(package, &files) {
        findings.fault(Check::Files, &file.path, fault);
    }
    let sizes = files.iter().map(|file| file.size);
    let bytes = sizes.fold(0, u64::saturating_add);
    let detail = format!("{} files, {bytes} bytes", files.len());
    findings.holds_unless_faulty(Check::Files, detail);

    let unlisted = layout::unlisted(manifest).iter().copied();
    let paths = files.iter().map(|file| file.path.as_str());
    let known: BTreeSet<&str> = paths.chain(unlisted).collect();
    let mut seen = 0;
    match package {
        Package::Dir(dir) => walk(dir, "", &known, &mut seen, findings),
        Package::Archive(archive) => {
            for path in archive.paths() {
                seen += 1;
                if !known.contains(path) {
                    findings.fault(Check::Unlisted, path, "a file that is not listed");
                }
            }
        }
        Package::Nothing => {}
    }
    findings.holds_unless_faulty(Check::Unlisted, format!("{seen} entries, all known"));
}

/// The files that are not as listed, in the order of the list.
fn faulty<'a>(package: &Package, files: &[&'a File]) -> Vec<(&'a File, String)> {
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(THREADS_MAX);
    let examine = |part: usize| {
        let mine = files
            .iter()
            .enumerate()
            .filter(move |(index, _)| index % threads == part);
        let faults = mine.filter_map(|(index, file)| Some((index, fault(package, file)?)));
        faults.collect::<Vec<_>>()
    };
    let mut faults: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (1..threads)
            .map(|part| scope.spawn(move || examine(part)))
            .collect();
        let mut all = examine(0);
        for (part, thread) in (1..threads).zip(running) {
            // A hasher that panicked has judged nothing: its files are examined again here.
            all.extend(thread.join().unwrap_or_else(|_| examine(part)));
        }
        all
    });
    faults.sort_by_key(|(index, _)| *index);
    let named = faults
        .into_iter()
        .filter_map(|(index, fault)| Some((*files.get(index)?, fault)));
    named.collect()
}

fn fault(package: &Package, file: &File) -> Option<String> {
    let (mut content, size) = match package.open(&file.path) {
        Ok(opened) => opened,
        Err(error) => return Some(error.to_string()),
    };
    if size != file.size {
        return Some(format!("has {size} bytes, {} are listed", file.size));
    }
    let mut hasher = sm3::Hasher::new();
    if let Err(error) = hash_rest(&mut hasher, &mut content, &mut vec![0; CHUNK_BYTES]) {
        return Some(error.to_string());
    }
    let found = hasher.finish();
    (layout::digest(&file.sm3) != Some(found)).then(|| "its SM3 is not the listed one".to_owned())
}

/// Hashes what is left of a file, by way of `chunk`.
pub(super) fn hash_rest(
    hasher: &mut sm3::Hasher,
    content: &mut impl Read,
    chunk: &mut [u8],
) -> io::Result<()> {
    loop {
        match content.read(chunk)? {
            0 => return Ok(()),
            read => hasher.update(chunk.get(..read).unwrap_or_default()),
        }
    }
}

/// Names everything under `dir` that no list has. Recursion is at most as deep as a safe path.
fn walk(
    dir: &Path,
    prefix: &str,
    listed: &BTreeSet<&str>,
    seen: &mut usize,
    findings: &mut Findings,
) {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return findings.fault(Check::Unlisted, prefix, error.to_string()),
    };
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => return findings.fault(Check::Unlisted, prefix, error.to_string()),
        };
        *seen += 1;
        if *seen > 2 * layout::FILES_MAX {
            return findings.fault(
                Check::Unlisted,
                prefix,
                "more entries than a package can have",
            );
        }
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let folder = format!("{path}/");
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let leads_to_listed = listed
            .range(folder.as_str()..)
            .next()
            .is_some_and(|p| p.starts_with(&folder));
        if is_dir && leads_to_listed {
            walk(&entry.path(), &folder, listed, seen, findings);
        } else if is_dir {
            findings.fault(Check::Unlisted, &path, "a directory that is not listed");
        } else if !listed.contains(path.as_str()) {
            findings.fault(Check::Unlisted, &path, "a file that is not listed");
        }
    }
}
