//! Both sides by hand; what only shows in a crowd is in `tests/sim`.

use guitai_types::sync::DegradeCause;

use super::*;

const GUARD: NodeId = NodeId(5);
const LEASE: Duration = Duration::from_millis(1_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn at(mono_ms: u64) -> Moment {
    Moment {
        mono: ms(mono_ms),
        wall: UnixMillis(1_000_000 + mono_ms),
    }
}

fn guarded(counter: u64) -> SyncState {
    SyncState {
        counter,
        mode: SyncMode::Sync {
            guards: vec![GUARD],
            lease_ms: 1_000,
        },
        since: UnixMillis(0),
    }
}

fn degraded(counter: u64) -> SyncState {
    SyncState {
        counter,
        mode: SyncMode::Degraded {
            cause: DegradeCause::Silent,
            guarded_to: 0,
        },
        since: UnixMillis(0),
    }
}

fn standing(applied: u64, matched: u64) -> Standing {
    Standing {
        applied,
        matched: [(GUARD, matched)].into(),
        candidates: vec![GUARD],
        lease: LEASE,
    }
}

fn ask(counter: u64, nonce: Option<Nonce>) -> Ask {
    Ask {
        term: 3,
        counter,
        nonce,
    }
}

#[test]
fn holder_and_guard_never_measure_the_same_lease_the_other_way_round() {
    for lease_ms in 200..5_000 {
        let lease = ms(lease_ms);
        let rate = f64::from(DRIFT_PPM_MAX) / 1e6;
        let longest_promise = promised(lease).as_secs_f64() / (1.0 - rate);
        let shortest_wait = waited(lease).as_secs_f64() / (1.0 + rate);
        assert!(longest_promise <= lease.as_secs_f64() + 1e-12);
        assert!(shortest_wait >= lease.as_secs_f64() - 1e-12);
    }
}

#[test]
fn a_guard_counts_from_the_nonce_and_grants_only_what_it_has_applied() {
    let mut guard = Grantor::new(GUARD, 7);
    let first = guard.answer(at(0), &ask(1, None), 3, &guarded(1));
    assert_eq!(first.granted_ms, 0, "nothing without a nonce");
    let granted = guard.answer(at(300), &ask(1, Some(first.next)), 3, &guarded(1));
    assert_eq!(
        granted.granted_ms, 600,
        "900 ms from the nonce, not from the answer"
    );
    assert_eq!(guard.proven_until(), Some(at(900)));

    let mut refuses = |ask: &Ask, term, sync: &SyncState| {
        assert_eq!(guard.answer(at(400), ask, term, sync).granted_ms, 0);
        assert_eq!(guard.proven_until(), Some(at(900)));
    };
    let good = ask(1, Some(granted.next));
    refuses(&good, 3, &degraded(1));
    refuses(&good, 3, &guarded(3));
    refuses(&good, 3, &SyncState::default());
    let strangers = SyncState {
        mode: SyncMode::Sync {
            guards: vec![NodeId(9)],
            lease_ms: 1_000,
        },
        ..guarded(1)
    };
    refuses(&good, 3, &strangers);
    let earlier_life = Nonce {
        life: 6,
        ..granted.next
    };
    refuses(&ask(1, Some(earlier_life)), 3, &guarded(1));
    refuses(&good, 4, &guarded(1));
    refuses(&good, 3, &guarded(1));
}

#[test]
fn a_verdict_names_the_end_of_the_promise_and_outlives_a_restart() {
    let mut guard = Grantor::new(GUARD, 7);
    let verdict = guard.verdict(at(0), &guarded(1), None, (1, 1));
    assert_eq!((verdict.proven_until, verdict.proves_now), (None, false));
    let verdict = guard.verdict(at(0), &guarded(1), Some(UnixMillis(77)), (1, 1));
    assert_eq!(verdict.proven_until, Some(UnixMillis(77)));
    assert!(verdict.from_before_restart && !verdict.proves_now);

    let nonce = guard.answer(at(0), &ask(1, None), 3, &guarded(1)).next;
    guard.answer(at(100), &ask(1, Some(nonce)), 3, &guarded(1));
    let verdict = guard.verdict(at(200), &guarded(1), Some(UnixMillis(77)), (1, 1));
    assert_eq!(verdict.proven_until, Some(at(900).wall));
    assert!(verdict.proves_now && !verdict.from_before_restart);
    assert_eq!(verdict.left_ms, 700);
    let verdict = guard.verdict(at(200), &degraded(2), None, (1, 1));
    assert!(
        !verdict.proves_now,
        "the mode that it applied says otherwise"
    );
    let late = guard.verdict(at(900), &guarded(1), None, (1, 1));
    assert!(!late.proves_now);
    assert_eq!(late.proven_until, Some(at(900).wall));
    // The machine was suspended: process time stood still, the wall clock did not.
    let woken = Moment {
        mono: ms(200),
        wall: UnixMillis(at(200).wall.0 + 60_000),
    };
    assert!(!guard.verdict(woken, &guarded(1), None, (1, 1)).proves_now);
}

#[test]
fn what_is_given_back_is_promised_no_longer() {
    let mut guard = Grantor::new(GUARD, 7);
    let nonce = guard.answer(at(0), &ask(1, None), 3, &guarded(1)).next;
    let next = guard
        .answer(at(100), &ask(1, Some(nonce)), 3, &guarded(1))
        .next;
    guard.release(at(250));
    assert_eq!(guard.proven_until(), Some(at(250)));
    let after = guard.answer(at(300), &ask(1, Some(next)), 3, &guarded(1));
    assert_eq!(after.granted_ms, 0, "it stops");
    assert_eq!(guard.proven_until(), Some(at(250)));
    guard.release(at(900));
    assert_eq!(
        guard.proven_until(),
        Some(at(250)),
        "giving back proves nothing more"
    );
}

/// A holder elected at 0 whose guard has granted once, by a nonce that came at `nonce_ms`.
fn held(nonce_ms: u64) -> Holder {
    let mut holder = Holder::new(3, ms(0));
    let sync = guarded(1);
    let mut guard = Grantor::new(GUARD, 7);
    for now_ms in [nonce_ms, nonce_ms + 10] {
        holder.look(ms(now_ms), &sync, &standing(1, 1));
        let wish = holder.wish(GUARD);
        let ask = holder.ask(GUARD, wish, true, ms(now_ms), &sync);
        let answer = guard.answer(at(now_ms), &ask, 3, &sync);
        holder.answered(GUARD, ms(now_ms), &answer, LEASE);
    }
    holder
}

/// When a holder looking every 10 ms proposes `Degraded`, if nobody answers any more.
fn degrades_at(holder: &mut Holder, from_ms: u64, standing: &Standing) -> (u64, SyncMode) {
    for now_ms in (from_ms..10_000).step_by(10) {
        let look = holder.look(ms(now_ms), &guarded(1), standing);
        if let Some((counter, mode)) = look.propose {
            assert_eq!(counter, 2);
            return (now_ms, mode);
        }
        for guard in look.ask {
            let wish = holder.wish(guard);
            holder.ask(guard, wish, true, ms(now_ms), &guarded(1));
            holder.silent(guard);
        }
    }
    panic!("it never degrades");
}

#[test]
fn a_leader_waits_after_its_election_and_after_the_last_nonce_it_used() {
    let mut fresh = Holder::new(3, ms(0));
    let (at_ms, mode) = degrades_at(&mut fresh, 0, &standing(9, 4));
    assert_eq!(at_ms, 1_110);
    let silent = SyncMode::Degraded {
        cause: DegradeCause::Silent,
        guarded_to: 4,
    };
    assert_eq!(mode, silent);
    // The nonce that came at 2010 is used once more, and nobody answers.
    let mut old = held(2_000);
    assert_eq!(degrades_at(&mut old, 2_020, &standing(1, 1)).0, 3_120);
    // Proposed, it asks for nothing any more, and proposes again only after a lease.
    assert_eq!(
        old.look(ms(3_130), &guarded(1), &standing(1, 1)),
        Look::default()
    );
    let wish = old.wish(GUARD);
    let ask = old.ask(GUARD, wish, true, ms(3_140), &guarded(1));
    assert_eq!(ask.nonce, None);
}

#[test]
fn a_guard_that_answers_but_does_not_keep_up_is_not_waited_for() {
    let mut holder = Holder::new(3, ms(0));
    let mut guard = Grantor::new(GUARD, 7);
    let sync = guarded(1);
    let mut proposed = None;
    for now_ms in (0..5_000).step_by(10) {
        let matched = if now_ms < 2_000 { 1 } else { 10 };
        let applied = if now_ms < 2_000 { 1 } else { now_ms };
        let look = holder.look(ms(now_ms), &sync, &standing(applied, matched));
        if let Some((_, mode)) = look.propose {
            proposed = Some((now_ms, mode));
            break;
        }
        for id in look.ask {
            let wish = holder.wish(id);
            let ask = holder.ask(id, wish, true, ms(now_ms), &sync);
            let answer = guard.answer(at(now_ms), &ask, 3, &sync);
            holder.answered(id, ms(now_ms), &answer, LEASE);
        }
    }
    let (at_ms, mode) = proposed.unwrap();
    assert!((2_500..=3_700).contains(&at_ms), "{at_ms}");
    let behind = SyncMode::Degraded {
        cause: DegradeCause::Behind,
        guarded_to: 10,
    };
    assert_eq!(mode, behind);
}

#[test]
fn a_leader_that_stood_still_asks_again_before_it_gives_up() {
    let mut holder = held(2_000);
    let look = holder.look(ms(60_000), &guarded(1), &standing(1, 1));
    assert_eq!(look.propose, None);
    assert_eq!(look.ask, [GUARD]);
}

#[test]
fn what_a_guard_gives_back_counts_for_that_life_of_it() {
    let mut holder = held(2_000);
    holder.released(GUARD, 6);
    assert_eq!(
        holder.look(ms(2_600), &guarded(1), &standing(1, 1)).propose,
        None
    );
    let mut holder = held(2_000);
    holder.look(ms(2_200), &guarded(1), &standing(1, 1));
    holder.released(GUARD, 7);
    let look = (0..80).find_map(|step| {
        holder
            .look(ms(2_210 + step * 10), &guarded(1), &standing(1, 1))
            .propose
    });
    let released = SyncMode::Degraded {
        cause: DegradeCause::Released,
        guarded_to: 1,
    };
    assert_eq!(look, Some((2, released)));
    // A term that has just begun waits: the promise given back may have been another leader's.
    let mut fresh = Holder::new(4, ms(2_000));
    fresh.released(GUARD, 7);
    assert!(degrades_at(&mut fresh, 2_000, &standing(1, 1)).0 >= 3_100);
}

#[test]
fn the_guard_is_waited_for_again_when_it_answers_and_has_caught_up() {
    let mut holder = Holder::new(3, ms(0));
    let mut guard = Grantor::new(GUARD, 7);
    let sync = degraded(2);
    let mut answers = |holder: &mut Holder, from_ms: u64, to_ms: u64, matched: u64| {
        for now_ms in (from_ms..to_ms).step_by(10) {
            let look = holder.look(ms(now_ms), &sync, &standing(1_000, matched));
            if let Some((counter, mode)) = look.propose {
                return Some((now_ms, counter, mode));
            }
            for id in look.ask {
                let wish = holder.wish(id);
                let ask = holder.ask(id, wish, true, ms(now_ms), &sync);
                assert_eq!(
                    ask.nonce, None,
                    "a guard that is not waited for grants nothing"
                );
                let answer = guard.answer(at(now_ms), &ask, 3, &sync);
                holder.answered(id, ms(now_ms), &answer, LEASE);
            }
        }
        None
    };
    let behind = 1_000 - SYNC_BEHIND_MAX - 1;
    assert_eq!(answers(&mut holder, 0, 3_000, behind), None);
    let (back_ms, counter, mode) = answers(&mut holder, 3_000, 4_000, behind + 1).unwrap();
    assert_eq!((counter, mode), (3, guarded(1).mode));
    // It has promised nothing yet; that is no reason to give it up at once.
    for now_ms in (back_ms + 10..back_ms + 500).step_by(10) {
        let look = holder.look(ms(now_ms), &guarded(3), &standing(1_000, 1_000));
        assert_eq!(look.propose, None, "at {now_ms} ms");
    }
    let mut fresh = Holder::new(3, ms(0));
    let (at_ms, ..) = answers(&mut fresh, 0, 4_000, 1_000).unwrap();
    assert_eq!(at_ms, 1_000, "a whole lease of answers");
}

#[test]
fn the_bytes_between_nodes_are_frozen() {
    let nonce = Nonce { life: 7, number: 2 };
    let texts = [
        serde_json::to_string(&ask(4, Some(nonce))),
        serde_json::to_string(&ask(4, None)),
        serde_json::to_string(&Answer {
            next: nonce,
            granted_ms: 600,
        }),
    ];
    let bytes = [
        r#"{"term":3,"counter":4,"nonce":{"life":7,"number":2}}"#,
        r#"{"term":3,"counter":4,"nonce":null}"#,
        r#"{"next":{"life":7,"number":2},"granted_ms":600}"#,
    ];
    assert_eq!(texts.map(Result::unwrap), bytes);
}
