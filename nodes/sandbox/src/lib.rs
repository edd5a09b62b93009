//! The sandbox of a node's process: what its role may do, held by the kernel and not by our code.
//!
//! [`Rules`] says what a process needs; [`enter`] gives up the rest, once and for good. An edge goes on to
//! [`seal`] when its sockets are open: from then on it makes no socket, no connection, no file and no
//! process, whoever wrote the code that runs in it. What the kernel lacks is said and not pretended:
//! every protection comes back as a row with a reason.
//!
//! | part | with | holds |
//! | --- | --- | --- |
//! | `rights` | `prctl`, capabilities | no program gives back what was given up |
//! | `paths` | landlock | files, TCP ports, signals and abstract sockets |
//! | `calls` | seccomp | which system calls are left at all |
//!
//! The rules of a role are made here ([`edge`], [`inner`]) and nowhere else: the node enters them, and the
//! hostile program of the tests enters the very same.
#![forbid(unsafe_code)]

mod calls;
mod paths;
mod rights;
mod rules;

use guitai_types::{
    place::Text,
    sandbox::{Protection, ProtectionRow, SandboxMode, Standing},
};

pub use rules::{Edge, Inner, Rules, edge, inner};

/// Gives up what the rules do not name: this process and all that it starts, for good.
///
/// To be called before any thread is started: landlock and capabilities hold the calling thread and those that it starts
/// later. Where other threads run already, the rows say so instead of being in force.
#[must_use]
pub fn enter(rules: &Rules, mode: SandboxMode) -> Vec<ProtectionRow> {
    match mode {
        SandboxMode::Off => off(rules, "sandbox = \"off\""),
        SandboxMode::Report => {
            let mut rows = off(rules, "sandbox = \"report\"");
            let logged = calls::enter(rules, calls::Act::Log);
            replace(&mut rows, watched(logged));
            rows
        }
        SandboxMode::Enforce | SandboxMode::Require => {
            let threads = threads();
            let mut rows = vec![rights::drop_all(rules)];
            rows.extend(paths::enter(rules));
            if threads != 1 {
                rows.iter_mut().for_each(|row| row.of_one_thread(threads));
            }
            // Last: what comes before takes calls that are gone then.
            rows.push(calls::enter(rules, calls::Act::Refuse));
            rows
        }
    }
}

/// Gives up all calls but those that serving open sockets takes, in every thread of the process. For an edge, when
/// everything is bound and read.
#[must_use]
pub fn seal(mode: SandboxMode) -> ProtectionRow {
    let row = |standing, (zh, en): (&str, &str)| row(Protection::Door, standing, zh, en);
    match mode {
        SandboxMode::Off => row(Standing::Off, ("sandbox = \"off\"", "sandbox = \"off\"")),
        SandboxMode::Report => watched(calls::seal(calls::Act::Log)),
        SandboxMode::Enforce | SandboxMode::Require => calls::seal(calls::Act::Refuse),
    }
}

/// What this kernel would give such a process; enters nothing.
#[must_use]
pub fn probe(rules: &Rules) -> Vec<ProtectionRow> {
    let mut rows = vec![rights::probe(rules)];
    rows.extend(paths::probe(rules));
    rows.extend(calls::probe(rules));
    rows
}

/// Threads of this process; 0 where `/proc` does not tell.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn off(rules: &Rules, why: &str) -> Vec<ProtectionRow> {
    let kinds = [
        Protection::Privileges,
        Protection::Files,
        Protection::Tcp,
        Protection::Processes,
        Protection::Calls,
        Protection::Door,
    ];
    let kinds = kinds
        .into_iter()
        .filter(|kind| *kind != Protection::Door || rules.seals);
    kinds
        .map(|kind| row(kind, Standing::Off, why, why))
        .collect()
}

/// A filter that only watches refuses nothing.
fn watched(mut row: ProtectionRow) -> ProtectionRow {
    if row.standing == Standing::InForce {
        row.standing = Standing::Off;
        row.why = text(
            "sandbox = \"report\":不拒绝,只记入内核审计日志",
            "sandbox = \"report\": refuses nothing, leaves a line in the kernel's audit log",
        );
    }
    row
}

fn replace(rows: &mut [ProtectionRow], by: ProtectionRow) {
    if let Some(row) = rows.iter_mut().find(|row| row.protection == by.protection) {
        *row = by;
    }
}

trait OfOneThread {
    fn of_one_thread(&mut self, threads: usize);
}

impl OfOneThread for ProtectionRow {
    fn of_one_thread(&mut self, threads: usize) {
        if self.standing == Standing::InForce {
            self.standing = Standing::Partly;
            self.why = text(
                &format!("进入时已有 {threads} 个线程,其余线程不受约束"),
                &format!("{threads} threads were running; the others are not held"),
            );
        }
    }
}

fn row(protection: Protection, standing: Standing, zh: &str, en: &str) -> ProtectionRow {
    ProtectionRow {
        protection,
        standing,
        why: text(zh, en),
    }
}

fn text(zh: &str, en: &str) -> Text {
    Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    }
}
