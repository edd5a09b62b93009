//! What one prober sees, as numbers: the longest time without a good answer, how long answers took, and
//! which serials were acknowledged. Times are given, not asked for.

use std::time::Duration;

use guitai_types::dr::{Histogram, Serials};

/// A prober's memory of one run.
#[derive(Debug, Clone)]
pub struct Meter {
    began: Duration,
    last_good: Duration,
    gap: Duration,
    gap_from: Duration,
    /// Asked.
    pub sent: u64,
    /// Answered well.
    pub acked: u64,
    /// How long good answers took.
    pub latency: Histogram,
    /// Serials acknowledged.
    pub serials: Serials,
}

/// The longest time without a good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// How long.
    pub length: Duration,
    /// How long after the beginning it began.
    pub after: Duration,
}

impl Meter {
    /// Begins at `now`; until the first good answer the service is out.
    pub fn new(now: Duration) -> Self {
        Self {
            began: now,
            last_good: now,
            gap: Duration::ZERO,
            gap_from: now,
            sent: 0,
            acked: 0,
            latency: Histogram::default(),
            serials: Serials::default(),
        }
    }

    /// The next serial, which is asked for now.
    pub fn send(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// A good answer came at `now`, `took` after it was asked for. Only the first one of a serial counts.
    pub fn good(&mut self, serial: u64, now: Duration, took: Duration) {
        if self.serials.contains(serial) {
            return;
        }
        self.acked += 1;
        self.serials.insert(serial);
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.latency.add(ms);
        self.silence_until(now);
        self.last_good = self.last_good.max(now);
    }

    /// How long the last good answer is ago.
    pub fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_good)
    }

    /// The longest silence so far, the present one included; nothing ends by asking.
    pub fn longest(&self, now: Duration) -> Duration {
        self.gap.max(self.silence(now))
    }

    /// How long after the beginning the last good answer came; `None` if none did.
    pub fn last(&self) -> Option<Duration> {
        (self.acked > 0).then(|| self.last_good.saturating_sub(self.began))
    }

    /// The longest silence when it ends at `now`.
    pub fn end(&mut self, now: Duration) -> Gap {
        self.silence_until(now);
        Gap {
            length: self.gap,
            after: self.gap_from.saturating_sub(self.began),
        }
    }

    fn silence_until(&mut self, now: Duration) {
        let silence = self.silence(now);
        if silence > self.gap {
            self.gap = silence;
            self.gap_from = self.last_good;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_longest_silence_counts_from_the_last_good_answer() {
        let mut meter = Meter::new(ms(100));
        for at in [110, 130, 150] {
            let serial = meter.send();
            meter.good(serial, ms(at), ms(5));
        }
        let late = meter.send();
        meter.good(late, ms(950), ms(780));
        let gap = meter.end(ms(970));
        assert_eq!((gap.length, gap.after), (ms(800), ms(50)));
        assert_eq!((meter.sent, meter.acked, meter.serials.count()), (4, 4, 4));
    }

    #[test]
    fn looking_at_a_silence_does_not_end_it() {
        let mut meter = Meter::new(ms(0));
        for (at, serial) in [(10, 1), (210, 2)] {
            meter.good(serial, ms(at), ms(1));
        }
        assert_eq!(
            (meter.silence(ms(260)), meter.longest(ms(260))),
            (ms(50), ms(200))
        );
        assert_eq!(
            (meter.silence(ms(900)), meter.longest(ms(900))),
            (ms(690), ms(690))
        );
        meter.good(3, ms(1_000), ms(1));
        assert_eq!(
            (meter.silence(ms(1_001)), meter.longest(ms(1_001))),
            (ms(1), ms(790))
        );
        assert_eq!(meter.end(ms(1_001)).length, ms(790));
    }

    #[test]
    fn a_serial_that_comes_by_two_ways_counts_once_and_at_its_first() {
        let mut meter = Meter::new(ms(0));
        assert_eq!(meter.last(), None);
        let serial = meter.send();
        meter.good(serial, ms(30), ms(30));
        meter.good(serial, ms(70), ms(70));
        assert_eq!((meter.acked, meter.serials.count()), (1, 1));
        assert_eq!(meter.last(), Some(ms(30)));
        assert_eq!(meter.end(ms(100)).length, ms(70));
    }

    #[test]
    fn a_service_that_never_answers_is_out_from_beginning_to_end() {
        let mut meter = Meter::new(ms(0));
        meter.send();
        assert_eq!(meter.end(ms(5_000)).length, ms(5_000));
    }

    #[test]
    fn an_answer_that_overtakes_another_makes_no_gap() {
        let mut meter = Meter::new(ms(0));
        let (first, second) = (meter.send(), meter.send());
        meter.good(second, ms(30), ms(10));
        meter.good(first, ms(20), ms(20));
        assert_eq!(meter.end(ms(31)).length, ms(30));
    }
}
