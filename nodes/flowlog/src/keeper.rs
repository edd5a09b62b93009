//! Acts: as leader asks all nodes for their minutes, has every inner node keep them and the cluster agree on the root;
//! on every inner node keeps what is agreed on, fetches what is missing, and forgets what is old.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use guitai_host::{Clock, Disk};
use guitai_meta::Meta;
use guitai_net::{Calls, Mesh, Target};
use guitai_store::Sealing;
use guitai_types::{
    Hex, Member, NodeName, Role, UnixMillis, Zone,
    command::{Command, Reply},
    flowlog::{
        AgreedMinute, FlowGap, KEPT_DAYS, MINUTE_BYTES_MAX, MINUTES_ASKED_MAX, MINUTES_HELD_MAX,
        minute_begin, minute_of,
    },
    flows::FlowOrder,
    observed::NodeFlows,
};
use serde::{Deserialize, Serialize};
use tokio::task;

use crate::{
    book::{Book, BookError, agreed},
    closing,
    shelf::{DAY, Shelf},
    sum::Sum,
};

/// Asks any node for its closed minutes.
const MINUTES: &str = "flows.minutes";
/// Brings an inner node a minute that is about to be agreed on.
const KEEP: &str = "flows.keep";
/// Asks an inner node for a minute that it keeps.
const BOOK: &str = "flows.book";
/// How often it is looked whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Nodes close their minutes by their own clocks; they are asked so long after the minute is over.
const ASK_AFTER_MS: u64 = 5_000;
/// How long a node is given to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Minutes that were brought and are not agreed on yet.
const BROUGHT_MAX: usize = 4;
/// Minutes that are fetched in one look.
const FETCHED_AT_ONCE: usize = 4;
/// Looks before a minute that nobody had is asked for again.
const LOOKS_UNTIL_AGAIN: u32 = 30;

/// This node's closed minutes after one and through another.
pub type MinutesSource = Arc<dyn Fn(u64, u64) -> Vec<NodeFlows> + Send + Sync>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    after: u64,
    through: u64,
}

/// What it is given.
pub struct Deps {
    /// This node.
    pub me: Member,
    /// Who agrees on roots.
    pub meta: Meta,
    /// Who is asked.
    pub mesh: Mesh,
    /// Where minutes are kept.
    pub disk: Arc<dyn Disk>,
    /// How they are sealed.
    pub sealing: Option<Arc<Sealing>>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// This node's own minutes.
    pub minutes: MinutesSource,
}

/// The flow log on one inner node. Clones are the same.
#[derive(Clone)]
pub struct FlowLog(Arc<Inner>);

struct Inner {
    deps: Deps,
    shelf: Shelf,
    /// Brought and not agreed on yet, by number.
    brought: Mutex<BTreeMap<u64, String>>,
    /// Agreed on and kept here.
    known: Mutex<BTreeMap<u64, Known>>,
}

/// What a kept minute says of when its nodes were heard.
struct Known {
    root: Hex,
    heard: Vec<(NodeName, u64)>,
}

/// A stretch of time, added up.
#[derive(Debug)]
pub struct Stretch {
    /// The time asked for, or the first that is known.
    pub from: UnixMillis,
    /// The time asked for, or the last that is known.
    pub to: UnixMillis,
    /// Minutes that it is made from.
    pub minutes: u64,
    /// By name.
    pub nodes: Vec<NodeFlows>,
    /// Of whom nothing is known when.
    pub gaps: Vec<FlowGap>,
}

/// Why the flow log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FlowLogError {
    /// The disk says so, or a file does not open.
    #[error("reading the flow log")]
    Disk(#[from] io::Error),
    /// A minute is none.
    #[error("minute {minute}")]
    Book {
        /// Which.
        minute: u64,
        /// Why.
        #[source]
        source: BookError,
    },
}

/// Lets inner nodes ask this one, edge or not, for its closed minutes.
pub fn register_minutes(questions: &Calls, minutes: MinutesSource) {
    questions.register(
        MINUTES,
        Arc::new(move |from, body| {
            let minutes = minutes.clone();
            Box::pin(async move {
                if from.zone != Zone::Inner {
                    return Err("only inner nodes ask for minutes".to_owned());
                }
                let Ask { after, through } =
                    serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                let held = minutes(after, through);
                serde_json::to_vec(&held).map_err(|error| error.to_string())
            })
        }),
    );
}

impl FlowLog {
    /// Answers other inner nodes from now on; [`FlowLog::follow`] does the rest.
    pub fn new(deps: Deps, calls: &Calls) -> Self {
        let shelf = Shelf::new(deps.disk.clone(), deps.sealing.clone());
        let this = Self(Arc::new(Inner {
            deps,
            shelf,
            brought: Mutex::default(),
            known: Mutex::default(),
        }));
        let weak = Arc::downgrade(&this.0);
        let keeps = weak.clone();
        calls.register(
            KEEP,
            Arc::new(move |_peer, body| {
                let inner = keeps.upgrade();
                Box::pin(async move {
                    let inner = inner.ok_or("the node stops")?;
                    inner.bring(body).map(|()| Vec::new())
                })
            }),
        );
        calls.register(
            BOOK,
            Arc::new(move |_peer, body| {
                let inner = weak.upgrade();
                Box::pin(async move {
                    let shelf = inner.ok_or("the node stops")?.shelf.clone();
                    let minute: u64 =
                        serde_json::from_slice(&body).map_err(|error| error.to_string())?;
                    let read = task::spawn_blocking(move || shelf.read(minute)).await;
                    let read = read.map_err(|error| error.to_string())?;
                    let text = read.map_err(|error| error.to_string())?;
                    Ok(text.ok_or("it is not kept here")?.into_bytes())
                })
            }),
        );
        this
    }

    /// Runs for as long as the node does.
    pub async fn follow(self) {
        let (mut again, mut absent) = (0, BTreeSet::new());
        let mut swept = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            again += 1;
            if again >= LOOKS_UNTIL_AGAIN {
                (again, absent) = (0, BTreeSet::new());
            }
            self.complete(&mut absent).await;
            self.lead(&absent).await;
            let today = minute_of(self.0.deps.clock.wall()) / DAY;
            if swept != Some(today) {
                self.sweep(today).await;
                swept = Some(today);
            }
        }
    }

    /// Keeps what is agreed on and not kept yet; what nobody has goes into `absent`.
    async fn complete(&self, absent: &mut BTreeSet<u64>) {
        let all = self.0.deps.meta.peek(|state| state.flow_log().to_vec());
        let (Some(first), Some(last)) = (all.first(), all.last()) else {
            return;
        };
        let (first, last) = (first.minute, last.minute);
        let lacking: Vec<&AgreedMinute> = {
            let mut known = lock(&self.0.known);
            known.retain(|minute, _| *minute >= first);
            let is_known =
                |it: &AgreedMinute| known.get(&it.minute).map(|it| &it.root) == Some(&it.root);
            let lacking = all
                .iter()
                .filter(|it| !is_known(it) && !absent.contains(&it.minute));
            lacking.take(FETCHED_AT_ONCE).collect()
        };
        if lacking.is_empty() {
            return;
        }
        for minute in lacking {
            match self.keep(minute).await {
                Ok(true) => {}
                Ok(false) => {
                    let minute = minute.minute;
                    tracing::warn!(
                        minute,
                        "a minute of the flow log is missing here, and nobody has it"
                    );
                    absent.insert(minute);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(
                        minute = minute.minute,
                        error,
                        "a minute of the flow log is not kept"
                    );
                    absent.insert(minute.minute);
                }
            }
        }
        lock(&self.0.brought).retain(|minute, _| *minute > last);
        // Written by a leader whose minute was not agreed on.
        let agreed: BTreeSet<u64> = all.iter().map(|it| it.minute).collect();
        let shelf = self.0.shelf.clone();
        let tidied = task::spawn_blocking(move || -> io::Result<()> {
            for day in first / DAY..=last / DAY {
                for minute in shelf.minutes(day)? {
                    if minute > first && minute < last && !agreed.contains(&minute) {
                        shelf.remove(minute)?;
                    }
                }
            }
            Ok(())
        });
        if let Ok(Err(error)) = tidied.await {
            tracing::warn!(%error, "the flow log was not tidied up");
        }
    }

    /// Whether a minute is here now.
    async fn keep(&self, wanted: &AgreedMinute) -> Result<bool, FlowLogError> {
        let minute = wanted.minute;
        let is_it = |text: &String| agreed(minute, text) == *wanted;
        let brought = lock(&self.0.brought).remove(&minute);
        let brought = brought.filter(is_it);
        let shelf = self.0.shelf.clone();
        let (text, is_new) = match brought {
            Some(text) => (Some(text), true),
            None => match task::spawn_blocking(move || shelf.read(minute)).await {
                Ok(Ok(Some(text))) if is_it(&text) => (Some(text), false),
                Ok(Err(error)) => {
                    tracing::warn!(minute, %error, "a minute of the flow log is fetched again");
                    (self.fetch(minute).await.filter(is_it), true)
                }
                _ => (self.fetch(minute).await.filter(is_it), true),
            },
        };
        let Some(text) = text else {
            return Ok(false);
        };
        let book = Book::parse(&text).map_err(|source| FlowLogError::Book { minute, source })?;
        if is_new {
            let shelf = self.0.shelf.clone();
            let written = task::spawn_blocking(move || shelf.write(minute, &text)).await;
            written.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        }
        let heard = book.nodes.iter();
        let heard = heard
            .map(|it| (it.node.clone(), closing::minute(it)))
            .collect();
        let root = wanted.root.clone();
        lock(&self.0.known).insert(minute, Known { root, heard });
        Ok(true)
    }

    async fn fetch(&self, minute: u64) -> Option<String> {
        let Inner { deps, .. } = &*self.0;
        let body = serde_json::to_vec(&minute).unwrap_or_default();
        for other in self.others() {
            let target = Target::from(&other);
            let asked = deps
                .mesh
                .call_kind_within(&target, BOOK, body.clone(), ANSWER);
            match asked.await {
                Ok(text) => return String::from_utf8(text).ok(),
                Err(error) => {
                    tracing::debug!(node = %other.name, minute, %error, "it does not have the minute");
                }
            }
        }
        None
    }

    /// Every other core node.
    fn others(&self) -> Vec<Member> {
        let Inner { deps, .. } = &*self.0;
        let mut members = self.members();
        members.retain(|it| it.has(Role::Core) && it.name != deps.me.name);
        members
    }

    fn members(&self) -> Vec<Member> {
        let meta = &self.0.deps.meta;
        meta.peek(|state| state.members().cloned().collect())
    }

    /// As leader, puts the minute that is over together and has it agreed on.
    async fn lead(&self, absent: &BTreeSet<u64>) {
        let Inner { deps, shelf, .. } = &*self.0;
        let now = deps.clock.wall();
        let current = minute_of(now);
        let minute = current.saturating_sub(1);
        if now.since(minute_begin(current)) < ASK_AFTER_MS
            || deps.meta.leader_heard() != Some(deps.me.id)
        {
            return;
        }
        let (logs, last) = deps.meta.peek(|state| {
            let last = state.flow_log().last().map(|it| it.minute);
            (state.log().is_some(), last)
        });
        if !logs || last.is_some_and(|last| last >= minute) {
            return;
        }
        // What is agreed on and not read yet may have what would be asked for.
        let (heard, is_whole) = self.heard(absent);
        if !is_whole {
            return;
        }
        let members = self.members();
        let own = |after| (deps.minutes)(after, minute);
        let asked = members.iter().map(|member| {
            let after = heard.get(&member.name).copied().unwrap_or(0);
            let after = after.max(minute.saturating_sub(MINUTES_HELD_MAX as u64));
            async move {
                let answer = if member.name == deps.me.name {
                    Ok(own(after))
                } else {
                    self.ask(member, after, minute).await
                };
                (member.name.clone(), answer)
            }
        });
        let mut book = Book {
            minute,
            silent: BTreeSet::new(),
            nodes: Vec::new(),
        };
        for (name, answer) in join_all(asked).await {
            match answer {
                Ok(minutes) => book.nodes.extend(minutes),
                Err(why) => {
                    tracing::warn!(node = %name, why, "it does not say what it saw");
                    book.silent.insert(name);
                }
            }
        }
        let text = book.to_text();
        let kept = agreed(minute, &text);
        let others = self.others();
        let brought = others.iter().map(|other| {
            let (target, body) = (Target::from(other), text.clone().into_bytes());
            async move {
                let told = deps.mesh.call_kind_within(&target, KEEP, body, ANSWER);
                if let Err(error) = told.await {
                    tracing::debug!(node = %other.name, %error, "a minute was not brought");
                }
            }
        });
        join_all(brought).await;
        let shelf = shelf.clone();
        let written = task::spawn_blocking(move || shelf.write(minute, &text)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::error!(minute, %error, "a minute of the flow log is not kept");
            return;
        }
        let order = Box::new(FlowOrder::Keep { kept });
        match deps.meta.write(Command::Flow { order }).await {
            Ok(Reply::Refused { problem }) => {
                tracing::warn!(minute, %problem, "a minute of the flow log is not agreed on");
            }
            Ok(_) => {}
            // The next look tries again, with a later minute if need be.
            Err(error) => tracing::warn!(minute, %error, "a minute of the flow log waits"),
        }
    }

    /// Through which minute each node was heard, and whether all that was agreed on is taken into account.
    fn heard(&self, absent: &BTreeSet<u64>) -> (BTreeMap<NodeName, u64>, bool) {
        let agreed: Vec<u64> = {
            let minutes =
                |state: &guitai_meta::State| state.flow_log().iter().map(|it| it.minute).collect();
            self.0.deps.meta.peek(minutes)
        };
        let known = lock(&self.0.known);
        // What was in a minute that nobody has is not asked for again: it would be there twice.
        let lost = agreed
            .iter()
            .filter(|it| absent.contains(it))
            .max()
            .copied();
        let is_whole = agreed
            .iter()
            .all(|it| known.contains_key(it) || absent.contains(it));
        let mut heard: BTreeMap<NodeName, u64> = BTreeMap::new();
        for (name, minute) in known.values().flat_map(|it| &it.heard) {
            let through = heard.entry(name.clone()).or_default();
            *through = (*through).max(*minute);
        }
        if let Some(lost) = lost {
            for member in self.members() {
                let through = heard.entry(member.name).or_default();
                *through = (*through).max(lost);
            }
        }
        (heard, is_whole)
    }

    async fn ask(
        &self,
        member: &Member,
        after: u64,
        through: u64,
    ) -> Result<Vec<NodeFlows>, String> {
        let body = serde_json::to_vec(&Ask { after, through }).unwrap_or_default();
        let target = Target::from(member);
        let answer = self
            .0
            .deps
            .mesh
            .question(&target, MINUTES, body, ANSWER)
            .await;
        let answer = answer.map_err(|error| error.to_string())?;
        let minutes: Vec<NodeFlows> =
            serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        if minutes.len() > MINUTES_ASKED_MAX {
            return Err(format!("more than {MINUTES_ASKED_MAX} minutes at once"));
        }
        let is_own = |it: &NodeFlows| {
            let minute = closing::minute(it);
            let of = (it.node == member.name, it.zone == member.zone);
            of == (true, true) && minute > after && minute <= through
        };
        if minutes.iter().all(is_own) {
            Ok(minutes)
        } else {
            Err("it answered for another node or time".to_owned())
        }
    }

    async fn sweep(&self, today: u64) {
        let shelf = self.0.shelf.clone();
        let swept = task::spawn_blocking(move || -> io::Result<()> {
            for day in shelf.days()? {
                if day + KEPT_DAYS < today {
                    shelf.remove_day(day)?;
                    tracing::info!(day, "a day of the flow log was kept long enough");
                }
            }
            Ok(())
        });
        if let Ok(Err(error)) = swept.await {
            tracing::error!(%error, "old days of the flow log were not removed");
        }
    }

    /// What flowed between two times, as far as it is kept here.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn over(&self, from: UnixMillis, to: UnixMillis) -> Result<Stretch, FlowLogError> {
        let shelf = self.0.shelf.clone();
        let now = minute_of(self.0.deps.clock.wall());
        let summed = task::spawn_blocking(move || over(&shelf, from, to, now));
        summed
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    /// A minute as it is kept here, with what is to be agreed on of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn minute(
        &self,
        minute: u64,
    ) -> Result<Option<(String, AgreedMinute)>, FlowLogError> {
        let shelf = self.0.shelf.clone();
        let read = task::spawn_blocking(move || shelf.read(minute)).await;
        let text = read.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(text.map(|text| {
            let agreed = agreed(minute, &text);
            (text, agreed)
        }))
    }
}

impl Inner {
    fn bring(&self, body: Vec<u8>) -> Result<(), String> {
        if body.len() > MINUTE_BYTES_MAX {
            let bytes = body.len();
            return Err(format!(
                "{bytes} bytes, MINUTE_BYTES_MAX is {MINUTE_BYTES_MAX}"
            ));
        }
        let text = String::from_utf8(body).map_err(|error| error.to_string())?;
        let book = Book::parse(&text).map_err(|error| error.to_string())?;
        let mut brought = lock(&self.brought);
        brought.insert(book.minute, text);
        while brought.len() > BROUGHT_MAX {
            brought.pop_first();
        }
        Ok(())
    }
}

/// Days that are over, and of which nothing comes any more, are added up once.
fn over(
    shelf: &Shelf,
    from: UnixMillis,
    to: UnixMillis,
    now: u64,
) -> Result<Stretch, FlowLogError> {
    let (first, end) = (minute_of(from), minute_of(to));
    let late = MINUTES_HELD_MAX as u64;
    let is_whole = |day: u64| {
        let (begin, next) = (day * DAY, (day + 1) * DAY);
        begin >= first && next <= end && next + 2 * late < now
    };
    let mut sum = Sum::default();
    let mut minutes = 0;
    for day in shelf.days()? {
        let (begin, next) = (day * DAY, (day + 1) * DAY);
        if next <= first || begin > end + late {
            continue;
        }
        let here = shelf.minutes(day)?;
        minutes += here.iter().filter(|it| **it >= first && **it < end).count() as u64;
        if is_whole(day) {
            let known = shelf.read_sum(day).unwrap_or_default();
            let known = match known {
                Some(known) => known,
                None => {
                    let mut sum = Sum::default();
                    let rest = shelf.minutes(day + 1)?;
                    let rest = rest.into_iter().filter(|it| *it < next + late);
                    add(shelf, here.iter().copied().chain(rest), &mut sum, |it| {
                        it / DAY == day
                    })?;
                    let flat = sum.flat();
                    if let Err(error) = shelf.write_sum(day, &flat) {
                        tracing::warn!(day, %error, "a day of the flow log is added up again next time");
                    }
                    flat
                }
            };
            sum.merge(known);
        }
        // Lines of a day that is added up as a whole are in its sum, those that came late included.
        let here = here.into_iter();
        let here = here.filter(|it| {
            *it >= first && *it < end + late && (!is_whole(day) || *it < begin + late)
        });
        add(shelf, here, &mut sum, |it| {
            it >= first && it < end && !is_whole(it / DAY)
        })?;
    }
    let span = sum.span().unwrap_or((from, from));
    // Nobody closes a minute before it is over, and most a moment after.
    let whole = minute_begin(minute_of(span.1)).max(span.0);
    let (from, to) = (from.max(span.0), to.min(whole));
    let (gaps, nodes) = sum.close(from, to);
    Ok(Stretch {
        from,
        to,
        minutes,
        nodes,
        gaps,
    })
}

fn add(
    shelf: &Shelf,
    minutes: impl Iterator<Item = u64>,
    sum: &mut Sum,
    is_wanted: impl Fn(u64) -> bool,
) -> Result<(), FlowLogError> {
    for minute in minutes {
        let Some(text) = shelf.read(minute)? else {
            continue;
        };
        let book = Book::parse(&text).map_err(|source| FlowLogError::Book { minute, source })?;
        for account in book.nodes {
            if is_wanted(closing::minute(&account)) {
                sum.add(account);
            }
        }
    }
    Ok(())
}

/// Nothing that can panic runs under these locks.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use guitai_host::SystemDisk;
    use guitai_types::{flowlog::MINUTE_MS, observed::FlowStanding};

    use super::*;
    use crate::sum::tests::{account, flow};

    fn write(shelf: &Shelf, minute: u64, lines: &[u64]) {
        let seen = |of: &u64| {
            let flows = vec![flow("b", FlowStanding::Declared, 1)];
            account("a", of * MINUTE_MS, (of + 1) * MINUTE_MS, flows)
        };
        let book = Book {
            minute,
            silent: BTreeSet::new(),
            nodes: lines.iter().map(seen).collect(),
        };
        shelf.write(minute, &book.to_text()).unwrap();
    }

    fn connections(stretch: &Stretch) -> u64 {
        let flows = stretch.nodes.iter().flat_map(|node| &node.flows);
        flows.map(|flow| flow.connections).sum()
    }

    #[test]
    fn a_stretch_has_every_minute_once_whether_its_days_were_added_up_before_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(Arc::new(SystemDisk::new(dir.path()).unwrap()), None);
        let (begin, end) = (10 * DAY - 200, 12 * DAY + 100);
        // In every hour half an hour was heard late, one quarter of it never.
        let mut waiting = Vec::new();
        for minute in begin..end {
            match minute % 60 {
                0..15 => {}
                15..30 => waiting.push(minute),
                30 => {
                    waiting.push(minute);
                    write(&shelf, minute, &waiting);
                    waiting.clear();
                }
                _ => write(&shelf, minute, &[minute]),
            }
        }
        let at = |minute: u64| UnixMillis(minute * MINUTE_MS);
        let count = |from: u64, to: u64| (from..to).filter(|it| it % 60 >= 15).count() as u64;
        // No sum is made as long as something may come, then it is.
        for now in [end + 1, 13 * DAY, 13 * DAY, 13 * DAY] {
            for (from, to) in [
                (begin, end),
                (10 * DAY, 11 * DAY),
                (10 * DAY + 17, 12 * DAY + 20),
                (11 * DAY - 5, 11 * DAY + 20),
                (12 * DAY + 15, 12 * DAY + 16),
            ] {
                let stretch = over(&shelf, at(from), at(to), now).unwrap();
                assert_eq!(
                    connections(&stretch),
                    count(from, to),
                    "{from} to {to} at {now}"
                );
                let known = stretch.gaps.iter().map(FlowGap::millis).sum::<u64>();
                let span = stretch.to.since(stretch.from);
                assert_eq!(span - known, count(from, to) * MINUTE_MS, "{from} to {to}");
            }
        }
        assert!(shelf.read_sum(10).unwrap().is_some());
        assert!(shelf.read_sum(12).unwrap().is_none());
        // Nothing is kept of that time.
        let none = over(&shelf, at(1), at(2), 13 * DAY).unwrap();
        assert_eq!((none.minutes, none.nodes.len(), none.gaps.len()), (0, 0, 0));
    }
}
