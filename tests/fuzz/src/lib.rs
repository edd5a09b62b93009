//! Fuzzing of what reads bytes from outside: `targets` are those of `guitai-crypto`, `guitai-decoders` has the others.

pub mod targets;
