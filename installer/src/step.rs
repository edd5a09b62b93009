//! One step of a plan, as data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a step does to the host. Every action can be undone from the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Makes a directory that is not there.
    MakeDir {
        /// Where.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Copies a file; its SM3 must be the one planned.
    CopyFile {
        /// From.
        from: PathBuf,
        /// To.
        to: PathBuf,
        /// Permission bits.
        mode: u32,
        /// SM3 of the content, hex.
        sm3: String,
    },
    /// Writes a small text file.
    WriteFile {
        /// Where.
        to: PathBuf,
        /// Content.
        text: String,
        /// Permission bits.
        mode: u32,
    },
}

/// One step with the reason an operator reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What.
    #[serde(flatten)]
    pub action: Action,
    /// Why, in Chinese and English.
    pub why: String,
}

impl Step {
    /// The path the step changes.
    pub fn target(&self) -> &PathBuf {
        match &self.action {
            Action::MakeDir { path, .. } => path,
            Action::CopyFile { to, .. } | Action::WriteFile { to, .. } => to,
        }
    }
}
