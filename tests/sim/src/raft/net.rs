//! The simulated network: messages take time by place, get lost, overtake each other, come twice, and
//! lines can be cut in one direction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use guitai_meta::sim::{Answered, Door, Kind, Life, Line};
use guitai_types::{Member, NodeId, NodeName};
use tokio::sync::{mpsc, oneshot};

use super::{
    oracle::Oracle,
    trace::{Trace, digest},
};
use crate::Dice;

/// The network; clones are the same.
#[derive(Clone)]
pub struct Net {
    trace: Trace,
    oracle: Oracle,
    lines: Arc<Mutex<Lines>>,
}

struct Lines {
    dice: Dice,
    ends: BTreeMap<NodeId, End>,
    /// Nothing gets from the first to the second.
    cut: BTreeSet<(NodeId, NodeId)>,
    weather: Weather,
    /// Who wants to know whenever a node has voted.
    votes: Option<mpsc::UnboundedSender<NodeId>>,
}

struct End {
    name: NodeName,
    life: Life,
    door: Door,
}

/// How bad the lines are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// Messages lost, of a hundred.
    pub lost_percent: u64,
    /// Requests that arrive twice, of a hundred.
    pub twice_percent: u64,
    /// Most milliseconds a message takes longer than it should.
    pub jitter_ms: u64,
}

impl Net {
    /// A quiet network without nodes.
    pub fn new(trace: Trace, oracle: Oracle, dice: Dice) -> Self {
        let lines = Lines {
            dice,
            ends: BTreeMap::new(),
            cut: BTreeSet::new(),
            weather: Weather::default(),
            votes: None,
        };
        Self {
            trace,
            oracle,
            lines: Arc::new(Mutex::new(lines)),
        }
    }

    /// A node's end, from which it asks.
    pub fn plug(&self, me: &Member) -> Plug {
        Plug {
            net: self.clone(),
            me: me.clone(),
        }
    }

    /// From now on requests to the node come in at this door.
    pub fn connect(&self, me: &Member, life: Life, door: Door) {
        let name = me.name.clone();
        self.lock().ends.insert(me.id, End { name, life, door });
    }

    /// The node is gone: nothing reaches it.
    pub fn disconnect(&self, me: NodeId) {
        self.lock().ends.remove(&me);
    }

    /// Cuts everything from these to those, one way.
    pub fn cut(&self, from: &[NodeId], to: &[NodeId]) {
        let mut lines = self.lock();
        for from in from {
            lines.cut.extend(to.iter().map(|to| (*from, *to)));
        }
    }

    /// Mends what [`Net::cut`] cut.
    pub fn mend(&self, from: &[NodeId], to: &[NodeId]) {
        let mut lines = self.lock();
        for from in from {
            for to in to {
                lines.cut.remove(&(*from, *to));
            }
        }
    }

    /// Mends every line and clears the weather.
    pub fn mend_all(&self) {
        let mut lines = self.lock();
        lines.cut.clear();
        lines.weather = Weather::default();
    }

    /// Sets the weather.
    pub fn weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// From now on, every node whose vote has just left it. Whoever listened before hears no more.
    pub fn votes(&self) -> mpsc::UnboundedReceiver<NodeId> {
        let (tell, told) = mpsc::unbounded_channel();
        self.lock().votes = Some(tell);
        told
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a message is on its way; `None` if it never arrives.
    fn journey(&self, from: &Member, to: &Member) -> Option<Duration> {
        let mut lines = self.lock();
        let weather = lines.weather;
        let near_ms = if from.centre == to.centre {
            lines.dice.below(2)
        } else if (from.centre.as_str() == "b") == (to.centre.as_str() == "b") {
            1 + lines.dice.below(2)
        } else {
            15 + lines.dice.below(2)
        };
        let jitter_ms = lines.dice.below(weather.jitter_ms + 1);
        let is_lost = lines.dice.percent(weather.lost_percent);
        (!is_lost).then(|| Duration::from_millis(near_ms + jitter_ms))
    }

    fn tell_vote(&self, node: NodeId) {
        let mut lines = self.lock();
        let heard = lines.votes.as_ref().map(|tell| tell.send(node));
        if heard.is_some_and(|heard| heard.is_err()) {
            lines.votes = None;
        }
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.lock().cut.contains(&(from, to))
    }

    /// Brings one request to its door and the answer back.
    async fn bring(
        self,
        from: Member,
        to: Member,
        kind: Kind,
        request: Vec<u8>,
        tell: oneshot::Sender<Option<Vec<u8>>>,
    ) {
        let Some(there) = self.journey(&from, &to) else {
            return;
        };
        tokio::time::sleep(there).await;
        if self.is_cut(from.id, to.id) {
            return;
        }
        let end = {
            let lines = self.lock();
            let end = lines.ends.get(&to.id);
            end.map(|end| (end.life.clone(), end.door.clone(), end.name.clone()))
        };
        let Some((life, door, name)) = end else {
            return;
        };
        let arrived = digest(&request);
        self.trace.note(format_args!(
            "{} > {name} {kind:?} {} bytes {arrived:016x}",
            from.name,
            request.len()
        ));
        let sender = from.name.clone();
        let promised = self.oracle.promised(to.id);
        let answering = async move { door.answer(&sender, kind, request).await };
        let answer = life.of(answering).await;
        if let Some(Answered {
            promise: Some(promise),
            ..
        }) = answer
        {
            self.oracle.see_promise(to.id, promised, promise);
            if promise.is_vote {
                self.tell_vote(to.id);
            }
        }
        let answer = answer.map(|answer| answer.bytes);
        let Some(back) = self.journey(&to, &from) else {
            return;
        };
        tokio::time::sleep(back).await;
        if !self.is_cut(to.id, from.id) {
            // Nobody waits any more when the asker gave up.
            tell.send(answer).ok();
        }
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").finish_non_exhaustive()
    }
}

/// One node's end of the network.
#[derive(Debug)]
pub struct Plug {
    net: Net,
    me: Member,
}

impl Line for Plug {
    fn ask(
        &self,
        to: &Member,
        kind: Kind,
        request: Vec<u8>,
        within: Duration,
    ) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let (net, me, to) = (self.net.clone(), self.me.clone(), to.clone());
        Box::pin(async move {
            let (tell, told) = oneshot::channel();
            let twice = {
                let mut lines = net.lock();
                let percent = lines.weather.twice_percent;
                lines.dice.percent(percent)
            };
            if twice {
                let (nobody, _) = oneshot::channel();
                let again = net.clone();
                let (me, to, request) = (me.clone(), to.clone(), request.clone());
                tokio::spawn(again.bring(me, to, kind, request, nobody));
            }
            tokio::spawn(net.bring(me, to, kind, request, tell));
            let silent = || "silent".to_owned();
            let answer = tokio::time::timeout(within, told).await;
            let answer = answer.map_err(|_| silent())?.map_err(|_| silent())?;
            answer.ok_or_else(|| "not understood".to_owned())
        })
    }
}
