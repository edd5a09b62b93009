//! One tunnel as the edge holds it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use guitai_net::{Link, RecvStream, VarInt, frame::write_frame};
use guitai_types::view::DoorEntry;
use tokio::time::timeout;

use super::{
    edge::{ASK_MS_MAX, AskError},
    pieces,
};

/// One tunnel.
pub(super) struct Tunnel {
    pub(super) link: Link,
    pub(super) greeted: AtomicBool,
    pub(super) asks: AtomicUsize,
    pub(super) refusals: AtomicU32,
    /// Until when it comes last, by the monotonic clock, in milliseconds.
    pub(super) leaderless_until: AtomicU64,
    /// The doors its node told last.
    pub(super) doors: Mutex<Vec<DoorEntry>>,
}

impl Tunnel {
    pub(super) fn new(link: Link) -> Self {
        Self {
            link,
            greeted: AtomicBool::new(false),
            asks: AtomicUsize::new(0),
            refusals: AtomicU32::new(0),
            leaderless_until: AtomicU64::new(0),
            doors: Mutex::default(),
        }
    }

    pub(super) fn id(&self) -> usize {
        self.link.conn.stable_id()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.greeted.load(Ordering::Acquire) && self.link.conn.close_reason().is_none()
    }

    pub(super) fn close(&self, code: u32) {
        self.link.conn.close(VarInt::from_u32(code), b"");
    }

    /// Sends a question on a stream of its own, with the bytes of its file; what comes back is read from the other half.
    pub(super) async fn send(&self, message: &[u8], file: &[u8]) -> Result<RecvStream, AskError> {
        let limit = Duration::from_millis(ASK_MS_MAX);
        let opened = timeout(limit, self.link.conn.open_bi()).await;
        let Ok(Ok((mut send, receive))) = opened else {
            return Err(AskError::NotSent);
        };
        let written = timeout(limit, async {
            write_frame(&mut send, message).await?;
            pieces::write(&mut send, file).await
        });
        let written = written.await;
        let finished = matches!(written, Ok(Ok(()))) && send.finish().is_ok();
        if finished {
            Ok(receive)
        } else {
            Err(AskError::Lost)
        }
    }
}

/// A question under way on a tunnel.
pub(super) struct Load(pub(super) Arc<Tunnel>);

impl Load {
    pub(super) fn on(tunnel: Arc<Tunnel>) -> Self {
        tunnel.asks.fetch_add(1, Ordering::Relaxed);
        Self(tunnel)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.asks.fetch_sub(1, Ordering::Relaxed);
    }
}
