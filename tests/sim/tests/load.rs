//! The seed load in simulated time.

use guitai_meta_core::State;
use guitai_sim::{
    bank::Size,
    load::{Load, Run},
};

#[test]
fn five_thousand_agents_and_83_arrivals_a_second_are_never_assigned_twice() {
    let load = Load {
        size: Size {
            institutions: 2,
            agents: 2_500,
        },
        arrivals_per_s: 83,
        seconds: 180,
        talk_ms: 40_000,
    };
    let (result, state) = Run::new(load, 1).finish();
    println!("{result:?}");
    assert_eq!(result.double, 0, "{result:?}");
    assert_eq!(result.refused, 0, "{result:?}");
    assert_eq!(result.arrived, 83 * 180);
    assert_eq!(result.served, result.arrived, "everybody is served");
    // There are agents enough for the load: nobody waits longer than a breath.
    assert!(result.longest_wait_ms <= 1_000, "{result:?}");
    assert!(result.most_calls > 2_500, "the load was there: {result:?}");

    let bytes = state.to_snapshot();
    println!("snapshot of {} bytes", bytes.len());
    assert!(State::from_snapshot(&bytes).is_ok_and(|loaded| loaded == state));
}

#[test]
fn an_overload_keeps_its_order_and_its_bounds() {
    // Ten times too few agents: queues grow, nobody is served out of turn, nothing is unbounded.
    let load = Load {
        size: Size {
            institutions: 1,
            agents: 100,
        },
        arrivals_per_s: 40,
        seconds: 60,
        talk_ms: 20_000,
    };
    let (result, state) = Run::new(load, 2).finish();
    assert_eq!(result.double, 0, "{result:?}");
    assert_eq!(
        result.served, result.arrived,
        "all of them, in the end: {result:?}"
    );
    assert!(state.events_from(0).count() <= guitai_types::limits::EVENTS_KEPT);
}
