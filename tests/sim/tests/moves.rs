//! A ticket that moves to another edge, and recorders that were not heard of: what the core decides.

use guitai_meta_core::State;
use guitai_sim::bank::{self, Size};
use guitai_types::{
    Code, NodeName, Problem, RequestId, SessionId, TicketId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    event::Change,
    record::{Presence, Session, TicketState},
};

struct Desk {
    state: State,
    at: u64,
}

impl Desk {
    fn founded() -> Self {
        let state = State::default();
        let mut desk = Self { state, at: 0 };
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
        });
        (ticket, session)
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
    assert_eq!(recorders("edge-a2", &["a1-2", "a2-2"]), only("a2-2"));
}
