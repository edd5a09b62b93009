//! Time arrives as an argument; this is where it comes from.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use guitai_types::UnixMillis;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Wall time. May jump, in either direction: for display, for tokens, never for a time-out.
    fn wall(&self) -> UnixMillis;
    /// Time since the process started (or the world began). Never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the machine's clock is read"
)]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl SystemClock {
    /// The machine's clock. The first one made or asked sets the zero of monotonic time.
    pub fn new() -> Self {
        LazyLock::force(&START);
        Self
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
    )]
    fn wall(&self) -> UnixMillis {
        // A clock before 1970 is a machine without a battery; 0 makes every token "not yet valid".
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: AtomicU64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that says `wall` and has run for no time.
    pub const fn new(wall: UnixMillis) -> Self {
        Self {
            wall_ms: AtomicU64::new(wall.0),
            monotonic_ms: AtomicU64::new(0),
        }
    }

    /// Moves both times on by `by`, to the millisecond.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.wall_ms.fetch_add(by, Ordering::SeqCst);
        self.monotonic_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets wall time alone, as an administrator or NTP does; may go back.
    pub fn set(&self, wall: UnixMillis) {
        self.wall_ms.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_wall_clock_back_leaves_monotonic_time_alone() {
        let clock = ManualClock::new(UnixMillis(1_000));
        clock.advance(Duration::from_millis(250));
        clock.set(UnixMillis(10));
        assert_eq!(clock.wall(), UnixMillis(10));
        assert_eq!(clock.monotonic(), Duration::from_millis(250));
    }

    #[test]
    fn the_machine_has_a_battery() {
        let before = SystemClock.monotonic();
        assert!(SystemClock.wall() > UnixMillis(1_700_000_000_000));
        assert!(SystemClock.monotonic() >= before);
    }
}
