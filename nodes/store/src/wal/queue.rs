//! Many requests, one sync: the thread that writes, and what it shares with the callers.
//!
//! A request changes the index and joins the queue under one lock, so the disk sees the changes in
//! the order in which the index did. The thread takes all that waits, makes it durable with one
//! sync, and only then tells the callers.

use std::{
    collections::VecDeque,
    io, mem,
    ops::ControlFlow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use super::{
    index::Index,
    segments::{Change, Segments, Written},
};

/// Bytes taken into one batch; one request more may push it past.
const BATCH_BYTES: usize = 16 << 20;
/// Requests taken into one batch, and half of those that may wait.
const BATCH_REQUESTS_MAX: usize = 4_096;

/// Called once, when the request is durable or has failed.
pub(super) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

pub(super) struct Queue {
    desk: Arc<Desk>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What the callers and the writer share.
struct Desk {
    shared: Mutex<Shared>,
    /// There is something to write, or the log closes.
    work: Condvar,
    /// There is room in the queue, or the log has stopped.
    room: Condvar,
    queue_bytes_max: usize,
    /// Called when there is something to write, where the caller is the writer.
    wake: Option<Wake>,
}

/// Tells a writer that is no thread of ours that there is something to write.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

struct Shared {
    index: Index,
    waiting: VecDeque<Request>,
    waiting_bytes: usize,
    /// A committed mark to go with the next batch.
    committed: Option<Vec<u8>>,
    closed: bool,
    stopped: Option<String>,
}

struct Request {
    changes: Vec<Change>,
    bytes: usize,
    done: Done,
}

impl Queue {
    /// Starts the writer.
    pub(super) fn start(
        segments: Segments,
        index: Index,
        queue_bytes_max: usize,
    ) -> io::Result<Arc<Self>> {
        let desk = Desk::new(index, queue_bytes_max, None);
        let mut writer = Writer::new(&desk, segments);
        let writer = thread::Builder::new()
            .name("wal".into())
            .spawn(move || while writer.wait_and_write().is_continue() {})?;
        Ok(Arc::new(Self {
            desk,
            writer: Mutex::new(Some(writer)),
        }))
    }

    /// As [`Queue::start`], but the caller is the writer.
    pub(super) fn start_stepped(
        segments: Segments,
        index: Index,
        queue_bytes_max: usize,
        wake: Wake,
    ) -> (Arc<Self>, Writer) {
        let desk = Desk::new(index, queue_bytes_max, Some(wake));
        let writer = Writer::new(&desk, segments);
        let queue = Self {
            desk,
            writer: Mutex::new(None),
        };
        (Arc::new(queue), writer)
    }

    /// Changes the index by `accept` and queues the changes it gives. Blocks while the queue is
    /// full: the writer drains it or stops, so that ends.
    pub(super) fn submit(
        &self,
        bytes: usize,
        done: Done,
        accept: impl FnOnce(&mut Index) -> io::Result<Vec<Change>>,
    ) {
        let mut shared = self.desk.lock();
        while shared.stopped.is_none() && shared.is_full(bytes, self.desk.queue_bytes_max) {
            shared = self
                .desk
                .room
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let accepted = match &shared.stopped {
            Some(why) => Err(stopped(why)),
            None => accept(&mut shared.index),
        };
        match accepted {
            Ok(changes) => {
                shared.waiting_bytes += bytes;
                shared.waiting.push_back(Request {
                    changes,
                    bytes,
                    done,
                });
                drop(shared);
                self.desk.work_arrived();
            }
            Err(error) => {
                drop(shared);
                done(Err(error));
            }
        }
    }

    pub(super) fn note_committed(&self, committed: Vec<u8>) -> io::Result<()> {
        let mut shared = self.desk.lock();
        if let Some(why) = &shared.stopped {
            return Err(stopped(why));
        }
        shared.index.committed = Some(committed.clone());
        shared.committed = Some(committed);
        Ok(())
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.desk.lock().index)
    }

    pub(super) fn stopped(&self) -> Option<String> {
        self.desk.lock().stopped.clone()
    }
}

impl Drop for Queue {
    /// Writes what waits and ends the thread.
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.work_arrived();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // The last handle may go in a `done` on the writer's own thread, which cannot join itself.
        if let Some(writer) = writer.filter(|writer| writer.thread().id() != thread::current().id())
            && writer.join().is_err()
        {
            tracing::error!("the log's writer panicked");
        }
    }
}

/// Writes what the callers ask for. When it goes, the log stops.
pub(super) struct Writer {
    desk: StopWhenGone,
    segments: Segments,
}

impl Writer {
    fn new(desk: &Arc<Desk>, segments: Segments) -> Self {
        Self {
            desk: StopWhenGone(Arc::clone(desk)),
            segments,
        }
    }

    /// Waits for a batch and writes it; breaks when the log has closed or failed.
    fn wait_and_write(&mut self) -> ControlFlow<()> {
        match self.desk.0.next_batch() {
            Some(batch) => self.write(batch),
            None => ControlFlow::Break(()),
        }
    }

    /// Writes what waits, if anything does; breaks when the log has failed.
    pub(super) fn write_waiting(&mut self) -> ControlFlow<()> {
        let desk = &self.desk.0;
        let batch = desk.take_batch(&mut desk.lock());
        batch.map_or(ControlFlow::Continue(()), |batch| self.write(batch))
    }

    fn write(&mut self, (changes, dones): (Vec<Change>, Vec<Done>)) -> ControlFlow<()> {
        let desk = &self.desk.0;
        match self.segments.commit(&changes) {
            Ok(written) => {
                desk.lock().take_note(written);
                desk.room.notify_all();
                dones.into_iter().for_each(|done| done(Ok(())));
                ControlFlow::Continue(())
            }
            Err(error) => {
                tracing::error!(%error, "the log has stopped; the node must restart");
                let why = desk.stop(&error.to_string());
                // The first sees the disk's own error; its kind matters to the operator.
                let rest = dones.into_iter().enumerate();
                rest.for_each(|(at, done)| {
                    let kind = if at == 0 {
                        error.kind()
                    } else {
                        io::ErrorKind::Other
                    };
                    done(Err(io::Error::new(kind, why.clone())));
                });
                ControlFlow::Break(())
            }
        }
    }
}

impl Desk {
    fn new(index: Index, queue_bytes_max: usize, wake: Option<Wake>) -> Arc<Self> {
        let shared = Shared {
            index,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            committed: None,
            closed: false,
            stopped: None,
        };
        Arc::new(Self {
            shared: Mutex::new(shared),
            work: Condvar::new(),
            room: Condvar::new(),
            queue_bytes_max,
            wake,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the writer, thread or caller.
    fn work_arrived(&self) {
        self.work.notify_one();
        if let Some(wake) = &self.wake {
            wake();
        }
    }

    /// Waits for work; nothing when the log is closed and all is written.
    fn next_batch(&self) -> Option<(Vec<Change>, Vec<Done>)> {
        let mut shared = self.lock();
        while shared.waiting.is_empty() && !shared.closed {
            shared = self
                .work
                .wait(shared)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.take_batch(&mut shared)
    }

    /// What waits, up to the bounds of a batch.
    fn take_batch(&self, shared: &mut Shared) -> Option<(Vec<Change>, Vec<Done>)> {
        let (mut changes, mut dones, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < BATCH_BYTES && dones.len() < BATCH_REQUESTS_MAX {
            let Some(request) = shared.waiting.pop_front() else {
                break;
            };
            bytes += request.bytes;
            changes.extend(request.changes);
            dones.push(request.done);
        }
        shared.waiting_bytes -= bytes;
        if shared.waiting.is_empty() {
            // After every entry it may speak of: a torn batch must not leave it pointing past them.
            changes.extend(shared.committed.take().map(Change::Committed));
        }
        (!changes.is_empty() || !dones.is_empty()).then_some((changes, dones))
    }

    /// Fails everything that waits and everything to come.
    fn stop(&self, why: &str) -> String {
        let mut shared = self.lock();
        let why = shared.stopped.get_or_insert_with(|| why.to_owned()).clone();
        let waiting = mem::take(&mut shared.waiting);
        shared.waiting_bytes = 0;
        drop(shared);
        self.room.notify_all();
        for request in waiting {
            (request.done)(Err(stopped(&why)));
        }
        why
    }
}

impl Shared {
    /// A request that alone is past the bound goes into an empty queue.
    fn is_full(&self, more: usize, bytes_max: usize) -> bool {
        let past = self.waiting_bytes.saturating_add(more) > bytes_max;
        (past && !self.waiting.is_empty()) || self.waiting.len() >= 2 * BATCH_REQUESTS_MAX
    }

    fn take_note(&mut self, written: Written) {
        self.index.files.extend(written.opened);
        for (index, entry, place) in &written.placed {
            self.index.place(*index, entry, *place);
        }
        for segment in written.removed {
            self.index.files.remove(&segment);
        }
        self.index.shrink_cache();
    }
}

/// Stops the log when the writer ends, also by a panic in a `done`: nobody waits for ever.
struct StopWhenGone(Arc<Desk>);

impl Drop for StopWhenGone {
    fn drop(&mut self) {
        self.0.stop("the log is closed");
    }
}

fn stopped(why: &str) -> io::Error {
    io::Error::other(format!("the log has stopped: {why}"))
}
