// An S3 server for tests: moto's, in a process of its own, with a door before it that can be shut.
//
// `tests/peers/moto` says where it is; without it the tests say that they are skipped.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A server, gone with this.
pub(crate) struct Moto {
    server: Child,
    at: SocketAddr,
    way: Arc<Mutex<Way>>,
    /// Where clients go: through the door.
    pub(crate) door: SocketAddr,
    requests: Arc<AtomicUsize>,
}

/// What the door does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Lets it through.
    Open,
    /// Lets so many requests through, then breaks the connection off in the middle of a body and is shut.
    After(usize),
    /// Answers every request so.
    Answer(&'static str),
    /// Ends it at once.
    Shut,
}

impl Moto {
    /// Starts one; says why not where it cannot.
    pub(crate) fn start() -> Option<Self> {
        let named = std::env::var_os("GUITAI_MOTO").map(PathBuf::from);
        let program = named.or_else(|| {
            let target = std::env::current_exe().ok()?;
            let roots = target
                .ancestors()
                .map(|it| it.join("peers/moto/bin/moto_server"));
            roots.into_iter().find(|it| it.is_file())
        });
        let Some(program) = program else {
            eprintln!("SKIPPED: no moto_server; tests/peers/moto makes one, GUITAI_MOTO names it");
            return None;
        };
        let mut server = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("INITIAL_NO_AUTH_ACTION_COUNT", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server starts");
        let errors = server.stderr.take().expect("it was asked for");
        let mut lines = BufReader::new(errors).lines();
        let at = loop {
            let line = lines
                .next()
                .expect("it says where it listens")
                .expect("in words");
            if let Some((_, rest)) = line.split_once("Running on http://") {
                let at: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_digit() || ".:".contains(*c))
                    .collect();
                break at.parse::<SocketAddr>().expect("an address");
            }
        };
        // It writes a line for every request.
        thread::spawn(move || lines.for_each(drop));
        let way = Arc::new(Mutex::new(Way::Open));
        let requests = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let door = listener.local_addr().expect("an address");
        let (shared, count) = (way.clone(), requests.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (way, count) = (shared.clone(), count.clone());
                thread::spawn(move || pass(client, at, &way, &count));
            }
        });
        Some(Self {
            server,
            at,
            way,
            door,
            requests,
        })
    }

    /// From now on.
    pub(crate) fn set(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// Requests that came to the door so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// A request past the door, as nobody; its status and body.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> (u16, String) {
        let mut to = TcpStream::connect(self.at).expect("it listens");
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.at,
            body.len()
        );
        for header in headers {
            head += header;
            head += "\r\n";
        }
        to.write_all(head.as_bytes()).expect("it reads");
        to.write_all(b"\r\n").expect("it reads");
        to.write_all(body).expect("it reads");
        let mut answer = Vec::new();
        let _read = to.read_to_end(&mut answer).expect("it answers");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|it| it.parse().ok())
            .expect("a status");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, body.to_owned())
    }

    /// Makes a bucket, with object lock or without.
    pub(crate) fn bucket(&self, name: &str, lock: bool) {
        let locked: &[&str] = if lock {
            &["x-amz-bucket-object-lock-enabled: true"]
        } else {
            &[]
        };
        let (status, body) = self.ask("PUT", &format!("/{name}"), locked, b"");
        assert_eq!(status, 200, "{body}");
    }

    /// From now on only one user's keys are taken, and every signature is checked. Gives the keys.
    pub(crate) fn demand_keys(&self) -> (String, String) {
        let iam = "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x";
        let form = "Content-Type: application/x-www-form-urlencoded";
        let act = |body: &str| {
            let (status, text) = self.ask("POST", "/", &[iam, form], body.as_bytes());
            assert_eq!(status, 200, "{text}");
            text
        };
        act("Action=CreateUser&Version=2010-05-08&UserName=recorder");
        let made = act("Action=CreateAccessKey&Version=2010-05-08&UserName=recorder");
        let all = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22s3%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D";
        act(&format!(
            "Action=PutUserPolicy&Version=2010-05-08&UserName=recorder&PolicyName=all&PolicyDocument={all}"
        ));
        let word = |name: &str| {
            let (_, rest) = made.split_once(&format!("<{name}>")).expect("it is said");
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        let (status, _) = self.ask("POST", "/moto-api/reset-auth", &[], b"0");
        assert_eq!(status, 200);
        (word("AccessKeyId"), word("SecretAccessKey"))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended by itself is no matter.
        let _killed = self.server.kill();
        let _ended = self.server.wait();
    }
}

/// Writes a file with keys that only its owner may read.
pub(crate) fn write_keys(path: &Path, id: &str, secret: &str) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .expect("a file");
    writeln!(
        file,
        "access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\""
    )
    .expect("it is written");
}

/// One connection. Requests are told apart by their first line; bodies go as they come.
fn pass(mut client: TcpStream, at: SocketAddr, way: &Mutex<Way>, count: &AtomicUsize) {
    let mut server = TcpStream::connect(at).ok();
    if let Some(server) = &server {
        let (Ok(mut back), Ok(mut to)) = (server.try_clone(), client.try_clone()) else {
            return;
        };
        thread::spawn(move || {
            let _passed = std::io::copy(&mut back, &mut to);
            let _shut = to.shutdown(Shutdown::Both);
        });
    }
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(got) = client.read(&mut buffer) {
        let Some(piece) = buffer.get(..got).filter(|it| !it.is_empty()) else {
            break;
        };
        let starts = ["GET /", "PUT /", "POST /", "HEAD /", "DELETE /"];
        let begins = starts.iter().any(|it| piece.starts_with(it.as_bytes()));
        if begins {
            count.fetch_add(1, Ordering::SeqCst);
        }
        let mut way = way.lock().unwrap_or_else(PoisonError::into_inner);
        match *way {
            Way::Open => {}
            Way::After(0) => {
                *way = Way::Shut;
                server = None;
            }
            Way::After(left) if begins => *way = Way::After(left - 1),
            Way::After(_) => {}
            Way::Answer(answer) => {
                server = None;
                let _said = client.write_all(answer.as_bytes());
            }
            Way::Shut => server = None,
        }
        drop(way);
        let passed = server.as_mut().map(|server| server.write_all(piece));
        if !matches!(passed, Some(Ok(()))) {
            break;
        }
    }
    let _shut = client.shutdown(Shutdown::Both);
}
