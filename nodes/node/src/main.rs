//! The guitai binary.
fn main() {}
