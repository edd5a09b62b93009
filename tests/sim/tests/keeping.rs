//! Twenty years of recordings under many seeds: none is erased early, none late,
//! and each can be read in two centres as long as it is kept.

use guitai_sim::{
    keeping::{KeepWorld, RECORDINGS, Tally},
    seeds,
};

/// Worlds when nothing is said: thousands of recordings.
const WORLDS: u64 = 20;

#[test]
fn in_twenty_years_nothing_is_erased_early_and_nothing_late() {
    let seeds = seeds::wanted_or(WORLDS);
    let worlds = seeds.end - seeds.start;
    let mut sum = Tally::default();
    for seed in seeds {
        match KeepWorld::new(seed).run() {
            Ok(tally) => {
                sum.recordings += tally.recordings;
                sum.erased += tally.erased;
                sum.put_off += tally.put_off;
                sum.held += tally.held;
                sum.released += tally.released;
                sum.matrices += tally.matrices;
                sum.locked += tally.locked;
                sum.leaders += tally.leaders;
                sum.rotted += tally.rotted;
                sum.replicas += tally.replicas;
            }
            Err(what) => {
                let next = seed + 1;
                panic!(
                    "seed {seed}: {what}\nreplay: GUITAI_SEEDS={seed}..{next} cargo nextest run -p guitai-sim -E 'test(in_twenty_years)'"
                );
            }
        }
    }
    println!("{worlds} worlds: {sum:?}");
    // A world in which nothing happens proves nothing.
    assert_eq!(sum.recordings, worlds * RECORDINGS as u64, "{sum:?}");
    if worlds >= 20 {
        assert!(sum.erased > worlds * 20, "{sum:?}");
        assert!(sum.held > worlds && sum.released > worlds, "{sum:?}");
        assert!(sum.matrices > worlds && sum.locked > worlds / 2, "{sum:?}");
        assert!(
            sum.rotted > worlds * 20 && sum.replicas > worlds * 20,
            "{sum:?}"
        );
        assert!(sum.leaders > worlds * 10 && sum.put_off > 0, "{sum:?}");
    }
}
