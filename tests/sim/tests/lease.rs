//! The sync lease under thousands of seeds, and the mistakes that it must be seen to forbid.

use guitai_meta_core::State;
use guitai_sim::{
    bank,
    lease::{Fault, LeaseWorld, Tally},
    seeds,
    world::SMALL,
};
use guitai_types::{
    NodeId, RequestId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    event::Change,
    sync::{DegradeCause, SyncMode},
};

/// Seeds in which a mistake must show.
const SEEDS_FOR_A_MISTAKE: u64 = 3_000;

#[test]
fn nothing_is_acknowledged_without_a_guard_that_promised_otherwise() {
    let mut sum = Tally::default();
    let seeds = seeds::wanted();
    for seed in seeds.clone() {
        match LeaseWorld::new(seed, Fault::Sound).run() {
            Ok(tally) => {
                sum.grants += tally.grants;
                sum.guarded += tally.guarded;
                sum.unguarded += tally.unguarded;
                sum.degraded += tally.degraded;
                sum.leaders += tally.leaders;
                sum.released += tally.released;
            }
            Err(what) => {
                let next = seed + 1;
                panic!(
                    "seed {seed}: {what}\nreplay: GUITAI_SEEDS={seed}..{next} cargo nextest run -p guitai-sim -E 'test(nothing_is_acknowledged)'"
                );
            }
        }
    }
    // A world in which nothing happens proves nothing.
    let worlds = seeds.end - seeds.start;
    assert!(sum.grants > worlds * 10, "{sum:?}");
    assert!(sum.guarded > worlds * 10, "{sum:?}");
    assert!(sum.leaders >= worlds, "{sum:?}");
    if worlds >= 100 {
        assert!(sum.unguarded > worlds, "{sum:?}");
        assert!(sum.degraded > worlds / 2, "{sum:?}");
        assert!(sum.released > worlds / 2, "{sum:?}");
    }
    println!("{worlds} worlds: {sum:?}");
}

/// The first seed in which a mistake breaks the promise.
fn found(fault: Fault) -> u64 {
    let broken = |seed: &u64| {
        let ended = LeaseWorld::new(*seed, fault).run();
        ended.is_err_and(|what| what.contains("without a guard"))
    };
    let seed = (0..SEEDS_FOR_A_MISTAKE).find(broken);
    let seed = seed.unwrap_or_else(|| panic!("{fault:?} is not seen"));
    println!("{fault:?}: seed {seed}");
    seed
}

#[test]
fn a_leader_that_does_not_wait_after_its_election_is_seen() {
    found(Fault::NoWaitAfterElection);
}

#[test]
fn a_guard_that_counts_from_its_answer_is_seen() {
    found(Fault::CountsFromTheAnswer);
}

#[test]
fn a_leader_that_nobody_confirmed_is_seen() {
    found(Fault::AsksUnconfirmed);
}

#[test]
fn an_acknowledgment_on_quorum_is_seen() {
    found(Fault::AcksOnQuorum);
}

#[test]
fn the_mode_changes_one_step_after_the_other_and_says_so() {
    let mut state = State::default();
    let mut number = 0_u8;
    let mut apply = |state: &mut State, command: Command| {
        number += 1;
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random([number; 16]),
            at: UnixMillis(1_000 + u64::from(number)),
            command,
            salt: None,
        };
        state.apply(&proposal)
    };
    apply(&mut state, bank::found(SMALL));
    let core = state
        .members()
        .find(|member| member.has(guitai_types::Role::Core));
    let core = core.expect("a core node").id;
    let sync = |guards: Vec<NodeId>, lease_ms| SyncMode::Sync { guards, lease_ms };
    let degraded = || SyncMode::Degraded {
        cause: DegradeCause::Silent,
        guarded_to: 3,
    };
    let set = |counter, mode| Command::SetSyncMode { counter, mode };
    let refused = [
        set(1, degraded()),
        set(1, SyncMode::Unguarded),
        set(1, sync(Vec::new(), 1_000)),
        set(1, sync(vec![NodeId(999)], 1_000)),
        set(1, sync(vec![core], 10)),
        set(0, sync(vec![core], 1_000)),
        set(2, sync(vec![core], 1_000)),
    ];
    for command in refused {
        let outcome = apply(&mut state, command.clone());
        assert!(
            matches!(outcome.reply, Reply::Refused { .. }),
            "{command:?}"
        );
        assert!(outcome.events.is_empty());
    }
    let outcome = apply(&mut state, set(1, sync(vec![core], 1_000)));
    assert_eq!(outcome.reply, Reply::Done);
    let change = Change::SyncMode {
        counter: 1,
        guarded: true,
    };
    assert_eq!(outcome.events[0].change, change);
    assert_eq!(apply(&mut state, set(2, degraded())).reply, Reply::Done);
    // The proposal of a leader that was late.
    let late = apply(&mut state, set(2, degraded())).reply;
    assert!(matches!(late, Reply::Refused { .. }), "{late:?}");
    let again = State::from_snapshot(&state.to_snapshot()).expect("a snapshot");
    assert_eq!(again.sync(), state.sync());
    assert_eq!(state.sync().counter, 2);
}
