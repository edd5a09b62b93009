//! Landlock: which files, TCP ports and processes are within reach.
//!
//! What each release of the kernel can hold is its "ABI" number. The rules ask for what number 6 (Linux 6.12) has and
//! take what there is; numbers above it add nothing that is asked for here.

use std::path::PathBuf;

use guitai_types::sandbox::{Protection, ProtectionRow, Standing};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
    path_beneath_rules,
};

use crate::{Rules, row};

/// What is asked for.
const WANTED: ABI = ABI::V6;
/// From this number on a file cannot be cut short either.
const FILES_WHOLE: u8 = 3;
/// From this number on TCP is held.
const TCP: u8 = 4;
/// From this number on signals and abstract sockets are held.
const PROCESSES: u8 = 6;

/// Holds the calling thread, and those it starts, to the rules.
pub(crate) fn enter(rules: &Rules) -> Vec<ProtectionRow> {
    let has = supported();
    if has == 0 {
        return rows(rules, has);
    }
    match restrict(rules) {
        Ok(RulesetStatus::NotEnforced) => rows(rules, 0),
        Ok(_) => rows(rules, has),
        Err(error) => {
            let mut rows = rows(rules, 0);
            for row in &mut rows {
                row.why.zh = format!("landlock 拒绝了规则:{error}");
                row.why.en = format!("landlock refused the rules: {error}");
            }
            rows
        }
    }
}

/// What this kernel would hold.
pub(crate) fn probe(rules: &Rules) -> Vec<ProtectionRow> {
    rows(rules, supported())
}

fn restrict(rules: &Rules) -> Result<RulesetStatus, RulesetError> {
    let reads = AccessFs::ReadFile | AccessFs::ReadDir;
    // Everything that is done to files but executing them.
    let writes = AccessFs::from_all(WANTED) & !AccessFs::Execute;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(WANTED))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(WANTED))?;
    if rules.connects.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let binds = rules.binds.iter().map(|port| (port, AccessNet::BindTcp));
    let connects = rules.connects.iter().flatten();
    let connects = connects.map(|port| (port, AccessNet::ConnectTcp));
    let ports = binds.chain(connects);
    // What is not there cannot be opened either: such rules are left out.
    let created = ruleset
        .create()?
        .add_rules(path_beneath_rules(&rules.read, reads))?
        .add_rules(path_beneath_rules(&rules.write, writes))?
        .add_rules(path_beneath_rules(
            &rules.execute,
            reads | AccessFs::Execute,
        ))?
        .add_rules(
            ports.map(|(port, access)| Ok::<_, RulesetError>(NetPort::new(*port, access))),
        )?;
    Ok(created.restrict_self()?.ruleset)
}

/// The kernel's number as far as it matters here, found by asking for each thing it brought; 0: no landlock.
fn supported() -> u8 {
    let strict = || Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let files = |abi| strict().handle_access(AccessFs::from_all(abi)).is_ok();
    if strict().scope(Scope::from_all(ABI::V6)).is_ok() {
        6
    } else if files(ABI::V5) {
        5
    } else if strict().handle_access(AccessNet::from_all(ABI::V4)).is_ok() {
        4
    } else if files(ABI::V3) {
        3
    } else if files(ABI::V2) {
        2
    } else {
        u8::from(files(ABI::V1))
    }
}

fn rows(rules: &Rules, has: u8) -> Vec<ProtectionRow> {
    vec![files(rules, has), tcp(rules, has), processes(has)]
}

fn files(rules: &Rules, has: u8) -> ProtectionRow {
    let kind = Protection::Files;
    if has == 0 {
        return row(
            kind,
            Standing::Missing,
            "内核无 landlock(需 Linux 5.13 以上,且启动参数 lsm= 含 landlock)",
            "no landlock in this kernel (Linux 5.13 or newer, and landlock among lsm=)",
        );
    }
    let list = |paths: &[PathBuf]| {
        let paths: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        match paths.is_empty() {
            true => "-".to_owned(),
            false => paths.join(" "),
        }
    };
    let (read, write, execute) = (list(&rules.read), list(&rules.write), list(&rules.execute));
    let zh = format!("可读 {read};可写 {write};可执行 {execute};landlock ABI {has}");
    let en = format!("reads {read}; writes {write}; executes {execute}; landlock ABI {has}");
    if has < FILES_WHOLE {
        let zh = format!("{zh};内核早于 6.2,不限截断文件");
        let en = format!("{en}; the kernel is older than 6.2 and does not hold truncation");
        return row(kind, Standing::Partly, &zh, &en);
    }
    row(kind, Standing::InForce, &zh, &en)
}

fn tcp(rules: &Rules, has: u8) -> ProtectionRow {
    let kind = Protection::Tcp;
    if has < TCP {
        let zh = format!("内核早于 6.7,landlock ABI {has} 不限 TCP");
        let en = format!("the kernel is older than 6.7: landlock ABI {has} does not hold TCP");
        return row(kind, Standing::Missing, &zh, &en);
    }
    let list = |ports: &[u16]| {
        let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
        match ports.is_empty() {
            true => ("无".to_owned(), "none".to_owned()),
            false => (ports.join(" "), ports.join(" ")),
        }
    };
    let binds = list(&rules.binds);
    let connects = match &rules.connects {
        Some(ports) => list(ports),
        None => (
            "任意(设备库)".to_owned(),
            "any (a device's library)".to_owned(),
        ),
    };
    let zh = format!("可监听端口 {};可外连端口 {}", binds.0, connects.0);
    let en = format!("binds ports {}; connects to ports {}", binds.1, connects.1);
    row(kind, Standing::InForce, &zh, &en)
}

fn processes(has: u8) -> ProtectionRow {
    let kind = Protection::Processes;
    if has < PROCESSES {
        let zh = format!("内核早于 6.12,landlock ABI {has} 不限信号与抽象套接字");
        let en = format!(
            "the kernel is older than 6.12: landlock ABI {has} does not hold signals and abstract sockets"
        );
        return row(kind, Standing::Missing, &zh, &en);
    }
    row(
        kind,
        Standing::InForce,
        "不能向沙箱外的进程发信号或连接其抽象套接字,不能跟踪它们",
        "no signal to, abstract socket of, or tracing of processes outside",
    )
}
