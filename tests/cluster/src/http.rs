//! Just enough HTTP to knock on a door, well-formed or not.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Sends `bytes` and gives what comes back until the peer closes or falls silent for two seconds.
pub fn raw(door: SocketAddr, bytes: &[u8]) -> String {
    let Ok(mut stream) = TcpStream::connect_timeout(&door, Duration::from_secs(2)) else {
        return String::new();
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .expect("a timeout can be set");
    // A door may close on garbage while we still write; what it answered is what counts.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Status code and body of a request.
pub fn ask(door: SocketAddr, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {door}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(door, request.as_bytes());
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}
