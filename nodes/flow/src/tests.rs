//! The matrix against files that are none, against itself, and against the demonstration.

mod files;
mod follows;
mod made;

use guitai_types::{Date, profile::Profile};

use crate::Matrix;

/// A day on which every row of the shipped matrix holds.
fn today() -> Date {
    "2026-11-23".parse().unwrap()
}

fn shipped() -> Matrix {
    Matrix::shipped().unwrap()
}

fn demo() -> Profile {
    let text = include_str!("../../../profiles/demo.toml");
    toml::from_str(text).unwrap()
}
