//! The rules of disaster recovery runs: approvals, steps, abort points, undoing, and the count of what
//! was lost.

use std::collections::BTreeMap;

use guitai_meta_core::State;
use guitai_sim::bank::{Size, agent, found, id, point};
use guitai_types::{
    Code, Epoch, Hex, RequestId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    dr::{
        ABORT_POINT_MS, APPROVAL_LIFE_MS, Act, Aim, Approval, Check, Cut, Expected, Histogram,
        INJECTED_SERIAL, Kind, Lane, LaneReport, Order, PLAN_VERSION, Plan, Rpo, Run, RunState,
        Serials, Service, Step, StepOutcome,
    },
    place::Text,
    record::Duty,
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
