//! An HTTP/1.1 connection that is kept: what a measuring client needs and nothing more.

use std::io;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::Place;

/// Longest body of an answer: a list of marks is a few hundred kilobytes.
const BODY_BYTES_MAX: usize = 16 << 20;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// Body.
    pub(crate) body: Vec<u8>,
}

/// A connection to one door.
#[derive(Debug)]
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Http {
    /// Connects.
    pub(crate) async fn connect(place: &Place) -> io::Result<Self> {
        Ok(Self {
            stream: BufReader::new(place.connect().await?),
            host: place.at.to_string(),
        })
    }

    /// Asks and reads the answer. After an error the connection is of no more use.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &[u8],
    ) -> io::Result<Answer> {
        self.send(method, path, token, body).await?;
        let (status, length) = self.head().await?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { status, body })
    }

    /// Asks for a stream of events; its lines are read with [`Http::line`].
    pub(crate) async fn follow(&mut self, path: &str, token: &str) -> io::Result<u16> {
        self.send("GET", path, token, b"").await?;
        Ok(self.head().await?.0)
    }

    /// The next line of an answer in chunks; `None` at its end. A server writes whole lines in a chunk, so
    /// sizes of chunks are lines between them.
    pub(crate) async fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).await?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    async fn send(&mut self, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let host = &self.host;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        // One write: one packet.
        let request = [head.as_bytes(), body].concat();
        self.stream.get_mut().write_all(&request).await
    }

    async fn head(&mut self) -> io::Result<(u16, usize)> {
        let (mut status, mut length) = (0, 0);
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status == 0 {
                let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
                status = code.ok_or(io::ErrorKind::InvalidData)?;
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(usize::MAX);
            }
        }
        if length > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok((status, length))
    }
}
