//! The deterministic world: the cores under thousands of seeds.
//!
//! A [`World`] throws dice for what customers, agents, recorders and clocks do to the core, and shows
//! every step to the [`invariants`]. The same seed gives the same world, so a failing seed is the
//! bug report: `GUITAI_SEEDS=17..18 cargo nextest run -p guitai-sim`.

pub mod bank;
pub mod dice;
pub mod invariants;
pub mod lease;
pub mod load;
pub mod seeds;
pub mod world;

pub use dice::Dice;
pub use invariants::{Invariant, Violation};
pub use world::World;
