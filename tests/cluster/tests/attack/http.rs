//! Requests on connections of their own, each a newcomer at the door, and event streams.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take: a page leaves a door that is silent for so long, and asks again. The kernel of a host
/// under attack drops what its queue has no room for, and sends no word of it.
const ANSWER: Duration = Duration::from_secs(2);

fn head(door: SocketAddr, method: &str, path: &str, token: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {door}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

/// Status and JSON of an answer.
pub(super) async fn ask(
    door: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> io::Result<(u16, Value)> {
    let asking = async {
        let mut stream = TcpStream::connect(door).await?;
        let head = head(door, method, path, token, body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status, serde_json::from_str(body).unwrap_or_default()))
    };
    timeout(ANSWER, asking)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)?
}

/// Answers, asked for again as a page does when a door has no time; the last one counts.
pub(super) async fn insist(
    door: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> Result<Value, String> {
    let mut why = String::new();
    for _ in 0..40 {
        match ask(door, method, path, token, body).await {
            Ok((200..=299, answer)) => return Ok(answer),
            Ok((status, answer)) => why = format!("{path}: {status} {answer}"),
            Err(error) => why = format!("{path}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Err(why)
}

/// An event stream.
pub(super) struct Events(BufReader<TcpStream>);

impl Events {
    pub(super) async fn open(door: SocketAddr, path: &str, token: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(door).await?;
        let head = head(door, "GET", path, token, 0);
        stream.write_all(head.as_bytes()).await?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The next event's content, whatever its name.
    pub(super) async fn next(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            let read = timeout(ANSWER, self.0.read_line(&mut line)).await;
            if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.1 200") {
                return Err(io::Error::other(line.trim().to_owned()));
            }
            // Each event of ours comes as one piece, so that its line is whole.
            if let Some(data) = line.strip_prefix("data: ")
                && let Ok(data) = serde_json::from_str(data)
            {
                return Ok(data);
            }
        }
    }
}
