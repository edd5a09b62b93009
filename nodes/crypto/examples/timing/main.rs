//! Does the running time tell anything about a secret? Fixed against random input, after dudect (Reparaz, Balasch
//! and Verbauwhede, DATE 2017).
//!
//! ```text
//! cargo run --release -p guitai-crypto --example timing            # short: the twins are judged, the rest reported
//! GUITAI_TIMING=full cargo run --release -p guitai-crypto --example timing
//! ```
//!
//! Two classes of input, drawn at random for every measurement: one always the same, one random. Welch's t compares
//! the mean times, over all measurements and with the slowest cropped away at several percentiles; the largest |t|
//! counts. Noise of the machine hits both classes alike: it hides a leak, it does not make one. Hence the twins:
//! subjects that leak on purpose, which the same code must flag, or the run proves nothing and fails.
//!
//! A subject is flagged past |t| = 10 (dudect's "probably not constant time") three times running and in the same
//! direction. A pass means that this machine, this compiler and this many measurements show nothing; it is no proof.
//!
//! Exit code: 0 as expected; 1 a twin went unnoticed; 2 (full only) a subject of ours is flagged.

mod statistics;
mod subjects;

use statistics::Samples;
use subjects::{Class, Subject};

/// Past this |t| a class can be told from the other.
const THRESHOLD: f64 = 10.0;
/// A flag counts when it is raised this often in a row.
const REPEATS: usize = 3;

fn main() {
    let full = std::env::var("GUITAI_TIMING").is_ok_and(|mode| mode == "full");
    let measurements = if full { 200_000 } else { 4000 };
    println!(
        "{measurements} measurements a subject, flagged past |t| = {THRESHOLD} in {REPEATS} runs of {REPEATS}"
    );
    println!("| subject | largest \\|t\\| | verdict |");
    println!("|---|---:|---|");
    let (mut unnoticed, mut leaks) = (0, 0);
    for mut subject in subjects::all() {
        // A twin must be found with few measurements too, so that the short run means something.
        let measurements = measurements / subject.cost;
        let (t, flagged) = judge(&mut subject, measurements);
        let verdict = match (subject.leaks_on_purpose, flagged) {
            (true, true) => "leaks, as it should",
            (true, false) => "TWIN UNNOTICED",
            (false, true) => "FLAGGED",
            (false, false) => "nothing seen",
        };
        unnoticed += u32::from(subject.leaks_on_purpose && !flagged);
        leaks += u32::from(!subject.leaks_on_purpose && flagged);
        println!("| {} | {:.1} | {verdict} |", subject.name, t.abs());
    }
    if unnoticed > 0 {
        println!("a leak put in on purpose was not found: the machine is too noisy for a verdict");
        std::process::exit(1);
    }
    if leaks > 0 && full {
        std::process::exit(2);
    }
}

/// The largest t of the last run, and whether all runs flag it in one direction.
fn judge(subject: &mut Subject, measurements: usize) -> (f64, bool) {
    let mut direction = None;
    let mut t = 0.0;
    for _ in 0..REPEATS {
        t = measure(subject, measurements).largest_t();
        let same = direction.is_none_or(|positive: bool| positive == (t > 0.0));
        if t.abs() <= THRESHOLD || !same {
            return (t, false);
        }
        direction = Some(t > 0.0);
    }
    (t, true)
}

#[expect(clippy::disallowed_methods, reason = "a measurement, not a decision")]
fn measure(subject: &mut Subject, measurements: usize) -> Samples {
    let mut samples = Samples::default();
    let choices: Vec<u8> = {
        let mut bytes = vec![0; measurements];
        guitai_crypto::random::fill(&mut bytes);
        bytes
    };
    for (index, choice) in choices.into_iter().enumerate() {
        let class = if choice & 1 == 0 {
            Class::Fixed
        } else {
            Class::Random
        };
        (subject.prepare)(class, index);
        let begin = std::time::Instant::now();
        (subject.run)();
        let spent = begin.elapsed();
        samples.push(class, spent.as_nanos() as f64);
    }
    samples
}
