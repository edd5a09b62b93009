//! Thousands of worlds, each checked after every step.

use guitai_sim::{World, seeds};

/// Steps of one world.
const STEPS: usize = 250;

#[test]
fn every_invariant_holds_in_every_seed() {
    for seed in seeds::wanted() {
        let held = World::new(seed).run(STEPS);
        if let Err(what) = held {
            let next = seed + 1;
            panic!(
                "seed {seed}: {what}\nreplay: GUITAI_SEEDS={seed}..{next} cargo nextest run -p guitai-sim"
            );
        }
    }
}
