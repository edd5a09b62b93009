//! The deterministic world: the cores, and the cluster around them, under thousands of seeds.
//!
//! Ring 1: a [`World`] throws dice for what customers, agents, recorders and clocks do to the core, and shows
//! every step to the [`invariants`]. The same seed gives the same world, so a failing seed is the
//! bug report: `GUITAI_SEEDS=17..18 cargo nextest run -p guitai-sim`.
//!
//! Ring 2, [`raft`]: our storage and drivers under openraft, on simulated disks, lines and clocks.

pub mod bank;
pub mod dice;
pub mod films;
pub mod invariants;
pub mod keeping;
pub mod lease;
pub mod load;
pub mod raft;
pub mod seeds;
pub mod world;

pub use dice::Dice;
pub use invariants::{Invariant, Violation};
pub use world::World;
