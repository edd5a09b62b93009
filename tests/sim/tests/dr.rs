//! The rules of disaster recovery runs: approvals, steps, abort points, undoing, and the count of what
//! was lost.

use std::collections::BTreeMap;

use guitai_meta_core::{CanaryIds, State};
use guitai_sim::bank::{Size, agent, found, id, point};
use guitai_types::{
    Code, Epoch, Hex, RequestId, UnixMillis,
    command::{CanaryStep, Command, PROPOSAL_VERSION, Proposal, Reply},
    dr::{
        ABORT_POINT_MS, APPROVAL_LIFE_MS, Act, Aim, Approval, Check, Cut, Expected, Histogram,
        INJECTED_SERIAL, Kind, Lane, LaneReport, Order, PLAN_VERSION, PROBE_CADENCE_MS, Plan, Rpo,
        Run, RunState, STILL_OUT_MS, Serials, Service, Step, StepOutcome,
    },
    limits::{MARK_BYTES_MAX, MARKS_MAX},
    place::Text,
    record::{Consent, Duty, Participant, Presence, WrappedKey},
};

const START: u64 = 1_000_000;

struct Bank {
    state: State,
    now: u64,
    requests: u64,
}

impl Bank {
    fn new() -> Self {
        let mut bank = Self {
            state: State::default(),
            now: START,
            requests: 0,
        };
        let size = Size {
            institutions: 1,
            agents: 4,
        };
        assert_eq!(bank.say(found(size)), Ok(()));
        for officer in 0..3 {
            let mut staff = bank.state.staff(&agent(0, officer)).unwrap().clone();
            staff.duties.push(Duty::Officer);
            staff.approval_key = Some(point(officer));
            let staff = Box::new(staff);
            assert_eq!(bank.say(Command::PutStaff { staff }), Ok(()));
        }
        bank
    }

    fn say(&mut self, command: Command) -> Result<(), Code> {
        self.requests += 1;
        let request: RequestId = id(&format!("q{}", self.requests));
        let reply = self.state.apply(&Proposal {
            v: PROPOSAL_VERSION,
            request,
            at: UnixMillis(self.now),
            command,
            salt: None,
        });
        match reply.reply {
            Reply::Refused { problem } => Err(problem.code),
            _ => Ok(()),
        }
    }

    fn order(&mut self, order: Order) -> Result<(), Code> {
        self.say(Command::Dr { order })
    }

    fn propose(&mut self, kind: Kind, acts: Vec<Act>, inject_loss: bool) -> Result<(), Code> {
        let plan = Box::new(self.plan(acts));
        self.order(Order::Propose {
            run: id("r1"),
            kind,
            plan,
            plan_hash: Hex(vec![1]),
            by: agent(0, 3),
            inject_loss,
        })
    }

    fn approve(&mut self, officer: u64) -> Result<(), Code> {
        let approval = self.approval(officer);
        self.order(Order::Approve {
            run: id("r1"),
            approval,
        })
    }

    fn approval(&self, officer: u64) -> Approval {
        Approval {
            officer: agent(0, officer),
            at: UnixMillis(self.now),
            off_since: None,
            key: point(officer),
            signature: Hex(vec![2]),
        }
    }

    fn done(&mut self, step: usize) -> Result<(), Code> {
        let outcome = StepOutcome::Done {
            note: String::new(),
        };
        self.order(Order::Advance {
            run: id("r1"),
            step,
            outcome,
        })
    }

    fn run(&self) -> &Run {
        self.state.run(&id("r1")).unwrap()
    }

    fn plan(&self, acts: Vec<Act>) -> Plan {
        let steps = acts.into_iter().enumerate().map(|(at, act)| Step {
            id: format!("s{at}"),
            irreversible: matches!(act, Act::TakeOver { .. }),
            act,
            title: Text::default(),
            precondition: Text::default(),
            effect: Text::default(),
            rollback: Text::default(),
            within_ms: 1_000,
        });
        Plan {
            v: PLAN_VERSION,
            cluster: self.state.cluster().unwrap().clone(),
            epoch: self.state.epoch(),
            made_at: UnixMillis(self.now),
            aim: Aim::Switch { to: id("a2") },
            checks: Vec::new(),
            steps: steps.collect(),
            expected: Expected {
                rto_ms_p50: 1,
                rto_ms_p99: 2,
                rpo: Rpo::Zero,
                services: BTreeMap::new(),
            },
            round_trips_us: BTreeMap::new(),
            binary: Hex(vec![3]),
        }
    }

    fn lane(&self, service: Service, acked: &[(u64, u64)], gap_ms: u64) -> LaneReport {
        let serials = Serials(acked.to_vec());
        LaneReport {
            lane: Lane {
                node: id("a1-1"),
                service,
            },
            centre: id("a1"),
            from: UnixMillis(START),
            to: UnixMillis(self.now),
            sent: serials.count(),
            acked: serials.count(),
            gap_ms,
            gap_from: UnixMillis(START),
            latency: Histogram::default(),
            serials,
            last_good: Some(UnixMillis(self.now)),
            cadence_ms: PROBE_CADENCE_MS,
            held: None,
        }
    }
}

fn prefer(centre: &str) -> Act {
    Act::Prefer {
        centre: Some(id(centre)),
    }
}

#[test]
fn two_different_officers_with_their_own_keys_begin_a_run() {
    let mut bank = Bank::new();
    bank.propose(Kind::Real, vec![prefer("a2"), Act::Judge], false)
        .unwrap();
    assert_eq!(bank.run().state, RunState::Proposed);
    assert_eq!(bank.state.preferred(), None, "nothing before the approvals");

    assert_eq!(bank.approve(0), Ok(()));
    assert_eq!(bank.approve(0), Err(Code::WrongState), "the same officer");
    assert_eq!(bank.approve(3), Err(Code::Forbidden), "no officer");
    let mut strange = bank.approval(1);
    strange.key = point(9);
    let strange = Order::Approve {
        run: id("r1"),
        approval: strange,
    };
    assert_eq!(bank.order(strange), Err(Code::Forbidden), "another key");
    assert_eq!(bank.run().state, RunState::Proposed);

    assert_eq!(bank.approve(1), Ok(()));
    assert!(matches!(
        bank.run().state,
        RunState::Running { step: 0, .. }
    ));
    assert_eq!(bank.state.preferred(), Some(&id("a2")));
    assert_eq!(bank.approve(2), Err(Code::WrongState), "it runs already");
}

#[test]
fn an_old_plan_or_an_old_approval_begins_nothing() {
    let mut bank = Bank::new();
    let stale = bank.plan(vec![Act::Judge]);
    bank.propose(Kind::Real, vec![Act::Judge], false).unwrap();
    let early = bank.approval(0);
    bank.now += APPROVAL_LIFE_MS + 1;
    let early = Order::Approve {
        run: id("r1"),
        approval: early,
    };
    assert_eq!(bank.order(early), Err(Code::WrongState));
    assert_eq!(
        bank.approve(1),
        Err(Code::WrongState),
        "the plan is old too"
    );

    bank.order(Order::Abort {
        run: id("r1"),
        by: agent(0, 3),
        why: String::new(),
    })
    .unwrap();
    let stale = Order::Propose {
        run: id("r2"),
        kind: Kind::Real,
        plan: Box::new(stale),
        plan_hash: Hex(vec![1]),
        by: agent(0, 3),
        inject_loss: false,
    };
    assert_eq!(bank.order(stale), Err(Code::WrongState));
}

#[test]
fn a_plan_that_lacks_a_margin_or_is_of_another_epoch_is_refused() {
    let mut bank = Bank::new();
    let mut plan = bank.plan(vec![Act::Judge]);
    plan.checks.push(Check {
        id: "guard-lag".to_owned(),
        title: Text::default(),
        ok: false,
        found: "900".to_owned(),
        need: "at most 64".to_owned(),
    });
    let mut later = bank.plan(vec![Act::Judge]);
    later.epoch = Epoch(9);
    for plan in [plan, later] {
        let order = Order::Propose {
            run: id("r1"),
            kind: Kind::Rehearsal,
            plan: Box::new(plan),
            plan_hash: Hex(vec![1]),
            by: agent(0, 3),
            inject_loss: false,
        };
        assert_eq!(bank.order(order), Err(Code::WrongState));
    }
    assert!(bank.state.run_open().is_none());
}

#[test]
fn one_run_at_a_time_and_each_step_once() {
    let mut bank = Bank::new();
    let acts = vec![Act::Measure { ms: 1_000 }, Act::Settle, Act::Judge];
    bank.propose(Kind::Rehearsal, acts.clone(), false).unwrap();
    assert_eq!(
        bank.propose(Kind::Rehearsal, acts, false),
        Err(Code::WrongState)
    );
    assert_eq!(bank.done(1), Err(Code::WrongState), "not at that step");
    assert_eq!(bank.done(0), Ok(()));
    assert_eq!(bank.done(0), Err(Code::WrongState), "told twice");
}

#[test]
fn before_what_cannot_be_undone_there_is_time_to_abort() {
    let mut bank = Bank::new();
    let acts = vec![
        prefer("b"),
        Act::TakeOver {
            on: id("b-1"),
            epoch: Epoch(2),
        },
    ];
    bank.propose(Kind::Real, acts, false).unwrap();
    bank.approve(0).unwrap();
    bank.approve(1).unwrap();
    bank.done(0).unwrap();
    assert!(matches!(
        bank.run().state,
        RunState::AbortPoint { step: 1, .. }
    ));
    assert_eq!(bank.done(1), Err(Code::WrongState), "too early");
    let abort = Order::Abort {
        run: id("r1"),
        by: agent(0, 3),
        why: "wrong city".to_owned(),
    };
    let mut aborted = Bank {
        state: bank.state.clone(),
        ..bank
    };
    assert_eq!(aborted.order(abort.clone()), Ok(()));
    assert!(matches!(
        aborted.run().state,
        RunState::Undoing { step: 0, .. }
    ));
    assert_eq!(aborted.state.preferred(), None, "undone at once");
    aborted.done(0).unwrap();
    assert!(matches!(aborted.run().state, RunState::Aborted { .. }));

    bank.now += ABORT_POINT_MS;
    bank.done(1).unwrap();
    assert!(matches!(
        bank.run().state,
        RunState::Running { step: 1, .. }
    ));
    assert_eq!(bank.order(abort), Err(Code::WrongState), "too late");
}

#[test]
fn a_failed_step_is_undone_back_to_the_first() {
    let mut bank = Bank::new();
    let acts = vec![prefer("a2"), Act::Lead { centre: id("a2") }, Act::Judge];
    bank.propose(Kind::Real, acts, false).unwrap();
    bank.approve(0).unwrap();
    bank.approve(1).unwrap();
    bank.done(0).unwrap();
    bank.order(Order::Advance {
        run: id("r1"),
        step: 1,
        outcome: StepOutcome::Failed {
            why: "nobody caught up".to_owned(),
        },
    })
    .unwrap();
    bank.done(1).unwrap();
    assert_eq!(bank.state.preferred(), None);
    bank.done(0).unwrap();
    assert!(matches!(&bank.run().state, RunState::Aborted { why } if why == "nobody caught up"));
    assert!(bank.state.run_open().is_none());
}

/// Runs probes 1 to `to` and ends with a judgement over what the prober believes was acknowledged.
fn judged(inject_loss: bool, to: u64) -> Bank {
    let mut bank = Bank::new();
    bank.propose(Kind::Rehearsal, vec![Act::Judge], inject_loss)
        .unwrap();
    let report = bank.lane(Service::Log, &[(1, to)], 40);
    for serial in 1..=to {
        let lane = report.lane.clone();
        assert_eq!(bank.say(Command::Probe { lane, serial }), Ok(()));
    }
    bank.order(Order::Measured {
        run: id("r1"),
        lanes: vec![report],
    })
    .unwrap();
    bank.done(0).unwrap();
    bank
}

#[test]
fn the_serials_decide_and_the_negative_control_turns_them_red() {
    let green = judged(false, 100);
    let verdict = green.run().verdict.clone().unwrap();
    assert!(verdict.green, "{verdict:?}");
    assert_eq!((verdict.acked, verdict.lost), (100, 0));
    assert_eq!(verdict.rto_ms[&Service::Log], 40);

    let red = judged(true, 100);
    let verdict = red.run().verdict.clone().unwrap();
    assert!(!verdict.green);
    assert_eq!(verdict.lost, 1);
    assert_eq!(verdict.lost_first, [format!("a1-1/log:{INJECTED_SERIAL}")]);
}

#[test]
fn nobody_probes_without_a_run_and_nothing_measured_is_not_green() {
    let mut bank = Bank::new();
    let lane = bank.lane(Service::Log, &[], 0).lane;
    let probe = Command::Probe { lane, serial: 1 };
    assert_eq!(bank.say(probe), Err(Code::WrongState));
    bank.propose(Kind::Rehearsal, vec![Act::Judge], false)
        .unwrap();
    bank.done(0).unwrap();
    assert!(!bank.run().verdict.clone().unwrap().green);
}

#[test]
fn who_was_held_apart_does_not_count_as_an_outage() {
    let mut bank = Bank::new();
    let cut = Cut::Centre { centre: id("a1") };
    let acts = vec![Act::Isolate { cut, ms: 2_000 }, Act::Judge];
    bank.propose(Kind::Real, acts, false).unwrap();
    assert!(bank.state.held_apart().is_none(), "not approved yet");
    bank.approve(0).unwrap();
    bank.approve(1).unwrap();
    assert!(bank.state.held_apart().is_some());
    bank.done(0).unwrap();
    assert!(bank.state.held_apart().is_none());
    let apart = bank.lane(Service::Queue, &[], 2_000);
    let mut other = bank.lane(Service::Queue, &[(1, 1)], 700);
    other.lane.node = id("a2-1");
    other.centre = id("a2");
    bank.say(Command::Probe {
        lane: other.lane.clone(),
        serial: 1,
    })
    .unwrap();
    bank.order(Order::Measured {
        run: id("r1"),
        lanes: vec![apart, other],
    })
    .unwrap();
    bank.done(1).unwrap();
    let verdict = bank.run().verdict.clone().unwrap();
    assert_eq!(verdict.rto_ms[&Service::Queue], 700);
    assert!(verdict.green);
}

#[test]
fn a_run_survives_on_disk() {
    let bank = judged(true, 30);
    let bytes = bank.state.to_snapshot();
    assert_eq!(State::from_snapshot(&bytes).unwrap(), bank.state);
}

#[test]
fn a_takeover_is_approved_with_the_time_since_when_the_city_is_off() {
    let mut bank = Bank::new();
    let mut plan = bank.plan(vec![Act::Judge]);
    plan.aim = Aim::City {
        lost: id("a"),
        on: id("b-1"),
    };
    let order = Order::Propose {
        run: id("r1"),
        kind: Kind::Real,
        plan: Box::new(plan),
        plan_hash: Hex(vec![1]),
        by: agent(0, 3),
        inject_loss: false,
    };
    bank.order(order).unwrap();
    assert_eq!(bank.approve(0), Err(Code::BadRequest), "not attested");
    let mut approval = bank.approval(0);
    approval.off_since = Some(UnixMillis(START));
    let approve = Order::Approve {
        run: id("r1"),
        approval,
    };
    assert_eq!(bank.order(approve), Ok(()));
}

#[test]
fn a_service_that_is_still_out_at_the_end_turns_the_verdict_red() {
    for (silent_ms, green) in [(STILL_OUT_MS, true), (STILL_OUT_MS + 1, false)] {
        let mut bank = Bank::new();
        let acts = vec![Act::Measure { ms: 1_000 }, Act::Judge];
        bank.propose(Kind::Rehearsal, acts, false).unwrap();
        let lane = bank.lane(Service::Log, &[], 0).lane;
        bank.say(Command::Probe { lane, serial: 1 }).unwrap();
        bank.done(0).unwrap();
        bank.now += 10_000;
        let log = bank.lane(Service::Log, &[(1, 1)], 20);
        let mut media = bank.lane(Service::Media, &[(1, 9)], 20);
        media.last_good = Some(UnixMillis(bank.now - silent_ms));
        let lanes = vec![log, media];
        bank.order(Order::Measured {
            run: id("r1"),
            lanes,
        })
        .unwrap();
        bank.done(1).unwrap();
        let verdict = bank.run().verdict.clone().unwrap();
        assert_eq!((verdict.green, verdict.lost), (green, 0));
        // What was there stays with the run, whatever the next run forgets.
        assert_eq!(bank.run().lanes[0].held, Some(Serials(vec![(1, 1)])));
    }
}

#[test]
fn a_frame_that_a_recorder_acknowledged_and_no_longer_has_is_lost() {
    let mut bank = Bank::new();
    let acts = vec![Act::Measure { ms: 1_000 }, Act::Judge];
    bank.propose(Kind::Rehearsal, acts, false).unwrap();
    bank.done(0).unwrap();
    let mut recording = bank.lane(Service::Recording, &[(1, 9)], 20);
    recording.held = Some(Serials(vec![(1, 6), (8, 9)]));
    bank.order(Order::Measured {
        run: id("r1"),
        lanes: vec![recording],
    })
    .unwrap();
    bank.done(1).unwrap();
    let verdict = bank.run().verdict.clone().unwrap();
    assert_eq!((verdict.acked, verdict.lost, verdict.green), (9, 1, false));
    assert_eq!(verdict.lost_first, ["a1-1/recording:7"]);
}

fn canary(bank: &mut Bank, step: CanaryStep) -> Result<(), Code> {
    let node = bank.state.members().next().unwrap().name.clone();
    bank.say(Command::Canary { node, step })
}

fn canary_orders(bank: &mut Bank, command: Command) -> Result<(), Code> {
    let command = Box::new(command);
    canary(bank, CanaryStep::Order { command })
}

#[test]
fn a_canarys_call_is_set_up_by_the_rules_of_every_call_and_no_bank_sees_it() {
    let mut bank = Bank::new();
    let ids = CanaryIds::known().unwrap();
    assert_eq!(
        canary(&mut bank, CanaryStep::Begin),
        Err(Code::WrongState),
        "no run"
    );
    let acts = vec![Act::Measure { ms: 1_000 }, Act::Judge];
    bank.propose(Kind::Rehearsal, acts, false).unwrap();
    let before = bank.state.clone();

    let ready = Command::SetPresence {
        staff: ids.agent.clone(),
        presence: Presence::Ready,
        media_key: point(1),
    };
    assert_eq!(
        canary_orders(&mut bank, ready.clone()),
        Err(Code::NotFound),
        "not begun"
    );
    canary(&mut bank, CanaryStep::Begin).unwrap();
    canary_orders(&mut bank, ready).unwrap();
    let node = bank.state.members().next().unwrap().name.clone();
    let open = |consent| Command::OpenTicket {
        ticket: id("t1"),
        institution: ids.institution.clone(),
        queue: ids.queue.clone(),
        edge: node.clone(),
        customer: "canary".to_owned(),
        consent: Consent {
            recording: consent,
            wording: "1".to_owned(),
            at: UnixMillis(0),
        },
        media_key: point(2),
    };
    assert_eq!(
        canary_orders(&mut bank, open(false)),
        Err(Code::NoConsent),
        "as for any customer"
    );
    canary_orders(&mut bank, open(true)).unwrap();
    let rings = bank.state.canary_rings(&node).expect("it rings").id.clone();
    let recorders = bank.state.recorders();
    let holders = recorders.map(|it| Participant::Recorder {
        node: it.name.clone(),
    });
    let key = |recipient| WrappedKey {
        recipient,
        wrapped: Hex(vec![1]),
    };
    let keys = [Participant::Customer, Participant::Agent]
        .into_iter()
        .chain(holders)
        .map(key)
        .collect();
    let accept = Command::Accept {
        reservation: rings,
        staff: ids.agent.clone(),
        session: id("s1"),
        keys,
        silent: Vec::new(),
        recorders: 1,
    };
    canary_orders(&mut bank, accept).unwrap();
    let tenant = bank.state.canary(&node).expect("a tenant");
    assert_eq!(tenant.sessions_running_count(), 1);

    // Nothing that lists, counts or tells: not a ticket, not a call, not an event.
    let after = &bank.state;
    assert_eq!(after.tickets().count(), 0);
    assert_eq!(after.sessions_running_count(), 0);
    assert_eq!(after.desks().count(), before.desks().count());
    assert_eq!(after.event_number(), before.event_number());
    assert!(after.institutions().eq(before.institutions()));
    assert_eq!(after.next_due(), before.next_due());

    // Only what sets a call up; and it is in the snapshot as long as the run goes on.
    let end = Command::PutPolicy {
        policy: after.policy().clone(),
    };
    assert_eq!(canary_orders(&mut bank, end), Err(Code::BadRequest));
    let again = State::from_snapshot(&bank.state.to_snapshot()).unwrap();
    assert_eq!(again, bank.state);
    bank.done(0).unwrap();
    bank.done(1).unwrap();
    assert!(bank.state.canary(&node).is_none());
}

#[test]
fn a_mark_is_written_read_counted_removed_and_limited() {
    let mut bank = Bank::new();
    let put = |name: &str, value: &str| Command::PutMark {
        mark: id(name),
        value: value.to_owned(),
        sync: false,
    };
    bank.say(put("m-1", "one")).unwrap();
    bank.say(put("m-1", "two")).unwrap();
    bank.say(put("n-1", "three")).unwrap();
    let mark = bank.state.mark(&id("m-1")).unwrap();
    assert_eq!((mark.value.as_str(), mark.version), ("two", 2));
    assert_eq!(bank.state.marks("m-").count(), 1);
    let events = bank.state.event_number();
    let bytes = bank.state.to_snapshot();
    assert_eq!(State::from_snapshot(&bytes).unwrap(), bank.state);
    bank.say(put("m-1", "")).unwrap();
    assert!(bank.state.mark(&id("m-1")).is_none());
    let long = "v".repeat(MARK_BYTES_MAX + 1);
    assert_eq!(bank.say(put("m-2", &long)), Err(Code::TooLarge));
    for number in 1..MARKS_MAX {
        bank.say(put(&format!("f-{number}"), "x")).unwrap();
    }
    assert_eq!(bank.say(put("m-2", "x")), Err(Code::TooMany));
    assert_eq!(bank.say(put("n-1", "x")), Ok(()), "it is there already");
    assert_eq!(bank.state.event_number(), events, "nobody is told");
}

#[test]
fn a_mark_sent_again_does_not_come_back() {
    let mut bank = Bank::new();
    let put = |request: &str, value: &str| Proposal {
        v: PROPOSAL_VERSION,
        request: id(request),
        at: UnixMillis(START),
        command: Command::PutMark {
            mark: id("m-1"),
            value: value.to_owned(),
            sync: true,
        },
        salt: None,
    };
    bank.state.apply(&put("first", "old"));
    bank.state.apply(&put("second", "new"));
    bank.state.apply(&put("first", "old"));
    assert_eq!(bank.state.mark(&id("m-1")).unwrap().value, "new");
}
