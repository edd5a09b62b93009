//! The verifier in Python: one process over many packages, a line for a line.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// What a verifier says of a package.
pub(crate) struct Verdict {
    /// Names of the checks that fail, in their order.
    pub(crate) failing: Vec<String>,
    /// How the twelve points came out.
    pub(crate) statuses: Vec<String>,
}

/// A running one.
pub(crate) struct Peer {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it in `folder`, where its package lies; it trusts the root in that PEM file, and
    /// this policy where there is one.
    pub(crate) fn start(folder: &Path, root: &Path, policy: Option<&Path>) -> io::Result<Self> {
        let mut command = Command::new("python3");
        command
            .args(["-m", "verifier", "--batch", "--root"])
            .arg(root);
        if let Some(policy) = policy {
            command.arg("--policy").arg(policy);
        }
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(asks), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipe to python3"));
        };
        let answers = BufReader::new(out);
        Ok(Self {
            child,
            asks,
            answers,
        })
    }

    /// Its verdict on the package there, and on a film of it where there is one.
    pub(crate) fn verdict(&mut self, place: &Path, film: Option<&Path>) -> io::Result<Verdict> {
        let film = film.map_or_else(String::new, |film| format!("\t{}", film.display()));
        writeln!(self.asks, "{}{film}", place.display())?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other(
                "the verifier in Python ended: it may not, whatever the package",
            ));
        }
        let answer: Value = serde_json::from_str(&line)?;
        let texts = |name: &str| -> Vec<String> {
            let texts = answer[name].as_array().into_iter().flatten();
            texts.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let verdict = Verdict {
            failing: texts("failing"),
            statuses: texts("statuses"),
        };
        if answer["ok"] != Value::Bool(verdict.failing.is_empty()) {
            return Err(io::Error::other(format!("contradicts itself: {line}")));
        }
        Ok(verdict)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ended one way or the other; there is nothing to do about an error here.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
