//! A world: customers, agents, recorders and clocks that do what the dice say, sensible things mostly,
//! foolish ones often enough.

use std::collections::BTreeMap;

use guitai_meta_core::Hearing;
use guitai_meta_core::{Outcome, State};
use guitai_types::{
    Epoch, Hex, Member, NodeName, RequestId, ReservationId, SessionId, StaffRef, TicketId,
    UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, RecordingReport},
    media::{KEY_EPOCH_FIRST, KeyChange},
    record::{EndReason, Participant, Policy, Presence, RecordingSummary, WrappedKey},
};

use crate::{
    Dice, Violation,
    bank::{self, QUEUES, Size},
    invariants::{self, Invariant, Step},
};

/// A bank small enough that everything meets everything.
pub const SMALL: Size = Size {
    institutions: 2,
    agents: 6,
};

/// One seed's world.
pub struct World {
    dice: Dice,
    now: UnixMillis,
    state: State,
    log: Vec<Proposal>,
    invariants: Vec<Box<dyn Invariant>>,
}

impl World {
    /// A world that is founded and has seen nothing else.
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        Self {
            dice,
            now: UnixMillis(1_000_000),
            state: State::default(),
            log: Vec::new(),
            invariants: invariants::all(),
        }
    }

    /// Lives through `steps` steps and checks everything; says which invariant broke where.
    pub fn run(&mut self, steps: usize) -> Result<(), Violation> {
        self.step(bank::found(SMALL))?;
        for _ in 0..steps {
            self.pass_time();
            if self.dice.percent(5) {
                self.retry()?;
            } else {
                let command = self.command();
                self.step(command)?;
            }
        }
        for invariant in &mut self.invariants {
            let held = invariant.finish(&self.log, &self.state);
            held.map_err(|what| format!("{} at the end: {what}", invariant.name()))?;
        }
        Ok(())
    }

    /// What was proposed so far.
    pub fn log(&self) -> &[Proposal] {
        &self.log
    }

    /// The state so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    fn step(&mut self, command: Command) -> Result<(), Violation> {
        let request = RequestId::from_random(self.dice.id());
        self.propose(Proposal {
            v: PROPOSAL_VERSION,
            request,
            at: self.now,
            command,
            salt: None,
        })
    }

    /// A proposer that did not see its answer asks again.
    fn retry(&mut self) -> Result<(), Violation> {
        let again = self.dice.pick(&self.log).cloned();
        again.map_or(Ok(()), |again| self.propose(again))
    }

    fn propose(&mut self, proposal: Proposal) -> Result<(), Violation> {
        let outcome: Outcome = self.state.apply(&proposal);
        let step = Step {
            proposal: &proposal,
            outcome: &outcome,
            state: &self.state,
        };
        let number = self.log.len();
        for invariant in &mut self.invariants {
            invariant.see(step).map_err(|what| {
                let name = invariant.name();
                format!(
                    "{name} after proposal {number}, {:?}: {what}",
                    proposal.command
                )
            })?;
        }
        self.log.push(proposal);
        Ok(())
    }

    /// Mostly a little, now and then long enough for rings and pages to time out, and sometimes a
    /// node with a clock behind proposes.
    fn pass_time(&mut self) {
        let ms = match self.dice.below(20) {
            0 => 25_000,
            1 | 2 => 8_000,
            _ => self.dice.below(700),
        };
        self.now = self.now.plus(ms);
        if self.dice.percent(3) {
            self.now = UnixMillis(self.now.0.saturating_sub(self.dice.below(3_000)));
        }
    }

    fn command(&mut self) -> Command {
        match self.dice.below(100) {
            0..20 => self.open_ticket(),
            20..35 => Command::TouchTicket {
                ticket: self.ticket(),
            },
            35..40 => {
                let reasons = [
                    EndReason::CustomerLeft,
                    EndReason::CustomerHungUp,
                    EndReason::CustomerAway,
                    EndReason::AgentHungUp,
                ];
                let reason = self.dice.pick(reasons).unwrap_or(EndReason::CustomerLeft);
                Command::CloseTicket {
                    ticket: self.ticket(),
                    reason,
                }
            }
            40..51 => self.set_presence(),
            51..54 => self.rekey(),
            54..66 => self.answer(),
            66..76 => self.report(),
            76..84 => self.add_step(),
            84..88 => Command::EndSession {
                session: self.session(),
                actor: "agent".to_owned(),
                reason: EndReason::AgentHungUp,
            },
            88..89 => self.rekey(),
            89..91 => Command::FinishWrapUp {
                staff: self.agent(),
            },
            91..93 => Command::Rate {
                ticket: self.ticket(),
                stars: self.dice.below(7) as u8,
                comment: String::new(),
            },
            93 => self.change_cluster(),
            94..96 => Command::MoveTicket {
                ticket: self.ticket(),
                edge: bank::id(
                    self.dice
                        .pick(["edge-a1", "edge-a2", "b-1"])
                        .unwrap_or("b-1"),
                ),
            },
            _ => Command::Tick,
        }
    }

    fn open_ticket(&mut self) -> Command {
        let (queue, _) = self.dice.pick(QUEUES).unwrap_or(QUEUES[0]);
        let edges = ["edge-a1", "edge-a2", "edge-unknown"];
        let percent_known = self.dice.below(100) as usize;
        let edge = edges[if percent_known < 48 {
            0
        } else {
            1 + percent_known / 98
        }];
        Command::OpenTicket {
            ticket: TicketId::from_random(self.dice.id()),
            institution: bank::id(&format!("bank{}", self.dice.below(SMALL.institutions))),
            queue: bank::id(queue),
            edge: bank::id(edge),
            customer: "张三".to_owned(),
            consent: bank::consent(!self.dice.percent(3)),
            media_key: bank::point(self.dice.below(u64::MAX)),
        }
    }

    /// A key pair that nobody else has.
    fn point(&mut self) -> Hex {
        bank::point(self.dice.below(u64::MAX))
    }

    /// A page comes or goes, a call is handed over; sometimes by a proposer who is late or forgetful.
    fn rekey(&mut self) -> Command {
        let session = self.session();
        let participant = if self.dice.percent(50) {
            Participant::Customer
        } else {
            Participant::Agent
        };
        let known = self.state.session(&session).cloned();
        let present = known.iter().flat_map(|it| it.key_holders.clone());
        let present = present.into_iter().find(|it| it.participant == participant);
        let change = match self.dice.below(14) {
            10.. => self.hand_over(&session),
            0..5 => KeyChange::Joined {
                participant,
                media_key: self.point(),
            },
            5..8 => KeyChange::Left {
                participant,
                media_key: present.map(|it| it.public_key).unwrap_or_default(),
            },
            8 => KeyChange::Transferred { to: self.agent() },
            _ => KeyChange::Recorders,
        };
        let next = self.state.next_keys(&session, &change).ok().flatten();
        let (mut epoch, holders) = next.map_or((7, Vec::new()), |next| (next.epoch, next.holders));
        let mut keys: Vec<WrappedKey> = holders.iter().map(|it| bank::wrapped(it, epoch)).collect();
        match self.dice.below(30) {
            0 => epoch += 1,
            1 => drop(keys.pop()),
            _ => {}
        }
        Command::Rekey {
            session,
            epoch,
            change,
            keys,
        }
    }

    /// As the leader would, by what it hears; now and then from a leader of yesterday.
    fn hand_over(&mut self, session: &SessionId) -> KeyChange {
        let gone = self.silent();
        let unheard = gone.clone();
        let due = self.state.hand_overs(&Hearing { gone, unheard }, 100);
        let found = due.into_iter().find(|(due, _)| due == session);
        let recorders: Vec<NodeName> = self.state.recorders().map(|it| it.name.clone()).collect();
        found.map_or_else(
            || KeyChange::HandOver {
                from: self.dice.pick(recorders.clone()),
                to: self.dice.pick(recorders).unwrap_or_else(|| bank::id("b-1")),
                cause: "recorder-gone".to_owned(),
            },
            |(_, change)| change,
        )
    }

    fn set_presence(&mut self) -> Command {
        let all = [
            Presence::Offline,
            Presence::Break,
            Presence::Ready,
            Presence::Ready,
        ];
        let odd = [Presence::Busy, Presence::Ringing];
        let odd = self.dice.percent(3).then_some(odd).into_iter().flatten();
        let presence = self
            .dice
            .pick(all.into_iter().chain(odd))
            .unwrap_or_default();
        let keyless = presence != Presence::Ready || self.dice.percent(3);
        let media_key = if keyless {
            Hex::default()
        } else {
            self.point()
        };
        Command::SetPresence {
            staff: self.agent(),
            presence,
            media_key,
        }
    }

    fn answer(&mut self) -> Command {
        let Some(reservation) = self.dice.pick(self.state.reservations()).cloned() else {
            return Command::Reject {
                reservation: ReservationId::from_random(self.dice.id()),
                staff: self.agent(),
            };
        };
        let staff = if self.dice.percent(5) {
            self.agent()
        } else {
            reservation.staff.clone()
        };
        if self.dice.percent(20) {
            return Command::Reject {
                reservation: reservation.id,
                staff,
            };
        }
        let all = bank::everybody(&self.state, &reservation);
        let skipped = usize::from(self.dice.percent(3));
        Command::Accept {
            reservation: reservation.id,
            staff,
            session: SessionId::from_random(self.dice.id()),
            keys: all
                .iter()
                .skip(skipped)
                .map(|holder| bank::wrapped(holder, KEY_EPOCH_FIRST))
                .collect(),
            silent: self.silent(),
            recorders: 1 + self.dice.below(2) as u8,
        }
    }

    /// Now and then a recorder was not heard of, and sometimes none was.
    fn silent(&mut self) -> Vec<NodeName> {
        let recorders: Vec<NodeName> = self.state.recorders().map(|it| it.name.clone()).collect();
        let mut silent = recorders;
        silent.retain(|_| self.dice.percent(10));
        silent
    }

    fn report(&mut self) -> Command {
        let session = self.session();
        let turns = self
            .state
            .session(&session)
            .map(|it| it.assignments.clone());
        let turn = self.dice.pick(turns.unwrap_or_default());
        let stranger: NodeName = bank::id("b-1");
        let (node, assignment) = match turn {
            Some(turn) if !self.dice.percent(5) => {
                let is_old = self.dice.percent(10);
                (turn.node, if is_old { 0 } else { turn.number })
            }
            _ => (stranger, 1),
        };
        let report = match self.dice.below(10) {
            0..6 => RecordingReport::Running,
            6..8 => RecordingReport::Lost {
                cause: "disk-full".to_owned(),
            },
            _ => RecordingReport::Sealed {
                summary: RecordingSummary {
                    node: node.clone(),
                    root: Hex(vec![self.dice.below(2) as u8; 32]),
                    duration_ms: 1,
                    bytes: 1,
                    segments: 1,
                    frames: 1,
                    gaps: 0,
                    at: self.now,
                },
            },
        };
        Command::ReportRecording {
            session,
            node,
            assignment,
            report,
        }
    }

    fn add_step(&mut self) -> Command {
        let actor = if self.dice.percent(30) {
            "customer"
        } else {
            "agent"
        };
        Command::AddStep {
            session: self.session(),
            actor: actor.to_owned(),
            step: "identity".to_owned(),
            details: BTreeMap::from([("note".to_owned(), "已核对".to_owned())]),
        }
    }

    fn change_cluster(&mut self) -> Command {
        match self.dice.below(5) {
            4 => {
                let recorder = self.dice.pick(self.state.recorders().cloned());
                let public_key = self.point();
                match recorder {
                    Some(member) => Command::PutMember {
                        member: Member {
                            public_key,
                            ..member
                        },
                    },
                    None => Command::Tick,
                }
            }
            0 => Command::RaiseEpoch {
                epoch: Epoch(self.dice.below(9)),
            },
            1 => Command::PutPolicy {
                policy: Policy {
                    ring_ms: 5_000 + self.dice.below(20_000),
                    ..Policy::default()
                },
            },
            2 => bank::found(SMALL),
            _ => {
                let staff = self.agent();
                let Some(mut account) = self.state.staff(&staff).cloned() else {
                    return Command::Tick;
                };
                account.skills.reverse();
                if self.dice.percent(50) {
                    account.skills.truncate(1);
                } else {
                    account.skills = vec![bank::id("retail"), bank::id("loan")];
                }
                Command::PutStaff {
                    staff: Box::new(account),
                }
            }
        }
    }

    fn agent(&mut self) -> StaffRef {
        bank::agent(
            self.dice.below(SMALL.institutions),
            self.dice.below(SMALL.agents),
        )
    }

    fn ticket(&mut self) -> TicketId {
        let known = self
            .dice
            .pick(self.state.tickets().map(|ticket| ticket.id.clone()));
        known.unwrap_or_else(|| TicketId::from_random(self.dice.id()))
    }

    fn session(&mut self) -> SessionId {
        let ended = self.dice.percent(25);
        let state = &self.state;
        let known = if ended {
            self.dice
                .pick(state.sessions_ended().map(|session| session.id.clone()))
        } else {
            self.dice
                .pick(state.sessions_running().map(|session| session.id.clone()))
        };
        known.unwrap_or_else(|| SessionId::from_random(self.dice.id()))
    }
}
