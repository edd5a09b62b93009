//! Every node as its own process. A child that ends is started again after a pause; closing a child's
//! standard input asks it to stop, so that no child outlives a supervisor that was killed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use guitai_types::NodeName;
use tokio::{
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinSet,
};

use crate::exit::START_AGAIN;

/// Pause before a child is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// Starts after which a child that never stays up for [`STEADY`] is given up.
const STARTS_MAX: u32 = 8;
/// A child that ran this long starts counting anew.
const STEADY: Duration = Duration::from_secs(20);
/// How long a child may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(8);

/// The children of one `up`.
pub(crate) struct Supervisor {
    stop: watch::Sender<bool>,
    children: JoinSet<Ended>,
}

/// A child that will not be started again.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) node: NodeName,
    pub(crate) why: String,
}

impl Supervisor {
    /// Starts `guitai run` for each node; their output goes to `<data>/<node>/node.log`.
    pub(crate) fn start(program: &Path, data: &Path, nodes: &[NodeName]) -> Self {
        let (stop, _) = watch::channel(false);
        let mut children = JoinSet::new();
        for node in nodes {
            let dir = data.join(node.as_str());
            children.spawn(keep(
                program.to_owned(),
                dir,
                node.clone(),
                stop.subscribe(),
            ));
        }
        Self { stop, children }
    }

    /// The next child that was given up; pends while all are kept.
    pub(crate) async fn given_up(&mut self) -> Ended {
        loop {
            match self.children.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Asks every child to stop and waits until all have.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.children.join_next().await.is_some() {}
    }
}

async fn keep(
    program: PathBuf,
    dir: PathBuf,
    node: NodeName,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let mut starts = 0;
    loop {
        let mut wanted = false;
        let started = now();
        let why = match spawn(&program, &dir) {
            Err(error) => error.to_string(),
            Ok(mut child) => {
                // Taken out, since waiting for a child closes the input it still holds.
                let input = child.stdin.take();
                let ended = tokio::select! {
                    status = child.wait() => Some(status),
                    () = asked(&mut stop) => None,
                };
                match ended {
                    Some(Ok(status)) => {
                        wanted = status.code() == Some(i32::from(START_AGAIN));
                        status.to_string()
                    }
                    Some(Err(error)) => error.to_string(),
                    None => {
                        halt(child, input).await;
                        return Ended {
                            node,
                            why: "stopped".to_owned(),
                        };
                    }
                }
            }
        };
        starts = if started.elapsed() > STEADY {
            1
        } else {
            starts + 1
        };
        if starts >= STARTS_MAX {
            return Ended { node, why };
        }
        if wanted {
            tracing::info!(%node, "node process asked to be started again");
            continue;
        }
        tracing::warn!(%node, %why, "node process ended; starting it again");
        tokio::select! {
            () = tokio::time::sleep(RESTART_PAUSE) => {}
            () = asked(&mut stop) => return Ended { node, why: "stopped".to_owned() },
        }
    }
}

async fn asked(stop: &mut watch::Receiver<bool>) {
    // An error means that the supervisor is gone, which asks the same.
    drop(stop.wait_for(|stop| *stop).await);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the supervisor times its own children; nothing replays it"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn spawn(program: &Path, dir: &Path) -> std::io::Result<Child> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.join("node.log"))?;
    Command::new(program)
        .arg("run")
        .arg("--supervised")
        .arg("--config")
        .arg(dir.join("node.toml"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
}

/// Closes the child's standard input, waits, and kills it only when it does not stop.
async fn halt(mut child: Child, input: Option<ChildStdin>) {
    drop(input);
    if tokio::time::timeout(STOP_MAX, child.wait()).await.is_err() {
        drop(child.kill().await);
    }
}
