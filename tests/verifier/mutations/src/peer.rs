//! The verifier in Python: one process over many packages, a line for a line.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::Value;

/// A running one.
pub(crate) struct Peer {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts it in `folder`, where its package lies; it trusts the root in that PEM file.
    pub(crate) fn start(folder: &Path, root: &Path) -> io::Result<Self> {
        let mut child = Command::new("python3")
            .args(["-m", "verifier", "--batch", "--root"])
            .arg(root)
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

    /// Names of the checks that fail for the package in `dir`, in their order.
    pub(crate) fn failing(&mut self, dir: &Path) -> io::Result<Vec<String>> {
        writeln!(self.asks, "{}", dir.display())?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other(
                "the verifier in Python ended: it may not, whatever the package",
            ));
        }
        let answer: Value = serde_json::from_str(&line)?;
        let names = answer["failing"].as_array().into_iter().flatten();
        let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_owned).collect();
        if answer["ok"] != Value::Bool(names.is_empty()) {
            return Err(io::Error::other(format!("contradicts itself: {line}")));
        }
        Ok(names)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Ended one way or the other; there is nothing to do about an error here.
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}
