//! Files that are no matrix: each fault is named with its line, row and field.

use proptest::prelude::*;

use super::shipped;
use crate::{
    Matrix, ParseError, SHIPPED, Why, addresses::Addresses, limits::FILE_BYTES_MAX,
    limits::ROWS_MAX,
};

/// The shipped file with the first `old` after a row's id replaced.
fn edited(row: &str, old: &str, new: &str) -> String {
    let at = SHIPPED.find(&format!("id = \"{row}\"")).unwrap();
    let (before, after) = SHIPPED.split_at(at);
    assert!(after.contains(old), "{row} has {old}");
    format!("{before}{}", after.replacen(old, new, 1))
}

/// Row, field and rule of every fault.
fn faults(text: &str) -> Vec<(String, &'static str, Why)> {
    match Matrix::parse(text) {
        Err(ParseError::Faults(faults)) => faults
            .into_iter()
            .map(|fault| {
                assert!(fault.line > 0, "{fault}");
                (fault.row.unwrap_or_default(), fault.field, fault.why)
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hole_in_the_matrix_is_refused() {
    let holes: [(&str, &str, &str, &str); 19] = [
        // The DMZ would dial the core: the hole that the whole area is there to prevent.
        (
            "edge-control",
            "opens = \"to\"",
            "opens = \"from\"",
            "opens",
        ),
        ("edge-media", "opens = \"to\"", "opens = \"from\"", "opens"),
        (
            "edge-questions",
            "opens = \"from\"",
            "opens = \"to\"",
            "opens",
        ),
        (
            "customer-pages",
            "opens = \"from\"",
            "opens = \"to\"",
            "opens",
        ),
        (
            "customer-pages",
            "zone = \"dmz\", role = \"edge\"",
            "zone = \"inner\", role = \"core\"",
            "opens",
        ),
        (
            "customer-pages",
            "zone = \"dmz\", role = \"edge\"",
            "zone = \"inner\", role = \"edge\"",
            "to",
        ),
        (
            "customer-pages",
            "transport = \"tcp\"",
            "transport = \"udp\"",
            "transport",
        ),
        ("customer-pages", "port = \"door\"", "port = 0", "port"),
        ("customer-pages", "port = \"door\"", "port = 65536", "port"),
        (
            "customer-pages",
            "port = \"door\"",
            "port = \"any\"",
            "port",
        ),
        (
            "customer-pages",
            "message_bytes = 4194304",
            "message_bytes = 0",
            "limits.message_bytes",
        ),
        (
            "customer-pages",
            "message_bytes = 4194304",
            "message_bytes = 16777217",
            "limits.message_bytes",
        ),
        (
            "customer-pages",
            "expires = \"2028-12-31\"",
            "expires = \"2028-02-30\"",
            "expires",
        ),
        (
            "customer-pages",
            "class = \"c2\"",
            "class = \"c4\"",
            "class",
        ),
        ("edge-control", "\"ask.rate\"", "\"ask.shell\"", "messages"),
        ("edge-control", "\"order.hello\",", "", "messages"),
        ("edge-questions", "\"flows.take\"", "", "messages"),
        (
            "edge-control",
            "data = \"both\"",
            "data = \"to-from\"",
            "messages",
        ),
        ("edge-media", "\"agent\"]", "\"edge\"]", "sealed_for"),
    ];
    for (row, old, new, field) in holes {
        let found = faults(&edited(row, old, new));
        let named = found.iter().any(|it| it.0 == row && it.1 == field);
        assert!(named, "{row}: {old} -> {new}: {found:?}");
    }
}

#[test]
fn what_is_there_twice_is_refused() {
    let at = SHIPPED.find("[[rows]]").unwrap();
    let (head, rows) = SHIPPED.split_at(at);
    let end = rows.get(2..).unwrap().find("[[rows]]").unwrap() + 2;
    let first = rows.get(..end).unwrap();
    let twice = format!("{head}{first}{rows}");
    assert!(
        matches!(&faults(&twice)[0], (row, "id", Why::Twice { .. }) if row == "customer-pages")
    );
    let other = first.replacen("customer-pages", "customer-other", 1);
    let found = faults(&format!("{head}{other}{rows}"));
    assert!(matches!(&found[0], (row, "port", Why::Overlap { .. }) if row == "customer-pages"));
    // Ends written the other way round are the same connection.
    let turned = SHIPPED.replace("id = \"edge-questions\"", "id = \"turned\"");
    let turned = turned
        .split("[[rows]]")
        .find(|row| row.contains("\"turned\""))
        .unwrap();
    let turned = turned
        .replace("from = {", "x = {")
        .replace("to = {", "from = {")
        .replace("x = {", "to = {")
        .replace("opens = \"from\"", "opens = \"to\"");
    let turned = turned.split("# ---").next().unwrap();
    let found = faults(&format!("{SHIPPED}\n[[rows]]{turned}"));
    assert!(
        matches!(&found[0], (_, "port", Why::Overlap { .. })),
        "{found:?}"
    );
}

#[test]
fn too_much_is_refused_with_its_limit() {
    let (head, rows) = SHIPPED.split_at(SHIPPED.find("[[rows]]").unwrap());
    let row = rows.split("[[rows]]").nth(1).unwrap();
    let mut many = head.to_owned();
    for number in 0..=ROWS_MAX {
        let id = format!("r{number}");
        many.push_str("[[rows]]");
        many.push_str(&row.replacen("customer-pages", &id, 1));
    }
    let found = faults(&many);
    let max = ROWS_MAX;
    let expected = Why::TooMany {
        found: max + 1,
        max,
    };
    assert_eq!(found, [(String::new(), "rows", expected)]);
    let long = format!("{SHIPPED}#{}", "x".repeat(FILE_BYTES_MAX));
    assert!(matches!(
        Matrix::parse(&long),
        Err(ParseError::TooLarge { .. })
    ));
    let purpose = "客户页面、取号、通话事件与收发文件";
    let long = edited("customer-pages", purpose, &purpose.repeat(20));
    assert!(matches!(
        faults(&long)[0],
        (
            _,
            "purpose",
            Why::Length {
                chars: 340,
                max: 200
            }
        )
    ));
    let hidden = edited("customer-pages", purpose, "\u{202e}面页");
    assert_eq!(faults(&hidden)[0].1, "purpose");
}

#[test]
fn what_is_no_matrix_is_named_with_line_and_row() {
    let unknown = edited(
        "edge-control",
        "opens = \"to\"",
        "opens = \"to\"\nvia = \"x\"",
    );
    let missing = edited("edge-control", "class = \"c2\"\n", "");
    for text in [unknown, missing] {
        match Matrix::parse(&text) {
            Err(ParseError::Toml { line, row, message }) => {
                assert!(line > 50, "{line}: {message}");
                assert_eq!(row.as_deref(), Some("edge-control"), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
    let format = SHIPPED.replacen("guitai-flow-matrix/1", "guitai-flow-matrix/2", 1);
    let Err(ParseError::Faults(found)) = Matrix::parse(&format) else {
        panic!("another format is none of ours")
    };
    assert_eq!(found[0].field, "format");
}

#[test]
fn only_the_canonical_bytes_are_read_back() {
    let matrix = shipped();
    let bytes = matrix.canonical().unwrap();
    assert_eq!(Matrix::from_canonical(&bytes).unwrap(), matrix);
    let text = String::from_utf8(bytes).unwrap();
    let turned = text.replacen("\"opens\":\"to\"", "\"opens\":\"from\"", 1);
    assert_ne!(turned, text);
    let refused = Matrix::from_canonical(turned.as_bytes());
    assert!(matches!(refused, Err(ParseError::Faults(_))), "{refused:?}");
    let spaced = text.replacen("{", "{ ", 1);
    let refused = Matrix::from_canonical(spaced.as_bytes());
    assert!(matches!(refused, Err(ParseError::Canonical(_))));
}

#[test]
fn addresses_that_are_none_are_refused() {
    let file = |networks: &str, more: &str| {
        format!(
            "format = \"guitai-flow-addresses/1\"\n[[parties]]\nzone = \"dmz\"\nrole = \"edge\"\nnetworks = [{networks}]\n{more}"
        )
    };
    Addresses::parse(&file("\"10.1.1.1\"", "door = 4443\nmesh = 7443\n")).unwrap();
    Addresses::parse(&file("\"10.1.0.0/16\", \"2001:db8::/32\"", "")).unwrap();
    for (networks, more) in [
        ("\"10.1.1.1/16\"", ""),
        ("\"10.1.1.0/33\"", ""),
        ("\"any\"", ""),
        ("\"10.1.0.0/16\"", "door = 4443\n"),
        ("\"10.1.1.1\"", "door = 0\n"),
        ("\"10.1.1.1\"", "via = 1\n"),
    ] {
        assert!(
            Addresses::parse(&file(networks, more)).is_err(),
            "{networks} {more}"
        );
    }
    let strays = file("\"10.1.1.1\"", "").replace("dmz", "inner");
    assert!(Addresses::parse(&strays).is_err());
}

proptest! {
    #[test]
    fn a_garbled_file_never_panics(
        at in any::<prop::sample::Index>(),
        length in 0_usize..200,
        put in "[\\PC\n]{0,40}",
    ) {
        let chars: Vec<char> = SHIPPED.chars().collect();
        let at = at.index(chars.len());
        let end = (at + length).min(chars.len());
        let garbled: String = chars[..at].iter().copied().chain(put.chars()).chain(chars[end..].iter().copied()).collect();
        if let Ok(matrix) = Matrix::parse(&garbled) {
            prop_assert_eq!(Matrix::parse(&matrix.render()).unwrap(), matrix);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
        prop_assert!(Matrix::parse(&text).is_err());
        drop(Addresses::parse(&text));
    }
}
