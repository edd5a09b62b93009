//! What officers and operators write: the flow matrix as a file and as it is agreed on, addresses, profiles.

use std::collections::BTreeSet;

use guitai_flow::{
    Diff, End, Matrix, Role, addresses::Addresses, check, deployment, firewall::firewall,
    picture::svg,
};
use guitai_types::{Date, profile::Profile};

use crate::Seed;

/// Where the nodes of two roles are.
const ADDRESSES: &str = r#"format = "guitai-flow-addresses/1"
[[parties]]
zone = "dmz"
role = "edge"
networks = ["10.1.0.0/24", "fd00::1"]
[[parties]]
zone = "inner"
role = "core"
networks = ["10.2.0.7"]
"#;
const DEMO: &str = include_str!("../../../profiles/demo.toml");

pub(crate) fn run(data: &[u8]) -> bool {
    let Some((choice, bytes)) = data.split_first() else {
        return false;
    };
    if choice % 4 == 1 {
        return agreed(bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match choice % 4 {
        0 => file(text),
        2 => addresses(text),
        _ => profile(text),
    }
}

fn today() -> Date {
    "2026-11-24".parse().expect("a date")
}

fn file(text: &str) -> bool {
    let Ok(matrix) = Matrix::parse(text) else {
        return false;
    };
    let again = Matrix::parse(&matrix.render()).expect("what is written is read");
    assert_eq!(again, matrix, "another matrix after it was written");
    let signed = matrix.canonical().expect("a matrix has a canonical form");
    let taken = Matrix::from_canonical(&signed).expect("what is signed is taken");
    assert_eq!(taken, matrix, "another matrix is signed than was written");
    let shipped = Matrix::shipped().expect("it is a constant");
    let change = Diff::between(&shipped, &matrix);
    let changed = change.apply(&shipped);
    assert!(
        changed.is_ok_and(|it| it == matrix),
        "the change is not all"
    );
    assert!(
        change.sentences(&shipped).len() >= change.rows.len(),
        "a row changes and nobody says so"
    );
    questions(&matrix);
    true
}

/// Everything that is made of a matrix, without an answer to compare.
fn questions(matrix: &Matrix) {
    let profile: Profile = toml::from_str(DEMO).expect("the demo's profile");
    let found = check(matrix, Some(&profile), today());
    found.iter().for_each(|it| drop(it.words()));
    drop(deployment::gaps(
        matrix,
        &profile.nodes,
        profile.sink.as_ref(),
        today(),
    ));
    drop(svg(matrix, true, today()));
    for role in [Role::Core, Role::Edge] {
        drop(matrix.reach(End::of(role), today()));
        let ends = BTreeSet::from([End::of(role)]);
        drop(firewall(
            matrix,
            &ends,
            &Addresses::of_profile(&profile),
            today(),
        ));
    }
}

fn agreed(bytes: &[u8]) -> bool {
    let Ok(matrix) = Matrix::from_canonical(bytes) else {
        return false;
    };
    let again = matrix.canonical().expect("a matrix has a canonical form");
    assert_eq!(again, bytes, "two texts of one signed matrix");
    true
}

fn addresses(text: &str) -> bool {
    let Ok(addresses) = Addresses::parse(text) else {
        return false;
    };
    let matrix = Matrix::shipped().expect("it is a constant");
    let ends = BTreeSet::from([End::of(Role::Edge)]);
    drop(firewall(&matrix, &ends, &addresses, today()));
    true
}

fn profile(text: &str) -> bool {
    let Ok(profile) = toml::from_str::<Profile>(text) else {
        return false;
    };
    if profile.check().is_err() {
        return false;
    }
    let matrix = Matrix::shipped().expect("it is a constant");
    drop(check(&matrix, Some(&profile), today()));
    drop(deployment::dials(&profile.nodes));
    drop(Addresses::of_profile(&profile));
    true
}

pub(crate) fn seeds() -> Vec<Seed> {
    let matrix = Matrix::shipped().expect("it is a constant");
    let signed = matrix.canonical().expect("a matrix has a canonical form");
    vec![
        Seed::new("shipped", 0, guitai_flow::SHIPPED.as_bytes()),
        Seed::new("shipped-signed", 1, &signed),
        Seed::new("addresses", 2, ADDRESSES.as_bytes()),
        Seed::new("profile", 3, DEMO.as_bytes()),
    ]
}
