//! A closed loop: so many clients, each writing the next when the one before was acknowledged.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{
    Place, etcd,
    guitai::{Marker, Operator},
    quantile,
};

/// Bytes of every value, of both.
pub(crate) const VALUE_BYTES: usize = 256;
/// What is written before it counts.
const WARM_UP: Duration = Duration::from_millis(500);
/// A write that takes longer counts as failed.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Keys of each client, taken in turn.
const KEYS: u64 = 16;
/// Streams that share one gRPC connection, as the streams of a usual etcd client do.
const STREAMS: usize = 16;

/// Whom the clients write to.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// Ours.
    Guitai(Place, Operator),
    /// The peer.
    Etcd(Place),
}

/// A client.
pub(crate) enum Client {
    /// Of ours.
    Guitai(Marker),
    /// Of the peer.
    Etcd(etcd::Putter),
}

impl Target {
    /// Connects a client.
    pub(crate) async fn connect(&self) -> Option<Client> {
        match self {
            Self::Guitai(place, operator) => {
                Marker::connect(place, operator).await.map(Client::Guitai)
            }
            Self::Etcd(place) => etcd::Putter::connect(place).await.map(Client::Etcd),
        }
    }
}

impl Client {
    /// Writes; `None` when it was not acknowledged.
    pub(crate) async fn put(&mut self, key: &str, value: &str, sync: bool) -> Option<()> {
        match self {
            Self::Guitai(marker) => marker.put(key, value, sync).await,
            Self::Etcd(putter) => putter.put(key, value).await,
        }
    }
}

/// What a load gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Load {
    /// Clients.
    pub clients: usize,
    /// Writes acknowledged in the measured time.
    pub writes: u64,
    /// Writes that failed.
    pub failed: u64,
    /// Writes a second.
    pub per_second: f64,
    /// Half of them took at most so long, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Writes with `clients` to `target` for `time`.
pub(crate) async fn run(target: &Target, clients: usize, time: Duration) -> Load {
    let began = Instant::now();
    let until = began + WARM_UP + time;
    let mut tasks = JoinSet::new();
    let mut shared = None;
    for number in 0..clients {
        if let Target::Etcd(place) = target
            && number % STREAMS == 0
        {
            shared = etcd::Putter::connect(place).await;
        }
        let (target, shared) = (target.clone(), shared.clone());
        tasks.spawn(async move {
            let first = match shared {
                Some(putter) => Some(Client::Etcd(putter)),
                None => target.connect().await,
            };
            one(number, target, first, began + WARM_UP, until).await
        });
    }
    let (mut took, mut failed) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        if let Ok((times, errors)) = done {
            took.extend(times);
            failed += errors;
        }
    }
    took.sort_by(f64::total_cmp);
    Load {
        clients,
        writes: took.len() as u64,
        failed,
        per_second: took.len() as f64 / time.as_secs_f64(),
        p50_ms: quantile(&took, 0.50),
        p99_ms: quantile(&took, 0.99),
        max_ms: took.last().copied().unwrap_or(0.0),
    }
}

async fn one(
    number: usize,
    target: Target,
    mut client: Option<Client>,
    from: Instant,
    until: Instant,
) -> (Vec<f64>, u64) {
    let value = "v".repeat(VALUE_BYTES);
    let (mut took, mut failed, mut turn) = (Vec::new(), 0, 0);
    while Instant::now() < until {
        let key = format!("bench-{number}-{}", turn % KEYS);
        turn += 1;
        let asked = Instant::now();
        let written = match &mut client {
            Some(client) => {
                let put = client.put(&key, &value, false);
                tokio::time::timeout(WRITE_MAX, put).await.ok().flatten()
            }
            None => None,
        };
        let now = Instant::now();
        match written {
            Some(()) if now >= from && now < until => {
                took.push((now - asked).as_secs_f64() * 1e3);
            }
            Some(()) => {}
            None => {
                failed += 1;
                client = target.connect().await;
                if client.is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
    (took, failed)
}
