//! The seed load: 5,000 agents and 83 arrivals a second, as a row of commands over simulated time.
//!
//! No dice for what people do, only for how long: the question is whether the core stays exact and
//! quick under the numbers it was designed for.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use guitai_meta_core::State;
use guitai_types::{
    RequestId, ReservationId, SessionId, StaffRef, TicketId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, RecordingReport, Reply},
    event::Change,
    media::KEY_EPOCH_FIRST,
    record::{EndReason, Presence, TicketState},
};

use crate::{
    Dice,
    bank::{self, QUEUES, Size},
};

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The bank.
    pub size: Size,
    /// Customers a second.
    pub arrivals_per_s: u64,
    /// How long customers arrive, in seconds.
    pub seconds: u64,
    /// How long a call lasts on average, in milliseconds.
    pub talk_ms: u64,
}

/// What came out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Result {
    /// Customers that came.
    pub arrived: u64,
    /// Calls started.
    pub served: u64,
    /// Times an agent was given a second customer, or a customer a second agent.
    pub double: u64,
    /// Proposals applied.
    pub proposals: u64,
    /// Proposals that were refused.
    pub refused: u64,
    /// Most calls at once.
    pub most_calls: u64,
    /// Longest wait until a desk rang, in milliseconds.
    pub longest_wait_ms: u64,
}

/// What somebody does next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Arrive,
    Answer(ReservationId),
    Record(SessionId),
    HangUp(SessionId),
    Finish(StaffRef),
    Touch(TicketId),
}

/// A running load.
pub struct Run {
    load: Load,
    dice: Dice,
    state: State,
    now: UnixMillis,
    agenda: BinaryHeap<Reverse<(UnixMillis, u64, Next)>>,
    planned: u64,
    result: Result,
    /// Who is taken, kept apart from the core's own tables.
    agents_taken: BTreeMap<StaffRef, TicketId>,
    tickets_taken: BTreeSet<TicketId>,
}

impl Run {
    /// Founds the bank and lets every agent be ready.
    pub fn new(load: Load, seed: u64) -> Self {
        let mut run = Self {
            load,
            dice: Dice::new(seed),
            state: State::default(),
            now: UnixMillis(1_000_000),
            agenda: BinaryHeap::new(),
            planned: 0,
            result: Result::default(),
            agents_taken: BTreeMap::new(),
            tickets_taken: BTreeSet::new(),
        };
        run.apply(bank::found(load.size));
        for institution in 0..load.size.institutions {
            for agent in 0..load.size.agents {
                let staff = bank::agent(institution, agent);
                let (presence, media_key) = (
                    Presence::Ready,
                    bank::point(1 << 60 | institution << 32 | agent),
                );
                run.apply(Command::SetPresence {
                    staff,
                    presence,
                    media_key,
                });
            }
        }
        run.plan(0, Next::Arrive);
        run
    }

    /// Runs until the last customer is served.
    pub fn finish(mut self) -> (Result, State) {
        while let Some(Reverse((at, _, next))) = self.agenda.pop() {
            self.now = self.now.max(at);
            while self.state.next_due().is_some_and(|due| due <= self.now) {
                self.apply(Command::Tick);
            }
            self.act(next);
        }
        (self.result, self.state)
    }

    fn act(&mut self, next: Next) {
        match next {
            Next::Arrive => self.arrive(),
            Next::Answer(reservation) => self.answer(&reservation),
            Next::Record(session) => {
                let recorders = self.state.session(&session).map(|it| it.recorders.clone());
                if let Some(node) = recorders.into_iter().flatten().next() {
                    let report = RecordingReport::Running;
                    self.apply(Command::ReportRecording {
                        assignment: 0,
                        session,
                        node,
                        report,
                    });
                }
            }
            Next::HangUp(session) => self.hang_up(session),
            Next::Finish(staff) => self.apply(Command::FinishWrapUp { staff }),
            Next::Touch(ticket) => {
                let state = self.state.ticket(&ticket).map(|ticket| &ticket.state);
                if state.is_some_and(|state| !matches!(state, TicketState::Ended { .. })) {
                    self.plan(10_000, Next::Touch(ticket.clone()));
                    self.apply(Command::TouchTicket { ticket });
                }
            }
        }
    }

    fn arrive(&mut self) {
        self.result.arrived += 1;
        if self.result.arrived < self.load.arrivals_per_s * self.load.seconds {
            let gap_ms = 1_000 * self.result.arrived / self.load.arrivals_per_s
                - 1_000 * (self.result.arrived - 1) / self.load.arrivals_per_s;
            self.plan(gap_ms, Next::Arrive);
        }
        let ticket = TicketId::from_random(self.dice.id());
        let bank = self.dice.below(self.load.size.institutions);
        let queue = self.dice.pick(QUEUES).map_or("retail", |(queue, _)| queue);
        let edge = self.dice.pick(["edge-a1", "edge-a2"]).unwrap_or("edge-a1");
        self.plan(10_000, Next::Touch(ticket.clone()));
        let media_key = bank::point(self.dice.below(u64::MAX));
        self.apply(Command::OpenTicket {
            ticket,
            institution: bank::id(&format!("bank{bank}")),
            queue: bank::id(queue),
            edge: bank::id(edge),
            customer: "张三".to_owned(),
            consent: bank::consent(true),
            media_key,
        });
    }

    fn answer(&mut self, id: &ReservationId) {
        let Some(reservation) = self.state.reservation(id).cloned() else {
            return;
        };
        let session = SessionId::from_random(self.dice.id());
        let all = bank::everybody(&self.state, &reservation);
        let keys = all
            .iter()
            .map(|holder| bank::wrapped(holder, KEY_EPOCH_FIRST));
        let command = Command::Accept {
            reservation: reservation.id,
            staff: reservation.staff,
            session: session.clone(),
            keys: keys.collect(),
            silent: Vec::new(),
            recorders: 1,
        };
        self.apply(command);
        self.plan(800, Next::Record(session.clone()));
        let talk_ms = self.load.talk_ms / 2 + self.dice.below(self.load.talk_ms);
        self.plan(talk_ms, Next::HangUp(session));
    }

    fn hang_up(&mut self, session: SessionId) {
        let Some(running) = self.state.session(&session).cloned() else {
            return;
        };
        let (actor, reason) = ("agent".to_owned(), EndReason::AgentHungUp);
        self.apply(Command::EndSession {
            session,
            actor,
            reason,
        });
        self.agents_taken.remove(&running.agent);
        let write_up_ms = 3_000 + self.dice.below(4_000);
        self.plan(write_up_ms, Next::Finish(running.agent));
    }

    fn plan(&mut self, in_ms: u64, next: Next) {
        self.planned += 1;
        self.agenda
            .push(Reverse((self.now.plus(in_ms), self.planned, next)));
    }

    fn apply(&mut self, command: Command) {
        let request = RequestId::from_random(self.dice.id());
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request,
            at: self.now,
            command,
            salt: None,
        };
        let outcome = self.state.apply(&proposal);
        self.result.proposals += 1;
        self.result.refused += u64::from(matches!(outcome.reply, Reply::Refused { .. }));
        for event in outcome.events {
            match event.change {
                Change::Desk { staff } => self.look_at_desk(&staff),
                Change::SessionStarted { session, .. } => self.look_at_start(&session),
                _ => {}
            }
        }
        let calls = self.state.sessions_running_count() as u64;
        self.result.most_calls = self.result.most_calls.max(calls);
    }

    /// A desk that began to ring will be answered.
    fn look_at_desk(&mut self, staff: &StaffRef) {
        let desk = self.state.desk(staff);
        let ringing = desk.and_then(|desk| self.state.reservation(desk.reservation.as_ref()?));
        let Some(reservation) = ringing.cloned() else {
            return;
        };
        let other = self
            .agents_taken
            .insert(staff.clone(), reservation.ticket.clone());
        if other.is_some_and(|other| other != reservation.ticket) {
            self.result.double += 1;
        }
        if let Some(ticket) = self.state.ticket(&reservation.ticket) {
            let wait_ms = reservation.made_at.since(ticket.opened_at);
            self.result.longest_wait_ms = self.result.longest_wait_ms.max(wait_ms);
        }
        let answer_ms = 500 + self.dice.below(2_500);
        self.plan(answer_ms, Next::Answer(reservation.id));
    }

    fn look_at_start(&mut self, session: &SessionId) {
        self.result.served += 1;
        let started = self.state.session(session);
        let fresh = started.is_some_and(|it| self.tickets_taken.insert(it.ticket.clone()));
        self.result.double += u64::from(!fresh);
    }
}
