//! What this node saw of its connections: its own account, held against the flow matrix, and beside it the sockets that
//! the kernel says it has.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use guitai_api::FlowsSource;
use guitai_flow::messages::{ANSWERS, ASKS, ORDERS};
use guitai_flowlog::{Closing, MinutesSource};
use guitai_host::{Clock, OwnSocket, own_sockets};
use guitai_net::{FlowKey, Ledger, Tally};
use guitai_relay::guard::{Count, Direction};
use guitai_types::{
    Hex, Member, UnixMillis, Zone,
    flowlog::{MINUTE_MS, minute_of},
    observed::{
        FlowStanding, FlowWay, NodeFlows, SEEN_SOCKETS_MAX, SeenFlow, SeenMessages, SeenSocket,
    },
};

use crate::flows::{Door, Found};

/// How often the kernel is asked: what is open for a shorter time may be missed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A node that starts does not serve everything at once: handshakes that it refused within so many milliseconds are
/// nobody's fault.
const STARTING_MS: u64 = 30_000;
/// ALPN of WebTransport (RFC 9114).
const WEBTRANSPORT_ALPN: &str = "h3";

/// Keeps account of one node.
#[derive(Clone)]
pub(crate) struct Observer {
    me: Member,
    gate: Arc<Door>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    since: UnixMillis,
    sockets: Arc<Mutex<Sockets>>,
    minutes: Arc<Mutex<Closing>>,
    messages: MessagesSource,
}

/// What this end of the guard passed and refused.
pub(crate) type MessagesSource = Arc<dyn Fn() -> Vec<SeenMessages> + Send + Sync>;

/// The guard's counters as an auditor reads them.
pub(crate) fn messages(counts: Vec<Count>) -> Vec<SeenMessages> {
    let named = |count: &Count| {
        let families = [ASKS, ANSWERS, ORDERS].into_iter().flatten();
        let inward = count.direction == Direction::Inward;
        let mut of_way = families.filter(|it| it.starts_with("ask.") == inward);
        let found = of_way.find(|it| it.split_once('.').map(|(_, kind)| kind) == Some(count.kind));
        found.copied().unwrap_or(count.kind).to_owned()
    };
    let seen = |count: Count| SeenMessages {
        direction: count.direction.as_str().to_owned(),
        kind: named(&count),
        verdict: count.verdict.as_str().to_owned(),
        count: count.count,
    };
    counts.into_iter().map(seen).collect()
}

/// Sockets seen so far that are declared or not; the door's connections are none of them.
#[derive(Default)]
struct Sockets {
    seen: BTreeMap<OwnSocket, SeenSocket>,
    trouble: Option<String>,
}

/// Who comes in by a node's door over TCP.
pub(crate) fn pages(member: &Member) -> FlowKey {
    at_door(member, "http")
}

/// Who comes in by a node's door over QUIC.
pub(crate) fn media(member: &Member, alpn: Option<&str>) -> FlowKey {
    let is_web = alpn == Some(WEBTRANSPORT_ALPN);
    at_door(member, if is_web { "webtransport" } else { "moq-door" })
}

/// People are not told apart: their addresses are personal data.
fn at_door(member: &Member, protocol: &str) -> FlowKey {
    let (party, zone) = match member.zone {
        Zone::Dmz | Zone::Outer => ("customer", Zone::Outer),
        Zone::Inner => ("staff", Zone::Inner),
    };
    FlowKey {
        party: party.to_owned(),
        zone: Some(zone),
        protocol: protocol.to_owned(),
        way: FlowWay::Accepted,
    }
}

impl Observer {
    pub(crate) fn new(
        me: &Member,
        gate: Arc<Door>,
        ledger: Ledger,
        messages: MessagesSource,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let since = clock.wall();
        Self {
            me: me.clone(),
            gate,
            ledger,
            clock,
            since,
            sockets: Arc::default(),
            minutes: Arc::default(),
            messages,
        }
    }

    /// Asks the kernel, and closes minutes, for as long as the node runs.
    pub(crate) async fn follow(self) {
        let mut open = minute_of(self.since);
        loop {
            let now = self.clock.wall();
            if minute_of(now) > open {
                open = minute_of(now);
                let account = self.say();
                lock(&self.minutes).close(account);
            } else {
                self.look();
            }
            let rest = MINUTE_MS - self.clock.wall().0 % MINUTE_MS;
            tokio::time::sleep(LOOK_EVERY.min(Duration::from_millis(rest))).await;
        }
    }

    /// The minutes that were closed.
    pub(crate) fn minutes(&self) -> MinutesSource {
        let minutes = self.minutes.clone();
        Arc::new(move |after, through| lock(&minutes).held(after, through))
    }

    /// What this node says when it is asked.
    pub(crate) fn source(&self) -> FlowsSource {
        let this = self.clone();
        Arc::new(move || this.say())
    }

    fn look(&self) {
        let now = self.clock.wall();
        let found = own_sockets();
        let mut sockets = lock(&self.sockets);
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                sockets.trouble = Some(error.to_string());
                return;
            }
        };
        sockets.trouble = None;
        for socket in found {
            let Some((standing, what)) = self.gate.socket(&socket) else {
                continue;
            };
            if standing == FlowStanding::Undeclared && !sockets.seen.contains_key(&socket) {
                tracing::error!(
                    ?socket,
                    what,
                    "a socket that the flow matrix does not declare"
                );
            }
            let is_full = sockets.seen.len() >= SEEN_SOCKETS_MAX;
            if is_full && !sockets.seen.contains_key(&socket) {
                let limit = format!("more than {SEEN_SOCKETS_MAX} sockets");
                sockets.trouble = Some(limit);
                continue;
            }
            let seen = sockets.seen.entry(socket).or_insert_with(|| SeenSocket {
                transport: format!("{:?}", socket.carrier).to_lowercase(),
                local: socket.local.to_string(),
                remote: socket.remote.map(|remote| remote.to_string()),
                what: String::new(),
                standing,
                first: now,
                last: now,
            });
            (seen.standing, seen.what, seen.last) = (standing, what, now);
        }
    }

    fn say(&self) -> NodeFlows {
        self.look();
        let (flows, left_out) = self.ledger.seen();
        let mut flows: Vec<SeenFlow> = flows
            .iter()
            .flat_map(|(key, tally)| self.rows(key, tally))
            .collect();
        flows.sort_by(|a, b| {
            let of = |it: &SeenFlow| (it.peer.clone(), it.protocol.clone(), it.way, it.standing);
            of(a).cmp(&of(b))
        });
        let sockets = lock(&self.sockets);
        NodeFlows {
            node: self.me.name.clone(),
            zone: self.me.zone,
            matrix: self.gate.present().0,
            since: self.since,
            at: self.clock.wall(),
            flows,
            sockets: sockets.seen.values().cloned().collect(),
            messages: (self.messages)(),
            no_sockets: sockets.trouble.clone(),
            left_out,
        }
    }

    /// One row of what came about, and one of what was refused.
    fn rows(&self, key: &FlowKey, tally: &Tally) -> Vec<SeenFlow> {
        let Found {
            protocol,
            rows,
            standing,
            why,
        } = self.gate.found(key);
        let named = SeenFlow {
            uid: Hex(tally.uid.to_vec()).to_string(),
            way: key.way,
            peer: key.party.clone(),
            zone: key.zone,
            protocol,
            rows,
            standing,
            why,
            first: tally.first,
            last: tally.last,
            connections: tally.connections,
            open: tally.open,
            sent: tally.sent,
            received: tally.received,
        };
        let mut rows = Vec::new();
        let is_early = key.zone.is_none() && tally.last < self.since.plus(STARTING_MS);
        if tally.refused > 0 && !is_early {
            rows.push(SeenFlow {
                standing: FlowStanding::Refused,
                why: tally.why.clone(),
                connections: tally.refused,
                open: 0,
                sent: 0,
                received: 0,
                ..named.clone()
            });
        }
        if tally.connections > 0 {
            rows.push(named);
        }
        rows
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
