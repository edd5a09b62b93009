//! Seccomp: which system calls are left.
//!
//! Two lists, in [`lists`]. Every node gives up what no node does ([`enter`]): what takes over a machine ends the
//! process, the rest is refused. An edge whose sockets are open keeps a list of what serving them takes and gives up
//! everything else ([`seal`]). Filters pile up and the strictest word counts; of two refusals that are equally strict,
//! the one installed last gives the error number.

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod filters;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lists;

use guitai_types::sandbox::{Protection, ProtectionRow, Standing};

use crate::{Rules, row};

/// What happens to a call that is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// It is refused, or ends the process.
    Refuse,
    /// It is done, and leaves a line in the kernel's audit log.
    Log,
}

/// Gives up what no node of these rules does.
pub(crate) fn enter(rules: &Rules, act: Act) -> ProtectionRow {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    match filters::enter(rules, act) {
        Ok(()) => in_force(rules),
        Err(error) => refused(Protection::Calls, &error),
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (rules, act);
        strange(Protection::Calls)
    }
}

/// Gives up all but what serving open sockets takes.
pub(crate) fn seal(act: Act) -> ProtectionRow {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    match filters::seal(act) {
        Ok(()) => sealed(),
        Err(error) => refused(Protection::Door, &error),
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = act;
        strange(Protection::Door)
    }
}

/// What this kernel and this processor would give.
pub(crate) fn probe(rules: &Rules) -> Vec<ProtectionRow> {
    let doors = || rules.seals.then_some(Protection::Door);
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        let kinds = [Protection::Calls].into_iter().chain(doors());
        return kinds.map(strange).collect();
    }
    // Linux says which answers its filters can give; without filters it says nothing.
    let actions = "/proc/sys/kernel/seccomp/actions_avail";
    let has = std::fs::read_to_string(actions).is_ok_and(|said| said.contains("errno"));
    if has {
        let mut rows = vec![in_force(rules)];
        rows.extend(doors().map(|_| sealed()));
        return rows;
    }
    let kinds = [Protection::Calls].into_iter().chain(doors());
    let absent = |kind| {
        row(
            kind,
            Standing::Missing,
            "内核无 seccomp 过滤器",
            "no seccomp filters in this kernel",
        )
    };
    kinds.map(absent).collect()
}

fn in_force(rules: &Rules) -> ProtectionRow {
    let (zh, en) = if rules.execute.is_empty() {
        (
            "不执行程序、不派生进程、不跟踪、不挂载、不用 bpf 与 io_uring",
            "executes nothing, makes no process, traces, mounts, uses bpf or io_uring nowhere",
        )
    } else {
        (
            "不跟踪、不挂载、不用 bpf 与 io_uring;可为合成录像执行程序",
            "traces, mounts, uses bpf or io_uring nowhere; may execute programs, for films",
        )
    };
    row(Protection::Calls, Standing::InForce, zh, en)
}

fn sealed() -> ProtectionRow {
    row(
        Protection::Door,
        Standing::InForce,
        "不再新建套接字、不再发起连接、不再打开可写文件",
        "makes no socket, opens no connection, opens no file for writing",
    )
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn refused(kind: Protection, error: &filters::FilterError) -> ProtectionRow {
    let mut text = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        text = format!("{text}: {source}");
    }
    row(kind, Standing::Missing, &text, &text)
}

/// The filters' compiler knows numbers of calls for two kinds of processor of ours.
fn strange(kind: Protection) -> ProtectionRow {
    let arch = std::env::consts::ARCH;
    row(
        kind,
        Standing::Missing,
        &format!("本版本在 {arch} 处理器上没有系统调用过滤器"),
        &format!("this release has no filters of calls for {arch}"),
    )
}
