//! The project's own checks, as tests: what matters is checked by a tool, with the reason beside it.
//!
//! `arrows` compares the manifests with the table in `docs/architecture.md`; `sources` reads every
//! tracked text; `documents` holds the references complete.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Text of a file of the repository.
///
/// # Panics
/// When it cannot be read: a check without its input must not pass.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Paths of all files git tracks, relative to the root.
///
/// # Panics
/// When git cannot list them.
pub fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files"])
        .current_dir(root())
        .output()
        .expect("git lists the tracked files");
    assert!(output.status.success(), "git ls-files failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
