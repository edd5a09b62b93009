//! Which kinds of message each protocol has, as the code that speaks it names them.
//!
//! The lists stand here and not with the guard, so that a matrix can be checked without it; a test of `relay`
//! compares them with the guard's types, and one of `tests/tidy` with what is registered on the mesh.

use crate::names::Protocol;

/// Questions of customers (`guitai_types::control::Ask`), edge to core.
pub const ASKS: &[&str] = &[
    "ask.catalogue",
    "ask.open-ticket",
    "ask.ticket",
    "ask.watch-ticket",
    "ask.close-ticket",
    "ask.rate",
    "ask.rejoin",
    "ask.leave",
    "ask.confirm",
    "ask.say",
    "ask.messages",
    "ask.send-file",
    "ask.fetch-file",
];
/// Answers to them (`guitai_types::control::Answer`), core to edge.
pub const ANSWERS: &[&str] = &[
    "answer.catalogue",
    "answer.opened",
    "answer.ticket",
    "answer.messages",
    "answer.file",
    "answer.done",
    "answer.refused",
];
/// What the core orders unasked (`guitai_types::control::Order`), core to edge.
pub const ORDERS: &[&str] = &[
    "order.hello",
    "order.end-session",
    "order.revoke-ticket",
    "order.doors",
];
/// What a tunnel cannot do without: it is used only once it was greeted, rights must be taken away, and who is refused
/// must hear of it.
pub const TUNNEL_NEEDS: &[&str] = &[
    "answer.refused",
    "order.end-session",
    "order.hello",
    "order.revoke-ticket",
];
/// What an edge must be brought: the matrix in force, or it would obey an old one for ever, and its permit.
pub const EDGE_NEEDS: &[&str] = &["api.permit", "flows.take"];
/// Calls on `guitai-call/1`.
pub const CALLS: &[&str] = &[
    "api.consensus",
    "api.door",
    "flows.book",
    "flows.keep",
    "meta.lease",
    "meta.lineage",
    "meta.log",
    "meta.read",
    "meta.status",
    "meta.write",
    "recording.canary",
    "recording.export",
    "recording.film",
    "recording.keep-message",
    "recording.messages",
    "recording.read",
    "tsa.stamp",
];
/// Questions on `guitai-node/1`.
pub const QUESTIONS: &[&str] = &[
    "api.doors",
    "api.flows",
    "api.inventory",
    "api.keys",
    "api.measures",
    "api.passed",
    "api.permit",
    "api.sandbox",
    "dr.live",
    "dr.vitals",
    "flows.minutes",
    "flows.take",
];
/// Messages of consensus on `guitai-raft/1`.
pub const CONSENSUS: &[&str] = &[
    "raft.append",
    "raft.piece",
    "raft.pre-vote",
    "raft.transfer",
    "raft.vote",
];
/// Whose broadcasts a media link carries.
pub const BROADCASTS: &[&str] = &["broadcast.agent", "broadcast.customer"];
/// The one message of `guitai-crl/1`.
pub const LISTS: &[&str] = &["crl.list"];

impl Protocol {
    /// Kinds of message it has, in families. Empty where kinds are not told apart: HTTP's are its paths, which
    /// the guard turns into the tunnel's.
    pub const fn messages(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Http | Self::S3 => &[],
            Self::Tunnel => &[ASKS, ANSWERS, ORDERS],
            Self::Node => &[QUESTIONS],
            Self::Crl => &[LISTS],
            Self::Raft => &[CONSENSUS],
            Self::Call => &[CALLS],
            Self::WebSocket | Self::WebTransport | Self::MoqDoor | Self::MoqMesh => &[BROADCASTS],
        }
    }

    /// Whether it has this kind of message.
    pub fn knows(self, message: &str) -> bool {
        self.messages()
            .iter()
            .any(|family| family.contains(&message))
    }
}
