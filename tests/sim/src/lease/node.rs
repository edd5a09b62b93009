//! One node: as much of raft as the lease leans on, and the product's two sides of the lease.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use guitai_meta_core::lease::Ask;
use guitai_meta_core::lease::{Answer, Grantor, Holder, Look, Moment, Nonce, Standing, Wish};
use guitai_types::{
    NodeId,
    sync::{SyncMode, SyncState},
};

use super::{LEASE_MS, NODES, id, index};

const LEASE: Duration = Duration::from_millis(LEASE_MS);
/// An unanswered ask is given up after this, in microseconds.
const ASK_US: u64 = 500_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A leader's first entry.
    First,
    Write(u64),
    Mode(u64, SyncMode),
}

#[derive(Debug, Clone)]
pub(super) enum Message {
    Vote {
        term: u64,
        last: (u64, usize),
    },
    Voted {
        term: u64,
        yes: bool,
    },
    Append(Box<Append>),
    /// `matched` is how long the log is known to be equal; `None` asks for more of the past.
    Appended {
        term: u64,
        matched: Option<usize>,
        round: u64,
    },
    Ask(Ask),
    Answer(Answer),
    Release(u64),
}

#[derive(Debug, Clone)]
pub(super) struct Append {
    term: u64,
    from: usize,
    before: u64,
    entries: Vec<(u64, Entry)>,
    commit: usize,
    round: u64,
}

/// What a node has only while it leads.
struct Lead {
    holder: Option<Holder>,
    first: usize,
    next: [usize; NODES],
    matched: [usize; NODES],
    rounds: [u64; NODES],
    pending: BTreeSet<usize>,
    wishes: Vec<Wanted>,
    asking: BTreeMap<usize, u64>,
}

struct Wanted {
    guard: usize,
    wish: Wish,
    round: u64,
}

pub(super) struct Node {
    me: usize,
    rate_ppm: i64,
    offset_us: u64,
    pub(super) term: u64,
    pub(super) round: u64,
    pub(super) stands_at: u64,
    pub(super) beats_at: u64,
    voted_for: Option<usize>,
    log: Vec<(u64, Entry)>,
    commit: usize,
    sync: SyncState,
    votes: BTreeSet<usize>,
    lead: Option<Lead>,
    follows: Option<usize>,
    grantor: Grantor,
    lives: u64,
    dead_until: u64,
    still_until: u64,
}

impl Node {
    pub(super) fn new(me: usize, rate_ppm: i64, offset_us: u64) -> Self {
        Self {
            me,
            rate_ppm,
            offset_us,
            term: 0,
            round: 0,
            stands_at: 100_000 + me as u64 * 40_000,
            beats_at: 0,
            voted_for: None,
            log: Vec::new(),
            commit: 0,
            sync: SyncState::default(),
            votes: BTreeSet::new(),
            lead: None,
            follows: None,
            grantor: Grantor::new(id(me), 0),
            lives: 0,
            dead_until: 0,
            still_until: 0,
        }
    }

    /// This node's process time at a moment of true time.
    pub(super) fn clock(&self, true_us: u64) -> Duration {
        let rate = (1_000_000 + self.rate_ppm) as u128;
        let run = u128::from(true_us) * 1_000 * rate / 1_000_000;
        Duration::from_micros(self.offset_us) + Duration::from_nanos(run as u64)
    }

    /// True time of a moment of this node's clock, rounded down.
    pub(super) fn true_time(&self, clock: Duration) -> u64 {
        let run = clock.saturating_sub(Duration::from_micros(self.offset_us));
        let rate = (1_000_000 + self.rate_ppm) as u128;
        (run.as_nanos() * 1_000_000 / rate / 1_000) as u64
    }

    pub(super) fn is_dead(&self, now: u64) -> bool {
        now < self.dead_until
    }

    pub(super) fn stands_still_until(&self, now: u64) -> Option<u64> {
        (now < self.still_until).then_some(self.still_until)
    }

    pub(super) fn is_away(&self, now: u64) -> bool {
        self.is_dead(now) || now < self.still_until
    }

    pub(super) fn stand_still(&mut self, until: u64) {
        self.still_until = until;
    }

    /// Loses what a process holds; log, term and vote are on the disk.
    pub(super) fn die(&mut self, until: u64) {
        self.dead_until = until;
        self.lead = None;
        self.follows = None;
        self.votes.clear();
        self.lives += 1;
        self.grantor = Grantor::new(id(self.me), self.lives);
        self.stands_at = until + 400_000;
        // A restarted node learns anew what is committed.
        self.commit = 0;
        self.sync = SyncState::default();
    }

    pub(super) fn wake(&mut self, now: u64) {
        self.dead_until = self.dead_until.min(now);
        self.still_until = self.still_until.min(now);
    }

    pub(super) fn term_led(&self) -> Option<u64> {
        self.lead.as_ref().map(|_| self.term)
    }

    pub(super) fn leader(&self) -> Option<usize> {
        self.follows
    }

    pub(super) fn sync(&self) -> &SyncState {
        &self.sync
    }

    pub(super) fn commit(&self) -> usize {
        self.commit
    }

    /// The write stands at that index (from 1) of the log.
    pub(super) fn has(&self, at: usize, write: u64) -> bool {
        let entry = at.checked_sub(1).and_then(|at| self.log.get(at));
        entry.is_some_and(|(_, entry)| *entry == Entry::Write(write))
    }

    pub(super) fn append(&mut self, entry: Entry) {
        self.log.push((self.term, entry));
        let end = self.log.len();
        if let Some(lead) = &mut self.lead {
            lead.matched[self.me] = end;
            lead.pending.insert(end);
        }
    }

    pub(super) fn next_round(&mut self) -> u64 {
        self.round += 1;
        let round = self.round;
        if let Some(lead) = &mut self.lead {
            lead.rounds[self.me] = round;
        }
        round
    }

    pub(super) fn append_for(&self, to: usize, round: u64) -> Message {
        let from = self.lead.as_ref().map_or(0, |lead| lead.next[to]);
        Message::Append(Box::new(Append {
            term: self.term,
            from,
            before: self.term_at(from),
            entries: self.log.get(from..).unwrap_or_default().to_vec(),
            commit: self.commit,
            round,
        }))
    }

    pub(super) fn stand(&mut self, again_at: u64) -> Message {
        self.follow(self.term + 1);
        self.voted_for = Some(self.me);
        self.votes = BTreeSet::from([self.me]);
        self.stands_at = again_at;
        Message::Vote {
            term: self.term,
            last: self.last(),
        }
    }

    /// Raft's messages; `stands_at` is the next election time-out if this one proves a leader alive.
    pub(super) fn hear(
        &mut self,
        from: usize,
        message: Message,
        stands_at: u64,
    ) -> Option<Message> {
        match message {
            Message::Vote { term, last } => {
                if term > self.term {
                    self.follow(term);
                }
                let free = self.voted_for.is_none_or(|it| it == from);
                let yes = term == self.term && free && self.lead.is_none() && last >= self.last();
                if yes {
                    self.voted_for = Some(from);
                    self.stands_at = stands_at;
                }
                let term = self.term;
                Some(Message::Voted { term, yes })
            }
            Message::Voted { term, yes } => {
                if term > self.term {
                    self.follow(term);
                } else if term == self.term && yes && self.lead.is_none() {
                    self.votes.insert(from);
                    if self.votes.len() > NODES / 2 && self.voted_for == Some(self.me) {
                        self.begin();
                    }
                }
                None
            }
            Message::Append(append) => Some(self.take(from, *append, stands_at)),
            Message::Appended {
                term,
                matched,
                round,
            } => {
                self.appended(from, term, matched, round);
                None
            }
            Message::Ask(_) | Message::Answer(_) | Message::Release(_) => None,
        }
    }

    fn take(&mut self, from: usize, append: Append, stands_at: u64) -> Message {
        if append.term < self.term {
            let term = self.term;
            return Message::Appended {
                term,
                matched: None,
                round: 0,
            };
        }
        if append.term > self.term {
            self.follow(append.term);
        }
        self.votes.clear();
        self.follows = Some(from);
        self.stands_at = stands_at;
        let fits = append.from <= self.log.len() && self.term_at(append.from) == append.before;
        let matched = fits.then(|| {
            let end = append.from + append.entries.len();
            for (at, entry) in (append.from..).zip(append.entries) {
                if self.log.get(at).is_some_and(|it| it.0 != entry.0) {
                    self.log.truncate(at);
                }
                if self.log.len() == at {
                    self.log.push(entry);
                }
            }
            self.apply(append.commit.min(end));
            end
        });
        Message::Appended {
            term: self.term,
            matched,
            round: append.round,
        }
    }

    fn appended(&mut self, from: usize, term: u64, matched: Option<usize>, round: u64) {
        if term > self.term {
            self.follow(term);
        }
        let terms: Vec<u64> = self.log.iter().map(|(term, _)| *term).collect();
        let Some(lead) = self.lead.as_mut().filter(|_| term == self.term) else {
            return;
        };
        lead.rounds[from] = round.max(lead.rounds[from]);
        match matched {
            Some(end) => {
                lead.matched[from] = end.max(lead.matched[from]);
                lead.next[from] = lead.matched[from];
            }
            None => lead.next[from] = lead.matched[from].max(lead.next[from] / 2),
        }
        let mut ends = lead.matched;
        ends.sort_unstable();
        let quorum = ends[NODES / 2];
        let own = quorum.checked_sub(1).and_then(|at| terms.get(at));
        if own == Some(&self.term) {
            self.apply(quorum);
        }
    }

    fn apply(&mut self, upto: usize) {
        while self.commit < upto {
            let entry = self.log.get(self.commit).map(|(_, entry)| entry.clone());
            self.commit += 1;
            // As `meta/core`'s rule: a change that comes late changes nothing.
            if let Some(Entry::Mode(counter, mode)) = entry
                && counter == self.sync.counter + 1
            {
                self.sync.counter = counter;
                self.sync.mode = mode;
            }
        }
    }

    fn begin(&mut self) {
        let end = self.log.len();
        self.lead = Some(Lead {
            holder: None,
            first: end + 1,
            next: [end; NODES],
            matched: [0; NODES],
            rounds: [0; NODES],
            pending: BTreeSet::new(),
            wishes: Vec::new(),
            asking: BTreeMap::new(),
        });
        self.follows = Some(self.me);
        self.beats_at = 0;
        self.append(Entry::First);
    }

    fn follow(&mut self, term: u64) {
        self.term = term;
        self.voted_for = None;
        self.votes.clear();
        self.lead = None;
        self.follows = None;
    }

    fn last(&self) -> (u64, usize) {
        (self.term_at(self.log.len()), self.log.len())
    }

    fn term_at(&self, end: usize) -> u64 {
        let entry = end.checked_sub(1).and_then(|at| self.log.get(at));
        entry.map_or(0, |(term, _)| *term)
    }
}

/// The lease.
impl Node {
    pub(super) fn look(
        &mut self,
        now: Duration,
        elected_at: Duration,
        candidates: Vec<NodeId>,
    ) -> Option<Look> {
        let (term, commit) = (self.term, self.commit);
        let lead = self.lead.as_mut()?;
        let holder = lead
            .holder
            .get_or_insert_with(|| Holder::new(term, elected_at));
        if commit < lead.first {
            return None;
        }
        let standing = Standing {
            applied: commit as u64,
            matched: (0..NODES)
                .map(|it| (id(it), lead.matched[it] as u64))
                .collect(),
            candidates,
            lease: LEASE,
        };
        Some(holder.look(now, &self.sync, &standing))
    }

    pub(super) fn wish(&mut self, guard: usize, round: u64, now: u64) {
        let Some(lead) = &mut self.lead else { return };
        let Some(holder) = &mut lead.holder else {
            return;
        };
        let wish = holder.wish(id(guard));
        lead.asking.insert(guard, now);
        lead.wishes.push(Wanted { guard, wish, round });
    }

    /// The asks whose wishes are confirmed by now.
    pub(super) fn asks(
        &mut self,
        now: u64,
        clock: Duration,
        unconfirmed: bool,
    ) -> Vec<(usize, Ask)> {
        let Some(lead) = &mut self.lead else {
            return Vec::new();
        };
        let Some(holder) = &mut lead.holder else {
            return Vec::new();
        };
        let overdue: Vec<usize> = lead
            .asking
            .iter()
            .filter(|(_, since)| now > **since + ASK_US)
            .map(|(guard, _)| *guard)
            .collect();
        for guard in overdue {
            lead.asking.remove(&guard);
            lead.wishes.retain(|wanted| wanted.guard != guard);
            holder.silent(id(guard));
        }
        let mut rounds = lead.rounds;
        rounds.sort_unstable();
        let confirmed = rounds[NODES / 2];
        let (ready, rest) = std::mem::take(&mut lead.wishes)
            .into_iter()
            .partition(|it| it.round <= confirmed || unconfirmed || !it.wish.needs_confirmation());
        lead.wishes = rest;
        let ready: Vec<Wanted> = ready;
        let sync = &self.sync;
        ready
            .into_iter()
            .map(|it| {
                (
                    it.guard,
                    holder.ask(id(it.guard), it.wish, true, clock, sync),
                )
            })
            .collect()
    }

    pub(super) fn answered(&mut self, guard: usize, now: Duration, answer: &Answer) {
        let Some(lead) = &mut self.lead else { return };
        let Some(holder) = &mut lead.holder else {
            return;
        };
        lead.asking.remove(&guard);
        holder.answered(id(guard), now, answer, LEASE);
    }

    pub(super) fn released(&mut self, guard: usize, life: u64) {
        let holder = self.lead.as_mut().and_then(|lead| lead.holder.as_mut());
        if let Some(holder) = holder {
            holder.released(id(guard), life);
        }
    }

    pub(super) fn grant(&mut self, now: Moment, ask: &Ask) -> Answer {
        self.grantor.answer(now, ask, self.term, &self.sync)
    }

    pub(super) fn fresh_nonce(&mut self, now: Moment) -> Nonce {
        let nothing = Ask {
            term: 0,
            counter: 0,
            nonce: None,
        };
        self.grantor
            .answer(now, &nothing, 0, &SyncState::default())
            .next
    }

    pub(super) fn promised_until(&self) -> Option<Duration> {
        self.grantor.proven_until().map(|until| until.mono)
    }

    pub(super) fn release(&mut self, now: Moment) -> u64 {
        self.grantor.release(now);
        self.grantor.life()
    }

    /// Writes that this leader may acknowledge now, as index and write.
    pub(super) fn acknowledgeable(&mut self, on_quorum: bool) -> Vec<(usize, u64)> {
        let Some(lead) = &mut self.lead else {
            return Vec::new();
        };
        let guards = self.sync.guards();
        let guarded = guards.iter().map(|guard| lead.matched[index(*guard)]);
        let guarded = guarded.max().unwrap_or(0);
        let waits = !guards.is_empty() && !on_quorum;
        let upto = if waits {
            self.commit.min(guarded)
        } else {
            self.commit
        };
        let later = lead.pending.split_off(&(upto + 1));
        let ready = std::mem::replace(&mut lead.pending, later);
        let write = |at: usize| match self.log.get(at.checked_sub(1)?) {
            Some((_, Entry::Write(write))) => Some((at, *write)),
            _ => None,
        };
        ready.into_iter().filter_map(write).collect()
    }
}
