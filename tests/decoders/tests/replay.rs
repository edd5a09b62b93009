//! Everything that fuzzing found worth keeping goes through the same functions again, within a time that no small
//! input may take: `src` says what they check, `tests/fuzz/run` looks for more.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use guitai_decoders::ALL;

/// The targets of `guitai-crypto`, whose corpora its own test replays.
const BESIDE: [&str; 5] = ["record", "certificate", "sframe", "key_file", "sdf"];
/// Targets that were not fuzzed yet: their honest inputs go through below, and there is no corpus.
const NOT_FUZZED: [&str; 3] = ["guard", "media", "store"];
/// Bytes of all corpora together: they live in git.
const CORPORA_BYTES_MAX: u64 = 3 * 1024 * 1024;

fn corpora() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

#[test]
fn the_kept_corpora_still_pass() {
    for target in ALL.iter().filter(|it| !NOT_FUZZED.contains(&it.name)) {
        let mut inputs = 0;
        for entry in std::fs::read_dir(corpora().join(target.name)).unwrap() {
            let path = entry.unwrap().path();
            let input = std::fs::read(&path).unwrap();
            let done = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            assert!(done.is_ok(), "{} fails", path.display());
            inputs += 1;
        }
        assert!(inputs > 10, "no corpus for {}", target.name);
    }
}

/// Honest bytes are taken, so that fuzzing starts from depth and a limit is no excuse to refuse everything.
#[test]
fn seeds_are_accepted() {
    for target in ALL {
        let seeds = (target.seeds)();
        assert!(seeds.len() > 2, "no seeds for {}", target.name);
        for seed in seeds {
            assert!(
                (target.run)(&seed.bytes),
                "{}: {} is refused",
                target.name,
                seed.name
            );
        }
    }
}

/// Half of what comes is cut short or has one byte wrong: no target may fall over the first of these, fuzzed or not.
#[test]
fn seeds_that_are_cut_or_have_a_byte_wrong_break_nothing() {
    for target in ALL {
        for seed in (target.seeds)() {
            let step = seed.bytes.len() / 24 + 1;
            for at in (0..seed.bytes.len()).step_by(step) {
                (target.run)(&seed.bytes[..at]);
                let mut wrong = seed.bytes.clone();
                wrong[at] ^= 0x20;
                (target.run)(&wrong);
            }
        }
    }
}

#[test]
fn every_corpus_has_a_target_and_all_of_them_are_small() {
    let known: BTreeSet<&str> = ALL.iter().map(|it| it.name).chain(BESIDE).collect();
    let mut bytes = 0;
    for entry in std::fs::read_dir(corpora()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        assert!(
            known.contains(name.as_str()),
            "a corpus without a target: {name}"
        );
        let files = std::fs::read_dir(entry.path()).unwrap();
        bytes += files
            .map(|it| it.unwrap().metadata().unwrap().len())
            .sum::<u64>();
    }
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes of corpora");
}

#[test]
fn the_script_runs_every_target() {
    let script = corpora().join("../run");
    let script = std::fs::read_to_string(script).unwrap();
    let line = script
        .lines()
        .find_map(|line| line.strip_prefix("decoders=("));
    let run: Vec<&str> = line.unwrap().trim_end_matches(')').split(' ').collect();
    let known: Vec<&str> = ALL.iter().map(|target| target.name).collect();
    assert_eq!(run, known);
}
