//! A minute as it is kept. Beside the module and not in it, since fuzzing takes that one in as a file.

use std::collections::BTreeSet;

use guitai_types::{
    UnixMillis, Zone,
    flowlog::MINUTE_BYTES_MAX,
    observed::{FlowStanding, NodeFlows},
};

use crate::book::*;
use crate::sum::tests::{account, flow};

#[test]
fn a_minute_is_read_as_it_was_written_and_every_line_counts_for_its_root() {
    let book = Book {
        minute: 29_000_000,
        silent: ["e1".parse().unwrap()].into(),
        nodes: vec![account(
            "a",
            0,
            60_000,
            vec![flow("b", FlowStanding::Declared, 5)],
        )],
    };
    let text = book.to_text();
    assert_eq!(Book::parse(&text).unwrap(), book);
    let known = agreed(book.minute, &text);
    assert_eq!((known.lines, known.root.0.len()), (2, 32));
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] ^= 1;
        if let Ok(other) = String::from_utf8(other) {
            assert_ne!(agreed(book.minute, &other).root, known.root, "byte {at}");
        }
    }
    let shorter = text.lines().next().unwrap();
    assert_ne!(agreed(book.minute, shorter).root, known.root);
}

#[test]
fn what_is_no_minute_is_refused_with_its_line() {
    let refused = |text: &str| Book::parse(text).unwrap_err().to_string();
    assert!(refused("").contains("another line"));
    assert!(refused(r#"{"v":2,"minute":1,"silent":[]}"#).contains("another line"));
    assert!(refused("{").contains("line 1"));
    assert!(refused("{\"v\":1,\"minute\":1,\"silent\":[]}\n{}").contains("line 2"));
    assert!(refused(&" ".repeat(MINUTE_BYTES_MAX + 1)).contains("MINUTE_BYTES_MAX"));
}

#[test]
fn too_much_for_a_minute_is_left_out_and_counted() {
    let long = "x".repeat(1_000);
    let flows: Vec<_> = (0..2_000)
        .map(|number| {
            let mut flow = flow(&format!("n{number}"), FlowStanding::Refused, 1);
            flow.why = Some(long.clone());
            flow
        })
        .collect();
    let nodes: Vec<NodeFlows> = (0..4)
        .map(|number| account(&format!("a{number}"), 0, 60_000, flows.clone()))
        .collect();
    let book = Book {
        minute: 1,
        silent: BTreeSet::new(),
        nodes,
    };
    let text = book.to_text();
    assert!(text.len() <= MINUTE_BYTES_MAX);
    let read = Book::parse(&text).unwrap();
    assert_eq!(read.nodes.len(), 4);
    for node in read.nodes {
        assert!(!node.flows.is_empty());
        assert_eq!(node.flows.len() as u64 + node.left_out, 2_000);
        assert_eq!((node.zone, node.since), (Zone::Inner, UnixMillis(0)));
    }
}
