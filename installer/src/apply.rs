//! Carrying out a plan, and undoing what was done.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use guitai_crypto::sm3;
use guitai_types::Hex;

use crate::{
    journal::{Begun, Journal, JournalError},
    step::{Action, Step},
};

/// Why a step could not be carried out or undone. What was done before it stays and can be undone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The host refused.
    #[error("cannot change {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not the one that was planned.
    #[error("{path} has changed since the plan was made")]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The journal cannot be kept, so nothing is done.
    #[error("the journal cannot be kept")]
    Journal(#[from] JournalError),
}

/// Carries out the steps in order, telling `progress` of each before it.
///
/// # Errors
/// At the first step that fails; the ones before it are in the journal.
pub fn apply(
    root: &Path,
    steps: &[Step],
    mut progress: impl FnMut(usize, &Step),
) -> Result<(), ApplyError> {
    let mut journal = Journal::load(root)?;
    for (index, step) in steps.iter().enumerate() {
        progress(index, step);
        let before = keep_before(root, step, journal.begun.len())?;
        journal.begun.push(Begun {
            step: step.clone(),
            before,
        });
        journal.save(root)?;
        act(step).map_err(|error| at(step.target(), error))??;
    }
    Ok(())
}

/// Undoes everything in the journal, newest first, and removes the journal.
///
/// # Errors
/// At the first change that cannot be undone; the journal keeps it and the ones before it.
pub fn undo(root: &Path, mut progress: impl FnMut(&Step)) -> Result<usize, ApplyError> {
    let mut journal = Journal::load(root)?;
    let undone = journal.begun.len();
    while let Some(begun) = journal.begun.last() {
        progress(&begun.step);
        let path = begun.step.target();
        let result = match (&begun.before, &begun.step.action) {
            (Some(before), _) => fs::copy(before, path).map(drop),
            (None, Action::MakeDir { .. }) => remove_if_empty(path),
            (None, _) => fs::remove_file(path).or_else(absent_is_fine),
        };
        result.map_err(|source| at(path, source))?;
        journal.begun.pop();
        journal.save(root)?;
    }
    Journal::remove(root)?;
    Ok(undone)
}

fn keep_before(root: &Path, step: &Step, number: usize) -> Result<Option<PathBuf>, ApplyError> {
    let path = step.target();
    if matches!(step.action, Action::MakeDir { .. }) || !path.is_file() {
        return Ok(None);
    }
    let kept = root
        .join("var/lib/guitai-install/before")
        .join(number.to_string());
    let parent = kept.parent().unwrap_or(root);
    fs::create_dir_all(parent).map_err(|source| at(parent, source))?;
    fs::copy(path, &kept).map_err(|source| at(path, source))?;
    Ok(Some(kept))
}

fn act(step: &Step) -> io::Result<Result<(), ApplyError>> {
    match &step.action {
        Action::MakeDir { path, mode } => {
            fs::create_dir(path).or_else(present_is_fine)?;
            fs::set_permissions(path, fs::Permissions::from_mode(*mode))?;
        }
        Action::CopyFile {
            from,
            to,
            mode,
            sm3,
        } => {
            let bytes = fs::read(from)?;
            if Hex(sm3::hash(&bytes).to_vec()).to_string() != *sm3 {
                return Ok(Err(ApplyError::Changed { path: from.clone() }));
            }
            place(to, &bytes, *mode)?;
        }
        Action::WriteFile { to, text, mode } => place(to, text.as_bytes(), *mode)?,
    }
    Ok(Ok(()))
}

/// Writes beside and renames, so that a running program is never half-replaced.
fn place(to: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut staged = to.as_os_str().to_owned();
    staged.push(".new");
    let staged = PathBuf::from(staged);
    fs::write(&staged, b"")?;
    fs::set_permissions(&staged, fs::Permissions::from_mode(mode))?;
    fs::write(&staged, bytes)?;
    fs::File::open(&staged)?.sync_all()?;
    fs::rename(&staged, to)
}

fn remove_if_empty(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.or_else(absent_is_fine),
    }
}

fn absent_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn present_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists {
        Ok(())
    } else {
        Err(error)
    }
}

fn at(path: &Path, source: io::Error) -> ApplyError {
    ApplyError::Io {
        path: path.to_owned(),
        source,
    }
}
