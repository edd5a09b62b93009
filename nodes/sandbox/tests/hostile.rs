//! Hostile code inside the sandbox of each role: every attempt fails there, and the same attempt works outside of it,
//! so that a sandbox with a hole turns this red.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    thread,
};

use guitai_types::sandbox::{Protection, Standing};

/// What was tried, and how it ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Worked,
    Refused,
    /// The process was ended for it (SIGSYS).
    Ended,
    /// Something else: no proof of anything.
    Other(String),
}

/// Scenes of this process; each test runs fewer than there are numbers.
static SCENES: AtomicU8 = AtomicU8::new(1);

/// Directories, listeners and a victim for one attempt.
struct Scene {
    dir: tempfile::TempDir,
    target: TcpListener,
    media: UdpSocket,
    victim: Child,
    door: SocketAddr,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, file) in [
            ("node", "own.pem"),
            ("node", "renewed.pem"),
            ("other", "key.pem"),
        ] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(file), "text").unwrap();
        }
        let (target, media) = loop {
            let target = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            if let Ok(media) = UdpSocket::bind(target.local_addr().unwrap()) {
                break (target, media);
            }
        };
        // A loopback address that no other scene has, so that the port of the rules is free.
        let [low, high, ..] = std::process::id().to_le_bytes();
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let door = Ipv4Addr::new(127, 64 + high % 64, low, number);
        let victim = Command::new("sleep").arg("60").spawn().unwrap();
        Self {
            dir,
            target,
            media,
            victim,
            door: (door, 4443).into(),
        }
    }

    fn command(&self, role: &str, mode: &str, attempt: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guitai-hostile"));
        let dir: PathBuf = self.dir.path().join("node");
        let target = self.target.local_addr().unwrap().port();
        let words = [role, mode, attempt];
        command.args(words).arg(dir).arg(self.door.to_string());
        command.args([target.to_string(), self.victim.id().to_string()]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.victim.kill());
        drop(self.victim.wait());
    }
}

fn outcome(output: &Output) -> Outcome {
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), output.status.signal()) {
        (Some(0), _) => Outcome::Worked,
        (Some(10), _) => Outcome::Refused,
        (_, Some(libc::SIGSYS)) => Outcome::Ended,
        other => Outcome::Other(format!("{other:?} {said} {wrong}")),
    }
}

fn attempt(role: &str, mode: &str, what: &str) -> Outcome {
    let scene = Scene::new();
    outcome(&scene.command(role, mode, what).output().unwrap())
}

/// What this kernel has not holds nothing: said, and not tried.
fn has(protection: Protection) -> bool {
    let rows = guitai_sandbox::probe(&guitai_sandbox::edge(guitai_sandbox::Edge::default()));
    let has = rows
        .iter()
        .any(|row| row.protection == protection && row.standing == Standing::InForce);
    if !has {
        eprintln!("SKIPPED in part: this kernel has no {protection:?} to hold: {rows:#?}");
    }
    has
}

const REFUSED_AT_EDGE: &[&str] = &[
    "append",
    "chmod",
    "connect-by-sending",
    "connect-tcp",
    "connect-udp",
    "create",
    "create-outside",
    "fork",
    "io-uring",
    "kill",
    "link",
    "listen",
    "memfd",
    "mkdir",
    "open-temporary",
    "open-writing",
    "own-memory",
    "personality",
    "pidfd",
    "rename",
    "socket-netlink",
    "socket-raw",
    "socket-tcp",
    "socket-udp",
    "socket-unix",
    "socketpair",
    "symlink",
    "truncate",
    "unlink",
    "unshare",
];
const ENDED_AT_EDGE: &[&str] = &["exec", "ptrace", "read-memory"];
const READ_AT_EDGE: &[&str] = &["read-other", "read-system"];

#[test]
fn an_edge_whose_code_is_replaced_reaches_nothing() {
    assert!(
        has(Protection::Door),
        "seccomp is in every kernel that nodes run on"
    );
    let mut wrong = Vec::new();
    let mut expect = |what: &str, expected: Outcome| {
        let outside = attempt("free", "enforce", what);
        if outside != Outcome::Worked {
            wrong.push(format!(
                "{what} proves nothing, it does not work outside: {outside:?}"
            ));
        }
        let inside = attempt("edge", "enforce", what);
        if inside != expected {
            wrong.push(format!("{what} at an edge: {inside:?}, not {expected:?}"));
        }
    };
    for what in REFUSED_AT_EDGE {
        expect(what, Outcome::Refused);
    }
    for what in ENDED_AT_EDGE {
        expect(what, Outcome::Ended);
    }
    if has(Protection::Files) {
        for what in READ_AT_EDGE {
            expect(what, Outcome::Refused);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A program is started by a process that is made for it; either is the end of it.
    let spawned = attempt("edge", "enforce", "spawn");
    assert!(
        matches!(spawned, Outcome::Refused | Outcome::Ended),
        "{spawned:?}"
    );
}

/// What landlock refuses as well is refused without it: on an old kernel the filter of calls is all there is.
#[test]
fn an_edge_without_landlock_reaches_nothing_either() {
    let refused = REFUSED_AT_EDGE.iter().chain(ENDED_AT_EDGE);
    let refused = refused.filter(|what| **what != "connect-by-sending");
    let wrong: Vec<_> = refused
        .map(|what| (what, attempt("sealed", "enforce", what)))
        .filter(|(_, outcome)| *outcome != Outcome::Refused)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_edge_still_serves() {
    for role in ["free", "sealed", "edge"] {
        let scene = Scene::new();
        let child = scene.command(role, "enforce", "serve").spawn().unwrap();
        let echoed = thread::scope(|scope| {
            scope.spawn(|| {
                let mut datagram = [0; 4];
                let (count, from) = scene.media.recv_from(&mut datagram).unwrap();
                scene.media.send_to(&datagram[..count], from).unwrap();
            });
            let mut customer = loop {
                match TcpStream::connect(scene.door) {
                    Ok(customer) => break customer,
                    Err(_) => thread::yield_now(),
                }
            };
            customer.write_all(b"ping").unwrap();
            let mut echoed = [0; 4];
            customer.read_exact(&mut echoed).unwrap();
            echoed
        });
        assert_eq!(&echoed, b"ping");
        assert_eq!(
            outcome(&child.wait_with_output().unwrap()),
            Outcome::Worked,
            "{role}"
        );
        assert_eq!(
            attempt(role, "enforce", "thread"),
            Outcome::Worked,
            "{role}"
        );
    }
    let scene = Scene::new();
    let aborted = scene.command("edge", "enforce", "abort").output().unwrap();
    assert_eq!(
        aborted.status.signal(),
        Some(libc::SIGABRT),
        "a process can end itself"
    );
}

#[test]
fn an_inner_node_writes_what_is_its_own_and_takes_over_nothing() {
    let mut expected = vec![
        ("core", "create", Outcome::Worked),
        ("core", "rename", Outcome::Worked),
        ("core", "read-system", Outcome::Worked),
        ("core", "socket-udp", Outcome::Worked),
        ("core", "thread", Outcome::Worked),
        ("core", "exec", Outcome::Ended),
        ("core", "fork", Outcome::Refused),
        ("core", "ptrace", Outcome::Ended),
        ("core", "io-uring", Outcome::Refused),
        ("core", "unshare", Outcome::Refused),
        ("core", "connect-by-sending", Outcome::Refused),
        ("recorder", "exec", Outcome::Worked),
        ("recorder", "spawn", Outcome::Worked),
        ("recorder", "ptrace", Outcome::Ended),
        ("recorder", "io-uring", Outcome::Refused),
    ];
    if has(Protection::Files) {
        expected.push(("core", "create-outside", Outcome::Refused));
        expected.push(("core", "read-other", Outcome::Refused));
        expected.push(("core", "own-memory", Outcome::Refused));
    }
    if has(Protection::Tcp) {
        expected.push(("core", "connect-tcp", Outcome::Refused));
        expected.push(("recorder", "connect-tcp", Outcome::Refused));
    }
    if has(Protection::Processes) {
        expected.push(("core", "kill", Outcome::Refused));
    }
    let tried = expected.iter().map(|(role, what, _)| {
        let outcome = attempt(role, "enforce", what);
        (*role, *what, outcome)
    });
    assert_eq!(tried.collect::<Vec<_>>(), expected);
}

#[test]
fn in_report_nothing_is_refused() {
    for what in [
        "connect-tcp",
        "create",
        "exec",
        "ptrace",
        "fork",
        "read-other",
    ] {
        assert_eq!(attempt("edge", "report", what), Outcome::Worked, "{what}");
    }
}
