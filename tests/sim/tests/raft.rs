//! Ring 2: the cluster under faults, seed by seed.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, process::Command};

use guitai_sim::{
    raft::{self, Fault, Figures, RING, Run},
    seeds,
};

/// Seeds run when nothing is said: with all the tests here below 90 s on two cores.
const SEEDS_DEFAULT: u64 = 30;
/// Seeds run twice to see that they give the same.
const SEEDS_TWICE: u64 = 6;
/// Seeds in which a fault put back on purpose must be found.
const SEEDS_CONTROL: u64 = 40;

/// Writes the trace aside and says how to see it again.
fn report(seed: u64, fault: Option<Fault>, what: &str, run: &Run) -> String {
    let name = fault.map_or("sound", Fault::name);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("raft-{seed}-{name}.trace"));
    let kept = std::fs::write(&path, run.lines.join("\n"));
    let mut text = format!("seed {seed}: {what}\n");
    if kept.is_ok() {
        writeln!(text, "trace {:016x}: {}", run.digest, path.display()).ok();
    }
    writeln!(text, "replay: {}", raft::replay_line(seed, fault)).ok();
    text
}

#[test]
fn the_cluster_keeps_its_word_in_every_seed() {
    let (wanted, fault) = (seeds::wanted_or(SEEDS_DEFAULT), Fault::wanted());
    let mut sum = Figures::default();
    let mut broken = String::new();
    let mut count = 0;
    for seed in wanted {
        let run = raft::run(seed, fault);
        if let Some(what) = &run.violation {
            let report = report(seed, fault, what, &run);
            // At once: a run of thousands is watched.
            println!("{report}");
            broken += &report;
        }
        count += 1;
        sum.add(&run.figures);
        if count % 100 == 0 {
            println!("{count} seeds up to {seed}: {sum:?}");
        }
    }
    println!("{count} seeds: {sum:?}");
    assert!(broken.is_empty(), "{broken}");
    // Worlds in which nothing happens prove nothing; one alone may have a quiet life.
    assert!(sum.writes > 20 * count && sum.reads > 20 * count, "{sum:?}");
    assert!(sum.leaders >= count && sum.lives >= 6 * count, "{sum:?}");
    if count >= SEEDS_DEFAULT {
        assert!(sum.leaders > 2 * count && sum.lives > 7 * count, "{sum:?}");
        assert!(sum.proven > 10 * count, "{sum:?}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_twice() {
    let mut digests = BTreeSet::new();
    for seed in 1_000..1_000 + SEEDS_TWICE {
        let (once, twice) = (raft::run(seed, None), raft::run(seed, None));
        if once.digest != twice.digest {
            let differs = once.lines.iter().zip(&twice.lines);
            let at = differs.clone().position(|(once, twice)| once != twice);
            let lines = at.and_then(|at| differs.clone().nth(at));
            panic!("seed {seed} is not determined: line {at:?}: {lines:#?}");
        }
        assert!(once.events > 1_000, "seed {seed}: {} events", once.events);
        digests.insert(once.digest);
    }
    assert_eq!(digests.len() as u64, SEEDS_TWICE, "seeds differ");
}

/// The first seed in which a fault is found, and how.
fn find(fault: Fault) -> (u64, Run) {
    let mut runs = (0..SEEDS_CONTROL).map(|seed| (seed, raft::run(seed, Some(fault))));
    let found = runs.find(|(_, run)| run.violation.is_some());
    let (seed, run) =
        found.unwrap_or_else(|| panic!("{fault:?} is not found in {SEEDS_CONTROL} seeds"));
    println!("{fault:?} is found in seed {seed}: {:?}", run.violation);
    (seed, run)
}

/// Runs seeds until the fault is found, as what it is.
fn finds(fault: Fault, sounds_like: &[&str]) {
    let (seed, run) = find(fault);
    let what = run.violation.clone().unwrap_or_default();
    assert!(
        sounds_like.iter().any(|sound| what.contains(sound)),
        "{fault:?} is found as something else: {}",
        report(seed, Some(fault), &what, &run)
    );
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    // Whatever was promised is lost with the power: votes, entries, marks of the log.
    finds(
        Fault::AckBeforeSync,
        &[
            "election safety",
            "leader completeness",
            "log matching",
            "quorum",
            "acknowledged",
            "applied another",
            "stopped",
            "does not start",
        ],
    );
}

#[test]
fn a_ban_on_election_in_city_b_is_found_as_a_cluster_that_stands_still() {
    finds(Fault::ElectionBan, &["liveness"]);
}

#[test]
fn a_read_by_a_deposed_leader_is_found() {
    finds(Fault::StaleRead, &["no order of the operations"]);
}

#[test]
fn a_vote_that_is_forgotten_is_found_as_a_vote_given_twice() {
    finds(Fault::VoteForgotten, &["election safety"]);
}

#[test]
fn a_guard_whose_clock_is_slow_is_found_to_promise_what_it_has_not() {
    finds(Fault::GuardClockSlow, &["P4"]);
}

#[test]
fn a_failing_seed_prints_a_line_that_replays_it() {
    let fault = Fault::VoteForgotten;
    let (seed, run) = find(fault);
    let what = run.violation.clone().unwrap_or_default();
    let printed = report(seed, Some(fault), &what, &run);
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("replay: "))
        .expect("the report has a line to replay it");
    // The line as a shell reads it, except that this very binary stands for what cargo would build.
    let words: Vec<&str> = line.split(' ').collect();
    let (set, command): (Vec<&str>, Vec<&str>) =
        words.into_iter().partition(|word| word.contains('='));
    assert_eq!(
        command,
        format!("cargo nextest run -p guitai-sim --test raft {RING}")
            .split(' ')
            .collect::<Vec<_>>()
    );
    let mut again = Command::new(std::env::current_exe().expect("a running test has a path"));
    again.args(["--exact", RING, "--nocapture"]);
    again.env_remove("GUITAI_SEEDS").env_remove("GUITAI_FAULT");
    again.envs(set.iter().filter_map(|word| word.split_once('=')));
    let again = again.output().expect("a test binary can be run");
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(!again.status.success(), "the seed passes: {told}");
    assert!(told.contains(&format!("seed {seed}: {what}")), "{told}");
    assert!(
        told.contains(&format!("trace {:016x}", run.digest)),
        "{told}"
    );
}
