//! Matrices made by chance: what is written is read, and a diff is what makes one of another.

use guitai_types::Date;
use proptest::{prelude::*, strategy::ValueTree as _};

use crate::{
    DataClass, Diff, Effect, End, Limits, Matrix, ParseError, Port, Protocol, Role, Row, Side,
    Ways, Word as _,
    messages::{EDGE_NEEDS, TUNNEL_NEEDS},
};

use super::{shipped, today};

fn one<T: crate::Word + std::fmt::Debug>() -> impl Strategy<Value = T> {
    prop::sample::select(T::ALL)
}

/// A row; whether a matrix may have it, its rules say.
fn row() -> impl Strategy<Value = Row> {
    let ends = (
        one::<Role>(),
        one::<Role>(),
        one::<Protocol>(),
        one::<Side>(),
    );
    let port = prop_oneof![
        Just("door".to_owned()),
        Just("mesh".to_owned()),
        (1_u16..=65_535).prop_map(|it| it.to_string())
    ];
    let amounts = (1_u64..5, 1_u64..5, 1_u64..5);
    let days = prop::sample::select(&["2026-01-31", "2027-06-30", "2028-12-31"][..]);
    let words = prop::sample::select(&["甲", "a \"b\" \\ c", "用途"][..]);
    let picks = (
        one::<Ways>(),
        one::<DataClass>(),
        any::<u16>(),
        any::<bool>(),
    );
    ("r[0-9]", ends, port, picks, amounts, (days, words)).prop_map(
        |(
            id,
            (from, to, protocol, opens),
            port,
            (data, class, pick, sealed),
            amounts,
            (day, words),
        )| {
            let kinds = protocol.messages().iter().copied().flatten().enumerate();
            let mut messages: Vec<String> = kinds
                .filter(|(index, _)| pick >> (index % 16) & 1 == 1)
                .map(|(_, kind)| (*kind).to_owned())
                .collect();
            let needed = match protocol {
                Protocol::Tunnel => TUNNEL_NEEDS,
                Protocol::Node => EDGE_NEEDS,
                _ => &[],
            };
            messages.extend(needed.iter().map(|kind| (*kind).to_owned()));
            messages.sort();
            messages.dedup();
            let sealed_for = if sealed {
                vec![Role::Customer, Role::Agent]
            } else {
                Vec::new()
            };
            Row {
                id: id.parse().unwrap(),
                from: End::of(from),
                to: End::of(to),
                protocol,
                transport: protocol.transport(),
                port: port.parse::<Port>().unwrap(),
                opens,
                data,
                class,
                messages,
                sealed_for,
                limits: Limits {
                    message_bytes: amounts.0,
                    messages_per_second: amounts.1,
                    connections_per_second: amounts.2,
                },
                purpose: guitai_types::place::Text {
                    zh: words.to_owned(),
                    en: words.to_owned(),
                },
                owner: words.to_owned(),
                expires: day.parse::<Date>().unwrap(),
            }
        },
    )
}

/// A matrix of those rows that may stand beside each other.
fn matrix() -> impl Strategy<Value = Matrix> {
    (prop::collection::vec(row(), 0..40), 1_u64..9).prop_map(|(rows, version)| {
        let mut made = shipped();
        made.version = version;
        made.rows.clear();
        for row in rows {
            let mut with = made.clone();
            with.rows.push(row);
            with.rows.sort_by(|a, b| a.id.cmp(&b.id));
            if let Ok(with) = with.checked(|_| 0) {
                made = with;
            }
        }
        made
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(matrix in matrix()) {
        prop_assert_eq!(&Matrix::parse(&matrix.render()).unwrap(), &matrix);
        let bytes = matrix.canonical().unwrap();
        prop_assert_eq!(&Matrix::from_canonical(&bytes).unwrap(), &matrix);
    }

    #[test]
    fn the_order_of_a_file_means_nothing(matrix in matrix()) {
        let text = matrix.render();
        let mut parts: Vec<&str> = text.split("\n[[").collect();
        parts[1..].reverse();
        let turned = Matrix::parse(&parts.join("\n[[")).unwrap();
        prop_assert_eq!(turned.digest().unwrap(), matrix.digest().unwrap());
    }

    #[test]
    fn a_diff_makes_one_of_the_other(a in matrix(), b in matrix()) {
        let none = Diff::between(&a, &a);
        prop_assert!(none.is_empty() && none.sentences(&a).is_empty() && !none.widens());
        let diff = Diff::between(&a, &b);
        prop_assert_eq!(diff.is_empty(), a == b);
        prop_assert_eq!(diff.sentences(&a).is_empty(), a == b, "every change has its sentence");
        prop_assert_eq!(&diff.apply(&a).unwrap(), &b);
    }

    #[test]
    fn whatever_becomes_possible_is_marked_as_widening(a in matrix(), b in matrix()) {
        let diff = Diff::between(&a, &b);
        let more = Protocol::ALL.iter().any(|protocol| {
            let pairs = Role::ALL.iter().flat_map(|from| Role::ALL.iter().map(move |to| (End::of(*from), End::of(*to))));
            pairs.into_iter().any(|(from, to)| {
                let before = a.admit_dial(from, to, *protocol, today()).is_admitted();
                !before && b.admit_dial(from, to, *protocol, today()).is_admitted()
            })
        });
        prop_assert!(!more || diff.widens());
        // What a role comes to read, send or open is marked as well.
        for role in Role::ALL {
            // The object store is a role of those matrices alone that have one.
            let (Some(was), Some(is)) = (a.reach(End::of(*role), today()), b.reach(End::of(*role), today())) else {
                continue;
            };
            let grows = !is.reads.is_subset(&was.reads) || !is.messages_sent.is_subset(&was.messages_sent);
            prop_assert!(!grows || diff.widens(), "{role}");
        }
    }
}

#[test]
fn a_row_of_this_kind_is_common_enough() {
    // Else the properties above would hold of nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rows: usize = (0..50)
        .map(|_| matrix().new_tree(&mut runner).unwrap().current().rows.len())
        .sum();
    assert!(rows > 100, "{rows}");
}

#[test]
fn changes_are_said_in_both_languages() {
    let before = shipped();
    let text = before
        .render()
        .replacen("version = 1", "version = 2", 1)
        .replacen("message_bytes = 16384", "message_bytes = 32768", 1);
    let mut after = Matrix::parse(&text).unwrap();
    after.rows.retain(|row| row.id.as_str() != "customer-moq");
    let diff = Diff::between(&before, &after);
    let said: Vec<(Effect, String, String)> = diff
        .sentences(&before)
        .into_iter()
        .map(|it| (it.effect, it.words.zh, it.words.en))
        .collect();
    let expected = [
        (
            Effect::Widens,
            "单条消息字节数上限由 16384 改为 32768",
            "takes at most 32768 bytes a message; it was 16384",
        ),
        (
            Effect::Narrows,
            "不再允许 outer/customer 向 dmz/edge 建立 moq-door 连接(udp door)",
            "outer/customer may no longer open moq-door to dmz/edge (udp door)",
        ),
        (
            Effect::Neutral,
            "demo:第 1 版改为第 2 版",
            "demo: version 1 becomes 2",
        ),
    ];
    let expected = expected.map(|(effect, zh, en)| (effect, zh.to_owned(), en.to_owned()));
    assert_eq!(said, expected);
    let back = Diff::between(&after, &before).sentences(&after);
    assert_eq!(
        back[0].words.en,
        "outer/customer may now open moq-door to dmz/edge (udp door); data customer ↔ edge, at most C2, until 2028-12-31"
    );
    assert_eq!(
        back[0].words.zh,
        "outer/customer 今后可向 dmz/edge 建立 moq-door 连接(udp door);数据 customer ↔ edge,最高 C2,至 2028-12-31"
    );
}

#[test]
fn a_diff_of_another_matrix_is_refused_where_it_would_break_a_rule() {
    let before = shipped();
    let mut after = before.clone();
    after.rows.retain(|row| row.id.as_str() == "raft");
    let mut other = before.clone();
    other.rows.retain(|row| row.id.as_str() == "raft");
    other.rows[0].id = "consensus".parse().unwrap();
    let adds = Diff::between(
        &Matrix {
            rows: Vec::new(),
            ..before
        },
        &after,
    );
    assert!(matches!(adds.apply(&other), Err(ParseError::Faults(_))));
}
