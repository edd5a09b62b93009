//! How long a follower has been behind, from what the leader's log was when. Times are given, not asked for.

use std::{collections::VecDeque, time::Duration};

use guitai_types::live::Behind;

/// Looks at the log's end that are kept. At one every 50 ms this is three and a half minutes of a log that
/// never rests; older lags are reported as at least that.
const HEADS_KEPT: usize = 4_096;

/// The ends of the leader's log, each with the time it was first seen.
#[derive(Debug, Default)]
pub(crate) struct Heads(VecDeque<(Duration, u64)>);

impl Heads {
    /// The log ends at `newest` now.
    pub(crate) fn note(&mut self, now: Duration, newest: u64) {
        if self.0.back().is_some_and(|(_, known)| newest <= *known) {
            return;
        }
        if self.0.len() >= HEADS_KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, newest));
    }

    /// Somebody else leads.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }

    /// How far a node is behind whose log is known to reach to `matched`.
    pub(crate) fn behind(&self, now: Duration, matched: u64) -> Behind {
        let Some((_, newest)) = self.0.back() else {
            return Behind::default();
        };
        // The first look that saw more than it has: since then at the latest something is missing.
        let at = self.0.partition_point(|(_, end)| *end <= matched);
        let since = self.0.get(at).map(|(seen, _)| now.saturating_sub(*seen));
        Behind {
            entries: newest.saturating_sub(matched),
            ms: since.map_or(0, crate::probe::millis),
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
    fn a_lag_counts_from_the_first_entry_that_is_missing() {
        let mut heads = Heads::default();
        assert_eq!(heads.behind(ms(5), 0), Behind::default(), "nothing known");
        for (at, newest) in [(100, 10), (150, 10), (200, 14), (900, 20)] {
            heads.note(ms(at), newest);
        }
        let behind = |matched| {
            let Behind { entries, ms } = heads.behind(ms(1_000), matched);
            (entries, ms)
        };
        assert_eq!(behind(20), (0, 0));
        assert_eq!(behind(25), (0, 0), "it heard before the leader looked");
        assert_eq!(behind(19), (1, 100));
        assert_eq!(behind(12), (8, 800));
        assert_eq!(behind(3), (17, 900));
    }

    #[test]
    fn what_is_remembered_has_a_limit_and_a_lag_is_then_at_least_that() {
        let mut heads = Heads::default();
        for look in 0..HEADS_KEPT as u64 + 10 {
            heads.note(ms(look), look + 1);
        }
        assert_eq!(heads.0.len(), HEADS_KEPT);
        let now = ms(HEADS_KEPT as u64 + 10);
        assert_eq!(heads.behind(now, 0).ms, HEADS_KEPT as u64);
        heads.forget();
        assert_eq!(heads.behind(now, 0), Behind::default());
    }
}
