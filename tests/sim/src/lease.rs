//! The sync lease in a crowd: the product's grantor and holder on five nodes of a small raft, with
//! clocks that drift as far as they may, messages that are late, lost or out of order, links cut one
//! way, nodes that stand still, die and come back, and leaders that do not know that they are none.
//!
//! What must hold, in true time, which no node knows: **a sync write acknowledged before the end of
//! any guard's promise is in the log of a guard.** `GUITAI_SEEDS=17..18` replays one seed.

mod node;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

use guitai_meta_core::lease::{DRIFT_PPM_MAX, Moment};
use guitai_types::{NodeId, UnixMillis, sync::SyncMode};

use self::node::{Entry, Message, Node};
use crate::{Dice, Violation};

/// Nodes, all of them voters.
const NODES: usize = 5;
/// A guard's promise, in milliseconds.
const LEASE_MS: u64 = 1_000;
/// How long things go wrong, then how long nothing does, in microseconds of true time.
const STORM_US: u64 = 15_000_000;
const CALM_US: u64 = 6_000_000;
/// Changes of the mode in one world: to and fro takes two leases, and there are some leaders.
const CHANGES_MAX: u64 = 40;
/// Between two looks of a node, in microseconds of true time.
const TICK_US: u64 = 10_000;

/// A mistake made on purpose, to show that the check sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// None.
    Sound,
    /// A new leader does not wait for what was promised to the one before.
    NoWaitAfterElection,
    /// The guard counts from when it answers, not from when it made the nonce.
    CountsFromTheAnswer,
    /// Nobody confirms that the asker leads.
    AsksUnconfirmed,
    /// A write is acknowledged when a quorum has it.
    AcksOnQuorum,
}

/// What happened in a world, so that a run which shows nothing is seen to show nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Promises made.
    pub grants: u64,
    /// Writes acknowledged that a guard had.
    pub guarded: u64,
    /// Writes acknowledged that no guard had.
    pub unguarded: u64,
    /// Changes to `Degraded` applied on some node for the first time.
    pub degraded: u64,
    /// Leaders.
    pub leaders: u64,
    /// Promises given back.
    pub released: u64,
}

/// One seed's world.
pub struct LeaseWorld {
    dice: Dice,
    fault: Fault,
    guards: Vec<usize>,
    now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, What>,
    events_so_far: u64,
    nodes: Vec<Node>,
    cut: [[bool; NODES]; NODES],
    calm: bool,
    acked: Vec<(usize, u64)>,
    /// Acknowledged when no guard had it: index, write, true time.
    alone: Vec<(usize, u64, u64)>,
    /// End of the greatest promise of each guard, in true time.
    promised: BTreeMap<usize, u64>,
    counter_seen: u64,
    writes: u64,
    tally: Tally,
}

enum What {
    Tick(usize),
    Arrives(usize, usize, Message),
    Trouble,
}

impl LeaseWorld {
    /// The world of that seed, with that mistake in it.
    pub fn new(seed: u64, fault: Fault) -> Self {
        let mut dice = Dice::new(seed);
        let guards = if dice.percent(25) {
            vec![3, 4]
        } else {
            vec![4]
        };
        let nodes = (0..NODES).map(|me| Node::new(me, rate(&mut dice), dice.below(50_000_000)));
        let nodes = nodes.collect();
        let mut world = Self {
            dice,
            fault,
            guards,
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            events_so_far: 0,
            nodes,
            cut: [[false; NODES]; NODES],
            calm: false,
            acked: Vec::new(),
            alone: Vec::new(),
            promised: BTreeMap::new(),
            counter_seen: 0,
            writes: 0,
            tally: Tally::default(),
        };
        for node in 0..NODES {
            let at = world.dice.below(TICK_US);
            world.at(at, What::Tick(node));
        }
        world.at(300_000, What::Trouble);
        world
    }

    /// Lives through the storm and the calm after it.
    pub fn run(&mut self) -> Result<Tally, Violation> {
        while let Some(Reverse((at, number))) = self.queue.pop() {
            if at > STORM_US + CALM_US {
                break;
            }
            self.now = at;
            if at > STORM_US && !self.calm {
                self.calm_down();
            }
            let Some(what) = self.events.remove(&number) else {
                continue;
            };
            match what {
                What::Tick(node) => self.tick(node)?,
                What::Arrives(from, to, message) => self.arrives(from, to, message)?,
                What::Trouble if !self.calm => self.trouble(),
                What::Trouble => {}
            }
        }
        self.finish()?;
        Ok(self.tally)
    }

    fn at(&mut self, at: u64, what: What) {
        self.events_so_far += 1;
        self.events.insert(self.events_so_far, what);
        self.queue.push(Reverse((at, self.events_so_far)));
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        if self.cut[from][to] || (!self.calm && self.dice.percent(2)) {
            return;
        }
        let slow = !self.calm && self.dice.percent(4);
        let delay = if slow {
            self.dice.below(1_200_000)
        } else {
            100 + self.dice.below(20_000)
        };
        self.at(self.now + delay, What::Arrives(from, to, message));
    }

    fn moment(&self, node: usize) -> Moment {
        let mono = self.nodes[node].clock(self.now);
        let ms = u64::try_from(mono.as_millis()).unwrap_or(u64::MAX);
        Moment {
            mono,
            wall: UnixMillis(1_000_000_000 + ms),
        }
    }

    fn tick(&mut self, me: usize) -> Result<(), Violation> {
        self.at(self.now + TICK_US, What::Tick(me));
        if self.nodes[me].is_away(self.now) {
            return Ok(());
        }
        if self.nodes[me].term_led().is_none() {
            self.stand(me);
            return Ok(());
        }
        if self.dice.percent(15) {
            self.writes += 1;
            let write = Entry::Write(self.writes);
            self.nodes[me].append(write);
        }
        if self.now >= self.nodes[me].beats_at {
            self.beat(me);
        }
        self.lease(me)?;
        self.acknowledge(me)
    }

    fn stand(&mut self, me: usize) {
        if self.now < self.nodes[me].stands_at {
            return;
        }
        // The guard city stands later, but it stands.
        let late = if self.guards.contains(&me) {
            300_000
        } else {
            0
        };
        let wait = 150_000 + late + self.dice.below(250_000);
        let now = self.now;
        let request = self.nodes[me].stand(now + wait);
        for to in (0..NODES).filter(|to| *to != me) {
            self.send(me, to, request.clone());
        }
    }

    fn beat(&mut self, me: usize) {
        let now = self.now;
        self.nodes[me].beats_at = now + 30_000;
        let round = self.nodes[me].next_round();
        for to in (0..NODES).filter(|to| *to != me) {
            let append = self.nodes[me].append_for(to, round);
            self.send(me, to, append);
        }
    }

    /// The leader's side of the lease, as the product drives it.
    fn lease(&mut self, me: usize) -> Result<(), Violation> {
        let guards: Vec<NodeId> = self.guards.iter().map(|guard| id(*guard)).collect();
        let now = self.nodes[me].clock(self.now);
        let since = if self.fault == Fault::NoWaitAfterElection {
            Duration::ZERO
        } else {
            now
        };
        let Some(look) = self.nodes[me].look(now, since, guards) else {
            return Ok(());
        };
        if let Some((counter, mode)) = look.propose {
            self.nodes[me].append(Entry::Mode(counter, mode));
        }
        if !look.ask.is_empty() {
            // A quorum must answer a beat that is sent after the nonces were taken.
            let round = self.nodes[me].round + 1;
            for guard in look.ask {
                self.nodes[me].wish(index(guard), round, self.now);
            }
            self.beat(me);
        }
        self.ask_confirmed(me)
    }

    fn ask_confirmed(&mut self, me: usize) -> Result<(), Violation> {
        let unconfirmed = self.fault == Fault::AsksUnconfirmed;
        let now = self.nodes[me].clock(self.now);
        for (guard, ask) in self.nodes[me].asks(self.now, now, unconfirmed) {
            if guard == me {
                self.arrives(me, me, Message::Ask(ask))?;
            } else {
                self.send(me, guard, Message::Ask(ask));
            }
        }
        Ok(())
    }

    fn arrives(&mut self, from: usize, to: usize, message: Message) -> Result<(), Violation> {
        if self.nodes[to].is_dead(self.now) {
            return Ok(());
        }
        if let Some(until) = self.nodes[to].stands_still_until(self.now) {
            self.at(until, What::Arrives(from, to, message));
            return Ok(());
        }
        match message {
            Message::Ask(ask) => self.grant(from, to, ask)?,
            Message::Answer(answer) => {
                let now = self.nodes[to].clock(self.now);
                self.nodes[to].answered(from, now, &answer);
            }
            Message::Release(life) => self.nodes[to].released(from, life),
            raft => {
                let wait = 150_000 + self.dice.below(250_000);
                let late = if self.guards.contains(&to) {
                    300_000
                } else {
                    0
                };
                let led = self.nodes[to].term_led();
                let reply = self.nodes[to].hear(from, raft, self.now + wait + late);
                if led.is_none() && self.nodes[to].term_led().is_some() {
                    self.tally.leaders += 1;
                }
                if let Some(reply) = reply {
                    self.send(to, from, reply);
                }
                self.note_modes(to);
            }
        }
        if self.nodes[to].term_led().is_some() {
            self.ask_confirmed(to)?;
            self.acknowledge(to)?;
        }
        Ok(())
    }

    fn grant(&mut self, from: usize, me: usize, ask: node::Ask) -> Result<(), Violation> {
        let moment = self.moment(me);
        let mut ask = ask;
        if self.fault == Fault::CountsFromTheAnswer && ask.nonce.is_some() {
            ask.nonce = Some(self.nodes[me].fresh_nonce(moment));
        }
        let answer = self.nodes[me].grant(moment, &ask);
        self.tally.grants += u64::from(answer.granted_ms > 0);
        self.see_promise(me)?;
        let message = Message::Answer(answer);
        if from == me {
            return self.arrives(me, me, message);
        }
        self.send(me, from, message);
        Ok(())
    }

    /// The oracle, first half: what was acknowledged before the end of a new promise is on a guard.
    fn see_promise(&mut self, me: usize) -> Result<(), Violation> {
        let Some(until) = self.nodes[me].promised_until() else {
            return Ok(());
        };
        let until = self.nodes[me].true_time(until);
        let known = self.promised.entry(me).or_default();
        *known = until.max(*known);
        let nodes = &self.nodes;
        let guards = &self.guards;
        let on_guard = |at: usize, write: u64| guards.iter().any(|it| nodes[*it].has(at, write));
        let lost = self
            .alone
            .iter()
            .find(|(at, write, acked)| *acked < until && !on_guard(*at, *write));
        match lost {
            Some((at, write, acked)) => Err(format!(
                "node {me} promises up to {until} us, but write {write} at index {at} was \
                 acknowledged at {acked} us without a guard"
            )),
            None => Ok(()),
        }
    }

    /// The oracle, second half: nothing is acknowledged without a guard while one promises so.
    fn acknowledge(&mut self, me: usize) -> Result<(), Violation> {
        let on_quorum = self.fault == Fault::AcksOnQuorum;
        for (at, write) in self.nodes[me].acknowledgeable(on_quorum) {
            self.acked.push((at, write));
            if self.guards.iter().any(|it| self.nodes[*it].has(at, write)) {
                self.tally.guarded += 1;
                continue;
            }
            self.tally.unguarded += 1;
            self.alone.push((at, write, self.now));
            let broken = self.promised.iter().find(|(_, until)| self.now < **until);
            if let Some((guard, until)) = broken {
                let (now, term) = (self.now, self.nodes[me].term);
                return Err(format!(
                    "node {me}, term {term}, acknowledged write {write} at index {at} at {now} us \
                     without a guard; guard {guard} promised up to {until} us"
                ));
            }
        }
        Ok(())
    }

    fn note_modes(&mut self, me: usize) {
        let sync = self.nodes[me].sync();
        if sync.counter > self.counter_seen {
            self.counter_seen = sync.counter;
            let degraded = matches!(sync.mode, SyncMode::Degraded { .. });
            self.tally.degraded += u64::from(degraded);
        }
    }

    fn trouble(&mut self) {
        let (now, one, other) = (self.now, self.any(), self.any());
        match self.dice.below(12) {
            0 | 1 => self.cut = [[false; NODES]; NODES],
            2..5 => self.cut[one][other] = true,
            5 => {
                self.cut[one][other] = true;
                self.cut[other][one] = true;
            }
            6 => (0..NODES).for_each(|it| {
                self.cut[one][it] = true;
                self.cut[it][one] = true;
            }),
            // A leader that the others lost, but not the guard.
            7 | 8 => {
                let leader = (0..NODES).find(|it| self.nodes[*it].term_led().is_some());
                let leader = leader.unwrap_or(one);
                for it in (0..NODES).filter(|it| !self.guards.contains(it)) {
                    self.cut[leader][it] = true;
                    self.cut[it][leader] = true;
                }
            }
            9 => {
                let until = now + self.dice.below(2_500_000);
                self.nodes[one].stand_still(until);
            }
            10 => {
                let until = now + self.dice.below(2_000_000);
                self.nodes[one].die(until);
            }
            _ => self.stop_guard(),
        }
        let next = now + 50_000 + self.dice.below(700_000);
        self.at(next, What::Trouble);
    }

    /// A guard stops in good order, and comes back.
    fn stop_guard(&mut self) {
        let guard = self.dice.pick(self.guards.clone()).unwrap_or(NODES - 1);
        if self.nodes[guard].is_away(self.now) {
            return;
        }
        let moment = self.moment(guard);
        let life = self.nodes[guard].release(moment);
        // The promise was cut short, and that is what it says from now on.
        let until = self.nodes[guard].promised_until();
        let until = until.map(|until| self.nodes[guard].true_time(until));
        if let Some(known) = self.promised.get_mut(&guard) {
            *known = until.unwrap_or(0).min(*known);
        }
        self.tally.released += 1;
        if let Some(leader) = self.nodes[guard].leader() {
            self.send(guard, leader, Message::Release(life));
        }
        let until = self.now + self.dice.below(1_500_000);
        self.nodes[guard].die(until);
    }

    fn any(&mut self) -> usize {
        self.dice.below(NODES as u64) as usize
    }

    fn calm_down(&mut self) {
        self.calm = true;
        self.cut = [[false; NODES]; NODES];
        let now = self.now;
        self.nodes.iter_mut().for_each(|node| node.wake(now));
    }

    /// After the calm one leader holds, a guard proves, and nothing acknowledged is lost.
    fn finish(&self) -> Result<(), Violation> {
        if self.counter_seen > CHANGES_MAX {
            return Err(format!("the mode flaps: {} changes", self.counter_seen));
        }
        let newest = self.nodes.iter().max_by_key(|node| node.commit());
        let newest = newest.ok_or("there is no node")?;
        if let Some((at, write)) = self
            .acked
            .iter()
            .find(|(at, write)| !newest.has(*at, *write))
        {
            return Err(format!(
                "write {write}, acknowledged at index {at}, is lost"
            ));
        }
        if newest.sync().guards().is_empty() {
            return Err(format!("sync did not come back: {:?}", newest.sync()));
        }
        let proves = self
            .guards
            .iter()
            .any(|guard| self.promised.get(guard).is_some_and(|it| *it > self.now));
        if proves {
            Ok(())
        } else {
            Err("no guard proves anything in the calm".to_owned())
        }
    }
}

/// A clock that runs as wrongly as it may, or a little less.
fn rate(dice: &mut Dice) -> i64 {
    let most = i64::from(DRIFT_PPM_MAX);
    match dice.below(3) {
        0 => most,
        1 => -most,
        _ => dice.below(2 * most as u64) as i64 - most,
    }
}

fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

fn index(id: NodeId) -> usize {
    id.0 as usize - 1
}
