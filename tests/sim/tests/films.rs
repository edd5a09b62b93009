//! The queue of films under many seeds: no film is made twice, none is forgotten, none outlives its recording.

use guitai_sim::{
    films::{FilmTally, FilmWorld},
    seeds,
};

/// Worlds when nothing is said.
const WORLDS: u64 = 20;

#[test]
fn every_film_is_made_once_or_said_to_fail_and_none_outlives_its_recording() {
    let seeds = seeds::wanted_or(WORLDS);
    let worlds = seeds.end - seeds.start;
    let mut sum = FilmTally::default();
    for seed in seeds {
        match FilmWorld::new(seed).run() {
            Ok(tally) => {
                sum.ordered += tally.ordered;
                sum.made += tally.made;
                sum.failed += tally.failed;
                sum.killed += tally.killed;
                sum.taken_over += tally.taken_over;
                sum.late += tally.late;
                sum.erased += tally.erased;
                sum.ended += tally.ended;
            }
            Err(what) => {
                let next = seed + 1;
                panic!(
                    "seed {seed}: {what}\nreplay: GUITAI_SEEDS={seed}..{next} cargo nextest run -p guitai-sim -E 'test(every_film)'"
                );
            }
        }
    }
    println!("{worlds} worlds: {sum:?}");
    // A world in which nothing happens proves nothing.
    if worlds >= 20 {
        assert!(
            sum.ordered > worlds * 10 && sum.made > worlds * 8,
            "{sum:?}"
        );
        assert!(sum.killed > worlds && sum.taken_over > worlds, "{sum:?}");
        assert!(sum.late > worlds && sum.failed > 0, "{sum:?}");
        assert!(sum.erased > worlds * 4 && sum.ended > worlds, "{sum:?}");
    }
}
