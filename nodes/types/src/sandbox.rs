//! What holds a node's process even when its code is replaced, as the node says it of itself.
//!
//! Each protection is the kernel's, entered once at the start and never left. Which of them there are, the kernel
//! decides; [`NodeSandbox::state`] says in one word how it stands.

use serde::{Deserialize, Serialize};

use crate::{NodeName, UnixMillis, Zone, place::Text};

/// Most rows believed of one node; there are six kinds of protection.
pub const SANDBOX_ROWS_MAX: usize = 32;

/// Files open for writing that a node names.
pub const WRITTEN_FILES_MAX: usize = 64;

/// What a deployment wants of the sandbox: `sandbox = "…"` of the profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// Whatever the kernel has is in force; a node starts without the rest and says so.
    #[default]
    Enforce,
    /// The same, and a node does not start where anything is missing (GT-0606).
    Require,
    /// Nothing is refused; calls that would be are left to the kernel's audit log.
    Report,
    /// Nothing at all.
    Off,
}

impl SandboxMode {
    /// Whether it is the one that is meant without a word.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// As it is written in a profile.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Require => "require",
            Self::Report => "report",
            Self::Off => "off",
        }
    }
}

/// One thing that the kernel holds a process to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// No new privileges, and no capabilities.
    Privileges,
    /// Files that may be read, written, executed (landlock).
    Files,
    /// TCP ports that may be bound and connected to (landlock).
    Tcp,
    /// No signals to, and no abstract unix sockets of, processes outside (landlock).
    Processes,
    /// System calls that no node makes (seccomp).
    Calls,
    /// Once all sockets are open, only the calls that serving them takes (seccomp); edges only.
    Door,
}

impl Protection {
    /// In words, Chinese and English.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Privileges => ("特权", "privileges"),
            Self::Files => ("文件", "files"),
            Self::Tcp => ("TCP 连接", "TCP connections"),
            Self::Processes => ("其他进程", "other processes"),
            Self::Calls => ("危险系统调用", "dangerous calls"),
            Self::Door => ("仅限服务所需调用", "only calls that serving takes"),
        }
    }
}

/// How a protection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// In force.
    InForce,
    /// Some of it: the kernel is older than the whole.
    Partly,
    /// The kernel or the processor has it not.
    Missing,
    /// Not wanted.
    Off,
}

impl Standing {
    /// In words, Chinese and English.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::InForce => ("生效", "in force"),
            Self::Partly => ("部分生效", "partly"),
            Self::Missing => ("缺失", "MISSING"),
            Self::Off => ("已关闭", "OFF"),
        }
    }
}

/// One protection of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProtectionRow {
    /// Which.
    pub protection: Protection,
    /// How it stands.
    pub standing: Standing,
    /// What it allows, or why it is not there.
    pub why: Text,
}

/// What one node says of its sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSandbox {
    /// The node.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// What its configuration wants.
    pub mode: SandboxMode,
    /// Its protections.
    pub rows: Vec<ProtectionRow>,
    /// Files that its process has open for writing now, as its kernel has them, ordered; at most
    /// [`WRITTEN_FILES_MAX`]. An edge has none. Where its own log goes (standard output) whoever started it says.
    #[serde(default)]
    pub written: Vec<String>,
}

/// A sandbox in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxState {
    /// All of it is in force.
    Whole,
    /// Some of it is.
    Partly,
    /// None of it is, since the kernel has nothing.
    Missing,
    /// Nothing is refused: `sandbox = "report"`.
    Report,
    /// Nothing is done: `sandbox = "off"`.
    Off,
}

impl SandboxState {
    /// In words, Chinese and English; what an operator must see is in capitals.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Whole => ("完整", "whole"),
            Self::Partly => ("部分", "partly"),
            Self::Missing => ("!缺失", "MISSING"),
            Self::Report => ("!仅报告", "REPORT"),
            Self::Off => ("!关闭", "OFF"),
        }
    }

    /// As it is written in JSON and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Partly => "partly",
            Self::Missing => "missing",
            Self::Report => "report",
            Self::Off => "off",
        }
    }
}

impl NodeSandbox {
    /// In one word.
    #[must_use]
    pub fn state(&self) -> SandboxState {
        state(self.mode, &self.rows)
    }
}

/// How protections stand together.
#[must_use]
pub fn state(mode: SandboxMode, rows: &[ProtectionRow]) -> SandboxState {
    let all = |standing| rows.iter().all(|row| row.standing == standing);
    match mode {
        SandboxMode::Off => SandboxState::Off,
        SandboxMode::Report => SandboxState::Report,
        // A node that says nothing of itself is not believed to be held.
        SandboxMode::Enforce | SandboxMode::Require if all(Standing::Missing) => {
            SandboxState::Missing
        }
        SandboxMode::Enforce | SandboxMode::Require if all(Standing::InForce) => {
            SandboxState::Whole
        }
        SandboxMode::Enforce | SandboxMode::Require => SandboxState::Partly,
    }
}

/// The sandboxes of a cluster; `GET /api/v1/sandbox`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SandboxView {
    /// When it was asked.
    pub at: UnixMillis,
    /// What the nodes answered.
    pub nodes: Vec<NodeSandbox>,
    /// Nodes that did not answer: nothing is known of them. A node of the release before has no answer.
    pub silent: Vec<NodeName>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(standing: Standing) -> ProtectionRow {
        ProtectionRow {
            protection: Protection::Files,
            standing,
            why: Text::default(),
        }
    }

    #[test]
    fn one_word_never_promises_more_than_the_rows() {
        use Standing::{InForce, Missing, Partly};
        let of = |mode, rows: &[Standing]| {
            let rows: Vec<_> = rows.iter().copied().map(row).collect();
            state(mode, &rows)
        };
        let mode = SandboxMode::Enforce;
        assert_eq!(of(mode, &[InForce, InForce]), SandboxState::Whole);
        assert_eq!(of(mode, &[InForce, Missing]), SandboxState::Partly);
        assert_eq!(of(mode, &[InForce, Partly]), SandboxState::Partly);
        assert_eq!(of(mode, &[Missing, Missing]), SandboxState::Missing);
        assert_eq!(of(mode, &[]), SandboxState::Missing);
        assert_eq!(of(SandboxMode::Report, &[InForce]), SandboxState::Report);
        assert_eq!(of(SandboxMode::Off, &[InForce]), SandboxState::Off);
    }

    #[test]
    fn another_word_than_the_four_is_refused() {
        for mode in ["enforce", "require", "report", "off"] {
            let read: SandboxMode = serde_json::from_str(&format!("\"{mode}\"")).unwrap();
            assert_eq!(read.as_str(), mode);
        }
        assert!(serde_json::from_str::<SandboxMode>("\"on\"").is_err());
    }
}
