//! `guitai run`: one node. Its sandbox is entered before the first thread, everything is read before anything is
//! bound, everything is bound before anything is served.

mod agreed;
mod certificate;
mod custody;
mod doorway;
mod edge;
mod error;
mod inner;
mod inventory;
mod links;
mod measure;
mod observing;
mod renewal;
mod sandbox;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use guitai_crypto::{keys::KeyStore, selftest, x509::Identity};
use guitai_host::{Clock, SystemClock, raise_open_files};
use guitai_types::{Code, Date, Role, Zone, inventory::CryptoPolicy, profile::DoorTls};
use tokio::{io::AsyncReadExt as _, runtime, sync::watch};

use crate::{
    config::{ConfigError, NodeConfig},
    exit::{Failure, START_AGAIN, chain},
    flows::{self, Flows},
    identity, keys,
};

use self::{certificate::Certificate, error::AssembleError, measure::Measure, sandbox::Sandbox};

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

/// What is made ready while the process may still do anything, and the sandbox that it is in since.
struct Ready {
    config: NodeConfig,
    gate: Arc<flows::Door>,
    keys: KeyStore,
    own: Identity,
    /// Of the door's TCP port, where it has TLS.
    certificate: Option<Certificate>,
    selftest: Vec<selftest::Check>,
    sandbox: Sandbox,
    measure: Measure,
    /// How many files it may have open.
    open_files: Option<u64>,
}

/// Runs the node until it is asked to stop. What threads there are begin after the sandbox, which holds those that
/// begin in it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let checks = selftest().map_err(|error| logged(&error, failed))?;
    let config = NodeConfig::load(&arguments.config).map_err(|error| logged(&error, refused))?;
    let name = config.member.name.clone();
    tracing::info!(node = %name, version = env!("CARGO_PKG_VERSION"), "starting");
    // How many processors there are is read of files that an edge does not see later.
    let mut threads = runtime::Builder::new_multi_thread();
    if let (None, Ok(count)) = (
        std::env::var_os("TOKIO_WORKER_THREADS"),
        std::thread::available_parallelism(),
    ) {
        threads.worker_threads(count.get());
    }
    let ready = ready(&arguments.config, config, checks).inspect_err(|failure| {
        tracing::error!(error = %failure.problem, "the node does not run");
    })?;
    let assembled = |error: AssembleError| logged(&error, assemble);
    let threads = threads.enable_all().build();
    let threads = threads.map_err(|error| assembled(AssembleError::Threads(error)))?;
    threads.block_on(serve(ready, arguments.supervised))
}

/// Everything that asks the machine or writes: afterwards there is only what the node's roles do.
fn ready(
    file: &Path,
    config: NodeConfig,
    selftest: Vec<selftest::Check>,
) -> Result<Ready, Failure> {
    let gate = gate(&config)?;
    let keys = keys::open(&config).map_err(|error| assemble(&error.into()))?;
    // Also wraps a key that lies there in plain.
    let own = identity::own(&config.files, &keys).map_err(|error| assemble(&error.into()))?;
    let since = SystemClock::new().wall();
    let measure = Measure::begin(file, &config.member, gate.clone(), since);
    let policy = config.crypto.policy;
    let opened = config
        .tls
        .as_ref()
        .map(|tls| Certificate::open(tls, policy));
    let certificate = opened
        .transpose()
        .map_err(|error| assemble(&error.into()))?;
    let open_files = raise_open_files();
    let sandbox = Sandbox::enter(&config, &keys)?;
    Ok(Ready {
        config,
        gate,
        keys,
        own,
        certificate,
        selftest,
        sandbox,
        measure,
        open_files,
    })
}

/// Whether a door's certificate could be served: said before anything is written or started.
pub(crate) fn check_certificate(tls: &DoorTls, policy: CryptoPolicy) -> Result<(), Failure> {
    let opened = Certificate::open(tls, policy);
    opened.map(drop).map_err(|error| assemble(&error.into()))
}

async fn serve(ready: Ready, supervised: bool) -> Result<ExitCode, Failure> {
    let name = ready.config.member.name.clone();
    let stop = stop_signal(supervised);
    let outcome = if ready.config.member.has(Role::Edge) {
        let ran = edge::run(ready, stop).await;
        ran.map(|()| Ended::Asked)
    } else {
        inner::run(ready, stop).await
    };
    let ended = match outcome {
        Ok(ended) => ended,
        Err(error) => {
            let failure = logged(&error, assemble);
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

fn assemble(error: &AssembleError) -> Failure {
    Failure::new(error.code(), chain(error))
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
