//! One deployment under test.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Every node of the demo.
pub const NODES: [&str; 9] = [
    "a1-1", "a1-2", "a2-1", "a2-2", "b-1", "b-2", "edge-a1", "edge-a2", "edge-b",
];

/// A running (or stopped) deployment in a directory of its own, on ports of its own.
pub struct Deployment {
    /// Everything of the test; removed at its end.
    pub dir: tempfile::TempDir,
    /// The profile: the demo's, on other ports.
    pub profile: PathBuf,
    /// Port of every door.
    pub door_port: u16,
    /// What every program started here finds in its environment beside ours.
    pub environment: Vec<(&'static str, String)>,
    up: Option<Child>,
}

impl Deployment {
    /// Prepares a deployment; starts nothing.
    pub fn prepare() -> Self {
        Self::prepare_with(|profile| profile)
    }

    /// The same with a profile that `change` makes of the demo's; starts nothing.
    pub fn prepare_with(change: impl FnOnce(String) -> String) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let (door_port, mesh_port) = free_ports();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/demo.toml");
        let text = fs::read_to_string(demo).expect("the demo profile");
        let text = change(text)
            .replace(":4443\"", &format!(":{door_port}\""))
            .replace(":7443\"", &format!(":{mesh_port}\""));
        let profile = dir.path().join("profile.toml");
        fs::write(&profile, text).expect("the profile can be written");
        Self {
            dir,
            profile,
            door_port,
            environment: Vec::new(),
            up: None,
        }
    }

    /// Prepares and starts; returns when it says that it is ready.
    pub fn start() -> Self {
        let mut deployment = Self::prepare();
        deployment.up();
        deployment
    }

    /// Data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts `guitai up` and waits for its line of JSON.
    pub fn up(&mut self) -> Value {
        let mut child = self
            .command(&["up", "--json"])
            .arg("--profile")
            .arg(&self.profile)
            .stdout(Stdio::piped())
            .spawn()
            .expect("guitai up starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("guitai up says something");
        self.up = Some(child);
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("not ready: {line:?}"));
        assert_eq!(ready["ready"], true);
        ready
    }

    /// Stops as Ctrl-C would and gives the exit code.
    pub fn down(&mut self) -> Option<i32> {
        let mut child = self.up.take()?;
        signal("-INT", child.id());
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().expect("the child can be asked") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("guitai up does not stop");
    }

    /// A command of the product on this deployment's data.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("GUITAI_TOKEN");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("guitai runs")
    }

    /// Runs a command with `--json` and reads its answer.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self
            .command(arguments)
            .arg("--json")
            .output()
            .expect("guitai runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            let (out, err) = (&output.stdout, &output.stderr);
            panic!(
                "{arguments:?}: {} {}",
                String::from_utf8_lossy(out),
                String::from_utf8_lossy(err)
            )
        })
    }

    /// The newest session whose recording is in this state.
    pub fn session_recording(&self, state: &str) -> Option<Value> {
        let sessions = self.json(&["sessions"]);
        let list = sessions
            .as_array()
            .or_else(|| sessions["sessions"].as_array())?;
        list.iter()
            .find(|session| session["recording"]["state"] == state)
            .cloned()
    }

    /// Process id of a node.
    pub fn pid(&self, node: &str) -> Option<u32> {
        let config = self
            .data()
            .join(node)
            .join("node.toml")
            .display()
            .to_string();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line)
                .split('\0')
                .any(|word| word == config)
        })
    }

    /// Kills a node the hard way.
    pub fn kill(&self, node: &str) {
        let pid = self.pid(node).unwrap_or_else(|| panic!("{node} runs"));
        signal("-KILL", pid);
    }

    /// Kills the supervisor the hard way; its nodes must end by themselves.
    pub fn kill_supervisor(&mut self) {
        let mut up = self.up.take().expect("guitai up runs");
        up.kill().expect("killed");
        up.wait().expect("reaped");
    }

    /// Freezes a node, as a machine that hangs; nothing of it answers until [`Deployment::thaw`].
    pub fn freeze(&self, node: &str) {
        signal(
            "-STOP",
            self.pid(node).unwrap_or_else(|| panic!("{node} runs")),
        );
    }

    /// Lets a frozen node go on.
    pub fn thaw(&self, node: &str) {
        signal(
            "-CONT",
            self.pid(node).unwrap_or_else(|| panic!("{node} runs")),
        );
    }

    /// Name of the node that leads now, as any core node says.
    pub fn leader(&self) -> String {
        let status = wait_for("a leader", Duration::from_secs(20), || {
            let status = self.json(&["status"]);
            let led = status["nodes"]
                .as_array()?
                .iter()
                .find(|node| node["leader"] == true)?
                .clone();
            Some(led)
        });
        status["member"]["name"]
            .as_str()
            .expect("a name")
            .to_owned()
    }

    /// Door of a node by the demo's addressing.
    pub fn door(&self, host: &str) -> SocketAddr {
        format!("{host}:{}", self.door_port)
            .parse()
            .expect("an address")
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            keep_logs(&self.data());
        }
        let Some(mut child) = self.up.take() else {
            return;
        };
        signal("-INT", child.id());
        for _ in 0..200 {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        drop(child.kill());
    }
}

/// Asks until there is an answer.
///
/// # Panics
/// When there is none in time.
pub fn wait_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The program under test.
///
/// # Panics
/// When it has not been built.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("GUITAI_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test knows its own path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps")
        .join("guitai");
    assert!(
        path.is_file(),
        "{} is missing: cargo build -p guitai",
        path.display()
    );
    path
}

/// Where logs of failed tests go: `GUITAI_ARTIFACTS`, else `artifacts` beside the profile's directory.
fn artifacts() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("GUITAI_ARTIFACTS") {
        return Some(path.into());
    }
    let test = std::env::current_exe().ok()?;
    Some(test.ancestors().nth(3)?.join("artifacts"))
}

/// Copies the nodes' logs of a test that fails to `<artifacts>/<test>/<node>.log`. Best effort: the test's own
/// words must come out.
fn keep_logs(data: &Path) {
    let test = std::thread::current();
    let name = test.name().unwrap_or("test").replace("::", "-");
    let Some(kept) = artifacts().map(|dir| dir.join(name)) else {
        return;
    };
    let nodes = fs::read_dir(data).into_iter().flatten().flatten();
    for node in nodes {
        let log = node.path().join("node.log");
        if log.is_file() && fs::create_dir_all(&kept).is_ok() {
            let name = format!("{}.log", node.file_name().to_string_lossy());
            drop(fs::copy(log, kept.join(name)));
        }
    }
    eprintln!("logs of the nodes: {}", kept.display());
}

fn signal(which: &str, pid: u32) {
    let status = Command::new("kill")
        .arg(which)
        .arg(pid.to_string())
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "kill {which} {pid}"
    );
}

/// Two port numbers free on loopback, out of the range the system hands out by itself.
fn free_ports() -> (u16, u16) {
    let start = 20_000 + (std::process::id() % 5_000) as u16 * 2;
    let free = |port: u16| TcpListener::bind(("127.1.2.1", port)).is_ok();
    let port = (start..30_000)
        .step_by(2)
        .find(|port| free(*port) && free(port + 1));
    let port = port.expect("a free port");
    (port, port + 1)
}
