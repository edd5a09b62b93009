//! What a failover should cost by the timers and the measured round trips: one hundred model runs, each
//! with its own draw. The formula is openraft's (see `docs/decisions/0002-openraft.md`): a follower
//! stands for election a lease and a random time after it last heard the leader, wins with the answer of
//! the voter that completes the quorum, and commits its first entry with the same.

use std::collections::BTreeMap;

use guitai_host::SeededEntropy;
use guitai_types::dr::{ExpectedGap, Service};

/// Time a disk takes to sync an entry, in microseconds: a bank's array in a bad moment.
const SYNC_US: u64 = 10_000;
/// Orders of a canary's call, each agreed on before the next, and its one read.
const ORDERS_OF_A_CALL: u64 = 5;
/// Gap between frames that come from two other centres, typical and in a bad moment, in milliseconds.
const FRAME_GAP_MS: (u64, u64) = (60, 500);
/// The same between frames that become durable: a tenth of a second is gathered before each sync, and
/// recorders are asked as often.
const DURABLE_GAP_MS: (u64, u64) = (400, 1_500);
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

/// What of a time without acknowledged writes each service sees. Log, queue, login and calls need the
/// leader; a call is four writes and a read, so that what is under way when it falls silent is begun
/// again. Frames need no leader: only a relay or a recorder that falls silent is missed, until the next
/// copy comes by another way.
pub fn services(p50: u64, p99: u64, timers: &Timers) -> BTreeMap<Service, ExpectedGap> {
    let trip_ms = quorum_trip_us(timers) / 1000;
    let call = Service::Call.cadence_ms() + ORDERS_OF_A_CALL * (trip_ms + SYNC_US / 1000);
    let gap = |p50_ms, p99_ms| ExpectedGap { p50_ms, p99_ms };
    Service::ALL
        .into_iter()
        .map(|service| {
            let expected = match service {
                Service::Log | Service::Queue | Service::Login => gap(p50, p99),
                Service::Call => gap(p50 + call, p99 + 2 * call),
                Service::Media => gap(FRAME_GAP_MS.0, FRAME_GAP_MS.1),
                Service::Recording => gap(DURABLE_GAP_MS.0, DURABLE_GAP_MS.1),
            };
            (service, expected)
        })
        .collect()
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
    fn every_service_has_a_figure_and_a_call_the_longest() {
        let (p50, p99) = leader_lost(&timers());
        let services = services(p50, p99, &timers());
        assert_eq!(services.len(), Service::ALL.len());
        let call = services[&Service::Call];
        assert!(
            services
                .values()
                .all(|it| it.p50_ms <= call.p50_ms && it.p50_ms <= it.p99_ms)
        );
        assert!(
            services[&Service::Media].p99_ms < p50,
            "frames need no leader"
        );
    }

    #[test]
    fn a_hand_over_waits_for_no_timer() {
        assert!(handed_over(&timers()).1 < 100);
        assert!(follower_lost(&timers()).1 < 50);
    }
}
