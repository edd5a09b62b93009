//! A client of etcd: three calls of its v3 API over gRPC, by hand, since a few fields need no compiler for
//! protobuf.

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Request, header};

use super::Place;

/// A connection that writes; clones share it, as the streams of one client do.
#[derive(Debug, Clone)]
pub(crate) struct Putter {
    send: SendRequest<Bytes>,
    at: SocketAddr,
}

impl Putter {
    /// Connects.
    pub(crate) async fn connect(place: &Place) -> Option<Self> {
        let stream = place.connect().await.ok()?;
        let (send, connection) = h2::client::handshake(stream).await.ok()?;
        tokio::spawn(async move { drop(connection.await) });
        let at = place.at;
        Some(Self { send, at })
    }

    /// Writes; `None` when it was not acknowledged.
    pub(crate) async fn put(&mut self, key: &str, value: &str) -> Option<()> {
        let fields = [(0x0a, key), (0x12, value)];
        self.call("KV/Put", message(&fields)).await.map(drop)
    }

    /// The member behind this connection, and the one that leads.
    pub(crate) async fn status(&mut self) -> Option<(u64, u64)> {
        let answer = self.call("Maintenance/Status", BytesMut::new()).await?;
        let member = field(field(&answer, 1)?.bytes()?, 2)?.number()?;
        Some((member, field(&answer, 4)?.number()?))
    }

    /// Has the leader behind this connection hand over.
    pub(crate) async fn move_leader(&mut self, to: u64) -> Option<()> {
        let mut message = BytesMut::new();
        message.put_u8(0x08);
        put_number(&mut message, to);
        self.call("Maintenance/MoveLeader", message).await.map(drop)
    }

    /// One call; the message of its answer.
    async fn call(&mut self, method: &str, message: BytesMut) -> Option<Bytes> {
        let request = Request::post(format!("http://{}/etcdserverpb.{method}", self.at))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(())
            .ok()?;
        let mut send = self.send.clone().ready().await.ok()?;
        let (answer, mut body) = send.send_request(request, false).ok()?;
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).ok()?);
        frame.put(message);
        body.send_data(frame.freeze(), true).ok()?;
        let mut body = answer.await.ok()?.into_body();
        let mut got = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.ok()?;
            body.flow_control().release_capacity(chunk.len()).ok()?;
            got.put(chunk);
        }
        let trailers = body.trailers().await.ok()??;
        if trailers
            .get("grpc-status")
            .is_none_or(|status| status != "0")
            || got.len() < 5
        {
            return None;
        }
        Some(got.freeze().slice(5..))
    }
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    const fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Bytes(_) => None,
        }
    }

    const fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Number(_) => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// The first field with that number; numbers and bytes only, which is all that is asked for here.
fn field(mut message: &[u8], wanted: u64) -> Option<Field<'_>> {
    while !message.is_empty() {
        let tag = take_number(&mut message)?;
        let value = take_number(&mut message)?;
        let found = match tag & 7 {
            0 => Field::Number(value),
            2 => {
                let (bytes, rest) = message.split_at_checked(usize::try_from(value).ok()?)?;
                message = rest;
                Field::Bytes(bytes)
            }
            _ => return None,
        };
        if tag >> 3 == wanted {
            return Some(found);
        }
    }
    None
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_number(message: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        message.put_u8((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    message.put_u8(number as u8);
}

/// A message of texts, by tag (etcd's api/etcdserverpb/rpc.proto).
fn message(fields: &[(u8, &str)]) -> BytesMut {
    let mut message = BytesMut::new();
    for (tag, text) in fields {
        message.put_u8(*tag);
        put_number(&mut message, text.len() as u64);
        message.put_slice(text.as_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_as_the_description_says() {
        let text = "v".repeat(300);
        let bytes = message(&[(0x0a, "k"), (0x12, &text)]);
        assert_eq!(bytes[..3], [0x0a, 1, b'k']);
        assert_eq!(bytes[3..6], [0x12, 0xac, 0x02]);
        let back = field(&bytes, 2).and_then(Field::bytes);
        assert_eq!(back, Some(text.as_bytes()));
        assert!(field(&bytes, 3).is_none());
        let number = u64::MAX - 5;
        let mut status = BytesMut::from(&[0x20][..]);
        put_number(&mut status, number);
        assert_eq!(field(&status, 4).and_then(Field::number), Some(number));
    }
}
