//! Drives the emulated WAN: one thread reads every host's TUN device, asks the [`Wan`] what becomes of
//! each packet, and writes it to its destination's device when it is due.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    thread::set_current_timer_slack,
};
use tappers::linux::Tun;

use crate::{
    error::{LabError, io_error},
    wan::Wan,
};

/// Longest IP packet a device gives; its MTU is 1500.
const PACKET_BYTES_MAX: usize = 2_048;
/// Packets read from one device before the others have their turn.
const TURN_MAX: usize = 64;
/// How often the thread looks whether it shall end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much later than asked the kernel may wake the thread; its usual 50 µs are a third of the
/// shortest delay.
const SLACK_NS: u64 = 5_000;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    wan: Arc<Mutex<Wan>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Emulator {
    /// Carries packets among these devices, in the order of the hosts of `wan`.
    pub(crate) fn start(tuns: Vec<Tun>, wan: Wan) -> Result<Self, LabError> {
        let wan = Arc::new(Mutex::new(wan));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("lab-wan".to_owned());
        let thread = thread.spawn({
            let (wan, stop) = (Arc::clone(&wan), Arc::clone(&stop));
            move || carry(&tuns, &wan, &stop)
        });
        Ok(Self {
            wan,
            stop,
            thread: Some(thread.map_err(io_error("start", "the emulator's thread"))?),
        })
    }

    /// The links, to look at and to change.
    pub(crate) fn wan(&self) -> MutexGuard<'_, Wan> {
        self.wan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn carry(tuns: &[Tun], wan: &Mutex<Wan>, stop: &AtomicBool) {
    // Without it delays are a little longer, that is all.
    set_current_timer_slack(std::num::NonZeroU64::new(SLACK_NS)).ok();
    let started = Instant::now();
    let lock = || wan.lock().unwrap_or_else(PoisonError::into_inner);
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let mut fds: Vec<_> = tuns
        .iter()
        .map(|tun| PollFd::new(tun, PollFlags::IN))
        .collect();
    while !stop.load(Ordering::Relaxed) {
        let now = started.elapsed();
        let due: Vec<_> = {
            let mut wan = lock();
            std::iter::from_fn(|| wan.take(now)).collect()
        };
        for delivery in due {
            if let Some(tun) = tuns.get(delivery.to) {
                // A device whose queue is full drops, as a wire does.
                drop(tun.send(&delivery.packet));
            }
        }
        let next = lock().next_due().map_or(LOOK_EVERY, |due| {
            due.saturating_sub(started.elapsed()).min(LOOK_EVERY)
        });
        let wait = Timespec::try_from(next).ok();
        if poll(&mut fds, wait.as_ref()).unwrap_or(0) == 0 {
            continue;
        }
        for (from, tun) in tuns.iter().enumerate() {
            if !fds
                .get(from)
                .is_some_and(|fd| fd.revents().contains(PollFlags::IN))
            {
                continue;
            }
            for _ in 0..TURN_MAX {
                let Ok(bytes) = tun.recv(&mut buffer) else {
                    break;
                };
                let packet = buffer.get(..bytes).unwrap_or_default();
                lock().offer(started.elapsed(), from, packet);
            }
        }
    }
}
