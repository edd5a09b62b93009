//! What nodes saw of their connections: `guitai flow seen` and `GET /api/v1/flows/seen`.
//!
//! Each node keeps account of every connection that it opens, takes or refuses, and looks beside that at the sockets
//! which the kernel says it has: a connection that its own code does not know of is there too. Nothing of what was
//! said is in it, and no customer's address: who comes in by a door is counted by row.

use serde::{Deserialize, Serialize};

use crate::{Hex, NodeName, UnixMillis, Zone, place::Text};

/// Flows that a node keeps apart; what comes after is counted as one number.
pub const SEEN_FLOWS_MAX: usize = 1_024;
/// Sockets that a node names; the door's own connections are none of them.
pub const SEEN_SOCKETS_MAX: usize = 256;
/// Connections of one flow that opened within so many milliseconds may be known to one end only: the other one
/// answered a moment earlier.
pub const ONE_SIDED_MS: u64 = 10_000;

/// Kinds of message, directions and verdicts that a node tells apart.
pub const SEEN_MESSAGES_MAX: usize = 1_024;
/// The verdict of a message that crossed.
pub const PASSED: &str = "passed";

/// Which end of a connection opened it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FlowWay {
    /// This node did.
    Opened,
    /// The other one did.
    Accepted,
}

/// How the flow matrix has it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FlowStanding {
    /// A row allows it.
    Declared,
    /// A row allowed it until its last day; it still lets through.
    RunOut,
    /// It was asked for and did not come about.
    Refused,
    /// It is there, and no row allows it.
    Undeclared,
}

/// All connections of one kind between a node and one other party, since the node started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenFlow {
    /// Random, the same as long as the node runs: 16 hexadecimal digits.
    pub uid: String,
    /// Who opens.
    pub way: FlowWay,
    /// The other party: a node's name, a role of the matrix, or an address that showed no name.
    pub peer: String,
    /// Its zone, where that is known.
    pub zone: Option<Zone>,
    /// As the matrix names it; the wire's version where it has no name.
    pub protocol: String,
    /// Rows that allow it, ordered.
    pub rows: Vec<String>,
    /// How the matrix has it.
    pub standing: FlowStanding,
    /// Why it was refused, or is not declared.
    pub why: Option<String>,
    /// When it was seen first.
    pub first: UnixMillis,
    /// When something came or went, as of the last look; looks are at most some seconds apart.
    pub last: UnixMillis,
    /// Connections so far, or refusals.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes that this node sent, headers of UDP and IP not counted.
    pub sent: u64,
    /// Bytes that it received.
    pub received: u64,
}

/// A socket that the kernel says a node's process has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenSocket {
    /// `tcp` or `udp`.
    pub transport: String,
    /// Where it is bound.
    pub local: String,
    /// The other end, of a connection.
    pub remote: Option<String>,
    /// What it is; of an undeclared one, why it may not be.
    pub what: String,
    /// Declared, run out or undeclared.
    pub standing: FlowStanding,
    /// Seen first, in looks that are some seconds apart.
    pub first: UnixMillis,
    /// Seen last; one that is gone stays in the list.
    pub last: UnixMillis,
}

/// Control messages of one kind that met one end of the guard; or what an edge's door refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeenMessages {
    /// `inward`, from the DMZ to the inner zone, or `outward`; `door` for what came to an edge's door.
    pub direction: String,
    /// Kind as the matrix names it, or `unknown`; at the door `tcp` or `quic`.
    pub kind: String,
    /// `passed`, or why it was refused.
    pub verdict: String,
    /// How many.
    pub count: u64,
}

impl SeenMessages {
    /// Whether they did not cross.
    pub fn is_refused(&self) -> bool {
        self.verdict != PASSED
    }
}

/// What one node saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeFlows {
    /// Which node.
    pub node: NodeName,
    /// Its zone.
    pub zone: Zone,
    /// SM3 of the matrix that it obeys.
    pub matrix: Hex,
    /// Since when it keeps account: when it started.
    pub since: UnixMillis,
    /// When it said this.
    pub at: UnixMillis,
    /// Ordered by party, protocol and who opens.
    pub flows: Vec<SeenFlow>,
    /// Ordered by address.
    pub sockets: Vec<SeenSocket>,
    /// Control messages that it passed or refused at the border of the zones, ordered.
    #[serde(default)]
    pub messages: Vec<SeenMessages>,
    /// Why the kernel could not be asked for the sockets.
    pub no_sockets: Option<String>,
    /// Connections that were not kept apart any more, see [`SEEN_FLOWS_MAX`].
    pub left_out: u64,
}

/// What all nodes saw, and what of it somebody has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowsSeen {
    /// When they were asked.
    pub at: UnixMillis,
    /// SM3 of the matrix in force, once there is one.
    pub matrix: Option<Hex>,
    /// The newest checkpoint of the transparency log then, a signed note; `guitai log consistency` can start from it.
    pub checkpoint: Option<String>,
    /// Answers, by name.
    pub nodes: Vec<NodeFlows>,
    /// Who did not answer.
    pub silent: Vec<NodeName>,
    /// What is not as it should be.
    pub findings: Vec<FlowFinding>,
}

/// What kind of thing is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlowFault {
    /// A connection that no row allows.
    Flow,
    /// A socket that no row allows.
    Socket,
    /// A node asked for a connection that was refused.
    Refused,
    /// A message that no honest end of a tunnel sends.
    Message,
    /// A node of the inner zone took a connection from outside it.
    Outside,
    /// One end has a connection, the other knows of none.
    OneSided,
    /// A node obeys another matrix than the one in force.
    Matrix,
    /// A node did not answer.
    Silent,
    /// Nothing is known of a node for some time.
    Unknown,
    /// A node could not keep all apart, or could not ask its kernel.
    Blind,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowFinding {
    /// Where it was seen.
    pub node: NodeName,
    /// What kind.
    pub fault: FlowFault,
    /// In words.
    pub what: Text,
}

/// What of these answers is not as it should be, by node. `matrix` is the one in force.
pub fn findings(
    nodes: &[NodeFlows],
    silent: &[NodeName],
    matrix: Option<&Hex>,
) -> Vec<FlowFinding> {
    let mut found: Vec<FlowFinding> = silent.iter().map(silence).collect();
    for node in nodes {
        found.extend(node.faults(matrix));
        found.extend(one_sided(node, nodes));
    }
    found.sort_by(|a, b| a.node.cmp(&b.node));
    found
}

fn silence(node: &NodeName) -> FlowFinding {
    FlowFinding {
        node: node.clone(),
        fault: FlowFault::Silent,
        what: Text {
            zh: "没有应答,所见未知".to_owned(),
            en: "did not answer: what it saw is not known".to_owned(),
        },
    }
}

impl NodeFlows {
    fn finding(&self, fault: FlowFault, zh: String, en: String) -> FlowFinding {
        let node = self.node.clone();
        let what = Text { zh, en };
        FlowFinding { node, fault, what }
    }

    fn faults(&self, matrix: Option<&Hex>) -> Vec<FlowFinding> {
        let mut found = Vec::new();
        if matrix.is_some_and(|matrix| *matrix != self.matrix) {
            found.push(self.finding(
                FlowFault::Matrix,
                "执行的矩阵不是现行版本".to_owned(),
                "obeys another matrix than the one in force".to_owned(),
            ));
        }
        if self.left_out > 0 {
            let left_out = self.left_out;
            found.push(self.finding(
                FlowFault::Blind,
                format!("{left_out} 条连接超出上限 {SEEN_FLOWS_MAX},未单列"),
                format!(
                    "{left_out} connections were not kept apart: more than {SEEN_FLOWS_MAX} flows"
                ),
            ));
        }
        if let Some(why) = &self.no_sockets {
            found.push(self.finding(
                FlowFault::Blind,
                format!("无法向内核查询套接字:{why}"),
                format!("the kernel was not asked for sockets: {why}"),
            ));
        }
        for flow in &self.flows {
            found.extend(self.taken_from_outside(flow));
            let fault = match flow.standing {
                FlowStanding::Undeclared => FlowFault::Flow,
                FlowStanding::Refused => FlowFault::Refused,
                FlowStanding::Declared | FlowStanding::RunOut => continue,
            };
            let SeenFlow {
                peer,
                protocol,
                connections,
                ..
            } = flow;
            let why = flow.why.as_deref().unwrap_or_default();
            let (zh, en) = match flow.way {
                FlowWay::Opened => ("向", "to"),
                FlowWay::Accepted => ("来自", "from"),
            };
            let (zh_end, en_end) = match fault {
                FlowFault::Refused => (
                    format!("拒绝 {connections} 次"),
                    format!("refused {connections} times"),
                ),
                _ => (
                    format!("未声明,{connections} 次"),
                    format!("not declared, {connections} times"),
                ),
            };
            found.push(self.finding(
                fault,
                format!("{protocol} {zh} {peer}:{zh_end}({why})"),
                format!("{protocol} {en} {peer}: {en_end} ({why})"),
            ));
        }
        for messages in self.messages.iter().filter(|it| self.is_forged(it)) {
            let SeenMessages {
                direction,
                kind,
                verdict,
                count,
            } = messages;
            found.push(self.finding(
                FlowFault::Message,
                format!("拒绝了 {count} 条 {direction} 消息 {kind}:{verdict}"),
                format!("refused {count} {direction} messages {kind}: {verdict}"),
            ));
        }
        for socket in &self.sockets {
            if socket.standing == FlowStanding::Undeclared {
                let named = socket.named();
                found.push(self.finding(
                    FlowFault::Socket,
                    format!("{named} 未声明:{}", socket.what),
                    format!("{named} is not declared: {}", socket.what),
                ));
            }
        }
        found
    }

    /// Promise of the design, whatever the matrix says: nothing of the inner zone takes a connection from outside it.
    fn taken_from_outside(&self, flow: &SeenFlow) -> Option<FlowFinding> {
        let is_outside = self.zone == Zone::Inner
            && flow.way == FlowWay::Accepted
            && flow.standing != FlowStanding::Refused
            && flow.zone.is_some_and(|zone| zone != Zone::Inner);
        let SeenFlow { peer, protocol, .. } = flow;
        is_outside.then(|| {
            self.finding(
                FlowFault::Outside,
                format!("内区节点接受了来自 {peer} 的 {protocol} 连接"),
                format!("a node of the inner zone took a {protocol} connection from {peer}"),
            )
        })
    }

    /// An edge checks what customers ask before it sends it on, and the core what it answers: what the far end of a
    /// tunnel still refuses was not sent by either as it should be.
    fn is_forged(&self, messages: &SeenMessages) -> bool {
        let from_far = match self.zone {
            Zone::Inner => "inward",
            Zone::Dmz | Zone::Outer => "outward",
        };
        messages.is_refused() && messages.direction == from_far
    }

    fn has_open(&self, peer: &NodeName, protocol: &str, way: FlowWay) -> bool {
        self.flows.iter().any(|flow| {
            flow.way == way
                && flow.protocol == protocol
                && flow.peer == peer.as_str()
                && flow.open > 0
        })
    }
}

impl SeenSocket {
    /// Transport and ends in one word.
    pub fn named(&self) -> String {
        match &self.remote {
            Some(remote) => format!("{} {} → {remote}", self.transport, self.local),
            None => format!("{} {}", self.transport, self.local),
        }
    }
}

/// Connections of a node that the other end, which answered too, does not have.
fn one_sided(node: &NodeFlows, nodes: &[NodeFlows]) -> Vec<FlowFinding> {
    let mut found = Vec::new();
    for flow in node.flows.iter().filter(|flow| flow.open > 0) {
        // Just opened, or the other end has just started: the answers were not given at the same moment.
        let is_young = flow.first.plus(ONE_SIDED_MS) > node.at;
        let other = nodes.iter().find(|other| other.node.as_str() == flow.peer);
        let Some(other) = other.filter(|_| !is_young) else {
            continue;
        };
        let way = match flow.way {
            FlowWay::Opened => FlowWay::Accepted,
            FlowWay::Accepted => FlowWay::Opened,
        };
        let has_restarted = other.since.plus(ONE_SIDED_MS) > other.at;
        if !has_restarted && !other.has_open(&node.node, &flow.protocol, way) {
            let SeenFlow { peer, protocol, .. } = flow;
            found.push(node.finding(
                FlowFault::OneSided,
                format!("与 {peer} 的 {protocol} 连接,对端不知道"),
                format!("has a {protocol} connection with {peer}, which knows of none"),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    fn flow(way: FlowWay, peer: &str, standing: FlowStanding) -> SeenFlow {
        SeenFlow {
            uid: "00".repeat(8),
            way,
            peer: peer.to_owned(),
            zone: Some(Zone::Inner),
            protocol: "raft".to_owned(),
            rows: Vec::new(),
            standing,
            why: None,
            first: UnixMillis(0),
            last: UnixMillis(0),
            connections: 2,
            open: 1,
            sent: 10,
            received: 20,
        }
    }

    fn node(text: &str, flows: Vec<SeenFlow>) -> NodeFlows {
        NodeFlows {
            node: name(text),
            zone: Zone::Inner,
            matrix: Hex(vec![1]),
            since: UnixMillis(0),
            at: UnixMillis(1_000_000),
            flows,
            sockets: Vec::new(),
            messages: Vec::new(),
            no_sockets: None,
            left_out: 0,
        }
    }

    fn faults(nodes: &[NodeFlows]) -> Vec<(String, FlowFault)> {
        let found = findings(nodes, &[], Some(&Hex(vec![1])));
        let pair = |it: FlowFinding| (it.node.to_string(), it.fault);
        found.into_iter().map(pair).collect()
    }

    #[test]
    fn what_both_ends_have_and_the_matrix_declares_is_in_order() {
        use FlowStanding::{Declared, RunOut};
        let a = node("a", vec![flow(FlowWay::Opened, "b", Declared)]);
        let b = node("b", vec![flow(FlowWay::Accepted, "a", RunOut)]);
        assert_eq!(faults(&[a, b]), []);
    }

    #[test]
    fn a_connection_that_one_end_does_not_know_of_is_found_unless_it_is_young() {
        let mut a = node(
            "a",
            vec![flow(FlowWay::Opened, "b", FlowStanding::Declared)],
        );
        // The same direction at both ends is no pair.
        let same_way = flow(FlowWay::Opened, "a", FlowStanding::Declared);
        let b = node(
            "b",
            vec![SeenFlow {
                open: 0,
                ..same_way
            }],
        );
        let pair = [("a".to_owned(), FlowFault::OneSided)];
        assert_eq!(faults(&[a.clone(), b.clone()]), pair);
        a.flows[0].first = UnixMillis(a.at.0 - ONE_SIDED_MS + 1);
        assert_eq!(faults(&[a.clone(), b.clone()]), []);
        a.flows[0].first = UnixMillis(0);
        let since = UnixMillis(b.at.0 - 1);
        assert_eq!(faults(&[a.clone(), NodeFlows { since, ..b }]), []);
        // Who did not answer says nothing against it.
        assert_eq!(faults(&[a]), []);
    }

    #[test]
    fn every_other_fault_is_found_and_named() {
        let mut a = node("a", Vec::new());
        a.matrix = Hex(vec![2]);
        a.left_out = 3;
        a.no_sockets = Some("no /proc".to_owned());
        a.flows = vec![
            flow(FlowWay::Accepted, "c", FlowStanding::Undeclared),
            flow(FlowWay::Opened, "d", FlowStanding::Refused),
        ];
        let messages = |direction: &str, verdict: &str| SeenMessages {
            direction: direction.to_owned(),
            kind: "unknown".to_owned(),
            verdict: verdict.to_owned(),
            count: 1,
        };
        a.messages = vec![
            messages("inward", "unknown-type"),
            messages("inward", PASSED),
            messages("outward", "too-large"),
        ];
        a.sockets = vec![SeenSocket {
            transport: "tcp".to_owned(),
            local: "10.0.0.1:6666".to_owned(),
            remote: None,
            what: "no row".to_owned(),
            standing: FlowStanding::Undeclared,
            first: UnixMillis(0),
            last: UnixMillis(0),
        }];
        let found = findings(&[a], &[name("b")], Some(&Hex(vec![1])));
        let kinds: Vec<FlowFault> = found.iter().map(|it| it.fault).collect();
        use FlowFault::{Blind, Flow, Matrix, Message, Refused, Silent, Socket};
        assert_eq!(
            kinds,
            [Matrix, Blind, Blind, Flow, Refused, Message, Socket, Silent]
        );
        assert_eq!(found[3].what.en, "raft from c: not declared, 2 times ()");
        assert_eq!(
            found[6].what.en,
            "tcp 10.0.0.1:6666 is not declared: no row"
        );
    }
}
