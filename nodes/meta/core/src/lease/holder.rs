//! The leader's side of the sync lease: whom to ask when, and when the mode may change.

use std::{collections::BTreeMap, time::Duration};

use guitai_types::{
    NodeId,
    sync::{DegradeCause, SyncMode, SyncState},
};

use super::{Answer, Ask, Nonce, waited};

/// A guard may be waited for again when at most this many entries are missing there.
pub const SYNC_BEHIND_MAX: u64 = 64;
/// A promise is renewed this many times while it lasts.
const RENEWALS: u32 = 4;

/// One leader's term, from its election to its end. Kept while this node leads that term, thrown away
/// and begun anew with the next.
#[derive(Debug, Clone)]
pub struct Holder {
    term: u64,
    elected_at: Duration,
    looked_at: Duration,
    /// Since when the guards are asked without a break.
    tried_since: Duration,
    /// A log index, and since when the guards have been asked to reach it.
    mark: Option<(u64, Duration)>,
    proposed: Option<Proposed>,
    /// The change by which the guards are waited for.
    entered: Option<u64>,
    guards: BTreeMap<NodeId, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Proposed {
    counter: u64,
    at: Duration,
}

/// What the leader knows of one guard.
#[derive(Debug, Clone, Default)]
struct Held {
    is_asking: bool,
    asked_at: Option<Duration>,
    asked_without_nonce: bool,
    /// The nonce for the next ask, and when it came.
    nonce: Option<(Nonce, Duration)>,
    life: Option<u64>,
    /// By life of the guard: when the newest nonce came that was ever used. It may have promised from
    /// then on.
    bound_from: BTreeMap<u64, Duration>,
    answered_since: Option<Duration>,
    answered_at: Option<Duration>,
    proves_until: Option<Duration>,
    /// The life that was given back.
    released: Option<u64>,
}

impl Held {
    fn is_released(&self) -> bool {
        self.released.is_some() && self.released == self.life
    }
}

/// How the log stands on the leader.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Last index applied on the leader.
    pub applied: u64,
    /// Last index known to be durable on each node.
    pub matched: BTreeMap<NodeId, u64>,
    /// Voters of the guard city, by this node's profile.
    pub candidates: Vec<NodeId>,
    /// The lease that a return to sync begins with, by this node's profile.
    pub lease: Duration,
}

/// What the leader should do now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Take these guards' nonces, have a quorum confirm the lead, and ask them.
    pub ask: Vec<NodeId>,
    /// Propose this change of the mode, under its number, in this very term.
    pub propose: Option<(u64, SyncMode)>,
}

/// A nonce taken out of the holder: what is confirmed after this is confirmed after the nonce was made.
#[derive(Debug)]
pub struct Wish(Option<(Nonce, Duration)>);

impl Wish {
    /// There is a nonce to be used, so a quorum must confirm the lead first.
    pub fn needs_confirmation(&self) -> bool {
        self.0.is_some()
    }
}

impl Holder {
    /// A term that this node leads since `now` or earlier.
    pub fn new(term: u64, now: Duration) -> Self {
        Self {
            term,
            elected_at: now,
            looked_at: now,
            tried_since: now,
            mark: None,
            proposed: None,
            entered: None,
            guards: BTreeMap::new(),
        }
    }

    /// The term it was made for.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Decides what is to be done. `sync` is the mode this leader has applied, at or after its first
    /// entry.
    pub fn look(&mut self, now: Duration, sync: &SyncState, standing: &Standing) -> Look {
        let lease = match sync.mode {
            SyncMode::Sync { lease_ms, .. } => Duration::from_millis(lease_ms),
            SyncMode::Unguarded | SyncMode::Degraded { .. } => standing.lease,
        };
        // A leader that stood still could not have renewed anything: it tries again before it gives up.
        if now.saturating_sub(self.looked_at) > lease / RENEWALS {
            self.tried_since = now;
        }
        self.looked_at = now;
        match &sync.mode {
            SyncMode::Sync { guards, .. } => self.look_sync(now, lease, sync, guards, standing),
            SyncMode::Unguarded | SyncMode::Degraded { .. } => {
                self.look_unguarded(now, lease, sync, standing)
            }
        }
    }

    fn look_sync(
        &mut self,
        now: Duration,
        lease: Duration,
        sync: &SyncState,
        guards: &[NodeId],
        standing: &Standing,
    ) -> Look {
        let best = guards.iter().filter_map(|it| standing.matched.get(it));
        let best = best.copied().max().unwrap_or(0);
        let keeps_up = self.keeps_up(now, lease, standing.applied, best);
        // A guard just taken back has promised nothing yet and is given the time to.
        if self.entered != Some(sync.counter) {
            self.entered = Some(sync.counter);
            self.tried_since = now;
        }
        if self.may_degrade(now, lease, guards) {
            let cause = self.cause(now, lease, guards);
            let mode = SyncMode::Degraded {
                cause,
                guarded_to: best,
            };
            return self.propose(now, lease, sync, mode);
        }
        // Without renewal the promise runs out, and the mode can change. Once that is proposed, it may
        // come true at any time: no promise may be asked for any more.
        if !keeps_up || self.is_proposed(sync) {
            return Look::default();
        }
        Look {
            ask: self.due(now, lease, guards, true),
            propose: None,
        }
    }

    fn look_unguarded(
        &mut self,
        now: Duration,
        lease: Duration,
        sync: &SyncState,
        standing: &Standing,
    ) -> Look {
        self.mark = None;
        let candidates = &standing.candidates;
        let is_ready = |guard: &&NodeId| {
            let matched = standing.matched.get(guard).copied();
            let behind = matched.map(|matched| standing.applied.saturating_sub(matched));
            self.is_steady(now, lease, **guard)
                && behind.is_some_and(|behind| behind <= SYNC_BEHIND_MAX)
        };
        if candidates.iter().any(|guard| is_ready(&guard)) {
            let mode = SyncMode::Sync {
                guards: candidates.clone(),
                lease_ms: u64::try_from(standing.lease.as_millis()).unwrap_or(u64::MAX),
            };
            let mut look = self.propose(now, lease, sync, mode);
            look.ask = self.due(now, lease, candidates, false);
            return look;
        }
        Look {
            ask: self.due(now, lease, candidates, false),
            propose: None,
        }
    }

    fn propose(
        &mut self,
        now: Duration,
        lease: Duration,
        sync: &SyncState,
        mode: SyncMode,
    ) -> Look {
        let counter = sync.counter + 1;
        let before = self.proposed.filter(|before| before.counter == counter);
        if before.is_some_and(|before| now < before.at + lease) {
            return Look::default();
        }
        self.proposed = Some(Proposed { counter, at: now });
        Look {
            ask: Vec::new(),
            propose: Some((counter, mode)),
        }
    }

    fn is_proposed(&self, sync: &SyncState) -> bool {
        self.proposed
            .is_some_and(|proposed| proposed.counter == sync.counter + 1)
    }

    /// Whether the guards still take what the leader applies: the index marked last was reached within
    /// half a lease.
    fn keeps_up(&mut self, now: Duration, lease: Duration, applied: u64, best: u64) -> bool {
        match self.mark {
            Some((index, since)) if best < index => now.saturating_sub(since) <= lease / 2,
            _ => {
                self.mark = Some((applied, now));
                true
            }
        }
    }

    /// Every promise that a guard may have made, to whomever, has run out.
    fn may_degrade(&self, now: Duration, lease: Duration, guards: &[NodeId]) -> bool {
        let is_over = |from: Duration| now >= from.saturating_add(waited(lease));
        let is_free = |guard: &NodeId| {
            let held = self.guards.get(guard);
            held.is_none_or(|held| held.bound_from.values().all(|from| is_over(*from)))
        };
        is_over(self.elected_at)
            && guards.iter().all(is_free)
            && now.saturating_sub(self.tried_since) >= lease / 2
    }

    fn cause(&self, now: Duration, lease: Duration, guards: &[NodeId]) -> DegradeCause {
        let held = || guards.iter().filter_map(|guard| self.guards.get(guard));
        let is_heard = |held: &Held| held.answered_at.is_some_and(|at| now < at + lease * 2);
        if held().any(Held::is_released) {
            DegradeCause::Released
        } else if held().any(is_heard) {
            DegradeCause::Behind
        } else {
            DegradeCause::Silent
        }
    }

    /// It has answered without a break for a whole lease.
    fn is_steady(&self, now: Duration, lease: Duration, guard: NodeId) -> bool {
        let Some(held) = self.guards.get(&guard) else {
            return false;
        };
        let is_heard = held.answered_at.is_some_and(|at| now < at + lease);
        let is_long = held.answered_since.is_some_and(|at| now >= at + lease);
        is_heard && is_long && !held.is_released()
    }

    fn due(
        &self,
        now: Duration,
        lease: Duration,
        guards: &[NodeId],
        is_guarded: bool,
    ) -> Vec<NodeId> {
        let is_due = |guard: &&NodeId| {
            let Some(held) = self.guards.get(guard) else {
                return true;
            };
            let rested = held
                .asked_at
                .is_none_or(|at| now >= at + lease / (RENEWALS + 1));
            let first = is_guarded && held.asked_without_nonce && held.nonce.is_some();
            !held.is_asking && (rested || first && !held.is_released())
        };
        guards.iter().filter(is_due).copied().collect()
    }

    /// Takes the guard's nonce out; to be followed by a confirmation of the lead, then [`Holder::ask`].
    pub fn wish(&mut self, guard: NodeId) -> Wish {
        let held = self.guards.entry(guard).or_default();
        held.is_asking = true;
        Wish(held.nonce.take())
    }

    /// The ask to send. `is_confirmed` says that after the wish a quorum confirmed the lead and this
    /// node applied up to the read index; `sync` is what it has applied then.
    pub fn ask(
        &mut self,
        guard: NodeId,
        wish: Wish,
        is_confirmed: bool,
        now: Duration,
        sync: &SyncState,
    ) -> Ask {
        let may_bind = is_confirmed && sync.guards().contains(&guard) && !self.is_proposed(sync);
        let held = self.guards.entry(guard).or_default();
        let used = wish.0.filter(|_| may_bind && !held.is_released());
        if let Some((nonce, received_at)) = used {
            // Counted from now on, whether the ask arrives or not.
            let from = held.bound_from.entry(nonce.life).or_default();
            *from = received_at.max(*from);
            // What has run out binds nobody.
            if let SyncMode::Sync { lease_ms, .. } = sync.mode {
                let wait = waited(Duration::from_millis(lease_ms));
                held.bound_from.retain(|_, from| now < *from + wait);
            }
        }
        held.asked_at = Some(now);
        held.asked_without_nonce = used.is_none();
        Ask {
            term: self.term,
            counter: sync.counter,
            nonce: used.map(|(nonce, _)| nonce),
        }
    }

    /// A guard answered; `now` is when the answer came.
    pub fn answered(&mut self, guard: NodeId, now: Duration, answer: &Answer, lease: Duration) {
        let held = self.guards.entry(guard).or_default();
        held.is_asking = false;
        let is_reborn = held.life != Some(answer.next.life);
        let is_broken = held.answered_at.is_none_or(|at| now > at + lease);
        if is_reborn || is_broken {
            held.answered_since = Some(now);
        }
        held.life = Some(answer.next.life);
        held.answered_at = Some(now);
        held.nonce = Some((answer.next, now));
        if answer.granted_ms > 0 {
            held.proves_until = Some(now + Duration::from_millis(answer.granted_ms));
        }
    }

    /// A guard did not answer in time.
    pub fn silent(&mut self, guard: NodeId) {
        self.guards.entry(guard).or_default().is_asking = false;
    }

    /// A guard stops in good order and gives its promise back. Only what that life of it promised: a
    /// message from an earlier life may have come late.
    pub fn released(&mut self, guard: NodeId, life: u64) {
        let held = self.guards.entry(guard).or_default();
        held.bound_from.remove(&life);
        held.released = Some(life);
        if held.is_released() {
            held.nonce = None;
            held.proves_until = None;
        }
    }

    /// For how much longer the guard's last grant lasts, as far as the leader knows.
    pub fn proves(&self, guard: NodeId, now: Duration) -> Duration {
        let until = self.guards.get(&guard).and_then(|held| held.proves_until);
        until.map_or(Duration::ZERO, |until| until.saturating_sub(now))
    }
}
