//! A ticket that moves to another edge, recorders that were not heard of, recorders that take over from
//! each other, and what the customer confirms: what the core decides.

use guitai_meta_core::{Hearing, State};
use guitai_sim::bank::{self, Size};
use guitai_types::{
    Code, Hex, NodeName, Problem, RequestId, SessionId, StaffRef, TicketId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, RecordingReport, Reply},
    event::Change,
    limits::BUSINESS_CHARS_MAX,
    media::KeyChange,
    record::{
        Business, EndReason, Presence, RecordingState, RecordingSummary, Session, TicketState,
    },
    view::TicketPhase,
};

struct Desk {
    state: State,
    at: u64,
    /// How many nodes are to record a call.
    recorders: u8,
}

impl Desk {
    fn founded() -> Self {
        let state = State::default();
        let mut desk = Self {
            state,
            at: 0,
            recorders: 1,
        };
        let size = Size {
            institutions: 1,
            agents: 1,
        };
        desk.done(bank::found(size));
        desk
    }

    fn apply(&mut self, command: Command) -> (Reply, Vec<Change>) {
        self.at += 1_000;
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random(u128::from(self.at).to_be_bytes()),
            at: UnixMillis(self.at),
            command,
            salt: None,
        };
        let outcome = self.state.apply(&proposal);
        let changes = outcome.events.into_iter().map(|event| event.change);
        (outcome.reply, changes.collect())
    }

    fn done(&mut self, command: Command) -> Vec<Change> {
        let (reply, changes) = self.apply(command);
        assert!(!matches!(reply, Reply::Refused { .. }), "{reply:?}");
        changes
    }

    fn refused(&mut self, command: Command) -> Problem {
        match self.apply(command).0 {
            Reply::Refused { problem } => problem,
            other => panic!("{other:?}"),
        }
    }

    fn open(&mut self, edge: &str) -> TicketId {
        let ticket = TicketId::from_random(u128::from(self.at).to_be_bytes());
        self.done(Command::OpenTicket {
            ticket: ticket.clone(),
            institution: bank::id("bank0"),
            queue: bank::id("retail"),
            edge: bank::id(edge),
            customer: "张三".to_owned(),
            consent: bank::consent(true),
            media_key: bank::point(1),
        });
        ticket
    }

    fn move_to(ticket: &TicketId, edge: &str) -> Command {
        let (ticket, edge) = (ticket.clone(), bank::id(edge));
        Command::MoveTicket { ticket, edge }
    }

    /// A call through an edge, accepted by a proposer who did not hear of these.
    fn call(&mut self, edge: &str, silent: &[&str]) -> (TicketId, SessionId) {
        let ticket = self.open(edge);
        self.done(Command::SetPresence {
            staff: bank::agent(0, 0),
            presence: Presence::Ready,
            media_key: bank::point(2),
        });
        let Some(TicketState::Ringing { reservation }) =
            self.state.ticket(&ticket).map(|it| it.state.clone())
        else {
            panic!("it does not ring");
        };
        let reservation = self
            .state
            .reservation(&reservation)
            .cloned()
            .expect("rings");
        let session = SessionId::from_random([9; 16]);
        let all = bank::everybody(&self.state, &reservation);
        self.done(Command::Accept {
            reservation: reservation.id,
            staff: reservation.staff,
            session: session.clone(),
            keys: all.iter().map(|holder| bank::wrapped(holder, 1)).collect(),
            silent: silent.iter().map(|node| bank::id(node)).collect(),
            recorders: self.recorders,
        });
        (ticket, session)
    }

    fn report(session: &SessionId, node: &str, assignment: u32, running: bool) -> Command {
        Command::ReportRecording {
            session: session.clone(),
            node: bank::id(node),
            assignment,
            report: match running {
                true => RecordingReport::Running,
                false => RecordingReport::Lost {
                    cause: "recorder-gone".to_owned(),
                },
            },
        }
    }

    fn seal(
        session: &SessionId,
        node: &str,
        assignment: u32,
        (frames, gaps): (u64, u32),
    ) -> Command {
        let summary = RecordingSummary {
            node: bank::id(node),
            root: Hex(vec![assignment as u8; 32]),
            duration_ms: 1,
            bytes: 1,
            segments: 1,
            frames,
            gaps,
            at: UnixMillis(1),
        };
        Command::ReportRecording {
            session: session.clone(),
            node: bank::id(node),
            assignment,
            report: RecordingReport::Sealed { summary },
        }
    }

    /// What the leader proposes when it does not hear of these.
    fn hand_over(&self, session: &SessionId, gone: &[&str]) -> Option<KeyChange> {
        let gone: Vec<NodeName> = gone.iter().map(|node| bank::id(node)).collect();
        let unheard = gone.clone();
        let due = self.state.hand_overs(&Hearing { gone, unheard }, 10);
        due.into_iter().find(|(id, _)| id == session).map(|it| it.1)
    }

    fn rekey(&self, session: &SessionId, change: &KeyChange) -> Command {
        let next = self.state.next_keys(session, change);
        let (epoch, holders) = match next {
            Ok(Some(next)) => (next.epoch, next.holders),
            _ => (99, Vec::new()),
        };
        Command::Rekey {
            session: session.clone(),
            epoch,
            change: change.clone(),
            keys: holders.iter().map(|it| bank::wrapped(it, epoch)).collect(),
        }
    }

    fn state_of(&self, session: &SessionId) -> &'static str {
        match self.session(session).recording {
            RecordingState::Starting => "starting",
            RecordingState::Running { .. } => "running",
            RecordingState::Lost { .. } => "lost",
            RecordingState::Sealed { .. } => "sealed",
        }
    }

    fn session(&self, session: &SessionId) -> &Session {
        self.state.session(session).expect("is there")
    }
}

#[test]
fn a_waiting_ticket_moves_and_keeps_its_place() {
    let mut desk = Desk::founded();
    let (first, second) = (desk.open("edge-a1"), desk.open("edge-a1"));
    let changes = desk.done(Desk::move_to(&first, "edge-a2"));
    let told = Change::Ticket {
        ticket: first.clone(),
    };
    assert_eq!(changes, [told]);
    let edge = desk.state.ticket(&first).map(|it| it.edge.to_string());
    assert_eq!(edge.as_deref(), Some("edge-a2"));
    let serial = |ticket: &TicketId| desk.state.ticket(ticket).map(|it| it.serial);
    assert!(serial(&first) < serial(&second));
    // It is a sign of life, and said twice it is nothing more.
    assert_eq!(desk.done(Desk::move_to(&first, "edge-a2")), []);
    let seen_at = desk.state.ticket(&first).map(|it| it.seen_at);
    assert_eq!(seen_at, Some(desk.state.clock()));
}

#[test]
fn a_ticket_moves_to_edges_only() {
    let mut desk = Desk::founded();
    let ticket = desk.open("edge-a1");
    for node in ["edge-b", "a1-1", "a1-2"] {
        assert_eq!(
            desk.refused(Desk::move_to(&ticket, node)).code,
            Code::NotFound,
            "{node}"
        );
    }
    let nobody = TicketId::from_random([3; 16]);
    let refused = desk.refused(Desk::move_to(&nobody, "edge-a2"));
    assert_eq!(refused.code, Code::NotFound);
}

#[test]
fn a_call_that_moves_says_so_and_keeps_its_key_and_recorder() {
    let mut desk = Desk::founded();
    let (ticket, session) = desk.call("edge-a1", &[]);
    let before = desk.session(&session).clone();
    desk.done(Desk::move_to(&ticket, "edge-a2"));
    let after = desk.session(&session);
    assert_eq!(after.edge.as_str(), "edge-a2");
    assert_eq!(
        (after.key_epoch, &after.keys),
        (before.key_epoch, &before.keys)
    );
    assert_eq!(after.recorders, before.recorders);
    let event = after.events.last().expect("an event");
    assert_eq!(
        (event.actor.as_str(), event.kind.as_str()),
        ("system", "moved")
    );
    assert_eq!(event.details["from"], "edge-a1");
    assert_eq!(event.details["to"], "edge-a2");
}

#[test]
fn a_recorder_that_was_not_heard_of_gets_no_new_call() {
    let recorders = |edge: &str, silent: &[&str]| {
        let mut desk = Desk::founded();
        let (_, session) = desk.call(edge, silent);
        desk.session(&session).recorders.clone()
    };
    let only = |node: &str| -> Vec<NodeName> { vec![bank::id(node)] };
    assert_eq!(recorders("edge-a1", &[]), only("a1-2"));
    assert_eq!(recorders("edge-a2", &[]), only("a2-2"));
    assert_eq!(recorders("edge-a1", &["a1-2"]), only("a2-2"));
    assert_eq!(recorders("edge-a1", &["a2-2"]), only("a1-2"));
    // Should nobody have been heard of, the proposer may be the one who is cut off.
    assert_eq!(recorders("edge-a2", &["a1-2", "a2-2", "b-2"]), only("a2-2"));
}

#[test]
fn two_record_in_different_centres_where_the_cluster_has_them() {
    let recorders = |edge: &str, silent: &[&str]| {
        let mut desk = Desk::founded();
        desk.recorders = 2;
        let (_, session) = desk.call(edge, silent);
        let names = desk.session(&session).recorders.iter();
        names.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(recorders("edge-a1", &[]), ["a1-2", "a2-2"]);
    assert_eq!(recorders("edge-a2", &[]), ["a2-2", "a1-2"]);
    assert_eq!(recorders("edge-a1", &["a2-2"]), ["a1-2", "b-2"]);
    assert_eq!(recorders("edge-a1", &["a1-2", "b-2"]), ["a2-2"]);
    assert_eq!(recorders("edge-a1", &["a1-2", "a2-2", "b-2"]), ["a1-2"]);
}

#[test]
fn a_recorder_that_is_gone_is_replaced_and_has_no_word_when_it_is_back() {
    let mut desk = Desk::founded();
    desk.recorders = 2;
    let (_, session) = desk.call("edge-a1", &[]);
    desk.done(Desk::report(&session, "a1-2", 1, true));
    desk.done(Desk::report(&session, "a2-2", 2, true));
    assert_eq!(desk.hand_over(&session, &[]), None, "nothing is amiss");
    // A node that was merely not heard of yet is not gone.
    let unheard = vec![bank::id("a1-2")];
    let gone = Vec::new();
    assert_eq!(desk.state.hand_overs(&Hearing { gone, unheard }, 10), []);

    desk.done(Desk::report(&session, "a1-2", 1, false));
    assert_eq!(desk.state_of(&session), "running", "the other one goes on");
    let change = desk.hand_over(&session, &["a1-2"]).expect("a hand-over");
    let KeyChange::HandOver { from, to, cause } = &change else {
        panic!("{change:?}");
    };
    assert_eq!(from.as_ref().map(NodeName::as_str), Some("a1-2"));
    assert_eq!((to.as_str(), cause.as_str()), ("b-2", "recorder-gone"));
    let told = desk.done(desk.rekey(&session, &change));
    let news = Change::Recorders {
        session: session.clone(),
        recorders: vec![bank::id("a2-2"), bank::id("b-2")],
    };
    assert!(told.contains(&news), "{told:?}");

    let after = desk.session(&session);
    assert_eq!(
        after.key_epoch, 2,
        "whoever is gone does not get the next key"
    );
    let holders: Vec<String> = after
        .keys
        .iter()
        .map(|key| serde_json::to_string(&key.recipient).expect("JSON"))
        .collect();
    assert!(!holders.iter().any(|it| it.contains("a1-2")), "{holders:?}");
    assert!(holders.iter().any(|it| it.contains("b-2")), "{holders:?}");
    let old = &after.assignments[0];
    assert_eq!(old.cause.as_deref(), Some("recorder-gone"));
    assert!(old.until.is_some());
    let event = after
        .events
        .iter()
        .find(|it| it.kind == "recorder-replaced");
    let details = &event.expect("an event").details;
    let detail = |name: &str| details.get(name).map(String::as_str);
    assert_eq!(
        [
            detail("from"),
            detail("to"),
            detail("cause"),
            detail("assignment"),
            detail("epoch")
        ],
        ["a1-2", "b-2", "recorder-gone", "3", "1"].map(Some)
    );

    // It comes back and believes that it records: under its old turn, or under none.
    for number in [0, 1, 3] {
        let refused = desk.refused(Desk::report(&session, "a1-2", number, true));
        assert_eq!(refused.code, Code::Forbidden, "turn {number}");
    }
    // The same hand-over again, by a leader that is late.
    let late = desk.refused(desk.rekey(&session, &change));
    assert_eq!(late.code, Code::WrongState);
    desk.done(Desk::report(&session, "b-2", 3, true));
    assert_eq!(desk.state_of(&session), "running");
    // The other one may take it up again, with a turn of its own.
    let back = desk.hand_over(&session, &["a2-2"]).expect("a hand-over");
    desk.done(desk.rekey(&session, &back));
    let names: Vec<_> = desk.session(&session).recorders.iter().collect();
    assert_eq!(names, [&bank::id::<NodeName>("b-2"), &bank::id("a1-2")]);
}

#[test]
fn no_step_is_done_while_nobody_has_a_durable_segment() {
    let mut desk = Desk::founded();
    let (_, session) = desk.call("edge-a1", &[]);
    let step = |session: &SessionId| Command::AddStep {
        session: session.clone(),
        actor: "agent".to_owned(),
        step: "identity".to_owned(),
        details: Default::default(),
    };
    assert_eq!(desk.refused(step(&session)).code, Code::NotRecording);
    desk.done(Desk::report(&session, "a1-2", 1, true));
    desk.done(step(&session));
    desk.done(Desk::report(&session, "a1-2", 1, false));
    assert_eq!(desk.state_of(&session), "lost");
    let change = desk.hand_over(&session, &["a1-2"]).expect("a hand-over");
    desk.done(desk.rekey(&session, &change));
    // Named is not recording yet.
    assert_eq!(desk.refused(step(&session)).code, Code::NotRecording);
    desk.done(Desk::report(&session, "a2-2", 2, true));
    desk.done(step(&session));
}

#[test]
fn an_empty_place_is_filled_and_a_full_disk_is_replaced_once() {
    let mut desk = Desk::founded();
    desk.recorders = 2;
    let (_, session) = desk.call("edge-a1", &["a2-2", "b-2"]);
    assert_eq!(desk.hand_over(&session, &["a2-2", "b-2"]), None);
    let joins = desk.hand_over(&session, &["b-2"]).expect("a hand-over");
    let expected = KeyChange::HandOver {
        from: None,
        to: bank::id("a2-2"),
        cause: "joined".to_owned(),
    };
    assert_eq!(joins, expected);
    desk.done(desk.rekey(&session, &joins));
    assert_eq!(
        desk.hand_over(&session, &["b-2"]),
        None,
        "all places are taken"
    );

    let mut full = Desk::report(&session, "a2-2", 2, false);
    if let Command::ReportRecording { report, .. } = &mut full {
        let cause = "disk-full".to_owned();
        *report = RecordingReport::Lost { cause };
    }
    desk.done(full);
    assert_eq!(
        desk.hand_over(&session, &["b-2"]),
        None,
        "nobody can take over"
    );
    let replaces = desk.hand_over(&session, &[]).expect("a hand-over");
    desk.done(desk.rekey(&session, &replaces));
    // Its disk is no less full now: it is not asked again.
    assert_eq!(desk.hand_over(&session, &["b-2"]), None);
}

#[test]
fn every_recording_is_kept_and_the_index_shows_the_one_with_most() {
    let mut desk = Desk::founded();
    desk.recorders = 2;
    let (ticket, session) = desk.call("edge-a1", &[]);
    desk.done(Desk::report(&session, "a1-2", 1, true));
    let change = desk.hand_over(&session, &["a1-2"]).expect("a hand-over");
    desk.done(desk.rekey(&session, &change));
    let early = desk.refused(Desk::seal(&session, "b-2", 3, (10, 0)));
    assert_eq!(early.code, Code::WrongState, "the call still runs");
    desk.done(Command::CloseTicket {
        ticket,
        reason: EndReason::CustomerHungUp,
    });
    let shown = |desk: &Desk| match &desk.session(&session).recording {
        RecordingState::Sealed { summary } => summary.node.to_string(),
        other => panic!("{other:?}"),
    };
    desk.done(Desk::seal(&session, "b-2", 3, (10, 0)));
    assert_eq!(shown(&desk), "b-2");
    desk.done(Desk::seal(&session, "a2-2", 2, (30, 0)));
    assert_eq!(shown(&desk), "a2-2");
    // The one that was replaced is back: what it has is offered, and is not the whole.
    desk.done(Desk::seal(&session, "a1-2", 1, (20, 0)));
    assert_eq!(shown(&desk), "a2-2");
    let sealed = |turn: &guitai_types::record::Assignment| {
        matches!(turn.recording, RecordingState::Sealed { .. })
    };
    assert!(desk.session(&session).assignments.iter().all(sealed));
    let twice = desk.refused(Desk::seal(&session, "a1-2", 1, (21, 0)));
    assert_eq!(twice.code, Code::WrongState);
}

#[test]
fn of_two_recordings_that_have_as_much_the_one_with_fewer_gaps_is_shown() {
    for order in [["a1-2", "a2-2"], ["a2-2", "a1-2"]] {
        let mut desk = Desk::founded();
        desk.recorders = 2;
        let (ticket, session) = desk.call("edge-a1", &[]);
        desk.done(Command::CloseTicket {
            ticket,
            reason: EndReason::CustomerHungUp,
        });
        for node in order {
            let (assignment, gaps) = if node == "a1-2" { (1, 4) } else { (2, 0) };
            desk.done(Desk::seal(&session, node, assignment, (30, gaps)));
        }
        let shown = desk.session(&session).recording.clone();
        let RecordingState::Sealed { summary } = shown else {
            panic!("{shown:?}");
        };
        assert_eq!((summary.node.as_str(), summary.gaps), ("a2-2", 0));
    }
}

#[test]
fn what_the_customer_confirmed_is_told_to_the_agent_and_does_no_step() {
    let mut desk = Desk::founded();
    let (ticket, session) = desk.call("edge-a1", &[]);
    desk.done(Desk::report(&session, "a1-2", 1, true));
    let agents = |desk: &Desk| {
        let view = desk.state.desk_view(&bank::agent(0, 0), &|_| String::new());
        let call = view.and_then(|view| view.call).expect("a call");
        (call.done, call.confirmed)
    };
    assert_eq!(agents(&desk), (vec![], vec![]));
    let step = |actor: &str, step: &str| Command::AddStep {
        session: session.clone(),
        actor: actor.to_owned(),
        step: step.to_owned(),
        details: Default::default(),
    };
    // Said twice it is said once; it is no step done.
    for _ in 0..2 {
        let changes = desk.done(step("customer", "identity"));
        let session = session.clone();
        let told = changes.contains(&Change::Session { session });
        assert!(told, "the desk looks: {changes:?}");
    }
    assert_eq!(agents(&desk), (vec![], vec!["identity".to_owned()]));
    desk.done(step("agent", "disclosure"));
    let (done, confirmed) = agents(&desk);
    assert_eq!(
        (done, confirmed),
        (vec!["disclosure".to_owned()], vec!["identity".to_owned()])
    );

    let view = desk.state.ticket_view(&ticket, &|_| String::new());
    let Some(TicketPhase::InSession { call }) = view.map(|view| view.phase) else {
        panic!("no call");
    };
    assert_eq!(call.confirmed, [""; 0], "nothing new crosses the guard");
    let crosses = serde_json::to_value(call).expect("JSON");
    assert!(
        crosses.get("confirmed").is_none(),
        "an edge of the release before reads it"
    );
}

#[test]
fn what_a_call_is_about_is_said_by_its_agent_until_it_is_written_up() {
    let mut desk = Desk::founded();
    let (ticket, session) = desk.call("edge-a1", &[]);
    let by = |staff: StaffRef, number: &str, customer: &str| Command::PutBusiness {
        session: session.clone(),
        staff,
        business: Business {
            number: number.to_owned(),
            customer: customer.to_owned(),
        },
    };
    let agent = || bank::agent(0, 0);
    for _ in 0..2 {
        desk.done(by(agent(), "HT-2026-0042", "C9"));
    }
    let about = |desk: &Desk| {
        let events = desk.session(&session).events.iter();
        let about = events.filter(|event| event.kind == "business");
        about.map(|event| event.details.clone()).collect::<Vec<_>>()
    };
    assert_eq!(about(&desk).len(), 1, "said twice it is said once");
    assert_eq!(about(&desk)[0]["number"], "HT-2026-0042");

    let long = "x".repeat(BUSINESS_CHARS_MAX + 1);
    assert_eq!(desk.refused(by(agent(), &long, "")).code, Code::TooLarge);
    for blank in [" HT-1", "HT-1 ", "HT\n1"] {
        assert_eq!(desk.refused(by(agent(), blank, "")).code, Code::BadRequest);
    }
    let another = desk.refused(by(bank::agent(0, 1), "HT-1", ""));
    assert_eq!(another.code, Code::WrongState);

    let seen = desk.state.desk_view(&agent(), &|_| String::new());
    let call = seen.and_then(|view| view.call).expect("a call");
    assert_eq!(call.business.customer, "C9");
    let seen = desk.state.ticket_view(&ticket, &|_| String::new());
    let Some(TicketPhase::InSession { call }) = seen.map(|view| view.phase) else {
        panic!("no call");
    };
    assert!(call.business.is_empty(), "the bank's numbers stay inside");

    desk.done(Command::EndSession {
        session: session.clone(),
        actor: "agent".to_owned(),
        reason: EndReason::AgentHungUp,
    });
    desk.done(by(agent(), "HT-2026-0043", ""));
    assert_eq!(desk.session(&session).business.number, "HT-2026-0043");
    assert!(
        !about(&desk)[1].contains_key("customer"),
        "nothing is said of what is empty"
    );
    desk.done(Command::FinishWrapUp { staff: agent() });
    let late = desk.refused(by(agent(), "HT-1", ""));
    assert_eq!(late.code, Code::WrongState);
}
