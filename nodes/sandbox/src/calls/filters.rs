//! The lists as programs that the kernel runs.

use std::collections::BTreeMap;

use libc::{ENOSYS, EPERM, c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

use super::{
    Act,
    lists::{ENDS, EXECUTES, FORKS, REFUSED, REFUSED_HERE, SERVES, SERVES_HERE},
};
use crate::Rules;

/// Why calls are not held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("making a filter of calls")]
    Make(#[from] BackendError),
    #[error("installing a filter of calls")]
    Install(#[from] seccompiler::Error),
}

/// A call, and with which arguments; none: with any.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// Gives up what no node of these rules does.
pub(super) fn enter(rules: &Rules, act: Act) -> Result<(), FilterError> {
    let makes_processes = !rules.execute.is_empty();
    let mut refused = all(&[REFUSED, REFUSED_HERE]);
    let mut ends = all(&[ENDS]);
    if !makes_processes {
        ends.extend(all(&[EXECUTES]));
        refused.extend(all(&[FORKS]));
        // A thread shares everything with its maker, a process does not: the flag tells them apart.
        let process = when(0, Op::MaskedEq(thread()), 0)?;
        refused.insert(libc::SYS_clone, vec![process]);
    }
    if rules.connects.is_some() {
        // With this flag a TCP socket connects by sending, even a listener that was shut down, and landlock does not see
        // it (landlock-lsm/linux issue 41).
        let flag = bits(libc::MSG_FASTOPEN);
        let sends = [
            (libc::SYS_sendto, 3),
            (libc::SYS_sendmsg, 2),
            (libc::SYS_sendmmsg, 3),
        ];
        for (call, flags) in sends {
            refused.insert(call, vec![when(flags, Op::MaskedEq(flag), flag)?]);
        }
    }
    #[cfg(target_arch = "x86_64")]
    install(&no_second_numbering(act))?;
    if !makes_processes {
        // The flags of clone3 lie in memory, where no filter looks.
        let absent = all(&[&[libc::SYS_clone3]]);
        hold(absent, SeccompAction::Allow, refuse(act, ENOSYS))?;
    }
    hold(refused, SeccompAction::Allow, refuse(act, EPERM))?;
    let end = match act {
        Act::Refuse => SeccompAction::KillProcess,
        Act::Log => SeccompAction::Log,
    };
    hold(ends, SeccompAction::Allow, end)
}

/// Gives up all but what serving open sockets takes.
pub(super) fn seal(act: Act) -> Result<(), FilterError> {
    let mut kept = all(&[SERVES, SERVES_HERE]);
    let mut keep = |call: c_long, rules: Vec<SeccompRule>| kept.insert(call, rules);
    keep(
        libc::SYS_clone,
        vec![when(0, Op::MaskedEq(thread()), thread())?],
    );
    let writing = bits(
        libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC | libc::O_TMPFILE & !libc::O_DIRECTORY,
    );
    keep(libc::SYS_openat, vec![when(2, Op::MaskedEq(writing), 0)?]);
    #[cfg(target_arch = "x86_64")]
    keep(libc::SYS_open, vec![when(1, Op::MaskedEq(writing), 0)?]);
    // A thread that panics past saving aborts its process by a signal to itself.
    let own = u64::from(std::process::id());
    keep(libc::SYS_tgkill, vec![when(0, Op::Eq, own)?]);
    let named = [libc::PR_SET_NAME, PR_SET_VMA];
    keep(
        libc::SYS_prctl,
        named
            .map(|what| when(0, Op::Eq, bits(what)))
            .into_iter()
            .collect::<Result<_, _>>()?,
    );
    // Asked for, never set.
    keep(libc::SYS_prlimit64, vec![when_whole(2, Op::Eq, 0)?]);
    let asked = [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX, libc::TCGETS];
    let asked = asked.map(|what| when(1, Op::Eq, what & u64::from(u32::MAX)));
    keep(
        libc::SYS_ioctl,
        asked.into_iter().collect::<Result<_, _>>()?,
    );
    hold(kept, refuse(act, EPERM), SeccompAction::Allow)
}

/// Names a stretch of memory; the C library does for its heaps.
const PR_SET_VMA: c_int = 0x5356_4d41;

fn thread() -> u64 {
    bits(libc::CLONE_THREAD)
}

/// Flags as the kernel sees them in a register.
fn bits(flags: c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn all(lists: &[&[c_long]]) -> Calls {
    let calls = lists.iter().flat_map(|list| list.iter());
    calls.map(|call| (*call, Vec::new())).collect()
}

fn when(argument: u8, op: Op, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        argument,
        Len::Dword,
        op,
        value,
    )?])
}

fn when_whole(argument: u8, op: Op, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(
        argument,
        Len::Qword,
        op,
        value,
    )?])
}

fn refuse(act: Act, errno: c_int) -> SeccompAction {
    match act {
        Act::Refuse => SeccompAction::Errno(errno.cast_unsigned()),
        Act::Log => SeccompAction::Log,
    }
}

fn hold(calls: Calls, others: SeccompAction, these: SeccompAction) -> Result<(), FilterError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(calls, others, these, arch)?;
    install(&filter.try_into()?)
}

fn install(program: &BpfProgram) -> Result<(), FilterError> {
    Ok(apply_filter_all_threads(program)?)
}

/// An x86-64 kernel may have a second numbering (x32) of all calls, with a bit set: a list of what is refused would
/// not see them. There is none for us.
#[cfg(target_arch = "x86_64")]
fn no_second_numbering(act: Act) -> BpfProgram {
    use seccompiler::sock_filter;
    const X32: u32 = 0x4000_0000;
    let statement = |code: u32, k| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: 0,
        k,
    };
    let jump = sock_filter {
        jt: 0,
        jf: 1,
        ..statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, X32)
    };
    vec![
        // The number of the call is the first word that a filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        jump,
        statement(libc::BPF_RET | libc::BPF_K, u32::from(refuse(act, ENOSYS))),
        statement(libc::BPF_RET | libc::BPF_K, u32::from(SeccompAction::Allow)),
    ]
}
