//! `lab`: the laboratory for a person. `lab up` runs in the foreground and holds everything; every other
//! command changes it from another terminal.

#![expect(
    clippy::disallowed_methods,
    reason = "it waits for real processes by the real clock"
)]

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use guitai_lab::{Lab, LabError, Options, Topology, bench, control, matrix, soak, sweep};
use serde_json::{Value, json};

/// File with the id of the process that holds the laboratory.
const PID_FILE: &str = "pid";
/// How long `lab down` waits until everything is removed.
const DOWN_MAX: Duration = Duration::from_secs(60);

/// 柜台实验室:真实节点、网络命名空间与模拟广域网 / Guitai's laboratory: real nodes, network namespaces, an emulated WAN
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// 实验室目录 / The laboratory's directory
    #[arg(
        long,
        global = true,
        env = "GUITAI_LAB",
        default_value = "/var/tmp/guitai-lab"
    )]
    dir: PathBuf,
    /// 以 JSON 输出 / Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// 启动实验室(需 root;Ctrl-C 拆除)/ Bring the laboratory up (root; Ctrl-C takes it down)
    Up(Up),
    /// 与 etcd 并排测量 / Measure the core beside etcd, both in one run
    Bench(bench::Plan),
    /// 各类损失的 RTO 与 RPO / RTO and RPO of every kind of loss
    Matrix(matrix::Plan),
    /// 随机故障下长时间运行并核对历史 / A long run under random faults, and a check of its history
    Soak(soak::Plan),
    #[command(flatten)]
    Change(control::Request),
}

#[derive(Debug, clap::Args)]
struct Up {
    /// 拓扑:2l3c(两地三中心)或部署配置路径 / Topology: 2l3c (two cities, three centres) or a profile's path
    #[arg(long, default_value = "2l3c")]
    topology: String,
    /// 随机种子 / Seed of the WAN's chance
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// 浏览器入口端口 / Port of the doors
    #[arg(long)]
    door_port: Option<u16>,
    /// 被测程序 / The guitai under test
    #[arg(long, env = "GUITAI_BIN")]
    binary: Option<PathBuf>,
    /// 拆除后保留目录 / Keep the directory
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (dir, json) = (arguments.dir, arguments.json);
    let outcome = match arguments.command {
        Command::Up(up) => run(&up, dir, json),
        Command::Bench(plan) => compare(&plan, dir, json),
        Command::Matrix(plan) => losses(&plan, dir, json),
        Command::Soak(plan) => endure(&plan, dir, json),
        Command::Change(request) => change(&dir, &request, json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("错误 / error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(up: &Up, dir: PathBuf, json: bool) -> Result<(), LabError> {
    if std::os::unix::net::UnixStream::connect(control::socket(&dir)).is_ok() {
        let text = format!("a laboratory runs in {} already: lab down", dir.display());
        return Err(LabError::Refused(text));
    }
    let binary = match &up.binary {
        Some(binary) => binary.clone(),
        None => beside()?,
    };
    let stop = asked_to_stop();
    let options = Options {
        dir: dir.clone(),
        binary,
        seed: up.seed,
        keep: up.keep,
    };
    let lab = Lab::up(Topology::named(&up.topology, up.door_port)?, options)?;
    let pid = std::process::id().to_string();
    std::fs::write(dir.join(PID_FILE), pid).map_err(|source| LabError::Io {
        doing: "write",
        what: dir.join(PID_FILE).display().to_string(),
        source,
    })?;
    announce(&lab, json);
    control::serve(&lab, &dir, || stop.load(Ordering::Relaxed))?;
    if !json {
        eprintln!("正在拆除… / Taking the laboratory down…");
    }
    Ok(())
}

fn compare(plan: &bench::Plan, dir: PathBuf, json: bool) -> Result<(), LabError> {
    let binary = plan.binary.clone().map_or_else(beside, Ok)?;
    let report = bench::run(plan, binary, dir.join("bench"))?;
    if json {
        println!("{}", json!(report));
    } else {
        println!("{}", report.table());
    }
    Ok(())
}

fn losses(plan: &matrix::Plan, dir: PathBuf, json: bool) -> Result<(), LabError> {
    let binary = plan.binary.clone().map_or_else(beside, Ok)?;
    let samples = matrix::run(plan, binary, dir.join("matrix"))?;
    if json {
        println!("{}", json!(samples));
    } else {
        println!("{}", matrix::table(&samples));
    }
    Ok(())
}

/// Green is success, unless a loss was put in on purpose: then red is.
fn endure(plan: &soak::Plan, dir: PathBuf, json: bool) -> Result<(), LabError> {
    let binary = plan.binary.clone().map_or_else(beside, Ok)?;
    let verdict = soak::run(plan, binary, dir.join("soak"))?;
    if json {
        println!("{}", json!(verdict));
    } else {
        print!("{}", verdict.text());
    }
    if verdict.green == plan.inject_loss {
        let text = format!("seed {}: not as it must be", plan.seed);
        return Err(LabError::Refused(text));
    }
    Ok(())
}

fn change(dir: &Path, request: &control::Request, json: bool) -> Result<(), LabError> {
    let owner = owner(dir);
    let answer = match control::request(dir, request) {
        // Nothing runs: what a killed laboratory left behind is removed all the same.
        Err(_) if matches!(request, control::Request::Down) => {
            let removed = sweep();
            let text = format!("no laboratory runs; {} namespaces removed\n", removed.len());
            control::Answer {
                ok: true,
                text,
                json: json!({ "removed": removed }),
            }
        }
        other => other?,
    };
    if let (control::Request::Down, Some(owner)) = (request, &owner) {
        wait_until_gone(owner);
    }
    if json {
        println!("{}", answer.json);
    } else if answer.ok {
        print!("{}", answer.text);
    }
    if answer.ok {
        Ok(())
    } else {
        Err(LabError::Refused(answer.text))
    }
}

/// Process of the laboratory in `dir`; it ends when everything is removed.
fn owner(dir: &Path) -> Option<PathBuf> {
    let pid = std::fs::read_to_string(dir.join(PID_FILE)).ok()?;
    Some(Path::new("/proc").join(pid.trim()))
}

fn wait_until_gone(owner: &Path) {
    let asked = std::time::Instant::now();
    while owner.exists() && asked.elapsed() < DOWN_MAX {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn announce(lab: &Lab, json: bool) {
    let login = lab.data().join("demo-login.json");
    let login: Value = std::fs::read_to_string(login)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let edges: Vec<String> = lab
        .edges()
        .map(|host| format!("http://{}/", host.door))
        .collect();
    let cores = lab.hosts().iter().filter(|host| !host.is_edge);
    let cores: Vec<String> = cores.map(|host| format!("http://{}/", host.door)).collect();
    if json {
        let line = json!({
            "ready": true, "data": lab.data(), "edges": edges, "cores": cores, "login": login,
        });
        println!("{line}");
        return;
    }
    println!("实验室已就绪 / the laboratory is up\n");
    for edge in edges {
        println!("  客户 customer   {edge}");
    }
    for core in cores {
        println!("  内部 inner      {core}desk   {core}console");
    }
    for account in login["accounts"].as_array().into_iter().flatten() {
        let of = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
        println!(
            "  登录 login      {}  {}  {}",
            of("institution"),
            of("name"),
            of("password")
        );
    }
    println!("  数据 data       {}", lab.data().display());
    println!("  停止 stop       Ctrl-C, lab down");
}

/// The `guitai` built beside this program.
fn beside() -> Result<PathBuf, LabError> {
    let own = std::env::current_exe().unwrap_or_default();
    let binary = own.with_file_name("guitai");
    if binary.is_file() {
        return Ok(binary);
    }
    let text = format!("{} is missing: cargo build -p guitai", binary.display());
    Err(LabError::Refused(text))
}

/// Becomes true at Ctrl-C or SIGTERM.
fn asked_to_stop() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            asked.store(true, Ordering::Relaxed);
        });
    });
    stop
}
