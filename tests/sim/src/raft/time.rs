//! Simulated time: tokio's paused clock as the nodes' [`Clock`].

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use guitai_host::Clock;
use guitai_types::UnixMillis;
use tokio::time::Instant;

/// Wall time at which every world begins, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_800_000_000_000;

/// The world's time.
#[derive(Debug, Clone, Copy)]
pub struct Time(Instant);

impl Time {
    /// Begins now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator is what replaces the clock: this is tokio's paused time"
    )]
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Since the beginning.
    pub fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One node's clock: the world's time, and a wall clock that is off.
#[derive(Debug)]
pub struct NodeClock {
    time: Time,
    /// The machine did not start when the world began.
    up_before: Duration,
    /// How fast its time passes, in millionths of the world's.
    rate_ppm: u32,
    wall_off_ms: AtomicI64,
}

impl NodeClock {
    /// A clock whose monotonic time is ahead by `up_before`, and whose time passes at `rate_ppm`
    /// millionths of the world's.
    pub fn new(time: Time, up_before: Duration, rate_ppm: u32) -> Self {
        Self {
            time,
            up_before,
            rate_ppm,
            wall_off_ms: AtomicI64::new(0),
        }
    }

    /// Since the beginning, as this machine's oscillator counts: wall and monotonic time are both its.
    fn passed(&self) -> Duration {
        self.time.passed() * self.rate_ppm / 1_000_000
    }

    /// Sets the wall clock wrong, by milliseconds.
    pub fn set_wrong(&self, by_ms: i64) {
        self.wall_off_ms.store(by_ms, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn wall(&self) -> UnixMillis {
        let passed_ms = u64::try_from(self.passed().as_millis()).unwrap_or(u64::MAX);
        let right = BEGINNING_MS + passed_ms;
        UnixMillis(right.saturating_add_signed(self.wall_off_ms.load(Ordering::Relaxed)))
    }

    fn monotonic(&self) -> Duration {
        self.up_before + self.passed()
    }
}
