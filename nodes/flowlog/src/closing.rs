//! A node's minutes: its account counts from its start, a minute has what came since the minute before.

use std::collections::{BTreeMap, VecDeque};

use guitai_types::{
    UnixMillis,
    flowlog::{MINUTES_ASKED_MAX, MINUTES_HELD_MAX, minute_of},
    observed::{FlowStanding, NodeFlows, SeenFlow},
};

/// What was counted of one flow.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    connections: u64,
    sent: u64,
    received: u64,
}

/// The minutes of one node. Time is an argument: it is in what is closed.
#[derive(Debug, Default)]
pub struct Closing {
    /// By random number, and whether it was refused: both are counted under one number.
    before: BTreeMap<(String, bool), Counted>,
    /// Messages by direction, kind and verdict.
    messages: BTreeMap<[String; 3], u64>,
    left_out: u64,
    /// When the last minute was closed.
    closed: Option<UnixMillis>,
    /// Oldest first.
    held: VecDeque<NodeFlows>,
}

/// The minute that an account closed then is of: that which has just ended.
pub(crate) fn minute(account: &NodeFlows) -> u64 {
    minute_of(account.at).saturating_sub(1)
}

impl Closing {
    /// Closes a minute with the account as it is now, counted since the node started.
    pub fn close(&mut self, account: NodeFlows) {
        let since = self.closed.unwrap_or(account.since);
        let mut flows = Vec::new();
        for flow in account.flows {
            let key = (flow.uid.clone(), flow.standing == FlowStanding::Refused);
            let now = Counted {
                connections: flow.connections,
                sent: flow.sent,
                received: flow.received,
            };
            let before = self.before.insert(key, now).unwrap_or_default();
            let flow = SeenFlow {
                connections: now.connections.saturating_sub(before.connections),
                sent: now.sent.saturating_sub(before.sent),
                received: now.received.saturating_sub(before.received),
                ..flow
            };
            if flow.connections + flow.open > 0 || flow.sent > 0 || flow.received > 0 {
                flows.push(flow);
            }
        }
        let mut sockets = account.sockets;
        sockets.retain(|socket| socket.last >= since);
        let mut messages = account.messages;
        for it in &mut messages {
            let key = [&it.direction, &it.kind, &it.verdict].map(Clone::clone);
            let before = self.messages.insert(key, it.count).unwrap_or_default();
            it.count = it.count.saturating_sub(before);
        }
        messages.retain(|it| it.count > 0);
        let left_out = account.left_out.saturating_sub(self.left_out);
        self.left_out = account.left_out;
        self.closed = Some(account.at);
        if self.held.len() == MINUTES_HELD_MAX {
            self.held.pop_front();
        }
        self.held.push_back(NodeFlows {
            since,
            flows,
            sockets,
            messages,
            left_out,
            ..account
        });
    }

    /// Minutes after one and through another that are still held, oldest first, at most [`MINUTES_ASKED_MAX`].
    pub fn held(&self, after: u64, through: u64) -> Vec<NodeFlows> {
        let held = self.held.iter().filter(|it| {
            let minute = minute(it);
            minute > after && minute <= through
        });
        held.take(MINUTES_ASKED_MAX).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use guitai_types::{Hex, Zone, flowlog::MINUTE_MS, observed::FlowWay};

    use super::*;

    pub(crate) fn flow(uid: &str, standing: FlowStanding, counted: [u64; 3]) -> SeenFlow {
        let [connections, sent, received] = counted;
        SeenFlow {
            uid: uid.to_owned(),
            way: FlowWay::Opened,
            peer: "b".to_owned(),
            zone: Some(Zone::Inner),
            protocol: "raft".to_owned(),
            rows: vec!["raft".to_owned()],
            standing,
            why: None,
            first: UnixMillis(0),
            last: UnixMillis(0),
            connections,
            open: 0,
            sent,
            received,
        }
    }

    pub(crate) fn account(at: u64, flows: Vec<SeenFlow>) -> NodeFlows {
        NodeFlows {
            node: "a".parse().unwrap(),
            zone: Zone::Inner,
            matrix: Hex(vec![1]),
            since: UnixMillis(10),
            at: UnixMillis(at),
            flows,
            sockets: Vec::new(),
            messages: Vec::new(),
            no_sockets: None,
            left_out: 0,
        }
    }

    #[test]
    fn a_minute_has_what_came_since_the_one_before() {
        use FlowStanding::{Declared, Refused, RunOut};
        let mut closing = Closing::default();
        let first = vec![
            flow("1", Declared, [2, 100, 50]),
            flow("1", Refused, [1, 0, 0]),
        ];
        closing.close(account(MINUTE_MS, first));
        // The matrix was changed: the same connections stand otherwise, and are not counted again.
        let second = vec![
            flow("1", RunOut, [2, 130, 50]),
            flow("1", Refused, [1, 0, 0]),
        ];
        closing.close(account(2 * MINUTE_MS + 3, second));
        let held = closing.held(0, 9);
        assert_eq!(held.len(), 1, "minute 0 is not after minute 0");
        let all = &closing.held;
        assert_eq!(
            (all[0].since, all[0].at),
            (UnixMillis(10), UnixMillis(MINUTE_MS))
        );
        assert_eq!(all[0].flows.len(), 2);
        assert_eq!(all[1].since, UnixMillis(MINUTE_MS));
        let [only] = all[1].flows.as_slice() else {
            panic!("what was refused before is not refused again");
        };
        assert_eq!((only.connections, only.sent, only.received), (0, 30, 0));
        assert_eq!(only.standing, RunOut);
    }

    #[test]
    fn no_more_is_held_than_the_limit_and_no_more_is_given_at_once() {
        let mut closing = Closing::default();
        let last = MINUTES_HELD_MAX as u64 + 40;
        for minute in 1..=last {
            closing.close(account((minute + 1) * MINUTE_MS, Vec::new()));
        }
        let given = |after, through| -> Vec<u64> {
            closing.held(after, through).iter().map(minute).collect()
        };
        assert_eq!(given(0, last).first(), Some(&41));
        assert_eq!(given(0, last).len(), MINUTES_ASKED_MAX);
        assert_eq!(given(last - 2, last - 1), [last - 1]);
        assert!(given(last, last).is_empty());
    }
}
