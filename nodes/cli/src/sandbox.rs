//! `sandbox status` and `sandbox check`: what holds the nodes' processes, and what this machine's kernel can give.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use guitai_types::{
    record::Duty,
    sandbox::{ProtectionRow, SandboxMode, SandboxState, SandboxView, state},
};
use serde_json::json;

use crate::{Asked, Done, FINDINGS, Language, Output, failure::Failure, show, staff, table::Table};

/// What is asked about sandboxes.
#[derive(Debug, Subcommand)]
pub enum Sandbox {
    /// 各节点的沙箱,逐项 / The sandbox of every node, row by row
    Status(Asked),
    /// 本机内核能给各角色什么;不进入任何沙箱 / What this machine's kernel can give each role; enters nothing
    Check(Check),
}

/// Arguments of `sandbox check`.
#[derive(Debug, Args)]
pub struct Check {
    /// 只看一种角色 / One role only
    #[arg(long)]
    pub role: Option<Held>,
    /// How to show it.
    #[command(flatten)]
    pub output: Output,
}

/// A role as the sandbox sees it: what else an inner node is makes no difference to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Held {
    /// 边缘节点 / An edge
    Edge,
    /// 核心或中继 / Core or relay
    Core,
    /// 录制节点:为合成录像执行 ffmpeg / A recorder: executes ffmpeg, for films
    Recorder,
}

impl Held {
    const ALL: [Self; 3] = [Self::Edge, Self::Core, Self::Recorder];

    const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Core => "core",
            Self::Recorder => "recorder",
        }
    }

    fn rows(self) -> Vec<ProtectionRow> {
        // Which directories and ports they are, a node's own configuration says.
        let own = vec![PathBuf::from("<node>")];
        let rules = match self {
            Self::Edge => guitai_sandbox::edge(guitai_sandbox::Edge {
                own,
                door: DOOR,
                foreign: false,
            }),
            Self::Core | Self::Recorder => guitai_sandbox::inner(guitai_sandbox::Inner {
                own,
                programs: match self {
                    Self::Recorder => vec![PathBuf::from("$PATH")],
                    _ => Vec::new(),
                },
                door: DOOR,
                ..guitai_sandbox::Inner::default()
            }),
        };
        guitai_sandbox::probe(&rules)
    }
}

/// The door of the profile that ships.
const DOOR: u16 = 4443;

impl Sandbox {
    pub(crate) const fn output(&self) -> &Output {
        match self {
            Self::Status(asked) => &asked.output,
            Self::Check(check) => &check.output,
        }
    }
}

pub(crate) async fn answer(command: &Sandbox, lang: Language) -> Result<Done, Failure> {
    match command {
        Sandbox::Status(asked) => status(asked, lang).await,
        Sandbox::Check(which) => check(which, lang),
    }
}

/// A sandbox that is not whole, or not known, is a finding.
async fn status(asked: &Asked, lang: Language) -> Result<Done, Failure> {
    let door = staff::enter(&asked.access, &[Duty::Operator, Duty::Auditor]).await?;
    let view: SandboxView = door.get("/api/v1/sandbox").await?;
    let is_whole = |node: &guitai_types::sandbox::NodeSandbox| node.state() == SandboxState::Whole;
    let whole = view.silent.is_empty() && view.nodes.iter().all(is_whole);
    let text = if asked.output.json {
        show::json(&view)?
    } else {
        words(&view, lang)
    };
    let exit = if whole { 0 } else { FINDINGS };
    Ok(Done { text, exit })
}

fn check(which: &Check, lang: Language) -> Result<Done, Failure> {
    let roles = Held::ALL.into_iter();
    let roles = roles.filter(|role| which.role.is_none_or(|only| only == *role));
    let checked: Vec<_> = roles.map(|role| (role, role.rows())).collect();
    let of = |rows: &[ProtectionRow]| state(SandboxMode::Enforce, rows);
    let whole = checked
        .iter()
        .all(|(_, rows)| of(rows) == SandboxState::Whole);
    let text = if which.output.json {
        let roles: Vec<_> = checked
            .iter()
            .map(|(role, rows)| json!({"role": role.name(), "state": of(rows), "rows": rows}))
            .collect();
        show::json(&json!({ "roles": roles }))?
    } else {
        let parts = checked
            .iter()
            .map(|(role, rows)| part(role.name(), of(rows), rows, lang));
        parts.collect()
    };
    let exit = if whole { 0 } else { FINDINGS };
    Ok(Done { text, exit })
}

fn words(view: &SandboxView, lang: Language) -> String {
    let mut text = String::new();
    for node in &view.nodes {
        let title = format!("{} · {} · {}", node.node, node.zone, node.mode.as_str());
        text.push_str(&part(&title, node.state(), &node.rows, lang));
    }
    for node in &view.silent {
        let silent = lang.pick("无应答,情况不明", "no answer; nothing is known of it");
        text.push_str(&format!("{node}: {silent}\n"));
    }
    text
}

fn part(title: &str, state: SandboxState, rows: &[ProtectionRow], lang: Language) -> String {
    let (zh, en) = state.words();
    let mut table = Table::new(match lang {
        Language::Zh => ["  保护", "情况", "细节"],
        Language::En => ["  protection", "stands", "detail"],
    });
    for row in rows {
        let (name, stands) = (row.protection.words(), row.standing.words());
        table.row([
            format!("  {}", lang.pick(name.0, name.1)),
            lang.pick(stands.0, stands.1).to_owned(),
            lang.of(&row.why).to_owned(),
        ]);
    }
    format!("{title} · {}\n{}", lang.pick(zh, en), table.render())
}
