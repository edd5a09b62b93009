//! Events as a stream: those of the past as far as they are kept, then live.

use std::collections::VecDeque;

use futures::{Stream, stream};
use guitai_types::event::Event;
use tokio::sync::watch;

use crate::applied::Applied;

/// Events copied from the state at once.
const COPIED_MAX: usize = 256;

/// Events from `from` on. A subscriber that falls behind the ring goes on with the oldest event
/// kept; it sees the gap in the numbers. Ends when this node shuts down.
pub(crate) fn stream(
    applied: Applied,
    from: u64,
    stopped: watch::Receiver<bool>,
) -> impl Stream<Item = Event> + Send + Unpin + 'static {
    let newest = applied.event_number();
    let cursor = Cursor {
        applied,
        newest,
        stopped,
        next: from.max(1),
        ready: VecDeque::new(),
    };
    Box::pin(stream::unfold(cursor, |mut cursor| async move {
        let event = cursor.next().await?;
        Some((event, cursor))
    }))
}

struct Cursor {
    applied: Applied,
    newest: watch::Receiver<u64>,
    stopped: watch::Receiver<bool>,
    next: u64,
    ready: VecDeque<Event>,
}

impl Cursor {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.next = event.number + 1;
                return Some(event);
            }
            // Seen before looking, so that what comes after the look wakes us.
            self.newest.borrow_and_update();
            let next = self.next;
            self.ready = self.applied.look(|base| {
                base.state
                    .events_from(next)
                    .take(COPIED_MAX)
                    .cloned()
                    .collect()
            });
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.newest.changed() => changed.ok()?,
                _ = self.stopped.wait_for(|stopped| *stopped) => return None,
            }
        }
    }
}
