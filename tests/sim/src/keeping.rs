//! Twenty years of recordings: classes, end dates that come late, changed matrices, holds and releases, leaders
//! whose clocks differ and jump, recorders that are away. An oracle that knows nothing of the core's calendar or
//! of its way of thinking counts the days and judges every erasure.

mod oracle;

use std::collections::{BTreeMap, BTreeSet};

use guitai_meta_core::{Repair, State};
use guitai_types::{
    ClassId, Code, Date, Hex, NodeName, RequestId, SessionId, StaffRef, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, RecordingReport, Reply},
    dr::APPROVAL_LIFE_MS,
    media::MediaSuite,
    officer::OfficerWord,
    record::{
        Assignment, Business, Duty, EndReason, RecordingState, RecordingSummary, Session, Staff,
    },
    retention::{Classing, KeepOrder, Matrix, Period, Stage, StartsAt},
};

use self::oracle::Oracle;
use crate::{
    bank::{self, id},
    dice::Dice,
    world::SMALL,
};

/// Recordings of one world.
pub const RECORDINGS: usize = 200;
/// Twenty years, a quarter of a day at a time.
const STEPS: u64 = 20 * 365 * 4;
const STEP_MS: u64 = 6 * 60 * 60 * 1000;
const DAY_MS: u64 = 4 * STEP_MS;
/// How far a leader's clock may be off, in steps.
const SKEW_MS: u64 = STEP_MS;
/// By how much a leader's clock jumps in a wild world, in days.
const WILD_DAYS: u64 = 400;
/// Months that no class falls below.
const SHORTEST: u32 = 6;
/// Who records every call.
const NODES: [&str; 2] = ["a1-2", "a2-2"];
/// Every recorder, in three centres.
const RECORDERS: [&str; 3] = ["a1-2", "a2-2", "b-2"];

/// What a world saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recordings.
    pub recordings: u64,
    /// Copies erased.
    pub erased: u64,
    /// Orders that a recorder's own calendar put off.
    pub put_off: u64,
    /// Holds placed.
    pub held: u64,
    /// Holds released.
    pub released: u64,
    /// Matrices that were agreed on.
    pub matrices: u64,
    /// Matrices refused by the lock.
    pub locked: u64,
    /// Leaders.
    pub leaders: u64,
    /// Copies that rotted.
    pub rotted: u64,
    /// Replicas that were made.
    pub replicas: u64,
}

/// One world.
pub struct KeepWorld {
    dice: Dice,
    state: State,
    oracle: Oracle,
    now: u64,
    /// What the leader's clock is ahead of the truth.
    ahead_ms: i64,
    wild: bool,
    requests: u64,
    sealed: usize,
    sessions: Vec<Session>,
    away_until: BTreeMap<NodeName, u64>,
    /// Copies that cannot be read any more, whatever anybody says.
    rotten: BTreeSet<(SessionId, NodeName)>,
    /// Words for the end of the open hold that have not grown old: officers, and when.
    approvals: BTreeMap<SessionId, BTreeMap<u64, u64>>,
    tally: Tally,
}

impl KeepWorld {
    /// The world of a seed; every fourth is wild: a leader's clock jumps ahead by more than a year.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let begin = "2026-01-01".parse::<Date>().expect("a date").begins().0;
        let span = 12 * 365 * DAY_MS;
        let mut sessions: Vec<Session> = (0..RECORDINGS as u64)
            .map(|number| session(number, begin + DAY_MS + dice.below(span)))
            .collect();
        sessions.sort_by_key(|session| session.ended_at);
        let mut world = Self {
            dice,
            state: State::default(),
            oracle: Oracle::default(),
            now: begin,
            ahead_ms: 0,
            wild: seed % 4 == 3,
            requests: 0,
            sealed: 0,
            sessions,
            away_until: BTreeMap::new(),
            rotten: BTreeSet::new(),
            approvals: BTreeMap::new(),
            tally: Tally::default(),
        };
        world.found();
        world
    }

    /// Lives through it.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn run(mut self) -> Result<Tally, String> {
        for step in 0..STEPS {
            self.now += STEP_MS;
            self.leader();
            self.seal();
            self.clerks()?;
            self.officers()?;
            self.change_matrix()?;
            self.tick();
            self.rot();
            self.repair()?;
            self.recorders()?;
            self.replicas()?;
            if step % 4 == 0 {
                self.oracle.nothing_late(self.now)?;
                self.placed()?;
            }
        }
        Ok(self.tally)
    }

    fn found(&mut self) {
        self.must(bank::found(SMALL));
        for number in 0..3 {
            let staff = Box::new(officer(number));
            self.must(Command::PutStaff { staff });
        }
        // Calls are no matter here: they are in the state as if they had been made.
        let mut records: Vec<(String, Vec<u8>)> = self
            .state
            .record_keys()
            .filter_map(|key| Some((key.to_string(), self.state.record(&key)?)))
            .collect();
        for session in &self.sessions {
            let json = serde_json::to_vec(session).expect("a session has a form");
            records.push((format!("session/{}", session.id), json));
        }
        self.state = State::load(records).expect("a state");
        let matrix = Matrix::shipped();
        let order = Box::new(KeepOrder::Matrix {
            matrix: matrix.clone(),
            by: None,
        });
        self.must(Command::Keep { order });
        self.oracle.matrix(&matrix, self.state.clock().0);
        // The product's periods are so long that twenty years would see few of them end.
        let mut shorter = matrix;
        shorter.version += 1;
        for rule in shorter.classes.iter_mut().filter(|rule| !rule.locked) {
            rule.minimum = Period::Months(SHORTEST + self.dice.below(60) as u32);
        }
        let order = Box::new(KeepOrder::Matrix {
            matrix: shorter.clone(),
            by: Some(officer(2).id),
        });
        self.must(Command::Keep { order });
        self.oracle.matrix(&shorter, self.state.clock().0);
    }

    fn propose(&mut self, command: Command) -> Reply {
        self.requests += 1;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&self.requests.to_be_bytes());
        let at = self.now.saturating_add_signed(self.ahead_ms);
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random(random),
            at: UnixMillis(at),
            command,
            salt: Some(Hex(vec![1; 32])),
        };
        self.state.apply(&proposal).reply
    }

    fn must(&mut self, command: Command) {
        let reply = self.propose(command);
        assert_eq!(reply, Reply::Done);
    }

    fn keep(&mut self, order: KeepOrder) -> Reply {
        let order = Box::new(order);
        self.propose(Command::Keep { order })
    }

    /// Now and then another node leads, by its own clock; what it has came through a snapshot.
    fn leader(&mut self) {
        if self.dice.below(400) > 0 {
            return;
        }
        self.tally.leaders += 1;
        self.ahead_ms = self.dice.below(2 * SKEW_MS) as i64 - SKEW_MS as i64;
        if self.wild && self.dice.below(6) == 0 {
            self.ahead_ms = (WILD_DAYS * DAY_MS) as i64;
        }
        if self.dice.below(8) == 0 {
            let again = State::from_snapshot(&self.state.to_snapshot()).expect("a state");
            assert!(again == self.state, "the index is what the records say");
            self.state = again;
        }
    }

    fn seal(&mut self) {
        while let Some(session) = self.sessions.get(self.sealed).cloned() {
            if session.ended_at.is_none_or(|at| at.0 > self.now) {
                break;
            }
            self.sealed += 1;
            self.tally.recordings += 1;
            for (number, node) in (1..).zip(NODES) {
                let summary = summary(node, self.now);
                let report = RecordingReport::Sealed { summary };
                self.must(Command::ReportRecording {
                    session: session.id.clone(),
                    node: id(node),
                    assignment: number,
                    report,
                });
            }
            self.oracle.sealed(&session, &NODES.map(id), self.now);
        }
    }

    /// The core system names classes and dates, late and again.
    fn clerks(&mut self) -> Result<(), String> {
        if self.sealed == 0 || self.dice.below(12) > 0 {
            return Ok(());
        }
        let number = self.dice.below(self.sealed as u64);
        let session = self.sessions[number as usize].id.clone();
        // Most have one class or two; now and then somebody names any.
        let kind = if self.dice.below(40) == 0 {
            self.dice.below(6)
        } else {
            (number + self.dice.below(2)) % 6
        };
        let classes = [
            "agency-sale",
            "insurance-short",
            "insurance-long",
            "identity",
            "loan",
            "inspection",
        ];
        let class: ClassId = id(classes[kind as usize]);
        let days = self.dice.below(1_500) as i64 - 750;
        let day = |days: i64, now: u64| {
            Date::of(UnixMillis(now.saturating_add_signed(days * DAY_MS as i64)))
        };
        let retention = self.state.retention().ok_or("no matrix")?;
        let rule = retention.matrix.rule(&class).ok_or("no class")?;
        let is_known = rule.starts != StartsAt::Recorded && self.dice.below(3) > 0;
        let disputed = self.dice.below(10) == 0;
        let classing = Classing {
            class,
            ends: is_known.then(|| day(days, self.now)),
            dispute_ended: disputed.then(|| day(days / 2, self.now)),
        };
        let reply = self.keep(KeepOrder::Class {
            session: session.clone(),
            by: officer(0).id,
            classes: vec![classing.clone()],
        });
        let is_gone = self.oracle.is_begun(&session);
        let recorded = Date::of(self.sessions[number as usize].started_at);
        let mut days = classing.ends.into_iter().chain(classing.dispute_ended);
        let is_before = days.any(|day| day < recorded);
        match reply {
            Reply::Done if !is_gone && !is_before => {
                self.oracle.classed(&session, &classing, self.now);
            }
            Reply::Refused { problem } if problem.code == Code::RecordingErased && is_gone => {}
            Reply::Refused { problem } if problem.code == Code::BadRequest && is_before => {}
            other => {
                return Err(format!(
                    "classing {session}: {other:?}, begun {is_gone}, before the recording {is_before}"
                ));
            }
        }
        Ok(())
    }

    fn officers(&mut self) -> Result<(), String> {
        if self.sealed == 0 || self.dice.below(60) > 0 {
            return Ok(());
        }
        let session = self.one();
        let open = self.oracle.hold_of(&session);
        match open {
            None => {
                let reply = self.keep(KeepOrder::Hold {
                    session: session.clone(),
                    by: officer(0).id,
                    reason: "诉讼".to_owned(),
                });
                match reply {
                    Reply::Done => {
                        self.tally.held += 1;
                        self.oracle.held(&session, self.now)?;
                    }
                    Reply::Refused { .. } if self.oracle.is_begun(&session) => {}
                    other => return Err(format!("holding {session}: {other:?}")),
                }
            }
            Some(hold) => self.release(&session, hold)?,
        }
        Ok(())
    }

    /// Two officers; or one twice, or one too late: then it stays held. A word counts for a quarter of an hour of
    /// the agreed clock, which stands still for as long as it is ahead.
    fn release(&mut self, session: &SessionId, hold: u32) -> Result<(), String> {
        let ahead = self.now.saturating_add_signed(self.ahead_ms);
        let clock = self.state.clock().0.max(ahead);
        let old = clock.saturating_sub(APPROVAL_LIFE_MS + 60_000);
        let words = match self.dice.below(3) {
            0 => [(1, clock), (1, clock)],
            1 => [(1, old), (2, clock)],
            _ => [(1, clock), (2, clock)],
        };
        let mut given = self.approvals.remove(session).unwrap_or_default();
        given.retain(|_, at| clock - *at <= APPROVAL_LIFE_MS);
        for (number, at) in words {
            let reply = self.keep(KeepOrder::Release {
                session: session.clone(),
                hold,
                release: OfficerWord {
                    officer: officer(number).id,
                    at: UnixMillis(at),
                    key: bank::point(900 + number),
                    signature: Hex(vec![1]),
                },
            });
            let is_taken = at == clock && !given.contains_key(&number);
            if (reply == Reply::Done) != is_taken {
                return Err(format!(
                    "releasing {session}: {reply:?}, expected {is_taken}"
                ));
            }
            if is_taken {
                given.insert(number, at);
            }
            let holds = self.state.recording(session).map(|it| it.holds.len());
            if (holds == Some(0)) != (given.len() >= 2) {
                return Err(format!("{session}: {holds:?} holds after {given:?}"));
            }
            if given.len() >= 2 {
                self.tally.released += 1;
                self.oracle.released(session, self.now);
                return Ok(());
            }
        }
        self.approvals.insert(session.clone(), given);
        Ok(())
    }

    fn change_matrix(&mut self) -> Result<(), String> {
        if self.dice.below(1_200) > 0 {
            return Ok(());
        }
        let mut matrix = self.state.retention().ok_or("no matrix")?.matrix.clone();
        matrix.version += 1;
        let number = self.dice.below(matrix.classes.len() as u64) as usize;
        let months = 1 + self.dice.below(120) as u32;
        let below = months < SHORTEST;
        let lock = self.dice.below(20) == 0;
        let rule = matrix.classes.get_mut(number).ok_or("no class")?;
        let before = rule.clone();
        rule.minimum = Period::Months(months);
        rule.locked |= lock;
        let shorter = before.locked && rule.minimum < before.minimum;
        let by = Some(officer(2).id);
        let reply = self.keep(KeepOrder::Matrix {
            matrix: matrix.clone(),
            by,
        });
        match reply {
            Reply::Done if !shorter && !below => {
                self.tally.matrices += 1;
                self.oracle.matrix(&matrix, self.state.clock().0);
                self.oracle.all_moved(self.now);
            }
            Reply::Refused { problem } if below && problem.code == Code::BadRequest => {}
            Reply::Refused { problem } if shorter && problem.code == Code::RetentionLocked => {
                self.tally.locked += 1;
            }
            other => return Err(format!("matrix {}: {other:?}", matrix.version)),
        }
        Ok(())
    }

    /// As the leader's driver: only when something is due.
    fn tick(&mut self) {
        let now = self
            .now
            .saturating_add_signed(self.ahead_ms)
            .max(self.state.clock().0);
        while self.state.next_due().is_some_and(|due| due.0 <= now) {
            let clock = self.state.clock();
            self.propose(Command::Tick);
            if self.state.clock() == clock && self.state.next_due().is_some_and(|due| due > clock) {
                break;
            }
        }
    }

    /// As the recorder's driver: the order, and its own calendar.
    fn recorders(&mut self) -> Result<(), String> {
        for node in RECORDERS.map(id::<NodeName>) {
            if self.dice.below(2_000) == 0 {
                let back = self.now + self.dice.below(60 * DAY_MS);
                self.away_until.insert(node.clone(), back);
                self.oracle.away(&node, back);
            }
            if self.is_away(&node) {
                continue;
            }
            let orders: Vec<_> = self
                .state
                .erasures_of(&node)
                .map(|(session, erasure)| (session.clone(), erasure.clone()))
                .collect();
            for (session, erasure) in orders {
                if Date::of(UnixMillis(self.now)) <= erasure.until {
                    self.tally.put_off += 1;
                    continue;
                }
                self.oracle.erases(&session, &node, self.now)?;
                self.tally.erased += 1;
                let reply = self.keep(KeepOrder::Erased {
                    session: session.clone(),
                    node: node.clone(),
                });
                if reply != Reply::Done {
                    return Err(format!("{session} erased: {reply:?}"));
                }
            }
        }
        Ok(())
    }

    fn is_away(&self, node: &NodeName) -> bool {
        let back = self.away_until.get(node);
        back.is_some_and(|back| *back > self.now)
    }

    /// A copy rots, and its recorder finds it; never the last one.
    fn rot(&mut self) {
        if self.sealed == 0 || self.dice.below(30) > 0 {
            return;
        }
        let session = self.one();
        let whole: Vec<NodeName> = match self.state.recording(&session) {
            Some(it) if it.stage == Stage::Kept => {
                it.whole().map(|(node, _)| node.clone()).collect()
            }
            _ => return,
        };
        let Some(node) = whole
            .get(self.dice.below(3) as usize)
            .filter(|_| whole.len() > 1)
        else {
            return;
        };
        self.tally.rotted += 1;
        self.rotten.insert((session.clone(), node.clone()));
        let order = Box::new(KeepOrder::Read {
            session,
            node: node.clone(),
            damage: Some("segment 3 of track 1".to_owned()),
        });
        self.must(Command::Keep { order });
    }

    /// As the leader's driver: who has been away counts as gone.
    fn repair(&mut self) -> Result<(), String> {
        let recorders = RECORDERS.map(id::<NodeName>);
        let gone: Vec<NodeName> = recorders
            .into_iter()
            .filter(|node| self.is_away(node))
            .collect();
        for repair in self.state.repairs(&gone, 64) {
            let Repair {
                session,
                node,
                from,
            } = repair;
            if self.rotten.contains(&(session.clone(), from.clone())) || gone.contains(&from) {
                return Err(format!(
                    "{session}: a replica of {from}, which has none to give"
                ));
            }
            let order = Box::new(KeepOrder::Replicate {
                session,
                node,
                from,
            });
            self.must(Command::Keep { order });
        }
        Ok(())
    }

    /// As the recorder's driver: gets what it is to have from whoever is there.
    fn replicas(&mut self) -> Result<(), String> {
        for node in RECORDERS.map(id::<NodeName>) {
            if self.is_away(&node) {
                continue;
            }
            let orders: Vec<(SessionId, NodeName)> = self
                .state
                .replicas_of(&node)
                .map(|(session, from)| (session.clone(), from.clone()))
                .collect();
            for (session, from) in orders {
                // What rotted or was erased after the order gives nothing.
                if self.is_away(&from) || self.rotten.contains(&(session.clone(), from.clone())) {
                    continue;
                }
                self.tally.replicas += 1;
                self.rotten.remove(&(session.clone(), node.clone()));
                self.oracle.copied(&session, &node);
                let order = Box::new(KeepOrder::Replicated {
                    session,
                    node: node.clone(),
                    from,
                });
                self.must(Command::Keep { order });
            }
        }
        Ok(())
    }

    /// While every recorder is there, each recording that is kept can be read in two centres.
    fn placed(&self) -> Result<(), String> {
        if RECORDERS
            .map(id::<NodeName>)
            .iter()
            .any(|node| self.is_away(node))
        {
            return Ok(());
        }
        for recording in self.state.recordings().filter(|it| it.stage == Stage::Kept) {
            let session = &recording.session;
            let whole = recording.copies.iter().filter(|(node, copy)| {
                let is_rotten = self.rotten.contains(&(session.clone(), (*node).clone()));
                copy.is_whole() && !is_rotten
            });
            let whole: Vec<&NodeName> = whole.map(|(node, _)| node).collect();
            if whole.len() < 2 {
                return Err(format!("{session} can be read at {whole:?} only"));
            }
        }
        Ok(())
    }

    fn one(&mut self) -> SessionId {
        let number = self.dice.below(self.sealed as u64) as usize;
        self.sessions[number].id.clone()
    }
}

fn officer(number: u64) -> Staff {
    Staff {
        id: StaffRef {
            institution: id("bank0"),
            name: id(&format!("officer{number}")),
        },
        display: "授权人".to_owned(),
        number: format!("{number}"),
        branch: id("branch"),
        team: id("team"),
        skills: Vec::new(),
        duties: vec![Duty::Officer],
        password_phc: String::new(),
        approval_key: Some(bank::point(900 + number)),
    }
}

pub(crate) fn session(number: u64, started_at: u64) -> Session {
    let turn = |(number, node): (u32, &str)| Assignment {
        number,
        node: id(node),
        epoch: guitai_types::Epoch(0),
        since: UnixMillis(started_at),
        until: None,
        cause: None,
        recording: RecordingState::Starting,
    };
    Session {
        id: id(&format!("s{number}")),
        institution: id("bank0"),
        queue: id("retail"),
        ticket: id(&format!("t{number}")),
        customer: "客户".to_owned(),
        agent: bank::agent(0, 0),
        agent_display: "柜员".to_owned(),
        branch: None,
        business: Business::default(),
        edge: id("edge-a1"),
        recorders: NODES.map(id).into(),
        recorders_wanted: 2,
        assignments: (1..).zip(NODES).map(turn).collect(),
        epoch: guitai_types::Epoch(0),
        keys: Vec::new(),
        key_epoch: 1,
        key_since: UnixMillis(started_at),
        key_holders: Vec::new(),
        keys_past: Vec::new(),
        audio_suite: MediaSuite::default(),
        started_at: UnixMillis(started_at),
        ended_at: Some(UnixMillis(started_at + 300_000)),
        end_reason: Some(EndReason::AgentHungUp),
        recording: RecordingState::Starting,
        events: Vec::new(),
        stars: None,
    }
}

fn summary(node: &str, at: u64) -> RecordingSummary {
    RecordingSummary {
        node: id(node),
        root: Hex(vec![7; 32]),
        duration_ms: 300_000,
        bytes: 1,
        segments: 1,
        frames: 1,
        gaps: 0,
        at: UnixMillis(at),
    }
}
