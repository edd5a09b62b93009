//! What can go wrong in the laboratory itself.

use std::{io, path::PathBuf};

/// Why the laboratory did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Something of the machine refused.
    #[error("cannot {doing} {what}: {source}")]
    Io {
        /// The act, for example `open`.
        doing: &'static str,
        /// On what.
        what: String,
        /// What the machine says.
        source: io::Error,
    },
    /// A tool of the machine refused.
    #[error("`{line}` says: {said}")]
    Tool {
        /// The command line.
        line: String,
        /// Its standard error.
        said: String,
    },
    /// Namespaces and TUN devices are root's.
    #[error("the laboratory makes network namespaces and TUN devices: run it as root")]
    NotRoot,
    /// The thread of a namespace has ended.
    #[error("the namespace {name} is gone")]
    NamespaceGone {
        /// Which.
        name: String,
    },
    /// The profile cannot be used.
    #[error("{path}: {why}")]
    Profile {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No node, centre or city has this name.
    #[error("{name} is no node, centre or city here; there are {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    Refused(String),
    /// The deployment did not come up.
    #[error("{what} not ready after {seconds} s; see {log}")]
    NotReady {
        /// What is not ready.
        what: String,
        /// How long it was waited for.
        seconds: u64,
        /// Where the nodes' logs are.
        log: String,
    },
}

/// Says what was being done when the machine refused.
pub(crate) fn io_error<'a>(
    doing: &'static str,
    what: &'a (impl AsRef<std::path::Path> + ?Sized),
) -> impl FnOnce(io::Error) -> LabError + 'a {
    move |source| LabError::Io {
        doing,
        what: what.as_ref().display().to_string(),
        source,
    }
}
