//! Minutes of a stretch of time, added up: what flowed between whom, and of whom nothing is known when.

use std::collections::BTreeMap;

use guitai_types::{
    NodeName, UnixMillis, Zone,
    flowlog::{FlowGap, GAP_AT_END_MS},
    observed::{
        FlowStanding, FlowWay, NodeFlows, SEEN_FLOWS_MAX, SEEN_SOCKETS_MAX, SeenFlow, SeenMessages,
        SeenSocket,
    },
};
use serde::{Deserialize, Serialize};

/// Flows of one node that are kept apart in a sum; twice those of an account, since what is refused is a row too.
const FLOWS_MAX: usize = 4 * SEEN_FLOWS_MAX;

/// Sockets of one node that are named in a sum.
const SOCKETS_MAX: usize = 4 * SEEN_SOCKETS_MAX;

/// What stays apart in a sum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FlowKey {
    peer: String,
    protocol: String,
    way: FlowWay,
    standing: FlowStanding,
    zone: Option<Zone>,
    rows: Vec<String>,
}

/// One node's.
#[derive(Debug, Clone)]
struct Of {
    /// The latest, without flows and sockets.
    last: NodeFlows,
    flows: BTreeMap<FlowKey, SeenFlow>,
    sockets: BTreeMap<String, SeenSocket>,
    /// By direction, kind and verdict.
    messages: BTreeMap<[String; 3], u64>,
    /// When it was heard, in order, without holes inside.
    heard: Vec<(UnixMillis, UnixMillis)>,
}

/// A sum so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sum {
    nodes: BTreeMap<NodeName, Of>,
}

/// A sum as it is kept, so that a day is not added up again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flat {
    nodes: Vec<NodeFlows>,
    heard: Vec<(NodeName, Vec<(UnixMillis, UnixMillis)>)>,
}

impl Sum {
    /// Adds what a node saw.
    pub(crate) fn add(&mut self, account: NodeFlows) {
        let heard = (account.since, account.at);
        self.take(account, &[heard]);
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: Flat) {
        let mut heard: BTreeMap<_, _> = other.heard.into_iter().collect();
        for account in other.nodes {
            let heard = heard.remove(&account.node).unwrap_or_default();
            self.take(account, &heard);
        }
    }

    fn take(&mut self, mut account: NodeFlows, heard: &[(UnixMillis, UnixMillis)]) {
        let flows = std::mem::take(&mut account.flows);
        let sockets = std::mem::take(&mut account.sockets);
        let messages = std::mem::take(&mut account.messages);
        let left_out = account.left_out;
        let of = self
            .nodes
            .entry(account.node.clone())
            .or_insert_with(|| Of {
                last: NodeFlows {
                    left_out: 0,
                    ..account.clone()
                },
                flows: BTreeMap::new(),
                sockets: BTreeMap::new(),
                messages: BTreeMap::new(),
                heard: Vec::new(),
            });
        let (since, sum) = (of.last.since.min(account.since), of.last.left_out);
        if account.at >= of.last.at {
            of.last = account;
        }
        of.last.since = since;
        of.last.left_out = sum.saturating_add(left_out);
        for flow in flows {
            of.flow(flow);
        }
        for socket in sockets {
            of.socket(socket);
        }
        for it in messages {
            let sum = of
                .messages
                .entry([it.direction, it.kind, it.verdict])
                .or_default();
            *sum = sum.saturating_add(it.count);
        }
        of.heard.extend_from_slice(heard);
        of.heard = joined(std::mem::take(&mut of.heard));
    }

    /// As it is kept.
    pub(crate) fn flat(self) -> Flat {
        let heard = self.nodes.iter();
        let heard = heard.map(|(name, of)| (name.clone(), of.heard.clone()));
        Flat {
            heard: heard.collect(),
            nodes: self.nodes.into_values().map(Of::account).collect(),
        }
    }

    /// When the first node was heard first, and the last one last.
    pub(crate) fn span(&self) -> Option<(UnixMillis, UnixMillis)> {
        let heard = self.nodes.values().flat_map(|of| &of.heard);
        let from = heard.clone().map(|(from, _)| *from).min()?;
        let to = heard.map(|(_, to)| *to).max()?;
        Some((from, to))
    }

    /// Of whom nothing is known when between two times, by node and time; and the accounts, by node.
    pub(crate) fn close(self, from: UnixMillis, to: UnixMillis) -> (Vec<FlowGap>, Vec<NodeFlows>) {
        let mut gaps = Vec::new();
        for (node, of) in &self.nodes {
            let mut known = from;
            let end = (to, to);
            for (begin, until) in of.heard.iter().chain([&end]) {
                let is_at_end = known == from || *begin >= to;
                let slack = if is_at_end { GAP_AT_END_MS } else { 0 };
                if begin.min(&to).since(known) > slack {
                    gaps.push(FlowGap {
                        node: node.clone(),
                        from: known,
                        to: (*begin).min(to),
                    });
                }
                known = known.max(*until);
            }
        }
        (gaps, self.nodes.into_values().map(Of::account).collect())
    }
}

impl Of {
    fn flow(&mut self, flow: SeenFlow) {
        let key = FlowKey {
            peer: flow.peer.clone(),
            protocol: flow.protocol.clone(),
            way: flow.way,
            standing: flow.standing,
            zone: flow.zone,
            rows: flow.rows.clone(),
        };
        if let Some(sum) = self.flows.get_mut(&key) {
            let SeenFlow {
                connections,
                sent,
                received,
                first,
                last,
                why,
                uid,
                ..
            } = flow;
            sum.connections = sum.connections.saturating_add(connections);
            sum.sent = sum.sent.saturating_add(sent);
            sum.received = sum.received.saturating_add(received);
            sum.first = sum.first.min(first);
            if last >= sum.last {
                (sum.last, sum.uid) = (last, uid);
                sum.why = why.or_else(|| sum.why.take());
            }
        } else if self.flows.len() < FLOWS_MAX {
            self.flows.insert(key, SeenFlow { open: 0, ..flow });
        } else {
            self.last.left_out = self.last.left_out.saturating_add(flow.connections);
        }
    }

    fn socket(&mut self, socket: SeenSocket) {
        let key = format!("{} {:?}", socket.named(), socket.standing);
        if let Some(sum) = self.sockets.get_mut(&key) {
            sum.first = sum.first.min(socket.first);
            sum.last = sum.last.max(socket.last);
        } else if self.sockets.len() < SOCKETS_MAX {
            self.sockets.insert(key, socket);
        } else {
            self.last.left_out = self.last.left_out.saturating_add(1);
        }
    }

    fn account(self) -> NodeFlows {
        NodeFlows {
            flows: self.flows.into_values().collect(),
            sockets: self.sockets.into_values().collect(),
            messages: self.messages.into_iter().map(seen).collect(),
            ..self.last
        }
    }
}

fn seen(([direction, kind, verdict], count): ([String; 3], u64)) -> SeenMessages {
    SeenMessages {
        direction,
        kind,
        verdict,
        count,
    }
}

/// In order, and those that touch made one.
fn joined(mut spans: Vec<(UnixMillis, UnixMillis)>) -> Vec<(UnixMillis, UnixMillis)> {
    spans.sort_unstable();
    let mut joined: Vec<(UnixMillis, UnixMillis)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, until)) if from <= *until => *until = (*until).max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

#[cfg(test)]
pub(crate) mod tests {
    use guitai_types::Hex;

    use super::*;

    pub(crate) fn flow(peer: &str, standing: FlowStanding, count: u64) -> SeenFlow {
        SeenFlow {
            uid: "00".repeat(8),
            way: FlowWay::Opened,
            peer: peer.to_owned(),
            zone: Some(Zone::Inner),
            protocol: "raft".to_owned(),
            rows: vec!["raft".to_owned()],
            standing,
            why: None,
            first: UnixMillis(count),
            last: UnixMillis(count),
            connections: count,
            open: 1,
            sent: 10 * count,
            received: 20 * count,
        }
    }

    pub(crate) fn account(node: &str, since: u64, at: u64, flows: Vec<SeenFlow>) -> NodeFlows {
        NodeFlows {
            node: node.parse().unwrap(),
            zone: Zone::Inner,
            matrix: Hex(vec![1]),
            since: UnixMillis(since),
            at: UnixMillis(at),
            flows,
            sockets: Vec::new(),
            messages: Vec::new(),
            no_sockets: None,
            left_out: 0,
        }
    }

    fn gaps(sum: Sum, from: u64, to: u64) -> Vec<(String, u64, u64)> {
        let (gaps, _) = sum.close(UnixMillis(from), UnixMillis(to));
        let pair = |gap: FlowGap| (gap.node.to_string(), gap.from.0, gap.to.0);
        gaps.into_iter().map(pair).collect()
    }

    #[test]
    fn minutes_add_up_by_party_standing_and_row() {
        use FlowStanding::{Declared, Refused};
        let mut sum = Sum::default();
        sum.add(account(
            "a",
            0,
            60,
            vec![flow("b", Declared, 1), flow("b", Refused, 5)],
        ));
        sum.add(account(
            "a",
            60,
            120,
            vec![flow("b", Declared, 2), flow("c", Declared, 3)],
        ));
        let (_, nodes) = sum.close(UnixMillis(0), UnixMillis(120));
        let [node] = nodes.as_slice() else {
            panic!("one node");
        };
        let told: Vec<_> = node
            .flows
            .iter()
            .map(|it| {
                (
                    it.peer.as_str(),
                    it.standing,
                    it.connections,
                    it.sent,
                    it.open,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("b", Declared, 3, 30, 0),
                ("b", Refused, 5, 50, 0),
                ("c", Declared, 3, 30, 0)
            ]
        );
        assert_eq!((node.since, node.at), (UnixMillis(0), UnixMillis(120)));
        assert_eq!(
            (node.flows[0].first, node.flows[0].last),
            (UnixMillis(1), UnixMillis(2))
        );
    }

    #[test]
    fn what_is_not_known_is_a_gap_wherever_it_lies() {
        let of = |spans: &[(u64, u64)]| {
            let mut sum = Sum::default();
            for (from, to) in spans {
                sum.add(account("a", *from * 1_000, *to * 1_000, Vec::new()));
            }
            sum
        };
        let gaps = |sum, from: u64, to: u64| gaps(sum, from * 1_000, to * 1_000);
        let named = |from: u64, to: u64| ("a".to_owned(), from * 1_000, to * 1_000);
        assert_eq!(gaps(of(&[(0, 60), (60, 120)]), 0, 120), []);
        // In any order, doubled, and with what was there before and after.
        assert_eq!(gaps(of(&[(60, 120), (0, 60), (0, 60)]), 10, 110), []);
        assert_eq!(gaps(of(&[(0, 60), (61, 120)]), 0, 120), [named(60, 61)]);
        assert_eq!(
            gaps(of(&[(30, 60)]), 0, 120),
            [named(0, 30), named(60, 120)]
        );
        assert_eq!(
            gaps(of(&[(0, 10), (300, 400)]), 100, 200),
            [named(100, 200)]
        );
        // By their own clocks: some seconds at either end are none, in between they are.
        assert_eq!(gaps(of(&[(4, 60), (60, 116)]), 0, 120), []);
        assert_eq!(
            gaps(of(&[(6, 60), (60, 114)]), 0, 120),
            [named(0, 6), named(114, 120)]
        );
    }

    #[test]
    fn a_sum_of_sums_is_the_sum() {
        let minutes: Vec<NodeFlows> = (0..50)
            .map(|minute| {
                let peer = format!("b{}", minute % 3);
                let flows = vec![flow(&peer, FlowStanding::Declared, minute)];
                let hole = minute / 20;
                account("a", minute * 60 + hole, minute * 60 + 60, flows)
            })
            .collect();
        let mut whole = Sum::default();
        minutes.iter().cloned().for_each(|it| whole.add(it));
        let mut parts = Sum::default();
        for part in minutes.chunks(7) {
            let mut sum = Sum::default();
            part.iter().cloned().for_each(|it| sum.add(it));
            let text = serde_json::to_string(&sum.flat()).unwrap();
            parts.merge(serde_json::from_str(&text).unwrap());
        }
        let (from, to) = whole.span().unwrap();
        assert_eq!(parts.span(), Some((from, to)));
        let whole = whole.close(from, to);
        assert_eq!(whole.0.len(), 30);
        assert_eq!(parts.close(from, to), whole);
    }
}
