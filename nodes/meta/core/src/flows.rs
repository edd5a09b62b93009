//! The flow matrix: one is in force, one may wait for two officers. What a matrix allows is not decided here.

use guitai_types::{
    Hex, Problem,
    command::Reply,
    event::Change,
    flowlog::{AgreedMinute, MINUTES_AGREED_MAX},
    flows::{FLOWS_BYTES_MAX, FLOWS_KEPT_MAX, FlowOrder, FlowStep, FlowVersion, Flows},
    limits::REASON_BYTES_MAX,
    officer::OfficerWord,
    tlog::Record,
};

use crate::{RecordKey, State, apply::Turn, check, officers};

/// Bytes of a digest.
const SM3_BYTES: usize = 32;

impl State {
    /// Minutes of the flow log that were agreed on last, oldest first; at most [`MINUTES_AGREED_MAX`].
    pub fn flow_log(&self) -> &[AgreedMinute] {
        &self.flow_log
    }

    /// The matrix in force, what is proposed, and what was before; `None` before the first leader has said so.
    pub fn flows(&self) -> Option<&Flows> {
        self.flows.as_ref()
    }
}

impl Turn<'_> {
    pub(crate) fn flow(&mut self, order: &FlowOrder) -> Result<Reply, Problem> {
        match order {
            FlowOrder::Begin { matrix, sm3 } => self.begin_flows(matrix, sm3),
            FlowOrder::Propose {
                matrix,
                sm3,
                by,
                reason,
            } => {
                if self.state.staff(by).is_none() {
                    return Err(check::missing("staff account"));
                }
                let version = FlowVersion {
                    number: 0,
                    matrix: matrix.clone(),
                    sm3: sm3.clone(),
                    by: Some(by.clone()),
                    at: self.now,
                    reason: reason.clone(),
                    approvals: Vec::new(),
                    in_force: None,
                };
                self.propose_flows(version)
            }
            FlowOrder::Approve { number, approval } => self.approve_flows(*number, approval),
            FlowOrder::Withdraw { number, by } => {
                let mut flows = self.known_flows()?;
                let version = proposed(&mut flows, *number)?;
                flows.proposed = None;
                self.keep_flows(flows);
                self.log(Record::FlowMatrix {
                    step: FlowStep::Withdrawn,
                    version: Box::new(without_text(&version)),
                    by: Some(by.clone()),
                });
                Ok(Reply::Done)
            }
            FlowOrder::Keep { kept } => self.keep_minute(kept),
        }
    }

    fn keep_minute(&mut self, kept: &AgreedMinute) -> Result<Reply, Problem> {
        check::integer("minute", kept.minute)?;
        if kept.root.0.len() != SM3_BYTES || kept.lines == 0 {
            return Err(check::bad(
                "a minute has one line at least, and a root of 32 bytes",
            ));
        }
        let last = self.state.flow_log.last();
        if let Some(last) = last.filter(|last| last.minute >= kept.minute) {
            if last == kept {
                return Ok(Reply::Done);
            }
            let detail = format!(
                "minute {} does not follow minute {}",
                kept.minute, last.minute
            );
            return Err(check::wrong(detail));
        }
        let minutes = &mut self.state.flow_log;
        minutes.push(kept.clone());
        let surplus = minutes.len().saturating_sub(MINUTES_AGREED_MAX);
        minutes.drain(..surplus);
        self.changed(RecordKey::FlowLog);
        self.log(Record::FlowLog { kept: kept.clone() });
        Ok(Reply::Done)
    }

    fn begin_flows(&mut self, matrix: &str, sm3: &Hex) -> Result<Reply, Problem> {
        if self.state.flows.is_some() {
            return Ok(Reply::Done);
        }
        check_matrix(matrix, sm3)?;
        let version = FlowVersion {
            number: 1,
            matrix: matrix.to_owned(),
            sm3: sm3.clone(),
            by: None,
            at: self.now,
            reason: String::new(),
            approvals: Vec::new(),
            in_force: Some(self.now),
        };
        self.log(Record::FlowMatrix {
            step: FlowStep::Begun,
            version: Box::new(version.clone()),
            by: None,
        });
        self.keep_flows(Flows {
            last: version.number,
            present: version,
            proposed: None,
            before: Vec::new(),
        });
        Ok(Reply::Done)
    }

    fn propose_flows(&mut self, version: FlowVersion) -> Result<Reply, Problem> {
        let FlowVersion {
            matrix,
            sm3,
            reason,
            ..
        } = &version;
        check_matrix(matrix, sm3)?;
        if reason.trim().is_empty() || reason.chars().any(char::is_control) {
            return Err(check::bad("the reason is empty or not one line"));
        }
        check::at_most("reason", reason.len(), "REASON_BYTES_MAX", REASON_BYTES_MAX)?;
        let mut flows = self.known_flows()?;
        if let Some(open) = &flows.proposed {
            let detail = format!(
                "version {} waits for officers; withdraw it first",
                open.number
            );
            return Err(check::wrong(detail));
        }
        if flows.present.sm3 == *sm3 {
            return Err(check::wrong("that is the matrix in force"));
        }
        flows.last = flows.last.saturating_add(1);
        let version = FlowVersion {
            number: flows.last,
            ..version
        };
        self.log(Record::FlowMatrix {
            step: FlowStep::Proposed,
            version: Box::new(version.clone()),
            by: version.by.clone(),
        });
        flows.proposed = Some(version);
        self.keep_flows(flows);
        Ok(Reply::Done)
    }

    fn approve_flows(&mut self, number: u32, approval: &OfficerWord) -> Result<Reply, Problem> {
        let now = self.now;
        let mut flows = self.known_flows()?;
        let mut version = proposed(&mut flows, number)?;
        let account = self.state.staff.get(&approval.officer);
        let enough = officers::count(&mut version.approvals, account, approval, now)?;
        let officer = Some(approval.officer.clone());
        self.log(Record::FlowMatrix {
            step: FlowStep::Approved,
            version: Box::new(without_text(&version)),
            by: officer.clone(),
        });
        if enough {
            version.in_force = Some(now);
            self.log(Record::FlowMatrix {
                step: FlowStep::InForce,
                version: Box::new(version.clone()),
                by: officer,
            });
            let before = std::mem::replace(&mut flows.present, version);
            flows.before.insert(0, before);
            flows.before.truncate(FLOWS_KEPT_MAX);
        } else {
            flows.proposed = Some(version);
        }
        self.keep_flows(flows);
        Ok(Reply::Done)
    }

    fn known_flows(&self) -> Result<Flows, Problem> {
        let none = || check::wrong("no flow matrix is agreed on yet");
        self.state.flows.clone().ok_or_else(none)
    }

    fn keep_flows(&mut self, flows: Flows) {
        self.state.flows = Some(flows);
        self.changed(RecordKey::Flows);
        self.emit(None, Change::Cluster);
    }
}

/// Takes what is proposed out, if it has that number.
fn proposed(flows: &mut Flows, number: u32) -> Result<FlowVersion, Problem> {
    let open = flows.proposed.take_if(|open| open.number == number);
    open.ok_or_else(|| check::missing("proposed version"))
}

/// The log has the text with the proposal and when it comes into force.
fn without_text(version: &FlowVersion) -> FlowVersion {
    FlowVersion {
        matrix: String::new(),
        ..version.clone()
    }
}

fn check_matrix(matrix: &str, sm3: &Hex) -> Result<(), Problem> {
    check::at_most("matrix", matrix.len(), "FLOWS_BYTES_MAX", FLOWS_BYTES_MAX)?;
    if matrix.is_empty() || sm3.0.len() != SM3_BYTES {
        return Err(check::bad("a matrix has a text, and a digest of 32 bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use guitai_types::{
        ClusterId, StaffRef, UnixMillis,
        command::{Command, PROPOSAL_VERSION, Proposal},
        dr::APPROVAL_LIFE_MS,
        problem::Code,
        record::{Branch, Duty, Institution, Policy, Staff},
    };

    use super::*;

    const PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";

    struct World {
        state: State,
        now: u64,
        number: u64,
    }

    fn who(name: &str) -> StaffRef {
        StaffRef {
            institution: "bank".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    fn key(byte: u8) -> Hex {
        Hex([&[4], &[byte; 64][..]].concat())
    }

    fn staff(name: &str, duty: Duty, approval: Option<u8>) -> Staff {
        Staff {
            id: who(name),
            display: name.to_owned(),
            number: "1".to_owned(),
            branch: "main".parse().unwrap(),
            team: "one".parse().unwrap(),
            skills: Vec::new(),
            duties: vec![duty],
            password_phc: PASSWORD.to_owned(),
            approval_key: approval.map(key),
        }
    }

    impl World {
        fn new() -> Self {
            let mut world = Self {
                state: State::default(),
                now: 1_764_000_000_000,
                number: 0,
            };
            let cluster: ClusterId = "c1".parse().unwrap();
            world.done(Command::Found {
                cluster,
                cities: Vec::new(),
                centres: Vec::new(),
                members: Vec::new(),
                institutions: vec![Institution {
                    id: "bank".parse().unwrap(),
                    name: Default::default(),
                    branches: vec![Branch {
                        id: "main".parse().unwrap(),
                        name: Default::default(),
                        teams: Vec::new(),
                    }],
                    queues: Vec::new(),
                }],
                staff: vec![
                    staff("chen", Duty::Officer, Some(1)),
                    staff("liu", Duty::Officer, Some(2)),
                    staff("admin", Duty::Operator, None),
                ],
                policy: Policy::default(),
            });
            world
        }

        fn order(&mut self, command: Command) -> Result<(), Problem> {
            self.number += 1;
            let mut request = [0; 16];
            request[..8].copy_from_slice(&self.number.to_be_bytes());
            let outcome = self.state.apply(&Proposal {
                v: PROPOSAL_VERSION,
                request: guitai_types::RequestId::from_random(request),
                at: UnixMillis(self.now),
                salt: None,
                command,
            });
            match outcome.reply {
                Reply::Refused { problem } => Err(problem),
                _ => Ok(()),
            }
        }

        fn done(&mut self, command: Command) {
            self.order(command).unwrap();
        }

        fn flow(&mut self, order: FlowOrder) -> Result<(), Problem> {
            let order = Box::new(order);
            self.order(Command::Flow { order })
        }

        fn begin(&mut self) {
            let (matrix, sm3) = matrix(1);
            self.flow(FlowOrder::Begin { matrix, sm3 }).unwrap();
        }

        fn propose(&mut self, number: u8) -> Result<(), Problem> {
            let (matrix, sm3) = matrix(number);
            self.flow(FlowOrder::Propose {
                matrix,
                sm3,
                by: who("admin"),
                reason: "another branch".to_owned(),
            })
        }

        fn approve(&mut self, number: u32, officer: &str, byte: u8) -> Result<(), Problem> {
            let approval = OfficerWord {
                officer: who(officer),
                at: UnixMillis(self.now),
                key: key(byte),
                signature: Hex(vec![1]),
            };
            self.flow(FlowOrder::Approve { number, approval })
        }

        fn known(&self) -> &Flows {
            self.state.flows().unwrap()
        }
    }

    fn matrix(number: u8) -> (String, Hex) {
        (format!("version = {number}"), Hex(vec![number; 32]))
    }

    #[test]
    fn two_officers_bring_a_matrix_into_force_and_one_step_takes_it_back() {
        let mut world = World::new();
        assert!(world.propose(2).is_err(), "there is none to change");
        world.begin();
        world.begin();
        assert_eq!((world.known().present.number, world.known().last), (1, 1));
        world.propose(2).unwrap();
        assert_eq!(world.known().present.number, 1, "proposed is not in force");
        world.approve(2, "chen", 1).unwrap();
        assert_eq!(world.known().present.number, 1, "one officer is not enough");
        world.approve(2, "liu", 2).unwrap();
        let known = world.known().clone();
        assert_eq!((known.present.number, known.proposed), (2, None));
        assert_eq!(known.present.approvals.len(), 2);
        assert_eq!(known.before[0].matrix, matrix(1).0);
        // Back to the one before is a version of its own.
        world.propose(1).unwrap();
        world.approve(3, "liu", 2).unwrap();
        world.approve(3, "chen", 1).unwrap();
        assert_eq!(world.known().present.matrix, matrix(1).0);
        let snapshot = world.state.to_snapshot();
        assert_eq!(State::from_snapshot(&snapshot).unwrap(), world.state);
    }

    #[test]
    fn who_may_not_and_what_may_not_is_refused_and_changes_nothing() {
        let mut world = World::new();
        world.begin();
        assert!(world.propose(1).is_err(), "the one in force");
        world.propose(2).unwrap();
        let before = world.state.flows().cloned();
        let refused = |world: &mut World, result: Result<(), Problem>, code: Code| {
            assert_eq!(result.unwrap_err().code, code);
            assert_eq!(world.state.flows().cloned(), before);
        };
        let result = world.propose(3);
        refused(&mut world, result, Code::WrongState);
        let result = world.approve(2, "admin", 1);
        refused(&mut world, result, Code::Forbidden);
        let result = world.approve(2, "chen", 2);
        refused(&mut world, result, Code::Forbidden);
        let result = world.approve(7, "chen", 1);
        refused(&mut world, result, Code::NotFound);
        world.approve(2, "chen", 1).unwrap();
        assert!(world.approve(2, "chen", 1).is_err(), "the same officer");
        // A word grown old does not count; who gave it gives it again.
        world.now += APPROVAL_LIFE_MS + 1;
        world.approve(2, "liu", 2).unwrap();
        assert_eq!(world.known().present.number, 1);
        world.approve(2, "chen", 1).unwrap();
        assert_eq!(world.known().present.number, 2);
        // Taken back, nothing is left to approve; its number is not used again.
        world.propose(3).unwrap();
        let withdraw = FlowOrder::Withdraw {
            number: 3,
            by: who("admin"),
        };
        world.flow(withdraw).unwrap();
        assert_eq!(
            world.approve(3, "chen", 1).unwrap_err().code,
            Code::NotFound
        );
        world.propose(4).unwrap();
        assert_eq!(world.known().proposed.as_ref().unwrap().number, 4);
        let long = "x".repeat(FLOWS_BYTES_MAX + 1);
        let order = FlowOrder::Propose {
            matrix: long,
            sm3: Hex(vec![9; 32]),
            by: who("admin"),
            reason: "too long".to_owned(),
        };
        assert!(world.flow(order).is_err());
    }
}
