//! Negative controls: each fault is put back on purpose, through doctored records, logs or outcomes,
//! and its invariant must see it. A checker that never caught anything proves nothing.

use std::collections::BTreeMap;

use guitai_meta_core::State;
use guitai_sim::{
    World,
    invariants::{
        ClockNeverBack, ExactlyOnce, Invariant, NoStepUnrecorded, NobodyWaitsForNothing,
        NumbersWithoutGap, OneCallPerAgent, OnlyMembersHoldTheKey, OverIsOver, QueueOrder,
        RecordsAreState, ReplayIsEqual, ServedOnce, SnapshotIsEqual, Step,
    },
};
use guitai_types::{
    UnixMillis,
    command::{Command, Proposal, Reply},
    record::TicketState,
};

/// A world that has lived, replayed up to the first moment for which `is_moment` holds.
fn moment(is_moment: impl Fn(&State) -> bool) -> (Vec<Proposal>, State) {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.run(250).expect("the world itself is sound");
        let mut state = State::default();
        for (at, proposal) in world.log().iter().enumerate() {
            state.apply(proposal);
            if is_moment(&state) {
                return (world.log()[..=at].to_vec(), state);
            }
        }
    }
    panic!("no seed has that moment");
}

/// The state with one of its records changed behind the core's back.
fn doctored(state: &State, doctor: impl Fn(&str, &mut serde_json::Value)) -> State {
    let records: BTreeMap<String, Vec<u8>> = state
        .record_keys()
        .map(|key| {
            let mut value = serde_json::from_slice(&state.record(&key).unwrap()).unwrap();
            doctor(&key.to_string(), &mut value);
            (key.to_string(), serde_json::to_vec(&value).unwrap())
        })
        .collect();
    State::load(records).unwrap()
}

/// Shows an invariant the last step of a log as if it had led to `state`.
fn sees(invariant: &mut dyn Invariant, log: &[Proposal], state: &State) -> Result<(), String> {
    let (last, before) = log.split_last().unwrap();
    let mut replayed = State::default();
    for proposal in before {
        let outcome = replayed.apply(proposal);
        invariant.see(Step {
            proposal,
            outcome: &outcome,
            state: &replayed,
        })?;
    }
    let outcome = replayed.apply(last);
    invariant.see(Step {
        proposal: last,
        outcome: &outcome,
        state,
    })
}

#[test]
fn an_agent_in_two_calls_is_seen() {
    let is_moment = |state: &State| {
        let bank0 = |staff: &guitai_types::StaffRef| staff.institution.as_str() == "bank0";
        state
            .sessions_running()
            .filter(|it| bank0(&it.agent))
            .count()
            >= 2
    };
    let (log, state) = moment(is_moment);
    assert_eq!(sees(&mut OneCallPerAgent, &log, &state), Ok(()));
    let agent = state.sessions_running().next().unwrap().agent.clone();
    let broken = doctored(&state, |key, value| {
        if key.starts_with("session/") && value["ended_at"].is_null() {
            value["agent"] = serde_json::to_value(&agent).unwrap();
        }
    });
    assert!(sees(&mut OneCallPerAgent, &log, &broken).is_err());
}

#[test]
fn a_ticket_served_twice_is_seen() {
    let (log, state) = moment(|state| state.sessions_running_count() >= 2);
    assert_eq!(sees(&mut ServedOnce::default(), &log, &state), Ok(()));
    let ticket = state.sessions_running().next().unwrap().ticket.clone();
    let broken = doctored(&state, |key, value| {
        if key.starts_with("session/") && value["ended_at"].is_null() {
            value["ticket"] = serde_json::to_value(&ticket).unwrap();
        }
    });
    assert!(sees(&mut ServedOnce::default(), &log, &broken).is_err());
}

#[test]
fn a_customer_who_is_overtaken_is_seen() {
    let is_waiting = |state: &State| {
        let served = state
            .reservations()
            .next()
            .and_then(|it| state.ticket(&it.ticket));
        served.is_some_and(|served| {
            let fresh = state.reservations().all(|it| it.made_at == state.clock());
            let queue = (&served.institution, &served.queue);
            fresh
                && state.tickets().any(|ticket| {
                    ticket.state == TicketState::Waiting
                        && (&ticket.institution, &ticket.queue) == queue
                })
        })
    };
    let (log, state) = moment(is_waiting);
    assert_eq!(sees(&mut QueueOrder::default(), &log, &state), Ok(()));
    // Whoever is served came last of all.
    let broken = doctored(&state, |key, value| {
        if key.starts_with("ticket/") && value["state"]["state"] == "ringing" {
            value["serial"] = 1_000_000.into();
        }
    });
    assert!(sees(&mut QueueOrder::default(), &log, &broken).is_err());
}

#[test]
fn a_match_that_was_forgotten_is_seen() {
    let (log, state) = moment(|state| state.reservations().next().is_some());
    assert_eq!(sees(&mut NobodyWaitsForNothing, &log, &state), Ok(()));
    let broken = doctored(&state, |key, value| {
        if key.starts_with("ticket/") && value["state"]["state"] == "ringing" {
            value["state"] = serde_json::json!({"state": "waiting"});
        }
        if key.starts_with("desk/") && value["presence"] == "ringing" {
            value["presence"] = "ready".into();
        }
    });
    assert!(sees(&mut NobodyWaitsForNothing, &log, &broken).is_err());
}

#[test]
fn a_step_without_recording_is_seen() {
    let (log, state) = moment(|state| state.sessions_running_count() > 0);
    assert_eq!(sees(&mut NoStepUnrecorded::default(), &log, &state), Ok(()));
    let broken = doctored(&state, |key, value| {
        if !key.starts_with("session/") {
            return;
        }
        let mut step = value["events"][0].clone();
        step["kind"] = "step".into();
        if let Some(events) = value["events"].as_array_mut() {
            events.push(step);
        }
    });
    assert!(sees(&mut NoStepUnrecorded::default(), &log, &broken).is_err());
}

#[test]
fn a_key_for_somebody_who_left_or_none_for_a_member_is_seen() {
    // A session that was rekeyed: somebody left it, or came with another key pair.
    let rekeyed = |state: &State| {
        state
            .sessions_running()
            .any(|it| it.key_epoch >= 2 && it.keys.len() == 3)
    };
    let (log, state) = moment(rekeyed);
    let is_held = |state: &State| sees(&mut OnlyMembersHoldTheKey::default(), &log, state);
    assert_eq!(is_held(&state), Ok(()));
    let rekeyed = |value: &serde_json::Value| {
        value["ended_at"].is_null() && value["key_epoch"].as_u64() >= Some(2)
    };
    // The key pair of the first epoch gets the present key too, hidden among the past ones.
    let former = doctored(&state, |key, value| {
        if key.starts_with("session/") && rekeyed(value) {
            let mut wrap = value["keys"][0].clone();
            let stranger = "04".repeat(65);
            let epoch = wrap["wrapped"].as_str().map(|text| text[130..].to_owned());
            wrap["wrapped"] = format!("{stranger}{}", epoch.unwrap_or_default()).into();
            if let Some(past) = value["keys_past"][0]["keys"].as_array_mut() {
                past.push(wrap);
            }
        }
    });
    assert!(is_held(&former).is_err());
    let without = doctored(&state, |key, value| {
        if key.starts_with("session/") && rekeyed(value) {
            value["keys"].as_array_mut().map(|keys| keys.remove(0));
        }
    });
    assert!(is_held(&without).is_err());
    let stale = doctored(&state, |key, value| {
        if key.starts_with("session/") && rekeyed(value) {
            value["key_epoch"] = 60.into();
        }
    });
    assert!(is_held(&stale).is_err());
}

#[test]
fn a_gap_in_the_numbers_is_seen() {
    let (log, state) = moment(|state| state.sessions_running_count() > 0);
    assert_eq!(
        sees(&mut NumbersWithoutGap::default(), &log, &state),
        Ok(())
    );
    let broken = doctored(&state, |key, value| {
        if key.starts_with("session/") {
            value["events"][1]["number"] = 3.into();
        }
    });
    assert!(sees(&mut NumbersWithoutGap::default(), &log, &broken).is_err());

    let mut lost = NumbersWithoutGap::default();
    let mut replayed = State::default();
    let seen = log.iter().try_for_each(|proposal| {
        let mut outcome = replayed.apply(proposal);
        outcome.events.pop();
        lost.see(Step {
            proposal,
            outcome: &outcome,
            state: &replayed,
        })
    });
    assert!(seen.is_err(), "an event that is not told");
}

#[test]
fn a_clock_that_goes_back_is_seen() {
    let (log, state) = moment(|state| state.sessions_running_count() > 0);
    assert_eq!(sees(&mut ClockNeverBack::default(), &log, &state), Ok(()));
    let broken = doctored(&state, |key, value| {
        if key == "head" {
            value["clock"] = 5.into();
        }
    });
    assert!(sees(&mut ClockNeverBack::default(), &log, &broken).is_err());
}

#[test]
fn a_request_done_twice_is_seen() {
    let (log, _) = moment(|state| state.sessions_running_count() > 0);
    // As if the core had forgotten what it answered: the second answer is another one.
    let mut once = ExactlyOnce::default();
    let mut replayed = State::default();
    for proposal in &log {
        let outcome = replayed.apply(proposal);
        once.see(Step {
            proposal,
            outcome: &outcome,
            state: &replayed,
        })
        .unwrap();
    }
    let opened = log
        .iter()
        .find(|it| matches!(it.command, Command::OpenTicket { .. }))
        .unwrap();
    let mut outcome = replayed.apply(opened);
    let state = &replayed;
    assert_eq!(
        once.see(Step {
            proposal: opened,
            outcome: &outcome,
            state
        }),
        Ok(())
    );
    outcome.reply = Reply::Ticket { serial: 1_000_000 };
    assert!(
        once.see(Step {
            proposal: opened,
            outcome: &outcome,
            state
        })
        .is_err()
    );
}

#[test]
fn a_record_that_was_not_written_is_seen() {
    let (log, _) = moment(|state| state.sessions_running_count() > 0);
    for forgets in [false, true] {
        let mut records = RecordsAreState::default();
        let mut replayed = State::default();
        for proposal in &log {
            let mut outcome = replayed.apply(proposal);
            let is_session = |key: &str| key.starts_with("session/");
            outcome
                .changed
                .retain(|key| !forgets || !is_session(&key.to_string()));
            records
                .see(Step {
                    proposal,
                    outcome: &outcome,
                    state: &replayed,
                })
                .unwrap();
        }
        assert_eq!(records.finish(&log, &replayed).is_err(), forgets);
    }
}

#[test]
fn a_doctored_log_is_seen() {
    let (log, state) = moment(|state| state.sessions_running_count() > 0);
    let mut checkers: [Box<dyn Invariant>; 2] =
        [Box::new(ReplayIsEqual), Box::new(SnapshotIsEqual)];
    for checker in &mut checkers {
        assert_eq!(checker.finish(&log, &state), Ok(()));
        let mut without_last = log.clone();
        without_last.pop();
        assert!(
            checker.finish(&without_last, &state).is_err(),
            "{}",
            checker.name()
        );
        let mut later = log.clone();
        let end = later.last_mut().unwrap();
        end.at = UnixMillis(end.at.0 + 1_000_000);
        assert!(
            checker.finish(&later, &state).is_err(),
            "{}",
            checker.name()
        );
    }
}

#[test]
fn a_recorder_that_goes_on_after_its_turn_is_seen() {
    let is_moment = |state: &State| {
        let over = |it: &guitai_types::record::Session| it.assignments[0].until.is_some();
        state.sessions_running().any(over)
    };
    let (mut log, state) = moment(is_moment);
    // Seen twice: the turn was over before.
    log.push(log[log.len() - 1].clone());
    assert_eq!(sees(&mut OverIsOver::default(), &log, &state), Ok(()));
    let running = serde_json::json!({"state": "running", "since": 1});
    let first = |session: &serde_json::Value| session["assignments"][0]["until"].is_u64();
    let revived = doctored(&state, |key, value| {
        if key.starts_with("session/") && first(value) {
            value["assignments"][0]["recording"] = running.clone();
        }
    });
    assert!(sees(&mut OverIsOver::default(), &log, &revived).is_err());
    let claimed = doctored(&state, |key, value| {
        if key.starts_with("session/") && first(value) && value["ended_at"].is_null() {
            let is_recorded = value["recording"]["state"] == "running";
            let lost = serde_json::json!({"state": "lost", "cause": "io-error", "at": 1});
            value["recording"] = if is_recorded { lost } else { running.clone() };
        }
    });
    assert!(sees(&mut OverIsOver::default(), &log, &claimed).is_err());
}
