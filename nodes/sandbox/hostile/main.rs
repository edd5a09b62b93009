//! What an intruder would try who has put own code into a node's process: one attempt for each run.
//!
//! `guitai-hostile <edge|sealed|core|recorder|free> <enforce|report> <attempt> <dir> <door> <target port> <victim pid>`
//!
//! It starts as a node does (sandbox, sockets, threads, and for an edge the seal) and then makes the attempt in a thread
//! that was there before the seal; `sealed` is an edge on a kernel without landlock. Exit code 0: it worked; [`REFUSED`]: the kernel refused it, standard output says how;
//! ended by SIGSYS: the kernel ended the process for it.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::AsRawFd as _,
        unix::{fs::PermissionsExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::mpsc,
    thread,
    time::Duration,
};

use guitai_types::sandbox::SandboxMode;
use libc::{c_long, c_ulong};

/// Exit code when the kernel refused.
const REFUSED: u8 = 10;

/// What is open when the intruder comes.
struct World {
    /// The node's directory, with `own.pem`; beside it `other/key.pem`.
    dir: PathBuf,
    door: TcpListener,
    media: UdpSocket,
    /// Somebody of the inner zone who listens, on TCP and UDP.
    target: SocketAddr,
    /// Another process of the same user.
    victim: i32,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            match error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error)
            {
                Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => ExitCode::from(REFUSED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [role, mode, attempt, dir, door, target, victim] = words.as_slice() else {
        return Err("<role> <mode> <attempt> <dir> <door> <target port> <victim pid>".into());
    };
    let (dir, at) = (PathBuf::from(dir), door.parse::<SocketAddr>()?);
    let door = at.port();
    let mode = match mode.as_str() {
        "report" => SandboxMode::Report,
        _ => SandboxMode::Enforce,
    };
    let own = vec![dir.clone()];
    let inner = |programs| {
        let own = own.clone();
        guitai_sandbox::inner(guitai_sandbox::Inner {
            own,
            programs,
            door,
            ..guitai_sandbox::Inner::default()
        })
    };
    let rules = match role.as_str() {
        "edge" => Some(guitai_sandbox::edge(guitai_sandbox::Edge {
            own: own.clone(),
            door,
            foreign: false,
        })),
        "core" => Some(inner(Vec::new())),
        "recorder" => Some(inner(vec!["/bin".into(), "/usr/bin".into()])),
        _ => None,
    };
    if let Some(rules) = &rules {
        for row in guitai_sandbox::enter(rules, mode) {
            println!("{:?} {:?}: {}", row.protection, row.standing, row.why.en);
        }
    }
    let world = World {
        dir,
        door: TcpListener::bind(at)?,
        media: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?,
        target: (Ipv4Addr::LOCALHOST, target.parse()?).into(),
        victim: victim.parse()?,
    };
    let (begin, begun) = mpsc::channel::<()>();
    let attempt = attempt.clone();
    let intruder = thread::spawn(move || {
        begun.recv().map_err(|error| error.to_string())?;
        tried(&world, &attempt).map_err(|error| match error.raw_os_error() {
            Some(number) => number.to_string(),
            None => error.to_string(),
        })
    });
    if role == "sealed" || rules.is_some_and(|rules| rules.seals) {
        let row = guitai_sandbox::seal(mode);
        println!("{:?} {:?}: {}", row.protection, row.standing, row.why.en);
    }
    begin.send(())?;
    let done = intruder.join().map_err(|_| "the thread panicked")?;
    done.map_err(|said| match said.parse() {
        Ok(number) => io::Error::from_raw_os_error(number).into(),
        Err(_) => said.into(),
    })
}

/// One attempt; an error is the kernel's answer.
fn tried(world: &World, attempt: &str) -> io::Result<()> {
    let own = world.dir.join("own.pem");
    let new = world.dir.join("new");
    match attempt {
        // What an edge does.
        "serve" => serve(world),
        "thread" => thread::spawn(|| {})
            .join()
            .map_err(|_| io::Error::other("panicked")),
        "abort" => std::process::abort(),

        // Connections and sockets.
        "connect-tcp" => TcpStream::connect(world.target).map(drop),
        "connect-udp" => world.media.connect(world.target),
        "connect-by-sending" => connect_by_sending(world),
        "listen" => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop),
        "socket-tcp" => socket(libc::AF_INET, libc::SOCK_STREAM),
        "socket-udp" => socket(libc::AF_INET6, libc::SOCK_DGRAM),
        "socket-unix" => socket(libc::AF_UNIX, libc::SOCK_STREAM),
        "socket-raw" => socket(libc::AF_PACKET, libc::SOCK_RAW),
        "socket-netlink" => socket(libc::AF_NETLINK, libc::SOCK_RAW),
        "socketpair" => std::os::unix::net::UnixStream::pair().map(drop),

        // Files.
        "create" => File::create(new).map(drop),
        "create-outside" => File::create(world.dir.with_extension("new")).map(drop),
        "append" => File::options().append(true).open(own).map(drop),
        "open-writing" => File::options().read(true).write(true).open(own).map(drop),
        "open-temporary" => open_temporary(&world.dir),
        "truncate" => call(
            libc::SYS_truncate,
            [text(&own)?.as_ptr() as c_long, 0, 0, 0, 0],
        ),
        "rename" => fs::rename(own, new),
        "unlink" => fs::remove_file(own),
        "mkdir" => fs::create_dir(new),
        "symlink" => std::os::unix::fs::symlink(own, new),
        "link" => fs::hard_link(own, new),
        "chmod" => fs::set_permissions(own, fs::Permissions::from_mode(0o666)),
        "own-memory" => File::options().write(true).open("/proc/self/mem").map(drop),
        "read-other" => fs::read(world.dir.with_file_name("other").join("key.pem")).map(drop),
        "read-system" => fs::read("/etc/passwd").map(drop),
        "memfd" => call(
            libc::SYS_memfd_create,
            [c"x".as_ptr() as c_long, 0, 0, 0, 0],
        ),

        // Programs and processes.
        "exec" => Err(Command::new("/bin/true").exec()),
        "spawn" => Command::new("/bin/true").status().map(drop),
        "fork" => fork(libc::SYS_clone),
        "kill" => call(
            libc::SYS_kill,
            [
                c_long::from(world.victim),
                c_long::from(libc::SIGCONT),
                0,
                0,
                0,
            ],
        ),
        "pidfd" => call(
            libc::SYS_pidfd_open,
            [c_long::from(world.victim), 0, 0, 0, 0],
        ),
        "ptrace" => {
            let seize = c_long::from(libc::PTRACE_SEIZE);
            call(
                libc::SYS_ptrace,
                [seize, c_long::from(world.victim), 0, 0, 0],
            )
        }
        "read-memory" => {
            let own = c_long::from(std::process::id());
            call(libc::SYS_process_vm_readv, [own, 0, 0, 0, 0])
        }
        "io-uring" => {
            let mut parameters = [0_u64; 15];
            call(
                libc::SYS_io_uring_setup,
                [1, parameters.as_mut_ptr() as c_long, 0, 0, 0],
            )
        }
        "unshare" => call(
            libc::SYS_unshare,
            [c_long::from(libc::CLONE_FS), 0, 0, 0, 0],
        ),
        "personality" => call(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0]),
        other => Err(io::Error::other(format!("no attempt {other}"))),
    }
}

/// Takes a connection, answers it, sends and receives through the open UDP socket, reads its own files.
fn serve(world: &World) -> io::Result<()> {
    let (mut accepted, _) = world.door.accept()?;
    accepted.set_nodelay(true)?;
    let mut asked = [0; 4];
    accepted.read_exact(&mut asked)?;
    accepted.write_all(&asked)?;
    world
        .media
        .set_read_timeout(Some(Duration::from_secs(20)))?;
    world.media.send_to(b"ping", world.target)?;
    let (count, from) = world.media.recv_from(&mut asked)?;
    if (count, from) != (4, world.target) {
        return Err(io::Error::other("another answer"));
    }
    let listed = fs::read_dir(&world.dir)?.count();
    let read = fs::read(world.dir.join("own.pem"))?;
    // Replaced by its owner meanwhile: the rule is of the directory.
    if listed == 0 || read.is_empty() || fs::read(world.dir.join("renewed.pem"))?.is_empty() {
        return Err(io::Error::other("its own files"));
    }
    thread::sleep(Duration::from_millis(1));
    Ok(())
}

/// A listener that is shut down is a socket like any other, and one of TCP connects when it sends with this flag.
fn connect_by_sending(world: &World) -> io::Result<()> {
    let door = c_long::from(world.door.as_raw_fd());
    call(
        libc::SYS_shutdown,
        [door, c_long::from(libc::SHUT_RDWR), 0, 0, 0],
    )?;
    let port = world.target.port().to_be_bytes();
    // sockaddr_in: family, port, address.
    let mut address = [0_u8; 16];
    address[..2].copy_from_slice(&2_u16.to_ne_bytes());
    address[2..4].copy_from_slice(&port);
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let (bytes, flags) = (b"ping", c_ulong::from(libc::MSG_FASTOPEN.cast_unsigned()));
    // SAFETY: pointers and lengths are of the arrays above.
    #[expect(unsafe_code, reason = "a call that no safe function makes")]
    let done = unsafe {
        libc::syscall(
            libc::SYS_sendto,
            door,
            bytes.as_ptr(),
            bytes.len(),
            flags,
            address.as_ptr(),
            16,
        )
    };
    answer(done)
}

fn socket(family: i32, kind: i32) -> io::Result<()> {
    call(libc::SYS_socket, [family.into(), kind.into(), 0, 0, 0])
}

fn open_temporary(dir: &Path) -> io::Result<()> {
    let flags = c_long::from(libc::O_TMPFILE | libc::O_WRONLY);
    let here = c_long::from(libc::AT_FDCWD);
    call(
        libc::SYS_openat,
        [here, text(dir)?.as_ptr() as c_long, flags, 0o600, 0],
    )
}

/// A child ends at once.
fn fork(number: c_long) -> io::Result<()> {
    // SAFETY: no pointer is given; the child calls nothing but the end of its process.
    #[expect(unsafe_code, reason = "a call that no safe function makes")]
    let child = unsafe {
        libc::syscall(
            number,
            c_ulong::from(libc::SIGCHLD.cast_unsigned()),
            0,
            0,
            0,
            0,
        )
    };
    if child == 0 {
        // SAFETY: ends the process without running anything of it.
        #[expect(unsafe_code, reason = "what a child of many threads may do")]
        unsafe {
            libc::_exit(0)
        }
    }
    answer(child)
}

fn text(path: &Path) -> io::Result<std::ffi::CString> {
    let bytes = path.to_string_lossy().into_owned();
    Ok(std::ffi::CString::new(bytes)?)
}

fn call(number: c_long, of: [c_long; 5]) -> io::Result<()> {
    let [a, b, c, d, e] = of;
    // SAFETY: every caller gives numbers, or pointers to what outlives the call.
    #[expect(unsafe_code, reason = "a call that no safe function makes")]
    answer(unsafe { libc::syscall(number, a, b, c, d, e, 0) })
}

fn answer(done: c_long) -> io::Result<()> {
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
