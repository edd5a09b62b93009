//! A stream that gives up a reader who takes nothing for too long, and keeps the connection's place at the door.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use guitai_net::Why;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use super::WRITE_MS_MAX;
use crate::visit::Visit;

/// The stream of one connection, upgraded or not.
pub(super) struct Patient<S> {
    stream: S,
    /// Runs while a write waits; made when the first one does.
    waiting: Option<Pin<Box<Sleep>>>,
    visit: Visit,
}

impl<S> Patient<S> {
    pub(super) const fn new(stream: S, visit: Visit) -> Self {
        Self {
            stream,
            waiting: None,
            visit,
        }
    }

    /// What became of a write, unless it has waited for too long.
    fn wait(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = || Box::pin(tokio::time::sleep(Duration::from_millis(WRITE_MS_MAX)));
        let waiting = self.waiting.get_or_insert_with(patience);
        if waiting.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.visit.guest().refused(Why::SlowReader);
        let why = format!("nothing was read for WRITE_MS_MAX, {WRITE_MS_MAX} ms");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.visit.heard();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wait(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wait(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
