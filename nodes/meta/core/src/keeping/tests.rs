//! Which day a recording's last is, and what the lock refuses; whole lives are in `tests/sim`.

use std::collections::BTreeMap;

use guitai_types::{Date, place::Text};

use super::*;

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn rule(id: &str, minimum: &str, locked: bool) -> Rule {
    Rule {
        id: id.parse().unwrap(),
        name: Text {
            zh: "类".to_owned(),
            en: "class".to_owned(),
        },
        starts: StartsAt::ContractEnd,
        minimum: minimum.parse().unwrap(),
        dispute: Period::Months(24),
        clause: "第1条".to_owned(),
        locked,
    }
}

/// A class that promised 10 years, and from 2030 on 5.
fn retention() -> Retention {
    let promise = |version, since: &str, minimum: &str| Promise {
        version,
        since: day(since).begins(),
        minimum: minimum.parse().unwrap(),
        dispute: Period::Months(24),
    };
    let (loan, short) = (rule("loan", "5y", false), rule("short", "6m", false));
    let promises = [
        (
            loan.id.clone(),
            vec![
                promise(1, "2026-01-01", "10y"),
                promise(2, "2030-01-01", "5y"),
            ],
        ),
        (short.id.clone(), vec![promise(1, "2026-01-01", "6m")]),
    ];
    Retention {
        matrix: Matrix {
            version: 2,
            classes: vec![loan, short],
        },
        at: day("2030-01-01").begins(),
        by: None,
        promises: promises.into(),
        untracked: 0,
    }
}

fn recording(began: &str, classes: &[(&str, Option<&str>)]) -> Recording {
    let dated = |(class, ends): &(&str, Option<&str>)| {
        let ends = ends.map(day);
        let dates = Ends {
            ends,
            dispute_ended: None,
        };
        (class.parse().unwrap(), dates)
    };
    Recording {
        session: "s1".parse().unwrap(),
        institution: "bank".parse().unwrap(),
        started_at: day(began).begins(),
        ended_at: day(began).begins(),
        copies: BTreeMap::new(),
        classes: classes.iter().map(dated).collect(),
        holds: Vec::new(),
        holds_placed: 0,
        stage: Stage::Kept,
    }
}

#[test]
fn the_matrix_of_the_product_is_one_that_the_cluster_takes() {
    check_matrix(&Matrix::shipped(), None).unwrap();
}

#[test]
fn the_latest_class_counts_and_an_unknown_end_is_for_ever() {
    let until = |classes: &[(&str, Option<&str>)]| {
        let due = due(&recording("2031-03-01", classes), &retention());
        due.map(|due| (due.until.to_string(), due.class.to_string(), due.version))
    };
    assert_eq!(until(&[]), None);
    assert_eq!(until(&[("loan", None)]), None);
    assert_eq!(
        until(&[("loan", None), ("short", Some("2032-08-31"))]),
        None
    );
    let both = until(&[("loan", Some("2032-02-29")), ("short", Some("2032-08-31"))]);
    assert_eq!(both, Some(("2037-02-28".to_owned(), "loan".to_owned(), 2)));
    let short = until(&[("short", Some("2032-08-31"))]);
    assert_eq!(
        short,
        Some(("2033-02-28".to_owned(), "short".to_owned(), 1))
    );
}

#[test]
fn what_existed_before_a_shortening_keeps_what_it_was_promised() {
    let until = |began: &str| {
        let due = due(
            &recording(began, &[("loan", Some("2031-05-09"))]),
            &retention(),
        );
        due.map(|due| (due.until.to_string(), due.version))
    };
    assert_eq!(until("2029-12-31"), Some(("2041-05-09".to_owned(), 1)));
    assert_eq!(until("2030-01-02"), Some(("2036-05-09".to_owned(), 2)));
    let mut disputed = recording("2030-01-02", &[("loan", Some("2031-05-09"))]);
    let settled = Some(day("2035-01-31"));
    disputed
        .classes
        .values_mut()
        .for_each(|it| it.dispute_ended = settled);
    let due = due(&disputed, &retention()).unwrap();
    assert_eq!(due.until, day("2037-01-31"), "two years after the dispute");
}

#[test]
fn a_locked_class_is_not_shortened_unlocked_or_taken_away() {
    let code =
        |before: &Rule, after: Option<&Rule>| check_lock(before, after).err().map(|it| it.code);
    let (open, locked) = (rule("loan", "10y", false), rule("loan", "10y", true));
    let refused = Some(Code::RetentionLocked);
    assert_eq!(code(&open, Some(&rule("loan", "5y", false))), None);
    assert_eq!(code(&locked, Some(&rule("loan", "11y", true))), None);
    assert_eq!(code(&locked, Some(&rule("loan", "5y", true))), refused);
    assert_eq!(code(&locked, Some(&rule("loan", "10y", false))), refused);
    assert_eq!(code(&open, None), refused);
    let mut other = open.clone();
    other.starts = StartsAt::Recorded;
    assert_eq!(code(&open, Some(&other)), refused);
}
