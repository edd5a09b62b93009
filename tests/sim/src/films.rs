//! Two days of films: people order and cancel, nodes see the queue late, are killed in the middle, fail, come
//! back; recordings end meanwhile. Of two nodes that believe to make a film one is believed; what waits is made;
//! no film outlives its recording.

use std::collections::{BTreeMap, BTreeSet};

use guitai_meta_core::State;
use guitai_types::{
    Code, Hex, NodeName, RequestId, SessionId, UnixMillis,
    command::{Command, PROPOSAL_VERSION, Proposal, Reply},
    film::{Claim, Film, FilmLayout, FilmMade, FilmMaker, FilmOrder, FilmStage},
    limits::{FILM_KEPT_MS, FILM_SILENT_MS, FILM_TURNS_MAX},
    place::Text,
    record::{RecordingState, RecordingSummary, Session},
    retention::{Classing, KeepOrder, Matrix, Period, Rule, StartsAt},
};

use crate::{
    bank::{self, id},
    dice::Dice,
    keeping,
    world::SMALL,
};

const RECORDINGS: u64 = 12;
const STEPS: u64 = 2_500;
const STEP_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * STEP_MS;
/// Who records every call.
const NODES: [&str; 2] = ["a1-2", "a2-2"];
/// Pieces of every film.
const PIECES: u32 = 6;

/// What a world saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilmTally {
    /// Films that were ordered.
    pub ordered: u64,
    /// Films that were made.
    pub made: u64,
    /// Films that could not be made.
    pub failed: u64,
    /// Nodes that were killed while they made one.
    pub killed: u64,
    /// Films that another node took up.
    pub taken_over: u64,
    /// Words of nodes whose turn was over.
    pub late: u64,
    /// Recordings that ended.
    pub erased: u64,
    /// Films that ended with them.
    pub ended: u64,
}

/// A node that makes films.
struct Maker {
    name: NodeName,
    /// What it knows of the cluster: not always the newest.
    view: State,
    /// What it works on, and how many pieces it has.
    job: Option<(Claim, SessionId, u32)>,
    /// Films that lie sealed on its disk.
    disk: BTreeMap<u32, SessionId>,
    away_until: u64,
}

/// One world.
pub struct FilmWorld {
    dice: Dice,
    state: State,
    now: u64,
    requests: u64,
    makers: Vec<Maker>,
    /// Who made a film, once.
    made_by: BTreeMap<u32, NodeName>,
    first_taken_by: BTreeMap<u32, NodeName>,
    /// Calls whose key a node has destroyed.
    destroyed: BTreeSet<(NodeName, SessionId)>,
    calm: bool,
    tally: FilmTally,
}

impl FilmWorld {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            dice: Dice::new(seed),
            state: State::default(),
            now: "2026-06-30"
                .parse::<guitai_types::Date>()
                .expect("a date")
                .begins()
                .0,
            requests: 0,
            makers: Vec::new(),
            made_by: BTreeMap::new(),
            first_taken_by: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            calm: false,
            tally: FilmTally::default(),
        };
        world.found();
        world
    }

    /// Lives through it.
    ///
    /// # Errors
    /// The first thing that must not be.
    pub fn run(mut self) -> Result<FilmTally, String> {
        for step in 0..STEPS {
            self.calm = step + 200 > STEPS;
            self.now += STEP_MS;
            self.propose(Command::Tick);
            if !self.calm {
                self.people();
            }
            for number in 0..self.makers.len() {
                self.lives(number)?;
            }
            self.leader();
            self.holds()?;
            if step % 250 == 0 {
                let again = State::from_snapshot(&self.state.to_snapshot());
                if again.ok().as_ref() != Some(&self.state) {
                    return Err("the index is not what the records say".to_owned());
                }
            }
        }
        if let Some(film) = self.state.films().find(|film| film.is_open()) {
            return Err(format!("still open after three quiet hours: {film:?}"));
        }
        let failed = |film: &&Film| matches!(film.stage, FilmStage::Failed { .. });
        self.tally.failed = self.state.films().filter(failed).count() as u64;
        self.now += FILM_KEPT_MS + DAY_MS;
        self.propose(Command::Tick);
        match self.state.films().next() {
            Some(film) => Err(format!("kept for longer than a week: {film:?}")),
            None => Ok(self.tally),
        }
    }

    fn found(&mut self) {
        self.must(bank::found(SMALL));
        let mut records: Vec<(String, Vec<u8>)> = self
            .state
            .record_keys()
            .filter_map(|key| Some((key.to_string(), self.state.record(&key)?)))
            .collect();
        let sessions: Vec<Session> = (0..RECORDINGS).map(|it| self.call(it)).collect();
        for session in &sessions {
            let json = serde_json::to_vec(session).expect("a session has a form");
            records.push((format!("session/{}", session.id), json));
        }
        self.state = State::load(records).expect("a state");
        let text = || Text {
            zh: "短".to_owned(),
            en: "short".to_owned(),
        };
        let matrix = Matrix {
            version: 1,
            classes: vec![Rule {
                id: id("short"),
                name: text(),
                starts: StartsAt::Recorded,
                minimum: Period::Months(6),
                dispute: Period::Months(0),
                clause: "1".to_owned(),
                locked: false,
            }],
        };
        self.keep(KeepOrder::Matrix { matrix, by: None });
        for session in sessions.iter().filter(|it| it.stars.is_none()) {
            let classes = vec![Classing {
                class: id("short"),
                ends: None,
                dispute_ended: None,
            }];
            self.keep(KeepOrder::Class {
                session: session.id.clone(),
                by: bank::agent(0, 0),
                classes,
            });
        }
        self.refuses("no node has said that it can", "0", Code::NoFilmMaker);
        for node in NODES {
            let maker = FilmMaker {
                node: id(node),
                ffmpeg: Some("ffmpeg version 5.1".to_owned()),
                lacks: None,
            };
            self.must(Command::Film {
                order: Box::new(FilmOrder::Maker { maker }),
            });
        }
        self.refuses("too long", &"x".repeat(61), Code::TooLarge);
        self.refuses("nothing to be seen", " ", Code::BadRequest);
        self.refuses("not one line", "a\nb", Code::BadRequest);
        self.makers = NODES
            .map(|node| Maker {
                name: id(node),
                view: self.state.clone(),
                job: None,
                disk: BTreeMap::new(),
                away_until: 0,
            })
            .into();
    }

    /// What is refused before anything lives.
    fn refuses(&mut self, why: &str, watermark: &str, code: Code) {
        let order = FilmOrder::Make {
            session: id("s0"),
            layout: FilmLayout::SideBySide,
            watermark: Some(watermark.to_owned()),
            by: bank::agent(0, 0),
            reason: String::new(),
        };
        let Reply::Refused { problem } = self.order(order) else {
            panic!("{why}: not refused");
        };
        assert_eq!(problem.code, code, "{why}: {problem}");
    }

    /// A sealed call of half a year ago, give or take a day; one in three is never erased and has stars.
    fn call(&mut self, number: u64) -> Session {
        let day = "2025-12-30".parse::<guitai_types::Date>().expect("a date");
        let mut session = keeping::session(number, day.begins().0 + self.dice.below(2 * DAY_MS));
        let best = id::<NodeName>(NODES[(number % 2) as usize]);
        let summary = |node: &NodeName| RecordingSummary {
            node: node.clone(),
            root: Hex(vec![7; 32]),
            duration_ms: 300_000,
            bytes: 1,
            segments: 1,
            frames: 1,
            gaps: 0,
            at: UnixMillis(0),
        };
        for turn in &mut session.assignments {
            let summary = summary(&turn.node);
            turn.recording = RecordingState::Sealed { summary };
        }
        session.recording = RecordingState::Sealed {
            summary: summary(&best),
        };
        session.stars = number.is_multiple_of(3).then_some(5);
        session
    }

    fn propose(&mut self, command: Command) -> Reply {
        self.requests += 1;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&self.requests.to_be_bytes());
        let proposal = Proposal {
            v: PROPOSAL_VERSION,
            request: RequestId::from_random(random),
            at: UnixMillis(self.now),
            command,
            salt: Some(Hex(vec![1; 32])),
        };
        self.state.apply(&proposal).reply
    }

    fn must(&mut self, command: Command) {
        assert_eq!(self.propose(command), Reply::Done);
    }

    fn keep(&mut self, order: KeepOrder) {
        let order = Box::new(order);
        self.must(Command::Keep { order });
    }

    fn order(&mut self, order: FilmOrder) -> Reply {
        let order = Box::new(order);
        self.propose(Command::Film { order })
    }

    fn people(&mut self) {
        if self.dice.below(20) == 0 {
            let number = self.dice.below(RECORDINGS);
            let before = self.state.films().next().map_or(0, |it| it.number);
            let watermark = format!("{}", self.dice.below(3));
            let order = FilmOrder::Make {
                session: id(&format!("s{number}")),
                layout: FilmLayout::SideBySide,
                watermark: Some(watermark),
                by: bank::agent(0, 0),
                reason: String::new(),
            };
            if let Reply::Film { film, .. } = self.order(order) {
                self.tally.ordered += u64::from(film > before);
            }
        }
        if self.dice.below(150) == 0 {
            let numbers: Vec<u32> = self.state.films().map(|it| it.number).collect();
            if let Some(film) = self.dice.pick(numbers) {
                let by = bank::agent(0, 0);
                self.order(FilmOrder::Cancel { film, by });
            }
        }
    }

    /// A step of one node's life.
    fn lives(&mut self, number: usize) -> Result<(), String> {
        if !self.calm && self.dice.below(120) == 0 {
            let maker = &mut self.makers[number];
            self.tally.killed += u64::from(maker.job.take().is_some());
            maker.away_until = self.now + self.dice.below(12) * STEP_MS;
        }
        // It runs, and says nothing: nobody hears of it and it sees nothing new.
        let is_deaf = !self.calm && self.dice.below(2) > 0;
        if self.makers[number].away_until > self.now {
            return Ok(());
        }
        if !is_deaf {
            self.makers[number].view = self.state.clone();
        }
        self.erases(number);
        self.sweeps(number);
        match self.makers[number].job.take() {
            None => self.takes_up(number),
            Some(job) => self.goes_on(number, job, is_deaf)?,
        }
        Ok(())
    }

    fn takes_up(&mut self, number: usize) {
        let maker = &self.makers[number];
        let node = maker.name.clone();
        let now = UnixMillis(self.now);
        let Some(film) = maker.view.film_for(&node, now).map(|film| film.number) else {
            return;
        };
        let order = FilmOrder::Claim {
            film,
            node: node.clone(),
        };
        let Reply::Film { turn, .. } = self.order(order) else {
            return;
        };
        let session = self
            .state
            .film(film)
            .expect("it was taken up")
            .session
            .clone();
        let first = self
            .first_taken_by
            .entry(film)
            .or_insert_with(|| node.clone());
        self.tally.taken_over += u64::from(*first != node);
        let claim = Claim { film, node, turn };
        self.makers[number].job = Some((claim, session, 0));
    }

    fn goes_on(
        &mut self,
        number: usize,
        (claim, session, mut pieces): (Claim, SessionId, u32),
        is_deaf: bool,
    ) -> Result<(), String> {
        // What it sees may be old; a later turn, or none at all, is not.
        let known = self.makers[number].view.film(claim.film);
        if known.is_none_or(|film| film.turns > claim.turn || !film.is_open()) {
            return Ok(());
        }
        if !self.calm && self.dice.below(60) == 0 {
            let order = FilmOrder::Failed {
                claim,
                why: "the disk is full".to_owned(),
                for_all: false,
            };
            self.tally.late += u64::from(self.order(order) != Reply::Done);
            return Ok(());
        }
        pieces += self.dice.below(2) as u32;
        if pieces < PIECES {
            let order = FilmOrder::Progress {
                claim: claim.clone(),
                done: pieces,
                of: PIECES,
            };
            let has_turn = is_deaf || self.order(order) == Reply::Done;
            self.tally.late += u64::from(!has_turn);
            if has_turn {
                self.makers[number].job = Some((claim, session, pieces));
            }
            return Ok(());
        }
        let (node, film) = (claim.node.clone(), claim.film);
        self.makers[number].disk.insert(film, session);
        let made = FilmMade {
            recorder: node.clone(),
            root: Hex(vec![7; 32]),
            bytes: 1,
            sm3: Hex(vec![8; 32]),
            length_ms: 300_000,
            compositor: "test".to_owned(),
            cpu_ms: 1,
            kept: 0,
        };
        if self.order(FilmOrder::Done { claim, made }) != Reply::Done {
            self.tally.late += 1;
            return Ok(());
        }
        self.tally.made += 1;
        match self.made_by.insert(film, node) {
            None => Ok(()),
            Some(other) => Err(format!("film {film} was made by {other} already")),
        }
    }

    /// What the cluster, asked anew, does not know this node to have goes.
    fn sweeps(&mut self, number: usize) {
        let maker = &mut self.makers[number];
        let has: BTreeSet<u32> = self
            .state
            .films_on(&maker.name)
            .map(|it| it.number)
            .collect();
        maker.disk.retain(|film, _| has.contains(film));
    }

    fn erases(&mut self, number: usize) {
        let node = self.makers[number].name.clone();
        let seen = self.makers[number].view.erasures_of(&node);
        let seen: Vec<_> = seen.map(|(of, why)| (of.clone(), why.clone())).collect();
        for (session, erasure) in &seen {
            let is_said = self
                .state
                .erasures_of(&node)
                .any(|order| order == (session, erasure));
            if !is_said {
                continue;
            }
            let maker = &mut self.makers[number];
            maker.job = maker.job.take().filter(|(_, of, _)| of != session);
            let before = maker.disk.len();
            maker.disk.retain(|_, of| of != session);
            self.tally.ended += (before - maker.disk.len()) as u64;
            self.destroyed.insert((node.clone(), session.clone()));
            self.tally.erased += 1;
            self.keep(KeepOrder::Erased {
                session: session.clone(),
                node: node.clone(),
            });
        }
    }

    /// Gives to others what a node that is away holds; not at once, and now and then of one that is only not heard.
    fn leader(&mut self) {
        if self.dice.below(3) > 0 {
            return;
        }
        let now = self.now;
        let is_cut_off = !self.calm && self.dice.below(100) == 0;
        let away = self.makers.iter();
        let away = away.filter(|it| is_cut_off || it.away_until > now);
        let gone: Vec<NodeName> = away.map(|it| it.name.clone()).collect();
        for claim in self.state.films_left(&gone, 4) {
            self.order(FilmOrder::Release { claim });
        }
    }

    /// What must hold after every step.
    fn holds(&self) -> Result<(), String> {
        let mut makes: BTreeSet<&NodeName> = BTreeSet::new();
        for film in self.state.films() {
            if self.destroyed.iter().any(|(_, of)| *of == film.session) {
                return Err(format!("a film of an erased recording: {film:?}"));
            }
            if film.turns > FILM_TURNS_MAX {
                return Err(format!("begun too often: {film:?}"));
            }
            match &film.stage {
                FilmStage::Making { node, heard_at, .. } => {
                    if !makes.insert(node) {
                        return Err(format!("{node} makes two films"));
                    }
                    if UnixMillis(self.now).since(*heard_at) > FILM_SILENT_MS + STEP_MS {
                        return Err(format!("nobody has been heard of: {film:?}"));
                    }
                }
                FilmStage::Done { node, .. } => {
                    let mut makers = self.makers.iter();
                    let maker = makers.find(|it| it.name == *node);
                    if !maker.is_some_and(|it| it.disk.contains_key(&film.number)) {
                        return Err(format!("{node} does not have {film:?}"));
                    }
                }
                _ => {}
            }
        }
        for maker in &self.makers {
            let of_erased = |of: &&SessionId| {
                self.destroyed
                    .contains(&(maker.name.clone(), (*of).clone()))
            };
            if let Some(session) = maker.disk.values().find(of_erased) {
                return Err(format!("{} still has a film of {session}", maker.name));
            }
        }
        Ok(())
    }
}
