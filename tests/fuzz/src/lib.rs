//! Fuzzing of what reads bytes from outside: see `targets`.

pub mod targets;
