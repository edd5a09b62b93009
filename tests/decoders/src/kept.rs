//! What nodes agree on, keep and tell each other as JSON: commands of the raft log, minutes of the flow log, records,
//! accounts of connections, retention. A release reads what the one before wrote, so all of it comes from outside.

use guitai_types::{
    command::Proposal, dr::Plan, flowlog::FlowsKept, flowlog::gap_findings, observed,
    observed::NodeFlows, record::SessionEvent, retention::Matrix, tlog::Access,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::Seed;

#[expect(unreachable_pub, reason = "a module of another crate, which shows it")]
#[path = "../../../nodes/flowlog/src/book.rs"]
mod book;

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    match choice % 8 {
        0 => minute(bytes),
        1 => again::<Proposal>(bytes),
        2 => again::<NodeFlows>(bytes),
        3 => again::<FlowsKept>(bytes),
        4 => again::<Matrix>(bytes),
        5 => again::<SessionEvent>(bytes),
        6 => again::<Access>(bytes),
        _ => again::<Plan>(bytes),
    }
}

/// A minute of the flow log, as a node fetches it from another. What it is written as again fits, and is read again.
fn minute(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    let known = book::agreed(7, text);
    assert_eq!(
        known.lines as usize,
        text.lines().count(),
        "a line that does not count"
    );
    let Ok(read) = book::Book::parse(text) else {
        return false;
    };
    let written = read.to_text();
    let again = book::Book::parse(&written).expect("what is written is read");
    assert_eq!(again, read, "another minute after it was written");
    true
}

/// What is read is written so that it is read as the same; what people are shown of it stands.
fn again<T: Serialize + DeserializeOwned + Looked>(bytes: &[u8]) -> bool {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else {
        return false;
    };
    let written = serde_json::to_vec(&read).expect("plain data");
    let again: T = serde_json::from_slice(&written).expect("what is written is read");
    let twice = serde_json::to_vec(&again).expect("plain data");
    assert!(twice == written, "another value after it was written");
    read.look();
    true
}

/// What is made of a value without asking whether it is true.
trait Looked {
    fn look(&self) {}
}

impl Looked for Proposal {
    fn look(&self) {
        let _ = self.command.is_logged();
    }
}
impl Looked for NodeFlows {
    fn look(&self) {
        drop(observed::findings(std::slice::from_ref(self), &[], None));
    }
}
impl Looked for FlowsKept {
    fn look(&self) {
        drop(gap_findings(&self.gaps));
    }
}
impl Looked for Matrix {}
impl Looked for SessionEvent {}
impl Looked for Access {}
impl Looked for Plan {}

const NODE: &str = r#"{"node":"a1-1","zone":"inner","matrix":"00","since":1,"at":60000,"flows":[{"uid":"0123456789abcdef","way":"opened","peer":"edge-a1","zone":"dmz","protocol":"tunnel","rows":["tunnel"],"standing":"declared","why":null,"first":1,"last":2,"connections":1,"open":1,"sent":10,"received":20}],"sockets":[{"transport":"udp","local":"127.0.0.1:7443","remote":null,"what":"mesh","standing":"declared","first":1,"last":2}],"messages":[{"direction":"inward","kind":"ask.say","verdict":"passed","count":2}],"no_sockets":null,"left_out":0}"#;

pub(crate) fn seeds() -> Vec<Seed> {
    let kept = format!(
        r#"{{"from":1,"to":60000,"minutes":1,"matrix":null,"checkpoint":null,"nodes":[{NODE}],"gaps":[{{"node":"a1-2","from":1,"to":2}}],"findings":[]}}"#
    );
    let minute = format!("{{\"v\":1,\"minute\":29000000,\"silent\":[\"e1\"]}}\n{NODE}");
    let plans: serde_json::Value =
        serde_json::from_str(include_str!("../../vectors/dr-plans.json")).expect("a vector");
    let matrix = serde_json::to_vec(&Matrix::shipped()).expect("plain data");
    let event =
        r#"{"number":1,"at":2,"actor":"agent","kind":"step","details":{"step":"identity"}}"#;
    let proposal = r#"{"v":1,"request":"r-1","at":5,"command":{"do":"move-ticket","ticket":"t-1","edge":"edge-a1"}}"#;
    let access = r#"{"who":{"institution":"bank","name":"8001"},"session":"s-1","what":"film","reason":"complaint"}"#;
    vec![
        Seed::new("minute", 0, minute.as_bytes()),
        Seed::new("proposal", 1, proposal.as_bytes()),
        Seed::new("node", 2, NODE.as_bytes()),
        Seed::new("flows", 3, kept.as_bytes()),
        Seed::new("retention", 4, &matrix),
        Seed::new("event", 5, event.as_bytes()),
        Seed::new("access", 6, access.as_bytes()),
        Seed::new("plan", 7, plans["centre"].to_string().as_bytes()),
    ]
}
