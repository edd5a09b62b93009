//! Power cuts by seed. The checker knows every record that was asked for and which were
//! acknowledged; what is found after a cut must be the state after some record between the last
//! acknowledged and the last asked for.
//!
//! `GUITAI_SEEDS` sets how many seeds run, `GUITAI_CUTS` runs seeds until so many power cuts have
//! happened; a failure names its seed.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use guitai_host::{Entropy as _, SeededEntropy};

use super::*;

const LIVES: usize = 4;

fn seeds() -> u64 {
    std::env::var("GUITAI_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000)
}

/// Power cuts wanted, where somebody asks for a number of them.
fn cuts_wanted() -> Option<u64> {
    std::env::var("GUITAI_CUTS").ok()?.parse().ok()
}

/// A log as the manual describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    start: u64,
    entries: Vec<Vec<u8>>,
    purged: Option<Purged>,
    vote: Option<Vec<u8>>,
}

/// One record's worth of change.
#[derive(Debug, Clone)]
enum Step {
    Begin(u64),
    Entry(u64, Vec<u8>),
    Truncate(u64),
    Purge(u64, Vec<u8>),
    Vote(Vec<u8>),
}

impl Model {
    fn next(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Begin(start) => self.start = *start,
            Step::Entry(index, data) => {
                self.entries.truncate((index - self.start) as usize);
                self.entries.push(data.clone());
            }
            Step::Truncate(next) => self.entries.truncate((next - self.start) as usize),
            Step::Purge(index, marker) => {
                let dropped = (index + 1).saturating_sub(self.start);
                self.entries
                    .drain(..self.entries.len().min(dropped as usize));
                self.start = self.start.max(index + 1);
                self.purged = Some(Purged {
                    index: *index,
                    marker: marker.clone(),
                });
            }
            Step::Vote(vote) => self.vote = Some(vote.clone()),
        }
    }

    /// Reads a whole log.
    fn of(wal: &Wal) -> Result<Self, String> {
        let range = wal.range();
        let entries = wal.read(range.clone()).map_err(|error| error.to_string())?;
        let entries = entries.into_iter().map(|(_, data)| data).collect();
        Ok(Self {
            start: range.start,
            entries,
            purged: wal.purged(),
            vote: wal.vote(),
        })
    }
}

/// What may be found: the base, and then the steps, of which the first `acked` must be there.
#[derive(Default)]
struct Expected {
    base: Model,
    steps: Vec<Step>,
    acked: usize,
}

impl Expected {
    fn check(&self, found: &Model) -> Result<(), String> {
        let mut model = self.base.clone();
        for (at, step) in self.steps.iter().enumerate() {
            if at >= self.acked && model == *found {
                return Ok(());
            }
            model.apply(step);
        }
        if model == *found {
            return Ok(());
        }
        let mut text = format!("found {}..{} {:?}", found.start, found.next(), found.purged);
        write!(
            text,
            ", wanted {}..{} {:?}",
            model.start,
            model.next(),
            model.purged
        )
        .ok();
        write!(text, " or {} steps less", self.steps.len() - self.acked).ok();
        Err(text)
    }
}

/// What goes wrong in one life of a node.
fn arm(disk: &SimDisk, seeded: &SeededEntropy) {
    match seeded.below(10) {
        0 => disk.fail_after(seeded.below(8_000), io::ErrorKind::StorageFull),
        1 => disk.fail_after(seeded.below(8_000), io::ErrorKind::Other),
        2 => {} // a clean life
        _ => disk.cut_after(1 + seeded.below(80)),
    }
}

fn bytes(seeded: &SeededEntropy, len_max: u64) -> Vec<u8> {
    let mut out = vec![0; seeded.below(len_max) as usize];
    seeded.fill(&mut out);
    out
}

/// One node's several lives on one disk; says how many power cuts there were.
fn run(seed: u64, before_each_life: impl Fn(&SimDisk)) -> Result<u64, String> {
    let seeded = SeededEntropy::new(seed);
    let disk = SimDisk::new();
    let mut expected = Expected::default();
    let mut committed: Vec<Option<Vec<u8>>> = vec![None];
    let mut cuts = 0;
    for _ in 0..LIVES {
        arm(&disk, &seeded);
        before_each_life(&disk);
        match open(&disk) {
            Ok((wal, recovered)) => {
                let found = Model::of(&wal)?;
                expected.check(&found)?;
                if !committed.contains(&recovered.committed) {
                    return Err(format!("committed mark {:?}", recovered.committed));
                }
                expected = Expected {
                    base: found,
                    steps: vec![],
                    acked: 0,
                };
                live(&wal, &seeded, &mut expected, &mut committed);
            }
            // The cut may fall into the opening; damage there is never a cut's doing.
            Err(OpenWalError::Io { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        // The machine stays up now and then, so that a later cut takes what an earlier life wrote.
        if seeded.chance(25) {
            disk.restart();
        } else {
            disk.crash(seeded.next());
            cuts += 1;
        }
    }
    let (wal, _) = open(&disk).map_err(|error| error.to_string())?;
    expected.check(&Model::of(&wal)?)?;
    Ok(cuts)
}

/// Asks for this and that until the log stops or enough is done, then closes it.
fn live(
    wal: &Wal,
    seeded: &SeededEntropy,
    expected: &mut Expected,
    committed: &mut Vec<Option<Vec<u8>>>,
) {
    // With 1 every request waits, and the seed alone decides everything.
    let burst = 1 + seeded.below(2) * seeded.below(8);
    let acked = Arc::new(AtomicUsize::new(0));
    let mut model = expected.base.clone();
    for request in 1..=seeded.below(100) {
        if seeded.chance(10) {
            let mark = bytes(seeded, 40);
            committed.push(Some(mark.clone()));
            wal.save_committed(mark).ok();
        }
        let steps = ask(wal, seeded, &model, expected.steps.len(), &acked);
        steps.iter().for_each(|step| model.apply(step));
        expected.steps.extend(steps);
        // Refused once stopped: asked for, but never to be found; more would prove nothing.
        if request % burst == 0 && wal.truncate_after(Some(u64::MAX)).is_err() {
            break;
        }
    }
    // A request that changes nothing is answered after all before it.
    wal.truncate_after(Some(u64::MAX)).ok();
    expected.acked = acked.load(Ordering::SeqCst);
}

/// One request that is in order for `model`; when it is acknowledged, so are all steps up to it.
fn ask(
    wal: &Wal,
    seeded: &SeededEntropy,
    model: &Model,
    steps_before: usize,
    acked: &Arc<AtomicUsize>,
) -> Vec<Step> {
    let done = |steps: &[Step]| {
        let (acked, upto) = (Arc::clone(acked), steps_before + steps.len());
        move |result: io::Result<()>| {
            if result.is_ok() {
                acked.fetch_max(upto, Ordering::SeqCst);
            }
        }
    };
    let mut steps = Vec::new();
    match seeded.below(12) {
        0 => {
            let vote = bytes(seeded, 40);
            steps.push(Step::Vote(vote.clone()));
            wal.save_vote_then(vote, done(&steps));
        }
        1 => {
            let last = model.next().saturating_sub(seeded.below(6));
            if last + 1 < model.next() {
                steps.push(Step::Truncate((last + 1).max(model.start)));
            }
            wal.truncate_after_then(Some(last), done(&steps));
        }
        2 => {
            let index = model.start + seeded.below(2 * model.entries.len() as u64 / 3 + 2);
            let marker = bytes(seeded, 40);
            steps.push(Step::Purge(index, marker.clone()));
            wal.purge_through_then(index, marker, done(&steps));
        }
        _ => {
            let virgin = model.entries.is_empty() && model.purged.is_none();
            let back = if seeded.chance(15) {
                seeded.below(5)
            } else {
                0
            };
            let mut first = model.next().saturating_sub(back).max(model.start);
            if virgin {
                first = seeded.below(3);
                if first != model.start {
                    steps.push(Step::Begin(first));
                }
            }
            let entries: Vec<_> = (0..=seeded.below(4)).map(|_| bytes(seeded, 300)).collect();
            let indexed = (first..).zip(entries.clone());
            steps.extend(indexed.map(|(index, data)| Step::Entry(index, data)));
            wal.append(first, entries, done(&steps));
        }
    }
    steps
}

#[test]
fn nothing_acknowledged_is_lost_by_any_cut() {
    let wanted = cuts_wanted();
    let (mut cuts, mut seed) = (0, 0);
    while wanted.map_or_else(|| seed < seeds(), |wanted| cuts < wanted) {
        match run(seed, |_| ()) {
            Ok(more) => cuts += more,
            Err(what) => panic!("seed {seed}: {what}"),
        }
        seed += 1;
    }
    println!("{cuts} power cuts in {seed} seeds: nothing acknowledged was lost");
    assert!(cuts > 0, "a run without a cut shows nothing");
}

#[test]
fn the_checker_catches_a_disk_that_lies_about_syncing() {
    let caught = (0..50)
        .filter(|seed| run(*seed, SimDisk::dangerous_ignore_sync).is_err())
        .count();
    assert!(
        caught > 10,
        "a checker that passes a lying disk checks nothing: caught {caught} of 50"
    );
}
