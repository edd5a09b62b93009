//! What the measurements have in common: clients outside of the nodes' processes, writers that number what
//! they write, closed loops of load, and the figures made of them.

pub(crate) mod etcd;
pub(crate) mod guitai;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod pulse;
pub(crate) mod stage;

use std::{
    net::{SocketAddr, TcpStream as StdTcp},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::namespace::Inside;

/// A connection is made within this or not at all.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Where a client connects to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Address and port.
    pub(crate) at: SocketAddr,
    /// The host whose network the client is in; this machine's where there is none.
    pub(crate) inside: Option<Inside>,
}

impl Place {
    /// On this machine.
    pub(crate) const fn here(at: SocketAddr) -> Self {
        Self { at, inside: None }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> std::io::Result<TcpStream> {
        let Some(inside) = self.inside.clone() else {
            let connected = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(self.at)).await;
            let stream = connected.map_err(|_| std::io::ErrorKind::TimedOut)??;
            stream.set_nodelay(true)?;
            return Ok(stream);
        };
        let at = self.at;
        let connect = move || inside.run(move || StdTcp::connect_timeout(&at, CONNECT_MAX));
        let stream = tokio::task::spawn_blocking(connect).await?;
        let stream = stream.map_err(std::io::Error::other)??;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        TcpStream::from_std(stream)
    }
}

/// The value at that share of sorted numbers; 0 of none.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(at.min(last)).copied().unwrap_or(0.0)
}

/// The middle one; the mean of the two middle ones of an even number.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = sorted.get(half).copied().unwrap_or(0.0);
    if sorted.len() % 2 == 1 || half == 0 {
        return upper;
    }
    f64::midpoint(upper, sorted.get(half - 1).copied().unwrap_or(upper))
}

/// The load averages of this machine.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The processor's name.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or_else(|| "?".to_owned(), |(_, name)| name.trim().to_owned())
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_odd_and_even_numbers() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert_eq!(median(&[]), 0.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 3.0);
    }
}
