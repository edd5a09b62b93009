//! What SM4 costs on the whole way of a QUIC byte, beside AES-128-GCM in the same run.
//!
//! One client and one server, each on a thread of its own, over loopback: one long stream, then
//! datagrams. The two suites differ in nothing else: certificates, key agreement, quinn and sockets
//! are the same. Rounds alternate between them, and the figure is CPU time of the whole process (both
//! ends, kernel included), because wall time on a shared machine says little. The goal is ≤ 1.4×.
//!
//! ```sh
//! cargo bench -p guitai-net --bench quic_loopback            # GUITAI_ROUNDS=5 for the docs
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "a bench asks the machine's clock"
)]

mod world;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use guitai_crypto::tls;
use quinn::{
    Connection, Endpoint,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring::cipher_suite::TLS13_AES_128_GCM_SHA256},
    version::TLS13,
};
use world::{NAME, World};

/// Bytes of one stream.
const STREAM_BYTES: usize = 128 << 20;
/// Bytes of one write to it.
const WRITE_BYTES: usize = 256 << 10;
/// Datagrams of one round.
const DATAGRAMS: usize = 60_000;
/// Bytes of one datagram: a piece of video.
const DATAGRAM_BYTES: usize = 1_150;

fn main() {
    let rounds = std::env::var("GUITAI_ROUNDS");
    let rounds: usize = rounds.map_or(3, |rounds| rounds.parse().expect("a number of rounds"));
    let world = World::new();
    let suites = [
        ("SM4-GCM", configs(&world, tls::provider())),
        ("AES-128-GCM", configs(&world, aes())),
    ];
    println!("SM4 path: {}", guitai_crypto::sm4::backend());
    println!("| suite | stream CPU s/GB | stream MB/s | CPU µs per datagram | datagrams/s |");
    println!("| --- | --- | --- | --- | --- |");
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for ((name, configs), costs) in suites.iter().zip(&mut costs) {
            let round = Round::run(configs);
            println!(
                "| {name} | {:.2} | {:.0} | {:.2} | {:.0} |",
                round.stream_cpu_per_gb,
                round.stream_mb_per_s,
                round.datagram_cpu_us,
                round.datagrams_per_s
            );
            costs.push(round);
        }
    }
    let [sm4, aes] = costs;
    let ratio = |of: fn(&Round) -> f64| {
        let best = |rounds: &[Round]| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
        best(&sm4) / best(&aes)
    };
    println!(
        "SM4 / AES, best round of each: stream {:.2}, datagrams {:.2}",
        ratio(|round| round.stream_cpu_per_gb),
        ratio(|round| round.datagram_cpu_us)
    );
}

/// The provider between nodes with its suite replaced.
fn aes() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        ..(*tls::provider()).clone()
    })
}

fn configs(
    world: &World,
    provider: Arc<CryptoProvider>,
) -> (quinn::ClientConfig, quinn::ServerConfig) {
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(world.chain(), world.key())
        .unwrap();
    let client = world.client(provider).with_no_client_auth();
    let client = QuicClientConfig::with_initial(Arc::new(client), tls::initial_suite());
    let server = QuicServerConfig::with_initial(Arc::new(server), tls::initial_suite());
    (
        quinn::ClientConfig::new(Arc::new(client.unwrap())),
        quinn::ServerConfig::with_crypto(Arc::new(server.unwrap())),
    )
}

struct Round {
    stream_cpu_per_gb: f64,
    stream_mb_per_s: f64,
    datagram_cpu_us: f64,
    datagrams_per_s: f64,
}

impl Round {
    fn run((client, server): &(quinn::ClientConfig, quinn::ServerConfig)) -> Self {
        let runtime = runtime();
        let server = server.clone();
        let (addr_send, addr) = std::sync::mpsc::channel();
        let serving =
            std::thread::spawn(move || crate::runtime().block_on(serve(server, addr_send)));
        let round = runtime.block_on(dial(client.clone(), addr.recv().unwrap()));
        serving.join().unwrap();
        round
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Takes one stream, then datagrams until a stream says how many there were.
async fn serve(config: quinn::ServerConfig, addr: std::sync::mpsc::Sender<SocketAddr>) {
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    addr.send(endpoint.local_addr().unwrap()).unwrap();
    let conn = endpoint.accept().await.unwrap().await.unwrap();
    let mut stream = conn.accept_uni().await.unwrap();
    let mut read = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.unwrap() {
        read += chunk.bytes.len();
    }
    assert_eq!(read, STREAM_BYTES);
    done(&conn, read).await;
    let mut received = 0;
    let mut end = std::pin::pin!(conn.accept_uni());
    loop {
        tokio::select! {
            biased;
            datagram = conn.read_datagram() => {
                datagram.unwrap();
                received += 1;
            }
            _ = &mut end => break,
        }
    }
    done(&conn, received).await;
    conn.closed().await;
}

async fn done(conn: &Connection, count: usize) {
    let mut stream = conn.open_uni().await.unwrap();
    stream
        .write_all(&(count as u64).to_be_bytes())
        .await
        .unwrap();
    stream.finish().unwrap();
}

async fn told(conn: &Connection) -> usize {
    let mut stream = conn.accept_uni().await.unwrap();
    let count = stream.read_to_end(8).await.unwrap();
    u64::from_be_bytes(count.try_into().unwrap()) as usize
}

async fn dial(config: quinn::ClientConfig, to: SocketAddr) -> Round {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let conn = endpoint
        .connect_with(config, to, NAME)
        .unwrap()
        .await
        .unwrap();

    let begin = Spent::now();
    let mut stream = conn.open_uni().await.unwrap();
    let piece = vec![0x5a; WRITE_BYTES];
    for _ in 0..STREAM_BYTES / WRITE_BYTES {
        stream.write_all(&piece).await.unwrap();
    }
    stream.finish().unwrap();
    let bytes = told(&conn).await as f64;
    let stream = begin.until_now();

    let begin = Spent::now();
    let datagram = bytes::Bytes::from(vec![0x5a; DATAGRAM_BYTES]);
    for _ in 0..DATAGRAMS {
        conn.send_datagram_wait(datagram.clone()).await.unwrap();
    }
    done(&conn, DATAGRAMS).await;
    let datagrams = told(&conn).await as f64;
    let each = begin.until_now();
    conn.close(0_u32.into(), b"");
    endpoint.wait_idle().await;
    Round {
        stream_cpu_per_gb: stream.cpu.as_secs_f64() / (bytes / 1e9),
        stream_mb_per_s: bytes / 1e6 / stream.wall.as_secs_f64(),
        datagram_cpu_us: each.cpu.as_secs_f64() * 1e6 / datagrams,
        datagrams_per_s: datagrams / each.wall.as_secs_f64(),
    }
}

/// Time of the wall and of the process's threads.
struct Spent {
    wall: Instant,
    cpu: Duration,
}

struct Span {
    wall: Duration,
    cpu: Duration,
}

impl Spent {
    fn now() -> Self {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        // The first number of schedstat is the nanoseconds that a thread ran, user and kernel.
        let nanoseconds = tasks.filter_map(|task| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        let cpu = Duration::from_nanos(nanoseconds.sum());
        let wall = Instant::now();
        Self { wall, cpu }
    }

    fn until_now(&self) -> Span {
        let now = Self::now();
        Span {
            wall: now.wall - self.wall,
            cpu: now.cpu - self.cpu,
        }
    }
}
