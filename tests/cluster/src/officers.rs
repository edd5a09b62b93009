//! Disaster recovery as operators and officers of the demonstration use it: through the CLI.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use serde_json::Value;

use crate::{
    Deployment,
    deployment::{binary, wait_for},
    http,
};

/// How long one thing may take on a machine that has other work.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Officers of the demonstration, whose keys its data directory has.
pub const OFFICERS: [&str; 2] = ["chenjing", "liuyang"];

/// What a command answered, as JSON.
///
/// # Panics
/// When it is none.
pub fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!(
            "{} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// Code and detail of the error a command was refused with.
///
/// # Panics
/// When it was not refused.
pub fn refused(output: &Output) -> String {
    assert!(
        !output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let said: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| {
        panic!(
            "an error as JSON: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    });
    format!("{} {}", said["error"]["code"], said["error"]["detail"])
}

/// The words of a command line.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// `guitai dr verify`, which needs no cluster: its exit code and what it found.
pub fn verify(dir: &Path) -> (Option<i32>, Value) {
    let verified = Command::new(binary())
        .args(["dr", "verify", "--json", "--root"])
        .args([&dir.join("root.pem"), dir])
        .output()
        .expect("guitai runs");
    (verified.status.code(), answer(&verified))
}

impl Deployment {
    /// `guitai … --json` at any node that answers.
    pub fn ask(&self, line: &str) -> Output {
        let mut command = self.command(&words(line));
        command.arg("--json").output().expect("guitai runs")
    }

    /// `guitai … --json` about one node, by a login of the data directory.
    pub fn ask_at(&self, host: &str, line: &str) -> Output {
        let mut command = self.command(&words(line));
        command
            .args(["--json", "--url"])
            .arg(format!("http://{}", self.door(host)))
            .output()
            .expect("guitai runs")
    }

    /// Waits until a plan lacks no margin, and gives it.
    pub fn ready_for(&self, aim: &str) -> Value {
        wait_for(&format!("a plan for {aim}"), PATIENCE, || {
            let output = self.ask(&format!("dr plan {aim}"));
            output.status.success().then(|| answer(&output))
        })
    }

    /// Proposes, has two officers approve and waits for the end.
    pub fn carry_out(&self, propose: &str) -> Value {
        let run = self.begin(propose);
        answer(&self.ask(&format!("dr show {run} --wait")))
    }

    /// Proposes and has two officers approve; gives the run's id.
    pub fn begin(&self, propose: &str) -> String {
        let proposed = wait_for("the proposal", PATIENCE, || {
            let output = self.ask(&format!("{propose} --no-wait"));
            output.status.success().then(|| answer(&output))
        });
        let run = proposed["id"].as_str().expect("a run").to_owned();
        assert_eq!(proposed["state"]["state"], "proposed", "{proposed:#}");
        for officer in OFFICERS {
            let approved = self.ask(&format!("dr approve {run} --officer {officer}"));
            assert!(approved.status.success(), "{}", refused(&approved));
        }
        run
    }

    /// Which doors an edge tells its pages are alive; none while it does not answer.
    pub fn alive_at(&self, edge: &str) -> Vec<String> {
        let (_, body) = http::ask(self.door(edge), "GET", "/api/v1/doors", "", "");
        let told: Value = serde_json::from_str(&body).unwrap_or_default();
        let doors = told["doors"].as_array().into_iter().flatten();
        let alive = doors.filter(|door| door["alive"] == true);
        alive
            .filter_map(|door| door["node"].as_str().map(str::to_owned))
            .collect()
    }

    /// Fetches a report and checks it offline; gives the exit code and what was found.
    pub fn report(&self, run: &Value, out: &Path) -> (Option<i32>, Value) {
        let run = run["id"].as_str().expect("a run");
        let fetched = self.ask(&format!("dr report {run} --out {}", out.display()));
        let files = answer(&fetched)["files"].clone();
        assert!(files.to_string().contains("report.html"), "{files}");
        verify(out)
    }

    /// The centre that leads.
    pub fn leading_centre(&self) -> Option<String> {
        let status: Value = serde_json::from_slice(&self.ask("status").stdout).ok()?;
        let leads = status["nodes"]
            .as_array()?
            .iter()
            .find(|node| node["leader"] == true)?;
        leads["member"]["centre"].as_str().map(str::to_owned)
    }
}
