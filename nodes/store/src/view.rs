//! Views: copies of the cluster's state that can be made again.
//!
//! One suite of tests runs over every engine ([`SledView`], [`RedbView`], and the host's memory).
//! A damaged view is set aside by renaming its directory and a new, empty one is opened; the
//! caller fills it from snapshot and log.

use std::{
    io,
    path::{Path, PathBuf},
};

use guitai_host::KvError;

mod redb_view;
mod sled_view;

pub use redb_view::RedbView;
pub use sled_view::SledView;

/// Views set aside that are kept for an engineer to look at; older ones are removed.
const QUARANTINED_KEPT: usize = 3;

/// A view and what it took to open it.
#[derive(Debug)]
pub struct OpenOutcome<V> {
    /// The view.
    pub view: V,
    /// True when the view found was damaged: this one is empty and must be filled.
    pub rebuilt: bool,
    /// Where the damaged one was put.
    pub quarantined: Option<PathBuf>,
}

/// Why no view was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenViewError {
    /// The engine refused for a reason other than damage (no space, no right, in use).
    #[error("the view {dir} did not open", dir = dir.display())]
    Engine {
        /// The view's directory.
        dir: PathBuf,
        /// The engine's words.
        #[source]
        source: KvError,
    },
    /// The damaged view could not be set aside.
    #[error("the damaged view {dir} could not be set aside", dir = dir.display())]
    Quarantine {
        /// The view's directory.
        dir: PathBuf,
        /// The machine's words.
        #[source]
        source: io::Error,
    },
}

/// Opens the view in `dir`; when it is damaged, sets it aside and opens an empty one.
fn open_or_set_aside<V>(
    dir: &Path,
    open: impl Fn(&Path) -> Result<V, KvError>,
) -> Result<OpenOutcome<V>, OpenViewError> {
    let engine = |source| OpenViewError::Engine {
        dir: dir.to_path_buf(),
        source,
    };
    let damage = match open(dir) {
        Ok(view) => {
            return Ok(OpenOutcome {
                view,
                rebuilt: false,
                quarantined: None,
            });
        }
        Err(damage @ KvError::Damaged { .. }) => damage,
        Err(error) => return Err(engine(error)),
    };
    let aside = set_aside(dir).map_err(|source| OpenViewError::Quarantine {
        dir: dir.to_path_buf(),
        source,
    })?;
    tracing::error!(
        dir = %dir.display(),
        aside = %aside.display(),
        damage = &damage as &dyn std::error::Error,
        "the view was damaged; it is set aside and a new one is made"
    );
    let view = open(dir).map_err(engine)?;
    Ok(OpenOutcome {
        view,
        rebuilt: true,
        quarantined: Some(aside),
    })
}

/// Renames `dir` to `<dir>.quarantine-<n>`, with the next free n.
fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    let name = dir
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("view");
    let prefix = format!("{name}.quarantine-");
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(parent)? {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    let surplus = (numbers.len() + 1).saturating_sub(QUARANTINED_KEPT);
    for old in numbers.iter().take(surplus) {
        std::fs::remove_dir_all(parent.join(format!("{prefix}{old}")))?;
    }
    let aside = parent.join(format!(
        "{prefix}{}",
        numbers.last().map_or(1, |last| last + 1)
    ));
    std::fs::rename(dir, &aside)?;
    std::fs::File::open(parent)?.sync_all()?;
    Ok(aside)
}

#[cfg(test)]
mod tests;
