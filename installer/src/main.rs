//! `guitai-install`: plan, apply, undo.

use std::{
    path::{Path, PathBuf},
    process::{Command as Process, ExitCode},
};

use clap::{Parser, Subcommand};
use guitai_installer::{Facts, Step, Wanted, apply, plan, undo};
use guitai_types::profile::Profile;

/// 柜台安装程序:先计划,后执行,可撤销 / Guitai's installer: plans before it acts, and can undo it
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// 检查部署配置 / Check a profile
    Check {
        /// 配置文件 / The profile
        profile: PathBuf,
    },
    /// 列出将要做的每一步,不作任何改动 / Print every step; change nothing
    Plan(Host),
    /// 执行 / Carry the plan out
    Apply(Host),
    /// 撤销所做的一切 / Undo everything that was done
    Undo {
        /// 主机根目录 / The host's root directory
        #[arg(long, default_value = "/")]
        root: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct Host {
    /// guitai 程序 / The guitai binary
    #[arg(long)]
    binary: PathBuf,
    /// 节点目录(含 node.toml) / A founded node's directory, with node.toml
    #[arg(long)]
    node_dir: PathBuf,
    /// 主机根目录 / The host's root directory
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// 以 JSON 输出 / Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guitai-install: {error}");
            let mut source = error.source();
            while let Some(inner) = source {
                eprintln!("  {inner}");
                source = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Check { profile } => {
            let parsed: Profile = toml::from_str(&std::fs::read_to_string(&profile)?)?;
            parsed.check()?;
            println!(
                "{}: {} 个节点,可以部署 / {0} nodes, can be deployed",
                profile.display(),
                parsed.nodes.len()
            );
        }
        Command::Plan(host) => show(&steps(&host)?, host.json)?,
        Command::Apply(host) => {
            let steps = steps(&host)?;
            show(&steps, host.json)?;
            let count = steps.len();
            apply(&host.root, &steps, |index, step| {
                eprintln!("[{}/{count}] {}", index + 1, step.target().display());
            })?;
        }
        Command::Undo { root } => {
            let undone = undo(&root, |step| {
                eprintln!("撤销 / undo {}", step.target().display());
            })?;
            println!("{undone} 步已撤销 / {undone} steps undone");
        }
    }
    Ok(())
}

fn steps(host: &Host) -> Result<Vec<Step>, guitai_installer::PlanError> {
    let wanted = Wanted {
        binary: host.binary.clone(),
        node_dir: host.node_dir.clone(),
        root: host.root.clone(),
    };
    plan(&wanted, &facts())
}

fn show(steps: &[Step], json: bool) -> Result<(), serde_json::Error> {
    if json {
        println!("{}", serde_json::to_string_pretty(steps)?);
        return Ok(());
    }
    for (index, step) in steps.iter().enumerate() {
        println!(
            "{:>3}  {:<60}  {}",
            index + 1,
            step.target().display(),
            step.why
        );
    }
    if steps.is_empty() {
        println!("无需改动 / nothing to change");
    }
    Ok(())
}

fn facts() -> Facts {
    let output = Path::new("/run/systemd/system")
        .exists()
        .then(|| Process::new("systemctl").arg("--version").output().ok())
        .flatten();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = text.and_then(|text| text.split_whitespace().nth(1).and_then(|v| v.parse().ok()));
    Facts { systemd: version }
}
