//! `guitai run`: one node. Everything is read before anything is bound, everything is bound before
//! anything is served.

mod agreed;
mod custody;
mod doorway;
mod edge;
mod error;
mod inner;
mod inventory;
mod links;
mod observing;
mod renewal;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use guitai_crypto::selftest;
use guitai_host::{Clock, SystemClock};
use guitai_types::{Code, Date, Role, Zone};
use tokio::{io::AsyncReadExt as _, sync::watch};

use crate::{
    config::{ConfigError, NodeConfig},
    exit::{Failure, START_AGAIN, chain},
    flows::{self, Flows},
};

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// 节点配置 / The node's configuration
    #[arg(long)]
    config: PathBuf,
    /// 标准输入关闭时停止 / Stop when standard input closes: no node outlives its supervisor
    #[arg(long)]
    supervised: bool,
}

/// Why a node ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It was asked to.
    Asked,
    /// Its lineage has changed: it goes on in a new process.
    StartAgain,
}

/// Runs the node until it is asked to stop.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let checks = selftest().map_err(|error| logged(&error, failed))?;
    let config = NodeConfig::load(&arguments.config).map_err(|error| logged(&error, refused))?;
    let name = config.member.name.clone();
    let supervised = arguments.supervised;
    let stop = stop_signal(supervised);
    tracing::info!(node = %name, version = env!("CARGO_PKG_VERSION"), "starting");
    let gate = match gate(&config) {
        Ok(gate) => gate,
        Err(failure) => {
            tracing::error!(error = %failure.problem, "the node does not run");
            if supervised {
                failure.report();
                end_at_once(failure.code);
            }
            return Err(failure);
        }
    };
    let outcome = if config.member.has(Role::Edge) {
        let ran = edge::run(config, gate, checks, stop).await;
        ran.map(|()| Ended::Asked)
    } else {
        inner::run(config, gate, checks, stop).await
    };
    let ended = match outcome {
        Ok(ended) => ended,
        Err(error) => {
            let failure = logged(&error, |error| Failure::new(error.code(), chain(error)));
            if supervised {
                failure.report();
                end_at_once(failure.code);
            }
            return Err(failure);
        }
    };
    tracing::info!(node = %name, "stopped");
    match ended {
        Ended::Asked => Ok(ExitCode::SUCCESS),
        Ended::StartAgain => end_at_once(START_AGAIN),
    }
}

/// What the flow matrix says of this node: it does not start where it may not listen, and speaks with nobody whom no
/// row names.
fn gate(config: &NodeConfig) -> Result<Arc<flows::Door>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let flows = Flows::read(config.files.flows.as_deref())?;
    flows.listeners(&config.member, Date::of(clock.wall()))?;
    if let Some(sink) = &config.sink {
        flows.sink(sink, Date::of(clock.wall()))?;
    }
    flows.say();
    let members = [&config.peers[..], std::slice::from_ref(&config.member)].concat();
    // An edge writes no file: it starts with the one it was founded with, and is brought the one in force.
    let file = config.files.flows.clone();
    let file = file.filter(|_| config.member.zone == Zone::Inner);
    Ok(flows.gate(&config.member, &members, config.sink.clone(), file, clock))
}

/// Ends the process. A supervised node's reader of standard input would hold the runtime's end until the
/// supervisor closes it, and the supervisor waits for this very end.
fn end_at_once(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

/// The cryptography computes something else than the standards' examples.
#[derive(Debug, thiserror::Error)]
#[error("self-test failed: {failed}")]
struct SelfTestError {
    /// Names of the checks, and where the examples stand.
    failed: String,
}

/// Nothing is read, bound or served with cryptography that computes wrong. An auditor sees this work
/// by naming a check in [`guitai_cli::BREAK_SELFTEST`].
fn selftest() -> Result<Vec<selftest::Check>, SelfTestError> {
    let broken = std::env::var(guitai_cli::BREAK_SELFTEST).ok();
    let checks = selftest::run(broken.as_deref());
    if selftest::all_passed(&checks) {
        return Ok(checks);
    }
    let failed = checks.iter().filter(|check| !check.passed);
    let failed: Vec<String> = failed
        .map(|check| format!("{} ({})", check.name, check.source))
        .collect();
    Err(SelfTestError {
        failed: failed.join(", "),
    })
}

fn failed(error: &SelfTestError) -> Failure {
    Failure::new(Code::SelfTestFailed, error.to_string())
}

fn refused(error: &ConfigError) -> Failure {
    Failure::new(Code::BadProfile, chain(error))
}

/// Logs a chain of causes once, where it is consumed.
fn logged<E: std::error::Error + 'static>(error: &E, failure: impl Fn(&E) -> Failure) -> Failure {
    tracing::error!(error = %chain(error), "the node does not run");
    failure(error)
}

/// Turns true on SIGTERM, on Ctrl-C, and for a supervised node when its standard input closes.
fn stop_signal(supervised: bool) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        asked(supervised).await;
        sender.send_replace(true);
        // Keeps the channel open: receivers must not mistake its end for a second signal.
        std::future::pending::<()>().await;
    });
    receiver
}

async fn asked(supervised: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        // In a terminal Ctrl-C reaches the whole group; a supervised node waits for its supervisor.
        _ = tokio::signal::ctrl_c(), if !supervised => {}
        () = input_closes(), if supervised => {}
    }
}

async fn input_closes() {
    let mut input = tokio::io::stdin();
    let mut sink = [0; 64];
    while let Ok(count) = input.read(&mut sink).await {
        if count == 0 {
            return;
        }
    }
}

/// Resolves when the node is asked to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end too.
    drop(stop.wait_for(|stop| *stop).await);
}
