//! Disaster recovery: what would be done ([`plan`]), what it should cost ([`model`]), doing it
//! ([`Recovery`], `runner`), and what it did cost (`probe`). What was agreed on, step by step, is kept
//! by `meta/core` in the replicated state; a run therefore goes on under the next leader.
//!
//! `plan`, `model`, `apart`, `meter` and `lag` decide without I/O; `facts`, `live`, `runner` and `probe` act.

pub mod apart;
mod city;
mod facts;
mod lag;
mod live;
pub mod meter;
pub mod model;
pub mod plan;
mod probe;
mod recovery;
mod runner;
mod words;

pub use facts::{Facts, Vitals};
pub use plan::{PlanError, plan};
pub use recovery::{Config, Recovery, RecoveryError, Wrap};
