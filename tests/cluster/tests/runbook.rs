//! Every command of `docs/operating/dr.md`, in its order, by a shell as a person types it: what the page
//! says is run, and what the page says of the exit code is what comes.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use guitai_cluster::{
    Deployment,
    deployment::{binary, wait_for},
};
use serde_json::Value;

/// How long a command may need until it answers as the page says: some wait for nodes to come back.
const PATIENCE: Duration = Duration::from_secs(120);
/// City A, edges and all.
const CITY_A: [&str; 6] = ["a1-1", "a1-2", "a2-1", "a2-2", "edge-a1", "edge-a2"];
/// Every command of disaster recovery must be on the page.
const MUST_NAME: [&str; 12] = [
    "dr plan",
    "dr rehearse",
    "dr run",
    "dr approve",
    "dr abort",
    "dr failback",
    "dr show",
    "dr report",
    "dr verify",
    "dr history",
    "dr key new",
    "dr key register",
];

/// A block of the page: what its marker says, and its lines.
struct Block {
    marker: String,
    lines: Vec<Line>,
}

/// A line of the page.
struct Line {
    text: String,
    /// What the page says it ends with.
    exit: i32,
}

impl Line {
    fn read(line: &str, exit: i32) -> Self {
        let (text, remark) = line.split_once(" #").unwrap_or((line, ""));
        let said = remark.split("exit code ").nth(1);
        let exit = said.map_or(exit, |code| code.trim().parse().expect("a number"));
        Self {
            text: text.trim().to_owned(),
            exit,
        }
    }

    /// Waits for its officers, so that the next lines are typed in other terminals.
    fn waits(&self) -> bool {
        let proposes = ["guitai dr run ", "guitai dr failback "];
        proposes.iter().any(|it| self.text.starts_with(it)) && !self.text.contains("--no-wait")
    }

    fn url(&self) -> Option<&str> {
        self.text.split("--url ").nth(1)?.split(' ').next()
    }
}

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating/dr.md");
    fs::read_to_string(page).expect("the page")
}

fn blocks(page: &str) -> Vec<Block> {
    let begun = page.split("<!-- commands:begin").skip(1);
    let read = |block: &str| {
        let (marker, rest) = block.split_once("-->").expect("a marker");
        let lines = rest.split("<!-- commands:end").next().expect("and its end");
        let lines = lines.lines().filter(|line| line.starts_with("guitai "));
        Block {
            marker: marker.to_owned(),
            lines: lines.map(|line| Line::read(line, 0)).collect(),
        }
    };
    begun.map(read).collect()
}

/// The terminals of everybody who takes part.
struct Room {
    deployment: Deployment,
    run: String,
    waiting: Option<Child>,
}

impl Room {
    fn dir(&self) -> &Path {
        self.deployment.dir.path()
    }

    /// The line as this deployment needs it: its ports, the present run.
    fn typed(&self, line: &Line) -> Command {
        let text = line
            .text
            .replace(":4443", &format!(":{}", self.deployment.door_port))
            .replace(" RUN", &format!(" {}", self.run));
        let tools = self.dir().join("bin").display().to_string();
        let paths = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("bash");
        shell
            .args(["-euc", &text])
            .current_dir(self.dir())
            .env("PATH", format!("{tools}:{paths}"))
            .env_remove("GUITAI_TOKEN")
            .env_remove("GUITAI_URL");
        // An officer's own terminal has the officer's secrets.
        for officer in ["chenjing", "liuyang"] {
            if text.contains(&format!("--name {officer}")) || text.contains(&format!("/{officer} "))
            {
                let secret = self.password(officer);
                shell.env("GUITAI_PASSWORD", &secret);
                shell.env("GUITAI_OFFICER_PASSPHRASE", &secret);
            }
        }
        shell
    }

    fn password(&self, name: &str) -> String {
        let file = self.deployment.data().join("demo-login.json");
        let logins = json(&fs::read(file).expect("the login file"));
        let accounts = logins["accounts"].as_array().expect("accounts").iter();
        let found = accounts.clone().find(|it| it["name"] == name);
        let password = found.and_then(|it| it["password"].as_str());
        password.expect("a password").to_owned()
    }

    /// Types a line again until it ends as the page says: a margin may be missing for a moment.
    fn carry_out(&mut self, line: &Line) {
        if line.waits() {
            return self.propose(line);
        }
        wait_for(
            &format!("{:?} to end as written", line.text),
            PATIENCE,
            || {
                let output = self.typed(line).output().expect("bash runs");
                let ended = output.status.code() == Some(line.exit);
                if !ended {
                    let said = String::from_utf8_lossy(&output.stderr);
                    eprintln!("{} {:?}: {said}", line.text, output.status.code());
                }
                ended.then_some(())
            },
        );
        if line.text.contains("--no-wait") {
            self.run = self.newest(line).expect("a run");
        }
    }

    /// Begins a command that waits for officers; what follows goes on beside it.
    fn propose(&mut self, line: &Line) {
        let before = self.newest(line);
        let found = wait_for(&format!("{:?} to be proposed", line.text), PATIENCE, || {
            let mut child = match self.waiting.take() {
                Some(child) => child,
                None => {
                    let mut command = self.typed(line);
                    command.stdout(Stdio::null()).spawn().expect("bash runs")
                }
            };
            // Refused, mostly since a node lags: it is typed again.
            if child.try_wait().expect("asked").is_none() {
                self.waiting = Some(child);
            }
            self.newest(line).filter(|run| Some(run) != before.as_ref())
        });
        self.run = found;
    }

    /// Waits for the command that waited for officers.
    fn ended(&mut self) {
        let Some(mut child) = self.waiting.take() else {
            return;
        };
        let status = wait_for("the run to end", PATIENCE, || {
            child.try_wait().expect("asked")
        });
        assert_eq!(status.code(), Some(0), "run {} is not green", self.run);
    }

    fn newest(&self, line: &Line) -> Option<String> {
        let url = line.url().map(|url| format!(" --url {url}"));
        let ask = format!("guitai dr history --json{}", url.unwrap_or_default());
        let output = self.typed(&Line::read(&ask, 0)).output().ok()?;
        let runs: Value = serde_json::from_slice(&output.stdout).ok()?;
        runs[0]["id"].as_str().map(str::to_owned)
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn the_page_names_every_command_and_no_command_stands_outside_a_tested_block() {
    let page = page();
    let tested: Vec<Line> = blocks(&page).into_iter().flat_map(|it| it.lines).collect();
    let written = page.lines().filter(|line| line.starts_with("guitai "));
    assert_eq!(written.count(), tested.len());
    let named: BTreeSet<&str> = MUST_NAME
        .into_iter()
        .filter(|name| {
            let begin = format!("guitai {name} ");
            let is = |line: &Line| format!("{} ", line.text).starts_with(&begin);
            tested.iter().any(is)
        })
        .collect();
    assert_eq!(named, BTreeSet::from(MUST_NAME));
}

#[test]
fn every_command_of_the_runbook_does_what_the_page_says() {
    let mut deployment = Deployment::prepare();
    deployment.up();
    let root = deployment.data().join("pki/root.pem");
    fs::copy(root, deployment.dir.path().join("root.pem")).expect("the root, another way");
    let link = |to: &Path, name: &str| {
        let name = deployment.dir.path().join(name);
        std::os::unix::fs::symlink(to, name).expect("a link");
    };
    link(&deployment.data(), "guitai-data");
    fs::create_dir(deployment.dir.path().join("bin")).expect("a directory");
    link(&binary(), "bin/guitai");
    let mut room = Room {
        deployment,
        run: String::new(),
        waiting: None,
    };
    for block in blocks(&page()) {
        if block.marker.contains("freezes city A") {
            CITY_A.iter().for_each(|node| room.deployment.freeze(node));
        }
        if block.marker.contains("come back") {
            CITY_A.iter().for_each(|node| room.deployment.thaw(node));
        }
        for line in &block.lines {
            if !line.text.starts_with("guitai dr approve ") {
                room.ended();
            }
            eprintln!("$ {}", line.text);
            room.carry_out(line);
        }
        room.ended();
    }
    // What the last commands left: city A leads again, in the epoch of the takeover.
    let status = json(&room.deployment.ask("status").stdout);
    assert_eq!(status["epoch"], 2);
    let leads = status["nodes"]
        .as_array()
        .and_then(|nodes| nodes.iter().find(|node| node["leader"] == true))
        .expect("a leader");
    assert_eq!(leads["member"]["centre"], "a1");
    for report in ["report", "city"] {
        let page = fs::read_to_string(room.dir().join(report).join("report.html"));
        assert!(page.expect("a page to print").contains("<html"));
    }
}
