//! The peer's command line: files for it, runs of it, and a server of it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use guitai_crypto::x509::Identity;

/// The options that make OpenSSL speak RFC 8998, which its defaults leave out.
pub(crate) const NATIONAL: &[&str] = &[
    "-tls1_3",
    "-ciphersuites",
    "TLS_SM4_GCM_SM3",
    "-sigalgs",
    "sm2sig_sm3",
];

/// OpenSSL with a directory of files for it, deleted at the end.
pub(crate) struct OpenSsl {
    program: PathBuf,
    files: tempfile::TempDir,
}

/// What a run of it said.
pub(crate) struct Said {
    pub(crate) success: bool,
    /// Both outputs, one after the other.
    pub(crate) text: String,
}

impl Said {
    /// The text of a run that must have succeeded.
    pub(crate) fn ok(self) -> String {
        assert!(self.success, "{}", self.text);
        self.text
    }
}

impl OpenSsl {
    pub(crate) fn new() -> Self {
        let tree = std::env::var_os("GUITAI_OPENSSL")
            .expect("GUITAI_OPENSSL names the tree that tests/peers/openssl builds");
        let program = PathBuf::from(tree).join("apps/openssl");
        let files = tempfile::tempdir().unwrap();
        let openssl = Self { program, files };
        let version = openssl.run(&["version"]).ok();
        assert!(version.contains("OpenSSL 4.0.3 "), "{version}");
        openssl
    }

    /// Writes a file and gives its path back.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Where a file of that name is or will be.
    pub(crate) fn path(&self, name: &str) -> String {
        let path = self.files.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// The options that give it an identity.
    pub(crate) fn identity(&self, identity: &Identity) -> [String; 4] {
        let (chain, key) = identity.to_pem();
        let chain = self.file("node.pem", chain);
        let key = self.file("node.key", &*key);
        ["-cert".into(), chain, "-key".into(), key]
    }

    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Said {
        self.run_with(arguments, "")
    }

    /// Runs it to its end with `input`.
    pub(crate) fn run_with<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S], input: &str) -> Said {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A peer that ended early does not take its input; what it said tells why.
        let written = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if let Err(error) = written {
            text.push_str(&format!("\n(input not taken: {error})"));
        }
        let success = output.status.success();
        Said { success, text }
    }

    /// Starts `s_server` with `arguments` on a free port of the loopback; it reverses lines.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let mut all = vec!["s_server", "-accept", "127.0.0.1:0", "-rev"];
        all.extend_from_slice(arguments);
        let mut child = self
            .command(&all)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let addr = loop {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "s_server ended");
            if let Some(addr) = line.trim().strip_prefix("ACCEPT ") {
                break addr.parse().unwrap();
            }
        };
        // Its output must be taken, or it stops when the pipe is full.
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        Server { child, addr }
    }

    fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.files.path())
            .stdin(Stdio::piped());
        command
    }
}

/// A running `s_server`.
pub(crate) struct Server {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
