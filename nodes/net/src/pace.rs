//! How often something may happen: a token bucket as one instant, the generic cell rate algorithm (ITU-T I.371). Time is
//! an argument, by any steady clock.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Time that one takes to come back; none where nothing is limited.
    interval: Option<Duration>,
    /// How far ahead of the steady pace one may be.
    ahead: Duration,
}

impl Rate {
    /// No limit.
    pub const NONE: Self = Self {
        interval: None,
        ahead: Duration::ZERO,
    };

    /// `count` in a `period`, all at once if need be; 0 is no limit.
    pub fn new(count: u32, period: Duration) -> Self {
        let Some(interval) = period.checked_div(count) else {
            return Self::NONE;
        };
        Self {
            interval: Some(interval),
            ahead: period.saturating_sub(interval),
        }
    }

    /// So many a second, `seconds` of them at once if need be; 0 is no limit, and more than a thousand million a second
    /// are that many.
    pub fn each_second(count: u64, seconds: u64) -> Self {
        let Some(nanos) = NANOS.checked_div(count) else {
            return Self::NONE;
        };
        let interval = Duration::from_nanos(nanos.max(1));
        Self {
            interval: Some(interval),
            ahead: Duration::from_secs(seconds).saturating_sub(interval),
        }
    }
}

const NANOS: u64 = 1_000_000_000;

/// What one address, ticket or peer has drawn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// When it is full again.
    full_at: Duration,
}

impl Bucket {
    /// Draws one, if there is one.
    pub fn take(&mut self, rate: Rate, now: Duration) -> bool {
        self.take_many(1, rate, now)
    }

    /// Draws so many, if there is one: the rest is owed.
    pub fn take_many(&mut self, count: u64, rate: Rate, now: Duration) -> bool {
        let Some(interval) = rate.interval else {
            return true;
        };
        let from = self.full_at.max(now);
        if from.saturating_sub(now) > rate.ahead {
            return false;
        }
        let nanos = interval.as_nanos().saturating_mul(u128::from(count));
        let owed = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.full_at = from.saturating_add(owed);
        true
    }

    /// Whether it holds all that it can: there is nothing to remember.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

/// Buckets of many, who may be made up by strangers: of those who were silent longest nothing is remembered.
#[derive(Debug)]
pub struct Buckets<K> {
    most: usize,
    recent: HashMap<K, Bucket>,
    before: HashMap<K, Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// At least the last `most` are remembered, never more than twice as many.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            recent: HashMap::new(),
            before: HashMap::new(),
        }
    }

    /// Takes a token of one; who is not remembered has a full bucket.
    pub fn take(&mut self, key: K, rate: Rate, now: Duration) -> bool {
        if let Some(bucket) = self.recent.get_mut(&key) {
            return bucket.take(rate, now);
        }
        if self.recent.len() >= self.most {
            self.before = std::mem::take(&mut self.recent);
        }
        let known = self.before.remove(&key);
        let mut bucket = known.unwrap_or_default();
        let taken = bucket.take(rate, now);
        self.recent.insert(key, bucket);
        taken
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_period_may_come_at_once_and_then_at_its_pace() {
        let rate = Rate::new(4, Duration::from_secs(1));
        let mut bucket = Bucket::default();
        let drawn = |bucket: &mut Bucket, now| (0..9).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(drawn(&mut bucket, at(5_000)), 4);
        assert_eq!(drawn(&mut bucket, at(5_249)), 0);
        assert_eq!(drawn(&mut bucket, at(5_250)), 1);
        assert!(!bucket.is_full(at(6_249)));
        assert_eq!(drawn(&mut bucket, at(60_000)), 4);
        assert!(bucket.is_full(at(61_000)));
        assert_eq!(
            drawn(&mut bucket, at(0)),
            0,
            "a clock that goes back gives nothing"
        );
        let mut free = Bucket::default();
        assert!((0..9_999).all(|_| free.take(Rate::new(0, at(1_000)), at(0))));
    }

    #[test]
    fn what_is_drawn_at_once_is_owed() {
        let rate = Rate::each_second(1_000, 2);
        let mut bucket = Bucket::default();
        assert!(bucket.take_many(3_000, rate, at(0)));
        assert!(!bucket.take(rate, at(1_000)), "a second is owed still");
        assert!(bucket.take(rate, at(1_001)));
        assert!(!bucket.take_many(u64::MAX, rate, at(1_001)));
        let mut bucket = Bucket::default();
        assert!(bucket.take_many(u64::MAX, rate, at(0)));
        assert!(!bucket.take(rate, at(1_000_000)));
    }

    #[test]
    fn a_stranger_does_not_make_others_forgotten_at_once() {
        let rate = Rate::each_second(1, 1);
        let mut buckets = Buckets::new(4);
        assert!(buckets.take(0, rate, at(0)));
        for stranger in 1..4 {
            assert!(buckets.take(stranger, rate, at(0)));
        }
        assert!(!buckets.take(0, rate, at(0)));
        for stranger in 4..7 {
            assert!(buckets.take(stranger, rate, at(0)));
        }
        assert!(!buckets.take(0, rate, at(0)), "remembered from before");
        for stranger in 7..1_000 {
            assert!(buckets.take(stranger, rate, at(0)));
            assert!(buckets.recent.len() + buckets.before.len() <= 8);
        }
    }

    proptest! {
        #[test]
        fn no_more_than_rate_and_burst_in_any_time(
            per_second in 1_u64..50, seconds in 1_u64..9, steps in proptest::collection::vec(0_u64..400, 1..200),
        ) {
            let rate = Rate::each_second(per_second, seconds);
            let mut bucket = Bucket::default();
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(rate, at(now)));
                // Intervals are whole nanoseconds, a little shorter than they should be.
                prop_assert!(taken <= per_second * seconds + now * per_second / 1_000 + 1);
            }
        }
    }
}
