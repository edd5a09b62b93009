//! A qmux session as moq-net wants it.
//!
//! moq-net steps its transport with `poll_*` methods; qmux 0.5.3 has only the async half of the
//! same trait. An operation begun here is a future kept in a slot until it is done. A write is taken
//! whole and finished behind the caller's back, one chunk at a time, so that nothing of the caller's
//! buffer has to outlive the call; a read waits in the stream's own buffer until it is asked for.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use moq_net::web_transport_trait::{RecvStream as _, SendStream as _, Session as _, Stats, poll};
use tokio::task::AbortHandle;

/// Bytes taken from the caller at once, and so the most that a stream holds beside qmux's queue.
const CHUNK_BYTES: usize = 16 * 1024;

type Result<T> = std::result::Result<T, qmux::Error>;
type BiStreams = (qmux::SendStream, qmux::RecvStream);

/// An operation under way. The mutex is never locked; it makes the future shareable.
struct Slot<T>(Mutex<Option<BoxFuture<'static, T>>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn get(&mut self) -> &mut Option<BoxFuture<'static, T>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> Poll<T> {
        let operation = self.get();
        let done = ready!(operation.get_or_insert_with(begin).as_mut().poll(cx));
        *operation = None;
        Poll::Ready(done)
    }
}

/// A session; each clone has operations of its own.
pub(crate) struct Session {
    inner: qmux::Session,
    accept_uni: Slot<Result<qmux::RecvStream>>,
    accept_bi: Slot<Result<BiStreams>>,
    open_uni: Slot<Result<qmux::SendStream>>,
    open_bi: Slot<Result<BiStreams>>,
    datagram: Slot<Result<Bytes>>,
    closed: Slot<qmux::Error>,
}

impl Session {
    pub(crate) fn new(inner: qmux::Session) -> Self {
        Self {
            inner,
            accept_uni: Slot::default(),
            accept_bi: Slot::default(),
            open_uni: Slot::default(),
            open_bi: Slot::default(),
            datagram: Slot::default(),
            closed: Slot::default(),
        }
    }
}

impl Clone for Session {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl poll::Session for Session {
    type SendStream = SendStream;
    type RecvStream = RecvStream;
    type Error = qmux::Error;

    fn poll_accept_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream>> {
        let session = &self.inner;
        let accept = || -> BoxFuture<'static, _> {
            let session = session.clone();
            Box::pin(async move { session.accept_uni().await })
        };
        self.accept_uni.poll(cx, accept).map_ok(RecvStream::new)
    }

    fn poll_accept_bi(&mut self, cx: &mut Context<'_>) -> Poll<Result<(SendStream, RecvStream)>> {
        let session = &self.inner;
        let accept = || -> BoxFuture<'static, _> {
            let session = session.clone();
            Box::pin(async move { session.accept_bi().await })
        };
        self.accept_bi.poll(cx, accept).map_ok(both)
    }

    fn poll_open_uni(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream>> {
        let session = &self.inner;
        let open = || -> BoxFuture<'static, _> {
            let session = session.clone();
            Box::pin(async move { session.open_uni().await })
        };
        self.open_uni.poll(cx, open).map_ok(SendStream::new)
    }

    fn poll_open_bi(&mut self, cx: &mut Context<'_>) -> Poll<Result<(SendStream, RecvStream)>> {
        let session = &self.inner;
        let open = || -> BoxFuture<'static, _> {
            let session = session.clone();
            Box::pin(async move { session.open_bi().await })
        };
        self.open_bi.poll(cx, open).map_ok(both)
    }

    fn poll_send_datagram(&mut self, _: &mut Context<'_>, payload: &[u8]) -> Poll<Result<()>> {
        Poll::Ready(self.inner.send_datagram(Bytes::copy_from_slice(payload)))
    }

    fn poll_recv_datagram(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        let session = &self.inner;
        self.datagram.poll(cx, || {
            let session = session.clone();
            Box::pin(async move { session.recv_datagram().await })
        })
    }

    fn max_datagram_size(&self) -> usize {
        self.inner.max_datagram_size()
    }

    fn protocol(&self) -> Option<&str> {
        self.inner.protocol()
    }

    fn close(&mut self, code: u32, reason: &str) {
        self.inner.close(code, reason);
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<qmux::Error> {
        let session = &self.inner;
        self.closed.poll(cx, || {
            let session = session.clone();
            Box::pin(async move { session.closed().await })
        })
    }

    fn stats(&self) -> impl Stats {
        self.inner.stats()
    }
}

fn both((send, receive): BiStreams) -> (SendStream, RecvStream) {
    (SendStream::new(send), RecvStream::new(receive))
}

/// Shared between a stream and the operation under way on it; never contended otherwise.
type Shared<T> = Arc<tokio::sync::Mutex<T>>;

/// The sending half of a stream.
pub(crate) struct SendStream {
    stream: Shared<qmux::SendStream>,
    write: Slot<Result<()>>,
    closed: Slot<Result<()>>,
    /// The caller has said that nothing more comes.
    finished: bool,
    /// A last write that goes on after the caller has let go of the stream.
    last: Option<AbortHandle>,
    /// Priority set while a write was under way.
    priority: Option<u8>,
}

impl SendStream {
    fn new(stream: qmux::SendStream) -> Self {
        Self {
            stream: Arc::new(tokio::sync::Mutex::new(stream)),
            write: Slot::default(),
            closed: Slot::default(),
            finished: false,
            last: None,
            priority: None,
        }
    }

    /// Brings the write under way to its end.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.write.get().is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.write.poll(cx, || Box::pin(async { Ok(()) })))?;
        if let Some(order) = self.priority.take() {
            poll::SendStream::set_priority(self, order);
        }
        Poll::Ready(Ok(()))
    }

    /// Begins to write; `chunk` counts as written from now on. A write that cannot end at once goes on
    /// by itself: a caller that has nothing more to send may never poll this half again.
    fn begin_write(&mut self, cx: &mut Context<'_>, chunk: Bytes) -> Result<()> {
        let stream = Arc::clone(&self.stream);
        *self.write.get() = Some(Box::pin(async move {
            stream.lock_owned().await.write_chunk(chunk).await
        }));
        if let Poll::Ready(done) = self.poll_flush(cx) {
            return done;
        }
        if let Some(write) = self.write.get().take() {
            let going_on = tokio::spawn(write);
            self.last = Some(going_on.abort_handle());
            *self.write.get() = Some(Box::pin(async {
                going_on.await.unwrap_or(Err(qmux::Error::Closed))
            }));
        }
        Ok(())
    }
}

impl poll::SendStream for SendStream {
    type Error = qmux::Error;

    fn poll_write(&mut self, cx: &mut Context<'_>, mut buf: &[u8]) -> Poll<Result<usize>> {
        self.poll_write_buf(cx, &mut buf)
    }

    fn poll_write_buf<B: Buf>(&mut self, cx: &mut Context<'_>, buf: &mut B) -> Poll<Result<usize>> {
        *self.closed.get() = None;
        ready!(self.poll_flush(cx))?;
        let len = buf.chunk().len().min(CHUNK_BYTES);
        if len > 0 {
            self.begin_write(cx, buf.copy_to_bytes(len))?;
        }
        Poll::Ready(Ok(len))
    }

    fn set_priority(&mut self, order: u8) {
        match self.stream.try_lock() {
            Ok(mut stream) => stream.set_priority(order),
            Err(_) => self.priority = Some(order),
        }
    }

    fn finish(&mut self) -> Result<()> {
        *self.closed.get() = None;
        self.finished = true;
        match self.write.get().take() {
            // The caller may drop the stream now; what it wrote must still leave.
            Some(write) => {
                let stream = Arc::clone(&self.stream);
                let rest = async move {
                    write.await?;
                    stream.lock_owned().await.finish()
                };
                self.last = Some(tokio::spawn(rest).abort_handle());
            }
            None => {
                if let Ok(mut stream) = self.stream.try_lock() {
                    stream.finish()?;
                }
            }
        }
        Ok(())
    }

    fn reset(&mut self, code: u32) {
        *self.write.get() = None;
        *self.closed.get() = None;
        if let Some(last) = self.last.take() {
            last.abort();
        }
        match self.stream.try_lock() {
            Ok(mut stream) => stream.reset(code),
            // The last write has yet to hear that it was aborted.
            Err(_) => {
                let stream = Arc::clone(&self.stream);
                tokio::spawn(async move { stream.lock_owned().await.reset(code) });
            }
        }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_flush(cx))?;
        let stream = &self.stream;
        let closed = self.closed.poll(cx, || {
            let stream = Arc::clone(stream);
            Box::pin(async move { stream.lock_owned().await.closed().await })
        });
        // qmux has no acknowledgements: once the end is sent it forgets the stream.
        let finished = self.finished;
        closed.map(|closed| match closed {
            Err(qmux::Error::Closed) if finished => Ok(()),
            other => other,
        })
    }
}

/// The receiving half of a stream.
pub(crate) struct RecvStream {
    stream: Shared<qmux::RecvStream>,
    read: Slot<Result<Option<Bytes>>>,
    closed: Slot<Result<()>>,
    buffer: Bytes,
}

impl RecvStream {
    fn new(stream: qmux::RecvStream) -> Self {
        Self {
            stream: Arc::new(tokio::sync::Mutex::new(stream)),
            read: Slot::default(),
            closed: Slot::default(),
            buffer: Bytes::new(),
        }
    }
}

impl poll::RecvStream for RecvStream {
    type Error = qmux::Error;

    fn poll_read(&mut self, cx: &mut Context<'_>, dst: &mut [u8]) -> Poll<Result<Option<usize>>> {
        let chunk = ready!(self.poll_read_chunk(cx, dst.len()))?;
        let copied = chunk.map(|chunk| {
            let (head, _) = dst.split_at_mut(chunk.len());
            head.copy_from_slice(&chunk);
            chunk.len()
        });
        Poll::Ready(Ok(copied))
    }

    fn poll_read_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<Result<Option<Bytes>>> {
        *self.closed.get() = None;
        if max == 0 {
            return Poll::Ready(Ok(Some(Bytes::new())));
        }
        while self.buffer.is_empty() {
            let stream = &self.stream;
            let read = self.read.poll(cx, || {
                let stream = Arc::clone(stream);
                Box::pin(async move { stream.lock_owned().await.read_chunk(CHUNK_BYTES).await })
            });
            match ready!(read)? {
                Some(chunk) => self.buffer = chunk,
                None => return Poll::Ready(Ok(None)),
            }
        }
        let len = self.buffer.len().min(max);
        Poll::Ready(Ok(Some(self.buffer.split_to(len))))
    }

    fn stop(&mut self, code: u32) {
        *self.read.get() = None;
        *self.closed.get() = None;
        if let Ok(mut stream) = self.stream.try_lock() {
            stream.stop(code);
        }
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // qmux's own `closed` buffers what arrives meanwhile, so no read is lost by this.
        *self.read.get() = None;
        let stream = &self.stream;
        self.closed.poll(cx, || {
            let stream = Arc::clone(stream);
            Box::pin(async move { stream.lock_owned().await.closed().await })
        })
    }
}
