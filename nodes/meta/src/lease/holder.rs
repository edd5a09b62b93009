//! The leader's side: asks the guards, lets sync writes through when one has them, and changes the
//! mode as the core decides.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures::future::join_all;
use guitai_host::random_id;
use guitai_meta_core::lease::{Answer, Holder, Look, Standing, Wish};
use guitai_types::{
    NodeId, RequestId,
    command::Command,
    sync::{SyncMode, SyncState},
};
use openraft::{async_runtime::WatchReceiver as _, vote::RaftLeaderId as _};
use tokio::{sync::watch, task::JoinSet};

use super::{Guarded, Request};
use crate::{
    meta::Meta,
    raft::{Agreed, LogId, Proposed},
    runtime,
    transport::Topic,
};

/// How often the leader looks whether a guard is to be asked or given up, in milliseconds.
const LOOK_MS: u64 = 20;
/// How long a new leader waits at a time until it has applied its first entry, in milliseconds.
const SETTLE_MS: u64 = 2_000;

/// Looks after the lease whenever this node leads, until it stops.
pub(crate) async fn run(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let mut look = tokio::time::interval(Duration::from_millis(LOOK_MS));
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asking = JoinSet::new();
    let mut settled = None;
    loop {
        tokio::select! {
            biased;
            _ = look.tick() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
        while asking.try_join_next().is_some() {}
        let Some(term) = meta.leading() else {
            *meta.lease().holder() = None;
            settled = None;
            continue;
        };
        meta.begin_term(term);
        if settled != Some(term) {
            // Until its first entry is applied, a leader does not know the mode that it took over.
            let within = Duration::from_millis(SETTLE_MS);
            settled = meta.confirm(term, within).await.then_some(term);
            continue;
        }
        let Some(decided) = meta.decide(term) else {
            continue;
        };
        if let Some((counter, mode)) = decided.propose {
            meta.propose_mode(term, counter, mode).await;
        }
        let wishes: Vec<_> = decided
            .ask
            .into_iter()
            .filter_map(|guard| Some((guard, meta.with_term(term, |it| it.wish(guard))?)))
            .collect();
        if !wishes.is_empty() {
            asking.spawn(runtime::task(ask_all(meta.clone(), term, wishes)));
        }
    }
}

/// Publishes how far the guards have the log, until the node stops.
pub(crate) async fn follow(meta: Meta, mut stopped: watch::Receiver<bool>) {
    let mut data = meta.raft().data_metrics();
    let mut events = meta.applied().event_number();
    loop {
        // Seen before computing, so that what comes after it wakes us.
        events.borrow_and_update();
        let sync = meta.peek(|state| state.sync().clone());
        let upto = {
            let data = data.borrow_and_update();
            let matched = |guard: &NodeId| *data.replication.as_ref()?.get(&guard.0)?;
            sync.guards().iter().filter_map(matched).max()
        };
        let present = Guarded {
            counter: sync.counter,
            upto,
        };
        meta.lease().guarded.publish(present);
        tokio::select! {
            biased;
            changed = data.changed() => if changed.is_err() { return },
            changed = events.changed() => if changed.is_err() { return },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

async fn ask_all(meta: Meta, term: u64, wishes: Vec<(NodeId, Wish)>) {
    let is_confirmed = wishes.iter().any(|(_, wish)| wish.needs_confirmation())
        && meta.confirm(term, meta.lease_length()).await;
    let asks = wishes
        .into_iter()
        .map(|(guard, wish)| meta.ask_guard(term, guard, wish, is_confirmed));
    join_all(asks).await;
}

impl Meta {
    /// Returns when a guard has this entry, or when sync writes do not wait for one. To be asked once
    /// the entry is applied here.
    pub(crate) async fn is_guarded(&self, log: &LogId) {
        let known = &self.lease().guarded;
        loop {
            // Before looking, so that no change is missed.
            let mut changed = pin!(known.changed.notified());
            changed.as_mut().enable();
            let (counter, waits) =
                self.peek(|state| (state.sync().counter, !state.sync().guards().is_empty()));
            let present = known.newest();
            // Of another change of the mode, it would be about other guards.
            if !waits || present.counter == counter && present.upto.as_ref() >= Some(log) {
                return;
            }
            changed.await;
        }
    }

    /// The term, if this node leads.
    fn begin_term(&self, term: u64) {
        let mut holder = self.lease().holder();
        if holder.as_ref().map(Holder::term) != Some(term) {
            *holder = Some(Holder::new(term, self.now()));
        }
    }

    fn with_term<T>(&self, term: u64, act: impl FnOnce(&mut Holder) -> T) -> Option<T> {
        let mut holder = self.lease().holder();
        holder.as_mut().filter(|it| it.term() == term).map(act)
    }

    /// A quorum says that this node leads that term, after this was called, and everything up to then
    /// is applied here.
    async fn confirm(&self, term: u64, within: Duration) -> bool {
        let confirmed = async {
            let index = self.read_index_here().await?;
            let wait = self.raft().wait(Some(within));
            wait.applied_index_at_least(Some(index), "lease").await.ok()
        };
        let confirmed = tokio::time::timeout(within, confirmed).await;
        matches!(confirmed, Ok(Some(_))) && self.leading() == Some(term)
    }

    fn decide(&self, term: u64) -> Option<Look> {
        let sync = self.peek(|state| state.sync().clone());
        if sync.guards().is_empty() && self.lease().candidates.is_empty() {
            return None;
        }
        let standing = self.standing();
        self.with_term(term, |holder| holder.look(self.now(), &sync, &standing))
    }

    fn standing(&self) -> Standing {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let replication = metrics.replication.iter().flatten();
        let matched: BTreeMap<NodeId, u64> = replication
            .filter_map(|(node, log)| Some((NodeId(*node), log.as_ref()?.index)))
            .collect();
        Standing {
            applied: metrics.last_applied.as_ref().map_or(0, |log| log.index),
            matched,
            candidates: self.lease().candidates.clone(),
            lease: self.lease().lease,
        }
    }

    /// The agreed lease, or the one it would begin with.
    fn lease_length(&self) -> Duration {
        self.peek(|state| match &state.sync().mode {
            SyncMode::Sync { lease_ms, .. } => Duration::from_millis(*lease_ms),
            SyncMode::Unguarded | SyncMode::Degraded { .. } => self.lease().lease,
        })
    }

    async fn ask_guard(&self, term: u64, guard: NodeId, wish: Wish, is_confirmed: bool) {
        let sync: SyncState = self.peek(|state| state.sync().clone());
        let now = self.now();
        let ask = self.with_term(term, |it| it.ask(guard, wish, is_confirmed, now, &sync));
        let Some(ask) = ask else { return };
        let lease = self.lease_length();
        let answer: Option<Answer> = if guard == self.id() {
            Some(self.grant(&ask))
        } else {
            let body = serde_json::to_vec(&Request::Ask(ask)).unwrap_or_default();
            let within_ms = super::millis(lease / 2);
            self.ask(guard, Topic::Lease, body, within_ms).await
        };
        let now = self.now();
        self.with_term(term, |it| match &answer {
            Some(answer) => it.answered(guard, now, answer, lease),
            None => it.silent(guard),
        });
    }

    /// Puts a change of the mode into the log of that term. Only of that term: a node that lost the
    /// lead and got it back must wait anew.
    async fn propose_mode(&self, term: u64, counter: u64, mode: SyncMode) {
        let Ok(leader) = self.raft().as_leader() else {
            return;
        };
        if leader.leader_id().term() != term {
            return;
        }
        match &mode {
            SyncMode::Degraded { cause, guarded_to } => tracing::warn!(
                ?cause,
                guarded_to,
                "the guard city is not waited for any more: losing the other city may lose writes"
            ),
            _ => tracing::info!("sync writes wait for the guard city"),
        }
        let command = Command::SetSyncMode { counter, mode };
        let request = random_id(self.entropy(), RequestId::from_random);
        let proposed = match Proposed::new(self.proposal(request, command)) {
            Ok(proposed) => proposed,
            Err(error) => {
                tracing::error!(%error, "the change of the sync mode has no JSON");
                return;
            }
        };
        let written = self.raft().write(Agreed(vec![proposed]));
        let written = written.with_leader(leader.to_committed_leader_id()).await;
        if let Err(error) = written {
            tracing::warn!(%error, "the change of the sync mode was not proposed");
        }
    }
}
