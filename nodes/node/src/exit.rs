//! How the program ends: one code per kind of failure, and words in both languages.

use std::{error::Error, process::ExitCode};

pub(crate) use guitai_types::problem::chain;
use guitai_types::{Code, Problem};

/// Exit codes of `up` and `run`; the other commands' are in `guitai_cli`.
pub(crate) const FAILED: u8 = 1;
/// A profile or configuration that cannot be used.
pub(crate) const BAD_PROFILE: u8 = 10;
/// An address in use.
pub(crate) const PORT_TAKEN: u8 = 11;
/// A data directory of another cluster, profile or running `up`.
pub(crate) const FOREIGN_DATA: u8 = 12;
/// The cryptography computes wrong.
pub(crate) const SELFTEST_FAILED: u8 = 13;
/// The node asks to be started again: its lineage has changed.
pub(crate) const START_AGAIN: u8 = 14;
/// The flow matrix does not declare what the node or the deployment would do.
pub(crate) const FLOW_UNDECLARED: u8 = 15;
/// The kernel cannot give the sandbox that is required.
pub(crate) const SANDBOX_MISSING: u8 = 16;
/// The demo call was not verified.
pub(crate) const NOT_VERIFIED: u8 = 3;

/// A failure on its way to the operator.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) problem: Problem,
}

impl Failure {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let exit = match code {
            Code::BadProfile => BAD_PROFILE,
            Code::PortTaken => PORT_TAKEN,
            Code::ForeignData => FOREIGN_DATA,
            Code::SelfTestFailed => SELFTEST_FAILED,
            Code::FlowUndeclared => FLOW_UNDECLARED,
            Code::SandboxMissing => SANDBOX_MISSING,
            _ => FAILED,
        };
        Self {
            code: exit,
            problem: Problem::new(code, detail),
        }
    }

    /// A failure from an error and all its sources, said once.
    pub(crate) fn from_error(code: Code, error: &(dyn Error + 'static)) -> Self {
        Self::new(code, chain(error))
    }

    /// Prints code, cause, detail and next step, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let (zh, en) = self.problem.code.cause();
        let (next_zh, next_en) = self.problem.code.next();
        eprintln!("guitai: {} {zh} / {en}", self.problem.code);
        eprintln!("  {}", self.problem.detail);
        eprintln!("  → {next_zh} / {next_en}");
        ExitCode::from(self.code)
    }
}
