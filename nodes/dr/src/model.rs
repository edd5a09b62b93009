//! What a failover should cost by the timers and the measured round trips: one hundred model runs, each
//! with its own draw. The formula is openraft's (see `docs/decisions/0002-openraft.md`): a follower
//! stands for election a lease and a random time after it last heard the leader, wins with the answer of
//! the voter that completes the quorum, and commits its first entry with the same.

use guitai_host::SeededEntropy;

/// Time a disk takes to sync an entry, in microseconds: a bank's array in a bad moment.
const SYNC_US: u64 = 10_000;
/// Model runs.
pub const RUNS: usize = 100;

/// What the model needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timers {
    /// Leader's heartbeat in milliseconds.
    pub heartbeat_ms: u64,
    /// Bounds of the election timeout of those who may lead, in milliseconds.
    pub election_ms: (u64, u64),
    /// Round trips from the likely next leader to the other voters that live, in microseconds.
    pub round_trips_us: Vec<u64>,
    /// Answers it needs of them.
    pub answers: usize,
}

/// The 50th and the 99th of [`RUNS`] model runs of a lost leader, in milliseconds without an
/// acknowledged write.
pub fn leader_lost(timers: &Timers) -> (u64, u64) {
    let entropy = SeededEntropy::new(1);
    let (min, max) = timers.election_ms;
    let quorum_us = quorum_trip_us(timers);
    spread((0..RUNS).map(|_| {
        let heard_before = entropy.below(timers.heartbeat_ms.max(1));
        let waits = max + min + entropy.below((max - min.min(max)).max(1)) - heard_before.min(max);
        // Pre-vote, vote, first entry.
        waits * 1000 + 3 * quorum_us + 2 * SYNC_US
    }))
}

/// The same for a planned hand-over: the heir is told, is elected at once and commits.
pub fn handed_over(timers: &Timers) -> (u64, u64) {
    let entropy = SeededEntropy::new(2);
    let quorum_us = quorum_trip_us(timers);
    spread((0..RUNS).map(|_| 3 * quorum_us + 2 * SYNC_US + entropy.below(20_000)))
}

/// The same when no leader is lost: a write waits for another voter than before.
pub fn follower_lost(timers: &Timers) -> (u64, u64) {
    let entropy = SeededEntropy::new(3);
    let quorum_us = quorum_trip_us(timers);
    spread((0..RUNS).map(|_| quorum_us + SYNC_US + entropy.below(20_000)))
}

/// The round trip to the voter whose answer completes the quorum.
fn quorum_trip_us(timers: &Timers) -> u64 {
    let mut trips = timers.round_trips_us.clone();
    trips.sort_unstable();
    let last_needed = timers.answers.saturating_sub(1);
    trips
        .get(last_needed)
        .or_else(|| trips.last())
        .copied()
        .unwrap_or(0)
}

fn spread(runs_us: impl Iterator<Item = u64>) -> (u64, u64) {
    let mut all: Vec<u64> = runs_us.map(|us| us / 1000).collect();
    all.sort_unstable();
    let at = |part: usize| all.get(part).copied().unwrap_or(0);
    (at(RUNS / 2), at(RUNS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers {
            heartbeat_ms: 50,
            election_ms: (200, 400),
            round_trips_us: vec![500, 2_000, 30_000],
            answers: 2,
        }
    }

    #[test]
    fn a_lost_leader_costs_what_the_timers_say() {
        let (p50, p99) = leader_lost(&timers());
        assert!(
            (600..=830).contains(&p50) && p50 <= p99 && p99 <= 830,
            "{p50} {p99}"
        );
        let far = Timers {
            answers: 3,
            ..timers()
        };
        assert!(
            leader_lost(&far).0 > p50 + 60,
            "three trips to the far city"
        );
        assert_eq!(leader_lost(&timers()), (p50, p99), "the same every time");
    }

    #[test]
    fn a_hand_over_waits_for_no_timer() {
        assert!(handed_over(&timers()).1 < 100);
        assert!(follower_lost(&timers()).1 < 50);
    }
}
