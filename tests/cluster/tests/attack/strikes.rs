//! What an attacker does to one door, each in a thread of its own, until it is ended. Source addresses are made up within
//! 127.0.0.0/8, which a machine accepts on its loopback.

use std::{
    collections::VecDeque,
    fmt,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt},
};

/// How finely a rate is kept.
const TICK: Duration = Duration::from_millis(2);
/// Connections of the flood that stay open for a while; then they are reset, oldest first.
const HELD: usize = 12_000;
/// Of the flood's connections every second comes from one of so few addresses.
const FEW: u32 = 4;
/// Connections that send a head byte by byte, all from one address.
const SLOW_HEADS: usize = 300;
/// Connections that ask for much and read nothing.
const SLOW_READERS: usize = 20;
/// Datagrams a second: garbage, and first packets of QUIC.
const GARBAGE_PER_SECOND: u64 = 3_000;
const INITIALS_PER_SECOND: u64 = 1_000;
/// Sockets that they come from.
const SOURCES: u32 = 64;
/// What is too large, and tickets, times a second.
const LARGE_PER_SECOND: u64 = 20;
const TICKETS_PER_SECOND: u64 = 50;

/// Whom to attack, and how hard.
pub(super) struct Wanted {
    pub(super) door: SocketAddr,
    pub(super) connections_per_second: u64,
    /// Most of them that this process may hold.
    pub(super) held: usize,
    pub(super) initials: Vec<Vec<u8>>,
}

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    attempts: AtomicU64,
    failed: AtomicU64,
    heads: AtomicU64,
    readers: AtomicU64,
    garbage: AtomicU64,
    initials: AtomicU64,
    large: AtomicU64,
    tickets: AtomicU64,
}

/// An attack under way.
pub(super) struct Strikes {
    over: Arc<AtomicBool>,
    sent: Arc<Sent>,
    began: Instant,
    threads: Vec<JoinHandle<()>>,
}

/// What an attack came to.
pub(super) struct Struck {
    sent: Arc<Sent>,
    span: Duration,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.as_secs_f64();
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let each = |count: &AtomicU64| (of(count) as f64 / seconds).round();
        let sent = &self.sent;
        write!(
            f,
            "{} connections ({}/s, {} not begun), {} slow heads begun, {} slow readers, {} garbage datagrams/s, \
             {} first packets/s, {} too large, {} tickets wanted, in {seconds:.1} s",
            of(&sent.attempts),
            each(&sent.attempts),
            of(&sent.failed),
            of(&sent.heads),
            of(&sent.readers),
            each(&sent.garbage),
            each(&sent.initials),
            of(&sent.large),
            of(&sent.tickets),
        )
    }
}

/// What one thread does until it is over.
type Strike = Box<dyn FnOnce(&AtomicBool, &Sent) + Send>;

impl Strikes {
    pub(super) fn begin(wanted: Wanted) -> Self {
        let (over, sent) = (Arc::<AtomicBool>::default(), Arc::<Sent>::default());
        let Wanted {
            door,
            connections_per_second: rate,
            held,
            initials,
        } = wanted;
        let mut threads = Vec::new();
        let mut strike = |act: Strike| {
            let (over, sent) = (over.clone(), sent.clone());
            threads.push(std::thread::spawn(move || act(&over, &sent)));
        };
        strike(Box::new(move |over, sent| {
            flood(door, rate, held.min(HELD), over, sent);
        }));
        strike(Box::new(move |over, sent| slow_heads(door, over, sent)));
        strike(Box::new(move |over, sent| slow_readers(door, over, sent)));
        strike(Box::new(move |over, sent| {
            datagrams(door, &initials, over, sent);
        }));
        strike(Box::new(move |over, sent| too_large(door, over, sent)));
        strike(Box::new(move |over, sent| tickets(door, over, sent)));
        Self {
            over,
            sent,
            began: Instant::now(),
            threads,
        }
    }

    pub(super) fn end(self) -> Struck {
        self.over.store(true, Ordering::Relaxed);
        let span = self.began.elapsed();
        for thread in self.threads {
            thread.join().expect("the attacker does not panic");
        }
        Struck {
            sent: self.sent,
            span,
        }
    }
}

/// Does something so many times a second, as far as it gets.
fn paced(per_second: u64, over: &AtomicBool, mut act: impl FnMut(u64)) {
    let began = Instant::now();
    let mut done = 0;
    while !over.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * per_second as f64) as u64;
        // Who falls behind does not make up for more than a second.
        done = done.max(due.saturating_sub(per_second));
        while done < due && !over.load(Ordering::Relaxed) {
            act(done);
            done += 1;
        }
        std::thread::sleep(TICK);
    }
}

/// A made-up address: every second one of few, the others of many.
fn source(number: u64) -> Ipv4Addr {
    let spread = (number as u32).wrapping_mul(0x9e37_79b1) >> 8;
    let [_, a, b, c] = spread.to_be_bytes();
    match number % 2 {
        0 => Ipv4Addr::new(127, 66, 0, (spread % FEW) as u8 + 1),
        _ => Ipv4Addr::new(127, 100 | (a & 63), b, c | 1),
    }
}

/// A connection from an address, which is not waited for.
fn dial(from: Ipv4Addr, to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // Gone means gone: no connection of the attacker's waits in the kernel.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    bind(&socket, &SocketAddr::from((from, 0)))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// The same, to be written to.
fn stream(from: Ipv4Addr, to: SocketAddr) -> Option<TcpStream> {
    dial(from, to).ok().map(TcpStream::from)
}

fn flood(door: SocketAddr, per_second: u64, most: usize, over: &AtomicBool, sent: &Sent) {
    let mut held = VecDeque::new();
    paced(per_second, over, |number| {
        sent.attempts.fetch_add(1, Ordering::Relaxed);
        match dial(source(number), door) {
            Ok(socket) => held.push_back(socket),
            Err(_) => drop(sent.failed.fetch_add(1, Ordering::Relaxed)),
        }
        if held.len() > most {
            held.pop_front();
        }
    });
}

/// Heads that never end; those that are cut begin anew.
fn slow_heads(door: SocketAddr, over: &AtomicBool, sent: &Sent) {
    let head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let from = Ipv4Addr::new(127, 67, 0, 1);
    let mut open: Vec<Option<(TcpStream, usize)>> = (0..SLOW_HEADS).map(|_| None).collect();
    while !over.load(Ordering::Relaxed) {
        for slot in &mut open {
            let Some((stream, at)) = slot else {
                *slot = stream(from, door).map(|stream| (stream, 0));
                sent.heads.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let byte = head.get(*at).copied().unwrap_or(b'x');
            match stream.write(&[byte]) {
                Ok(_) => *at += 1,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => *slot = None,
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Asks for pages again and again and reads none of them.
fn slow_readers(door: SocketAddr, over: &AtomicBool, sent: &Sent) {
    let ask = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(64);
    let mut open: VecDeque<TcpStream> = VecDeque::new();
    while !over.load(Ordering::Relaxed) {
        while open.len() < SLOW_READERS {
            let from = Ipv4Addr::new(127, 68, 0, open.len() as u8 + 1);
            let Some(stream) = stream(from, door) else {
                break;
            };
            if sockopt::set_socket_recv_buffer_size(&stream, 4_096).is_err() {
                break;
            }
            sent.readers.fetch_add(1, Ordering::Relaxed);
            open.push_back(stream);
        }
        open.retain_mut(|stream| {
            let failed = |error: &std::io::Error| error.kind() != std::io::ErrorKind::WouldBlock;
            !stream.write(&ask).is_err_and(|error| failed(&error))
        });
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Garbage and first packets, from many addresses and ports.
fn datagrams(door: SocketAddr, initials: &[Vec<u8>], over: &AtomicBool, sent: &Sent) {
    let bound = |number: u32| {
        let from = Ipv4Addr::new(127, 69, (number >> 4) as u8, (number & 15) as u8 + 1);
        UdpSocket::bind((from, 0)).expect("a port")
    };
    let sockets: Vec<UdpSocket> = (0..SOURCES).map(bound).collect();
    let mut noise = [0_u8; 1_200];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let every = (GARBAGE_PER_SECOND + INITIALS_PER_SECOND) / INITIALS_PER_SECOND;
    paced(GARBAGE_PER_SECOND + INITIALS_PER_SECOND, over, |number| {
        let socket = &sockets[number as usize % sockets.len()];
        if number % every == 0 {
            let packet = &initials[(number / every) as usize % initials.len()];
            drop(socket.send_to(packet, door));
            sent.initials.fetch_add(1, Ordering::Relaxed);
            return;
        }
        for word in noise.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_be_bytes());
        }
        let length = 1 + (state % 1_200) as usize;
        drop(socket.send_to(&noise[..length], door));
        sent.garbage.fetch_add(1, Ordering::Relaxed);
    });
}

/// Heads, bodies, and upgrades with frames, each larger than anybody needs.
fn too_large(door: SocketAddr, over: &AtomicBool, sent: &Sent) {
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(64 * 1024));
    let body = format!(
        "POST /api/v1/tickets/none/close HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: 1048576\r\n\r\n{}",
        " ".repeat(1024 * 1024)
    );
    let upgrade = format!(
        "GET /demo-bank/none?jwt={} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: webtransport\r\n\r\n{}",
        "z".repeat(8 * 1024),
        "\u{0}".repeat(64 * 1024)
    );
    let all = [head, path, body, upgrade];
    paced(LARGE_PER_SECOND, over, |number| {
        let from = Ipv4Addr::new(127, 70, 0, (number % 20) as u8 + 1);
        exchange(from, door, all[number as usize % all.len()].as_bytes());
        sent.large.fetch_add(1, Ordering::Relaxed);
    });
}

/// Tickets of one address, as fast as it can.
fn tickets(door: SocketAddr, over: &AtomicBool, sent: &Sent) {
    let ask = "POST /api/v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
               Connection: close\r\n\r\n{}";
    paced(TICKETS_PER_SECOND, over, |_| {
        exchange(Ipv4Addr::new(127, 71, 0, 1), door, ask.as_bytes());
        sent.tickets.fetch_add(1, Ordering::Relaxed);
    });
}

/// Sends something and takes what comes, for a moment.
fn exchange(from: Ipv4Addr, door: SocketAddr, what: &[u8]) {
    let Some(mut stream) = stream(from, door) else {
        return;
    };
    drop(stream.set_nonblocking(false));
    let patience = Some(Duration::from_millis(100));
    drop(stream.set_read_timeout(patience));
    drop(stream.set_write_timeout(patience));
    drop(stream.write_all(what));
    drop(stream.read(&mut [0; 512]));
}
