//! Who sends more than a call needs is cut off: an edge carries what it cannot read, so the amount is what it can judge.

use std::{sync::Arc, time::Duration};

use guitai_host::Clock;
use guitai_net::pace::{Bucket, Rate};

/// Bytes a second that one connection of the door may send: 32 Mbit/s, some ten times what a page sends at 720p.
pub(crate) const DOOR_BYTES_PER_SECOND: u64 = 4 * 1024 * 1024;
/// For so many seconds at once: what a page sends that was held up.
const BURST_SECONDS: u64 = 8;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Comes to an end when a connection has sent too much; never where its transport does not count.
pub(crate) async fn outpaced(session: &moq_net::Session, per_second: u64, clock: Arc<dyn Clock>) {
    let rate = Rate::each_second(per_second, BURST_SECONDS);
    let mut bucket = Bucket::default();
    let mut before = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let received = session.stats().bytes_received.unwrap_or(before);
        let more = received.saturating_sub(before);
        before = received;
        if !bucket.take_many(more, rate, clock.monotonic()) {
            return;
        }
    }
}
