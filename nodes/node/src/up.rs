//! `guitai up`: a whole deployment on this machine, every node its own process.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use guitai_host::{Clock as _, SystemClock};
use guitai_types::{Code, Role, Voice, record::Duty};
use serde_json::json;

use crate::{
    deployment::Deployment,
    exit::{Failure, NOT_VERIFIED},
    ports, ready, renewals,
    supervisor::Supervisor,
};

/// How long a start may take before it is called failed.
const READY_MAX: Duration = Duration::from_secs(60);

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// 数据目录 / Data directory
    #[arg(long, default_value = "guitai-data")]
    data: PathBuf,
    /// 部署配置;默认为内置的两地三中心演示 / Profile; the built-in demo of two cities unless given
    #[arg(long)]
    profile: Option<PathBuf>,
    /// 完成一通经校验的演示通话后退出 / Make one verified demo call, then stop
    #[arg(long)]
    demo: bool,
    /// 与 --demo 同用:将证据包保留于此目录 / With --demo: keep the evidence package here
    #[arg(long, requires = "demo")]
    keep_package: Option<PathBuf>,
    /// 只建立部署(证书、密钥、节点配置),不启动 / Found the deployment (certificates, keys, node configurations), start nothing
    #[arg(long, conflicts_with = "demo")]
    prepare: bool,
    /// 就绪信息以 JSON 输出 / Print what is ready as JSON
    #[arg(long)]
    json: bool,
}

/// Starts, says when it is ready, and stops on Ctrl-C or SIGTERM.
pub(crate) async fn up(arguments: Arguments) -> Result<ExitCode, Failure> {
    let now_unix = SystemClock::new().wall().0 / 1000;
    let profile = arguments.profile.as_deref();
    let deployment = Deployment::open(&arguments.data, profile, now_unix, |profile| {
        // Nodes that are started elsewhere bind their addresses there.
        if arguments.prepare {
            Ok(())
        } else {
            ports::all_free(profile)
        }
    })?;
    renewals::renew(&deployment.data, now_unix)
        .map_err(|error| Failure::from_error(Code::Internal, &error))?;
    if arguments.prepare {
        announce(&arguments, &deployment);
        return Ok(ExitCode::SUCCESS);
    }
    let program =
        std::env::current_exe().map_err(|error| Failure::from_error(Code::Internal, &error))?;
    let nodes: Vec<_> = deployment
        .profile
        .nodes
        .iter()
        .map(|node| node.name.clone())
        .collect();
    let mut supervisor = Supervisor::start(&program, &deployment.data, &nodes);

    let renewals = tokio::spawn(renewals::keep(deployment.data.clone()));
    let outcome = tokio::select! {
        outcome = serve(&arguments, &deployment) => outcome,
        ended = supervisor.given_up() => Err(Failure::new(
            Code::Internal,
            format!(
                "node {} does not stay up ({}); see {}",
                ended.node,
                ended.why,
                deployment.data.join(ended.node.as_str()).join("node.log").display(),
            ),
        )),
        () = asked_to_stop() => Ok(ExitCode::SUCCESS),
    };
    if !arguments.json {
        eprintln!("正在停止… / Stopping…");
    }
    renewals.abort();
    supervisor.stop().await;
    outcome
}

async fn serve(arguments: &Arguments, deployment: &Deployment) -> Result<ExitCode, Failure> {
    let (edges, cores) = (deployment.edges(), deployment.cores());
    let http = deployment.http()?;
    let wait = ready::wait(http, &edges, &cores, |ready, total| {
        progress(arguments.json, ready, total);
    });
    if tokio::time::timeout(READY_MAX, wait).await.is_err() {
        return Err(Failure::new(
            Code::NoLeader,
            format!(
                "not ready after {} s; see {}/<node>/node.log",
                READY_MAX.as_secs(),
                deployment.data.display()
            ),
        ));
    }
    announce(arguments, deployment);
    if !arguments.demo {
        return std::future::pending().await;
    }
    let demo = guitai_cli::Demo {
        calls: 1,
        at_once: 1,
        keep_package: arguments.keep_package.clone(),
        talk: 4,
        data: deployment.data.clone(),
        output: guitai_cli::Output {
            json: arguments.json,
            lang: None,
        },
    };
    let code = guitai_cli::run(guitai_cli::Command::Demo(demo)).await;
    Ok(if code == ExitCode::SUCCESS {
        code
    } else {
        ExitCode::from(NOT_VERIFIED)
    })
}

/// One line that counts up on a terminal; nothing into a pipe.
fn progress(json: bool, ready: usize, total: usize) {
    let mut out = std::io::stderr();
    if json || !out.is_terminal() {
        return;
    }
    let end = if ready == total { "\n" } else { "" };
    // A terminal that is gone is no reason to stop a cluster.
    drop(write!(out, "\r启动中 / Starting  {ready}/{total}{end}"));
    drop(out.flush());
}

fn announce(arguments: &Arguments, deployment: &Deployment) {
    let out = if arguments.json {
        in_json(deployment, arguments.prepare)
    } else {
        in_words(deployment, arguments.prepare)
    };
    println!("{out}");
}

fn in_json(deployment: &Deployment, prepared: bool) -> String {
    let nodes: Vec<_> = deployment
        .profile
        .nodes
        .iter()
        .map(|node| json!(node))
        .collect();
    json!({
        "ready": !prepared,
        "resumed": deployment.resumed,
        "data": deployment.data,
        "nodes": nodes,
        "edges": deployment.edges(),
        "cores": deployment.cores(),
        "login_file": deployment.data.join("demo-login.json"),
    })
    .to_string()
}

fn in_words(deployment: &Deployment, prepared: bool) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let how = if deployment.resumed {
        "已恢复 / resumed"
    } else {
        "已建立 / founded"
    };
    line(format!(
        "柜台 Guitai {} · {how} · {}",
        env!("CARGO_PKG_VERSION"),
        deployment.profile.name
    ));
    line(String::new());
    line(format!(
        "  {:<9} {:<5} {:<6} {:<15} {:<9} {:<16} 浏览器入口 door",
        "节点 node", "中心", "区域", "角色 roles", "表决", "mesh"
    ));
    for node in &deployment.profile.nodes {
        let roles: Vec<_> = node.roles.iter().map(|role| role_name(*role)).collect();
        let voice = match node.voice {
            Voice::Voter => "voter",
            Voice::Learner => "learner",
            Voice::None => "-",
        };
        line(format!(
            "  {:<11} {:<7} {:<8} {:<17} {voice:<11} {:<16} {}",
            node.name,
            node.centre,
            node.zone.to_string(),
            roles.join("+"),
            node.mesh.to_string(),
            node.door
        ));
    }
    line(String::new());
    for edge in deployment.edges() {
        line(format!("  客户 customer   {edge}"));
    }
    if let Some(core) = deployment.cores().first() {
        line(format!("  坐席 agent      {core}desk"));
        line(format!("  控制台 console  {core}console"));
    }
    line(String::new());
    for account in &deployment.logins.accounts {
        let page = if account.duties.contains(&Duty::Agent) {
            "坐席 agent"
        } else {
            "控制台 console"
        };
        line(format!(
            "  登录 login      {}  {}  {}   ({page})",
            account.institution, account.name, account.password
        ));
    }
    line(String::new());
    line(format!("  数据 data       {}", deployment.data.display()));
    line(
        "  密钥 keys       口令随数据存放,仅供演示 / the passphrase lies beside the keys: for demonstration only"
            .to_owned(),
    );
    line(if prepared {
        "  启动 start      guitai run --config <data>/<node>/node.toml".to_owned()
    } else {
        "  停止 stop       Ctrl-C".to_owned()
    });
    text
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Core => "core",
        Role::Relay => "relay",
        Role::Recorder => "recorder",
        Role::Edge => "edge",
    }
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
